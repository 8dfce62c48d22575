# SPDX-License-Identifier: GPL-2.0-or-later
"""ZONES, a layer or a raster, as zones on a raster's pixels.

Corners and ends of a layer in another coordinate system are reprojected, so that what two zones share they still share;
edges stay straight between them.
"""

import hashlib
import math
import os
from contextlib import suppress
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from osgeo import gdal, ogr, osr

from ..errors import SegmentationError
from ..files.dataset_files import paths_in
from ..files.foreign import is_endless
from ..files.gdal_access import collected_errors, open_raster, reason
from ..files.georeference import geotransform, spatial_reference
from ..files.raster import Raster, describe
from ..files.window import Window
from ..parameters import PreflightParameters, SegmentParameters
from .zone_raster import beside, class_raster
from .zone_shapes import LINES, POLYGONS, Shapes, parts_of, shapes_of, snapped
from .zones import CELL, LineZones, PolygonZones, RasterZones, Zones

PART_POINTS = 200_000  # of the shapes that are kept together
NEAR, FAR = 0.1, 5.0  # shares of the raster's extent round it, to which what is not reprojected whole is cut
FARTHEST = 2.0**30  # pixels: what goes beyond is cut, as GDAL counts pixels with int
AROUND = 2.0  # pixels beyond the raster to which features count
LAYER_OPTIONS = ("layername", "layerid", "subset", "geometrytype")

Extent = Tuple[float, float, float, float]  # left, bottom, right, top


def find_zones(
    parameters: Union[SegmentParameters, PreflightParameters], raster: Raster, check: Callable[[], None]
) -> Optional[Zones]:
    """The zones that parameters ask for; None where they ask for none.

    Parameters
    ----------
    check : called now and then, raises what ends the run

    Raises
    ------
    SegmentationError : ZONES cannot be read, holds neither polygons nor lines, or does not lie over the raster
    """
    if not parameters.zones:
        return None
    check_zones(parameters.zones)
    excludes = parameters.zones_outside == "exclude"
    if is_raster(parameters.zones):
        return RasterZones(class_raster(parameters.zones, raster), raster.left, raster.top, excludes)
    layer = _Layer.opened(parameters.zones)
    parts = tuple(_parts(layer, raster, check))
    if not parts:
        raise beside(layer.called, raster, "layer")
    kind = PolygonZones if layer.wanted == POLYGONS else LineZones
    return kind(parts, raster.left, raster.top, excludes and kind is PolygonZones)


def check_zones(source: str) -> None:
    """Refuse what is neither a layer of polygons or lines nor a raster, without reading it.

    Raises
    ------
    SegmentationError : one sentence on what is wrong
    """
    if is_endless(source):
        raise SegmentationError(f"ZONES {source} is a pipe or a device: choose a file.")
    if is_raster(source):
        describe(source, (1,))
    else:
        _Layer.opened(source)


def is_raster(source: str) -> bool:
    """Whether ZONES is a raster; what is both, such as a GeoPackage of both, is a layer if one of it is named."""
    if any(f"|{option}=" in source.lower() for option in LAYER_OPTIONS):
        return False
    with collected_errors():
        dataset = gdal.OpenEx(source, gdal.OF_RASTER | gdal.OF_READONLY)
        return dataset is not None and dataset.RasterCount > 0


def digest_of(zones: Optional[Zones], raster: Raster, check: Callable[[], None]) -> str:
    """What two ZONES have in common only if they are the same on a raster's pixels; empty for none."""
    if zones is None:
        return ""
    found = hashlib.sha256(type(zones).__name__.encode())
    if isinstance(zones, RasterZones):
        for row in range(0, raster.height, CELL):
            check()
            window = Window(0, row, raster.width, min(CELL, raster.height - row)).moved(raster.left, raster.top)
            for array in zones.classes.read(window):
                found.update(np.ascontiguousarray(array))
        return found.hexdigest()[:16]
    for part in zones.parts:
        check()
        if isinstance(part, Shapes):
            for array in part.arrays().values():
                found.update(np.ascontiguousarray(array))
    return found.hexdigest()[:16]


def state_of(source: str) -> Tuple[Tuple[str, int, int], ...]:
    """What differs between ZONES whose file has changed and the same: its bytes and the time of change."""
    found = []
    for path in paths_in(source.split("|")[0]) if source else []:
        with suppress(OSError):
            status = os.stat(path)
            found.append((path, status.st_size, status.st_mtime_ns))
    return tuple(found)


class _Layer(NamedTuple):
    """A layer of polygons or lines.

    dataset : which holds it, as GDAL forgets a layer whose dataset is gone
    called : its name in messages
    wanted : POLYGONS or LINES
    """

    dataset: Any
    layer: Any
    called: str
    wanted: Sequence[int]

    @staticmethod
    def opened(source: str) -> "_Layer":
        path, options = _taken_apart(source)
        with collected_errors() as messages:
            dataset = gdal.OpenEx(path, gdal.OF_VECTOR | gdal.OF_READONLY | gdal.OF_VERBOSE_ERROR)
            layer = None if dataset is None else _layer_of(dataset, options)
            if layer is not None and options.get("subset") and layer.SetAttributeFilter(options["subset"]):
                layer = None
        if layer is None:
            raise SegmentationError(
                f"ZONES {source} cannot be opened ({reason(messages, 'it has no such layer')}): give a layer of "
                "polygons or lines, or a raster."
            )
        if layer.GetFeatureCount() == 0:
            raise SegmentationError(f"ZONES {source} has no features: choose another layer, or leave it empty.")
        return _Layer(dataset, layer, source, _wanted(layer, source))


def _taken_apart(source: str) -> Tuple[str, Dict[str, str]]:
    """The path in the source of a layer as QGIS writes it, path|layername=...|subset=..., and what follows."""
    path, *rest = source.split("|")
    options: Dict[str, str] = {}
    name = ""
    for part in rest:
        found, is_option, value = part.partition("=")
        if is_option and found.lower() in LAYER_OPTIONS and name != "subset":
            name = found.lower()
            options[name] = value
        elif name:  # a filter may hold the sign itself
            options[name] += f"|{part}"
    return path, options


def _layer_of(dataset: gdal.Dataset, options: Dict[str, str]) -> Optional[ogr.Layer]:
    if "layername" in options:
        return dataset.GetLayerByName(options["layername"])
    number = int(options["layerid"]) if options.get("layerid", "").isdigit() else 0
    return dataset.GetLayerByIndex(number) if number < dataset.GetLayerCount() else None


def _wanted(layer: ogr.Layer, called: str) -> Sequence[int]:
    """Which kind of geometries a layer holds, by what it says or by its first one."""
    geometries = (feature.GetGeometryRef() for feature in _features(layer))
    kind = next(
        (_simple_kind(geometry.GetGeometryType()) for geometry in geometries if geometry is not None), ogr.wkbNone
    )
    if kind in POLYGONS:
        return POLYGONS
    if kind in LINES:
        return LINES
    what = "no geometries" if kind == ogr.wkbNone else f"a {ogr.GeometryTypeToName(kind).lower()}"
    raise SegmentationError(
        f"ZONES {called} holds {what} where polygons or lines are needed: choose another layer, or a raster of classes."
    )


def _simple_kind(kind: int) -> int:
    return ogr.GT_Flatten(ogr.GT_GetLinear(kind))


def _features(layer: ogr.Layer) -> Iterator[ogr.Feature]:
    layer.ResetReading()
    while True:
        feature = layer.GetNextFeature()
        if feature is None:
            return
        yield feature


def _parts(layer: _Layer, raster: Raster, check: Callable[[], None]) -> Iterator[Shapes]:
    """The shapes that have something over the raster, so many at a time, in the order of the layer."""
    to_pixels = _ToPixels(layer, raster)
    found: List[Tuple[int, int, Sequence[np.ndarray]]] = []
    points = 0
    with collected_errors():
        for place, feature in enumerate(_features(layer.layer)):
            check()
            geometry = feature.GetGeometryRef()
            parts = [] if geometry is None or geometry.IsEmpty() else to_pixels(geometry, feature.GetFID())
            found += [(place, feature.GetFID(), rings) for rings in parts]
            points += sum(len(ring) for rings in parts for ring in rings)
            if points >= PART_POINTS:
                yield shapes_of(found)
                found, points = [], 0
    if found:
        yield shapes_of(found)


class _ToPixels:
    """Geometries of a layer as polygons or lines in the pixels of the raster's file."""

    def __init__(self, layer: _Layer, raster: Raster) -> None:
        self._layer, self._raster = layer, raster
        dataset = open_raster(raster.path)
        self._transform = geotransform(dataset)
        inverse = gdal.InvGeoTransform(self._transform)
        if inverse is None:
            raise SegmentationError(
                f"{raster.path} has a geotransform without area, so ZONES cannot be placed: leave ZONES empty."
            )
        self._inverse: Tuple[float, ...] = tuple(inverse)
        self._change, self._back = self._changes(spatial_reference(dataset), layer.layer.GetSpatialRef())
        # Far from the raster its coordinate system may have no coordinates, or senseless ones.
        self._near, self._far = self._surroundings(NEAR), self._surroundings(FAR)

    @staticmethod
    def _changes(
        raster: Optional[osr.SpatialReference], layer: Optional[osr.SpatialReference]
    ) -> Tuple[Optional[osr.CoordinateTransformation], Optional[osr.CoordinateTransformation]]:
        """From the layer's coordinate system to the raster's and back; None where one is unknown, or they are alike."""
        if raster is None or layer is None or layer.IsSame(raster, ["IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES"]):
            return None, None
        systems = [raster.Clone(), layer.Clone()]
        for system in systems:
            system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
        with collected_errors():
            change = osr.CoordinateTransformation(systems[1], systems[0])
            return change, osr.CoordinateTransformation(systems[0], systems[1])

    def _surroundings(self, margin: float) -> Extent:
        """The raster's extent in the layer's coordinates, with a margin on each side, as a share of it."""
        raster = self._raster
        share = np.linspace(0, 1, 33)
        none = np.zeros(33)
        cols = np.concatenate([share, share, none, none + 1]) * raster.width + raster.left
        rows = np.concatenate([none, none + 1, share, share]) * raster.height + raster.top
        left, by_x, by_y, top, down_x, down_y = self._transform
        points = np.stack([left + by_x * cols + by_y * rows, top + down_x * cols + down_y * rows], axis=1)
        if self._back is not None:
            with collected_errors():
                points = np.array(self._back.TransformPoints(points.tolist()))[:, :2]
            points = points[np.isfinite(points).all(axis=1)]
            if not len(points):
                raise SegmentationError(
                    "The raster cannot be reprojected to the coordinate system of ZONES: check both coordinate systems."
                )
        low, high = points.min(axis=0), points.max(axis=0)
        wide = margin * float((high - low).max())
        return float(low[0]) - wide, float(low[1]) - wide, float(high[0]) + wide, float(high[1]) + wide

    def __call__(self, geometry: ogr.Geometry, number: int) -> List[List[np.ndarray]]:
        """The parts of a feature, as `parts_of` returns them; none where it is off the raster."""
        left, right, bottom, top = geometry.GetEnvelope()
        if not all(map(math.isfinite, (left, right, bottom, top))):
            raise SegmentationError(
                f"Feature {number} of ZONES {self._layer.called} has coordinates that are no numbers: remove it."
            )
        near = self._near
        if left > near[2] or right < near[0] or bottom > near[3] or top < near[1]:
            return []
        geometry = geometry.GetLinearGeometry() if geometry.HasCurveGeometry() else geometry
        geometry.FlattenTo2D()
        wanted = self._layer.wanted
        if _simple_kind(geometry.GetGeometryType()) not in (*wanted, ogr.wkbGeometryCollection):
            raise SegmentationError(
                f"Feature {number} of ZONES {self._layer.called} is a {geometry.GetGeometryName().lower()} among "
                f"{'polygons' if wanted == POLYGONS else 'lines'}: give a layer of one kind."
            )
        far = self._far
        is_near = self._change is None or (left > far[0] and right < far[2] and bottom > far[1] and top < far[3])
        for extent in (None, far, self._near)[0 if is_near else 1 :]:
            if extent is not None and not geometry.IsValid():
                break
            cut = geometry if extent is None else geometry.Intersection(_rectangle(extent))
            parts = [[self._in_pixels(ring) for ring in part if len(ring) > 1] for part in parts_of(cut, wanted)]
            if all(np.isfinite(ring).all() and np.abs(ring).max() < FARTHEST for part in parts for ring in part):
                return self._over_raster([part for part in parts if part])
        raise SegmentationError(
            f"Feature {number} of ZONES {self._layer.called} cannot be brought into the raster's coordinate system: "
            "repair the layer with 'Fix geometries' and reproject it first, or leave the feature out."
        )

    def _in_pixels(self, points: np.ndarray) -> np.ndarray:
        """(n, 2) float64 coordinates of the layer -> columns and rows of the file."""
        if self._change is not None:
            points = np.array(self._change.TransformPoints(points.tolist()))[:, :2]
        col, col_x, col_y, row, row_x, row_y = self._inverse
        x, y = points.T
        return snapped(np.stack([col + col_x * x + col_y * y, row + row_x * x + row_y * y], axis=1))

    def _over_raster(self, parts: List[List[np.ndarray]]) -> List[List[np.ndarray]]:
        """All of a feature's parts if it may have something over the raster, else none."""
        if not parts:
            return []
        raster = self._raster
        points = np.concatenate([ring for part in parts for ring in part])
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        is_over = (
            left < raster.left + raster.width + AROUND
            and right > raster.left - AROUND
            and top < raster.top + raster.height + AROUND
            and bottom > raster.top - AROUND
        )
        return parts if is_over else []


def _rectangle(extent: Extent) -> ogr.Geometry:
    left, bottom, right, top = extent
    return ogr.CreateGeometryFromWkt(
        f"POLYGON(({left} {bottom},{right} {bottom},{right} {top},{left} {top},{left} {bottom}))"
    )
