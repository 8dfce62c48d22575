# SPDX-License-Identifier: GPL-2.0-or-later
"""Order statistics kernel: the values of each region, sorted, each value once with how often it occurs."""

from typing import Tuple

import numpy as np

from .cache import kernel


@kernel
def _region_histograms(
    labels: np.ndarray, count: int, values: np.ndarray
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Where each region's distinct values will begin, where its values do, all of these sorted, and frequencies."""
    begin = np.zeros(count + 2, np.int64)
    for pixel in range(labels.size):
        if labels[pixel]:
            begin[labels[pixel] + 1] += 1
    for region in range(1, count + 2):
        begin[region] += begin[region - 1]
    ordered = np.empty(begin[count + 1], values.dtype)
    place = begin[:-1].copy()
    for pixel in range(labels.size):
        label = labels[pixel]
        if label:
            ordered[place[label]] = values[pixel]
            place[label] += 1
    starts = np.zeros(count + 1, np.int64)
    frequencies = np.empty(ordered.size, np.int64)
    kept = 0
    for region in range(1, count + 1):
        part = ordered[begin[region] : begin[region + 1]]
        part.sort()
        for at in range(part.size):
            value = part[at]
            if at == 0 or value != part[at - 1]:
                frequencies[kept] = 1
                kept += 1
            else:
                frequencies[kept - 1] += 1
        starts[region] = kept
    return starts, begin, ordered, frequencies[:kept].copy()


@kernel
def _first_of_runs(ordered: np.ndarray, begin: np.ndarray, kept: int) -> np.ndarray:
    """Each region's sorted values without repetitions."""
    distinct = np.empty(kept, ordered.dtype)
    at = 0
    for region in range(1, begin.size - 1):
        for pixel in range(begin[region], begin[region + 1]):
            if pixel == begin[region] or ordered[pixel] != ordered[pixel - 1]:
                distinct[at] = ordered[pixel]
                at += 1
    return distinct


def region_histograms(labels: np.ndarray, count: int, values: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Defined by `plain.quantiles.region_histograms`."""
    starts, begin, ordered, frequencies = _region_histograms(labels, count, values)
    return starts, _first_of_runs(ordered, begin, frequencies.size), frequencies
