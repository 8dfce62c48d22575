# SPDX-License-Identifier: GPL-2.0-or-later
"""Rasters that a run has made, opened and styled on its own thread: their tables and ramps would hold up QGIS."""

from pathlib import Path
from typing import Any, Dict

from qgis.core import QgsMapLayer, QgsProcessingContext, QgsProcessingParameterRasterDestination, QgsRasterLayer
from qgis.PyQt.QtCore import QCoreApplication


def opened_rasters(algorithm: Any, context: QgsProcessingContext) -> Dict[str, QgsMapLayer]:
    """The raster layers that QGIS shall load of a run that has ended, for the main thread; to be called on the run's.

    Parameters
    ----------
    algorithm : the one that has run

    Returns
    -------
    {what it is opened from: layer}; without what cannot be opened, of which QGIS says so when it loads it
    """
    made = {}
    for path, details in context.layersToLoadOnCompletion().items():
        if not isinstance(algorithm.parameterDefinition(details.outputName), QgsProcessingParameterRasterDestination):
            continue
        options = QgsRasterLayer.LayerOptions(True, context.transformContext())
        layer = QgsRasterLayer(path, Path(path).stem, "gdal", options)
        if layer.isValid():
            algorithm.dress(details.outputName, layer)
            layer.moveToThread(QCoreApplication.instance().thread())
            made[path] = layer
    return made
