# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one after the other in QGIS Desktop: what is shown of each, how each ends, and what a project keeps of it."""

import shutil

import desktop
import numpy as np
import pytest
from in_desktop import Repeated, in_desktop

gdal = pytest.importorskip("osgeo.gdal")

from osgeo import gdal_array  # noqa: E402
from rasters import write_raster  # noqa: E402
from tiledseg.tiledseg_plugin.engine.files.attribute_table import write_table_beside  # noqa: E402
from tiledseg.tiledseg_plugin.engine.files.tables import Column  # noqa: E402

pytestmark = [pytest.mark.desktop, pytest.mark.slow, pytest.mark.alone]
MANY = 200_000
BUSY = 1.5  # programs that want a core, to each core
GUI_SECONDS = 0.15  # the longest that the GUI may be blocked
PARAMETERS = {"NUM_CLUSTERS": 12, "SAMPLING": 3, "TILE_WIDTH": 64, "TILE_HEIGHT": 64, "MIN_PIXELS": 20}
RUNS = ("first run", "to the same files", "to new files")


@pytest.fixture(scope="module")
def results(data, tmp_path_factory):
    return Repeated(lambda: find_results(data, tmp_path_factory.mktemp("results")))


def find_results(data, folder):
    (folder / "rasters").mkdir()
    first, other = folder / "rasters" / "first.tif", folder / "rasters" / "other.tif"
    shutil.copy(data / "synthetic_full.tif", first)
    values = gdal_array.LoadFile(str(first))
    values[:, :20, :20] = 0
    write_raster(other, values)  # which declares no no-data value
    look = desktop.Look(settings={"tiledseg/panel-is-open": "true"})
    many = many_segments(folder / "rasters" / "many.tif")
    rasters = {"raster": first, "other": other, "many": many}
    return in_desktop("results", folder, parameters=PARAMETERS, look=look, **rasters)


def many_segments(path):
    """200,000 segments of 4 x 4 pixels, with their table beside them, as a run leaves it."""
    ids = np.kron(np.arange(1, MANY + 1).reshape(400, 500), np.ones((4, 4), int))
    write_raster(path, ids[None].astype(np.uint32), nodata=0)
    columns = [Column("Histogram", np.full(MANY, 16.0)), Column("mean_1", np.arange(MANY) % 1000 / 10)]
    write_table_beside(str(path), columns, lambda: None)
    return path


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
    names = next(iter(results[run]["groups"].values()))  # the newest
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


def test_rasters_are_styled_where_that_does_not_hold_up_the_gui(results):
    styled = results["styled on the main thread"]
    assert len(styled) >= 2 * len(RUNS) and not any(styled)  # segments and mean image


def test_running_again_to_the_same_files_leaves_one_group_and_the_same_layers(results):
    first, again = results["first run"], results["to the same files"]
    assert first["results"]["SEGMENT_COUNT"] != again["results"]["SEGMENT_COUNT"]
    assert again["groups"] == first["groups"] and len(first["groups"]) == 1
    assert set(again["layers"]) == set(first["layers"])


def test_every_run_to_new_files_has_a_group_of_its_own_and_leaves_the_others(results):
    assert list(results["to new files"]["groups"]) == ["Segmentation of first (2)", "Segmentation of first"]
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


def test_a_preview_that_fails_says_why_with_labels(results):
    assert results["no preview"].startswith("No preview: 'Bands' ") and "99" in results["no preview"]


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
    groups = results["two rasters"]["groups"]
    assert len(groups) == 3 and all("S1Tiles" in names for names in groups.values())
    assert results["two rasters"]["order"].count("S1Tiles") == 4


def test_what_is_taken_for_no_data_is_said_in_the_panel(results):
    assert "The raster declares no no-data value" in results["two rasters"]["summary"]
    assert "declares" not in results["first run"]["summary"]
    assert "besides the" in results["first run"]["summary"]


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


def test_style_by_offers_what_the_table_has(results):
    assert results["menu"] == [
        "Outlines only",
        "Random colours",
        "Size [pixels]",
        "Mean of a band",
        "Index of two bands",
        "Column",
    ]


def test_polygons_are_coloured_by_classes_of_equal_number(results):
    state = results["polygons by index"]
    assert state["renderer"] == "graduatedSymbol" and state["status"].startswith("Coloured by (band 3")
    assert '"mean_3" - "mean_1"' in state["expression"]
    ends = [low for low, _ in state["classes"]] + [state["classes"][-1][1]]
    assert len(ends) == 11 and ends == sorted(ends) and -1 <= ends[0] < ends[-1] <= 1


def test_raster_is_coloured_through_a_list_of_values(results):
    by_index, by_size = results["raster by index"], results["raster by size"]
    assert by_index["renderer"] == "singlebandpseudocolor" and by_index["legend"] <= 2
    assert results["layers of values"] == len(results["files of values"]) == 1
    segments = gdal.Open(results["cancelled too late"]["output"])
    ids, sizes = segments.ReadAsArray(), gdal.Open(by_size["source"]).ReadAsArray()
    np.testing.assert_array_equal(sizes[ids > 0], np.bincount(ids.ravel())[ids[ids > 0]])


def test_many_segments_have_a_short_legend(results):
    assert results["many"]["legend"] <= 2


@pytest.mark.parametrize("what, limit", [("styled", 5), ("drawn", 2), ("blocked", GUI_SECONDS)])
def test_many_segments_are_coloured_fast_and_without_holding_up_the_gui(results, what, limit):
    if results["load"] > BUSY:
        pytest.skip("the machine is busy: times say nothing")
    many = results.quickest(lambda found: found["many"][what], limit)["many"]
    assert many[what] < limit, many
