# SPDX-License-Identifier: GPL-2.0-or-later
"""k-means kernels: which centre each colour belongs to after the centres have moved, and what its members add up to."""

from typing import Tuple

import numpy as np

from .pixels import nearest_two

SOME_NEAR = 7  # one in so many centres is taken to be near to a centre
FAR = 1e19  # a distance, of which it is enough to know that it is so large: in float32, the square of 2e19 is infinite
MOST_PAIRED = 256  # centres; of more, to look at all pairs takes longer than it saves


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
    (Hamerly 2010, Making k-means even faster): the others only are compared with all centres.

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
    again = _find_doubtful(planes, centres, moved, labels, to_nearest, to_others, margin, least)
    found, nearest, second = nearest_two(np.take(planes, again, axis=1), centres)
    to_nearest[again] = np.sqrt(nearest.astype(np.float64)) * (1 + margin)
    to_others[again] = np.minimum(np.sqrt(second.astype(np.float64)), FAR) * (1 - margin)

    before, labels[again] = labels[again], found
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
    moved: np.ndarray,
    labels: np.ndarray,
    to_nearest: np.ndarray,
    to_others: np.ndarray,
    margin: float,
    least: float,
) -> np.ndarray:
    """Bring the bounds up to date as the centres have moved; the colours that may have another nearest centre now.

    Where the bounds do not settle it, the distance to the nearest centre so far is measured.
    """
    if not moved.size:
        return np.arange(labels.size)
    apart = _Apart(centres, moved)
    own = labels.astype(np.intp) - 1
    to_nearest += moved.take(own)
    apart.bound_others(own, to_nearest, to_others)
    doubtful = np.flatnonzero(~(to_nearest * (1 + margin) + least < to_others * (1 - margin)))
    own = own.take(doubtful)
    squared = np.zeros(doubtful.size, np.float32)
    for plane, centre in zip(planes, centres.T):
        squared += np.square(plane.take(doubtful) - centre.take(own))
    nearest = np.sqrt(squared.astype(np.float64)) * (1 + margin)
    others = np.maximum(to_others.take(doubtful), apart.nearest.take(own) - nearest)
    to_nearest[doubtful], to_others[doubtful] = nearest, others
    return doubtful[~(nearest * (1 + margin) + least < others * (1 - margin))]


class _Apart:
    """How far centres are from each other, which tells which of them a colour cannot be near to.

    What is as far from its own centre as `d` is at least `a - d` from one that is `a` from that (Elkan 2003, Using the
    triangle inequality to accelerate k-means). So the far ones may move a long way and change nothing. Of too many
    centres nothing is known but how far they move.

    Parameters
    ----------
    centres : (k, bands) float32
    moved : (k,) float64, see `reassign`

    Attributes
    ----------
    nearest : (k,) float64, not more than the distance from each to the nearest other one, or `FAR`
    """

    def __init__(self, centres: np.ndarray, moved: np.ndarray) -> None:
        k, exact = len(centres), centres.astype(np.float64)
        if k > MOST_PAIRED:
            self.nearest = self._beyond = np.zeros(k)
            self._near_moved = self._all_moved = np.full(k, moved.max())
            return
        squared = np.zeros((k, k))
        for band in exact.T:
            squared += np.square(band[:, None] - band)
        np.fill_diagonal(squared, np.inf)
        order = np.argsort(squared, axis=1, kind="stable")
        order[:, -1] = k  # its own one, which is at infinity
        most = np.maximum.accumulate(np.append(moved, 0)[order], axis=1)
        distances = np.minimum(np.sqrt(np.sort(squared, axis=1)), FAR)
        near = min(k - 1, max(1, k // SOME_NEAR))
        self.nearest = distances[:, 0]
        self._beyond, self._near_moved, self._all_moved = distances[:, near], most[:, max(near - 1, 0)], most[:, -1]

    def bound_others(self, own: np.ndarray, to_nearest: np.ndarray, to_others: np.ndarray) -> None:
        """Bring the bounds of the distances to all centres but a colour's own, of index `own`, up to date, in place.

        Parameters
        ----------
        own : (n,) intp
        to_nearest, to_others : (n,) float64, see `reassign`; the first are up to date
        """
        if_near = np.minimum(to_others - self._near_moved.take(own), self._beyond.take(own) - to_nearest)
        to_others -= self._all_moved.take(own)
        np.maximum(to_others, if_near, out=to_others)
        np.maximum(to_others, self.nearest.take(own) - to_nearest, out=to_others)


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
