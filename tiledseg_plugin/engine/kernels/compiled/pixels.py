# SPDX-License-Identifier: GPL-2.0-or-later
"""Pixel kernels: lookup, numbering."""

from typing import Tuple

import numpy as np

from ..plain import pixels as plain
from .cache import kernel


@kernel
def _relabel(labels: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
    for pixel in range(labels.size):
        out[pixel] = table[labels[pixel]]


def relabel(labels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Defined by `plain.pixels.relabel`."""
    out = np.empty(labels.shape, np.uint32)
    _relabel(read_only(labels), read_only(table), out.reshape(-1))
    return out


def read_only(array: np.ndarray) -> np.ndarray:
    """A flat view that cannot be written to, as of a mapped file: numba compiles anew for each kind of array."""
    flat = np.ascontiguousarray(array).reshape(-1).view()
    flat.flags.writeable = False
    return flat


@kernel
def _range(ids: np.ndarray) -> Tuple[int, int]:
    """(one before the least id, the largest): 0 is no id, and one before it is the largest number there is."""
    before, most = np.uint32(0xFFFFFFFF), np.uint32(0)
    for pixel in range(ids.size):
        before = min(before, np.uint32(ids[pixel] - np.uint32(1)))
        most = max(most, ids[pixel])
    return before, most


@kernel
def _count(ids: np.ndarray, before: int, counts: np.ndarray) -> None:
    """How often each id occurs, counted from the one `before` the least; no data is counted as that one."""
    for pixel in range(ids.size):
        counts[ids[pixel] - before if ids[pixel] else np.uint32(0)] += np.uint32(1)


@kernel
def _number(ids: np.ndarray, before: int, numbers: np.ndarray, labels: np.ndarray) -> None:
    """Look up the number of each id, counted as in `_count`."""
    for pixel in range(ids.size):
        labels[pixel] = numbers[ids[pixel] - before if ids[pixel] else np.uint32(0)]


def compact(ids: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Defined by `plain.pixels.compact`."""
    flat = ids.reshape(-1)
    before, most = _range(flat)
    if not most or int(most) - before > 8 * flat.size:
        return plain.compact(flat)
    counts = np.zeros(int(most) - before + 1, np.uint32)
    _count(flat, np.uint32(before), counts)
    counts[0] = 0
    places = np.flatnonzero(counts)
    numbers, labels = np.cumsum(counts != 0, dtype=np.uint32), np.empty(flat.size, np.uint32)
    _number(flat, np.uint32(before), numbers, labels)
    return (places + before).astype(np.uint32), labels, counts[places].astype(np.int64)


@kernel
def _translate(values: np.ndarray, valid: np.ndarray, tables: np.ndarray, translated: np.ndarray) -> None:
    for band in range(len(values)):
        table, plane, out = tables[band], values[band], translated[band]
        for pixel in range(valid.size):
            out[pixel] = table[plane[pixel]] * valid[pixel]  # a branch would take twice as long


def translate(values: np.ndarray, valid: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Defined by `plain.pixels.translate`."""
    translated, bands = np.empty(values.shape, np.uint8), len(values)
    _translate(values.reshape(bands, -1), valid.reshape(-1), tables, translated.reshape(bands, -1))
    return translated
