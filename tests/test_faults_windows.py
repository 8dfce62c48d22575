# SPDX-License-Identifier: GPL-2.0-or-later
"""Windows and macOS, imitated: open files, locks, names, drives, long paths, no /proc. See docs/never-run-on.md."""

import errno
import os
import shlex
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
from faults import scenario, windows
from rasters import run, write_raster
from tiledseg.tiledseg_plugin.engine import machine, resources
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files import (
    dataset_files,
    earlier_files,
    journal_entries,
    moves,
    on_windows,
    output_files,
    ownership,
    publish,
    work_folder,
)
from tiledseg.tiledseg_plugin.engine.files.work_folder import WorkFolder
from tiledseg.tiledseg_plugin.engine.products import update_geopackage
from time_limit import no_test_hangs  # noqa: F401

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
QUICK = {"num_clusters": 5, "min_pixels": 6, "sampling": 3, "kernels": "plain", "execution": "serial"}


@pytest.fixture
def on_win32(monkeypatch):
    """Modules of files that ask for the system are told that it is Windows."""
    for module in (ownership, moves, earlier_files, dataset_files, output_files, on_windows, work_folder):
        monkeypatch.setattr(module, "sys", types.SimpleNamespace(platform="win32"))
    monkeypatch.setattr(on_windows, "HELD_SECONDS", 0.3)
    monkeypatch.setitem(sys.modules, "msvcrt", windows.fake_msvcrt())


@linux
@pytest.mark.parametrize("name", list(scenario.SCENARIOS))
def test_a_run_moves_and_removes_no_file_that_it_has_open(tmp_path, monkeypatch, on_win32, name):
    """Elsewhere that is allowed, and would never be noticed."""
    made = scenario.SCENARIOS[name](tmp_path / "s")
    case = made.copy(tmp_path)
    for file in ("o.tif", "o.img", "p.gpkg", "t.gpkg", "m.img"):
        if (case / file).exists() and not (name == "statistics" and file == "o.img"):
            (case / file).chmod(0o444)
    stay = windows.OpenFilesStay(monkeypatch, tmp_path)
    made.run(case)
    monkeypatch.undo()
    assert {name: scenario.digest(case / name) for name in made.outputs} == made.expected
    assert not [entry for entry in stay.refused if "read-only" not in entry and windows.held_here() & {entry[1]}]
    assert set(scenario.contents(case)) <= made.names | set(made.before)


@linux
def test_open_files_are_seen_by_the_imitation(tmp_path, monkeypatch):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(5000.0))
    stay = windows.OpenFilesStay(monkeypatch, tmp_path)
    with open(path, "rb"), pytest.raises(PermissionError, match="open in another"):
        os.unlink(path)
    mapped = np.load(path, mmap_mode="r")
    with pytest.raises(PermissionError, match="open in another"):
        os.replace(path, tmp_path / "b.npy")
    del mapped
    os.replace(path, tmp_path / "b.npy")
    assert len(stay.refused) == 2


def test_work_folders_are_told_apart_by_locks_of_windows(tmp_path, monkeypatch, on_win32):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = WorkFolder(str(tmp_path / "work"), {"parameters": {}})
    with pytest.raises(SegmentationError, match="is in use by"):
        WorkFolder(str(tmp_path / "work"), {"parameters": {}})
    folder.close(finished=True)
    assert not (tmp_path / "work").exists()
    running, left = WorkFolder("", {}), tmp_path / "tiledseg-left1234"
    left.mkdir()
    (left / ownership.OWNER).write_text('{"pid": 1, "host": "x"}')
    (left / "a.raw").write_text("x")
    (left / "a.raw").chmod(0o444)
    WorkFolder("", {}).close(True)
    assert not left.exists() and running.path.exists()
    running.close(True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("times", [0, 2, 1000])
def test_a_file_that_a_scanner_holds_for_a_moment_is_waited_for(tmp_path, monkeypatch, on_win32, times):
    replace, refused = os.replace, []

    def held(source, target):
        if len(refused) < times:
            refused.append(target)
            raise PermissionError(errno.EACCES, "it is being scanned", str(source))
        replace(source, target)

    folder = WorkFolder(str(tmp_path / "work"), {"parameters": {}})
    monkeypatch.setattr(os, "replace", held)
    begun = time.monotonic()
    if times == 1000:
        with pytest.raises(SegmentationError, match="sizes.npy cannot be written .it is being scanned"):
            folder.save_array("sizes", np.arange(3))
        assert 0.2 < time.monotonic() - begun < 5
    else:
        folder.save_array("sizes", np.arange(3))
        assert np.array_equal(folder.map_array("sizes"), np.arange(3))
    assert not list((tmp_path / "work").glob("*.partial"))
    folder.close(True)


def test_elsewhere_nothing_is_waited_for(tmp_path, monkeypatch):
    calls = []

    def refuse(source, target):
        calls.append(target)
        raise PermissionError(errno.EACCES, "no", str(source))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        on_windows.replace_file(tmp_path / "a", tmp_path / "b")
    assert len(calls) == 1


DEVICES = ["con", "CON.tif", "nul.tif", "aux.kea", "prn.img", "com1.tif", "LPT9.gpkg", "nul .tif", "com¹.tif", "conin$"]
NO_DEVICES = ["icon.tif", "console.tif", "com.tif", "com10.tif", "nul_1.tif", "auxiliary.tif", "a.con", "größe.tif"]


@pytest.mark.parametrize("name", DEVICES)
def test_names_of_devices_are_refused_on_windows_only(tmp_path, monkeypatch, on_win32, name):
    assert "device" in on_windows.fault_of_name(name)
    output = output_files.Output("OUTPUT", str(tmp_path / name), output_files.SEGMENTS)
    with pytest.raises(SegmentationError, match="is that of a device on Windows: choose another"):
        output_files.check_files([output], [])
    monkeypatch.undo()
    assert on_windows.fault_of_name(name) == ""


@pytest.mark.parametrize("name", NO_DEVICES)
def test_names_that_only_look_like_devices_are_taken(on_win32, name):
    assert on_windows.fault_of_name(name) == ""


@pytest.mark.parametrize(
    "name", ["a.tif:stream", "a?.tif", "a|b.tif", 'a".tif', "a*.tif", "a\n.tif", "a.tif.", "a.tif "]
)
def test_names_that_windows_changes_or_hides_are_refused(on_win32, name):
    assert on_windows.fault_of_name(name)


PLACES = {  # source: the file that it is in, or names
    "C:\\data\\a.tif": "C:\\data\\a.tif",
    "C:/data/a.tif": "C:/data/a.tif",
    "c:\\DATA\\A.TIF|layername=x": "c:\\DATA\\A.TIF",
    'NETCDF:"C:\\data\\a.nc":band': "C:\\data\\a.nc",
    "HDF5:C:\\data\\a.nc://group/band": "C:\\data\\a.nc",
    "GTIFF_DIR:2:C:\\data\\a.tif": "C:\\data\\a.tif",
    "GPKG:C:\\data\\a.gpkg:table": "C:\\data\\a.gpkg",
    "/vsizip/C:\\data\\a.zip\\in.tif": "C:\\data\\a.zip",
    "/vsizip/C:/data/a.zip/in.tif": "C:/data/a.zip",
    "/vsizip/{C:\\data\\a.zip}/in.tif": "C:\\data\\a.zip",
    "vrt://C:\\data\\a.tif?bands=1": "C:\\data\\a.tif",
    "\\\\server\\share\\a.tif": "\\\\server\\share\\a.tif",
    "dbname='C:\\\\data\\\\a.gpkg' table=x": "C:\\\\data\\\\a.gpkg",
    "D:\\new.tif": "D:\\new.tif",
}


@pytest.fixture
def drives(monkeypatch, on_win32):
    there = ["C:\\data\\a.tif", "C:\\data\\a.nc", "C:\\data\\a.zip", "C:\\data\\a.gpkg", "\\\\server\\share\\a.tif"]
    disks = windows.Disks(there)
    monkeypatch.setattr(dataset_files, "os", disks)
    return disks


@pytest.mark.parametrize("source", PLACES)
def test_names_with_drives_are_taken_apart(drives, source):
    assert dataset_files.paths_in(source) == [PLACES[source]]


def test_names_that_are_relative_to_a_virtual_raster_keep_their_drive(drives):
    assert dataset_files._resolved("D:\\b.tif", "C:\\data") == "D:\\b.tif"
    assert dataset_files._resolved("\\\\server\\b.tif", "C:\\data") == "\\\\server\\b.tif"
    assert dataset_files._resolved("b.tif", "C:\\data") == "C:\\data\\b.tif"
    assert dataset_files._resolved("/vsimem/b.tif", "C:\\data") == "/vsimem/b.tif"


def test_a_file_has_many_names_on_windows(drives):
    files = dataset_files.FileSet(["C:\\Data\\Größe.tif", "b.tif"])
    same = [
        "c:\\data\\GRÖSSE.TIF".replace("SS", "ß"), "C:/data/größe.tif", "C:\\data\\x\\..\\größe.tif", "B.TIF",
        "C:\\Users\\me\\b.tif", "\\\\?\\C:\\data\\größe.tif", "C:\\DATA\\GRO\u0308\u00dfE.tif",
    ]  # fmt: skip
    assert [name for name in same if name not in files] == []
    assert not [name for name in ("D:\\data\\größe.tif", "C:\\größe.tif", "C:\\data\\grosse.tif") if name in files]
    share = dataset_files.FileSet(["\\\\?\\UNC\\server\\share\\a.tif"])
    assert "\\\\Server\\Share\\A.tif" in share


def test_names_of_drives_are_no_plain_names(monkeypatch):
    from tiledseg.tiledseg_plugin.engine.files import foreign

    monkeypatch.setattr(foreign, "os", windows.Disks([]))
    wrong = ["C:a.tif", "C:\\a.tif", "..\\a.tif", "a\\b.tif", "a/b.tif", "..", "", "\\\\server\\a"]
    assert [name for name in wrong if foreign.is_plain_name(name)] == []
    assert foreign.is_plain_name("a b.tif")
    assert not journal_entries._is_within("a/C:b") and journal_entries._is_within("a/b")


@pytest.mark.parametrize(
    "path, uri",
    [
        ("C:\\a b\\#1.gpkg", "file:///C%3A/a%20b/%231.gpkg?mode=ro"),
        ("\\\\server\\share\\a.gpkg", "file:////server/share/a.gpkg?mode=ro"),
    ],
)
def test_a_database_is_named_to_sqlite_with_its_drive(monkeypatch, path, uri):
    from pathlib import PureWindowsPath

    class Windows(PureWindowsPath):
        def absolute(self):
            return self

    monkeypatch.setattr(update_geopackage, "Path", Windows)
    assert update_geopackage.database_uri(path) == uri


def test_letter_case_counts_where_the_disk_says_so(tmp_path, monkeypatch):
    """As macOS: most of its disks take both for one, some do not; a folder is asked by the names in it."""
    (tmp_path / "a.tif").touch()
    exists, samefile = os.path.exists, os.path.samefile
    dataset_files.ignores_case.cache_clear()
    assert str(tmp_path / "A.TIF") not in dataset_files.FileSet([str(tmp_path / "a.tif")])
    dataset_files.ignores_case.cache_clear()
    monkeypatch.setattr(os.path, "exists", lambda path: exists(path) or exists(str(path).lower()))
    monkeypatch.setattr(os.path, "samefile", lambda a, b: str(a).lower() == str(b).lower() or samefile(a, b))
    assert str(tmp_path / "A.TIF") in dataset_files.FileSet([str(tmp_path / "a.tif")])
    assert str(tmp_path / "NEW.TIF") in dataset_files.FileSet([str(tmp_path / "new.tif")])
    dataset_files.ignores_case.cache_clear()


@pytest.mark.parametrize("room", [40, 110])
def test_a_work_folder_with_too_long_a_path_is_said_at_the_start(tmp_path, monkeypatch, on_win32, room):
    longest, touch = 259, Path.touch

    def refuse_long(path, *arguments, **options):
        if len(str(path)) > longest:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        touch(path, *arguments, **options)

    monkeypatch.setattr(Path, "touch", refuse_long)
    work = tmp_path / ("x" * (longest - len(str(tmp_path)) - room - 1))
    if room == 110:
        WorkFolder(str(work), {"parameters": {}}).close(True)
    else:
        with pytest.raises(SegmentationError, match="its path is too long for the files in it"):
            WorkFolder(str(work), {"parameters": {}})
    assert not work.exists()


@linux
def test_a_work_folder_with_too_long_a_path_here(tmp_path):
    deep = str(tmp_path)
    while len(deep) < 3700:
        deep += "/" + "x" * 200
    deep += "/" + "y" * (4095 - len(deep) - 50)
    os.makedirs(deep)
    with pytest.raises(SegmentationError, match="its path is too long for the files in it"):
        WorkFolder(deep, {"parameters": {}})
    assert os.listdir(deep) == []


def test_an_output_with_too_long_a_path_is_refused_before_the_run(tmp_path, monkeypatch, on_win32):
    touch = Path.touch

    def refuse_long(path, *arguments, **options):
        if len(str(path)) > 259:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        touch(path, *arguments, **options)

    monkeypatch.setattr(Path, "touch", refuse_long)
    raster = write_raster(tmp_path / "in.tif", np.arange(3 * 40 * 50, dtype=np.uint8).reshape(3, 40, 50))
    folder = tmp_path / ("x" * (230 - len(str(tmp_path))))
    folder.mkdir()
    with pytest.raises(SegmentationError, match="The name of OUTPUT .* is too long for its folder"):
        run(raster, folder / "a.tif", **QUICK)
    assert not list(folder.iterdir())


class TestMemory:
    """What a machine offers, where it says so otherwise than Linux does or not at all."""

    def test_macos_says_what_is_there(self, monkeypatch):
        monkeypatch.setattr(machine, "_lines", lambda path: [])
        pages = {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 16384}
        monkeypatch.setattr(os, "sysconf", pages.__getitem__)
        assert machine.free_memory() == 1000 * 16384 // 2

    def test_a_system_that_says_nothing(self, monkeypatch):
        monkeypatch.setattr(machine, "_lines", lambda path: [])
        monkeypatch.setattr(os, "sysconf", lambda name: (_ for _ in ()).throw(ValueError(name)))
        assert machine.free_memory() is None
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        assert machine.available_cores() == os.cpu_count()
        assert resources.choose_workers(0, 5, 10**9).count >= 1

    def test_windows_is_asked_in_its_own_way(self, monkeypatch):
        def fill(status):
            status._obj.free = 12345
            return 1

        kernel = types.SimpleNamespace(GlobalMemoryStatusEx=fill)
        monkeypatch.setattr(machine, "sys", types.SimpleNamespace(platform="win32"))
        monkeypatch.setattr(machine.ctypes, "windll", types.SimpleNamespace(kernel32=kernel), raising=False)
        assert machine._free_on_windows() is not None
        kernel.GlobalMemoryStatusEx = lambda status: 0
        assert machine.free_memory() is None


def test_a_folder_cannot_be_synchronized_on_windows_and_need_not(tmp_path, monkeypatch, on_win32):
    """Nor is a file opened for reading only: its contents could not be brought to the disk then."""
    opened, flags = os.open, []

    def remember(path, how, *arguments, **options):
        assert not os.path.isdir(path)
        flags.append(how)
        return opened(path, how, *arguments, **options)

    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.tif").write_text("x")
    monkeypatch.setattr(os, "open", remember)
    moves.settle(tmp_path / "a")
    assert flags == [os.O_RDWR]
    monkeypatch.undo()
    with publish.staging(tmp_path / "c.tif") as folder:
        assert folder.is_dir()


@pytest.mark.parametrize(
    "word", ["a", "INPUT=C:\\a b\\c.tif", "x=C:\\folder name\\", 'a"b', 'a\\"b', "a & del c", "", "x|y", "a^b"]
)
def test_a_copied_command_is_quoted_as_windows_reads_it(monkeypatch, word):
    pytest.importorskip("qgis.core", reason="QGIS is not in this Python")
    from tiledseg.tiledseg_plugin.desktop import commands

    monkeypatch.setattr(commands, "sys", types.SimpleNamespace(platform="win32"))
    found = commands.quoted(word)
    by_python = subprocess.list2cmdline([word])  # which knows how programs take a line apart, but of no shell
    assert found == by_python if " " in word or word.isalnum() else found in (by_python, f'"{by_python}"')
    monkeypatch.undo()
    assert shlex.split(commands.quoted(word)) == [word]
