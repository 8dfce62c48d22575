# SPDX-License-Identifier: GPL-2.0-or-later
"""A raster of classes on another grid: each pixel has the class under its centre, however much is read at once."""

import math

import numpy as np
import pytest
from rasters import UTM, write_raster
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from tiledseg.tiledseg_plugin.engine.files.window import Window
from tiledseg.tiledseg_plugin.engine.stages import zone_raster
from tiledseg.tiledseg_plugin.engine.stages.zone_raster import class_raster

gdal = pytest.importorskip("osgeo.gdal")
osr = pytest.importorskip("osgeo.osr")
COLS, ROWS = 23, 17
GRID = (500000.0, 10.0, 0.0, 6000000.0, 0.0, -10.0)
GEOGRAPHIC = (-3.0005, 2e-4, 0.0, 54.1505, 0.0, -2e-4)
# of the classes: their geotransform, and their coordinate system
PLACED = {
    "the same grid": (GRID, UTM),
    "moved by whole pixels": ((499970.0, 10.0, 0.0, 6000020.0, 0.0, -10.0), UTM),
    "finer": ((500003.25, 3.0, 0.0, 5999991.5, 0.0, -3.0), UTM),
    "a part of a pixel apart": ((499927.0, 10.0, 0.0, 6000153.0, 0.0, -10.0), UTM),
    "coarser": ((499900.0, 47.0, 0.0, 6000100.0, 0.0, -47.0), UTM),
    "rotated": ((500030.0, 7.0, 3.0, 5999960.0, 2.0, -7.0), UTM),
    "south up": ((499990.0, 10.0, 0.0, 5999700.0, 0.0, 13.0), UTM),
    "degrees": (GEOGRAPHIC, "EPSG:4326"),
}


def written(folder, placed):
    """(path of a raster, path of classes, these, 0 for no data)."""
    transform, crs = PLACED[placed]
    values = np.random.default_rng(len(placed)).integers(0, 9, (1, 31, 29)).astype(np.uint8)
    raster = write_raster(folder / "in.tif", np.ones((1, ROWS, COLS), np.uint8), geotransform=GRID)
    return raster, write_raster(folder / "classes.tif", values, 0, geotransform=transform, crs=crs), values[0]


def under_centres(values, placed):
    """Pixel by pixel, by GDAL's own functions: (classes, those whose place is too near to an edge to say)."""
    transform, crs = PLACED[placed]
    one, other = osr.SpatialReference(), osr.SpatialReference()
    for system, text in ((one, UTM), (other, crs)):
        system.SetFromUserInput(text)
        system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    change, inverse = osr.CoordinateTransformation(one, other), gdal.InvGeoTransform(transform)
    found, doubtful = np.zeros((ROWS, COLS), np.uint8), np.zeros((ROWS, COLS), bool)
    for row in range(ROWS):
        for col in range(COLS):
            x, y = gdal.ApplyGeoTransform(list(GRID), col + 0.5, row + 0.5)
            if crs != UTM:
                x, y, _ = change.TransformPoint(x, y)
            place = gdal.ApplyGeoTransform(inverse, x, y)
            doubtful[row, col] = any(abs(value - round(value)) < 1e-5 for value in place)
            at_col, at_row = map(math.floor, place)
            if 0 <= at_row < values.shape[0] and 0 <= at_col < values.shape[1]:
                found[row, col] = values[at_row, at_col]
    return found, doubtful


@pytest.mark.parametrize("limits", [{}, {"MOST_PIXELS": 30}, {"MOST_PIXELS": 1, "POINTS": 50}, {"POINTS": 1}])
@pytest.mark.parametrize("placed", PLACED)
def test_a_pixel_has_the_class_under_its_centre_however_much_is_read_at_once(tmp_path, monkeypatch, placed, limits):
    raster, classes, values = written(tmp_path, placed)
    expected, doubtful = under_centres(values, placed)
    assert np.count_nonzero(expected) > 50 and np.count_nonzero(doubtful) < 40
    for name, value in limits.items():
        monkeypatch.setattr(zone_raster, name, value)
    found = class_raster(classes, describe(raster, (1,)))
    assert (found.shift is not None) == (placed in ("the same grid", "moved by whole pixels"))
    for window in (Window(0, 0, COLS, ROWS), Window(4, 3, 11, 9), Window(7, 0, 1, ROWS), Window(22, 16, 1, 1)):
        part = np.s_[window.row : window.bottom, window.col : window.right]
        read, is_there = found.read(window)
        sure = ~doubtful[part]
        assert np.array_equal(read[sure], expected[part][sure])
        assert np.array_equal(is_there[sure], expected[part][sure] != 0)


def test_without_a_georeference_both_must_have_the_same_size(tmp_path):
    values = np.random.default_rng(1).integers(1, 9, (1, ROWS, COLS)).astype(np.uint8)
    none = {"geotransform": None, "crs": None}
    raster = describe(write_raster(tmp_path / "in.tif", values, **none), (1,))
    same = class_raster(write_raster(tmp_path / "same.tif", values, **none), raster)
    assert np.array_equal(same.read(Window(2, 3, 5, 6))[0], values[0, 3:9, 2:7])
    for name, array, given in (("size.tif", values[:, 1:], none), ("placed.tif", values, {"geotransform": GRID})):
        with pytest.raises(
            SegmentationError, match=rf"{name} \(23 x 1[67] pixels\) cannot be placed on .*in.tif: both"
        ):
            class_raster(write_raster(tmp_path / name, array, **given), raster)


def test_classes_beside_the_raster_are_refused(tmp_path):
    values = np.ones((1, ROWS, COLS), np.uint8)
    raster = describe(write_raster(tmp_path / "in.tif", values, geotransform=GRID), (1,))
    for name, (x, y) in {"right": (230, 0), "left": (-230, 0), "above": (0, 170), "below": (0, -170)}.items():
        moved = (GRID[0] + x, 10.0, 0.0, GRID[3] + y, 0.0, -10.0)
        with pytest.raises(
            SegmentationError, match=f"{name}.tif does not lie over .*in.tif: check the raster and both"
        ):
            class_raster(write_raster(tmp_path / f"{name}.tif", values, geotransform=moved), raster)
