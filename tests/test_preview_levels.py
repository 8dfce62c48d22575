# SPDX-License-Identifier: GPL-2.0-or-later
"""Outlines of levels on the map: those of a run with that MIN_PIXELS, in any part of the raster, at any scale."""

import numpy as np
import pytest
from rasters import GEOTRANSFORM, read, run, write_patches, write_raster
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.files.window import Window
from tiledseg.tiledseg_plugin.engine.preview_levels import View, level_lines, read_levels, view_of
from tiledseg.tiledseg_plugin.engine.preview_lines import border_lines

gdal = pytest.importorskip("osgeo.gdal")
COLS, ROWS = 160, 90
MOST = (1000, 1000)
LEVELS = (0, 60, 400)
ROTATED = (500000.0, 10.0, 2.0, 6000000.0, 3.0, -10.0)
QUICK = {"num_clusters": 9, "execution": "serial"}


def go_on():
    return None


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(path of a raster of segments with levels, {level: ids of a run with it as MIN_PIXELS; 0 for the segments})."""
    folder = tmp_path_factory.mktemp("levels")
    patches, path = write_patches(folder / "in.tif"), folder / "out.tif"
    ids, _ = run(patches, path, min_pixels=20, levels=LEVELS[1:], **QUICK)
    alone = {level: run(patches, folder / f"{level}.tif", min_pixels=level, **QUICK)[0] for level in LEVELS[1:]}
    return str(path), {0: ids, **alone}


def extent_of(window, transform=GEOTRANSFORM):
    """(left, bottom, right, top) around a window of a raster."""
    corners = [
        gdal.ApplyGeoTransform(list(transform), col, row)
        for col in (window.col, window.right)
        for row in (window.row, window.bottom)
    ]
    (left, right), (bottom, top) = ((min(axis), max(axis)) for axis in zip(*corners))
    return left, bottom, right, top


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("window", [Window(0, 0, COLS, ROWS), Window(37, 11, 50, 60), Window(159, 89, 1, 1)])
def test_lines_are_the_borders_of_a_run_with_that_least_size(made, level, window):
    path, alone = made
    levels = read_levels(path, go_on)
    assert sorted(levels.holders) == list(LEVELS) and levels.path == path
    assert all(holders.dtype == np.uint32 and holders[0] == 0 for holders in levels.holders.values())
    assert {holders.size for holders in levels.holders.values()} == {alone[0].max() + 1}
    view = view_of(path, extent_of(window), MOST)
    part = alone[level][window.row : window.bottom, window.col : window.right]
    assert view.ids.shape == part.shape and not view.is_coarse
    found = level_lines(levels, level, view, go_on)
    assert found == border_lines(part, window, GEOTRANSFORM) and (found or part.size == 1)


def test_a_view_beyond_the_raster_is_cut_and_one_beside_it_holds_nothing(made):
    path, alone = made
    view = view_of(path, extent_of(Window(-50, 80, 60, 400)), MOST)
    assert np.array_equal(view.ids, alone[0][80:, :10])
    assert view.transform == pytest.approx((GEOTRANSFORM[0], 10, 0, GEOTRANSFORM[3] - 800, 0, -10))
    for beside in (Window(COLS, 0, 9, 9), Window(-9, 0, 9, 9), Window(0, ROWS, 9, 9), Window(0, -9, 9, 9)):
        assert view_of(path, extent_of(beside), MOST) is None


@pytest.mark.parametrize(
    "most, is_coarse", [((80, 30), True), ((159, 90), True), ((160, 89), True), ((160, 90), False)]
)
def test_of_more_pixels_than_the_screen_has_some_are_read(made, most, is_coarse):
    path, alone = made
    view = view_of(path, extent_of(Window(0, 0, COLS, ROWS)), most)
    assert view.is_coarse == is_coarse and view.ids.shape == most[::-1]
    assert set(np.unique(view.ids)) <= set(np.unique(alone[0]))
    corner = gdal.ApplyGeoTransform(list(view.transform), *map(float, most))
    assert corner == pytest.approx(gdal.ApplyGeoTransform(list(GEOTRANSFORM), float(COLS), float(ROWS)))


def test_the_part_of_a_rotated_raster_holds_the_whole_extent(tmp_path):
    ids = np.arange(1, 30 * 20 + 1, dtype=np.uint32).reshape(1, 20, 30)
    path = write_raster(tmp_path / "ids.tif", ids, geotransform=ROTATED)
    view = view_of(path, extent_of(Window(10, 8, 3, 2), ROTATED), MOST)
    rows, cols = np.nonzero(np.isin(read(path), view.ids))
    assert (rows.min(), cols.min()) <= (8, 10) and rows.max() >= 9 and cols.max() >= 12
    corner = gdal.ApplyGeoTransform(list(ROTATED), float(cols.min()), float(rows.min()))
    assert (view.transform[0], view.transform[3]) == pytest.approx(corner)
    assert view.transform[1:3] + view.transform[4:] == ROTATED[1:3] + ROTATED[4:]
    coarse = view_of(path, extent_of(Window(0, 0, 30, 20), ROTATED), (12, 8))
    assert coarse.transform == pytest.approx((500000, 25, 5, 6000000, 7.5, -25)) and coarse.is_coarse


def test_ids_that_the_table_has_no_row_of_have_an_outline(made):
    levels, ids = read_levels(made[0], go_on), np.zeros((3, 4), np.uint32)
    ids[1, 1:3] = 10**9
    expected = border_lines(ids, Window(0, 0, 4, 3), GEOTRANSFORM)
    assert level_lines(levels, 400, View(ids, GEOTRANSFORM, False), go_on) == expected


def test_what_has_no_levels_or_no_table_says_so(made, tmp_path):
    path = tmp_path / "one.tif"
    run(write_patches(tmp_path / "in.tif"), path, min_pixels=400, **QUICK)
    assert read_levels(str(path), go_on) is None
    bare = write_raster(tmp_path / "bare.tif", np.ones((1, 5, 5), np.uint32))
    with pytest.raises(SegmentationError, match="bare.tif has no attribute table"):
        read_levels(bare, go_on)


def test_reading_levels_can_be_cancelled(made):
    def cancel():
        raise Cancelled()

    with pytest.raises(Cancelled):
        read_levels(made[0], cancel)
