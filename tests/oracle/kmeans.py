# SPDX-License-Identifier: GPL-2.0-or-later
"""The centres of the clusters."""

import numpy as np


def squared_distances(colour, others):
    """Of a colour to each of some others, (n,) float32: added up band after band.

    Parameters
    ----------
    colour : (bands,) float32
    others : (n, bands) float32
    """
    total = np.zeros(len(others), np.float32)
    for band in range(len(colour)):
        difference = others[:, band] - colour[band]
        total = total + difference * difference
    return total


def nearest(colour, others):
    """Index of the first of the nearest of some colours."""
    return int(np.argmin(squared_distances(colour, others)))


def find_centres(sample, num_clusters, max_iterations):
    """The centres: (k, bands) float32, of six significant digits.

    Parameters
    ----------
    sample : colours, sequences of numbers, in raster order
    num_clusters : lowered to the number of different colours
    """
    pixels = np.array([list(colour) for colour in sample]).astype(np.float32)
    unique = list(dict.fromkeys(tuple(colour) for colour in pixels.tolist()))
    number_of = {colour: number for number, colour in enumerate(unique)}
    members = [number_of[tuple(colour)] for colour in pixels.tolist()]  # the colour that each pixel has
    colours = np.array(unique, np.float32)
    centres = _start(colours, min(num_clusters, len(unique)))
    owner = [nearest(colour, centres) for colour in colours]
    for _ in range(max_iterations):
        centres = _means(colours, members, owner, len(centres))
        before, owner = owner, [nearest(colour, centres) for colour in colours]
        changed = sum(before[number] != owner[number] for number in members)
        if changed <= 0.0025 * len(members):
            break
    return np.array([[float(f"{value:.6g}") for value in centre] for centre in centres.tolist()], np.float32)


def _start(colours, k):
    """Points on the diagonal of the colours' range, each moved onto the nearest colour that is still free."""
    low, high = colours.min(axis=0), colours.max(axis=0)
    free = list(range(len(colours)))
    chosen = []
    for i in range(k):
        point = low + np.float32(i) * (high - low) / np.float32(k)
        chosen.append(free.pop(nearest(point, colours[free])))
    return colours[chosen]


def _means(colours, members, owner, k):
    """The means of the centres' members; a centre without any is dropped."""
    means = []
    often = np.bincount(members)
    for centre in range(k):
        own = [number for number in range(len(colours)) if owner[number] == centre]
        if own:
            size = int(sum(often[number] for number in own))
            means.append([_mean(colours[own, band], often[own], size) for band in range(colours.shape[1])])
    return np.array(means, np.float32)


def _mean(values, often, size):
    """Of whole numbers the sum is exact; of others it is one of doubles, in the order of first appearance."""
    total = 0.0
    for value, times in zip(values.tolist(), often.tolist()):
        total += value * times
    return np.float32(total) / np.float32(size)
