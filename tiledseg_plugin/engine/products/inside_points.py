# SPDX-License-Identifier: GPL-2.0-or-later
"""A point inside of each segment: the centre of that pixel of it that is nearest to its centroid.

Where the centroid lies in the segment, that is the pixel that holds it. Of several pixels that are equally near, by the
distance in pixels, it is the first in raster order.
"""

from typing import Tuple

import numpy as np

from .. import kernels
from ..execution.runner import Runner
from ..files.raster import Raster
from ..files.window import Window
from ..progress import Advance, Check
from .attributes import places_of
from .margins import SidesJob, numbered_windows
from .shape_sums import ShapeSums

Nearest = Tuple[np.ndarray, np.ndarray, np.ndarray]  # places (n,) int64, pixels (n,) int64, distances (n,) float64


def nearest_in_window(job: SidesJob, window: Window, check_cancelled: Check) -> Nearest:
    """The nearest pixels of the segments in a window, as indices in the raster: the task of this stage.

    The folder holds `ids`, and `centroids`, (segments, 2) float64 columns and rows.
    """
    kernel, _ = kernels.choose(job.kernels)
    present, labels, _ = kernel.compact(job.ids.reader()(window))
    check_cancelled()
    places = places_of(present, job.folder.map_array("ids"))
    points = np.ascontiguousarray(job.folder.map_array("centroids")[places])
    shape = window.height, window.width
    nearest, distances = kernel.nearest_pixels(labels.reshape(shape), present.size, window.col, window.row, points)
    row, col = np.divmod(nearest, window.width)
    return places.astype(np.int64), (row + window.row) * job.width + col + window.col, distances


def inside_points(
    job: SidesJob, raster: Raster, sums: ShapeSums, execution: Tuple[Runner, Check], advance: Advance
) -> Tuple[np.ndarray, np.ndarray]:
    """Columns and rows of the pixels: two (segments,) int64.

    Parameters
    ----------
    raster : of segments
    execution : the runner, and what is called now and then
    """
    runner, check_cancelled = execution
    job.folder.save_array("ids", sums.ids)
    job.folder.save_array("centroids", np.stack([sums.cols / sums.sizes, sums.rows / sums.sizes], axis=1))
    kernels.choose(job.kernels)[0].nearest_pixels(np.ones((1, 1), np.uint32), 1, 0, 0, np.zeros((1, 2)))  # compile once
    pixels, distances = np.full(sums.ids.size, -1, np.int64), np.full(sums.ids.size, np.inf)
    windows = [window for _, window in numbered_windows(raster)]
    for done, (_, (places, found, far)) in enumerate(runner.run(nearest_in_window, job, windows, check_cancelled), 1):
        nearer = (far < distances[places]) | ((far == distances[places]) & (found < pixels[places]))
        pixels[places[nearer]], distances[places[nearer]] = found[nearer], far[nearer]
        advance(done / len(windows))
    rows, cols = np.divmod(pixels, job.width)
    return cols, rows
