# SPDX-License-Identifier: GPL-2.0-or-later
"""Pairs of labels, packed into one number each: they sort several times faster than as rows.

And numpy keeps the interpreter lock while it compares rows (`np.unique(..., axis=0)`), for over a second in a large
tile; QGIS stands still then. Numbers are sorted without it.
"""

from typing import Optional, Tuple

import numpy as np

LOW = np.uint64(0xFFFFFFFF)
AT_ONCE = 1 << 18  # of many, so that what is worked out along the way is small


def packed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n,) uint64 from two (n,) integers below 2^32; in the order of the first ones, then of the others."""
    return one.astype(np.uint64) << np.uint64(32) | other.astype(np.uint64)


def unpacked(keys: np.ndarray) -> np.ndarray:
    """(n, 2) uint32, the pairs that `packed` has made numbers of."""
    return np.stack([keys >> np.uint64(32), keys & LOW], axis=1).astype(np.uint32)


def distinct_pairs(pairs: np.ndarray) -> np.ndarray:
    """(n, 2) integers below 2^32 -> (m, 2) uint32, each pair once, sorted."""
    return unpacked(np.unique(packed(pairs[:, 0], pairs[:, 1])))


def counted_pairs(pairs: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """As `distinct_pairs`, with how often each occurs: (m,) int64."""
    keys, times = np.unique(packed(pairs[:, 0], pairs[:, 1]), return_counts=True)
    return unpacked(keys), times


def look_up(indices: np.ndarray, table: np.ndarray, found: Optional[np.ndarray] = None) -> None:
    """Look indices, such as pairs (m, 2), up in a table, by and by as they are many: in place, or into `found`."""
    found = indices if found is None else found
    for begin in range(0, len(indices), AT_ONCE):
        part = slice(begin, begin + AT_ONCE)
        found[part] = table[indices[part]]
