# SPDX-License-Identifier: GPL-2.0-or-later
"""What parts, which are pieces or groups of them, leave in the work folder, and under which names.

On the way up the tree goes the graph of what is undecided; on the way down, what has become of each part's regions.
"""

from functools import partial
from itertools import count as numbers
from typing import Callable, Dict, Iterable, Iterator, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import SegmentationError
from ..files.work_folder import WorkFolder, narrowed
from ..kernels.contract import DECIDED
from .elimination import Graph, Merged
from .moments import BandMoments, moments_in, names_in_files
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
ELSEWHERE = ("first", "earliest", "clusters")  # in the file, as long as nobody needs them
BASED = ("first", "earliest")  # in files they begin at 0
OF_BORDERS = ("borders", "border_of", "border_ends")
OF_EDGES = ("steps", "reaches")  # differences are narrow: from edge to edge the first region, and to the other one


def graph_of(number: int) -> str:
    """Under which the graph of a part's undecided regions lies."""
    return f"graph-{number:07d}"


def contents_of(number: int) -> str:
    """Under which lies what the undecided regions hold, where that is added up along with them."""
    return f"contents-{number:07d}"


def merged_of(number: int) -> str:
    """Under which lies what has become of a part's regions; with it, the part is finished."""
    return f"merged-{number:07d}"


class Left(NamedTuple):
    """What merging within a part has left.

    moments : of all its regions, one band after the other, where there are such; they are used up
    members_end : of a group: where the regions of each member end in `merged.region_of`
    result : of what made the part, for who takes the run up
    """

    merged: Merged
    moments: Optional[Iterable[BandMoments]]
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


def save_graph(folder: WorkFolder, number: int, graph: Graph) -> None:
    """Write the graph of what is undecided in a part, which is used up."""
    base = {name: graph.get(name).min(initial=np.iinfo(np.int64).max) for name in BASED}
    sides = sorted(graph.borders)
    borders = [graph.borders[side] for side in sides]
    folder.save(
        graph_of(number),
        **_differences(graph.take("edges")),
        **{name: partial(_narrowed_from, graph, name, base.get(name, 0)) for name in GRAPH_TYPES},
        base=np.array(list(base.values()), np.int64),
        border_of=np.array([(piece_id, SIDES.index(side)) for piece_id, side in sides], np.int64).reshape(-1, 2),
        border_ends=np.cumsum([border.size for border in borders], dtype=np.int64),
        borders=np.concatenate([np.empty(0, np.uint32), *borders]),
    )


def save_part(folder: WorkFolder, number: int, left: Left) -> None:
    """Write what else merging within a part has left; what says that the part is finished comes last."""
    merged, moments = left.merged, left.moments
    found: Dict[str, np.ndarray] = {}  # of what is decided
    if moments is not None:
        folder.save(contents_of(number), _contents(merged, moments, found))
    folder.save(
        merged_of(number),
        region_of=narrowed(merged.region_of) if len(left.members_end) else np.empty(0, np.uint32),
        decided=merged.decided,
        sizes=narrowed(merged.sizes),
        earliest=merged.earliest if merged.earliest.max(initial=0) >= 2**32 else narrowed(merged.earliest),
        members_end=np.asarray(left.members_end, np.int64),
        result=np.asarray(left.result, np.float64),
        **(merged.nested._asdict() if merged.nested else {}),
        **found,
    )


def _contents(
    merged: Merged, moments: Iterable[BandMoments], of_decided: Dict[str, np.ndarray]
) -> Iterator[Tuple[str, np.ndarray]]:
    """What the undecided regions hold, band by band, as no more is to be held at a time; `of_decided` gets the rest."""
    bands = numbers()
    for each in moments:  # `enumerate` would hold the one before until the next one is made
        band = next(bands)
        for name, made in each.arrays(band, merged.began_as).items():
            yield name, made()
        of_decided.update((name, made()) for name, made in each.arrays(band, merged.decided).items())
        del each, made


def finished_result(folder: WorkFolder, number: int, with_graph: bool) -> Optional[np.ndarray]:
    """The `result` of a part that an earlier run finished; None if there is none or its files are damaged.

    Parameters
    ----------
    with_graph : whether its graph is still needed, and what its regions hold
    """
    merged = folder.load(merged_of(number))
    if merged is None:
        return None
    needed = [graph_of(number), contents_of(number)] if names_in_files(0)[0] in merged else [graph_of(number)]
    if with_graph and any(folder.load(name) is None for name in needed):
        return None
    return merged["result"]


def load_undecided(folder: WorkFolder, number: int) -> Graph:
    """What `save_graph` has written for the group that a part is a member of; some of it stays there until it is used.

    Its numbers are as narrow as they are in the file.

    Raises
    ------
    SegmentationError : it is missing or damaged
    """
    saved = load_or_raise(folder, graph_of(number), *GRAPH_TYPES, *OF_BORDERS, *OF_EDGES, "base")
    edges = _edges_of(saved.pop("steps"), saved.pop("reaches"), saved["sizes"].size)
    if edges is None or not _fit_in_graph(saved):
        raise damaged(folder, graph_of(number))
    count = saved["sizes"].size
    elsewhere = {name: partial(_load_again, folder, number, name, count) for name in ELSEWHERE}
    arrays = {name: saved.pop(name) for name in GRAPH_TYPES if name not in ELSEWHERE}
    return Graph(**arrays, **elsewhere, edges=edges, borders=_borders(saved))


def _load_again(folder: WorkFolder, number: int, name: str, count: int) -> np.ndarray:
    saved = load_or_raise(folder, graph_of(number), name, "base")
    if len(saved[name]) != count:
        raise damaged(folder, graph_of(number))
    array = saved[name].astype(GRAPH_TYPES[name], copy=False)
    return array + saved["base"][BASED.index(name)] if name in BASED else array


def load_moments(folder: WorkFolder, number: int, band: int) -> Tuple[np.ndarray, BandMoments]:
    """Of the regions of what `load_undecided` returns: their pixels, (n,) int64, and what these hold in a band.

    Raises
    ------
    SegmentationError : it is missing or damaged
    """
    sizes = load_or_raise(folder, graph_of(number), "sizes")["sizes"].astype(np.int64)
    moments = moments_in(load_or_raise(folder, contents_of(number), *names_in_files(band)), band)
    shapes = [(2, sizes.size) if array is moments.squares else (sizes.size,) for array in moments]
    if [array.shape for array in moments] != shapes or any(array.dtype.kind not in "iu" for array in moments):
        raise damaged(folder, contents_of(number))
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


def _narrowed_from(graph: Graph, name: str, base: int) -> np.ndarray:
    return narrowed(graph.take(name) - base if base else graph.take(name))


def _differences(edges: np.ndarray) -> Dict[str, Callable[[], np.ndarray]]:
    """Edges as they are written, modulo 2^32: of a graph that is left they are in the order of their first regions."""
    one, other = edges.T
    return {
        "steps": lambda: narrowed(np.append(one[:1], one[1:] - one[:-1])),
        "reaches": lambda: narrowed(other - one),
    }


def _edges_of(steps: np.ndarray, reaches: np.ndarray, count: int) -> Optional[np.ndarray]:
    """(edges, 2) uint32, of what `_differences` returns of `count` regions; None of what it never would."""
    if (
        steps.shape != reaches.shape
        or steps.ndim != 1
        or steps.dtype.kind not in "iu"
        or reaches.dtype.kind not in "iu"
    ):
        return None
    edges = np.empty((steps.size, 2), np.uint32)
    np.cumsum(steps.astype(np.uint32, copy=False), dtype=np.uint32, out=edges[:, 0])
    np.add(edges[:, 0], reaches.astype(np.uint32, copy=False), out=edges[:, 1])
    return edges if _are_within(edges, count) else None


def _fit_in_graph(saved: Dict[str, np.ndarray]) -> bool:
    """Whether all indices are of regions that are there: the folder may be somebody else's, and kernels do not look."""
    count, ends = saved["sizes"].size, saved["border_ends"]
    return (
        all(saved[name].ndim == 1 + (name == "sums") and len(saved[name]) == count for name in GRAPH_TYPES)
        and saved["base"].shape == (len(BASED),)
        and all(saved[name].dtype.kind in "iu" for name in (*GRAPH_TYPES, *OF_BORDERS, "base"))
        and saved["border_of"].ndim == 2
        and saved["border_of"].shape[1] == 2
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
