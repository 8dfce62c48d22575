# SPDX-License-Identifier: GPL-2.0-or-later
"""Simplification kernel: rings with fewer corners, arcs that two segments share simplified alike.

A line of the result replaces a stretch of an arc if it crosses, in their order, the same sides between the squares
round the pixel corners of that stretch as the arc does. Squares inside an arc are entered by no other arc, so lines
of different arcs cannot meet. A line through the corner of four squares is allowed only if the arc goes round it by
an upper square; no second line can then be.

Loops, in Python here; `compiled` compiles these very functions.
"""

from typing import Callable, Tuple

import numpy as np

Direction = Tuple[int, int, int]  # row and column of the step from pixel corner to pixel corner; how many steps
Turn = Tuple[int, bool]  # the side that an arc turns to, LEFT, RIGHT or 0; whether a line may touch the corner there
Bound = Tuple[int, int, bool]  # row and column of a vector; whether a line may go along it

LEFT, RIGHT = 1, -1  # as if rows were counted upwards
STRAIGHT: Turn = (0, False)
UNBOUNDED: Bound = (0, 0, False)


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
    begin = 0
    while begin < size and not flags[begin]:
        begin += 1
    has_junctions = begin < size
    begin = begin if has_junctions else 0
    kept = np.zeros(size, np.bool_)
    at = 0  # from `begin`
    while at < size:
        length = 1
        while at + length < size and not (has_junctions and flags[(begin + at + length) % size]):
            length += 1
        keep_corners(corners, (begin + at) % size, length, kept)
        at += length
    count = 0
    for i in range(size):
        if kept[i]:
            out[count, 0] = corners[i, 0]
            out[count, 1] = corners[i, 1]
            count += 1
    return count


def keep_corners(corners: np.ndarray, first: int, length: int, kept: np.ndarray) -> None:
    """Flag those corners of an arc that its simplified lines lead to. It has `length` lines and begins at `first`."""
    size = len(corners)
    last = (first + length) % size
    kept[first] = True
    kept[last] = True
    # both segments go along the arc from the same end
    one, other = first, last
    if corners[first, 0] == corners[last, 0] and corners[first, 1] == corners[last, 1]:
        one, other = (first + 1) % size, (last - 1) % size
    backwards = corners[other, 0] < corners[one, 0] or (
        corners[other, 0] == corners[one, 0] and corners[other, 1] < corners[one, 1]
    )
    start, step = (last, -1) if backwards else (first, 1)
    origin = 0
    while origin < length:
        origin = find_furthest(corners, start, step, origin, length)
        kept[(start + step * origin) % size] = True


def find_furthest(corners: np.ndarray, start: int, step: int, origin: int, length: int) -> int:
    """The number of the last corner of an arc to which a line from the corner of the number `origin` may lead.

    Corner i of an arc, 0 <= i <= length, is `corners[(start + step * i) % size]`. A line has to cross the same sides
    between squares as the arc, its gates; those that cross all gates so far lie between a left and a right bound.
    """
    size = len(corners)
    here = (start + step * origin) % size
    best = origin + 1
    left = right = UNBOUNDED
    for target in range(origin + 1, length + 1):
        before, there = (start + step * (target - 1)) % size, (start + step * target) % size
        way = direction(corners, before, there)
        turn_in = turn_out = STRAIGHT
        if target - 1 > origin:
            turn_in = turn(direction(corners, (start + step * (target - 2)) % size, before), way)
        if target < length:
            turn_out = turn(way, direction(corners, there, (start + step * (target + 1)) % size))
        row, col, steps = way
        # in halves of a pixel, from the origin; gates between the first and the last of a way bound less than these do
        row_before, col_before = (
            2 * (corners[before, 0] - corners[here, 0]),
            2 * (corners[before, 1] - corners[here, 1]),
        )
        last = 2 * steps - 1
        for along in range(1, last + 1, max(last - 1, 1)):
            one, other = turn_in if along == 1 else STRAIGHT, turn_out if along == last else STRAIGHT
            middle_row, middle_col = row_before + along * row, col_before + along * col
            left = tighten(left, LEFT, middle_row + col, middle_col - row, may_touch(LEFT, one, other))
            right = tighten(right, RIGHT, middle_row - col, middle_col + row, may_touch(RIGHT, one, other))
            width = cross(right, left)
            if width < 0 or (width == 0 and not (left[2] and right[2])):
                return best
        line = corners[there, 0] - corners[here, 0], corners[there, 1] - corners[here, 1], True
        from_left, from_right = cross(line, left), cross(right, line)
        if (from_left > 0 or (from_left == 0 and left[2])) and (from_right > 0 or (from_right == 0 and right[2])):
            best = target
    return best


def direction(corners: np.ndarray, one: int, other: int) -> Direction:
    """From a corner to the next one."""
    row, col = corners[other, 0] - corners[one, 0], corners[other, 1] - corners[one, 1]
    steps = abs(row) + abs(col)
    return row // steps, col // steps, steps


def turn(way: Direction, further: Direction) -> Turn:
    """Which side an arc turns to; a line may touch the corner of four squares there if the arc goes by an upper one."""
    return way[1] * further[0] - way[0] * further[1], way[0] < further[0]


def may_touch(side: int, one: Turn, other: Turn) -> bool:
    """Whether a line may touch the end of a gate on a side, from what the arc does before and after the gate."""
    if (one[0] == side and not one[1]) or (other[0] == side and not other[1]):
        return False
    return one[0] == side or other[0] == side


def cross(one: Bound, other: Bound) -> int:
    """The cross product of two vectors: above 0 where the second points further to the left."""
    return one[1] * other[0] - one[0] * other[1]


def tighten(bound: Bound, side: int, row: int, col: int, is_closed: bool) -> Bound:
    """The bound on a side, or the vector (row, col) where that one leaves less."""
    end = row, col, is_closed
    inwards = side * cross(end, bound)
    if inwards > 0 or (bound[0] == 0 and bound[1] == 0):
        return end
    return bound[0], bound[1], bound[2] and (is_closed or inwards < 0)


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
    """As `simplify_rings`, by a `simplify_ring` that may be a compiled one."""
    wide, out = corners.astype(np.int64), np.empty_like(corners)
    new = np.zeros(offsets.size, np.int64)
    for ring, (first, last) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist())):
        at = new[ring]
        new[ring + 1] = at + simplify(wide[first:last], flags[first:last], out[at : at + last - first])
    return new, out[: new[-1]].copy()
