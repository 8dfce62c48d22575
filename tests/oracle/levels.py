# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments of several minimum sizes: scales are nested."""

import numpy as np

from .segmentation import segment


def segment_levels(values, valid, min_pixels, levels, **parameters):
    """{minimum size: (rows, cols) uint32 ids}: of each level what a run with that MIN_PIXELS makes.

    Parameters
    ----------
    levels : minimum sizes above `min_pixels`, ascending
    """
    return {size: segment(values, valid, min_pixels=size, **parameters).clumps for size in [min_pixels, *levels]}


def level_columns(by_level):
    """{level: (segments,) uint32}: for each segment of the least level, in the order of their ids, its holder.

    Raises
    ------
    AssertionError : a segment is in two of a level
    """
    least, *larger = by_level.values()
    columns = {}
    for level, ids in zip(list(by_level)[1:], larger):
        column = np.zeros(int(least.max()), np.uint32)
        for segment_id, holder in set(zip(least[least != 0].tolist(), ids[least != 0].tolist())):
            assert column[segment_id - 1] == 0, f"segment {segment_id} is in two of level {level}"
            column[segment_id - 1] = holder
        columns[level] = column
    return columns
