# SPDX-License-Identifier: GPL-2.0-or-later
"""What the plugin adds to QGIS Desktop, and takes away again: an action in the Raster menu and a toolbar, the panel."""

from typing import Any

from qgis.core import QgsApplication, QgsProject, QgsSettings
from qgis.PyQt.QtCore import QCoreApplication, Qt
from qgis.PyQt.QtGui import QIcon

from ...algorithms.segment import SegmentRaster
from ...algorithms.text import tr
from ..compat import QAction
from ..metadata import ICON
from . import tile_layers
from .example import ExampleData
from .quiet_start import QuietStart

IS_OPEN = "tiledseg/panel-is-open"


class Desktop:
    """Makes the panel only when it is opened for the first time.

    Parameters
    ----------
    iface : QgisInterface
    """

    def __init__(self, iface: Any):
        self._iface = iface
        self.panel: Any = None
        self.session: Any = None
        self.quiet_start: Any = QuietStart(iface.mapCanvas())
        self.action: Any = QAction(QIcon(ICON), tr("Tiled segmentation"), iface.mainWindow())
        self.action.setObjectName("TiledSegmentationAction")
        self.action.setToolTip(tr("Tiled segmentation: check tiles, preview and segment a raster of any size"))
        self.action.setCheckable(True)
        self.action.toggled.connect(self._toggle)
        iface.registerMainWindowAction(self.action, "")  # so that the user can give it a shortcut
        iface.addPluginToRasterMenu("", self.action)
        iface.addToolBarIcon(self.action)
        self.example: Any = ExampleData(iface, self.open)
        QCoreApplication.instance().aboutToQuit.connect(self._end_work)
        SegmentRaster.dialog = staticmethod(_toolbox_dialog)
        QgsProject.instance().readProject.connect(self._fill_tile_layers)
        self._is_early = not iface.mainWindow().isVisible()  # QGIS itself is starting
        if self._is_early:
            iface.initializationCompleted.connect(self._restore)
        else:
            self._restore()

    def _restore(self) -> None:
        """Open the panel if it was open when QGIS ended, or the plugin was unloaded."""
        if QgsSettings().value(IS_OPEN, False, type=bool):
            self.action.setChecked(True)

    def _fill_tile_layers(self) -> None:
        tile_layers.restore(QgsProject.instance())

    def _toggle(self, is_on: bool) -> None:
        if self.panel is None and is_on:
            self._make_panel()
        if self.panel is not None:
            self.panel.setUserVisible(is_on)
        self._remember()

    def _remember(self) -> None:
        QgsSettings().setValue(IS_OPEN, self.panel is not None and not self.panel.isHidden())

    def open(self) -> Any:
        """The panel, opened if it was closed."""
        self.action.setChecked(True)
        return self.panel

    def _make_panel(self) -> None:
        from .panel import SegmentationPanel
        from .session import Session

        algorithm = QgsApplication.processingRegistry().createAlgorithmById("tiledseg:segment")
        self.panel = SegmentationPanel(algorithm, self._iface)
        self.session = Session(self.panel, algorithm, self._iface)
        self.example.put_into(self.panel)
        if not self._iface.mainWindow().restoreDockWidget(self.panel):  # where it was the last time
            self._iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.panel)
        self.panel.visibilityChanged.connect(self._follow)
        self.panel.closedStateChanged.connect(self._remember)

    def _follow(self, is_visible: bool) -> None:
        """The panel was closed by its own button, or is behind another one."""
        is_open = not self.panel.isHidden()
        if self.action.isChecked() != is_open:
            self.action.blockSignals(True)
            self.action.setChecked(is_open)
            self.action.blockSignals(False)

    def _end_work(self) -> None:
        self.quiet_start.stop()
        if self.session is not None:
            self.session.close()

    def remove(self) -> None:
        """Take everything away; what runs is cancelled first."""
        SegmentRaster.dialog = None
        QgsProject.instance().readProject.disconnect(self._fill_tile_layers)
        if self._is_early:
            self._iface.initializationCompleted.disconnect(self._restore)
        QCoreApplication.instance().aboutToQuit.disconnect(self._end_work)
        self._end_work()
        self.example.remove()
        self._iface.removePluginRasterMenu("", self.action)
        self._iface.removeToolBarIcon(self.action)
        self._iface.unregisterMainWindowAction(self.action)
        self.action.deleteLater()
        if self.panel is not None:
            self.panel.visibilityChanged.disconnect(self._follow)
            self.panel.closedStateChanged.disconnect(self._remember)
            self._iface.removeDockWidget(self.panel)
            self.panel.deleteLater()
        self.panel = self.session = self.action = self.example = self.quiet_start = None


def _toolbox_dialog(algorithm: Any, parent: Any) -> Any:
    from .dialog import SegmentDialog

    return SegmentDialog(algorithm, parent)
