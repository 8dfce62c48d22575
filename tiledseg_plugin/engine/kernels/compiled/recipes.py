# SPDX-License-Identifier: GPL-2.0-or-later
"""How each entry (see `entries`) is compiled or loaded: its kernel is called with a few values of that kind.

What is called here is all that the kernel may call later; a test runs whole rasters with nothing else.
"""

from typing import Any, Callable, Dict, Optional

import numpy as np

from . import (
    attributes,
    borders,
    centres,
    clumps,
    elimination,
    lloyd,
    outlines,
    pixels,
    quantiles,
    runs,
    shapes,
    simplification,
    singles,
)
from .colour_table import ColourTable

CLUSTERS = np.array([[1, 1, 2, 0], [1, 3, 2, 2], [3, 3, 1, 2]], np.uint16)
VALID = CLUSTERS != 0
WALLED = "walled"  # at the end of a kind: see `entries`


def make(entry: str) -> None:
    """Compile or load what an entry needs.

    Raises
    ------
    KeyError : there is no such entry
    """
    name, _, kind = entry.rpartition("-")
    RECIPES[name](kind)


def _values(dtype: Any) -> np.ndarray:
    return np.arange(12, dtype=dtype).reshape(1, 3, 4)


def _translate(kind: str) -> None:
    pixels.translate(_values(kind), VALID, np.zeros((1, 256 if kind == "uint8" else 65536), np.uint8))


def _distinct(kind: str) -> None:
    lloyd.distinct(np.zeros((2, 1), np.uint64))


def _reassign(kind: str) -> None:
    planes, counts, named = _values(np.float32).reshape(1, 12), np.ones(12, np.int64), np.zeros(12, np.uint16)
    for moved in (np.empty(0), np.ones(3)):
        points = np.array([[1], [6], [9]], np.float32)
        lloyd.reassign(planes, counts, points, moved, named, np.zeros(12), np.zeros(12), 0.0, 0.0, True)


def _sum_members(kind: str) -> None:
    lloyd.sum_members(np.ones(2, np.uint16), np.zeros(2), 1)


def _nearest_centre(kind: str) -> None:
    points = np.zeros((1, 3), np.float32)
    centres.nearest_centre(np.zeros((3, 3, 4), np.float32), VALID, points)
    labels = np.empty(1, np.uint16)
    if kind.startswith("three"):
        table = ColourTable(np.zeros((1 if kind == "three" else 256, 3), np.float32))
        table.look_up(np.zeros((3, 1), np.uint8), np.ones(1, bool), labels)
    elif kind == "few":
        centres._look_up(np.zeros((1, 1), np.uint8), np.ones(1, bool), np.zeros(256, np.uint16), labels)


def _nearest_two(kind: str) -> None:
    centres.nearest_two(np.zeros((1, 2), np.float32), np.zeros((1, 1), np.float32))


def _walls(kind: str) -> Optional[np.ndarray]:
    return np.zeros(CLUSTERS.shape, np.uint8) if kind.endswith(WALLED) else None


def _eliminate_singles(kind: str) -> None:
    values = _values(kind[: -len(WALLED)] if kind.endswith(WALLED) else kind)
    singles.eliminate_singles(CLUSTERS, values, (True, False, False, False), _walls(kind))


def _clump(kind: str) -> None:
    clumps.clump(CLUSTERS, _walls(kind))


def _describe_clumps(kind: str) -> None:
    clumps.describe_clumps(np.ones((3, 4), np.uint32), 1, CLUSTERS, _values(kind))


def _find_edges(kind: str) -> None:
    clumps.find_edges(np.ones((3, 4), np.uint32), 1, _walls(kind))


def _eliminate(kind: str) -> None:
    sizes, edges = np.array([1, 2, 5]), np.array([[0, 1], [1, 2]], np.uint32)
    for shared in (None, np.arange(3) == 0):
        one = elimination.Elimination(sizes, np.ones((3, 1), np.int64), np.ones(1), edges, 3, np.inf, shared=shared)
        one.step(2)
        one.decide(0, 1)  # as threads do
        one._contract()
        one.regions()
        getattr(one, "into")  # noqa: B009 - it is worked out when it is asked for


def _relabel(kind: str) -> None:
    pixels.relabel(np.zeros((1, 1), np.uint32), np.zeros(1, np.uint32))


def _encode_runs(kind: str) -> None:
    runs.encode_runs(np.zeros((2, 2), np.uint32))


def _decode_runs(kind: str) -> None:
    runs.decode_runs(np.array([0], np.uint8), np.ones(1, np.uint32), None, np.empty((1, 1), np.uint32))


def _region_moments(kind: str) -> None:
    attributes.region_moments(np.zeros(1, np.uint32), 1, np.zeros(1, kind))


def _add_moments(kind: str) -> None:
    one, squares = np.zeros(1, np.int64), np.zeros((2, 1), np.uint64)
    moments = one, one, squares, one, one
    attributes.add_moments(np.zeros(1, np.uint32), moments, moments)


def _compact(kind: str) -> None:
    pixels.compact(np.ones(1, np.uint32))


def _region_histograms(kind: str) -> None:
    quantiles.region_histograms(np.ones(2, np.uint32), 1, np.zeros(2, kind))


def _region_shapes(kind: str) -> None:
    lengths = np.ones((4, 1), np.int64)
    shapes.region_shapes(np.ones((4, 4), np.uint32), 1, (1, 3, 1, 3), lengths, lengths, lengths)


def _region_borders(kind: str) -> None:
    lengths = np.ones((4, 1), np.int64)
    borders.region_borders(np.ones((4, 4), np.uint32), 1, lengths, lengths)


def _nearest_pixels(kind: str) -> None:
    shapes.nearest_pixels(np.ones((2, 2), np.uint32), 1, 0, 0, np.zeros((1, 2)))


def _trace_outlines(kind: str) -> None:
    outlines.trace_outlines(np.pad(CLUSTERS, 1).astype(np.uint32), 0, 0, 4, False)


def _finish_rings(kind: str) -> None:
    outlines.finish_rings(np.array([0, 4]), np.zeros((4, 2), np.int32), np.zeros(4, np.uint8))


def _simplify_rings(kind: str) -> None:
    corners = np.array([[0, 0], [0, 1], [1, 1], [1, 0]], np.int32)
    simplification.simplify_rings(np.array([0, 4]), corners, np.zeros(4, np.uint8))


RECIPES: Dict[str, Callable[[str], None]] = {
    "translate": _translate,
    "distinct": _distinct,
    "reassign": _reassign,
    "sum_members": _sum_members,
    "nearest_centre": _nearest_centre,
    "nearest_two": _nearest_two,
    "eliminate_singles": _eliminate_singles,
    "clump": _clump,
    "describe_clumps": _describe_clumps,
    "find_edges": _find_edges,
    "Elimination": _eliminate,
    "relabel": _relabel,
    "encode_runs": _encode_runs,
    "decode_runs": _decode_runs,
    "region_moments": _region_moments,
    "add_moments": _add_moments,
    "compact": _compact,
    "region_histograms": _region_histograms,
    "region_shapes": _region_shapes,
    "region_borders": _region_borders,
    "nearest_pixels": _nearest_pixels,
    "trace_outlines": _trace_outlines,
    "finish_rings": _finish_rings,
    "simplify_rings": _simplify_rings,
}
