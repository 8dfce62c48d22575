# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one after the other in QGIS Desktop: what is shown of each, how each ends, and what a project keeps of it."""

import shutil

import pytest
from in_desktop import in_desktop

gdal = pytest.importorskip("osgeo.gdal")

pytestmark = [pytest.mark.desktop, pytest.mark.slow]
PARAMETERS = {"NUM_CLUSTERS": 12, "SAMPLING": 3, "TILE_WIDTH": 64, "TILE_HEIGHT": 64, "MIN_PIXELS": 20}
RUNS = ("first run", "to the same files", "to new files")


@pytest.fixture(scope="module")
def results(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    (folder / "rasters").mkdir()
    first, other = folder / "rasters" / "first.tif", folder / "rasters" / "other.tif"
    for raster in (first, other):
        shutil.copy(data / "synthetic_full.tif", raster)
    settings = {"tiledseg/panel-is-open": "true"}
    return in_desktop("results", folder, raster=first, other=other, parameters=PARAMETERS, settings=settings)


def of_source(state, ending):
    return [layer for layer in state["layers"].values() if layer["source"].split("|")[0].endswith(ending)]


def test_panel_is_there_again_at_the_next_start(results):
    assert results["panel at start"]


def test_no_bands_chosen_means_all_of_them(results):
    assert results["bands"] == "All bands"


def test_output_is_proposed_beside_the_raster_and_anew_for_another(results):
    source, output = results["proposed"]
    assert output == source.replace("first.tif", "first_segments.tif")
    assert results["proposed for another"].endswith("other_segments.tif")


@pytest.mark.parametrize("run", RUNS)
def test_results_lie_with_outlines_on_top_and_segments_and_tiles_off(results, run):
    names = list(results[run]["groups"].values())[-1]
    assert [name.split("_")[0] for name in names] == ["S1Tiles", "polygons", "means", "first"]
    layers = results[run]["layers"].values()
    shown = {layer["name"]: layer["on"] for layer in layers}
    assert [shown[name] for name in names] == [False, True, True, False]
    assert all(layer.get("legend") == 0 for layer in layers if layer["renderer"] == "singlebandpseudocolor")


@pytest.mark.parametrize("run", RUNS)
def test_layers_show_what_the_files_hold(results, run):
    state = results[run]
    count = state["results"]["SEGMENT_COUNT"]
    (polygons,) = of_source(state, state["results"]["POLYGONS"])
    assert polygons["features"] == polygons["counted"] == count
    (segments,) = of_source(state, state["results"]["OUTPUT"])
    assert set(segments["values"]) <= set(range(count + 1)) and max(segments["values"]) > 0.9 * count


def test_running_again_to_the_same_files_leaves_one_group_and_the_same_layers(results):
    first, again = results["first run"], results["to the same files"]
    assert first["results"]["SEGMENT_COUNT"] != again["results"]["SEGMENT_COUNT"]
    assert again["groups"] == first["groups"] and len(first["groups"]) == 1
    assert set(again["layers"]) == set(first["layers"])


def test_every_run_to_new_files_has_a_group_of_its_own_and_leaves_the_others(results):
    assert list(results["to new files"]["groups"]) == ["Segmentation of first", "Segmentation of first (2)"]
    assert all(len(names) == 4 for names in results["to new files"]["groups"].values())


def test_files_that_exist_are_asked_about(results):
    text, files = results["question to the same files"]
    assert "Replace" in text and len(files.splitlines()) == 4
    kept, new = (results[run]["results"]["OUTPUT"] for run in RUNS[1:])
    assert new == kept.replace(".tif", "_2.tif")


@pytest.mark.parametrize(
    "what, words",
    [
        ("CREATION_OPTIONS", ("Failed: 'Creation options' ", "COMPRESS=NOTHING", ": leave it out.")),
        ("BANDS", ("Failed: 'Bands' ", "99", "1 to 3")),
    ],
)
def test_a_failure_is_said_in_full_with_labels_in_panel_and_log(results, what, words):
    state = results[what]
    assert all(word in state["status"] for word in words)
    assert what not in state["status"]
    assert state["status"].partition(": ")[2] in state["log"]
    assert len(state["bar"]) == 1 and state["status"].startswith(state["bar"][0].rstrip("…"))


def test_cancelled_run_says_so_and_is_called_no_failure(results):
    state = results["cancelled"]
    assert state["ended"] == [False]
    assert state["status"] == "Cancelled: no output was written." and state["status"] in state["log"]
    assert state["bar"] == [state["status"]]


def test_what_was_finished_before_it_was_cancelled_is_shown(results):
    state = results["cancelled too late"]
    assert state["ended"] == [True]
    assert state["status"].startswith("The run had finished before it could be cancelled, its output is there: ")
    assert len(of_source(state, "cancelled.tif")) == 1 and state["status"] in state["log"]


def test_tiles_look_the_same_after_a_cancel_and_another_run(results):
    tiles = of_source(results["cancelled too late"], "cancelled_S1Tiles.gpkg")[0]
    assert "progress" not in tiles["fields"] and tiles["column"] == "status"


def test_checking_another_raster_leaves_the_tiles_of_the_first(results):
    assert results["two rasters"]["groups"] == results["cancelled too late"]["groups"]
    assert results["two rasters"]["order"].count("S1Tiles") == 4


def test_results_are_not_offered_as_input(results):
    assert sorted(results["offered"]) == ["first", "other"]


def test_a_project_opened_again_has_its_tiles_and_offers_to_overwrite_nothing(results):
    state = results["reopened"]
    assert results["no project"][0] == ""
    assert state["input"] in ("first", "other") and not state["there"]
    assert state["output"].endswith(f"{state['input']}_segments.tif") or "_segments_" in state["output"]
    tiles = [layer for layer in state["layers"].values() if layer["name"] == "S1Tiles"]
    assert len(tiles) == 4 and all(layer["features"] == 12 for layer in tiles)


def test_input_is_empty_once_its_raster_is_removed(results):
    assert results["removed"] == ["", ""]
