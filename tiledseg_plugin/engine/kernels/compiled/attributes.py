# SPDX-License-Identifier: GPL-2.0-or-later
"""Attribute kernels: what the values of a window say about each region in it."""

import numpy as np

from ..contract import Moments
from .cache import kernel


@kernel
def _integers(
    labels: np.ndarray,
    values: np.ndarray,
    counts: np.ndarray,
    totals: np.ndarray,
    low_squares: np.ndarray,
    high_squares: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> None:
    """Moments of integers; those of the squares in two limbs of 32 bits."""
    for pixel in range(labels.size):
        if labels[pixel] == 0:
            continue
        region = labels[pixel] - 1
        value = values[pixel]
        counts[region] += 1
        totals[region] += np.int64(value)
        product = np.uint64(abs(np.int64(value)))
        product *= product
        low_squares[region] += product & np.uint64(0xFFFFFFFF)
        high_squares[region] += product >> np.uint64(32)
        if value < low[region]:
            low[region] = value
        if value > high[region]:
            high[region] = value


@kernel
def _small_integers(
    labels: np.ndarray,
    values: np.ndarray,
    counts: np.ndarray,
    totals: np.ndarray,
    squares: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> None:
    """As `_integers`, of at most 16 bits, whose squares stay below 2^32."""
    for pixel in range(labels.size):
        if labels[pixel] == 0:
            continue
        region = labels[pixel] - 1
        value = np.int64(values[pixel])
        counts[region] += 1
        totals[region] += value
        squares[region] += np.uint64(value * value)
        low[region] = min(low[region], values[pixel])
        high[region] = max(high[region], values[pixel])


@kernel
def _floats(
    labels: np.ndarray,
    values: np.ndarray,
    counts: np.ndarray,
    means: np.ndarray,
    squares: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> None:
    """Moments of floats: the means first, then the squared deviations from them."""
    for pixel in range(labels.size):
        if labels[pixel] == 0:
            continue
        region = labels[pixel] - 1
        value = values[pixel]
        counts[region] += 1
        means[region] += np.float64(value)
        if value < low[region]:
            low[region] = value
        if value > high[region]:
            high[region] = value
    for region in range(counts.size):
        if counts[region]:
            means[region] /= counts[region]
    for pixel in range(labels.size):
        if labels[pixel] == 0:
            continue
        region = labels[pixel] - 1
        deviation = np.float64(values[pixel]) - means[region]
        squares[region] += deviation * deviation


def region_moments(labels: np.ndarray, count: int, values: np.ndarray) -> Moments:
    """Defined by `plain.attributes.region_moments`."""
    counts = np.zeros(count, np.int64)
    is_float = values.dtype.kind == "f"
    limits = np.finfo(values.dtype) if is_float else np.iinfo(values.dtype)
    low, high = np.full(count, limits.max, values.dtype), np.full(count, limits.min, values.dtype)
    if is_float:
        means, squares = np.zeros(count), np.zeros((1, count))
        _floats(labels, values, counts, means, squares[0], low, high)
        return counts, means, squares, low, high
    totals, squares = np.zeros(count, np.int64), np.zeros((2, count), np.uint64)
    if values.dtype.itemsize <= 2:
        _small_integers(labels, values, counts, totals, squares[0], low, high)
    else:
        _integers(labels, values, counts, totals, squares[0], squares[1], low, high)
    return counts, totals, squares, low, high


@kernel
def _add_moments(
    places: np.ndarray,
    counts: np.ndarray,
    totals: np.ndarray,
    squares: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    all_counts: np.ndarray,
    all_totals: np.ndarray,
    all_squares: np.ndarray,
    all_low: np.ndarray,
    all_high: np.ndarray,
) -> None:
    for i in range(places.size):
        place = places[i]
        all_counts[place] += counts[i]
        all_totals[place] += totals[i]
        lower = all_squares[0, place] + np.uint64(squares[0, i])
        all_squares[1, place] += np.uint64(squares[1, i]) + (lower >> np.uint64(32))
        all_squares[0, place] = lower & np.uint64(0xFFFFFFFF)
        all_low[place] = min(all_low[place], np.int64(low[i]))
        all_high[place] = max(all_high[place], np.int64(high[i]))


def add_moments(places: np.ndarray, part: Moments, whole: Moments) -> None:
    """Defined by `plain.attributes.add_moments`."""
    counts, totals, squares, low, high = part
    # numba compiles anew for each kind of array: what was picked out of a table may lie column by column
    counts, totals, low, high = (np.ascontiguousarray(array, np.int64) for array in (counts, totals, low, high))
    _add_moments(places, counts, totals, np.ascontiguousarray(squares, np.uint64), low, high, *whole)
