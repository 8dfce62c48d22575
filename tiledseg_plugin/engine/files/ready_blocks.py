# SPDX-License-Identifier: GPL-2.0-or-later
"""A GeoTIFF whose blocks others have compressed: here their bytes are only put one behind the other.

GDAL makes the file with nothing in it, and what a block is compressed to elsewhere is added at its end; in the end the
file is told where each block lies (TIFF 6.0, section 2, and BigTIFF). Of overviews, those whose blocks lie within the
windows that are made elsewhere are added so, too; the smallest are written as usual.
"""

import errno
import os
import struct
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple
from uuid import uuid4

import numpy as np
from osgeo import gdal

from .creation_options import creation_options
from .gdal_access import collected_errors, configured
from .overviews import BLOCK, GrowingOverviews, overview_levels
from .window import Window

WIDTH, HEIGHT = 8192, 2048  # pixels of the windows that are made at once, whole blocks of each of LEVELS
LEVELS = (1, 2, 4, 8)  # of the raster itself and of overviews
REST = 16  # every so manieth pixel is enough for the others
WITHOUT_BLOCKS = {"SPARSE_OK_OVERVIEW": "YES"}  # for GDAL, which makes the file
KEPT_TAGS = {256: "width", 257: "height", 259: "compression", 317: "predictor", 322: "block_width"}
KEPT_TAGS.update({323: "block_height", 324: "offsets", 325: "counts"})
ENCODING = ("compression", "predictor", "block_width", "block_height")
NEEDED = ("width", "block_width", "block_height", "offsets", "counts")
TYPES = {3: "u2", 4: "u4", 16: "u8"}


class Field(NamedTuple):
    """An entry of a directory: the type and number of its values, where they are, and the first of them."""

    kind: int
    number: int
    place: int
    value: int


Directory = Dict[str, Field]


def ready_windows(width: int, height: int) -> List[Window]:
    """The windows of a raster of so many pixels."""
    return [
        Window(col, row, min(WIDTH, width - col), min(HEIGHT, height - row))
        for row in range(0, height, HEIGHT)
        for col in range(0, width, WIDTH)
    ]


def directories(content: bytes) -> List[Directory]:
    """What is known of the raster of a GeoTIFF and of its overviews, the largest first."""
    order, is_big = _kind_of(content)
    size, entry, wide = ("Q", 20, 8) if is_big else ("I", 12, 4)
    (at,) = struct.unpack_from(order + size, content, 8 if is_big else 4)
    found = []
    while at:
        (number,) = struct.unpack_from(order + ("Q" if is_big else "H"), content, at)
        begin = at + (8 if is_big else 2)
        fields: Directory = {}
        for place in range(begin, begin + number * entry, entry):
            tag, kind = struct.unpack_from(order + "HH", content, place)
            (count,) = struct.unpack_from(order + size, content, place + 4)
            if tag in KEPT_TAGS and kind in TYPES:
                values = place + 4 + wide
                length = count * np.dtype(TYPES[kind]).itemsize
                if length > wide:
                    (values,) = struct.unpack_from(order + size, content, values)
                value = int(np.frombuffer(content, order + TYPES[kind], 1, values)[0])
                fields[KEPT_TAGS[tag]] = Field(kind, count, values, value)
        found.append(fields)
        (at,) = struct.unpack_from(order + size, content, begin + number * entry)
    return sorted(found, key=lambda one: -one["width"].value)


def _kind_of(content: bytes) -> Tuple[str, bool]:
    """The order of bytes, and whether it is a BigTIFF."""
    order = "<" if content[:2] == b"II" else ">"
    return order, struct.unpack_from(order + "H", content, 2)[0] == 43


def _compressed(pixels: np.ndarray, options: Sequence[str]) -> Tuple[bytes, Directory]:
    """A GeoTIFF with just these pixels, and its directory."""
    path = f"/vsimem/tiledseg-{uuid4().hex}.tif"
    height, width = pixels.shape
    dataset = gdal.GetDriverByName("GTiff").Create(path, width, height, 1, gdal.GDT_UInt32, list(options))
    dataset.GetRasterBand(1).WriteArray(pixels)
    dataset.FlushCache()
    del dataset
    content = _taken_from_memory(path)
    return content, directories(content)[0]


def _options(level: int, given: str) -> List[str]:
    """Creation options for the blocks of a level; the user's are for the raster itself."""
    if level > 1:
        return ["TILED=YES", f"BLOCKXSIZE={BLOCK}", f"BLOCKYSIZE={BLOCK}", "COMPRESS=DEFLATE", "ZLEVEL=1"]
    alike = creation_options("GTiff", given, 1)
    return [option for option in alike if option.partition("=")[0].upper() not in ("BIGTIFF", "SPARSE_OK")]


def make_ready(ids: np.ndarray, window: Window, levels: Sequence[int], given: str) -> Dict[str, np.ndarray]:
    """The blocks of a window, compressed.

    Parameters
    ----------
    ids : (rows, cols) uint32
    window : of `ready_windows`
    levels : those of LEVELS that the file has
    given : the user's creation options

    Returns
    -------
    {"lengths-1": (blocks,) uint32, "blocks-1": (bytes,) uint8, and so on for the other levels; "rest": some pixels}
    """
    made = {"rest": np.ascontiguousarray(ids[::REST, ::REST])}
    for level in levels:
        content, directory = _compressed(np.ascontiguousarray(ids[::level, ::level]), _options(level, given))
        order, _ = _kind_of(content)
        offsets, lengths = (_values(content, directory[name], order) for name in ("offsets", "counts"))
        parts = [content[begin : begin + length] for begin, length in zip(offsets.tolist(), lengths.tolist())]
        made[f"lengths-{level}"] = lengths.astype(np.uint32)
        made[f"blocks-{level}"] = np.frombuffer(b"".join(parts), np.uint8)
    return made


def _values(content: bytes, field: Field, order: str) -> np.ndarray:
    return np.frombuffer(content, order + TYPES[field.kind], field.number, field.place).astype(np.int64)


def levels_of(width: int, height: int) -> Tuple[int, ...]:
    """Those of LEVELS that a raster of so many pixels has."""
    return tuple(level for level in LEVELS if level in (1, *overview_levels(width, height)))


def fits(given: str) -> bool:
    """Whether blocks that are compressed with the user's creation options go into a file with them, as they are.

    It is tried with a file of the smallest size that has an overview.
    """
    path, size = f"/vsimem/tiledseg-{uuid4().hex}.tif", 2 * BLOCK
    options = [*creation_options("GTiff", given, 1), "SPARSE_OK=TRUE"]
    with collected_errors() as messages, configured(WITHOUT_BLOCKS):
        dataset = gdal.GetDriverByName("GTiff").Create(path, size, size, 1, gdal.GDT_UInt32, options)
        if dataset is None:
            return False
        GrowingOverviews(dataset, 1)
        dataset.FlushCache()
        del dataset
        content = _taken_from_memory(path)
        whole = directories(content)
        compressed = [_compressed(np.ones((16, 16), np.uint32), _options(level, given)) for level in (1, 2)]
    alike = [
        _kind_of(made)[0] == _kind_of(content)[0]
        and {*NEEDED} <= there.keys()
        and all(_value(here, name) == _value(there, name) for name in ENCODING)
        and (WIDTH // level) % _value(there, "block_width") == 0
        and (HEIGHT // level) % _value(there, "block_height") == 0
        and 3 not in (there["offsets"].kind, there["counts"].kind)  # 16 bits
        and not _values(content, there["offsets"], _kind_of(content)[0]).any()
        for level, there, (made, here) in zip((1, 2), whole, compressed)
    ]
    return not messages and len(whole) == 2 and all(alike)


def _taken_from_memory(path: str) -> bytes:
    """The content of a file in memory, which goes."""
    try:
        size = gdal.VSIStatL(path).size
        file = gdal.VSIFOpenL(path, "rb")
        content = bytes(gdal.VSIFReadL(1, size, file))
        gdal.VSIFCloseL(file)
    finally:
        gdal.Unlink(path)
    return content


class ReadyTiff:
    """A GeoTIFF without any block, to which they are added.

    Parameters
    ----------
    path : of the file, which GDAL has closed
    width, height : of the raster
    """

    def __init__(self, path: str, width: int, height: int) -> None:
        self._path, self._size = path, (width, height)
        self._head = Path(path).read_bytes()
        self._order, _ = _kind_of(self._head)
        self._levels = dict(zip((1, *overview_levels(width, height)), directories(self._head)))
        self._places = {
            level: {name: _values(self._head, self._levels[level][name], self._order) for name in ("offsets", "counts")}
            for level in levels_of(width, height)
        }
        self._rest = np.zeros((-(-height // REST), -(-width // REST)), np.uint32)

    def add(self, window: Window, made: Mapping[str, np.ndarray]) -> None:
        """Add what `make_ready` has returned for a window.

        Raises
        ------
        OSError : it cannot be written
        """
        with open(self._path, "ab") as file:
            for level, places in self._places.items():
                there = self._levels[level]
                width, height = _value(there, "block_width"), _value(there, "block_height")
                across = -(-_value(there, "width") // width)
                first = window.row // level // height * across + window.col // level // width
                cols = -(-window.width // (level * width))
                lengths = made[f"lengths-{level}"].astype(np.int64)
                at = first + np.arange(lengths.size) // cols * across + np.arange(lengths.size) % cols
                begin = file.seek(0, os.SEEK_END)
                file.write(made[f"blocks-{level}"].tobytes())
                places["offsets"][at] = begin + np.cumsum(lengths) - lengths
                places["counts"][at] = lengths
        row, col = window.row // REST, window.col // REST
        rest = made["rest"]
        self._rest[row : row + rest.shape[0], col : col + rest.shape[1]] = rest

    def close(self) -> None:
        """Say in the file where the blocks are, and write the overviews that are left.

        Raises
        ------
        OSError : it cannot be written, or has become too large for a TIFF that is no BigTIFF
        """
        with open(self._path, "r+b") as file:
            for level, places in self._places.items():
                for name, values in places.items():
                    field = self._levels[level][name]
                    kind = np.dtype(self._order + TYPES[field.kind])
                    if int(values.max(initial=0)) > np.iinfo(kind).max:
                        raise OSError(errno.EFBIG, "it is too large for a TIFF: give CREATION_OPTIONS BIGTIFF=YES")
                    file.seek(field.place)
                    file.write(values.astype(kind).tobytes())
        left = [level for level in overview_levels(*self._size) if level not in self._places]
        if left:
            dataset = gdal.Open(self._path, gdal.GA_Update)
            for level in left:
                step = level // REST
                overview = dataset.GetRasterBand(1).GetOverview(overview_levels(*self._size).index(level))
                overview.WriteArray(np.ascontiguousarray(self._rest[::step, ::step]))
            dataset.FlushCache()
            del overview, dataset


def _value(directory: Directory, name: str) -> int:
    """The first value of a field; 1 where it is missing, as TIFF has it of those that may be."""
    return directory[name].value if name in directory else 1
