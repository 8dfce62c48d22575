# SPDX-License-Identifier: GPL-2.0-or-later
"""What the sweeps of `make faults` have found, each by itself."""

import errno
import gc
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal
from rasters import run, write_raster
from tiledseg.tiledseg_plugin.engine import report
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files import ownership, work_folder
from tiledseg.tiledseg_plugin.engine.files.cog import make_cog
from tiledseg.tiledseg_plugin.engine.files.output_files import SEGMENTS, Output, check_files
from tiledseg.tiledseg_plugin.engine.files.overviews import build_overviews
from tiledseg.tiledseg_plugin.engine.files.ownership import make_owned_folder
from tiledseg.tiledseg_plugin.engine.files.publish import nothing_else, publishing, publishing_together, recover
from tiledseg.tiledseg_plugin.engine.files.stored_arrays import load_arrays, save_arrays
from tiledseg.tiledseg_plugin.engine.files.work_folder import WorkFolder
from tiledseg.tiledseg_plugin.engine.products import polygons
from time_limit import no_test_hangs  # noqa: F401

QUICK = {"num_clusters": 5, "min_pixels": 6, "sampling": 3, "kernels": "plain", "execution": "serial"}


@pytest.fixture
def raster(tmp_path):
    values = np.kron(np.random.default_rng(2).integers(20, 230, (2, 6, 9)), np.ones((1, 10, 10), int))
    return write_raster(tmp_path / "in.tif", values.astype(np.uint8))


def refuse(*arguments, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))


def nothing(fraction):
    pass


@pytest.mark.parametrize("name", ["o.tif", "o.cog.tif", "o.img"])
def test_a_raster_that_has_disappeared_gets_no_overviews(tmp_path, name):
    output = Output("MEAN_IMAGE", str(tmp_path / name), SEGMENTS)
    with pytest.raises(SegmentationError, match="MEAN_IMAGE .*cannot be written"):
        (make_cog if ".cog" in name else build_overviews)(output, *([] if ".cog" in name else ["NEAREST"]), 1, nothing)
    assert not list(tmp_path.iterdir())


def test_a_raster_that_cannot_be_opened_again_becomes_no_cog(tmp_path, monkeypatch):
    path = write_raster(tmp_path / "o.cog.tif", np.zeros((1, 20, 20), np.uint8))
    monkeypatch.setattr(gdal, "Open", lambda *given: None)
    with pytest.raises(SegmentationError, match="OUTPUT cannot be written"):
        make_cog(Output("OUTPUT", path, SEGMENTS), 1, nothing)


def test_polygons_that_cannot_be_given_their_name(tmp_path, raster, monkeypatch):
    replace = Path.replace

    def refuse_polygons(path, target):
        if path.suffix == ".gpkg":
            refuse(path)
        return replace(path, target)

    monkeypatch.setattr(polygons.Path, "replace", refuse_polygons)
    with pytest.raises(SegmentationError, match="POLYGONS p.gpkg cannot be written .No space left on device.: make"):
        run(raster, tmp_path / "o.tif", polygons=str(tmp_path / "p.gpkg"), **QUICK)
    assert {path.name for path in tmp_path.iterdir()} == {"in.tif"}


def test_a_report_that_cannot_be_written(tmp_path, raster, monkeypatch):
    monkeypatch.setattr(report.Path, "write_text", refuse)
    monkeypatch.setattr("tiledseg.tiledseg_plugin.engine.products.run_outputs.write_style", lambda *given: None)
    with pytest.raises(SegmentationError, match="The report o_report.json cannot be written .* on the disk of OUTPUT"):
        run(raster, tmp_path / "o.tif", **QUICK)
    assert {path.name for path in tmp_path.iterdir()} == {"in.tif"}


@pytest.mark.parametrize("given, failing", [(True, "replace_file"), (False, "replace_file"), (True, "touch")])
def test_a_work_folder_that_cannot_even_be_begun_is_not_left_behind(tmp_path, monkeypatch, given, failing):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if failing == "touch":
        monkeypatch.setattr(Path, "touch", refuse)
    else:
        monkeypatch.setattr(work_folder, failing, refuse)
    with pytest.raises(SegmentationError, match="No space left on device"):
        WorkFolder(str(tmp_path / "work") if given else "", {"parameters": {}})
    assert not list(tmp_path.iterdir())


def test_a_folder_whose_mark_cannot_be_made_is_not_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "_open_mark", refuse)
    with pytest.raises(OSError, match="No space left"):
        make_owned_folder(tmp_path, "tiledseg-")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_no_fault_of_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(SegmentationError, match="folder .* of OUTPUT cannot be written to .No space left on device."):
        check_files([Output("OUTPUT", str(tmp_path / "o.tif"), SEGMENTS)], [])


@pytest.mark.parametrize("given", [True, False], ids=["WORK_DIR", "temporary"])
def test_a_work_folder_that_was_removed_is_said(tmp_path, monkeypatch, given):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = WorkFolder(str(tmp_path / "work") if given else "", {"parameters": {}})
    for path in [*folder.path.iterdir(), folder.path]:
        path.rmdir() if path.is_dir() else path.unlink()
    for use in (
        lambda: folder.save("survey", a=np.zeros(3)),
        lambda: folder.save_rows("labels-0000001", np.zeros((2, 2), np.uint32)),
        lambda: folder.load_rows("labels-0000001", 0, 1, 2, np.uint32),
        lambda: folder.map_array("ids"),
    ):
        with pytest.raises(SegmentationError, match="was removed while the run was using it: start the run again"):
            use()
    assert folder.load("survey") is None and folder.checksum("labels-0000001") is None
    folder.close(False)


@pytest.mark.parametrize("errors, remedy", [((errno.ENOSPC,), "make room"), ((errno.EACCES,), "close the earlier one")])
def test_a_result_that_is_kept_is_said_with_what_helps(tmp_path, monkeypatch, errors, remedy):
    replace, (number,) = os.replace, errors

    def refuse_place(source, target):
        if Path(target) == tmp_path / "o.tif" and ".replaced" not in str(source):
            raise OSError(number, os.strerror(number), str(source))
        replace(source, target)

    (tmp_path / "o.tif").write_text("earlier")
    monkeypatch.setattr(os, "replace", refuse_place)
    with (
        pytest.raises(SegmentationError, match=f"is kept as .*o_kept.tif; {remedy}"),
        publishing(tmp_path / "o.tif") as path,
    ):
        Path(path).write_text("new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"o.tif": "earlier", "o_kept.tif": "new"}


def test_a_staging_folder_that_was_removed_is_said(tmp_path):
    (tmp_path / "o.tif").write_text("earlier")
    said = "cannot be written|was removed while the run was using it; run it again"
    with pytest.raises(SegmentationError, match=said), publishing(tmp_path / "o.tif") as path:
        shutil.rmtree(Path(path).parent)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"o.tif": "earlier"}


@pytest.mark.parametrize("when", ["before its earlier file is in it", "when its earlier file is in it"])
def test_outputs_stay_together_when_a_staging_folder_is_removed_among_their_moves(tmp_path, monkeypatch, when):
    replace, link, staged = os.replace, os.link, []

    def remove_the_other(name, function):
        def call(source, target, **options):
            function(source, target, **options)
            if str(tmp_path / name) in (str(source), str(target)) and not (removed or ".replaced" in str(source)):
                removed.append(name)
                shutil.rmtree(staged[1].parent)

        return call

    removed = []
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_text("earlier")
    if when.startswith("when"):
        monkeypatch.setattr(os, "link", remove_the_other("b.tif", link))
    else:
        monkeypatch.setattr(os, "replace", remove_the_other("a.tif", replace))
    outputs = [(str(tmp_path / name), name, nothing_else) for name in ("a.tif", "b.tif")]
    said = "was removed while the run was using it; run it again"
    with pytest.raises(SegmentationError, match=said), publishing_together(outputs) as paths:
        staged[:] = map(Path, paths)
        for path in staged:
            path.write_text("new")
    recover(tmp_path)
    assert removed
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.tif": "earlier", "b.tif": "earlier"}


def test_side_files_of_an_output_that_went_with_its_folder_are_not_left_behind(tmp_path, monkeypatch):
    """Else the next run would find them in its way; earlier ones stay."""
    replace = os.replace

    def remove(source, target):
        replace(source, target)
        if Path(target) == tmp_path / "a.dbf":
            shutil.rmtree(Path(source).parent)

    (tmp_path / "a.shx").write_text("earlier")
    monkeypatch.setattr(os, "replace", remove)
    said = "was removed while the run was using it; run it again"
    with pytest.raises(SegmentationError, match=said), publishing(tmp_path / "a.shp") as path:
        for suffix in (".shp", ".dbf", ".shx"):
            Path(path).with_suffix(suffix).write_text("new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.shx": "earlier"}


class FullAfter(io.RawIOBase):
    """A file on a disk on which there is room for some more writes."""

    def __init__(self, writes):
        self._left, self._content = writes, io.BytesIO()

    def writable(self):
        return True

    def seekable(self):
        return True

    def write(self, content):
        self._left -= 1
        if self._left < 0:
            refuse("a file")
        return self._content.write(content)

    def seek(self, *place):
        return self._content.seek(*place)

    def tell(self):
        return self._content.tell()


def test_arrays_on_a_full_disk_are_no_more_than_an_error(tmp_path, monkeypatch):
    """numpy 1.24 left an archive behind, whose end was complained of on stderr, with a traceback."""
    complaints, writes, arrays = [], 0, {"a": np.arange(20.0), "b": np.int64(3), "text": np.array("abc")}
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    while True:
        file = FullAfter(writes)
        try:
            save_arrays(file, arrays.items())
        except OSError as error:
            assert error.errno == errno.ENOSPC
            error = None
        else:
            break
        finally:
            file.close()
        writes += 1
    gc.collect()
    assert writes > 10 and not complaints
    with open(tmp_path / "a.npz", "wb") as file:
        save_arrays(file, arrays.items())
    for found in (load_arrays(tmp_path / "a.npz"), dict(np.load(tmp_path / "a.npz"))):
        assert found.keys() == arrays.keys() and all(np.array_equal(found[name], arrays[name]) for name in arrays)
    assert load_arrays(tmp_path / "a.npz", "b") == {"b": 3}
    with pytest.raises(LookupError):
        load_arrays(tmp_path / "a.npz", "c")
