# SPDX-License-Identifier: GPL-2.0-or-later
"""Odd rasters: formats that GDAL writes, and containers."""

from functools import partial
from pathlib import Path
from typing import List, Optional

import numpy as np
from osgeo import gdal

from .making import Made, UnavailableError, create, driver, everywhere, in_memory, odd, scene, tif, with_hole, written

# (driver, extension, type, bands, options): by Create where the driver has it, else by CreateCopy
FORMATS = (
    ("ENVI", "bil", "uint16", 3, ["INTERLEAVE=BIL"]),
    ("ENVI", "bip", "float32", 3, ["INTERLEAVE=BIP"]),
    ("ENVI", "bsq", "int16", 3, ["INTERLEAVE=BSQ"]),
    ("ENVI", "dat", "float64", 1, []),
    ("EHdr", "bil", "int16", 2, []),
    ("EHdr", "flt", "float32", 1, []),
    ("ERS", "ers", "uint16", 2, []),
    ("HFA", "img", "uint8", 3, []),
    ("HFA", "img", "float64", 2, ["COMPRESSED=YES"]),
    ("HFA", "img", "uint16", 2, ["USE_SPILL=YES"]),
    ("AAIGrid", "asc", "int32", 1, []),
    ("AAIGrid", "asc", "float32", 1, []),
    ("GSAG", "grd", "float32", 1, []),
    ("GSBG", "grd", "float32", 1, []),
    ("GS7BG", "grd", "float64", 1, []),
    ("XYZ", "xyz", "int16", 1, []),
    ("PNG", "png", "uint8", 3, []),
    ("PNG", "png", "uint16", 1, []),
    ("JPEG", "jpg", "uint8", 3, ["QUALITY=95"]),
    ("JPEG", "jpg", "uint8", 1, []),
    ("GIF", "gif", "uint8", 1, []),
    ("GIF", "gif", "uint8", 1, ["INTERLACING=NO"]),
    ("BMP", "bmp", "uint8", 3, []),
    ("JP2OpenJPEG", "jp2", "uint8", 3, ["QUALITY=100", "REVERSIBLE=YES"]),
    ("JP2OpenJPEG", "jp2", "uint16", 1, ["QUALITY=100", "REVERSIBLE=YES"]),
    ("WEBP", "webp", "uint8", 3, ["LOSSLESS=YES"]),
    ("PNM", "ppm", "uint8", 3, []),
    ("PNM", "pgm", "uint16", 1, []),
    ("SGI", "rgb", "uint8", 3, []),
    ("RST", "rst", "float32", 1, []),
    ("SAGA", "sdat", "float32", 1, []),
    ("PCRaster", "map", "float32", 1, ["PCRASTER_VALUESCALE=VS_SCALAR"]),
    ("NITF", "ntf", "uint8", 3, []),
    ("NITF", "ntf", "uint16", 1, []),
    ("PCIDSK", "pix", "uint16", 3, []),
    ("ILWIS", "mpr", "int16", 1, []),
    ("RMF", "rsw", "uint8", 3, []),
    ("VICAR", "vic", "int16", 1, []),
    ("ISIS2", "cub", "uint8", 1, []),
    ("ISIS3", "cub", "uint16", 1, []),
    ("PDS4", "xml", "uint16", 2, []),
    ("FITS", "fits", "int16", 2, []),
    ("RRASTER", "grd", "float32", 2, []),
    ("R", "rda", "float64", 2, []),
    ("MRF", "mrf", "uint8", 3, []),
    ("BT", "bt", "float32", 1, []),
    ("NWT_GRD", "grd", "float32", 1, []),
    ("ZMap", "zmap", "float32", 1, []),
    ("SIGDEM", "sigdem", "float64", 1, []),
    ("HF2", "hf2", "float32", 1, []),
    ("GTX", "gtx", "float32", 1, []),
    ("LAN", "lan", "uint8", 3, []),
    ("PAux", "raw", "uint16", 2, []),
    ("MFF", "hdr", "uint8", 2, []),
    ("ISCE", "raw", "float32", 2, []),
    ("ROI_PAC", "hgt", "float32", 2, []),
    ("KRO", "kro", "uint8", 3, []),
    ("ARG", "arg", "float32", 1, []),
    ("ELAS", "elas", "uint8", 2, []),
    ("netCDF", "nc", "float32", 1, []),
    ("netCDF", "nc", "int16", 1, ["FORMAT=NC4", "COMPRESS=DEFLATE"]),
    ("HDF4Image", "hdf", "uint16", 2, []),
    ("Zarr", "zarr", "uint16", 1, []),
    ("GPKG", "gpkg", "uint8", 3, ["TILE_FORMAT=PNG"]),
    ("GPKG", "gpkg", "uint16", 1, ["TILE_FORMAT=TIFF"]),
    ("GRIB", "grb2", "float32", 1, []),
    ("COG", "tif", "uint8", 3, ["BLOCKSIZE=128"]),
    ("XPM", "xpm", "uint8", 1, []),
    ("PDF", "pdf", "uint8", 3, []),
)


def _of_format(form: str, extension: str, dtype: str, bands: int, options: List[str], folder: Path) -> Made:
    """What is valid is what GDAL reads: some formats pad, some are not exact; none of the values is no data."""
    values = scene(bands, dtype=dtype)
    path = str(folder / f"in.{extension}")
    chosen = driver(form)
    if chosen.GetMetadataItem("DCAP_CREATE") == "YES" and form not in ("GPKG", "PCRaster", "Zarr"):
        create(path, values, options, form).FlushCache()
    else:
        dataset = chosen.CreateCopy(path, in_memory(values), False, options)
        if dataset is None:
            raise UnavailableError(f"{form} cannot hold this")
        dataset.FlushCache()
        del dataset
    return Made(path, _read_as_valid(path))


def _read_as_valid(path: str) -> np.ndarray:
    """Where GDAL's own mask of every band says so and the values, which may have been padded, are not all 0."""
    dataset = gdal.Open(path)
    if dataset is None or not dataset.RasterCount:
        raise UnavailableError(f"GDAL does not read {Path(path).name} back")
    valid = everywhere(dataset.RasterYSize, dataset.RasterXSize)
    declared = False
    for number in range(1, dataset.RasterCount + 1):
        band = dataset.GetRasterBand(number)
        valid &= band.GetMaskBand().ReadAsArray() != 0
        declared |= band.GetMaskFlags() != gdal.GMF_ALL_VALID or band.GetNoDataValue() is not None
    values = dataset.ReadAsArray().reshape(dataset.RasterCount, *valid.shape)
    return valid & np.isfinite(values).all(axis=0) & (declared | values.any(axis=0))


_seen: dict = {}
for _form, _extension, _dtype, _bands, _options in FORMATS:
    _name = f"format {_form} {_dtype} x {_bands}"
    _seen[_name] = _seen.get(_name, 0) + 1
    _suffix = f", {_options[0]}" if _seen[_name] > 1 else ""
    odd(_name + _suffix)(partial(_of_format, _form, _extension, _dtype, _bands, _options))


@odd("format XYZ by hand, rows upwards, with commas")
def _xyz(folder: Path) -> Made:
    values = scene(1, dtype=np.int32)[0]
    lines = [f"{x},{y},{values[y, x]}" for y in reversed(range(values.shape[0])) for x in range(values.shape[1])]
    path = written(folder / "in.csv", "\n".join(["x,y,z", *lines]))
    return Made(path, either=True)


@odd("format XYZ that lacks places")
def _xyz_gaps(folder: Path) -> Made:
    values = scene(1, dtype=np.int32)[0]
    rows, cols = values.shape
    lines = [f"{x} {-y} {values[y, x]}" for y in range(rows) for x in range(cols) if not (5 < x < 9 and 3 < y < 6)]
    return Made(written(folder / "in.xyz", "\n".join(lines)), either=True)


@odd("format AAIGrid, decimal, no data -9999")
def _ascii(folder: Path) -> Made:
    values = with_hole(-9999, 1, np.float64)[0]
    rows, cols = values.shape
    head = f"ncols {cols}\nnrows {rows}\nxllcorner 10.5\nyllcorner 20\ncellsize 2\nNODATA_value -9999\n"
    body = "\n".join(" ".join(f"{value:.2f}" for value in row) for row in values)
    return Made(written(folder / "in.asc", head + body), values != -9999)


@odd("format AAIGrid, different cell sizes, nan")
def _ascii_nan(folder: Path) -> Made:
    values = with_hole(np.nan, 1, np.float64)[0]
    rows, cols = values.shape
    head = f"ncols {cols}\nnrows {rows}\nxllcorner 10.5\nyllcorner 20\ndx 2\ndy 3\nNODATA_value nan\n"
    body = "\n".join(" ".join(f"{value:.2f}" for value in row) for row in values)
    return Made(written(folder / "in.asc", head + body), either=True)


def _netcdf(variables: int, open_one: bool, folder: Path) -> Made:
    """A netCDF by GDAL's multidimensional interface."""
    path = str(folder / "in.nc")
    dataset = driver("netCDF").CreateMultiDimensional(path)
    if dataset is None:
        raise UnavailableError("netCDF has no multidimensional interface")
    group = dataset.GetRootGroup()
    rows = group.CreateDimension("y", None, None, 20)
    cols = group.CreateDimension("x", None, None, 26)
    kind = gdal.ExtendedDataType.Create(gdal.GDT_Int16)
    for number in range(variables):
        array = group.CreateMDArray(f"variable {number}".replace(" ", "_"), [rows, cols], kind)
        array.Write(scene(1, dtype=np.int16, seed=number)[0])
        del array
    del rows, cols, group, dataset
    if open_one:
        return Made(f'NETCDF:"{path}":variable_1', everywhere())
    return Made(path, refused="subdataset")


odd("netCDF of three variables")(partial(_netcdf, 3, False))
odd("netCDF, one of three variables")(partial(_netcdf, 3, True))


def _geopackage(source: Optional[str], folder: Path) -> Made:
    path = str(folder / "in.gpkg")
    for table in ("one", "two"):
        options = [f"RASTER_TABLE={table}", "TILE_FORMAT=PNG"] + (["APPEND_SUBDATASET=YES"] if table == "two" else [])
        dataset = driver("GPKG").CreateCopy(path, in_memory(scene(3)), False, options)
        if dataset is None:
            raise UnavailableError("GPKG cannot hold this")
        dataset.FlushCache()
        del dataset
    if source is None:
        return Made(path, refused="subdataset")
    source = source.format(path)
    return Made(source, _read_as_valid(source))


odd("GeoPackage of two rasters")(partial(_geopackage, None))
odd("GeoPackage, one of two rasters")(partial(_geopackage, "GPKG:{}:two"))


def _pages(number: int, folder: Path) -> Made:
    path = tif(folder, scene(3))
    options = ["APPEND_SUBDATASET=YES"]
    driver("GTiff").CreateCopy(path, in_memory(scene(2, 14, 17, np.uint16)), False, options).FlushCache()
    return Made(f"GTIFF_DIR:{number}:{path}", everywhere(*((20, 26), (14, 17))[number - 1]))


odd("GeoTIFF of two pages, the first")(partial(_pages, 1))
odd("GeoTIFF of two pages, the second")(partial(_pages, 2))


@odd("GeoTIFF of two pages")
def _two_pages(folder: Path) -> Made:
    return Made(_pages(1, folder).source.split(":", 2)[2], everywhere())


@odd("vector file")
def _vector(folder: Path) -> Made:
    text = '{"type":"FeatureCollection","features":[{"type":"Feature","properties":{},"geometry":null}]}'
    return Made(written(folder / "in.geojson", text), refused="cannot be opened")
