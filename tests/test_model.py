# SPDX-License-Identifier: GPL-2.0-or-later
"""The shipped model: pre-flight, segment, statistics."""

import json
import os

import pytest

gdal = pytest.importorskip("osgeo.gdal")
pytestmark = pytest.mark.qgis

MODEL = "tiledseg:checksegmentstatistics"


@pytest.fixture
def model(plugin):
    from qgis.core import QgsApplication

    registry = QgsApplication.processingRegistry()
    if registry.algorithmById("tiledseg:statistics") is None:
        pytest.skip("tiledseg:statistics is not there")
    return registry.createAlgorithmById(MODEL)


def outputs(model, folder):
    ends = {"sink": "tiles.gpkg", "rasterDestination": "segments.tif"}
    destinations = [definition for definition in model.parameterDefinitions() if definition.isDestination()]
    return {d.name(): str(folder / ends.get(d.type(), "statistics.csv")) for d in destinations}


def test_model_is_explained(model):
    assert model.canExecute() == (True, "")
    assert all(len(definition.help()) > 20 for definition in model.parameterDefinitions())
    names = [definition.name() for definition in model.parameterDefinitions() if not definition.isDestination()]
    expected = ["INPUT", "BANDS", "NUM_CLUSTERS", "MIN_PIXELS", "TILE_WIDTH", "TILE_HEIGHT", "VALID_DATA_THRESHOLD"]
    assert names == expected


def test_model_opens_in_the_modeler(model, plugin):
    from qgis.core import QgsProcessingModelAlgorithm

    opened = QgsProcessingModelAlgorithm()
    assert opened.fromFile(model.FILE)
    assert set(opened.childAlgorithms()) == {"preflight", "segment", "statistics"}
    assert opened.canExecute() == (True, "")
    assert opened.validate() == (True, [])  # the modeler shows no step in red
    assert model.validate() == (True, [])


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
    assert segments[0]["SEGMENT_COUNT"] == gdal.Open(str(tmp_path / "segments.tif")).ReadAsArray().max()


@pytest.mark.command
def test_model_runs_from_the_command_line(model, qgis_process, small_raster, tmp_path):
    given = [f"{name}={value}" for name, value in outputs(model, tmp_path).items()]
    finished = qgis_process("--json", "run", MODEL, "--", f"INPUT={small_raster}", "MIN_PIXELS=10", *given)
    assert finished.returncode == 0, finished.stderr
    json.loads(finished.stdout)
    assert {"tiles.gpkg", "segments.tif", "statistics.csv"} <= set(os.listdir(tmp_path))
