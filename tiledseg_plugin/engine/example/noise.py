# SPDX-License-Identifier: GPL-2.0-or-later
"""Chance that is the same everywhere: on every machine and with every version of numpy, to the last bit.

Numbers come from a hash of coordinates, rather than from a generator that may change; and only what IEEE 754 defines
exactly is done with them: sums, products, quotients, square roots.
"""

from typing import Tuple, Union

import numpy as np

Shape = Tuple[int, int]
Number = Union[int, np.ndarray]


def hashed(seed: int, *coordinates: Number) -> np.ndarray:
    """64 bits of chance for each place, uint64; coordinates are whole numbers, negative ones too, and broadcast."""
    state = np.full(1, seed, np.uint64)
    for coordinate in coordinates:
        state = state * np.uint64(0xD1342543DE82EF95) + np.asarray(coordinate, np.int64).astype(np.uint64)
        state ^= state >> np.uint64(31)
        state *= np.uint64(0x9E3779B97F4A7C15)
    state ^= state >> np.uint64(29)
    state *= np.uint64(0xBF58476D1CE4E5B9)
    state ^= state >> np.uint64(32)
    return state


def uniform(seed: int, *coordinates: Number) -> np.ndarray:
    """Numbers from 0 to below 1, float32."""
    return (hashed(seed, *coordinates) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def share(bits: np.ndarray, start: int) -> np.ndarray:
    """12 of 64 bits, counted from `start`, as numbers from 0 to below 1, float32."""
    return (bits >> np.uint64(start) & np.uint64(0xFFF)).astype(np.float32) * np.float32(2.0**-12)


def speckle(seed: int, shape: Shape) -> Tuple[np.ndarray, np.ndarray]:
    """Noise of a sensor for two bands: every pixel by itself, mean 0, deviation 1; each (rows, cols) float32."""
    chance = hashed(seed, np.arange(shape[0] * shape[1])).astype("<u8").view(np.uint8).reshape(-1, 8)
    sums = (chance[:, first].astype(np.int16) + chance[:, first + 1] + chance[:, first + 2] + chance[:, first + 3]
            for first in (0, 4))  # fmt: skip
    one, other = ((total - np.float32(510)).reshape(shape) * np.float32(1 / 147.8) for total in sums)
    return one, other


def smooth(seed: int, shape: Shape, cell: int) -> np.ndarray:
    """Hills and hollows of about the size of a cell, from 0 to 1; (rows, cols) float32."""
    (above, down), (left, across) = (_between(length, cell) for length in shape)
    lattice = uniform(seed, np.arange(above[-1] + 2)[:, None], np.arange(left[-1] + 2))
    lines = lattice[:, left] + (lattice[:, left + 1] - lattice[:, left]) * across
    start, surface = lines[above], lines[above + 1]
    surface -= start
    surface *= down[:, None]
    surface += start
    return surface


def _between(length: int, cell: int) -> Tuple[np.ndarray, np.ndarray]:
    """Of every pixel the lattice point before it, and how far it is from there to the next, eased at both ends."""
    places = np.arange(length)
    share = (places % cell).astype(np.float32) / np.float32(cell)
    return places // cell, share * share * (3 - 2 * share)


def fractal(seed: int, shape: Shape, cell: int, octaves: int) -> np.ndarray:
    """Smooth noise with finer and fainter noise on it, from 0 to 1."""
    total = smooth(seed, shape, cell)
    weight = 1.0
    for octave in range(1, octaves):
        part = np.float32(0.5**octave)
        total += part * smooth(seed + octave, shape, max(cell >> octave, 2))
        weight += float(part)
    return total / np.float32(weight)


def curve(seed: int, length: int, cell: int, octaves: int = 3) -> np.ndarray:
    """A winding line, from 0 to 1: (length,) float32."""
    return fractal(seed, (length, 1), cell, octaves)[:, 0]
