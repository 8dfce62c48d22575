# SPDX-License-Identifier: GPL-2.0-or-later
"""Attribute kernels: what the values of a window say about each region in it."""

import numpy as np

from ..contract import Moments

PART = 1 << 20  # pixels whose values, of 32 bits, float64 adds up exactly


def region_moments(labels: np.ndarray, count: int, values: np.ndarray) -> Moments:
    """Number, sum, sum of squares and range of each region's values, of one band and one window.

    Parameters
    ----------
    labels : (pixels,) uint32, 1..count, 0 where a pixel does not count
    values : (pixels,) integers of at most 32 bits, or floats; finite where labels are not 0

    Returns
    -------
    counts : (count,) int64
    totals : (count,) int64 sums of integers; float64 means of floats
    squares : (2, count) uint64, low 32 bits' and high 32 bits' sums of the integers' squares; (1, count) float64,
        the sum of squared deviations from the mean, of floats
    low, high : (count,) of the values' dtype; its largest and its smallest value where a region has none
    """
    everything = np.bincount(labels, minlength=count + 1)
    counts = everything[1:].astype(np.int64)
    if values.dtype.kind == "f":
        limits = np.finfo(values.dtype)
        wide = np.where(labels != 0, values, 0).astype(np.float64)
        totals = _sums(labels, count, wide)
        totals = np.divide(totals, counts, out=totals, where=counts > 0)
        deviations = wide - np.append(0.0, totals)[labels]
        with np.errstate(over="ignore"):
            squares = _sums(labels, count, deviations * deviations)[None]
    else:
        limits = np.iinfo(values.dtype)
        wide = values.astype(np.int64)
        totals = _exact_sums(labels, count, wide)
        product = np.abs(wide).astype(np.uint64) ** np.uint64(2)
        limbs = (product & np.uint64(0xFFFFFFFF), product >> np.uint64(32))
        squares = np.stack([_exact_sums(labels, count, limb) for limb in limbs]).astype(np.uint64)
    low, high = np.full(count, limits.max, values.dtype), np.full(count, limits.min, values.dtype)
    present = np.flatnonzero(counts)
    if present.size:
        order = np.argsort(labels, kind="stable")[everything[0] :]
        starts = (np.cumsum(counts) - counts)[present]
        low[present] = np.minimum.reduceat(values[order], starts)
        high[present] = np.maximum.reduceat(values[order], starts)
    return counts, totals, squares, low, high


def add_moments(places: np.ndarray, part: Moments, whole: Moments) -> None:
    """Add what is known of parts of segments to what is known of the segments so far.

    Parameters
    ----------
    places : (n,) uint32, of the segment of each part; a segment may have several
    part : counts, totals, squares, low and high of integers as `region_moments` returns them, each part with a value
    whole : the same of all segments, int64, the squares uint64 with low limbs below 2^32; they are changed
    """
    order = np.argsort(places, kind="stable")
    starts = np.flatnonzero(np.diff(places[order], prepend=np.int64(-1)))
    if not starts.size:
        return
    segments = places[order][starts]
    counts, totals, squares, low, high = part
    for array, more in zip(whole[:2], (counts, totals)):
        array[segments] += np.add.reduceat(more[order].astype(np.int64), starts)
    lower, upper = np.add.reduceat(squares[:, order].astype(np.uint64), starts, axis=1)
    lower += whole[2][0, segments]
    whole[2][1, segments] += upper + (lower >> np.uint64(32))
    whole[2][0, segments] = lower & np.uint64(0xFFFFFFFF)
    whole[3][segments] = np.minimum(whole[3][segments], np.minimum.reduceat(low[order], starts))
    whole[4][segments] = np.maximum(whole[4][segments], np.maximum.reduceat(high[order], starts))


def _sums(labels: np.ndarray, count: int, weights: np.ndarray) -> np.ndarray:
    """Added up in the order of the pixels, in float64."""
    return np.bincount(labels, weights, minlength=count + 1)[1:]


def _exact_sums(labels: np.ndarray, count: int, weights: np.ndarray) -> np.ndarray:
    """(count,) int64 sums of integers below 2^32."""
    parts = (np.s_[at : at + PART] for at in range(0, labels.size, PART))
    sums = (_sums(labels[part], count, weights[part]) for part in parts)
    return sum((part.astype(np.int64) for part in sums), np.zeros(count, np.int64))
