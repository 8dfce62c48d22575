# SPDX-License-Identifier: GPL-2.0-or-later
"""From what QGIS hands over to what the engine takes: the source of a layer, the numbers of its bands."""

from qgis.core import QgsProcessingUtils, QgsRasterLayer

from ..tiledseg_plugin.errors import SegmentationError
from .text import tr


def raster_layer(algorithm, parameters, name, context):
    """The layer of a raster parameter; None where it is a path that no layer has yet but GDAL opens.

    Making a layer of such a path has QGIS 3.22 look at the pixels for a style that nobody sees, and leave what it found
    in a side file beside the user's raster.
    """
    given = parameters.get(name)
    if isinstance(given, str):
        layer = QgsProcessingUtils.mapLayerFromString(given, context, False)
        if isinstance(layer, QgsRasterLayer):
            return layer
        if layer is None and _gdal_opens(given):
            return None
    return algorithm.parameterAsRasterLayer(parameters, name, context)


def gdal_source(layer, given, name):
    """What GDAL opens for a raster layer: a path, /vsi path, VRT or subdataset.

    Parameters
    ----------
    layer : as `raster_layer` gives it
    given : the raw value of the parameter
    name : id of the parameter
    """
    if layer is None and isinstance(given, str) and _gdal_opens(given):
        return given
    if layer is None or not layer.isValid():
        raise SegmentationError(
            tr("{} '{}' cannot be opened as a raster: check that the file exists and can be read.").format(name, given)
        )
    if layer.providerType() != "gdal":
        raise SegmentationError(
            tr("{} '{}' comes from the provider '{}', not from a file: export it to a GeoTIFF and use that.").format(
                name, layer.name(), layer.providerType()
            )
        )
    return layer.source().split("|option:")[0]


def _gdal_opens(source):
    from ..tiledseg_plugin.gdal_access import open_raster

    try:
        return open_raster(source) is not None
    except SegmentationError:
        return False


def files_of(source):
    """All files of a GDAL dataset, so that none is overwritten: those that a VRT refers to, too."""
    from ..tiledseg_plugin.gdal_access import open_raster

    return [source, *(open_raster(source).GetFileList() or [])]
