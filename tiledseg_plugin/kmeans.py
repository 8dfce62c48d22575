# SPDX-License-Identifier: GPL-2.0-or-later
"""k-means centres from a sample of the raster, as RSGISLib computes them (no random number is involved)."""

import numpy as np

CHANGED_SHARE = 0.0025


def distinct_colours(sample):
    """The different colours of a sample in order of first appearance, and how often each occurs.

    Parameters
    ----------
    sample : (n, bands) uint8 or float32, in raster order

    Returns
    -------
    colours : (m, bands) float32
    counts : (m,) int64
    """
    sample = np.ascontiguousarray(sample) + sample.dtype.type(0)  # -0.0 becomes 0.0
    if sample.dtype == np.uint8 and sample.shape[1] <= 8:
        packed = np.zeros((len(sample), 8), np.uint8)
        packed[:, : sample.shape[1]] = sample
        _, first, counts = np.unique(packed.view(np.uint64).ravel(), return_index=True, return_counts=True)
    else:
        rows = sample.view(np.dtype((np.void, sample.dtype.itemsize * sample.shape[1]))).ravel()
        _, first, counts = np.unique(rows, return_index=True, return_counts=True)
    order = np.argsort(first)
    return sample[first[order]].astype(np.float32), counts[order]


def starting_centres(colours, num_clusters):
    """Points evenly along the diagonal of the sample's range, each moved onto the nearest colour not yet taken."""
    low, high = colours.min(axis=0), colours.max(axis=0)
    free = np.ones(len(colours), bool)
    centres = np.empty((num_clusters, colours.shape[1]), np.float32)
    for i in range(num_clusters):
        point = low + np.float32(i) * (high - low) / np.float32(num_clusters)
        distance = np.zeros(len(colours), np.float32)
        for band in range(colours.shape[1]):
            difference = colours[:, band] - point[band]
            distance += difference * difference
        distance[~free] = np.inf
        nearest = int(np.argmin(distance))
        free[nearest] = False
        centres[i] = colours[nearest]
    return centres


def round_to_six_digits(centres):
    """Round as RSGISLib's centres file does: six significant decimal digits."""
    return np.array([[float(f"{value:.6g}") for value in centre] for centre in centres], np.float32)


def cluster(sample, num_clusters, max_iterations, nearest_centre, check_cancelled=lambda: None):
    """Lloyd's algorithm from a fixed start, in float32.

    Parameters
    ----------
    sample : (n, bands) uint8 or float32, valid pixels' colours in raster order, n >= 1
    num_clusters : int, lowered to the number of distinct colours where there are fewer
    nearest_centre : the kernel
    check_cancelled : called once an iteration

    Returns
    -------
    centres : (k, bands) float32, six significant digits
    iterations : int
    """
    colours, counts = distinct_colours(sample)
    centres = starting_centres(colours, min(num_clusters, len(colours)))
    planes = np.ascontiguousarray(colours.T)
    valid = np.ones(len(colours), bool)
    total = counts.sum()
    member = nearest_centre(planes, valid, centres)
    iteration = 0
    while iteration < max_iterations:
        check_cancelled()
        iteration += 1
        size = np.bincount(member, weights=counts, minlength=len(centres) + 1)[1:]
        sums = np.stack([np.bincount(member, counts * band, len(centres) + 1)[1:] for band in planes.astype(np.float64)])
        kept = size > 0
        centres = (sums[:, kept].astype(np.float32) / size[kept].astype(np.float32)).T.copy()
        previous, member = member, nearest_centre(planes, valid, centres)
        changed = counts[member != previous].sum()
        if changed <= CHANGED_SHARE * total:
            break
    return round_to_six_digits(centres), iteration
