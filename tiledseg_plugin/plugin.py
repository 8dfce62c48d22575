# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin as QGIS sees it: it brings the Processing provider and takes it away again."""

from qgis.core import QgsApplication

from .provider import TiledSegmentationProvider


class TiledSegmentationPlugin:
    """`qgis_process` calls only `initProcessing` (with `iface` None), QGIS Desktop calls `initGui`."""

    def __init__(self, iface):
        self.iface = iface
        self.provider = None
        self.desktop = None

    def initProcessing(self):
        """Add the provider, once."""
        if self.provider is None:
            self.provider = TiledSegmentationProvider()
            QgsApplication.processingRegistry().addProvider(self.provider)
            self.provider.refreshAlgorithms()  # its models, too

    def initGui(self):
        self.initProcessing()
        if self.iface is not None and self.desktop is None:
            from .desktop.desktop import Desktop

            self.desktop = Desktop(self.iface)

    def unload(self):
        """Remove the panel with all that runs, then the provider, which the registry deletes."""
        if self.desktop is not None:
            self.desktop.remove()
            self.desktop = None
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
