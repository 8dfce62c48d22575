# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing is lost where an output cannot be replaced: files that other programs hold, full disks, foreign files."""

import errno
import gc
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from faults.windows import held_here
from rasters import run, write_raster
from replacing import CASES, GROUPS, Killed, Steps, content, prepare, publish_new, states
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files import journal, publish
from tiledseg.tiledseg_plugin.engine.files.publish import publishing, recover, staging
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, check_statistics
from time_limit import no_test_hangs  # noqa: F401


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
def test_a_file_that_is_open_elsewhere_is_reported_at_the_start(tmp_path, monkeypatch, held):
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


def test_an_error_while_files_are_moved_brings_the_old_ones_back(tmp_path, monkeypatch):
    for name in ("o.tif", "o.tif.aux.xml", "o.tif.ovr"):
        (tmp_path / name).write_text("old " + name)
    replace = os.replace

    def failing(source, target):
        if str(target).endswith("o.tif") and ".replaced" not in str(source):
            raise PermissionError(13, "in use", str(target))
        return replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(SegmentationError, match="in use"), publishing(tmp_path / "o.tif") as path:
        for name in (path, path + ".aux.xml"):
            with open(name, "w") as file:
                file.write("new")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        **{name: "old " + name for name in ("o.tif", "o.tif.aux.xml", "o.tif.ovr")},
        **dict.fromkeys(("o_kept.tif", "o_kept.tif.aux.xml"), "new"),
    }


def test_a_kill_while_a_result_is_kept_under_another_name(tmp_path, monkeypatch):
    steps = Steps(monkeypatch)
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
def test_a_file_of_another_user_in_a_sticky_folder_is_reported_at_the_start(tmp_path, monkeypatch):
    prepare(tmp_path, ["a.tif"])
    tmp_path.chmod(0o1777)
    publish.try_to_replace(tmp_path / "a.tif")
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(SegmentationError, match="belongs to another user"), staging(tmp_path / "a.tif"):
        pass


@pytest.mark.parametrize("name, held", [("s.tif", "s.tif.aux.xml"), ("s.tif", "s_attributes.gpkg"), ("s.img", "s.img")])
def test_a_table_that_cannot_be_updated_is_reported_at_the_start(tmp_path, monkeypatch, name, held):
    ids = np.arange(1, 2001, dtype=np.uint32).reshape(1, 40, 50)
    segments = write_raster(tmp_path / name, ids, 0, driver="HFA" if name.endswith(".img") else "GTiff")
    values = write_raster(tmp_path / "v.tif", ids.astype(np.uint16))
    if not (tmp_path / held).exists():
        (tmp_path / held).write_text("<PAMDataset></PAMDataset>")
    before = content(tmp_path)
    Refusing(monkeypatch, [tmp_path / held])
    parameters = StatisticsParameters(segments, values, str(tmp_path / "t.csv"), update_rat=True, execution="serial")
    with pytest.raises(SegmentationError, match=f"SEGMENTS .*{name} cannot be replaced .*{held}.* close it in other"):
        check_statistics(parameters)
    assert content(tmp_path) == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_run_leaves_no_file_of_its_work_folder_open(tmp_path, dtype):
    """Not even for the garbage collector: Windows could not remove the folder."""
    values = np.kron(np.random.default_rng(1).integers(1, 200, (2, 8, 9)), np.ones((1, 6, 6), int)).astype(dtype)
    raster = write_raster(tmp_path / "in.tif", values)
    products = {"mean_image": str(tmp_path / "m.tif"), "polygons": str(tmp_path / "p.gpkg"), "levels": (40,)}
    gc.collect()
    gc.disable()
    try:
        work, quick = tmp_path / "work", {"num_clusters": 5, "min_pixels": 5, "kernels": "plain", "execution": "serial"}
        run(raster, tmp_path / "o.tif", tile_width=20, work_dir=str(work), **quick, **products)
        assert [path for path in held_here() if path.startswith(f"{work}{os.sep}")] == []
    finally:
        gc.enable()
