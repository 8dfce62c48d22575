# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run will need: memory of a worker and of the graph, space on disk; and how many workers that allows.

The figures are upper ends of what was measured on real rasters, for both sets of kernels.
"""

from dataclasses import dataclass
from typing import Optional

import numpy as np
from numpy.typing import DTypeLike

from .machine import available_cores, free_memory
from .wording import counted

WORKER_BYTES = 250_000_000  # interpreter, numpy, GDAL, numba, before any pixel
CLUMPS_A_PIXEL = 0.12
REGIONS_A_PIXEL = 0.06  # of those that tiles of 500 pixels leave undecided; larger tiles leave half as many
REGION_BYTES = 140  # in the graph, with its edges
CLUMP_BYTES = 8  # in the graph, as an entry of lookup tables
SHARE_OF_FREE_MEMORY = 0.8
MEGABYTE = 1_000_000


def worker_memory(width: int, height: int, bands: int, dtype: DTypeLike, stretch: bool = True) -> int:
    """Bytes that a worker needs for a tile, itself included.

    Parameters
    ----------
    width, height : of the tile, pixels
    bands : how many are used
    dtype : of the values
    stretch : whether colours are stretched to 8 bit
    """
    dtype = np.dtype(dtype)
    compared = 1 if stretch or dtype == np.uint8 else 4
    added = compared if compared == 1 else 8 if dtype.kind in "iu" else 32
    return WORKER_BYTES + width * height * (40 + bands * (2 * dtype.itemsize + 2 * compared + added))


def graph_memory(valid_pixels: int) -> int:
    """Bytes that joining the tiles and merging what they have left needs, in one process."""
    return int(valid_pixels * (REGIONS_A_PIXEL * REGION_BYTES + CLUMPS_A_PIXEL * CLUMP_BYTES))


def disk(pixels: int, valid_pixels: int, bands: int) -> int:
    """Bytes of intermediate files: labels of 4 bytes a pixel, the tiles' graphs and the statistics of their regions."""
    return int(4 * pixels + valid_pixels * (4 * CLUMPS_A_PIXEL + REGIONS_A_PIXEL * (64 + 30 * bands)))


@dataclass(frozen=True)
class Workers:
    """How many workers, the sentence that says why, and what to warn of (empty if nothing)."""

    count: int
    reason: str
    warning: str = ""


def choose_workers(
    asked: int, most: Optional[int], tile_bytes: int, cores: Optional[int] = None, free: Optional[int] = None
) -> Workers:
    """How many workers to use.

    Parameters
    ----------
    asked : WORKERS, 0 for as many as the machine allows
    most : how many could be busy at a time, because there are no more tiles; None where that is not known
    tile_bytes : see `worker_memory`
    cores, free : of the machine, asked of it if not given
    """
    cores = cores or available_cores()
    free = free_memory() if free is None else free
    fitting = None if free is None else max(1, int(SHARE_OF_FREE_MEMORY * free / tile_bytes))
    memory = "" if free is None else f"{free // MEGABYTE} MB of memory free, up to {tile_bytes // MEGABYTE} MB a worker"
    count = asked or max(1, min(cores, most or cores, fitting or cores))
    warning = ""
    if free is not None and fitting is not None and (count > fitting or tile_bytes > free):
        warning = (
            f"{counted(count, 'worker')} may need {count * tile_bytes // MEGABYTE} MB, and "
            f"{free // MEGABYTE} MB are free: lower {'WORKERS, ' if count > 1 else ''}TILE_WIDTH or TILE_HEIGHT "
            "if memory runs out."
        )
    if asked:
        return Workers(count, "as asked for", warning)
    parts = counted(most, "part of work", "parts of work") if most else ""
    return Workers(count, "; ".join(part for part in (counted(cores, "core"), parts, memory) if part), warning)
