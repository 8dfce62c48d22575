# SPDX-License-Identifier: GPL-2.0-or-later
"""Borders kernel: how long the border between each two regions is that touch in a window."""

from typing import Tuple

import numpy as np

from ..pairs import packed, unpacked


def region_borders(
    labels: np.ndarray, count: int, across: np.ndarray, down: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Lengths of the borders in a window with the margin that `region_shapes` describes.

    Parameters
    ----------
    labels : (rows, cols) uint32, 1..count, 0 where there is no data
    across, down : as in `region_shapes`

    Returns
    -------
    pairs : (n, 2) uint32, two labels that share a side, the smaller first, which is 0 for borders with no data; sorted
    lengths : (n, 2) int64, of their sides across and of those down
    """
    keys, lengths = [], []
    for index, (one, other, length) in enumerate(
        ((labels[:-1, :-1], labels[1:, :-1], across), (labels[:-1, :-1], labels[:-1, 1:], down))
    ):
        border = one != other
        a, b = one[border], other[border]
        keys.append(packed(np.minimum(a, b), np.maximum(a, b)))
        both = np.zeros((a.size, 2), np.int64)
        both[:, index] = np.broadcast_to(length, labels.shape)[:-1, :-1][border]
        lengths.append(both)
    key, length = np.concatenate(keys), np.concatenate(lengths)
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: key.size])
    return unpacked(key[starts]), np.add.reduceat(length[order], starts) if starts.size else length
