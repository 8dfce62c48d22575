# SPDX-License-Identifier: GPL-2.0-or-later
"""The mean image: every pixel shows the mean of its segment, in the values' own units."""

import math
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Iterator, List, Protocol, Sequence, Tuple

import numpy as np
from osgeo import gdal

from ..errors import SegmentationError
from ..files.cog import make_cog
from ..files.creation_options import allows_gaps, keeps_bits
from ..files.formats import is_cog
from ..files.gdal_access import collected_errors, reason
from ..files.no_data import Band
from ..files.output_files import Output
from ..files.outputs import create_like, least_overviews, made_ahead, output_windows, set_statistics
from ..files.overviews import build_overviews
from ..files.raster import Raster
from ..files.stored import Rows
from ..files.verification import Samples, verify_raster
from ..files.window import Window
from ..progress import Advance
from .attributes import Attributes
from .segment_ids import SegmentIds, TileIds


def mean_image_type(bands: Sequence[Raster]) -> np.dtype:
    """float32, or float64 where that would lose digits of the values.

    Parameters
    ----------
    bands : one raster of one band each
    """
    return np.dtype(
        np.float64 if any(_is_wide(np.dtype(raster.dtype), raster.bands[0]) for raster in bands) else np.float32
    )


def _is_wide(dtype: np.dtype, band: Band) -> bool:
    if dtype.itemsize >= 4 and dtype != np.float32:
        return True
    if dtype.kind == "f":
        return band.offset != 0
    limits = np.iinfo(dtype)
    largest = max(abs(value * band.scale + band.offset) for value in (limits.min, limits.max))
    step = largest * 2.0**-23  # between floats of that size
    return bool(step > abs(band.scale) * 2.0**-7)


@dataclass(frozen=True)
class MeanImage:
    """A mean image that is to be written.

    grid : whose size and georeference it gets
    dtype : of its values, see `mean_image_type`
    names : of its bands, some may be empty
    """

    output: Output
    grid: Raster
    dtype: np.dtype
    names: Sequence[str] = ()


MeansReader = Callable[[Window], List[np.ndarray]]


class MeanSource(Protocol):
    """What the pixels of a mean image are.

    means : per band (segments,) float64, NaN where there is none
    """

    @property
    def means(self) -> Sequence[Rows]: ...

    def reader(self, dtype: np.dtype) -> MeansReader:
        """A function window -> (rows, cols) of each band, NaN where there is none; for one thread."""


@dataclass(frozen=True)
class MeansOfRun:
    """Of the segments of a run that is being written, whose means lie in files."""

    ids: TileIds
    means: Sequence[Rows]

    def reader(self, dtype: np.dtype) -> MeansReader:
        def read(window: Window) -> List[np.ndarray]:
            bands = [np.full((window.height, window.width), np.nan, dtype) for _ in self.means]
            for place, labels, table in self.ids.labels_in(window):
                present, places = np.unique(table, return_inverse=True)
                for band, mean in zip(bands, self.means):
                    found = np.full(present.size, np.nan)
                    found[present > 0] = mean[present[present > 0].astype(np.int64) - 1]
                    band[place] = found.astype(dtype)[places.reshape(-1)][labels]
            return bands

        return read


class MeansOfRaster:
    """Of a raster of segments, whose attributes are known."""

    def __init__(self, ids: SegmentIds, attributes: Attributes) -> None:
        self._ids, self._named = ids, attributes.ids
        self.means = [moments.mean for moments in attributes.bands]

    def reader(self, dtype: np.dtype) -> MeansReader:
        """See `MeanSource`."""
        read_ids, ids = self._ids.reader(), self._named
        tables = [np.append(np.nan, mean).astype(dtype) for mean in self.means]
        dense = bool(ids.size) and int(ids[-1]) == ids.size

        def read(window: Window) -> List[np.ndarray]:
            places = read_ids(window)
            if not dense:
                present = places != 0
                places = np.where(present, np.searchsorted(ids, places) + 1, 0)
            return [table[places] for table in tables]

        return read


def write_mean_image(image: MeanImage, source: MeanSource, sizes: Rows, workers: int, advance: Advance) -> None:
    """Write the means of all bands, NaN where there is none.

    Parameters
    ----------
    sizes : (segments,) int64 pixels
    workers : threads that look means up and compress
    advance : called with the fraction that is done

    Raises
    ------
    SegmentationError : it cannot be written
    """
    output, grid = image.output, image.grid
    samples = _write_means(image, source, sizes, workers, lambda done: advance(0.8 * done))

    def finish(fraction: float) -> None:
        advance(0.8 + 0.2 * fraction)

    if is_cog(output.path):
        make_cog(replace(output, options="OVERVIEW_RESAMPLING=AVERAGE|" + output.options), workers, finish)
    else:
        build_overviews(output, "AVERAGE", workers, finish)
    overviews, gaps = least_overviews(output.path, grid), allows_gaps(output.options)
    verify_raster(output.path, samples, overviews, gaps, output.name)


def _write_means(image: MeanImage, source: MeanSource, sizes: Rows, workers: int, advance: Advance) -> Samples:
    """Write the image without overviews; some of it, to hold the finished file against."""
    output, grid = image.output, image.grid
    kind = gdal.GDT_Float64 if image.dtype == np.float64 else gdal.GDT_Float32
    dataset = create_like(output, grid, len(source.means), kind, workers)
    for index, mean in enumerate(source.means):
        band = dataset.GetRasterBand(index + 1)
        band.SetNoDataValue(math.nan)
        if index < len(image.names):
            band.SetDescription(image.names[index])
        set_statistics(band, mean, sizes)
        del band
    samples = Samples(keeps_bits(output.options))
    with collected_errors() as messages:
        windows = output_windows(grid.width, grid.height)
        pixels = _means_of(windows, source, image.dtype, workers)
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


def _means_of(
    windows: Sequence[Window], source: MeanSource, dtype: np.dtype, workers: int
) -> Iterator[Tuple[Window, List[np.ndarray]]]:
    """(window, values of each band), in the order of the windows; threads are a few of them ahead."""
    readers = threading.local()

    def means_in(window: Window) -> List[np.ndarray]:
        if not hasattr(readers, "read"):
            readers.read = source.reader(dtype)
        means: List[np.ndarray] = readers.read(window)
        return means

    return made_ahead(means_in, windows, workers)
