# SPDX-License-Identifier: GPL-2.0-or-later
"""QGIS's message bar: one message about the end of each check or run."""

from typing import Any, Callable, Optional

from qgis.core import Qgis
from qgis.PyQt.QtCore import QObject, Qt, QTimer
from qgis.PyQt.QtWidgets import QPushButton

from ...algorithms.text import tr

TITLE = "Tiled segmentation"
SECONDS = 8
BESIDE = 400  # pixels of the bar that title, buttons and icons take
BUTTON = 90
LEAST = 200  # pixels of text


class Messages(QObject):
    """Shows messages a moment later, so that they lie above what QGIS itself says of a task, which is taken away."""

    def __init__(self, bar: Any, parent: Any = None):
        super().__init__(parent)
        self._bar = bar

    def success(self, text: str, task: str = "") -> None:
        self._push(text, Qgis.MessageLevel.Success, SECONDS, task)

    def info(self, text: str, task: str = "") -> None:
        self._push(text, Qgis.MessageLevel.Info, SECONDS, task)

    def failure(self, text: str, show_log: Optional[Callable[[], None]], task: str = "") -> None:
        """A sentence with a button to the log, if there is one."""
        self._push(text, Qgis.MessageLevel.Critical, 0, task, show_log)

    def _push(
        self, text: str, level: Any, seconds: int, task: str, show_log: Optional[Callable[[], None]] = None
    ) -> None:
        # it shows one line; the panel has all of the text
        room = max(LEAST, self._bar.width() - BESIDE - (BUTTON if show_log is not None else 0))
        line = self._bar.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, room)
        item = self._bar.createMessage(tr(TITLE), line)
        item.setToolTip(text)
        if show_log is not None:
            button = QPushButton(tr("Show log"))
            button.clicked.connect(show_log)
            item.layout().addWidget(button)

        def push() -> None:
            self._tidy(task)
            self._bar.pushWidget(item, level, seconds)

        QTimer.singleShot(0, push)

    def tidy(self, task: str) -> None:
        """Take away what QGIS says of a task."""
        QTimer.singleShot(0, lambda: self._tidy(task))

    def _tidy(self, task: str) -> None:
        for item in self._bar.items() if task else []:
            if item.text() == task:
                self._bar.popWidget(item)
