# SPDX-License-Identifier: GPL-2.0-or-later
"""The toolbox's dialog, the example data, and loading and unloading, in QGIS Desktop: no times are measured here."""

import re
import shlex

import numpy as np
import pytest
from in_desktop import in_desktop

gdal = pytest.importorskip("osgeo.gdal")

pytestmark = [pytest.mark.desktop, pytest.mark.slow]


def test_loading_and_unloading_again_and_again_leaves_nothing(data, tmp_path):
    found = in_desktop("reloading", tmp_path, raster=data / "synthetic_full.tif", seconds=400)
    first, last = found["counts"][0], found["counts"][-1]
    assert last.pop("widgets") <= first.pop("widgets")
    assert last == first
    remains = found["remains"]
    assert not any(remains.values()), remains


@pytest.fixture(scope="module")
def toolbox(data, tmp_path_factory):
    values = {"NUM_CLUSTERS": 12, "SAMPLING": 3, "TILE_WIDTH": 64, "TILE_HEIGHT": 64, "MIN_PIXELS": 20}
    values["DISTANCE_THRESHOLD"] = None
    raster = data / "synthetic_full.tif"
    return in_desktop("toolbox", tmp_path_factory.mktemp("toolbox"), raster=raster, parameters=values)


def test_dialog_of_the_toolbox_checks_tiles(toolbox):
    dialog = toolbox["dialog"]
    assert dialog["is standard"]
    assert "Check &tiles" in dialog["buttons"] and "Run" in dialog["buttons"]
    assert dialog["order after check"] == ["S1Tiles", "synthetic_full"]
    assert dialog["summary"].startswith("12 tiles: 0 empty, 0 sparse;")
    assert dialog["results"]["OUTPUT"] in dialog["loaded"]


def test_results_of_the_toolbox_lie_in_order_and_are_read_anew(toolbox):
    first, again = toolbox["dialog"]["shown"]
    for shown in (first, again):
        assert shown["order"] == ["POLYGONS", "MEAN_IMAGE", "OUTPUT"] and shown["on"] == ["POLYGONS", "MEAN_IMAGE"]
        assert len(set(shown["features"])) == 1
    assert first["features"] != again["features"]


@pytest.mark.parametrize("where", ["batch", "modeler"])
def test_batch_and_modeler_have_the_plain_dialog(toolbox, where):
    assert toolbox[where] and "Check &tiles" not in toolbox[where]


def test_tooltips_are_the_help_of_the_parameters(toolbox):
    for name, (tooltip, text) in toolbox["tooltips"].items():
        assert text in tooltip, name


def test_copied_commands_give_the_same_segments(toolbox, plugin, qgis_process):
    import processing

    words = shlex.split(toolbox["command"])
    assert words[:3] == ["qgis_process", "run", "tiledseg:segment"]
    finished = qgis_process(*words[1:])
    assert finished.returncode == 0, finished.stderr
    expected = gdal.Open(toolbox["dialog"]["results"]["OUTPUT"]).ReadAsArray()
    output = next(word.partition("=")[2] for word in words if word.startswith("OUTPUT="))
    np.testing.assert_array_equal(gdal.Open(output).ReadAsArray(), expected)
    again = eval(toolbox["python"], {"processing": processing})
    np.testing.assert_array_equal(gdal.Open(again["OUTPUT"]).ReadAsArray(), expected)


def test_from_example_data_to_the_first_segments_are_three_clicks(tmp_path):
    found = in_desktop("example", tmp_path)
    name, source, is_valid = found["layer"]
    assert (name, is_valid) == ("Example landscape", True)
    assert source.endswith("example landscape 2.tif")  # the first name was somebody's
    assert found["own"] == "somebody's own"
    assert found["files"] == ["example landscape 2.tif", "example landscape.tif"] and found["layers"] == 1
    assert found["bands"][3] == "Band 4: near infrared"
    assert found["input"] and found["tiles"] == [200, 200]
    assert found["summary"].startswith("48 tiles: ") and " 0 empty" not in found["summary"]
    assert found["part"].startswith("9 tiles: 0 empty")
    command, python = found["commands"]
    edges = r"605000[.0]*,610000[.0]*,5691000[.0]*,5696000[.0]* \[EPSG:32632\]'"
    assert re.search("'EXTENT=" + edges, command) and re.search("'EXTENT':'" + edges, python)
