# SPDX-License-Identifier: GPL-2.0-or-later
"""Pixel kernel: the nearest centre of 8-bit colours of three bands, from tables that are filled as colours are met.

The colours are cut into cells of 4 x 4 x 4. Only centres that can be nearest to a colour of the cell are compared;
where there is but one, it stands in the table of cells, else each colour's stands in the table of colours. Threads
share the tables without a lock: an entry is 0 until it gets the only value that it ever has, so a thread that finds 0
computes that value, and one that finds another number has found the right one.
"""

from typing import Tuple

import numpy as np

from .cache import inner, kernel

MARGIN = np.float32(1e-5)  # of a squared distance, more than the rounding of three float32 squares and their sum
LEAST = np.float32(1e-30)  # of a squared distance; below it, squares underflow
LARGEST = np.float32(1e30)  # of a squared distance; far above it, squares overflow
CELL, BLOCK = 4, 16  # values a band; a block is 64 cells
MIXED = np.uint16(65535)  # in the table of cells: see the table of colours
CHUNK = 1024  # pixels at a time


class ColourTable:
    """The nearest centre of each colour that was met so far.

    The tables have room for all colours; pages of them that are not written to take no memory.
    """

    def __init__(self, centres: np.ndarray) -> None:
        self.planes = np.ascontiguousarray(centres.T)
        self.cells = np.zeros(64**3, np.uint16)
        self.colours = np.zeros(256**3, np.uint8 if len(centres) < 256 else np.uint16)

    def look_up(self, values: np.ndarray, valid: np.ndarray, labels: np.ndarray) -> None:
        """Label pixels (3, n) uint8: 1 + index of the nearest centre, 0 where not valid."""
        wanted = np.zeros(self.cells.size, bool)
        chunks = np.arange(-(-valid.size // CHUNK))
        room = np.empty(CHUNK, np.uint32), np.empty(CHUNK + 1, np.uint32)
        chunks = chunks[: _look_up(chunks, values, valid, self.cells, self.colours, labels, wanted, *room)]
        if chunks.size:
            self._fill(np.flatnonzero(wanted))
            _look_up(chunks, values, valid, self.cells, self.colours, labels, wanted, *room)

    def _fill(self, missing: np.ndarray) -> None:
        """Fill in the tables for some cells, ascending."""
        k = self.planes.shape[1]
        everyone, (possible, of_block) = np.arange(k).astype(np.uint16), np.empty((2, k + 1), np.uint16)
        nearest, (best, distance) = np.empty(k, np.float32), np.empty((2, 64), np.float32)
        room = possible, of_block, nearest, best, distance, np.empty((3, 64), np.float32), np.empty(64, np.int32)
        _fill_cells(missing, self.planes, self.cells, self.colours, everyone, *room)


@inner
def _find_possible(
    low: Tuple[float, float, float],
    width: float,
    centres: np.ndarray,
    candidates: np.ndarray,
    number: int,
    nearest: np.ndarray,
    possible: np.ndarray,
) -> int:
    """List, in their order, those of the first `number` candidates that can be nearest to a point of a cube of colours.

    Returns how many.

    low : the cube's lowest value in each band; width : highest less lowest
    """
    limit, zero = np.float32(np.inf), np.float32(0)
    red, green, blue = low
    for i in range(number):
        k = candidates[i]
        x, y, z = centres[0, k] - red, centres[1, k] - green, centres[2, k] - blue
        a, b, c = max(max(-x, x - width), zero), max(max(-y, y - width), zero), max(max(-z, z - width), zero)
        nearest[i] = a * a + b * b + c * c
        a, b, c = max(x, width - x), max(y, width - y), max(z, width - z)
        furthest = a * a + b * b + c * c
        limit = furthest if furthest < limit else limit
    limit = limit + limit * MARGIN + LEAST if limit < LARGEST else np.float32(np.inf)
    count = 0
    for i in range(number):
        possible[count] = candidates[i]
        count += not nearest[i] > limit
    return count


@inner
def _compare(
    colours: np.ndarray, a: float, b: float, c: float, distance: np.ndarray, best: np.ndarray, index: np.ndarray, k: int
) -> None:
    """Update the least distances of colours (3, n), and whose they are, with centre `k`, which is (a, b, c)."""
    first, second, third = colours[0], colours[1], colours[2]
    for i in range(distance.size):
        x, y, z = first[i], second[i], third[i]
        distance[i] = (x - a) * (x - a) + (y - b) * (y - b) + (z - c) * (z - c)
    for i in range(distance.size):
        nearer = distance[i] < best[i]
        best[i] = distance[i] if nearer else best[i]
        index[i] = k if nearer else index[i]


@inner
def _corner(block: int, cell: int) -> Tuple[float, float, float]:
    """The lowest values of a cell of a block."""
    return (
        np.float32((block >> 8) * BLOCK + (cell >> 4) * CELL),
        np.float32((block >> 4 & 15) * BLOCK + (cell >> 2 & 3) * CELL),
        np.float32((block & 15) * BLOCK + (cell & 3) * CELL),
    )


@kernel
def _fill_cells(
    missing: np.ndarray,
    centres: np.ndarray,
    cells: np.ndarray,
    colours: np.ndarray,
    everyone: np.ndarray,
    possible: np.ndarray,
    of_block: np.ndarray,
    nearest: np.ndarray,
    best: np.ndarray,
    distance: np.ndarray,
    planes: np.ndarray,
    index: np.ndarray,
) -> None:
    """Fill in the tables for cells (m,), in ascending order so that those of a block follow each other.

    `everyone` are the numbers of all centres; the rest is room.
    """
    k = everyone.size
    before, block_count = -1, k
    for place in range(missing.size):
        cell = missing[place]
        block = cell >> 6
        if block != before:
            before = block
            low = _corner(block, np.intp(0))
            block_count = _find_possible(low, np.float32(BLOCK - 1), centres, everyone, k, nearest, of_block)
        low = _corner(block, cell & 63)
        count = _find_possible(low, np.float32(CELL - 1), centres, of_block, block_count, nearest, possible)
        if count == 1:
            cells[cell] = possible[0] + 1
            continue
        for i in range(64):
            planes[0, i], planes[1, i], planes[2, i] = low[0] + (i >> 4), low[1] + (i >> 2 & 3), low[2] + (i & 3)
        for i in range(64):
            best[i] = np.float32(np.inf)
            index[i] = 0
        for i in range(count):
            centre = possible[i]
            _compare(planes, centres[0, centre], centres[1, centre], centres[2, centre], distance, best, index, centre)
        for i in range(64):
            colours[cell * 64 + i] = index[i] + 1
        cells[cell] = MIXED


@inner
def _find_cells(red: np.ndarray, green: np.ndarray, blue: np.ndarray, found: np.ndarray) -> None:
    """The cell of each pixel: compiles to vector code."""
    for i in range(red.size):
        x, y, z = np.uint32(red[i]), np.uint32(green[i]), np.uint32(blue[i])
        block = x >> 4 << 8 | y >> 4 << 4 | z >> 4
        found[i] = block << 6 | (x >> 2 & 3) << 4 | (y >> 2 & 3) << 2 | z >> 2 & 3


@inner
def _look_up_cells(
    cells: np.ndarray, cell_of: np.ndarray, valid: np.ndarray, labels: np.ndarray, undecided: np.ndarray
) -> int:
    """Label pixels by their cells; list those that this does not decide, and return their number."""
    count = np.uint32(0)
    for i in range(valid.size):
        label = cells[cell_of[i]]
        labels[i] = label if valid[i] else 0
        undecided[count] = i
        count += np.uint32(((label == 0) | (label == MIXED)) & valid[i])
    return count


@inner
def _look_up_colours(
    colours: np.ndarray,
    cell_of: np.ndarray,
    red: np.ndarray,
    green: np.ndarray,
    blue: np.ndarray,
    labels: np.ndarray,
    undecided: np.ndarray,
    count: int,
) -> int:
    """Label the first `count` undecided pixels by their colours; returns how many are not in the table."""
    lacking = 0
    for place in range(count):
        i = undecided[place]
        x, y, z = np.uint32(red[i]), np.uint32(green[i]), np.uint32(blue[i])
        labels[i] = colours[cell_of[i] << 6 | (x & 3) << 4 | (y & 3) << 2 | z & 3]
        lacking += labels[i] == 0
    return lacking


@kernel
def _look_up(
    chunks: np.ndarray,
    values: np.ndarray,
    valid: np.ndarray,
    cells: np.ndarray,
    colours: np.ndarray,
    labels: np.ndarray,
    wanted: np.ndarray,
    cell_of: np.ndarray,
    undecided: np.ndarray,
) -> int:
    """Label the pixels of some chunks; the last two are room for one.

    Of chunks that have a colour which is not in the tables, the numbers come to stand first in `chunks`, and their
    number is returned; the cells of such colours are flagged in `wanted`.
    """
    lacking = 0
    for place in range(chunks.size):
        chunk = chunks[place]
        begin, end = chunk * CHUNK, (chunk + 1) * CHUNK
        red, green, blue = values[0, begin:end], values[1, begin:end], values[2, begin:end]
        inside, found = valid[begin:end], labels[begin:end]
        _find_cells(red, green, blue, cell_of)
        count = _look_up_cells(cells, cell_of, inside, found, undecided)
        if _look_up_colours(colours, cell_of, red, green, blue, found, undecided, count):
            for j in range(count):
                i = undecided[j]
                wanted[cell_of[i]] |= found[i] == 0
            chunks[lacking] = chunk
            lacking += 1
    return lacking
