# SPDX-License-Identifier: GPL-2.0-or-later
"""Which clumps are called up in which step of an elimination: a chain of clumps for every step to come."""

from typing import NamedTuple

import numpy as np

from .cache import inner, kernel
from .graph import NOBODY

FIRST, COUNT = 0, 1  # columns of `called`


class Queues(NamedTuple):
    """The chains, one a step.

    called : (min_pixels + 1, 2) uint32, the clump with which the chain of each step begins, and how many are in it
    next_called : (n,) uint32, which clump comes next in a chain; of those in none, it is anything

    NOBODY ends a chain, also one in which there is nobody.
    """

    called: np.ndarray
    next_called: np.ndarray


def empty_queues(min_pixels: int, count: int) -> Queues:
    """Chains in which there is nobody, of so many clumps."""
    called = np.zeros((max(min_pixels, 1) + 1, 2), np.uint32)
    called[:, FIRST] = NOBODY
    return Queues(called, np.empty(count, np.uint32))


@inner
def queue(clump: int, area: int, sizes: np.ndarray, called: np.ndarray, next_called: np.ndarray) -> None:
    """Chain a clump with those that are called up in the step `area`; those as large as wanted never are."""
    if sizes[clump] < len(called) - 1 and area < len(called):
        next_called[clump] = called[area, FIRST]
        called[area, FIRST] = clump
        called[area, COUNT] += np.uint32(1)


@inner
def count_called(begin: int, end: int, called: np.ndarray) -> int:
    """How many clumps at most are called up in the steps from `begin` to before `end`."""
    count = 0
    for area in range(begin, min(end, len(called))):
        count += called[area, COUNT]
    return count


@inner
def call_up(
    area: int,
    waiting: np.ndarray,
    count: int,
    sizes: np.ndarray,
    into: np.ndarray,
    called: np.ndarray,
    next_called: np.ndarray,
) -> int:
    """Append to the `count` clumps in `waiting` those that are called up in the step `area`; returns the new count.

    A clump that has grown while it was queued goes on to the queue of its size.
    """
    clump = called[area, FIRST]
    called[area, FIRST] = NOBODY
    called[area, COUNT] = 0
    while clump != NOBODY:
        following = next_called[clump]
        if into[clump] == clump:
            if sizes[clump] <= area:
                waiting[count] = clump
                count += 1
            else:
                queue(clump, sizes[clump], sizes, called, next_called)
        clump = following
    return count


@kernel
def next_called_up(area: int, called: np.ndarray) -> int:
    """The first step from `area` on in which anybody is called up who has not been yet; beyond all steps if none is."""
    while area < len(called) and called[area, FIRST] == NOBODY:
        area += 1
    return area


@kernel
def queue_again(
    area: int, sizes: np.ndarray, undecided_from: np.ndarray, called: np.ndarray, next_called: np.ndarray
) -> None:
    """Build the chains of the steps after `area` anew, after the clumps have got other numbers."""
    for step in range(len(called)):
        called[step, FIRST] = NOBODY
        called[step, COUNT] = 0
    for clump in range(sizes.size - 1, -1, -1):
        step = max(sizes[clump], undecided_from[clump])
        if step > area:
            queue(np.uint32(clump), step, sizes, called, next_called)
