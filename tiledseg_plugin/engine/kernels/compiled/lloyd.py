# SPDX-License-Identifier: GPL-2.0-or-later
"""k-means kernels: which centre each colour belongs to after the centres have moved, and what its members add up to."""

from typing import Tuple

import numpy as np

from .cache import kernel
from .centres import CHUNK, compare, in_pairs, room

SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio (Knuth, The Art of Computer Programming 3, 6.4)


@kernel
def _distinct(keys: np.ndarray, slots: np.ndarray, shift: int, first: np.ndarray, counts: np.ndarray) -> int:
    """Count equal keys with a table of slots, whose number is a power of two; returns how many keys are different."""
    found = np.uint32(0)
    last = slots.size - 1
    for i in range(len(keys)):
        mixed = np.uint64(0)
        for word in range(keys.shape[1]):
            mixed = (mixed ^ keys[i, word]) * SPREAD
            mixed ^= mixed >> np.uint64(32)
        slot = np.intp((mixed * SPREAD) >> shift)
        while True:
            index = slots[slot]
            if index == 0:
                slots[slot] = found + 1
                first[found] = i
                counts[found] = 1
                found += np.uint32(1)
                break
            other = first[index - 1]
            same = True
            for word in range(keys.shape[1]):
                same &= keys[other, word] == keys[i, word]
            if same:
                counts[index - 1] += 1
                break
            slot = (slot + 1) & last
    return found


def distinct(keys: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Defined by `plain.lloyd.distinct`."""
    bits = max(1, int(2 * len(keys) - 1).bit_length())
    first, counts = np.empty(len(keys), np.int64), np.empty(len(keys), np.int64)
    found = _distinct(keys, np.zeros(1 << bits, np.uint32), np.uint64(64 - bits), first, counts)
    return first[:found].copy(), counts[:found].copy()


@kernel
def _find_doubtful(
    labels: np.ndarray,
    moved: np.ndarray,
    most: float,
    to_nearest: np.ndarray,
    to_others: np.ndarray,
    margin: float,
    least: float,
    doubtful: np.ndarray,
) -> int:
    """Loosen the bounds by how far centres have moved; list the colours that may have another nearest centre now."""
    count = np.uint32(0)
    for i in range(labels.size):
        to_nearest[i] += moved[labels[i] - 1]
        to_others[i] -= most
        doubtful[count] = i
        count += np.uint32(not to_nearest[i] * (1 + margin) + least < to_others[i] * (1 - margin))
    return count


@kernel
def _keep_doubtful(
    planes: np.ndarray,
    centres: np.ndarray,
    labels: np.ndarray,
    to_nearest: np.ndarray,
    to_others: np.ndarray,
    margin: float,
    least: float,
    doubtful: np.ndarray,
) -> int:
    """Measure the distance to the nearest centre so far, and list the colours for which that does not settle it."""
    bands, count = len(planes), np.uint32(0)
    for place in range(doubtful.size):
        i = doubtful[place]
        own = labels[i] - 1
        distance = np.float32(0)
        for band in range(bands):
            difference = planes[band, i] - centres[own, band]
            distance += difference * difference
        to_nearest[i] = np.sqrt(np.float64(distance)) * (1 + margin)
        doubtful[count] = i
        count += np.uint32(not to_nearest[i] * (1 + margin) + least < to_others[i] * (1 - margin))
    return count


@kernel
def _reassign(
    planes: np.ndarray,
    counts: np.ndarray,
    centres: np.ndarray,
    again: np.ndarray,
    everything: bool,
    labels: np.ndarray,
    to_nearest: np.ndarray,
    to_others: np.ndarray,
    margin: float,
    sizes: np.ndarray,
    sums: np.ndarray,
    colours: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    best: np.ndarray,
    second: np.ndarray,
    index: np.ndarray,
) -> int:
    """Compare the colours numbered `again` with all centres; see `reassign`, and `centres.room` for the last six."""
    bands, changed = len(planes), 0
    for start in range(0, again.size, CHUNK):
        count = min(CHUNK, again.size - start)
        for band in range(bands):
            for j in range(count):
                colours[band, j] = planes[band, again[start + j]]
        compare(colours, centres, near, far, index, best, second)
        for j in range(count):
            i, new = again[start + j], index[j]
            to_nearest[i] = np.sqrt(np.float64(best[j])) * (1 + margin)
            # an infinite square may be that of 2e19
            to_others[i] = min(np.sqrt(np.float64(second[j])), 1e19) * (1 - margin)
            old, times = np.int32(labels[i]) - 1, counts[i]
            if new != old:
                changed += times
                labels[i] = new + 1
            elif not everything:
                continue
            sizes[new] += times
            for band in range(len(sums)):
                sums[band, new] += times * np.int64(colours[band, j])
            if not everything:
                sizes[old] -= times
                for band in range(len(sums)):
                    sums[band, old] -= times * np.int64(colours[band, j])
    return changed


def reassign(
    planes: np.ndarray,
    counts: np.ndarray,
    centres: np.ndarray,
    moved: np.ndarray,
    labels: np.ndarray,
    to_nearest: np.ndarray,
    to_others: np.ndarray,
    margin: float,
    least: float,
    whole: bool,
) -> Tuple[int, np.ndarray, np.ndarray]:
    """Defined by `plain.lloyd.reassign`."""
    everything = not moved.size
    again = np.arange(labels.size, dtype=np.uint32) if everything else np.empty(labels.size + 1, np.uint32)
    if not everything:
        most = moved.max()
        again = again[: _find_doubtful(labels, moved, most, to_nearest, to_others, margin, least, again)]
        again = again[: _keep_doubtful(planes, centres, labels, to_nearest, to_others, margin, least, again)]
    sizes, sums = np.zeros(len(centres), np.int64), np.zeros((len(planes) if whole else 0, len(centres)), np.int64)
    known = labels, to_nearest, to_others, margin
    space = room(len(planes), True)
    changed = _reassign(planes, counts, in_pairs(centres), again, everything, *known, sizes, sums, *space)
    return changed, sizes, sums


@kernel
def _sum_members(labels: np.ndarray, amounts: np.ndarray, sums: np.ndarray) -> None:
    for i in range(labels.size):
        sums[labels[i] - 1] += amounts[i]


def sum_members(labels: np.ndarray, amounts: np.ndarray, k: int) -> np.ndarray:
    """Defined by `plain.lloyd.sum_members`."""
    sums = np.zeros(k)
    _sum_members(labels, amounts, sums)
    return sums
