# SPDX-License-Identifier: GPL-2.0-or-later
"""What the panel's buttons do: check, preview, run, watch. One check or run at a time."""

from typing import Any, Callable, Dict, Iterator, Optional

from qgis.core import (
    QgsMapLayer,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
)
from qgis.PyQt.QtCore import QObject, QUrl, pyqtSignal
from qgis.PyQt.QtGui import QDesktopServices
from qgis.PyQt.QtWidgets import QApplication

from ...algorithms.labels import labelled
from ...algorithms.text import tr
from . import checks, endings, layers, outputs, style_by, tile_layers
from .commands import as_python, as_qgis_process
from .level_slider import LevelView
from .live_preview import SEGMENT, LivePreview
from .log import LogWindow
from .messages import Messages
from .panel import SegmentationPanel
from .raster_choice import RasterChoice
from .tasks import AlgorithmRun, in_steps, wait_until
from .tile_states import TileStates, mark_outdated

Values = Dict[str, Any]


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
        self.running: Any = None  # the AlgorithmRun that is going on
        self.last: Any = None  # the one that ended last
        self._output = ""  # of the last run that has made one
        self._log: Any = None
        self.messages = Messages(iface.messageBar(), self)
        self.tiles = TileStates(self)
        self.tile_layers = tile_layers.TileLayers(self)
        self.raster_choice = RasterChoice(panel.fields, iface.activeLayer, self)
        self._proposals = outputs.Proposals(panel.fields)
        self.preview = LivePreview(iface.mapCanvas(), panel.fields.values, self)
        self.style_by = style_by.StyleBy(iface.activeLayer, self._last_output, self)
        self.levels = LevelView(iface.mapCanvas(), panel.levels, self)
        self._connect()
        panel.fields.recall()
        self._raster_changed()
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
        self.raster_choice.changed.connect(self._raster_changed)
        self.tile_layers.gone.connect(self._mark)
        panel.style_button.clicked.connect(lambda: self.style_by.open(panel.show_style_menu))
        self.style_by.ended.connect(panel.status.setText)
        self.preview.updated.connect(self._show_sizes)
        self.preview.busy.connect(lambda _: self._tidy_after_tasks())
        self.style_by.ended.connect(lambda _: self._tidy_after_tasks())
        self.preview.reported.connect(panel.status.setText)
        self.preview.failed.connect(self._preview_failed)
        self.levels.failed.connect(lambda reason: panel.status.setText(tr("No outlines: {}").format(reason)))

    # -- the raster and its tiles

    @property
    def tile_layer(self) -> Any:
        """The tiles of the raster that is chosen; None if they have not been checked."""
        checked = self.tile_layers.of(self._raster_id())
        return None if checked is None else checked.layer

    def _raster_id(self) -> str:
        raster = self.raster_choice.raster()
        return self.raster_choice.source() if raster is None else raster.id()

    def _raster_changed(self) -> None:
        source = self.raster_choice.source()
        self._proposals.propose(source)
        if not source and self.running is None:
            self.panel.show_idle()  # what was said was of a raster that is not there
        self._mark()

    def _is_checked(self, values: Values) -> bool:
        """Whether the tile layer shows the tiles of some values."""
        checked = self.tile_layers.of(self._raster_id())
        return checked is not None and checked.values == _tiling(values)

    def _field_changed(self, name: str) -> None:
        if name in checks.TILING:
            self._mark()
        self.preview.field_changed(name)

    def _mark(self) -> None:
        """Say what is known of the tiles, and whether that is still so."""
        checked = self.tile_layers.of(self._raster_id())
        if self.running is not None:
            return
        if checked is None:
            self.panel.summary.setText("")
            return
        is_current = self._is_checked(self.panel.fields.values())
        if checked.layer.providerType() == "memory":  # the others are those of a result
            mark_outdated(checked.layer, not is_current, checks.NAME)
        note = "" if is_current else tr("<i>Outdated, the tiles have changed: check them again.</i><br>")
        self.panel.summary.setText(note + checked.summary)

    # -- check tiles

    def check(self, values: Optional[Values] = None, then: Optional[Callable[[], Any]] = None) -> None:
        """Run the pre-flight; `then` is called if it succeeds."""
        values = self.panel.fields.values() if values is None else values
        raster_id, tiling = self._raster_id(), _tiling(values)

        def show(run: AlgorithmRun) -> Iterator[None]:
            layer = checks.show_layer(run)
            yield
            if layers.is_there(layer):
                self.tile_layers.set(raster_id, layer, tiling, checks.summary(run))
                tile_layers.store(layer)

        def over(run: AlgorithmRun, succeeded: bool) -> None:
            self._mark()
            self._say_end(run, endings.of_check(run, succeeded), succeeded, with_success=False)
            self.checked.emit(succeeded)
            if succeeded and then is not None:
                then()

        self._start(checks.check_run(values), tr("Checking tiles…"), show, over)

    # -- preview

    def _toggle_preview(self, is_on: bool) -> None:
        if is_on:
            self.panel.fields.remember()
            self.panel.status.setText(tr("Preview: getting ready…"))
            self.preview.switch_on()
        else:
            self.preview.switch_off()
            self._show_sizes()
            if self.running is None:
                self.panel.show_idle()

    def _tidy_after_tasks(self) -> None:
        """QGIS reports every task that took a while, before 3.26; here the panel says enough."""
        for task in ("Preparing the segmentation", "Preview of segments", "Style by"):
            self.messages.tidy(tr(task))

    def _show_sizes(self) -> None:
        shown = self.preview.preview
        least = self.panel.fields.value("MIN_PIXELS")
        self.panel.histogram.show_counts(() if shown is None else shown.sizes.histogram, int(least or 1))

    def _preview_failed(self, reason: str) -> None:
        self.panel.preview_button.setChecked(False)
        text = tr("No preview: {}").format(labelled(reason, self._algorithm.parameterDefinitions()))
        self.panel.status.setText(text)
        self.messages.failure(text, None)

    # -- run

    def run(self) -> None:
        """Ask about files that are there, check the tiles if they have not been, then segment."""
        self.panel.fields.remember()
        values = outputs.with_tiles_file(self.panel.fields.values())
        there = outputs.existing(values)
        if there:
            answer = outputs.ask(values, there, self._iface.mainWindow())
            if answer == outputs.CANCEL:
                return
            if answer == outputs.KEEP:
                for name, path in outputs.renamed(values, there).items():
                    if self.panel.fields.values().get(name):
                        self.panel.fields.set_value(name, path)
                values = outputs.with_tiles_file(self.panel.fields.values())
        if self._is_checked(values):
            self._segment(values)
        else:
            self.check(values, then=lambda: self._segment(values))

    def _segment(self, values: Values) -> None:
        raster_id = self._raster_id()
        asked = {
            name: QgsProcessingOutputLayerDefinition(value, QgsProject.instance())
            if self._algorithm.parameterDefinition(name).isDestination() and name != outputs.S1TILES
            else value
            for name, value in values.items()
        }
        run = AlgorithmRun(SEGMENT, asked, [layers.raster_of(values.get("INPUT"))])
        run.feedback.tile_changed.connect(self.tiles.change)
        run.began.connect(lambda: self._show_progress(raster_id))
        self._start(run, tr("Segmenting…"), lambda run: self._show_results(run, raster_id), self._run_over)

    def _show_progress(self, raster_id: str) -> None:
        layer = self.tile_layers.for_a_run(raster_id)
        if layer is not None:
            self.tiles.begin(layer)

    def _run_over(self, run: AlgorithmRun, succeeded: bool) -> None:
        if not succeeded:
            self.tiles.end()
        self._mark()
        self._say_end(run, endings.of_run(run, succeeded), succeeded)
        self.ran.emit(succeeded)

    def _last_output(self) -> str:
        return self._output

    def _show_results(self, run: AlgorithmRun, raster_id: str) -> Iterator[None]:
        """Load, place and style the layers, in steps, so that QGIS goes on in between."""
        self.tiles.end()
        self.panel.preview_button.setChecked(False)
        self._output = run.results["OUTPUT"]
        self.style_by.forget(self._output)
        self.levels.forget()
        made: Dict[str, QgsMapLayer] = {}
        yield from layers.loading(run, made)
        tiles = self.tile_layers.now_in(raster_id, run.results.get(outputs.S1TILES, ""))
        if tiles is not None:
            made[outputs.S1TILES] = tiles
        raster = layers.raster_of(run.parameters.get("INPUT"))
        made = layers.still_there(made)
        if not made:  # the project was closed meanwhile
            return
        group = layers.gather(self._output, made, raster)
        if tiles is not None:
            layers.switch_off(tiles)  # its grid looks like seams
        group.setExpanded(False)  # it is shown folded, as it was empty at first, but does not know
        group.setExpanded(True)
        yield
        yield from layers.finishing(run, made)
        style_by.name_bands(layers.still_there(made).values(), layers.raster_of(run.parameters.get("INPUT")))
        self.raster_choice.refresh()
        if run.parameters.get("LEVELS"):
            self.levels.offer(self._output, int(run.parameters["MIN_PIXELS"]))

    # -- what both share

    def _start(
        self,
        run: AlgorithmRun,
        text: str,
        show: Callable[[AlgorithmRun], Iterator[None]],
        over: Callable[[AlgorithmRun, bool], None],
    ) -> None:
        """Begin a check or a run.

        Parameters
        ----------
        text : what is being done
        show : shows what a run has made that has succeeded, in steps
        over : called when it has ended, well or not, and all is shown
        """
        self.running = run
        run.feedback.progressChanged.connect(self.panel.show_progress)
        run.feedback.text_changed.connect(self.panel.status.setText)

        def ended(succeeded: bool) -> None:
            run.finished.disconnect()  # the slot holds the run, which would never go
            run.feedback.text_changed.disconnect()  # what is still under way shall not hide how it ended
            self.last = run
            in_steps(show(run) if succeeded else iter(()), lambda: self._over(run, succeeded, over))

        run.finished.connect(ended)
        self.panel.show_busy(text)
        if not run.start():
            ended(False)

    def _over(self, run: AlgorithmRun, succeeded: bool, over: Callable[[AlgorithmRun, bool], None]) -> None:
        self.running = None
        self.panel.show_idle()
        over(run, succeeded)

    def _say_end(self, run: AlgorithmRun, text: str, succeeded: bool, with_success: bool = True) -> None:
        """How a check or a run has ended, in the panel, the log and the message bar."""
        task = run.algorithm.displayName()
        facts = [fact for fact in endings.notices(run) if with_success and fact not in self.panel.summary.text()]
        self.panel.show_idle("<br>".join([text, *facts]) if succeeded else text)
        if succeeded or run.was_cancelled:
            run.feedback.pushInfo(text)
        if succeeded and not with_success:
            self.messages.tidy(task)
        elif succeeded:
            self.messages.success(text.partition(". ")[0].rstrip(".") + ".", task)
        elif not succeeded and run.was_cancelled:
            self.messages.info(text, task)
        elif not succeeded:
            self.messages.failure(text, self.show_log, task)

    def cancel(self) -> None:
        if self.running is not None:
            self.panel.cancel_button.setEnabled(False)
            self.panel.status.setText(tr("Cancelling…"))
            self.running.cancel()

    def show_log(self) -> None:
        """Show the log of the last check or run in a window of its own."""
        run = self.running or self.last
        if self._log is None:
            self._log = LogWindow(self._iface.mainWindow())
        self._log.show_text(run.feedback.htmlLog() if run else tr("Nothing has been run yet."))

    def _copy(self, make: Callable[[Any, Values, QgsProcessingContext], str]) -> None:
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        values = outputs.with_tiles_file(self.panel.fields.values())
        QApplication.clipboard().setText(make(self._algorithm, values, context))
        self.panel.status.setText(tr("Copied."))

    def close(self) -> None:
        """End everything, and wait until it has ended."""
        self.preview.switch_off()
        self.style_by.cancel()
        self.levels.forget()
        if self.running is not None:
            self.running.cancel()
        views = self.preview, self.style_by, self.levels
        wait_until(lambda: self.running is None and not any(view.is_busy for view in views))
        self.tile_layers.let_go()
        self.raster_choice.let_go()
        self.last = None
        if self._log is not None:
            self._log.close()
            self._log.deleteLater()
            self._log = None


def _tiling(values: Values) -> Dict[str, str]:
    return {name: str(values.get(name)) for name in checks.TILING}
