# SPDX-License-Identifier: GPL-2.0-or-later
"""The set of odd rasters: a name, how each is made, and what must become of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import numpy as np
from osgeo import gdal, gdal_array, osr

ROWS, COLS = 20, 26
HOLE = (slice(0, 7), slice(0, 9))  # where a raster with no data has it
GEOTRANSFORM = (500000.0, 10.0, 0.0, 6000000.0, 0.0, -10.0)


class UnavailableError(Exception):
    """This GDAL cannot make such a file; says what is missing."""


@dataclass(frozen=True)
class Made:
    """A raster and what must become of it.

    source : what is given as INPUT
    valid : (rows, cols) bool, where segments must be; None where the file is refused, or GDAL's mask decides
    refused : words that the sentence of the refusal holds, in lower case; empty where it is segmented
    either : GDAL's versions and decoders differ in whether they read it: right or refused, but no fault
    """

    source: str
    valid: Optional[np.ndarray] = None
    refused: str = ""
    either: bool = False


Maker = Callable[[Path], Made]
MAKERS: Dict[str, Maker] = {}


def odd(name: str) -> Callable[[Maker], Maker]:
    """Enter a function that makes a raster in a folder of its own under a name."""

    def enter(maker: Maker) -> Maker:
        if name in MAKERS:
            raise ValueError(f"two odd rasters are called {name}")
        MAKERS[name] = maker
        return maker

    return enter


def scene(bands: int = 3, rows: int = ROWS, cols: int = COLS, dtype: Any = np.uint8, seed: int = 0) -> np.ndarray:
    """Patches with some noise, of values from 1 to 124: (bands, rows, cols)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(1, 120, (bands, -(-rows // 5), -(-cols // 5)))
    patches = np.kron(coarse, np.ones((5, 5), int))[:, :rows, :cols]
    return (patches + rng.integers(0, 5, (bands, rows, cols))).astype(dtype)


def everywhere(rows: int = ROWS, cols: int = COLS) -> np.ndarray:
    return np.ones((rows, cols), bool)


def outside_hole(rows: int = ROWS, cols: int = COLS) -> np.ndarray:
    valid = everywhere(rows, cols)
    valid[HOLE] = False
    return valid


def wkt(crs: str = "EPSG:32630") -> str:
    reference = osr.SpatialReference()
    reference.SetFromUserInput(crs)
    return reference.ExportToWkt()


def driver(name: str) -> gdal.Driver:
    """A driver that makes rasters, or UnavailableError."""
    found = gdal.GetDriverByName(name)
    if found is None or not (found.GetMetadataItem("DCAP_CREATE") or found.GetMetadataItem("DCAP_CREATECOPY")):
        raise UnavailableError(f"no driver {name}")
    return found


def gdal_type(dtype: Any) -> int:
    return gdal_array.NumericTypeCodeToGDALTypeCode(np.dtype(dtype).type)


def create(path: Any, values: np.ndarray, options: Any = (), form: str = "GTiff", kind: Optional[int] = None):
    """A georeferenced raster of (bands, rows, cols) values that is still open."""
    bands, rows, cols = values.shape
    if kind is None:
        kind = gdal_type(values.dtype)
    dataset = driver(form).Create(str(path), cols, rows, bands, kind, list(options))
    if dataset is None:
        raise UnavailableError(f"{form} cannot hold this")
    dataset.SetGeoTransform(GEOTRANSFORM)
    dataset.SetProjection(wkt())
    for index, band in enumerate(values):
        dataset.GetRasterBand(index + 1).WriteArray(band)
    return dataset


def tif(folder: Path, values: np.ndarray, nodata: Any = None, options: Any = (), name: str = "in.tif") -> str:
    """A GeoTIFF: its path."""
    dataset = create(folder / name, values, options)
    if nodata is not None:
        for index in range(values.shape[0]):
            dataset.GetRasterBand(index + 1).SetNoDataValue(nodata)
    dataset.FlushCache()
    return str(folder / name)


def in_memory(values: np.ndarray) -> gdal.Dataset:
    """A dataset to copy from."""
    return create("", values, form="MEM")


def written(path: Any, text: str) -> str:
    Path(path).write_text(text, encoding="utf-8")
    return str(path)


def with_hole(value: Any, bands: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    """A scene with a value in its hole."""
    values = scene(bands, dtype=dtype)
    values[(slice(None), *HOLE)] = value
    return values
