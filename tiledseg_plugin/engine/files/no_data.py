# SPDX-License-Identifier: GPL-2.0-or-later
"""What the bands of a raster hold and what they declare as no data: the rules (shepherd-algorithm, section 1).

A band's pixels are valid where GDAL's mask band of it says so, with three differences that are meant: NaN and infinity
are never valid, any band that is marked as alpha masks the others (GDAL knows that of two and of four bands, of 8 and
16 bits, and only where no no-data value is declared), and signed bytes have a no-data value in GDAL before 3.7, too.

The user's NODATA overrules it: a number stands for the value of every band, as if the raster declared it, while masks
and alpha still count; `none` overrules those, too. NaN and infinity are never valid.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, List, Optional, Sequence, Tuple, Union

import numpy as np
from osgeo import gdal, gdal_array

from ..parameters import NOTHING

LONGEST_NAME = 60  # characters of a band's name
FLOAT_TOLERANCE = 2 * float(np.finfo(np.float32).eps)  # GDAL's own, which it uses for doubles, too


@dataclass(frozen=True)
class Band:
    """How a band's values are to be understood, and what decides about the validity of its pixels.

    number : 1-based
    nodata : the declared value, None where there is none that a pixel could have
    real : dtype in which a float is compared with `nodata`, within FLOAT_TOLERANCE; empty where it must be equal
    mask : number of a band whose GDAL mask says what is valid, 0 for none; bands with a mask in common have the same
    alphas : numbers of bands that are 0 where this one has no data
    signed : stored bytes above 127 mean negative numbers, which GDAL before 3.7 only notes
    name : what the raster calls it, may be empty
    scale, offset : what is reported of stored values is `value * scale + offset`, as QGIS shows it
    """

    number: int
    nodata: Optional[float] = None
    real: str = ""
    mask: int = 0
    alphas: Tuple[int, ...] = ()
    signed: bool = False
    scale: float = 1.0
    offset: float = 0.0
    name: str = ""

    @property
    def is_scaled(self) -> bool:
        return (self.scale, self.offset) != (1.0, 0.0)

    @property
    def is_masked(self) -> bool:
        """Whether more than the values has to be read to know what is valid."""
        return bool(self.mask or self.alphas)


def alpha_bands(dataset: gdal.Dataset) -> List[int]:
    """Numbers of the bands that are marked as alpha."""
    every = range(1, dataset.RasterCount + 1)
    return [number for number in every if dataset.GetRasterBand(number).GetColorInterpretation() == gdal.GCI_AlphaBand]


def data_bands(dataset: gdal.Dataset) -> List[int]:
    """Numbers of the bands that BANDS means where it is empty: all but alpha, unless there is nothing else."""
    alpha = set(alpha_bands(dataset))
    every = list(range(1, dataset.RasterCount + 1))
    return [number for number in every if number not in alpha] or every


def value_type(band: gdal.Band) -> Optional[np.dtype]:
    """The dtype of a band's values; None for complex numbers and what numpy does not have."""
    kind = gdal_array.GDALTypeCodeToNumericTypeCode(band.DataType)
    if kind is None or np.dtype(kind).kind not in "iuf":
        return None
    if is_signed_byte(band):
        return np.dtype(np.int8)
    return np.dtype(np.float32) if np.dtype(kind) == np.float16 else np.dtype(kind)


def is_signed_byte(band: gdal.Band) -> bool:
    """Whether bytes are signed by a note only, as in GDAL before 3.7, which has no type for them."""
    if band.DataType != gdal.GDT_Byte:
        return False
    notes = band.GetMetadata("IMAGE_STRUCTURE") or {}  # to ask for the one by its name is warned of since GDAL 3.7
    return bool(notes.get("PIXELTYPE") == "SIGNEDBYTE")


def describe_bands(
    dataset: Any, numbers: Sequence[int], dtype: np.dtype, asked_for: Union[None, str, int, float] = None
) -> Tuple[Tuple[Band, ...], bool, List[str]]:
    """What decides about the validity of the chosen bands.

    Parameters
    ----------
    numbers : of the chosen bands; of those marked as alpha, the others are masks
    dtype : in which the values of all are read
    asked_for : what NODATA says, see `parameters.no_data_asked_for`

    Returns
    -------
    bands : one Band a number
    declared : whether it is known what is no data: by NODATA, or as a band declares it, even if no pixel can have that
    notes : sentences about it for the log
    """
    marked = [] if asked_for == NOTHING else alpha_bands(dataset)
    alphas = tuple(number for number in marked if number not in numbers)
    bands, declared, shared = [], bool(alphas) or asked_for is not None, 0
    for number in numbers:
        band = dataset.GetRasterBand(number)
        if asked_for is None:
            nodata, real, mask = _declared(band, np.dtype(dtype), bool(marked))
        else:
            nodata, real, mask = _overruled(band, asked_for, bool(marked))
        if mask and band.GetMaskFlags() & gdal.GMF_PER_DATASET:
            shared = mask = shared or mask
        declared = declared or bool(mask) or band.GetNoDataValue() is not None
        scale, offset = _scaling(band)
        name = " ".join(band.GetDescription().split())[:LONGEST_NAME]
        bands.append(Band(number, nodata, real, mask, alphas, is_signed_byte(band), scale, offset, name))
    return tuple(bands), declared, [*_notes_on_nodata(asked_for, bands), *_alpha_notes(marked, numbers)]


def _overruled(band: Any, asked_for: Union[str, int, float], has_alpha: bool) -> Tuple[Optional[float], str, int]:
    """(nodata, real, mask) of a band of which NODATA says what is no data: see `Band`."""
    own, flags = value_type(band), band.GetMaskFlags()
    if isinstance(asked_for, str) or own is None:
        return None, "", 0
    is_masked = not flags & (gdal.GMF_ALL_VALID | gdal.GMF_NODATA) and not (flags & gdal.GMF_ALPHA and has_alpha)
    mask = band.GetBand() if is_masked else 0
    if own.kind != "f":
        return _whole(asked_for, np.iinfo(own)), "", mask
    exact = gdal_array.GDALTypeCodeToNumericTypeCode(band.DataType)
    with np.errstate(over="ignore"):
        try:
            held = float(exact(asked_for))
        except OverflowError:  # a whole number beyond all floats
            held = math.inf
    real = own.str if band.DataType in (gdal.GDT_Float32, gdal.GDT_Float64) else ""
    return (held, real, mask) if math.isfinite(held) else (None, "", mask)


def _notes_on_nodata(asked_for: Union[None, str, int, float], bands: Sequence[Band]) -> List[str]:
    if asked_for is None:
        return []
    if asked_for == NOTHING:
        return [f"NODATA={NOTHING}: every pixel is data, whatever the raster declares (but for NaN and infinity)."]
    if all(band.nodata is None for band in bands):
        return [f"NODATA={asked_for}: no pixel of these bands can be that, so no value is no data."]
    return [f"NODATA={asked_for} counts instead of what the bands declare; masks and alpha still count."]


def _declared(band: gdal.Band, dtype: np.dtype, has_alpha: bool) -> Tuple[Optional[float], str, int]:
    """(nodata, real, mask) of a band: see `Band`. Alpha is a band where the raster has one, else some other mask."""
    flags = band.GetMaskFlags()
    number = band.GetBand()
    if flags & gdal.GMF_ALPHA and has_alpha:
        return None, "", 0
    if not flags & gdal.GMF_NODATA or flags & gdal.GMF_PER_DATASET:
        if is_signed_byte(band) and flags & gdal.GMF_ALL_VALID:
            return _whole(band.GetNoDataValue(), np.iinfo(np.int8)), "", 0
        return None, "", 0 if flags & gdal.GMF_ALL_VALID else number
    value, own = band.GetNoDataValue(), value_type(band)
    if own is None or value is None:
        return None, "", number
    if own.kind == "f":
        if band.DataType not in (gdal.GDT_Float32, gdal.GDT_Float64):
            return None, "", number
        with np.errstate(over="ignore"):
            held = float(own.type(value))
        return (held if math.isfinite(held) else None), own.str, 0  # what is not finite is never valid
    if own.itemsize > 4 and dtype.kind == "f" or value != value or value != math.floor(value):
        return None, "", number  # a value that floats would round, or that GDAL cuts off in its own way
    return _whole(value, np.iinfo(own)), "", 0


def _whole(value: Optional[float], limits: np.iinfo) -> Optional[int]:
    if value is None or value != value or math.isinf(value) or value != int(value):
        return None
    return int(value) if limits.min <= int(value) <= limits.max else None


def _scaling(band: gdal.Band) -> Tuple[float, float]:
    """Scale and offset; (1, 0) where there are none, or none that make sense."""
    scale, offset = band.GetScale(), band.GetOffset()
    scale, offset = 1.0 if scale is None else float(scale), 0.0 if offset is None else float(offset)
    return (scale, offset) if scale and math.isfinite(scale) and math.isfinite(offset) else (1.0, 0.0)


def _alpha_notes(marked: Sequence[int], numbers: Sequence[int]) -> List[str]:
    notes = []
    masks, data = ([number for number in marked if (number in numbers) == chosen] for chosen in (False, True))
    if masks:
        notes.append(
            f"{_listed(masks)} marked as alpha: it is the mask (0 is no data), and data only if BANDS names it."
        )
    if data:
        notes.append(f"{_listed(data)} marked as alpha, but selected: it is used as data, not as a mask.")
    return notes


def _listed(numbers: Sequence[int]) -> str:
    return f"Band {numbers[0]} is" if len(numbers) == 1 else f"Each of the bands {', '.join(map(str, numbers))} is"


def scaling_note(bands: Sequence[Band]) -> str:
    """Which bands have a scale or an offset, as the beginning of a sentence; empty if none has."""
    scaled = [f"band {band.number}: scale {band.scale:g}, offset {band.offset:g}" for band in bands if band.is_scaled]
    more = f"; and {len(scaled) - 3} more" if len(scaled) > 3 else ""
    return f"Values have a scale and an offset ({'; '.join(scaled[:3])}{more})" if scaled else ""


def invalid_values(values: np.ndarray, band: Band) -> np.ndarray:
    """What the values themselves say: (rows, cols) bool, or the scalar False where nothing in the band can be invalid.

    Parameters
    ----------
    values : (rows, cols), as they are stored
    """
    if values.dtype.kind != "f":
        return np.zeros((), bool) if band.nodata is None else values == values.dtype.type(band.nodata)
    bad = ~np.isfinite(values)
    if band.nodata is None:
        return bad
    if not band.real:
        return bad | (values == values.dtype.type(band.nodata))
    values = values.astype(band.real, copy=False)
    low, high = _no_data_range(band.nodata, band.real)
    if low is None:
        return bad | _is_no_data(values, values.dtype.type(band.nodata))
    return bad | ((values >= low) & (values <= high))


def _is_no_data(values: np.ndarray, nodata: np.floating) -> np.ndarray:
    """GDAL's own arithmetic: near the ends of the range the sum overflows, and what is far enough out is no data."""
    with np.errstate(over="ignore", invalid="ignore"):
        near = np.abs(values - nodata) < np.abs(values + nodata) * values.dtype.type(FLOAT_TOLERANCE)
        return near | (values == nodata)


@lru_cache(maxsize=64)
def _no_data_range(nodata: float, real: str) -> Tuple[Any, Any]:
    """The first and the last float that `_is_no_data` takes for no data, found by halving; None where that may differ.

    Two comparisons take half the time that the arithmetic does.
    """
    kind = np.dtype(real).type
    value, limits = kind(nodata), np.finfo(kind)
    if value == 0:
        return value, value
    if not float(limits.tiny) * 2.0**30 < abs(nodata) < float(limits.max) * 2.0**-30:
        return None, None
    bits = np.dtype(f"i{limits.bits // 8}")
    ends = []
    for factor in (0.5, 2.0):
        inside, outside = (int(np.array(end, kind).view(bits)) for end in (value, value * kind(factor)))
        while abs(outside - inside) > 1:
            middle = (inside + outside) // 2
            if _is_no_data(np.array([middle], bits).view(kind), value)[0]:
                inside = middle
            else:
                outside = middle
        ends.append(np.array(inside, bits).view(kind)[()])
    return min(ends), max(ends)
