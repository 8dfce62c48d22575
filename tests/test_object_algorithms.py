# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:statistics` as QGIS runs it: the published interface, and what is beyond single rasters and means."""

import csv

import numpy as np
import pytest
from osgeo import gdal, ogr
from rasters import read, write_raster
from test_attributes import table_of, two_band_scene

pytestmark = pytest.mark.qgis

# id: (type, default, advanced, optional), the published interface; nothing may ever be taken away
STATISTICS = {
    "SEGMENTS": ("raster", None, False, False),
    "VALUES": ("raster", None, False, False),
    "BANDS": ("band", None, False, True),
    "MORE_VALUES": ("multilayer", None, False, True),
    "STATISTICS": ("enum", ["mean", "std", "min", "max"], False, False),
    "PERCENTILES": ("string", None, False, True),
    "GREY_LEVELS": ("number", 16, True, True),
    "APPLY_SCALE": ("boolean", True, True, True),
    "UPDATE_RAT": ("boolean", False, False, False),
    "OUTPUT": ("vectorDestination", None, False, False),
}


def interface_of(name):
    from qgis.core import QgsApplication, QgsProcessingParameterDefinition

    flag = QgsProcessingParameterDefinition.Flag
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"tiledseg:{name}")
    return {
        one.name(): (
            one.type(),
            one.defaultValue(),
            bool(one.flags() & flag.FlagAdvanced),
            bool(one.flags() & flag.FlagOptional),
        )
        for one in algorithm.parameterDefinitions()
    }


@pytest.fixture
def processing(plugin):
    import processing

    return processing


@pytest.fixture
def scene(tmp_path):
    return write_raster(tmp_path / "in.tif", two_band_scene(np.uint8))


@pytest.fixture
def segments(tmp_path):
    ids = np.kron(np.arange(1, 26, dtype=np.uint32).reshape(5, 5), np.ones((30, 34), np.uint32))
    return write_raster(tmp_path / "s.tif", ids[None])


def test_interface_of_statistics_is_the_published_one(plugin):
    assert interface_of("statistics") == STATISTICS


def test_options_keep_their_published_numbers(plugin):
    from qgis.core import QgsApplication

    statistics = QgsApplication.processingRegistry().createAlgorithmById("tiledseg:statistics")
    options = statistics.parameterDefinition("STATISTICS").options()
    first = ["mean", "std", "min", "max", "median", "p05", "p95", "sum", "count", "majority"]
    assert options[:10] == first and len(set(options)) == len(options)
    for word in ("sqrt(sum((v - mean)^2) / n)", "count, n in pixels", "-sum(p ln p)", "std / |mean|"):
        assert any(word in text for text in statistics.description())


@pytest.mark.parametrize("statistics", [["p10", "cv"], "p10;cv", [13, "p10"]])
def test_percentiles_are_statistics_and_have_a_parameter_of_their_own(
    processing, scene, segments, tmp_path, statistics
):
    parameters = {"SEGMENTS": segments, "VALUES": scene, "BANDS": [2], "STATISTICS": statistics}
    parameters.update(PERCENTILES="90; p7", OUTPUT=str(tmp_path / "t.gpkg"))
    dataset = ogr.Open(processing.run("tiledseg:statistics", parameters)["OUTPUT"])
    rows = {row["segment"]: row.items() for row in dataset.GetLayer(0)}
    own = read(scene)[1][read(segments) == 7].astype(float)
    assert list(rows[7]) == ["segment", "cv_2", "p07_2", "p10_2", "p90_2"]
    assert rows[7]["p07_2"] == pytest.approx(np.percentile(own, 7)) and rows[7]["cv_2"] == own.std() / own.mean()


def test_a_series_of_layers_and_files(processing, plugin, scene, segments, tmp_path):
    from qgis.core import QgsProject, QgsRasterLayer

    others = [write_raster(tmp_path / f"y{year}.tif", two_band_scene(np.int16, seed=year)) for year in (2019, 2020)]
    layer = QgsRasterLayer(others[0], "a layer")
    QgsProject.instance().addMapLayer(layer)
    parameters = {"SEGMENTS": segments, "VALUES": scene, "MORE_VALUES": ["a layer", others[1]], "BANDS": "1"}
    parameters.update(STATISTICS=["mean"], UPDATE_RAT=True, OUTPUT=str(tmp_path / "t.csv"), EXECUTION="serial")
    try:
        processing.run("tiledseg:statistics", parameters)
    finally:
        QgsProject.instance().removeMapLayer(layer.id())
    with open(tmp_path / "t.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["segment", "in_mean_1", "y2019_mean_1", "y2020_mean_1"]
    expected = read(others[1])[0][read(segments) == 3].mean()
    assert float(rows[2]["y2020_mean_1"]) == pytest.approx(expected)
    assert table_of(segments)[0]["y2020_mean_1"][3] == pytest.approx(expected)


@pytest.mark.command
def test_the_command_line_takes_a_series_textures_and_shares(qgis_process, segments, tmp_path):
    classes = np.random.default_rng(1).choice([1, 3], (1, 150, 170)).astype(np.uint8)
    paths = [write_raster(tmp_path / f"c{number}.tif", classes) for number in (1, 2, 3)]
    given = [f"SEGMENTS={segments}", f"VALUES={paths[0]}", *(f"MORE_VALUES={path}" for path in paths[1:])]
    given += ["STATISTICS=share", "STATISTICS=contrast", "GREY_LEVELS=2", f"OUTPUT={tmp_path / 't.gpkg'}"]
    before = {file.name for file in tmp_path.iterdir()}
    finished = qgis_process("run", "tiledseg:statistics", "--", *given)
    assert finished.returncode == 0, finished.stderr
    assert {file.name for file in tmp_path.iterdir()} == before | {"t.gpkg"}  # and no side file of an input
    row = (dataset := gdal.OpenEx(str(tmp_path / "t.gpkg"))).GetLayer(0).GetFeature(4).items()
    own = classes[0][read(segments) == 4]
    assert row["c3_share_3_1"] == pytest.approx((own == 3).mean()) and 0.4 < row["c2_contrast_1"] < 0.6
    assert set(row) == {
        "segment",
        *(f"c{n}_{what}_1" for n in (1, 2, 3) for what in ("share_1", "share_3", "contrast")),
    }
    del dataset
