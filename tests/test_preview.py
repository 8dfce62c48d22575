# SPDX-License-Identifier: GPL-2.0-or-later
"""The preview shows what the run will make: same basis, same kernels, the same segments away from the window's edge."""

import itertools

import numpy as np
import pytest

gdal = pytest.importorskip("osgeo.gdal")
ogr = pytest.importorskip("osgeo.ogr")

from rasters import write_raster  # noqa: E402
from tiledseg.tiledseg_plugin.engine import kernels, preview  # noqa: E402
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError  # noqa: E402
from tiledseg.tiledseg_plugin.engine.files.georeference import geotransform  # noqa: E402
from tiledseg.tiledseg_plugin.engine.files.window import Window  # noqa: E402
from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters  # noqa: E402
from tiledseg.tiledseg_plugin.engine.preview import Previewer, window_in_view  # noqa: E402
from tiledseg.tiledseg_plugin.engine.preview_lines import border_lines, border_runs, joined  # noqa: E402
from tiledseg.tiledseg_plugin.engine.progress import Feedback, TileWatch  # noqa: E402
from tiledseg.tiledseg_plugin.engine.segmentation import segment  # noqa: E402


def parameters_for(path, **changes):
    chosen = {"num_clusters": 8, "min_pixels": 12, "sampling": 3, "kernels": "plain", "workers": 1, **changes}
    return SegmentParameters(input=str(path), output="", **chosen)


def whole(path):
    dataset = gdal.Open(str(path))
    return Window(0, 0, dataset.RasterXSize, dataset.RasterYSize)


def shown(parameters, window):
    previewer = Previewer()
    previewer.prepare(parameters, Feedback())
    return previewer.show(parameters, window, Feedback())


@pytest.mark.parametrize("stretch", [True, False])
@pytest.mark.parametrize("name", ["synthetic_full.tif", "synthetic_holes.tif", "synthetic_oneband.tif"])
def test_preview_of_the_whole_raster_is_the_run(data, tmp_path, name, stretch):
    parameters = parameters_for(data / name, stretch=stretch)
    output = tmp_path / "segments.tif"
    run = segment(
        SegmentParameters(**{**vars(parameters), "output": str(output), "tile_width": 40, "tile_height": 30}),
        Feedback(),
    )
    found = shown(parameters, whole(data / name))
    np.testing.assert_array_equal(found.ids, gdal.Open(str(output)).ReadAsArray())
    assert found.segments == run.segment_count


@pytest.mark.parametrize("set_of_kernels", ["plain", "compiled"])
def test_preview_of_a_window_is_what_the_kernels_give_with_the_centres_of_the_run(data, set_of_kernels):
    kernel, _ = kernels.choose(set_of_kernels)
    parameters = parameters_for(data / "synthetic_full.tif", kernels=set_of_kernels, distance_threshold=60.0)
    previewer = Previewer()
    previewer.prepare(parameters, Feedback())
    basis = previewer.basis
    window = Window(20, 10, 40, 50)
    processed = window.grown(preview.MARGIN, basis.raster.width, basis.raster.height)
    settled = preview.settled_clusters(
        preview.PixelJob(basis.raster, basis.plan, basis.colours, basis.centres, kernel.NAME),
        preview.Piece(1, 1, processed),
        kernel,
        lambda: None,
    )
    labels, count = kernel.clump(settled.clusters)
    quantities = basis.colours.quantities(settled.values, settled.compared)
    sizes, sums, _, _ = kernel.describe_clumps(labels, count, settled.clusters, quantities)
    elimination = kernel.Elimination(
        sizes, sums, np.ones(1), kernel.find_edges(labels, count) - np.uint32(1), parameters.min_pixels, 60.0
    )
    for area in range(1, parameters.min_pixels + 1):
        elimination.step(area)
    merged = np.append(-1, elimination.into.astype(np.int64))[labels][window.within(settled.window)]
    found = previewer.show(parameters, window, Feedback())
    pairs = set(zip(merged.ravel().tolist(), found.ids.ravel().tolist()))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})  # the same areas, other numbers


def test_preview_of_a_part_agrees_with_the_run(shared):
    parameters = parameters_for(shared / "data" / "naip_maryland_4band_uint8.tif", num_clusters=30, min_pixels=50)
    parameters = SegmentParameters(**{**vars(parameters), "kernels": "auto", "sampling": 100})
    previewer = Previewer()
    previewer.prepare(parameters, Feedback())
    everything = previewer.show(parameters, whole(parameters.input), Feedback()).ids
    window = Window(300, 420, 300, 250)
    part = previewer.show(parameters, window, Feedback()).ids
    expected = everything[window.within(whole(parameters.input))]
    agreeing = (part[:, 1:] == part[:, :-1]) == (expected[:, 1:] == expected[:, :-1])
    assert agreeing.mean() > 0.999


def with_small_first_parts(monkeypatch):
    monkeypatch.setattr(preview, "FIRST_PIXELS", 1200)


@pytest.mark.parametrize("stretch", [True, False])
@pytest.mark.parametrize("name", ["synthetic_full.tif", "synthetic_holes.tif", "synthetic_oneband.tif"])
def test_the_first_part_is_a_preview_of_the_centre_and_the_whole_is_as_without_it(data, monkeypatch, name, stretch):
    with_small_first_parts(monkeypatch)
    parameters, window = parameters_for(data / name, stretch=stretch), whole(data / name)
    previewer = Previewer()
    previewer.prepare(parameters, Feedback())
    part = previewer.first_part(window)
    assert 900 < part.pixels <= 1200 and window.intersection(part) == part
    assert abs(2 * part.col + part.width - window.width) <= 1 and abs(2 * part.row + part.height - window.height) <= 1
    first, everything = (previewer.show(parameters, one, Feedback()) for one in (part, window))
    for found, of in ((first, part), (everything, window)):
        expected = shown(parameters, of)
        np.testing.assert_array_equal(found.ids, expected.ids)
        assert found.lines == expected.lines and found.window == expected.window
        assert (found.segments, found.sizes, found.notes) == (expected.segments, expected.sizes, expected.notes)


def test_there_is_no_first_part_where_the_whole_is_quick(data, monkeypatch):
    with_small_first_parts(monkeypatch)
    parameters, previewer = parameters_for(data / "synthetic_full.tif"), Previewer()
    previewer.prepare(parameters, Feedback())
    assert previewer.first_part(Window(3, 4, 60, 60)) is None
    assert previewer.first_part(Window(3, 4, 61, 60)) is not None
    monkeypatch.setattr(kernels, "are_compiled", lambda kernel: True)
    assert previewer.first_part(Window(3, 4, 61, 60)) is None


def test_stretch_and_centres_are_found_once_a_raster_and_parameters(data, monkeypatch):
    calls = []
    find = preview.find_basis
    monkeypatch.setattr(preview, "find_basis", lambda *arguments: calls.append(1) or find(*arguments))
    clumped = []
    clump = preview.clump_window
    monkeypatch.setattr(preview, "clump_window", lambda *arguments: clumped.append(1) or clump(*arguments))
    previewer = Previewer()

    def show(window, **changes):
        parameters = parameters_for(data / "synthetic_full.tif", **changes)
        previewer.prepare(parameters, Feedback())
        previewer.show(parameters, window, Feedback())
        return len(calls), len(clumped)

    window = Window(0, 0, 30, 30)
    assert show(window) == (1, 1)
    assert show(window, min_pixels=3) == (1, 1)
    assert show(window, distance_threshold=None) == (1, 1)
    assert show(window, tile_width=16) == (1, 1)
    assert show(Window(9, 0, 30, 30)) == (1, 2)
    assert show(window, num_clusters=5) == (2, 3)
    assert show(window, stretch=False) == (3, 4)


@pytest.mark.parametrize("set_of_kernels", ["plain", "compiled"])
def test_what_was_tried_before_leaves_no_trace(data, set_of_kernels):
    window = Window(10, 10, 90, 80)
    previewer = Previewer()
    for min_pixels, distance in ((30, 100.0), (3, 20.0), (30, None), (12, 100.0)):
        parameters = parameters_for(
            data / "synthetic_full.tif", min_pixels=min_pixels, distance_threshold=distance, kernels=set_of_kernels
        )
        previewer.prepare(parameters, Feedback())
        again = previewer.show(parameters, window, Feedback())
        np.testing.assert_array_equal(again.ids, shown(parameters, window).ids)


def test_a_changed_file_is_read_again(tmp_path):
    rng = np.random.default_rng(5)
    path = write_raster(tmp_path / "image.tif", rng.integers(1, 250, (2, 20, 30)).astype(np.uint8))
    parameters = parameters_for(path)
    previewer = Previewer()
    previewer.prepare(parameters, Feedback())
    assert previewer.is_ready(parameters)
    write_raster(path, rng.integers(1, 250, (2, 21, 30)).astype(np.uint8))
    assert not previewer.is_ready(parameters)


def test_pixels_outside_the_polygons_are_no_data(data):
    parameters = parameters_for(data / "synthetic_full.tif", tiles=((5, 5, 20, 15),))
    ids = shown(parameters, Window(0, 0, 40, 40)).ids
    assert (ids[5:20, 5:25] > 0).all()
    assert np.count_nonzero(ids) == 20 * 15


def test_a_raster_without_valid_pixels_is_reported(tmp_path):
    path = write_raster(tmp_path / "empty.tif", np.zeros((1, 20, 20), np.uint8))
    with pytest.raises(SegmentationError, match="no valid pixel"):
        Previewer().prepare(parameters_for(path), Feedback())


def test_cancelling_ends_a_preview(data):
    class Stopping(Feedback):
        def is_cancelled(self):
            return True

    parameters = parameters_for(data / "synthetic_full.tif")
    previewer = Previewer()
    with pytest.raises(Cancelled):
        previewer.prepare(parameters, Stopping())
    previewer.prepare(parameters, Feedback())
    with pytest.raises(Cancelled):
        previewer.show(parameters, Window(0, 0, 30, 30), Stopping())


def unit_sides(ids):
    """Every pixel side between different ids, from its left or upper end."""
    rows, cols = ids.shape
    right = {
        (c + 1, r, c + 1, r + 1)
        for r, c in itertools.product(range(rows), range(cols - 1))
        if ids[r, c] != ids[r, c + 1]
    }
    down = {
        (c, r + 1, c + 1, r + 1)
        for r, c in itertools.product(range(rows - 1), range(cols))
        if ids[r, c] != ids[r + 1, c]
    }
    return right | down


def split(lines):
    sides = []
    for x1, y1, x2, y2 in lines.astype(int).tolist():
        x1, x2, y1, y2 = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
        sides += (
            [(x1, y, x1, y + 1) for y in range(y1, y2)] if x1 == x2 else [(x, y1, x + 1, y1) for x in range(x1, x2)]
        )
    return sides


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (13, 17)])
def test_lines_are_the_sides_between_different_ids_each_once(shape):
    ids = np.random.default_rng(1).integers(0, 3, shape)
    sides = split(border_runs(ids))
    assert len(sides) == len(set(sides))
    assert set(sides) == unit_sides(ids)


def test_blocks_of_lines_fit_together_on_the_map(monkeypatch):
    from tiledseg.tiledseg_plugin.engine import preview_lines as module

    monkeypatch.setattr(module, "BLOCK", 4)
    ids = np.random.default_rng(1).integers(0, 3, (11, 14))
    transform = (1000.0, 2.0, 0.0, 500.0, 0.0, -2.0)
    sides = []
    for wkb in border_lines(ids, Window(7, 3, 14, 11), transform):
        geometry = ogr.CreateGeometryFromWkb(wkb)
        assert geometry.GetGeometryType() == ogr.wkbMultiLineString
        for part in (geometry.GetGeometryRef(i) for i in range(geometry.GetGeometryCount())):
            points = [((x - 1014) / 2, (494 - y) / 2) for x, y in part.GetPoints()]
            sides += split(np.array([(*one, *other) for one, other in zip(points, points[1:])]))
    assert len(sides) == len(set(sides))
    assert set(sides) == unit_sides(ids)


@pytest.mark.parametrize("kinds", [2, 3, 12])
def test_runs_are_joined_where_just_two_meet(kinds):
    ids = np.random.default_rng(4).integers(0, kinds, (30, 40))
    runs = border_runs(ids)
    points, counts = joined(runs)
    lines = np.split(points, np.cumsum(counts)[:-1])
    assert sum(counts) == len(points) == len(runs) + len(lines)
    sides = [side for line in lines for side in split(np.concatenate([line[:-1], line[1:]], axis=1))]
    assert len(sides) == len(set(sides))
    assert set(sides) == unit_sides(ids)
    ends, times = np.unique(
        [end for line in lines for end in (tuple(line[0]), tuple(line[-1]))], axis=0, return_counts=True
    )
    open_ends = {tuple(end) for end, count in zip(ends.tolist(), times.tolist()) if count == 1}
    corners = {end for run in runs.tolist() for end in (tuple(run[:2]), tuple(run[2:]))}
    single = {end for end in corners if [tuple(e) for r in runs.tolist() for e in (r[:2], r[2:])].count(end) == 1}
    assert open_ends == single  # all others are closed rings, or are cut in two at most


def test_a_single_pixel_is_one_ring():
    ids = np.ones((3, 3), int)
    ids[1, 1] = 2
    points, counts = joined(border_runs(ids))
    assert counts.tolist() == [5]
    assert points[0].tolist() == points[-1].tolist()


def test_one_area_has_no_lines():
    assert border_lines(np.ones((5, 5), np.uint32), Window(0, 0, 5, 5), (0, 1, 0, 0, 0, -1)) == ()


def test_view_is_the_pixels_it_touches(data):
    path = str(data / "synthetic_full.tif")
    left, width, _, top, _, height = geotransform(gdal.Open(path))
    extent = (left + 10.5 * width, top + 30.2 * height, left + 20.5 * width, top + 12.9 * height)
    assert window_in_view(path, extent) == (Window(10, 12, 11, 19), False)
    assert window_in_view(path, (left - 1e6, top - 1e6, left + 1e6, top + 1e6)) == (whole(path), False)
    assert window_in_view(path, (left - 1e6, top - 1e6, left - 1e5, top + 1e6)) == (None, False)


def test_a_large_view_is_cut_to_its_centre(data):
    path = str(data / "synthetic_full.tif")
    full = whole(path)
    window, is_cut = window_in_view(path, (-1e9, -1e9, 1e9, 1e9), most_pixels=900)
    assert is_cut and 600 < window.pixels <= 900
    assert abs(window.col + window.width / 2 - full.width / 2) <= 1
    assert abs(window.row + window.height / 2 - full.height / 2) <= 1


def test_tiles_are_reported_as_waiting_working_and_done():
    class Reports(list, Feedback):
        def tile_started(self, tile_id):
            self.append(("working", tile_id))

        def tile_finished(self, tile_id):
            self.append(("done", tile_id))

    reports = Reports()
    pieces = [preview.Piece(i, tile, Window(0, 0, 1, 1)) for i, tile in enumerate((1, 2, 3, 3, 4), 1)]
    watch = TileWatch(reports, [pieces[:1], pieces[1:4], pieces[4:]], workers=1)
    assert reports == [("working", 1)]
    watch.finished([1])
    assert reports[1:] == [("done", 1), ("working", 2), ("working", 3)]
    watch.finished([3, 2])
    watch.finished([4])
    assert reports[4:] == [("done", 2), ("done", 3), ("working", 4), ("done", 4)]


def test_progress_of_a_run_reports_every_tile(data, tmp_path):
    states = {}

    class Reports(Feedback):
        def tile_started(self, tile_id):
            assert tile_id not in states
            states[tile_id] = "working"

        def tile_finished(self, tile_id):
            assert states[tile_id] == "working"
            states[tile_id] = "done"

    chosen = parameters_for(data / "synthetic_full.tif", tile_width=32, tile_height=32, workers=2)
    result = segment(SegmentParameters(**{**vars(chosen), "output": str(tmp_path / "out.tif")}), Reports())
    assert states == dict.fromkeys(range(1, result.tile_count + 1), "done")
