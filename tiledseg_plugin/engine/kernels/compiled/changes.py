# SPDX-License-Identifier: GPL-2.0-or-later
"""What a step of an elimination changes: the links that it makes, and who has to look for a partner again."""

import numpy as np

from .cache import inner
from .graph import NEXT, NOBODY, find_root, list_of


@inner
def note_links(
    waiting: np.ndarray,
    choice: np.ndarray,
    area: int,
    sizes: np.ndarray,
    survivors: np.ndarray,
    partner: np.ndarray,
    level: np.ndarray,
) -> None:
    """Remember what is about to be merged in the step `area`, by the numbers that clumps had at first.

    See `contract.Links`. `survivors` is empty as long as no clump has another number.
    """
    for i in range(waiting.size):
        if choice[i] == NOBODY:
            continue
        clump, chosen = waiting[i], choice[i]
        first = survivors[clump] if survivors.size else clump
        partner[first] = survivors[chosen] if survivors.size else chosen
        level[first] = area + (sizes[clump] == area)


@inner
def mark_beside(
    choice: np.ndarray,
    most: int,
    stamp: int,
    changed: np.ndarray,
    into: np.ndarray,
    members: np.ndarray,
    neighbours: np.ndarray,
) -> bool:
    """Mark as changed all neighbours of the clumps that have grown, if these are few; returns whether all are marked.

    Those that found no partner need then not look at their neighbours to know that they will find none in the next
    step. All clumps must have lists.

    Parameters
    ----------
    choice : (m,) uint32, the clumps that have grown, and NOBODY
    most : entries of lists that are looked at
    """
    for i in range(choice.size):
        member = choice[i]
        while member != NOBODY:
            begin, end = list_of(member, members)
            most -= np.int64(end - begin) + 1
            if most < 0:
                return False
            for place in range(begin, end):
                changed[find_root(into, neighbours[place])] = stamp
            member = members[member, NEXT]
    return True
