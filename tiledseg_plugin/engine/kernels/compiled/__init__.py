# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernels of `plain`, compiled with numba: the same arguments, the same arrays, without the GIL."""

from typing import Iterator

import numpy as np

from ..contract import Check
from ..plain.elimination import band_means
from .attributes import add_moments, region_moments
from .centres import NearestCentre, nearest_centre, nearest_two
from .clumps import clump, describe_clumps, find_edges
from .colour_table import ColourTable
from .elimination import Elimination
from .lloyd import distinct, reassign, sum_members
from .outlines import finish_rings, trace_outlines
from .pixels import compact, relabel, translate
from .quantiles import region_histograms
from .simplification import simplify_rings
from .singles import eliminate_singles

NAME = "compiled"

__all__ = [
    "NAME",
    "Elimination",
    "NearestCentre",
    "add_moments",
    "band_means",
    "clump",
    "compact",
    "describe_clumps",
    "distinct",
    "eliminate_singles",
    "find_edges",
    "finish_rings",
    "nearest_centre",
    "nearest_two",
    "reassign",
    "region_histograms",
    "region_moments",
    "relabel",
    "simplify_rings",
    "sum_members",
    "trace_outlines",
    "translate",
    "warm_up",
]


def warm_up(check: Check = lambda: None) -> None:
    """Compile the kernels of a run on stretched values, or load them from the cache, before threads need them.

    Those of raw values and of the products are compiled where they are first called.

    Parameters
    ----------
    check : called between the kernels, raises what ends the run
    """
    clusters = np.array([[1, 1, 2, 0], [1, 3, 2, 2], [3, 3, 1, 2]], np.uint16)
    values, valid = np.arange(12, dtype=np.uint8).reshape(1, 3, 4), clusters != 0
    for warm in (_warm_up_centres, _warm_up_clumps):
        for _ in warm(clusters, values, valid):
            check()


def _warm_up_centres(clusters: np.ndarray, values: np.ndarray, valid: np.ndarray) -> Iterator[None]:
    centres = np.array([[1], [6], [9]], np.float32)
    for dtype in (np.uint8, np.uint16):
        translate(values.astype(dtype), valid, np.zeros((1, 256), np.uint8))
        yield
    planes, counts, named = values.reshape(1, 12).astype(np.float32), np.ones(12, np.int64), np.zeros(12, np.uint16)
    distinct(np.zeros((2, 1), np.uint64))
    yield
    for moved in (np.empty(0), np.ones(3)):
        reassign(planes, counts, centres, moved, named, np.zeros(12), np.zeros(12), 0.0, 0.0, True)
        yield
    nearest_centre(values, valid, centres)
    yield
    ColourTable(np.zeros((1, 3), np.float32)).look_up(
        np.zeros((3, 1), np.uint8), np.ones(1, bool), np.empty(1, np.uint16)
    )
    yield


def _warm_up_clumps(clusters: np.ndarray, values: np.ndarray, valid: np.ndarray) -> Iterator[None]:
    settled, _ = eliminate_singles(clusters, values, (True, False, False, False))
    yield
    labels, count = clump(settled)
    yield
    sizes, sums, _, _ = describe_clumps(labels, count, settled, values)
    yield
    edges, shared = find_edges(labels, count) - np.uint32(1), np.arange(count) == 0
    yield
    elimination = Elimination(sizes, sums, np.ones(1), edges, 3, np.inf, shared=shared)
    yield
    elimination.step(2)
    yield
    elimination.regions()
    yield
    relabel(labels, np.append(np.uint32(0), elimination.into).astype(np.uint32))
