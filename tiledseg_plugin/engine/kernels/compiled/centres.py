# SPDX-License-Identifier: GPL-2.0-or-later
"""Pixel kernel: the nearest centre of every pixel.

A chunk of pixels is compared with two centres at a time, in loops that compile to vector code. They run over
`array.size`, as numba's loops over a constant do not become vector code.
"""

from typing import Any, Tuple

import numpy as np

from .cache import inner, kernel
from .colour_table import ColourTable

BLOCK = 1 << 16  # pixels a call
FEW = 1 << 20  # up to so many pixels, comparing all with all centres is faster than filling a table of colours
CHUNK = 1024  # pixels at a time: their colours and distances stay in the first-level cache


@inner
def _add_band(
    near: np.ndarray, far: np.ndarray, colour: np.ndarray, centres: np.ndarray, one: int, other: int, band: int
) -> None:
    """Add one band's squared differences from two centres; the first band starts from nothing."""
    a, b = centres[one, band], centres[other, band]
    if band == 0:
        for i in range(near.size):
            x = colour[i]
            near[i] = (x - a) * (x - a)
            far[i] = (x - b) * (x - b)
    else:
        for i in range(near.size):
            x = colour[i]
            near[i] += (x - a) * (x - a)
            far[i] += (x - b) * (x - b)


@inner
def _add_three_bands(
    near: np.ndarray, far: np.ndarray, colours: np.ndarray, centres: np.ndarray, one: int, other: int, band: int
) -> None:
    """As `_add_band`, for three bands in their order, with fewer loads and stores."""
    first, second, third = colours[band], colours[band + 1], colours[band + 2]
    a, b, c = centres[one, band], centres[one, band + 1], centres[one, band + 2]
    d, e, f = centres[other, band], centres[other, band + 1], centres[other, band + 2]
    if band == 0:
        for i in range(near.size):
            x, y, z = first[i], second[i], third[i]
            near[i] = (x - a) * (x - a) + (y - b) * (y - b) + (z - c) * (z - c)
            far[i] = (x - d) * (x - d) + (y - e) * (y - e) + (z - f) * (z - f)
    else:
        for i in range(near.size):
            x, y, z = first[i], second[i], third[i]
            near[i] = near[i] + (x - a) * (x - a) + (y - b) * (y - b) + (z - c) * (z - c)
            far[i] = far[i] + (x - d) * (x - d) + (y - e) * (y - e) + (z - f) * (z - f)


@inner
def _keep_nearest(near: np.ndarray, far: np.ndarray, best: np.ndarray, index: np.ndarray, one: int, other: int) -> None:
    """Update the least distances and whose they are; `near` are the distances to centre `one`, `far` to `other`."""
    for i in range(near.size):
        nearer = near[i] < best[i]
        least = near[i] if nearer else best[i]
        k = one if nearer else index[i]
        nearer = far[i] < least
        best[i] = far[i] if nearer else least
        index[i] = other if nearer else k


@inner
def _keep_second(near: np.ndarray, far: np.ndarray, best: np.ndarray, second: np.ndarray) -> None:
    """Update the second least of all distances; to be called before `best` is updated."""
    for i in range(near.size):
        least = near[i] if near[i] < best[i] else best[i]
        more = best[i] if near[i] < best[i] else near[i]
        more = (far[i] if far[i] > least else least) if far[i] < more else more
        second[i] = more if more < second[i] else second[i]


@inner
def compare(
    colours: np.ndarray,
    centres: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    index: np.ndarray,
    best: np.ndarray,
    second: np.ndarray,
) -> None:
    """Fill `index` (n,) int32 with the nearest centre of every colour (bands, n) float32, `best` with its distance.

    `second`, where it is not empty, gets the distance of the second nearest. The number of centres is even.
    """
    bands, infinite = len(colours), np.float32(np.inf)
    for i in range(best.size):
        best[i] = infinite
        index[i] = 0
    for i in range(second.size):
        second[i] = infinite
    for k in range(0, len(centres), 2):
        one, other = np.int32(k), np.int32(k + 1)
        band = np.intp(0)  # as it goes on, so that what it is handed to is compiled once
        while band + 3 <= bands:
            _add_three_bands(near, far, colours, centres, one, other, band)
            band += 3
        while band < bands:
            _add_band(near, far, colours[band], centres, one, other, band)
            band += 1
        if second.size:
            _keep_second(near, far, best, second)
        _keep_nearest(near, far, best, index, one, other)


def in_pairs(centres: np.ndarray) -> np.ndarray:
    """Centres in an even number: after an odd one comes another, to which nothing is as near as to any other."""
    return np.pad(centres, ((0, len(centres) % 2), (0, 0)), constant_values=np.inf)


def room(bands: int, with_second: bool) -> Tuple[np.ndarray, ...]:
    """What a chunk of colours is compared in: its colours, then near, far, best, second and index of `compare`."""
    near, far, best = np.empty((3, CHUNK), np.float32)
    second = np.empty(CHUNK if with_second else 0, np.float32)
    return np.zeros((bands, CHUNK), np.float32), near, far, best, second, np.empty(CHUNK, np.int32)


@kernel
def _label(
    values: np.ndarray,
    valid: np.ndarray,
    centres: np.ndarray,
    labels: np.ndarray,
    nearest: np.ndarray,
    second: np.ndarray,
    colours: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    best: np.ndarray,
    more: np.ndarray,
    index: np.ndarray,
) -> None:
    """Label pixels; where `second` is not empty, also fill in the distances of the two nearest centres.

    The last six are what `room` returns.
    """
    bands, size = values.shape
    for start in range(0, size, CHUNK):
        count = min(CHUNK, size - start)
        wanted = 0
        for i in range(count):
            wanted += valid[start + i]
        if not wanted:
            continue
        for band in range(bands):
            for i in range(count):
                colours[band, i] = values[band, start + i]
        compare(colours, centres, near, far, index, best, more)
        for i in range(count):
            labels[start + i] = index[i] + 1 if valid[start + i] else 0
        if second.size:
            for i in range(count):
                nearest[start + i] = best[i]
                second[start + i] = more[i]


def nearest_two(values: np.ndarray, centres: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Defined by `plain.pixels.nearest_two`."""
    values, size = np.ascontiguousarray(values), values.shape[1]
    labels, nearest, second = np.empty(size, np.uint16), np.empty(size, np.float32), np.empty(size, np.float32)
    _label(values, np.ones(size, bool), in_pairs(centres), labels, nearest, second, *room(len(values), True))
    return labels, nearest, second


@kernel
def _look_up(values: np.ndarray, valid: np.ndarray, table: np.ndarray, labels: np.ndarray) -> None:
    """Labels of one or two bands of uint8 from a table of all their colours."""
    last = len(values) - 1
    for pixel in range(valid.size):
        colour = np.intp(values[last, pixel])
        if last:
            colour += np.intp(values[0, pixel]) << 8
        labels[pixel] = table[colour] if valid[pixel] else 0


def _label_all(values: np.ndarray, valid: np.ndarray, centres: np.ndarray, labels: np.ndarray) -> None:
    """Label pixels (bands, n) of any type, in blocks of float32 so that the kernel is compiled for these only."""
    nothing, space, centres = np.empty(0, np.float32), room(len(values), False), in_pairs(centres)
    for start in range(0, valid.size, BLOCK):
        block = np.s_[start : start + BLOCK]
        colours = np.ascontiguousarray(values[:, block], np.float32)
        _label(colours, valid[block], centres, labels[block], nothing, nothing, *space)


class NearestCentre:
    """Defined by `plain.pixels.NearestCentre`.

    Here what was computed for one window is not computed again for the next: there is a table of the colours met so
    far. Threads may share it; sent to another process, it arrives without the table.
    """

    def __init__(self, centres: np.ndarray) -> None:
        self.centres = np.ascontiguousarray(centres)
        self._seen = 0
        self._table: Any = None  # a ColourTable of three bands, an array of fewer

    def __reduce__(self) -> Tuple[type, Tuple[np.ndarray]]:
        return NearestCentre, (self.centres,)

    def __call__(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        bands = len(values)
        labels = np.zeros(valid.shape, np.uint16)
        pixels = values.reshape(bands, -1), valid.reshape(-1)
        self._seen += valid.size
        if values.dtype != np.uint8 or bands > 3 or self._seen <= min(256**bands, FEW):
            _label_all(*pixels, self.centres, labels.reshape(-1))
            return labels
        if self._table is None:
            self._table = ColourTable(self.centres) if bands == 3 else _all_colours(bands, self.centres)
        if bands == 3:
            self._table.look_up(*pixels, labels.reshape(-1))
        else:
            _look_up(*pixels, self._table, labels.reshape(-1))
        return labels


def _all_colours(bands: int, centres: np.ndarray) -> np.ndarray:
    """Labels of all colours of one or two bands."""
    colours = np.indices((256,) * bands, np.uint8).reshape(bands, -1)
    table = np.empty(colours.shape[1], np.uint16)
    _label_all(colours, np.ones(table.size, bool), centres, table)
    return table


def nearest_centre(values: np.ndarray, valid: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Defined by `plain.pixels.nearest_centre`."""
    return NearestCentre(centres)(values, valid)
