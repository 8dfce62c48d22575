# SPDX-License-Identifier: GPL-2.0-or-later
"""Odd rasters: every way to say where there is no data."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from osgeo import gdal

from .making import HOLE, Made, create, driver, everywhere, in_memory, odd, outside_hole, scene, tif, with_hole

LARGEST = float(np.finfo(np.float32).max)
# (type, declared value, value in the hole or None where no pixel can be it)
DECLARED = (
    ("uint8", 0, 0),
    ("uint8", 255, 255),
    ("uint8", 200, 200),
    ("uint8", -9999, None),
    ("uint8", 256, None),
    ("uint8", 1e300, None),
    ("uint8", float("nan"), None),
    ("int16", -32768, -32768),
    ("int16", -9999, -9999),
    ("int16", 1e10, None),
    ("uint16", 65535, 65535),
    ("uint16", -1, None),
    ("int32", -(2**31), -(2**31)),
    ("int32", 2**31 - 1, 2**31 - 1),
    ("int32", -3.4e38, None),
    ("uint32", 2**32 - 1, 2**32 - 1),
    ("float32", -9999.0, -9999.0),
    ("float32", 0.0, 0.0),
    ("float32", float("nan"), float("nan")),
    ("float32", float("inf"), float("inf")),
    ("float32", float("-inf"), float("-inf")),
    ("float32", -3.4e38, -3.4e38),
    ("float32", -LARGEST, -LARGEST),
    ("float32", -3.40282e38, -LARGEST),
    ("float32", -3.40282347e38, -LARGEST),
    ("float32", 1e20, 1e20),
    ("float32", 0.1, 0.1),
    ("float64", -9999.0, -9999.0),
    ("float64", -1.7976931348623157e308, -1.7976931348623157e308),
    ("float64", -3.4028234663852886e38, -3.4028234663852886e38),
    ("float64", 1e-300, 1e-300),
    ("float64", float("nan"), float("nan")),
)


def _declared(dtype: str, nodata: Any, inside: Any, folder: Path) -> Made:
    values = scene(2, dtype=dtype) if inside is None else with_hole(inside, 2, dtype)
    return Made(tif(folder, values, nodata), everywhere() if inside is None else outside_hole())


for _dtype, _nodata, _inside in DECLARED:
    odd(f"no data {_nodata} of {_dtype}, {'none there' if _inside is None else _inside}")(
        partial(_declared, _dtype, _nodata, _inside)
    )


def _declared_wide(dtype: str, nodata: int, folder: Path) -> Made:
    """64-bit integers: neighbours of the value, which float64 cannot tell from it, are data."""
    values = with_hole(nodata, 1, dtype)
    near = nodata - 1 if nodata > 0 else nodata + 1
    values[0, 10:14, 10:14] = near
    dataset = create(folder / "in.tif", values)
    dataset.GetRasterBand(1).SetNoDataValue(nodata)
    dataset.FlushCache()
    return Made(str(folder / "in.tif"), outside_hole())


odd("no data -2**63 of int64")(partial(_declared_wide, "int64", -(2**63)))
odd("no data 2**62 of int64")(partial(_declared_wide, "int64", 2**62))
odd("no data 2**64-1 of uint64")(partial(_declared_wide, "uint64", 2**64 - 1))


@odd("no data 0.5 of uint8, which no pixel can have")
def _fraction(folder: Path) -> Made:
    """GDAL's mask decides, which cuts the fraction off in its own way."""
    return Made(tif(folder, with_hole(0, 2), 0.5))


@odd("no data of each band, HFA")
def _each_band(folder: Path) -> Made:
    values = scene(3)
    valid = everywhere()
    dataset = create(folder / "in.img", values, form="HFA")
    for index, nodata in enumerate((0, 255, 7)):
        rows = slice(5 * index, 5 * index + 3)
        values[index, rows] = nodata
        valid &= values[index] != nodata
        dataset.GetRasterBand(index + 1).SetNoDataValue(nodata)
        dataset.GetRasterBand(index + 1).WriteArray(values[index])
    dataset.FlushCache()
    return Made(str(folder / "in.img"), valid)


@odd("no data of one band only, VRT")
def _one_band(folder: Path) -> Made:
    path = tif(folder, with_hole(0, 3), name="source.tif")
    dataset = gdal.Translate(str(folder / "in.vrt"), path, format="VRT")
    dataset.GetRasterBand(2).SetNoDataValue(0)
    dataset.FlushCache()
    return Made(str(folder / "in.vrt"), outside_hole())


@odd("no data differs, a hole in one band only")
def _hole_in_one(folder: Path) -> Made:
    values = scene(3)
    values[(1, *HOLE)] = 0
    return Made(tif(folder, values, 0), outside_hole())


def _nodata_values(wrap: bool, folder: Path) -> Made:
    """NODATA_VALUES: a pixel is no data where all bands have their value."""
    values = with_hole(0, 3)
    values[:, 12:15, 3:9] = 0
    values[1, 12:15, 3:9] = 77  # as dark, but not the triple
    dataset = create(folder / "source.tif", values)
    dataset.SetMetadataItem("NODATA_VALUES", "0 0 0")
    dataset.FlushCache()
    del dataset
    path = str(folder / "source.tif")
    if wrap:
        gdal.Translate(str(folder / "in.vrt"), path, format="VRT").FlushCache()
        path = str(folder / "in.vrt")
    return Made(path, outside_hole())


odd("NODATA_VALUES, GeoTIFF")(partial(_nodata_values, False))
odd("NODATA_VALUES, VRT")(partial(_nodata_values, True))


def _masked(values: np.ndarray, mask: np.ndarray, folder: Path, inside: bool, nodata: Any = None) -> str:
    with _internal_masks(inside):
        path = tif(folder, values, nodata)
        dataset = gdal.Open(path, gdal.GA_Update)
        dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
        dataset.GetRasterBand(1).GetMaskBand().WriteArray(mask)
        del dataset
    return path


class _internal_masks:  # noqa: N801
    def __init__(self, inside: bool):
        self.inside = inside

    def __enter__(self):
        gdal.SetConfigOption("GDAL_TIFF_INTERNAL_MASK", "YES" if self.inside else "NO")

    def __exit__(self, *raised):
        gdal.SetConfigOption("GDAL_TIFF_INTERNAL_MASK", None)


def _mask(level: int, inside: bool, folder: Path) -> Made:
    mask = outside_hole().astype(np.uint8) * np.uint8(level)
    return Made(_masked(with_hole(0, 3), mask, folder, inside), outside_hole())


odd("mask in the file")(partial(_mask, 255, True))
odd("mask in a .msk")(partial(_mask, 255, False))
odd("mask of 1 in a .msk")(partial(_mask, 1, False))


@odd("mask over zeros that are data")
def _mask_and_zeros(folder: Path) -> Made:
    values = scene(3)
    values[:, 12:16, 12:20] = 0
    return Made(_masked(values, outside_hole().astype(np.uint8) * 255, folder, True), outside_hole())


@odd("mask of one bit beside 16 bits")
def _mask_16(folder: Path) -> Made:
    mask = outside_hole().astype(np.uint8) * 255
    return Made(_masked(scene(4, dtype=np.uint16), mask, folder, True), outside_hole())


@odd("mask that hides everything")
def _mask_all(folder: Path) -> Made:
    return Made(_masked(scene(3), np.zeros(outside_hole().shape, np.uint8), folder, True), refused="no valid pixel")


@odd("mask of each band, VRT")
def _mask_of_bands(folder: Path) -> Made:
    one = outside_hole().astype(np.uint8) * np.uint8(255)
    other = np.flipud(np.fliplr(one))
    path = tif(folder, np.concatenate([scene(2), one[None], other[None]]), name="source.tif")
    bands = "".join(
        f"""<VRTRasterBand dataType="Byte" band="{number}">{_simple(path, number)}<MaskBand>
        <VRTRasterBand dataType="Byte">{_simple(path, number + 2)}</VRTRasterBand></MaskBand></VRTRasterBand>"""
        for number in (1, 2)
    )
    rows, cols = one.shape
    text = f'<VRTDataset rasterXSize="{cols}" rasterYSize="{rows}">{bands}</VRTDataset>'
    (folder / "in.vrt").write_text(text, encoding="utf-8")
    return Made(str(folder / "in.vrt"), (one > 0) & (other > 0))


def _simple(path: str, number: int) -> str:
    return f"<SimpleSource><SourceFilename>{path}</SourceFilename><SourceBand>{number}</SourceBand></SimpleSource>"


def _alpha(colours: int, dtype: str, alpha: np.ndarray, folder: Path) -> str:
    values = np.concatenate([scene(colours, dtype=dtype), alpha[None].astype(dtype)])
    dataset = create(folder / "in.tif", values, ["ALPHA=YES"])
    dataset.GetRasterBand(colours + 1).SetColorInterpretation(gdal.GCI_AlphaBand)
    dataset.FlushCache()
    return str(folder / "in.tif")


def _alpha_hole(colours: int, dtype: str, opaque: int, folder: Path) -> Made:
    return Made(_alpha(colours, dtype, outside_hole() * opaque, folder), outside_hole())


for _colours, _dtype, _opaque in (
    (3, "uint8", 255),
    (1, "uint8", 255),
    (3, "uint16", 65535),
    (3, "uint16", 255),
    (3, "uint8", 1),
    (4, "uint8", 255),
    (2, "uint8", 255),
):
    odd(f"alpha {_opaque} of {_dtype} with {_colours} more")(partial(_alpha_hole, _colours, _dtype, _opaque))


@odd("alpha half transparent")
def _half(folder: Path) -> Made:
    alpha = np.linspace(1, 254, outside_hole().size).reshape(outside_hole().shape).astype(np.uint8)
    return Made(_alpha(3, "uint8", alpha, folder), everywhere())


@odd("alpha hides everything")
def _transparent(folder: Path) -> Made:
    return Made(_alpha(3, "uint8", np.zeros(outside_hole().shape), folder), refused="no valid pixel")


@odd("alpha over white, PNG")
def _alpha_png(folder: Path) -> Made:
    values = np.concatenate([with_hole(255, 3), (outside_hole() * 255).astype(np.uint8)[None]])
    driver("PNG").CreateCopy(str(folder / "in.png"), in_memory(values)).FlushCache()
    return Made(str(folder / "in.png"), outside_hole())


def _transparent_colour(bands: int, folder: Path) -> Made:
    """A PNG with a transparent colour: only pixels of just that colour are no data."""
    values = with_hole(9, bands)
    if bands == 3:
        values[:2, 10:13, 4:9] = 9
        values[2, 10:13, 4:9] = 80
    source = in_memory(values)
    source.SetMetadataItem("NODATA_VALUES", " ".join("9" * bands))
    if bands == 1:
        source.GetRasterBand(1).SetNoDataValue(9)
    driver("PNG").CreateCopy(str(folder / "in.png"), source).FlushCache()
    valid = ~(values == 9).all(axis=0)
    return Made(str(folder / "in.png"), valid)


odd("transparent colour, PNG")(partial(_transparent_colour, 3))
odd("transparent grey, PNG")(partial(_transparent_colour, 1))


def _not_finite(value: float, dtype: str, folder: Path) -> Made:
    values = scene(3, dtype=dtype)
    values[(2, *HOLE)] = value
    return Made(tif(folder, values), outside_hole())


for _value in ("nan", "inf", "-inf"):
    odd(f"{_value} of float32, none declared")(partial(_not_finite, float(_value), "float32"))
odd("nan of float64, -9999 declared elsewhere")(
    lambda folder: Made(tif(folder, with_hole(np.nan, 3, np.float64), -9999.0), outside_hole())
)


@odd("nan everywhere")
def _all_nan(folder: Path) -> Made:
    return Made(tif(folder, np.full((2, 20, 26), np.nan, np.float32)), refused="no valid pixel")


@odd("no data everywhere")
def _all_nodata(folder: Path) -> Made:
    return Made(tif(folder, np.full((2, 20, 26), 7, np.uint8), 7), refused="no valid pixel")


@odd("zero everywhere, none declared")
def _all_zero(folder: Path) -> Made:
    return Made(tif(folder, np.zeros((2, 20, 26), np.int16)), refused="no valid pixel")


@odd("zero everywhere, 255 declared")
def _zero_is_data(folder: Path) -> Made:
    return Made(tif(folder, np.zeros((2, 20, 26), np.uint8), 255), everywhere())


@odd("zeros in all bands, none declared")
def _zeros(folder: Path) -> Made:
    values = with_hole(0, 3, np.int16)
    values[0, 12:16] = 0
    return Made(tif(folder, values), outside_hole())


@odd("zeros of float32, none declared")
def _zeros_float(folder: Path) -> Made:
    values = with_hole(0, 2, np.float32)
    values[:, 0, 0] = -0.0
    return Made(tif(folder, values), outside_hole())


@odd("one valid pixel")
def _one_pixel(folder: Path) -> Made:
    values = np.zeros((3, 20, 26), np.uint16)
    values[:, 11, 13] = 40
    return Made(tif(folder, values, 0), values.any(axis=0))
