# SPDX-License-Identifier: GPL-2.0-or-later
"""What a tile cannot decide about its clumps, because it depends on clumps of other tiles."""

import numpy as np

from .cache import kernel
from .graph import NOBODY, find_root

ITSELF, ALL_ROUND = 1, 2  # of a clump in `undecided`: it is, or it and all its neighbours are


@kernel
def _leave(clump, area, undecided, since, into, start, degree, neighbours, next_member):
    """Leave a clump that should decide now, and all its neighbours, which it might join, to the whole raster."""
    undecided[clump] = ALL_ROUND
    member = clump
    while member != NOBODY:
        for j in range(start[member], start[member] + degree[member]):
            near = find_root(into, neighbours[j])
            if not undecided[near]:
                undecided[near] = ITSELF
                since[near] = area
        member = next_member[member]


@kernel
def leave_waiting(waiting, retries, area, undecided, since, into, start, degree, neighbours, next_member):
    """Take undecided clumps out of `waiting`, leave their neighbours; gives how many are kept, and of the retries."""
    kept = 0
    kept_retries = retries
    for i in range(waiting.size):
        clump = waiting[i]
        if undecided[clump]:
            _leave(clump, area, undecided, since, into, start, degree, neighbours, next_member)
            kept_retries -= i < retries
        else:
            waiting[kept] = clump
            kept += 1
    return kept, kept_retries


@kernel
def _has_undecided_neighbour(clump, undecided, start, degree, neighbours, next_member):
    """For a clump whose lists hold roots only, as those of all have that have just looked for a partner."""
    member = clump
    while member != NOBODY:
        for j in range(start[member], start[member] + degree[member]):
            if undecided[neighbours[j]]:
                return True
        member = next_member[member]
    return False


@kernel
def drop_undecided(
    waiting, choice, tail, retries, area, undecided, since, into, start, degree, neighbours, next_member
):
    """Take back what clumps with an undecided neighbour have chosen; gives how many are kept, and of the retries.

    They are left, which makes their neighbours undecided; and so on, forwards and backwards, until nothing changes.
    """
    forwards = True
    more = True
    while more:
        more = False
        for i in range(waiting.size):
            clump = waiting[i if forwards else waiting.size - 1 - i]
            if undecided[clump] == ALL_ROUND:
                continue
            if not undecided[clump]:
                if not _has_undecided_neighbour(clump, undecided, start, degree, neighbours, next_member):
                    continue
                since[clump] = area
            _leave(clump, area, undecided, since, into, start, degree, neighbours, next_member)
            more = True
        forwards = not forwards
    kept = 0
    kept_retries = retries
    for i in range(waiting.size):
        if undecided[waiting[i]]:
            kept_retries -= i < retries
        else:
            waiting[kept], choice[kept], tail[kept] = waiting[i], choice[i], tail[i]
            kept += 1
    return kept, kept_retries


@kernel
def list_undecided_edges(start, neighbours, undecided, degree, edges):
    """Fill `edges` with the pairs of undecided neighbours, lower one first, each once; gives how many.

    A pair is in the lists of both, or of the one that is small.
    """
    count = 0
    for clump in range(undecided.size):
        if not undecided[clump]:
            continue
        for j in range(start[clump], start[clump + 1]):
            near = neighbours[j]
            if not degree[near] or clump < near:
                edges[count, 0] = min(np.uint32(clump), near)
                edges[count, 1] = max(np.uint32(clump), near)
                count += 1
    return count
