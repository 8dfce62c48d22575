# SPDX-License-Identifier: GPL-2.0-or-later
"""The mean image: every pixel shows the mean of its segment, in the values' own units."""

import math
import threading
from pathlib import Path
from typing import Sequence

import numpy as np
from osgeo import gdal

from ..errors import SegmentationError
from ..files.cog import make_cog
from ..files.creation_options import allows_gaps, creation_options, keeps_bits
from ..files.gdal_access import collected_errors, reason
from ..files.no_data import Band
from ..files.outputs import create_like, driver_for, is_cog, least_overviews, output_windows, worked_ahead
from ..files.overviews import build_overviews
from ..files.raster import Raster
from ..files.verification import Samples, verify_raster


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


def write_mean_image(path, grid, source, attributes, dtype, workers, options, assign_crs, advance, name="MEAN_IMAGE"):
    """Write the means of all bands of the attributes, NaN where there is none.

    Parameters
    ----------
    grid : Raster, whose size and georeferencing the image gets
    source : TileIds or RasterIds
    attributes : attributes.Attributes
    dtype : see `mean_image_type`
    workers, options, assign_crs, advance : see `write.write_segments`
    name : id of the parameter, for messages
    """
    options_used = creation_options(driver_for(path).ShortName, "" if is_cog(path) else options, workers)
    means = [moments.mean for moments in attributes.bands]
    kind = gdal.GDT_Float64 if dtype == np.float64 else gdal.GDT_Float32
    dataset = create_like(path, grid, len(means), kind, options_used, assign_crs)
    for index, mean in enumerate(means):
        _describe_band(dataset.GetRasterBand(index + 1), mean, attributes)
    tables = [np.append(np.nan, mean).astype(dtype) for mean in means]
    samples = Samples(keeps_bits(options))
    with collected_errors() as messages:
        windows = output_windows(grid.width, grid.height)
        pixels = _means_of(windows, source, attributes.ids, tables, workers)
        for done, (window, bands) in enumerate(pixels):
            advance(0.8 * done / len(windows))
            samples.add(window, bands)
            for index, values in enumerate(bands):
                dataset.GetRasterBand(index + 1).WriteArray(values, window.col, window.row)
            if messages:
                break
        dataset.FlushCache()
        del dataset
    if messages:
        raise SegmentationError(
            f"{name} {Path(path).name} cannot be written ({reason(messages)}): make room on its disk."
        )

    def finish(fraction):
        advance(0.8 + 0.2 * fraction)

    if is_cog(path):
        make_cog(path, "OVERVIEW_RESAMPLING=AVERAGE|" + options, workers, finish)
    else:
        build_overviews(path, "AVERAGE", workers, finish)
    verify_raster(path, samples, least_overviews(path, grid), allows_gaps(options), name)


def _describe_band(band, mean, attributes):
    """No data, and the statistics over pixels that a layer's stretch is taken from."""
    band.SetNoDataValue(math.nan)
    some = np.isfinite(mean)
    if not some.any():
        return
    mean, pixels = mean[some], attributes.sizes[some]
    with np.errstate(over="ignore", invalid="ignore"):  # values beyond 1e154, whose squares no double holds
        average = float((mean * pixels).sum()) / float(pixels.sum())
        deviation = math.sqrt(float(((mean - average) ** 2 * pixels).sum()) / float(pixels.sum()))
    band.SetStatistics(float(mean.min()), float(mean.max()), average, deviation)


def _means_of(windows, source, ids, tables, workers):
    """(window, values of each band), in the order of the windows; a few windows are worked ahead."""
    readers = threading.local()
    dense = bool(ids.size) and int(ids[-1]) == ids.size

    def work(window):
        if not hasattr(readers, "read"):
            readers.read = source.reader()
        places = readers.read(window)
        if not dense:
            present = places != 0
            places = np.where(present, np.searchsorted(ids, places) + 1, 0)
        return [table[places] for table in tables]

    return worked_ahead(work, windows, workers)
