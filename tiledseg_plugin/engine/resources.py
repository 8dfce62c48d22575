# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run will need: memory of a worker and of the main process, space on disk; and how many workers that allows.

The figures are upper ends of what was measured on real rasters, for both sets of kernels; `scripts/estimates.py` holds
them against runs. What grows with the raster in one process: the different colours of the sample (with many bands
nearly as many as pixels in it), a few counts for each tile, and chains of outlines that cross the windows of POLYGONS,
0.1 bytes a pixel. Of the algorithms over existing segments, which read and write their tables in lots, only these hold
a row a segment: what UPDATE_RAT changes, with the columns that the attribute table has; the column that a raster is
made of, and that of CLASSES; and `tiledseg:levels`, the table that it combines.
"""

import math
from dataclasses import dataclass
from typing import Optional

import numpy as np
from numpy.typing import DTypeLike

from .machine import available_cores, free_memory
from .wording import counted

WORKER_BYTES = 250_000_000  # interpreter, numpy, GDAL, numba, before any pixel
KEPT_BYTES = 350_000_000  # of a worker process, between tasks; what a tile leaves lies scattered, and the next needs it
LEFT_A_PIXEL = 8  # until that is reached
STRIP_BYTES = 250_000_000  # what is described and written at a time
ZONES_BYTES = 64_000_000  # of cells in which polygons are burnt, see `files.decoded.Cells`
ZONES_BYTES_A_PIXEL = 14
STRIP_BYTES_A_PIXEL, STRIP_BYTES_A_VALUE = 40, 5  # of rasters smaller than a strip
UNDECIDED_A_BORDER_PIXEL = 25  # regions along the borders of the groups that are joined
REGION_BYTES, REGION_BYTES_A_BAND = 80, 22  # while a group is decided; floats take the most
MAIN_BYTES_A_PIXEL = 0.1  # for colours of the sample, counts and chains; segments are read as they are needed
LABELS_A_PIXEL, TABLES_A_PIXEL = 0.25, 0.27  # bytes on the disk
GRAPH_A_PIXEL, GRAPH_A_VALUE = 0.2, 0.16  # what pieces and groups leave to each other
ROOM = 1.2  # for rasters of more small segments than those that were measured
OUTPUT_A_PIXEL = 0.6  # compressed, with overviews
SEGMENT_PIXELS = 170  # of the usual minimum size and three bands; with more, colours lie further apart
XML_BYTES, ROW_BYTES = 31, 5.5  # of a value in an attribute table, in a side file or a GeoPackage
BORDER_PIXELS = 1300  # a piece of so many pixels a side leaves as much along its border as it takes by itself
MOST_ALONG_BORDERS = 8
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


def group_memory(pixels: int, bands: int) -> int:
    """Bytes that a worker needs for the largest group of tiles, itself included.

    Parts of the raster are joined, beside whose borders regions are undecided, so it grows with the raster's sides: up
    to a thousand million pixels a usual tile takes more.

    Parameters
    ----------
    pixels : of the raster, or those that are valid
    """
    of_a_border = UNDECIDED_A_BORDER_PIXEL * (REGION_BYTES + REGION_BYTES_A_BAND * bands)
    return WORKER_BYTES + int(2 * math.sqrt(pixels) * of_a_border)


def zones_memory(width: int, height: int) -> int:
    """Bytes that zones take besides: of a tile the zone of each pixel and its walls, and cells that tiles share."""
    return ZONES_BYTES + width * height * ZONES_BYTES_A_PIXEL


def main_memory(valid_pixels: int, bands: int) -> int:
    """Bytes that the process needs which hands the tasks out and writes the outputs, itself included."""
    strip = min(STRIP_BYTES, (STRIP_BYTES_A_PIXEL + STRIP_BYTES_A_VALUE * bands) * valid_pixels)
    return int(WORKER_BYTES + strip + MAIN_BYTES_A_PIXEL * valid_pixels)


def run_memory(main: int, workers: int, tile_bytes: int, with_processes: bool, valid_pixels: int) -> int:
    """Bytes that all processes of a run need.

    Parameters
    ----------
    main : see `main_memory`
    tile_bytes : see `worker_memory`
    with_processes : whether workers are processes of their own, which keep what tiles have left
    valid_pixels : of the raster
    """
    if with_processes:
        most_kept = KEPT_BYTES + KEPT_BYTES // 10  # with what a small tile takes
        return main + workers * max(tile_bytes, min(most_kept, tile_bytes + LEFT_A_PIXEL * valid_pixels))
    return max(main, WORKER_BYTES + workers * (tile_bytes - WORKER_BYTES))  # they are not busy at the same time


def disk(valid_pixels: int, pieces: int, bands: int, columns: int) -> int:
    """Bytes of intermediate files: labels, and first what pieces and groups leave, then the rows of the segments.

    What is left to be decided lies along the borders of the pieces.

    Parameters
    ----------
    pieces : into how many the valid pixels are parted
    columns : of the attribute table
    """
    side = math.sqrt(max(valid_pixels, 1) / max(pieces, 1))
    along_borders = min(BORDER_PIXELS / side, MOST_ALONG_BORDERS)
    graph = (1 + along_borders) * (GRAPH_A_PIXEL + GRAPH_A_VALUE * bands)
    rows = TABLES_A_PIXEL + (8 * columns + 16 * bands) * _segments_a_pixel(bands)
    return int(valid_pixels * ROOM * (LABELS_A_PIXEL + max(graph, rows)))


def output_disk(valid_pixels: int, bands: int, columns: int, most_xml_values: int) -> int:
    """Bytes of OUTPUT as a GeoTIFF with its attribute table.

    Parameters
    ----------
    columns : of the table
    most_xml_values : of a table that is not a GeoPackage
    """
    values = valid_pixels * _segments_a_pixel(bands) * columns
    return int(OUTPUT_A_PIXEL * valid_pixels + values * (XML_BYTES if values < most_xml_values else ROW_BYTES))


def _segments_a_pixel(bands: int) -> float:
    return max(bands, 3) / (3 * SEGMENT_PIXELS)


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
