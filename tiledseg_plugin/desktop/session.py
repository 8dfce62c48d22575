# SPDX-License-Identifier: GPL-2.0-or-later
"""What the panel's buttons do: check, preview, run, watch. One check or run at a time."""

from typing import Any, Callable, Dict, Optional

from qgis.core import Qgis, QgsProcessingAlgorithm, QgsProcessingContext, QgsProcessingOutputLayerDefinition, QgsProject
from qgis.PyQt.QtCore import QObject, QTimer, QUrl, pyqtSignal
from qgis.PyQt.QtGui import QDesktopServices
from qgis.PyQt.QtWidgets import QApplication, QPushButton

from ...algorithms.text import tr
from . import checks, layers
from .commands import as_python, as_qgis_process
from .live_preview import SEGMENT, LivePreview
from .log import LogWindow
from .panel import SegmentationPanel
from .tasks import AlgorithmRun, wait_until
from .tile_states import TileStates, mark_outdated

TITLE = "Tiled segmentation"


class Session(QObject):
    """Between the panel, the algorithms and the map.

    Parameters
    ----------
    panel : SegmentationPanel
    algorithm : `tiledseg:segment`
    iface : QgisInterface
    """

    checked = pyqtSignal(bool)  # a check has ended, well or not
    ran = pyqtSignal(bool)  # a run has ended, well or not

    def __init__(self, panel: SegmentationPanel, algorithm: QgsProcessingAlgorithm, iface: Any):
        super().__init__(panel)
        self.panel, self._algorithm, self._iface = panel, algorithm, iface
        self.tile_layer: Any = None
        self.running: Any = None  # the AlgorithmRun that is going on
        self.last: Any = None  # the one that ended last
        self._checked_values: Any = None
        self._summary = ""
        self._log: Any = None
        self.tiles = TileStates(self)
        self.preview = LivePreview(iface.mapCanvas(), panel.fields.values, self)
        self._connect()
        panel.fields.recall()
        self.preview.load()

    def _connect(self) -> None:
        panel = self.panel
        panel.check_button.clicked.connect(lambda: self.check())
        panel.run_button.clicked.connect(lambda: self.run())
        panel.cancel_button.clicked.connect(self.cancel)
        panel.preview_button.toggled.connect(self._toggle_preview)
        panel.fields.changed.connect(self._field_changed)
        panel.reset.triggered.connect(panel.fields.reset)
        panel.show_log.triggered.connect(self.show_log)
        panel.show_help.triggered.connect(lambda: QDesktopServices.openUrl(QUrl(self._algorithm.helpUrl())))
        panel.copy_command.triggered.connect(lambda: self._copy(as_qgis_process))
        panel.copy_python.triggered.connect(lambda: self._copy(as_python))
        self.preview.reported.connect(panel.status.setText)
        self.preview.failed.connect(self._preview_failed)

    # -- check tiles

    def check(self, then: Optional[Callable[[], Any]] = None) -> None:
        """Run the pre-flight; `then` is called if it succeeds."""
        values = self.panel.fields.values()
        self._checked_values = _tiling(values)
        self._start(
            checks.check_run(values), tr("Checking tiles…"), lambda succeeded: self._check_ended(succeeded, then)
        )

    def _check_ended(self, succeeded: bool, then: Optional[Callable[[], Any]]) -> None:
        if succeeded:
            self._set_tile_layer(checks.show_layer(self.last))
            self._summary = checks.summary(self.last.results)
            self.panel.show_idle()
            self._mark()
        self.checked.emit(succeeded)
        if succeeded and then is not None:
            then()

    def _set_tile_layer(self, layer: Any) -> None:
        """Remove the tile layer that there is, and remember another one, or None."""
        before = self.tile_layer
        self._let_tile_layer_be()
        if layers.is_there(before):
            QgsProject.instance().removeMapLayer(before.id())
        self.tile_layer = layer
        if layer is not None:
            layer.willBeDeleted.connect(self._tile_layer_goes)

    def _let_tile_layer_be(self) -> None:
        # At the end of QGIS layers go after Python has gone, so nothing of Python's may listen any more.
        if layers.is_there(self.tile_layer):
            self.tile_layer.willBeDeleted.disconnect(self._tile_layer_goes)
        self.tile_layer = None

    def _tile_layer_goes(self) -> None:
        self.tile_layer = None
        self._mark()

    def _is_checked(self) -> bool:
        """Whether the tile layer shows the tiles of the present values."""
        return layers.is_there(self.tile_layer) and self._checked_values == _tiling(self.panel.fields.values())

    def _field_changed(self, name: str) -> None:
        if name in checks.TILING:
            self._mark()
        self.preview.field_changed(name)

    def _mark(self) -> None:
        if self.running is not None:
            return
        there, current = layers.is_there(self.tile_layer), self._is_checked()
        mark_outdated(self.tile_layer, not current, checks.NAME)
        note = "" if current else tr("<i>Outdated, the tiles have changed: check them again.</i><br>")
        self.panel.summary.setText(note + self._summary if there else "")

    # -- preview

    def _toggle_preview(self, is_on: bool) -> None:
        if is_on:
            self.panel.fields.remember()
            self.panel.status.setText(tr("Preview: getting ready…"))
            self.preview.switch_on()
        else:
            self.preview.switch_off()
            if self.running is None:
                self.panel.show_idle()

    def _preview_failed(self, reason: str) -> None:
        self.panel.preview_button.setChecked(False)
        self._show_failure(tr("No preview: {}").format(reason), with_log=False)

    # -- run

    def run(self) -> None:
        """Check the tiles if they have not been, then segment."""
        self.panel.fields.remember()
        if self._is_checked():
            self._segment()
        else:
            self.check(then=self._segment)

    def _segment(self) -> None:
        values = self.panel.fields.values()
        for name, value in values.items():
            if self._algorithm.parameterDefinition(name).isDestination():
                values[name] = QgsProcessingOutputLayerDefinition(value, QgsProject.instance())
        run = AlgorithmRun(SEGMENT, values, [layers.raster_of(values.get("INPUT"))])
        run.feedback.tile_changed.connect(self.tiles.change)
        if self._start(run, tr("Segmenting…"), self._run_ended) and layers.is_there(self.tile_layer):
            self.tiles.begin(self.tile_layer)

    def _run_ended(self, succeeded: bool) -> None:
        self.tiles.end(succeeded)
        if succeeded:
            self.panel.preview_button.setChecked(False)
            made = layers.load(self.last)
            raster = layers.raster_of(self.last.parameters.get("INPUT"))
            tile_layer = [self.tile_layer] if layers.is_there(self.tile_layer) else []
            group = layers.group_above(raster, [*tile_layer, *(made[name] for name in reversed(list(made)))])
            layers.finish(self.last, made)
            results = self.last.results
            text = tr("{} segments in {:.1f} s.").format(int(results["SEGMENT_COUNT"]), results["SECONDS"])
            self.panel.show_idle(text)
            self._push(self._iface.messageBar().createMessage(tr(TITLE), text), Qgis.MessageLevel.Success, 8)
            group.setExpanded(False)  # it is shown folded, as it was empty at first, but does not know
            group.setExpanded(True)
        self.ran.emit(succeeded)

    # -- what both share

    def _start(self, run: AlgorithmRun, text: str, ended: Callable[[bool], Any]) -> bool:
        self.running = run
        run.feedback.progressChanged.connect(self.panel.show_progress)
        run.feedback.text_changed.connect(self.panel.status.setText)
        run.finished.connect(lambda succeeded: self._ended(run, succeeded, ended))
        if run.start():
            self.panel.show_busy(text)
            return True
        self._ended(run, False, ended)
        return False

    def _ended(self, run: AlgorithmRun, succeeded: bool, ended: Callable[[bool], Any]) -> None:
        run.finished.disconnect()  # the slot holds the run, which would never go
        self.last, self.running = run, None
        if not succeeded:
            self.panel.show_idle(tr("Cancelled.") if run.was_cancelled else "")
            if not run.was_cancelled:
                self._show_failure(run.error)
        ended(succeeded)
        self._mark()

    def cancel(self) -> None:
        if self.running is not None:
            self.panel.cancel_button.setEnabled(False)
            self.panel.status.setText(tr("Cancelling…"))
            self.running.cancel()

    def _show_failure(self, reason: str, with_log: bool = True) -> None:
        """One sentence in the message bar, with a button to the log."""
        bar = self._iface.messageBar()
        item = bar.createMessage(tr(TITLE), reason)
        if with_log:
            button = QPushButton(tr("Show log"))
            button.clicked.connect(self.show_log)
            item.layout().addWidget(button)
        self._push(item, Qgis.MessageLevel.Critical)

    def _push(self, item: Any, level: Any, seconds: int = 0) -> None:
        """Show a message, a moment later so that it lies above what QGIS itself says about the task."""
        QTimer.singleShot(0, lambda: self._iface.messageBar().pushWidget(item, level, seconds))

    def show_log(self) -> None:
        """Show the log of the last check or run in a window of its own."""
        run = self.running or self.last
        if self._log is None:
            self._log = LogWindow(self._iface.mainWindow())
        self._log.show_text(run.feedback.htmlLog() if run else tr("Nothing has been run yet."))

    def _copy(self, make: Callable[[Any, Dict[str, Any], QgsProcessingContext], str]) -> None:
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        QApplication.clipboard().setText(make(self._algorithm, self.panel.fields.values(), context))
        self.panel.status.setText(tr("Copied."))

    def close(self) -> None:
        """End everything, and wait until it has ended."""
        self.preview.switch_off()
        if self.running is not None:
            self.running.cancel()
        wait_until(lambda: self.running is None and not self.preview.is_busy)
        self._let_tile_layer_be()
        self.last = None
        if self._log is not None:
            self._log.close()
            self._log.deleteLater()
            self._log = None


def _tiling(values: Dict[str, Any]) -> Dict[str, str]:
    return {name: str(values.get(name)) for name in checks.TILING}
