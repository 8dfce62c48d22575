# SPDX-License-Identifier: GPL-2.0-or-later
"""The graph of clumps during elimination: neighbour lists, roots, and what is left when merged clumps are forgotten."""

import numpy as np

from .cache import kernel

NOBODY = np.uint32(0xFFFFFFFF)


@kernel
def find_root(into, node):
    while into[node] != node:
        node = into[node]
    return node


@kernel
def count_neighbours(edges, sizes, min_pixels, start):
    """Where the neighbour list of each clump ends, in `start` (n + 1,) int64; only those of small clumps are kept."""
    for edge in range(len(edges)):
        one, other = edges[edge, 0], edges[edge, 1]
        start[one] += sizes[one] < min_pixels
        start[other] += sizes[other] < min_pixels
    total = np.int64(0)
    for clump in range(start.size):
        total += start[clump]
        start[clump] = total
    return total


@kernel
def list_neighbours(edges, sizes, min_pixels, start, neighbours):
    """Fill the lists, from their ends, so that `start` becomes where they begin."""
    for edge in range(len(edges) - 1, -1, -1):
        one, other = edges[edge, 0], edges[edge, 1]
        if sizes[one] < min_pixels:
            start[one] -= 1
            neighbours[start[one]] = other
        if sizes[other] < min_pixels:
            start[other] -= 1
            neighbours[start[other]] = one


@kernel
def number_roots(into, numbers):
    """Number the clumps that are left, in their order; gives how many there are."""
    count = 0
    for clump in range(into.size):
        numbers[clump] = count
        count += into[clump] == clump
    return count


@kernel
def contract_lists(into, numbers, sizes, min_pixels, start, degree, neighbours, next_member, new_start, new_neighbours):
    """Join the lists of each small clump's members into one, each neighbour once, by the new numbers."""
    seen = np.full(new_start.size, NOBODY, np.uint32)
    end = 0
    count = 0
    for clump in range(into.size):
        if into[clump] != clump:
            continue
        new_start[count] = end
        seen[count] = count
        member = clump
        while member != NOBODY and sizes[clump] < min_pixels:
            for j in range(start[member], start[member] + degree[member]):
                near = numbers[find_root(into, neighbours[j])]
                if seen[near] != count:
                    seen[near] = count
                    new_neighbours[end] = near
                    end += 1
            member = next_member[member]
        count += 1
    new_start[count] = end
    return end


@kernel
def contract_clumps(into, whole, numbers, survivors, sizes, sums, bounded, means, changed, since, undecided):
    """Move the clumps that are left to the front of all arrays, where only they will be looked for."""
    for clump in range(whole.size):
        whole[clump] = numbers[find_root(into, whole[clump])]
    for clump in range(into.size):
        if into[clump] != clump:
            continue
        number = numbers[clump]
        survivors[number] = survivors[clump]
        sizes[number] = sizes[clump]
        bounded[number] = bounded[clump]
        changed[number] = changed[clump]
        since[number] = since[clump]
        if undecided.size:
            undecided[number] = undecided[clump]
        for plane in range(sums.shape[1]):
            sums[number, plane] = sums[clump, plane]
        for band in range(means.shape[1]):
            means[number, band] = means[clump, band]
