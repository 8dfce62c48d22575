# SPDX-License-Identifier: GPL-2.0-or-later
"""The Processing provider: what it is called and which algorithms it holds."""

from typing import List

from qgis.core import QgsApplication, QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from ..algorithms import ALGORITHMS
from ..algorithms.model import shipped_models
from ..algorithms.text import tr
from .metadata import ICON, plugin_version


class TiledSegmentationProvider(QgsProcessingProvider):
    """`tiledseg`: this id is part of every script and model that uses the plugin and never changes."""

    def id(self) -> str:
        return "tiledseg"

    def name(self) -> str:
        return tr("Tiled segmentation")

    def longName(self) -> str:
        return tr("Tiled segmentation of large rasters")

    def helpId(self) -> str:
        return self.id()

    def versionInfo(self) -> str:
        return plugin_version()

    def icon(self) -> QIcon:
        return QIcon(ICON)

    def svgIconPath(self) -> str:
        return ICON

    def supportedOutputRasterLayerExtensions(self) -> List[str]:
        return ["tif", "tiff", "img", "kea"]

    def defaultRasterFileExtension(self) -> str:
        return "tif"

    def supportsNonFileBasedOutput(self) -> bool:
        return True  # the tile layer may be a layer in memory; rasters are files in any case

    def loadAlgorithms(self) -> None:
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())
        # a model finds the algorithms that it is made of only when their provider is registered
        if QgsApplication.processingRegistry().providerById(self.id()) is not None:
            for model in shipped_models():
                self.addAlgorithm(model)
