# SPDX-License-Identifier: GPL-2.0-or-later
"""Rasters in which every pixel has what belongs to its segment: a mean, a value of a table, a class."""

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Iterator, List, Protocol, Sequence, Tuple

import numpy as np
from osgeo import gdal_array

from .. import kernels
from ..errors import SegmentationError
from ..files.cog import make_cog
from ..files.creation_options import allows_gaps, keeps_bits
from ..files.formats import is_cog
from ..files.gdal_access import collected_errors, reason
from ..files.output_files import Output
from ..files.outputs import create_like, least_overviews, made_ahead, output_windows, set_statistics
from ..files.overviews import build_overviews
from ..files.raster import Raster
from ..files.stored import Rows
from ..files.verification import Samples, verify_raster
from ..files.window import Window
from ..files.work_folder import WorkFolder
from ..progress import Advance
from .attributes import places_of
from .segment_ids import SegmentIds, TileIds
from .segment_rows import IDS

ValuesReader = Callable[[Window], List[np.ndarray]]


@dataclass(frozen=True)
class LookedUp:
    """A raster that is to be written.

    grid : whose size and georeference it gets
    dtype : of its values
    nodata : what pixels without a segment get; values that are NaN become it, too
    names : of its bands, some may be empty
    overviews : GDAL's name of their resampling
    """

    output: Output
    grid: Raster
    dtype: np.dtype
    nodata: Any
    names: Sequence[str] = ()
    overviews: str = "AVERAGE"


class ColumnSource(Protocol):
    """What the pixels are.

    columns : per band (segments,) values, NaN where there is none
    """

    @property
    def columns(self) -> Sequence[Rows]: ...

    def reader(self, image: LookedUp) -> ValuesReader:
        """A function window -> (rows, cols) of each band; for one thread."""


@dataclass(frozen=True)
class ColumnsOfRun:
    """Of the segments of a run that is being written, whose columns lie in files."""

    ids: TileIds
    columns: Sequence[Rows]

    def reader(self, image: LookedUp) -> ValuesReader:
        """See `ColumnSource`."""

        def read(window: Window) -> List[np.ndarray]:
            bands = [np.full((window.height, window.width), image.nodata, image.dtype) for _ in self.columns]
            for place, labels, table in self.ids.labels_in(window):
                present, places = np.unique(table, return_inverse=True)
                for band, column in zip(bands, self.columns):
                    found = np.full(present.size, np.nan)
                    found[present > 0] = column[present[present > 0].astype(np.int64) - 1]
                    band[place] = _written(found, image)[places.reshape(-1)][labels]
            return bands

        return read


@dataclass(frozen=True)
class ColumnsOfRaster:
    """Of a raster of segments, whose ids lie in the work folder, see `segment_rows.IDS`.

    kernels : name of the set that finds which segments are in a window
    columns : a row for each of the ids
    """

    ids: SegmentIds
    folder: WorkFolder
    kernels: str
    columns: Sequence[Rows]

    def reader(self, image: LookedUp) -> ValuesReader:
        """See `ColumnSource`."""
        read_ids, (kernel, _) = self.ids.reader(), kernels.choose(self.kernels)

        def read(window: Window) -> List[np.ndarray]:
            present, labels, _ = kernel.compact(read_ids(window))
            labels = labels.reshape(window.height, window.width)
            places = places_of(present, self.folder.map_array(IDS))  # opened anew: what has been read need not stay
            return [_written(np.append(np.nan, column[places]), image)[labels] for column in self.columns]

        return read


def _written(values: np.ndarray, image: LookedUp) -> np.ndarray:
    """Values as they are written."""
    return np.where(np.isnan(values), image.nodata, values).astype(image.dtype)


def write_looked_up(image: LookedUp, source: ColumnSource, sizes: Rows, workers: int, advance: Advance) -> None:
    """Write the raster, with overviews.

    Parameters
    ----------
    sizes : (segments,) int64 pixels
    workers : threads that look values up and compress
    advance : called with the fraction that is done

    Raises
    ------
    SegmentationError : it cannot be written
    """
    output, grid = image.output, image.grid
    samples = _write(image, source, sizes, workers, lambda done: advance(0.8 * done))

    def finish(fraction: float) -> None:
        advance(0.8 + 0.2 * fraction)

    if is_cog(output.path):
        make_cog(replace(output, options=f"OVERVIEW_RESAMPLING={image.overviews}|" + output.options), workers, finish)
    else:
        build_overviews(output, image.overviews, workers, finish)
    overviews, gaps = least_overviews(output.path, grid), allows_gaps(output.options)
    verify_raster(output.path, samples, overviews, gaps, output.name)


def _write(image: LookedUp, source: ColumnSource, sizes: Rows, workers: int, advance: Advance) -> Samples:
    """Write the raster without overviews; some of it, to hold the finished file against."""
    output, grid = image.output, image.grid
    kind = gdal_array.NumericTypeCodeToGDALTypeCode(image.dtype)
    dataset = create_like(output, grid, len(source.columns), kind, workers)
    for index, column in enumerate(source.columns):
        band = dataset.GetRasterBand(index + 1)
        band.SetNoDataValue(image.nodata)
        if index < len(image.names):
            band.SetDescription(image.names[index])
        set_statistics(band, column, sizes)
        del band
    samples = Samples(keeps_bits(output.options))
    with collected_errors() as messages:
        windows = output_windows(grid.width, grid.height)
        for done, (window, bands) in enumerate(_values_in(windows, source, image, workers)):
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


def _values_in(
    windows: Sequence[Window], source: ColumnSource, image: LookedUp, workers: int
) -> Iterator[Tuple[Window, List[np.ndarray]]]:
    """(window, values of each band), in the order of the windows; threads are a few of them ahead."""
    readers = threading.local()

    def values_in(window: Window) -> List[np.ndarray]:
        if not hasattr(readers, "read"):
            readers.read = source.reader(image)
        values: List[np.ndarray] = readers.read(window)
        return values

    return made_ahead(values_in, windows, workers)
