# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:parameters` as QGIS runs it: its published interface, layers, models that go on, and the command line."""

import csv
import json

import pytest
from osgeo import ogr
from rasters import write_patches
from test_users_models import add_input, add_step, new_model, saved_and_opened, static

core = pytest.importorskip("qgis.core", reason="QGIS is not in this Python")
pytestmark = pytest.mark.qgis

# id: (type, default, advanced, optional), the published interface
INTERFACE = {
    "INPUT": ("raster", None, False, False),
    "BANDS": ("band", None, False, True),
    "NUM_CLUSTERS": ("string", "20;40;60;100", False, False),
    "MIN_PIXELS": ("string", "25;50;100;200;500;1000;2000;5000", False, False),
    "DISTANCE_THRESHOLD": ("string", "100", False, True),
    "STRETCH": ("enum", "on", False, False),
    "REGIONS": ("source", None, False, True),
    "WINDOWS": ("number", 6, False, False),
    "WINDOW_SIZE": ("number", 500, False, False),
    "EXTENT": ("extent", None, False, True),
    "REFERENCE": ("source", None, False, True),
    "CRITERION": ("enum", "auto", False, False),
    "SAMPLING": ("number", 100, True, False),
    "KMEANS_MAX_ITERATIONS": ("number", 200, True, False),
    "NODATA": ("string", None, True, True),
    "NODATA_RULE": ("enum", "any", True, False),
    "WORKERS": ("number", 0, True, False),
    "OUTPUT": ("vectorDestination", None, False, False),
    "REPORT": ("fileDestination", None, False, True),
    "POLYGON_TABLE": ("vectorDestination", None, False, True),
}
OUTPUTS = {
    "OUTPUT": "outputVector",
    "REPORT": "outputHtml",
    "POLYGON_TABLE": "outputVector",
    "BEST_NUM_CLUSTERS": "outputNumber",
    "BEST_MIN_PIXELS": "outputNumber",
    "BEST_DISTANCE_THRESHOLD": "outputNumber",
    "BEST_STRETCH": "outputBoolean",
    "SCORE": "outputNumber",
    "CANDIDATE_COUNT": "outputNumber",
    "AREA_COUNT": "outputNumber",
    "POLYGON_COUNT": "outputNumber",
}


@pytest.fixture
def search(plugin):
    return core.QgsApplication.processingRegistry().createAlgorithmById("tiledseg:parameters")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return write_patches(tmp_path_factory.mktemp("scene") / "in.tif")


def rows_of(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_interface_is_the_published_one(search):
    flag = core.QgsProcessingParameterDefinition.Flag
    found = {
        definition.name(): (
            definition.type(),
            definition.defaultValue(),
            bool(definition.flags() & flag.FlagAdvanced),
            bool(definition.flags() & flag.FlagOptional),
        )
        for definition in search.parameterDefinitions()
    }
    assert found == INTERFACE
    assert {output.name(): output.type() for output in search.outputDefinitions()} == OUTPUTS
    assert search.parameterDefinition("STRETCH").options() == ["on", "off", "both"]
    assert search.parameterDefinition("CRITERION").options() == ["auto", "f_measure", "goodness", "rms", "ed2", "iou"]


def test_help_states_the_defaults_of_lists(search):
    assert "Default: 20;40;60;100." in search.parameterDefinition("NUM_CLUSTERS").help()
    assert "Default: 100." in search.parameterDefinition("DISTANCE_THRESHOLD").help()
    assert "Default: empty." in search.parameterDefinition("REGIONS").help()


def polygons_in_degrees():
    """A layer in memory of two rectangles over patches, in EPSG:4326; one of them is selected."""
    layer = core.QgsVectorLayer("Polygon?crs=EPSG:4326", "mine", "memory")
    context = core.QgsProject.instance().transformContext()
    systems = (core.QgsCoordinateReferenceSystem(name) for name in ("EPSG:32630", "EPSG:4326"))
    change = core.QgsCoordinateTransform(*systems, context)
    features = []
    for left, top in ((500200, 5999800), (500600, 5999600)):
        feature = core.QgsFeature()
        shape = core.QgsGeometry.fromRect(core.QgsRectangle(left, top - 196, left + 196, top)).densifyByDistance(10)
        shape.transform(change)
        feature.setGeometry(shape)
        features.append(feature)
    layer.dataProvider().addFeatures(features)
    return layer


def test_layers_in_another_coordinate_system(plugin, scene, tmp_path):
    import processing

    layer = polygons_in_degrees()
    paths = {name: str(tmp_path / file) for name, file in (("OUTPUT", "t.csv"), ("POLYGON_TABLE", "p.csv"))}
    given = {"INPUT": scene, "NUM_CLUSTERS": 20, "MIN_PIXELS": "10;50", "REFERENCE": layer, "REGIONS": layer, **paths}
    result = processing.run("tiledseg:parameters", given)
    assert (result["POLYGON_COUNT"], result["AREA_COUNT"], result["CANDIDATE_COUNT"]) == (2, 2, 2)
    assert {int(row["pixels"]) for row in rows_of(paths["POLYGON_TABLE"])} == {20 * 20}
    best = min(rows_of(paths["OUTPUT"]), key=lambda row: float(row["rms"]))
    assert (result["BEST_MIN_PIXELS"], result["SCORE"]) == (int(best["min_pixels"]), float(best["rms"]))
    layer.select(1)
    source = core.QgsProcessingFeatureSourceDefinition(layer.id(), True)
    core.QgsProject.instance().addMapLayer(layer)
    try:
        result = processing.run("tiledseg:parameters", {**given, "REGIONS": None, "REFERENCE": source})
    finally:
        core.QgsProject.instance().removeAllMapLayers()
    assert result["POLYGON_COUNT"] == 1


@pytest.mark.parametrize(("thresholds", "expected"), [("1e9;none", 1e9), ("", None), ("none", None), (30, 30.0)])
def test_thresholds(plugin, scene, tmp_path, thresholds, expected):
    import processing

    given = {"NUM_CLUSTERS": "9", "MIN_PIXELS": 12, "DISTANCE_THRESHOLD": thresholds, "OUTPUT": str(tmp_path / "t.csv")}
    assert processing.run("tiledseg:parameters", {"INPUT": scene, **given})["BEST_DISTANCE_THRESHOLD"] == expected


@pytest.mark.parametrize("threshold", ["60", "none"])
def test_a_model_goes_on_with_the_best(plugin, scene, tmp_path, threshold):
    import processing

    registry = core.QgsApplication.processingRegistry()
    search, segment = (registry.createAlgorithmById(f"tiledseg:{name}") for name in ("parameters", "segment"))
    model = new_model()
    raster = add_input(model, core.QgsProcessingParameterRasterLayer("INPUT", "Raster"))
    lists = {"NUM_CLUSTERS": "9;20", "MIN_PIXELS": "10;40", "DISTANCE_THRESHOLD": threshold}
    defaults = {
        definition.name(): static(definition.defaultValue())
        for definition in search.parameterDefinitions()
        if definition.defaultValue() is not None
    }
    sources = {**defaults, **{name: static(value) for name, value in lists.items()}, "INPUT": raster}
    assert add_step(model, search, sources, ["OUTPUT"]) == (True, [])
    linked = core.QgsProcessingModelChildParameterSource.fromChildOutput
    best = {
        name: linked("parameters", f"BEST_{name}")
        for name in ("NUM_CLUSTERS", "MIN_PIXELS", "DISTANCE_THRESHOLD", "STRETCH")
    }
    defaults = {
        d.name(): static(d.defaultValue()) for d in segment.parameterDefinitions() if d.defaultValue() is not None
    }
    assert add_step(model, segment, {**defaults, "INPUT": raster, **best}, ["OUTPUT"]) == (True, [])
    opened = saved_and_opened(model, tmp_path)
    assert opened.validate() == (True, [])
    files = {"vectorDestination": "t.csv", "rasterDestination": "o.tif"}
    ends = [definition for definition in opened.parameterDefinitions() if definition.isDestination()]
    processing.run(opened, {"INPUT": scene, **{end.name(): str(tmp_path / files[end.type()]) for end in ends}})
    found = next(row for row in rows_of(tmp_path / "t.csv") if row["rank"] == "1")
    used = json.loads((tmp_path / "o_report.json").read_text("utf-8"))
    names = {name.upper(): value for name, value in used["parameters"].items()}
    assert names["NUM_CLUSTERS"] == int(found["num_clusters"]) and names["MIN_PIXELS"] == int(found["min_pixels"])
    assert names["DISTANCE_THRESHOLD"] == (60 if threshold == "60" else None)
    assert used["results"]["segment_count"] == int(found["segments"])  # the whole raster was measured


@pytest.mark.command
def test_the_command_line_makes_table_and_report(qgis_process, scene, tmp_path):
    paths = {"OUTPUT": tmp_path / "t.gpkg", "REPORT": tmp_path / "r.html"}
    lists = {"INPUT": scene, "NUM_CLUSTERS": "9;20", "MIN_PIXELS": "10;40", **paths}
    finished = qgis_process(
        "run", "--json", "tiledseg:parameters", "--", *(f"{name}={value}" for name, value in lists.items())
    )
    assert finished.returncode == 0, finished.stderr
    results = json.loads(finished.stdout)["results"]
    dataset = ogr.Open(str(tmp_path / "t.gpkg"))
    rows = [feature.items() for feature in dataset.GetLayer(0)]
    best = next(row for row in rows if row["rank"] == 1)
    assert len(rows) == results["CANDIDATE_COUNT"] == 4
    assert (results["BEST_NUM_CLUSTERS"], results["BEST_MIN_PIXELS"]) == (best["num_clusters"], best["min_pixels"])
    assert "The best by F measure" in (tmp_path / "r.html").read_text("utf-8")
