# SPDX-License-Identifier: GPL-2.0-or-later
"""The input raster: what it is, and windows of its values with what is valid in them.

This is the one place that reads windows and that knows the rules of no data (shepherd-algorithm, section 1).
"""

import os
from dataclasses import dataclass, replace
from typing import Any, List, NamedTuple, Optional, Tuple

import numpy as np
from osgeo import gdal, gdal_array

from .errors import SegmentationError
from .gdal_access import collected_errors, open_raster, reason
from .raw_files import check_whole

MOST_PIXELS = 2**32 - 2  # segment ids are uint32


class Window(NamedTuple):
    """A rectangle of pixels."""

    col: int
    row: int
    width: int
    height: int

    @property
    def right(self):
        return self.col + self.width

    @property
    def bottom(self):
        return self.row + self.height

    @property
    def pixels(self):
        return self.width * self.height

    def grown(self, pixels, width, height):
        """This window with a margin, cut to a raster of that size."""
        col, row = max(self.col - pixels, 0), max(self.row - pixels, 0)
        return Window(col, row, min(self.right + pixels, width) - col, min(self.bottom + pixels, height) - row)

    def within(self, outer):
        """Slices of this window in an array that holds `outer`."""
        return (
            slice(self.row - outer.row, self.bottom - outer.row),
            slice(self.col - outer.col, self.right - outer.col),
        )

    def intersection(self, other):
        """The common part, or None."""
        col, row = max(self.col, other.col), max(self.row, other.row)
        width, height = min(self.right, other.right) - col, min(self.bottom, other.bottom) - row
        return Window(col, row, width, height) if width > 0 and height > 0 else None


@dataclass(frozen=True)
class Band:
    """What decides about the validity of a band's pixels.

    nodata : the declared value, None where there is none that a pixel could have
    masked : a mask or alpha band says what is valid
    tolerance : how far from `nodata` a float may be, as a share of it, and still be it
    """

    number: int
    nodata: Optional[float] = None
    masked: bool = False
    tolerance: float = 0.0


@dataclass(frozen=True)
class Raster:
    """An input raster with the bands that are used. Plain values only: it travels to workers.

    zero_is_nodata : the raster declares nothing, so pixels that are 0 in all bands are taken as no data
    """

    path: str
    width: int
    height: int
    bands: Tuple[Band, ...]
    dtype: str
    block: Tuple[int, int]
    nodata_rule: str
    zero_is_nodata: bool
    notes: Tuple[str, ...] = ()

    @property
    def window(self):
        return Window(0, 0, self.width, self.height)

    @property
    def numbers(self):
        return [band.number for band in self.bands]

    @property
    def is_integer(self):
        """Whether sums of the values are exact as they are."""
        return np.dtype(self.dtype).kind in "iu" and np.dtype(self.dtype).itemsize <= 4


def describe(path, bands=(), nodata_rule="any"):
    """Look at a raster's header.

    Parameters
    ----------
    path : anything that GDAL opens
    bands : 1-based numbers, empty for all
    nodata_rule : `any` or `all`

    Raises
    ------
    SegmentationError : the raster cannot be opened, is too large, or lacks a band; complex values
    """
    dataset = open_raster(path)
    check_whole(dataset, path)
    with collected_errors():
        dataset.GetRasterBand(1).GetMaskFlags()  # a GeoTIFF reads its other directories now, and warns of them
    count = dataset.RasterCount
    numbers = list(bands) or list(range(1, count + 1))
    for number in numbers:
        if not 1 <= number <= count:
            raise SegmentationError(
                f"BANDS names band {number}, but {path} has {count}: give numbers from 1 to {count}, separated by ';'."
            )
    if len(set(numbers)) < len(numbers):
        raise SegmentationError(f"BANDS names a band twice ({';'.join(map(str, numbers))}): give each band once.")
    width, height = dataset.RasterXSize, dataset.RasterYSize
    if width * height > MOST_PIXELS:
        raise SegmentationError(f"{path} has {width} x {height} pixels, more than 32-bit ids can number: split it.")

    used = [dataset.GetRasterBand(number) for number in numbers]
    kinds = [gdal_array.GDALTypeCodeToNumericTypeCode(band.DataType) for band in used]
    if any(kind is None or np.dtype(kind).kind == "c" for kind in kinds):
        raise SegmentationError(f"{path} has bands of complex numbers: convert them, e.g. to their magnitude.")
    dtype = np.result_type(*kinds)
    notes: List[str] = []
    described = tuple(_describe_band(dataset, band, numbers, notes) for band in used)
    declared = any(band.nodata is not None or band.masked or _declares(raw) for band, raw in zip(described, used))
    if not declared:
        notes.append("The raster declares no no-data value: pixels that are 0 in every selected band are left out.")
    return Raster(
        path=path,
        width=width,
        height=height,
        bands=described,
        dtype=dtype.str,
        block=tuple(used[0].GetBlockSize()),
        nodata_rule=nodata_rule,
        zero_is_nodata=not declared,
        notes=tuple(dict.fromkeys(notes)),
    )


def _declares(band):
    return band.GetNoDataValue() is not None


def _describe_band(dataset, band, numbers, notes):
    flags = band.GetMaskFlags()
    if flags & gdal.GMF_NODATA:
        return Band(band.GetBand(), *_nodata_value(band))
    if flags & gdal.GMF_ALPHA:
        alpha = [i for i in range(1, dataset.RasterCount + 1) if _is_alpha(dataset.GetRasterBand(i))]
        if set(alpha) & set(numbers):
            notes.append(f"Band {alpha[0]} is marked as alpha, but it is selected: it is used as data, not as a mask.")
            return Band(band.GetBand())
    return Band(band.GetBand(), masked=not flags & gdal.GMF_ALL_VALID)


def _is_alpha(band):
    return band.GetColorInterpretation() == gdal.GCI_AlphaBand


def _nodata_value(band):
    """(value or None, masked, tolerance); no value where the band's type cannot hold it, nor for NaN, never valid."""
    value = band.GetNoDataValue()
    own = np.dtype(gdal_array.GDALTypeCodeToNumericTypeCode(band.DataType))
    if not np.isfinite(value):
        return None, False, 0.0
    if own.kind in "iu":
        limits = np.iinfo(own)
        held = value == int(value) and limits.min <= value <= limits.max
        return (int(value) if held else None), False, 0.0
    # As GDAL compares: a value written as text may have lost its last digits.
    return float(own.type(value)), False, 2 * float(np.finfo(own).eps)


def read_bands(dataset, raster, window):
    """The values of a window and what is valid in each band by itself, whatever it is in the others.

    Returns
    -------
    [(values, valid)] : per band (rows, cols) of the raster's dtype, finite, and (rows, cols) bool
    """
    values = _read(dataset, raster, window, mask=False)
    judged = []
    for index, band in enumerate(raster.bands):
        valid = _valid(dataset, replace(raster, bands=(band,)), window, values[index : index + 1])
        judged.append((values[index], valid))
    return judged


def read_window(dataset, raster, window, covered=None):
    """The values of a window and what is valid in it.

    Parameters
    ----------
    dataset : as `gdal_access.open_raster` gives it
    window : Window
    covered : (rows, cols) bool or None, False where the pixels are outside all tiles

    Returns
    -------
    values : (bands, rows, cols) of the raster's dtype, finite
    valid : (rows, cols) bool
    """
    values = _read(dataset, raster, window, mask=False)
    return values, _valid(dataset, raster, window, values, covered)


def _valid(dataset, raster, window, values, covered=None):
    """What is valid in a window: (rows, cols) bool. Values that are not finite become 0."""
    invalid: Any = None
    for index, band in enumerate(raster.bands):
        bad = _invalid_in_band(values[index], band)
        if band.masked:
            bad = bad | (_read(dataset, raster, window, mask=True, band=band) == 0)
        if invalid is None:
            invalid = bad
        elif raster.nodata_rule == "any":
            invalid = invalid | bad
        else:
            invalid = invalid & bad
    if raster.zero_is_nodata:
        invalid = invalid | ~values.any(axis=0)
    valid = ~invalid if invalid.shape else np.full(values.shape[1:], not invalid)
    if covered is not None:
        valid &= covered
    if values.dtype.kind == "f":
        values[~np.isfinite(values)] = 0  # under the rule `all` such a pixel may be valid
    return valid


def read_validity(dataset, raster, window):
    """What is valid in a window under each of the rules of no data; only what decides that is read.

    Returns
    -------
    {rule: (rows, cols) bool}, the rules being those of NODATA_RULE; one array for both where they agree by nature
    """
    decided_by_values = (
        raster.zero_is_nodata
        or np.dtype(raster.dtype).kind == "f"
        or any(band.nodata is not None for band in raster.bands)
    )
    values: Any = _read(dataset, raster, window, mask=False) if decided_by_values else None
    any_bad: Any = None
    all_bad: Any = None
    for index, band in enumerate(raster.bands):
        bad = np.zeros((), bool) if values is None else _invalid_in_band(values[index], band)
        if band.masked:
            bad = bad | (_read(dataset, raster, window, mask=True, band=band) == 0)
        any_bad, all_bad = (bad, bad) if any_bad is None else (any_bad | bad, all_bad & bad)
    if raster.zero_is_nodata:
        zero = ~values.any(axis=0)
        any_bad, all_bad = any_bad | zero, all_bad | zero
    shape = (window.height, window.width)
    any_valid = np.broadcast_to(~any_bad, shape)
    return {"any": any_valid, "all": any_valid if len(raster.bands) == 1 else np.broadcast_to(~all_bad, shape)}


def _read(dataset, raster, window, mask, band=None):
    with collected_errors() as messages:
        if mask:
            array = dataset.GetRasterBand(band.number).GetMaskBand().ReadAsArray(*window)
        else:
            array = np.empty((len(raster.bands), window.height, window.width), raster.dtype)
            if dataset.ReadAsArray(*window, buf_obj=array, band_list=raster.numbers) is None:
                array = None
    if array is None or messages:
        raise SegmentationError(
            f"{raster.path} cannot be read at column {window.col}, row {window.row} "
            f"({window.width} x {window.height} pixels: {reason(messages)}): the file may be damaged."
        )
    return array


def _invalid_in_band(values, band):
    """(rows, cols) bool, or the scalar False where nothing in the band can be invalid."""
    if values.dtype.kind != "f":
        return np.zeros((), bool) if band.nodata is None else values == values.dtype.type(band.nodata)
    bad = ~np.isfinite(values)
    if band.nodata is None:
        return bad
    nodata = values.dtype.type(band.nodata)
    with np.errstate(over="ignore", invalid="ignore"):
        return bad | (values == nodata) | (np.abs(values - nodata) < abs(nodata) * band.tolerance)


def identity(path):
    """What tells a changed input from the same one, as plain values.

    Returns
    -------
    dict : `files`, {path: (bytes, time of change in ns)} of the raster and what it refers to (the sources of a VRT),
        and `geotransform`. Statistics and overviews beside it do not count: QGIS writes them when it shows a raster.
    """
    dataset = open_raster(path)
    files = {}
    for name in dataset.GetFileList() or [path]:
        if name.lower().endswith((".aux.xml", ".ovr")):
            continue
        try:
            status = os.stat(name)
        except OSError:
            continue
        files[name] = (status.st_size, status.st_mtime_ns)
    return {"files": files, "geotransform": dataset.GetGeoTransform(can_return_null=True)}
