# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing is lost while outputs are replaced: kills at every step, files that are held open, power cuts."""

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import headless
import numpy as np
import pytest
from rasters import run, write_raster
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files import journal, publish
from tiledseg.tiledseg_plugin.engine.files.ownership import OWNER
from tiledseg.tiledseg_plugin.engine.files.publish import (
    attributes_path,
    publishing,
    publishing_together,
    recover,
    staging,
)
from time_limit import no_test_hangs  # noqa: F401

STEPS = ("replace", "rename", "unlink", "rmdir", "mkdir", "fsync")
# output: (files of the earlier one, files of the new one)
GROUPS = {
    "a.tif": (
        ["a.tif", "a.tif.aux.xml", "a.tif.ovr", "a_attributes.gpkg", "a_report.json"],
        ["a.tif", "a.tif.aux.xml", "a_report.json"],
    ),
    "m.img": (["m.img", "m.ige", "m.rrd"], ["m.img", "m.ige", "m.img.aux.xml"]),
    "sub/p.shp": (["sub/p.shp", "sub/p.shx", "sub/p.dbf", "sub/p.prj"], ["sub/p.shp", "sub/p.shx", "sub/p.dbf"]),
}
CASES = {"one": ["a.tif"], "alone": ["sub/p.shp"], "several": ["a.tif", "m.img", "sub/p.shp"]}
OTHERS = ["b.tif", "a2.tif", "sub/p2.shp", "a.txt"]


class Killed(BaseException):
    """Nothing that runs afterwards may help."""


def side_files(target):
    """What an earlier output of a kind may have beside it."""
    if target.suffix == ".shp":
        return [target.with_suffix(suffix) for suffix in (".shx", ".dbf", ".prj", ".cpg", ".qix", ".qpj")]
    paths = [Path(f"{target}{suffix}") for suffix in (".aux.xml", ".ovr", ".msk", "-wal", "-shm")]
    paths += [target.with_suffix(suffix) for suffix in (".ige", ".rrd") if target.suffix == ".img"]
    return [*paths, *([Path(attributes_path(target))] if target.suffix == ".tif" else [])]


def outputs_of(folder, names):
    return [(folder / name, name, side_files) for name in names]


def write_group(folder, names, word, index):
    for name in names:
        for file in GROUPS[name][index]:
            path = folder / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{word} {file}" * 50)


def prepare(folder, names, earlier=True):
    """The folder before the run: earlier outputs or none, and files of others."""
    (folder / "sub").mkdir(parents=True)
    for name in OTHERS:
        (folder / name).write_text("other " + name)
    if earlier:
        write_group(folder, names, "old", 0)


def publish_new(folder, names):
    with publishing_together(outputs_of(folder, names)) as paths:
        for name, path in zip(names, paths):
            for file in GROUPS[name][1]:
                (Path(path).parent / Path(file).name).write_text(f"new {file}" * 50)


def content(folder):
    """{name: hash} of all files, in hidden folders, too."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def states(tmp_path, names, earlier=True):
    """The content before and after, as it must be at the end of everything."""
    before, after = tmp_path / "before", tmp_path / "after"
    prepare(before, names, earlier)
    prepare(after, names, False)
    write_group(after, names, "new", 1)
    return content(before), content(after)


@pytest.fixture
def steps(monkeypatch):
    """Counts calls that change a folder or have it on the disk; `steps.at(n, how)` lets the n-th one fail."""

    class Steps:
        count, wanted, how, dead = 0, None, None, False

        marks = []  # files that a process which was killed would hold no more

        def at(self, number, how):
            self.count, self.wanted, self.how, self.dead = 0, number, how, False
            for mark in self.marks:
                try:
                    os.close(mark)
                except OSError:
                    continue
            self.marks = []

    counted = Steps()

    def wrap(name, function):
        def step(*arguments, **options):
            if counted.dead:
                raise Killed  # a process that is gone does nothing more
            counted.count += 1
            if counted.count == counted.wanted:
                counted.dead = counted.how is Killed
                raise counted.how
            return function(*arguments, **options)

        return step

    def open_and_remember(path, *arguments, **options):
        file = opened(path, *arguments, **options)
        if str(path).endswith(OWNER):
            counted.marks.append(file)
        return file

    opened = os.open
    monkeypatch.setattr(os, "open", open_and_remember)
    for name in STEPS:
        monkeypatch.setattr(os, name, wrap(name, getattr(os, name)))
    return counted


def count_steps(steps, folder, names):
    steps.at(None, None)
    publish_new(folder, names)
    return steps.count


@pytest.mark.parametrize("earlier", [True, False], ids=["earlier", "nothing"])
@pytest.mark.parametrize("case", CASES)
def test_a_kill_at_any_step_leaves_the_earlier_or_the_new_one_for_the_next_run(tmp_path, steps, case, earlier):
    names = CASES[case]
    before, after = states(tmp_path, names, earlier)
    prepare(tmp_path / "dry", names, earlier)
    total = count_steps(steps, tmp_path / "dry", names)
    assert total > 10
    seen = set()
    for number in range(1, total + 1):
        folder = tmp_path / f"killed-{number}"
        prepare(folder, names, earlier)
        steps.at(number, Killed)
        with pytest.raises(Killed):
            publish_new(folder, names)
        steps.at(None, None)
        for one in {(folder / name).parent for name in names}:
            recover(one)
        recover(folder)
        now = content(folder)
        assert now in (before, after), number
        assert not list(folder.rglob(".tiledseg-*")), number
        seen.add(now == after)
    assert seen == {True, False}


@pytest.mark.parametrize("case", CASES)
def test_a_kill_while_a_killed_run_is_recovered_does_no_harm_either(tmp_path, steps, case):
    names = CASES[case]
    before, after = states(tmp_path, names)
    prepare(tmp_path / "dry", names)
    total = count_steps(steps, tmp_path / "dry", names)
    for number in range(total // 3, total, 4):
        for again in range(1, 200, 3):
            folder = tmp_path / f"killed-{number}-{again}"
            prepare(folder, names)
            steps.at(number, Killed)
            with pytest.raises(Killed):
                publish_new(folder, names)
            steps.at(again, Killed)
            places = sorted({folder, *((folder / name).parent for name in names)})
            try:
                for one in places:
                    recover(one)
                ended = True
            except Killed:
                ended = False
            steps.at(None, None)
            for one in places:
                recover(one)
            assert content(folder) in (before, after), (number, again)
            assert not list(folder.rglob(".tiledseg-*"))
            if ended:
                break
        else:
            pytest.fail("a recovery has more steps than were tried")


KILLED_RUN = """
import os, sys
sys.path[:0] = {paths!r}
import test_kept
from pathlib import Path
left = [int(sys.argv[2])]
def deadly(function):
    def step(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), 9)
        return function(*arguments, **options)
    return step
for name in test_kept.STEPS:
    setattr(os, name, deadly(getattr(os, name)))
test_kept.publish_new(Path(sys.argv[1]), sys.argv[3:])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("following", ["the same output", "another output beside it", "nothing but a check"])
def test_a_process_that_is_killed_at_any_step(tmp_path, following):
    names = CASES["several"]
    before, after = states(tmp_path, names)
    script = tmp_path / "killed.py"
    paths = [str(Path(headless.__file__).parent), str(Path(__file__).parent), str(headless.plugin_path())]
    script.write_text(KILLED_RUN.format(paths=paths))
    number, ended = 1, False
    while not ended:
        folder = tmp_path / f"killed-{number}"
        prepare(folder, names)
        code = subprocess.run([sys.executable, str(script), str(folder), str(number), *names]).returncode
        assert code in (0, -signal.SIGKILL)
        ended = code == 0
        number += 4
        if following == "the same output":
            publish_new(folder, names)
            assert content(folder) == after
        elif following == "another output beside it":
            for other in (folder / "other.tif", folder / "sub" / "other.tif"):
                with publishing(other) as path:
                    Path(path).write_text("x")
                other.unlink()
        else:
            for name, (output, _, replaced) in zip(names, outputs_of(folder, names)):
                with staging(output, name, replaced):
                    pass
        assert content(folder) in (before, after)
        assert not list(folder.rglob(".tiledseg-*"))
    assert number > 30


def test_contents_are_on_the_disk_before_a_name_is_taken(tmp_path, monkeypatch):
    names, log = CASES["several"], []
    prepare(tmp_path, names)
    synchronize, replace = os.fsync, os.replace

    def record_fsync(file):
        status = os.fstat(file)
        log.append(("fsync", status.st_ino))
        synchronize(file)

    def record_replace(source, target):
        log.append(("replace", os.lstat(source).st_ino, Path(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    publish_new(tmp_path, names)
    moves = [entry for entry in log if entry[0] == "replace" and ".tiledseg-" not in str(entry[2])]
    journals = [
        number for number, entry in enumerate(log) if entry[0] == "replace" and entry[2].name == journal.JOURNAL
    ]
    first = log.index(moves[0])
    assert len(moves) == sum(len(GROUPS[name][1]) for name in names)
    assert len(journals) == len(names)
    for move in moves:
        assert ("fsync", move[1]) in log[: journals[0]]
    assert ("fsync", (tmp_path / "sub").stat().st_ino) in log[journals[-1] : first]
    assert ("fsync", tmp_path.stat().st_ino) in log[log.index(moves[-1]) :]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_what_does_not_get_to_the_disk_is_no_result(tmp_path, monkeypatch, number):
    before, _ = states(tmp_path, ["a.tif"])
    folder = tmp_path / "here"
    prepare(folder, ["a.tif"])

    def fail(file):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SegmentationError, match=f"a.tif cannot be written .{os.strerror(number)}"):
        publish_new(folder, ["a.tif"])
    assert content(folder) == before


def test_a_name_that_somebody_has_used_meanwhile_is_left_to_them(tmp_path, steps):
    names = ["a.tif"]
    before, after = states(tmp_path, names)
    earlier = {name: before[name] for name in GROUPS["a.tif"][0]}
    new = {name: after[name] for name in GROUPS["a.tif"][1]}
    prepare(tmp_path / "dry", names)
    total, seen = count_steps(steps, tmp_path / "dry", names), 0
    for number in range(1, total + 1):
        folder = tmp_path / f"killed-{number}"
        prepare(folder, names)
        steps.at(number, Killed)
        with pytest.raises(Killed):
            publish_new(folder, names)
        steps.at(None, None)
        placed = content(folder).get("a.tif") == new["a.tif"]
        (folder / "a.tif").unlink(missing_ok=True)
        (folder / "a.tif").write_text("theirs")
        recover(folder)
        now = content(folder)
        assert (folder / "a.tif").read_text() == "theirs"
        assert not list(folder.rglob(".tiledseg-*"))
        if not placed and "a_kept.tif" in now:
            seen += 1
            assert {name: now[name.replace("a", "a_kept", 1)] for name in new} == new
            assert set(earlier.values()) - {earlier["a.tif"]} <= set(now.values())
    assert seen > 5


class Refusing:
    """As Windows does while another program holds some files open."""

    def __init__(self, monkeypatch, held):
        self.held = {str(path) for path in held}
        for name in ("replace", "rename", "unlink"):
            monkeypatch.setattr(os, name, self._wrap(getattr(os, name)))

    def _wrap(self, function):
        def call(*arguments, **options):
            for path in arguments:
                if str(path) in self.held:
                    raise PermissionError(errno.EACCES, "it is open elsewhere", str(path))
            return function(*arguments, **options)

        return call


@pytest.mark.parametrize("held", ["a.tif", "a.tif.aux.xml", "a.tif.ovr", "a_report.json"])
def test_a_file_that_is_open_elsewhere_is_told_at_the_start(tmp_path, monkeypatch, held):
    raster = write_raster(tmp_path / "in.tif", np.arange(3 * 40 * 50, dtype=np.uint8).reshape(3, 40, 50))
    folder = tmp_path / "out"
    folder.mkdir()
    run(raster, folder / "a.tif", min_pixels=5, num_clusters=5)
    (folder / "a.tif.ovr").write_text("of another program")
    before = content(folder)
    Refusing(monkeypatch, [folder / held])
    log = []
    monkeypatch.setattr("tiledseg.tiledseg_plugin.engine.segmentation.make_plan", lambda *given: log.append(given))
    with pytest.raises(SegmentationError, match=f"OUTPUT .*a.tif cannot be replaced .*{held}.* close it in other"):
        run(raster, folder / "a.tif", min_pixels=5, num_clusters=5)
    assert not log
    assert content(folder) == before


@pytest.mark.parametrize("held", sorted({file for old, _ in GROUPS.values() for file in old}))
def test_a_result_that_cannot_take_its_place_is_kept_under_another_name(tmp_path, monkeypatch, held):
    names = CASES["several"]
    before, after = states(tmp_path, names)
    folder = tmp_path / "here"
    prepare(folder, names)
    (folder / "a_kept.tif.aux.xml").write_text("somebody's")
    refusing = Refusing(monkeypatch, [folder / held])
    with pytest.raises(SegmentationError) as error:
        publish_new(folder, names)
    refusing.held.clear()
    said = str(error.value)
    kept = [folder / "a_kept_2.tif", folder / "m_kept" / "m.img", folder / "sub" / "p_kept.shp"]
    assert all(str(path) in said for path in kept)
    assert f"{held.split('/')[-1]}: it is open elsewhere" in said
    assert said.count(". ") == 0
    now = content(folder)
    expected = {
        **before,
        "a_kept.tif.aux.xml": now["a_kept.tif.aux.xml"],
        "a_kept_2.tif": after["a.tif"],
        "a_kept_2.tif.aux.xml": after["a.tif.aux.xml"],
        "a_kept_2_report.json": after["a_report.json"],
        "m_kept/m.img": after["m.img"],
        "m_kept/m.ige": after["m.ige"],
        "m_kept/m.img.aux.xml": after["m.img.aux.xml"],
        "sub/p_kept.shp": after["sub/p.shp"],
        "sub/p_kept.shx": after["sub/p.shx"],
        "sub/p_kept.dbf": after["sub/p.dbf"],
    }
    assert now == expected
    assert not list(folder.rglob(".tiledseg-*"))


def test_a_kill_while_a_result_is_kept_under_another_name(tmp_path, steps, monkeypatch):
    names = CASES["several"]
    before, after = states(tmp_path, names)
    new = {after[file] for name in names for file in GROUPS[name][1]}
    old = {before[file] for name in names for file in GROUPS[name][0]}
    refusing = Refusing(monkeypatch, [])
    number, killed = 30, True
    while killed:
        folder = tmp_path / f"killed-{number}"
        prepare(folder, names)
        refusing.held = {str(folder / "sub" / "p.shp")}
        steps.at(number, Killed)
        try:
            publish_new(folder, names)
        except Killed:
            pass
        except SegmentationError:
            killed = False
        refusing.held = set()
        steps.at(None, None)
        for one in (folder, folder / "sub"):
            recover(one)
        now = content(folder)
        for name in names:
            files = [{now.get(file) for file in GROUPS[name][index]} for index in (0, 1)]
            assert files[0] == {before[file] for file in GROUPS[name][0]} or files[1] == {
                after[file] for file in GROUPS[name][1]
            }
        assert new <= set(now.values()), number
        assert old <= set(now.values()) or now == after, number
        assert not list(folder.rglob(".tiledseg-*"))
        number += 1
    assert number > 60


def test_files_that_can_neither_be_placed_nor_put_back_wait_for_the_next_run(tmp_path, monkeypatch):
    names = CASES["several"]
    _, after = states(tmp_path, names)
    folder = tmp_path / "here"
    prepare(folder, names)
    replace = os.replace

    def refuse_late(source, target):
        if calls and Path(target).suffix != ".partial" and journal.JOURNAL not in str(target):
            raise PermissionError(errno.EACCES, "it is open elsewhere", str(source))
        if Path(target).name == "m.img" and Path(target).parent == folder:
            calls.append(target)
            raise PermissionError(errno.EACCES, "it is open elsewhere", str(source))
        replace(source, target)

    calls = []
    monkeypatch.setattr(os, "replace", refuse_late)
    with pytest.raises(SegmentationError, match="lies in .*.tiledseg-.*the next run that writes beside it puts it"):
        publish_new(folder, names)
    monkeypatch.setattr(os, "replace", replace)
    with staging(folder / "a.tif"):
        pass
    assert content(folder) == after
    assert not list(folder.rglob(".tiledseg-*"))


def test_on_a_full_disk_a_result_that_was_finished_is_kept_all_the_same(tmp_path, monkeypatch):
    before, after = states(tmp_path, ["a.tif"])
    folder = tmp_path / "here"
    prepare(folder, ["a.tif"])

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(journal, "_write", fail)
    with pytest.raises(SegmentationError, match="is kept as .*a_kept.tif"):
        publish_new(folder, ["a.tif"])
    now = content(folder)
    assert now == {**before, **{name.replace("a", "a_kept", 1): after[name] for name in GROUPS["a.tif"][1]}}


def test_a_result_that_cannot_even_be_moved_stays_where_it_is(tmp_path, monkeypatch):
    before, after = states(tmp_path, ["a.tif"])
    folder = tmp_path / "here"
    prepare(folder, ["a.tif"])

    def fail(*arguments):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(arguments[0]))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(SegmentationError, match="the finished result lies in .*move it from there") as error:
            publish_new(folder, ["a.tif"])
    recover(folder)
    where = next(folder.glob(".tiledseg-*"))
    assert str(where) in str(error.value)
    assert {name: content(where)[name] for name in GROUPS["a.tif"][1]} == {
        name: after[name] for name in GROUPS["a.tif"][1]
    }
    shutil.rmtree(where)
    assert content(folder) == before


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "geteuid"), reason="sticky folders are of POSIX")
def test_a_file_of_another_user_in_a_sticky_folder_is_told_at_the_start(tmp_path, monkeypatch):
    prepare(tmp_path, ["a.tif"])
    tmp_path.chmod(0o1777)
    publish.try_to_replace(tmp_path / "a.tif")
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(SegmentationError, match="belongs to another user"), staging(tmp_path / "a.tif"):
        pass
