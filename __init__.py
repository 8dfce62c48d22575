# SPDX-License-Identifier: GPL-2.0-or-later
"""QGIS plugin "Tiled Segmentation". Workers import the engine through this file, so it stays free of imports."""


def classFactory(iface):
    """What QGIS calls to load the plugin; `iface` is None in `qgis_process`."""
    from .tiledseg_plugin.plugin import TiledSegmentationPlugin

    return TiledSegmentationPlugin(iface)
