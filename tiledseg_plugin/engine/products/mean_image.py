# SPDX-License-Identifier: GPL-2.0-or-later
"""The mean image: every pixel shows the mean of its segment, in the values' own units."""

import math
from dataclasses import dataclass
from typing import Sequence

import numpy as np

from ..files.no_data import Band
from ..files.output_files import Output
from ..files.raster import Raster
from ..files.stored import Rows
from ..progress import Advance
from .looked_up import ColumnSource, LookedUp, write_looked_up


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


def write_mean_image(image: MeanImage, source: ColumnSource, sizes: Rows, workers: int, advance: Advance) -> None:
    """Write the means of all bands, NaN where there is none.

    Parameters
    ----------
    source : of the means
    sizes : (segments,) int64 pixels
    workers : threads that look means up and compress
    advance : called with the fraction that is done

    Raises
    ------
    SegmentationError : it cannot be written
    """
    looked_up = LookedUp(image.output, image.grid, image.dtype, math.nan, image.names)
    write_looked_up(looked_up, source, sizes, workers, advance)
