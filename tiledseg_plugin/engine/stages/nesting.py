# SPDX-License-Identifier: GPL-2.0-or-later
"""Nested scales: of one elimination, the segments of several minimum sizes.

Elimination goes by ascending size, so one with a larger MIN_PIXELS is one with a smaller, continued: the segments of a
level are unions of those of the levels below. What a clump was merged into, and from which MIN_PIXELS on, is kept
(`contract.Links`), and what belongs together at a level is found by following these links as far as the level goes.
"""

from typing import NamedTuple, Sequence

import numpy as np

from ..kernels.contract import Links


class Nested(NamedTuple):
    """What regions of the least minimum size become at the levels above it, as far as a part of the raster knows.

    A level is undecided for a region from `undecided_from` on: there it is what it is part of in the graph that is
    left, whose fate is found further up the tree.

    left_in : (regions,) uint32, 1 + index of what it is a part of in the graph that is left; 0 for none
    undecided_from : (regions,) uint32, DECIDED for none
    firsts : (levels, regions) int64, the first pixel of what it is a part of at each level, counted in the raster
    """

    left_in: np.ndarray
    undecided_from: np.ndarray
    firsts: np.ndarray


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


def firsts_at(
    links: Links, roots: np.ndarray, region_of: np.ndarray, earliest: np.ndarray, levels: Sequence[int]
) -> np.ndarray:
    """The first pixels of what regions are parts of at some levels: (levels, regions) int64.

    Parameters
    ----------
    roots : (regions,) the clump that stands for each region
    region_of : (clumps,) uint32, the region of each clump
    earliest : (regions,) int64, the first pixel of each region
    """
    among = Links(region_of[links.partner[roots]], links.level[roots])
    last_first = np.argsort(earliest, kind="stable")[::-1]
    firsts = np.empty((len(levels), roots.size), np.int64)
    for row, level in zip(firsts, levels):
        row[:] = _least(earliest, regions_at(among, level), last_first)
    return firsts


def _least(values: np.ndarray, into: np.ndarray, last_first: np.ndarray) -> np.ndarray:
    """The least of the values in each group, for each of its members.

    Parameters
    ----------
    into : (n,) the member that stands for the group of each
    last_first : (n,) the members with descending values
    """
    least = np.empty_like(values)
    least[into[last_first]] = values[last_first]  # of those written to one place the last one stays
    return least[into]
