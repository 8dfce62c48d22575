# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics and textures of segments, segment after segment and pair after pair, with numpy."""

import math

import numpy as np

OFFSETS = ((0, 1), (1, 0), (1, 1), (1, -1))


def statistic(name, values, pixels):
    """One statistic of a segment.

    Parameters
    ----------
    values : (n,) float64, of its valid pixels
    pixels : how many it has, valid or not
    """
    if name == "count":
        return values.size
    if name == "valid_fraction":
        return values.size / pixels
    if not values.size:
        return math.nan
    distinct, times = np.unique(values, return_counts=True)
    if name.startswith("share_"):
        return float(np.mean(values == int(name[6:])))
    if name[0] == "p" and name[1:].isdigit():
        return np.percentile(values, int(name[1:]))
    return {
        "mean": np.mean,
        "std": np.std,
        "min": np.min,
        "max": np.max,
        "median": np.median,
        "sum": np.sum,
        "majority": lambda _: distinct[np.argmax(times)],
        "minority": lambda _: distinct[np.argmin(times)],
        "variety": lambda _: distinct.size,
        "range": lambda _: distinct[-1] - distinct[0],
        "cv": lambda _: np.std(values) / abs(np.mean(values)) if np.mean(values) else math.nan,
    }[name](values)


def statistics(ids, values, valid, names):
    """{name: values of all segments, ascending by id}, of one band.

    Parameters
    ----------
    ids : (rows, cols), a masked array where some are no segments
    values : (rows, cols) float64, as they are meant
    valid : (rows, cols) bool
    """
    every = np.unique(ids.compressed()) if np.ma.isMaskedArray(ids) else np.unique(ids[ids != 0])
    inside = [np.ma.filled(ids == one, False) for one in every]
    return {name: np.array([statistic(name, values[own & valid], own.sum()) for own in inside]) for name in names}


def levels_of(values, counted, levels):
    """Grey levels of a band, as shepherd's stretch has its limits: two standard deviations, within the range."""
    own = values[counted].astype(np.longdouble)
    low = max(own.mean() - 2 * own.std(), own.min())
    high = min(own.mean() + 2 * own.std(), own.max())
    if high <= low:
        return np.zeros(values.shape, int)
    return np.clip(np.floor((values - low) / (high - low) * levels), 0, levels - 1).astype(int)


def textures(ids, grey, counted, levels):
    """{texture: values of all segments, ascending by id}: matrices of pairs, cell by cell."""
    every = np.unique(ids[ids != 0])
    found = {name: np.full(every.size, np.nan) for name in ("contrast", "homogeneity", "entropy", "correlation")}
    rows, cols = ids.shape
    for place, one in enumerate(every):
        matrix = np.zeros((levels, levels))
        for row, col in np.argwhere((ids == one) & counted):
            for down, across in OFFSETS:
                r, c = row + down, col + across
                if 0 <= r < rows and 0 <= c < cols and ids[r, c] == one and counted[r, c]:
                    matrix[grey[row, col], grey[r, c]] += 1
                    matrix[grey[r, c], grey[row, col]] += 1
        if matrix.sum():
            for name, value in of_matrix(matrix / matrix.sum()).items():
                found[name][place] = value
    return found


def of_matrix(p):
    """Haralick, Shanmugam and Dinstein (1973), f2, f5, f9, f3; a correlation is none where there is no variance."""
    i, j = np.indices(p.shape)
    some = p > 0
    mean = (p * i).sum()
    variance = (p * (i - mean) ** 2).sum()
    return {
        "contrast": (p * (i - j) ** 2).sum(),
        "homogeneity": (p / (1 + (i - j) ** 2)).sum(),
        "entropy": -(p[some] * np.log(p[some])).sum(),
        "correlation": (p * (i - mean) * (j - mean)).sum() / variance if variance > 1e-12 else np.nan,
    }
