# SPDX-License-Identifier: GPL-2.0-or-later
"""Where candidates are tried: windows that stand for the raster, regions, and the whole, parted where it is large."""

import numpy as np
import pytest
from osgeo import ogr
from tiledseg.tiledseg_plugin.engine.files.raster import Raster
from tiledseg.tiledseg_plugin.engine.files.window import Window
from tiledseg.tiledseg_plugin.engine.parameter_search import areas
from tiledseg.tiledseg_plugin.engine.stages.plan import plan_grid
from tiledseg.tiledseg_plugin.engine.stages.polygon_pixels import burn, place


def raster_of(width, height):
    return Raster("r.tif", width, height, (), "|u1", (64, 64), "any", False)


def choose(covers, count, valid=None, size=10):
    """The places (col, row) of the windows that are chosen, of tiles of so many pixels.

    Parameters
    ----------
    covers : (rows, cols) the land cover of each tile, all of it; valid : the valid share of each
    """
    covers = np.array(covers)
    rows, cols = covers.shape
    raster, plan = raster_of(cols * size, rows * size), plan_grid(cols * size, rows * size, size, size)
    shares = np.ones(covers.shape) if valid is None else np.array(valid)
    sampled = areas.Sampled(
        np.repeat(np.repeat(covers, size, axis=0), size, axis=1).ravel(), np.arange(raster.width * raster.height)
    )
    pixels = {tile.tile_id: int(shares[tile.row, tile.col] * tile.pixels) for tile in plan.tiles}
    return [(tile.col, tile.row) for tile in areas.chosen_windows(raster, plan, pixels, sampled, count)]


def test_windows_hold_all_land_covers():
    covers = np.kron([[0, 1], [2, 3]], np.ones((4, 4), int))
    chosen = choose(covers, 4)
    assert {covers[row, col] for col, row in chosen} == {0, 1, 2, 3}


def test_windows_hold_land_covers_in_the_shares_of_the_raster():
    covers = np.zeros((6, 8), int)
    covers[:, 6:] = 1  # a quarter
    chosen = choose(covers, 4)
    assert sorted(covers[row, col] for col, row in chosen) == [0, 0, 0, 1]


def test_windows_lie_apart():
    (one_col, one_row), (other_col, other_row) = choose(np.zeros((9, 9), int), 2)
    assert max(abs(one_col - other_col), abs(one_row - other_row)) == 8
    chosen = choose(np.zeros((9, 9), int), 5)
    assert min(abs(a - c) + abs(b - d) for a, b in chosen for c, d in chosen if (a, b) != (c, d)) >= 4


def test_windows_lie_where_the_raster_is_valid():
    valid = np.zeros((5, 5))
    valid[1:3, 2:4] = 1
    valid[2, 2] = 0.2
    assert choose(np.zeros((5, 5), int), 3, valid) == [(2, 1), (3, 1), (3, 2)]
    assert choose(np.zeros((5, 5), int), 9, valid) == [(2, 1), (3, 1), (2, 2), (3, 2)]  # rather that than none


def polygon(col, row, width, height, number=1):
    corners = ((col, row), (col + width, row), (col + width, row + height), (col, row + height), (col, row))
    text = ",".join(f"{x} {y}" for x, y in corners)
    return number, bytes(ogr.CreateGeometryFromWkt(f"POLYGON(({text}))").ExportToWkb())


def test_a_large_raster_is_parted():
    assert [area.window for area in areas.whole_raster(raster_of(2000, 2000), 64)] == [Window(0, 0, 2000, 2000)]
    found = areas.whole_raster(raster_of(5000, 3000), 64)
    assert len(found) == 6 and sum(area.window.pixels for area in found) == 15_000_000
    assert max(area.window.pixels for area in found) <= areas.MOST_PIXELS
    assert found[0].surroundings == Window(0, 0, 1666 + 64, 1500 + 64)


def test_regions_are_their_extents_and_large_ones_are_parted():
    raster = raster_of(9000, 9000)
    placed = place((polygon(10.5, 20.5, 4, 3), polygon(12, 22, 4000, 3000, 2), polygon(8990, 8990, 50, 50, 3)), (0, 0))
    found = areas.in_regions(raster, placed, 64)
    assert found[0].window == Window(10, 20, 5, 4) and found[0].regions == (placed[0],)
    assert [one.number for one in found[1].regions] == [2, 1]  # pixels of the first count there
    assert len(found) == 1 + 4 + 1 and found[-1].window == Window(8990, 8990, 10, 10)
    assert max(area.window.pixels for area in found) <= areas.MOST_PIXELS


def test_each_reference_polygon_is_judged_in_one_area():
    raster = raster_of(300, 100)
    found = areas.areas_of(raster, plan_grid(300, 100, 100, 100).tiles, 20)
    boxes = [
        polygon(10, 10, 20, 20, 1),
        polygon(95, 10, 10, 9, 2),
        polygon(60, 60, 70, 9, 3),
        polygon(180, 5, 10, 90, 4),
    ]
    held = [[one.number for one in area.reference] for area in areas.with_reference(found, place(tuple(boxes), (0, 0)))]
    assert held == [[1], [2, 4], []]  # the third reaches beyond the margin
    regions = areas.in_regions(raster, place((polygon(0, 0, 60, 60), polygon(5, 5, 80, 80, 2)), (0, 0)), 20)
    held = [
        [one.number for one in area.reference] for area in areas.with_reference(regions, place(tuple(boxes), (0, 0)))
    ]
    assert held == [[1], []]  # though it lies in both


def test_windows_of_reference_are_those_with_most_polygons():
    plan = plan_grid(300, 100, 100, 100)
    boxes = [polygon(210 + 5 * step, 10, 4, 4) for step in range(5)] + [polygon(10, 10, 4, 4), polygon(120, 5, 4, 4)]
    placed = place((*boxes, polygon(130, 5, 4, 4)), (0, 0))
    assert [tile.tile_id for tile in areas.windows_of_reference(plan, placed, 2)] == [2, 3]
    assert [tile.tile_id for tile in areas.windows_of_reference(plan, placed, 9)] == [1, 2, 3]


@pytest.mark.parametrize(("sizes", "margin"), [((4, 9), 64), ((5, 10_000), 100), ((10**9,), 500)])
def test_the_margin_grows_with_the_least_segments(sizes, margin):
    assert areas.margin_for(sizes) == margin


@pytest.mark.parametrize("origin", [(0, 0), (3, 7)])
def test_pixels_of_a_polygon_are_those_whose_centres_lie_in_it(origin):
    """A triangle with corners at 10, 10 and 20, 10 and 10, 20, in pixels of the file."""
    triangle = 5, bytes(ogr.CreateGeometryFromWkt("POLYGON((10 10,20 10,10 20,10 10))").ExportToWkb())
    (placed,) = place((triangle,), origin)
    window = Window(8, 2, 7, 30)
    part, inside = burn(placed, window, origin)
    cols, rows = np.meshgrid(np.arange(part.col, part.right), np.arange(part.row, part.bottom))
    x, y = cols + origin[0] + 0.5, rows + origin[1] + 0.5
    off_the_edge = np.abs(x + y - 30) > 1e-9
    expected = (x > 10) & (y > 10) & (x + y < 30)
    np.testing.assert_array_equal(inside[off_the_edge], expected[off_the_edge])
    assert inside.sum() >= expected.sum() > 10 and part.intersection(window) == part
    assert burn(placed, Window(100, 100, 5, 5), origin) is None
