# SPDX-License-Identifier: GPL-2.0-or-later
"""What parts, which are pieces or groups of them, leave in the work folder, and under which names.

On the way up the tree goes the graph of what is undecided; on the way down, what has become of each part's regions.
"""

from typing import Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import SegmentationError
from ..files.work_folder import WorkFolder, narrowed
from ..kernels.contract import DECIDED
from .elimination import Graph, Merged
from .moments import RegionMoments, has_moments, moments_in
from .nesting import Nested

SIDES = ("top", "bottom", "left", "right")
GRAPH_TYPES = {  # of the arrays of a graph; in files they are as narrow as they can be
    "sizes": np.int64,
    "sums": np.int64,
    "edges": np.uint32,
    "first": np.int64,
    "earliest": np.int64,
    "clusters": np.uint16,
    "undecided_from": np.uint32,
}


def graph_of(number: int) -> str:
    """Under which the graph of a part's undecided regions lies."""
    return f"graph-{number:07d}"


def merged_of(number: int) -> str:
    """Under which lies what has become of a part's regions; with it, the part is finished."""
    return f"merged-{number:07d}"


class Left(NamedTuple):
    """What merging within a part has left.

    moments : of all its regions, where there are such
    members_end : of a group: where the regions of each member end in `merged.region_of`
    result : of what made the part, for who takes the run up
    """

    merged: Merged
    moments: Optional[RegionMoments]
    members_end: Sequence[int] = ()
    result: Sequence[float] = ()


class Undecided(NamedTuple):
    """What a part hands up the tree.

    moments : of the graph's regions, where there are such
    """

    graph: Graph
    moments: Optional[RegionMoments]


class Decided(NamedTuple):
    """What has become of the regions that a part began with, see `elimination.Merged`.

    region_of : empty for a piece, whose pixels hold the regions themselves
    members_end : (members,) int64, see `Left`
    nested : None without further levels
    """

    region_of: np.ndarray
    decided: np.ndarray
    earliest: np.ndarray
    members_end: np.ndarray
    nested: Optional[Nested] = None


IN_FILES = tuple(name for name in Decided._fields if name != "nested")


def save_part(folder: WorkFolder, number: int, left: Left) -> None:
    """Write what merging within a part has left; what says that the part is finished comes last."""
    merged, moments = left.merged, left.moments
    graph = vars(merged.left)
    base = {name: graph[name].min(initial=np.iinfo(np.int64).max) for name in ("first", "earliest")}
    sides = sorted(merged.left.borders)
    borders = [merged.left.borders[side] for side in sides]
    folder.save(
        graph_of(number),
        **{name: narrowed(graph[name] - base.get(name, 0)) for name in GRAPH_TYPES},
        base=np.array(list(base.values()), np.int64),
        border_of=np.array([(piece_id, SIDES.index(side)) for piece_id, side in sides], np.int64).reshape(-1, 2),
        border_ends=np.cumsum([border.size for border in borders], dtype=np.int64),
        borders=np.concatenate([np.empty(0, np.uint32), *borders]),
        **(moments.of(merged.began_as).arrays() if moments else {}),
    )
    folder.save(
        merged_of(number),
        region_of=merged.region_of if len(left.members_end) else np.empty(0, np.uint32),
        decided=merged.decided,
        sizes=narrowed(merged.sizes),
        earliest=merged.earliest,
        members_end=np.asarray(left.members_end, np.int64),
        result=np.asarray(left.result, np.float64),
        **(merged.nested._asdict() if merged.nested else {}),
        **(moments.of(merged.decided).arrays() if moments else {}),
    )


def finished_result(folder: WorkFolder, number: int, with_graph: bool) -> Optional[np.ndarray]:
    """The `result` of a part that an earlier run finished; None if there is none or its files are damaged.

    Parameters
    ----------
    with_graph : whether its graph is still needed
    """
    merged = folder.load(merged_of(number))
    if merged is None or (with_graph and folder.load(graph_of(number)) is None):
        return None
    return merged["result"]


def load_undecided(folder: WorkFolder, number: int) -> Undecided:
    """What `save_part` has written for the group that a part is a member of.

    Raises
    ------
    SegmentationError : it is missing or damaged
    """
    saved = load_or_raise(folder, graph_of(number))
    if not _fit_in_graph(saved):
        raise damaged(folder, graph_of(number))
    arrays = {name: saved[name].astype(dtype, copy=False) for name, dtype in GRAPH_TYPES.items()}
    for name, base in zip(("first", "earliest"), saved["base"]):
        arrays[name] = arrays[name] + base
    graph = Graph(**arrays, borders=_borders(saved))
    return Undecided(graph, moments_in(saved) if has_moments(saved) else None)


def load_decided(folder: WorkFolder, number: int, levels: int = 0) -> Decided:
    """What `save_part` has written of a part's regions.

    Parameters
    ----------
    levels : how many minimum sizes there are besides the least

    Raises
    ------
    SegmentationError : it is missing or damaged
    """
    saved = load_or_raise(folder, merged_of(number), *IN_FILES, *(Nested._fields if levels else ()))
    nested = Nested(*(saved.pop(name) for name in Nested._fields)) if levels else None
    decided = Decided(**saved, nested=nested)
    if not _fit_together(decided) or (nested and not _fit_to_regions(nested, (levels, decided.decided.size))):
        raise damaged(folder, merged_of(number))
    return decided


def _fit_in_graph(saved: Dict[str, np.ndarray]) -> bool:
    """Whether all indices are of regions that are there: the folder may be somebody else's, and kernels do not look."""
    count, ends = saved["sizes"].size, saved["border_ends"]
    return (
        all(len(saved[name]) == count for name in GRAPH_TYPES if name != "edges")
        and all(saved[name].dtype.kind in "iu" for name in (*GRAPH_TYPES, "borders", "border_of", "border_ends"))
        and saved["edges"].ndim == saved["border_of"].ndim == 2
        and saved["edges"].shape[1] == saved["border_of"].shape[1] == 2
        and _are_within(saved["edges"], count)
        and _are_within(saved["borders"], count + 1)
        and _are_within(saved["border_of"][:, 1], len(SIDES))
        and len(ends) == len(saved["border_of"])
        and bool(np.all(np.diff(ends, prepend=0, append=saved["borders"].size) >= 0))
    )


def _fit_together(decided: Decided) -> bool:
    count = decided.decided.size
    return (
        decided.decided.dtype == bool
        and decided.region_of.dtype.kind in "iu"
        and _are_within(decided.region_of, count)
        and decided.earliest.size == np.count_nonzero(decided.decided)
    )


def _fit_to_regions(nested: Nested, shape: Tuple[int, int]) -> bool:
    return (
        nested.begins_at.shape == shape
        and nested.begins.ndim == 1
        and nested.left_in.shape == nested.undecided_from.shape == shape[1:]
        and all(array.dtype.kind in "iu" for array in nested)
        and _are_within(nested.begins_at, nested.begins.size)
        and bool(np.all((nested.left_in > 0) == (nested.undecided_from != DECIDED)))
    )


def _are_within(indices: np.ndarray, count: int) -> bool:
    return not indices.size or bool(indices.min() >= 0 and indices.max() < count)


def _borders(saved: Dict[str, np.ndarray]) -> Dict[Tuple[int, str], np.ndarray]:
    sides = [(piece_id, SIDES[side]) for piece_id, side in saved["border_of"].tolist()]
    ends = saved["border_ends"].tolist()
    return {side: saved["borders"][begin:end] for side, begin, end in zip(sides, [0, *ends], ends)}


def load_or_raise(folder: WorkFolder, name: str, *wanted: str) -> Dict[str, np.ndarray]:
    """The arrays that lie under a name, or some of them.

    Raises
    ------
    SegmentationError : they are missing or damaged
    """
    saved = folder.load(name, *wanted)
    if saved is None:
        raise damaged(folder, name)
    return saved


def damaged(folder: WorkFolder, name: str) -> SegmentationError:
    """The error that says so."""
    return SegmentationError(f"The file {name} in {folder.path} is damaged: start the run again.")
