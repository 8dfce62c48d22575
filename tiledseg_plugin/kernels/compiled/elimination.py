# SPDX-License-Identifier: GPL-2.0-or-later
"""Graph kernel: the elimination of small clumps."""

import numpy as np

from ..plain.elimination import band_means
from .cache import kernel

NOBODY = np.uint32(0xFFFFFFFF)


@kernel
def _adjacency(edges, count):
    """Neighbour lists of all nodes, one behind the other: (n + 1,) int64 offsets and (2 m,) uint32 neighbours."""
    start = np.zeros(count + 1, np.int64)
    for edge in range(len(edges)):
        start[edges[edge, 0]] += 1
        start[edges[edge, 1]] += 1
    total = np.int64(0)
    for node in range(count + 1):
        total += start[node]
        start[node] = total
    neighbours = np.empty(2 * len(edges), np.uint32)
    for edge in range(len(edges) - 1, -1, -1):
        one, other = edges[edge, 0], edges[edge, 1]
        start[one] -= 1
        neighbours[start[one]] = other
        start[other] -= 1
        neighbours[start[other]] = one
    return start, neighbours


@kernel
def _find_root(into, node):
    while into[node] != node:
        node = into[node]
    return node


@kernel
def _decide(waiting, choice, area, threshold, sizes, means, into, start, neighbours, next_member):
    """Note the partner of every waiting clump that is small enough; nothing but `choice` and roots changes."""
    bands = means.shape[1]
    for i in range(waiting.size):
        clump = waiting[i]
        choice[i] = NOBODY
        if into[clump] != clump or sizes[clump] > area:
            continue
        nearest = np.float32(np.inf)
        member = clump
        while member != NOBODY:
            for j in range(start[member], start[member + 1]):
                near = _find_root(into, neighbours[j])
                neighbours[j] = near
                if sizes[near] <= sizes[clump]:
                    continue
                distance = np.float32(0)
                for band in range(bands):
                    difference = means[clump, band] - means[near, band]
                    distance += difference * difference
                distance = np.float32(np.sqrt(distance))
                if distance < threshold and (distance < nearest or (distance == nearest and near < choice[i])):
                    nearest = distance
                    choice[i] = near
            member = next_member[member]


@kernel
def _merge(waiting, choice, min_pixels, sizes, sums, weights, means, into, next_member, last_member):
    """Carry the noted merges out; gives how many clumps go on waiting, which stand first in `waiting`."""
    planes = sums.shape[1]
    bands = means.shape[1]
    for i in range(waiting.size):
        if choice[i] != NOBODY:
            into[waiting[i]] = choice[i]
    for i in range(waiting.size):
        if choice[i] == NOBODY:
            continue
        clump = waiting[i]
        root = _find_root(into, clump)
        sizes[root] += sizes[clump]
        for plane in range(planes):
            sums[root, plane] += sums[clump, plane]
        next_member[last_member[root]] = clump
        last_member[root] = last_member[clump]
    for i in range(waiting.size):
        if choice[i] == NOBODY:
            continue
        root = _find_root(into, waiting[i])
        into[waiting[i]] = root
        for band in range(bands):
            total = 0.0
            for limb in range(weights.size):
                total += np.float64(sums[root, limb * bands + band]) * weights[limb]
            means[root, band] = np.float32(total) / np.float32(sizes[root])
    kept = 0
    for i in range(waiting.size):
        clump = waiting[i]
        if choice[i] == NOBODY and into[clump] == clump and sizes[clump] < min_pixels:
            waiting[kept] = clump
            kept += 1
    return kept


@kernel
def _settle(into):
    for node in range(into.size):
        into[node] = _find_root(into, node)


class Elimination:
    __doc__ = "See `plain.Elimination`."

    def __init__(self, sizes, sums, weights, edges, min_pixels, threshold):
        count = sizes.size
        self.sizes, self.sums, self.weights = sizes.copy(), sums.copy(), np.asarray(weights, np.float64)
        self.min_pixels, self.threshold = min_pixels, np.float32(threshold)
        self.means = band_means(self.sizes, self.sums, self.weights)
        self.roots = np.arange(count, dtype=np.uint32)
        self.start, self.neighbours = _adjacency(edges, count)
        self.next_member = np.full(count, NOBODY, np.uint32)
        self.last_member = np.arange(count, dtype=np.uint32)
        self.waiting = np.flatnonzero(sizes < min_pixels).astype(np.uint32)

    def step(self, area):
        choice = np.empty(self.waiting.size, np.uint32)
        _decide(
            self.waiting,
            choice,
            area,
            self.threshold,
            self.sizes,
            self.means,
            self.roots,
            self.start,
            self.neighbours,
            self.next_member,
        )
        kept = _merge(
            self.waiting,
            choice,
            self.min_pixels,
            self.sizes,
            self.sums,
            self.weights,
            self.means,
            self.roots,
            self.next_member,
            self.last_member,
        )
        self.waiting = self.waiting[:kept]

    @property
    def into(self):
        _settle(self.roots)
        return self.roots
