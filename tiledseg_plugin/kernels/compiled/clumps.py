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
def _find_edges(labels, count):
    rows, cols = labels.shape
    start = np.zeros(count + 2, np.int64)
    for filling in range(2):
        if filling:
            for label in range(1, count + 2):
                start[label] += start[label - 1]
            others = np.empty(start[count + 1], np.uint32)
        for row in range(rows):
            for col in range(cols):
                one = labels[row, col]
                if one == 0:
                    continue
                for side in range(2):
                    if side == 0:
                        if col + 1 == cols:
                            continue
                        other = labels[row, col + 1]
                        # the same two clumps side by side in the row above were noted there
                        if row and labels[row - 1, col] == one and labels[row - 1, col + 1] == other:
                            continue
                    else:
                        if row + 1 == rows:
                            continue
                        other = labels[row + 1, col]
                        if col and labels[row, col - 1] == one and labels[row + 1, col - 1] == other:
                            continue
                    if other == 0 or other == one:
                        continue
                    low, high = (one, other) if one < other else (other, one)
                    if filling:
                        start[low] -= 1
                        others[start[low]] = high
                    else:
                        start[low] += 1
    edges = np.empty((others.size, 2), np.uint32)
    kept = 0
    for low in range(1, count + 1):
        neighbours = others[start[low] : start[low + 1]]
        if neighbours.size > 24:
            neighbours.sort()
        else:
            for i in range(1, neighbours.size):
                value = neighbours[i]
                j = i
                while j and neighbours[j - 1] > value:
                    neighbours[j] = neighbours[j - 1]
                    j -= 1
                neighbours[j] = value
        for i in range(neighbours.size):
            if i == 0 or neighbours[i] != neighbours[i - 1]:
                edges[kept, 0] = low
                edges[kept, 1] = neighbours[i]
                kept += 1
    return edges[:kept].copy()


def find_edges(labels, count):
    return _find_edges(labels, count)
