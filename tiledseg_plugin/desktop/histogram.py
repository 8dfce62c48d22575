# SPDX-License-Identifier: GPL-2.0-or-later
"""A small picture of how many segments have which size."""

from typing import Any, Sequence

from qgis.PyQt.QtCore import QRectF, Qt
from qgis.PyQt.QtGui import QColor, QPainter
from qgis.PyQt.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from ...algorithms.text import tr

HEIGHT = 30  # pixels at the usual resolution
# of Okabe and Ito: told apart by colour-blind eyes, and seen on bright and on dark ground
USUAL, TOO_SMALL = QColor(86, 180, 233), QColor(213, 94, 0)


class SizeHistogram(QWidget):
    """Bars for 1, 2 to 3, 4 to 7, 8 to 15 ... pixels, those below the minimum size in another colour."""

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self.setObjectName("histogram")
        self._bars = _Bars()
        self._most = QLabel()  # labels have the colours of the theme
        line = QHBoxLayout()
        line.addWidget(QLabel("1"))
        line.addWidget(QLabel(tr("pixels a segment")), 1, Qt.AlignmentFlag.AlignHCenter)
        line.addWidget(self._most)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(1)
        layout.addWidget(self._bars)
        layout.addLayout(line)
        self.hide()

    @property
    def counts(self) -> Sequence[int]:
        return self._bars.counts

    def show_counts(self, counts: Sequence[int], least: int) -> None:
        """Show how many segments have sizes of 2**i and above; none hides the picture.

        Parameters
        ----------
        least : the minimum size, pixels
        """
        self._bars.counts, self._bars.least = counts, least
        self._most.setText(f"{2 ** len(counts) - 1:,}")
        self.setToolTip(
            "\n".join(
                tr("{:,} to {:,} pixels: {:,}").format(2**power, 2 ** (power + 1) - 1, count)
                for power, count in enumerate(counts)
                if count
            )
        )
        self.setVisible(bool(counts))
        self._bars.update()


class _Bars(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(HEIGHT)
        self.counts: Sequence[int] = ()
        self.least = 1

    def paintEvent(self, event: Any) -> None:
        if not self.counts:
            return
        painter = QPainter(self)
        width, most = self.width() / len(self.counts), max(self.counts)
        for power, count in enumerate(self.counts):
            if count:
                tall = max(2.0, self.height() * count / most)
                colour = TOO_SMALL if 2 ** (power + 1) <= self.least else USUAL
                painter.fillRect(QRectF(power * width + 1, self.height() - tall, max(width - 2, 1), tall), colour)
        painter.end()
