# SPDX-License-Identifier: GPL-2.0-or-later
"""Overviews of outputs: of a GeoTIFF written along with it, of other formats built when it is whole."""

from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
from osgeo import gdal

from ..errors import Cancelled, SegmentationError
from ..progress import Advance
from .gdal_access import collected_errors, configured, reason
from .output_files import Output
from .window import Window

SMALLEST_OVERVIEW = 256  # pixels
BLOCK = 256  # of overviews written along: blocks of the first are whole after 512 rows, so that few wait in the cache


def overview_levels(width: int, height: int) -> List[int]:
    """The levels of a raster of so many pixels: powers of 2, until both sides are small."""
    levels: List[int] = []
    while max(width, height) / 2 ** len(levels) > SMALLEST_OVERVIEW:
        levels.append(2 ** (len(levels) + 1))
    return levels


def _options(workers: int) -> Dict[str, str]:
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

    def __init__(self, dataset: gdal.Dataset, workers: int) -> None:
        self._band = dataset.GetRasterBand(1)
        self._levels = overview_levels(dataset.RasterXSize, dataset.RasterYSize)
        if self._levels:
            with configured({**_options(workers), "GDAL_TIFF_OVR_BLOCKSIZE": str(BLOCK)}):
                dataset.BuildOverviews("NONE", self._levels)

    def add(self, pixels: np.ndarray, window: Window) -> None:
        """Write what a window, which has just been written itself, has in each overview."""
        for index, level in enumerate(self._levels):
            row, col = -(-window.row // level), -(-window.col // level)
            nearest = pixels[row * level - window.row :: level, col * level - window.col :: level]
            overview = self._band.GetOverview(index)
            if nearest.size:
                overview.WriteArray(np.ascontiguousarray(nearest), col, row)
            if window.right == self._band.XSize and window.bottom % (BLOCK * level) == 0:
                overview.FlushCache()  # a row of blocks is whole; what is left would have to be written at the end


def build_overviews(output: Output, resampling: str, workers: int, advance: Advance) -> None:
    """Build overviews inside a raster of ours, down to a few hundred pixels.

    Parameters
    ----------
    resampling : GDAL's name of it
    workers : threads that compress
    advance : called with the fraction that is done

    Raises
    ------
    SegmentationError : they cannot be written
    """
    with collected_errors() as messages:
        dataset = gdal.Open(output.path, gdal.GA_Update)
        levels = None if dataset is None else overview_levels(dataset.RasterXSize, dataset.RasterYSize)
        if levels:
            callback = ProgressCallback(advance)
            with configured(_options(workers)):
                dataset.BuildOverviews(resampling, levels, callback)
            callback.raise_if_cancelled()
        del dataset
    if messages or levels is None:
        raise SegmentationError(
            f"Overviews of {output.name} {Path(output.path).name} cannot be written ({reason(messages)}): make room."
        )


class ProgressCallback:
    """A progress callback. No exception passes through GDAL, so that the user has cancelled is raised afterwards."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self._cancelled: Optional[Cancelled] = None

    def __call__(self, fraction: float, message: str, data: Any) -> int:
        try:
            self._advance(fraction)
        except Cancelled as cancelled:
            self._cancelled = cancelled
            return 0
        return 1

    def raise_if_cancelled(self) -> None:
        """Raise what `advance` has raised while GDAL was at work."""
        if self._cancelled is not None:
            raise self._cancelled
