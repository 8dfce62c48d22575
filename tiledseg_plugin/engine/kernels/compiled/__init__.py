# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernels of `plain`, compiled with numba: the same arguments, the same arrays, without the GIL."""

from ..contract import Check
from ..entries import entries_of_run
from ..plain.elimination import band_means
from .attributes import add_moments, region_moments
from .borders import region_borders
from .centres import NearestCentre, nearest_centre, nearest_two
from .clumps import clump, describe_clumps, find_edges
from .elimination import Elimination
from .lloyd import distinct, reassign, sum_members
from .outlines import finish_rings, trace_outlines
from .pixels import compact, relabel, translate
from .quantiles import region_histograms
from .recipes import make
from .runs import decode_runs, encode_runs
from .shapes import nearest_pixels, region_shapes
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
    "decode_runs",
    "describe_clumps",
    "distinct",
    "encode_runs",
    "eliminate_singles",
    "find_edges",
    "finish_rings",
    "nearest_centre",
    "nearest_pixels",
    "nearest_two",
    "reassign",
    "region_borders",
    "region_histograms",
    "region_moments",
    "region_shapes",
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
    for dtype in ("uint8", "uint16"):
        for entry in entries_of_run(dtype, 3, True, 60):
            make(entry)
            check()
