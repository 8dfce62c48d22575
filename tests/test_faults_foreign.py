# SPDX-License-Identifier: GPL-2.0-or-later
"""Rasters, names and side files of somebody else: no code in them runs, no shell sees them, nothing waits for them."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from rasters import run, write_raster
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.execution import processes
from tiledseg.tiledseg_plugin.engine.files import dataset_files, output_files, segment_style
from tiledseg.tiledseg_plugin.engine.files.ownership import OWNER
from tiledseg.tiledseg_plugin.engine.files.work_folder import MANIFEST, WorkFolder
from time_limit import no_test_hangs  # noqa: F401

QUICK = {"num_clusters": 6, "min_pixels": 9, "sampling": 3, "tile_width": 40, "tile_height": 35, "kernels": "plain"}


@pytest.fixture(scope="module")
def raster(tmp_path_factory):
    rng = np.random.default_rng(4)
    patches = np.kron(rng.integers(20, 230, (3, 7, 9)), np.ones((1, 10, 10), int))
    values = (patches + rng.integers(0, 9, patches.shape)).astype(np.uint8)
    return write_raster(tmp_path_factory.mktemp("raster") / "in.tif", values)


PYTHON_VRT = """<VRTDataset rasterXSize="90" rasterYSize="70">
<VRTRasterBand dataType="Byte" band="1" subClass="VRTDerivedRasterBand">
<PixelFunctionType>evil</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage>
<PixelFunctionCode><![CDATA[
open({marker!r}, "w").close()
def evil(in_ar, out_ar, xoff, yoff, xsize, ysize, raster_xsize, raster_ysize, buf_radius, gt, **kwargs):
    open({marker!r}, "w").close()
]]></PixelFunctionCode>
<SimpleSource><SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>
</VRTRasterBand></VRTDataset>"""


@pytest.mark.parametrize("execution", ["serial", "processes"])
def test_code_in_a_virtual_raster_is_not_executed(tmp_path, raster, monkeypatch, execution):
    if execution == "processes" and processes.missing_package():
        pytest.skip("pathos is not installed")
    monkeypatch.delenv("GDAL_VRT_ENABLE_PYTHON", raising=False)
    marker = tmp_path / "executed"
    (tmp_path / "in.vrt").write_text(PYTHON_VRT.format(marker=str(marker), source=raster))
    with pytest.raises(SegmentationError, match="cannot be (read|opened).*Python") as error:
        run(tmp_path / "in.vrt", tmp_path / "o.tif", **QUICK, execution=execution, workers=1)
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.vrt"]


def test_a_virtual_raster_with_many_names_in_it_takes_no_time(tmp_path):
    """Looking for the end of each of them took a minute for 15,000."""
    for filling in ("<SourceFilename>", "<SourceFilename ", "<SourceFilename/>", "<SourceFilename>a</SourceFilename"):
        (tmp_path / "a.vrt").write_text("<VRTDataset>" + filling * 200_000 + "</VRTDataset>")
        assert dataset_files._sources_of(str(tmp_path / "a.vrt")) == []
    text = (
        '<VRTDataset><SourceFilename relativeToVRT="1">a &amp; b.tif</SourceFilename ><sourcedataset>c</SOURCEDATASET>'
    )
    (tmp_path / "a.vrt").write_text(
        text + "<SourceFilename/>" * 3 + "<SourceDataset><![CDATA[d<.tif]]></SourceDataset>"
    )
    assert dataset_files._sources_of(str(tmp_path / "a.vrt")) == [
        ("a & b.tif", str(tmp_path)),
        ("c", ""),
        ("d<.tif", ""),
    ]


SHELL_NAMES = ["a;touch executed;b", "$(touch executed)", "`touch executed`", "a|touch executed", "a & touch executed",
               "a\ntouch executed\n", "'a' \"b\"", "%PATH%^", "-rf", "--help", "*?[a]", "a #b"]  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="these are no names there")
def test_names_with_characters_of_a_shell_are_names(tmp_path, raster, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = Path(raster).read_bytes()
    expected, _ = run(raster, tmp_path / "expected.tif", **QUICK, execution="serial")
    kept = {"expected.tif", "expected.tif.aux.xml", "expected.qml", "expected_report.json"}
    for number, name in enumerate(SHELL_NAMES):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.tif").write_bytes(content)
        by_processes = number == 0 and not processes.missing_package()
        ids, _ = run(
            folder / f"{name}.tif",
            folder / f"{name}_out.tif",
            **{**QUICK, "tile_width": 99, "tile_height": 99},
            execution="processes" if by_processes else "serial",
            work_dir=str(folder / f"{name} work"),
        )
        assert np.array_equal(ids, expected)
    assert {path.name for path in tmp_path.iterdir()} == {*SHELL_NAMES, *kept}


def test_a_report_is_known_whatever_lies_at_its_name(tmp_path):
    path = tmp_path / "a_report.json"
    for content in ("[" * 200_000, "{}", "[1]", "", "7", '{"parameters": 1, "results": 2, "versions": 3}'):
        path.write_text(content)
        assert output_files._is_report(tmp_path / "a.tif", path) == content.endswith("3}")
    path.write_bytes(json.dumps({"x": "é"}).encode("latin-1"))
    assert not output_files._is_report(tmp_path / "a.tif", path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name are of POSIX")
def test_pipes_under_our_names_are_not_waited_for(tmp_path, raster):
    work = tmp_path / "work"
    work.mkdir()
    for name in (MANIFEST, "tiledseg-survey.npz", "tiledseg-graph-0000001.npz", "tiledseg-labels-0000001.raw"):
        os.mkfifo(work / name)
    run(raster, tmp_path / "a.tif", execution="serial", work_dir=str(work), **QUICK)
    for name in ("b_report.json", "b.qml", "b.tif.aux.xml"):
        os.mkfifo(tmp_path / name)
    assert not segment_style.is_ours(str(tmp_path / "b.qml"))
    with pytest.raises(SegmentationError, match="is in the way of OUTPUT"):
        run(raster, tmp_path / "b.tif", **QUICK)
    os.mkfifo(tmp_path / "c.tif")
    with pytest.raises(SegmentationError, match="is a pipe or a device"):
        run(tmp_path / "c.tif", tmp_path / "d.tif", **QUICK)
    dataset_files.Dataset("INPUT", str(tmp_path / "c.tif"))
    (tmp_path / OWNER).unlink(missing_ok=True)
    os.mkfifo(tmp_path / OWNER)
    with pytest.raises(SegmentationError, match="is not ours"):
        WorkFolder(str(tmp_path), {"parameters": {}})
