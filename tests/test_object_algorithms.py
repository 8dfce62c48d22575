# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:statistics` and `tiledseg:rasterise` as QGIS runs them: the published interface, and what is new in it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, ogr
from rasters import read, write_raster
from test_attributes import table_of, two_band_scene
from tiledseg.tiledseg_plugin.engine.files.tables import Column, write_table

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
RASTERISE = {
    "SEGMENTS": ("raster", None, False, False),
    "COLUMN": ("string", "mean_1", False, False),
    "TABLE": ("vector", None, False, True),
    "ID_FIELD": ("field", "segment", False, True),
    "DATA_TYPE": ("enum", "auto", True, True),
    "NODATA": ("string", None, True, True),
    "OUTPUT": ("rasterDestination", None, False, False),
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


def test_interface_is_the_published_one(plugin):
    from qgis.core import QgsApplication

    assert interface_of("statistics") == STATISTICS
    assert interface_of("rasterise") == RASTERISE
    rasterise = QgsApplication.processingRegistry().createAlgorithmById("tiledseg:rasterise")
    numbers = ("SEGMENT_COUNT", "WITHOUT_VALUE", "CLASS_COUNT")
    assert {one.name() for one in rasterise.outputDefinitions()} == {"OUTPUT", *numbers}


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


def table_layer(folder, name="t.gpkg"):
    """A table of 25 segments: a number, and a text for all but the last."""
    write_table(str(folder / name), [Column("segment", np.arange(1, 26)), Column("n", np.arange(25) / 2)], lambda: None)
    dataset = gdal.OpenEx(str(folder / name), gdal.OF_VECTOR | gdal.OF_UPDATE)
    dataset.ExecuteSQL(f"ALTER TABLE {Path(name).stem} ADD COLUMN land TEXT")
    dataset.ExecuteSQL(f"UPDATE {Path(name).stem} SET land = CASE WHEN n > 6 THEN 'wood' ELSE 'lake' END WHERE n < 12")
    del dataset
    return str(folder / name)


@pytest.mark.parametrize("way", ["path", "layer name", "layer", "memory", "filtered"])
def test_a_table_may_be_a_file_or_any_layer(processing, segments, tmp_path, way):
    from qgis.core import QgsFeatureRequest, QgsProcessingException, QgsProject, QgsVectorLayer

    path = table_layer(tmp_path)
    layer = QgsVectorLayer(path, "my table", "ogr")
    if way == "memory":
        file, layer = layer, layer.materialize(QgsFeatureRequest())
        assert layer.dataProvider().name() == "memory" and file.isValid()
    if way == "filtered":
        layer.setSubsetString("n < 6")
    QgsProject.instance().addMapLayer(layer)
    table = {"path": path, "layer name": layer.name()}.get(way, layer)
    parameters = {"SEGMENTS": segments, "TABLE": table, "COLUMN": "n", "OUTPUT": str(tmp_path / "o.tif")}
    try:
        result = processing.run("tiledseg:rasterise", parameters)
        with pytest.raises(QgsProcessingException, match="no such column"):
            processing.run("tiledseg:rasterise", {**parameters, "COLUMN": "m"})
    finally:
        QgsProject.instance().removeMapLayer(layer.id())
    expected = (read(segments) - 1) / 2.0
    if way == "filtered":
        expected[expected >= 6] = np.nan
    assert np.array_equal(read(tmp_path / "o.tif"), expected.astype(np.float32), equal_nan=True)
    assert (result["SEGMENT_COUNT"], result["WITHOUT_VALUE"]) == (25, 13 if way == "filtered" else 0)


def test_classes_and_numbers_are_shown_in_colours_that_say_what_they_are(processing, segments, tmp_path):
    from qgis.core import QgsPalettedRasterRenderer, QgsRasterLayer, QgsSingleBandPseudoColorRenderer
    from tiledseg.algorithms.looks_by_value import show_column

    parameters = {"SEGMENTS": segments, "TABLE": table_layer(tmp_path)}
    for column, kind in (("n", QgsSingleBandPseudoColorRenderer), ("land", QgsPalettedRasterRenderer)):
        output = str(tmp_path / f"{column}.tif")
        result = processing.run("tiledseg:rasterise", {**parameters, "COLUMN": column, "OUTPUT": output})
        layer = QgsRasterLayer(output)
        if column == "land":
            assert isinstance(layer.renderer(), QgsPalettedRasterRenderer)  # also without this plugin
        show_column(layer)
        assert isinstance(layer.renderer(), kind)
        legend = [label for label, _ in layer.renderer().legendSymbologyItems()]
        if column == "land":
            assert result["CLASS_COUNT"] == 2 and legend == ["lake", "wood"]


@pytest.mark.command
def test_the_command_line_makes_a_raster_of_a_column(qgis_process, segments, tmp_path):
    given = [f"SEGMENTS={segments}", "COLUMN=land", f"TABLE={table_layer(tmp_path)}", f"OUTPUT={tmp_path / 'o.tif'}"]
    finished = qgis_process("--json", "run", "tiledseg:rasterise", "--", *given)
    assert finished.returncode == 0, finished.stderr
    results = json.loads(finished.stdout)["results"]
    assert (results["SEGMENT_COUNT"], results["WITHOUT_VALUE"], results["CLASS_COUNT"]) == (25, 1, 2)
    assert np.array_equal(np.unique(read(tmp_path / "o.tif")), [0, 1, 2])
