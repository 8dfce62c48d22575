# SPDX-License-Identifier: GPL-2.0-or-later
"""The slider of the panel that shows the outlines of the last result's segments at each of its levels on the map.

What is in view is found for all levels in the background, so that the slider only changes what the layer holds.
"""

from typing import Any, Callable, Dict, List, Optional, Tuple

from qgis.core import QgsApplication, QgsCsException, QgsFeature, QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import QObject, Qt, QTimer, pyqtSignal
from qgis.PyQt.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QSlider, QWidget

from ...algorithms.layer_files import layers_of
from ...algorithms.text import tr
from ..engine.progress import Feedback
from .live_preview import DELAY_MILLISECONDS, extent_in_view
from .outline_layer import OutlineLayer, features_of
from .tasks import EngineTask

Lines = Tuple[List[QgsFeature], bool]  # and whether they are dense


class LevelSlider(QWidget):
    """A slider with what it shows; hidden until there are levels."""

    moved = pyqtSignal(int)  # to which place: 0 is off, 1 the segments, then the levels

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("levels")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setObjectName("scale")
        self.slider.setPageStep(1)
        self.slider.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.slider.setToolTip(tr("Outlines of the segments of the last run at each of its minimum sizes"))
        self.text = QLabel()
        self.text.setObjectName("scale text")
        self.text.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(QLabel(tr("Scale:")))
        layout.addWidget(self.slider, 1)
        layout.addWidget(self.text)
        self.slider.valueChanged.connect(self._moved)
        self._names = [tr("off")]
        self.hide()

    def offer(self, sizes: List[int]) -> None:
        """Show the slider for some minimum sizes, at first switched off; none hides it."""
        self._names = [tr("off"), *(tr("{} pixels").format(size) for size in sizes)]
        self.text.setFixedWidth(max(self.text.fontMetrics().boundingRect(name).width() for name in self._names) + 8)
        self.slider.blockSignals(True)
        self.slider.setRange(0, len(sizes))
        self.slider.setValue(0)
        self.slider.blockSignals(False)
        self.text.setText(self._names[0])
        self.setVisible(bool(sizes))

    def _moved(self, place: int) -> None:
        self.text.setText(self._names[place])
        self.moved.emit(place)


class LevelsTask(EngineTask):
    """Finds the lines of a view, level after level."""

    made = pyqtSignal(int)  # the lines of a level are there


class LevelView(QObject):
    """Keeps a temporary layer of outlines at what the slider says.

    Parameters
    ----------
    canvas : QgsMapCanvas
    slider : LevelSlider
    """

    failed = pyqtSignal(str)

    def __init__(self, canvas: Any, slider: LevelSlider, parent: Any = None):
        super().__init__(parent)
        self._canvas, self._slider = canvas, slider
        self._outlines = OutlineLayer(tr("Segments at a scale"))
        self._levels: Any = None  # see preview_levels.Levels
        self._order: List[int] = []  # levels by the slider's places, from 1
        self._lines: Dict[int, Lines] = {}  # of what is in view
        self._path, self._task, self._follows = "", None, False  # type: Tuple[str, Any, bool]
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY_MILLISECONDS)
        self._timer.timeout.connect(self._look)
        slider.moved.connect(self._moved)

    @property
    def layer(self) -> Any:
        """The layer of outlines; None if there is none."""
        return self._outlines.layer

    @property
    def is_busy(self) -> bool:
        return self._task is not None or self._timer.isActive()

    @property
    def place(self) -> int:
        """Where the slider is; 0 is off."""
        return int(self._slider.slider.value())

    def offer(self, path: str, min_pixels: int) -> None:
        """Read the levels of a result in the background, and show the slider if it has some."""
        self.forget()
        self._path = path

        def work(feedback: Feedback) -> Any:
            from ..engine.preview_levels import read_levels

            return read_levels(path, _check(feedback))

        def then(levels: Any) -> None:
            if levels is None:
                return
            self._levels, self._order = levels, sorted(levels.holders)
            self._slider.offer([level or min_pixels for level in self._order])

        self._start(EngineTask(tr("Reading levels"), work), then)

    def forget(self) -> None:
        """Take slider and outlines away: there is another result, or none."""
        self._stop()
        self._slider.offer([])
        self._show_nothing()
        self._levels, self._order = None, []

    def _show_nothing(self) -> None:
        self._timer.stop()
        if self._follows:
            self._canvas.extentsChanged.disconnect(self._timer.start)
        self._follows = False
        self._outlines.remove()
        self._lines = {}

    def _stop(self) -> None:
        if self._task is not None:
            self._task.superseded = True
            self._task.cancel()

    def _moved(self, place: int) -> None:
        if not place:
            self._stop()
            self._show_nothing()
        elif self._order[place - 1] in self._lines:
            self._show()
        elif self._task is None:
            self._look()

    def _raster(self) -> Optional[QgsRasterLayer]:
        found = layers_of(QgsProject.instance(), self._path)
        return next((layer for layer in found if isinstance(layer, QgsRasterLayer)), None)

    def _look(self) -> None:
        """Find the lines of all levels in view, that of the slider first."""
        if not self.place or self._levels is None:
            return
        if self._task is not None:
            self._stop()
            self._timer.start()
            return
        raster = self._raster()
        try:
            extent = extent_in_view(self._canvas, raster)
        except QgsCsException as error:
            self.failed.emit(str(error))
            return
        levels, most = self._levels, (self._canvas.width(), self._canvas.height())
        now = self.place - 1
        order = sorted(self._order, key=lambda level: abs(self._order.index(level) - now))
        found: Dict[int, Lines] = {}

        def work(feedback: Feedback) -> bool:
            from ..engine.preview_levels import level_lines, view_of

            check, view = _check(feedback), view_of(levels.path, extent, most)
            for level in order:
                lines = () if view is None else level_lines(levels, level, view, check)
                found[level] = features_of(lines), view is not None and view.is_coarse
                task.made.emit(level)
            return True

        task = LevelsTask(tr("Outlines of segments"), work)
        self._lines = found
        task.made.connect(lambda level: self._made(task, level))
        self._start(task, lambda _: None)

    def _made(self, task: EngineTask, level: int) -> None:
        if not task.superseded and self.place and self._order[self.place - 1] == level:
            self._show()

    def _show(self) -> None:
        if not self._follows:
            self._canvas.extentsChanged.connect(self._timer.start)
        self._follows = True
        features, is_dense = self._lines[self._order[self.place - 1]]
        self._outlines.fill(features, self._raster(), is_dense)

    def _start(self, task: EngineTask, then: Callable[[Any], None]) -> None:
        def ended() -> None:
            if self._task is task:
                self._task = None
            if task.error:
                self.failed.emit(task.error)
            elif task.result is not None and not task.superseded:
                then(task.result)

        task.ended.connect(ended)
        self._task = task
        QgsApplication.taskManager().addTask(task)


def _check(feedback: Feedback) -> Callable[[], None]:
    from ..engine.progress import Progress

    return Progress(feedback, {"levels": 1}).check_cancelled
