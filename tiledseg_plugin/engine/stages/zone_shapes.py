# SPDX-License-Identifier: GPL-2.0-or-later
"""The shapes of zones as arrays: polygons and lines in the pixels of the raster's file."""

from dataclasses import dataclass
from functools import cached_property
from typing import Dict, Iterator, List, Sequence, Tuple

import numpy as np
from osgeo import ogr

from ..files.window import Window
from .zone_lines import UNIT_BITS

POLYGONS = (ogr.wkbPolygon, ogr.wkbMultiPolygon)
LINES = (ogr.wkbLineString, ogr.wkbMultiLineString)


def part_of(number: int) -> str:
    """Under which some of the shapes lie in the work folder."""
    return f"zones-{number:07d}"


@dataclass(frozen=True, eq=False)
class Shapes:
    """Some of a layer's features, taken apart: what lies in two parts of one feature lies in it.

    points : (n, 2) float64, columns and rows, multiples of 2^-UNIT_BITS; ring behind ring, or line behind line
    rings : (rings,) int64, where each ends in `points`
    ends : (parts,) int64, where each ends in `rings`
    bounds : (parts, 4) float64: left, top, right, bottom
    places : (parts,) int64, the place of each one's feature among all that are read of the layer, from 0; ascending
    numbers : (parts,) float64, the ids of the features
    """

    points: np.ndarray
    rings: np.ndarray
    ends: np.ndarray
    bounds: np.ndarray
    places: np.ndarray
    numbers: np.ndarray

    def arrays(self) -> Dict[str, np.ndarray]:
        """By their names, for a file."""
        return {name: getattr(self, name) for name in Shapes.__dataclass_fields__}

    @cached_property
    def extent(self) -> Tuple[float, float, float, float]:
        """Of all of them: left, top, right, bottom."""
        left, top = self.bounds[:, :2].min(axis=0).tolist()
        right, bottom = self.bounds[:, 2:].max(axis=0).tolist()
        return left, top, right, bottom

    @property
    def is_first(self) -> np.ndarray:
        """(n,) bool, which points begin a ring or a line."""
        first = np.zeros(len(self.points) + 1, bool)
        first[0] = True
        first[self.rings] = True
        return first[:-1]

    def within(self, window: Window) -> "Shapes":
        """Those whose bounds touch a window of the file."""
        left, top, right, bottom = self.bounds.T
        chosen = (left <= window.right) & (right >= window.col) & (top <= window.bottom) & (bottom >= window.row)
        if chosen.all():
            return self
        per_part = np.diff(self.ends, prepend=0)
        ring_chosen = np.repeat(chosen, per_part)
        per_ring = np.diff(self.rings, prepend=0)
        return Shapes(
            self.points[np.repeat(ring_chosen, per_ring)],
            np.cumsum(per_ring[ring_chosen]),
            np.cumsum(per_part[chosen]),
            self.bounds[chosen],
            self.places[chosen],
            self.numbers[chosen],
        )

    def polygons(self) -> Iterator[List[np.ndarray]]:
        """The rings of each part, (n, 2) float64 each."""
        begin = start = 0
        for end in self.ends.tolist():
            rings = []
            for stop in self.rings[begin:end].tolist():
                rings.append(self.points[start:stop])
                start = stop
            begin = end
            yield rings


def snapped(points: np.ndarray) -> np.ndarray:
    """Coordinates as they are kept: what is less than a millionth of a pixel is noise of some computation."""
    unit = float(1 << UNIT_BITS)
    return np.rint(points * unit) / unit


def parts_of(geometry: ogr.Geometry, wanted: Sequence[int]) -> List[List[np.ndarray]]:
    """The polygons or lines of a geometry, the rings of each or the line itself: (n, 2) float64.

    Of a collection, those of a kind.

    Parameters
    ----------
    wanted : POLYGONS or LINES
    """
    kind = ogr.GT_Flatten(geometry.GetGeometryType())
    count = geometry.GetGeometryCount()
    if kind in wanted[1:] or kind == ogr.wkbGeometryCollection:
        return [part for number in range(count) for part in parts_of(geometry.GetGeometryRef(number), wanted)]
    if kind not in wanted:
        return []
    rings = [geometry.GetGeometryRef(number) for number in range(count)] if kind == ogr.wkbPolygon else [geometry]
    return [[np.array(ring.GetPoints(2), np.float64).reshape(-1, 2) for ring in rings]]


def shapes_of(parts: Sequence[Tuple[int, int, Sequence[np.ndarray]]]) -> Shapes:
    """Put parts together.

    Parameters
    ----------
    parts : (place of the feature, its id, rings) of each, none without a ring
    """
    rings = [ring for _, _, own in parts for ring in own]
    sizes = [len(own) for _, _, own in parts]
    whole = [np.concatenate(own) for _, _, own in parts]
    return Shapes(
        np.concatenate(rings),
        np.cumsum([len(ring) for ring in rings], dtype=np.int64),
        np.cumsum(sizes, dtype=np.int64),
        np.array([[*points.min(axis=0), *points.max(axis=0)] for points in whole]),
        np.array([place for place, _, _ in parts], np.int64),
        np.array([number for _, number, _ in parts], np.float64),
    )
