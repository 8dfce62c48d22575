# SPDX-License-Identifier: GPL-2.0-or-later
"""Pixel kernel: single pixels take the cluster of their nearest neighbour that is not single."""

from typing import Optional, Sequence, Tuple

import numpy as np

from ..contract import WALL_BELOW, WALL_RIGHT
from .cache import inner, kernel

SINGLE, UNCERTAIN = 1, 2  # `status` of a pixel; 0 is settled
NOBODY, IN_DOUBT, JOINED = -1, -2, -3  # what a pass finds for a single pixel instead of a neighbour to follow


@inner
def _flag_singles(above: np.ndarray, row: np.ndarray, below: np.ndarray, flags: np.ndarray) -> None:
    """1 for the pixels of a row with data and no 4-neighbour of their cluster, else 0; compiles to vector code."""
    for col in range(row.size):
        cluster = row[col]
        flags[col] = (cluster != 0) & (cluster != above[col]) & (cluster != below[col])
    for col in range(row.size - 1):
        flags[col] &= row[col] != row[col + 1]
    for col in range(row.size - 1):
        flags[col + 1] &= row[col + 1] != row[col]


@inner
def _flag_singles_between(
    above: np.ndarray, row: np.ndarray, below: np.ndarray, walls_above: np.ndarray, walls: np.ndarray, flags: np.ndarray
) -> None:
    """As `_flag_singles`, where there are walls."""
    for col in range(row.size):
        from_above = (row[col] != above[col]) | ((walls_above[col] & WALL_BELOW) != 0)
        from_below = (row[col] != below[col]) | ((walls[col] & WALL_BELOW) != 0)
        flags[col] = (row[col] != 0) & from_above & from_below
    for col in range(row.size - 1):
        if row[col] == row[col + 1] and not walls[col] & WALL_RIGHT:
            flags[col] = 0
            flags[col + 1] = 0


@kernel
def _find_singles(
    clusters: np.ndarray, walls: Optional[np.ndarray], nothing: np.ndarray, status: np.ndarray, found: np.ndarray
) -> int:
    """Flag the single pixels in `status`; returns how many there are, whose indices, in raster order, are in `found`.

    Where there are no walls, what is about them is not even compiled.

    nothing : (cols,) uint16, zeros
    """
    rows, cols = clusters.shape
    last, count = rows - 1, 0
    for row in range(rows):
        above = clusters[row - 1] if row else nothing
        below = clusters[row + 1] if row < last else nothing
        flags = status[row]
        if walls is None:
            _flag_singles(above, clusters[row], below, flags)
        else:  # above the first row there is nothing, and so no wall that matters
            _flag_singles_between(above, clusters[row], below, walls[max(row - 1, 0)], walls[row], flags)
        for col in range(cols):  # without a branch, as nobody can foresee which pixels are single
            found[count] = row * cols + col
            count += flags[col]
    return count


@inner
def _neighbours(cell: int, row: int, rows: int, cols: int) -> Tuple[int, int, int, int]:
    """Indices of the neighbours up, down, left and right; the single cell itself, never followed, for those outside."""
    col = cell - row * cols
    up = cell - cols if row else cell
    down = cell + cols if row + 1 < rows else cell
    left = cell - 1 if col else cell
    right = cell + 1 if col + 1 < cols else cell
    return up, down, left, right


@inner
def _open_neighbours(
    cell: int, row: int, rows: int, cols: int, walls: Optional[np.ndarray]
) -> Tuple[int, int, int, int]:
    """As `_neighbours`; the single cell itself also for those behind a wall."""
    up, down, left, right = _neighbours(cell, row, rows, cols)
    if walls is not None:
        up = cell if walls[up] & WALL_BELOW else up
        down = cell if walls[cell] & WALL_BELOW else down
        left = cell if walls[left] & WALL_RIGHT else left
        right = cell if walls[cell] & WALL_RIGHT else right
    return up, down, left, right


@inner
def _is_settled(cell: int, state: np.ndarray, status: np.ndarray) -> bool:
    return (status[cell] == 0) & (state[cell] != 0)


@inner
def _find_followed(
    active: np.ndarray,
    found: np.ndarray,
    state: np.ndarray,
    status: np.ndarray,
    values: np.ndarray,
    walls: Optional[np.ndarray],
    rows: int,
    cols: int,
) -> None:
    """For every active pixel its nearest neighbour that is not single, or NOBODY; IN_DOUBT beside an uncertain one."""
    row = 0
    infinite = np.float32(np.inf)
    for i in range(active.size):
        cell = np.intp(active[i])
        while cell >= (row + 1) * cols:  # active pixels are in raster order
            row += 1
        up, down, left, right = _open_neighbours(cell, row, rows, cols, walls)
        if (status[up] | status[down] | status[left] | status[right]) & UNCERTAIN:
            found[i] = IN_DOUBT
            continue
        to_up, to_down, to_left, to_right = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for band in range(len(values)):
            colour = np.float32(values[band, cell])
            difference = colour - np.float32(values[band, up])
            to_up += difference * difference
            difference = colour - np.float32(values[band, down])
            to_down += difference * difference
            difference = colour - np.float32(values[band, left])
            to_left += difference * difference
            difference = colour - np.float32(values[band, right])
            to_right += difference * difference
        # selections rather than branches, as nobody can foresee which neighbour is nearest
        best = to_up if _is_settled(up, state, status) else infinite
        followed = up
        distance = to_down if _is_settled(down, state, status) else infinite
        followed = down if distance < best else followed
        best = min(distance, best)
        distance = to_left if _is_settled(left, state, status) else infinite
        followed = left if distance < best else followed
        best = min(distance, best)
        distance = to_right if _is_settled(right, state, status) else infinite
        followed = right if distance < best else followed
        best = min(distance, best)
        found[i] = followed if best < infinite else NOBODY


@inner
def _look_again(
    active: np.ndarray,
    found: np.ndarray,
    state: np.ndarray,
    status: np.ndarray,
    walls: Optional[np.ndarray],
    rows: int,
    cols: int,
) -> None:
    """For pixels with nobody to follow: JOINED if a pixel beside has just got their cluster, or IN_DOUBT or NOBODY."""
    row = 0
    for i in range(active.size):
        cell = np.intp(active[i])
        while cell >= (row + 1) * cols:
            row += 1
        found[i] = NOBODY
        for near in _open_neighbours(cell, row, rows, cols, walls):
            if status[near] == UNCERTAIN and found[i] == NOBODY:
                found[i] = IN_DOUBT
            elif status[near] == 0 and state[near] == state[cell]:
                found[i] = JOINED


@inner
def _settle(active: np.ndarray, found: np.ndarray, state: np.ndarray, status: np.ndarray) -> int:
    """Carry out what was found; returns how many pixels stay single, which stand first in `active`."""
    kept = 0
    for i in range(active.size):
        cell = active[i]
        if found[i] >= 0:  # the followed pixel is not single, so nothing changes it in this pass
            state[cell] = state[found[i]]
            status[cell] = 0
        elif found[i] == JOINED:
            status[cell] = 0
        elif found[i] == IN_DOUBT:
            status[cell] = UNCERTAIN
        else:
            active[kept] = cell
            kept += 1
    return kept


@kernel
def _run_passes(
    state: np.ndarray,
    status: np.ndarray,
    active: np.ndarray,
    values: np.ndarray,
    walls: Optional[np.ndarray],
    rows: int,
    cols: int,
    found: np.ndarray,
) -> None:
    """Pass after pass; `found` is room for as many as are active."""
    while active.size:
        count = active.size
        _find_followed(active, found, state, status, values, walls, rows, cols)
        active = active[: _settle(active, found, state, status)]
        _look_again(active, found, state, status, walls, rows, cols)
        active = active[: _settle(active, found, state, status)]
        if active.size == count:
            break


def eliminate_singles(
    clusters: np.ndarray, values: np.ndarray, open_sides: Sequence[bool], walls: Optional[np.ndarray] = None
) -> Tuple[np.ndarray, np.ndarray]:
    """Defined by `plain.pixels.eliminate_singles`."""
    rows, cols = clusters.shape
    state, status = clusters.copy(), np.empty((rows, cols), np.uint8)
    # room for the worst case, and one more, as the next place is always written to; pages not written take no memory
    room = np.empty(clusters.size + 1, np.int32 if clusters.size < 2**31 else np.int64)
    active = room[: _find_singles(state, walls, np.zeros(cols, np.uint16), status, room)]
    for is_open, edge in zip(open_sides, (np.s_[0, :], np.s_[-1, :], np.s_[:, 0], np.s_[:, -1])):
        if is_open:
            status[edge] = np.where(status[edge] != 0, UNCERTAIN, 0)
    if any(open_sides):
        active = active[status.reshape(-1)[active] == SINGLE]
    colours = values.reshape(len(values), -1)
    flat_walls, found = None if walls is None else walls.reshape(-1), np.empty_like(active)
    _run_passes(state.reshape(-1), status.reshape(-1), active, colours, flat_walls, rows, cols, found)
    return state, status == UNCERTAIN
