# SPDX-License-Identifier: GPL-2.0-or-later
"""The log of a run in a window of its own."""

from typing import Any

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QApplication, QDialog, QDialogButtonBox, QTextBrowser, QVBoxLayout

from ...algorithms.text import tr


class LogWindow(QDialog):
    """Text that can be read, selected and copied."""

    def __init__(self, parent: Any):
        super().__init__(parent)
        self.setObjectName("TiledSegmentationLog")
        self.setWindowTitle(tr("Log of the segmentation"))
        self.resize(720, 420)
        self.text = QTextBrowser()
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        copy = buttons.addButton(tr("Co&py"), QDialogButtonBox.ButtonRole.ActionRole)
        copy.clicked.connect(lambda: QApplication.clipboard().setText(self.text.toPlainText()))
        buttons.rejected.connect(self.close)
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addWidget(buttons)
        self.setWindowFlag(Qt.WindowType.WindowContextHelpButtonHint, False)

    def show_text(self, html: str) -> None:
        self.text.setHtml(html)
        self.show()
        self.raise_()
