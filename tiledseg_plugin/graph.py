# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 4, the graph: the clumps of all tiles as those of one raster, merged down to segments.

Clumps are joined across tile borders, numbered in raster order of their first pixels, and eliminated step by step on
the region adjacency graph of the whole raster. What comes out is one lookup table a piece.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from .errors import SegmentationError
from .machine import release_free_memory
from .plan import neighbouring
from .tiles import name_of

BORDERS = ("top", "bottom", "left", "right")


@dataclass
class RegionGraph:
    """Clumps of the whole raster, in raster order of their first pixels, and which of them touch.

    number : (clumps of all pieces, one piece behind the other) uint32, the node of each
    offsets : {piece_id: index of its first clump in `number`}, and one more under None: how many there are
    sizes, sums, edges : see `kernels.plain.Elimination`
    """

    number: np.ndarray
    offsets: dict
    sizes: np.ndarray
    sums: np.ndarray
    edges: np.ndarray


@dataclass
class Segments:
    """The segments and how each piece's labels become their ids.

    tables : {piece_id: (clumps of the piece + 1,) uint32}
    sizes : (segments,) int64, pixels, in the order of the ids
    """

    tables: dict
    sizes: np.ndarray


def build_graph(raster, plan, worked, folder, check_cancelled):
    """Join the graphs of all pieces that were worked.

    Parameters
    ----------
    worked : the pieces of the tiles that hold valid pixels
    """
    offsets, borders, total = {}, {}, 0
    parts = {name: [] for name in ("first", "kinds", "sizes", "sums", "edges")}
    for piece in worked:
        check_cancelled()
        graph = folder.load(name_of(piece))
        if graph is None:
            raise SegmentationError(
                f"The files of tile {piece.tile_id} in {folder.path} are damaged: start the run again."
            )
        offsets[piece.piece_id] = total
        borders[piece.piece_id] = {side: graph[side] for side in BORDERS}
        rows, cols = np.divmod(graph["first"], piece.window.width)
        graph["first"] = (piece.window.row + rows) * raster.width + piece.window.col + cols
        graph["edges"] += np.uint32(total)
        graph["edges"] -= np.uint32(1)
        total += len(rows)
        for name, arrays in parts.items():
            arrays.append(graph[name])
    offsets[None] = total
    # One after the other, so that no more than one of them is there twice.
    first, kinds = np.concatenate(parts.pop("first")), np.concatenate(parts.pop("kinds"))
    check_cancelled()

    touching = _across_borders(plan, offsets, borders)
    same = kinds[touching[:, 0]] == kinds[touching[:, 1]]
    number, order = _number(first, touching[same])
    del first, kinds
    check_cancelled()
    edges = _numbered_edges(parts.pop("edges"), touching[~same], number)
    check_cancelled()
    joined = np.unique(touching[same])
    joined = joined[order[number[joined]] != joined]
    whole = []
    for name in ("sizes", "sums"):
        array = np.concatenate(parts.pop(name))
        np.add.at(array, order[number[joined]], array[joined])
        whole.append(array[order])
        del array
    release_free_memory()
    return RegionGraph(number, offsets, *whole, edges)


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


def eliminate(graph, kernel, weights, min_pixels, threshold, advance, workers=1):
    """Merge small clumps and number what is left without gaps.

    Parameters
    ----------
    weights : of the limbs of the sums, see `colours`
    threshold : greatest distance of mean colours, None for no limit
    advance : called with the fraction that is done
    workers : threads that share the decisions of a step
    """
    limit = np.inf if threshold is None else threshold
    total = int(graph.sizes.sum())
    sizes = graph.sizes.astype(np.uint32)  # the elimination works in place
    smallest = min(min_pixels, total + 1)  # a limit beyond the raster says no more than this
    elimination = kernel.Elimination(graph.sizes, graph.sums, np.array(weights), graph.edges, smallest, limit)
    graph.edges = None
    with ThreadPoolExecutor(workers) as pool:
        area = elimination.next_area(0)
        while area is not None and area <= min_pixels:
            advance(min(area / smallest, 1.0))
            merged = elimination.step(area, pool.map if workers > 1 else map)
            area = area + 1 if merged else elimination.next_area(area)
    into = elimination.into
    del elimination

    count = into.size
    first_member = np.full(count, count, np.int64)
    first_member[into[::-1]] = np.arange(count - 1, -1, -1)
    survivors = np.flatnonzero(first_member < count)
    survivors = survivors[np.argsort(first_member[survivors], kind="stable")]
    ids = np.zeros(count, np.uint32)
    ids[survivors] = np.arange(1, survivors.size + 1, dtype=np.uint32)
    ids = ids[into][graph.number]
    starts = list(graph.offsets.items())
    tables = {
        piece_id: np.concatenate([np.zeros(1, np.uint32), ids[start:end]])
        for (piece_id, start), (_, end) in zip(starts, starts[1:])
    }
    return Segments(tables, np.bincount(into, weights=None if count == 0 else sizes)[survivors].astype(np.int64))
