# SPDX-License-Identifier: GPL-2.0-or-later
"""Somebody removes the staging folders while files get their places: each name has the whole old or the new file."""

import errno
import os
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from rasters import write_raster
from replacing import CASES, GROUPS, STEPS, Killed, Steps, content, prepare, publish_new, states
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files import earlier_files, moves
from tiledseg.tiledseg_plugin.engine.files.publish import recover
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from time_limit import no_test_hangs  # noqa: F401

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows replaces no file that is open")


class Look:
    """Called before each step that changes a folder with its number; what is done at a step is not counted."""

    def __init__(self, monkeypatch, links=True):
        self.count, self.do, self._busy = 0, lambda number: None, False
        for name in STEPS:
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))
        monkeypatch.setattr(os, "fsync", self._counted(lambda file: None))  # which takes most of the time
        if not links:
            monkeypatch.setattr(os, "link", self._counted(self._refuse_links))

    def start(self, do):
        self.count, self.do = 0, do

    def _counted(self, function):
        def step(*arguments, **options):
            if not self._busy:
                self.count += 1
                self._busy = True
                try:
                    self.do(self.count)
                finally:
                    self._busy = False
            return function(*arguments, **options)

        return step

    @staticmethod
    def _refuse_links(source, target, **options):
        """As FAT does, and some network drives."""
        raise PermissionError(errno.EPERM, "Operation not permitted", str(source))


def digest_now(path):
    return content(path.parent).get(path.name)


def remove_staging(folder):
    """All staging folders, once what is to get its place has been written into them."""
    found = list(folder.rglob(".tiledseg-*"))
    if all(len(list(path.iterdir())) > 1 for path in found):  # not the mark alone
        for path in found:
            shutil.rmtree(path, ignore_errors=True)


def steps_of(look, folder, names):
    """How many steps there are until all files are in their places."""
    prepare(folder, names)
    look.start(lambda number: None)
    publish_new(folder, names)
    return look.count


def removals(look, tmp_path, names):
    """Removes the staging folders at one step after the other; yields its number, the folder, and what is said then."""
    for number in range(1, steps_of(look, tmp_path / "dry", names) + 1, len(names)):
        folder = tmp_path / f"removed-{number}"
        prepare(folder, names)
        look.start(lambda at, number=number, folder=folder: at == number and remove_staging(folder))
        said = ""
        try:
            publish_new(folder, names)
        except SegmentationError as error:
            said = str(error)
        look.start(lambda at: None)
        yield number, folder, said


@pytest.mark.parametrize("case", CASES)
def test_no_name_is_ever_without_a_whole_file(tmp_path, monkeypatch, case):
    names, look = CASES[case], Look(monkeypatch)
    before, after = states(tmp_path, names)
    both, folder, seen = sorted(before.keys() & after.keys()), tmp_path / "here", set()

    def every_name_has_one(number):
        now = {name: digest_now(folder / name) for name in both}
        assert [name for name in both if now[name] not in (before[name], after[name])] == []
        seen.update(name for name in both if now[name] == after[name] != before[name])

    prepare(folder, names)
    look.start(every_name_has_one)
    publish_new(folder, names)
    every_name_has_one(0)
    assert content(folder) == after and seen == {name for name in both if before[name] != after[name]}


@posix
@pytest.mark.parametrize("links", [True, False], ids=["", "no hard links"])
@pytest.mark.parametrize("case", CASES)
def test_whenever_the_folders_are_removed_everything_is_as_it_was_or_new(tmp_path, monkeypatch, case, links):
    names, look = CASES[case], Look(monkeypatch, links)
    before, after = states(tmp_path, names)
    seen = set()
    for number, folder, said in removals(look, tmp_path, names):
        now = content(folder)
        assert now == (before if said else after), (number, said)
        assert "with it" not in said and not list(folder.rglob(".tiledseg-*"))
        seen.add(bool(said))
    assert seen == {True, False}


@pytest.fixture
def on_win32(monkeypatch):
    for module in (earlier_files, moves):
        monkeypatch.setattr(module, "sys", types.SimpleNamespace(platform="win32"))


@pytest.mark.parametrize("links", [True, False], ids=["", "no hard links"])
@pytest.mark.parametrize("case", CASES)
def test_where_no_file_may_be_held_open_what_is_lost_is_named(tmp_path, monkeypatch, on_win32, case, links):
    """Only side files are where there are hard links, and the last output itself never is."""
    names, look = CASES[case], Look(monkeypatch, links)
    before, after = states(tmp_path, names)
    lost = set()
    for number, folder, said in removals(look, tmp_path, names):
        now = content(folder)
        gone = {name for name in before if now.get(name) != before[name]} if said else set()
        assert all(str(folder / name) in said for name in gone), (number, said)
        assert {now.get(name) for name in gone} <= {None, *after.values()}
        lost |= gone
    assert names[-1] not in lost or not links


@pytest.mark.parametrize("links", [True, False], ids=["", "no hard links"])
def test_segments_whose_table_gets_columns_are_never_gone(tmp_path, monkeypatch, links):
    """They are the user's own, and no run could make them again."""
    ids = np.kron(np.arange(1, 13, dtype=np.uint32).reshape(1, 3, 4), np.ones((1, 4, 5), np.uint32))
    segments = Path(write_raster(tmp_path / "s.img", ids, 0, driver="HFA"))
    values = write_raster(tmp_path / "v.tif", ids.astype(np.uint16))
    before, look, removed, gone = segments.read_bytes(), Look(monkeypatch, links), [], []
    parameters = StatisticsParameters(
        str(segments), values, str(tmp_path / "t.csv"), statistics=("sum",), update_rat=True, execution="serial"
    )

    def remove_when_it_is_gone_or_about_to_be_replaced(number):
        there = segments.exists() and segments.read_bytes() == before
        gone.append(not there)
        second = list(tmp_path.glob(f".tiledseg-*/{moves.REPLACED}/s.img"))
        if second and not removed:
            removed.extend(second)
            remove_staging(tmp_path)

    look.start(remove_when_it_is_gone_or_about_to_be_replaced)
    with pytest.raises(SegmentationError, match="was removed while the run was using it; run it again"):
        segment_statistics(parameters, Feedback())
    look.start(lambda number: None)
    assert removed and segments.read_bytes() == before
    if links:
        assert not any(gone)
    assert {path.name for path in tmp_path.iterdir()} - {"t.csv", "t.csvt"} == {"s.img", "v.tif"}


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_may_be_moved_but_not_replaced_is_moved(tmp_path, monkeypatch, on_win32, case):
    """Of one that a program has open with leave to delete it."""
    names, folder, replace, refused = CASES[case], tmp_path / "here", os.replace, []
    _, after = states(tmp_path, names)
    prepare(folder, names)
    files = {str(folder / file) for name in names for file in GROUPS[name][0]}

    def refuse_to_replace(source, target):
        if str(target) in files and os.path.exists(target) and str(source) != str(target):
            refused.append(target)
            raise PermissionError(errno.EACCES, "it is open in another program", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse_to_replace)
    publish_new(folder, names)
    assert refused and content(folder) == after and not list(folder.rglob(".tiledseg-*"))


@posix
def test_where_open_files_cannot_be_replaced_they_are_let_go(tmp_path, monkeypatch):
    """As on some network drives; holding them is for a rare case, and must not be in the way of all others."""
    names, folder = CASES["several"], tmp_path / "here"
    _, after = states(tmp_path, names)
    prepare(folder, names)
    open_now, replace, refused = set(), os.replace, []

    def hold(held, path):
        open_now.add(str(path))
        return original_hold(held, path)

    def release(held):
        open_now.clear()
        return original_release(held)

    def refuse_open(source, target):
        if str(target) in open_now:
            refused.append(target)
            raise OSError(errno.EBUSY, "it is open here", str(target))
        replace(source, target)

    original_hold, original_release = earlier_files.HeldOpen.hold, earlier_files.HeldOpen.release
    monkeypatch.setattr(earlier_files.HeldOpen, "hold", hold)
    monkeypatch.setattr(earlier_files.HeldOpen, "release", release)
    monkeypatch.setattr(os, "replace", refuse_open)
    publish_new(folder, names)
    assert refused and content(folder) == after and not list(folder.rglob(".tiledseg-*"))


def test_a_folder_that_is_removed_while_a_killed_run_is_finished(tmp_path, monkeypatch):
    names, steps = CASES["one"], Steps(monkeypatch)
    before, after = states(tmp_path, names)
    both = sorted(before.keys() & after.keys())
    for number in range(1, 60):
        folder = tmp_path / f"removed-{number}"
        prepare(folder, names)
        steps.at(14, Killed)
        with pytest.raises(Killed):
            publish_new(folder, names)
        steps.at(None, None)
        assert list(folder.rglob(moves.JOURNAL))
        with monkeypatch.context() as patch:
            look = Look(patch)
            look.start(lambda at, number=number, folder=folder: at == number and remove_staging(folder))
            recover(folder)
        now = content(folder)
        assert [name for name in both if now.get(name) not in (before[name], after[name])] == []
        assert now in (before, after)
        if look.count < number:
            break
    assert number > 5


def test_an_earlier_file_is_as_it_was_when_it_is_written_again(tmp_path):
    path, held = tmp_path / "a.tif", earlier_files.HeldOpen()
    path.write_bytes(b"x" * 3000)
    path.chmod(0o640)
    os.utime(path, ns=(10**18, 10**18))
    held.hold(path)
    assert not held.restore(path) and not held.restore(tmp_path / "b.tif")
    path.unlink()
    assert held.restore(path) is (sys.platform != "win32")
    status = path.stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o640, 10**18) and path.read_bytes() == b"x" * 3000
    held.release()
    assert not held and [entry.name for entry in tmp_path.iterdir()] == ["a.tif"]


@posix
def test_on_a_full_disk_what_cannot_be_written_again_is_named(tmp_path, monkeypatch):
    names, folder = CASES["several"], tmp_path / "here"
    before, _ = states(tmp_path, names)
    prepare(folder, names)
    replace = os.replace

    def remove_all(source, target):
        replace(source, target)
        if Path(target) == folder / "a_report.json":
            remove_staging(folder)
            monkeypatch.setattr(earlier_files.shutil, "copyfileobj", full)

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", remove_all)
    with pytest.raises(SegmentationError, match="a_report.json.* with it; run it again"):
        publish_new(folder, names)
    now = content(folder)
    assert {name for name in before if now.get(name) != before[name]} <= {"a_report.json", "a.tif.aux.xml"}


def test_links_in_the_place_of_files_are_replaced_and_put_back_as_links(tmp_path, monkeypatch):
    """What they lead to is never touched."""
    names, folder, replace = CASES["one"], tmp_path / "here", os.replace
    prepare(folder, names)
    (tmp_path / "far.tif").write_text("far")
    (folder / "a.tif").unlink()
    (folder / "a.tif").symlink_to(tmp_path / "far.tif")

    def refuse_output(source, target):
        if Path(target) == folder / "a.tif" and moves.REPLACED not in str(source):
            raise PermissionError(errno.EACCES, "it is open elsewhere", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse_output)
    with pytest.raises(SegmentationError, match="is kept as"):
        publish_new(folder, names)
    assert os.readlink(folder / "a.tif") == str(tmp_path / "far.tif")
    monkeypatch.undo()
    publish_new(folder, names)
    assert not (folder / "a.tif").is_symlink() and (tmp_path / "far.tif").read_text() == "far"
    assert GROUPS["a.tif"][1][0] == "a.tif" and (folder / "a.tif").read_text().startswith("new")
