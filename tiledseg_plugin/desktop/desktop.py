# SPDX-License-Identifier: GPL-2.0-or-later
"""What the plugin adds to QGIS Desktop, and takes away again: an action in the Raster menu and a toolbar, the panel."""

from typing import Any

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QCoreApplication, Qt
from qgis.PyQt.QtGui import QIcon

from ...algorithms.segment import SegmentRaster
from ...algorithms.text import tr
from ..compat import QAction
from ..metadata import ICON
from .quiet_start import QuietStart


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
        QCoreApplication.instance().aboutToQuit.connect(self._end_work)
        SegmentRaster.dialog = staticmethod(_toolbox_dialog)

    def _toggle(self, is_on: bool) -> None:
        if self.panel is None and is_on:
            self._make_panel()
        if self.panel is not None:
            self.panel.setUserVisible(is_on)

    def _make_panel(self) -> None:
        from .panel import SegmentationPanel
        from .session import Session

        algorithm = QgsApplication.processingRegistry().createAlgorithmById("tiledseg:segment")
        self.panel = SegmentationPanel(algorithm, self._iface)
        self.session = Session(self.panel, algorithm, self._iface)
        self._iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.panel)
        self.panel.visibilityChanged.connect(self._follow)

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
        QCoreApplication.instance().aboutToQuit.disconnect(self._end_work)
        self._end_work()
        self._iface.removePluginRasterMenu("", self.action)
        self._iface.removeToolBarIcon(self.action)
        self._iface.unregisterMainWindowAction(self.action)
        self.action.deleteLater()
        if self.panel is not None:
            self.panel.visibilityChanged.disconnect(self._follow)
            self._iface.removeDockWidget(self.panel)
            self.panel.deleteLater()
        self.panel = self.session = self.action = self.quiet_start = None


def _toolbox_dialog(algorithm: Any, parent: Any) -> Any:
    from .dialog import SegmentDialog

    return SegmentDialog(algorithm, parent)
