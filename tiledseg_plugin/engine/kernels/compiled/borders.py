# SPDX-License-Identifier: GPL-2.0-or-later
"""Borders kernel: how long the border between each two regions is that touch in a window."""

from typing import Tuple

import numpy as np

from ..pairs import unpacked
from .cache import inner, kernel

LEAST_BITS = 10  # of the size of the first table
FRACTION = np.uint64(0x9E3779B97F4A7C15)  # of 2^64 by the golden ratio, which spreads keys that are alike


@inner
def _place_of(key: int, keys: np.ndarray, bits: int) -> int:
    """Where a key is in the table, or where there is room for it; 0 is no key, and there is always room."""
    last = len(keys) - 1
    place = np.int64((key * FRACTION) >> np.uint64(64 - bits))
    while keys[place] != 0 and keys[place] != key:
        place = (place + 1) & last
    return place


@kernel
def _borders(
    labels: np.ndarray, across: np.ndarray, down: np.ndarray, keys: np.ndarray, lengths: np.ndarray, bits: int
) -> bool:
    """Fill the table; returns whether it was large enough, with some to spare."""
    rows, cols = labels.shape
    wide = across.shape[1] > 1
    room = len(keys) - len(keys) // 4 - 2
    found = 0
    for row in range(rows - 1):
        for col in range(cols - 1):
            here = labels[row, col]
            at = col if wide else 0
            for direction in range(2):
                other = labels[row, col + 1] if direction else labels[row + 1, col]
                if here == other:
                    continue
                key = (np.uint64(min(here, other)) << np.uint64(32)) | np.uint64(max(here, other))
                place = _place_of(key, keys, bits)
                if keys[place] == 0:
                    if found == room:
                        return False
                    found += 1
                    keys[place] = key
                lengths[place, direction] += down[row, at] if direction else across[row, at]
    return True


def region_borders(
    labels: np.ndarray, count: int, across: np.ndarray, down: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Defined by `plain.borders.region_borders`."""
    labels = np.ascontiguousarray(labels)
    bits = max(LEAST_BITS, int(4 * count).bit_length())
    while True:
        keys, lengths = np.zeros(1 << bits, np.uint64), np.zeros((1 << bits, 2), np.int64)
        if _borders(labels, across, down, keys, lengths, bits):
            break
        bits += 2
    places = np.flatnonzero(keys)
    places = places[np.argsort(keys[places], kind="stable")]
    found = keys[places]
    pairs = unpacked(found)
    return pairs, lengths[places]
