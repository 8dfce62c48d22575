# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps of the elimination of small clumps: on the graph of a tile, of several tiles, or of a preview.

What a part of the raster can decide about its clumps is exactly what the whole raster would; what it cannot is left as
a smaller graph, to be joined with those of its neighbours.
"""

from dataclasses import dataclass
from typing import Callable, Dict, NamedTuple, Optional, Tuple

import numpy as np

from ..kernels.contract import DECIDED, Kernels, Merging, RemainingRegions
from ..machine import ThreadPool


class EliminationRules(NamedTuple):
    """Which regions are merged.

    weights : of the limbs of sums, see `colours`
    min_pixels : a smaller region is merged into a neighbour
    threshold : greatest distance of mean colours, None for no limit
    """

    weights: Tuple[float, ...]
    min_pixels: int
    threshold: Optional[float]


class ClumpGraph(NamedTuple):
    """What an elimination begins with, see `kernels.plain.Elimination`, which takes the sums over.

    undecided_from : (n,) uint32, the step from which on each takes part, as what came before is decided
    shared : (n,) bool, those that touch or reach what is not in this graph
    """

    sizes: np.ndarray
    sums: np.ndarray
    edges: np.ndarray
    undecided_from: Optional[np.ndarray] = None
    shared: Optional[np.ndarray] = None


@dataclass
class Graph:
    """Clumps, or regions that were merged of them, and which touch.

    sizes, sums, edges : see `kernels.plain.Elimination`
    first : (n,) int64, the first pixel of the clump that each began as, counted in the raster
    earliest : (n,) int64, the first pixel of all that is in it
    clusters : (n,) uint16, the cluster of the clump that each began as
    borders : {(piece_id, side): (pixels,) uint32}, 1 + index of what is at each pixel of an open side of a piece, 0
        where there is no data
    undecided_from : (n,) uint32, the step from which on each has to be decided where all its neighbours are known; None
        where none has been decided about
    """

    sizes: np.ndarray
    sums: np.ndarray
    edges: np.ndarray
    first: np.ndarray
    earliest: np.ndarray
    clusters: np.ndarray
    borders: Dict[Tuple[int, str], np.ndarray]
    undecided_from: Optional[np.ndarray] = None

    def take(self, name: str) -> np.ndarray:
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


def eliminate(
    kernel: Kernels, clumps: ClumpGraph, rules: EliminationRules, advance: Callable[[float], None], workers: int = 1
) -> Merging:
    """Run all steps that can change anything.

    Parameters
    ----------
    kernel : the set of kernels
    advance : called with the fraction that is done
    workers : threads that share the decisions of a step

    Returns
    -------
    Merging, after its last step
    """
    sizes, sums, edges, undecided_from, shared = clumps
    del clumps
    most = max(int(sizes.sum()), 0 if undecided_from is None else int(undecided_from.max(initial=0)))
    least = min(rules.min_pixels, most + 1)  # a limit beyond all of the pixels says no more than this
    limit = np.inf if rules.threshold is None else rules.threshold
    elimination = kernel.Elimination(sizes, sums, np.array(rules.weights), edges, least, limit, undecided_from, shared)
    del edges  # it has lists of them
    with ThreadPool(workers) as pool:
        area = elimination.next_area(0)
        while area is not None and area <= rules.min_pixels:
            advance(min(area / least, 1.0))
            merged = elimination.step(area, pool.map if workers > 1 else map)
            area = area + 1 if merged else elimination.next_area(area)
    return elimination


def merge_within(
    kernel: Kernels, graph: Graph, rules: EliminationRules, advance: Callable[[float], None], workers: int = 1
) -> Merged:
    """Merge what nothing beyond the graph's borders can have any influence on.

    Parameters
    ----------
    graph : Graph, which loses its edges, and whose sums are of no use afterwards
    kernel, advance, workers : see `eliminate`
    """
    shared = np.zeros(graph.sizes.size + 1, bool)
    for border in graph.borders.values():
        shared[border] = True
    elimination = eliminate(
        kernel,
        ClumpGraph(graph.sizes, graph.sums, graph.take("edges"), graph.undecided_from, shared[1:]),
        rules,
        advance,
        workers,
    )
    return _merged(graph, elimination.regions(), elimination.into)


def _merged(graph: Graph, regions: RemainingRegions, into: np.ndarray) -> Merged:
    """What is left of a graph, of whose clumps `into` says which each has become a part of."""
    region_of = np.empty(graph.sizes.size, np.uint32)
    region_of[regions.roots] = np.arange(regions.roots.size, dtype=np.uint32)
    region_of = region_of[into]
    order = np.argsort(graph.earliest, kind="stable")[::-1]
    earliest = np.empty(regions.roots.size, np.int64)
    earliest[region_of[order]] = graph.earliest[order]  # of those written to one place the last one stays
    undecided = regions.undecided_from != DECIDED
    number = np.cumsum(undecided, dtype=np.uint32)  # 1 + index of undecided regions
    at_border = np.append(np.uint32(0), number[region_of])
    roots = regions.roots[undecided]
    left = Graph(
        regions.sizes[undecided],
        regions.sums[undecided],
        number[regions.edges] - np.uint32(1),
        graph.first[roots],
        earliest[undecided],
        graph.clusters[roots],
        {side: at_border[border] for side, border in graph.borders.items()},
        regions.undecided_from[undecided],
    )
    return Merged(region_of, undecided, regions.sizes[~undecided], earliest[~undecided], left)


def in_order_of_appearance(values: np.ndarray) -> np.ndarray:
    """Number different values 0.. in the order in which they appear: (n,) uint32."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    rank = np.empty(first.size, np.uint32)
    rank[np.argsort(first)] = np.arange(first.size, dtype=np.uint32)
    return rank[inverse]
