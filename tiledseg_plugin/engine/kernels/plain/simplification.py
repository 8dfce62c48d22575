# SPDX-License-Identifier: GPL-2.0-or-later
"""Simplification kernel: rings with fewer corners, arcs that two segments share simplified alike.

A line of the result replaces a stretch of an arc if it crosses, in their order, the same sides between the squares
round the pixel corners of that stretch as the arc does. Squares inside an arc are entered by no other arc, so lines
of different arcs cannot meet. A line through the corner of four squares is allowed only if the arc goes round it by
an upper square; no second line can then be.

Loops, in Python here; `compiled` compiles this very function.
"""

from typing import Callable, Tuple

import numpy as np


def simplify_ring(corners: np.ndarray, flags: np.ndarray, out: np.ndarray) -> int:
    """Simplify one ring.

    Parameters
    ----------
    corners : (n, 2) int64, as `finish_rings` returns them with all junctions
    flags : (n,) uint8
    out : (n, 2) int32, the result

    Returns
    -------
    int, corners of the result
    """
    size = len(corners)
    begin = -1
    for i in range(size):
        if flags[i]:
            begin = i
            break
    cuts = begin >= 0
    begin = max(begin, 0)
    kept = np.zeros(size, np.bool_)
    at = 0  # from `begin`
    while at < size:
        length = 1
        while at + length < size and not (cuts and flags[(begin + at + length) % size]):
            length += 1
        first, last = (begin + at) % size, (begin + at + length) % size
        # both segments go along the arc from the same end
        one, other = first, last
        if corners[first, 0] == corners[last, 0] and corners[first, 1] == corners[last, 1]:
            one, other = (first + 1) % size, (last - 1) % size
        backwards = corners[other, 0] < corners[one, 0] or (
            corners[other, 0] == corners[one, 0] and corners[other, 1] < corners[one, 1]
        )
        step = -1 if backwards else 1
        start = last if backwards else first
        kept[first] = True
        kept[last] = True
        origin = 0
        while origin < length:
            here = (start + step * origin) % size
            best = origin + 1
            left_row = left_col = right_row = right_col = 0
            left_closed = right_closed = False
            for target in range(origin + 1, length + 1):
                before, there = (start + step * (target - 1)) % size, (start + step * target) % size
                run_row, run_col = corners[there, 0] - corners[before, 0], corners[there, 1] - corners[before, 1]
                run = abs(run_row) + abs(run_col)
                u_row, u_col = run_row // run, run_col // run
                # which side the squares' common corner is on where the arc turns, and whether a line may touch it
                turn_in = turn_out = 0
                may_in = may_out = False
                if target - 1 > origin:
                    past = (start + step * (target - 2)) % size
                    w_row, w_col = corners[before, 0] - corners[past, 0], corners[before, 1] - corners[past, 1]
                    w = abs(w_row) + abs(w_col)
                    w_row, w_col = w_row // w, w_col // w
                    turn_in = w_col * u_row - w_row * u_col
                    may_in = w_row - u_row < 0
                if target < length:
                    further = (start + step * (target + 1)) % size
                    w_row, w_col = corners[further, 0] - corners[there, 0], corners[further, 1] - corners[there, 1]
                    w = abs(w_row) + abs(w_col)
                    w_row, w_col = w_row // w, w_col // w
                    turn_out = u_col * w_row - u_row * w_col
                    may_out = u_row - w_row < 0
                empty = False
                for gate in range(1 if run == 1 else 2):
                    in_side, out_side = turn_in, turn_out
                    if run > 1:
                        if gate == 0:
                            out_side = 0
                        else:
                            in_side = 0
                    along = 1 if gate == 0 else 2 * run - 1
                    middle_row = 2 * (corners[before, 0] - corners[here, 0]) + along * u_row
                    middle_col = 2 * (corners[before, 1] - corners[here, 1]) + along * u_col
                    for side in (1, -1):
                        end_row, end_col = middle_row + side * u_col, middle_col - side * u_row
                        closed = in_side == side or out_side == side
                        if in_side == side and not may_in:
                            closed = False
                        if out_side == side and not may_out:
                            closed = False
                        if side == 1:
                            tighter = end_col * left_row - end_row * left_col
                            if (left_row == 0 and left_col == 0) or tighter > 0:
                                left_row, left_col, left_closed = end_row, end_col, closed
                            elif tighter == 0:
                                left_closed = left_closed and closed
                        else:
                            tighter = right_col * end_row - right_row * end_col
                            if (right_row == 0 and right_col == 0) or tighter > 0:
                                right_row, right_col, right_closed = end_row, end_col, closed
                            elif tighter == 0:
                                right_closed = right_closed and closed
                    width = right_col * left_row - right_row * left_col
                    if width < 0 or (width == 0 and not (left_closed and right_closed)):
                        empty = True
                        break
                if empty:
                    break
                line_row, line_col = corners[there, 0] - corners[here, 0], corners[there, 1] - corners[here, 1]
                of_left = line_col * left_row - line_row * left_col
                of_right = right_col * line_row - right_row * line_col
                if (of_left > 0 or (of_left == 0 and left_closed)) and (
                    of_right > 0 or (of_right == 0 and right_closed)
                ):
                    best = target
            kept[(start + step * best) % size] = True
            origin = best
        at += length
    count = 0
    for i in range(size):
        if kept[i]:
            out[count, 0] = corners[i, 0]
            out[count, 1] = corners[i, 1]
            count += 1
    return count


def simplify_rings(offsets: np.ndarray, corners: np.ndarray, flags: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Simplify rings.

    Parameters
    ----------
    offsets, corners, flags : as `finish_rings` returns them, with all junctions

    Returns
    -------
    offsets : (rings + 1,) int64
    corners : (n, 2) int32
    """
    return simplify_with(simplify_ring, offsets, corners, flags)


def simplify_with(
    simplify: Callable[..., int], offsets: np.ndarray, corners: np.ndarray, flags: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    wide, out = corners.astype(np.int64), np.empty_like(corners)
    new = np.zeros(offsets.size, np.int64)
    for ring, (first, last) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist())):
        at = new[ring]
        new[ring + 1] = at + simplify(wide[first:last], flags[first:last], out[at : at + last - first])
    return new, out[: new[-1]].copy()
