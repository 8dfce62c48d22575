# SPDX-License-Identifier: GPL-2.0-or-later
"""Between Processing and the engine: progress and messages out, cancelling in, errors as Processing wants them."""

import traceback
from contextlib import contextmanager
from typing import Callable, Iterator

from qgis.core import QgsProcessingException, QgsProcessingFeedback

from ..tiledseg_plugin.engine.errors import Cancelled, SegmentationError, why
from ..tiledseg_plugin.engine.progress import Feedback
from .text import tr


def _as_it_is(text: str) -> str:
    return text


class ProcessingFeedback(Feedback):
    """The engine's feedback, handed on to a QgsProcessingFeedback.

    Parameters
    ----------
    worded : how a message is worded for whoever reads it, see `labels.for_whom_it_is`
    """

    def __init__(self, feedback: QgsProcessingFeedback, worded: Callable[[str], str] = _as_it_is) -> None:
        self._feedback = feedback
        self._worded = worded
        self._text = ""

    def is_cancelled(self) -> bool:
        return self._feedback.isCanceled()

    def set_progress(self, percent: float) -> None:
        self._feedback.setProgress(percent)

    def set_progress_text(self, text: str) -> None:
        if text != self._text:  # each is a line in the log of the toolbox
            self._text = text
            self._feedback.setProgressText(text)

    def info(self, text: str) -> None:
        self._feedback.pushInfo(self._worded(text))

    def notice(self, text: str) -> None:
        text = self._worded(text)
        self._feedback.pushInfo(text)
        noted = getattr(self._feedback, "notice", None)  # the panel's feedback has it
        if noted is not None:
            noted(text)

    def warning(self, text: str) -> None:
        self._feedback.pushWarning(self._worded(text))

    def debug(self, text: str) -> None:
        self._feedback.pushDebugInfo(text)

    def tile_started(self, tile_id: int) -> None:
        self._report_tile(tile_id, "working")

    def tile_finished(self, tile_id: int) -> None:
        self._report_tile(tile_id, "done")

    def _report_tile(self, tile_id: int, state: str) -> None:
        # The panel's feedback has this signal, which Qt takes to the thread of whoever listens.
        signal = getattr(self._feedback, "tile_changed", None)
        if signal is not None:
            signal.emit(tile_id, state)


@contextmanager
def errors_as_processing_exceptions(
    feedback: QgsProcessingFeedback, worded: Callable[[str], str] = _as_it_is
) -> Iterator[None]:
    """Let nothing but QgsProcessingException out: with it `qgis_process` prints one line instead of a traceback.

    `Cancelled` passes, for the algorithm to end its run in peace.
    """
    try:
        yield
    except SegmentationError as error:
        raise QgsProcessingException(worded(str(error))) from error
    except MemoryError as error:
        text = tr("There is not enough memory for this run: lower WORKERS or the tile size, or close other programs.")
        raise QgsProcessingException(worded(text)) from error
    except OSError as error:
        raise QgsProcessingException(
            tr(
                "{} cannot be read or written ({}): check that its disk has room and that the file may be changed."
            ).format(error.filename or tr("A file"), why(error))
        ) from error
    except (Cancelled, QgsProcessingException):
        raise
    except Exception as error:
        feedback.pushDebugInfo(traceback.format_exc())
        raise QgsProcessingException(
            tr("This is a fault of the plugin ({}: {}): please report it with the log of this run.").format(
                type(error).__name__, error
            )
        ) from error
