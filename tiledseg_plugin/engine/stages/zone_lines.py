# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines that part pixels: which neighbours have one between them, exactly.

Two neighbours are parted where a line crosses the straight way from the one's centre to the other's. So that it is
clear what a line does that runs through a centre, or along such a way, all lines are thought of as moved to the right
by less than anything, and down by less than that: a centre on a line lies to the left of it, or above it where it is
level. Whatever a line goes round is then parted from the rest, and no pixel is on no side.
"""

from typing import Tuple

import numpy as np

from ..files.window import Window
from ..kernels.contract import WALL_BELOW, WALL_RIGHT

UNIT_BITS = 20  # coordinates are multiples of 2^-20 pixels, a millionth, so that all of this can be exact
DOUBTFUL = 2.0**-12  # pixels: what is computed in doubles may be off by less


def walls_of_lines(points: np.ndarray, is_first: np.ndarray, window: Window, walls: np.ndarray) -> None:
    """Build the walls of some lines.

    Parameters
    ----------
    points : (n, 2) float64, columns and rows in the file, multiples of 2^-UNIT_BITS; line behind line
    is_first : (n,) bool, where a line begins
    window : in the file
    walls : (rows, cols) uint8 of the window, to which they are added
    """
    begins = np.flatnonzero(~is_first[1:])
    one, other = points[begins], points[begins + 1]
    rows, cols = _crossed(one[:, ::-1], other[:, ::-1], (window.row, window.bottom), is_level_above=False)
    inside = (cols >= window.col) & (cols < window.right - 1)
    walls[rows[inside] - window.row, cols[inside] - window.col] |= np.uint8(WALL_RIGHT)
    cols, rows = _crossed(one, other, (window.col, window.right), is_level_above=True)
    inside = (rows >= window.row) & (rows < window.bottom - 1)
    walls[rows[inside] - window.row, cols[inside] - window.col] |= np.uint8(WALL_BELOW)


def _crossed(
    one: np.ndarray, other: np.ndarray, limits: Tuple[int, int], is_level_above: bool
) -> Tuple[np.ndarray, np.ndarray]:
    """Where pieces of lines cross the lines through the centres of rows, or, with x and y changed over, of columns.

    Parameters
    ----------
    one, other : (n, 2) float64, their ends: the coordinate across the rows, and that along them
    limits : the first row and the one behind the last
    is_level_above : whether it is the columns

    Returns
    -------
    rows, before : (m,) int64, the row, and the last centre in it before the crossing
    """
    low, high = np.minimum(one[:, 0], other[:, 0]), np.maximum(one[:, 0], other[:, 0])
    first = np.maximum(
        np.floor(low - 0.5).astype(np.int64) + 1, limits[0]
    )  # the ends differ by whether they lie before
    last = np.minimum(np.floor(high - 0.5).astype(np.int64), limits[1] - 1)
    counts = np.maximum(last - first + 1, 0)
    piece = np.repeat(np.arange(counts.size), counts)
    rows = first[piece] + np.arange(piece.size) - np.repeat(np.cumsum(counts) - counts, counts)
    begin, step = one[piece], other[piece] - one[piece]
    along = begin[:, 1] + (rows + 0.5 - begin[:, 0]) * step[:, 1] / step[:, 0] - 0.5
    before = np.floor(along).astype(np.int64)
    for place in np.flatnonzero(np.abs(along - np.rint(along)) < DOUBTFUL).tolist():
        before[place] = _exactly(begin[place].tolist(), step[place].tolist(), int(rows[place]), is_level_above)
    return rows, before


def _exactly(begin: Tuple[float, float], step: Tuple[float, float], row: int, is_level_above: bool) -> int:
    """The last centre before a crossing, in whole numbers of any size."""
    unit = 1 << UNIT_BITS
    across, along = (int(value * unit) for value in begin)
    down, right = (int(value * unit) for value in step)
    half = unit >> 1
    numerator, denominator = (row * unit + half - across) * right + (along - half) * down, down * unit
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    if is_level_above and right * down > 0:  # moved to the right, a line that falls to the right is higher up
        return -(-numerator // denominator) - 1
    return numerator // denominator
