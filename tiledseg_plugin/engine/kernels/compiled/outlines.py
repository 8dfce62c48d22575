# SPDX-License-Identifier: GPL-2.0-or-later
"""Outline kernels: the borders of the segments in a window as chains of corners, and chains as simple rings."""

from typing import Tuple

import numpy as np

from ..plain.outlines import END_COL, END_ROW, JUNCTION, SADDLE, STEP_COL, STEP_ROW
from .cache import kernel


@kernel
def _walk(
    ids: np.ndarray,
    row: int,
    col: int,
    direction: int,
    all_junctions: bool,
    visited: np.ndarray,
    corners: np.ndarray,
    flags: np.ndarray,
    count: int,
) -> Tuple[int, int, int, int]:
    """Walk from a side to the first one outside the window, or back to where it began.

    Returns
    -------
    row, column, direction : of the side after the last one
    count : corners noted, with those before
    """
    rows, cols = ids.shape[0] - 2, ids.shape[1] - 2
    own = ids[row + 1, col + 1]
    r, c, d = row, col, direction
    while True:
        if d == 3:
            visited[r, c] = True
        left = (d + 3) % 4
        ar, ac = r + STEP_ROW[d], c + STEP_COL[d]
        dr, dc = ar + STEP_ROW[left], ac + STEP_COL[left]
        ahead, diagonal = ids[ar + 1, ac + 1], ids[dr + 1, dc + 1]
        er, ec = r + END_ROW[d], c + END_COL[d]
        flag = 0
        turned = True
        if ahead != own:
            beside = ids[r + STEP_ROW[left] + 1, c + STEP_COL[left] + 1]
            if diagonal == own:
                flag |= SADDLE
            if diagonal != beside or ahead != beside:
                flag |= JUNCTION
            d = (d + 1) % 4
        elif diagonal == own:
            r, c, d = dr, dc, left
        else:
            turned = False
            if all_junctions and diagonal != ids[r + STEP_ROW[left] + 1, c + STEP_COL[left] + 1]:
                flag = JUNCTION
            r, c = ar, ac
        if turned or flag:
            corners[count, 0] = er
            corners[count, 1] = ec
            flags[count] = flag
            count += 1
        if r < 0 or r >= rows or c < 0 or c >= cols or (r == row and c == col and d == direction):
            return r, c, d, count


@kernel
def _trace(ids: np.ndarray, all_junctions: bool) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Chains (n, 6), with row, column and direction of the first side and of the one after the last; their corners."""
    rows, cols = ids.shape[0] - 2, ids.shape[1] - 2
    sides = 0
    for r in range(1, rows + 1):
        for c in range(1, cols + 1):
            own = ids[r, c]
            if own:
                sides += (ids[r - 1, c] != own) + (ids[r + 1, c] != own) + (ids[r, c - 1] != own)
                sides += ids[r, c + 1] != own
    corners, flags = np.empty((sides, 2), np.int32), np.empty(sides, np.uint8)
    chains = np.empty((sides, 6), np.int64)
    offsets = np.zeros(sides + 1, np.int64)
    visited = np.zeros((rows, cols), np.bool_)
    count = 0
    found = 0
    for r in range(rows):
        for c in range(cols):
            if 0 < r < rows - 1 and 0 < c < cols - 1:
                continue
            own = ids[r + 1, c + 1]
            if own == 0:
                continue
            for d in range(4):
                left = (d + 3) % 4
                if ids[r + STEP_ROW[left] + 1, c + STEP_COL[left] + 1] == own:
                    continue
                br, bc = r - STEP_ROW[d], c - STEP_COL[d]
                if ids[br + 1, bc + 1] != own:
                    continue  # the side before this one is of the same pixel
                lr, lc = br + STEP_ROW[left], bc + STEP_COL[left]
                if ids[lr + 1, lc + 1] == own:
                    br, bc = lr, lc
                if 0 <= br < rows and 0 <= bc < cols:
                    continue
                nr, nc, nd, count = _walk(ids, r, c, d, all_junctions, visited, corners, flags, count)
                chains[found] = (r, c, d, nr, nc, nd)
                found += 1
                offsets[found] = count
    for r in range(rows):
        for c in range(cols):
            own = ids[r + 1, c + 1]
            if own and ids[r + 1, c] != own and not visited[r, c]:
                nr, nc, nd, count = _walk(ids, r, c, 3, all_junctions, visited, corners, flags, count)
                chains[found] = (r, c, 3, nr, nc, nd)
                found += 1
                offsets[found] = count
    return chains[:found].copy(), offsets[: found + 1].copy(), corners[:count].copy(), flags[:count].copy()


def trace_outlines(
    ids: np.ndarray, row: int, col: int, raster_width: int, all_junctions: bool
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Defined by `plain.outlines.trace_outlines`."""
    chains, offsets, corners, flags = _trace(ids, all_junctions)
    r, c, d, next_row, next_col, next_direction = chains.T
    starts = ((row + r) * raster_width + col + c) * 4 + d
    ends = ((row + next_row) * raster_width + col + next_col) * 4 + next_direction
    corners += np.array([row, col], np.int32)
    return ids[r + 1, c + 1], starts, ends, offsets, corners, flags


@kernel
def _partners(first: int, last: int, corners: np.ndarray, flags: np.ndarray, partner: np.ndarray) -> None:
    """Note, for each corner at which a ring touches itself, where else in the ring that corner is."""
    members = np.flatnonzero(flags[first:last] & SADDLE) + first
    code = corners[members, 0].astype(np.int64) << 32 | corners[members, 1].astype(np.int64)
    order = np.argsort(code)
    for i in range(1, order.size):
        if code[order[i]] == code[order[i - 1]]:
            one, other = members[order[i - 1]], members[order[i]]
            partner[one - first] = other
            partner[other - first] = one


@kernel
def _emit(
    members: np.ndarray, corners: np.ndarray, flags: np.ndarray, out_corners: np.ndarray, out_flags: np.ndarray, at: int
) -> int:
    """Write a ring reversed, from its first corner in raster order on; returns its area."""
    size = members.size
    begin = 0
    area = np.int64(0)
    for i in range(size):
        one, other = members[i], members[i + 1 if i + 1 < size else 0]
        area += np.int64(corners[one, 1]) * corners[other, 0] - np.int64(corners[other, 1]) * corners[one, 0]
        least = members[begin]
        if corners[one, 0] < corners[least, 0] or (
            corners[one, 0] == corners[least, 0] and corners[one, 1] < corners[least, 1]
        ):
            begin = i
    for i in range(size):
        member = members[(begin - i) % size]
        out_corners[at + i] = corners[member]
        out_flags[at + i] = flags[member]
    return area // 2


@kernel
def _finish(
    offsets: np.ndarray, corners: np.ndarray, flags: np.ndarray
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Follow each ring; where it comes back to a corner, what lies between the two visits is a ring of its own."""
    total = corners.shape[0]
    out_corners, out_flags = np.empty((total, 2), np.int32), np.empty(total, np.uint8)
    limit = offsets.size + np.count_nonzero(flags & SADDLE)
    sources, areas = np.empty(limit, np.int64), np.empty(limit, np.int64)
    out_offsets = np.zeros(limit + 1, np.int64)
    rings = 0
    stack = np.empty(total + 1, np.int64)
    place = np.empty(total + 1, np.int64)  # of a corner on the stack
    for ring in range(offsets.size - 1):
        first, last = offsets[ring], offsets[ring + 1]
        partner = np.full(last - first, -1, np.int64)
        touches = False
        for i in range(first, last):
            if flags[i] & SADDLE:
                touches = True
                break
        if touches:
            _partners(first, last, corners, flags, partner)
        depth = 0
        for member in range(first, last):
            other = partner[member - first]
            if other >= 0 and other < member:
                bottom = place[other]
                part = stack[bottom:depth]
                at = out_offsets[rings]
                areas[rings] = _emit(part, corners, flags, out_corners, out_flags, at)
                sources[rings] = ring
                rings += 1
                out_offsets[rings] = at + part.size
                depth = bottom
            place[member] = depth
            stack[depth] = member
            depth += 1
        at = out_offsets[rings]
        areas[rings] = _emit(stack[:depth], corners, flags, out_corners, out_flags, at)
        sources[rings] = ring
        rings += 1
        out_offsets[rings] = at + depth
    return sources[:rings].copy(), out_offsets[: rings + 1].copy(), out_corners, out_flags, areas[:rings].copy()


def finish_rings(
    offsets: np.ndarray, corners: np.ndarray, flags: np.ndarray
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Defined by `plain.outlines.finish_rings`."""
    return _finish(offsets, corners, flags)
