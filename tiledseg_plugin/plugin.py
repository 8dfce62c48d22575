# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin as QGIS sees it: it brings the Processing provider and takes it away again."""

from qgis.core import QgsApplication

from .provider import TiledSegmentationProvider


class TiledSegmentationPlugin:
    """`qgis_process` calls only `initProcessing` (with `iface` None), QGIS Desktop calls `initGui`."""

    def __init__(self, iface):
        self.iface = iface
        self.provider = None

    def initProcessing(self):
        """Add the provider, once."""
        if self.provider is None:
            self.provider = TiledSegmentationProvider()
            QgsApplication.processingRegistry().addProvider(self.provider)
            self.provider.refreshAlgorithms()  # its models, too

    def initGui(self):
        self.initProcessing()

    def unload(self):
        """Remove the provider, which the registry then deletes."""
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
