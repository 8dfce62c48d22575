# SPDX-License-Identifier: GPL-2.0-or-later
"""The panel: what is seen of it. What its buttons do is in `session`."""

from typing import Any, List, Sequence, Tuple

from qgis.gui import QgsCollapsibleGroupBox, QgsDockWidget
from qgis.PyQt.QtCore import QPoint, Qt
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import (
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ...algorithms.text import tr
from ..compat import QAction
from ..metadata import ICON
from .fields import Fields
from .histogram import SizeHistogram
from .level_slider import LevelSlider

WIDE = (
    "raster",
    "source",
    "vector",
    "layer",
    "band",
    "extent",
    "file",
    "crs",
    "string",
)  # kinds whose label is above them
SEGMENTS = ("NUM_CLUSTERS", "MIN_PIXELS", "DISTANCE_THRESHOLD", "STRETCH")
RASTER = ("INPUT", "BANDS", "EXTENT")
TILES = ("TILE_WIDTH", "TILE_HEIGHT", "TILES", "VALID_DATA_THRESHOLD")


class SegmentationPanel(QgsDockWidget):
    """A dockable form with the parameters of `tiledseg:segment`, and buttons.

    Parameters
    ----------
    algorithm : `tiledseg:segment`
    iface : QgisInterface
    """

    def __init__(self, algorithm: Any, iface: Any):
        super().__init__(tr("Tiled segmentation"), iface.mainWindow())
        self.setObjectName("TiledSegmentationPanel")
        self.setWindowIcon(QIcon(ICON))
        self.fields = Fields(algorithm, iface, self)
        self.summary, self.status = _text("summary"), _text("status")
        self.check_button = _button(
            "check", tr("&Check tiles"), tr("Which tiles are empty or sparse, and what a run needs")
        )
        self.preview_button = _button("preview", tr("&Preview"), tr("Outlines of the segments in the map's view"))
        self.preview_button.setCheckable(True)
        self.run_button = _button("run", tr("&Run"), tr("Segment the whole raster in the background"))
        self.style_button = _button(
            "style", tr("&Style by"), tr("Colour segments by a mean, an index, their size or any column of their table")
        )
        self.cancel_button = _button("cancel", tr("Ca&ncel"), tr("Stop what is running"))
        self.histogram = SizeHistogram()
        self.levels = LevelSlider()
        self.progress = QProgressBar()
        self.progress.setObjectName("progress")
        self.copy_command = QAction(tr("Copy as qgis_process command"), self)
        self.copy_python = QAction(tr("Copy as Python"), self)
        self.reset = QAction(tr("Reset to defaults"), self)
        self.show_log = QAction(tr("Show log"), self)
        self.show_help = QAction(tr("Help"), self)
        self.setWidget(self._contents())
        self.show_idle()

    def _contents(self) -> QWidget:
        contents = QWidget(self)
        layout = QVBoxLayout(contents)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(self._form(), 1)
        layout.addWidget(_line())
        for widget in (self.summary, self.status, self.histogram, self.levels):
            layout.addWidget(widget)
        running = QHBoxLayout()
        running.addWidget(self.progress, 1)
        running.addWidget(self.cancel_button)
        layout.addLayout(running)
        buttons = QHBoxLayout()
        for button in (self.check_button, self.preview_button, self.run_button, self.style_button):
            buttons.addWidget(button, 1)
        buttons.addWidget(self._menu())
        layout.addLayout(buttons)
        return contents

    def _form(self) -> QScrollArea:
        form = QWidget()
        layout = QVBoxLayout(form)
        layout.setContentsMargins(0, 0, 4, 0)
        layout.setSpacing(4)
        for title, names, is_folded in self._groups():
            group = QgsCollapsibleGroupBox(title)
            group.setObjectName("group" + title)
            self._fill(QFormLayout(group), names)
            group.setCollapsed(is_folded)
            layout.addWidget(group)
        layout.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(form)
        bar = area.style().pixelMetric(QStyle.PixelMetric.PM_ScrollBarExtent)
        area.setMinimumWidth(form.minimumSizeHint().width() + bar)
        return area

    def _groups(self) -> List[Tuple[str, List[str], bool]]:
        """Title, fields and whether it begins folded, of every group; each parameter is in one of them."""
        known = set(RASTER) | set(SEGMENTS) | set(TILES)
        rest = [name for name in self.fields.definitions if name not in known]
        outputs = [name for name in rest if self.fields.definitions[name].isDestination()]
        more = [name for name in rest if name not in outputs and not self.fields.is_advanced(name)]
        advanced = [name for name in rest if name not in outputs and self.fields.is_advanced(name)]
        groups = (
            (tr("Raster"), RASTER, False),
            (tr("Segments"), (*SEGMENTS, *more), False),
            (tr("Tiles"), TILES, False),
            (tr("Output"), outputs, False),
            (tr("Advanced"), advanced, True),
        )
        return [(title, [n for n in names if n in self.fields.definitions], folded) for title, names, folded in groups]

    def _fill(self, layout: QFormLayout, names: Sequence[str]) -> None:
        layout.setContentsMargins(6, 4, 6, 6)
        layout.setVerticalSpacing(4)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name in names:
            definition, label, widget = self.fields.definitions[name], self.fields.label(name), self.fields.widget(name)
            if label is None:
                layout.addRow(widget)
            elif definition.type() in WIDE or definition.isDestination():
                layout.addRow(label)
                layout.addRow(widget)
            else:
                layout.addRow(label, widget)

    def _menu(self) -> QToolButton:
        button = QToolButton()
        button.setObjectName("more")
        button.setText("…")
        button.setToolTip(tr("Copy the run as a command, reset, log, help"))
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(button)
        menu.addActions([self.copy_command, self.copy_python])
        menu.addSeparator()
        menu.addActions([self.reset, self.show_log, self.show_help])
        button.setMenu(menu)
        return button

    def show_style_menu(self, menu: QMenu) -> None:
        """Above the button, as it is at the lower end of the screen."""
        place = self.style_button.mapToGlobal(QPoint(0, 0))
        menu.popup(QPoint(place.x(), place.y() - menu.sizeHint().height()))

    def show_busy(self, text: str) -> None:
        """Something runs that can be cancelled."""
        self.status.setText(text)
        self.progress.setValue(0)
        self.progress.show()
        self.cancel_button.setEnabled(True)
        self.cancel_button.show()
        self.check_button.setEnabled(False)
        self.run_button.setEnabled(False)

    def show_progress(self, percent: float) -> None:
        self.progress.setValue(int(percent))

    def show_idle(self, text: str = "") -> None:
        self.status.setText(text)
        self.progress.hide()
        self.cancel_button.hide()
        self.check_button.setEnabled(True)
        self.run_button.setEnabled(True)


def _button(name: str, text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setToolTip(tip)
    button.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
    return button


def _text(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def _line() -> QFrame:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setFrameShadow(QFrame.Shadow.Sunken)
    return line
