# SPDX-License-Identifier: GPL-2.0-or-later
"""Values that are not understood are refused, in every parameter of every algorithm, in QGIS and in the engine."""

import json
import math
import os
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from rasters import Feedback, run, write_raster
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.parameters import PreflightParameters, SegmentParameters
from tiledseg.tiledseg_plugin.engine.preflight import preflight
from tiledseg.tiledseg_plugin.engine.products.segment_columns import RasteriseParameters, rasterise_column
from tiledseg.tiledseg_plugin.engine.products.segment_neighbours import NeighboursParameters, segment_neighbours
from tiledseg.tiledseg_plugin.engine.products.segment_polygons import (
    MeanImageParameters,
    PolygonsParameters,
    segment_mean_image,
    segment_polygons,
)
from tiledseg.tiledseg_plugin.engine.products.segment_shape import ShapeParameters, segment_shape
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from today import in_turn

ALGORITHMS = (
    "segment",
    "preflight",
    "parameters",
    "statistics",
    "shape",
    "neighbours",
    "rasterise",
    "meanimage",
    "polygons",
    "levels",
    "checksegmentstatistics",
)
LISTS = ("NUM_CLUSTERS", "MIN_PIXELS", "DISTANCE_THRESHOLD")  # of the search for parameters
NAN, INFINITE = math.nan, math.inf
NO_NUMBERS = ["50,5", "none", "1e999", "0x10", "1_000", "٣", "12 px", "--5", "NaN", "inf", True, False, NAN, INFINITE]
NO_NUMBERS += [np.array([60, 61]), np.array([]), -INFINITE, [60], {"a": 1}, 10**30, "1" * 400]
NO_TEXTS = [5, True, 1.5, ["a"], {"a": 1}, "a\0b"]
BAD = {
    "whole": [*NO_NUMBERS, "5.7", 5.7, "1e12", 1e12, 10**12, -(10**12), 2**31, "1e-3", 0.5],
    "real": [*NO_NUMBERS, -1, "-0.5", 1e300, "1e300"],
    "boolean": ["maybe", "2", 2, -1, 0.5, [True], "wahr", "truee", NAN, {"a": 1}],
    "enum": ["magic", 0, 1, 99, -1, True, 1.5, ["any"], {"a": 1}],
    "enums": [["mode"], "mode", ["p00"], [99], [-1], [True], 3.5, "MEAN", ["mean", "mode"], {"a": 1}],
    "band": ["1,3", "red", [1.5], 1.5, True, "1_0", [[1]], NAN, {"a": 1}, "1;;3", "Band 1", "1e9999", np.array([1, 3])],
    "string": NO_TEXTS,
    "list": [True, ["20"], {"a": 1}, "a\0b", "1,5", "x", "20;;30", "--1", "1e999", "nan", "0", -3, "1" * 400],
    "NODATA": [True, ["a"], {"a": 1}, "a\0b", "0;1", "1,5", "no", "--1", "1" * 400],
    "PERCENTILES": [*NO_TEXTS, "0", "100", "p", "5.5", "-1", "10 20", "median"],
    "extent": [5, True, 1.5, ["a"], {"a": 1}, "a\0b", "somewhere", "1,2,3", "1,2,3,x", "1,2,3,4", "1;2;3;4"],
    "file": NO_TEXTS,
    "crs": [5, True, ["EPSG:4326"], 4326, {"a": 1}, "EPSG:99999999", "mine"],
    "raster": [5, True, 1.5, ["a.tif"], {"a": 1}, "no.tif"],
    "multilayer": [5, True, 1.5, {"a": 1}, "no.tif", ["no.tif"], [5]],
    "vector": [5, True, 1.5, ["a.gpkg"], {"a": 1}, "no.gpkg"],
    "layer": [5, True, 1.5, ["a.gpkg"], {"a": 1}, "no.gpkg"],
    "field": NO_TEXTS,
    "source": [5, True, 1.5, ["a.gpkg"], {"a": 1}, "no.gpkg"],
    "rasterDestination": NO_TEXTS,
    "vectorDestination": NO_TEXTS,
    "sink": NO_TEXTS,
    "fileDestination": NO_TEXTS,
}


def kind_of(definition):
    if definition.name() in BAD:
        return definition.name()
    if definition.type() == "string" and definition.name() in LISTS:
        return "list"
    if definition.type() == "number":
        return "whole" if definition.dataType() == type(definition).Type.Integer else "real"
    return "enums" if definition.type() == "enum" and definition.allowMultiple() else definition.type()


@pytest.fixture(scope="module")
def rasters(tmp_path_factory):
    folder = tmp_path_factory.mktemp("values")
    rng = np.random.default_rng(1)
    ids = np.kron(np.arange(1, 26, dtype=np.uint32).reshape(5, 5), np.ones((6, 6), np.uint32))
    return {
        "segments": write_raster(folder / "ids.tif", ids[None]),
        "values": write_raster(folder / "values.tif", rng.integers(1, 250, (3, 30, 30)).astype(np.uint8)),
    }


def good_values(algorithm, rasters, folder):
    given = {"INPUT": rasters["values"], "SEGMENTS": rasters["segments"], "VALUES": rasters["values"]}
    ends = {"rasterDestination": ".tif", "vectorDestination": ".gpkg", "sink": ".gpkg", "fileDestination": ".html"}
    found = {}
    for definition in algorithm.parameterDefinitions():
        name = definition.name()
        if name in given:
            found[name] = given[name]
        elif definition.isDestination() and name != "POLYGON_TABLE":  # which needs REFERENCE
            found[name] = str(folder / ("out_" + "".join(filter(str.isalnum, name)) + ends[definition.type()]))
    return found


@pytest.mark.qgis
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_parameter_refuses_what_it_does_not_understand(plugin, rasters, tmp_path, name):
    import processing
    from qgis.core import QgsApplication, QgsProcessingException

    algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"tiledseg:{name}")
    given = good_values(algorithm, rasters, tmp_path)
    tried, wrong = 0, []
    for definition in algorithm.parameterDefinitions():
        bad = list(BAD[kind_of(definition)])
        if definition.type() == "enum":
            bad.append(definition.options()[0].upper())
        for value in bad:
            tried += 1
            try:
                processing.run(algorithm.id(), {**given, definition.name(): value})
            except QgsProcessingException as error:
                lines = str(error).splitlines()
                if len(lines) != 2 or definition.name() not in lines[1]:
                    wrong.append((definition.name(), value, str(error)))
            else:
                wrong.append((definition.name(), value, "accepted"))
            if os.listdir(tmp_path):
                wrong.append((definition.name(), value, os.listdir(tmp_path)))
    assert not wrong
    assert tried >= min(30, 7 * len(algorithm.parameterDefinitions()))


@pytest.mark.qgis
@pytest.mark.parametrize(
    "given, said",
    [
        ({"DISTANCE_THRESHOLD": "50,5"}, "DISTANCE_THRESHOLD is '50,5', which is not a number above 0: write decimals "
         "with a point, as in 50.5, or leave it empty."),
        ({"NUM_CLUSTERS": "5.7"}, "NUM_CLUSTERS is '5.7', which is not a whole number from 2 to 65534: give one, such "
         "as 60."),
        ({"TILE_WIDTH": 1e12}, "TILE_WIDTH is '1000000000000.0', which is not a whole number from 16 to 2147483647: "
         "give one, such as 2000."),
        ({"MIN_PIXELS": 0}, "MIN_PIXELS is '0', which is not a whole number of at least 1: give one, such as 100."),
        ({"STRETCH": "maybe"}, "STRETCH is 'maybe', which is not true or false: give one of the two."),
        ({"NODATA_RULE": "ANY"}, "NODATA_RULE is 'ANY', which is not one of its values: give one of any, all, in "
         "these letters."),
        ({"WORK_DIR": 5}, "WORK_DIR is '5', which is not text: give it as text, or leave it empty."),
        ({"NUM_CLUSTERS": "2\n0"}, "NUM_CLUSTERS is '2 0', which is not a whole number from 2 to 65534: give one, "
         "such as 60."),
    ],
)  # fmt: skip
def test_the_sentence_says_what_is_right(algorithm, rasters, tmp_path, given, said):
    from qgis.core import QgsProcessingContext

    parameters = {"INPUT": rasters["values"], "OUTPUT": str(tmp_path / "a.tif"), **given}
    assert algorithm.checkParameterValues(parameters, QgsProcessingContext()) == (False, said)


def ways_to_say(number):
    from qgis.core import QgsProperty

    yield from (number, float(number), str(number), f" {number} ", f"{number}.0", f"{number / 10}e1", np.int64(number))
    yield from (np.float32(number), QgsProperty.fromExpression(f"{number} / 2 * 2"), QgsProperty.fromValue(number))
    yield QgsProperty.fromExpression(f"'{number}'")


@pytest.mark.qgis
def test_what_is_understood_is_taken_as_it_is(algorithm, rasters):
    from qgis.core import QgsProcessingContext, QgsProperty

    context = QgsProcessingContext()

    def read(**given):
        return algorithm.run_parameters({"INPUT": rasters["values"], **given}, context)

    for way in ways_to_say(62):
        assert read(NUM_CLUSTERS=way).num_clusters == 62
        assert read(DISTANCE_THRESHOLD=way).distance_threshold == 62.0
    assert read(DISTANCE_THRESHOLD="5.25E-1").distance_threshold == 0.525
    for empty in (None, "", QgsProperty.fromExpression("NULL")):
        assert read(DISTANCE_THRESHOLD=empty).distance_threshold is None
        assert read(WORK_DIR=empty).work_dir == ""
    for yes in (True, "true", "TRUE", "yes", "1", 1, 1.0, QgsProperty.fromExpression("1 = 1")):
        assert read(RSGISLIB_STRETCH=yes).rsgislib_stretch is True
    for no in (False, "false", "False", "no", "0", 0, QgsProperty.fromExpression("1 = 2")):
        assert read(STRETCH=no).stretch is False
    for bands in ([1, 3], "1;3", ["1", "3"], (1.0, 3), QgsProperty.fromExpression("'1;3'")):
        assert read(BANDS=bands).bands == (1, 3)
    assert read(NODATA_RULE=QgsProperty.fromExpression("'a' || 'll'")).nodata_rule == "all"
    assert read().distance_threshold == 100.0


@pytest.mark.qgis
def test_an_expression_that_is_none_is_refused(algorithm, rasters):
    from qgis.core import QgsProcessingContext, QgsProperty

    given = {"INPUT": rasters["values"], "NUM_CLUSTERS": QgsProperty.fromExpression("5 +")}
    accepted, said = algorithm.checkParameterValues({**given, "OUTPUT": "TEMPORARY_OUTPUT"}, QgsProcessingContext())
    assert not accepted
    assert said == "NUM_CLUSTERS is the expression '5 +', which cannot be evaluated: correct it, or give a value."


@pytest.mark.qgis
@pytest.mark.parametrize("given", [{"NUM_CLUSTERS": "5.7"}, {"STRETCH": "maybe"}, {"EXECUTION": "SERIAL"}])
def test_values_are_read_strictly_where_nobody_asked_before(algorithm, rasters, tmp_path, given):
    """Models run algorithms without calling checkParameterValues."""
    from qgis.core import QgsProcessingContext, QgsProcessingFeedback

    feedback = QgsProcessingFeedback()
    parameters = {"INPUT": rasters["values"], "OUTPUT": str(tmp_path / "a.tif"), **given}
    results, successful = algorithm.run(parameters, QgsProcessingContext(), feedback)
    assert (results, successful) == ({}, False)
    ((name, value),) = given.items()
    assert f"{name} is '{value}', which is not" in feedback.textLog()
    assert not os.listdir(tmp_path)


# the same path for all, of which the tests above try every parameter; a call takes seconds
COMMAND_LINE = [
    ("segment", {"DISTANCE_THRESHOLD": "50,5"}),
    ("statistics", {"UPDATE_RAT": "maybe"}),
    ("segment", {"NUM_CLUSTERS": "5.7"}),
    ("preflight", {"VALID_DATA_THRESHOLD": "0,3"}),
    ("segment", {"TILE_WIDTH": "1e12"}),
    ("checksegmentstatistics", {"MIN_PIXELS": "1e999"}),
    ("segment", {"STRETCH": "maybe"}),
]


@pytest.mark.command
@pytest.mark.parametrize("name, given", in_turn(COMMAND_LINE, 3))
def test_the_command_line_says_so_in_one_line_with_status_1(qgis_process, plugin, rasters, tmp_path, name, given):
    from qgis.core import QgsApplication

    algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"tiledseg:{name}")
    parameters = {**good_values(algorithm, rasters, tmp_path), **given}
    arguments = [f"{key}={value}" for key, value in parameters.items()]
    finished = qgis_process("run", algorithm.id(), "--", *arguments)
    ((key, value),) = given.items()
    lines = [line for line in (finished.stdout + finished.stderr).splitlines() if f"{key} is '{value}'" in line]
    assert finished.returncode == 1
    assert len(lines) == 1
    assert "Traceback" not in finished.stdout + finished.stderr
    assert not os.listdir(tmp_path)


WRONG = {
    bool: [1, "true", None, 0.0],
    int: [True, 5.5, "5", None, NAN, [5], 2**31],
    float: [True, NAN, INFINITE, "0.3", None],
    str: [5, None, True, ["a"], Path("a")],
}
RUNS = {
    SegmentParameters: lambda given: given.check(),
    PreflightParameters: lambda given: preflight(given, Feedback()),
    StatisticsParameters: lambda given: segment_statistics(given, Feedback()),
    NeighboursParameters: lambda given: segment_neighbours(given, Feedback()),
    RasteriseParameters: lambda given: rasterise_column(given, Feedback()),
    ShapeParameters: lambda given: segment_shape(given, Feedback()),
    PolygonsParameters: lambda given: segment_polygons(given, Feedback()),
    MeanImageParameters: lambda given: segment_mean_image(given, Feedback()),
}


@pytest.mark.parametrize("parameters", RUNS, ids=lambda parameters: parameters.__name__)
def test_the_engine_refuses_values_of_another_kind(parameters, rasters, tmp_path):
    names = {field.name: field.type for field in fields(parameters)}
    needed = {"input": rasters["values"], "segments": rasters["segments"], "values": rasters["values"]}
    needed.update(output=str(tmp_path / "out.xyz"), column="mean_1")
    good = parameters(**{name: value for name, value in needed.items() if name in names})
    for name, kind in names.items():
        if kind not in WRONG:
            wrong = [5, "5", None, (5.5,), (True,), ((1, 2),)]
            wrong = [False, NAN, INFINITE, "5"] if name == "distance_threshold" else wrong
        else:
            wrong = [value for value in WRONG[kind] if value != 2**31 or name not in ("workers",)]
        for value in wrong:
            with pytest.raises(SegmentationError, match=f"^{name.upper()} is .*") as error:
                RUNS[parameters](replace(good, **{name: value}))
            assert len(str(error.value).splitlines()) == 1


def test_numbers_of_numpy_are_fine(rasters, tmp_path):
    chosen = {"num_clusters": np.int64(5), "min_pixels": np.uint8(3), "distance_threshold": np.float32(20.5)}
    chosen.update(bands=np.arange(1, 3, dtype=np.int16).tolist(), stretch=np.bool_(True), sampling=np.int32(1))
    ids, result = run(rasters["values"], tmp_path / "a.tif", work_dir=str(tmp_path / "work"), **chosen)
    expected, _ = run(
        rasters["values"], tmp_path / "b.tif", num_clusters=5, min_pixels=3, distance_threshold=20.5, bands=(1, 2),
        sampling=1,
    )  # fmt: skip
    assert np.array_equal(ids, expected)
    assert json.loads(Path(result.report).read_text(encoding="utf-8"))["parameters"]["num_clusters"] == 5


@pytest.mark.parametrize("threshold", [NAN, 0, -1.0, INFINITE])
def test_the_engine_takes_no_threshold_that_is_none(threshold):
    with pytest.raises(SegmentationError, match="DISTANCE_THRESHOLD"):
        SegmentParameters("a.tif", "b.tif", distance_threshold=threshold).check()
