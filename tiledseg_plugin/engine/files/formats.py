# SPDX-License-Identifier: GPL-2.0-or-later
"""The formats of outputs: for each kind of output a table of drivers by extension."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict

from osgeo import gdal

from ..errors import SegmentationError

COG = ".cog.tif"


@dataclass(frozen=True)
class Formats:
    """What outputs of one kind may be written as.

    drivers : GDAL's name of the driver by extension, which is in lower case
    everywhere : extensions that every GDAL can write, for messages
    """

    drivers: Dict[str, str]
    everywhere: str

    def driver_of(self, path: str, name: str) -> str:
        """GDAL's name of the driver that writes a file.

        Parameters
        ----------
        name : id of the parameter, for messages

        Raises
        ------
        SegmentationError : the extension is none of ours, or this GDAL has no driver for it
        """
        extension = Path(path).suffix.lower()
        if extension not in self.drivers:
            raise SegmentationError(f"{name} {path} ends in '{extension}': use one of {', '.join(self.drivers)}.")
        driver = self.drivers[extension]
        if gdal.GetDriverByName(driver) is None:
            raise SegmentationError(f"This GDAL has no {driver} driver for {name} {path}: use {self.everywhere}.")
        return driver


RASTERS = Formats({".tif": "GTiff", ".tiff": "GTiff", ".img": "HFA", ".kea": "KEA"}, ".tif or .img")
TABLES = Formats({".gpkg": "GPKG", ".csv": "CSV", ".parquet": "Parquet"}, ".gpkg or .csv")
POLYGONS = Formats(
    {
        ".gpkg": "GPKG",
        ".fgb": "FlatGeobuf",
        ".shp": "ESRI Shapefile",
        ".geojson": "GeoJSON",
        ".json": "GeoJSON",
        ".sqlite": "SQLite",
        ".gml": "GML",
        ".parquet": "Parquet",
    },
    ".gpkg",
)


def is_cog(path: str) -> bool:
    """Whether a raster is to be a cloud optimized GeoTIFF: its name ends in `.cog.tif`."""
    return str(path).lower().endswith(COG)


def format_of(path: str, name: str = "OUTPUT") -> str:
    """GDAL's name of the format of a raster output, whose creation options count: GTiff, HFA, KEA or COG.

    A cloud optimized GeoTIFF is first written as a plain one, and then copied.

    Parameters
    ----------
    name : id of the parameter, for messages

    Raises
    ------
    SegmentationError : the extension is none of ours, or this GDAL has no driver for it
    """
    driver = RASTERS.driver_of(path, name)
    if not is_cog(path):
        return driver
    if gdal.GetDriverByName("COG") is None:
        raise SegmentationError(f"This GDAL has no COG driver for {name} {path}: use another name that ends in .tif.")
    return "COG"
