# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps of the elimination of small clumps: on the graph of a tile, of several tiles, or of a preview.

What a part of the raster can decide about its clumps is exactly what the whole raster would; what it cannot is left as
a smaller graph, to be joined with those of its neighbours.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Dict, Optional, Tuple

import numpy as np

from ..kernels.plain.elimination import DECIDED


@dataclass
class Graph:
    """Clumps, or regions that were merged of them, and which touch.

    sizes, sums, edges, since : see `kernels.plain.Elimination`
    first : (n,) int64, the first pixel of the clump that each began as, counted in the raster
    earliest : (n,) int64, the first pixel of all that is in it
    kinds : (n,) uint16, the cluster of the clump that each began as
    borders : {(piece_id, side): (pixels,) uint32}, 1 + index of what is at each pixel of an open side of a piece, 0
        where there is no data
    """

    sizes: np.ndarray
    sums: np.ndarray
    edges: np.ndarray
    first: np.ndarray
    earliest: np.ndarray
    kinds: np.ndarray
    borders: Dict[Tuple[int, str], np.ndarray]
    since: Optional[np.ndarray] = None

    def take(self, name):
        """One of the arrays, which the graph loses, so that it can go as soon as it has been used."""
        return vars(self).pop(name)


@dataclass
class Merged:
    """What merging within a graph has left.

    region_of : (n,) uint32, the region of each of the graph's clumps
    undecided : (regions,) bool; `left` holds these, in their order
    sizes, earliest : (decided regions,) int64, see `Graph`
    """

    region_of: np.ndarray
    undecided: np.ndarray
    sizes: np.ndarray
    earliest: np.ndarray
    left: Graph


def eliminate(kernel, sizes, sums, edges, weights, min_pixels, threshold, advance, workers=1, since=None, shared=None):
    """Run all steps that can change anything.

    Parameters
    ----------
    kernel : the set of kernels
    sizes, sums, edges, since, shared : see `kernels.plain.Elimination`
    weights : of the limbs of the sums, see `colours`
    min_pixels : int
    threshold : greatest distance of mean colours, None for no limit
    advance : called with the fraction that is done
    workers : threads that share the decisions of a step

    Returns
    -------
    kernel.Elimination
    """
    most = max(int(sizes.sum()), 0 if since is None else int(since.max(initial=0)))
    least = min(min_pixels, most + 1)  # a limit beyond all of the pixels says no more than this
    limit = np.inf if threshold is None else threshold
    elimination = kernel.Elimination(sizes, sums, np.array(weights), edges, least, limit, since, shared)
    del edges  # it has lists of them
    with ThreadPoolExecutor(workers) as pool:
        area = elimination.next_area(0)
        while area is not None and area <= min_pixels:
            advance(min(area / least, 1.0))
            merged = elimination.step(area, pool.map if workers > 1 else map)
            area = area + 1 if merged else elimination.next_area(area)
    return elimination


def merge_within(kernel, graph, weights, min_pixels, threshold, advance, workers=1):
    """Merge what nothing beyond the graph's borders can have any influence on: Merged.

    Parameters
    ----------
    graph : Graph, which loses its edges, and whose sums are of no use afterwards
    weights, min_pixels, threshold, advance, workers : see `eliminate`
    """
    shared = np.zeros(graph.sizes.size + 1, bool)
    for border in graph.borders.values():
        shared[border] = True
    elimination = eliminate(
        kernel,
        graph.sizes,
        graph.sums,
        graph.take("edges"),
        weights,
        min_pixels,
        threshold,
        advance,
        workers,
        graph.since,
        shared[1:],
    )
    regions, region_of = elimination.regions(), np.empty(graph.sizes.size, np.uint32)
    region_of[regions.roots] = np.arange(regions.roots.size, dtype=np.uint32)
    region_of = region_of[elimination.into]
    order = np.argsort(graph.earliest, kind="stable")[::-1]
    earliest = np.empty(regions.roots.size, np.int64)
    earliest[region_of[order]] = graph.earliest[order]  # of those written to one place the last one stays
    undecided = regions.since != DECIDED
    number = np.cumsum(undecided, dtype=np.uint32)  # 1 + index of undecided regions
    at_border = np.append(np.uint32(0), number[region_of])
    roots = regions.roots[undecided]
    left = Graph(
        regions.sizes[undecided],
        regions.sums[undecided],
        number[regions.edges] - np.uint32(1),
        graph.first[roots],
        earliest[undecided],
        graph.kinds[roots],
        {side: at_border[border] for side, border in graph.borders.items()},
        regions.since[undecided],
    )
    return Merged(region_of, undecided, regions.sizes[~undecided], earliest[~undecided], left)


def in_order_of_appearance(values):
    """Number different values 0.. in the order in which they appear: (n,) uint32."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    rank = np.empty(first.size, np.uint32)
    rank[np.argsort(first)] = np.arange(first.size, dtype=np.uint32)
    return rank[inverse]
