# SPDX-License-Identifier: GPL-2.0-or-later
"""The mean image: every pixel shows the mean of its segment, in the values' own units."""

import math
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Iterator, List, Sequence, Tuple

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
from ..files.verification import Samples, verify_raster
from ..files.window import Window
from ..progress import Advance
from .attributes import Attributes
from .segment_ids import SegmentIds


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


def write_mean_image(
    image: MeanImage, source: SegmentIds, attributes: Attributes, workers: int, advance: Advance
) -> None:
    """Write the means of all bands of the attributes, NaN where there is none.

    Parameters
    ----------
    source : of the segments' ids
    workers : threads that look means up and compress
    advance : called with the fraction that is done

    Raises
    ------
    SegmentationError : it cannot be written
    """
    output, grid = image.output, image.grid
    samples = _write_means(image, source, attributes, workers, lambda done: advance(0.8 * done))

    def finish(fraction: float) -> None:
        advance(0.8 + 0.2 * fraction)

    if is_cog(output.path):
        make_cog(replace(output, options="OVERVIEW_RESAMPLING=AVERAGE|" + output.options), workers, finish)
    else:
        build_overviews(output, "AVERAGE", workers, finish)
    overviews, gaps = least_overviews(output.path, grid), allows_gaps(output.options)
    verify_raster(output.path, samples, overviews, gaps, output.name)


def _write_means(
    image: MeanImage, source: SegmentIds, attributes: Attributes, workers: int, advance: Advance
) -> Samples:
    """Write the image without overviews; some of it, to hold the finished file against."""
    output, grid = image.output, image.grid
    means = [moments.mean for moments in attributes.bands]
    kind = gdal.GDT_Float64 if image.dtype == np.float64 else gdal.GDT_Float32
    dataset = create_like(output, grid, len(means), kind, workers)
    for index, mean in enumerate(means):
        band = dataset.GetRasterBand(index + 1)
        band.SetNoDataValue(math.nan)
        if index < len(image.names):
            band.SetDescription(image.names[index])
        set_statistics(band, mean, attributes.sizes)
        del band
    tables = [np.append(np.nan, mean).astype(image.dtype) for mean in means]
    samples = Samples(keeps_bits(output.options))
    with collected_errors() as messages:
        windows = output_windows(grid.width, grid.height)
        pixels = _means_of(windows, source, attributes.ids, tables, workers)
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
    windows: Sequence[Window], source: SegmentIds, ids: np.ndarray, tables: Sequence[np.ndarray], workers: int
) -> Iterator[Tuple[Window, List[np.ndarray]]]:
    """(window, values of each band), in the order of the windows; threads are a few of them ahead.

    Parameters
    ----------
    ids : (segments,) uint32, ascending
    tables : per band (1 + segments,), what is written for no data and for each segment
    """
    readers = threading.local()
    dense = bool(ids.size) and int(ids[-1]) == ids.size

    def means_in(window: Window) -> List[np.ndarray]:
        if not hasattr(readers, "read"):
            readers.read = source.reader()
        places = readers.read(window)
        if not dense:
            present = places != 0
            places = np.where(present, np.searchsorted(ids, places) + 1, 0)
        return [table[places] for table in tables]

    return made_ahead(means_in, windows, workers)
