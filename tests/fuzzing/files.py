# SPDX-License-Identifier: GPL-2.0-or-later
"""The raster file of a case, and what a reader of its declarations must make of it.

The "file" of a case is {"holes", "holes_seed", "nodata", "mask", "layout", "order", "vrt", "vrt_nodata",
"georeference"}:

holes : how pixels without data are spread, or ""; what they hold is "fill": a number, "nan" or "inf"
nodata : the declared value, "nan", or None
mask : "", "internal", "file" or "alpha" (a band behind all others)
layout : GDAL creation options
order : the image's band that is in each band of the file
vrt : whether a VRT stands before the file; vrt_nodata : per band what it declares instead, or None
georeference : a key of GEOREFERENCES; north up where it is not named
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional

import numpy as np
from osgeo import gdal, gdal_array
from rasters import GEOTRANSFORM

from .images import make

GEOREFERENCES = {
    "north up": GEOTRANSFORM,
    "south up": (*GEOTRANSFORM[:5], 10.0),
    "rotated": (GEOTRANSFORM[0], 8.0, 6.0, GEOTRANSFORM[3], 6.0, -8.0),
    "rotated, south up": (GEOTRANSFORM[0], 8.0, -6.0, GEOTRANSFORM[3], 6.0, 8.0),
}


@dataclass
class Declared:
    """A file as its declarations read: all bands of the file, without an alpha band.

    values : (bands, rows, cols); nodata : per band, None for none; mask : (rows, cols) bool or None
    """

    path: str
    values: np.ndarray
    nodata: List[Optional[float]]
    mask: Optional[np.ndarray]


def number(value):
    """What stands for a number in JSON as that."""
    return float(value) if isinstance(value, str) else value


def geotransform(file):
    """Six numbers, of a case's "file"."""
    return GEOREFERENCES[file.get("georeference", "north up")]


def write(case, folder):
    """Write the raster of a case: Declared."""
    file, values = case["file"], make(case["image"])
    empty = holes(file, values.shape[1:])
    if file["fill"] is not None:
        for band in range(len(values)):
            own = empty if not file["fill_some"] else empty & holes({**file, "holes_seed": band}, empty.shape)
            values[band][own] = np.asarray(number(file["fill"])).astype(values.dtype)
    values = values[file["order"]]
    mask = ~empty if file["mask"] else None
    path = str(Path(folder) / "in.tif")
    _write_tiff(path, values, mask, file)
    nodata = [None if file["nodata"] is None else number(file["nodata"])] * len(values)
    if file["vrt"]:
        path, nodata = _write_vrt(path, file, nodata)
    return Declared(path, values, nodata, mask)


def holes(file, shape):
    """(rows, cols) bool, the pixels that are to have no data."""
    rng = np.random.default_rng(file["holes_seed"])
    empty = np.zeros(shape, bool)
    kind = file["holes"]
    if isinstance(kind, list):
        return np.array(kind, bool)
    if kind == "pixels":
        empty = rng.random(shape) < rng.choice([0.02, 0.2, 0.6, 0.97])
    elif kind == "block":
        top, left = (int(rng.integers(side)) for side in shape)
        empty[top : top + 1 + int(rng.integers(shape[0])), left : left + 1 + int(rng.integers(shape[1]))] = True
    elif kind == "slanted":
        rows, cols = np.indices(shape)
        empty = rows * rng.uniform(-2, 2) + cols > rng.uniform(0, shape[1])
    elif kind == "line":
        empty[shape[0] // 2] = True
        empty[:, shape[1] // 3] = True
    elif kind == "all":
        empty[:] = True
    return empty


def _write_tiff(path, values, mask, file):
    bands, rows, cols = values.shape
    alpha = file["mask"] == "alpha"
    options = [*file["layout"], "PHOTOMETRIC=MINISBLACK", "ALPHA=NO"]
    kind = gdal_array.NumericTypeCodeToGDALTypeCode(values.dtype)
    gdal.SetConfigOption("GDAL_TIFF_INTERNAL_MASK", "YES" if file["mask"] == "internal" else "NO")
    dataset = gdal.GetDriverByName("GTiff").Create(path, cols, rows, bands + alpha, kind, options)
    dataset.SetGeoTransform(geotransform(file))
    if alpha:
        dataset.GetRasterBand(bands + 1).SetColorInterpretation(gdal.GCI_AlphaBand)
    if file["nodata"] is not None:
        for band in range(bands):
            _declare(dataset.GetRasterBand(band + 1), number(file["nodata"]))
    for band, plane in enumerate(values):
        dataset.GetRasterBand(band + 1).WriteArray(plane)
    if alpha:
        dataset.GetRasterBand(bands + 1).WriteArray(np.where(mask, np.iinfo(values.dtype).max, 0).astype(values.dtype))
    elif mask is not None:
        dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
        dataset.GetRasterBand(1).GetMaskBand().WriteArray(mask.astype(np.uint8) * 255)
    dataset.FlushCache()
    dataset = None
    gdal.SetConfigOption("GDAL_TIFF_INTERNAL_MASK", None)


def _declare(band, nodata):
    wide = band.DataType in (getattr(gdal, "GDT_Int64", -1), getattr(gdal, "GDT_UInt64", -1))
    band.SetNoDataValue(int(nodata) if wide else float(nodata))


def _write_vrt(path, file, nodata):
    target = path[:-4] + ".vrt"
    dataset = gdal.Translate(target, path, format="VRT")
    if file["vrt_nodata"] is not None:
        nodata = [None if value is None else number(value) for value in file["vrt_nodata"]]
        for band, value in enumerate(nodata):
            dataset.GetRasterBand(band + 1).DeleteNoDataValue()
            if value is not None:
                _declare(dataset.GetRasterBand(band + 1), value)
    dataset.FlushCache()
    return target, nodata


def as_json(case):
    """A case as it is kept: one line."""
    return json.dumps(case, separators=(", ", ": "))
