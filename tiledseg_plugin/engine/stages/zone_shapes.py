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
    """Some of a layer's features.

    points : (n, 2) float64, columns and rows, multiples of 2^-UNIT_BITS; ring behind ring, or line behind line
    rings : (rings,) int64, where each ends in `points`
    ends : (features,) int64, where each ends in `rings`
    bounds : (features, 4) float64: left, top, right, bottom
    places : (features,) int64, each one's place among all that are read of the layer, from 0
    numbers : (features,) float64, their ids
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
        per_feature = np.diff(self.ends, prepend=0)
        ring_chosen = np.repeat(chosen, per_feature)
        per_ring = np.diff(self.rings, prepend=0)
        return Shapes(
            self.points[np.repeat(ring_chosen, per_ring)],
            np.cumsum(per_ring[ring_chosen]),
            np.cumsum(per_feature[chosen]),
            self.bounds[chosen],
            self.places[chosen],
            self.numbers[chosen],
        )

    def features(self) -> Iterator[List[np.ndarray]]:
        """The rings of each feature, (n, 2) float64 each."""
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


def rings_of(geometry: ogr.Geometry, wanted: Sequence[int]) -> List[np.ndarray]:
    """The rings or lines of a geometry, (n, 2) float64 each; of a collection, of those parts that are of a kind.

    Parameters
    ----------
    wanted : POLYGONS or LINES
    """
    kind = ogr.GT_Flatten(geometry.GetGeometryType())
    count = geometry.GetGeometryCount()
    if kind in wanted[1:] or kind == ogr.wkbGeometryCollection:
        return [ring for part in range(count) for ring in rings_of(geometry.GetGeometryRef(part), wanted)]
    if kind not in wanted:
        return []
    parts = [geometry.GetGeometryRef(part) for part in range(count)] if kind == ogr.wkbPolygon else [geometry]
    return [np.array(part.GetPoints(2), np.float64).reshape(-1, 2) for part in parts]


def shapes_of(features: Sequence[Tuple[int, int, Sequence[np.ndarray]]]) -> Shapes:
    """Put features together.

    Parameters
    ----------
    features : (place, id, rings) of each, none without a ring
    """
    rings = [ring for _, _, own in features for ring in own]
    sizes = [len(own) for _, _, own in features]
    whole = [np.concatenate(own) for _, _, own in features]
    return Shapes(
        np.concatenate(rings),
        np.cumsum([len(ring) for ring in rings], dtype=np.int64),
        np.cumsum(sizes, dtype=np.int64),
        np.array([[*points.min(axis=0), *points.max(axis=0)] for points in whole]),
        np.array([place for place, _, _ in features], np.int64),
        np.array([number for _, number, _ in features], np.float64),
    )
