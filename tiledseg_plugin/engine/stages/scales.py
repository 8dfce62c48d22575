# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments of several minimum sizes from one elimination.

Elimination goes by ascending size, so a run with a larger MIN_PIXELS is one with a smaller MIN_PIXELS, continued: the
segments of all sizes are nested.
"""

from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np

from ..kernels.contract import Kernels, Merging, RemainingRegions
from .elimination import ClumpGraph, EliminationRules


def merge_to_sizes(
    kernel: Kernels,
    clumps: ClumpGraph,
    rules: EliminationRules,
    sizes: Sequence[int],
    advance: Callable[[float], None],
) -> List[np.ndarray]:
    """What a run with each of several MIN_PIXELS makes of the clumps of a whole graph.

    Parameters
    ----------
    clumps : ClumpGraph, whose sums are of no use afterwards
    rules : EliminationRules; its `min_pixels` does not count
    sizes : MIN_PIXELS, ascending, each once
    advance : called with the fraction that is done

    Returns
    -------
    of each size (clumps,) uint32, the clump that each has become a part of
    """
    most = int(clumps.sizes.sum()) + 1  # a limit beyond all of the pixels says no more than this
    edges = clumps.edges
    how = np.array(rules.weights), np.inf if rules.threshold is None else rules.threshold
    elimination = kernel.Elimination(clumps.sizes, clumps.sums, how[0], edges, min(sizes[-1], most), how[1])
    area = elimination.next_area(0)
    found: List[np.ndarray] = []
    for size in sizes:
        while area is not None and area < size:
            advance(min(area / min(sizes[-1], most), 1.0))
            area = _following(elimination, area)
        into = elimination.into
        if area == size:
            edges = distinct_edges(into[edges])
            if not len(edges):  # nothing is left that could be merged
                area = None
            else:
                into = _last_step(kernel, elimination.regions(), into, edges, (min(size, most), *how))
        found.append(into)
    return found


def _following(elimination: Merging, area: int) -> Optional[int]:
    """Do a step; returns the next one that can change anything."""
    return area + 1 if elimination.step(area) else elimination.next_area(area)


def _last_step(
    kernel: Kernels,
    regions: RemainingRegions,
    into: np.ndarray,
    edges: np.ndarray,
    limits: Tuple[int, np.ndarray, float],
) -> np.ndarray:
    """The last step of a run, on a copy of the state before it.

    In it only what is smaller than MIN_PIXELS acts; where a run goes on to larger sizes, regions of just that size do,
    too.

    Parameters
    ----------
    regions, into : of the elimination before the step
    edges : (m, 2) uint32, pairs of clumps that are regions and touch
    limits : MIN_PIXELS, and the weights and the threshold as `Elimination` takes them

    Returns
    -------
    (clumps,) uint32, the clump that each has become a part of
    """
    size, weights, threshold = limits
    number = np.searchsorted(regions.roots, into)
    between = np.searchsorted(regions.roots, edges).astype(np.uint32)
    step = kernel.Elimination(regions.sizes, regions.sums.copy(), weights, between, size, threshold)
    step.step(size)
    return regions.roots[step.into[number]]


def distinct_edges(edges: np.ndarray) -> np.ndarray:
    """Each pair of different ones once, the lower first: (n, 2) of the dtype of `edges`."""
    low, high = edges.min(axis=1), edges.max(axis=1)
    keys = np.unique((low.astype(np.uint64) << np.uint64(32) | high)[low != high])
    return np.stack([keys >> np.uint64(32), keys & np.uint64(0xFFFFFFFF)], axis=1).astype(edges.dtype)
