# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a vector format can hold what is to be written, tried on one polygon in memory before a run."""

import math
import uuid
from pathlib import Path
from typing import List, Optional, Sequence

from osgeo import gdal, ogr, osr

from ..errors import SegmentationError
from .gdal_access import collected_errors, configured, open_raster, reason
from .georeference import geotransform, polygon_of_windows, spatial_reference
from .window import Window

MOST_COLUMNS = {"GPKG": 1998, "SQLite": 1997, "ESRI Shapefile": 255}  # SQLite has 2000, with the formats' own
TOLERANCE = 0.1  # pixels that a polygon may come back off its place


def check_columns(name: str, path: str, driver: str, columns: int) -> None:
    """Refuse a vector layer or table with more columns than its format can have.

    Parameters
    ----------
    driver : OGR's name of the format
    columns : besides those of the format itself
    """
    most = MOST_COLUMNS.get(driver)
    if most is not None and columns > most:
        raise SegmentationError(
            f"{name} {path} would have {columns} columns, and its format holds {most}: choose fewer BANDS or "
            "statistics, or another format such as .fgb for polygons and .csv for tables."
        )


def check_place(name: str, path: str, driver: str, grid: str, assign_crs: str = "") -> None:
    """Refuse a vector format in which polygons would not lie where they lie on the raster.

    Parameters
    ----------
    driver : OGR's name of the format
    grid : the raster
    assign_crs : WKT, empty for the raster's
    """
    raster = open_raster(grid)
    crs = osr.SpatialReference(wkt=assign_crs) if assign_crs else spatial_reference(raster)
    transform = geotransform(raster)
    with collected_errors():
        wkb = polygon_of_windows([Window(0, 0, raster.RasterXSize, raster.RasterYSize)], transform)
    folder = f"/vsimem/tiledseg-{uuid.uuid4().hex}"
    gdal.Mkdir(folder, 0o755)
    try:
        found = _there_and_back(f"{folder}/trial{Path(path).suffix.lower()}", driver, crs, wkb, name, path)
    finally:
        with collected_errors():
            gdal.RmdirRecursive(folder)
    if found is None or crs is None:
        return  # a format without places, or a raster that has none
    if not _same_place(found, crs, wkb, _pixel(transform)):
        raise SegmentationError(
            f"{name} {path} cannot hold the coordinate reference system '{crs.GetName() or 'unknown'}': choose .gpkg."
        )


def _pixel(transform: Sequence[float]) -> float:
    return min(math.hypot(transform[1], transform[4]), math.hypot(transform[2], transform[5]))


def _there_and_back(
    trial: str, driver: str, crs: Optional[osr.SpatialReference], wkb: bytes, name: str, path: str
) -> Optional[ogr.Geometry]:
    """The polygon with its CRS as it is read from a file of that format; None where that holds no polygons."""
    with collected_errors() as messages, configured({"SHAPE_ENCODING": "UTF-8"}):
        dataset = ogr.GetDriverByName(driver).CreateDataSource(trial)
        layer = None if dataset is None else dataset.CreateLayer("trial", crs, ogr.wkbPolygon)
        written = layer is not None and layer.CreateField(ogr.FieldDefn("segment", ogr.OFTInteger)) == 0
        if layer is not None and written:
            feature = ogr.Feature(layer.GetLayerDefn())
            feature.SetField(0, 1)
            feature.SetGeometryDirectly(ogr.CreateGeometryFromWkb(wkb))
            written = layer.CreateFeature(feature) == 0
            del feature
        del layer, dataset
    if not written:
        raise SegmentationError(
            f"{name} {path} cannot be written, as its format does not take polygons with numbers "
            f"({reason(messages)}): choose .gpkg."
        )
    with collected_errors():
        dataset = gdal.OpenEx(trial, gdal.OF_VECTOR)
        layer = None if dataset is None or not dataset.GetLayerCount() else dataset.GetLayer(0)
        feature = None if layer is None else layer.GetNextFeature()
        geometry = None if feature is None else feature.GetGeometryRef()
        geometry = None if geometry is None else geometry.Clone()
        if geometry is not None and geometry.GetSpatialReference() is not None:
            geometry.AssignSpatialReference(geometry.GetSpatialReference().Clone())
        del feature, layer, dataset
    return geometry


def _same_place(found: ogr.Geometry, crs: osr.SpatialReference, wkb: bytes, pixel: float) -> bool:
    """Whether a polygon lies where it should, or does when it is taken to where it should lie."""
    read = found.GetSpatialReference()
    if read is None:
        return False
    with collected_errors():
        if not _same_system(read, crs):
            expected = crs.Clone()
            for system in (read, expected):
                system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
            change = osr.CreateCoordinateTransformation(read, expected)
            if change is None or found.Transform(change) != 0:
                return False
    there, back = (_corners(geometry) for geometry in (ogr.CreateGeometryFromWkb(wkb), found))
    return len(there) == len(back) and all(
        min(math.dist(point, other) for other in back) <= TOLERANCE * pixel for point in there
    )


def _corners(geometry: ogr.Geometry) -> List[Sequence[float]]:
    while geometry.GetGeometryCount():
        geometry = geometry.GetGeometryRef(0)
    return [point[:2] for point in geometry.GetPoints() or []]


def _same_system(one: osr.SpatialReference, other: osr.SpatialReference) -> bool:
    options = ["IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES", "CRITERION=EQUIVALENT", "IGNORE_COORDINATE_EPOCH=YES"]
    return bool(one.IsSame(other, options)) or one.ExportToProj4() == other.ExportToProj4() != ""
