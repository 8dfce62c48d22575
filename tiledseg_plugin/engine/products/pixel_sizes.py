# SPDX-License-Identifier: GPL-2.0-or-later
"""How long the sides of a raster's pixels are and how large their areas: in map units, or on the ellipsoid in metres.

On geographic coordinates both differ from row to row, and sums of many of them have to be exact, so that no order of
adding can show: each is a whole number of units that are a 2^32nd of the longest side, or of the largest area, that a
pixel can have anywhere on the ellipsoid.
"""

import math
from dataclasses import dataclass
from typing import Optional, Tuple, Union

import numpy as np
from osgeo import gdal, osr

from ..files.georeference import geotransform, spatial_reference

STEPS = 1 << 32  # in the longest side
NODES, WEIGHTS = (array / 2 for array in np.polynomial.legendre.leggauss(8))  # of an integral over 0..1
NODES = NODES + 0.5
Metres = Union[float, np.ndarray]


@dataclass(frozen=True)
class Ellipsoid:
    """Of a geographic coordinate system.

    axis : the semi-major one, in metres
    eccentricity : squared
    radians : in a unit of the coordinates
    """

    axis: float
    eccentricity: float
    radians: float

    def along_meridian(self, latitude: Metres) -> Metres:
        """Metres per radian of latitude, at a latitude in radians: the radius of curvature in the meridian."""
        return self.axis * (1 - self.eccentricity) / np.power(1 - self.eccentricity * np.square(np.sin(latitude)), 1.5)

    def along_parallel(self, latitude: Metres) -> Metres:
        """Metres per radian of longitude, at a latitude in radians."""
        return self.axis * np.cos(latitude) / np.sqrt(1 - self.eccentricity * np.square(np.sin(latitude)))

    def latitude(self, degrees: np.ndarray) -> np.ndarray:
        """In radians; grids may reach a fraction of a pixel beyond the pole."""
        return np.clip(degrees * self.radians, -math.pi / 2, math.pi / 2)


@dataclass(frozen=True)
class PixelSizes:
    """Sides and areas of the pixels of a raster. Plain values: it travels to workers.

    transform : geotransform of the raster
    ellipsoid : None where coordinates are not geographic: lengths are then in their units
    """

    transform: Tuple[float, ...]
    ellipsoid: Optional[Ellipsoid] = None

    @property
    def is_rotated(self) -> bool:
        return bool(self.transform[2] or self.transform[4])

    @property
    def units(self) -> Tuple[float, float, float]:
        """What 1 in the arrays of `window` is: of an area, of a side between two rows, of one between two columns."""
        _, right_x, down_x, _, right_y, down_y = self.transform
        if self.ellipsoid is None:
            area = abs(right_x * down_y - down_x * right_y)
            return area, math.hypot(right_x, right_y), math.hypot(down_x, down_y)
        # no radius of curvature is larger than the one at the pole
        longest = self.ellipsoid.axis / math.sqrt(1 - self.ellipsoid.eccentricity) * self.ellipsoid.radians
        across, down = (longest * math.hypot(x, y) for x, y in ((right_x, right_y), (down_x, down_y)))
        return across * down / STEPS, across / STEPS, down / STEPS

    def window(self, col: int, row: int, cols: int, rows: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the pixels of a window the area, the side to the pixel below, and the side to the one on the right.

        Returns
        -------
        area, across, down : (rows, cols) int64, in `units`, or (rows, 1) where they are the same along a row
        """
        if self.ellipsoid is None:
            ones = np.ones((rows, 1), np.int64)
            return ones, ones, ones
        right, down = self.transform[1::3], self.transform[2::3]
        left = col + np.arange(cols if right[1] else 1, dtype=np.float64)
        top = row + np.arange(rows, dtype=np.float64)[:, None]
        area, across, along = self.units
        return (
            self._counted(self._areas(left, top), area),
            self._counted(self._length(left, top + 1, right), across),
            self._counted(self._length(left + 1, top, down), along),
        )

    @staticmethod
    def _counted(lengths: np.ndarray, unit: float) -> np.ndarray:
        return np.floor(lengths / unit + 0.5).astype(np.int64)

    def _length(self, col: np.ndarray, row: np.ndarray, way: Tuple[float, ...]) -> np.ndarray:
        """Of what is a straight line in coordinates, from the corners at columns and rows on, in metres.

        Parameters
        ----------
        way : by how much longitude and latitude differ at its end
        """
        ellipsoid = self._on_ellipsoid()
        total = np.zeros(np.broadcast(col, row).shape)
        for node, weight in zip(NODES.tolist(), WEIGHTS.tolist()):
            latitude = ellipsoid.latitude(self._y(col, row) + node * way[1])
            east = ellipsoid.along_parallel(latitude) * (way[0] * ellipsoid.radians)
            north = ellipsoid.along_meridian(latitude) * (way[1] * ellipsoid.radians)
            total += weight * np.hypot(east, north)
        return total

    def _areas(self, col: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Of the pixels at columns and rows, in square metres."""
        ellipsoid = self._on_ellipsoid()
        _, right_x, down_x, _, right_y, down_y = self.transform
        extent = abs(right_x * down_y - down_x * right_y) * ellipsoid.radians**2
        total = np.zeros(np.broadcast(col, row).shape)
        aside = list(zip(NODES.tolist(), WEIGHTS.tolist())) if right_y else [(0.0, 1.0)]
        for node, weight in zip(NODES.tolist(), WEIGHTS.tolist()):
            for node_aside, weight_aside in aside:
                latitude = ellipsoid.latitude(self._y(col + node_aside, row + node))
                scale = ellipsoid.along_parallel(latitude) * ellipsoid.along_meridian(latitude)
                total += weight * weight_aside * extent * scale
        return total

    def _y(self, col: np.ndarray, row: np.ndarray) -> np.ndarray:
        return self.transform[3] + col * self.transform[4] + row * self.transform[5]

    def _on_ellipsoid(self) -> Ellipsoid:
        if self.ellipsoid is None:
            raise ValueError("coordinates are not geographic")
        return self.ellipsoid

    def map_x(self, col: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Of places in pixels from the raster's upper left corner."""
        return self.transform[0] + col * self.transform[1] + row * self.transform[2]

    def map_y(self, col: np.ndarray, row: np.ndarray) -> np.ndarray:
        return self._y(col, row)

    def metres_per_unit(self, y: np.ndarray) -> Tuple[Metres, Metres]:
        """How many metres a unit of x and of y are at some y; on plane coordinates they are what lengths are in."""
        if self.ellipsoid is None:
            return 1.0, 1.0
        latitude = self.ellipsoid.latitude(y)
        return (
            self.ellipsoid.along_parallel(latitude) * self.ellipsoid.radians,
            self.ellipsoid.along_meridian(latitude) * self.ellipsoid.radians,
        )


def pixel_sizes(dataset: gdal.Dataset) -> PixelSizes:
    """Those of a raster; one without georeference has pixels of size 1."""
    return PixelSizes(tuple(geotransform(dataset)), _ellipsoid(spatial_reference(dataset)))


def _ellipsoid(crs: Optional[osr.SpatialReference]) -> Optional[Ellipsoid]:
    if crs is None or not crs.IsGeographic():
        return None
    inverse = crs.GetInvFlattening()
    flattening = 1 / inverse if inverse else 0.0
    return Ellipsoid(crs.GetSemiMajor(), flattening * (2 - flattening), crs.GetAngularUnits())
