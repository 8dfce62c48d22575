# SPDX-License-Identifier: GPL-2.0-or-later
"""Clump kernels: connected regions of a window, what they hold, and which of them touch."""

from typing import Optional, Tuple

import numpy as np

from ..contract import WALL_BELOW, WALL_RIGHT
from .cache import inner, kernel

ALL_BITS = np.uint32(0xFFFFFFFF)
NO_WALLS = np.zeros((0, 0), np.uint8)


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
        if walls_above[col] & WALL_BELOW:
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
def _clump(clusters: np.ndarray, walls: np.ndarray, labels: np.ndarray, parent: np.ndarray) -> int:
    """Fill `labels`; returns how many clumps there are."""
    rows, cols = clusters.shape
    parent[0] = 0
    count = np.uint64(0)  # as `_label_row` returns it, which is so compiled once
    clusters_above, labels_above = np.zeros(cols, clusters.dtype), np.zeros(cols, labels.dtype)
    above, free, same = np.empty(cols, np.uint32), np.empty(cols, np.uint32), np.empty(cols, np.uint32)
    one, other = np.empty(cols + 1, np.uint32), np.empty(cols + 1, np.uint32)
    no_walls = np.zeros(cols, walls.dtype)
    for row in range(rows):
        _compare_row(clusters[row], clusters_above, labels_above, above, free, same)
        if walls.size:
            _part_row(walls[row - 1] if row else no_walls, walls[row], above, free, same)
        count, pairs = _label_row(clusters[row], above, free, same, labels[row], parent, count, one, other)
        for i in range(pairs):
            _join(parent, one[i], other[i])
        clusters_above, labels_above = clusters[row], labels[row]
    regions = np.uint32(0)
    for label in range(1, count + 1):  # the least label of a region is that of its first pixel
        if parent[label] == label:
            regions += np.uint32(1)
            parent[label] = regions
        else:
            parent[label] = parent[parent[label]]
    for row in range(rows):
        for col in range(cols):
            labels[row, col] = parent[labels[row, col]]
    return regions


def clump(clusters: np.ndarray, walls: Optional[np.ndarray] = None) -> Tuple[np.ndarray, int]:
    """Defined by `plain.clumps.clump`."""
    labels = np.empty(clusters.shape, np.uint32)
    # room for the worst case, and one more, as the next place is always written to; pages not written take no memory
    walls = NO_WALLS if walls is None else walls
    return labels, int(_clump(clusters, walls, labels, np.empty(clusters.size + 2, np.uint32)))


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
    planes = quantities.shape[0]
    for pixel in range(labels.size):
        if labels[pixel] == 0:
            continue
        region = labels[pixel] - 1
        if sizes[region] == 0:
            first[region] = pixel
            clusters_of[region] = clusters[pixel]
        sizes[region] += 1
        for plane in range(planes):
            sums[region, plane] += np.int64(quantities[plane, pixel])


def describe_clumps(
    labels: np.ndarray, count: int, clusters: np.ndarray, quantities: np.ndarray
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Defined by `plain.clumps.describe_clumps`."""
    sizes, first = np.zeros(count, np.int64), np.empty(count, np.int64)
    sums, clusters_of = np.zeros((count, quantities.shape[0]), np.int64), np.empty(count, np.uint16)
    flat = quantities.reshape(quantities.shape[0], -1)
    _describe(labels.reshape(-1), clusters.reshape(-1), flat, sizes, sums, first, clusters_of)
    return sizes, sums, first, clusters_of


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
    one: np.ndarray,
    other: np.ndarray,
    places: np.ndarray,
    pairs: np.ndarray,
    noted: int,
    with_lower: np.ndarray,
    with_higher: np.ndarray,
    latest: np.ndarray,
) -> int:
    """Append the flagged pairs, lower label first, and count them by both; returns how many pairs there are.

    A pair is left out if it was the `latest` of its lower label, as along most borders. There are no branches, as
    nobody can foresee where borders are.
    """
    found = 0
    for col in range(flags.size):
        places[found] = col
        found += flags[col]
    for i in range(found):
        col = places[i]
        low, high = min(one[col], other[col]), max(one[col], other[col])
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


@inner
def _flag_row(
    labels: np.ndarray, walls: np.ndarray, i: int, nothing: np.ndarray, right: np.ndarray, down: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Flag the borders of row `i` to the right and below that are to be noted."""
    row = labels[i]
    below = labels[i + 1] if i + 1 < len(labels) else nothing
    _flag_borders(row, below, right, down)
    if walls.size:  # what repeats a border is dropped only where that one has been noted, which walls may prevent
        _drop_walled(walls[i], right, down)
    else:
        _drop_repeated(labels[i - 1] if i else nothing, row, below, right, down)
    return row, below


@kernel
def _count_flags(labels: np.ndarray, walls: np.ndarray) -> int:
    """How many pairs `_collect_pairs` notes at the most."""
    cols = labels.shape[1]
    nothing, right, down = np.zeros(cols, labels.dtype), np.zeros(cols, np.uint8), np.zeros(cols, np.uint8)
    count = 0
    for i in range(len(labels)):
        _flag_row(labels, walls, i, nothing, right, down)
        for col in range(cols):
            count += np.int32(right[col]) + np.int32(down[col])
    return count


@kernel
def _collect_pairs(
    labels: np.ndarray, walls: np.ndarray, pairs: np.ndarray, with_lower: np.ndarray, with_higher: np.ndarray
) -> int:
    """Note the pairs of touching clumps, some repeatedly, and how many have each label; returns their number."""
    cols = labels.shape[1]
    latest = np.zeros(with_lower.size, np.uint32)
    nothing, right, down = np.zeros(cols, labels.dtype), np.zeros(cols, np.uint8), np.zeros(cols, np.uint8)
    places = np.empty(cols + 1, np.int32)
    noted = 0
    for i in range(len(labels)):
        row, below = _flag_row(labels, walls, i, nothing, right, down)
        counted = with_lower, with_higher, latest
        noted = _note_pairs(right[: cols - 1], row[: cols - 1], row[1:], places, pairs, noted, *counted)
        noted = _note_pairs(down, row, below, places, pairs, noted, *counted)
    return noted


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
    begin = np.uint32(0)
    for high in range(with_higher.size):  # each label's pairs now end where they began before
        for low in lower[begin : with_higher[high]]:
            higher[with_lower[low]] = high
            with_lower[low] += np.uint32(1)
        begin = with_higher[high]
    kept = 0
    begin = np.uint32(0)
    for low in range(with_lower.size):
        before = np.uint32(0)
        for high in higher[begin : with_lower[low]]:
            pairs[kept, 0] = low
            pairs[kept, 1] = high
            kept += high != before
            before = high
        begin = with_lower[low]
    return kept


def find_edges(labels: np.ndarray, count: int, walls: Optional[np.ndarray] = None) -> np.ndarray:
    """Defined by `plain.clumps.find_edges`."""
    walls = NO_WALLS if walls is None else walls
    pairs = np.empty((_count_flags(labels, walls) + 1, 2), np.uint32)  # and one, as the next place is always written to
    counts = np.zeros((2, count + 1), np.uint32)
    pairs = pairs[: _collect_pairs(labels, walls, pairs, counts[0], counts[1])]
    room = np.empty((2, len(pairs)), np.uint32)
    return pairs[: _sort_pairs(pairs, counts[0], counts[1], room[0], room[1])].copy()
