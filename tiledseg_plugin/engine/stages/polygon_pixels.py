# SPDX-License-Identifier: GPL-2.0-or-later
"""The pixels of a window that lie in polygons: those whose centres do, as GDAL burns them."""

import math
from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np
from osgeo import ogr

from ..errors import SegmentationError
from ..files.window import Window
from .burning import burnt, upright
from .zone_shapes import POLYGONS, parts_of


@dataclass(frozen=True)
class PlacedPolygon:
    """A polygon in a raster's pixels. Plain values only: it travels to workers.

    number : what it is called, from 1
    wkb : in pixels of the raster, 0, 0 being the upper left corner of the first
    window : its extent, whole pixels; it may reach beyond the raster
    """

    number: int
    wkb: bytes
    window: Window

    @property
    def middle(self) -> Tuple[int, int]:
        """Column and row in the middle of its extent."""
        return self.window.col + self.window.width // 2, self.window.row + self.window.height // 2


def place(polygons: Tuple[Tuple[int, bytes], ...], origin: Tuple[int, int]) -> List[PlacedPolygon]:
    """Polygons of a file's pixels in those of a part of it.

    Parameters
    ----------
    polygons : as `polygon_tiles.polygons_in_pixels` returns them
    origin : column and row at which the part begins
    """
    placed = []
    for number, wkb in polygons:
        left, right, top, bottom = ogr.CreateGeometryFromWkb(wkb).GetEnvelope()
        col, row = math.floor(left), math.floor(top)
        window = Window(col, row, max(math.ceil(right) - col, 1), max(math.ceil(bottom) - row, 1))
        placed.append(PlacedPolygon(number, wkb, window.moved(-origin[0], -origin[1])))
    return placed


def burn(polygon: PlacedPolygon, window: Window, origin: Tuple[int, int]) -> Optional[Tuple[Window, np.ndarray]]:
    """The part of a window that a polygon's extent covers, and (rows, cols) bool, its pixels there; None where none is.

    Parameters
    ----------
    origin : see `place`
    """
    common = polygon.window.intersection(window)
    if common is None:
        return None
    in_file = common.moved(*origin)
    parts = parts_of(ogr.CreateGeometryFromWkb(polygon.wkb), POLYGONS)
    try:
        inside = burnt(map(upright, parts), in_file) != 0
    except ValueError:
        raise SegmentationError(f"Polygon {polygon.number} cannot be put on the raster: repair or remove it.") from None
    return (common, inside) if inside.any() else None
