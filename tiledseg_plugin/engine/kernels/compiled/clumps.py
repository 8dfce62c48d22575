# SPDX-License-Identifier: GPL-2.0-or-later
"""Clump kernels: connected regions of a window, what they hold, and which of them touch."""

from typing import Optional, Tuple

import numpy as np

from ..contract import WALL_BELOW, WALL_RIGHT
from .cache import inner, kernel

ALL_BITS = np.uint32(0xFFFFFFFF)
EDGES_OF_CLUMP = 6  # for which there is room at first: some are noted repeatedly; what is not filled takes no memory


@inner
def _root(parent: np.ndarray, label: int) -> int:
    """The least label of the region so far; halves the way to it for those who come later."""
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label


@inner
def _join(parent: np.ndarray, one: int, other: int) -> None:
    """Make two labels those of one region, whose root is the least label in it."""
    one, other = _root(parent, one), _root(parent, other)
    if one < other:
        parent[other] = one
    else:
        parent[one] = other


@inner
def _compare_row(
    clusters: np.ndarray,
    clusters_above: np.ndarray,
    labels_above: np.ndarray,
    above: np.ndarray,
    free: np.ndarray,
    same: np.ndarray,
) -> None:
    """Fill `above` with the label above each pixel of a row where that belongs to it, else 0.

    `free` and `same` get all bits where there is nothing above, and where the pixel to the left belongs to it. Compiles
    to vector code.
    """
    for col in range(clusters.size):
        above[col] = labels_above[col] if clusters_above[col] == clusters[col] else np.uint32(0)
    for col in range(clusters.size):
        free[col] = ALL_BITS if above[col] == 0 else np.uint32(0)
    same[0] = 0
    for col in range(clusters.size - 1):
        same[col + 1] = ALL_BITS if clusters[col] == clusters[col + 1] else np.uint32(0)


@inner
def _part_row(
    walls_above: np.ndarray, walls: np.ndarray, above: np.ndarray, free: np.ndarray, same: np.ndarray
) -> None:
    """Take out of what `_compare_row` has found what lies behind a wall."""
    for col in range(walls.size):
        if walls_above[col] & WALL_BELOW:  # of the first row, which has nothing above it, its own: they change nothing
            above[col] = 0
            free[col] = ALL_BITS
    for col in range(walls.size - 1):
        if walls[col] & WALL_RIGHT:
            same[col + 1] = 0


@inner
def _label_row(
    clusters: np.ndarray,
    above: np.ndarray,
    free: np.ndarray,
    same: np.ndarray,
    labels: np.ndarray,
    parent: np.ndarray,
    count: int,
    one: np.ndarray,
    other: np.ndarray,
) -> Tuple[int, int]:
    """Label a row; returns how many labels there are now, and how many pairs, in `one` and `other`, belong together.

    A run of one cluster takes a label from anywhere above it, so that few have to be joined later. Nobody can foresee
    where runs end, so there are no branches, but masks.
    """
    last = clusters.size - 1
    label, continued = np.uint32(0), np.uint32(0)
    for i in range(clusters.size):  # from the right: the first label above the rest of the run
        label = above[last - i] | (label & continued & free[last - i])
        labels[last - i] = label
        continued = same[last - i]
    label = np.uint32(0)
    pairs = 0
    for col in range(clusters.size):
        left = label & same[col]
        label = above[col] | ((left | (labels[col] & ~same[col])) & free[col])
        one[pairs] = left
        other[pairs] = label
        pairs += (label != left) & (left != 0)
        is_new = np.uint32((label == 0) & (clusters[col] != 0))
        parent[count + 1] = count + 1
        count += is_new
        label += np.uint32(count * is_new)
        labels[col] = label
    return count, pairs


@kernel
def _clump(
    clusters: np.ndarray,
    walls: Optional[np.ndarray],
    labels: np.ndarray,
    parent: np.ndarray,
    above: np.ndarray,
    free: np.ndarray,
    same: np.ndarray,
    one: np.ndarray,
    other: np.ndarray,
) -> int:
    """Fill `labels`, whose first row is zeros; returns how many clumps there are. The last five are room for a row.

    Where there are no walls, what is about them is not even compiled.
    """
    rows, cols = clusters.shape
    parent[0] = 0
    count = np.uint64(0)  # as `_label_row` returns it, which is so compiled once
    before = 0  # the row above; beside the labels above the first one, all zeros, any will do
    for row in range(rows):
        here = clusters[row]
        _compare_row(here, clusters[before], labels[row], above, free, same)
        if walls is not None:
            _part_row(walls[before], walls[row], above, free, same)
        count, pairs = _label_row(here, above, free, same, labels[row + 1], parent, count, one, other)
        for i in range(pairs):
            _join(parent, one[i], other[i])
        before = row
    regions = np.uint32(0)
    for label in range(1, count + 1):  # the least label of a region is that of its first pixel
        if parent[label] == label:
            regions += np.uint32(1)
            parent[label] = regions
        else:
            parent[label] = parent[parent[label]]
    for row in range(1, rows + 1):
        for col in range(cols):
            labels[row, col] = parent[labels[row, col]]
    return regions


def clump(clusters: np.ndarray, walls: Optional[np.ndarray] = None) -> Tuple[np.ndarray, int]:
    """Defined by `plain.clumps.clump`."""
    rows, cols = clusters.shape
    labels = np.empty((rows + 1, cols), np.uint32)
    labels[0] = 0
    # room for the worst case, and one more, as the next place is always written to; pages not written take no memory
    parent, room = np.empty(clusters.size + 2, np.uint32), np.empty((5, cols + 1), np.uint32)
    found = int(_clump(clusters, walls, labels, parent, *room))
    return labels[1:], found


@inner
def _add_three(labels: np.ndarray, quantities: np.ndarray, plane: int, sums: np.ndarray) -> None:
    """Add three planes up: a loop over them at each pixel would take longer than adding."""
    one, two, three = quantities[plane], quantities[plane + 1], quantities[plane + 2]
    for pixel in range(labels.size):
        label = labels[pixel]
        sums[label, plane] += np.int64(one[pixel])
        sums[label, plane + 1] += np.int64(two[pixel])
        sums[label, plane + 2] += np.int64(three[pixel])


@kernel
def _describe(
    labels: np.ndarray,
    clusters: np.ndarray,
    quantities: np.ndarray,
    sizes: np.ndarray,
    sums: np.ndarray,
    first: np.ndarray,
    clusters_of: np.ndarray,
) -> None:
    """Fill arrays in which pixels without a label have the first place, in `first` and `clusters_of` the last one.

    A label that is greater than all before it is the next one. Nobody can foresee where that is: there are no branches.
    """
    planes, found = len(quantities), np.uint32(0)
    for pixel in range(labels.size):
        label = labels[pixel]
        first[found] = pixel
        clusters_of[found] = clusters[pixel]
        found = max(found, label)
        sizes[label] += 1
    for plane in range(0, planes - 2, 3):
        _add_three(labels, quantities, plane, sums)
    for plane in range(planes - planes % 3, planes):
        quantity = quantities[plane]
        for pixel in range(labels.size):
            sums[labels[pixel], plane] += np.int64(quantity[pixel])


def describe_clumps(
    labels: np.ndarray, count: int, clusters: np.ndarray, quantities: np.ndarray
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Defined by `plain.clumps.describe_clumps`."""
    sizes, first = np.zeros(count + 1, np.int64), np.empty(count + 1, np.int64)
    sums, clusters_of = np.zeros((count + 1, quantities.shape[0]), np.int64), np.empty(count + 1, np.uint16)
    flat = quantities.reshape(quantities.shape[0], -1)
    _describe(labels.reshape(-1), clusters.reshape(-1), flat, sizes, sums, first, clusters_of)
    return sizes[1:], sums[1:], first[:-1], clusters_of[:-1]


@inner
def _flag_borders(row: np.ndarray, next_row: np.ndarray, right: np.ndarray, down: np.ndarray) -> None:
    """Whether a pixel and the one to its right, and the one below, belong to two clumps; compiles to vector code."""
    last = row.size - 1
    for col in range(last):
        right[col] = (row[col] != row[col + 1]) & (row[col] != 0) & (row[col + 1] != 0)
    for col in range(row.size):
        down[col] = (row[col] != next_row[col]) & (row[col] != 0) & (next_row[col] != 0)


@inner
def _drop_repeated(above: np.ndarray, row: np.ndarray, below: np.ndarray, right: np.ndarray, down: np.ndarray) -> None:
    """Clear the flags of borders between the same two clumps as one pixel above, or to the left, where it was noted."""
    for col in range(row.size - 1):
        right[col] &= (above[col] != row[col]) | (above[col + 1] != row[col + 1])
    for col in range(row.size - 1):
        down[col + 1] &= (row[col] != row[col + 1]) | (below[col] != below[col + 1])


@inner
def _note_pairs(
    flags: np.ndarray,
    flat: np.ndarray,
    begin: int,
    step: int,
    places: np.ndarray,
    pairs: np.ndarray,
    noted: int,
    with_lower: np.ndarray,
    with_higher: np.ndarray,
    latest: np.ndarray,
) -> int:
    """Append the flagged pairs, lower label first, and count them by both; returns how many pairs there are.

    Those are of a row of the labels `flat` that begins at `begin`, each with the label `step` places further on.

    A pair is left out if it was the `latest` of its lower label, as along most borders. There are no branches, as
    nobody can foresee where borders are.
    """
    found = 0
    for col in range(flags.size):
        places[found] = col
        found += flags[col]
    for i in range(found):
        one, other = flat[begin + places[i]], flat[begin + places[i] + step]
        low, high = min(one, other), max(one, other)
        new = latest[low] != high
        latest[low] = high
        pairs[noted, 0] = low
        pairs[noted, 1] = high
        noted += new
        with_lower[low] += new
        with_higher[high] += new
    return noted


@inner
def _drop_walled(walls: np.ndarray, right: np.ndarray, down: np.ndarray) -> None:
    """Clear the flags of borders that are walls."""
    for col in range(walls.size):
        right[col] &= (walls[col] & WALL_RIGHT) == 0
        down[col] &= (walls[col] & WALL_BELOW) == 0


@kernel
def _collect_pairs(
    labels: np.ndarray,
    flat: np.ndarray,
    walls: Optional[np.ndarray],
    begin: int,
    nothing: np.ndarray,
    right: np.ndarray,
    down: np.ndarray,
    places: np.ndarray,
    pairs: np.ndarray,
    noted: int,
    with_lower: np.ndarray,
    with_higher: np.ndarray,
    latest: np.ndarray,
) -> Tuple[int, int]:
    """Note the pairs of touching clumps, some repeatedly, and how many have each label, from the row `begin` on.

    Returns
    -------
    noted : how many pairs there are now
    row : the next one, as there is no room in `pairs` for more; else the number of rows
    """
    rows, cols = labels.shape
    last = rows - 1
    for i in range(begin, rows):
        if noted + 2 * cols >= len(pairs):
            return noted, i
        row, below = labels[i], labels[i + 1] if i < last else nothing
        _flag_borders(row, below, right, down)
        if walls is None:
            _drop_repeated(labels[i - 1] if i else nothing, row, below, right, down)
        else:  # what repeats a border is dropped only where that one has been noted, which walls may prevent
            _drop_walled(walls[i], right, down)
        counted = with_lower, with_higher, latest
        noted = _note_pairs(right, flat, i * cols, np.int64(1), places, pairs, noted, *counted)
        noted = _note_pairs(down, flat, i * cols, np.int64(cols), places, pairs, noted, *counted)
    return noted, rows


@inner
def _add_up(counts: np.ndarray) -> None:
    """Turn numbers of pairs into where those of each label begin."""
    total = np.uint32(0)
    for label in range(counts.size):
        count = counts[label]
        counts[label] = total
        total += count


@kernel
def _sort_pairs(
    pairs: np.ndarray, with_lower: np.ndarray, with_higher: np.ndarray, lower: np.ndarray, higher: np.ndarray
) -> int:
    """Sort the pairs by lower and then higher label, drop repetitions, return how many are left.

    The pairs are put in order of their higher labels, and from there in that of their lower ones, which keeps it.
    `with_lower` and `with_higher` hold how many have each label.
    """
    _add_up(with_lower)
    _add_up(with_higher)
    for i in range(len(pairs)):
        high = pairs[i, 1]
        lower[with_higher[high]] = pairs[i, 0]
        with_higher[high] += np.uint32(1)
    place = np.uint32(0)
    for high in range(with_higher.size):  # each label's pairs now end where they began before
        while place < with_higher[high]:
            low = lower[place]
            higher[with_lower[low]] = high
            with_lower[low] += np.uint32(1)
            place += np.uint32(1)
    kept = 0
    place = np.uint32(0)
    for low in range(with_lower.size):
        before = np.uint32(0)
        while place < with_lower[low]:
            after = higher[place]
            pairs[kept, 0] = low
            pairs[kept, 1] = after
            kept += after != before
            before = after
            place += np.uint32(1)
    return kept


def find_edges(labels: np.ndarray, count: int, walls: Optional[np.ndarray] = None) -> np.ndarray:
    """Defined by `plain.clumps.find_edges`."""
    rows, cols = labels.shape
    nothing, right, down = np.zeros(cols, np.uint32), np.zeros(cols, np.uint8), np.zeros(cols, np.uint8)
    places, counts = np.empty(cols + 1, np.int32), np.zeros((3, count + 1), np.uint32)
    pairs = np.empty((EDGES_OF_CLUMP * count + 3 * cols, 2), np.uint32)
    flat, noted, row = labels.reshape(-1), 0, 0
    while row < rows:
        noted, row = _collect_pairs(labels, flat, walls, row, nothing, right, down, places, pairs, noted, *counts)
        if row < rows:
            pairs = np.concatenate([pairs[:noted], np.empty((len(pairs) + 3 * cols, 2), np.uint32)])
    pairs = pairs[:noted]
    room = np.empty((2, len(pairs)), np.uint32)
    return pairs[: _sort_pairs(pairs, counts[0], counts[1], room[0], room[1])].copy()
