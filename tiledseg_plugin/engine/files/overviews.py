# SPDX-License-Identifier: GPL-2.0-or-later
"""Overviews of outputs: of a GeoTIFF written along with it, of other formats built when it is whole."""

from pathlib import Path
from typing import List

import numpy as np
from osgeo import gdal

from ..errors import Cancelled, SegmentationError
from .gdal_access import collected_errors, configured, reason

SMALLEST_OVERVIEW = 256  # pixels
BLOCK = 256  # of overviews written along: blocks of the first are whole after 512 rows, so that few wait in the cache


def overview_levels(width, height):
    """Powers of 2, until both sides are small."""
    levels: List[int] = []
    while max(width, height) / 2 ** len(levels) > SMALLEST_OVERVIEW:
        levels.append(2 ** (len(levels) + 1))
    return levels


def _options(workers):
    return {
        "COMPRESS_OVERVIEW": "DEFLATE",
        "ZLEVEL_OVERVIEW": "1",  # as of the raster: 6, the default, takes twice the time for 4 % less
        "GDAL_NUM_THREADS": str(workers),
        "HFA_USE_RRD": "NO",
    }


class GrowingOverviews:
    """Overviews inside a GeoTIFF that is being written, of nearest pixels: nothing has to be read again for them.

    Parameters
    ----------
    dataset : the GeoTIFF, just created
    workers : threads that compress
    """

    def __init__(self, dataset, workers):
        self._band = dataset.GetRasterBand(1)
        self._levels = overview_levels(dataset.RasterXSize, dataset.RasterYSize)
        if self._levels:
            with configured({**_options(workers), "GDAL_TIFF_OVR_BLOCKSIZE": str(BLOCK)}):
                dataset.BuildOverviews("NONE", self._levels)

    def add(self, pixels, window):
        """Write what a window, which has just been written itself, has in each overview."""
        for index, level in enumerate(self._levels):
            row, col = -(-window.row // level), -(-window.col // level)
            nearest = pixels[row * level - window.row :: level, col * level - window.col :: level]
            overview = self._band.GetOverview(index)
            if nearest.size:
                overview.WriteArray(np.ascontiguousarray(nearest), col, row)
            if window.right == self._band.XSize and window.bottom % (BLOCK * level) == 0:
                overview.FlushCache()  # a row of blocks is whole; what is left would have to be written at the end


def build_overviews(path, resampling, workers, advance):
    """Overviews inside a raster of ours, down to a few hundred pixels."""
    with collected_errors() as messages:
        dataset = gdal.Open(path, gdal.GA_Update)
        levels = overview_levels(dataset.RasterXSize, dataset.RasterYSize)
        if levels:
            told = Told(advance)
            with configured(_options(workers)):
                dataset.BuildOverviews(resampling, levels, told)
            told.again()
        del dataset
    if messages:
        raise SegmentationError(f"Overviews of {Path(path).name} cannot be written ({reason(messages)}): make room.")


class Told:
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
