# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole algorithm, stage after stage."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Optional, Tuple

import numpy as np

from .elimination import eliminate_small
from .kmeans import find_centres
from .regions import Grid, clump, eliminate_singles, label, relabel
from .stretch import Limits, rsgislib_limits, stretch_limits, stretch_value
from .validity import finite, single

FLOAT_BITS = 50  # floats count as multiples of 2^-50 of the power of two above the greatest


@dataclass
class Stages:
    """What each stage makes: images (rows, cols), 0 where there is no data.

    limits : per band, None without a stretch
    """

    limits: Optional[Tuple[Limits, ...]]
    centres: np.ndarray
    clusters: np.ndarray
    no_singles: np.ndarray
    initial_clumps: np.ndarray
    clumps: np.ndarray


def segment(
    values,
    valid,
    num_clusters=60,
    min_pixels=100,
    distance_threshold=100.0,
    stretch=True,
    sampling=100,
    kmeans_max_iterations=200,
    rsgislib_stretch=False,
    limits=None,
    centres=None,
    zones=None,
    cut=(),
    sample=None,
):
    """Segment an image: Stages.

    Parameters
    ----------
    values : (bands, rows, cols)
    valid : rows of cols of bool
    limits : of the stretch, where they are not those of the values
    centres : where they are not those of the sample
    zones : rows of cols of int, None for one zone: no segment has pixels of two of them
    cut : pairs of pixels that are no neighbours, see `Grid`
    sample : pixels, by their index in raster order, that k-means takes instead of those of `sampling`
    """
    grid = Grid(valid, zones, cut)
    pixels = {pixel: _values_of(values, pixel) for pixel in grid.pixels}
    if stretch:
        if limits is None:
            limits = _limits(values, grid, pixels, rsgislib_stretch)
        pixels = {
            pixel: [
                stretch_value(single(value) if rsgislib_stretch else value, ends, rsgislib_stretch)
                for value, ends in zip(bands, limits)
            ]
            for pixel, bands in pixels.items()
        }
    else:
        limits = None
    with np.errstate(over="ignore"):
        colours = {pixel: np.array(bands).astype(np.float32) for pixel, bands in pixels.items()}
    if centres is None:
        if sample is None:
            sample = _sample(grid, colours, sampling, num_clusters)
        centres = find_centres([colours[pixel] for pixel in sample], num_clusters, kmeans_max_iterations)
    clusters = label(grid, colours, centres)
    no_singles = eliminate_singles(grid, clusters, colours)
    clumps = clump(grid, no_singles)
    quantities, unit = _in_units(pixels)
    merged = eliminate_small(grid, clumps, quantities, unit, min_pixels, distance_threshold)
    images = (grid.image(numbers) for numbers in (clusters, no_singles, clumps, relabel(grid, merged)))
    return Stages(limits, centres, *images)


def _values_of(values, pixel):
    row, col = divmod(pixel, values.shape[2])
    return [finite(values[band, row, col].item()) for band in range(len(values))]


def _sample(grid, colours, step, wanted):
    """The valid pixels at every `step`-th place; the step is halved until they have colours enough, or it is 1."""
    while True:
        sample = [pixel for pixel in grid.pixels if pixel % step == 0]
        if step == 1 or len({tuple((colours[pixel] + 0).tolist()) for pixel in sample}) >= wanted:
            return sample
        step //= 2


def _limits(values, grid, pixels, rsgislib_stretch):
    if rsgislib_stretch:
        return tuple(rsgislib_limits([single(finite(value)) for value in band.ravel().tolist()]) for band in values)
    return tuple(stretch_limits([bands[index] for bands in pixels.values()]) for index in range(len(values)))


def _in_units(pixels):
    """The colours as whole numbers of a unit, so that their sums are exact: integers as they are."""
    if all(isinstance(value, int) and abs(value) < 2**32 for bands in pixels.values() for value in bands):
        return pixels, Fraction(1)
    greatest = max(abs(float(value)) for bands in pixels.values() for value in bands)
    unit = Fraction(2) ** (math.frexp(greatest)[1] - FLOAT_BITS)
    return {pixel: [round(Fraction(value) / unit) for value in bands] for pixel, bands in pixels.items()}, unit
