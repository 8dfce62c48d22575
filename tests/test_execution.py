# SPDX-License-Identifier: GPL-2.0-or-later
"""Executions: the same result with each, workers that die are noticed, nothing is left behind, nothing hangs."""

import gc
import multiprocessing.spawn
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import worker_tasks as tasks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from leftovers import own_workers, temporary_folders
from osgeo import gdal
from rasters import Log, read, run, write_raster
from tiledseg.tiledseg_plugin.engine import execution, machine
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.execution import Request, processes
from tiledseg.tiledseg_plugin.engine.execution.failures import Fault
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from tiledseg.tiledseg_plugin.engine.resources import choose_workers
from time_limit import no_test_hangs  # noqa: F401
from worker_processes import wait_until_gone, workers_of

GIGABYTE = 1_000_000_000
needs_pathos = pytest.mark.skipif(bool(processes.missing_package()), reason="pathos is not installed")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
pytestmark = [needs_pathos, linux]


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """A raster of 3 bands whose segments cross every tile border."""
    rng = np.random.default_rng(5)
    patches = np.kron(rng.integers(20, 230, (3, 24, 30)), np.ones((1, 11, 9), int))
    values = (patches + rng.integers(0, 25, patches.shape)).astype(np.uint8)
    return write_raster(tmp_path_factory.mktemp("noise") / "noise.tif", values, nodata=0)


@pytest.fixture
def started(noise):
    """Start an execution; it is closed at the end, and then none of its processes may be left."""
    everything = []

    def start(kind="processes", workers=2, feedback=None):
        starting = execution.start(Request(kind, workers, GIGABYTE // 4), describe(noise))
        everything.append(starting)
        return starting.ready(feedback or Log(), lambda: None)

    yield start
    for starting in everything:
        starting.close()
    assert not wait_until_gone(own_workers(), 1)


def items(count):
    return [tasks.Item(number) for number in range(1, count + 1)]


def results(runner, task, common, count=6, check_cancelled=lambda: None):
    return sorted(result for _, result in runner.run(task, common, items(count), check_cancelled))


@pytest.mark.parametrize("kind", ["processes", "threads", "serial"])
def test_every_item_is_processed_once(started, kind):
    assert results(started(kind), tasks.number, 100) == [101, 102, 103, 104, 105, 106]


@pytest.mark.parametrize("kind", ["processes", "threads", "serial"])
@pytest.mark.parametrize("killed", [False, True])
def test_what_is_put_into_the_queue_meanwhile_is_processed_too(started, tmp_path, kind, killed):
    """As groups of tiles are, each of which waits for others: also where a worker dies over one of these."""
    marker = tmp_path / "marker"
    if killed and kind == "processes":
        marker.touch()
    waiting, finished = deque(items(4)), []
    for item, result in started(kind).run(tasks.die_once, str(marker), waiting, lambda: None):
        assert item.tile_id == result
        finished.append(result)
        if set(finished) >= {1, 2, 3, 4} and result <= 4:
            waiting.extendleft([tasks.Item(10), tasks.Item(11)])
        if result == 11:
            waiting.append(tasks.Item(12))
    assert sorted(finished) == [1, 2, 3, 4, 10, 11, 12]
    assert finished.index(12) > finished.index(11) > finished.index(3)


def test_executions_give_identical_segments_on_a_real_raster(shared, tmp_path):
    path = str(tmp_path / "part.tif")
    source = str(shared / "data" / "naip_maryland_4band_uint8.tif")
    gdal.Translate(path, source, srcWin=[300, 200, 500, 400], creationOptions=["ALPHA=NO"])
    ways = [("serial", 1), ("threads", 3), ("processes", 1), ("processes", 2), ("auto", 0)]
    found = [
        run(path, tmp_path / "out.tif", execution=kind, workers=workers, tile_width=150, tile_height=95)[0]
        for kind, workers in ways
    ]
    for ids in found[1:]:
        assert np.array_equal(ids, found[0])


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(16, 90),
    st.integers(16, 90),
    st.sampled_from(["serial", "threads", "processes"]),
    st.integers(1, 3),
    st.integers(0, 2**32 - 1),
)
def test_no_execution_shows_in_the_result(tmp_path_factory, width, height, kind, workers, seed):
    folder = tmp_path_factory.mktemp("any")
    values = np.random.default_rng(seed).integers(0, 8, (2, 70, 90)).astype(np.uint16) * 30
    path = write_raster(folder / "in.tif", values, nodata=0)
    common = {"num_clusters": 5, "min_pixels": 9, "sampling": 3, "kernels": "plain"}
    one, _ = run(path, folder / "one.tif", tile_width=999, tile_height=999, execution="serial", **common)
    other, _ = run(
        path, folder / "other.tif", tile_width=width, tile_height=height, execution=kind, workers=workers, **common
    )
    assert np.array_equal(one, other)


def test_workers_are_other_processes_and_as_many_as_asked_for(started, tmp_path):
    pids = set(results(started(workers=2), tasks.meet, str(tmp_path)))
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_a_killed_worker_is_replaced_and_its_item_tried_again(started, tmp_path):
    marker = tmp_path / "marker"
    marker.touch()
    runner = started()
    assert results(runner, tasks.die_once, str(marker)) == [1, 2, 3, 4, 5, 6]
    assert "Tile 3 is tried again with 1 worker" in runner.notes[0]
    assert "SIGKILL" in runner.notes[0]


@pytest.mark.parametrize(
    "task, how",
    [
        (tasks.be_killed, "was ended by signal 9 (SIGKILL)"),
        (tasks.exit_at_once, "ended with exit code 3 (library not found)"),
        (tasks.find_no_memory, "not enough memory"),
    ],
)
def test_the_second_death_over_a_tile_ends_the_run_with_what_to_do(started, task, how):
    runner = started()
    with pytest.raises(SegmentationError) as error:
        results(runner, task, 2)
    for part in ("Tile 2", how, "TILE_WIDTH", "WORKERS"):
        assert part in str(error.value)


@pytest.mark.skipif(not machine._trim, reason="only glibc keeps what is freed, and can be told not to")
def test_what_a_task_has_freed_is_not_held_beside_what_the_next_one_needs(started):
    runner = started(workers=1)
    (_, left), (before, _), *_ = results(runner, tasks.leave_scattered, 300_000_000)
    assert left > 300_000_000
    assert before < left - 200_000_000


@pytest.mark.skipif(not machine._set_allocation, reason="only glibc can be told to return what is freed")
def test_a_worker_returns_large_arrays_as_soon_as_they_are_freed(started):
    size = machine.ALONE_BYTES + 1000
    assert max(results(started(workers=1), tasks.free_between_others, size)) < size / 2


@pytest.mark.alone
def test_a_death_is_noticed_within_a_second(started):
    runner = started(workers=1)
    results(runner, tasks.number, 0)
    begun = time.monotonic()
    moments = []

    def check():
        if runner.notes and not moments:
            moments.append(time.monotonic() - begun)

    with pytest.raises(SegmentationError):
        results(runner, tasks.be_killed, 1, check_cancelled=check)
    assert moments[0] < 1


def test_workers_killed_while_idle_are_replaced(started):
    runner = started()
    results(runner, tasks.number, 0)
    for pid in own_workers():
        os.kill(pid, 9)
    assert results(runner, tasks.number, 0) == [1, 2, 3, 4, 5, 6]


def test_a_worker_that_shows_no_sign_of_life_is_given_up(started, monkeypatch):
    monkeypatch.setattr(processes, "SILENCE_SECONDS", 3.0)
    runner = started()
    with pytest.raises(SegmentationError, match="Tile 4 .* gave no sign of life for 3 s"):
        results(runner, tasks.stop_answering, 4)


def test_errors_of_a_task_arrive_as_what_they_are(started):
    with pytest.raises(SegmentationError, match="^Band 1 cannot be read: check it.$"):
        results(started(), tasks.refuse, None, 1)
    with pytest.raises(Fault, match="Tile 1: .*TwoArguments"):
        results(started(), tasks.fail_oddly, None, 1)


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["processes", "threads", "serial"])
def test_cancelling_does_not_wait_for_a_long_step(started, kind):
    runner = started(kind)
    begun = time.monotonic()

    def check():
        if time.monotonic() - begun > 0.5:
            raise Cancelled()

    with pytest.raises(Cancelled):
        results(runner, tasks.take_long, 5.0, check_cancelled=check)
    assert time.monotonic() - begun < 2.5
    assert not wait_until_gone(own_workers(), 0.5)


@pytest.mark.parametrize(
    "kind, percent",
    [
        *(("processes", percent) for percent in (0, 30, 72, 84, 95)),
        *(("threads", percent) for percent in (12, 60, 80, 95)),
        *(("serial", percent) for percent in (0, 30, 60, 72, 84)),
    ],
)
def test_cancelling_at_any_stage_leaves_nothing(noise, tmp_path, monkeypatch, kind, percent):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    output = tmp_path / "folder" / "out.tif"
    output.parent.mkdir()
    log = Log(cancel_at=percent)
    with pytest.raises(Cancelled):
        run(noise, output, execution=kind, workers=2, tile_width=60, tile_height=60, feedback=log)
    assert not own_workers()
    assert not list(output.parent.iterdir())
    assert not temporary_folders()


def test_settings_of_the_process_are_left_as_they_were(started):
    import multiprocess.spawn

    environment = dict(os.environ)
    before = multiprocessing.spawn.get_executable(), multiprocess.spawn.get_executable()
    methods = multiprocessing.get_start_method(True), multiprocess.get_start_method(True)
    path = list(sys.path)
    results(started(), tasks.number, 0)
    assert (multiprocessing.spawn.get_executable(), multiprocess.spawn.get_executable()) == before
    assert (multiprocessing.get_start_method(True), multiprocess.get_start_method(True)) == methods
    assert dict(os.environ) == environment
    assert sys.path == path


def test_libraries_in_workers_use_one_thread(started):
    answers = [answer for _, answer in started().run(tasks.environment, ["OMP_NUM_THREADS"], items(1), lambda: None)]
    assert answers == [{"OMP_NUM_THREADS": "1"}]


def test_workers_do_not_try_the_temporary_folder_with_files(started, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert results(started(), tasks.temporary_folder, None, 1) == [str(tmp_path)]


def test_threads_and_open_files_of_pools_go_with_them(noise):
    def once():
        starting = execution.start(Request("processes", 2, GIGABYTE // 4), describe(noise))
        results(starting.ready(Log(), lambda: None), tasks.number, 0)
        starting.close()
        time.sleep(0.3)
        gc.collect()

    once()
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(4):
        once()
    assert len(os.listdir("/proc/self/fd")) <= files + 2
    assert threading.active_count() <= threads + 2


def test_without_pathos_auto_uses_threads_and_does_not_warn(noise, monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "missing_package", lambda: "pathos")
    monkeypatch.setattr(execution, "WORTH_PROCESSES", 1)
    log = Log()
    log.warning = lambda text: pytest.fail(text)
    run(noise, tmp_path / "out.tif", execution="auto", workers=2, feedback=log)
    assert any("pathos" in line and "EXECUTION=threads is used" in line for line in log.lines)
    with pytest.raises(SegmentationError, match="EXECUTION=processes cannot be used here.*pathos"):
        run(noise, tmp_path / "out.tif", execution="processes", workers=2)


def test_an_interpreter_that_does_not_work_is_named_in_the_warning(noise, monkeypatch, tmp_path):
    monkeypatch.setenv("TILEDSEG_PYTHON", str(tmp_path / "python3"))
    monkeypatch.setattr(execution, "WORTH_PROCESSES", 1)
    log = Log()
    ids, _ = run(noise, tmp_path / "out.tif", execution="auto", workers=2, feedback=log)
    assert any(str(tmp_path / "python3") in line and "does not exist" in line for line in log.lines)
    monkeypatch.delenv("TILEDSEG_PYTHON")
    assert np.array_equal(ids, run(noise, tmp_path / "out.tif", execution="processes", workers=2)[0])


def test_workers_end_with_a_parent_that_is_killed(noise, tmp_path):
    script = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "import worker_tasks as tasks\n"
        "from tiledseg.tiledseg_plugin.engine import execution, progress\n"
        "from tiledseg.tiledseg_plugin.engine.files import raster\n"
        f"starting = execution.start(execution.Request('processes', 2, 1), raster.describe({noise!r}))\n"
        "runner = starting.ready(progress.Feedback(), lambda: None)\n"
        "print('ready', flush=True)\n"
        "list(runner.run(tasks.take_long, 60, [tasks.Item(1), tasks.Item(2)], lambda: None))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=tmp_path)
    assert parent.stdout.readline() == b"ready\n"
    time.sleep(0.5)
    workers = workers_of(parent.pid)
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    assert not wait_until_gone(workers, 3)


def test_loading_the_plugin_starts_no_process():
    script = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "import tiledseg, tiledseg.tiledseg_plugin.engine.execution\n"
        "print(sorted({'pathos', 'multiprocess', 'numba', 'osgeo', 'subprocess'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert not {"pathos", "multiprocess", "numba"} & set(eval(ended.stdout))  # noqa: S307


@pytest.mark.parametrize(
    "asked, parts, tile, cores, free, expected",
    [
        (0, 100, 0.5, 8, 100, 8),
        (0, 3, 0.5, 8, 100, 3),
        (0, 100, 1.0, 8, 5, 4),
        (0, 100, 9.0, 8, 5, 1),
        (6, 100, 1.0, 8, 5, 6),
    ],
)
def test_workers_follow_from_cores_tiles_and_free_memory(asked, parts, tile, cores, free, expected):
    chosen = choose_workers(asked, parts, int(tile * GIGABYTE), cores, int(free * GIGABYTE))
    assert chosen.count == expected
    assert ("lower" in chosen.warning) == (expected * tile > 0.8 * free)


def test_the_log_says_how_many_workers_and_why(noise, tmp_path):
    log = Log()
    run(noise, tmp_path / "out.tif", execution="threads", feedback=log)
    assert any(re.search(r"Execution: threads.* cores?\b.*memory free", line) for line in log.lines)


def test_a_run_in_a_thread_works_as_well(noise, tmp_path):
    """As in a QgsTask."""
    outcome = []
    thread = threading.Thread(
        target=lambda: outcome.append(run(noise, tmp_path / "out.tif", execution="processes", workers=2)[0])
    )
    thread.start()
    thread.join(60)
    assert np.array_equal(outcome[0], run(noise, tmp_path / "out.tif", execution="serial")[0])
    assert read(tmp_path / "out.tif") is not None
    assert not list(Path(tmp_path).glob(".tiledseg-*"))
