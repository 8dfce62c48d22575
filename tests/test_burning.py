# SPDX-License-Identifier: GPL-2.0-or-later
"""Polygons are burnt as GDAL burns their layer on the raster, also where sides run through the centres of pixels."""

import random

import numpy as np
import pytest
from osgeo import ogr
from rasters import write_raster
from tiledseg.tiledseg_plugin.engine.files.window import Window
from tiledseg.tiledseg_plugin.engine.stages.burning import burnt, upright
from tiledseg.tiledseg_plugin.engine.stages.polygon_pixels import burn, place
from zone_layers import box, burnt_at_once, polygon, write_layer

ROWS, COLS = 24, 31
UNEVEN = "POLYGON((16.5 5.5,-2.0 5.5,0.5 0.0,0.5 3.0,12.0 -2.5,7.5 3.5,16.5 5.5))"  # found by the fuzzer
OVERLAPPING = f"MULTIPOLYGON({polygon(box(2, 2, 14, 9.5))[7:]},{polygon(box(8, 5, 20, 17), box(9.5, 6, 11, 15))[7:]})"


def drawn(seed):
    """Polygons whose corners lie on the edges and centres of pixels: most of their sides meet centres."""
    rng = random.Random(seed)

    def corner():
        return rng.randint(-8, 2 * COLS + 8) / 2, rng.randint(-8, 2 * ROWS + 8) / 2

    if seed % 2:
        boxes = [[*corner(), *corner()] for _ in range(9)]
        return [polygon(box(min(a, c), min(b, d), max(a, c) + 0.5, max(b, d) + 0.5)) for a, b, c, d in boxes]
    return [polygon([corner() for _ in range(rng.randint(3, 7))]) for _ in range(9)]


def rings(wkt):
    geometry = ogr.CreateGeometryFromWkt(wkt)
    return [np.array(geometry.GetGeometryRef(part).GetPoints()) for part in range(geometry.GetGeometryCount())]


def on_raster(shapes, folder):
    raster = write_raster(folder / "grid.tif", np.zeros((1, ROWS, COLS), np.uint8))
    return burnt_at_once(write_layer(folder / "shapes.gpkg", shapes), raster)


@pytest.mark.parametrize("shapes", [[UNEVEN], *map(drawn, range(12))])
@pytest.mark.parametrize("side", [1, 7, 64])
def test_what_is_burnt_in_windows_is_what_gdal_burns_on_the_raster(tmp_path, shapes, side):
    expected = on_raster(shapes, tmp_path)
    assert expected.any()
    for row in range(0, ROWS, side):
        for col in range(0, COLS, side):
            found = burnt([upright(rings(wkt)) for wkt in shapes], Window(col, row, side, side))
            wanted = expected[row : row + side, col : col + side]
            np.testing.assert_array_equal(found[: wanted.shape[0], : wanted.shape[1]], wanted)


@pytest.mark.parametrize("origin", [(0, 0), (3, 4)])
def test_polygons_of_a_search_are_burnt_alike(tmp_path, origin):
    for shapes in ([UNEVEN, OVERLAPPING], *map(drawn, range(4))):
        for shape in shapes:
            expected = on_raster([shape], tmp_path) == 1
            (placed,) = place(((1, bytes(ogr.CreateGeometryFromWkt(shape).ExportToWkb())),), origin)
            whole = np.zeros((ROWS, COLS), bool)
            found = burn(placed, Window(0, 0, COLS - origin[0], ROWS - origin[1]), origin)
            if found is not None:
                part, inside = found
                whole[part.moved(*origin).within(Window(0, 0, COLS, ROWS))] = inside
            np.testing.assert_array_equal(whole[origin[1] :, origin[0] :], expected[origin[1] :, origin[0] :])


@pytest.mark.parametrize("wkb", [b"", b"\x01\x03\x00\x00\x00", upright([np.zeros((4, 2))])[:-8]])
def test_what_is_no_polygon_is_not_burnt(wkb):
    whole = upright([np.array([(0, 0), (4, 0), (4, 4), (0, 0)])])
    with pytest.raises(ValueError, match="."):
        burnt([whole, wkb, whole], Window(0, 0, 4, 4))
