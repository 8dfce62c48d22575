# SPDX-License-Identifier: GPL-2.0-or-later
"""Merging within a large graph section by section, so that little of it is worked on, and takes room, at a time.

A section is to the graph what a part is to the raster: what nothing beyond it can have any influence on is merged. What
is left beside other sections is merged together where the graph is the whole one, and otherwise left with what is
undecided anyway. So a graph that is not the whole one leaves a little more than it would have to.
"""

from typing import Callable

import numpy as np

from ..files.window import Window
from ..kernels.contract import DECIDED, NO_LEVEL, Kernels, Links, RemainingRegions
from .elimination import ClumpGraph, EliminationRules, eliminate

SECTIONS_A_SIDE = (
    5  # an odd number: of groups as many halves or quarters, none is cut along the borders where they meet
)
ACROSS = 255  # in place of an edge's section


def sections_of(first: np.ndarray, columns: int, extent: Window) -> np.ndarray:
    """The section of each clump: (n,) uint8.

    Parameters
    ----------
    first : (n,) int64, their first pixels, counted in the raster
    columns : of the raster
    extent : of all of them
    """
    rows, cols = np.divmod(first, columns)
    sections = np.zeros(first.size, np.uint8)
    for places, begin, length in ((rows, extent.row, extent.height), (cols, extent.col, extent.width)):
        places -= begin
        places *= SECTIONS_A_SIDE
        places //= length
        sections *= np.uint8(SECTIONS_A_SIDE)
        sections += np.clip(places, 0, SECTIONS_A_SIDE - 1).astype(np.uint8)
    return sections


class Sectioned:
    """A graph that is merged section by section: a `contract.Merged`, as what `elimination.eliminate` returns.

    Parameters
    ----------
    clumps : ClumpGraph, whose arrays are taken over
    section_of : (n,) uint8, less than ACROSS
    others : see `elimination.eliminate`
    """

    def __init__(
        self,
        kernel: Kernels,
        clumps: ClumpGraph,
        rules: EliminationRules,
        advance: Callable[[float], None],
        workers: int,
        section_of: np.ndarray,
    ) -> None:
        self._sizes, self._sums, edges, undecided_from, shared = clumps
        del clumps
        count = self._sizes.size
        self._undecided_from = np.zeros(count, np.uint32) if undecided_from is None else undecided_from
        self._place = np.empty(count, np.uint32)
        self._merge = lambda graph: eliminate(kernel, graph, rules, advance, workers)
        self._least = rules.all_sizes[-1]
        self.into = np.arange(count, dtype=np.uint32)
        kept = count if rules.levels else 0
        self.links = Links(np.arange(kept, dtype=np.uint32), np.full(kept, NO_LEVEL, np.uint32))
        is_whole = shared is None or not shared.any()
        beside = np.zeros(count, bool) if shared is None else shared
        section_of_edge = section_of[edges[:, 0]]
        section_of_edge[section_of_edge != section_of[edges[:, 1]]] = ACROSS
        left = [edges[section_of_edge == ACROSS]]
        beside[left[0].ravel()] = True
        for section in np.unique(section_of):
            nodes = np.flatnonzero(section_of == section).astype(np.uint32)
            left.append(self._merge_among(nodes, edges[section_of_edge == section], beside[nodes]))
        self._left = np.concatenate(left)
        if is_whole:
            self._merge_rest()

    def _merge_among(self, nodes: np.ndarray, edges: np.ndarray, shared: np.ndarray) -> np.ndarray:
        """Merge some clumps by the edges that they have among each other; returns those that are left."""
        self._place[nodes] = np.arange(nodes.size, dtype=np.uint32)
        known = self._sizes[nodes], self._sums[nodes], self._place[edges], self._undecided_from[nodes], shared
        merging = self._merge(ClumpGraph(*known))
        regions, partner, level = merging.regions(), *merging.links
        roots = nodes[regions.roots]
        self.into[nodes] = nodes[merging.into]
        self._sizes[roots], self._sums[roots] = regions.sizes, regions.sums
        self._undecided_from[roots] = regions.undecided_from
        if level.size:
            merged = level != NO_LEVEL
            self.links.partner[nodes[merged]], self.links.level[nodes[merged]] = nodes[partner[merged]], level[merged]
        return roots[regions.edges]

    def _merge_rest(self) -> None:
        """What is left beside other sections, of a graph that is the whole one."""
        nodes = np.flatnonzero(self._is_root() & (self._undecided_from != DECIDED)).astype(np.uint32)
        self._left = self._merge_among(nodes, self._left, np.zeros(nodes.size, bool))
        self.into = self.into[self.into]

    def _is_root(self) -> np.ndarray:
        return self.into == np.arange(self.into.size, dtype=np.uint32)

    def regions(self) -> RemainingRegions:
        """What is left."""
        roots = np.flatnonzero(self._is_root()).astype(np.uint32)
        sizes, sums = self._sizes[roots], self._sums[roots]
        self._place[roots] = np.arange(roots.size, dtype=np.uint32)
        edges = self._place[self._left]
        edges = edges[(sizes[edges] < self._least).any(axis=1)]
        edges = edges[np.argsort(edges[:, 0], kind="stable")]
        return RemainingRegions(roots, sizes, sums, self._undecided_from[roots], edges)
