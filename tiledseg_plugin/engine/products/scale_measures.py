# SPDX-License-Identifier: GPL-2.0-or-later
"""How well segments part an image, without any reference: within they should be even, and differ from their neighbours.

All measures are made of sums, which can be added up: those of larger segments from those of the smaller ones that they
consist of, and those of several areas. Values are counted in standard deviations of their band, so that all bands weigh
alike, whatever their units.

References
----------
Espindola et al. (2006), Parameter selection for region-growing image segmentation algorithms using spatial
autocorrelation, International Journal of Remote Sensing 27(14).
Johnson and Xie (2011), Unsupervised image segmentation evaluation and refinement using a multi-scale approach, ISPRS
Journal of Photogrammetry and Remote Sensing 66(4).
Johnson et al. (2015), Image segmentation parameter optimization considering within- and between-segment heterogeneity
at multiple scale levels, ISPRS International Journal of Geo-Information 4(4).
Boeck, Immitzer and Atzberger (2017), On the objectivity of the objective function, Remote Sensing 9(8), 769.
Dragut et al. (2014), Automated parameterisation for multi-scale image segmentation on multiple layers, ISPRS Journal of
Photogrammetry and Remote Sensing 88.
"""

from dataclasses import dataclass, fields, replace
from typing import Iterable, List, Sequence

import numpy as np

from ..kernels.contract import Kernels
from ..kernels.pairs import packed, unpacked


@dataclass(frozen=True)
class SegmentSums:
    """What is known of each segment of an area, of which only those count that have a pixel.

    pixels : (n,) int64
    sums : (n, bands) float64, of the values in standard deviations
    within : (n, bands) float64, of the squares of their deviations from the segment's mean
    edges : (m, 2) uint32, pairs of segments that touch, each once
    """

    pixels: np.ndarray
    sums: np.ndarray
    within: np.ndarray
    edges: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """(n, bands) float64; 0 where a segment has no pixel."""
        return self.sums / np.maximum(self.pixels, 1)[:, None]

    def joined(self, holder: np.ndarray) -> "SegmentSums":
        """The same of larger segments.

        Parameters
        ----------
        holder : (n,) numbers of the larger segment that each is a part of
        """
        numbers, place = np.unique(holder, return_inverse=True)
        place = place.reshape(-1).astype(np.uint32)
        pixels = np.bincount(place, self.pixels, numbers.size).astype(np.int64)
        joined = SegmentSums(
            pixels, _added(place, self.sums, numbers.size), self.within, distinct_edges(place[self.edges])
        )
        between = self.pixels[:, None] * np.square(self.means - joined.means[place])
        return replace(joined, within=_added(place, self.within + between, numbers.size))


def distinct_edges(edges: np.ndarray) -> np.ndarray:
    """Each pair of different ones once, the lower first: (n, 2) of the dtype of `edges`."""
    low, high = edges.min(axis=1), edges.max(axis=1)
    return unpacked(np.unique(packed(low, high)[low != high])).astype(edges.dtype)


def _added(place: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    return np.stack([np.bincount(place, band, count) for band in values.T], axis=1)


def sums_of(labels: np.ndarray, count: int, planes: Iterable[np.ndarray], kernel: Kernels) -> SegmentSums:
    """The sums of the segments of a window.

    Parameters
    ----------
    labels : (rows, cols) uint32, 1..count; 0 where a pixel does not count
    planes : of each band (rows, cols) float64, the values in standard deviations
    """
    labels = np.ascontiguousarray(labels)
    flat = labels.ravel()

    def per_segment(values: np.ndarray) -> np.ndarray:
        return np.bincount(flat, values.ravel(), count + 1)[1:]

    pixels = np.bincount(flat, minlength=count + 1)[1:].astype(np.int64)
    sums, within = [], []
    for plane in planes:
        total = per_segment(plane)
        deviations = plane - np.append(0.0, total / np.maximum(pixels, 1))[labels]
        sums.append(total)
        within.append(per_segment(deviations * deviations))
    edges = kernel.find_edges(labels, count) - np.uint32(1)
    return SegmentSums(pixels, np.stack(sums, axis=1), np.stack(within, axis=1), edges)


@dataclass(frozen=True)
class AreaSums:
    """What the measures are made of; those of two areas can be added. Arrays are (bands,) float64.

    segments, pixels, edges : how many there are
    within : sums of squared deviations of the pixels from the means of their segments
    values, squares : sums of the pixels' values and of their squares
    means, mean_squares : sums of the segments' means and of their squares
    products, ends : over all pairs of neighbours, sums of the product and of the sum of their means
    deviations : sums of the segments' standard deviations
    """

    segments: int
    pixels: int
    edges: int
    within: np.ndarray
    values: np.ndarray
    squares: np.ndarray
    means: np.ndarray
    mean_squares: np.ndarray
    products: np.ndarray
    ends: np.ndarray
    deviations: np.ndarray

    def __add__(self, other: "AreaSums") -> "AreaSums":
        return AreaSums(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


def area_sums(segments: SegmentSums) -> AreaSums:
    """Add up over the segments of an area."""
    there = segments.pixels > 0
    means, within = segments.means, segments.within
    one, other = means[segments.edges[:, 0]], means[segments.edges[:, 1]]
    return AreaSums(
        int(np.count_nonzero(there)),
        int(segments.pixels.sum()),
        len(segments.edges),
        within.sum(axis=0),
        segments.sums.sum(axis=0),
        (within + segments.sums * means).sum(axis=0),
        means[there].sum(axis=0),
        np.square(means[there]).sum(axis=0),
        (one * other).sum(axis=0),
        (one + other).sum(axis=0),
        np.sqrt(within / np.maximum(segments.pixels, 1)[:, None]).sum(axis=0),
    )


@dataclass(frozen=True)
class Measures:
    """The measures of a candidate; NaN where one has no meaning.

    mean_size : pixels
    variance : see `variance`; autocorrelation : see `autocorrelation`
    goodness, f_measure : see those functions
    local_variance : see `local_variance`
    """

    segments: int
    mean_size: float
    variance: float
    autocorrelation: float
    goodness: float
    f_measure: float
    local_variance: float


def measures_of(sums: AreaSums) -> Measures:
    """All measures of what has been added up."""
    spread, related = variance(sums), autocorrelation(sums)
    return Measures(
        sums.segments,
        sums.pixels / sums.segments if sums.segments else np.nan,
        spread,
        related,
        goodness(spread, related),
        f_measure(spread, related),
        local_variance(sums),
    )


def _total(sums: AreaSums) -> np.ndarray:
    """(bands,) sums of squared deviations of all pixels from the mean of all; 0 where all are alike."""
    if not sums.pixels:
        return np.zeros(len(sums.values))
    total = sums.squares - sums.values**2 / sums.pixels
    return np.where(total > 1e-9 * np.maximum(sums.squares, 1e-300), total, 0.0)


def _mean_of_bands(values: np.ndarray, usable: np.ndarray) -> float:
    return float(values[usable].mean()) if usable.any() else np.nan


def variance(sums: AreaSums) -> float:
    """The area-weighted variance within segments (Espindola et al. 2006), as a share of the variance of all pixels.

    Each segment's variance counts by its area. 0: all segments are even; 1: one segment holds everything. It is the
    mean of the bands (Johnson and Xie 2011); a band in which all pixels are alike does not count.
    """
    total = _total(sums)
    usable = total > 0
    return _mean_of_bands(sums.within / np.where(usable, total, 1.0), usable)


def autocorrelation(sums: AreaSums) -> float:
    """Moran's I of the segments' means (Espindola et al. 2006), the mean of the bands (Johnson and Xie 2011).

    I = n / w * sum over neighbours of d_i d_j / sum of d_i^2, where d are deviations from the mean of the means, n is
    the number of segments and w that of pairs of neighbours, each counted once. High: neighbours are alike, so the
    image is parted too much. NaN where no two segments touch, or all means are alike.
    """
    if not sums.edges:
        return np.nan
    mean = sums.means / sums.segments
    deviations = sums.mean_squares - sums.segments * mean**2
    usable = deviations > 1e-12 * np.maximum(sums.mean_squares, 1e-300)
    together = sums.products - mean * sums.ends + sums.edges * mean**2
    values = sums.segments / sums.edges * together / np.where(usable, deviations, 1.0)
    return _mean_of_bands(values, usable)


def _scores(spread: float, related: float) -> List[float]:
    """Both measures between fixed bounds, 1 at the best: 0..1 of the variance, -1..1 of Moran's I."""
    return [1 - min(max(spread, 0.0), 1.0), (1 - min(max(related, -1.0), 1.0)) / 2]


def goodness(spread: float, related: float) -> float:
    """The sum of both measures as scores, 0 to 2, the higher the better (Espindola et al. 2006, the global score).

    The bounds are fixed (Boeck et al. 2017): what else has been tried does not move the best. NaN where Moran's I is.
    """
    if np.isnan(spread) or np.isnan(related):
        return np.nan
    return sum(_scores(spread, related))


def f_measure(spread: float, related: float, weight: float = 1.0) -> float:
    """The harmonic mean of both scores, 0 to 1, the higher the better (Johnson et al. 2015).

    F = (1 + a^2) m v / (a^2 m + v), m being the score of Moran's I, v that of the variance and a the weight. It is low
    where one of the two is, which the sum does not notice.
    """
    if np.isnan(spread) or np.isnan(related):
        return np.nan
    even, different = _scores(spread, related)
    below = weight**2 * different + even
    return (1 + weight**2) * different * even / below if below else 0.0


def local_variance(sums: AreaSums) -> float:
    """The mean standard deviation of segments, the mean of the bands (Dragut et al. 2014); unit: that of the band."""
    return float(sums.deviations.mean() / sums.segments) if sums.segments else np.nan


def rates_of_change(local_variances: Sequence[float]) -> List[float]:
    """By how many percent local variance grows from each scale to the next (Dragut et al. 2014); NaN for the first.

    Peaks name scales at which segments match objects: beyond them, they grow over borders.
    """
    found = [np.nan]
    for before, after in zip(local_variances, local_variances[1:]):
        found.append(100 * (after - before) / before if before else np.nan)
    return found[: len(local_variances)]
