# SPDX-License-Identifier: GPL-2.0-or-later
"""What was written is opened again and held against what it must be, before it gets its name.

GDAL does not report every write that fails: not that of the last buffer of a file (3.10 and later), and never those of
its compression threads. So the directories of a GeoTIFF are read, and all of its blocks must lie within the file; of
other rasters all blocks are read. Some blocks, the last one among them, are also compared with what was written. Of
vector files and tables the rows are counted, and the last one is read.
"""

import os
import zlib
from pathlib import Path
from typing import List, Optional, Tuple

import numpy as np
from osgeo import gdal, ogr

from ..errors import SegmentationError
from .creation_options import BLOCK
from .field_names import is_shapefile
from .gdal_access import collected_errors, reason
from .window import Window

STEP = 7  # the compared block moves by it, to another column in each window
ENDS = {".geojson": b"}", ".json": b"}", ".gml": b"FeatureCollection>"}  # written by appending, text to the end
TAIL = 64  # bytes
COG_TRAILER = b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED"  # among what GDAL says of the file's structure at its begin
SQLITE_HEADER = b"SQLite format 3\x00"


class Samples:
    """Checksums of some blocks of a raster that is being written: one of each window, and its last.

    Parameters
    ----------
    exact : False where values may be rounded (floats, by creation options); whether they are numbers counts then
    """

    def __init__(self, exact: bool = True) -> None:
        self._exact = exact
        self._windows = 0
        self._sums: List[Tuple[int, Window, int]] = []

    def add(self, window: Window, values: List[np.ndarray]) -> None:
        """Remember what a window, which is written now, has in some of its blocks.

        Parameters
        ----------
        values : (rows, cols) arrays, one a band
        """
        columns, rows = -(-window.width // BLOCK), -(-window.height // BLOCK)
        for place in sorted({self._windows * STEP % (columns * rows), columns * rows - 1}):
            row, col = place // columns * BLOCK, place % columns * BLOCK
            height, width = min(BLOCK, window.height - row), min(BLOCK, window.width - col)
            block = Window(window.col + col, window.row + row, width, height)
            for number, array in enumerate(values, 1):
                self._sums.append((number, block, self._sum(array[row : row + height, col : col + width])))
        self._windows += 1

    def take(self, others: "Samples") -> None:
        """Remember what others have been added elsewhere, too."""
        self._sums += others._sums

    def _sum(self, values: np.ndarray) -> int:
        return zlib.crc32(np.ascontiguousarray(values if self._exact else np.isfinite(values)))

    def agree(self, dataset: gdal.Dataset) -> bool:
        """Whether the dataset holds the same."""
        for number, block, checksum in self._sums:
            values = dataset.GetRasterBand(number).ReadAsArray(*block)
            if values is None or self._sum(values) != checksum:
                return False
        return True


def verify_raster(path: str, samples: Samples, overviews: int, gaps: bool, name: str = "OUTPUT") -> None:
    """Refuse a raster of ours that cannot be read as it was written.

    Parameters
    ----------
    overviews : how many it must have at least
    gaps : whether blocks without data may be missing
    """
    with collected_errors() as messages:
        dataset = gdal.Open(path)
        whole = dataset is not None and _stands(dataset, path, overviews, gaps) and samples.agree(dataset)
        del dataset
    if messages or not whole:
        _refuse(name, path, messages)


def _refuse(name: str, path: str, messages: List[str]) -> None:
    raise SegmentationError(
        f"{name} {Path(path).name} is not on the disk as it was written ({reason(messages, 'a part is missing')}): the "
        "disk may be full or faulty, so make room, or choose another."
    )


def _stands(dataset: gdal.Dataset, path: str, overviews: int, gaps: bool) -> bool:
    is_tiff = dataset.GetDriver().ShortName in ("GTiff", "COG")
    by_pixel = dataset.GetMetadataItem("INTERLEAVE", "IMAGE_STRUCTURE") == "PIXEL"
    size = os.path.getsize(path) - (_trailer(path) if is_tiff else 0)
    for number in range(1, dataset.RasterCount + 1):
        band = dataset.GetRasterBand(number)
        if band.GetOverviewCount() < overviews:
            return False
        levels = [band] + [band.GetOverview(index) for index in range(band.GetOverviewCount())]
        if any(level is None for level in levels):
            return False
        if is_tiff and (number == 1 or not by_pixel):
            if not all(_blocks_lie_within(level, size, gaps) for level in levels):
                return False
            levels = levels[-1:]
        elif is_tiff:
            continue
        if not all(_can_be_read(level) for level in levels):
            return False
    return True


def _trailer(path: str) -> int:
    """Bytes that follow each block in a cloud optimized GeoTIFF, the last one too."""
    with open(path, "rb") as file:
        return 4 if COG_TRAILER in file.read(1024) else 0


def _blocks_lie_within(band: gdal.Band, size: int, gaps: bool) -> bool:
    """Whether every block of a band of a GeoTIFF has a place in the file."""
    width, height = band.GetBlockSize()
    for row in range(-(-band.YSize // height)):
        for col in range(-(-band.XSize // width)):
            offset = band.GetMetadataItem(f"BLOCK_OFFSET_{col}_{row}", "TIFF")
            length = band.GetMetadataItem(f"BLOCK_SIZE_{col}_{row}", "TIFF")
            if not offset or not length:
                if not gaps:
                    return False
            elif int(offset) + int(length) > size:
                return False
    return True


def _can_be_read(band: gdal.Band) -> bool:
    """Whether all of a band can be read."""
    height = band.GetBlockSize()[1]
    rows = max(1, (1 << 22) // max(band.XSize, 1) // height) * height
    for row in range(0, band.YSize, rows):
        if band.ReadRaster(0, row, band.XSize, min(rows, band.YSize - row)) is None:
            return False
    return True


def verify_features(path: str, count: int, name: str = "OUTPUT", last: Optional[int] = None) -> None:
    """Refuse a vector file or table, written by OGR or SQLite, that does not hold its rows to the last one.

    Parameters
    ----------
    last : id of the last feature; else they are numbered without gaps
    """
    with collected_errors() as messages:
        whole = _ends_well(path)
        dataset = gdal.OpenEx(path, gdal.OF_VECTOR) if whole else None
        layer = None if dataset is None else dataset.GetLayer(0)
        if layer is None:
            whole = False
        elif Path(path).suffix.lower() not in ENDS:
            whole = layer.GetFeatureCount() == count and (not count or _last_is_there(layer, count, last))
        del layer, dataset
    if messages or not whole:
        _refuse(name, path, messages)


def _last_is_there(layer: ogr.Layer, count: int, last: Optional[int]) -> bool:
    """Whether the last feature can be read, with its geometry, if it has one; ids begin with 0 or 1."""
    first = layer.GetNextFeature()
    if first is None:
        return False
    found = layer.GetFeature(first.GetFID() + count - 1 if last is None else last)
    if found is None or layer.GetGeomType() == ogr.wkbNone:
        return found is not None
    return found.GetGeometryRef() is not None and not found.GetGeometryRef().IsEmpty()


def _ends_well(path: str) -> bool:
    """Whether the file is as long as it says, or ends as text of its kind does, where that can be seen at a glance."""
    size = os.path.getsize(path)
    ending = ENDS.get(Path(path).suffix.lower())
    with open(path, "rb") as file:
        if ending is not None:
            file.seek(max(size - TAIL, 0))
            return file.read().rstrip().endswith(ending)
        head = file.read(100)
    if head.startswith(SQLITE_HEADER):
        page = int.from_bytes(head[16:18], "big")
        if head[24:28] != head[92:96]:
            return True  # the number of pages is not valid then
        return size == int.from_bytes(head[28:32], "big") * (65536 if page == 1 else page)
    if is_shapefile(path):
        others = [Path(path).with_suffix(suffix) for suffix in (".shx", ".dbf")]
        return all(other.is_file() and _shape_file_is_whole(other) for other in [Path(path), *others])
    return True


def _shape_file_is_whole(path: Path) -> bool:
    """The parts of a Shapefile say how long they are: in words of 16 bits, or by the number and length of records."""
    with open(path, "rb") as file:
        head = file.read(32)
    if path.suffix == ".dbf":
        records, start, length = (int.from_bytes(head[a:b], "little") for a, b in ((4, 8), (8, 10), (10, 12)))
        return os.path.getsize(path) >= start + records * length
    return os.path.getsize(path) == 2 * int.from_bytes(head[24:28], "big")


def verify_text_table(path: str, size: int, name: str = "OUTPUT") -> None:
    """Refuse a table of text that is not as long as what was written."""
    if os.path.getsize(path) != size:
        _refuse(name, path, [])
