# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin is loaded and unloaded again and again, each time after it was used; nothing of it stays."""

import gc

import driver
from driver import ARGUMENTS, found
from qgis import utils
from qgis.core import QgsApplication, QgsProject
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QCoreApplication, QEvent, QObject
from qgis.PyQt.QtWidgets import QApplication
from qgis.utils import iface


def main():
    layer = driver.open_raster(ARGUMENTS["raster"])
    use(layer)  # what QGIS itself makes once and keeps
    unload()
    found["counts"] = []
    for _ in range(4):
        found["counts"].append(count(layer))
        utils.loadPlugin("tiledseg")
        utils.startPlugin("tiledseg")
        use(layer)
        unload()
    found["counts"].append(count(layer))
    found["remains"] = {
        "provider": QgsApplication.processingRegistry().providerById("tiledseg") is not None,
        "plugin": "tiledseg" in utils.plugins,
        "widgets": [w.objectName() for w in QApplication.allWidgets() if is_ours(w)],
        "actions": [a.text() for a in iface.rasterMenu().actions() if "segmentation" in a.text().lower()],
        "objects": sorted({type(one).__name__ for one in gc.get_objects() if is_ours(one)}),
        "children": driver.children(),
        "tasks": QgsApplication.taskManager().countActiveTasks(),
    }


def use(layer):
    """Open the panel, check the tiles, preview, and take their layers away."""
    panel, session = driver.open_panel()
    panel.fields.set_value("INPUT", layer.id())
    driver.click(panel.check_button)
    driver.wait(lambda: session.tile_layer is not None and session.running is None)
    driver.click(panel.preview_button)
    driver.wait(lambda: session.preview.preview is not None, 120)
    QgsProject.instance().removeMapLayer(session.tile_layer.id())


def unload():
    utils.unloadPlugin("tiledseg")
    driver.pause(0.1)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()


def is_ours(one):
    """An object of Qt's that is an instance of a class of ours, and that Qt still has."""
    kind = type(one)
    return str(kind.__module__).startswith("tiledseg.") and issubclass(kind, QObject) and not sip.isdeleted(one)


def count(layer):
    return {
        "widgets": len(QApplication.allWidgets()),
        "actions": len(iface.rasterMenu().actions()),
        "toolbar": len(iface.pluginToolBar().actions()),
        "providers": len(QgsApplication.processingRegistry().providers()),
        "layers": len(QgsProject.instance().mapLayers()),
        "signals of the layer": layer.receivers(layer.willBeDeleted),
        "objects": len([one for one in gc.get_objects() if is_ours(one)]),
    }


driver.drive(main)
