# SPDX-License-Identifier: GPL-2.0-or-later
"""The graph of clumps during elimination: neighbour lists, roots, and what is left when merged clumps are forgotten.

A clump has a list of its neighbours if it is smaller than `listed`. Large clumps, of at least `min_pixels`, never look
for a partner, so that no list need hold a large neighbour of a large clump.

The list of a clump that has taken others in is a chain of theirs and its own: see `NeighbourLists`.

Kernels take the arrays of such a tuple one by one, as in `kernel(*lists)`. Handed over as one, it can be taken for
another whose arrays have other types or strides: numba tells tuples apart by their names and types written one after
the other, and loses the first 40 bytes of what is longer (`string_writer_ensure` in its `_typeof` module).
"""

from typing import NamedTuple, Tuple

import numpy as np

from .cache import inner, kernel

NOBODY = np.uint32(0xFFFFFFFF)
BEGIN, LENGTH, NEXT = 0, 1, 2  # columns of `members`


class NeighbourLists(NamedTuple):
    """Which clump each has become a part of, and the neighbours of all.

    into : (n,) uint32, the clump itself where it is in no other, else one that leads to its root; a column of `state`
    members : (n, 3) uint32 or uint64, where the list of a clump as it was begins in `neighbours`, how long it is, and
        which clump's list comes next in the chain
    neighbours : (m,) uint32, all lists, one behind the other
    """

    into: np.ndarray
    members: np.ndarray
    neighbours: np.ndarray


@inner
def find_root(into: np.ndarray, node: int) -> int:
    """The clump that a clump has become a part of."""
    while into[node] != node:
        node = into[node]
    return node


@inner
def list_of(clump: int, members: np.ndarray) -> Tuple[int, int]:
    """Where the clump's own part of its list of neighbours begins and ends, without signs, which no loop has to ask."""
    begin = np.uintp(members[clump, BEGIN])
    return begin, begin + np.uintp(members[clump, LENGTH])


def own_roots(state: np.ndarray) -> np.ndarray:
    """The column of `state` that holds the roots, set to those of clumps that are in no other."""
    into = state[:, 0]
    into[:] = np.arange(into.size, dtype=np.uint32)
    return into


def own_lists(start: np.ndarray) -> np.ndarray:
    """The `members` of clumps that are chained to no other; `start` has one entry more than them."""
    members = np.empty((start.size - 1, 3), np.uint32 if start[-1] < 2**32 else np.uint64)
    _own(start, members)
    return members


@kernel
def _own(start: np.ndarray, members: np.ndarray) -> None:
    for clump in range(len(members)):
        members[clump, BEGIN] = start[clump]
        members[clump, LENGTH] = start[clump + 1] - start[clump]
        members[clump, NEXT] = NOBODY


@kernel
def count_neighbours(edges: np.ndarray, sizes: np.ndarray, min_pixels: int, listed: int, start: np.ndarray) -> int:
    """Where the neighbour list of each clump ends, in `start` (n + 1,) int64."""
    for edge in range(len(edges)):
        one, other = edges[edge, 0], edges[edge, 1]
        needed = (sizes[one] < min_pixels) | (sizes[other] < min_pixels)
        start[one] += needed & (sizes[one] < listed)
        start[other] += needed & (sizes[other] < listed)
    total = np.int64(0)
    for clump in range(start.size):
        total += start[clump]
        start[clump] = total
    return total


@kernel
def list_neighbours(
    edges: np.ndarray, sizes: np.ndarray, min_pixels: int, listed: int, start: np.ndarray, neighbours: np.ndarray
) -> None:
    """Fill the lists, from their ends, so that `start` becomes where they begin."""
    for edge in range(len(edges) - 1, -1, -1):
        one, other = edges[edge, 0], edges[edge, 1]
        if sizes[one] >= min_pixels and sizes[other] >= min_pixels:
            continue
        if sizes[one] < listed:
            start[one] -= 1
            neighbours[start[one]] = other
        if sizes[other] < listed:
            start[other] -= 1
            neighbours[start[other]] = one


@kernel
def number_roots(into: np.ndarray, numbers: np.ndarray, is_left: np.ndarray) -> int:
    """Number the clumps that are left, in their order, and all others as what they are part of; returns how many."""
    count = 0
    for clump in range(into.size):
        numbers[clump] = count
        is_left[clump] = into[clump] == clump
        count += is_left[clump]
    for clump in range(into.size):
        if not is_left[clump]:
            numbers[clump] = numbers[find_root(into, np.uint32(clump))]
    return count


@kernel
def contract_lists(
    members: np.ndarray,
    neighbours: np.ndarray,
    numbers: np.ndarray,
    is_left: np.ndarray,
    sizes: np.ndarray,
    listed: int,
    seen: np.ndarray,
    large: np.ndarray,
    new_start: np.ndarray,
    new_neighbours: np.ndarray,
) -> int:
    """Join the lists of each clump's members into one, each neighbour once, by the new numbers.

    The lists are written to `new_neighbours`, one behind the other, and where each begins to `new_start`; returns where
    the last one ends. `sizes`, `seen`, all NOBODY, and `large` have an entry for each clump that is left.
    """
    end = 0
    count = 0
    for clump in range(is_left.size):
        if not is_left[clump]:
            continue
        new_start[count] = end
        seen[count] = count
        is_large = large[count]
        member = np.uint32(clump) if sizes[count] < listed else NOBODY
        while member != NOBODY:
            begin, behind = list_of(member, members)
            if is_large:  # apart, as few are: to ask at each neighbour takes a tenth more time
                for place in range(begin, behind):
                    near = numbers[neighbours[place]]
                    new_neighbours[end] = near
                    end += (seen[near] != count) & ~large[near]
                    seen[near] = count
            else:
                for place in range(begin, behind):
                    near = numbers[neighbours[place]]
                    new_neighbours[end] = near
                    end += seen[near] != count
                    seen[near] = count
            member = members[member, NEXT]
        count += 1
    new_start[count] = end
    return end


@kernel
def contract_clumps(
    is_left: np.ndarray,
    sums: np.ndarray,
    state: np.ndarray,
    changed: np.ndarray,
    undecided_from: np.ndarray,
    undecided: np.ndarray,
) -> None:
    """Move the clumps that are left to the front of all arrays, where only they will be looked for.

    There are no branches: what has been moved and is not left is overwritten by the next one.
    """
    number = np.uintp(0)
    for clump in range(is_left.size):
        changed[number] = changed[clump]
        undecided_from[number] = undecided_from[clump]
        if undecided.size:
            undecided[number] = undecided[clump]
        for plane in range(sums.shape[1]):
            sums[number, plane] = sums[clump, plane]
        for part in range(1, state.shape[1]):
            state[number, part] = state[clump, part]
        number += np.uintp(is_left[clump])
