# SPDX-License-Identifier: GPL-2.0-or-later
"""What a segment's pixels say about it, with numpy."""

import numpy as np


def describe(ids, band):
    """Count, and mean, min, max and population standard deviation of the finite values, of each segment.

    Parameters
    ----------
    ids : (rows, cols), 1..n, 0 for none
    band : (rows, cols)

    Returns
    -------
    {name: (n,) float64}, NaN where a segment has no finite value
    """
    count = int(ids.max())
    rows = {name: np.full(count, np.nan) for name in ("count", "mean", "min", "max", "std")}
    order = np.argsort(ids, axis=None, kind="stable")
    ends = np.searchsorted(ids.ravel()[order], np.arange(1, count + 2))
    values = band.ravel()[order].astype(np.float64)
    for index in range(count):
        own = values[ends[index] : ends[index + 1]]
        rows["count"][index] = own.size
        own = own[np.isfinite(own)]
        if own.size:
            found = own.mean(), own.min(), own.max(), own.std()
            for name, value in zip(("mean", "min", "max", "std"), found):
                rows[name][index] = value
    return rows
