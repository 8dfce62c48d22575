# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps of the elimination of small clumps: on a tile's graph, on the whole raster's, or on a preview's."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np


def eliminate(kernel, sizes, sums, edges, weights, min_pixels, threshold, advance, workers=1, **known):
    """Run all steps that can change anything.

    Parameters
    ----------
    kernel : the set of kernels
    sizes, sums, edges, known : see `kernels.plain.Elimination`, to which all of `known` goes
    weights : of the limbs of the sums, see `colours`
    min_pixels : int
    threshold : greatest distance of mean colours, None for no limit
    advance : called with the fraction that is done
    workers : threads that share the decisions of a step

    Returns
    -------
    kernel.Elimination
    """
    least = int(sizes.sum()) + 1  # a limit beyond all of the pixels says no more than this
    if known.get("since") is not None:
        least = max(least, int(known["since"].max(initial=0)) + 1)
    least = min(min_pixels, least)
    limit = np.inf if threshold is None else threshold
    elimination = kernel.Elimination(sizes, sums, np.array(weights), edges, least, limit, **known)
    with ThreadPoolExecutor(workers) as pool:
        area = elimination.next_area(0)
        while area is not None and area <= min_pixels:
            advance(min(area / least, 1.0))
            merged = elimination.step(area, pool.map if workers > 1 else map)
            area = area + 1 if merged else elimination.next_area(area)
    return elimination


def in_order_of_appearance(values):
    """Number different values 0.. in the order in which they appear: (n,) uint32."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    rank = np.empty(first.size, np.uint32)
    rank[np.argsort(first)] = np.arange(first.size, dtype=np.uint32)
    return rank[inverse]
