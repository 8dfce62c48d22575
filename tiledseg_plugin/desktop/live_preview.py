# SPDX-License-Identifier: GPL-2.0-or-later
"""The preview on the map: follows the view and the fields while it is switched on, without the GUI ever waiting."""

import gc
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

from qgis.core import (
    QgsApplication,
    QgsCoordinateTransform,
    QgsCsException,
    QgsFeature,
    QgsProcessingContext,
    QgsProject,
    QgsRasterLayer,
)
from qgis.PyQt.QtCore import QObject, QTimer, pyqtSignal

from ...algorithms.labels import for_whom_it_is
from ...algorithms.text import tr
from ..engine.errors import Cancelled, SegmentationError
from ..engine.parameters import SegmentParameters
from ..engine.progress import Feedback
from . import endings, layers
from .outline_layer import OutlineLayer, features_of
from .tasks import EngineTask

Extent = Tuple[float, float, float, float]  # left, bottom, right, top

SEGMENT = "tiledseg:segment"
DELAY_MILLISECONDS = 250  # after the last change of the view or a field
DENSE = 0.9  # pixels of the raster to a pixel of the screen, from which on lines are drawn thin
SHOWN = (
    "INPUT",
    "BANDS",
    "NUM_CLUSTERS",
    "MIN_PIXELS",
    "DISTANCE_THRESHOLD",
    "STRETCH",
    "RSGISLIB_STRETCH",
    "SAMPLING",
    "KMEANS_MAX_ITERATIONS",
    "EXTENT",
    "ZONES",
    "ZONES_OUTSIDE",
    "NODATA",
    "NODATA_RULE",
    "TILES",
)


@dataclass(frozen=True)
class _Drawn:
    """Outlines that are ready to be shown.

    preview : see preview.Preview
    width : pixels of the raster across all that is going to be shown, of which this may be a part
    """

    preview: Any
    features: List[QgsFeature]
    width: int


class PreviewTask(EngineTask):
    """One preview.

    deciding : what the basis depends on
    stage : "basis", then "view"
    part : what `part_made` says is there, see `_Drawn`
    """

    part_made = pyqtSignal()

    def __init__(self, description: str, work: Callable[[Feedback], Any], deciding: Any):
        super().__init__(description, work)
        self.deciding = deciding
        self.stage = "basis"
        self.part: Optional[_Drawn] = None


class LivePreview(QObject):
    """Keeps a temporary layer of outlines up to date.

    Parameters
    ----------
    canvas : QgsMapCanvas
    values : () -> {id: value} of the form
    """

    reported = pyqtSignal(str)  # what is being done, or what came out
    updated = pyqtSignal()
    failed = pyqtSignal(str)
    busy = pyqtSignal(bool)

    def __init__(self, canvas: Any, values: Callable[[], Dict[str, Any]], parent: Any = None):
        super().__init__(parent)
        self.preview: Any = None  # what is shown; see preview.Preview
        self.part: Any = None  # the same of the centre of the view, which is shown as long as there is nothing else
        self._canvas, self._values = canvas, values
        self._outlines = OutlineLayer(tr("Preview of segments"))
        self._previewer: Any = None
        self._loading: Any = None
        self._task: Any = None
        self._is_on = self._is_pending = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY_MILLISECONDS)
        self._timer.timeout.connect(self._update)

    def load(self) -> None:
        """Import the engine and its kernels in the background, as that takes a while."""
        if self._loading is None and self._previewer is None:
            self._loading = EngineTask(tr("Preparing the segmentation"), _load)
            self._loading.ended.connect(self._loaded)
            QgsApplication.taskManager().addTask(self._loading)

    def _loaded(self) -> None:
        task, self._loading = self._loading, None
        self._previewer = task.result
        self.busy.emit(False)
        if task.error:
            self.failed.emit(task.error)
        else:
            self._update()

    @property
    def layer(self) -> Any:
        """The layer of outlines; None if there is none."""
        return self._outlines.layer

    @property
    def is_on(self) -> bool:
        return self._is_on

    @property
    def is_busy(self) -> bool:
        return self._task is not None or self._loading is not None or self._timer.isActive()

    def switch_on(self) -> None:
        if not self._is_on:
            self._is_on = True
            self._canvas.extentsChanged.connect(self.request)
            self._update()

    def switch_off(self) -> None:
        """Stop, and take the outlines away."""
        if not self._is_on:
            return
        self._is_on = self._is_pending = False
        self._canvas.extentsChanged.disconnect(self.request)
        self._timer.stop()
        if self._task is not None:
            self._task.superseded = True
            self._task.cancel()
        self._outlines.remove()
        self.preview = self.part = None

    def field_changed(self, name: str) -> None:
        """A field of the form has another value."""
        if self._is_on and name in SHOWN:
            self.request()

    def request(self) -> None:
        """Update the preview soon: something has changed, and more may follow."""
        if not self._timer.isActive() and (self.preview or self.part):
            self.reported.emit(tr("Preview: looking at what is in view now…"))  # what was said is of another view
        self._timer.start()

    def _update(self) -> None:
        if not self._is_on:
            return
        if self._previewer is None:
            self.load()
            return
        values = self._values()
        raster = layers.raster_of(values.get("INPUT"))
        try:
            parameters = self._parameters(values)
            extent = extent_in_view(self._canvas, raster)
        except (SegmentationError, QgsCsException) as error:
            self.failed.emit(str(error))
            return
        if self._task is not None:
            # What is found out about the whole raster is good for every view of it.
            if self._task.stage != "basis" or self._task.deciding != _deciding(parameters):
                self._task.superseded = True
            self._is_pending = True
            return
        self._start(parameters, extent, raster)

    def _parameters(self, values: Dict[str, Any]) -> SegmentParameters:
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        return _segment().run_parameters(values, context)

    def _start(self, parameters: SegmentParameters, extent: Extent, raster: Optional[QgsRasterLayer]) -> None:
        def work(feedback: Feedback) -> Any:
            from ..engine import kernels
            from ..engine import preview as engine

            slower = tr(" (slower the first time, while faster code is made)") if kernels.are_being_made() else ""
            if not self._previewer.is_ready(parameters):
                feedback.set_progress_text(tr("Preview: reading the whole raster once") + slower)
                self._previewer.prepare(parameters, feedback)
            task.stage = "view"
            if self._is_pending:
                raise Cancelled()
            window, is_cut = engine.window_in_view(parameters.input, extent, part=parameters.extent)
            if window is None:
                return _Drawn(None, [], 0), False
            feedback.set_progress_text(tr("Preview: segmenting what is in view") + slower)
            part = self._previewer.first_part(window) if is_first else None
            if part is not None:
                centre = self._previewer.show(parameters, part, feedback)
                task.part = _Drawn(centre, features_of(centre.lines), window.width)
                task.part_made.emit()
                text = tr("Preview: the centre of the view, {} × {} pixels; the rest follows").format(*part[2:])
                feedback.set_progress_text(text + slower)
            shown = self._previewer.show(parameters, window, feedback)
            return _Drawn(shown, features_of(shown.lines), window.width), is_cut

        is_first = self.preview is None  # what is shown stays until all of what is in view now can be
        task = PreviewTask(tr("Preview of segments"), work, _deciding(parameters))
        task.text_changed.connect(self.reported)
        task.part_made.connect(self._show_part)
        task.ended.connect(lambda: self._ended(task, raster))
        self._task, self._is_pending = task, False
        self.busy.emit(True)
        QgsApplication.taskManager().addTask(task)

    def _ended(self, task: EngineTask, raster: Optional[QgsRasterLayer]) -> None:
        self._task = None
        self.busy.emit(False)
        if not self._is_on:
            return
        if self._is_pending:
            self._update()
        elif task.error:
            self.failed.emit(task.error)
        elif task.result is not None:
            drawn, is_cut = task.result
            self._show(drawn, is_cut, raster)
        elif self.part is not None:
            self.reported.emit(tr("Preview: cancelled; only the centre of the view is shown."))

    def _show_part(self) -> None:
        """What the task that is under way has made so far, unless it is of another view or other values by now."""
        part = None if self._task is None else self._task.part
        is_wanted = self._is_on and not self._is_pending and not self._timer.isActive()
        if is_wanted and part is not None:
            self.part = part.preview
            self._draw(part, layers.raster_of(self._values().get("INPUT")))

    def _draw(self, drawn: _Drawn, raster: Optional[QgsRasterLayer]) -> None:
        self._outlines.fill(drawn.features, raster, drawn.width > DENSE * self._canvas.width())

    def _show(self, drawn: _Drawn, is_cut: bool, raster: Optional[QgsRasterLayer]) -> None:
        self.preview, self.part = drawn.preview, None
        self._draw(drawn, raster)
        preview = drawn.preview
        if preview is None:
            self.reported.emit(tr("Preview: the raster is not in view."))
        else:
            algorithm = _segment()  # its definitions go with it
            worded = for_whom_it_is(algorithm.parameterDefinitions())
            self.reported.emit(endings.of_preview(preview, is_cut, self._values(), worded))
        self.updated.emit()


def _segment() -> Any:
    return QgsApplication.processingRegistry().createAlgorithmById(SEGMENT)


def _load(feedback: Feedback) -> Any:
    """A Previewer, with all that it needs imported; the first time ever, another process begins to compile kernels."""
    from ..engine import kernels, preview, preview_levels, segmentation  # noqa: F401  # the last two are needed later
    from ..engine.files import vector_trial  # noqa: F401
    from ..engine.kernels.entries import USUAL, entries_of_run

    kernels.choose(entries=entries_of_run(*USUAL[0]), calm=True)
    # So much was imported that Python will soon look through all objects for garbage, which holds up the GUI for a
    # quarter of a second: better now, while the panel opens, than in the midst of a preview.
    gc.collect()
    return preview.Previewer()


def _deciding(parameters: SegmentParameters) -> Any:
    from ..engine.preview import basis_key

    return basis_key(parameters)


def extent_in_view(canvas: Any, raster: Optional[QgsRasterLayer]) -> Extent:
    """The view as (left, bottom, right, top) in the raster's coordinates.

    Raises
    ------
    QgsCsException : it has no place there
    """
    settings = canvas.mapSettings()
    extent = settings.visibleExtent()
    if raster is not None and raster.crs().isValid() and settings.destinationCrs().isValid():
        transform = QgsCoordinateTransform(settings.destinationCrs(), raster.crs(), QgsProject.instance())
        extent = transform.transformBoundingBox(extent)
    return extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()
