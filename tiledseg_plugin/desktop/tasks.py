# SPDX-License-Identifier: GPL-2.0-or-later
"""Work in the background: runs of algorithms and calls of the engine, as tasks that can be watched and cancelled."""

import time
import traceback
from typing import Any, Callable, Dict, Optional, Sequence

from qgis.core import (
    QgsApplication,
    QgsMapLayer,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
    QgsTask,
)
from qgis.PyQt.QtCore import QCoreApplication, QEventLoop, QObject, pyqtSignal

from ...algorithms.text import tr
from ..compat import QUIET_TASK
from ..engine.errors import Cancelled, SegmentationError
from ..engine.progress import Feedback

END_SECONDS = 20.0  # how long the end of cancelled tasks is waited for, when there is no later


class RunFeedback(QgsProcessingFeedback):
    """Feedback of an algorithm that also reports single tiles (see `algorithms.feedback`)."""

    tile_changed = pyqtSignal(int, str)
    text_changed = pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__()
        self.error = ""

    def setProgressText(self, text: str) -> None:
        super().setProgressText(text)
        self.text_changed.emit(text)

    def reportError(self, error: str, fatalError: bool = False) -> None:  # noqa: N803  # QGIS's name
        super().reportError(error, fatalError)
        self.error = self.error or error.strip()


class AlgorithmRun(QObject):
    """One run of an algorithm as a QgsTask. Keep a reference to it while it runs.

    Parameters
    ----------
    algorithm_id : str
    parameters : dict
    layers : the run is cancelled when one of these is removed
    """

    finished = pyqtSignal(bool)  # whether it succeeded; then `results` and `context` are there

    def __init__(self, algorithm_id: str, parameters: Dict[str, Any], layers: Sequence[Optional[QgsMapLayer]] = ()):
        super().__init__()
        self.algorithm = QgsApplication.processingRegistry().createAlgorithmById(algorithm_id)
        self.parameters = parameters
        self.context = QgsProcessingContext()
        self.context.setProject(QgsProject.instance())
        self.feedback = RunFeedback()
        self.context.setFeedback(self.feedback)
        self.results: Dict[str, Any] = {}
        self.error = ""
        self._layers = [layer for layer in layers if layer is not None]
        self._task: Any = None

    def start(self) -> bool:
        """Begin; False, with a sentence in `error`, if the parameters are refused."""
        accepted, reason = self.algorithm.checkParameterValues(self.parameters, self.context)
        if not accepted:
            self.error = reason
            return False
        task = QgsProcessingAlgRunnerTask(self.algorithm, self.parameters, self.context, self.feedback)
        if task.isCanceled():  # it could not be prepared
            self.error = self.feedback.error or tr("The run could not be prepared.")
            return False
        for layer in self._layers:  # as dependent layers of the task they would keep QGIS from closing
            layer.willBeDeleted.connect(self.cancel)
        task.executed.connect(self._executed)
        self._task = task
        QgsApplication.taskManager().addTask(task)
        return True

    def cancel(self) -> None:
        self.feedback.cancel()
        if self._task is not None:
            self._task.cancel()

    def _let_go(self) -> None:
        for layer in self._layers:
            try:
                layer.willBeDeleted.disconnect(self.cancel)
            except (RuntimeError, TypeError):
                pass  # the layer has gone, and the connection with it
        self._layers = []

    @property
    def is_running(self) -> bool:
        return self._task is not None

    @property
    def was_cancelled(self) -> bool:
        return self.feedback.isCanceled()

    def _executed(self, succeeded: bool, results: Dict[str, Any]) -> None:
        self._task = None
        self._let_go()
        self.results = results
        succeeded = succeeded and not self.was_cancelled
        if not succeeded:
            self.error = self.feedback.error or tr("The run failed; its log says more.")
        self.finished.emit(succeeded)


class EngineFeedback(Feedback):
    """The engine's feedback within a task."""

    def __init__(self, task: "EngineTask"):
        self._task = task

    def is_cancelled(self) -> bool:
        return self._task.isCanceled() or self._task.superseded

    def set_progress(self, percent: float) -> None:
        self._task.setProgress(percent)

    def set_progress_text(self, text: str) -> None:
        self._task.text_changed.emit(text)


class EngineTask(QgsTask):
    """A call of the engine: `work(feedback)` on a thread of the task manager's.

    superseded : set it to end the task without a trace
    """

    ended = pyqtSignal()
    text_changed = pyqtSignal(str)

    def __init__(self, description: str, work: Callable[[Feedback], Any]):
        super().__init__(description, QUIET_TASK)
        self._work: Any = work
        self.superseded = False
        self.result: Any = None
        self.error = ""
        self.traceback = ""

    def run(self) -> bool:
        try:
            self.result = self._work(EngineFeedback(self))
        except Cancelled:
            return False
        except (SegmentationError, MemoryError, OSError) as error:
            self.error = str(error) or type(error).__name__
            return False
        except Exception as error:  # a fault of ours: QGIS would only say that the task failed
            self.error = tr("This is a fault of the plugin ({}: {}).").format(type(error).__name__, error)
            self.traceback = traceback.format_exc()
            return False
        return True

    def finished(self, succeeded: bool) -> None:
        self._work = None
        self.ended.emit()


def wait_until(done: Callable[[], bool], seconds: float = END_SECONDS) -> bool:
    """Let QGIS go on until `done()` is true, or the time is over; returns whether it is true."""
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents, 20)
        time.sleep(0.005)
    return done()
