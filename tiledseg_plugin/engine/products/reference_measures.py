# SPDX-License-Identifier: GPL-2.0-or-later
"""How well segments match reference polygons, which somebody has drawn: over- and under-segmentation.

Areas are counted in valid pixels. A polygon x has segments y that correspond to it (Clinton et al. 2010): those that
hold its centre, those whose centre it holds, and those that share more than half of its area or of their own; where
there are none, the one that shares most. Of each polygon, the measures are the means over these segments; in all, the
means over the polygons.

References
----------
Clinton et al. (2010), Accuracy assessment measures for object-based image segmentation goodness, Photogrammetric
Engineering & Remote Sensing 76(3).
Weidner (2008), Contribution to the assessment of segmentation quality for remote sensing applications, International
Archives of Photogrammetry and Remote Sensing 37(B7): the quality rate.
Liu et al. (2012), Discrepancy measures for selecting optimal combination of parameter values in object-based image
analysis, ISPRS Journal of Photogrammetry and Remote Sensing 68.
"""

from dataclasses import dataclass, fields
from typing import Sequence, Tuple

import numpy as np


@dataclass(frozen=True)
class ReferencePixels:
    """Which pixels of a window belong to which reference polygon; polygons may overlap. Of those with a valid pixel.

    shape : rows and columns of the window
    numbers : (polygons,) int64, ascending, what the polygons are called
    polygon : (n,) int64, index of a polygon, ascending; place : (n,) int64, a pixel of it, counted row by row
    """

    shape: Tuple[int, int]
    numbers: np.ndarray
    polygon: np.ndarray
    place: np.ndarray

    @property
    def areas(self) -> np.ndarray:
        """(polygons,) int64, pixels."""
        return np.bincount(self.polygon, minlength=self.numbers.size)

    @property
    def centres(self) -> np.ndarray:
        """(polygons,) int64, the pixel in which the centre of gravity of each lies."""
        rows, cols = np.divmod(self.place, self.shape[1])
        row, col = (np.bincount(self.polygon, one, self.numbers.size) / self.areas for one in (rows, cols))
        return _pixel_at(row, col, self)


def _pixel_at(rows: np.ndarray, cols: np.ndarray, pixels: ReferencePixels) -> np.ndarray:
    return (np.floor(rows + 0.5) * pixels.shape[1] + np.floor(cols + 0.5)).astype(np.int64)


@dataclass(frozen=True)
class Overlaps:
    """Which segments share pixels with which reference polygons.

    sizes : (n,) int64, pixels of each segment, in the window and its margin
    rows, cols : (n,) float64, sums over the pixels of each
    polygon, segment, pixels : (m,) of each pair that shares pixels, ordered by polygon and segment
    at_centres : (polygons,) int64, the segment at the centre of each polygon, -1 for none
    """

    reference: ReferencePixels
    sizes: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    polygon: np.ndarray
    segment: np.ndarray
    pixels: np.ndarray
    at_centres: np.ndarray

    def joined(self, holder: np.ndarray) -> "Overlaps":
        """The same of larger segments: `holder` (n,) numbers of the larger segment that each is a part of."""
        numbers, place = np.unique(holder, return_inverse=True)
        place = place.reshape(-1)
        polygon, segment, pixels = _pairs(self.polygon, place[self.segment], numbers.size, self.pixels)
        sizes, rows, cols = (np.bincount(place, one, numbers.size) for one in (self.sizes, self.rows, self.cols))
        at_centres = np.where(self.at_centres < 0, -1, place[self.at_centres])
        return Overlaps(self.reference, sizes.astype(np.int64), rows, cols, polygon, segment, pixels, at_centres)


def _pairs(
    polygon: np.ndarray, segment: np.ndarray, segments: int, pixels: np.ndarray
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each pair once, with what its pixels add up to."""
    keys, place = np.unique(polygon * segments + segment, return_inverse=True)
    totals = np.bincount(place.reshape(-1), pixels, keys.size).astype(np.int64)
    return keys // segments, keys % segments, totals


def find_overlaps(labels: np.ndarray, count: int, reference: ReferencePixels) -> Overlaps:
    """Lay polygons over the segments of a window.

    Parameters
    ----------
    labels : (rows, cols) uint32, 1..count, 0 where there is no data
    """
    flat = labels.ravel()
    height, width = labels.shape

    def per_segment(values: np.ndarray) -> np.ndarray:
        return np.bincount(flat, np.broadcast_to(values, labels.shape).ravel(), count + 1)[1:]

    sizes = np.bincount(flat, minlength=count + 1)[1:].astype(np.int64)
    there = flat[reference.place].astype(np.int64) - 1
    pairs = _pairs(reference.polygon, there, count, np.ones(there.size))
    rows, cols = per_segment(np.arange(height)[:, None]), per_segment(np.arange(width)[None])
    return Overlaps(reference, sizes, rows, cols, *pairs, flat[reference.centres].astype(np.int64) - 1)


@dataclass(frozen=True)
class PolygonMeasures:
    """The measures of each reference polygon, arrays of (polygons,); those of several areas can be put together.

    numbers : what the polygons are called
    segments : int64, how many correspond
    over, under : over-segmentation, the share of x outside of y; under-segmentation, the share of y outside of x
    rms : the root of the mean of the squares of both
    quality_rate : 1 - shared area / area of both together; iou : the best shared area / area of both together
    areas, beyond : int64 pixels, of x, and of what the y that share more than half lie outside of x, for `in_all`
    halves : (windows,) int64, how many different segments share more than half with a polygon of each window
    """

    numbers: np.ndarray
    segments: np.ndarray
    over: np.ndarray
    under: np.ndarray
    rms: np.ndarray
    quality_rate: np.ndarray
    iou: np.ndarray
    areas: np.ndarray
    beyond: np.ndarray
    halves: np.ndarray


def together(parts: Sequence[PolygonMeasures]) -> PolygonMeasures:
    """The polygons of several areas."""
    return PolygonMeasures(
        *(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(PolygonMeasures))
    )


def measure_polygons(overlaps: Overlaps) -> PolygonMeasures:
    """The measures of each polygon, one by one."""
    reference, polygon, segment = overlaps.reference, overlaps.polygon, overlaps.segment
    areas, shared = reference.areas, overlaps.pixels
    of_polygon, of_segment = areas[polygon], overlaps.sizes[segment]
    halves = (2 * shared > of_polygon) | (2 * shared > of_segment)
    chosen = halves | (overlaps.at_centres[polygon] == segment) | _centre_within(overlaps)
    chosen |= _largest_where_none(polygon, shared, chosen, areas.size)
    beyond = of_segment - shared
    over, under = 1 - shared / of_polygon, beyond / of_segment
    ratio = shared / (of_polygon + beyond)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(polygon[chosen], values[chosen], areas.size) / counts

    counts = np.bincount(polygon[chosen], minlength=areas.size)
    best = np.zeros(areas.size)
    np.maximum.at(best, polygon, ratio)
    outside = np.bincount(polygon[halves], beyond[halves], areas.size).astype(np.int64)
    return PolygonMeasures(
        reference.numbers,
        counts,
        mean(over),
        mean(under),
        mean(np.sqrt((over**2 + under**2) / 2)),
        mean(1 - ratio),
        best,
        areas,
        outside,
        np.array([np.unique(segment[halves]).size], np.int64),
    )


def _centre_within(overlaps: Overlaps) -> np.ndarray:
    """(pairs,) bool, whether the centre of gravity of the segment lies in the polygon."""
    reference, segment = overlaps.reference, overlaps.segment
    sizes = overlaps.sizes[segment]
    centre = _pixel_at(overlaps.rows[segment] / sizes, overlaps.cols[segment] / sizes, reference)
    pixels = reference.shape[0] * reference.shape[1]
    inside = reference.polygon * pixels + reference.place
    return np.isin(overlaps.polygon * pixels + centre, inside)


def _largest_where_none(polygon: np.ndarray, shared: np.ndarray, chosen: np.ndarray, count: int) -> np.ndarray:
    """(pairs,) bool, the pair that shares most of a polygon that has none, the first of several."""
    largest = np.zeros(polygon.size, bool)
    lacking = np.bincount(polygon[chosen], minlength=count) == 0
    order = np.lexsort((-shared, polygon))
    first = order[np.flatnonzero(np.diff(polygon[order], prepend=-1))]
    largest[first] = lacking[polygon[first]]
    return largest


@dataclass(frozen=True)
class ReferenceMeasures:
    """The measures of a candidate over all reference polygons: means, and those of Liu et al. (2012).

    polygons : how many there are
    pse : potential segmentation error, the area of segments outside of the polygon that they correspond to, as a share
        of that of the polygons; here only those correspond that share more than half of a polygon, or of themselves
    nsr : number-of-segments ratio, by how much the number of these segments differs from that of the polygons, as a
        share of the latter
    ed2 : the root of the sum of the squares of both
    """

    polygons: int
    over: float
    under: float
    rms: float
    quality_rate: float
    iou: float
    pse: float
    nsr: float
    ed2: float


def in_all(polygons: PolygonMeasures) -> ReferenceMeasures:
    """The measures over all polygons, at least one."""
    count = polygons.numbers.size
    over, under, rms, quality_rate, iou = (
        float(values.mean())
        for values in (polygons.over, polygons.under, polygons.rms, polygons.quality_rate, polygons.iou)
    )
    pse = polygons.beyond.sum() / polygons.areas.sum()
    nsr = abs(count - int(polygons.halves.sum())) / count
    return ReferenceMeasures(count, over, under, rms, quality_rate, iou, float(pse), nsr, float(np.hypot(pse, nsr)))
