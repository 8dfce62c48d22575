# SPDX-License-Identifier: GPL-2.0-or-later
"""Raster outputs: new datasets, and the windows in which they are written."""

import math
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import Callable, Deque, Iterable, Iterator, List, Tuple, TypeVar

import numpy as np
from osgeo import gdal

from ..errors import SegmentationError
from ..machine import ThreadPool
from .creation_options import BLOCK, creation_options
from .formats import RASTERS, is_cog
from .gdal_access import collected_errors, open_raster, reason
from .georeference import carry_georeference
from .output_files import Output
from .overviews import overview_levels
from .raster import Raster
from .stored import AT_A_TIME, Rows, in_lots
from .window import Window

WINDOW_PIXELS = 1 << 22
MOST_AHEAD = 4  # windows that wait to be written
Item = TypeVar("Item")
Made = TypeVar("Made")


def grows_overviews(path: str) -> bool:
    """Whether an output is a GeoTIFF whose overviews `write_segments` writes along with it."""
    return RASTERS.drivers[Path(path).suffix.lower()] == "GTiff" and not is_cog(path)


def least_overviews(path: str, raster: Raster) -> int:
    """How many overviews a finished output has at least; those of a cloud optimized one are the user's choice."""
    return 0 if is_cog(path) else len(overview_levels(raster.width, raster.height))


def create_like(output: Output, raster: Raster, count: int, data_type: int, workers: int) -> gdal.Dataset:
    """A new dataset, open for writing, with the size and georeference of a raster.

    What is to be a cloud optimized GeoTIFF is a plain one until `cog.make_cog`, which takes the user's options.

    Parameters
    ----------
    output : where it is written, with the user's creation options and CRS
    count : of bands
    data_type : a GDAL data type
    workers : threads that compress

    Raises
    ------
    SegmentationError : it cannot be created
    """
    driver = RASTERS.driver_of(output.path, output.name)
    options = creation_options(driver, "" if is_cog(output.path) else output.options, workers)
    source = open_raster(raster.path)
    with collected_errors() as messages:
        dataset = gdal.GetDriverByName(driver).Create(
            output.path, raster.width, raster.height, count, data_type, options
        )
    if dataset is None:
        raise SegmentationError(
            f"{output.name} {Path(output.path).name} cannot be created ({reason(messages)}): check CREATION_OPTIONS "
            "and free space."
        )
    with collected_errors():
        carry_georeference(source, dataset, output.assign_crs, raster.origin)
    return dataset


def set_statistics(band: gdal.Band, values: Rows, pixels: Rows) -> None:
    """Store a band's statistics, without which QGIS reads the whole raster to show it.

    Parameters
    ----------
    values : (n,) float64 that the band holds, NaN where it has none
    pixels : (n,) how many have each of them
    """
    known = _Known(values, pixels)
    if not known.count:
        return

    def added(make: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float:
        return added_pairwise(known.count, lambda first, end: make(*known.rows(first, end)))

    with np.errstate(over="ignore", invalid="ignore"):  # values beyond 1e154, whose squares no double holds
        mean = added(lambda some, sizes: some * sizes) / known.pixels
        deviation = math.sqrt(added(lambda some, sizes: (some - mean) ** 2 * sizes) / known.pixels)
    band.SetStatistics(known.least, known.most, mean, deviation)


class _Known:
    """The rows of a column that are finite, and how many pixels have each; read when they are needed.

    count : how many rows; pixels : float, all of theirs; least, most : of the values
    """

    def __init__(self, values: Rows, pixels: Rows) -> None:
        self._values, self._pixels = values, pixels
        self.least, self.most, total, counts = math.inf, -math.inf, 0, [0]
        for lot, sizes in zip(in_lots(values), in_lots(pixels)):
            some = np.isfinite(lot)
            counts.append(int(np.count_nonzero(some)))
            total += int(sizes[some].sum())
            self.least = min(self.least, float(lot.min(where=some, initial=math.inf)))
            self.most = max(self.most, float(lot.max(where=some, initial=-math.inf)))
        self._ends = np.cumsum(counts)
        self.count, self.pixels = int(self._ends[-1]), float(total)

    def rows(self, first: int, end: int) -> Tuple[np.ndarray, np.ndarray]:
        """Some of the rows: values, and pixels."""
        values, pixels = [], []
        lot = int(np.searchsorted(self._ends, first, side="right")) - 1
        while lot + 1 < len(self._ends) and self._ends[lot] < end:
            whole = self._values[lot * AT_A_TIME : (lot + 1) * AT_A_TIME]
            some = np.isfinite(whole)
            part = slice(max(first - int(self._ends[lot]), 0), end - int(self._ends[lot]))
            values.append(whole[some][part])
            pixels.append(self._pixels[lot * AT_A_TIME : (lot + 1) * AT_A_TIME][some][part])
            lot += 1
        return np.concatenate(values), np.concatenate(pixels)


def set_id_statistics(band: gdal.Band, pixels: Rows) -> None:
    """As `set_statistics`, of a band of ids 1, 2, 3 .. that have so many pixels each; also where they are many."""

    def added(make: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float:
        return added_pairwise(pixels.size, lambda a, b: make(np.arange(a + 1, b + 1, dtype=np.float64), pixels[a:b]))

    total = added(lambda ids, sizes: sizes.astype(np.float64))
    mean = added(lambda ids, sizes: ids * sizes) / total
    deviation = math.sqrt(added(lambda ids, sizes: (ids - mean) ** 2 * sizes) / total)
    band.SetStatistics(1.0, float(pixels.size), mean, deviation)


def added_pairwise(count: int, values: Callable[[int, int], np.ndarray], most: int = AT_A_TIME) -> float:
    """The sum of so many float64 values, to the last bit as numpy adds them up, of which no more than `most` are held.

    Parameters
    ----------
    values : called with a range of them, first and end
    """

    def add(first: int, size: int) -> float:
        if size <= most:
            return float(values(first, first + size).sum())
        half = size // 2
        half -= half % 8
        return add(first, half) + add(first + half, size - half)

    return add(0, count)


def output_windows(width: int, height: int) -> List[Window]:
    """The windows of a raster of so many pixels, in whole blocks of the output, in the order in which a file grows."""
    columns = min(-(-width // BLOCK) * BLOCK, 16 * BLOCK)
    rows = max(BLOCK, WINDOW_PIXELS // columns // BLOCK * BLOCK)
    return [
        Window(col, row, min(columns, width - col), min(rows, height - row))
        for row in range(0, height, rows)
        for col in range(0, width, columns)
    ]


def made_ahead(make: Callable[[Item], Made], items: Iterable[Item], workers: int) -> Iterator[Tuple[Item, Made]]:
    """(item, what `make` makes of it), in the order of the items; threads are a few of them ahead."""
    with ThreadPool(workers) as pool:
        ahead: Deque[Tuple[Item, Future[Made]]] = deque()
        for item in items:
            ahead.append((item, pool.submit(make, item)))
            if len(ahead) > min(workers, MOST_AHEAD):
                item, made = ahead.popleft()
                yield item, made.result()
        for item, made in ahead:
            yield item, made.result()
