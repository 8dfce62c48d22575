# SPDX-License-Identifier: GPL-2.0-or-later
"""What is valid in a raster, found another way than the engine's: by GDAL's mask bands and the documented rules.

GDAL's mask says what is no data by value, mask band or dataset mask. Beyond it: values that are not finite; an alpha
band, however many bands there are beside it, is the mask and no data band itself; and where nothing is declared at
all, pixels that are 0 in every band.
"""

from dataclasses import dataclass
from typing import List

import numpy as np
from osgeo import gdal


@dataclass(frozen=True)
class Rule:
    """What a raster holds.

    numbers : of the bands that are data
    values : per band, (rows, cols) as GDAL reads them; signed where bytes are
    band_valid : per band, (rows, cols) bool
    zeros : (rows, cols) bool, where the raster's silence makes zeros no data
    scales : per band (scale, offset)
    """

    numbers: List[int]
    values: List[np.ndarray]
    band_valid: List[np.ndarray]
    zeros: np.ndarray
    scales: list

    def valid(self, rule: str) -> np.ndarray:
        """(rows, cols) bool under NODATA_RULE `any` or `all`."""
        together = np.all(self.band_valid, axis=0) if rule == "any" else np.any(self.band_valid, axis=0)
        return together & ~self.zeros

    def described(self, index: int) -> np.ndarray:
        """The values of a band in its own units: float64, or as they are without scale and offset."""
        scale, offset = self.scales[index]
        if (scale, offset) == (1.0, 0.0):
            return self.values[index]
        return self.values[index].astype(np.float64) * scale + offset


def rule_of(source: str) -> Rule:
    """Read a raster as a whole."""
    dataset = gdal.Open(source)
    bands = [dataset.GetRasterBand(number) for number in range(1, dataset.RasterCount + 1)]
    alpha = [band for band in bands if band.GetColorInterpretation() == gdal.GCI_AlphaBand]
    used = [band for band in bands if band.GetColorInterpretation() != gdal.GCI_AlphaBand] or bands
    opaque = np.ones((dataset.RasterYSize, dataset.RasterXSize), bool)
    if len(used) < len(bands):
        for band in alpha:
            opaque &= band.ReadAsArray() != 0
    values, valid, declared = [], [], len(used) < len(bands)
    for band in used:
        array = _signed(band, band.ReadAsArray())
        mask = band.GetMaskBand().ReadAsArray() != 0
        if array.dtype == np.int8 and band.GetNoDataValue() is not None:
            mask = array != band.GetNoDataValue()  # GDAL before 3.7 compares the bytes as unsigned ones
        values.append(array)
        valid.append(mask & opaque & np.isfinite(array))
        declared |= band.GetMaskFlags() != gdal.GMF_ALL_VALID or band.GetNoDataValue() is not None
    zeros = np.zeros(opaque.shape, bool) if declared else ~np.any([array != 0 for array in values], axis=0)
    scales = [(_or(band.GetScale(), 1.0), _or(band.GetOffset(), 0.0)) for band in used]
    return Rule([band.GetBand() for band in used], values, valid, zeros, scales)


def _signed(band: gdal.Band, array: np.ndarray) -> np.ndarray:
    if hasattr(gdal, "GDT_Int8"):
        return array
    signed = band.GetMetadataItem("PIXELTYPE", "IMAGE_STRUCTURE") == "SIGNEDBYTE"
    return array.view(np.int8) if signed and array.dtype == np.uint8 else array


def _or(number, otherwise):
    return otherwise if number is None else number
