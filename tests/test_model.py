# SPDX-License-Identifier: GPL-2.0-or-later
"""The shipped models: pre-flight, segment, shape and statistics, joined; and segments coloured by a column."""

import csv
import json
import os

import numpy as np
import pytest
from rasters import write_raster

gdal = pytest.importorskip("osgeo.gdal")
pytestmark = pytest.mark.qgis

MODEL = "tiledseg:checksegmentstatistics"
COLOURS = "tiledseg:coloursegments"
STEPS = {
    MODEL: {"preflight", "segment", "statistics", "shape", "join", "joined"},
    COLOURS: {"statistics", "rasterise"},
}
PUBLISHED = ("preflight:Tiles", "segment:Segments", "statistics:Statistics")  # outputs, since the first version
LATER = ("shape:Shape", "joined:Joined")  # need not be named


@pytest.fixture
def model(plugin):
    from qgis.core import QgsApplication

    registry = QgsApplication.processingRegistry()
    if registry.algorithmById("tiledseg:statistics") is None:
        pytest.skip("tiledseg:statistics is not there")
    return registry.createAlgorithmById(MODEL)


def outputs(model, folder):
    files = dict(zip((*PUBLISHED, *LATER), ("tiles.gpkg", "segments.tif", "statistics.csv", "shape.csv", "joined.csv")))
    assert {d.name() for d in model.parameterDefinitions() if d.isDestination()} == set(files)
    return {name: str(folder / file) for name, file in files.items()}


def rows_of(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_model_is_explained(model):
    assert model.canExecute() == (True, "")
    assert all(len(definition.help()) > 20 for definition in model.parameterDefinitions())
    names = [definition.name() for definition in model.parameterDefinitions() if not definition.isDestination()]
    expected = ["INPUT", "BANDS", "NUM_CLUSTERS", "MIN_PIXELS", "TILE_WIDTH", "TILE_HEIGHT", "VALID_DATA_THRESHOLD"]
    assert names == expected


def test_outputs_of_the_first_version_have_to_be_named_and_later_ones_need_not_be(model):
    from qgis.core import QgsProcessingParameterDefinition

    optional = QgsProcessingParameterDefinition.Flag.FlagOptional
    found = {d.name(): bool(d.flags() & optional) for d in model.parameterDefinitions() if d.isDestination()}
    assert found == {**dict.fromkeys(PUBLISHED, False), **dict.fromkeys(LATER, True)}


@pytest.mark.parametrize("name", STEPS)
def test_models_open_in_the_modeler(plugin, name):
    from qgis.core import QgsApplication, QgsProcessingModelAlgorithm

    model = QgsApplication.processingRegistry().createAlgorithmById(name)
    opened = QgsProcessingModelAlgorithm()
    assert opened.fromFile(model.FILE)
    assert set(opened.childAlgorithms()) == STEPS[name]
    assert opened.canExecute() == (True, "")
    assert opened.validate() == (True, [])  # the modeler shows no step in red
    assert model.validate() == (True, [])
    assert all(len(definition.help()) > 20 for definition in model.parameterDefinitions())


@pytest.mark.parametrize("bands", [None, [1, 3]])
def test_model_runs(model, small_raster, tmp_path, bands):
    import processing

    result = processing.run(
        MODEL,
        {"INPUT": str(small_raster), "BANDS": bands, "MIN_PIXELS": 10, "NUM_CLUSTERS": 8, "TILE_WIDTH": 32,
         **outputs(model, tmp_path)},
    )  # fmt: skip
    assert sorted(name for name in os.listdir(tmp_path) if name.startswith(("tiles", "segm", "stat")))
    segments = [child for child in result["CHILD_RESULTS"].values() if "SEGMENT_COUNT" in child]
    assert segments[0]["TILE_COUNT"] == 3
    count = gdal.Open(str(tmp_path / "segments.tif")).ReadAsArray().max()
    assert segments[0]["SEGMENT_COUNT"] == count
    joined, shapes, means = (rows_of(tmp_path / f"{name}.csv") for name in ("joined", "shape", "statistics"))
    assert len(joined) == len(shapes) == len(means) == count
    assert set(joined[0]) == {*shapes[0], *means[0]}
    for row, shape, mean in zip(sorted(joined, key=lambda row: int(row["segment"])), shapes, means):
        assert row["segment"] == shape["segment"] == mean["segment"]
        assert float(row["area"]) == pytest.approx(float(shape["area"]))
        assert float(row["mean_1"]) == pytest.approx(float(mean["mean_1"]))


@pytest.mark.command
def test_model_runs_from_the_command_line_also_as_it_was_called_before_there_was_shape(
    model, qgis_process, small_raster, tmp_path
):
    given = [f"{name}={value}" for name, value in outputs(model, tmp_path).items() if name in PUBLISHED]
    finished = qgis_process("--json", "run", MODEL, "--", f"INPUT={small_raster}", "MIN_PIXELS=10", *given)
    assert finished.returncode == 0, finished.stderr
    json.loads(finished.stdout)
    assert {"tiles.gpkg", "segments.tif", "statistics.csv"} <= set(os.listdir(tmp_path))


@pytest.mark.command
def test_segments_are_coloured_by_a_column_from_the_command_line(qgis_process, small_raster, tmp_path):
    ids = np.arange(1, 64, dtype=np.uint32).reshape(7, 9).repeat(10, 0).repeat(10, 1)
    segments = write_raster(tmp_path / "s.tif", ids[None], 0)
    given = [f"SEGMENTS={segments}", f"VALUES={small_raster}", "STATISTICS=median", "COLUMN=median_2"]
    finished = qgis_process("--json", "run", COLOURS, "--", *given, f"rasterise:Coloured={tmp_path / 'c.tif'}")
    assert finished.returncode == 0, finished.stderr
    values = gdal.Open(str(small_raster)).ReadAsArray()[1]
    coloured = gdal.Open(str(tmp_path / "c.tif")).ReadAsArray()
    assert all((coloured[ids == one] == np.median(values[ids == one])).all() for one in range(1, 64))
    assert set(os.listdir(tmp_path)) - {"s.tif.aux.xml"} == {"s.tif", "c.tif"}  # QGIS itself leaves that in a model
