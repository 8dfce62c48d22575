# SPDX-License-Identifier: GPL-2.0-or-later
"""Marks of folders: those in use are left alone, abandoned ones are removed, with locks and without."""

import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rasters import run, write_patches
from resuming import SETTINGS, refuse_removal
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files.ownership import (
    OWNER,
    Occupied,
    Ownership,
    make_owned_folder,
    remove_abandoned,
)
from tiledseg.tiledseg_plugin.engine.files.work_folder import MANIFEST, WorkFolder
from time_limit import no_test_hangs  # noqa: F401


@pytest.fixture
def raster(tmp_path):
    return write_patches(tmp_path / "in.tif")


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


@pytest.fixture
def stubborn(monkeypatch):
    return refuse_removal(monkeypatch)


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


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() == 0, reason="POSIX permissions, which root does not have")
def test_what_is_read_only_is_removed(tmp_path):
    folder, mark = make_owned_folder(tmp_path, "tiledseg-")
    (folder / "deep").mkdir()
    (folder / "deep" / "a").write_text("x")
    (folder / "deep").chmod(0o500)
    mark.remove_folder()
    assert not folder.exists()
