# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 4, the graph: what the tiles could not decide alone, decided for the whole raster.

Clumps are joined across tile borders; they and the regions whose fate depends on them are numbered in raster order of
their first pixels and eliminated step by step. What comes out is one lookup table a piece.
"""

from dataclasses import dataclass
from typing import Dict, List

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from .elimination import eliminate
from .errors import SegmentationError
from .machine import release_free_memory
from .plan import neighbouring
from .tiles import name_of

BORDERS = ("top", "bottom", "left", "right")


@dataclass
class PieceRegions:
    """The regions of a piece: `region_of` gives that of each clump; `undecided` (n,) bool tells which are nodes."""

    region_of: np.ndarray
    undecided: np.ndarray


@dataclass
class RegionGraph:
    """The regions that tiles could not decide about, in raster order of their first pixels, and which of them touch.

    pieces : {piece_id: PieceRegions}, in the order in which their regions follow each other below
    number : (undecided regions of all pieces) uint32, the node of each
    sizes, sums, since, edges : of the nodes, see `kernels.plain.Elimination`
    earliest : (nodes,) int64, the first pixel of all that is in them, counted in the raster
    decided_sizes, decided_earliest : (decided regions of all pieces,) int64, likewise
    clumps : how many there were before any was merged
    """

    pieces: Dict[int, PieceRegions]
    number: np.ndarray
    sizes: np.ndarray
    sums: np.ndarray
    since: np.ndarray
    edges: np.ndarray
    earliest: np.ndarray
    decided_sizes: np.ndarray
    decided_earliest: np.ndarray
    clumps: int


@dataclass
class Segments:
    """The segments and how each piece's labels become their ids.

    tables : {piece_id: (clumps of the piece + 1,) uint32}
    sizes : (segments,) int64, pixels, in the order of the ids
    """

    tables: dict
    sizes: np.ndarray


def build_graph(raster, plan, worked, folder, check_cancelled):
    """Join what all pieces that were worked have left.

    Parameters
    ----------
    worked : the pieces of the tiles that hold valid pixels
    """
    pieces, offsets, borders, total, clumps = {}, {}, {}, 0, 0
    parts: Dict[str, List[np.ndarray]] = {
        name: [] for name in ("first", "kinds", "sizes", "sums", "since", "earliest", "edges")
    }
    decided: Dict[str, List[np.ndarray]] = {"sizes": [], "earliest": []}
    for piece in worked:
        check_cancelled()
        graph = folder.load(name_of(piece))
        if graph is None:
            raise SegmentationError(
                f"The files of tile {piece.tile_id} in {folder.path} are damaged: start the run again."
            )
        undecided = graph["undecided"]
        pieces[piece.piece_id] = PieceRegions(graph["region_of"], undecided)
        offsets[piece.piece_id] = total
        borders[piece.piece_id] = {side: graph[side] for side in BORDERS}
        for name in ("first", "earliest"):
            rows, cols = np.divmod(graph[name], piece.window.width)
            graph[name] = (piece.window.row + rows) * raster.width + piece.window.col + cols
        for name, arrays in decided.items():
            arrays.append(graph[name][~undecided])
            graph[name] = graph[name][undecided]
        graph["edges"] += np.uint32(total)
        total += len(graph["first"])
        clumps += graph["region_of"].size
        for name, arrays in parts.items():
            arrays.append(graph[name])
    check_cancelled()
    first, kinds, sizes, sums, since, earliest = (
        np.concatenate(parts[name]) for name in ("first", "kinds", "sizes", "sums", "since", "earliest")
    )
    touching = _across_borders(plan, offsets, borders)
    same = kinds[touching[:, 0]] == kinds[touching[:, 1]]
    number, order = _number(first, touching[same])
    check_cancelled()
    edges = _numbered_edges(parts["edges"], touching[~same], number)
    check_cancelled()
    joined = np.unique(touching[same])
    joined = joined[order[number[joined]] != joined]
    leaders = order[number[joined]]
    np.add.at(sizes, leaders, sizes[joined])
    np.add.at(sums, leaders, sums[joined])
    release_free_memory()
    return RegionGraph(
        pieces,
        number,
        sizes[order],
        sums[order],
        since[order],
        edges,
        earliest[order],
        np.concatenate(decided["sizes"]),
        np.concatenate(decided["earliest"]),
        clumps - joined.size,
    )


def _numbered_edges(parts, across, number):
    """The edges of all pieces, which are dropped on the way, and those across their borders: (m, 2) uint32 nodes."""
    edges = np.empty((sum(map(len, parts)) + len(across), 2), np.uint32)
    parts.append(across)
    end = len(edges)
    while parts:
        part = parts.pop()
        edges[end - len(part) : end] = number[part]
        end -= len(part)
    return edges


def _across_borders(plan, offsets, borders):
    """(m, 2) uint32, the pairs of clumps that touch across a tile border, each once."""
    pairs = [np.empty((0, 2), np.uint32)]
    for one, other, _ in neighbouring(plan.pieces):
        if one.piece_id not in offsets or other.piece_id not in offsets:
            continue
        a, b = one.window, other.window
        if a.right == b.col:
            low, high = max(a.row, b.row), min(a.bottom, b.bottom)
            here = borders[one.piece_id]["right"][low - a.row : high - a.row]
            there = borders[other.piece_id]["left"][low - b.row : high - b.row]
        else:
            low, high = max(a.col, b.col), min(a.right, b.right)
            here = borders[one.piece_id]["bottom"][low - a.col : high - a.col]
            there = borders[other.piece_id]["top"][low - b.col : high - b.col]
        both = (here != 0) & (there != 0)
        pair = np.stack([here[both], there[both]], axis=1).astype(np.uint32)
        pair += np.array([offsets[one.piece_id], offsets[other.piece_id]], np.uint32)
        pairs.append(np.unique(pair, axis=0) - np.uint32(1))
    return np.concatenate(pairs)


def _number(first, same):
    """Number clumps in raster order of first pixels, those joined by a pair of `same` alike.

    Returns
    -------
    number : (n,) uint32, the number of each
    order : (nodes,) int64, the clump that holds the first pixel of each number
    """
    members, index = np.unique(same, return_inverse=True)
    index = index.reshape(same.shape)
    links = coo_matrix((np.ones(len(same), bool), (index[:, 0], index[:, 1])), shape=(members.size, members.size))
    _, component = connected_components(links, directed=False)
    by_component = np.lexsort((first[members], component))
    starts = np.flatnonzero(np.diff(component[by_component], prepend=-1))
    leader = np.arange(first.size)
    leader[members] = members[by_component[starts]][component]
    order = np.flatnonzero(leader == np.arange(first.size))
    order = order[np.argsort(first[order], kind="stable")]
    number = np.empty(first.size, np.uint32)
    number[order] = np.arange(order.size, dtype=np.uint32)
    return number[leader], order


def merge_regions(graph, kernel, weights, min_pixels, threshold, advance, workers=1):
    """Merge small regions and number what is left without gaps: Segments.

    Parameters
    ----------
    graph : RegionGraph, of no use afterwards
    weights, min_pixels, threshold, advance, workers : see `elimination.eliminate`
    """
    sizes = graph.sizes.copy()  # the elimination works in place
    elimination = eliminate(
        kernel,
        graph.sizes,
        graph.sums,
        graph.edges,
        weights,
        min_pixels,
        threshold,
        advance,
        workers,
        since=graph.since,
    )
    into = elimination.into
    del elimination
    earliest = np.empty(into.size, np.int64)
    latest_first = np.argsort(graph.earliest, kind="stable")[::-1]
    earliest[into[latest_first]] = graph.earliest[latest_first]  # of those written to one place the last one stays
    survivors = np.flatnonzero(into == np.arange(into.size, dtype=into.dtype))
    whole = np.bincount(into, weights=sizes if into.size else None, minlength=into.size)[survivors]
    segment_sizes = np.concatenate([whole.astype(np.int64), graph.decided_sizes])
    order = np.argsort(np.concatenate([earliest[survivors], graph.decided_earliest]), kind="stable")
    ids = np.empty(order.size, np.uint32)
    ids[order] = np.arange(1, order.size + 1, dtype=np.uint32)
    of_node = np.empty(into.size, np.uint32)
    of_node[survivors] = ids[: survivors.size]
    tables = _tables(graph.pieces, of_node[into][graph.number], ids[survivors.size :])
    return Segments(tables, segment_sizes[order])


def _tables(pieces, of_undecided, of_decided):
    """{piece_id: lookup table}, from the ids of the undecided and decided regions of all pieces."""
    tables = {}
    left = done = 0
    for piece_id, regions in pieces.items():
        ids = np.empty(regions.undecided.size, np.uint32)
        count = int(np.count_nonzero(regions.undecided))
        ids[regions.undecided] = of_undecided[left : left + count]
        ids[~regions.undecided] = of_decided[done : done + ids.size - count]
        left, done = left + count, done + ids.size - count
        tables[piece_id] = np.append(np.uint32(0), ids[regions.region_of])
    return tables
