# SPDX-License-Identifier: GPL-2.0-or-later
"""Odd rasters: every type of value, and what bands can say of theirs."""

from functools import partial
from pathlib import Path

import numpy as np
from osgeo import gdal

from .making import (
    Made,
    UnavailableError,
    create,
    driver,
    everywhere,
    gdal_type,
    in_memory,
    odd,
    outside_hole,
    scene,
    tif,
    with_hole,
)

REAL = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
COMPLEX = ("CInt16", "CInt32", "CFloat32", "CFloat64")
NBITS = {1: np.uint8, 2: np.uint8, 4: np.uint8, 7: np.uint8, 12: np.uint16, 24: np.uint32, 16: np.float32}


def _of_type(dtype: str, bands: int, folder: Path) -> Made:
    if gdal_type(dtype) in (None, gdal.GDT_Unknown) or (dtype == "int8" and not hasattr(gdal, "GDT_Int8")):
        raise UnavailableError(f"this GDAL has no type {dtype}")
    return Made(tif(folder, scene(bands, dtype=dtype)), everywhere())


for _dtype in REAL:
    for _bands in (1, 3):
        odd(f"type {_dtype}, bands {_bands}")(partial(_of_type, _dtype, _bands))


def _negative(dtype: str, folder: Path) -> Made:
    return Made(tif(folder, scene(2, dtype=dtype) - np.dtype(dtype).type(60), -32000), everywhere())


for _dtype in ("int16", "int32", "int64", "float32", "float64"):
    odd(f"negative values {_dtype}")(partial(_negative, _dtype))


def _large(dtype: str, start: int, step: int, folder: Path) -> Made:
    values = scene(2, dtype=dtype) * np.dtype(dtype).type(step) + np.dtype(dtype).type(start)
    return Made(tif(folder, values), everywhere())


odd("large int32")(partial(_large, "int32", -(2**31), 2**24))
odd("large uint32")(partial(_large, "uint32", 2**31, 2**23))
odd("large int64")(partial(_large, "int64", 2**61, 2**50))
odd("large uint64")(partial(_large, "uint64", 2**63, 2**55))
odd("large int64 that float64 cannot tell apart")(partial(_large, "int64", 2**62, 1))


@odd("huge float64")
def _huge(folder: Path) -> Made:
    return Made(tif(folder, scene(2, dtype=np.float64) * 1e290), everywhere())


@odd("huge float32")
def _huge_single(folder: Path) -> Made:
    return Made(tif(folder, scene(2, dtype=np.float32) * np.float32(1e36)), everywhere())


@odd("small float64")
def _tiny(folder: Path) -> Made:
    return Made(tif(folder, scene(2, dtype=np.float64) * 1e-140), everywhere())


@odd("tiny float32")
def _tiny_single(folder: Path) -> Made:
    return Made(tif(folder, scene(2, dtype=np.float32) * np.float32(1e-40)), everywhere())


def _complex(kind: str, folder: Path) -> Made:
    values = scene(2, dtype=np.float32)
    dataset = create(folder / "in.tif", values, kind=getattr(gdal, f"GDT_{kind}"))
    dataset.FlushCache()
    return Made(str(folder / "in.tif"), refused="complex")


for _kind in COMPLEX:
    odd(f"complex {_kind}")(partial(_complex, _kind))


def _signed_byte(form: str, extension: str, folder: Path) -> Made:
    """Signed bytes: an option of the file before GDAL 3.7, a type since then."""
    signed = with_hole(-7, 2, np.int16) - np.int16(60)
    path = folder / f"in.{extension}"
    if hasattr(gdal, "GDT_Int8"):
        dataset = create(path, signed.astype(np.int8), form=form, kind=gdal.GDT_Int8)
    else:
        values = signed.astype(np.int8).view(np.uint8)
        dataset = create(path, values, ["PIXELTYPE=SIGNEDBYTE"], form, gdal.GDT_Byte)
    for number in (1, 2):
        dataset.GetRasterBand(number).SetNoDataValue(-67)
    dataset.FlushCache()
    return Made(str(path), outside_hole())


odd("signed bytes, GeoTIFF")(partial(_signed_byte, "GTiff", "tif"))
odd("signed bytes, HFA")(partial(_signed_byte, "HFA", "img"))


def _nbits(bits: int, folder: Path) -> Made:
    dtype = NBITS[bits]
    values = scene(2, dtype=dtype)
    if np.dtype(dtype).kind != "f":
        values %= dtype(2**bits)
    path = tif(folder, values, options=[f"NBITS={bits}"])
    return Made(path, values.any(axis=0))


for _bits in NBITS:
    odd(f"NBITS {_bits}")(partial(_nbits, _bits))


def _palette(form: str, extension: str, folder: Path) -> Made:
    values = scene(1) // np.uint8(8) + np.uint8(1)
    colours = gdal.ColorTable()
    for index in range(256):
        colours.SetColorEntry(index, (index, 255 - index, index // 2, 255))
    source = in_memory(values)
    source.GetRasterBand(1).SetColorTable(colours)
    path = str(folder / f"in.{extension}")
    driver(form).CreateCopy(path, source).FlushCache()
    return Made(path, everywhere())


odd("palette, GeoTIFF")(partial(_palette, "GTiff", "tif"))
odd("palette, PNG")(partial(_palette, "PNG", "png"))
odd("palette, GIF")(partial(_palette, "GIF", "gif"))
odd("palette, BMP")(partial(_palette, "BMP", "bmp"))
odd("palette, HFA")(partial(_palette, "HFA", "img"))


def _mixed(first: str, second: str, folder: Path) -> Made:
    for name, dtype in (("a.tif", first), ("b.tif", second)):
        tif(folder, scene(1, dtype=dtype, seed=len(dtype)), name=name)
    path = str(folder / "in.vrt")
    gdal.BuildVRT(path, [str(folder / "a.tif"), str(folder / "b.tif")], separate=True).FlushCache()
    return Made(path, everywhere())


for _first, _second in (
    ("uint8", "float32"),
    ("uint8", "int16"),
    ("uint32", "int32"),
    ("int32", "float32"),
    ("uint16", "float64"),
    ("int64", "float32"),
    ("uint64", "int64"),
):
    odd(f"bands of {_first} and {_second}")(partial(_mixed, _first, _second))


@odd("scale and offset")
def _scaled(folder: Path) -> Made:
    dataset = create(folder / "in.tif", scene(2, dtype=np.int16))
    for number in (1, 2):
        dataset.GetRasterBand(number).SetScale(0.25 * number)
        dataset.GetRasterBand(number).SetOffset(-40)
    dataset.FlushCache()
    return Made(str(folder / "in.tif"), everywhere())


@odd("scale and offset and no data")
def _scaled_with_nodata(folder: Path) -> Made:
    dataset = create(folder / "in.tif", with_hole(-9999, 2, np.int16))
    for number in (1, 2):
        dataset.GetRasterBand(number).SetNoDataValue(-9999)
        dataset.GetRasterBand(number).SetScale(0.0001)
        dataset.GetRasterBand(number).SetOffset(0.5)
    dataset.FlushCache()
    return Made(str(folder / "in.tif"), outside_hole())


@odd("descriptions, units, categories and metadata with odd letters")
def _described(folder: Path) -> Made:
    dataset = create(folder / "in.tif", scene(2))
    dataset.SetMetadata({"TIFFTAG_IMAGEDESCRIPTION": 'ünïcode <&> "quotes" \'', "AREA_OR_POINT": "Point"})
    band = dataset.GetRasterBand(1)
    band.SetDescription('naïve "band"; <1>')
    band.SetUnitType("m³/s")
    band.SetCategoryNames(["", "wäter", "<land>"])
    dataset.FlushCache()
    return Made(str(folder / "in.tif"), everywhere())


@odd("bands of one name")
def _one_name(folder: Path) -> Made:
    dataset = create(folder / "in.tif", scene(3))
    for number in (1, 2, 3):
        dataset.GetRasterBand(number).SetDescription("same")
    dataset.FlushCache()
    return Made(str(folder / "in.tif"), everywhere())


@odd("raster attribute table")
def _with_table(folder: Path) -> Made:
    path = str(folder / "in.img")
    dataset = create(path, scene(1), form="HFA")
    table = gdal.RasterAttributeTable()
    table.CreateColumn("Histogram", gdal.GFT_Real, gdal.GFU_PixelCount)
    table.CreateColumn("mean_1", gdal.GFT_String, gdal.GFU_Generic)
    table.SetRowCount(125)
    table.SetValueAsString(3, 1, "three")
    dataset.GetRasterBand(1).SetDefaultRAT(table)
    dataset.FlushCache()
    return Made(path, everywhere())


def _many_bands(bands: int, options: list, folder: Path) -> Made:
    return Made(tif(folder, scene(bands, 14, 17, np.uint16), options=options), everywhere(14, 17))


odd("12 bands")(partial(_many_bands, 12, []))
odd("40 bands by band")(partial(_many_bands, 40, ["INTERLEAVE=BAND"]))
odd("300 bands")(partial(_many_bands, 300, []))
