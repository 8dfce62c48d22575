# SPDX-License-Identifier: GPL-2.0-or-later
"""GDAL creation options: the user's, ours for what they leave open, and what is refused before a run.

GDAL ignores what it does not understand, and some of its compressions change or lose values without an error that
reaches the caller (those of its own threads do not). So options are first looked through, for ids as for means, and
then tried on a small raster in memory, which must come back as it was written.
"""

import re
from contextlib import contextmanager
from typing import Dict, Iterator, List, Optional
from uuid import uuid4

import numpy as np
from numpy.typing import DTypeLike
from osgeo import gdal, gdal_array

from ..errors import SegmentationError
from .gdal_access import collected_errors, reason

BLOCK = 512
TRIAL_SIZE = BLOCK + 8  # pixels: four blocks, three of them cut off
MOST_TRIAL_BANDS = 4
LOSSLESS = ("NONE", "LZW", "PACKBITS", "DEFLATE", "LZMA", "ZSTD", "LERC", "LERC_DEFLATE", "LERC_ZSTD")
CHOOSING = ("NEAREST", "MODE", "NONE")  # ways to resample overviews that invent no values
COMPRESSIONS = ("COMPRESS", "OVERVIEW_COMPRESS")  # of GTiff and COG; HFA's is a switch
ROUNDINGS = ("MAX_Z_ERROR", "MAX_Z_ERROR_OVERVIEW", "DISCARD_LSB")
NARROWING = ("NBITS", "PIXELTYPE")
OTHER_GRID = (
    *("TARGET_SRS", "TILING_SCHEME", "RES", "EXTENT", "ZOOM_LEVEL", "ZOOM_LEVEL_STRATEGY", "ALIGNED_LEVELS"),
    *("WARP_RESAMPLING", "ADD_ALPHA"),
)
OTHER_FILE = ("AUX", "DEPENDENT_FILE", "STREAMABLE_OUTPUT", "COPY_SRC_OVERVIEWS")
BAND_MEANINGS = {"PHOTOMETRIC": ("MINISBLACK",), "ALPHA": ("NO", "UNSPECIFIED")}


def parsed(given: str) -> Dict[str, str]:
    """{NAME: value} of options separated by `|`.

    Raises
    ------
    SegmentationError : one is not NAME=VALUE
    """
    parts = [option for option in given.split("|") if option.strip()]
    wrong = [option for option in parts if not option.partition("=")[0].strip() or "=" not in option]
    if wrong:
        raise SegmentationError(f"CREATION_OPTIONS has '{wrong[0]}': write NAME=VALUE, separated by '|'.")
    split = (option.split("=", 1) for option in parts)
    return {name.strip().upper(): value.strip() for name, value in split}


def creation_options(driver_name: str, given: str, threads: int) -> List[str]:
    """GDAL creation options: the user's, and ours for what they leave open.

    Parameters
    ----------
    driver_name : GTiff, HFA, KEA or COG
    given : `|`-separated
    """
    options = parsed(given)
    defaults = {}
    if driver_name == "GTiff":
        defaults = {"TILED": "YES", "COMPRESS": "DEFLATE", "BIGTIFF": "IF_SAFER", "NUM_THREADS": str(threads)}
        if options.get("TILED", "YES").upper() == "YES":
            defaults.update(BLOCKXSIZE=str(BLOCK), BLOCKYSIZE=str(BLOCK))
        if options.get("COMPRESS", "DEFLATE").upper() == "DEFLATE":
            defaults["ZLEVEL"] = "1"
    elif driver_name == "COG":
        defaults = {"COMPRESS": "DEFLATE", "BIGTIFF": "IF_SAFER", "NUM_THREADS": str(threads)}
        defaults.update(OVERVIEW_RESAMPLING="NEAREST", BLOCKSIZE=str(BLOCK))
    elif driver_name == "HFA" and "COMPRESS" not in options:
        defaults = {"COMPRESSED": "YES"}
    return [f"{name}={value}" for name, value in {**defaults, **options}.items()]


def check_creation_options(driver_name: str, given: str, dtype: DTypeLike = np.uint32, bands: int = 1) -> None:
    """Refuse options that the driver does not know, or that would change what is written.

    Parameters
    ----------
    driver_name : GTiff, HFA, KEA or COG
    dtype : of what is written: integers are ids, of which each counts; floats are means, which may be rounded
    """
    options = parsed(given)
    ids = np.dtype(dtype).kind == "u"
    for name, value in options.items():
        why = _objection(driver_name, name, value, ids)
        if why:
            raise SegmentationError(f"CREATION_OPTIONS has {name}={value}, {why}: leave it out.")
    if options:
        usual = set(_trial(driver_name, "", dtype, 1))
        wrong = [text for text in _trial(driver_name, given, dtype, bands) if text not in usual]
        if wrong:
            raise SegmentationError(
                f"CREATION_OPTIONS {given} cannot be used for a {driver_name} file of "
                f"{'segments' if ids else 'means'} ({reason(wrong)}): change or leave them out."
            )


def _objection(driver_name: str, name: str, value: str, ids: bool) -> str:
    """Why an option is not for ids, or not for means; empty if it may be."""
    upper = value.upper()
    what = "segment numbers" if ids else "means"
    if name in COMPRESSIONS and driver_name != "HFA" and upper not in LOSSLESS:
        return f"which is unknown or would change or lose {what}"
    if name in ROUNDINGS and ids and any(number != 0 for number in _numbers(value)):
        return f"which would change {what}"
    if name in NARROWING and upper != "DEFAULT":
        return f"which has no room for {what}"
    if name in ("RESAMPLING", "OVERVIEW_RESAMPLING") and ids and upper not in CHOOSING:
        return "which would make up segment numbers in overviews"
    if name in OTHER_GRID and (name, upper) != ("TILING_SCHEME", "CUSTOM"):
        return "which would put the output onto another grid than the input's"
    if name in OTHER_FILE and upper not in ("NO", "FALSE", "OFF", "0"):
        return "which is not for a raster that is written piece by piece into one file"
    if name in BAND_MEANINGS and upper not in BAND_MEANINGS[name]:
        return f"though bands hold {what}, not colours"
    return ""


def _numbers(value: str) -> List[float]:
    """The numbers of a comma-separated list; NaN, which is not 0, where one is no number."""
    try:
        return [float(part) for part in value.split(",")]
    except ValueError:
        return [np.nan]


def _trial(driver_name: str, given: str, dtype: DTypeLike, bands: int) -> List[str]:
    """What GDAL has to say, and what is wrong, when a small raster is written with the options and read again."""
    values = _trial_values(dtype)
    folder = f"/vsimem/tiledseg-{uuid4().hex}"
    path = f"{folder}/trial.{'img' if driver_name == 'HFA' else 'kea' if driver_name == 'KEA' else 'tif'}"
    kind = gdal_array.NumericTypeCodeToGDALTypeCode(np.dtype(dtype))
    options = creation_options(driver_name, given, threads=1)
    with _all_messages() as messages:
        copied = driver_name == "COG"
        driver = gdal.GetDriverByName("MEM" if copied else driver_name)
        count = min(bands, MOST_TRIAL_BANDS)
        dataset = driver.Create("" if copied else path, TRIAL_SIZE, TRIAL_SIZE, count, kind, [] if copied else options)
        if dataset is not None:
            for number in range(1, count + 1):
                dataset.GetRasterBand(number).SetNoDataValue(0 if np.dtype(dtype).kind == "u" else np.nan)
                dataset.GetRasterBand(number).WriteArray(values)
        if dataset is not None and copied:
            dataset = gdal.GetDriverByName("COG").CreateCopy(path, dataset, options=options)
        written = dataset is not None
        del dataset
        difference = _difference(path, values, count) if written else "it cannot be created"
        gdal.RmdirRecursive(folder)
    said = [_plain(text, path) for text in messages]
    return said + ([difference] if difference else [])


def _trial_values(dtype: DTypeLike) -> np.ndarray:
    """Patches of rising numbers, the largest of all kinds in a block of their own, and no data."""
    ids = (np.arange(TRIAL_SIZE**2, dtype=np.uint32) // 37).reshape(TRIAL_SIZE, TRIAL_SIZE)
    ids[BLOCK:, BLOCK:] = 2**32 - 1 - ids[BLOCK:, BLOCK:]
    ids[:, :100] = 0
    if np.dtype(dtype).kind == "u":
        return ids.astype(dtype)
    return np.where(ids, ids * 0.37, np.nan).astype(dtype)


def _difference(path: str, values: np.ndarray, bands: int) -> Optional[str]:
    """What is not as it was written, in some words."""
    dataset = gdal.Open(path)
    if dataset is None or (dataset.RasterCount, dataset.RasterXSize) != (bands, values.shape[1]):
        return "it is another raster then"
    for number in range(1, bands + 1):
        found = dataset.GetRasterBand(number).ReadAsArray()
        if found is None:
            return "it cannot be read again"
        if values.dtype.kind == "u":
            same = np.array_equal(found, values)
        else:
            same = np.array_equal(np.isfinite(found), np.isfinite(values))
        if not same:
            return "values are not as they were written"
    return None


@contextmanager
def _all_messages() -> Iterator[List[str]]:
    """Like `collected_errors`, with warnings: GDAL warns of options that it does not understand."""
    messages: List[str] = []

    def collect(level: int, number: int, text: str) -> None:
        if level >= gdal.CE_Warning:
            messages.append(text.strip())

    with collected_errors():
        gdal.PushErrorHandler(collect)
        try:
            yield messages
        finally:
            gdal.PopErrorHandler()


def _plain(text: str, path: str) -> str:
    """A message without the name of the file of the trial, which the user does not know."""
    return re.sub(r"\s+", " ", text.replace(f"{path}, ", "").replace(f"{path}: ", "").replace(path, "the file"))


def options_for(driver_name: str, other: str, given: str) -> str:
    """The creation options of another output: those of OUTPUT if it has the same format, else none."""
    return given if driver_name == other else ""


def keeps_bits(given: str) -> bool:
    """Whether floats come back bit for bit; LERC has no bits for numbers that are none."""
    known = parsed(given)
    return not any(name in known for name in ROUNDINGS) and "LERC" not in known.get("COMPRESS", "").upper()


def allows_gaps(given: str) -> bool:
    """Whether blocks without data may be missing in a file."""
    known: Dict[str, str] = parsed(given)
    return known.get("SPARSE_OK", "NO").upper() in ("YES", "TRUE", "ON", "1")
