# SPDX-License-Identifier: GPL-2.0-or-later
"""ENGINE=rsgislib with the real RSGISLib 5, where it can be imported."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from osgeo import gdal, ogr
from own_kernels import OwnKernels
from rasters import Log, leftovers, read, run, write_raster
from tiledseg.tiledseg_plugin.engine import rsgislib as rsgislib_engine
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.rsgislib import run as stages
from tiledseg.tiledseg_plugin.engine.rsgislib.shepherd import Shepherd

found = rsgislib_engine.describe()
pytestmark = [
    pytest.mark.rsgislib,
    pytest.mark.skipif(not found.usable, reason=found.sentence),
]
ENGINE = {"engine": "rsgislib", "execution": "serial"}
UNTILED = {
    "synthetic_full": "tests/data/synthetic_full.tif",
    "synthetic_holes": "tests/data/synthetic_holes.tif",
    "synthetic_holes_nostretch": "tests/data/synthetic_holes.tif",
    "synthetic_oneband": "tests/data/synthetic_oneband.tif",
    "sen2_aber_b8_b9_b3": "data/sen2_20210527_aber_10band.tif",
    "naip_maryland": "data/naip_maryland_4band_uint8.tif",
    "naip_maryland_nostretch": "data/naip_maryland_4band_uint8.tif",
    "landsat7_bahamas": "data/landsat7_bahamas_rgb_uint8.tif",
}


@pytest.fixture(params=["KEA", "GTiff"])
def form(request, monkeypatch):
    """Each of the intermediate formats."""
    if request.param == "KEA" and not found.kea:
        pytest.skip("GDAL has no KEA driver")
    monkeypatch.setattr(stages, "has_kea", lambda: request.param == "KEA")
    return request.param


@pytest.mark.parametrize("name", UNTILED)
def test_untiled_is_what_rsgislib_makes(request, data, tmp_path, name):
    raster = data.parent.parent / UNTILED[name]
    folder = data
    if not UNTILED[name].startswith("tests"):
        shared = request.getfixturevalue("shared")
        raster, folder = shared / UNTILED[name], shared / "reference"
    reference = np.load(folder / f"{name}.npz")
    given = json.loads(str(reference["parameters"]))
    bands = tuple(given["bands"] or range(1, gdal.Open(str(raster)).RasterCount + 1))  # alpha, too, as RSGISLib does
    parameters = {**given, "bands": bands, "stretch": not name.endswith("_nostretch")}
    ids, result = run(raster, tmp_path / "out.tif", **ENGINE, **parameters)
    assert np.count_nonzero(ids != reference["clumps"]) == 0
    assert result.segment_count == reference["clumps"].max()


def test_untiled_equals_a_call_of_rsgislib_now(data, tmp_path):
    from rsgislib.segmentation import shepherdseg

    raster = data / "synthetic_holes.tif"
    shepherdseg.run_shepherd_segmentation(
        str(raster), str(tmp_path / "theirs.tif"), tmp_dir=str(tmp_path / "t"), gdalformat="GTiff", calc_stats=False
    )
    ids, _ = run(raster, tmp_path / "out.tif", **ENGINE)
    dataset = gdal.Open(str(tmp_path / "theirs.tif"))
    assert np.array_equal(ids, dataset.ReadAsArray())


def test_looking_for_it_leaves_gdal_as_it_was():
    code = (
        "import conftest; from osgeo import gdal; from tiledseg.tiledseg_plugin.engine import rsgislib as engine;"
        "found = engine.describe(); print(found.usable, gdal.GetUseExceptions())"
    )
    here = os.path.dirname(__file__)
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "0"]


@pytest.mark.parametrize("stretch", [True, False])
@pytest.mark.parametrize("name", ["synthetic_holes", "synthetic_full", "synthetic_oneband"])
def test_tiled_equals_our_own_kernels_in_its_place(data, tmp_path, form, monkeypatch, name, stretch):
    parameters = {**ENGINE, "tile_width": 120, "tile_height": 90, "min_pixels": 40, "stretch": stretch}
    ids, _ = run(data / f"{name}.tif", tmp_path / "a.tif", **parameters)
    monkeypatch.setattr(stages, "segmenter_for", lambda _: OwnKernels(40, 100.0))
    expected, _ = run(data / f"{name}.tif", tmp_path / "b.tif", **parameters)
    assert np.array_equal(ids, expected)


@pytest.mark.parametrize("execution", ["serial", "processes"])
def test_each_tile_can_have_its_own_statistics(data, tmp_path, execution):
    if execution == "processes":
        pytest.importorskip("pathos")
    parameters = {**ENGINE, "tile_width": 120, "tile_height": 90, "min_pixels": 40, "per_tile_statistics": True}
    expected, _ = run(data / "synthetic_full.tif", tmp_path / "a.tif", **parameters)
    ids, _ = run(
        data / "synthetic_full.tif", tmp_path / "b.tif", **{**parameters, "execution": execution, "workers": 2}
    )
    assert np.array_equal(ids, expected)
    assert (ids != 0).all()


def test_values_without_a_stretch_may_be_zero(tmp_path):
    rng = np.random.default_rng(5)
    values = np.kron(rng.integers(-3, 4, (1, 30, 30)), np.ones((1, 4, 4), int)).astype(np.float32)
    values[0, :5] = -999
    path = write_raster(tmp_path / "in.tif", values, nodata=-999)
    parameters = {**ENGINE, "stretch": False, "num_clusters": 5, "sampling": 3, "min_pixels": 9}
    ids, _ = run(path, tmp_path / "out.tif", tile_width=50, tile_height=50, **parameters)
    assert np.array_equal(ids != 0, values[0] != -999)


@pytest.mark.parametrize("tile", [40, 2000])
def test_too_few_colours_for_rsgislib_are_fewer_clusters(tmp_path, tile):
    values = np.full((2, 60, 80), 7, np.uint8)
    values[:, :, 30:] = 90
    values[:, :20] = 0
    path = write_raster(tmp_path / "in.tif", values, nodata=0)
    feedback = Log()
    ids, result = run(path, tmp_path / "out.tif", feedback, tile_width=tile, sampling=11, **ENGINE)
    assert result.segment_count == 2
    assert np.array_equal(ids != 0, values[0] != 0)
    assert any("2 clusters instead of 60" in line for line in feedback.lines)


def test_no_limit_of_distance_and_single_pixels_as_segments(data, tmp_path, monkeypatch):
    parameters = {**ENGINE, "tile_width": 120, "min_pixels": 1, "distance_threshold": None}
    ids, _ = run(data / "synthetic_full.tif", tmp_path / "a.tif", **parameters)
    monkeypatch.setattr(stages, "segmenter_for", lambda _: OwnKernels(1, None))
    expected, _ = run(data / "synthetic_full.tif", tmp_path / "b.tif", **parameters)
    assert np.array_equal(ids, expected)


def test_neither_texts_nor_files_reach_the_user(data, tmp_path, form, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raster, said, feedback = tmp_path / "in" / "in.tif", [], Log()
    raster.parent.mkdir()
    raster.write_bytes((data / "synthetic_holes.tif").read_bytes())
    feedback.debug = said.append
    os.mkdir("out")
    run(raster, tmp_path / "out" / "out.tif", feedback, tile_width=200, work_dir=str(tmp_path / "work"), **ENGINE)
    assert leftovers(raster.parent, {"in.tif"}) == []
    assert leftovers(tmp_path / "out", {"out.tif", "out.tif.aux.xml", "out.qml", "out_report.json"}) == []
    assert leftovers(tmp_path, {"in", "out", "work"}) == []
    assert not os.path.exists("work") or not os.listdir("work")
    assert capfd.readouterr() == ("", "")
    assert any("Eliminate small pixels" in text for text in said)


def test_a_failure_of_rsgislib_is_one_sentence(data, tmp_path, monkeypatch):
    broken = Shepherd(100, 100.0, "GTiff")
    monkeypatch.setattr(Shepherd, "_export", lambda self, folder, values: None)
    monkeypatch.setattr(stages, "segmenter_for", lambda _: broken)
    with pytest.raises(SegmentationError, match="RSGISLib failed.*ENGINE=builtin") as caught:
        run(data / "synthetic_holes.tif", tmp_path / "out.tif", tile_width=200, **ENGINE)
    assert len(str(caught.value).splitlines()) == 1


def test_report_names_the_engine_and_its_version(data, tmp_path):
    _, result = run(data / "synthetic_holes.tif", tmp_path / "out.tif", tile_width=200, **ENGINE)
    with open(result.report, encoding="utf-8") as file:
        report = json.load(file)
    assert report["rsgislib"]["version"] == found.version
    assert report["parameters"]["engine"] == "rsgislib"
    assert set(result.stages) >= {"statistics", "stage 1", "stage 2", "stage 3", "merge", "write"}
    assert read(tmp_path / "out.tif").dtype == np.uint32


def test_products_agree_where_rsgislib_has_its_own_rule_of_no_data(shared, tmp_path):
    raster = shared / "data" / "landsat7_bahamas_rgb_uint8.tif"
    products = {"mean_image": str(tmp_path / "mean.tif"), "polygons": str(tmp_path / "polygons.gpkg")}
    ids, result = run(raster, tmp_path / "out.tif", **ENGINE, **products)
    dataset = gdal.Open(str(tmp_path / "out.tif"))
    table = dataset.GetRasterBand(1).GetDefaultRAT()
    columns = [table.GetNameOfCol(index) for index in range(table.GetColumnCount())]
    counts = table.ReadAsArray(columns.index("Histogram"))
    assert np.array_equal(counts[1:], np.bincount(ids[ids != 0])[1:])
    assert np.array_equal(np.isfinite(read(tmp_path / "mean.tif")).any(axis=0), ids != 0)
    assert ogr.Open(products["polygons"]).GetLayer(0).GetFeatureCount() == result.segment_count


@pytest.mark.parametrize("after", [0.1, 0.6])
def test_a_run_in_processes_is_cancelled_at_once(shared, tmp_path, after):
    pytest.importorskip("pathos")

    class Impatient(Log):
        """Cancels some seconds into stage 1."""

        since = None

        def set_progress_text(self, text):
            if self.since is None and text.startswith("Stage 1"):
                self.since = time.monotonic()

        def is_cancelled(self):
            return self.since is not None and time.monotonic() - self.since > after

    feedback = Impatient()
    raster = shared / "data" / "naip_maryland_4band_uint8.tif"
    with pytest.raises(Cancelled):
        run(raster, tmp_path / "out.tif", feedback, engine="rsgislib", execution="processes", tile_width=520)
    assert time.monotonic() - feedback.since < after + 2
    assert os.listdir(tmp_path) == []
