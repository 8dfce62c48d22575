# SPDX-License-Identifier: GPL-2.0-or-later
"""A raster of classes on the grid of another: each pixel has the class of the pixel that its centre is in."""

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np
from osgeo import gdal, osr

from ..errors import SegmentationError
from ..files.gdal_access import collected_errors, open_raster
from ..files.georeference import geotransform, is_georeferenced, spatial_reference
from ..files.raster import Raster, describe
from ..files.reading import read_window
from ..files.window import Window

SAME = 1e-3  # pixels over the whole raster by which the same grid may be off
NOISE = 6  # decimals of a pixel that a coordinate is good for
MOST_PIXELS = 1 << 22  # of the classes, that are read at once
POINTS = 1 << 18  # whose coordinates are computed at once
OUTLINE = 64  # points along a side, by which it is found where classes lie

Affine = Tuple[float, ...]


@dataclass(frozen=True)
class ClassRaster:
    """The first band of a raster of classes, read by windows of another raster's file.

    shift : what is added to columns and rows where both have one grid, else None
    forward : the geotransform of the other raster
    inverse : the inverse one of the classes
    systems : WKT of the other raster's coordinate system and of the classes', where they differ
    """

    raster: Raster
    shift: Optional[Tuple[int, int]]
    forward: Affine = ()
    inverse: Affine = ()
    systems: Optional[Tuple[str, str]] = None

    def read(self, window: Window) -> Tuple[np.ndarray, np.ndarray]:
        """The classes in a window of the other raster's file, 0 in none, and where there is one: (rows, cols) each."""
        dataset = open_raster(self.raster.path)
        classes = np.zeros((window.height, window.width), self.raster.dtype)
        valid = np.zeros(classes.shape, bool)
        if self.shift is not None:
            moved = window.moved(*self.shift)
            common = moved.intersection(self.raster.window)
            if common is not None:
                values, is_there = read_window(dataset, self.raster, common)
                place = common.within(moved)
                classes[place], valid[place] = values[0] * is_there, is_there
            return classes, valid
        rows = max(1, POINTS // window.width)
        for top in range(0, window.height, rows):
            part = Window(window.col, window.row + top, window.width, min(rows, window.height - top))
            self._take(dataset, part, classes[top : top + rows], valid[top : top + rows])
        return classes, valid

    def _take(self, dataset: gdal.Dataset, window: Window, classes: np.ndarray, valid: np.ndarray) -> None:
        """Fill in what a window holds; where its pixels lie too far from each other, in parts."""
        cols, rows = self._places(window)
        there = (cols >= 0) & (cols < self.raster.width) & (rows >= 0) & (rows < self.raster.height)
        if not there.any():
            return
        left, top = int(cols[there].min()), int(rows[there].min())
        read = Window(left, top, int(cols[there].max()) - left + 1, int(rows[there].max()) - top + 1)
        if read.pixels > MOST_PIXELS and window.pixels > 1:
            for part in _halves(window):
                place = part.within(window)
                self._take(dataset, part, classes[place], valid[place])
            return
        values, is_there = read_window(dataset, self.raster, read)
        at = rows[there] - top, cols[there] - left
        valid[there] = is_there[at]
        classes[there] = np.where(is_there[at], values[0][at], 0)

    def _places(self, window: Window) -> Tuple[np.ndarray, np.ndarray]:
        """The columns and rows of the classes at the centres of a window's pixels: (rows, cols) int64 each."""
        cols, rows = np.meshgrid(np.arange(window.col, window.right) + 0.5, np.arange(window.row, window.bottom) + 0.5)
        x, y = _applied(self.forward, cols, rows)
        if self.systems is not None:
            x, y = _reprojected(x, y, self.systems)
        cols, rows = _applied(self.inverse, x, y)
        return _floored(cols), _floored(rows)


def _applied(transform: Affine, x: np.ndarray, y: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    left, by_x, by_y, top, down_x, down_y = transform
    return left + by_x * x + by_y * y, top + down_x * x + down_y * y


def _floored(values: np.ndarray) -> np.ndarray:
    # a centre on the edge of two pixels must go one way, whatever its last digits are
    found = np.floor(np.round(np.where(np.isfinite(values), values, -1e9), NOISE))
    whole: np.ndarray = np.clip(found, -1e9, 4e9).astype(np.int64)
    return whole


def _reprojected(x: np.ndarray, y: np.ndarray, systems: Tuple[str, str]) -> Tuple[np.ndarray, np.ndarray]:
    """Coordinates in another system, infinite where they have none there."""
    one, other = (osr.SpatialReference(wkt=wkt) for wkt in systems)
    for system in (one, other):
        system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    with collected_errors():
        change = osr.CoordinateTransformation(one, other)
        points = np.array(change.TransformPoints(np.stack([x.ravel(), y.ravel()], axis=1).tolist()))
    return points[:, 0].reshape(x.shape), points[:, 1].reshape(x.shape)


def _halves(window: Window) -> Tuple[Window, Window]:
    col, row, width, height = window
    if height > 1:
        return Window(col, row, width, height // 2), Window(col, row + height // 2, width, height - height // 2)
    return Window(col, row, width // 2, 1), Window(col + width // 2, row, width - width // 2, 1)


def class_raster(path: str, raster: Raster) -> ClassRaster:
    """ZONES as classes on a raster's grid.

    Raises
    ------
    SegmentationError : it is no raster of plain numbers, cannot be placed, or does not lie over the raster
    """
    classes = describe(path, (1,))
    grid, own = open_raster(raster.path), open_raster(path)
    if not is_georeferenced(grid) or not is_georeferenced(own):
        if is_georeferenced(grid) == is_georeferenced(own) and raster.file_size == classes.file_size:
            return ClassRaster(classes, (0, 0))
        raise SegmentationError(
            f"ZONES {path} ({classes.width} x {classes.height} pixels) cannot be placed on {raster.path}: both must "
            "have a georeference, or neither and the same size."
        )
    forward, inverse = tuple(geotransform(grid)), gdal.InvGeoTransform(geotransform(own))
    if inverse is None or gdal.InvGeoTransform(forward) is None:
        raise SegmentationError(f"ZONES {path} or the raster has a geotransform without area: give another.")
    found = ClassRaster(classes, None, forward, tuple(inverse), _different_systems(grid, own))
    window = Window(raster.left, raster.top, raster.width, raster.height)
    if not _overlaps(found, window, geotransform(own)):
        raise beside(path, raster, "raster")
    shift = _shift(found, raster)
    return found if shift is None else ClassRaster(classes, shift)


def beside(called: str, raster: Raster, what: str) -> SegmentationError:
    """What is said of ZONES that do not lie over a raster, or over the part of it that EXTENT leaves.

    Parameters
    ----------
    called : the zones
    what : they are: a layer or a raster
    """
    if raster.is_part:
        return SegmentationError(
            f"ZONES {called} does not lie over EXTENT, the part of {raster.path} that is segmented: give another "
            f"EXTENT, or leave ZONES out; else check the {what} and the coordinate systems."
        )
    return SegmentationError(
        f"ZONES {called} does not lie over {raster.path}: check the {what} and both coordinate systems."
    )


def _different_systems(grid: gdal.Dataset, own: gdal.Dataset) -> Optional[Tuple[str, str]]:
    one, other = spatial_reference(grid), spatial_reference(own)
    if one is None or other is None or one.IsSame(other, ["IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES"]):
        return None
    return one.ExportToWkt(), other.ExportToWkt()


def _shift(classes: ClassRaster, raster: Raster) -> Optional[Tuple[int, int]]:
    """By how many whole pixels the two grids are apart; None where they are different ones."""
    if classes.systems is not None:
        return None
    width, height = raster.file_size
    x, y = np.array([0.0, width, 0.0]), np.array([0.0, 0.0, height])
    cols, rows = _applied(classes.inverse, *_applied(classes.forward, x, y))
    shift = int(np.rint(cols[0])), int(np.rint(rows[0]))
    off = np.abs([cols - x - shift[0], rows - y - shift[1]])
    return shift if (off < SAME).all() else None


def _overlaps(classes: ClassRaster, window: Window, own: Affine) -> bool:
    """Whether the classes have, by their outline, pixels in a window of the other raster's file."""
    width, height = classes.raster.file_size
    share = np.linspace(0, 1, OUTLINE)
    x = np.concatenate([share * width, share * width, np.zeros(OUTLINE), np.full(OUTLINE, width)])
    y = np.concatenate([np.zeros(OUTLINE), np.full(OUTLINE, height), share * height, share * height])
    x, y = _applied(own, x, y)
    if classes.systems is not None:
        x, y = _reprojected(x, y, classes.systems[::-1])
    cols, rows = _applied(gdal.InvGeoTransform(classes.forward), x, y)
    known = np.isfinite(cols) & np.isfinite(rows)
    if not known.any():
        return False
    cols, rows = cols[known], rows[known]
    return bool(
        cols.min() < window.right and cols.max() > window.col and rows.min() < window.bottom and rows.max() > window.row
    )
