# SPDX-License-Identifier: GPL-2.0-or-later
"""Order statistics kernel: the values of each region, sorted, each value once with how often it occurs."""

from typing import Tuple

import numpy as np


def region_histograms(labels: np.ndarray, count: int, values: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct values of each region of a window, of one band.

    Parameters
    ----------
    labels : (pixels,) uint32, 1..count, 0 where a pixel does not count
    values : (pixels,) of any real dtype, finite where labels are not 0

    Returns
    -------
    starts : (count + 1,) int64, where each region's values begin in the next two, and where the last one's end
    distinct : (n,) of the values' dtype, ascending in each region
    frequencies : (n,) int64
    """
    inside = labels != 0
    regions, values = labels[inside].astype(np.int64) - 1, values[inside]
    order = np.lexsort((values, regions))
    regions, values = regions[order], values[order]
    new = np.ones(values.size, bool)
    new[1:] = (regions[1:] != regions[:-1]) | (values[1:] != values[:-1])
    first = np.flatnonzero(new)
    frequencies = np.diff(np.append(first, values.size))
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(regions[first], minlength=count), out=starts[1:])
    return starts, values[first], frequencies
