# SPDX-License-Identifier: GPL-2.0-or-later
"""WORK_DIR: an interrupted run goes on; other parameters, a changed input and damaged files are noticed."""

import json
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import stress
from rasters import Log, run, write_raster
from tiledseg.tiledseg_plugin.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.execution import processes
from tiledseg.tiledseg_plugin.ownership import OWNER, Occupied, Ownership, make_owned_folder, remove_abandoned
from tiledseg.tiledseg_plugin.work_folder import MANIFEST, WorkFolder
from time_limit import no_test_hangs  # noqa: F401

SETTINGS = {"num_clusters": 8, "min_pixels": 12, "sampling": 2, "tile_width": 40, "tile_height": 30, "kernels": "plain"}
TILES = 12


@pytest.fixture
def raster(tmp_path):
    rng = np.random.default_rng(3)
    patches = np.kron(rng.integers(20, 230, (3, 9, 16)), np.ones((1, 10, 10), int))
    return write_raster(tmp_path / "in.tif", (patches + rng.integers(0, 20, patches.shape)).astype(np.uint8))


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


@pytest.fixture
def interrupted(raster, work, tmp_path):
    """A run that was cancelled when some tiles were done; gives what an undisturbed one makes."""
    ids, _ = run(raster, tmp_path / "expected.tif", **{**SETTINGS, "tile_width": 999})
    with pytest.raises(Cancelled):
        go(raster, work, tmp_path, Log(cancel_at=45), execution="serial")
    assert 0 < len(labels(work)) < TILES
    return ids


def go(raster, work, tmp_path, log=None, **changes):
    return run(raster, tmp_path / "out.tif", work_dir=str(work), feedback=log, **{**SETTINGS, **changes})[0]


def labels(work):
    return sorted(work.glob("tiledseg-labels-*.raw"))


def told(log, text):
    return [line for line in log.lines if text in line]


def test_finished_tiles_and_statistics_are_not_done_again(raster, work, tmp_path, interrupted):
    before = {path: path.stat().st_mtime_ns for path in labels(work)}
    log = Log(cancel_at=69)
    with pytest.raises(Cancelled):
        go(raster, work, tmp_path, log)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert told(log, f"{len(before)} of {TILES} tiles are finished already")
    assert told(log, "Statistics are taken from the interrupted run")
    assert np.array_equal(go(raster, work, tmp_path), interrupted)


@pytest.mark.parametrize("kind", ["serial", "threads", "processes"])
def test_the_result_is_that_of_an_undisturbed_run(raster, work, tmp_path, interrupted, kind):
    if kind == "processes" and processes.missing_package():
        pytest.skip("pathos is not installed")
    assert np.array_equal(go(raster, work, tmp_path, execution=kind, workers=3), interrupted)
    assert not list(work.iterdir())


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"min_pixels": 50}, "MIN_PIXELS: 12 there, 50 now"),
        ({"distance_threshold": None}, "DISTANCE_THRESHOLD: 100.0 there, none now"),
        ({"bands": (1, 3), "num_clusters": 9}, "NUM_CLUSTERS: 8 there, 9 now"),
        ({"tile_width": 41}, "TILE_WIDTH: 40 there, 41 now"),
        ({"stretch": False}, "STRETCH: True there, False now"),
    ],
)
def test_other_parameters_are_refused_by_name(raster, work, tmp_path, interrupted, changes, said):
    files = sorted(work.iterdir())
    with pytest.raises(SegmentationError) as error:
        go(raster, work, tmp_path, **changes)
    assert said in str(error.value)
    assert str(work) in str(error.value)
    assert sorted(work.iterdir()) == files


def test_a_changed_input_is_refused(raster, work, tmp_path, interrupted):
    os.utime(raster, ns=(0, 1_000_000_000))
    with pytest.raises(SegmentationError, match="earlier state of its input .*in.tif: .* bytes of .* there, .*1970"):
        go(raster, work, tmp_path)


def test_statistics_that_qgis_writes_beside_the_input_are_no_change(raster, work, tmp_path, interrupted):
    Path(raster + ".aux.xml").write_text("<PAMDataset></PAMDataset>")
    assert np.array_equal(go(raster, work, tmp_path), interrupted)


@pytest.mark.parametrize("damage", ["truncated", "zeroed", "flipped", "empty", "missing"])
@pytest.mark.parametrize("stage", ["labels", "graph", "moments", "survey", "manifest"])
def test_damaged_files_are_noticed_and_made_again(raster, work, tmp_path, interrupted, stage, damage):
    path = sorted(work.glob(f"tiledseg-{stage}*"))[0]
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    else:
        middle = len(content) // 2
        content[middle] ^= 0xFF
        harm = {"truncated": content[:middle], "zeroed": bytes(len(content)), "flipped": content, "empty": b""}
        path.write_bytes(harm[damage])
    if stage == "manifest" and damage == "flipped":
        path.write_text("{" + path.read_text("latin-1"))
    assert np.array_equal(go(raster, work, tmp_path), interrupted)


def test_nothing_else_in_the_folder_is_touched(raster, work, tmp_path):
    work.mkdir()
    theirs = ["notes.txt", "table.npz", "image.raw", "graph-0000001.npz", "old.partial", "archive.zip"]
    for name in theirs:
        (work / name).write_text(name)
    go(raster, work, tmp_path)
    assert sorted(path.name for path in work.iterdir()) == sorted(theirs)
    assert all((work / name).read_text() == name for name in theirs)


def test_files_of_a_killed_run_that_were_half_written_are_removed(raster, work, tmp_path, interrupted):
    half = work / "tiledseg-labels-0000009.raw.4711.partial"
    half.write_bytes(b"half")
    with pytest.raises(Cancelled):
        go(raster, work, tmp_path, Log(cancel_at=60))
    assert not half.exists()


def test_two_runs_do_not_share_a_folder(work):
    one = WorkFolder(str(work), {"parameters": {}})
    with pytest.raises(SegmentationError, match=f"in use by the run of process {os.getpid()} on"):
        WorkFolder(str(work), {"parameters": {}})
    one.close(finished=False)
    WorkFolder(str(work), {"parameters": {}}).close(finished=True)
    assert not (work / MANIFEST).exists()


def test_the_mark_of_a_dead_run_is_taken_over(work):
    work.mkdir()
    (work / OWNER).write_text(json.dumps({"pid": 2**22 + 1, "host": "elsewhere"}))
    Ownership(work).release()
    assert not (work / OWNER).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX locks")
def test_without_locks_in_the_file_system_the_process_id_decides(work, monkeypatch):
    from tiledseg.tiledseg_plugin import ownership

    monkeypatch.setattr(ownership, "_lock", lambda file: None)
    work.mkdir()
    owner = {"pid": os.getppid(), "host": ownership.socket.gethostname()}
    (work / OWNER).write_text(json.dumps(owner))
    with pytest.raises(Occupied):
        Ownership(work)
    (work / OWNER).write_text(json.dumps({**owner, "pid": 2**22 + 1}))
    Ownership(work).release()
    (work / OWNER).write_text(json.dumps({**owner, "host": "another machine"}))
    with pytest.raises(Occupied):
        Ownership(work)


def test_what_killed_runs_left_is_cleaned_up_by_the_next_one(raster, tmp_path, monkeypatch):
    temporary, outputs = tmp_path / "tmp", tmp_path / "outputs"
    temporary.mkdir()
    outputs.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    left = [temporary / "tiledseg-abcd1234", outputs / ".tiledseg-abcd1234"]
    running = temporary / "tiledseg-running1"
    others = [temporary / "tiledseg-my-own-data", outputs / ".tiledseg-x"]
    for folder in [*left, running, *others]:
        folder.mkdir()
        (folder / "file.raw").write_text("x")
    for folder in [*left, *others]:
        (folder / OWNER).write_text(json.dumps({"pid": 1, "host": "gone"}))
    mark = Ownership(running)
    run(raster, outputs / "out.tif", **SETTINGS)
    mark.release()
    assert [folder.exists() for folder in left] == [False, False]
    assert running.exists()
    assert all(folder.exists() for folder in others)


def test_a_run_that_is_killed_while_it_tidies_up_leaves_its_mark_to_the_last(tmp_path, monkeypatch):
    folder, seen, release = tmp_path / "tiledseg-abcd1234", [], Ownership.release

    def look_and_release(ownership):
        seen.append([path.name for path in folder.iterdir()])
        release(ownership)

    monkeypatch.setattr(Ownership, "release", look_and_release)
    (folder / "more").mkdir(parents=True)
    for name in ("a.raw", "z.raw", "more/b.raw"):
        (folder / name).write_text("x")
    Ownership(folder).remove_folder()
    assert seen == [[OWNER]]
    assert not folder.exists()


def test_a_folder_that_another_run_takes_away_while_it_is_made_is_made_again(tmp_path, monkeypatch):
    made = []
    make = tempfile.mkdtemp

    def make_and_lose(*arguments, **options):
        made.append(Path(make(*arguments, **options)))
        if len(made) < 3:
            remove_abandoned(tmp_path, "tiledseg-")
        return str(made[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", make_and_lose)
    folder, mark = make_owned_folder(tmp_path, "tiledseg-")
    assert [one.exists() for one in made] == [False, False, True]
    remove_abandoned(tmp_path, "tiledseg-")
    assert folder.exists()
    mark.remove_folder()
    assert not list(tmp_path.iterdir())


def test_many_runs_make_folders_and_look_for_left_ones_at_once(tmp_path):
    def go(_):
        for _ in range(40):
            folder, mark = make_owned_folder(tmp_path, "tiledseg-")
            (folder / "file").write_text("x")
            remove_abandoned(tmp_path, "tiledseg-")
            assert (folder / "file").exists()
            mark.remove_folder()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(go, range(4)))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX locks")
def test_without_locks_a_mark_that_is_just_being_written_is_left_alone(tmp_path, monkeypatch):
    from tiledseg.tiledseg_plugin import ownership

    monkeypatch.setattr(ownership, "_lock", lambda file: None)
    fresh, old = tmp_path / "tiledseg-fresh123", tmp_path / "tiledseg-older123"
    for folder in (fresh, old):
        folder.mkdir()
        (folder / OWNER).touch()
    os.utime(old / OWNER, (time.time() - 1000,) * 2)
    remove_abandoned(tmp_path, "tiledseg-")
    assert fresh.exists()
    assert not old.exists()


def test_a_folder_that_cannot_be_used_is_named(raster, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SegmentationError, match="cannot be used"):
        go(raster, tmp_path / "file" / "work", tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
@pytest.mark.skipif(bool(processes.missing_package()), reason="pathos is not installed")
def test_kills_at_random_moments_do_no_harm(tmp_path):
    """The short form of `make stress`."""
    runs = stress.Stress(tmp_path, seed=int(time.time()) // 86400)
    for number in range(10):
        runs.once(number)
    shutil.rmtree(runs.temporary)
