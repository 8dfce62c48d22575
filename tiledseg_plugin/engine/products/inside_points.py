# SPDX-License-Identifier: GPL-2.0-or-later
"""A point inside of each segment: the centre of that pixel of it that is nearest to its centroid.

Where the centroid lies in the segment, that is the pixel that holds it. Of several pixels that are equally near, by the
distance in pixels, it is the first in raster order.
"""

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np

from .. import kernels
from ..execution.runner import Runner
from ..files.raster import Raster
from ..files.stored import Stored
from ..files.window import Window
from ..progress import Advance, Check
from .attributes import places_of
from .margins import SidesJob, numbered_windows
from .segment_rows import IDS, Range, Samples, cut, sampled


@dataclass(frozen=True)
class InsideJob:
    """What the tasks share.

    sides : whose folder holds IDS
    cols, rows : of the segments' centroids
    """

    sides: SidesJob
    cols: Stored
    rows: Stored


def nearest_in_window(job: InsideJob, numbered: Tuple[int, Window], check_cancelled: Check) -> np.ndarray:
    """Find the nearest pixels of the segments in a window: the task of the first pass.

    Left in the folder are (3, n) float64: places, pixels as indices in the raster, distances. Returns samples of the
    places.
    """
    number, window = numbered
    sides = job.sides
    kernel, _ = kernels.choose(sides.kernels)
    present, labels, _ = kernel.compact(sides.ids.reader()(window))
    check_cancelled()
    places = places_of(present, sides.folder.map_array(IDS))
    points = np.stack([job.cols[places], job.rows[places]], axis=1)
    shape = window.height, window.width
    nearest, distances = kernel.nearest_pixels(labels.reshape(shape), present.size, window.col, window.row, points)
    row, col = np.divmod(nearest, window.width)
    pixels = (row + window.row) * sides.width + col + window.col
    sides.folder.save_array(_nearest(number), np.stack([places, pixels, distances]).astype(np.float64, copy=False))
    return sampled(places)


def _nearest(window: int) -> str:
    return f"nearest-{window:07d}"


def points_of_range(number: int) -> str:
    """Under which lie the map coordinates of the points of a range of segments: (2, n) float64."""
    return f"inside-{number:07d}"


def nearest_of_range(job: InsideJob, item: Range, check_cancelled: Check) -> None:
    """Put together what windows have left of a range of segments: the task of the second pass."""
    number, (first, end), windows = item
    sides = job.sides
    pixels, distances = np.full(end - first, -1, np.int64), np.full(end - first, np.inf)
    for window in windows:
        check_cancelled()
        saved = sides.folder.map_array(_nearest(window))
        places, found, far = np.array(saved[:, slice(*cut(saved[0], first, end))])
        places, found = places.astype(np.int64) - first, found.astype(np.int64)
        nearer = (far < distances[places]) | ((far == distances[places]) & (found < pixels[places]))
        pixels[places[nearer]], distances[places[nearer]] = found[nearer], far[nearer]
    row, col = np.divmod(pixels, sides.width)
    x, y = (to_map(col + 0.5, row + 0.5) for to_map in (sides.sizes.map_x, sides.sizes.map_y))
    sides.folder.save_array(points_of_range(number), np.stack([x, y]))


def inside_points(
    job: InsideJob, raster: Raster, counts: Sequence[int], execution: Tuple[Runner, Check], advance: Advance
) -> List[str]:
    """Where the points of each range lie, see `points_of_range`.

    Parameters
    ----------
    raster : of segments
    counts : how many segments each range has
    execution : the runner, and what is called now and then
    """
    runner, check_cancelled = execution
    sides = job.sides
    kernels.choose(sides.kernels)[0].nearest_pixels(
        np.ones((1, 1), np.uint32), 1, 0, 0, np.zeros((1, 2))
    )  # compile once
    windows = numbered_windows(raster)
    samples = Samples()
    for done, ((number, _), found) in enumerate(runner.run(nearest_in_window, job, windows, check_cancelled), 1):
        samples.add(number, found)
        advance(0.9 * done / len(windows))
    ends = np.cumsum([0, *counts]).tolist()
    spans = list(zip(ends, ends[1:]))
    ranges = [(number, *both) for number, both in enumerate(zip(spans, samples.within(spans)))]
    for done, _ in enumerate(runner.run(nearest_of_range, job, ranges, check_cancelled), 1):
        advance(0.9 + 0.1 * done / len(ranges))
    sides.folder.drop(*map(_nearest, samples.numbers))
    return [sides.folder.array_path(points_of_range(number)) for number in range(len(counts))]
