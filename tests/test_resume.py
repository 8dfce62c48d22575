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
from tiledseg.tiledseg_plugin.engine import segmentation
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.execution import processes
from tiledseg.tiledseg_plugin.engine.files.ownership import (
    OWNER,
    Occupied,
    Ownership,
    make_owned_folder,
    remove_abandoned,
)
from tiledseg.tiledseg_plugin.engine.files.work_folder import MANIFEST, WorkFolder
from tiledseg.tiledseg_plugin.engine.rsgislib.run import _forget_after
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
@pytest.mark.parametrize("stage", ["labels", "graph", "merged", "survey", "manifest"])
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
    from tiledseg.tiledseg_plugin.engine.files import ownership

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
    from tiledseg.tiledseg_plugin.engine.files import ownership

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


THEIRS = (  # names that begin alike and are nobody's but the user's
    "tiledseg-2.0.zip", "tiledseg-notes.txt", "tiledseg-labels.raw", "tiledseg-labels-1.raw", "tiledseg-old.npz",
    "tiledseg-graph-0000001.npz.bak", "tiledseg-my-0000001.npz", "tiledseg-graph-0000001.tif", "tiledseg-code.zip",
    "tiledseg-code-abc.zip", "tiledseg-stage-final.bin", "tiledseg-stage-0123456789ab.bin", "tiledseg-stage2-notes.txt",
    "tiledseg-stage1-0000001.txt", "tiledseg-download.partial", "tiledseg-labels-0000009.raw.x.partial",
    "tiledseg-manifest.json.old", "tiledseg-manifest-2.json", "tiledseg-survey.csv", "tiledseg-ids.npz",
    "Tiledseg-labels-0000001.raw", "xtiledseg-labels-0000001.raw", "tiledseg-owner.txt", "tiledseg-.npz",
)  # fmt: skip
FOLDERS = ("tiledseg-graph-9000002.npz", "tiledseg-backup", "tiledseg-rsgislib")


@pytest.fixture
def crowded(work):
    """WORK_DIR full of files and folders of the user's; called, it says which of them are not there any more."""
    work.mkdir()
    inner = [f"{name}/{inner}" for name in FOLDERS for inner in ("notes.txt", "stage1-old/x.kea", "tiledseg-a.npz")]
    for name in (*THEIRS, *inner):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(name)
    (work / "tiledseg-sizes.npy").symlink_to(work / THEIRS[0])

    def missing():
        gone = [name for name in (*THEIRS, *inner) if not (work / name).is_file()]
        gone += [name for name in (*THEIRS, *inner) if name not in gone and (work / name).read_text() != name]
        return gone if (work / "tiledseg-sizes.npy").is_symlink() else [*gone, "tiledseg-sizes.npy"]

    return missing


@pytest.mark.parametrize("ending", ["success", "cancelled and resumed", "failure", "another version"])
def test_files_of_the_users_that_are_called_alike_stay(raster, work, tmp_path, crowded, ending, monkeypatch):
    if ending == "cancelled and resumed":
        with pytest.raises(Cancelled):
            go(raster, work, tmp_path, Log(cancel_at=45), execution="serial")
        assert labels(work) and crowded() == []
    if ending == "another version":
        (work / MANIFEST).write_text(json.dumps({"format": 1}))
        for name in ("tiledseg-labels-0000077.raw", "tiledseg-code-0123456789ab.zip"):
            (work / name).write_text("of an earlier run")
    if ending == "failure":
        with monkeypatch.context() as patch, pytest.raises(SegmentationError, match="broken"):
            patch.setattr(segmentation, "find_centres", _broken)
            go(raster, work, tmp_path)
        assert crowded() == []
    go(raster, work, tmp_path)
    assert crowded() == []
    ours = [path.name for path in work.iterdir() if path.name not in (*THEIRS, *FOLDERS, "tiledseg-sizes.npy")]
    assert not ours


def _broken(*_):
    raise SegmentationError("It is broken: mend it.")


def test_rsgislibs_files_are_cleared_by_their_names(work, crowded):
    from tiledseg.tiledseg_plugin.engine.rsgislib.tasks import SCRATCH, clear_scratch

    folder = WorkFolder(str(work), {"parameters": {}})
    patch = work / SCRATCH / "stage1-0000001"
    patch.mkdir()
    (patch / "in.kea").write_text("x")
    for name in ("tiledseg-stage2-0000001.npz", "tiledseg-stage2-0000001.raw", "tiledseg-stage3-0000001.npz"):
        (work / name).write_text("x")
    clear_scratch(folder)
    _forget_after(folder, 1)
    assert not patch.exists()
    assert crowded() == []
    assert not list(work.glob("tiledseg-stage[23]-0000001.*"))
    folder.close(finished=False)
    shutil.rmtree(work / SCRATCH)
    patch.mkdir(parents=True)
    clear_scratch(folder)
    assert not (work / SCRATCH).exists()


def test_every_name_that_a_run_gives_is_known(work):
    folder = WorkFolder(str(work), {"parameters": {}})
    with pytest.raises(ValueError, match="would not be known"):
        folder.save("something-new", array=np.zeros(1))
    folder.close(finished=True)
    assert not work.exists()


@pytest.fixture
def stubborn(monkeypatch):
    """Files that cannot be removed, by their names."""
    names, unlink = set(), os.unlink

    def refuse(path, *arguments, **options):
        if Path(path).name in names:
            raise PermissionError(13, "it is open elsewhere", str(path))
        unlink(path, *arguments, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    return names


@pytest.mark.parametrize("name", ["a.raw", "deep/b.raw", OWNER])
def test_a_folder_with_a_file_that_cannot_be_removed_keeps_its_mark_for_the_next_run(tmp_path, stubborn, name):
    folder, mark = make_owned_folder(tmp_path, "tiledseg-")
    (folder / "deep").mkdir()
    for one in ("a.raw", "deep/b.raw", "z.raw"):
        (folder / one).write_text("x")
    stubborn.add(Path(name).name)
    mark.remove_folder()
    left = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert left == sorted({name, OWNER})
    remove_abandoned(tmp_path, "tiledseg-")
    assert folder.exists()
    stubborn.clear()
    remove_abandoned(tmp_path, "tiledseg-")
    assert not folder.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX locks")
def test_a_mark_that_stays_is_nobodys_where_there_are_no_locks(tmp_path, stubborn, monkeypatch):
    from tiledseg.tiledseg_plugin.engine.files import ownership

    monkeypatch.setattr(ownership, "_lock", lambda file: None)
    folder, mark = make_owned_folder(tmp_path, "tiledseg-")
    (folder / "a.raw").write_text("x")
    stubborn.add("a.raw")
    mark.remove_folder()
    stubborn.clear()
    remove_abandoned(tmp_path, "tiledseg-")
    assert not folder.exists()


@pytest.mark.parametrize("what", ["tiledseg-survey.npz", MANIFEST, OWNER])
@pytest.mark.parametrize("finished", [True, False])
def test_a_work_folder_whose_files_cannot_be_removed_is_free_all_the_same(work, stubborn, what, finished):
    folder = WorkFolder(str(work), {"parameters": {}})
    folder.save("survey", array=np.zeros(1))
    stubborn.add(what)
    folder.close(finished)  # and does not hide the error that ended the run
    stubborn.clear()
    again = WorkFolder(str(work), {"parameters": {}})
    again.close(finished=True)
    assert not work.exists() or not list(work.iterdir())


def test_the_error_that_ended_a_run_is_told_though_tidying_fails(raster, work, tmp_path, stubborn, monkeypatch):
    monkeypatch.setattr(segmentation, "find_centres", _broken)
    stubborn.update({OWNER, MANIFEST, "tiledseg-survey.npz"})
    with pytest.raises(SegmentationError, match="It is broken"):
        go(raster, work, tmp_path)
    monkeypatch.undo()
    go(raster, work, tmp_path)


def test_a_file_of_an_earlier_run_that_cannot_be_removed_is_named(work, stubborn):
    work.mkdir()
    (work / "tiledseg-labels-0000001.raw").write_text("x")
    stubborn.add("tiledseg-labels-0000001.raw")
    with pytest.raises(
        SegmentationError, match="cannot be used, as .*tiledseg-labels-0000001.raw: it is open elsewhere"
    ):
        WorkFolder(str(work), {"parameters": {}})
    stubborn.clear()
    WorkFolder(str(work), {"parameters": {}}).close(finished=True)


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() == 0, reason="POSIX permissions, which root does not have")
def test_what_is_read_only_is_removed(tmp_path):
    folder, mark = make_owned_folder(tmp_path, "tiledseg-")
    (folder / "deep").mkdir()
    (folder / "deep" / "a").write_text("x")
    (folder / "deep").chmod(0o500)
    mark.remove_folder()
    assert not folder.exists()
