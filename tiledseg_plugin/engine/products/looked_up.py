# SPDX-License-Identifier: GPL-2.0-or-later
"""Rasters in which every pixel has what belongs to its segment: a mean, a value of a table, a class."""

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Iterator, List, Sequence, Tuple

import numpy as np
from osgeo import gdal_array

from ..errors import SegmentationError
from ..files.cog import make_cog
from ..files.creation_options import allows_gaps, keeps_bits
from ..files.formats import is_cog
from ..files.gdal_access import collected_errors, reason
from ..files.output_files import Output
from ..files.outputs import create_like, least_overviews, made_ahead, output_windows, set_statistics
from ..files.overviews import build_overviews
from ..files.raster import Raster
from ..files.verification import Samples, verify_raster
from ..files.window import Window
from ..progress import Advance
from .attributes import Attributes
from .segment_ids import SegmentIds


@dataclass(frozen=True)
class LookedUp:
    """A raster that is to be written.

    grid : whose size and georeference it gets
    dtype : of its values
    columns : per band (segments,) values
    nodata : what pixels without a segment get; values that are NaN become it, too
    names : of its bands, some may be empty
    overviews : GDAL's name of their resampling
    """

    output: Output
    grid: Raster
    dtype: np.dtype
    columns: Sequence[np.ndarray]
    nodata: Any
    names: Sequence[str] = ()
    overviews: str = "AVERAGE"


def write_looked_up(
    image: LookedUp, source: SegmentIds, attributes: Attributes, workers: int, advance: Advance
) -> None:
    """Write the raster, with overviews.

    Parameters
    ----------
    source : of the segments' ids
    attributes : of which ids, ascending as the rows of the columns, and sizes are used
    workers : threads that look values up and compress
    advance : called with the fraction that is done

    Raises
    ------
    SegmentationError : it cannot be written
    """
    output, grid = image.output, image.grid
    samples = _write(image, source, attributes, workers, lambda done: advance(0.8 * done))

    def finish(fraction: float) -> None:
        advance(0.8 + 0.2 * fraction)

    if is_cog(output.path):
        make_cog(replace(output, options=f"OVERVIEW_RESAMPLING={image.overviews}|" + output.options), workers, finish)
    else:
        build_overviews(output, image.overviews, workers, finish)
    overviews, gaps = least_overviews(output.path, grid), allows_gaps(output.options)
    verify_raster(output.path, samples, overviews, gaps, output.name)


def _write(image: LookedUp, source: SegmentIds, attributes: Attributes, workers: int, advance: Advance) -> Samples:
    """Write the raster without overviews; some of it, to hold the finished file against."""
    output, grid = image.output, image.grid
    kind = gdal_array.NumericTypeCodeToGDALTypeCode(image.dtype)
    dataset = create_like(output, grid, len(image.columns), kind, workers)
    for index, column in enumerate(image.columns):
        band = dataset.GetRasterBand(index + 1)
        band.SetNoDataValue(image.nodata)
        if index < len(image.names):
            band.SetDescription(image.names[index])
        set_statistics(band, column, attributes.sizes)
        del band
    tables = [_table(column, image) for column in image.columns]
    samples = Samples(keeps_bits(output.options))
    with collected_errors() as messages:
        windows = output_windows(grid.width, grid.height)
        pixels = _values_in(windows, source, attributes.ids, tables, workers)
        for done, (window, bands) in enumerate(pixels):
            advance(done / len(windows))
            samples.add(window, bands)
            for index, values in enumerate(bands):
                dataset.GetRasterBand(index + 1).WriteArray(values, window.col, window.row)
            if messages:
                break
        dataset.FlushCache()
        del dataset
    if messages:
        raise SegmentationError(
            f"{output.name} {Path(output.path).name} cannot be written ({reason(messages)}): make room on its disk."
        )
    return samples


def _table(column: np.ndarray, image: LookedUp) -> np.ndarray:
    """(1 + segments,) what is written for no data and for each segment."""
    return np.append(image.nodata, np.where(np.isnan(column), image.nodata, column)).astype(image.dtype)


def _values_in(
    windows: Sequence[Window], source: SegmentIds, ids: np.ndarray, tables: Sequence[np.ndarray], workers: int
) -> Iterator[Tuple[Window, List[np.ndarray]]]:
    """(window, values of each band), in the order of the windows; threads are a few of them ahead.

    Parameters
    ----------
    ids : (segments,) uint32, ascending
    tables : per band, see `_table`
    """
    readers = threading.local()
    dense = bool(ids.size) and int(ids[-1]) == ids.size

    def values_in(window: Window) -> List[np.ndarray]:
        if not hasattr(readers, "read"):
            readers.read = source.reader()
        places = readers.read(window)
        if not dense:
            present = places != 0
            places = np.where(present, np.searchsorted(ids, places) + 1, 0)
        return [table[places] for table in tables]

    return made_ahead(values_in, windows, workers)
