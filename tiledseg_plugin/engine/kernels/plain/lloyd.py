# SPDX-License-Identifier: GPL-2.0-or-later
"""k-means kernels: which centre each colour belongs to after the centres have moved, and what its members add up to."""

from typing import Tuple

import numpy as np

from .apart import FAR, Apart, Lot, apart, is_settled


def distinct(keys: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Where each different key appears first, ascending, and how often it occurs.

    Parameters
    ----------
    keys : (n, words) uint64, fewer than 2^32

    Returns
    -------
    first, counts : (m,) int64
    """
    rows = np.ascontiguousarray(keys).view(np.dtype((np.void, 8 * keys.shape[1]))).ravel()
    _, first, counts = np.unique(rows if keys.shape[1] > 1 else keys[:, 0], return_index=True, return_counts=True)
    order = np.argsort(first)
    return first[order], counts[order]


def reassign(
    planes: np.ndarray,
    counts: np.ndarray,
    centres: np.ndarray,
    moved: np.ndarray,
    labels: np.ndarray,
    to_nearest: np.ndarray,
    to_others: np.ndarray,
    margin: float,
    least: float,
    whole: bool,
) -> Tuple[int, np.ndarray, np.ndarray]:
    """Find the nearest centre of every colour again, changing labels and bounds in place.

    The bounds, of the distances to the nearest and to all other centres, tell which colours cannot have changed
    (Hamerly 2010, Making k-means even faster): the others only are compared with centres, see `Lot`.

    Parameters
    ----------
    planes : (bands, n) float32; counts : (n,) int64, how often each colour occurs
    centres : (k, bands) float32, k < 65535
    moved : (k,) float64, not less than the distance that each centre has moved; empty if nothing is known of labels
        and bounds, so that all colours have to be compared
    labels : (n,) uint16, 1 + index of the nearest centre; of several nearest ones, of the first
    to_nearest : (n,) float64, not less than the distance to that centre
    to_others : (n,) float64, not more than the distance to any other centre
    margin, least : float, the share of a distance, and the distance, by which it may be wrong
    whole : bool, whether colours are whole numbers, which all together stay below 2^53, and so are to be added up

    Returns
    -------
    changed : int, how many, counted as often as they occur, have another label now
    sizes : (k,) int64, how many the centres have got more than before; if `moved` is empty, how many they have
    sums : (bands, k) int64, likewise of the colours; (0, k) if they are not whole
    """
    again = np.arange(labels.size)
    lots = [Lot(again, again, np.empty((len(centres), 0), np.intp), np.inf)]
    if moved.size:
        between = apart(centres, moved)
        again, own, nearest = _find_doubtful(
            planes, centres, between, moved, labels, to_nearest, to_others, margin, least
        )
        lots = between.lots(again, own, nearest, margin, least)
    before = labels[again]
    for lot in lots:
        labels[lot.some], closest, second = lot.nearest_two(planes, centres)
        to_nearest[lot.some] = np.sqrt(closest.astype(np.float64)) * (1 + margin)
        others = np.minimum(np.sqrt(second.astype(np.float64)), FAR) * (1 - margin)
        to_others[lot.some] = np.minimum(others, lot.beyond)

    found = labels[again]
    is_new = found != before
    changed = int(counts[again][is_new].sum())
    sizes = np.zeros(len(centres) + 1, np.int64)
    sums = np.zeros((len(planes) if whole else 0, sizes.size), np.int64)
    if moved.size:
        again, found = again[is_new], found[is_new]
        _change_totals(-1, again, before[is_new], planes, counts, sizes, sums)
    _change_totals(1, again, found, planes, counts, sizes, sums)
    return changed, sizes[1:], sums[:, 1:]


@np.errstate(over="ignore")  # of colours so far away that squares overflow, which stay doubtful
def _find_doubtful(
    planes: np.ndarray,
    centres: np.ndarray,
    between: Apart,
    moved: np.ndarray,
    labels: np.ndarray,
    to_nearest: np.ndarray,
    to_others: np.ndarray,
    margin: float,
    least: float,
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bring the bounds up to date as the centres have moved; the colours that may have another nearest centre now.

    Where the bounds do not settle it, the distance to the nearest centre so far is measured.

    Returns
    -------
    doubtful, own : (n,) intp, the colours, and the index of the nearest centre of each so far
    nearest : (n,) float64, not less than the distance to that centre
    """
    own = labels.astype(np.intp) - 1
    to_nearest += moved.take(own)
    between.bound_others(own, to_nearest, to_others)
    doubtful = np.flatnonzero(~is_settled(to_nearest, to_others, margin, least))
    own = own.take(doubtful)
    squared = np.zeros(doubtful.size, np.float32)
    for plane, centre in zip(planes, centres.T):
        squared += np.square(plane.take(doubtful) - centre.take(own))
    nearest = np.sqrt(squared.astype(np.float64)) * (1 + margin)
    others = np.maximum(to_others.take(doubtful), between.nearest.take(own) - nearest)
    to_nearest[doubtful], to_others[doubtful] = nearest, others
    left = np.flatnonzero(~is_settled(nearest, others, margin, least))
    return doubtful.take(left), own.take(left), nearest.take(left)


def _change_totals(
    sign: int,
    some: np.ndarray,
    labels: np.ndarray,
    planes: np.ndarray,
    counts: np.ndarray,
    sizes: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Add some colours to the sizes and sums of the centres that their labels name, or subtract them.

    They are added up as float64, which is exact: whole colours are added up only if all of them stay below 2^53.
    """
    times = counts[some].astype(np.float64)
    sizes += sign * np.bincount(labels, times, sizes.size).astype(np.int64)
    for total, plane in zip(sums, planes):
        total += sign * np.bincount(labels, times * plane[some], sizes.size).astype(np.int64)


def sum_members(labels: np.ndarray, amounts: np.ndarray, k: int) -> np.ndarray:
    """Amounts (n,) float64 added up, one after the other, for each of the labels 1..k: (k,) float64."""
    return np.bincount(labels, amounts, k + 1)[1:]
