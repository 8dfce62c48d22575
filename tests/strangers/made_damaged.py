# SPDX-License-Identifier: GPL-2.0-or-later
"""Odd rasters: truncated, corrupted, empty, and files that are something else."""

import os
import struct
from functools import partial
from pathlib import Path
from typing import List

import numpy as np

from .making import Made, driver, everywhere, in_memory, odd, scene, tif, written

DEFLATE = ["COMPRESS=DEFLATE", "TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16"]
LAYOUTS = {
    "DEFLATE": DEFLATE,
    "LZW strips": ["COMPRESS=LZW", "BLOCKYSIZE=4"],
    "plain": ["BLOCKYSIZE=4"],
    "JPEG": ["COMPRESS=JPEG", "TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16", "JPEG_QUALITY=90"],
    "ZSTD": ["COMPRESS=ZSTD"],
}


def _large(folder: Path, options: List[str]) -> str:
    return tif(folder, scene(3, 60, 70, np.uint8), options=options)


def _truncated(options: List[str], share: float, folder: Path) -> Made:
    """A file that ends too early: its directory comes first, so it can be opened where not much is missing."""
    path = _large(folder, options)
    os.truncate(path, int(os.path.getsize(path) * share))
    return Made(path, refused="cannot be")


for _layout, _options in LAYOUTS.items():
    for _share in (0.02, 0.5, 0.97):
        if _layout == "JPEG" and _share > 0.9:
            continue  # the last block is decoded as far as it goes
        odd(f"truncated to {_share:.0%}, {_layout}")(partial(_truncated, _options, _share))


def _corrupted(options: List[str], share: float, either: bool, folder: Path) -> Made:
    """Forty bytes of a block overwritten."""
    path = _large(folder, options)
    start, length = _block(path, share)
    with open(path, "r+b") as file:
        file.seek(start + length // 3)
        file.write(bytes([0xFF, 0x00, 0xA5, 0x5A] * 10)[: max(4, length // 3)])
    return Made(path, either=True) if either else Made(path, refused="cannot be read")


def _block(path: str, share: float):
    """Where one of a TIFF's blocks lies: (offset, bytes)."""
    content = Path(path).read_bytes()
    (directory,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, directory)
    tags = {}
    for index in range(count):
        tag, kind, number, value = struct.unpack_from("<HHII", content, directory + 2 + 12 * index)
        size = {3: 2, 4: 4, 16: 8}.get(kind, 0)
        if tag in (273, 279, 324, 325) and size:
            form = {2: "H", 4: "I", 8: "Q"}[size]
            place = value if number * size > 4 else directory + 10 + 12 * index
            tags[tag] = struct.unpack_from(f"<{number}{form}", content, place)
    offsets = tags.get(324) or tags[273]
    lengths = tags.get(325) or tags[279]
    index = min(int(share * len(offsets)), len(offsets) - 1)
    return offsets[index], lengths[index]


for _place, _share in (("first", 0.0), ("middle", 0.5), ("last", 1.0)):
    odd(f"corrupted, {_place} block, DEFLATE")(partial(_corrupted, DEFLATE, _share, _share != 0.5))
    odd(f"corrupted, {_place} block, LZW")(partial(_corrupted, LAYOUTS["LZW strips"], _share, True))
    odd(f"corrupted, {_place} block, plain")(partial(_corrupted, LAYOUTS["plain"], _share, True))
    odd(f"corrupted, {_place} block, JPEG")(partial(_corrupted, LAYOUTS["JPEG"], _share, True))


def _patched(offset: int, content: bytes, either: bool, folder: Path) -> Made:
    path = tif(folder, scene(3))
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(content)
    return Made(path, either=True) if either else Made(path, refused="cannot be opened")


odd("TIFF whose mark is wrong")(partial(_patched, 0, b"XX", False))
odd("TIFF whose directory lies beyond its end")(partial(_patched, 4, b"\xff\xff\xff\x7f", False))
odd("TIFF whose directory is noise")(partial(_patched, 8, bytes(range(1, 200)), True))
odd("TIFF with a directory that comes back to itself")(partial(_patched, 4, b"\x00\x00\x00\x00", False))


def _tag(number: int, value: int, folder: Path) -> Made:
    """A tag of the directory changed: widths, heights, bits and counts that cannot be."""
    path = tif(folder, scene(3))
    content = bytearray(Path(path).read_bytes())
    (directory,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, directory)
    for index in range(count):
        place = directory + 2 + 12 * index
        if struct.unpack_from("<H", content, place)[0] == number:
            struct.pack_into("<I", content, place + 8, value)
    Path(path).write_bytes(bytes(content))
    return Made(path, either=True)


for _name, _number, _value in (
    ("width of 0", 256, 0),
    ("height of 0", 257, 0),
    ("height of 2 billion", 257, 2_000_000_000),
    ("width of 4 billion", 256, 0xFFFFFFFE),
    ("9999 bits", 258, 9999),
    ("unknown compression", 259, 54321),
    ("no band", 277, 0),
    ("65535 bands", 277, 65535),
    ("strips of no row", 278, 0),
    ("blocks of no bytes", 279, 0),
    ("blocks beyond the end", 273, 0x7FFFFFFF),
):
    odd(f"TIFF with {_name}")(partial(_tag, _number, _value))


def _truncated_copy(form: str, extension: str, share: float, either: bool, folder: Path) -> Made:
    path = str(folder / f"in.{extension}")
    driver(form).CreateCopy(path, in_memory(scene(3 if form != "GIF" else 1, 60, 70))).FlushCache()
    os.truncate(path, int(os.path.getsize(path) * share))
    return Made(path, either=True) if either else Made(path, refused="damaged" if form == "ENVI" else "cannot be")


for _form, _extension, _either in (
    ("PNG", "png", False),
    ("JPEG", "jpg", True),
    ("GIF", "gif", True),
    ("HFA", "img", False),
    ("JP2OpenJPEG", "jp2", True),
    ("BMP", "bmp", False),
    ("ENVI", "dat", False),
    ("netCDF", "nc", True),
    ("GPKG", "gpkg", True),
):
    for _share in (0.1, 0.6):
        odd(f"truncated to {_share:.0%}, {_form}")(
            partial(_truncated_copy, _form, _extension, _share, _either or _share < 0.5)
        )


@odd("ENVI without its header")
def _no_header(folder: Path) -> Made:
    path = str(folder / "in.dat")
    driver("ENVI").CreateCopy(path, in_memory(scene(3))).FlushCache()
    (folder / "in.hdr").unlink()
    return Made(path, refused="cannot be opened")


@odd("ENVI header without its data")
def _header_only(folder: Path) -> Made:
    path = str(folder / "in.dat")
    driver("ENVI").CreateCopy(path, in_memory(scene(3))).FlushCache()
    (folder / "in.dat").unlink()
    return Made(str(folder / "in.hdr"), refused="cannot be opened")


CONTENTS = {
    "nothing in it": ("in.tif", b""),
    "one byte": ("in.tif", b"I"),
    "text": ("in.tif", "Grüße".encode()),
    "zeros": ("in.tif", bytes(5000)),
    "XML that is cut off": ("in.vrt", b"<VRTDataset rasterXSize='3'"),
    "VRT of no size": ("in.vrt", b"<VRTDataset></VRTDataset>"),
    "VRT with a band of no type": (
        "in.vrt",
        b"<VRTDataset rasterXSize='3' rasterYSize='3'><VRTRasterBand dataType='Fish' band='1'/></VRTDataset>",
    ),
    "zip that is cut off": ("in.zip", b"PK\x03\x04" + bytes(40)),
    "a program": ("in.py", b"import os\nos.system('echo')\n"),
    "SQLite of nothing": ("in.gpkg", b"SQLite format 3\x00" + bytes(84)),
    "HDF5 of nothing": ("in.h5", b"\x89HDF\r\n\x1a\n" + bytes(600)),
    "PDF of nothing": ("in.pdf", b"%PDF-1.4\n"),
    "netCDF of nothing": ("in.nc", b"CDF\x01" + bytes(300)),
    "ASCII grid without numbers": ("in.asc", b"ncols 3\nnrows 3\nxllcorner 0\nyllcorner 0\ncellsize 1\n"),
    "ASCII grid of -3 columns": ("in.asc", b"ncols -3\nnrows 3\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2 3\n"),
    "ASCII grid of words": ("in.asc", b"ncols 2\nnrows 1\nxllcorner 0\nyllcorner 0\ncellsize 1\none two\n"),
    "JSON": ("in.json", b'{"type": "FeatureCollection"}'),
}


def _content(name: str, content: bytes, folder: Path) -> Made:
    (folder / name).write_bytes(content)
    return Made(str(folder / name), either=True)


for _title, (_name, _content_bytes) in CONTENTS.items():
    odd(f"a file that holds {_title}")(partial(_content, _name, _content_bytes))


@odd("a folder")
def _folder(folder: Path) -> Made:
    (folder / "in.tif").mkdir()
    return Made(str(folder / "in.tif"), refused="cannot be opened")


@odd("a file that is not there")
def _nothing(folder: Path) -> Made:
    return Made(str(folder / "in.tif"), refused="cannot be opened")


@odd("a link to nothing")
def _dangling(folder: Path) -> Made:
    (folder / "in.tif").symlink_to("gone.tif")
    return Made(str(folder / "in.tif"), refused="cannot be opened")


@odd("a link to itself")
def _circular(folder: Path) -> Made:
    (folder / "in.tif").symlink_to("in.tif")
    return Made(str(folder / "in.tif"), refused="cannot be opened")


@odd("a mask that is cut off")
def _cut_mask(folder: Path) -> Made:
    from .made_nodata import _masked

    mask = np.random.default_rng(3).integers(0, 2, (60, 70)).astype(np.uint8) * 255
    path = _masked(scene(3, 60, 70), mask, folder, inside=False)
    os.truncate(f"{path}.msk", int(os.path.getsize(f"{path}.msk") * 0.8))
    return Made(path, either=True)


@odd("an overview that is cut off")
def _cut_overview(folder: Path) -> Made:
    from osgeo import gdal

    path = _large(folder, [])
    dataset = gdal.Open(path)
    dataset.BuildOverviews("NEAREST", [2])
    del dataset
    os.truncate(f"{path}.ovr", os.path.getsize(f"{path}.ovr") // 2)
    return Made(path, everywhere(60, 70))


@odd("text instead of numbers in a world file")
def _bad_world(folder: Path) -> Made:
    path = str(folder / "in.png")
    driver("PNG").CreateCopy(path, in_memory(scene(3))).FlushCache()
    Path(f"{path}.aux.xml").unlink(missing_ok=True)
    written(folder / "in.wld", "ten\nzero\nzero\n-ten\n\n\n")
    return Made(path, everywhere())
