# SPDX-License-Identifier: GPL-2.0-or-later
"""A small picture of how many segments have which size."""

from typing import Any, Sequence

from qgis.PyQt.QtCore import QRectF, QSize, Qt
from qgis.PyQt.QtGui import QColor, QPainter, QPalette
from qgis.PyQt.QtWidgets import QSizePolicy, QWidget

from ...algorithms.text import tr

HEIGHT = 46  # pixels at the usual resolution
TOO_SMALL = QColor(213, 94, 0)  # of Okabe and Ito: also told apart by colour-blind eyes


class SizeHistogram(QWidget):
    """Bars for 1, 2 to 3, 4 to 7, 8 to 15 ... pixels, those below the minimum size in another colour."""

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self.setObjectName("histogram")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.counts: Sequence[int] = ()
        self._least = 1
        self.hide()

    def sizeHint(self) -> QSize:
        return QSize(200, HEIGHT)

    def minimumSizeHint(self) -> QSize:
        return QSize(60, HEIGHT)

    def show_counts(self, counts: Sequence[int], least: int) -> None:
        """Show how many segments have sizes of 2**i and above; none hides the picture.

        Parameters
        ----------
        least : the minimum size, pixels
        """
        self.counts, self._least = counts, least
        self.setVisible(bool(counts))
        self.setToolTip(
            "\n".join(
                tr("{:,} to {:,} pixels: {:,}").format(2**power, 2 ** (power + 1) - 1, count)
                for power, count in enumerate(counts)
                if count
            )
        )
        self.update()

    def paintEvent(self, event: Any) -> None:
        if not self.counts:
            return
        painter = QPainter(self)
        words = self.fontMetrics().height()
        room, width = self.height() - words, self.width() / len(self.counts)
        usual, most = self.palette().color(QPalette.ColorRole.Highlight), max(self.counts)
        for power, count in enumerate(self.counts):
            if count:
                tall = max(2.0, room * count / most)
                colour = TOO_SMALL if 2 ** (power + 1) <= self._least else usual
                painter.fillRect(QRectF(power * width + 1, room - tall, max(width - 2, 1), tall), colour)
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        line = QRectF(0, room, self.width(), words)
        painter.drawText(line, Qt.AlignmentFlag.AlignLeft, "1")
        painter.drawText(line, Qt.AlignmentFlag.AlignHCenter, tr("pixels a segment"))
        painter.drawText(line, Qt.AlignmentFlag.AlignRight, f"{2 ** len(self.counts) - 1:,}")
        painter.end()
