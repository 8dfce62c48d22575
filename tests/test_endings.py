# SPDX-License-Identifier: GPL-2.0-or-later
"""No thread outlives its run, whatever the ending; and tiles are reported in an order that makes sense."""

import random
import subprocess
import sys
import threading
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from rasters import Log, run, write_raster
from tiledseg.tiledseg_plugin.engine import execution, kernels, segmentation
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.progress import Background, Feedback, Progress, TileWatch
from time_limit import no_test_hangs  # noqa: F401

Piece = namedtuple("Piece", "tile_id")


@pytest.fixture
def raster(tmp_path):
    rng = np.random.default_rng(3)
    patches = np.kron(rng.integers(20, 230, (3, 9, 16)), np.ones((1, 10, 10), int))
    return write_raster(tmp_path / "in.tif", (patches + rng.integers(0, 20, patches.shape)).astype(np.uint8))


@pytest.fixture
def empty_raster(tmp_path):
    return write_raster(tmp_path / "empty.tif", np.zeros((1, 60, 60), np.uint8), nodata=0)


EARLIER = set()


@pytest.fixture(autouse=True)
def nothing_from_before():
    """What other tests have left in this process, such as the loop of a Dask client, is not of the run here."""
    EARLIER.update(threading.enumerate())


def own_threads():
    return [thread for thread in set(threading.enumerate()) - EARLIER if thread.name.startswith("tiledseg")]


class SlowLoad:
    """Kernels that take as long to load as numba may, in steps that hear of the end."""

    def __init__(self, monkeypatch, steps, seconds):
        self.ended, self.done = threading.Event(), 0
        choose = kernels.choose

        def slow(wanted="auto", check=lambda: None, entries=(), calm=None):
            try:
                for _ in range(steps):
                    time.sleep(seconds)
                    self.done += 1
                    check()
                return choose("plain")
            finally:
                self.ended.set()

        monkeypatch.setattr(segmentation.kernels, "choose", slow)


@pytest.mark.alone
@pytest.mark.parametrize("steps, seconds", [(1, 2.5), (200, 0.1)], ids=["one long step", "many steps"])
def test_a_run_that_fails_early_waits_for_what_is_being_loaded(tmp_path, monkeypatch, empty_raster, steps, seconds):
    load = SlowLoad(monkeypatch, steps, seconds)
    begun = time.monotonic()
    with pytest.raises(SegmentationError, match="no valid pixel"):
        run(empty_raster, tmp_path / "o.tif")
    assert load.ended.is_set()
    assert not own_threads()
    assert time.monotonic() - begun < 6


def test_a_run_whose_execution_cannot_be_had_waits_too(tmp_path, monkeypatch, raster):
    load = SlowLoad(monkeypatch, 1, 2.5)

    def refuse(*_):
        raise SegmentationError("There is none: use another.")

    monkeypatch.setattr(execution.Starting, "ready", refuse)
    with pytest.raises(SegmentationError, match="There is none"):
        run(raster, tmp_path / "o.tif")
    assert load.ended.is_set()
    assert not own_threads()


@pytest.mark.alone
def test_cancelling_while_kernels_load_takes_no_longer_than_a_step(tmp_path, monkeypatch, raster):
    load = SlowLoad(monkeypatch, 100, 0.3)
    log = Log()
    begun = time.monotonic()
    log.is_cancelled = lambda: time.monotonic() - begun > 1
    with pytest.raises(Cancelled):
        run(raster, tmp_path / "o.tif", log)
    assert time.monotonic() - begun < 3
    assert load.ended.is_set() and load.done < 10
    assert not own_threads()


def test_loading_that_was_given_up_begins_again_with_the_next_run(monkeypatch):
    monkeypatch.setattr(kernels, "_loaded", {})

    def stop():
        raise Cancelled

    if kernels.choose("auto")[0].NAME == "plain":
        pytest.skip("there are no compiled kernels here")
    monkeypatch.setattr(kernels, "_loaded", {})
    with pytest.raises(Cancelled):
        kernels.choose("compiled", stop)
    assert kernels.choose("compiled")[0].NAME == "compiled"


def _fail(*_):
    raise ValueError("a fault")


def _cancel(*_):
    raise Cancelled


@pytest.mark.parametrize("ending", [_fail, _cancel, lambda: None], ids=["fault", "cancelled", "success"])
@pytest.mark.parametrize("way", ["waited for", "beside", "stopped"])
def test_work_beside_a_stage_has_ended_when_control_returns(way, ending):
    progress = Progress(Feedback(), {"one": 1})
    progress.start("one", "")
    ended = threading.Event()

    def work(check, advance):
        try:
            time.sleep(1.5)
            check()
            if way == "waited for":
                ending()
            return 5
        finally:
            ended.set()

    try:
        if way == "waited for":
            assert progress.in_background(work) == 5
        elif way == "beside":
            with Background(work):
                ending()
        else:
            Background(work).stop()
    except (ValueError, Cancelled):
        pass
    assert ended.is_set()
    assert not own_threads()


def _long_step(common, item, check):
    common.wait(2.5)
    check()
    return item


def _fail_at_once(common, item, check):
    if item.tile_id == 2:
        raise SegmentationError("Tile 2 cannot be read: check it.")
    return _long_step(common, item, check)


@pytest.mark.parametrize("where", ["task", "consumer"])
def test_threads_of_tasks_have_ended_when_a_run_fails(where):
    runner = execution.create("threads", 2)
    begun = time.monotonic()
    with pytest.raises(SegmentationError):
        try:
            tasks = [Piece(1), Piece(2), Piece(3)] if where == "task" else [Piece(1), Piece(3), Piece(4)]
            event = threading.Event()
            if where == "consumer":
                tasks, event = [Piece(0), *tasks], _OnlyFirst()
            for _ in runner.run(_fail_at_once, event, tasks, lambda: None):
                raise SegmentationError("The disk is full: make room.")
        finally:
            runner.close()
            busy = [thread for thread in own_threads() if "tiledseg" in thread.name]
            for thread in busy:
                thread.join(0.2)
            assert not [thread for thread in busy if thread.is_alive()]
    assert time.monotonic() - begun < 10


class _OnlyFirst:
    """An event that is set for the one who asks first."""

    def __init__(self):
        self.asked = False

    def wait(self, seconds):
        if self.asked:
            time.sleep(seconds)
        self.asked = True


EARLY_FAILURE = """
import sys, threading, time
sys.path[:0] = {paths!r}
from tiledseg.tiledseg_plugin.engine import kernels
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from tiledseg.tiledseg_plugin.engine.segmentation import segment
try:
    segment(SegmentParameters(input=sys.argv[1], output=sys.argv[2]), Feedback())
except SegmentationError as error:
    print(error, [thread.name for thread in threading.enumerate() if thread.name.startswith("tiledseg")])
    sys.exit(1)
"""


def test_a_process_whose_run_fails_early_ends_with_1(tmp_path, empty_raster):
    import headless

    script = tmp_path / "fails.py"
    script.write_text(EARLY_FAILURE.format(paths=[str(headless.plugin_path())]))
    for _ in range(4):
        ended = subprocess.run(
            [sys.executable, str(script), empty_raster, str(tmp_path / "o.tif")], capture_output=True, text=True
        )
        assert ended.returncode == 1, ended.stderr
        assert "no valid pixel" in ended.stdout and ended.stdout.strip().endswith("[]")


class Reported(Feedback):
    """What was reported of each tile, in its order."""

    def __init__(self):
        self.states = {}

    def tile_started(self, tile_id):
        self.states.setdefault(tile_id, []).append("started")

    def tile_finished(self, tile_id):
        self.states.setdefault(tile_id, []).append("finished")


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_tile_is_reported_started_before_it_is_reported_finished_whatever_overtakes_it(workers):
    shuffle = random.Random(workers)
    for _ in range(50):
        tiles = list(range(1, 21))
        units = [tuple(map(Piece, tiles[first : first + 2])) for first in range(0, 20, 2)]
        reported = Reported()
        watch = TileWatch(reported, units, workers)
        watch.finished(tiles[:3])  # of a run that was interrupted
        rest = tiles[3:]
        shuffle.shuffle(rest)
        for tile_id in rest:
            watch.finished([tile_id])
        assert reported.states == {tile_id: ["started", "finished"] for tile_id in tiles}


def test_tiles_that_race_in_threads_are_reported_in_order():
    for _ in range(20):
        reported, tiles = Reported(), range(1, 200)
        watch = TileWatch(reported, [(Piece(tile_id),) for tile_id in tiles], 4)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(watch.finished, ([tile_id] for tile_id in random.sample(tiles, len(tiles)))))
        assert reported.states == {tile_id: ["started", "finished"] for tile_id in tiles}


def _uneven(common, item, check):
    time.sleep(random.Random(item.tile_id).random() * 0.01)
    return item


def test_tiles_of_a_run_whose_later_ones_are_quicker_are_reported_in_order():
    reported, pieces = Reported(), [Piece(tile_id) for tile_id in range(1, 120)]
    watch = TileWatch(reported, [(piece,) for piece in pieces], 4)
    runner = execution.create("threads", 4)
    for piece, _ in runner.run(_uneven, None, pieces, lambda: None):
        watch.finished([piece.tile_id])
    runner.close()
    assert reported.states == {piece.tile_id: ["started", "finished"] for piece in pieces}
