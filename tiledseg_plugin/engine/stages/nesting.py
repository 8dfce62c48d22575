# SPDX-License-Identifier: GPL-2.0-or-later
"""Nested scales: of one elimination, the segments of several minimum sizes.

Elimination goes by ascending size, so one with a larger MIN_PIXELS is one with a smaller, continued: the segments of a
level are unions of those of the levels below. What a clump was merged into, and from which MIN_PIXELS on, is kept
(`contract.Links`), and what belongs together at a level is found by following these links as far as the level goes.
"""

from typing import NamedTuple, Sequence, Tuple

import numpy as np

from ..kernels.contract import Links


class Nested(NamedTuple):
    """What regions of the least minimum size become at the levels above it, as far as a part of the raster knows.

    A level is undecided for a region from `undecided_from` on: there it is what it is part of in the graph that is
    left, whose fate is found further up the tree.

    left_in : (regions,) uint32, 1 + index of what it is a part of in the graph that is left; 0 for none
    undecided_from : (regions,) uint32, DECIDED for none
    begins : (n,) int64, the first pixels of what is made of them at the levels, counted in the raster
    begins_at : (levels, regions) uint32, which of these is that of what each is a part of at each level
    """

    left_in: np.ndarray
    undecided_from: np.ndarray
    begins: np.ndarray
    begins_at: np.ndarray


def regions_at(links: Links, level: int) -> np.ndarray:
    """What each clump has become a part of with MIN_PIXELS = `level`: (n,) uint32 indices of clumps."""
    own = np.arange(links.partner.size, dtype=np.uint32)
    return _ends(np.where(links.level <= level, links.partner, own))


def _ends(into: np.ndarray) -> np.ndarray:
    while True:
        further = into[into]
        if np.array_equal(further, into):
            return into
        into = further


def begins_of(
    links: Links, roots: np.ndarray, region_of: np.ndarray, earliest: np.ndarray, levels: Sequence[int]
) -> Tuple[np.ndarray, np.ndarray]:
    """The first pixels of what regions are parts of at some levels: `begins` and `begins_at` of `Nested`.

    Parameters
    ----------
    roots : (regions,) the clump that stands for each region
    region_of : (clumps,) uint32, the region of each clump
    earliest : (regions,) int64, the first pixel of each region
    levels : ascending
    """
    among = Links(region_of[links.partner[roots]], links.level[roots])
    last_first = np.argsort(earliest, kind="stable")[::-1].astype(np.uint32)
    holders = np.empty((len(levels), roots.size), np.uint32)
    for row, level in zip(holders, levels):
        row[:] = _first_in_group(regions_at(among, level), last_first)
    # what is first in a group is first in one of those that it is made of, which are the groups of the least level
    is_first = holders[0] == np.arange(roots.size, dtype=np.uint32)
    place = np.cumsum(is_first, dtype=np.uint32) - np.uint32(1)
    return earliest[is_first], place[holders]


def _first_in_group(into: np.ndarray, last_first: np.ndarray) -> np.ndarray:
    """For each, the one in its group that comes first: (n,) uint32.

    Parameters
    ----------
    into : (n,) the one that stands for the group of each
    last_first : (n,) uint32, all of them in descending order
    """
    first = np.empty_like(last_first)
    first[into[last_first]] = last_first  # of those written to one place the last one stays
    return first[into]
