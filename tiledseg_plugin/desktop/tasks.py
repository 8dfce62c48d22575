# SPDX-License-Identifier: GPL-2.0-or-later
"""Work in the background: runs of algorithms and calls of the engine, as tasks that can be watched and cancelled."""

import time
import traceback
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

from qgis.core import (
    QgsApplication,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProject,
    QgsTask,
)
from qgis.PyQt.QtCore import QCoreApplication, QEventLoop, QObject, QTimer, pyqtSignal

from ...algorithms.text import tr
from .. import engine
from ..compat import QUIET_TASK
from ..engine.errors import Cancelled, SegmentationError
from ..engine.progress import Feedback
from .opened import opened_rasters

END_SECONDS = 20.0  # how long the end of cancelled tasks is waited for, when there is no later


class RunFeedback(QgsProcessingFeedback):
    """Feedback of an algorithm that also reports single tiles and notices (see `algorithms.feedback`).

    error : the first error, a sentence
    notices : what a user should know who does not read the log, in the order of the run
    """

    tile_changed = pyqtSignal(int, str)
    text_changed = pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__()
        self.error = ""
        self.notices: List[str] = []

    def setProgressText(self, text: str) -> None:
        super().setProgressText(text)
        self.text_changed.emit(text)

    def pushWarning(self, warning: str) -> None:
        super().pushWarning(warning)
        self.notice(warning)

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def reportError(self, error: str, fatalError: bool = False) -> None:  # noqa: N803  # QGIS's name
        super().reportError(error, fatalError)
        self.error = self.error or error.strip()


class AlgorithmTask(QgsTask):
    """A prepared algorithm, run on a thread of the task manager's.

    QGIS's own task forgets what a run has made if it is cancelled in its last moment, and its end is called a failure
    when it was cancelled.
    """

    ended = pyqtSignal()

    def __init__(self, algorithm: Any, parameters: Dict[str, Any], context: QgsProcessingContext, feedback: Any):
        super().__init__(algorithm.displayName(), QUIET_TASK)
        self._run = algorithm, parameters, context, feedback
        feedback.progressChanged.connect(self.setProgress)
        self.results: Dict[str, Any] = {}
        self.rasters: Dict[str, QgsMapLayer] = {}

    def run(self) -> bool:
        algorithm, parameters, context, feedback = self._run
        try:
            self.results = algorithm.runPrepared(parameters, context, feedback)
            self.rasters = opened_rasters(algorithm, context) if self.results else {}
        except QgsProcessingException as error:
            feedback.reportError(str(error))
        except Exception:  # nothing may pass into QGIS
            feedback.reportError(tr("This is a fault of the plugin: please report it with the log of this run."))
            feedback.pushDebugInfo(traceback.format_exc())
        return bool(self.results)

    def cancel(self) -> None:
        self._run[-1].cancel()
        super().cancel()

    def finished(self, succeeded: bool) -> None:
        algorithm, _, context, feedback = self._run
        feedback.progressChanged.disconnect(self.setProgress)
        if self.results:
            self.results = algorithm.postProcess(context, feedback) or self.results
        self.ended.emit()


class AlgorithmRun(QObject):
    """One run of an algorithm as a QgsTask. Keep a reference to it while it runs.

    Parameters
    ----------
    algorithm_id : str
    parameters : dict
    layers : the run is cancelled when one of these is removed
    """

    began = pyqtSignal()
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
        self.rasters: Dict[str, QgsMapLayer] = {}  # of the results, open already, by what they are opened from
        self.error = ""
        self.was_cancelled = False  # by whom or what ever; it may have succeeded all the same
        self._layers = [layer for layer in layers if layer is not None]
        self._task: Any = None
        self.is_running = False

    def start(self) -> bool:
        """Begin, a moment later; False, with a sentence in `error`, if the parameters are refused."""
        accepted, reason = self.algorithm.checkParameterValues(self.parameters, self.context)
        if not accepted:
            self.error = reason
            self.feedback.reportError(reason)
            return False
        for layer in self._layers:  # as dependent layers of the task they would keep QGIS from closing
            layer.willBeDeleted.connect(self.cancel)
        self.is_running = True
        QTimer.singleShot(0, self._begin)  # preparing checks all files again: QGIS may do something in between
        return True

    def _begin(self) -> None:
        if self.feedback.isCanceled() or not self.algorithm.prepare(self.parameters, self.context, self.feedback):
            self._end({})
        else:
            self._task = AlgorithmTask(self.algorithm, self.parameters, self.context, self.feedback)
            self._task.ended.connect(self._task_ended)
            QgsApplication.taskManager().addTask(self._task)
            QTimer.singleShot(0, self._say_that_it_began)

    def _say_that_it_began(self) -> None:
        if self.is_running:
            self.began.emit()

    def _task_ended(self) -> None:
        self.rasters = self._task.rasters
        self._end(self._task.results)

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

    def _end(self, results: Dict[str, Any]) -> None:
        self._task, self.is_running = None, False
        self._let_go()
        self.results, self.was_cancelled = results, self.feedback.isCanceled()
        if not self.results:
            self.error = self.feedback.error or tr("The run failed; its log says more.")
        self.finished.emit(bool(self.results))


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
            engine.load()
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


def in_steps(work: Iterator[Any], then: Callable[[], Any]) -> None:
    """Do some work on the main thread, with QGIS going on at each `yield`; `then` is called at its end.

    An error ends it; `then` is called all the same.
    """
    try:
        next(work)
    except StopIteration:
        then()
    except BaseException:
        then()
        raise
    else:
        QTimer.singleShot(0, lambda: in_steps(work, then))


def wait_until(done: Callable[[], bool], seconds: float = END_SECONDS) -> bool:
    """Let QGIS go on until `done()` is true, or the time is over; returns whether it is true."""
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents, 20)
        time.sleep(0.005)
    return done()
