# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 4, the graph: what the tiles could not decide alone, decided for groups of tiles and then the whole raster.

Clumps are joined across tile borders; they and the regions whose fate depends on them are numbered in raster order of
their first pixels and eliminated step by step. What comes out is one lookup table a piece.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple

import numpy as np

from ..files.work_folder import WorkFolder
from ..kernels.components import components
from ..machine import release_free_memory
from ..wording import counted
from .context import RunContext
from .elimination import EliminationRules, Graph, Merged, merge_within
from .plan import Piece, neighbouring
from .tiles import damaged, load_merged

Side = Tuple[int, str]  # of a piece: its id, and one of tiles.SIDES

PIECES_A_GROUP = 4  # at least; fewer leave too little to decide in a group


@dataclass
class Part:
    """A piece, or a group of parts that were joined, and what merging within it has left.

    members : piece_id, or for a group its parts, whose undecided regions follow each other in `merged.region_of`
    clumps : how many there were before any was merged
    """

    members: Any
    merged: Merged
    clumps: int


@dataclass
class Segments:
    """The segments and how each piece's labels become their ids.

    tables : {piece_id: (clumps of the piece + 1,) uint32}
    sizes : (segments,) int64, pixels, in the order of the ids
    clumps : how many there were before any was merged, where that is known
    regions : {piece_id: (regions,) uint32}, the ids of the regions that each piece has left, where there are such
    """

    tables: Dict[int, np.ndarray]
    sizes: np.ndarray
    clumps: Optional[int] = None
    regions: Optional[Dict[int, np.ndarray]] = None


def merge_all(context: RunContext, pieces: Sequence[Piece], rules: EliminationRules) -> Segments:
    """The stage: merge the small regions of the whole raster and number what is left without gaps.

    Parameters
    ----------
    pieces : those of the tiles that hold valid pixels; what they have left lies in the work folder
    """
    text = "Merging small segments"
    context.progress.start("graph", text)
    segments = context.progress.in_background(
        lambda check, advance: _merge_pieces(context, pieces, rules, advance), text
    )
    clumps, left = counted(segments.clumps or 0, "clump"), counted(segments.sizes.size, "segment")
    context.progress.feedback.info(f"{clumps} {'was' if segments.clumps == 1 else 'were'} merged to {left}.")
    return segments


def _merge_pieces(
    context: RunContext, pieces: Sequence[Piece], rules: EliminationRules, advance: Callable[[float], None]
) -> Segments:
    """As `merge_all`; `advance` is called with the fraction that is done, and may raise to end it."""
    release_free_memory()
    threads = context.threads
    count = max(1, min(threads, len(pieces) // PIECES_A_GROUP))

    def merge(graph: Graph) -> Merged:
        return merge_within(context.kernel, graph, rules, lambda done: advance(done / 2), threads // count)

    def merge_last(graph: Graph) -> Merged:
        return merge_within(context.kernel, graph, rules, lambda done: advance((1 + done) / 2), threads)

    def group(members: Sequence[Piece]) -> Part:
        parts = []
        for piece in members:
            advance(0.0)
            parts.append(_load(context.folder, piece))
        return _merge_group(members, parts, count == 1, merge)

    ordered = sorted(pieces, key=lambda piece: (piece.window.row, piece.window.col))
    groups = [ordered[len(ordered) * i // count : len(ordered) * (i + 1) // count] for i in range(count)]
    with ThreadPoolExecutor(count) as pool:
        parts = list(pool.map(group, groups))
    release_free_memory()
    whole = parts[0] if count == 1 else _merge_group(ordered, parts, True, merge_last)
    release_free_memory()
    return _number_segments(whole)


def _load(folder: WorkFolder, piece: Piece) -> Part:
    merged = load_merged(folder, piece)
    if merged is None:
        raise damaged(folder, piece)
    return Part(piece.piece_id, merged, merged.region_of.size)


def _merge_group(pieces: Sequence[Piece], parts: List[Part], is_whole: bool, merge: Callable[[Graph], Merged]) -> Part:
    """Join parts that are made of the pieces; merge what nothing beyond them can have any influence on."""
    graph, number, joined = _join(pieces, [part.merged.left for part in parts])
    if is_whole:
        graph.borders.clear()  # beyond those that are still open there was nothing to be processed
    for part in parts:
        del part.merged.left  # it is in the graph now
    merged = merge(graph)
    merged.region_of = merged.region_of[number]
    return Part(parts, merged, sum(part.clumps for part in parts) - joined)


def _join(pieces: Sequence[Piece], graphs: Sequence[Graph]) -> Tuple[Graph, np.ndarray, int]:
    """Put graphs together, with clumps that go on across the borders of the pieces made one; they are used up.

    Returns
    -------
    graph : Graph, in raster order of first pixels
    number : (n,) uint32, where each of the graphs' regions is in it, one graph behind the other
    joined : how many clumps have become a part of another one
    """
    offsets = np.cumsum([0] + [graph.sizes.size for graph in graphs])
    borders = {
        side: np.where(border, border + np.uint32(offset), np.uint32(0))
        for graph, offset in zip(graphs, offsets)
        for side, border in graph.borders.items()
    }
    arrays = {
        name: np.concatenate([graph.take(name) for graph in graphs])
        for name in ("sizes", "sums", "first", "earliest", "clusters", "undecided_from")
    }
    touching, closed = _across_borders(pieces, borders)
    same = arrays["clusters"][touching[:, 0]] == arrays["clusters"][touching[:, 1]]
    number, order = _number(arrays["first"], touching[same])
    inner = [number[graph.take("edges") + np.uint32(offset)] for graph, offset in zip(graphs, offsets)]
    edges = np.concatenate([*inner, number[touching[~same]]])
    joined = np.unique(touching[same])
    joined = joined[order[number[joined]] != joined]
    leaders = order[number[joined]]
    for name in ("sizes", "sums"):
        np.add.at(arrays[name], leaders, arrays[name][joined])
    after = np.append(np.uint32(0), number + np.uint32(1))
    still_open = {side: after[border] for side, border in borders.items() if side not in closed}
    graph = Graph(edges=edges, borders=still_open, **{name: arrays.pop(name)[order] for name in list(arrays)})
    return graph, number, joined.size


def _across_borders(pieces: Sequence[Piece], borders: Dict[Side, np.ndarray]) -> Tuple[np.ndarray, Set[Side]]:
    """Where pieces that were processed meet.

    Returns
    -------
    (m, 2) uint32, the pairs of regions that touch across a border, each once
    closed : the sides (piece_id, side) beyond which there is nothing else than these pieces
    """
    pairs = [np.empty((0, 2), np.uint32)]
    open_pixels = {side: border.size for side, border in borders.items()}
    for one, other, length in neighbouring(pieces):
        a, b = one.window, other.window
        if a.right == b.col:
            sides = (one.piece_id, "right"), (other.piece_id, "left")
            low, starts = max(a.row, b.row), (a.row, b.row)
        else:
            sides = (one.piece_id, "bottom"), (other.piece_id, "top")
            low, starts = max(a.col, b.col), (a.col, b.col)
        if any(side not in borders for side in sides):
            continue  # joined before
        pair = np.stack([borders[side][low - start :][:length] for side, start in zip(sides, starts)], axis=1)
        pair = pair[pair.all(axis=1)].astype(np.uint32)
        pairs.append(np.unique(pair, axis=0) - np.uint32(1))
        for side in sides:
            open_pixels[side] -= length
    return np.concatenate(pairs), {side for side, pixels in open_pixels.items() if not pixels}


def _number(first: np.ndarray, same: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Number clumps in raster order of first pixels, those joined by a pair of `same` alike.

    Returns
    -------
    number : (n,) uint32, the number of each
    order : (nodes,) int64, the clump that holds the first pixel of each number
    """
    members, index = np.unique(same, return_inverse=True)
    index = index.reshape(same.shape)
    _, component = components(members.size, index[:, 0], index[:, 1])
    by_component = np.lexsort((first[members], component))
    starts = np.flatnonzero(np.diff(component[by_component], prepend=-1))
    leader = np.arange(first.size)
    leader[members] = members[by_component[starts]][component]
    order = np.flatnonzero(leader == np.arange(first.size))
    order = order[np.argsort(first[order], kind="stable")]
    number = np.empty(first.size, np.uint32)
    number[order] = np.arange(order.size, dtype=np.uint32)
    return number[leader], order


def _number_segments(whole: Part) -> Segments:
    """Number the segments by their first pixels, and find those of each piece's clumps."""
    decided = [part.merged for part in _all_parts(whole)]
    order = np.argsort(np.concatenate([merged.earliest for merged in decided]), kind="stable")
    ids = np.empty(order.size, np.uint32)
    ids[order] = np.arange(1, order.size + 1, dtype=np.uint32)
    ends = np.cumsum([merged.earliest.size for merged in decided])
    own_ids = {id(merged): ids[end - merged.earliest.size : end] for merged, end in zip(decided, ends)}
    tables: Dict[int, np.ndarray] = {}
    regions: Dict[int, np.ndarray] = {}
    _look_up(whole, np.empty(0, np.uint32), own_ids, tables, regions)
    return Segments(tables, np.concatenate([merged.sizes for merged in decided])[order], whole.clumps, regions)


def _all_parts(part: Part) -> Iterator[Part]:
    yield part
    if isinstance(part.members, list):
        for member in part.members:
            yield from _all_parts(member)


def _look_up(
    part: Part,
    of_undecided: np.ndarray,
    own_ids: Dict[int, np.ndarray],
    tables: Dict[int, np.ndarray],
    regions: Dict[int, np.ndarray],
) -> None:
    """Hand the segments of a part's regions down to the pieces that it is made of."""
    merged = part.merged
    ids = np.empty(merged.undecided.size, np.uint32)
    ids[merged.undecided] = of_undecided
    ids[~merged.undecided] = own_ids[id(merged)]
    below = ids[merged.region_of]
    if not isinstance(part.members, list):
        tables[part.members], regions[part.members] = np.append(np.uint32(0), below), ids
        return
    start = 0
    for member in part.members:
        end = start + int(np.count_nonzero(member.merged.undecided))
        _look_up(member, below[start:end], own_ids, tables, regions)
        start = end
