# SPDX-License-Identifier: GPL-2.0-or-later
"""The elimination of small clumps, step by step."""

import numpy as np


def eliminate_small(grid, clumps, quantities, unit, min_pixels, threshold):
    """{pixel: id of the clump that it has become a part of}.

    Parameters
    ----------
    clumps : {pixel: id}
    quantities : {pixel: (bands,) int}, the colours as multiples of `unit`, a Fraction, so that sums are exact
    threshold : greatest distance, None for none; a single-precision number, as distances are
    """
    size, sums, beside = {}, {}, {}
    for pixel in grid.pixels:
        clump = clumps[pixel]
        size[clump] = size.get(clump, 0) + 1
        sums[clump] = [a + b for a, b in zip(sums.get(clump, [0] * len(quantities[pixel])), quantities[pixel])]
        beside.setdefault(clump, set()).update(clumps[near] for near in grid.neighbours(pixel))
        beside[clump].discard(clump)
    with np.errstate(over="ignore"):
        limit = np.float32(np.inf if threshold is None else threshold)
    means = {clump: _mean(sums[clump], size[clump], unit) for clump in size}
    became = {clump: clump for clump in size}
    for area in range(1, min_pixels + 1):
        noted = {}
        for clump in size:
            if size[clump] <= area and size[clump] < min_pixels:
                partner = _partner(clump, size, means, beside, limit)
                if partner is not None:
                    noted[clump] = partner
        if not noted and area >= len(grid.pixels):
            break  # no clump can be called up any more, and none of those that are finds a partner
        for clump in noted:
            final = _end_of_chain(clump, noted)
            became[clump] = final
            size[final] += size[clump]
            sums[final] = [a + b for a, b in zip(sums[final], sums[clump])]
            beside[final] |= beside[clump]
            means[final] = None
        for clump in noted:
            del size[clump], sums[clump], beside[clump], means[clump]
        for clump in beside:
            if any(near in noted for near in beside[clump]):
                beside[clump] = {_end_of_chain(near, noted) for near in beside[clump]}
            beside[clump].discard(clump)
            if means[clump] is None:
                means[clump] = _mean(sums[clump], size[clump], unit)
    followed = {clump: final for clump, final in became.items() if clump != final}
    return {pixel: _end_of_chain(clumps[pixel], followed) for pixel in grid.pixels}


def _mean(sums, size, unit):
    """(bands,) float32: the exact sum and the size, each rounded, divided."""
    with np.errstate(over="ignore"):
        return np.array([np.float32(float(total * unit)) / np.float32(size) for total in sums], np.float32)


def _partner(clump, size, means, beside, limit):
    """The larger neighbour with the nearest mean, the lowest id of several; None if none is near enough."""
    best = None
    with np.errstate(over="ignore", invalid="ignore"):
        for near in sorted(beside[clump]):
            if size[near] > size[clump]:
                distance = _distance(means[clump], means[near])
                if distance < limit and (best is None or distance < best[0]):
                    best = (distance, near)
    return None if best is None else best[1]


def _distance(one, other):
    total = np.float32(0)
    for a, b in zip(one, other):
        total = total + (a - b) * (a - b)
    return np.sqrt(total)


def _end_of_chain(clump, noted):
    while clump in noted:
        clump = noted[clump]
    return clump
