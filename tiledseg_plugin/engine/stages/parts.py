# SPDX-License-Identifier: GPL-2.0-or-later
"""What parts, which are pieces or groups of them, leave in the work folder, and under which names.

On the way up the tree goes the graph of what is undecided; on the way down, what has become of each part's regions.
"""

from functools import partial
from typing import Callable, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import SegmentationError
from ..files.work_folder import WorkFolder, narrowed
from ..kernels.contract import DECIDED
from .elimination import Graph, Merged
from .moments import RegionMoments, moments_in, names_in_files
from .nesting import Nested

SIDES = ("top", "bottom", "left", "right")
GRAPH_TYPES = {  # of the arrays of a graph; in files they are as narrow as they can be
    "sizes": np.int64,
    "sums": np.int64,
    "first": np.int64,
    "earliest": np.int64,
    "clusters": np.uint16,
    "undecided_from": np.uint32,
}
OF_BORDERS = ("borders", "border_of", "border_ends")
OF_EDGES = ("steps", "reaches")  # differences are narrow: from edge to edge the first region, and to the other one


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
        **{name: partial(_narrowed_from, graph[name], base.get(name, 0)) for name in GRAPH_TYPES},
        **_differences(merged.left.edges),
        base=np.array(list(base.values()), np.int64),
        border_of=np.array([(piece_id, SIDES.index(side)) for piece_id, side in sides], np.int64).reshape(-1, 2),
        border_ends=np.cumsum([border.size for border in borders], dtype=np.int64),
        borders=np.concatenate([np.empty(0, np.uint32), *borders]),
        **(moments.arrays(merged.began_as) if moments else {}),
    )
    folder.save(
        merged_of(number),
        region_of=narrowed(merged.region_of) if len(left.members_end) else np.empty(0, np.uint32),
        decided=merged.decided,
        sizes=narrowed(merged.sizes),
        earliest=merged.earliest if merged.earliest.max(initial=0) >= 2**32 else narrowed(merged.earliest),
        members_end=np.asarray(left.members_end, np.int64),
        result=np.asarray(left.result, np.float64),
        **(merged.nested._asdict() if merged.nested else {}),
        **(moments.arrays(merged.decided) if moments else {}),
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


def load_undecided(folder: WorkFolder, number: int) -> Graph:
    """What `save_part` has written for the group that a part is a member of, but for the moments.

    Raises
    ------
    SegmentationError : it is missing or damaged
    """
    saved = load_or_raise(folder, graph_of(number), *GRAPH_TYPES, *OF_BORDERS, *OF_EDGES, "base")
    edges = _edges_of(*(saved.pop(name) for name in OF_EDGES))
    if not _fit_in_graph(saved, edges):
        raise damaged(folder, graph_of(number))
    arrays = {name: saved.pop(name).astype(dtype, copy=False) for name, dtype in GRAPH_TYPES.items()}
    for name, base in zip(("first", "earliest"), saved["base"]):
        arrays[name] = arrays[name] + base
    return Graph(**arrays, edges=edges.astype(np.uint32), borders=_borders(saved))


def load_moments(folder: WorkFolder, number: int, bands: int) -> Tuple[np.ndarray, RegionMoments]:
    """Of the regions of what `load_undecided` returns: their pixels, (n,) int64, and what these hold in all bands.

    Raises
    ------
    SegmentationError : it is missing or damaged
    """
    saved = load_or_raise(folder, graph_of(number), "sizes", *names_in_files())
    sizes, moments = saved["sizes"].astype(np.int64), moments_in(saved)
    shapes = [(bands, 2, sizes.size) if array is moments.squares else (bands, sizes.size) for array in moments]
    if [array.shape for array in moments] != shapes or any(array.dtype.kind not in "iu" for array in moments):
        raise damaged(folder, graph_of(number))
    return sizes, moments


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


def _narrowed_from(array: np.ndarray, base: int) -> np.ndarray:
    return narrowed(array - base if base else array)


def _differences(edges: np.ndarray) -> Dict[str, Callable[[], np.ndarray]]:
    """Edges as they are written; those of a graph that is left are in the order of their first regions."""
    one, other = edges.T
    return {
        "steps": lambda: narrowed(np.diff(one.astype(np.int64), prepend=0)),
        "reaches": lambda: narrowed(np.subtract(other, one, dtype=np.int64)),
    }


def _edges_of(steps: np.ndarray, reaches: np.ndarray) -> np.ndarray:
    """(edges, 2) int64, of what `_differences` returns; of what it never would, something that fits in no graph."""
    if (
        steps.shape != reaches.shape
        or steps.ndim != 1
        or steps.dtype.kind not in "iu"
        or reaches.dtype.kind not in "iu"
    ):
        return np.full((1, 2), -1)
    one = np.cumsum(steps, dtype=np.int64)
    return np.stack([one, one + reaches.astype(np.int64)], axis=1)


def _fit_in_graph(saved: Dict[str, np.ndarray], edges: np.ndarray) -> bool:
    """Whether all indices are of regions that are there: the folder may be somebody else's, and kernels do not look."""
    count, ends = saved["sizes"].size, saved["border_ends"]
    return (
        all(len(saved[name]) == count for name in GRAPH_TYPES)
        and all(saved[name].dtype.kind in "iu" for name in (*GRAPH_TYPES, *OF_BORDERS))
        and saved["border_of"].ndim == 2
        and saved["border_of"].shape[1] == 2
        and _are_within(edges, count)
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
