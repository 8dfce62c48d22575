# SPDX-License-Identifier: GPL-2.0-or-later
"""Clump kernels: connected regions of a window, what they hold, and which of them touch."""

from typing import Optional, Tuple

import numpy as np

from ..components import components
from ..contract import WALL_BELOW, WALL_RIGHT
from ..pairs import packed, unpacked


def clump(clusters: np.ndarray, walls: Optional[np.ndarray] = None) -> Tuple[np.ndarray, int]:
    """Number the 4-connected regions of equal cluster, from 1, in raster order of their first pixels.

    Parameters
    ----------
    clusters : (rows, cols) uint16
    walls : (rows, cols) uint8 or None

    Returns
    -------
    labels : (rows, cols) uint32
    count : int
    """
    # Runs of equal cluster along the rows are the nodes; two that touch from row to row are linked once, where the
    # later of them begins.
    begins = np.ones(clusters.shape, bool)
    np.not_equal(clusters[:, 1:], clusters[:, :-1], out=begins[:, 1:])
    if walls is not None:
        begins[:, 1:] |= (walls[:, :-1] & WALL_RIGHT) != 0
    run = np.cumsum(begins.ravel(), dtype=np.int32 if begins.size < 1 << 31 else np.int64).reshape(clusters.shape)
    run -= 1
    linked = clusters[1:] == clusters[:-1]
    if walls is None:
        linked &= begins[1:] | begins[:-1]
    else:  # two runs may touch again behind the end of a wall, so all of their pixels link them
        linked &= (walls[:-1] & WALL_BELOW) == 0
    linked &= clusters[1:] != 0
    holds_data = clusters[begins] != 0
    found, component = components(holds_data.size, run[:-1][linked], run[1:][linked])
    is_clump = np.zeros(found, bool)
    is_clump[component[holds_data]] = True
    label = np.cumsum(is_clump) * is_clump
    return label[component].astype(np.uint32)[run], int(np.count_nonzero(is_clump))


def first_pixels(labels: np.ndarray, count: int) -> np.ndarray:
    """The index, in raster order, of the first pixel of every clump: (count,) int64."""
    first = np.zeros(count + 1, np.int64)
    flat = labels.ravel()
    first[flat[::-1]] = np.arange(flat.size - 1, -1, -1)
    return first[1:]


def describe_clumps(
    labels: np.ndarray, count: int, clusters: np.ndarray, quantities: np.ndarray
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Size, exact sums, first pixel and cluster of every clump.

    Parameters
    ----------
    labels, count : as `clump` returns them
    clusters : (rows, cols) uint16
    quantities : (planes, rows, cols) uint8 or int64, what is added up

    Returns
    -------
    sizes : (count,) int64, pixels
    sums : (count, planes) int64
    first : (count,) int64, index of the first pixel in the window, in raster order
    clusters_of : (count,) uint16, the cluster of each
    """
    flat = labels.ravel()
    sizes = np.bincount(flat, minlength=count + 1)[1:].astype(np.int64)
    sums = np.empty((count, quantities.shape[0]), np.int64)
    order = np.argsort(flat, kind="stable")[flat.size - int(sizes.sum()) :]
    starts = np.cumsum(sizes) - sizes
    for plane, quantity in enumerate(quantities):
        sums[:, plane] = np.add.reduceat(quantity.ravel()[order].astype(np.int64), starts) if count else 0
    first = first_pixels(labels, count)
    return sizes, sums, first, clusters.ravel()[first]


def find_edges(labels: np.ndarray, count: int, walls: Optional[np.ndarray] = None) -> np.ndarray:
    """The pairs of clumps that share a pixel side without a wall, each once: (m, 2) uint32 labels, a < b, sorted."""
    pairs = []
    open_sides = (True, True) if walls is None else (walls[:, :-1] & WALL_RIGHT == 0, walls[:-1] & WALL_BELOW == 0)
    sides = ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:]))
    for (one, other), is_open in zip(sides, open_sides):
        border = (one != other) & (one != 0) & (other != 0) & is_open
        a, b = one[border], other[border]
        pairs.append(packed(np.minimum(a, b), np.maximum(a, b)))
    return unpacked(np.unique(np.concatenate(pairs)))
