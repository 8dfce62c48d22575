# SPDX-License-Identifier: GPL-2.0-or-later
"""From what QGIS hands over to what the engine takes: the source of a layer, the numbers of its bands."""

import os
from typing import Any, Dict, List, Optional, Tuple

from qgis.core import (
    QgsMapLayer,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterVectorLayer,
    QgsProcessingUtils,
    QgsRasterLayer,
)

from ..tiledseg_plugin.compat import is_null
from ..tiledseg_plugin.engine.errors import SegmentationError
from .text import tr
from .values import evaluated

WITHOUT_FILES = (  # providers whose layers come from memory or a server
    "memory",
    "postgres",
    "mssql",
    "oracle",
    "hana",
    "WFS",
    "OAPIF",
    "virtual",
    "arcgisfeatureserver",
    "wms",
    "wcs",
)


def path_asked_for(parameters: Dict[str, Any], name: str, context: QgsProcessingContext) -> str:
    """An output as a path before a run, or empty if there will be none or a temporary one."""
    value = evaluated(name, parameters.get(name), context)
    if isinstance(value, QgsProcessingOutputLayerDefinition):
        value = evaluated(name, value.sink, context)
    return "" if is_null(value) or value == "TEMPORARY_OUTPUT" else str(value)


class RasterParameter(QgsProcessingParameterRasterLayer):
    """A raster parameter. QGIS makes no layer of a file only to see whether it can.

    It would look at the pixels and leave a side file beside them, or change a VRT; `qgis_process` asks before anything
    else, and even where the run is refused.
    """

    def checkValueIsAcceptable(self, value: Any, context: Optional[QgsProcessingContext] = None) -> bool:
        if context is not None and is_loose_file(value, context):
            return True
        return super().checkValueIsAcceptable(value, context)


class RastersParameter(QgsProcessingParameterMultipleLayers):
    """Any number of rasters, none among them; QGIS makes no layers of files, as with `RasterParameter`."""

    def __init__(self, name: str, label: str) -> None:
        super().__init__(name, label, QgsProcessing.SourceType.TypeRaster, None, True)

    def checkValueIsAcceptable(self, value: Any, context: Optional[QgsProcessingContext] = None) -> bool:
        given = value if isinstance(value, (list, tuple)) else [value]
        if context is not None and all(is_loose_file(one, context) for one in given):
            return True
        return super().checkValueIsAcceptable(value, context)


class TableParameter(QgsProcessingParameterVectorLayer):
    """A table, or any vector layer, that need not be given; one that is a file is opened by GDAL only."""

    def __init__(self, name: str, label: str) -> None:
        super().__init__(name, label, [QgsProcessing.SourceType.TypeVector], None, True)

    def checkValueIsAcceptable(self, value: Any, context: Optional[QgsProcessingContext] = None) -> bool:
        return isinstance(value, str) or super().checkValueIsAcceptable(value, context)


def table_source(given: Any, context: QgsProcessingContext) -> Optional[str]:
    """What OGR opens for a table: `path` or `path|layername=name`; empty where none is given.

    Parameters
    ----------
    given : a layer, its id or name, or a file

    Returns
    -------
    None for a layer that is no file or has a filter: its rows have to be saved first
    """
    if is_null(given) or given == "":
        return ""
    layer = _layer_given(given, context)
    if layer is None:
        return given if isinstance(given, str) else layer_source(given)
    is_file = layer.dataProvider() is not None and layer.dataProvider().name() == "ogr"
    return layer.source() if is_file and not layer.subsetString() else None


def columns_of_layer(given: Any, context: QgsProcessingContext) -> List[str]:
    """The names of the columns of a layer that is given as for `table_source`."""
    layer = _layer_given(given, context)
    return [] if layer is None else layer.fields().names()


def _layer_given(given: Any, context: QgsProcessingContext) -> Any:
    """A layer of the project, or one that an earlier step has made; None for a file."""
    if isinstance(given, QgsProcessingFeatureSourceDefinition):
        given = given.source.staticValue()
    return QgsProcessingUtils.mapLayerFromString(given, context, False) if isinstance(given, str) else given


def raster_layer(
    algorithm: QgsProcessingAlgorithm, parameters: Dict[str, Any], name: str, context: QgsProcessingContext
) -> Optional[QgsRasterLayer]:
    """The layer of a raster parameter; None where it is a file that no layer has yet, or is not given.

    Making a layer of a file has QGIS 3.22 look at the pixels for a style that nobody sees, and leave what it found in a
    side file beside the user's raster.
    """
    given = evaluated(name, parameters.get(name), context)
    if is_null(given) or is_loose_file(given, context):
        return None
    return algorithm.parameterAsRasterLayer(parameters, name, context)


def rasters_given(given: Any, name: str, context: QgsProcessingContext) -> Tuple[str, ...]:
    """What GDAL opens for each of several rasters.

    Parameters
    ----------
    given : layers, their ids or names, or files: a list of them, or one
    name : id of the parameter
    """
    if is_null(given):
        return ()
    sources = []
    for one in given if isinstance(given, (list, tuple)) else [given]:
        layer = one
        if isinstance(one, str):
            layer = None if is_loose_file(one, context) else QgsProcessingUtils.mapLayerFromString(one, context, False)
        sources.append(gdal_source(layer, one, name))
    return tuple(sources)


def is_loose_file(given: Any, context: QgsProcessingContext) -> bool:
    """Whether a value names a dataset on disk, or anything that GDAL opens, rather than a layer of the project."""
    from ..tiledseg_plugin.engine.files.dataset_files import paths_in

    if not isinstance(given, str) or QgsProcessingUtils.mapLayerFromString(given, context, False) is not None:
        return False
    return any(os.path.exists(path) for path in paths_in(given)) or not _reason_not_opened(given)


def gdal_source(layer: Optional[QgsRasterLayer], given: Any, name: str) -> str:
    """What GDAL opens for a raster layer: a path, /vsi path, VRT or subdataset.

    Parameters
    ----------
    layer : as `raster_layer` returns it
    given : the value of the parameter
    name : id of the parameter
    """
    if layer is None or not layer.isValid():
        if is_null(given):
            raise SegmentationError(tr("{} is missing: give a raster.").format(name))
        source = given if isinstance(given, str) else layer_source(given)
        reason = _reason_not_opened(source)
        if reason:
            raise SegmentationError(f"{name}: {reason}")
        return source
    if layer.providerType() != "gdal":
        raise SegmentationError(
            tr("{} '{}' comes from the provider '{}', not from a file: export it to a GeoTIFF and use that.").format(
                name, layer.name(), layer.providerType()
            )
        )
    return layer.source().split("|option:")[0]


def layer_source(given: Any, context: Optional[QgsProcessingContext] = None) -> str:
    """The source of a layer that is given as such, by id or name, or as a source; empty if it is on no disk."""
    if isinstance(given, QgsProcessingFeatureSourceDefinition):
        given = given.source.staticValue()
    layer = given
    if isinstance(given, str) and context is not None:
        layer = QgsProcessingUtils.mapLayerFromString(given, context, False)
    if isinstance(layer, QgsMapLayer):
        provider = layer.dataProvider()
        return "" if provider is None or provider.name() in WITHOUT_FILES else layer.source()
    return given if isinstance(given, str) else ""


def _reason_not_opened(source: str) -> str:
    """Why GDAL does not open a raster, as a sentence; empty where it does."""
    from ..tiledseg_plugin.engine.files.gdal_access import open_raster

    try:
        open_raster(source)
    except SegmentationError as error:
        return str(error)
    return ""
