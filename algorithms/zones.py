# SPDX-License-Identifier: GPL-2.0-or-later
"""ZONES: from any layer that QGIS has to what the engine opens."""

import hashlib
import os
from typing import Any, Optional

from qgis.core import (
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingParameterMapLayer,
    QgsProcessingUtils,
    QgsRasterLayer,
    QgsVectorLayer,
    QgsWkbTypes,
)

from ..tiledseg_plugin.compat import crs_to_wkt, is_null
from ..tiledseg_plugin.engine.errors import SegmentationError
from .inputs import gdal_source, layer_source
from .text import tr

ZONES = "ZONES"
IN_MEMORY = "/vsimem/tiledseg-zones"


class ZonesParameter(QgsProcessingParameterMapLayer):
    """A layer of polygons or lines, or a raster. Whether a file is one, the engine says: QGIS would open it to see."""

    def checkValueIsAcceptable(self, value: Any, context: Optional[QgsProcessingContext] = None) -> bool:
        if isinstance(value, str) and value:
            return True
        return super().checkValueIsAcceptable(value, context)


def zones_path(given: Any, context: QgsProcessingContext) -> str:
    """What the engine opens for ZONES; empty where it is not given, or has no file (`zones_without_file`)."""
    if is_null(given) or given == "":
        return ""
    layer = _layer_of(given, context)
    if isinstance(layer, QgsRasterLayer):
        return gdal_source(layer, given, ZONES)
    if isinstance(layer, QgsVectorLayer):
        return layer.source() if _is_as_its_file(layer) else ""
    if isinstance(given, str):
        return given
    raise SegmentationError(
        tr("{} '{}' cannot be used: give a layer of polygons or lines, or a raster.").format(
            ZONES, given.name() if isinstance(given, QgsMapLayer) else type(given).__name__
        )
    )


def zones_without_file(given: Any, context: QgsProcessingContext) -> Optional[QgsVectorLayer]:
    """The layer of ZONES whose features lie in no file, or not all or not only these: in memory, filtered, edited."""
    layer = None if is_null(given) else _layer_of(given, context)
    if not isinstance(layer, QgsVectorLayer) or _is_as_its_file(layer):
        return None
    if not layer.isValid():
        raise SegmentationError(tr("{} '{}' cannot be read: repair the layer.").format(ZONES, layer.name()))
    return layer


def check_layer(layer: QgsVectorLayer) -> None:
    """Refuse a layer of ZONES without features, and one of points."""
    kinds = QgsWkbTypes.GeometryType
    kind = QgsWkbTypes.geometryType(layer.wkbType())
    if kind not in (kinds.PolygonGeometry, kinds.LineGeometry):
        raise SegmentationError(
            tr("{} '{}' holds {} where polygons or lines are needed: choose another layer, or a raster.").format(
                ZONES, layer.name(), QgsWkbTypes.geometryDisplayString(kind).lower()
            )
        )
    if layer.featureCount() == 0:
        raise SegmentationError(
            tr("{} '{}' has no features: choose another layer, or leave it empty.").format(ZONES, layer.name())
        )


def _layer_of(given: Any, context: QgsProcessingContext) -> Optional[QgsMapLayer]:
    if isinstance(given, QgsMapLayer):
        return given
    return QgsProcessingUtils.mapLayerFromString(given, context, False) if isinstance(given, str) else None


def _is_as_its_file(layer: QgsVectorLayer) -> bool:
    return (
        layer.providerType() == "ogr"
        and not layer.subsetString()
        and not layer.isModified()
        and bool(layer_source(layer))
    )


def in_memory(layer: QgsVectorLayer) -> str:
    """A copy of a layer's features where the engine opens it: the path says what is in it, so it is made once."""
    from osgeo import gdal, ogr, osr

    features = [
        (feature.id(), bytes(feature.geometry().asWkb()))
        for feature in layer.getFeatures()
        if not feature.geometry().isNull()
    ]
    crs = crs_to_wkt(layer.crs()) if layer.crs().isValid() else ""
    content = hashlib.sha256(repr((crs, features)).encode()).hexdigest()[:16]
    folder = f"{IN_MEMORY}/{content}"
    path = f"{folder}/{''.join(letter if letter.isalnum() else '_' for letter in layer.name()) or 'layer'}.gpkg"
    if gdal.VSIStatL(path) is not None:
        return path
    gdal.Mkdir(folder, 0o700)
    system = osr.SpatialReference(wkt=crs) if crs else None
    dataset = ogr.GetDriverByName("GPKG").CreateDataSource(path)
    copy = dataset.CreateLayer("zones", system, ogr.wkbUnknown)
    copy.StartTransaction()
    for number, wkb in features:
        feature = ogr.Feature(copy.GetLayerDefn())
        feature.SetFID(number)
        feature.SetGeometryDirectly(ogr.CreateGeometryFromWkb(wkb))
        copy.CreateFeature(feature)
    copy.CommitTransaction()
    del copy, dataset
    return path


def forget(path: str) -> None:
    """Remove a copy that `in_memory` has made; nothing else."""
    if path.startswith(IN_MEMORY):
        from osgeo import gdal

        gdal.RmdirRecursive(os.path.dirname(path))
