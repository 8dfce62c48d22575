# SPDX-License-Identifier: GPL-2.0-or-later
"""Clump kernels: connected regions of a window, what they hold, and which of them touch."""

import numpy as np

from .cache import kernel


@kernel
def _root(parent, label):
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label


@kernel
def _clump(clusters, labels):
    rows, cols = clusters.shape
    parent = np.empty(rows * cols + 1, np.uint32)
    parent[0] = 0
    count = np.uint32(0)
    for row in range(rows):
        for col in range(cols):
            kind = clusters[row, col]
            if kind == 0:
                continue
            above = labels[row - 1, col] if row and clusters[row - 1, col] == kind else np.uint32(0)
            if col and clusters[row, col - 1] == kind:
                label = labels[row, col - 1]
                if above and above != label:
                    one, other = _root(parent, above), _root(parent, label)
                    if one < other:
                        parent[other] = one
                    else:
                        parent[one] = other
            elif above:
                label = above
            else:
                count += np.uint32(1)
                label = count
                parent[count] = count
            labels[row, col] = label
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


def clump(clusters):
    labels = np.zeros(clusters.shape, np.uint32)
    return labels, int(_clump(clusters, labels))


@kernel
def _describe(labels, clusters, quantities, sizes, sums, first, kinds):
    planes = quantities.shape[0]
    for pixel in range(labels.size):
        if labels[pixel] == 0:
            continue
        region = labels[pixel] - 1
        if sizes[region] == 0:
            first[region] = pixel
            kinds[region] = clusters[pixel]
        sizes[region] += 1
        for plane in range(planes):
            sums[region, plane] += np.int64(quantities[plane, pixel])


def describe_clumps(labels, count, clusters, quantities):
    sizes, first = np.zeros(count, np.int64), np.empty(count, np.int64)
    sums, kinds = np.zeros((count, quantities.shape[0]), np.int64), np.empty(count, np.uint16)
    flat = quantities.reshape(quantities.shape[0], -1)
    _describe(labels.reshape(-1), clusters.reshape(-1), flat, sizes, sums, first, kinds)
    return sizes, sums, first, kinds


@kernel
def _flag_borders(row, next_row, right, down):
    """Whether a pixel and the one to its right, and the one below, belong to two clumps; compiles to vector code."""
    last = row.size - 1
    for col in range(last):
        right[col] = (row[col] != row[col + 1]) & (row[col] != 0) & (row[col + 1] != 0)
    for col in range(row.size):
        down[col] = (row[col] != next_row[col]) & (row[col] != 0) & (next_row[col] != 0)


@kernel
def _drop_repeated(above, row, below, right, down):
    """Clear the flags of borders between the same two clumps as one pixel above, or to the left, where it was noted."""
    for col in range(row.size - 1):
        right[col] &= (above[col] != row[col]) | (above[col + 1] != row[col + 1])
    for col in range(row.size - 1):
        down[col + 1] &= (row[col] != row[col + 1]) | (below[col] != below[col + 1])


@kernel
def _note_pairs(flags, one, other, places, pairs, noted, start, latest):
    """Append the flagged pairs, lower label first, and count them by it; gives how many pairs there are.

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
        start[low] += new
    return noted


@kernel
def _collect_pairs(labels, pairs, start):
    """Note the pairs of touching clumps, some repeatedly, and how many have each lower label; gives their number."""
    rows, cols = labels.shape
    latest = np.zeros(start.size, np.uint32)
    noted = 0
    nothing = np.zeros(cols, labels.dtype)
    right, down = np.zeros(cols, np.uint8), np.zeros(cols, np.uint8)
    places = np.empty(cols + 1, np.int32)
    for i in range(rows):
        row = labels[i]
        above = labels[i - 1] if i else nothing
        below = labels[i + 1] if i + 1 < rows else nothing
        _flag_borders(row, below, right, down)
        _drop_repeated(above, row, below, right, down)
        noted = _note_pairs(right[: cols - 1], row[: cols - 1], row[1:], places, pairs, noted, start, latest)
        noted = _note_pairs(down, row, below, places, pairs, noted, start, latest)
    return noted


@kernel
def _sort(values):
    """Shell's sort, in place: most lists of neighbours are short, and numpy's sort takes seconds to compile."""
    gap = 1
    while 3 * gap + 1 < values.size:
        gap = 3 * gap + 1
    while gap:
        for i in range(gap, values.size):
            value = values[i]
            j = i
            while j >= gap and values[j - gap] > value:
                values[j] = values[j - gap]
                j -= gap
            values[j] = value
        gap //= 3


@kernel
def _sort_pairs(pairs, start, others):
    """Sort the pairs, drop repetitions, give how many are left. `start` holds how many have each lower label."""
    total = np.uint32(0)
    for label in range(start.size):
        total += start[label]
        start[label] = total
    for i in range(len(pairs) - 1, -1, -1):
        low = pairs[i, 0]
        start[low] -= np.uint32(1)
        others[start[low]] = pairs[i, 1]
    kept = 0
    for low in range(1, start.size - 1):
        neighbours = others[start[low] : start[low + 1]]
        _sort(neighbours)
        before = np.uint32(0)
        for i in range(neighbours.size):
            pairs[kept, 0] = low
            pairs[kept, 1] = neighbours[i]
            kept += neighbours[i] != before
            before = neighbours[i]
    return kept


def find_edges(labels, count):
    pairs = np.empty((2 * labels.size, 2), np.uint32)  # room for the worst case: pages not written take no memory
    start = np.zeros(count + 2, np.uint32)
    pairs = pairs[: _collect_pairs(labels, pairs, start)]
    return pairs[: _sort_pairs(pairs, start, np.empty(len(pairs), np.uint32))].copy()
