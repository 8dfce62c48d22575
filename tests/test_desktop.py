# SPDX-License-Identifier: GPL-2.0-or-later
"""The real panel in QGIS Desktop, on a screen in memory: what a person clicks, what is then on the map and on disk.

The scripts that do it are in tests/desktop; they run in QGIS and write down what they find.
"""

import numpy as np
import pytest
from in_desktop import Repeated, in_desktop
from rasters import write_raster

gdal = pytest.importorskip("osgeo.gdal")

pytestmark = [pytest.mark.desktop, pytest.mark.slow, pytest.mark.alone]
BUSY = 1.5  # programs that want a core, to each core
GUI_SECONDS = 0.1  # the longest that the GUI may be blocked by a preview
RUN_SECONDS = 0.15  # the longest that it may be blocked by a check or a run
PREVIEW_SECONDS = 2.0  # for about a million pixels, after the first time


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A million pixels of patches with noise, and a corner without data."""
    rng = np.random.default_rng(3)
    values = np.kron(rng.integers(40, 220, (3, 70, 70)), np.ones((1, 15, 15), int)) + rng.integers(
        0, 30, (3, 1050, 1050)
    )
    values[:, 650:, 650:] = 0
    values = values[:, :1024, :1024]
    return write_raster(tmp_path_factory.mktemp("image") / "image.tif", values.astype(np.uint8), nodata=0)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Enough pixels that a run takes some seconds."""
    rng = np.random.default_rng(3)
    values = np.kron(rng.integers(20, 220, (3, 400, 400), np.uint8), np.ones((1, 10, 10), np.uint8))
    values += rng.integers(0, 30, values.shape, np.uint8)
    return write_raster(tmp_path_factory.mktemp("large") / "large.tif", values)


@pytest.fixture(scope="module")
def workflow(image, tmp_path_factory):
    return Repeated(lambda: in_desktop("workflow", tmp_path_factory.mktemp("workflow"), raster=image, tile=128))


def test_panel_fits_a_small_screen(workflow):
    width, height, is_visible = workflow["panel"]
    assert is_visible and width < 450 and height < 720


def test_check_puts_the_tiles_above_the_raster_and_sums_up(workflow):
    assert workflow["order after check"] == ["S1Tiles", "image"]
    assert workflow["summary"].startswith("64 tiles: 4 empty, 5 sparse;")
    assert "memory" in workflow["summary"] and "disk" in workflow["summary"]
    assert [workflow["statuses"].count(status) for status in ("empty", "sparse", "ok")] == [4, 5, 55]


def test_changed_tile_parameters_mark_the_tiles_as_outdated(workflow):
    name, summary = workflow["outdated"]
    assert name == "S1Tiles (outdated)" and "check them again" in summary
    assert workflow["current again"] == "S1Tiles"


def test_preview_lies_between_raster_and_tiles_and_goes_again(workflow):
    assert workflow["order with preview"] == ["S1Tiles", "Preview of segments", "image"]
    assert "1024 × 1024 pixels" in workflow["preview status"]
    assert workflow["order after preview"] == ["S1Tiles", "image"]


def test_the_centre_of_the_view_is_there_first_while_nothing_is_compiled(workflow):
    """Both are what the engine makes of these pixels; what is said last is as always."""
    centre, everything = workflow["centre"]["centre"], workflow["centre"]["whole"]
    assert centre == [312, 312, 400, 400, True] and everything == [0, 0, 1024, 1024, True]
    said = workflow["centre said"]
    at = next(i for i, text in enumerate(said) if "the centre of the view, 400 × 400 pixels; the rest follows" in text)
    assert at < len(said) - 1 and "segments in 1024 × 1024 pixels." in said[-1] and "centre" not in said[-1]


@pytest.fixture
def quiet_machine(workflow):
    if workflow["load"] > BUSY:
        pytest.skip(
            f"the machine is busy ({workflow['load']:.1f} programs a core before QGIS started): times say nothing"
        )


def test_preview_follows_within_two_seconds(workflow, quiet_machine):
    assert workflow["pixels in view"] > 900_000
    quickest = workflow.quickest(lambda found: max(found["previews"].values()), PREVIEW_SECONDS)
    assert max(quickest["previews"].values()) < PREVIEW_SECONDS, quickest["previews"]


@pytest.mark.parametrize(
    "what, limit",
    [
        ("first preview", GUI_SECONDS),
        ("previews", GUI_SECONDS),
        ("centre", RUN_SECONDS),
        ("check", RUN_SECONDS),
        ("run", RUN_SECONDS),
    ],
)
def test_the_gui_is_not_blocked(workflow, quiet_machine, what, limit):
    quickest = workflow.quickest(lambda found: found[f"{what} blocked"], limit)
    assert quickest[f"{what} blocked"] < limit, quickest[f"{what} blocked in"]


def test_tiles_fill_in_while_the_run_works(workflow):
    assert workflow["ran"] == [True]
    done = [state.get("done", 0) for state in workflow["states"]]
    assert done == sorted(done) and done[-1] == 60
    assert any(state.get("working") and state.get("waiting") for state in workflow["states"])
    assert all(state["left out"] == 4 for state in workflow["states"])


def test_result_is_added_in_a_group_with_its_tiles(workflow):
    assert workflow["order after run"] in (["S1Tiles", "Segments", "image"], ["S1Tiles", "segments", "image"])
    assert workflow["groups"] == ["Segmentation of image"]
    count = workflow["results"]["SEGMENT_COUNT"]
    assert workflow["run status"].startswith(f"{count:,} segments in ")
    assert workflow["run status"].startswith(workflow["message"])


def test_result_is_that_of_the_command_line(workflow, image, qgis_process, tmp_path):
    output = tmp_path / "segments.tif"
    command = ("TILE_WIDTH=500", "MIN_PIXELS=100", f"INPUT={image}", f"OUTPUT={output}")
    finished = qgis_process("--json", "run", "tiledseg:segment", "--", *command)
    assert finished.returncode == 0, finished.stderr
    here, there = (gdal.Open(path).ReadAsArray() for path in (str(output), workflow["results"]["OUTPUT"]))
    np.testing.assert_array_equal(here, there)


@pytest.fixture(scope="module")
def endings(large, tmp_path_factory):
    def run():
        folder = tmp_path_factory.mktemp("endings")
        empty = write_raster(folder / "empty.tif", np.zeros((1, 60, 80), np.uint8))
        return in_desktop("endings", folder, raster=large, empty=empty, seconds=400), folder

    return Repeated(run)


@pytest.mark.parametrize(
    "how",
    ["cancel_in_panel", "cancel_in_task_manager", "remove_raster", "clear_project", "unload", "close_window"],
)
def test_a_run_that_is_stopped_ends_at_once_and_leaves_nothing(endings, how):
    ending = endings[0][how]
    assert ending["cancelled"]
    assert ending["left"] == {"files": [], "work folders": [], "processes": []}
    quickest, _ = endings.quickest(lambda found: found[0][how]["seconds"], 2)
    assert quickest[how]["seconds"] < 2


def test_cancelled_run_leaves_tiles_as_they_were_before(endings):
    assert endings[0]["cancel_in_panel"]["status"] == "Cancelled: no output was written."
    assert "progress" not in endings[0]["cancel_in_panel"]["fields"]


def test_run_goes_on_when_the_tile_layer_is_removed(endings):
    assert endings[0]["remove_tile_layer"]["goes on"]


def test_quitting_during_a_run_leaves_nothing(endings):
    found, folder = endings[0], endings[1]
    assert found["quit"] == "began"
    assert not list((folder / "quit").iterdir())
    assert not list((folder / "temporary").glob("tiledseg-*"))


def test_nothing_is_printed_but_what_is_of_qgis_itself(endings):
    printed = (endings[1] / "endings.log").read_text("utf-8", "replace").splitlines()
    ours = [line for line in printed if line.startswith(("Warning 1:", "ERROR ")) or "tiledseg" in line]
    assert ours == []


def test_failure_is_one_sentence_with_a_way_to_the_log(endings):
    failure = endings[0]["fail"]
    assert failure["status"].startswith("Failed: ") and "no valid pixel" in failure["status"]
    assert failure["status"].partition(": ")[2] in failure["log"]
    assert failure["status"].startswith(failure["message"].rstrip("…"))
    assert not failure["output"]
