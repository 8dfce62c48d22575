# SPDX-License-Identifier: GPL-2.0-or-later
"""The input raster: what it is. `reading` reads its windows; what makes a pixel invalid is the matter of `no_data`."""

import os
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from osgeo import gdal

from ..errors import SegmentationError
from ..parameters import no_data_asked_for
from .gdal_access import collected_errors, open_raster
from .no_data import Band, data_bands, describe_bands, value_type
from .raw_files import check_whole
from .resampling import depends_on_windows
from .window import Window

MOST_PIXELS = 2**42  # a million tiles of the usual size: a mistake rather than an image


@dataclass(frozen=True)
class Raster:
    """An input raster with the bands that are used. Plain values only: it travels to workers.

    zero_is_nodata : the raster declares nothing, so pixels that are 0 in all bands are taken as no data
    first_zero_is_nodata : so are pixels that are 0 in the first band, whatever they are in others (`rsgislib_stretch`)
    left, top : column and row of the file at which it begins, where it is only a part of it
    file_size : columns and rows of the file
    resampled : values depend on the window that is read, so that windows are put together from those of a fixed grid
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
    first_zero_is_nodata: bool = False
    resampled: bool = False
    left: int = 0
    top: int = 0
    file_size: Tuple[int, int] = (0, 0)

    @property
    def window(self) -> Window:
        return Window(0, 0, self.width, self.height)

    @property
    def origin(self) -> Tuple[int, int]:
        """Column and row of the file at which the raster begins."""
        return self.left, self.top

    @property
    def size(self) -> str:
        """For the log: how many pixels, and which where they are only a part."""
        text = f"{self.width} x {self.height} pixels"
        if not self.is_part:
            return text
        return f"{text} from column {self.left}, row {self.top} on, of {self.file_size[0]} x {self.file_size[1]}"

    @property
    def is_part(self) -> bool:
        """Whether EXTENT leaves some of the file out."""
        return (self.width, self.height) != self.file_size

    @property
    def numbers(self) -> List[int]:
        return [band.number for band in self.bands]

    @property
    def names(self) -> List[str]:
        return [band.name for band in self.bands]

    @property
    def is_integer(self) -> bool:
        """Whether sums of the values are exact as they are."""
        return np.dtype(self.dtype).kind in "iu" and np.dtype(self.dtype).itemsize <= 4


def describe(
    path: str,
    bands: Sequence[int] = (),
    nodata_rule: str = "any",
    zero_may_be_nodata: bool = True,
    nodata: str = "",
    extent: Sequence[int] = (),
) -> Raster:
    """Look at a raster's header.

    Parameters
    ----------
    path : anything that GDAL opens
    bands : 1-based numbers, empty for all but those that are marked as alpha
    nodata_rule : `any` or `all`
    zero_may_be_nodata : whether pixels that are 0 in all bands are no data where the raster declares none
    nodata : what the user says of it, see `no_data_asked_for`
    extent : (col, row, width, height) in pixels, the part that is meant; empty for all

    Raises
    ------
    SegmentationError : the raster cannot be opened, is too large, or lacks a band; complex values; the part is off it
    """
    dataset = _opened_whole(path)
    numbers = list(bands) or data_bands(dataset)
    _check_numbers(numbers, dataset.RasterCount, path)
    whole = Window(0, 0, dataset.RasterXSize, dataset.RasterYSize)
    part = _part_of(whole, extent, path)
    dtype = _common_type(dataset, numbers, path)
    described, declared, notes = describe_bands(dataset, numbers, dtype, no_data_asked_for(nodata))
    zero_is_nodata = zero_may_be_nodata and not declared
    if zero_is_nodata:
        notes.append("The raster declares no no-data value: pixels that are 0 in every selected band are left out.")
    return Raster(
        path=path,
        width=part.width,
        height=part.height,
        bands=described,
        dtype=dtype.str,
        block=tuple(dataset.GetRasterBand(numbers[0]).GetBlockSize()),
        nodata_rule=nodata_rule,
        zero_is_nodata=zero_is_nodata,
        notes=tuple(notes),
        resampled=depends_on_windows(dataset),
        left=part.col,
        top=part.row,
        file_size=(whole.width, whole.height),
    )


def _opened_whole(path: str) -> gdal.Dataset:
    """A raster that has all its files."""
    dataset = open_raster(path)
    check_whole(dataset, path)
    with collected_errors():
        dataset.GetRasterBand(1).GetMaskFlags()  # a GeoTIFF reads its other directories now, and warns of them
    return dataset


def _common_type(dataset: gdal.Dataset, numbers: Sequence[int], path: str) -> np.dtype:
    """The type that holds the values of all bands."""
    types = [value_type(dataset.GetRasterBand(number)) for number in numbers]
    if any(kind is None for kind in types):
        raise SegmentationError(f"{path} has bands of complex numbers: convert them, e.g. to their magnitude.")
    return np.result_type(*types)


def _part_of(whole: Window, extent: Sequence[int], path: str) -> Window:
    """What is meant of a raster: all of it, or what an extent covers; never more than can be processed."""
    part = whole.intersection(Window(*extent)) if extent else whole
    if part is None:
        raise SegmentationError(f"EXTENT does not lie over {path}: check it and both coordinate systems.")
    if part.pixels > MOST_PIXELS:
        raise SegmentationError(
            f"{path} has {part.width} x {part.height} pixels, more than the {MOST_PIXELS} that can be processed: "
            "give an EXTENT."
        )
    return part


def _check_numbers(numbers: List[int], count: int, path: str) -> None:
    for number in numbers:
        if not 1 <= number <= count:
            raise SegmentationError(
                f"BANDS names band {number}, but {path} has {count}: give numbers from 1 to {count}, separated by ';'."
            )
    if len(set(numbers)) < len(numbers):
        raise SegmentationError(f"BANDS names a band twice ({';'.join(map(str, numbers))}): give each band once.")


def identity(path: str) -> Dict[str, Any]:
    """What differs between a changed input and the same one, as plain values.

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
