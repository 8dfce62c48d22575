# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said when something is wrong: one sentence, on one line, once, the right one; and no file is changed."""

import os
import re
import shutil

import numpy as np
import pytest
from guarded import contents, ids, values, write_tiles, write_vrt
from osgeo import gdal
from rasters import write_raster
from test_neighbours import with_column
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError, why
from tiledseg.tiledseg_plugin.engine.files import work_folder
from tiledseg.tiledseg_plugin.engine.files.gdal_access import LONGEST_REASON, reason
from tiledseg.tiledseg_plugin.engine.files.tables import Column, write_table
from tiledseg.tiledseg_plugin.engine.files.work_folder import WorkFolder
from today import in_turn
from zone_layers import box, line, polygon, write_layer

pytestmark = pytest.mark.qgis

# (algorithm, parameters, what the sentence says); {f} is the folder
REFUSED = {
    "missing raster": ("segment", {"INPUT": "{f}/nope.tif"}, r"INPUT: .*nope\.tif cannot be opened .*No such file"),
    "no raster": ("segment", {"INPUT": "{f}/text.tif"}, r"INPUT: .*text\.tif cannot be opened .*not recognized"),
    "container": ("segment", {"INPUT": "{f}/two.gpkg"}, r"INPUT: .*choose one of its subdatasets"),
    "container of values": ("statistics", {"VALUES": "{f}/two.gpkg"}, r"VALUES: .*choose one of its subdatasets"),
    "container of segments": ("polygons", {"SEGMENTS": "{f}/two.gpkg"}, r"SEGMENTS: .*choose one of its subdatasets"),
    "damaged VRT": ("segment", {"INPUT": "{f}/damaged.vrt"}, r"INPUT: .*damaged\.vrt cannot be opened"),
    "band": ("segment", {"BANDS": "9"}, r"BANDS names band 9"),
    "band of values": ("meanimage", {"BANDS": "9"}, r"BANDS names band 9"),
    "missing folder": ("segment", {"OUTPUT": "{f}/no/o.tif"}, r"folder .*/no of OUTPUT does not exist"),
    "missing folder of tiles": ("segment", {"S1TILES": "{f}/no/t.gpkg"}, r"folder .*/no of S1TILES does not exist"),
    "missing folder of polygons": (
        "segment",
        {"POLYGONS": "{f}/no/t.gpkg"},
        r"folder .*/no of POLYGONS does not exist",
    ),
    "missing folder of an image": (
        "segment",
        {"MEAN_IMAGE": "{f}/no/t.tif"},
        r"folder .*/no of MEAN_IMAGE does not exist",
    ),
    "missing folder of the check": ("preflight", {"OUTPUT": "{f}/no/t.gpkg"}, r"folder .*/no of OUTPUT does not exist"),
    "missing folder of a table": ("statistics", {"OUTPUT": "{f}/no/t.gpkg"}, r"folder .*/no of OUTPUT does not exist"),
    "folder of the system": ("segment", {"S1TILES": "/proc/t.gpkg"}, r"folder /proc of S1TILES cannot be written to"),
    "folder as polygons": ("polygons", {"OUTPUT": "{f}/folder.gpkg"}, r"OUTPUT .*folder\.gpkg is a folder"),
    "folder as tiles": ("segment", {"S1TILES": "{f}/folder.gpkg"}, r"S1TILES .*folder\.gpkg is a folder"),
    "extension": ("segment", {"OUTPUT": "{f}/o.xyz9"}, r"'\.xyz9'"),
    "extension of tiles": ("segment", {"S1TILES": "{f}/t.xyz9"}, r"S1TILES .*'\.xyz9', which QGIS writes no layers to"),
    "extension of the check": (
        "preflight",
        {"OUTPUT": "{f}/t.xyz9"},
        r"OUTPUT .*'\.xyz9', which QGIS writes no layers to",
    ),
    "extension of polygons": ("segment", {"POLYGONS": "{f}/p.xyz9"}, r"POLYGONS .*'\.xyz9'"),
    "extension of a table": ("statistics", {"OUTPUT": "{f}/t.xyz9"}, r"'\.xyz9'"),
    "format without polygons": ("segment", {"S1TILES": "{f}/t.gpx"}, r"S1TILES .*does not take polygons"),
    "long name": ("segment", {"OUTPUT": "{f}/" + 247 * "n" + ".tif"}, r"name of OUTPUT .* is too long"),
    "long name of tiles": ("segment", {"S1TILES": "{f}/" + 249 * "n" + ".gpkg"}, r"name of S1TILES .* is too long"),
    "long name of a table": ("statistics", {"OUTPUT": "{f}/" + 249 * "n" + ".gpkg"}, r"name of OUTPUT .* is too long"),
    "reference system": (
        "segment",
        {"INPUT": "{f}/own.tif", "POLYGONS": "{f}/p.geojson"},
        r"POLYGONS .*cannot hold the coordinate",
    ),
    "reference system of tiles": (
        "segment",
        {"INPUT": "{f}/own.tif", "S1TILES": "{f}/p.geojson"},
        r"S1TILES .*cannot hold the coordinate",
    ),
    "reference system of the check": (
        "preflight",
        {"INPUT": "{f}/own.tif", "OUTPUT": "{f}/p.geojson"},
        r"OUTPUT .*cannot hold the coordinate",
    ),
    "input": ("segment", {"OUTPUT": "{f}/in.tif"}, r"OUTPUT .*in\.tif is the input itself, INPUT"),
    "source of the input": ("segment", {"INPUT": "{f}/v.vrt", "OUTPUT": "{f}/in.tif"}, r"in\.tif is a file of INPUT"),
    "tiles": ("segment", {"TILES": "{f}/tiles.gpkg", "S1TILES": "{f}/tiles.gpkg"}, r"is the input itself, TILES"),
    "collision": ("segment", {"POLYGONS": "{f}/p.gpkg", "S1TILES": "{f}/p.gpkg"}, r"Two outputs have one name"),
    "a user's file": ("segment", {"OUTPUT": "{f}/mine.tif"}, r"mine_report\.json is in the way of OUTPUT"),
    "no polygons": ("segment", {"TILES": "{f}/nope.gpkg"}, r"TILES .*nope\.gpkg"),
    "no zones": ("segment", {"ZONES": "{f}/nope.gpkg"}, r"ZONES .*nope\.gpkg cannot be opened .*No such file"),
    "text as zones": ("segment", {"ZONES": "{f}/text.tif"}, r"ZONES .*text\.tif cannot be opened .*not recognized"),
    "no layer": (
        "segment",
        {"ZONES": "{f}/tiles.gpkg|layername=no"},
        r"ZONES .* cannot be opened \(it has no such layer",
    ),
    "points as zones": ("segment", {"ZONES": "{f}/points.gpkg"}, r"ZONES .* holds a point where polygons or lines are"),
    "empty zones": ("segment", {"ZONES": "{f}/nothing.gpkg"}, r"ZONES .*nothing\.gpkg has no features"),
    "zones without shapes": (
        "segment",
        {"ZONES": "{f}/shapeless.gpkg"},
        r"ZONES .*shapeless\.gpkg holds no geometries",
    ),
    "zones elsewhere": ("segment", {"ZONES": "{f}/far.gpkg"}, r"ZONES .*far\.gpkg does not lie over .*in\.tif"),
    "classes elsewhere": ("segment", {"ZONES": "{f}/far.tif"}, r"ZONES .*far\.tif does not lie over .*in\.tif"),
    "zones elsewhere of a check": ("preflight", {"ZONES": "{f}/far.gpkg"}, r"ZONES .*far\.gpkg does not lie over"),
    "zones and RSGISLib": (
        "segment",
        {"ZONES": "{f}/tiles.gpkg", "ENGINE": "rsgislib"},
        r"ZONES is for ENGINE=builtin only",
    ),
    "zones as output": (
        "segment",
        {"ZONES": "{f}/zones.tif", "OUTPUT": "{f}/zones.tif"},
        r"is the input itself, ZONES",
    ),
    "outside": ("segment", {"ZONES_OUTSIDE": "leave"}, r"ZONES_OUTSIDE is 'leave', which is not one of its values"),
    "mixed zones": ("segment", {"ZONES": "{f}/mixed.gpkg"}, r"Feature 2 of ZONES .* is a linestring among polygons"),
    "levels": ("segment", {"LEVELS": "500;2k"}, r"LEVELS is '500;2k', in which '2k' is no whole number"),
    "a level below": ("segment", {"LEVELS": "100"}, r"LEVELS is '100', in which 100 is not above MIN_PIXELS, 100:"),
    "levels that fall": ("segment", {"LEVELS": "500;300"}, r"which 300 is not above the one before it, 500:"),
    "too great a level": ("segment", {"LEVELS": "99999999999"}, r"LEVELS is 99999999999: give a number of 2 to 21474"),
    "no level": ("levels", {"LEVEL": "1,5"}, r"LEVEL is '1,5', which is not a whole number"),
    "segments without a table": ("levels", {}, r"SEGMENTS .*s\.tif has no attribute table, or none of segments:"),
    "levels of RSGISLib": (
        "segment",
        {"LEVELS": "500", "ENGINE": "rsgislib"},
        r"ENGINE=rsgislib makes segments of one",
    ),
    "creation options": ("segment", {"CREATION_OPTIONS": "COMPRESS"}, r"CREATION_OPTIONS has 'COMPRESS'"),
    "statistics": ("statistics", {"STATISTICS": "mode"}, r"STATISTICS is 'mode', which is not one of its values"),
    "percentiles": ("statistics", {"PERCENTILES": "10;100"}, r"PERCENTILES has .100., which is no percentile"),
    "grey levels": ("statistics", {"GREY_LEVELS": 1}, r"GREY_LEVELS is .1., which is not a whole number from 2 to 256"),
    "raster of a series": (
        "statistics",
        {"MORE_VALUES": ["{f}/nope.tif"]},
        r"MORE_VALUES: .*nope\.tif cannot be opened",
    ),
    "raster twice": ("statistics", {"MORE_VALUES": "{f}/in.tif"}, r"in\.tif twice: give each raster once"),
    "percentile": ("statistics", {"STATISTICS": ["p00"]}, r"STATISTICS is 'p00', which is not one of its values"),
    "no table": ("rasterise", {}, r"SEGMENTS .*s\.tif has no attribute table: give a TABLE"),
    "column": ("rasterise", {"COLUMN": "x"}, r"SEGMENTS .*s\.tif has no attribute table"),
    "column of a table": (
        "rasterise",
        {"TABLE": "{f}/tiles.gpkg", "ID_FIELD": "fid"},
        r"COLUMN is 'mean_1', and TABLE .*tiles\.gpkg has no such column: choose one of",
    ),
    "missing table": ("rasterise", {"TABLE": "{f}/nope.csv"}, r"TABLE .*nope\.csv cannot be opened as a table"),
    "rows of no segment": (
        "rasterise",
        {"TABLE": "{f}/tiles.gpkg", "ID_FIELD": "fid", "COLUMN": "fid", "SEGMENTS": "{f}/other_ids.tif"},
        r"COLUMN fid has no value for any segment of SEGMENTS: check ID_FIELD",
    ),
    "type of a column": ("rasterise", {"DATA_TYPE": "int8"}, r"DATA_TYPE is 'int8', which is not one of its values"),
    "table": ("statistics", {"SEGMENTS": "{f}/v.vrt", "UPDATE_RAT": True}, r"VRT file, which UPDATE_RAT cannot write"),
    "table of shapes": ("shape", {"SEGMENTS": "{f}/v.vrt", "UPDATE_RAT": True}, r"VRT file, which UPDATE_RAT cannot"),
    "extension of shapes": ("shape", {"OUTPUT": "{f}/t.xyz9"}, r"OUTPUT .*'\.xyz9'"),
    "shapes of nothing": ("shape", {"SEGMENTS": "{f}/empty.tif"}, r"holds no segment"),
    "shapes of no ids": ("shape", {"SEGMENTS": "{f}/minus.tif"}, r"holds -3, which is no segment id"),
    "neighbours as both tables": (
        "neighbours",
        {"OUTPUT": "{f}/out/n.gpkg", "SUMMARY": "{f}/out/n.gpkg"},
        r"Two outputs have one name",
    ),
    "extension of a summary": ("neighbours", {"SUMMARY": "{f}/t.xyz9"}, r"SUMMARY .*'\.xyz9'"),
    "missing folder of a summary": ("neighbours", {"SUMMARY": "{f}/no/t.csv"}, r"folder .*/no of SUMMARY does not"),
    "no such classes": (
        "neighbours",
        {"SEGMENTS": "{f}/covered.tif", "CLASSES": "x"},
        r"CLASSES is 'x', .* one of cover",
    ),
    "classes of nothing": ("neighbours", {"CLASSES": "cover"}, r"s\.tif has no attribute table"),
    "empty": ("segment", {"INPUT": "{f}/empty.tif"}, r"empty\.tif has no valid pixel"),
    "no segments": ("polygons", {"SEGMENTS": "{f}/empty.tif"}, r"holds no segment"),
    "list": ("parameters", {"MIN_PIXELS": "20;x"}, r"MIN_PIXELS has 'x', which is not a whole number"),
    "list of thresholds": (
        "parameters",
        {"DISTANCE_THRESHOLD": "5,5"},
        r"DISTANCE_THRESHOLD has '5,5', which is neither",
    ),
    "polygons to search in": ("parameters", {"REGIONS": "{f}/nope.gpkg"}, r"REGIONS .*nope\.gpkg"),
    "polygons far off": ("parameters", {"REFERENCE": "{f}/far.gpkg"}, r"No polygon of REFERENCE lies over"),
    "criterion": ("parameters", {"CRITERION": "iou"}, r"CRITERION=iou needs reference polygons"),
    "report": ("parameters", {"REPORT": "{f}/out/r.txt"}, r"REPORT .*r\.txt is no HTML file"),
    "missing folder of a report": ("parameters", {"REPORT": "{f}/no/r.html"}, r"folder .*/no of REPORT does not exist"),
    "reference as table": (
        "parameters",
        {"REFERENCE": "{f}/tiles.gpkg", "OUTPUT": "{f}/tiles.gpkg"},
        r"is the input itself, REFERENCE",
    ),
    "damaged": ("segment", {"INPUT": "{f}/damaged.tif"}, r"damaged\.tif cannot be read at column 0"),
    "model": ("checksegmentstatistics", {"segment:Segments": "{f}/in.tif"}, r"Segments .*in\.tif is the input itself"),
    "table of the model": ("checksegmentstatistics", {"statistics:Statistics": "{f}/s.xyz9"}, r"Statistics .*'\.xyz9'"),
}
OUTPUTS = {
    "segment": {"INPUT": "{f}/in.tif", "OUTPUT": "{f}/out/o.tif", "EXECUTION": "serial"},
    "preflight": {"INPUT": "{f}/in.tif", "OUTPUT": "{f}/out/t.gpkg"},
    "parameters": {"INPUT": "{f}/in.tif", "OUTPUT": "{f}/out/t.gpkg"},
    "statistics": {"SEGMENTS": "{f}/s.tif", "VALUES": "{f}/in.tif", "OUTPUT": "{f}/out/t.gpkg"},
    "rasterise": {"SEGMENTS": "{f}/s.tif", "OUTPUT": "{f}/out/r.tif"},
    "shape": {"SEGMENTS": "{f}/s.tif", "OUTPUT": "{f}/out/t.gpkg"},
    "neighbours": {"SEGMENTS": "{f}/s.tif", "OUTPUT": "{f}/out/t.gpkg"},
    "meanimage": {"SEGMENTS": "{f}/s.tif", "VALUES": "{f}/in.tif", "OUTPUT": "{f}/out/m.tif"},
    "polygons": {"SEGMENTS": "{f}/s.tif", "OUTPUT": "{f}/out/p.gpkg"},
    "levels": {"SEGMENTS": "{f}/s.tif", "LEVEL": 500, "OUTPUT": "{f}/out/l.tif"},
    "checksegmentstatistics": {
        "INPUT": "{f}/in.tif",
        "preflight:Tiles": "{f}/out/t.gpkg",
        "segment:Segments": "{f}/out/s.tif",
        "statistics:Statistics": "{f}/out/t.csv",
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ein ordner")
    write_raster(folder / "in.tif", values())
    write_raster(folder / "own.tif", values(), crs="+proj=laea +lat_0=12 +lon_0=33 +x_0=7 +ellps=bessel +units=m")
    write_raster(folder / "s.tif", ids(), 0)
    with_column(write_raster(folder / "covered.tif", ids(), 0), "cover", gdal.GFT_Integer, [1, 2, 3, 1, 2, 3, 1])
    write_raster(folder / "other_ids.tif", ids() + 100, 0)
    write_raster(folder / "minus.tif", np.full((1, 9, 9), -3, np.int16))
    write_raster(folder / "empty.tif", np.zeros((1, 20, 20), np.uint8), 0)
    write_vrt(folder / "v.vrt", "in.tif", relative=True)
    damaged = write_raster(
        folder / "damaged.tif",
        np.random.default_rng(1).integers(1, 9999, (3, 300, 300), np.uint16),
        options=["COMPRESS=DEFLATE"],
    )
    with open(damaged, "r+b") as file:
        file.seek(2000)
        file.write(bytes(100_000))
    (folder / "damaged.vrt").write_text("<VRTDataset rasterXSize='4'\n rasterYSize=")
    (folder / "text.tif").write_text("no\nraster")
    (folder / "mine_report.json").write_text('{"mine": 1}')
    (folder / "folder.gpkg").mkdir()
    (folder / "out").mkdir()
    write_table(str(folder / "ids.gpkg"), [Column(name, np.arange(1, 7)) for name in ("segment", "n")], lambda: None)
    write_tiles(folder / "tiles.gpkg")
    write_tiles(folder / "far.gpkg", crs="EPSG:32610")
    write_tiles(folder / "shape.shp", "ESRI Shapefile")
    write_layer(folder / "points.gpkg", ["POINT(3 3)"])
    write_layer(folder / "nothing.gpkg", [])
    write_layer(folder / "shapeless.gpkg", [None])
    write_layer(folder / "far.gpkg", [polygon(box(9000, 9000, 9009, 9009))])
    write_layer(folder / "mixed.gpkg", [polygon(box(0, 0, 9, 9)), line([(1, 1), (9, 9)])])
    write_raster(folder / "zones.tif", ids(), 0)
    write_raster(folder / "far.tif", ids(), 0, geotransform=(900000.0, 10.0, 0.0, 6000000.0, 0.0, -10.0))
    small = write_raster(folder / "byte.tif", values(1).astype(np.uint8))
    for table in ("a", "b"):
        gdal.Translate(
            str(folder / "two.gpkg"),
            small,
            format="GPKG",
            creationOptions=[f"RASTER_TABLE={table}", "APPEND_SUBDATASET=YES"],
        )
    return folder


def filled_in(value, folder):
    if isinstance(value, list):
        return [filled_in(one, folder) for one in value]
    return value.format(f=folder) if isinstance(value, str) else value


def parameters_of(case, folder):
    algorithm, given, sentence = REFUSED[case]
    parameters = {**OUTPUTS[algorithm], **given}
    filled = {name: filled_in(value, folder) for name, value in parameters.items()}
    return f"tiledseg:{algorithm}", filled, sentence


def is_one_sentence(text):
    return "\n" not in text and "Traceback" not in text and "None" not in text and text.rstrip().endswith((".", "?"))


@pytest.mark.parametrize("case", REFUSED)
def test_processing_says_what_is_wrong_in_one_line(plugin, folder, case):
    import processing
    from qgis.core import QgsProcessingException, QgsProcessingFeedback

    algorithm, parameters, sentence = parameters_of(case, folder)
    before, feedback = contents(folder), QgsProcessingFeedback()
    with pytest.raises(QgsProcessingException) as raised:
        processing.run(algorithm, parameters, feedback=feedback)
    said = re.sub(
        r"^(Unable to execute algorithm|There were errors executing the algorithm\.)\s*", "", str(raised.value)
    )
    assert re.search(sentence, said), said
    assert is_one_sentence(said), said
    assert feedback.textLog().count(said) <= 1
    assert contents(folder) == before


# a kind each, three a day, as a call takes seconds: of an input, an output, a parameter, amid a run, of a model
COMMAND_LINE = ("container", "extension of the check", "reference system", "a user's file", "no segments", "model")


@pytest.mark.parametrize("case", in_turn(COMMAND_LINE, 3))
def test_the_command_line_says_what_is_wrong_in_one_line_once(qgis_process, folder, case):
    algorithm, parameters, sentence = parameters_of(case, folder)
    before = contents(folder)
    finished = qgis_process("run", algorithm, "--", *(f"{name}={value}" for name, value in parameters.items()))
    assert finished.returncode == 1
    lines = finished.lines_of_errors()
    checked = "ERROR:\tAn error was encountered while checking parameter values"
    said = [line.replace("ERROR:", "").strip() for line in lines if line != checked]
    assert len(set(said)) == 1 and re.search(sentence, said[0]), finished.stderr
    # QGIS 3.22 itself says three times what ends a run: in its log, as an error, and in its log again
    assert len(said) == (1 if checked in lines else 3), finished.stderr
    assert "Traceback" not in finished.stderr
    assert contents(folder) == before


RUNS = {
    "segment": {
        **{"INPUT": "{f}/v.vrt", "S1TILES": "{f}/out/t.gpkg", "TILES": "{f}/shape.shp"},
        **{"MIN_PIXELS": 3, "SAMPLING": 1},
    },
    "preflight": {"TILES": "{f}/tiles.gpkg"},
    "statistics": {},
    "rasterise": {"TABLE": "{f}/ids.gpkg", "COLUMN": "n"},
    "shape": {},
    "neighbours": {"SEGMENTS": "{f}/covered.tif", "CLASSES": "cover", "SUMMARY": "{f}/out/s.csv"},
    "meanimage": {},
    "polygons": {"VALUES": "{f}/in.tif"},
}


@pytest.mark.parametrize("case", in_turn(RUNS, 3))
def test_a_run_of_the_command_line_changes_nothing_beside_its_inputs(qgis_process, folder, case):
    before = contents(folder)
    given = [f"{name}={value}" for name, value in parameters_of_run(case, folder)]
    finished = qgis_process("run", f"tiledseg:{case}", "--", *given)
    assert finished.returncode == 0, finished.stderr
    assert_nothing_changed(folder, before)


@pytest.mark.parametrize("case", RUNS)
def test_a_run_changes_nothing_beside_its_inputs(plugin, folder, case):
    import processing

    before = contents(folder)
    processing.run(f"tiledseg:{case}", dict(parameters_of_run(case, folder)))
    assert_nothing_changed(folder, before)


def parameters_of_run(algorithm, folder):
    parameters = {**OUTPUTS[algorithm], **RUNS[algorithm]}
    return [(name, filled_in(value, folder)) for name, value in parameters.items()]


def assert_nothing_changed(folder, before):
    after = {name: content for name, content in contents(folder).items() if not name.startswith("out" + os.sep)}
    assert after == before
    shutil.rmtree(folder / "out")
    (folder / "out").mkdir()


def test_errors_have_one_line():
    assert str(SegmentationError("a\nb:\r\n  c ")) == "a b: c"
    assert "\n" not in reason(["first\n  second."]) and reason(["first\n  second."]) == "first second"
    assert len(reason(["x" * 5000])) <= LONGEST_REASON + 5


def test_a_full_disk_is_reported_as_it_is(tmp_path, monkeypatch):
    assert why(OSError("100 requested and 10 written")) == "100 requested and 10 written"
    assert why(OSError(28, "No space left on device")) == "No space left on device"

    def full(file, arrays):
        raise OSError("100 requested and 10 written")

    for path, advice in (("", "temporary folder"), (str(tmp_path / "w"), "WORK_DIR, or choose another")):
        folder = WorkFolder(path, {"parameters": {}})
        monkeypatch.setattr(work_folder, "save_arrays", full)
        with pytest.raises(SegmentationError, match="100 requested and 10 written") as raised:
            folder.save("survey", a=np.zeros(3))
        monkeypatch.undo()
        folder.close(True)
        assert advice in str(raised.value) and "None" not in str(raised.value)
        assert ("choose another WORK_DIR" in str(raised.value)) is False
