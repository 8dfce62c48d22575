# SPDX-License-Identifier: GPL-2.0-or-later
"""Outline kernels: the borders of the segments in a window as chains of corners, and chains as simple rings.

A border is walked pixel side by pixel side with its segment on the right. Directions: 0 east (along the top side of a
pixel), 1 south (right side), 2 west (bottom side), 3 north (left side). Where a segment touches itself at a corner,
the walk stays with its pixel, so that regions which touch only there have rings of their own (4-connectivity).
"""

from typing import Dict, List, Tuple

import numpy as np

from ..components import components

STEP_ROW = np.array([0, 1, 0, -1])
STEP_COL = np.array([1, 0, -1, 0])
# from the pixel's upper left corner to the end of the side that is walked in each direction
END_ROW = np.array([0, 1, 1, 0])
END_COL = np.array([1, 1, 0, 0])
SADDLE, JUNCTION = 1, 2


def trace_outlines(
    ids: np.ndarray, row: int, col: int, raster_width: int, all_junctions: bool
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The borders of all segments in a window.

    Parameters
    ----------
    ids : (rows + 2, cols + 2) uint32, the window with a margin of one pixel; 0 beyond the raster and for no data
    row, col : of the window's first pixel in the raster
    raster_width : pixels
    all_junctions : also return the places on straight borders where two other segments meet

    Returns
    -------
    owners : (chains,) uint32, the segment of each; open chains first, in the order of their starts, then rings
    starts, ends : (chains,) int64, the first side of a chain and the one after its last: (pixel of the raster) * 4 +
        direction; alike for a ring, which starts with its first left side in raster order
    offsets : (chains + 1,) int64, of the chains in the corners
    corners : (n, 2) int32, row and column of pixel corners in the raster
    flags : (n,) uint8, SADDLE where the segment touches itself, JUNCTION where three or more segments meet
    """
    rows, cols = ids.shape[0] - 2, ids.shape[1] - 2
    sides = _find_sides(ids)
    side = np.flatnonzero(sides)  # in the order of their keys
    r, c, d = (index.astype(np.int64) for index in np.unravel_index(side, sides.shape))
    next_row, next_col, next_direction, is_corner, flags = _follow(ids, r, c, d, all_junctions)
    inside = (next_row >= 0) & (next_row < rows) & (next_col >= 0) & (next_col < cols)
    place = np.full(sides.size, -1, np.int64)
    place[side] = np.arange(side.size)
    following = np.full(side.size, -1, np.int64)
    following[inside] = place[((next_row * cols + next_col) * 4 + next_direction)[inside]]
    chain, order = _order(following, d == 3)

    key = ((row + r) * raster_width + col + c) * 4 + d
    next_key = ((row + next_row) * raster_width + col + next_col) * 4 + next_direction
    first = np.flatnonzero(np.diff(chain[order], prepend=-1))
    last = np.append(first[1:], order.size) - 1 if order.size else first
    owners, starts, ends = ids[r + 1, c + 1][order[first]], key[order[first]], next_key[order[last]]
    corners = np.stack([row + r + END_ROW[d], col + c + END_COL[d]], axis=1)[order].astype(np.int32)
    chosen = is_corner[order]
    offsets = np.append(0, np.cumsum(chosen))[np.append(first, order.size)]
    return owners, starts, ends, offsets.astype(np.int64), corners[chosen], flags[order][chosen].astype(np.uint8)


def _find_sides(ids: np.ndarray) -> np.ndarray:
    """Which sides of the pixels of a window are borders: (rows, cols, 4 directions) bool."""
    rows, cols = ids.shape[0] - 2, ids.shape[1] - 2
    inner = ids[1:-1, 1:-1]
    sides = np.zeros((rows, cols, 4), bool)
    for direction in range(4):
        left = (direction + 3) % 4
        beside = ids[1 + STEP_ROW[left] : 1 + STEP_ROW[left] + rows, 1 + STEP_COL[left] : 1 + STEP_COL[left] + cols]
        sides[:, :, direction] = (inner != 0) & (beside != inner)
    return sides


def _follow(
    ids: np.ndarray, r: np.ndarray, c: np.ndarray, d: np.ndarray, all_junctions: bool
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Where the borders go on after the sides of pixels (rows, columns, directions), and what is where those end.

    Returns
    -------
    next_row, next_col, next_direction : (sides,) int64
    is_corner : (sides,) bool
    flags : (sides,) int64, as `trace_outlines` returns them
    """
    left = (d + 3) % 4
    own = ids[r + 1, c + 1]
    beside = ids[r + 1 + STEP_ROW[left], c + 1 + STEP_COL[left]]
    ar, ac = r + STEP_ROW[d], c + STEP_COL[d]
    ahead = ids[ar + 1, ac + 1]
    dr, dc = ar + STEP_ROW[left], ac + STEP_COL[left]
    diagonal = ids[dr + 1, dc + 1]

    right_turn = ahead != own
    left_turn = ~right_turn & (diagonal == own)
    next_row = np.where(right_turn, r, np.where(left_turn, dr, ar))
    next_col = np.where(right_turn, c, np.where(left_turn, dc, ac))
    next_direction = np.where(right_turn, (d + 1) % 4, np.where(left_turn, left, d))
    saddle = right_turn & (diagonal == own)
    junction = ~left_turn & ((diagonal != beside) | (right_turn & (ahead != beside)))
    is_corner = right_turn | left_turn | (junction if all_junctions else False)
    return next_row, next_col, next_direction, is_corner, np.where(saddle, SADDLE, 0) | np.where(junction, JUNCTION, 0)


def _order(following: np.ndarray, may_start: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """The chain number of every side, and the sides in the order of the chains and along each.

    Parameters
    ----------
    following : (sides,) int64, which side follows each, -1 for none
    may_start : (sides,) bool, those that a ring may begin with
    """
    count = following.size
    linked = np.flatnonzero(following >= 0)
    chains, member = components(count, linked, following[linked])
    is_start = np.ones(count, bool)
    is_start[following[linked]] = False
    start = np.full(chains, count, np.int64)
    is_open = np.zeros(chains, bool)
    is_open[member[is_start]] = True
    start[member[is_start]] = np.flatnonzero(is_start)
    candidates = np.flatnonzero(may_start & ~is_open[member])
    np.minimum.at(start, member[candidates], candidates)
    # how many sides are still to come, by doubling the distance looked ahead; a ring is cut before its start
    jump = following.copy()
    jump[np.isin(jump, start[~is_open])] = -1
    to_come = (jump >= 0).astype(np.int64)
    while (jump >= 0).any():
        going = np.flatnonzero(jump >= 0)
        to_come[going] += to_come[jump[going]]
        jump[going] = jump[jump[going]]
    number = np.empty(chains, np.int64)
    number[np.lexsort((start, ~is_open))] = np.arange(chains)
    chain = number[member]
    return chain, np.lexsort((-to_come, chain))


def finish_rings(
    offsets: np.ndarray, corners: np.ndarray, flags: np.ndarray
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rings that touch themselves at a corner become simple ones; all begin at their first corner in raster order.

    Parameters
    ----------
    offsets, corners, flags : of rings, as `trace_outlines` returns them

    Returns
    -------
    sources : (rings,) int64, from which ring each comes
    offsets : (rings + 1,) int64
    corners : (n, 2) int32, counterclockwise where y points up if the ring is an outer one, else clockwise
    flags : (n,) uint8
    areas : (rings,) int64, pixels; negative for holes
    """
    parts, sources = [], []
    has_saddle = np.add.reduceat(flags & SADDLE, offsets[:-1]) > 0 if offsets.size > 1 else []
    for ring, touches in enumerate(has_saddle):
        members = np.arange(offsets[ring], offsets[ring + 1])
        for part in _simple(members, corners, flags) if touches else (members,):
            parts.append(part)
            sources.append(ring)
    index, new_offsets, areas = [], np.zeros(len(parts) + 1, np.int64), np.zeros(len(parts), np.int64)
    for ring, part in enumerate(parts):
        r, c = corners[part].astype(np.int64).T
        areas[ring] = (c * np.roll(r, -1) - np.roll(c, -1) * r).sum() // 2
        begin = np.lexsort((c, r))[0]
        index.append(np.roll(part[::-1], begin + 1 - part.size))
        new_offsets[ring + 1] = new_offsets[ring] + part.size
    index = np.concatenate(index) if index else np.empty(0, np.int64)
    return np.array(sources, np.int64), new_offsets, corners[index], flags[index], areas


def _simple(members: np.ndarray, corners: np.ndarray, flags: np.ndarray) -> List[np.ndarray]:
    """The parts of a ring between two visits of one corner, innermost first; what is left comes last."""
    stack: List[int] = []
    held: Dict[tuple, int] = {}
    parts: List[np.ndarray] = []
    for member in members.tolist():
        if flags[member] & SADDLE:
            place = tuple(corners[member].tolist())
            if place in held:
                at = held[place]
                part = stack[at:]
                for other in part:
                    held.pop(tuple(corners[other].tolist()), None)
                parts.append(np.array(part))
                del stack[at:]
            held[place] = len(stack)
        stack.append(member)
    parts.append(np.array(stack))
    return parts
