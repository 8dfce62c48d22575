# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernels in numpy alone: the readable definition of every pixel and graph step.

`compiled` returns the same arrays for the same arguments, faster. Shapes and dtypes that all of them share:

values   (bands, rows, cols) uint8 or float32, the colours that are compared
valid    (rows, cols) bool, False where there is no data
clusters (rows, cols) uint16, 1 + index of a k-means centre, 0 where there is no data
labels   (rows, cols) uint32, 1 + index of a clump within the window, 0 where there is no data
walls    (rows, cols) uint8, WALL_RIGHT and WALL_BELOW where a pixel and the next one are no neighbours, as the border
         of a zone lies between them; None where there are none

The stages are those of Shepherd, Bunting & Dymond (2019), Remote Sensing 11(6), 658.
"""

from ..contract import Check
from .attributes import add_moments, region_moments
from .borders import region_borders
from .clumps import clump, describe_clumps, find_edges
from .elimination import Elimination, band_means
from .lloyd import distinct, reassign, sum_members
from .outlines import finish_rings, trace_outlines
from .pixels import NearestCentre, compact, eliminate_singles, nearest_centre, nearest_two, relabel, translate
from .quantiles import region_histograms
from .runs import decode_runs, encode_runs
from .shapes import nearest_pixels, region_shapes
from .simplification import simplify_rings

NAME = "plain"

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
    """Nothing to prepare; the compiled kernels load or compile theirs here."""
