# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin as QGIS sees it: it brings the Processing provider and takes it away again."""

from typing import Any

from qgis.core import QgsApplication

from .provider import TiledSegmentationProvider


class TiledSegmentationPlugin:
    """`qgis_process` calls only `initProcessing` (with `iface` None), QGIS Desktop calls `initGui`."""

    def __init__(self, iface: Any) -> None:
        self.iface = iface
        self.provider: Any = None
        self.desktop: Any = None

    def initProcessing(self) -> None:
        """Add the provider, once."""
        if self.provider is None:
            self.provider = TiledSegmentationProvider()
            QgsApplication.processingRegistry().addProvider(self.provider)
            self.provider.refreshAlgorithms()  # its models, too

    def initGui(self) -> None:
        self.initProcessing()
        if self.iface is not None and self.desktop is None:
            from .desktop.desktop import Desktop

            self.desktop = Desktop(self.iface)

    def unload(self) -> None:
        """Remove the panel with all that runs, then the provider, which the registry deletes."""
        if self.desktop is not None:
            self.desktop.remove()
            self.desktop = None
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
