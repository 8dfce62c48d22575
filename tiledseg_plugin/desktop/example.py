# SPDX-License-Identifier: GPL-2.0-or-later
"""*Add example data*: the scene that the plugin draws itself, as a layer that the panel is set to."""

import os
from typing import Any, Optional

from qgis.core import Qgis, QgsApplication, QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import QObject
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QPushButton, QToolButton

from ...algorithms.looks import show_natural_colours
from ...algorithms.text import tr
from ..compat import QAction
from ..metadata import ICON
from .tasks import AlgorithmRun, wait_until

TILE = 200  # pixels, so that there are some to look at, and empty ones; the usual ones are larger than the scene


class ExampleData(QObject):
    """An entry in the Raster menu, and a button in the panel.

    Parameters
    ----------
    iface : QgisInterface
    open_panel : function that opens the panel and returns it
    """

    def __init__(self, iface: Any, open_panel: Any):
        super().__init__(iface.mainWindow())
        self._iface, self._open_panel = iface, open_panel
        self._run: Optional[AlgorithmRun] = None
        self.button: Any = None
        self.action: Any = QAction(QIcon(ICON), tr("Add example data for tiled segmentation"), iface.mainWindow())
        self.action.setObjectName("TiledSegmentationExample")
        self.action.triggered.connect(lambda: self.add())
        iface.addPluginToRasterMenu("", self.action)

    def put_into(self, panel: Any) -> None:
        """A button below the field of the raster, and an entry in the panel's menu."""
        self.button = QPushButton(tr("Add &example data"))
        self.button.setObjectName("example")
        self.button.setFlat(True)
        self.button.setToolTip(tr("A small satellite scene of an invented landscape, to try things on"))
        self.button.clicked.connect(lambda: self.add())
        panel.fields.widget("INPUT").parentWidget().layout().addRow(self.button)
        more = panel.findChild(QToolButton, "more")
        if more is not None and more.menu() is not None:
            more.menu().addAction(self.action)

    def add(self) -> None:
        """Add the scene to the project, drawn first where it is not there yet; the panel is set to it."""
        if self._run is not None:
            return
        path = _place()
        if os.path.lexists(path):
            self._show(path)
            return
        run = AlgorithmRun("tiledseg:example", {"OUTPUT": path})
        run.finished.connect(self._drawn)
        self._run = run
        self._let(False)
        if not run.start():
            self._drawn(False)

    def _drawn(self, succeeded: bool) -> None:
        run, self._run = self._run, None
        self._let(True)
        if run is None:
            return
        run.finished.disconnect()
        if succeeded:
            self._show(run.parameters["OUTPUT"])
        elif not run.was_cancelled:
            self._iface.messageBar().pushMessage(tr("Tiled segmentation"), run.error, Qgis.MessageLevel.Critical)

    def _let(self, is_free: bool) -> None:
        for one in (self.action, self.button):
            if one is not None:
                one.setEnabled(is_free)

    def _show(self, path: str) -> None:
        """The layer that the project has of it, or a new one; the map shows it and the panel is set to it."""
        project = QgsProject.instance()
        layer = next((one for one in project.mapLayers().values() if one.source() == path), None)
        if layer is None:
            layer = QgsRasterLayer(path, tr("Example landscape"))
            show_natural_colours(layer)
            project.addMapLayer(layer)
        self._iface.setActiveLayer(layer)
        canvas = self._iface.mapCanvas()
        canvas.setExtent(canvas.mapSettings().layerExtentToOutputExtent(layer, layer.extent()))
        canvas.refresh()
        fields = self._open_panel().fields
        fields.set_value("INPUT", layer.id())
        for name in ("TILE_WIDTH", "TILE_HEIGHT"):
            fields.set_value(name, TILE)

    def remove(self) -> None:
        """Take everything away; what is being drawn is given up."""
        if self._run is not None:
            self._run.cancel()
            wait_until(lambda: self._run is None)
        self._iface.removePluginRasterMenu("", self.action)
        self.action.deleteLater()
        self.action = self.button = None
        self.deleteLater()


def _place() -> str:
    """Where the scene lies, or will: beside the project, or else in the profile; never at another file's name."""
    from ..engine.example.scene import is_example

    folder = QgsProject.instance().homePath()
    if not (os.path.isdir(folder) and os.access(folder, os.W_OK)):
        folder = os.path.join(QgsApplication.qgisSettingsDirPath(), "tiledseg")
        os.makedirs(folder, exist_ok=True)
    number = 1
    while True:
        path = os.path.join(folder, f"example landscape{'' if number == 1 else f' {number}'}.tif")
        if not os.path.lexists(path) or is_example(path):
            return path
        number += 1
