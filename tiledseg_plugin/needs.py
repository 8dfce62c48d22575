# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run will need, told before it: memory, disk and, roughly, time. Measured on 10 m scenes of 3 bands."""

import numpy as np

from .tiles import HALO

PROCESS_BYTES = 130 << 20  # Python with numpy, scipy, numba and GDAL
WORK_BYTES = 36  # a pixel of a tile, besides its values: clusters, labels, edges while they are sorted
GRAPH_BYTES = 24  # a valid pixel of the raster, where a clump has 10
GRAPH_FILE_BYTES = 7  # a valid pixel, where a clump has 10
LABEL_BYTES = 4
OUTPUT_BYTES = 1  # a pixel, compressed
WORKER_SECONDS = 5e-7  # a valid pixel and worker
SERIAL_SECONDS = 2.5e-7  # a valid pixel: the graph and writing


def worker_memory(raster, plan):
    """Bytes that a worker holds while it works the largest piece."""
    largest = max((piece.window.grown(HALO, raster.width, raster.height).pixels for piece in plan.pieces), default=0)
    colours = len(raster.bands) * (np.dtype(raster.dtype).itemsize + 1)
    return largest * (WORK_BYTES + colours)


def graph_memory(valid_pixels):
    """Bytes that the graph of the whole raster takes in the one process that holds it."""
    return valid_pixels * GRAPH_BYTES


def memory(raster, plan, valid_pixels, workers):
    """Bytes at the peak of a run: all workers at work, or the graph after them."""
    pieces = len(plan.pieces)
    return PROCESS_BYTES + max(min(workers, pieces) * worker_memory(raster, plan), graph_memory(valid_pixels))


def disk(raster, plan, occupancy):
    """Bytes of the work folder and of OUTPUT together."""
    worked = sum(tile.pixels for tile in plan.tiles if occupancy.valid_pixels[tile.tile_id])
    valid = sum(occupancy.valid_pixels.values())
    return worked * LABEL_BYTES + valid * GRAPH_FILE_BYTES + raster.width * raster.height * OUTPUT_BYTES


def seconds(valid_pixels, workers, reading):
    """How long a run takes, roughly.

    Parameters
    ----------
    reading : seconds that it took to read the raster once
    """
    return 2 * reading + valid_pixels * (WORKER_SECONDS / workers + SERIAL_SECONDS)
