# SPDX-License-Identifier: GPL-2.0-or-later
"""Which clumps are called up in which step of an elimination: a chain of clumps for every step to come."""

from typing import NamedTuple

import numpy as np

from .cache import inner, kernel
from .graph import NOBODY


class Queues(NamedTuple):
    """The chains, one a step.

    first_called : (min_pixels + 1,) uint32, the clump with which the chain of each step begins
    next_called : (n,) uint32, which clump comes next in a chain

    NOBODY ends a chain, also one in which there is nobody.
    """

    first_called: np.ndarray
    next_called: np.ndarray


@inner
def queue(clump: int, area: int, sizes: np.ndarray, first_called: np.ndarray, next_called: np.ndarray) -> None:
    """Chain a clump with those that are called up in the step `area`; those as large as wanted never are."""
    if sizes[clump] < first_called.size - 1 and area < first_called.size:
        next_called[clump] = first_called[area]
        first_called[area] = clump


@inner
def call_up(
    area: int,
    waiting: np.ndarray,
    count: int,
    sizes: np.ndarray,
    into: np.ndarray,
    first_called: np.ndarray,
    next_called: np.ndarray,
) -> int:
    """Append to the `count` clumps in `waiting` those that are called up in the step `area`; returns the new count.

    A clump that has grown while it was queued goes on to the queue of its size.
    """
    clump = first_called[area]
    first_called[area] = NOBODY
    while clump != NOBODY:
        following = next_called[clump]
        if into[clump] == clump:
            if sizes[clump] <= area:
                waiting[count] = clump
                count += 1
            else:
                queue(clump, sizes[clump], sizes, first_called, next_called)
        clump = following
    return count


@kernel
def next_called_up(area: int, first_called: np.ndarray) -> int:
    """The first step from `area` on in which anybody is called up who has not been yet; beyond all steps if none is."""
    while area < first_called.size and first_called[area] == NOBODY:
        area += 1
    return area


@kernel
def queue_again(
    area: int, sizes: np.ndarray, undecided_from: np.ndarray, first_called: np.ndarray, next_called: np.ndarray
) -> None:
    """Build the chains of the steps after `area` anew, after the clumps have got other numbers."""
    for step in range(first_called.size):
        first_called[step] = NOBODY
    for clump in range(sizes.size - 1, -1, -1):
        called = max(sizes[clump], undecided_from[clump])
        if called > area:
            queue(np.uint32(clump), called, sizes, first_called, next_called)
