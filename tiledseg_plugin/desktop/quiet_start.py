# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels are compiled once after an installation, while nobody does anything in QGIS, so that no run has to wait."""

from typing import Any

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QObject, QTimer
from qgis.PyQt.QtGui import QCursor

from ...algorithms.text import tr
from ..engine.progress import Feedback
from .tasks import EngineTask, wait_until

LOOK_MILLISECONDS = 15_000
CALM_LOOKS = 2  # looks in a row at which nothing had happened


class QuietStart(QObject):
    """Looks now and then whether QGIS is idle; has what is missing compiled by a process of the lowest priority, once.

    Parameters
    ----------
    canvas : QgsMapCanvas
    """

    def __init__(self, canvas: Any, parent: Any = None):
        super().__init__(parent)
        self.task: Any = None
        self._canvas = canvas
        self._before: Any = None
        self._calm = 0
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MILLISECONDS)
        self._timer.timeout.connect(self.look)
        self._timer.start()

    def look(self) -> None:
        """See whether anything has happened since the last look."""
        position, extent = QCursor.pos(), self._canvas.extent()
        now = position.x(), position.y(), extent.xMinimum(), extent.yMaximum(), extent.width()
        is_busy = QgsApplication.taskManager().countActiveTasks() > 0 or self._canvas.isDrawing()
        self._calm = 0 if is_busy or now != self._before else self._calm + 1
        self._before = now
        if self._calm >= CALM_LOOKS:
            self._timer.stop()
            self.task = EngineTask(tr("Preparing the segmentation"), compile_quietly)
            self.task.ended.connect(self._ended)
            QgsApplication.taskManager().addTask(self.task)

    def stop(self) -> None:
        """Look no more; a request that is being made takes less than a second."""
        self._timer.stop()
        wait_until(lambda: self.task is None)

    def _ended(self) -> None:
        self.task = None  # QGIS deletes it


def compile_quietly(feedback: Feedback) -> None:
    """Ask for what runs on images of the usual kinds need and is not there."""
    from ..engine.execution import compiling
    from ..engine.kernels import machine_code
    from ..engine.kernels.entries import USUAL, entries_of_run

    try:
        ready = machine_code.marked(machine_code.READY)
    except ImportError:  # no numba
        return
    wanted = dict.fromkeys(entry for usual in USUAL for entry in entries_of_run(*usual))
    missing = [entry for entry in wanted if entry not in ready]
    if missing:
        compiling.shared.request(missing, calm=True)
