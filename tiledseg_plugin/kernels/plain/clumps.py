# SPDX-License-Identifier: GPL-2.0-or-later
"""Clump kernels: connected regions of a window, what they hold, and which of them touch."""

import numpy as np


def clump(clusters):
    """Number the 4-connected regions of equal cluster, from 1, in raster order of their first pixels.

    Parameters
    ----------
    clusters : (rows, cols) uint16

    Returns
    -------
    labels : (rows, cols) uint32
    count : int
    """
    rows, cols = clusters.shape
    # On a grid of twice the size the cells between two pixels say whether the two belong together.
    links = np.zeros((2 * rows - 1, 2 * cols - 1), bool)
    links[::2, ::2] = clusters != 0
    links[::2, 1::2] = (clusters[:, 1:] == clusters[:, :-1]) & (clusters[:, 1:] != 0)
    links[1::2, ::2] = (clusters[1:] == clusters[:-1]) & (clusters[1:] != 0)
    from scipy import ndimage  # not before it is needed: the compiled kernels do without

    labels, count = ndimage.label(links)
    labels = np.ascontiguousarray(labels[::2, ::2]).astype(np.uint32)
    first = first_pixels(labels, count)
    order = np.empty(count + 1, np.uint32)
    order[0] = 0
    order[1 + np.argsort(first, kind="stable")] = np.arange(1, count + 1, dtype=np.uint32)
    return order[labels], count


def first_pixels(labels, count):
    """The index, in raster order, of the first pixel of every clump: (count,) int64."""
    first = np.zeros(count + 1, np.int64)
    flat = labels.ravel()
    first[flat[::-1]] = np.arange(flat.size - 1, -1, -1)
    return first[1:]


def describe_clumps(labels, count, clusters, quantities):
    """Size, exact sums, first pixel and cluster of every clump.

    Parameters
    ----------
    labels, count : as `clump` gives them
    clusters : (rows, cols) uint16
    quantities : (planes, rows, cols) uint8 or int64, what is added up

    Returns
    -------
    sizes : (count,) int64, pixels
    sums : (count, planes) int64
    first : (count,) int64, index of the first pixel in the window, in raster order
    kinds : (count,) uint16, the cluster of each
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


def find_edges(labels, count):
    """The pairs of clumps that share a pixel side, each once: (m, 2) uint32 labels, a < b, sorted."""
    pairs = []
    for one, other in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        border = (one != other) & (one != 0) & (other != 0)
        a, b = one[border].astype(np.uint64), other[border].astype(np.uint64)
        pairs.append(np.minimum(a, b) << np.uint64(32) | np.maximum(a, b))
    both = np.unique(np.concatenate(pairs))
    return np.stack([both >> np.uint64(32), both & np.uint64(0xFFFFFFFF)], axis=1).astype(np.uint32)
