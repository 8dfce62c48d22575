# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments as polygons with their statistics: outlines put together to geometries and written by OGR."""

import struct
from pathlib import Path

import numpy as np
from osgeo import ogr

from ..errors import SegmentationError
from ..files.attribute_table import BAND_STATISTICS
from ..files.field_names import is_shapefile
from ..files.gdal_access import collected_errors, configured, open_raster, reason
from ..files.georeference import geotransform, spatial_reference
from ..files.raster import Raster
from ..files.tables import Column, create_fields, layer_name, parts
from ..files.vector_trial import check_columns, check_place
from ..files.verification import verify_features
from .outlines import SEGMENTS_AT_A_TIME

DRIVERS = {
    ".gpkg": "GPKG",
    ".fgb": "FlatGeobuf",
    ".shp": "ESRI Shapefile",
    ".geojson": "GeoJSON",
    ".json": "GeoJSON",
    ".sqlite": "SQLite",
    ".gml": "GML",
    ".parquet": "Parquet",
}
OWN_COLUMNS = ("segment", "pixels")


def vector_driver(path, name="POLYGONS"):
    """The OGR driver for a vector file's extension.

    Raises
    ------
    SegmentationError : the extension is none of ours, or this GDAL has no driver for it
    """
    extension = Path(path).suffix.lower()
    driver = ogr.GetDriverByName(DRIVERS[extension]) if extension in DRIVERS else None
    if driver is None:
        raise SegmentationError(f"{name} {path} has the extension '{extension}', which cannot be written: use .gpkg.")
    return driver


def check_vector(path: str, name: str, grid: Raster, bands: int, assign_crs: str = "") -> None:
    """Refuse polygons that their format cannot hold, before anything is done.

    Parameters
    ----------
    grid : whose georeferencing is used
    bands : how many have statistics
    assign_crs : WKT, empty for the grid's
    """
    driver = vector_driver(path, name).GetName()
    check_columns(name, path, driver, len(OWN_COLUMNS) + bands * len(BAND_STATISTICS))
    check_place(name, path, driver, grid.path, assign_crs)


def write_polygons(path, grid, rings, attributes, columns, simplify, assign_crs, advance, check, name="POLYGONS"):
    """Write one polygon a segment, in the order of the ids; a segment in several parts is a multipolygon.

    Parameters
    ----------
    grid : Raster, whose georeferencing is used
    rings : outlines.Rings
    columns : Columns of the statistics, a row a segment
    simplify : function (offsets, corners, flags) -> (offsets, corners), or None
    assign_crs : WKT, empty for the grid's
    advance, check : called with the fraction that is done; called often, raises what ends the run
    name : id of the parameter, for messages
    """
    driver = vector_driver(path)
    source = open_raster(grid.path)
    crs, transform = spatial_reference(source, assign_crs), geotransform(source)
    multiple = rings.parts > 1
    own = zip(OWN_COLUMNS, (attributes.ids.astype(np.int64), attributes.sizes))
    columns = [*(Column(column, values) for column, values in own), *columns]
    total = attributes.ids.size
    numbered = driver.GetName() in ("GPKG", "SQLite")
    options = {"OGR_SQLITE_SYNCHRONOUS": "OFF", "SHAPE_ENCODING": "UTF-8"}
    written = 0
    with collected_errors() as messages, configured(options):
        made = Path(path).with_suffix(".shp") if is_shapefile(path) else Path(path)  # OGR makes no .SHP
        dataset = driver.CreateDataSource(str(made))
        kind = ogr.wkbMultiPolygon if multiple else ogr.wkbPolygon
        layer = None if dataset is None else dataset.CreateLayer(layer_name(path), crs, kind)
        if layer is not None:
            create_fields(layer, columns, path)
            layer.StartTransaction()
            rows = (row for part in parts(columns, check) for row in part)
            for first in range(0, total, SEGMENTS_AT_A_TIME):
                advance(first / total)
                end = min(first + SEGMENTS_AT_A_TIME, total)
                for geometry in geometries(rings, first, end, transform, multiple, simplify):
                    written += _add(layer, geometry, next(rows), numbered)
                if written < end:
                    break
            if written == total:
                layer.CommitTransaction()
        del layer, dataset
    if messages or written < total:
        raise SegmentationError(
            f"{name} {Path(path).name} cannot be written ({reason(messages)}): make room, or choose another."
        )
    made.replace(path)
    verify_features(str(path), total, name, int(attributes.ids[-1]) if numbered else None)


def _add(layer, geometry, row, numbered):
    feature = ogr.Feature(layer.GetLayerDefn())
    if numbered:
        feature.SetFID(row[0])
    feature.SetGeometryDirectly(ogr.CreateGeometryFromWkb(geometry))
    for index, value in enumerate(row):
        if value is not None:
            feature.SetField(index, value)
    return layer.CreateFeature(feature) == ogr.OGRERR_NONE


def geometries(rings, first, end, transform, multiple, simplify):
    """The geometries of the segments at places first..end, as WKB."""
    chosen, offsets, corners, flags = rings.range(first, end)
    owners, outer = rings.owners[chosen], rings.outer[chosen]
    if simplify is not None:
        offsets, simple = simplify(offsets, corners, flags)
    else:
        simple = corners
    rows, cols = simple[:, 0].astype(np.float64), simple[:, 1].astype(np.float64)
    x0, xc, xr, y0, yc, yr = transform
    points = np.stack([x0 + cols * xc + rows * xr, y0 + cols * yc + rows * yr], axis=1)
    wkb = []
    for low, high in zip(offsets[:-1].tolist(), offsets[1:].tolist()):
        ring = points[low:high].tobytes()
        wkb.append(struct.pack("<I", high - low + 1) + ring + ring[:16])
    bounds = np.searchsorted(owners, np.arange(first, end + 1)).tolist()
    counts = np.add.reduceat(outer.astype(np.int64), bounds[:-1]) if bounds[-1] else []
    for low, high, outer_count in zip(bounds, bounds[1:], counts):
        if outer_count == 1:
            polygon = struct.pack("<BII", 1, ogr.wkbPolygon, high - low) + b"".join(wkb[low:high])
            yield struct.pack("<BII", 1, ogr.wkbMultiPolygon, 1) + polygon if multiple else polygon
        else:
            members = _parts(low, int(outer_count), high, simple, offsets)
            polygons = [
                struct.pack("<BII", 1, ogr.wkbPolygon, len(part)) + b"".join(wkb[i] for i in part) for part in members
            ]
            yield struct.pack("<BII", 1, ogr.wkbMultiPolygon, len(polygons)) + b"".join(polygons)


def _parts(low, count, high, corners, offsets):
    """Each outer ring with its holes: a hole belongs to the smallest outer ring round it."""
    parts = [[ring] for ring in range(low, low + count)]
    outlines = [corners[offsets[ring] : offsets[ring + 1]].astype(np.float64) for ring in range(low, high)]
    boxes = np.array([np.concatenate([ring.min(axis=0), ring.max(axis=0)]) for ring in outlines[:count]])
    areas = np.array([_area(ring) for ring in outlines[:count]])
    for hole in range(low + count, high):
        ring = outlines[hole - low]
        point = (ring[0] + ring[1]) / 2  # a side is on the border of one ring of the segment only
        around = np.flatnonzero((boxes[:, :2] <= point).all(axis=1) & (boxes[:, 2:] >= point).all(axis=1))
        around = [part for part in around if _contains(outlines[part], point)]
        parts[min(around, key=lambda part: areas[part])].append(hole)
    return parts


def _area(ring):
    rows, cols = ring.T
    return abs(np.dot(rows, np.roll(cols, 1)) - np.dot(cols, np.roll(rows, 1))) / 2


def _contains(ring, point):
    """Whether a point that is on none of its sides lies in a ring."""
    following = np.roll(ring, -1, axis=0)
    crossing = (ring[:, 0] > point[0]) != (following[:, 0] > point[0])
    a, b = ring[crossing], following[crossing]
    cols = a[:, 1] + (point[0] - a[:, 0]) / (b[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    return bool(np.count_nonzero(cols > point[1]) % 2)
