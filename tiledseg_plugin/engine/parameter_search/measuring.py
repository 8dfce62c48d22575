# SPDX-License-Identifier: GPL-2.0-or-later
"""What is done in one area: all candidates with the same clusters are segmented and measured, from the same clumps."""

from dataclasses import dataclass
from functools import cached_property
from typing import Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from .. import kernels
from ..files.raster import Raster
from ..files.window import Window
from ..kernels.contract import Kernels
from ..products.reference_measures import (
    Overlaps,
    PolygonMeasures,
    ReferencePixels,
    find_overlaps,
    measure_polygons,
)
from ..products.scale_measures import AreaSums, SegmentSums, area_sums, sums_of
from ..stages.elimination import ClumpGraph, EliminationRules, eliminate_to_levels
from ..stages.plan import Piece
from ..stages.polygon_pixels import PlacedPolygon, burn
from ..stages.statistics import BandStatistics
from ..stages.tiles import PixelJob, settled_clusters
from .areas import Area

Check = Callable[[], None]


@dataclass(frozen=True)
class SearchJob:
    """What all tasks of a search share.

    pixels : of each clustering, how pixels are put into clusters
    bands : statistics of the bands of the whole raster, by which values are counted
    thresholds, sizes : what is tried with each clustering, see `SearchParameters`
    """

    raster: Raster
    areas: Tuple[Area, ...]
    pixels: Tuple[PixelJob, ...]
    bands: Tuple[BandStatistics, ...]
    thresholds: Tuple[Optional[float], ...]
    sizes: Tuple[int, ...]

    @cached_property
    def units(self) -> List[Tuple[float, float]]:
        """Of each band what is 0 and by what values are divided: mean and standard deviation."""
        return [(band.mean, band.deviation or 1.0) for band in self.bands]


class Task(NamedTuple):
    """An area, and a clustering to try in it: indices of the job's."""

    area: int
    clustering: int


@dataclass(frozen=True)
class AreaMeasures:
    """What a task found, [threshold][size].

    sums : of the segments
    polygons : of the reference polygons; empty where there are none
    """

    sums: List[List[AreaSums]]
    polygons: List[List[PolygonMeasures]]


class Clumped(NamedTuple):
    """The clumps of an area with its surroundings.

    window : what labels are of
    labels : (rows, cols) uint32, 1.., 0 where there is no data
    values : (bands, rows, cols)
    """

    window: Window
    labels: np.ndarray
    graph: ClumpGraph
    values: np.ndarray


def clump_area(pixels: PixelJob, surroundings: Window, kernel: Kernels, check: Check) -> Clumped:
    """The clumps before any is merged."""
    settled = settled_clusters(pixels, Piece(1, 1, surroundings), kernel, check)
    labels, count = kernel.clump(settled.clusters)
    check()
    quantities = pixels.colours.quantities(settled.values, settled.compared)
    sizes, sums, _, _ = kernel.describe_clumps(labels, count, settled.clusters, quantities)
    check()
    edges = kernel.find_edges(labels, count) - np.uint32(1)
    check()
    return Clumped(settled.window, labels, ClumpGraph(sizes, sums, edges), settled.values)


def measure_area(job: SearchJob, task: Task, check: Check) -> Optional[AreaMeasures]:
    """The task of a search; None where the area has no valid pixel."""
    area, pixels = job.areas[task.area], job.pixels[task.clustering]
    kernel, _ = kernels.choose(pixels.kernels)
    clumped = clump_area(pixels, area.surroundings, kernel, check)
    window, labels, graph, values = clumped
    counted = _counted(job.raster, area, labels[area.window.within(window)])
    if not counted.any():
        return None
    rows, cols = area.window.within(window)
    segments = sums_of(counted, graph.sizes.size, _planes(job, values[:, rows, cols], check), kernel)
    check()
    reference = _reference_pixels(job.raster, area, window, labels)
    overlaps = find_overlaps(labels, graph.sizes.size, reference) if reference.numbers.size else None
    del values, labels, clumped
    found = AreaMeasures([], [])
    for threshold in job.thresholds:
        rules = EliminationRules(pixels.colours.weights, job.sizes[0], threshold, job.sizes[1:])
        own = graph._replace(sums=graph.sums.copy())  # they are overwritten
        levels = eliminate_to_levels(kernel, own, rules, lambda _: check())
        found.sums.append([area_sums(one) for one in _levels(segments, levels, check)])
        if overlaps is not None:
            found.polygons.append([measure_polygons(one) for one in _levels(overlaps, levels, check)])
    return found


def _levels(finest: Union[SegmentSums, Overlaps], levels: Sequence[np.ndarray], check: Check) -> Iterator:
    """What is known of clumps, of the segments of ascending sizes: each from those of the size before."""
    known, clumps = finest, np.arange(levels[0].size)
    for into in levels:
        check()
        holder = into[clumps]
        known = known.joined(holder)
        clumps = np.unique(holder)
        yield known


def _planes(job: SearchJob, values: np.ndarray, check: Check) -> Iterator[np.ndarray]:
    """Each band's values in standard deviations from its mean."""
    for plane, (mean, deviation) in zip(values, job.units):
        check()
        yield (plane - mean) / deviation


def _counted(raster: Raster, area: Area, labels: np.ndarray) -> np.ndarray:
    """The labels of what is measured, 0 elsewhere."""
    if not area.regions:
        return labels
    inside = np.zeros(labels.shape, bool)
    for index, polygon in enumerate(area.regions):
        burnt = burn(polygon, area.window, raster.origin)
        if burnt is not None:
            part, mask = burnt
            within = inside[part.within(area.window)]
            within[mask] = index == 0
    return np.where(inside, labels, np.uint32(0))


def _reference_pixels(raster: Raster, area: Area, window: Window, labels: np.ndarray) -> ReferencePixels:
    """The valid pixels of the area's reference polygons; of those that have one."""
    numbers, places = [], []
    for polygon in area.reference:
        place = _places(polygon, raster, area.surroundings, window)
        place = place[labels.ravel()[place] > 0]
        if place.size:
            numbers.append(polygon.number)
            places.append(place)
    index = np.repeat(np.arange(len(places)), [place.size for place in places]).astype(np.int64)
    every = np.concatenate(places) if places else np.empty(0, np.int64)
    return ReferencePixels((window.height, window.width), np.array(numbers, np.int64), index, every)


def _places(polygon: PlacedPolygon, raster: Raster, surroundings: Window, window: Window) -> np.ndarray:
    """The pixels of a polygon, counted row by row in a window."""
    burnt = burn(polygon, surroundings, raster.origin)
    if burnt is None:
        return np.empty(0, np.int64)
    part, mask = burnt
    rows, cols = np.nonzero(mask)
    return (rows + part.row - window.row) * window.width + cols + part.col - window.col
