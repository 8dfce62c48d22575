# SPDX-License-Identifier: GPL-2.0-or-later
"""Texture within segments: grey level co-occurrence (Haralick, Shanmugam and Dinstein 1973), of each band by itself.

A pair is two valid pixels of one segment that touch, at a side or a corner: offsets (0, 1), (1, 0), (1, 1) and (1, -1)
in rows and columns, each counted both ways, so that the matrix of a segment is symmetric and no direction is preferred.
Grey levels are steps of equal width between two standard deviations below and above the mean of the band's values in
all segments, within their range (the limits of the stretch); values beyond are of the first or the last level. So the
levels are the same for all segments, and nothing depends on windows. With p(i, j) the share of the pairs that are of
levels i and j:

- contrast: the sum of p (i - j)^2 (their f2);
- homogeneity: the sum of p / (1 + (i - j)^2) (f5, inverse difference moment);
- entropy: minus the sum of p ln p (f9), in nats;
- correlation: the sum of p (i - mean)(j - mean) / variance (f3), none where all levels are alike.

What is counted is one code a pair; counts are exact, and floats are added in the order of the codes.
"""

import math
from dataclasses import dataclass
from typing import Collection, Dict, Iterator, List, Optional, Tuple

import numpy as np
from numpy.typing import DTypeLike

from ..files.raster import Raster
from ..files.window import Window
from ..parameters import TEXTURES
from ..stages.statistics import BandStatistics
from .attributes import AttributeJob, band_values
from .histograms import Described

OFFSETS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows, columns
SAFE = 2**61  # of products of int64


@dataclass(frozen=True)
class Textures:
    """The textures of some bands, for `histograms`.

    bands : one raster of one band each
    limits : per band, the stored values between which the grey levels lie
    levels : how many
    first : see `histograms.Countable`
    """

    bands: Tuple[Raster, ...]
    limits: Tuple[Tuple[float, float], ...]
    levels: int
    first: int

    @property
    def dtypes(self) -> List[DTypeLike]:
        return [np.uint16] * len(self.bands)

    def counted(
        self, job: AttributeJob, window: Window, ids: np.ndarray, labels: np.ndarray
    ) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
        """The pairs whose upper, or left, pixel is in the window; see `histograms.Countable`."""
        grid = self.bands[0]
        left, right = int(window.col > 0), int(window.right < grid.width)
        below = int(window.bottom < grid.height)
        around = Window(window.col - left, window.row, window.width + left + right, window.height + below)
        every = job.ids.reader()(around)
        inside = np.arange(1, every.size + 1, dtype=np.uint32)  # that a pixel counts, and which one it is
        for (values, counted), limits in zip(band_values(self.bands, around, inside, job.rasters), self.limits):
            valid = (counted.reshape(every.shape) != 0) & (every != 0)
            grey = grey_levels(values, limits, self.levels).reshape(every.shape)
            yield pairs(grey, np.where(valid, every, 0), labels.reshape(ids.shape), left, self.levels)

    def described(self, index: int, starts: np.ndarray, distinct: np.ndarray, frequencies: np.ndarray) -> Described:
        """Textures of pairs; see `histograms.Countable`."""
        return textures(starts, distinct, frequencies, self.levels)

    def check(self, index: int, names: Collection[str]) -> None:
        """There are always as many."""


def texture_limits(band: Optional[BandStatistics]) -> Tuple[float, float]:
    """Between which stored values the grey levels of a band lie: two standard deviations about the mean, in its range.

    Parameters
    ----------
    band : its statistics in all segments; None where no segment has a value
    """
    if band is None:
        return 0.0, 0.0
    if not math.isfinite(band.mean) or not math.isfinite(band.squares):
        return band.low, band.high
    return band.stretch_range()


def grey_levels(values: np.ndarray, limits: Tuple[float, float], levels: int) -> np.ndarray:
    """(n,) int32, from 0 to levels - 1; all 0 where the limits are one.

    Parameters
    ----------
    values : (n,) as they are stored
    limits : the values where the first level begins and the last one ends
    """
    low, high = limits
    width = high / 2 - low / 2  # halves, as the difference may be more than a double can hold
    if not width > 0:
        return np.zeros(values.shape, np.int32)
    shares = (values.astype(np.float64) / 2 - low / 2) / width
    return np.clip(np.floor(shares * levels), 0, levels - 1).astype(np.int32)


def pairs(
    grey: np.ndarray, ids: np.ndarray, labels: np.ndarray, left: int, levels: int
) -> Tuple[np.ndarray, np.ndarray]:
    """The pairs of pixels of one segment whose first pixel is in a window.

    Parameters
    ----------
    grey, ids : (rows, cols) of the window and what lies around it: grey levels, and ids with 0 for what does not count
    labels : of the window itself, (rows, cols) uint32
    left : how many columns lie before it

    Returns
    -------
    codes : (n,) uint16, smaller level x levels + larger level
    owners : (n,) uint32 labels
    """
    height, width = labels.shape
    rows, cols = ids.shape
    codes, owners = [], []
    for down, across in OFFSETS:
        # the part of the window whose pixels have a neighbour at this offset in what is there
        top, first = min(height, rows - down), max(0, -across - left)
        last = min(width, cols - left - across)
        here = np.s_[:top, left + first : left + last]
        there = np.s_[down : top + down, left + first + across : left + last + across]
        same = (ids[here] == ids[there]) & (ids[here] != 0)
        one, other = grey[here][same], grey[there][same]
        codes.append((np.minimum(one, other) * levels + np.maximum(one, other)).astype(np.uint16))
        owners.append(labels[:top, first:last][same])
    return np.concatenate(codes), np.concatenate(owners)


def textures(starts: np.ndarray, codes: np.ndarray, frequencies: np.ndarray, levels: int) -> Described:
    """Of regions whose pairs are as `kernels.region_histograms` returns them.

    Returns
    -------
    {texture: (regions,) float64}, NaN for regions without pairs
    """
    count = starts.size - 1
    results: Dict[str, np.ndarray] = {name: np.full(count, np.nan) for name in TEXTURES}
    some = np.flatnonzero(np.diff(starts))
    if not some.size:
        return results
    begins = starts[some]
    owner = np.repeat(np.arange(some.size), np.diff(starts)[some])
    i, j = np.divmod(codes.astype(np.int64), levels)

    def total(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, begins)

    number = total(frequencies)
    apart = (i - j) ** 2
    results["contrast"][some] = total(frequencies * apart) / number
    results["homogeneity"][some] = np.bincount(owner, frequencies / (1 + apart)) / number
    results["entropy"][some] = _entropy(owner, frequencies, i == j, number)
    sums, squares = total(frequencies * (i + j)), total(frequencies * (i * i + j * j))
    products = total(frequencies * (i * j))
    # four times the squared number of pairs times variance and covariance: whole numbers
    if float(number.max()) ** 2 * 4 * levels**2 > SAFE:
        number, sums, squares, products = (array.astype(object) for array in (number, sums, squares, products))
    variance = (2 * number * squares - sums * sums).astype(np.float64)
    covariance = (4 * number * products - sums * sums).astype(np.float64)
    correlation = np.divide(covariance, variance, out=np.full(some.size, np.nan), where=variance > 0)
    results["correlation"][some] = correlation
    return results


def _entropy(owner: np.ndarray, frequencies: np.ndarray, alike: np.ndarray, number: np.ndarray) -> np.ndarray:
    """In nats: a pair of two levels stands in two cells of the symmetric matrix, one of the same level in one."""
    in_cells = np.where(alike, 2 * frequencies, frequencies)  # of 2 x number
    distinct, which = np.unique(in_cells, return_inverse=True)
    logarithms = np.array([math.log(value) for value in distinct.tolist()])[which.reshape(-1)]
    rest = np.bincount(owner, frequencies * logarithms) / number
    whole = np.array([math.log(2 * value) for value in number.tolist()])
    return np.maximum(whole - rest, 0)
