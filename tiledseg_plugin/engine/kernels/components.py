# SPDX-License-Identifier: GPL-2.0-or-later
"""Connected components of a graph, in numpy alone: scipy, which has them, too, does not come with every QGIS."""

from typing import Tuple

import numpy as np


def components(count: int, one: np.ndarray, other: np.ndarray) -> Tuple[int, np.ndarray]:
    """Number the connected components of a graph, from 0, in the order of their first nodes.

    Every node begins as a tree of its own. While there are links between trees, the roots of such trees are hung below
    each other and the trees made flat (Shiloach and Vishkin 1982, Journal of Algorithms 3). In turn the larger root is
    hung below the smaller, and the smaller below the larger: always the same way, a star would lose one arm a round.

    Parameters
    ----------
    count : nodes, which are 0 to count - 1
    one, other : (links,) integers, the nodes that a link is between

    Returns
    -------
    found : how many components there are
    number : (count,) int64, the component of each node
    """
    root = np.arange(count)
    one, other = np.asarray(one, np.int64), np.asarray(other, np.int64)
    while one.size:
        low, high = np.minimum(one, other), np.maximum(one, other)
        _hook(root, high, low)
        one, other = root[low], root[high]
        between = one != other
        low, high = np.minimum(one, other)[between], np.maximum(one, other)[between]
        _hook(root, low, high)
        one, other = root[low], root[high]
        between = one != other
        one, other = one[between], other[between]
    # nodes hung in an earlier round hang below nodes that were hung later
    while True:
        above = root[root]
        if np.array_equal(above, root):
            break
        root = above
    first = np.empty(count, np.int64)
    first[root[::-1]] = np.arange(count - 1, -1, -1)  # of nodes with the same root the first is written last
    leader = first[root]
    is_leader = leader == np.arange(count)
    return int(np.count_nonzero(is_leader)), (np.cumsum(is_leader) - 1)[leader]


def _hook(root: np.ndarray, these: np.ndarray, those: np.ndarray) -> None:
    """Hang roots below others, which are all smaller or all larger, and make the trees of what was hung flat."""
    root[these] = those
    hung = these
    while hung.size:
        above = root[root[hung]]
        moves = above != root[hung]
        hung, above = hung[moves], above[moves]
        root[hung] = above
