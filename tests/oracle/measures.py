# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures of segments, computed pixel by pixel and pair by pair, as the papers define them."""

import math
from itertools import product


def pixels_of(ids):
    """{segment: set of (row, col)}; 0 is none."""
    found = {}
    for row, line in enumerate(ids.tolist()):
        for col, segment in enumerate(line):
            if segment:
                found.setdefault(segment, set()).add((row, col))
    return found


def neighbours(ids):
    """Pairs of segments that share a side of a pixel, each once."""
    rows, cols = ids.shape
    pairs = set()
    for row, col in product(range(rows), range(cols)):
        for down, right in ((row + 1, col), (row, col + 1)):
            if down < rows and right < cols:
                pair = int(ids[row, col]), int(ids[down, right])
                if 0 not in pair and pair[0] != pair[1]:
                    pairs.add((min(pair), max(pair)))
    return pairs


def mean(values):
    values = list(values)
    return math.fsum(values) / len(values)


def spread(values):
    """Population variance."""
    values = list(values)
    centre = mean(values)
    return mean((value - centre) ** 2 for value in values)


def weighted_variance(segments, band):
    """Espindola et al. (2006): sum of a_i v_i / sum of a_i; as a share of the variance of all pixels."""
    area = sum(map(len, segments.values()))
    within = math.fsum(len(pixels) * spread(band[pixel] for pixel in pixels) for pixels in segments.values()) / area
    return within / spread(band[pixel] for pixels in segments.values() for pixel in pixels)


def morans_i(segments, pairs, band):
    """Espindola et al. (2006), with w_ij = w_ji = 1 for neighbours."""
    means = {segment: mean(band[pixel] for pixel in pixels) for segment, pixels in segments.items()}
    centre = mean(means.values())
    weights = {**dict.fromkeys(pairs, 1), **dict.fromkeys(((b, a) for a, b in pairs), 1)}
    above = math.fsum((means[i] - centre) * (means[j] - centre) for i, j in weights)
    below = math.fsum((value - centre) ** 2 for value in means.values())
    return len(means) * above / (below * sum(weights.values()))


def local_variance(segments, band, deviation):
    """Dragut et al. (2014): the mean of the objects' standard deviations, in those of the band."""
    return mean(math.sqrt(spread(band[pixel] for pixel in pixels)) for pixels in segments.values()) / deviation


def unsupervised(ids, values, deviations):
    """(segments, mean size, variance, Moran's I, goodness, F measure, local variance), means of the bands."""
    segments, pairs = pixels_of(ids), neighbours(ids)
    bands = [{(r, c): float(plane[r, c]) for r in range(ids.shape[0]) for c in range(ids.shape[1])} for plane in values]
    variance = mean(weighted_variance(segments, band) for band in bands)
    moran = mean(morans_i(segments, pairs, band) for band in bands)
    local = mean(local_variance(segments, band, unit) for band, unit in zip(bands, deviations))
    even, apart = 1 - variance, (1 - max(-1, min(1, moran))) / 2
    size = mean(map(len, segments.values()))
    return len(segments), size, variance, moran, even + apart, 2 * even * apart / (even + apart), local


def _centre(pixels):
    return tuple(math.floor(mean(pixel[axis] for pixel in pixels) + 0.5) for axis in (0, 1))


def of_polygon(polygon, segments):
    """(corresponding, over, under, rms, quality rate, iou) of a set of pixels (Clinton et al. 2010, Weidner 2008)."""
    touching = {segment: pixels for segment, pixels in segments.items() if pixels & polygon}
    chosen = {
        segment
        for segment, pixels in touching.items()
        if _centre(polygon) in pixels
        or _centre(pixels) in polygon
        or len(pixels & polygon) > len(pixels) / 2
        or len(pixels & polygon) > len(polygon) / 2
    }
    if not chosen:
        chosen = {max(sorted(touching), key=lambda segment: len(touching[segment] & polygon))}
    rows = []
    for segment in chosen:
        shared = len(touching[segment] & polygon)
        over, under = 1 - shared / len(polygon), 1 - shared / len(touching[segment])
        union = len(touching[segment] | polygon)
        rows.append((over, under, math.sqrt((over**2 + under**2) / 2), 1 - shared / union))
    best = max(len(pixels & polygon) / len(pixels | polygon) for pixels in touching.values())
    return (len(chosen), *(mean(column) for column in zip(*rows)), best)


def ed2(polygons, segments):
    """(PSE, NSR, ED2) of Liu et al. (2012)."""
    beyond, standing = 0, set()
    for polygon in polygons:
        for segment, pixels in segments.items():
            shared = len(pixels & polygon)
            if shared > len(polygon) / 2 or shared > len(pixels) / 2:
                beyond += len(pixels - polygon)
                standing.add(segment)
    pse = beyond / sum(map(len, polygons))
    nsr = abs(len(polygons) - len(standing)) / len(polygons)
    return pse, nsr, math.hypot(pse, nsr)
