# SPDX-License-Identifier: GPL-2.0-or-later
"""Values that have been decoded once, and are kept: those of small rasters in memory, else in the work folder.

The survey reads all of a raster, so it leaves what it has read, and tiles need not decode it once more. Where there is
too much of it for memory, only files whose blocks take long are worth it: a tile reads blocks that its neighbours read,
too, and a JPEG 2000 of large blocks, or a compressed strip across the whole raster, would be decoded again and again.
"""

import shutil
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Hashable, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np
from osgeo import gdal

from ..errors import SegmentationError
from ..machine import free_memory
from .gdal_access import collected_errors, open_raster
from .raster import Raster
from .window import Window
from .work_folder import WorkFolder

SLOW = ("JP2", "JPEG2000", "ECW", "MrSID", "SENTINEL2", "WEBP", "JPEG", "PNG", "GIF", "BIGGIF")  # of drivers' names
OFTEN_SLOW, OFTEN = 1.2, 1.6  # times that each block would be decoded by the tiles, from which on values are kept
SMALL_SIDE, OFTEN_SMALL = 512, 4.0  # of blocks that the tile beside may find in GDAL's cache; to keep values takes disk
SHARE_OF_DISK = 0.25  # of what is free, that kept values may take
HELD_BYTES, SHARE_OF_MEMORY = 128_000_000, 0.125  # kept in memory are at most so many, and so much of what is free
CACHE_BYTES = 64_000_000  # of cells that are kept in memory, in a process
MOST_SOURCES = 20  # of a VRT, that are looked at

Key = Tuple[Tuple[Hashable, ...], Window]  # what is read, and the cell of it; see `reading`


class Decoded:
    """The cells of a raster that have been read, see `reading`, in the work folder. It travels to workers.

    Parameters
    ----------
    folder : of the run, which removes them at its end and does not trust those of an earlier one
    """

    keeps_all = True

    def __init__(self, folder: WorkFolder) -> None:
        self._folder = folder
        self._is_full = False

    def get(self, key: Key) -> Optional[np.ndarray]:
        """(planes, rows, cols), to be read only; None where it has not been kept."""
        try:
            return self._folder.map_array(_name(*key))
        except SegmentationError:
            return None

    def keep(self, key: Key, array: np.ndarray) -> None:
        """Keep the values of a cell; where there is no room they are read again, which is no reason to end a run."""
        if not self._is_full:
            try:
                self._folder.save_array(_name(*key), np.ascontiguousarray(array))
            except SegmentationError:
                self._is_full = True


class Held:
    """The cells of a raster that have been read, in the memory of this process; elsewhere they are read again."""

    keeps_all = True

    def __init__(self) -> None:
        self._kept: Dict[Key, np.ndarray] = {}

    def __reduce__(self) -> tuple:
        return Cells, ()

    def get(self, key: Key) -> Optional[np.ndarray]:
        """(planes, rows, cols), to be read only; None where it has not been kept."""
        return self._kept.get(key)

    def keep(self, key: Key, array: np.ndarray) -> None:
        """Keep the values of a cell, which nobody may change from now on; whoever reads floats does, so of a copy."""
        self._kept[key] = array.copy() if array.dtype.kind == "f" else array
        self._kept[key].flags.writeable = False


def _name(source: Tuple[Hashable, ...], cell: Window) -> str:
    kind, *numbers = source
    return f"decoded-{str(kind)[0]}{numbers[0]}-{cell.col}-{cell.row}"  # the values of all bands, a mask or an alpha


class Cells:
    """The cells of a resampled raster that were read last, for tiles that share them; of all threads of a process."""

    keeps_all = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple, np.ndarray] = OrderedDict()

    def __reduce__(self) -> tuple:
        return Cells, ()

    def get(self, key: tuple) -> Optional[np.ndarray]:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: tuple, array: np.ndarray) -> None:
        with self._lock:
            self._kept[key] = array
            while sum(kept.nbytes for kept in self._kept.values()) > CACHE_BYTES:
                self._kept.popitem(last=False)


Kept = Union[Decoded, Held]
AnyCells = Union[Cells, Kept]


def all_kept(
    kept: AnyCells, source: Tuple[Hashable, ...], cells: Iterable[Window]
) -> Optional[Dict[Window, np.ndarray]]:
    """Those of several cells; None if any has not been kept."""
    found = {}
    for cell in cells:
        part = kept.get((source, cell))
        if part is None:
            return None
        found[cell] = part
    return found


@dataclass(frozen=True)
class Storage:
    """How a file is stored.

    block : (width, height), what is decoded at once
    is_slow : whether decoding takes several times as long as of the usual compressions
    """

    block: Tuple[int, int]
    is_compressed: bool
    is_slow: bool


def storage_of(dataset: gdal.Dataset) -> Storage:
    """How a raster is stored; of a VRT, how its sources are, the largest block and the slowest of them."""
    with collected_errors():
        found = [_storage(one) for one in (dataset, *_sources(dataset))]
    return Storage(
        max((one.block for one in found), key=lambda block: block[0] * block[1]),
        any(one.is_compressed for one in found),
        any(one.is_slow for one in found),
    )


def _storage(dataset: gdal.Dataset) -> Storage:
    name = dataset.GetDriver().ShortName
    width, height = dataset.GetRasterBand(1).GetBlockSize()
    is_slow = name.startswith(SLOW)
    compression = dataset.GetMetadataItem("COMPRESSION", "IMAGE_STRUCTURE") or ""
    return Storage((width, height), is_slow or bool(compression), is_slow or compression.upper().startswith("JPEG2000"))


def _sources(dataset: gdal.Dataset) -> List[gdal.Dataset]:
    if dataset.GetDriver().ShortName != "VRT":
        return []
    opened = []
    for path in (dataset.GetFileList() or [])[1 : MOST_SOURCES + 1]:
        try:
            opened.append(open_raster(path))
        except SegmentationError:  # a side file, or one that is missing, which reading will say
            continue
    return opened


def times_decoded(block: Tuple[int, int], width: int, height: int, windows: Iterable[Window]) -> float:
    """How often each block is decoded on average when these windows are read, each by itself."""
    pixels = 0
    for window in windows:
        left, top = window.col // block[0] * block[0], window.row // block[1] * block[1]
        right, bottom = -(-window.right // block[0]) * block[0], -(-window.bottom // block[1]) * block[1]
        pixels += (min(right, width) - left) * (min(bottom, height) - top)
    return pixels / (width * height)


def held_bytes(raster: Raster) -> int:
    """Bytes of memory that what is read of a raster takes, where it is kept there; 0 where it is not."""
    masks = {("mask", band.mask) for band in raster.bands if band.mask}
    masks |= {("alpha", number) for band in raster.bands for number in band.alphas}
    size = raster.width * raster.height * (len(raster.bands) + len(masks)) * np.dtype(raster.dtype).itemsize
    free = free_memory()
    fits = size <= HELD_BYTES and free is not None and size <= SHARE_OF_MEMORY * free
    return size if fits and storage_of(open_raster(raster.path)).is_compressed else 0


def is_worth_keeping(path: str, planes: int, itemsize: int, windows: Sequence[Window], folder: Path) -> bool:
    """Whether tiles that read these windows are better off with values that the survey has decoded.

    Parameters
    ----------
    planes, itemsize : how many bands are used, and the bytes of a value
    folder : on whose disk they would be kept
    """
    dataset = open_raster(path)
    storage = storage_of(dataset)
    width, height = dataset.RasterXSize, dataset.RasterYSize
    is_small = max(storage.block) <= SMALL_SIDE and storage.block[0] < width
    often = OFTEN_SLOW if storage.is_slow else OFTEN_SMALL if is_small else OFTEN
    if not storage.is_compressed or times_decoded(storage.block, width, height, windows) < often:
        return False
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return False
    return width * height * planes * itemsize < SHARE_OF_DISK * free
