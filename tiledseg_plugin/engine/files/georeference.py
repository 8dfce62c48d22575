# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a raster's pixels lie on the map: one rule for all that is read, aligned and written.

A geotransform counts where there is one; else ground control points are approximated; else there is no georeference.
"""

import os
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from osgeo import gdal, ogr, osr

from .window import Window

Origin = Tuple[int, int]  # column and row
WHOLE = (0, 0)
IDENTITY = (0.0, 1.0, 0.0, 0.0, 0.0, 1.0)  # GDAL's way to say that there is none; some formats keep it, some do not
SENSOR_MODELS = ("RPC", "GEOLOCATION")  # domains of metadata
LOCATION_FILES = ("X_DATASET", "Y_DATASET")  # of GEOLOCATION
EXCLUSIVE = ("GTiff", "COG")  # hold a geotransform or ground control points, never both


def geotransform(dataset: gdal.Dataset, origin: Origin = WHOLE) -> Tuple[float, ...]:
    """The six numbers from pixels to map coordinates.

    Ground control points are approximated. A raster with neither lies where QGIS shows it: its upper left corner at
    0, 0, pixels of size 1, downwards.

    Parameters
    ----------
    origin : column and row at which the part begins whose pixels are meant
    """
    found = _own_geotransform(dataset)
    if found is None and dataset.GetGCPCount():
        found = gdal.GCPsToGeoTransform(dataset.GetGCPs())
    return _from(tuple(found) if found is not None else (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), origin)


def _from(transform: Sequence[float], origin: Origin) -> Tuple[float, ...]:
    """The geotransform of the part of a raster that begins at a column and row."""
    (col, row), (x, right_x, down_x, y, right_y, down_y) = origin, transform
    return (
        x + col * right_x + row * down_x,
        right_x,
        down_x,
        y + col * right_y + row * down_y,
        right_y,
        down_y,
    )


def is_georeferenced(dataset: gdal.Dataset) -> bool:
    """Whether `geotransform` is the raster's own, or that of its ground control points."""
    found = _own_geotransform(dataset)
    return (found is not None and tuple(found) != IDENTITY) or bool(dataset.GetGCPCount())


def _own_geotransform(dataset: gdal.Dataset) -> Optional[Sequence[float]]:
    found = dataset.GetGeoTransform(can_return_null=True)
    return None if found is not None and tuple(found) == IDENTITY and dataset.GetGCPCount() else found


def spatial_reference(dataset: gdal.Dataset, assigned: str = "") -> Optional[osr.SpatialReference]:
    """The coordinate system of the raster or of its ground control points; None where it has none.

    Parameters
    ----------
    assigned : WKT of the one that counts instead
    """
    if assigned:
        crs = osr.SpatialReference(wkt=assigned)
        crs.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)  # as the coordinates of all that GDAL reads
        return crs
    crs = dataset.GetSpatialRef() or dataset.GetGCPSpatialRef()
    return crs.Clone() if crs is not None else None


def carry_georeference(source: gdal.Dataset, dataset: gdal.Dataset, assigned: str = "", origin: Origin = WHOLE) -> None:
    """Give a new dataset all by which another, or a part of it, is placed: geotransform, points, CRS and sensor models.

    A GeoTIFF drops its geotransform when it is given ground control points: there the geotransform goes first.

    Parameters
    ----------
    assigned : WKT of a coordinate system instead of the source's
    origin : column and row of the source at which the new one begins
    """
    found = _own_geotransform(source)
    crs = spatial_reference(source, assigned)
    if source.GetGCPCount() and (found is None or dataset.GetDriver().ShortName not in EXCLUSIVE):
        dataset.SetGCPs(_points_from(source, origin), crs if assigned else source.GetGCPSpatialRef())
    if found is not None:
        dataset.SetGeoTransform(_from(found, origin))
    # of points only, the CRS has gone with them; but a geotransform beside them is in it, too
    if crs is not None and (assigned or found is not None or source.GetSpatialRef() is not None):
        dataset.SetSpatialRef(crs)
    for domain in SENSOR_MODELS:
        model = _model_from(domain, source.GetMetadata(domain) or {}, origin)
        if model:
            dataset.SetMetadata(_with_whole_paths(model, source), domain)


def _points_from(source: gdal.Dataset, origin: Origin) -> List[gdal.GCP]:
    """The ground control points, in pixels of the part that begins at a column and row."""
    points = source.GetGCPs()
    for point in points:  # copies
        point.GCPPixel -= origin[0]
        point.GCPLine -= origin[1]
    return points


def _model_from(domain: str, model: Dict[str, str], origin: Origin) -> Dict[str, str]:
    """A sensor model for the pixels of the part that begins at a column and row; empty where it would be wrong."""
    if origin == WHOLE:
        return model
    names = {"RPC": ("SAMP_OFF", "LINE_OFF")}.get(domain, ())
    try:
        moved = {name: repr(float(model[name].split()[0]) - by) for name, by in zip(names, origin)}
    except (KeyError, ValueError, IndexError):
        return {}
    return {**model, **moved} if moved else {}


def keep_geolocation(source: gdal.Dataset, path: str) -> None:
    """Put a GEOLOCATION, which the COG driver leaves out, into the side file of a copy."""
    model = source.GetMetadata("GEOLOCATION")
    if model:
        copy = gdal.Open(path, gdal.GA_ReadOnly)
        if copy is not None:  # else GDAL has said why not, to whoever collects that
            copy.SetMetadata(model, "GEOLOCATION")
            copy.FlushCache()


def _with_whole_paths(model: Dict[str, str], source: gdal.Dataset) -> Dict[str, str]:
    """A sensor model whose files are found from wherever a copy of it lies."""
    whole = dict(model)
    for name in LOCATION_FILES:
        for folder in ("", os.path.dirname(source.GetDescription())):
            path = os.path.join(folder, model.get(name, ""))
            if os.path.isfile(path):
                whole[name] = Path(path).absolute().as_posix()
                break
    return whole


def polygon_of_windows(windows: Sequence[Window], transform: Sequence[float]) -> bytes:
    """The union of windows as a polygon, or multipolygon, in a raster's coordinates: WKB.

    Parameters
    ----------
    transform : the raster's geotransform; with rotation the polygon is rotated, too
    """
    union = ogr.Geometry(ogr.wkbMultiPolygon)
    for window in windows:
        ring = ogr.Geometry(ogr.wkbLinearRing)
        for col, row in (
            (window.col, window.row),
            (window.right, window.row),
            (window.right, window.bottom),
            (window.col, window.bottom),
            (window.col, window.row),
        ):
            ring.AddPoint_2D(float(col), float(row))
        part = ogr.Geometry(ogr.wkbPolygon)
        part.AddGeometry(ring)
        union.AddGeometry(part)
    union = union.UnionCascaded() if len(windows) > 1 else union.GetGeometryRef(0).Clone()
    _place(union, transform)
    return bytes(union.ExportToWkb(ogr.wkbNDR))


def _place(geometry: ogr.Geometry, transform: Sequence[float]) -> None:
    if geometry.GetGeometryCount():
        for i in range(geometry.GetGeometryCount()):
            _place(geometry.GetGeometryRef(i), transform)
        return
    for i, (col, row) in enumerate(point[:2] for point in geometry.GetPoints()):
        geometry.SetPoint_2D(i, *gdal.ApplyGeoTransform(transform, col, row))
