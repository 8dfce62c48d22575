# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps of the elimination of small clumps: on the graph of a tile, of several tiles, or of a preview.

What a part of the raster can decide about its clumps is exactly what the whole raster would; what it cannot is left as
a smaller graph, to be joined with those of its neighbours.
"""

from dataclasses import dataclass
from functools import partial
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple, Union, cast

import numpy as np

from ..kernels.contract import DECIDED, Kernels, Lent, Merging
from ..kernels.pairs import AT_ONCE, look_up
from ..machine import ThreadPool, release_memory
from .nesting import Nested, begins_of, regions_at

LARGE_GRAPH = 500_000  # clumps, of which what is freed is worth the time to give it back


def is_large(clumps: int) -> bool:
    """Whether a graph of so many is worth some time in which it takes less memory."""
    return clumps >= LARGE_GRAPH


def give_back(clumps: int) -> None:
    """Return what has been freed of a graph to the system, if it is a large one.

    What is returned has to be cleared before it is used again, by the system, in every task of this process: of small
    graphs that takes longer than they do.
    """
    if is_large(clumps):
        release_memory()


class EliminationRules(NamedTuple):
    """Which regions are merged.

    weights : of the limbs of sums, see `colours`
    min_pixels : a smaller region is merged into a neighbour
    threshold : greatest distance of mean colours, None for no limit
    levels : greater minimum sizes, ascending, whose regions are wanted, too
    """

    weights: Tuple[float, ...]
    min_pixels: int
    threshold: Optional[float]
    levels: Tuple[int, ...] = ()

    @property
    def all_sizes(self) -> Tuple[int, ...]:
        """The minimum sizes, ascending."""
        return (self.min_pixels, *self.levels)


class ClumpGraph(NamedTuple):
    """What an elimination begins with, see `kernels.plain.Elimination`, which takes the sums over.

    undecided_from : (n,) uint32, the step from which on each takes part, as what came before is decided
    shared : (n,) bool, those that touch or reach what is not in this graph
    """

    sizes: np.ndarray
    sums: np.ndarray
    edges: Union[np.ndarray, Lent]
    undecided_from: Optional[np.ndarray] = None
    shared: Optional[np.ndarray] = None


@dataclass
class Graph:
    """Clumps, or regions that were merged of them, and which touch.

    sizes, sums, edges : see `kernels.plain.Elimination`
    first : (n,) int64, the first pixel of the clump that each began as, counted in the raster
    earliest : (n,) int64, the first pixel of all that is in it
    clusters : (n,) uint16, the cluster of the clump that each began as
        These three are of no use while regions are merged, so that they may be what returns them, see `get`.
    borders : {(piece_id, side): (pixels,) uint32}, 1 + index of what is at each pixel of an open side of a piece, 0
        where there is no data
    undecided_from : (n,) uint32, the step from which on each has to be decided where all its neighbours are known; None
        where none has been decided about
    """

    sizes: np.ndarray
    sums: np.ndarray
    edges: np.ndarray
    first: Union[np.ndarray, Lent]
    earliest: Union[np.ndarray, Lent]
    clusters: Union[np.ndarray, Lent]
    borders: Dict[Tuple[int, str], np.ndarray]
    undecided_from: Optional[np.ndarray] = None

    def take(self, name: str) -> np.ndarray:
        """One of the arrays, which the graph loses, so that it can go as soon as it has been used."""
        found = self.get(name)
        delattr(self, name)
        return found

    def get(self, name: str) -> np.ndarray:
        """One of the arrays, also where it is elsewhere."""
        found = getattr(self, name)
        return found() if callable(found) else found

    def pick(self, name: str, chosen: np.ndarray) -> Union[np.ndarray, Lent]:
        """A part of one of the arrays; where that is elsewhere, what returns it."""
        found = getattr(self, name)
        return partial(_some_of, found, chosen) if callable(found) else found[chosen]


@dataclass
class Merged:
    """What merging within a graph has left.

    region_of : (n,) uint32, the region of each of the graph's clumps, by the least minimum size
    decided : (regions,) bool, those that are found here to be segments; others are undecided or, where there are
        levels, may have been decided before they came into the graph
    sizes, earliest : (decided regions,) int64, see `Graph`
    left : what is undecided, by the greatest minimum size
    began_as : (left,) uint32, the region that gives each of `left` its place; without levels that is all of it
    nested : what becomes of the regions at further levels, None without
    """

    region_of: np.ndarray
    decided: np.ndarray
    sizes: np.ndarray
    earliest: np.ndarray
    left: Graph
    began_as: np.ndarray
    nested: Optional[Nested] = None

    def take_left(self) -> Graph:
        """What is undecided, which this loses, so that it can go as soon as it has been used."""
        return cast(Graph, vars(self).pop("left"))


def eliminate(
    kernel: Kernels, clumps: ClumpGraph, rules: EliminationRules, advance: Callable[[float], None], workers: int = 1
) -> Merging:
    """Run all steps that can change anything, up to the greatest minimum size.

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
    least = min(rules.all_sizes[-1], most + 1)  # a limit beyond all of the pixels says no more than this
    limit = np.inf if rules.threshold is None else rules.threshold
    weights, keeps_links = np.array(rules.weights), bool(rules.levels)
    count, held = sizes.size, {"sizes": sizes}
    del sizes
    lent = partial(held.pop, "sizes")
    elimination = kernel.Elimination(
        lent, sums, weights, edges, least, limit, undecided_from, shared, keeps_links=keeps_links
    )
    del edges, undecided_from, shared  # it has what it needs of them
    give_back(count)
    with ThreadPool(workers) as pool:
        area, last = elimination.next_area(0), rules.all_sizes[-1]
        while area is not None and area <= last:
            advance(min(area / least, 1.0))
            area = elimination.go_on(area, last, pool.map if workers > 1 else map)
    return elimination


def merge_within(
    kernel: Kernels, graph: Graph, rules: EliminationRules, advance: Callable[[float], None], workers: int = 1
) -> Merged:
    """Merge what nothing beyond the graph's borders can have any influence on.

    Parameters
    ----------
    graph : Graph, which loses what goes into the elimination, so that it is not held twice
    kernel, advance, workers : see `eliminate`
    """
    shared = np.zeros(graph.sizes.size + 1, bool)
    for border in graph.borders.values():
        shared[border] = True
    begin = None
    if rules.levels:
        begin = _Beginning(graph.sizes, None if graph.undecided_from is None else graph.undecided_from.copy())
    take = graph.take
    edges = partial(take, "edges")
    clumps = [ClumpGraph(take("sizes"), take("sums"), edges, take("undecided_from"), shared[1:])]
    del shared
    finished = [eliminate(kernel, clumps.pop(), rules, advance, workers)]
    return _merged(graph, finished, rules, begin)


def eliminate_to_levels(
    kernel: Kernels, clumps: ClumpGraph, rules: EliminationRules, advance: Callable[[float], None], workers: int = 1
) -> List[np.ndarray]:
    """What the clumps of a whole graph become with each of several minimum sizes, for the price of the greatest one.

    Parameters
    ----------
    rules : `min_pixels`, and the other minimum sizes as its `levels`
    others : see `eliminate`

    Returns
    -------
    a (n,) uint32 for each of `rules.all_sizes`, the clump that each has become a part of: just what `into` of an
    elimination with that `min_pixels` alone would be
    """
    if not rules.levels:
        return [eliminate(kernel, clumps, rules, advance, workers).into]
    links = eliminate(kernel, clumps, rules, advance, workers).links
    return [regions_at(links, size) for size in rules.all_sizes]


class _Beginning(NamedTuple):
    """Of a graph with further levels, before any step, see `Graph`."""

    sizes: np.ndarray
    undecided_from: Optional[np.ndarray]


def _merged(graph: Graph, finished: List[Merging], rules: EliminationRules, begin: Optional[_Beginning]) -> Merged:
    """What is left of a graph after the last step; `finished` is the one elimination, which it loses."""
    elimination = finished.pop()
    regions = elimination.regions()._asdict()
    into, links = elimination.into, elimination.links
    del elimination  # which holds more than this
    every_root, undecided_from = regions.pop("roots"), regions.pop("undecided_from")
    undecided = undecided_from != DECIDED
    number = np.cumsum(undecided, dtype=np.uint32)  # 1 + index of undecided regions
    number[~undecided] = 0
    of_clumps = graph.take("earliest")
    joined_in, earliest = _gathered(every_root, into, of_clumps)
    if begin is None:
        del into, of_clumps
    at_border = np.append(np.uint32(0), number[joined_in])
    borders = {side: at_border[border] for side, border in graph.borders.items()}
    del at_border
    roots, sizes, left_from = every_root[undecided], regions.pop("sizes"), undecided_from[undecided]
    sums, edges = regions.pop("sums")[undecided], regions.pop("edges")
    look_up(edges, number - np.uint32(1))
    first, clusters = graph.pick("first", roots), graph.pick("clusters", roots)
    left = Graph(sizes[undecided], sums, edges, first, earliest[undecided], clusters, borders, left_from)
    if begin is None:
        began_as = np.flatnonzero(undecided).astype(np.uint32)
        return Merged(joined_in, ~undecided, sizes[~undecided], earliest[~undecided], left, began_as)
    into = regions_at(links, rules.min_pixels)
    roots = np.flatnonzero(into == np.arange(into.size, dtype=np.uint32))
    region_of, earliest = _gathered(roots, into, of_clumps)
    left_in, undecided_from = number[joined_in[roots]], undecided_from[joined_in[roots]]
    decided = undecided_from > rules.min_pixels
    if begin.undecided_from is not None:
        decided &= begin.undecided_from[roots] <= rules.min_pixels
    sizes = np.bincount(region_of, begin.sizes, roots.size).astype(np.int64)  # as doubles, which hold them exactly
    begins = begins_of(links, roots, region_of, earliest, rules.levels)
    began_as = region_of[every_root[undecided]]
    nested = Nested(left_in, undecided_from, *begins)
    return Merged(region_of, decided, sizes[decided], earliest[decided], left, began_as, nested)


def _some_of(whole: Lent, chosen: np.ndarray) -> np.ndarray:
    return whole()[chosen]


def _gathered(roots: np.ndarray, into: np.ndarray, earliest: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Regions by their index rather than by their clumps.

    Parameters
    ----------
    roots : (regions,) the clump that stands for each, ascending
    into : (n,) the one of these that each clump is in
    earliest : (n,) int64, the first pixel of each clump

    Returns
    -------
    region_of : (n,) uint32
    earliest : (regions,) int64, the first pixel of each
    """
    region_of = np.empty(into.size, np.uint32)
    region_of[roots] = np.arange(roots.size, dtype=np.uint32)
    region_of = region_of[into]
    order = np.argsort(earliest, kind="stable")[::-1]
    first = np.empty(roots.size, np.int64)
    for begin in range(0, order.size, AT_ONCE):
        some = order[begin : begin + AT_ONCE]
        first[region_of[some]] = earliest[some]  # of those written to one place the last one stays
    return region_of, first


def in_order_of_appearance(values: np.ndarray) -> np.ndarray:
    """Number different values 0.. in the order in which they appear: (n,) uint32."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    rank = np.empty(first.size, np.uint32)
    rank[np.argsort(first)] = np.arange(first.size, dtype=np.uint32)
    return rank[inverse]
