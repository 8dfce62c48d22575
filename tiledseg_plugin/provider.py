# SPDX-License-Identifier: GPL-2.0-or-later
"""The Processing provider: what it is called and which algorithms it holds."""

from qgis.core import QgsApplication, QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from ..algorithms import ALGORITHMS
from ..algorithms.model import shipped_models
from ..algorithms.text import tr
from .metadata import ICON, plugin_version


class TiledSegmentationProvider(QgsProcessingProvider):
    """`tiledseg`: this id is part of every script and model that uses the plugin and never changes."""

    def id(self):
        return "tiledseg"

    def name(self):
        return tr("Tiled segmentation")

    def longName(self):
        return tr("Tiled segmentation of large rasters")

    def helpId(self):
        return self.id()

    def versionInfo(self):
        return plugin_version()

    def icon(self):
        return QIcon(ICON)

    def svgIconPath(self):
        return ICON

    def supportedOutputRasterLayerExtensions(self):
        return ["tif", "tiff", "img", "kea"]

    def defaultRasterFileExtension(self):
        return "tif"

    def supportsNonFileBasedOutput(self):
        return True  # the tile layer may be a layer in memory; rasters are files in any case

    def loadAlgorithms(self):
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())
        # a model finds the algorithms that it is made of only when their provider is registered
        if QgsApplication.processingRegistry().providerById(self.id()) is not None:
            for model in shipped_models():
                self.addAlgorithm(model)
