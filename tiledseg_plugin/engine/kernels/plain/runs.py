# SPDX-License-Identifier: GPL-2.0-or-later
"""Labels as runs along rows, each described by what lies above it: most of a region's runs continue its last row.

A code is a byte: 64 times what the label of the run is, and one less than how many pixels it has. Labels are

GIVEN : the next one of a list
ABOVE : that of the pixel above the run's first pixel
BESIDE : the next other one in the row above, if it begins at most REACH pixels to the right of that pixel
SAME : that of the run before, which is longer than MOST pixels

Row by row, from left to right; no run goes on in another row.
"""

from typing import Optional, Tuple

import numpy as np

GIVEN, ABOVE, BESIDE, SAME = range(4)
MOST = 64  # pixels of a code
REACH = 32
DAMAGED = "its runs are not those of so many rows"


def encode_runs(labels: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Describe an image by its runs.

    Parameters
    ----------
    labels : (rows, cols) uint32

    Returns
    -------
    codes : (n,) uint8
    given : (m,) uint32, the labels of the runs that are GIVEN
    """
    rows, cols = labels.shape
    flat = labels.reshape(-1)
    is_first = np.ones(flat.size, bool)
    np.not_equal(flat[1:], flat[:-1], out=is_first[1:])
    is_first[::cols] = True
    starts = np.flatnonzero(is_first)
    found, row_of = flat[starts], starts // cols
    lengths = np.diff(starts, append=flat.size)
    over = np.flatnonzero(row_of > 0)
    place = starts[over] - cols  # of the pixel above
    beside = np.searchsorted(starts, place, side="right")  # the run after the one above, if it is in that row
    is_beside = (row_of[beside] < row_of[over]) & (starts[beside] - place <= REACH) & (found[beside] == found[over])
    kinds = np.full(starts.size, GIVEN, np.uint8)
    kinds[over[is_beside]] = BESIDE
    kinds[over[flat[place] == found[over]]] = ABOVE
    given = found[kinds == GIVEN]
    parts = (lengths - 1) // MOST + 1
    codes = np.full(int(parts.sum()), SAME * MOST + MOST - 1, np.uint8)
    ends = np.cumsum(parts)
    codes[ends - 1] = SAME * MOST + (lengths - 1) % MOST
    codes[ends - parts] -= ((SAME - kinds) * np.uint8(MOST)).astype(np.uint8)
    return codes, given


def decode_runs(codes: np.ndarray, given: np.ndarray, table: Optional[np.ndarray], found: np.ndarray) -> None:
    """Draw what `encode_runs` has described.

    Parameters
    ----------
    codes, given : as it returned them, or what somebody has made of them
    table : (count,) uint32, where each label is looked up; None for the labels themselves
    found : (rows, cols) uint32, which is filled

    Raises
    ------
    ValueError : they do not describe an image of that shape, or a label is not in the table
    """
    rows, cols = found.shape
    kinds, lengths = codes // MOST, (codes % MOST).astype(np.int64) + 1
    ends = np.cumsum(lengths)
    row_ends = np.searchsorted(ends, cols * np.arange(1, rows + 1)) + 1
    if row_ends[-1] != codes.size or not np.array_equal(ends[row_ends - 1], cols * np.arange(1, rows + 1)):
        raise ValueError(DAMAGED)
    if table is not None and given.size and given.max() >= table.size:
        raise ValueError(DAMAGED)
    heads = np.flatnonzero(kinds != SAME)
    row_begins = np.append(0, row_ends[:-1])
    if (kinds[row_begins] == SAME).any() or np.count_nonzero(kinds == GIVEN) != given.size:
        raise ValueError(DAMAGED)
    starts, kinds = (ends - lengths)[heads], kinds[heads]
    lengths = np.diff(starts, append=rows * cols)
    bounds = np.append(np.searchsorted(heads, row_begins), heads.size)
    known, above = 0, (np.empty(0, np.int64), np.empty(0, np.uint32))
    for row, (begin, end) in enumerate(zip(bounds, bounds[1:])):
        own, which = starts[begin:end] - row * cols, kinds[begin:end]
        labels = np.empty(own.size, np.uint32)
        count = np.count_nonzero(which == GIVEN)
        labels[which == GIVEN] = given[known : known + count]
        known += count
        if count < own.size:
            _continue(above, own, which, labels)
        drawn = labels if table is None else table[labels]
        found[row] = np.repeat(drawn, lengths[begin:end])
        is_other = np.append(True, labels[1:] != labels[:-1])
        above = own[is_other], labels[is_other]


def _continue(above: Tuple[np.ndarray, np.ndarray], own: np.ndarray, which: np.ndarray, labels: np.ndarray) -> None:
    """The labels of runs that the row above tells.

    Parameters
    ----------
    above : columns where its runs begin, and their labels; empty before the first row
    own, which : columns where the runs of this row begin, and their kinds
    labels : (runs,) uint32, of which some are filled
    """
    begins, those = above
    follows = np.searchsorted(begins, own, side="right")
    is_beside = which == BESIDE
    if not begins.size or (is_beside & (follows == begins.size)).any():
        raise ValueError(DAMAGED)
    if (begins[follows[is_beside]] - own[is_beside] > REACH).any():
        raise ValueError(DAMAGED)
    labels[is_beside] = those[follows[is_beside]]
    is_above = which == ABOVE
    labels[is_above] = those[follows[is_above] - 1]
