# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments as polygons with their statistics: outlines put together to geometries and written by OGR."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from osgeo import ogr

from ..errors import SegmentationError, why
from ..files.attribute_table import BAND_STATISTICS
from ..files.field_names import is_shapefile
from ..files.formats import POLYGONS
from ..files.gdal_access import collected_errors, configured, open_raster, reason
from ..files.georeference import geotransform, spatial_reference
from ..files.output_files import Output
from ..files.raster import Raster
from ..files.stored import Rows
from ..files.tables import Column, create_fields, layer_name, parts
from ..files.vector_trial import check_columns, check_place
from ..files.verification import verify_features
from ..progress import Advance, Check
from .outlines import SEGMENTS_AT_A_TIME, Rings

OPTIONS = {"OGR_SQLITE_SYNCHRONOUS": "OFF", "SHAPE_ENCODING": "UTF-8"}
Simplify = Callable[[np.ndarray, np.ndarray, np.ndarray], Tuple[np.ndarray, np.ndarray]]
OWN_COLUMNS = ("segment", "pixels")


@dataclass(frozen=True)
class Polygons:
    """What is written as polygons.

    rings : of all segments
    ids, sizes : of the segments, in the order of the rings' owners
    columns : of the statistics, a row a segment
    simplify : function (offsets, corners, flags) -> (offsets, corners), see `kernels.simplify_rings`; or None
    """

    rings: Rings
    ids: Rows
    sizes: Rows
    columns: Sequence[Column]
    simplify: Optional[Simplify] = None

    def every_column(self) -> List[Column]:
        """The columns with those of our own before them."""
        own = self.ids, self.sizes
        return [*(Column(name, values) for name, values in zip(OWN_COLUMNS, own)), *self.columns]


def check_polygon_file(output: Output, grid: Raster, bands: int, others: int = 0) -> None:
    """Refuse polygons that their format cannot hold, before anything is done.

    Parameters
    ----------
    grid : whose georeferencing is used
    bands : how many have statistics
    others : how many columns there are besides these
    """
    driver = POLYGONS.driver_of(output.path, output.name)
    check_columns(output.name, output.path, driver, len(OWN_COLUMNS) + bands * len(BAND_STATISTICS) + others)
    check_place(output.name, output.path, driver, grid.path, output.assign_crs)


def write_polygons(output: Output, grid: Raster, polygons: Polygons, advance: Advance, check_cancelled: Check) -> None:
    """Write one polygon a segment, in the order of the ids; a segment in several parts is a multipolygon.

    Parameters
    ----------
    grid : whose georeferencing is used
    advance : called with the fraction that is done
    check_cancelled : called often; raises what ends the run

    Raises
    ------
    SegmentationError : they cannot be written
    """
    path, ids = output.path, polygons.ids
    driver = POLYGONS.driver_of(path, output.name)
    source = open_raster(grid.path)
    crs, transform = spatial_reference(source, output.assign_crs), geotransform(source, grid.origin)
    numbered = driver in ("GPKG", "SQLite")
    with collected_errors() as messages, configured(OPTIONS):
        made = Path(path).with_suffix(".shp") if is_shapefile(path) else Path(path)  # OGR makes no .SHP
        dataset = ogr.GetDriverByName(driver).CreateDataSource(str(made))
        kind = ogr.wkbMultiPolygon if polygons.rings.parts > 1 else ogr.wkbPolygon
        layer = None if dataset is None else dataset.CreateLayer(layer_name(path), crs, kind)
        written = 0
        try:
            if layer is not None:
                create_fields(layer, polygons.every_column(), path)
                layer.StartTransaction()
                written = _add_all(layer, polygons, transform, numbered, advance, check_cancelled)
                if written == ids.size:
                    layer.CommitTransaction()
        finally:
            del layer, dataset  # while its folder is still there, and what OGR says is collected
    if messages or written < ids.size:
        raise SegmentationError(
            f"{output.name} {Path(path).name} cannot be written ({reason(messages)}): make room, or choose another."
        )
    try:
        made.replace(path)
    except OSError as error:
        raise SegmentationError(
            f"{output.name} {Path(path).name} cannot be written ({why(error)}): make room, or choose another."
        ) from error
    verify_features(str(path), ids.size, output.name, int(ids[ids.size - 1 : ids.size][0]) if numbered else None)


def _add_all(
    layer: ogr.Layer,
    polygons: Polygons,
    transform: Sequence[float],
    numbered: bool,
    advance: Advance,
    check_cancelled: Check,
) -> int:
    """Add the polygons to a layer, until one cannot be; how many were added.

    Parameters
    ----------
    numbered : whether each gets its segment's id as its own
    """
    rows = (row for part in parts(polygons.every_column(), check_cancelled) for row in part)
    multiple = layer.GetGeomType() == ogr.wkbMultiPolygon
    total, written = polygons.ids.size, 0
    for first in range(0, total, SEGMENTS_AT_A_TIME):
        advance(first / total)
        end = min(first + SEGMENTS_AT_A_TIME, total)
        for geometry in geometries(polygons.rings, first, end, transform, multiple, polygons.simplify):
            written += _add(layer, geometry, next(rows), numbered)
        if written < end:
            break
    return written


def _add(layer: ogr.Layer, geometry: bytes, row: Sequence[Any], numbered: bool) -> bool:
    """Add a polygon to a layer; whether that could be done."""
    feature = ogr.Feature(layer.GetLayerDefn())
    if numbered:
        feature.SetFID(row[0])
    feature.SetGeometryDirectly(ogr.CreateGeometryFromWkb(geometry))
    for index, value in enumerate(row):
        if value is not None:
            feature.SetField(index, value)
    return bool(layer.CreateFeature(feature) == ogr.OGRERR_NONE)


def geometries(
    rings: Rings, first: int, end: int, transform: Sequence[float], multiple: bool, simplify: Optional[Simplify]
) -> Iterator[bytes]:
    """The geometries of the segments at places first..end, as WKB.

    Parameters
    ----------
    transform : as GDAL's geotransform
    multiple : whether all are multipolygons
    simplify : see `Polygons`
    """
    owners, outer, offsets, corners, flags = rings.range(first, end)
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


def _parts(low: int, count: int, high: int, corners: np.ndarray, offsets: np.ndarray) -> List[List[int]]:
    """Each outer ring of a segment with its holes: a hole belongs to the smallest outer ring round it.

    Parameters
    ----------
    low, high : the segment's rings are low..high, of which the first `count` are outer ones
    corners, offsets : of all rings
    """
    parts = [[ring] for ring in range(low, low + count)]
    rings = [corners[offsets[ring] : offsets[ring + 1]].astype(np.float64) for ring in range(low, high)]
    boxes = np.array([np.concatenate([ring.min(axis=0), ring.max(axis=0)]) for ring in rings[:count]])
    areas = np.array([_area(ring) for ring in rings[:count]])
    for hole in range(low + count, high):
        ring = rings[hole - low]
        point = (ring[0] + ring[1]) / 2  # a side is on the border of one ring of the segment only
        near = np.flatnonzero((boxes[:, :2] <= point).all(axis=1) & (boxes[:, 2:] >= point).all(axis=1))
        around = [part for part in near if _contains(rings[part], point)]
        parts[min(around, key=lambda part: areas[part])].append(hole)
    return parts


def _area(ring: np.ndarray) -> float:
    rows, cols = ring.T
    return float(abs(np.dot(rows, np.roll(cols, 1)) - np.dot(cols, np.roll(rows, 1)))) / 2


def _contains(ring: np.ndarray, point: np.ndarray) -> bool:
    """Whether a point that is on none of its sides lies in a ring."""
    following = np.roll(ring, -1, axis=0)
    crossing = (ring[:, 0] > point[0]) != (following[:, 0] > point[0])
    a, b = ring[crossing], following[crossing]
    cols = a[:, 1] + (point[0] - a[:, 0]) / (b[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    return bool(np.count_nonzero(cols > point[1]) % 2)
