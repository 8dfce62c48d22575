# SPDX-License-Identifier: GPL-2.0-or-later
"""The stretch as RSGISLib's script computes it, for RSGISLib's very result from the raw image (RSGISLIB_STRETCH).

RSGISLib 5 (`shepherdseg.run_shepherd_segmentation`) passes `True` where its stretch expects the no-data value, which
so is 1.0: zeros count in the statistics, and pixels equal to 1 do not, band by band. A pixel equal to 1 becomes 0
before 1 is added, as what lies below the lower limit; one that is equal to the lower limit becomes 1. What is no data
is decided by the first band alone: where it is 0. Values are read as float32, sums are of float64. (Established from
its results and its source; with these rules all its stretched images are reproduced in every pixel.)
"""

from dataclasses import replace
from typing import Any, List, Optional, Sequence, Union

import numpy as np

from ..errors import SegmentationError
from ..files.raster import Raster
from .colours import Stretched

NOT_COUNTED = 1  # `True` as a number


def declares_nothing_but_zero(raster: Raster) -> bool:
    """Whether what is no data holds a 0, so that RSGISLib's own rule (the first band is 0) can stand for it."""
    plain = all(band.nodata in (None, 0) and not band.is_masked for band in raster.bands)
    return plain and np.dtype(raster.dtype).kind in "iu"


def as_rsgislib_sees(raster: Raster) -> Raster:
    """The raster with RSGISLib's rule of what is no data: a pixel that is 0 in the first of the bands.

    What a raster declares otherwise (another value, a mask, NaN) is no data, too, and counts as 0 in the statistics.
    """
    note = f"RSGISLIB_STRETCH: pixels that are 0 in band {raster.bands[0].number} are no data, as RSGISLib has it."
    if not declares_nothing_but_zero(raster):
        note += " So is what the raster itself declares, which counts as 0 in the statistics."
        return replace(raster, first_zero_is_nodata=True, notes=(*raster.notes, note))
    bands = tuple(replace(band, nodata=None) for band in raster.bands)
    return replace(raster, bands=bands, zero_is_nodata=False, first_zero_is_nodata=True, notes=(note,))


def counted_values(values: np.ndarray, valid: np.ndarray, covered: Optional[np.ndarray]) -> List[np.ndarray]:
    """The values of each band of a window that RSGISLib's statistics are of.

    Parameters
    ----------
    values : (bands, rows, cols)
    valid : (rows, cols) bool, by what the raster declares
    covered : (rows, cols) bool or None, False where the pixels are outside all tiles

    Returns
    -------
    list of (n,) arrays, of integers of up to 16 bits or float32
    """
    seen = as_read(np.where(valid, values, values.dtype.type(0)))
    inside: Union[slice, np.ndarray] = slice(None) if covered is None else covered
    return [band[inside][band[inside] != NOT_COUNTED] for band in seen]


def as_read(values: np.ndarray) -> np.ndarray:
    """Values as RSGISLib reads them: float32; small integers, which are the same in it, as they are."""
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        return values
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def sums_are_exact(raster: Raster) -> bool:
    """Whether `counted_values` are integers."""
    dtype = np.dtype(raster.dtype)
    return dtype.kind in "iu" and dtype.itemsize <= 2


def stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """One band's values as uint8 of the same shape, 1 to 255."""
    if not high > low:  # one value only, or none
        return np.ones(values.shape, np.uint8)
    seen = as_read(values)
    exact = seen.astype(np.float64)
    scaled = np.floor(np.clip((exact - low) / (high - low) * 255.0, 0, 255) + 0.5)
    scaled[exact == low] = 1
    scaled[seen == NOT_COUNTED] = 0
    return np.minimum(scaled + 1, 255).astype(np.uint8)


class StretchedAsRsgislib(Stretched):
    """See `colours.Stretched`."""

    @staticmethod
    def stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
        return stretch(values, low, high)


def colours_of(bands: Sequence[Any], raster: Raster) -> StretchedAsRsgislib:
    """How values become the colours that are compared.

    Parameters
    ----------
    bands : statistics.BandStatistics of each band's `counted_values`

    Raises
    ------
    SegmentationError : the statistics are not finite, as values are beyond float32
    """
    low, high = zip(*(band.stretch_range() if band.count else (0.0, 0.0) for band in bands))
    if not np.isfinite([*low, *high]).all():
        raise SegmentationError(
            f"{raster.path} has values that RSGISLib's stretch cannot hold (beyond 32-bit real numbers): "
            "switch RSGISLIB_STRETCH off."
        )
    return StretchedAsRsgislib(low, high)
