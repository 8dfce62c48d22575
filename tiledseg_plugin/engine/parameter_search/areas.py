# SPDX-License-Identifier: GPL-2.0-or-later
"""Where candidates are tried: the whole raster, regions of the user's, or windows that stand for the whole.

An area is segmented with a margin, by the stretch and the clusters of the whole raster, so that its segments are those
that a run on the whole raster makes; only what lies in the area is measured.
"""

import math
from dataclasses import dataclass, replace
from typing import Callable, Dict, Iterable, List, Sequence, Tuple

import numpy as np

from ..errors import SegmentationError
from ..files.raster import Raster
from ..files.window import Window
from ..files.work_folder import WorkFolder
from ..kernels.contract import Kernels
from ..stages.kmeans import cluster, distinct_colours
from ..stages.plan import Plan, Tile, plan_grid
from ..stages.polygon_pixels import PlacedPolygon
from ..stages.sampling import SampledValues, colours_of_values, sampled_values
from ..stages.statistics import Summary, blocks

MOST_PIXELS = 1 << 22  # of an area; larger ones are parted, so that memory is bounded
SIDE = 2000  # of the parts
MARGIN = 64  # pixels at least that are segmented round an area
MOST_MARGIN = 500
LAND_COVERS = 8  # classes by which windows are chosen
ENOUGH = 200_000  # sampled pixels to find them by
ITERATIONS = 50  # of k-means
SPREAD = 0.5  # how much it counts that windows lie far from each other, against that they hold what the raster holds
HALF = 0.5  # of a window should be valid


@dataclass(frozen=True)
class Area:
    """A part of the raster in which candidates are measured.

    window : what is measured; surroundings : with the margin that is segmented, too
    regions : polygons of the user's; only pixels in the first count, and none of those that are in another
    reference : reference polygons whose middle lies in the window, and which lie in the surroundings as a whole
    """

    window: Window
    surroundings: Window
    regions: Tuple[PlacedPolygon, ...] = ()
    reference: Tuple[PlacedPolygon, ...] = ()


def margin_for(sizes: Sequence[int]) -> int:
    """How many pixels round an area are segmented: as wide as the least segments are, within limits."""
    return min(max(MARGIN, math.isqrt(max(sizes))), MOST_MARGIN)


def whole_raster(raster: Raster, margin: int) -> List[Area]:
    """The whole raster, parted where it is large."""
    return [_area(raster, window, margin) for window in _parted(raster.window)]


def in_regions(raster: Raster, polygons: Sequence[PlacedPolygon], margin: int) -> List[Area]:
    """The parts of the raster that lie in polygons; a pixel in several counts for the first."""
    areas = []
    for index, polygon in enumerate(polygons):
        common = polygon.window.intersection(raster.window)
        for window in _parted(common) if common is not None else ():
            earlier = (one for one in polygons[:index] if one.window.intersection(window) is not None)
            areas.append(replace(_area(raster, window, margin), regions=(polygon, *earlier)))
    return areas


def _parted(window: Window) -> List[Window]:
    if window.pixels <= MOST_PIXELS:
        return [window]
    tiles = plan_grid(window.width, window.height, SIDE, SIDE).tiles
    return [tile.window.moved(window.col, window.row) for tile in tiles]


def _area(raster: Raster, window: Window, margin: int) -> Area:
    return Area(window, window.grown(margin, raster.width, raster.height))


def with_reference(areas: Sequence[Area], polygons: Sequence[PlacedPolygon]) -> List[Area]:
    """The areas with the reference polygons that can be judged in them; each polygon in one area at most."""
    found: List[List[PlacedPolygon]] = [[] for _ in areas]
    for polygon in polygons:
        middle = Window(*polygon.middle, 1, 1)
        for area, those in zip(areas, found):
            if area.window.intersection(middle) and polygon.window.intersection(area.surroundings) == polygon.window:
                those.append(polygon)
                break
    return [replace(area, reference=tuple(those)) for area, those in zip(areas, found)]


@dataclass(frozen=True)
class Sampled:
    """The sample of k-means, as windows are chosen by it.

    covers : (n,) the land cover of each sampled pixel, from 0
    positions : (n,) int64, where in the raster each lies, in raster order
    """

    covers: np.ndarray
    positions: np.ndarray


def land_covers(
    summary: Summary, raster: Raster, folder: WorkFolder, kernel: Kernels, check: Callable[[], None]
) -> Sampled:
    """A few classes of the sampled pixels, found by k-means; the stretch makes bands weigh alike.

    Parameters
    ----------
    folder : in which the survey has left the sample
    """
    sample = _thinned_sample(summary, raster, folder, check)
    colours = colours_of_values(sample.values, summary.colours(raster, True), kernel)
    different, counts, _ = distinct_colours(colours, kernel)

    def run(function: Callable, items: Sequence) -> Iterable:
        check()
        return map(function, items)

    centres, _ = cluster(different, counts, LAND_COVERS, ITERATIONS, kernel, run)
    planes = np.ascontiguousarray(colours.T)[:, None, :]
    classes = kernel.nearest_centre(planes, np.ones(planes.shape[1:], bool), centres)
    return Sampled(classes[0].astype(np.int64) - 1, sample.positions)


def _thinned_sample(summary: Summary, raster: Raster, folder: WorkFolder, check: Callable[[], None]) -> SampledValues:
    """So much of the sample as is enough; never more of it than that of one block is in memory besides."""
    step = max(1, sum(summary.sampled) // ENOUGH)
    found = []
    for block, count in zip(blocks(raster), summary.sampled):
        if count:
            part = sampled_values(folder, raster, [block], check)
            found.append(SampledValues(part.positions[::step].copy(), part.values[:, ::step].copy()))
    return SampledValues(
        np.concatenate([part.positions for part in found]), np.concatenate([part.values for part in found], axis=1)
    )


def chosen_windows(raster: Raster, plan: Plan, valid: Dict[int, int], sampled: Sampled, count: int) -> List[Tile]:
    """Tiles that stand for the raster: together they hold the land covers that it holds, and they lie apart.

    They are chosen one after the other: each makes the shares of the land covers in the chosen ones as like as possible
    to those in the raster, and lies far from the others.

    Parameters
    ----------
    plan : the grid of tiles to choose from
    valid : {tile_id: valid pixels}
    """
    shares, overall = _shares(raster, plan, sampled)
    fractions = np.array([valid[tile.tile_id] / tile.pixels for tile in plan.tiles])
    usable = fractions >= min(HALF, np.sort(fractions)[::-1][: max(count, 1)].min())
    usable &= (fractions > 0) & shares.any(axis=1)
    middles = np.array([(w.col + w.width / 2, w.row + w.height / 2) for w in (tile.window for tile in plan.tiles)])
    nearest = np.full(len(plan.tiles), math.hypot(raster.width, raster.height))
    chosen: List[int] = []
    pooled = np.zeros(shares.shape[1])
    for _ in range(min(count, int(usable.sum()))):
        unlike = np.abs((pooled + shares) / (len(chosen) + 1) - overall).sum(axis=1) / 2
        scores = unlike - SPREAD * nearest / math.hypot(raster.width, raster.height)
        best = int(np.argmin(np.where(usable, scores, np.inf)))
        chosen.append(best)
        usable[best] = False
        pooled += shares[best]
        nearest = np.minimum(nearest, np.hypot(*(middles - middles[best]).T))
    return [plan.tiles[index] for index in sorted(chosen)]


def _shares(raster: Raster, plan: Plan, sampled: Sampled) -> Tuple[np.ndarray, np.ndarray]:
    """(tiles, classes) the share of each land cover in each tile, 0 where nothing was sampled; (classes,) overall."""
    rows, cols = np.divmod(sampled.positions, raster.width)
    lefts, tops = (np.unique([edge(tile.window) for tile in plan.tiles]) for edge in (_left, _top))
    tile = (np.searchsorted(tops, rows, "right") - 1) * lefts.size + np.searchsorted(lefts, cols, "right") - 1
    counts = np.bincount(tile * LAND_COVERS + sampled.covers, minlength=len(plan.tiles) * LAND_COVERS)
    counts = counts.reshape(-1, LAND_COVERS)
    overall = counts.sum(axis=0) / max(counts.sum(), 1)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), overall


def _left(window: Window) -> int:
    return window.col


def _top(window: Window) -> int:
    return window.row


def windows_of_reference(plan: Plan, polygons: Iterable[PlacedPolygon], count: int) -> List[Tile]:
    """The tiles in which most reference polygons have their middle."""
    held: Dict[int, int] = {}
    for polygon in polygons:
        middle = Window(*polygon.middle, 1, 1)
        for piece in plan.pieces_in(middle):
            held[piece.tile_id] = held.get(piece.tile_id, 0) + 1
    best = sorted(held, key=lambda tile_id: (-held[tile_id], tile_id))[:count]
    return [plan.tiles[tile_id - 1] for tile_id in sorted(best)]


def areas_of(raster: Raster, tiles: Sequence[Tile], margin: int) -> List[Area]:
    """Tiles as areas."""
    return [_area(raster, tile.window, margin) for tile in tiles]


def require_areas(areas: Sequence[Area], raster: Raster) -> None:
    """Raise SegmentationError if there is nowhere to look."""
    if not areas:
        raise SegmentationError(
            f"No part of {raster.path} is left to look at: check REGIONS, REFERENCE, EXTENT and NODATA."
        )
