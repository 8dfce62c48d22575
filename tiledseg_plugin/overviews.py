# SPDX-License-Identifier: GPL-2.0-or-later
"""Overviews of outputs, and the copy that makes a GeoTIFF a cloud optimized one."""

import os
from pathlib import Path
from typing import List

from osgeo import gdal

from .errors import Cancelled, SegmentationError
from .gdal_access import collected_errors, configured, reason
from .write import creation_options, is_cog

SMALLEST_OVERVIEW = 256  # pixels


def build_overviews(path, resampling, workers, advance):
    """Overviews inside a raster of ours, down to a few hundred pixels; a `.cog.tif` gets them when it is copied."""
    if is_cog(path):
        return
    with collected_errors() as messages:
        dataset = gdal.Open(path, gdal.GA_Update)
        levels = overview_levels(dataset.RasterXSize, dataset.RasterYSize)
        if levels:
            given = {
                "COMPRESS_OVERVIEW": "DEFLATE",
                "ZLEVEL_OVERVIEW": "1",  # as of the raster: 6, the default, takes twice the time for 4 % less
                "GDAL_NUM_THREADS": str(workers),
                "HFA_USE_RRD": "NO",
            }
            told = _Told(advance)
            with configured(given):
                dataset.BuildOverviews(resampling, levels, told)
            told.again()
        del dataset
    if messages:
        raise SegmentationError(f"Overviews of {Path(path).name} cannot be written ({reason(messages)}): make room.")


class _Told:
    """A callback for GDAL; what `advance` raises must not pass through C and is raised by `again`."""

    def __init__(self, advance):
        self.advance, self.raised = advance, None

    def __call__(self, fraction, message, data):
        try:
            self.advance(fraction)
        except Cancelled as cancelled:
            self.raised = cancelled
            return 0
        return 1

    def again(self):
        if self.raised is not None:
            raise self.raised


def overview_levels(width, height):
    """Powers of 2, until both sides are small."""
    levels: List[int] = []
    while max(width, height) / 2 ** len(levels) > SMALLEST_OVERVIEW:
        levels.append(2 ** (len(levels) + 1))
    return levels


def make_cog(path, options, workers, advance):
    """Turn the plain GeoTIFF at a path that ends in `.cog.tif` into a cloud optimized one."""
    plain = path + ".plain"
    os.replace(path, plain)
    told = _Told(advance)
    with collected_errors() as messages:
        source = gdal.Open(plain)
        copy = gdal.GetDriverByName("COG").CreateCopy(
            path,
            source,
            options=creation_options("COG", options, workers),
            callback=told,
        )
        del copy, source
    told.again()
    for left in (plain, plain + ".aux.xml"):
        if os.path.exists(left):
            os.unlink(left)
    if messages:
        raise SegmentationError(f"OUTPUT cannot be written ({reason(messages)}): make room, or check CREATION_OPTIONS.")
