# SPDX-License-Identifier: GPL-2.0-or-later
"""What a tile cannot decide about its clumps, because it depends on clumps of other tiles."""

from typing import NamedTuple, Tuple

import numpy as np

from .cache import inner, kernel
from .graph import NEXT, NOBODY, find_root, list_of

DOUBTFUL = np.uint32(0xFFFFFFFE)  # in `choice`: to be decided where more of the raster is known


class Decisions(NamedTuple):
    """The clumps that look for a partner in a step, and what each has decided; there is room for m.

    waiting : (m,) uint32, the clumps
    choice : (m,) uint32, the partner of each, NOBODY or DOUBTFUL
    tail : (m,) uint32, the last in the chain of its neighbour lists
    doubtful : (m,) uint32, a stack of clumps, for `leave_doubtful`; none where the graph is the whole one
    """

    waiting: np.ndarray
    choice: np.ndarray
    tail: np.ndarray
    doubtful: np.ndarray


@inner
def _doubt(
    clump: int, waiting: np.ndarray, choice: np.ndarray, place: np.ndarray, doubtful: np.ndarray, count: int
) -> int:
    """Add a clump to the `count` doubtful ones if it is waiting and is not among them; returns the new count."""
    index = place[clump]
    if index < waiting.size and waiting[index] == clump and choice[index] != DOUBTFUL:
        choice[index] = DOUBTFUL
        doubtful[count] = clump
        count += 1
    return count


@inner
def _doubt_beside(
    clump: int,
    waiting: np.ndarray,
    choice: np.ndarray,
    place: np.ndarray,
    doubtful: np.ndarray,
    count: int,
    into: np.ndarray,
    members: np.ndarray,
    neighbours: np.ndarray,
) -> int:
    """Add the waiting ones among a clump and its neighbours to the doubtful ones."""
    count = _doubt(clump, waiting, choice, place, doubtful, count)
    member = clump
    while member != NOBODY:
        begin, end = list_of(member, members)
        for place_in_list in range(begin, end):
            near = find_root(into, neighbours[place_in_list])
            count = _doubt(near, waiting, choice, place, doubtful, count)
        member = members[member, NEXT]
    return count


@inner
def leave_doubtful(
    waiting: np.ndarray,
    choice: np.ndarray,
    tail: np.ndarray,
    retries: int,
    doubtful: np.ndarray,
    place: np.ndarray,
    area: int,
    undecided: np.ndarray,
    undecided_from: np.ndarray,
    into: np.ndarray,
    members: np.ndarray,
    neighbours: np.ndarray,
) -> Tuple[int, int]:
    """Take the doubtful clumps out of those that are waiting; returns how many stay, and how many of the retries.

    Doubtful are those that are undecided or have an undecided neighbour (see `steps.decide`). They are left to
    the whole raster with all their neighbours, which they might join. A clump that is waiting beside one of these is
    doubtful, too; and so on, until nothing changes.

    Parameters
    ----------
    doubtful : room for as many clumps as are waiting
    place : (n,) uint32, `Queues.next_called`: those that are waiting are in no queue, so that there is room for where
        each of them stands in `waiting`
    """
    count = 0
    for i in range(waiting.size):
        place[waiting[i]] = i
        doubtful[count] = waiting[i]
        count += choice[i] == DOUBTFUL
    if not count:
        return waiting.size, retries
    while count:
        count -= 1
        clump = doubtful[count]
        if not undecided[clump]:
            undecided[clump] = True
            undecided_from[clump] = area
        member = clump
        while member != NOBODY:
            begin, end = list_of(member, members)
            for place_in_list in range(begin, end):
                near = find_root(into, neighbours[place_in_list])
                if undecided[near]:
                    continue
                undecided[near] = True
                undecided_from[near] = area
                count = _doubt_beside(near, waiting, choice, place, doubtful, count, into, members, neighbours)
            member = members[member, NEXT]
    return _drop_doubtful(waiting, choice, tail, retries)


@inner
def _drop_doubtful(waiting: np.ndarray, choice: np.ndarray, tail: np.ndarray, retries: int) -> Tuple[int, int]:
    """Move those that are not doubtful to the front; returns how many they are, and how many of the retries."""
    kept = 0
    kept_retries = retries
    for i in range(waiting.size):
        if choice[i] == DOUBTFUL:
            kept_retries -= i < retries
        else:
            waiting[kept], choice[kept], tail[kept] = waiting[i], choice[i], tail[i]
            kept += 1
    return kept, kept_retries


@kernel
def list_left_edges(
    into: np.ndarray,
    members: np.ndarray,
    neighbours: np.ndarray,
    sizes: np.ndarray,
    min_pixels: int,
    undecided: np.ndarray,
    seen: np.ndarray,
    edges: np.ndarray,
) -> int:
    """Fill `edges` with the pairs of undecided neighbours, lower one first, each once; returns how many.

    Pairs of clumps of at least `min_pixels` are left out. `edges` has room for one more than there are neighbours, as
    the next place is always written to. All clumps have lists.

    Parameters
    ----------
    seen : (n,) uint32, room, all NOBODY
    """
    count = 0
    for clump in range(into.size):
        if into[clump] != clump or not undecided[clump]:
            continue
        is_large = sizes[clump] >= min_pixels
        member = np.uint32(clump)
        while member != NOBODY:
            begin, end = list_of(member, members)
            for place in range(begin, end):
                near = find_root(into, neighbours[place])
                edges[count, 0] = clump
                edges[count, 1] = near
                is_new = (near > clump) & (seen[near] != clump) & undecided[near]
                count += is_new & ~(is_large & (sizes[near] >= min_pixels))
                seen[near] = clump
            member = members[member, NEXT]
    return count
