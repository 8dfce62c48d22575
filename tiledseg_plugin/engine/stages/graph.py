# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 4, the graph: what the tiles could not decide alone, decided for groups of tiles and then the whole raster.

Clumps are joined across tile borders; they and the regions whose fate depends on them are numbered in raster order of
their first pixels and eliminated step by step. What comes out is one lookup table a piece.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Dict, Optional

import numpy as np

from ..kernels.components import components
from ..machine import release_free_memory
from .elimination import Graph, Merged, merge_within
from .plan import neighbouring
from .tiles import damaged, load_merged

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


def merge_all(worked, folder, kernel, weights, min_pixels, threshold, advance, workers=1):
    """Merge the small regions of the whole raster and number what is left without gaps: Segments.

    Parameters
    ----------
    worked : the pieces of the tiles that hold valid pixels
    folder : WorkFolder with what the pieces have left
    weights, min_pixels, threshold : see `elimination.eliminate`
    advance : called with the fraction that is done; may raise to end it
    workers : threads
    """
    rules = weights, min_pixels, threshold
    release_free_memory()

    def group(pieces):
        parts = []
        for piece in pieces:
            advance(0.0)
            parts.append(_load(folder, piece))
        return _merge_group(pieces, parts, count == 1, kernel, rules, lambda done: advance(done / 2), workers // count)

    count = max(1, min(workers, len(worked) // PIECES_A_GROUP))
    pieces = sorted(worked, key=lambda piece: (piece.window.row, piece.window.col))
    groups = [pieces[len(pieces) * i // count : len(pieces) * (i + 1) // count] for i in range(count)]
    with ThreadPoolExecutor(count) as pool:
        parts = list(pool.map(group, groups))
    release_free_memory()
    whole = parts[0]
    if count > 1:
        whole = _merge_group(pieces, parts, True, kernel, rules, lambda done: advance((1 + done) / 2), workers)
    release_free_memory()
    return _number_segments(whole)


def _load(folder, piece):
    merged = load_merged(folder, piece)
    if merged is None:
        raise damaged(folder, piece)
    return Part(piece.piece_id, merged, merged.region_of.size)


def _merge_group(pieces, parts, is_whole, kernel, rules, advance, workers):
    """Join parts that are made of the pieces; merge what nothing beyond them can have any influence on."""
    graph, number, joined = _join(pieces, [part.merged.left for part in parts])
    if is_whole:
        graph.borders.clear()  # beyond those that are still open there was nothing to be worked
    for part in parts:
        del part.merged.left  # it is in the graph now
    weights, min_pixels, threshold = rules
    merged = merge_within(kernel, graph, weights, min_pixels, threshold, advance, workers)
    merged.region_of = merged.region_of[number]
    return Part(parts, merged, sum(part.clumps for part in parts) - joined)


def _join(pieces, graphs):
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
        for name in ("sizes", "sums", "first", "earliest", "kinds", "since")
    }
    touching, closed = _across_borders(pieces, borders)
    same = arrays["kinds"][touching[:, 0]] == arrays["kinds"][touching[:, 1]]
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


def _across_borders(pieces, borders):
    """Where pieces that were worked meet.

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


def _number(first, same):
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


def _number_segments(whole):
    """Number the segments by their first pixels, and find those of each piece's clumps: Segments."""
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


def _all_parts(part):
    yield part
    if isinstance(part.members, list):
        for member in part.members:
            yield from _all_parts(member)


def _look_up(part, of_undecided, own_ids, tables, regions):
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
