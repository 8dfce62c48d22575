# SPDX-License-Identifier: GPL-2.0-or-later
"""Tiles of the user's own: polygons in any coordinate system as rectangles of a raster's pixels."""

import math
from functools import cached_property
from typing import Any, Iterable, Iterator, Optional, Tuple

from osgeo import gdal, ogr, osr

from ..errors import SegmentationError
from ..files.gdal_access import collected_errors, open_raster
from ..files.georeference import IDENTITY, geotransform, polygon_of_windows, spatial_reference
from ..files.window import Window

PARTS = 128  # an edge is bent so many times at least when it is reprojected
FAR = 5  # times the raster's extent on each side: what lies further off does not count for the extent of a polygon
NOISE = 6  # decimals of a pixel that a coordinate is good for


def rectangles_of(path: str, polygons: Iterable[Any], crs: str, raster_crs: Optional[str] = None) -> Tuple[Window, ...]:
    """The extents of polygons in a raster's pixels, each edge at the nearest edge of a pixel.

    Parameters
    ----------
    path : the raster, anything that GDAL opens
    polygons : WKB, the order counts where polygons overlap
    crs : WKT of the polygons' coordinate system; where it or the raster's is unknown, coordinates are taken as they are
    raster_crs : WKT of the raster's, if not what the file says; empty for unknown

    Returns
    -------
    windows over the raster, in the order of the polygons; those off the raster or thinner than half a pixel are left
    out

    Raises
    ------
    SegmentationError : no polygons, one that is none or is not valid or cannot be reprojected, or none over the raster
    """
    polygons = list(polygons)
    if not polygons:
        raise SegmentationError("TILES has no polygons: choose another layer, or leave it empty for a grid.")
    dataset = open_raster(path)
    raster = Window(0, 0, dataset.RasterXSize, dataset.RasterYSize)
    transform = geotransform(dataset)
    inverse = gdal.InvGeoTransform(transform)
    if inverse is None:
        raise SegmentationError(
            f"{path} has a geotransform without area, so TILES cannot be placed: leave TILES empty."
        )
    with collected_errors():
        reproject = _Reprojection("TILES", (_wkt(dataset, raster_crs), crs), raster, transform)
        extents = (
            _pixel_extent(reproject(_checked(polygon, number), f"Polygon {number} of TILES"), inverse)
            for number, polygon in enumerate(polygons, 1)
        )
        windows = (_snapped(*extent).intersection(raster) for extent in extents if extent is not None)
        found = tuple(window for window in windows if window is not None)
    if not found:
        raise SegmentationError(
            f"None of the {len(polygons)} polygons of TILES lies over {path}: check the layer and both "
            "coordinate systems."
        )
    return found


def polygons_in_pixels(
    path: str, polygons: Iterable[Any], systems: Tuple[str, str], name: str
) -> Tuple[Tuple[int, bytes], ...]:
    """Polygons in a raster's pixels: 0, 0 is the upper left corner of the first one of the file.

    Parameters
    ----------
    path, polygons : see `rectangles_of`
    systems : WKT of the raster's and of the polygons' coordinate system, empty for unknown
    name : id of the parameter, for messages

    Returns
    -------
    of each polygon that lies over the raster, its number, from 1, and WKB

    Raises
    ------
    SegmentationError : as `rectangles_of` does
    """
    polygons = list(polygons)
    dataset = open_raster(path)
    raster, transform = Window(0, 0, dataset.RasterXSize, dataset.RasterYSize), geotransform(dataset)
    inverse = gdal.InvGeoTransform(transform)
    if inverse is None:
        raise SegmentationError(f"{path} has a geotransform without area, so {name} cannot be placed: leave it empty.")
    outline = ogr.CreateGeometryFromWkb(polygon_of_windows([raster], IDENTITY))
    found = []
    with collected_errors():
        reproject = _Reprojection(name, systems, raster, transform)
        for number, polygon in enumerate(polygons, 1):
            placed = reproject(_checked(polygon, number, name), f"Polygon {number} of {name}")
            if placed is None:
                continue
            placed = _in_pixels(placed, inverse)
            if placed.Intersects(outline):
                found.append((number, bytes(placed.ExportToWkb())))
    if not found:
        raise SegmentationError(f"No polygon of {name} lies over {path}: check the layer and both coordinate systems.")
    return tuple(found)


def _in_pixels(geometry: ogr.Geometry, inverse: Tuple[float, ...]) -> ogr.Geometry:
    """A copy in pixels."""
    copy = geometry.Clone()
    parts = [copy]
    while parts:
        part = parts.pop()
        parts += [part.GetGeometryRef(index) for index in range(part.GetGeometryCount())]
        for index in range(part.GetPointCount() if not part.GetGeometryCount() else 0):
            part.SetPoint_2D(index, *gdal.ApplyGeoTransform(inverse, part.GetX(index), part.GetY(index)))
    return copy


def window_of_extent(
    path: str, extent: Tuple[float, float, float, float], crs: str, raster_crs: Optional[str] = None
) -> Window:
    """The part of a raster that lies in an extent, each edge at the nearest edge of a pixel.

    Parameters
    ----------
    path, crs, raster_crs : see `rectangles_of`; the extent is in the coordinate system `crs`
    extent : (left, bottom, right, top)

    Raises
    ------
    SegmentationError : the extent is empty, cannot be reprojected, or does not lie over the raster
    """
    left, bottom, right, top = extent
    if not all(map(math.isfinite, extent)) or not (right > left and top > bottom):
        raise SegmentationError(f"EXTENT {left:g},{right:g},{bottom:g},{top:g} holds nothing: give another.")
    dataset = open_raster(path)
    raster, transform = Window(0, 0, dataset.RasterXSize, dataset.RasterYSize), geotransform(dataset)
    inverse = gdal.InvGeoTransform(transform)
    if inverse is None:
        raise SegmentationError(f"{path} has a geotransform without area, so EXTENT cannot be placed: leave it empty.")
    corners = ((left, bottom), (right, bottom), (right, top), (left, top), (left, bottom))
    rectangle = ogr.CreateGeometryFromWkt(f"POLYGON(({','.join(f'{x!r} {y!r}' for x, y in corners)}))")
    with collected_errors():
        reproject = _Reprojection("EXTENT", (_wkt(dataset, raster_crs), crs), raster, transform)
        pixels = _pixel_extent(reproject(rectangle, "EXTENT"), inverse)
    window = None if pixels is None else _snapped(*pixels).intersection(raster)
    if window is None:
        raise SegmentationError(f"EXTENT does not lie over {path}: check it and both coordinate systems.")
    return window


def _wkt(dataset: gdal.Dataset, given: Optional[str]) -> str:
    if given is not None:
        return given
    found = spatial_reference(dataset)
    return "" if found is None else found.ExportToWkt()


def _checked(polygon: Any, number: int, name: str = "TILES") -> ogr.Geometry:
    """The geometry of a polygon that can be used.

    Whether a ring crosses itself makes no difference to its extent, but where it does, it is not what its maker meant.
    """
    geometry = ogr.CreateGeometryFromWkb(bytes(polygon)) if polygon else None
    if geometry is None or geometry.IsEmpty():
        raise SegmentationError(f"Polygon {number} of {name} has no geometry: remove it.")
    geometry = geometry.GetLinearGeometry()
    geometry.FlattenTo2D()
    if ogr.GT_Flatten(geometry.GetGeometryType()) not in (ogr.wkbPolygon, ogr.wkbMultiPolygon):
        raise SegmentationError(
            f"{name} has a {geometry.GetGeometryName().lower()} where polygons are needed: choose a polygon layer."
        )
    if not all(math.isfinite(value) for value in geometry.GetEnvelope()) or not geometry.IsValid():
        raise SegmentationError(f"Polygon {number} of {name} is not valid: repair the layer with 'Fix geometries'.")
    return geometry


class _Reprojection:
    """Polygons into the raster's coordinate system, with bent edges.

    Parameters
    ----------
    name : id of the parameter, for messages
    systems : WKT of the raster's and of the polygons' coordinate system, empty for unknown
    """

    def __init__(self, name: str, systems: Tuple[str, str], raster: Window, transform: Tuple[float, ...]) -> None:
        self._name = name
        self._forward: Optional[osr.CoordinateTransformation] = None
        raster_crs, crs = systems
        if not raster_crs or not crs:
            return
        raster_system, polygon_system = osr.SpatialReference(wkt=raster_crs), osr.SpatialReference(wkt=crs)
        if polygon_system.IsSame(raster_system, ["IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES"]):
            return
        for system in (raster_system, polygon_system):
            system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
        self._forward = osr.CoordinateTransformation(polygon_system, raster_system)
        self._backward = osr.CoordinateTransformation(raster_system, polygon_system)
        around = Window(-1, -1, raster.width + 2, raster.height + 2)
        self._outline = ogr.CreateGeometryFromWkb(polygon_of_windows([around], transform))

    @cached_property
    def _near(self) -> ogr.Geometry:
        return self._surroundings(0.1)

    @cached_property
    def _far(self) -> ogr.Geometry:
        return self._surroundings(FAR)

    def __call__(self, polygon: ogr.Geometry, called: str) -> Optional[ogr.Geometry]:
        """The polygon, which is called so in messages, in the raster's coordinates; None if it is off the raster."""
        if self._forward is None:
            return polygon
        if not polygon.Intersects(self._near):
            return None
        if polygon.Contains(self._near):
            return self._outline
        # Far from the raster its coordinate system may have no coordinates, or senseless ones.
        for part in (self._far, self._near):
            bent = _bent(polygon if part.Contains(polygon) else polygon.Intersection(part))
            if bent.Transform(self._forward) == ogr.OGRERR_NONE and _is_finite(bent):
                return bent
        raise SegmentationError(
            f"{called} cannot be reprojected to the raster's coordinate system: reproject it first, or leave it out."
        )

    def _surroundings(self, margin: float) -> ogr.Geometry:
        """The raster's extent in the polygons' coordinates, and a margin, as a share of it, on each side."""
        raster = _bent(self._outline)
        if raster.Transform(self._backward) != ogr.OGRERR_NONE or not _is_finite(raster):
            raise SegmentationError(
                f"The raster cannot be reprojected to the coordinate system of {self._name}: check both coordinate "
                "systems."
            )
        left, right, bottom, top = raster.GetEnvelope()
        margin *= max(right - left, top - bottom)
        left, right, bottom, top = left - margin, right + margin, bottom - margin, top + margin
        return ogr.CreateGeometryFromWkt(
            f"POLYGON(({left} {bottom},{right} {bottom},{right} {top},{left} {top},{left} {bottom}))"
        )


def _bent(polygon: ogr.Geometry) -> ogr.Geometry:
    """A copy with vertices along its edges, for a straight edge need not stay straight."""
    left, right, bottom, top = polygon.GetEnvelope()
    polygon = polygon.Clone()
    polygon.Segmentize(max(right - left, top - bottom) / PARTS or 1.0)
    return polygon


def _is_finite(geometry: ogr.Geometry) -> bool:
    return all(math.isfinite(value) for value in geometry.GetEnvelope())


def _pixel_extent(
    polygon: Optional[ogr.Geometry], inverse: Tuple[float, ...]
) -> Optional[Tuple[float, float, float, float]]:
    """(left, top, right, bottom) in columns and rows, not rounded; None for what is off the raster."""
    if polygon is None:
        return None
    if inverse[2] == 0 == inverse[4]:
        left, right, bottom, top = polygon.GetEnvelope()
        points = [(left, bottom), (right, top)]
    else:
        points = list(_points(polygon))
    pixels = [gdal.ApplyGeoTransform(inverse, x, y) for x, y in points]
    columns, rows = zip(*pixels)
    return min(columns), min(rows), max(columns), max(rows)


def _points(geometry: ogr.Geometry) -> Iterator[Tuple[float, float]]:
    if geometry.GetGeometryCount():
        for i in range(geometry.GetGeometryCount()):
            yield from _points(geometry.GetGeometryRef(i))
    else:
        yield from (point[:2] for point in geometry.GetPoints())


def _snapped(left: float, top: float, right: float, bottom: float) -> Window:
    # An edge in the middle of a pixel must go one way for both polygons that share it, whatever its last digits are.
    first_col, first_row, end_col, end_row = (
        math.floor(round(value, NOISE) + 0.5) for value in (left, top, right, bottom)
    )
    return Window(first_col, first_row, end_col - first_col, end_row - first_row)
