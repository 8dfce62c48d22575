# SPDX-License-Identifier: GPL-2.0-or-later
"""Pixel kernels: nearest centre, single pixels, lookup, numbering."""

from typing import Dict, Optional, Sequence, Tuple

import numpy as np

from ..contract import WALL_BELOW, WALL_RIGHT

CHUNK = 1 << 15  # pixels at a time, so that the working arrays stay in the cache
FEW = 1 << 12  # colours, up to which numpy's calls take longer than what they do, with one centre at a time
CELLS = 1 << 17  # distances at a time, where all centres are compared at once


def compare_at_once(
    colours: np.ndarray, centres: np.ndarray, second: Optional[np.ndarray] = None
) -> Tuple[np.ndarray, np.ndarray]:
    """As `_compare`, with all centres at a time; of a few colours that is faster.

    Parameters
    ----------
    centres : (bands, k, 1) float32, or (bands, k, n) where each colour has centres of its own
    """
    k, size = centres.shape[1], colours.shape[1]
    index, best = np.empty(size, np.uint16), np.empty(size, np.float32)
    ranks = np.arange(k, 0, -1).astype(np.uint8 if k < 256 else np.uint16)[:, None]
    step = max(1, CELLS // k)
    for start in range(0, size, step):
        part = np.s_[start : start + step]
        those = centres[:, :, part] if centres.shape[2] > 1 else centres
        distance = colours[0, part] - those[0]
        np.square(distance, out=distance)
        for band in range(1, len(colours)):
            difference = colours[band, part] - those[band]
            distance += np.square(difference, out=difference)
        np.min(distance, axis=0, out=best[part])
        # argmin along the first axis takes several times as long
        first = k - np.max((distance == best[part]).view(np.uint8) * ranks, axis=0).astype(np.intp)
        index[part] = first
        if second is not None:
            distance[first, np.arange(first.size)] = np.inf
            np.minimum(second[part], distance.min(axis=0), out=second[part])
    return index, best


def _compare(
    colours: np.ndarray, centres: np.ndarray, second: Optional[np.ndarray] = None
) -> Tuple[np.ndarray, np.ndarray]:
    """Index of the nearest centre and its squared distance, for colours (bands, n) float32; fills `second` (n,)."""
    if colours.shape[1] <= FEW:
        return compare_at_once(colours, centres.T[:, :, None], second)
    best = np.full(colours.shape[1], np.inf, np.float32)
    index = np.zeros(colours.shape[1], np.uint8 if len(centres) <= 256 else np.uint16)
    distance, difference = np.empty_like(best), np.empty_like(best)
    is_nearer, nearer = np.empty(best.size, bool), np.empty_like(index)
    for k, centre in enumerate(centres):
        np.subtract(colours[0], centre[0], out=distance)
        np.square(distance, out=distance)
        for band in range(1, len(colours)):
            np.subtract(colours[band], centre[band], out=difference)
            distance += np.square(difference, out=difference)
        if second is not None:
            np.minimum(second, np.maximum(distance, best, out=difference), out=second)
        np.less(distance, best, out=is_nearer)
        # index[is_nearer] = k, which is more than any index before: with a mask it takes ten times as long
        np.multiply(is_nearer.view(np.uint8), index.dtype.type(k), out=nearer)
        np.maximum(index, nearer, out=index)
        np.minimum(distance, best, out=best)
    return index.astype(np.uint16), best


def nearest_centre(values: np.ndarray, valid: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Label every valid pixel with 1 + the index of its nearest centre.

    Squared Euclidean distance, added up band after band in float32; the first of several nearest centres wins.

    Parameters
    ----------
    values : (bands, ...) uint8 or float32
    valid : (...) bool
    centres : (k, bands) float32, k < 65535

    Returns
    -------
    (...) uint16, 0 where not valid
    """
    flat = values.reshape(values.shape[0], -1)
    where = np.flatnonzero(valid)
    labels = np.zeros(valid.size, np.uint16)
    for start in range(0, where.size, CHUNK):
        pixels = where[start : start + CHUNK]
        labels[pixels] = _compare(np.take(flat, pixels, axis=1).astype(np.float32), centres)[0] + 1
    return labels.reshape(valid.shape)


class NearestCentre:
    """`nearest_centre` for many windows that share their centres.

    Parameters
    ----------
    centres : as of `nearest_centre`, whose other parameters a call takes
    """

    def __init__(self, centres: np.ndarray) -> None:
        self.centres = centres

    def __call__(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        return nearest_centre(values, valid, self.centres)


def nearest_two(values: np.ndarray, centres: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `nearest_centre`, with the squared distances of the nearest and the second nearest centre.

    Parameters
    ----------
    values : (bands, n) float32
    centres : (k, bands) float32, k < 65535

    Returns
    -------
    labels : (n,) uint16
    nearest, second : (n,) float32; `second` is inf where there is one centre only
    """
    size = values.shape[1]
    labels, nearest, second = np.empty(size, np.uint16), np.empty(size, np.float32), np.full(size, np.inf, np.float32)
    for start in range(0, size, CHUNK):
        part = np.s_[start : start + CHUNK]
        index, nearest[part] = _compare(values[:, part], centres, second[part])
        labels[part] = index + 1
    return labels, nearest, second


def eliminate_singles(
    clusters: np.ndarray, values: np.ndarray, open_sides: Sequence[bool], walls: Optional[np.ndarray] = None
) -> Tuple[np.ndarray, np.ndarray]:
    """Assign single pixels to the cluster of their nearest neighbour that is not single, pass after pass.

    A single pixel is a valid one none of whose 4 neighbours has its cluster. All of a pass is decided on the state
    before it. Preference on a tie: up, down, left, right. A pixel changes at most once: the neighbour that it
    follows is not single and so never changes. What happens beyond an open side of the window is not known; pixels
    that it could have reached are reported.

    Parameters
    ----------
    clusters : (rows, cols) uint16
    values : (bands, rows, cols)
    open_sides : 4 bools, whether the raster goes on beyond the top, bottom, left and right of the window
    walls : (rows, cols) uint8 or None; pixels with a wall between them are no neighbours

    Returns
    -------
    clusters : (rows, cols) uint16
    uncertain : (rows, cols) bool, pixels that may differ in a larger window
    """
    rows, cols = clusters.shape
    width = cols + 2
    state = np.pad(clusters, 1).ravel()  # a frame of no data spares every bounds check
    colours = np.pad(values, ((0, 0), (1, 1), (1, 1))).reshape(values.shape[0], -1)
    steps = (-width, width, -1, 1)
    closed = _closed_steps(walls, width)

    single = _find_singles(state, width, closed)
    uncertain = np.zeros((rows + 2, width), bool)
    for is_open, edge in zip(open_sides, (np.s_[1, :], np.s_[rows, :], np.s_[:, 1], np.s_[:, cols])):
        if is_open:
            uncertain[edge] = True
    uncertain = uncertain.ravel() & single

    active = np.flatnonzero(single & ~uncertain)
    while active.size:
        before = active.size
        active = _follow_nearest(active, state, single, uncertain, colours, steps, closed)
        active = _join_new(active, state, single, uncertain, steps, closed)
        if active.size == before:
            break
    inside = np.s_[1:-1, 1:-1]
    return (
        np.ascontiguousarray(state.reshape(rows + 2, width)[inside]),
        np.ascontiguousarray(uncertain.reshape(rows + 2, width)[inside]),
    )


def _closed_steps(walls: Optional[np.ndarray], width: int) -> Dict[int, np.ndarray]:
    """Of a framed window, row behind row: {step: whether a wall is in the way of it}; empty where there are none."""
    if walls is None:
        return {}
    framed = np.pad(walls, 1).ravel()
    right, below = (framed & WALL_RIGHT) != 0, (framed & WALL_BELOW) != 0
    return {1: right, width: below, -1: np.roll(right, 1), -width: np.roll(below, width)}


def _near(active: np.ndarray, step: int, closed: Dict[int, np.ndarray]) -> np.ndarray:
    """The pixels a step away; behind a wall, the frame's first one, which has no data."""
    near = active + step
    return np.where(closed[step][active], 0, near) if closed else near


def _find_singles(state: np.ndarray, width: int, closed: Dict[int, np.ndarray]) -> np.ndarray:
    """Which pixels of a framed window, row behind row, are valid and have no 4-neighbour of their cluster: bool."""
    same = np.zeros(state.size, bool)
    for step in (width, 1):
        alike = (state[:-step] == state[step:]) & (state[step:] != 0)
        if closed:
            alike &= ~closed[step][:-step]
        equal = np.flatnonzero(alike)
        same[equal] = True
        same[equal + step] = True
    return (state != 0) & ~same


def _follow_nearest(
    active: np.ndarray,
    state: np.ndarray,
    single: np.ndarray,
    uncertain: np.ndarray,
    colours: np.ndarray,
    steps: Tuple[int, ...],
    closed: Dict[int, np.ndarray],
) -> np.ndarray:
    """Assign active pixels, which are single, to the cluster of their nearest neighbour that is not; returns the rest.

    A pixel beside an uncertain one becomes uncertain itself, and is not active any more.
    """
    near_uncertain = np.zeros(active.size, bool)
    best = np.full(active.size, np.inf, np.float32)
    followed = np.full(active.size, -1)
    for step in steps:
        near = _near(active, step, closed)
        near_uncertain |= uncertain[near]
        candidate = (state[near] != 0) & ~single[near]
        distance = np.zeros(active.size, np.float32)
        for colour in colours:
            difference = colour[active].astype(np.float32) - colour[near].astype(np.float32)
            distance += difference * difference
        nearer = candidate & (distance < best)
        best[nearer] = distance[nearer]
        followed[nearer] = near[nearer]
    follows = (followed >= 0) & ~near_uncertain
    state[active[follows]] = state[followed[follows]]
    single[active[follows]] = False
    uncertain[active[near_uncertain]] = True
    return active[~follows & ~near_uncertain]


def _join_new(
    active: np.ndarray,
    state: np.ndarray,
    single: np.ndarray,
    uncertain: np.ndarray,
    steps: Tuple[int, ...],
    closed: Dict[int, np.ndarray],
) -> np.ndarray:
    """Find active pixels that are no longer single, as a neighbour has just got their cluster; returns the rest.

    A pixel beside an uncertain one may no longer be single for the same reason: it becomes uncertain.
    """
    joined = np.zeros(active.size, bool)
    doubtful = np.zeros(active.size, bool)
    for step in steps:
        near = _near(active, step, closed)
        joined |= (state[near] == state[active]) & ~single[near]
        doubtful |= uncertain[near]
    single[active[joined]] = False
    uncertain[active[doubtful & ~joined]] = True
    return active[~joined & ~doubtful]


def relabel(labels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Look every label up: `table[labels]`, (rows, cols) uint32. `table` (count + 1,) uint32."""
    return table[labels]


def compact(ids: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number the ids that are present in a window from 1.

    Parameters
    ----------
    ids : array of uint32, 0 for no data

    Returns
    -------
    present : (count,) uint32, ascending
    labels : (ids.size,) uint32, 1 + index in `present`, 0 where there is no data
    sizes : (count,) int64 pixels
    """
    flat = ids.reshape(-1)
    places = flat - np.uint32(1)  # 0 is no id, and one before it is the largest number there is
    before, most = int(places.min(initial=2**32 - 1)), int(flat.max(initial=0))
    if most - before > 8 * flat.size:
        present, labels = np.unique(flat, return_inverse=True)
        if present[0] == 0:
            present = present[1:]
        else:
            labels = labels + 1
        labels = labels.reshape(-1).astype(np.uint32)
    else:
        np.subtract(flat, np.uint32(before), out=places)
        places[flat == 0] = 0
        seen = np.zeros(max(most - before, 0) + 1, np.uint32)
        seen[places] = 1
        seen[0] = 0
        present = (np.flatnonzero(seen) + before).astype(np.uint32)
        labels = np.cumsum(seen, dtype=np.uint32)[places]
    return present, labels, np.bincount(labels, minlength=present.size + 1)[1:].astype(np.int64)


def translate(values: np.ndarray, valid: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Look the values of each band up in its table, 0 where not valid.

    Parameters
    ----------
    values : (bands, ...) uint8 or uint16
    valid : (...) bool
    tables : (bands, 256 or 65536) uint8

    Returns
    -------
    (bands, ...) uint8
    """
    translated = np.empty(values.shape, np.uint8)
    for table, plane, out in zip(tables, values, translated):
        np.take(table, plane, out=out, mode="clip")
    translated *= valid
    return translated
