# SPDX-License-Identifier: GPL-2.0-or-later
"""The tile layer during a run: each tile as waiting, being processed or done."""

from typing import Any, Dict

from qgis.core import QgsCategorizedSymbolRenderer, QgsField, QgsFillSymbol, QgsRendererCategory
from qgis.PyQt.QtCore import QObject, QTimer

from ...algorithms.text import tr
from ..compat import FIELD_TEXT
from . import layers

FIELD = "progress"
REDRAW_MILLISECONDS = 250
OUTDATED_OPACITY = 0.4

# Told apart by lightness and pattern as well as by colour (Okabe and Ito), for colour-blind eyes and grey print.
LOOKS = (
    ("waiting", {"style": "no", "outline_color": "90,90,90,255", "outline_width": "0.3"}),
    ("working", {"style": "f_diagonal", "color": "230,159,0,255", "outline_color": "230,159,0,255"}),
    ("done", {"style": "solid", "color": "0,114,178,80", "outline_color": "0,114,178,255"}),
    ("left out", {"style": "diagonal_x", "color": "120,120,120,160", "outline_style": "no"}),
)


class TileStates(QObject):
    """Draws the states of a run's tiles on a tile layer; the layer may go at any time."""

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._layer: Any = None
        self._renderer: Any = None
        self._features: Dict[int, int] = {}
        self._changes: Dict[int, str] = {}
        self._timer = QTimer(self)
        self._timer.setInterval(REDRAW_MILLISECONDS)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._draw)

    def begin(self, layer: Any) -> None:
        """Show all tiles that are not empty as waiting."""
        self._layer, self._renderer = layer, layer.renderer().clone()
        provider = layer.dataProvider()
        if layer.fields().lookupField(FIELD) < 0:
            provider.addAttributes([QgsField(FIELD, FIELD_TEXT, "", 10)])
            layer.updateFields()
        self._features = {}
        for feature in layer.getFeatures():
            self._features[feature["tile_id"]] = feature.id()
            self._changes[feature["tile_id"]] = "left out" if feature["status"] == "empty" else "waiting"
        self._draw()
        self._restyle(_renderer())

    def change(self, tile_id: int, state: str) -> None:
        """Show a tile as `working` or `done`, a little later, together with others."""
        self._changes[tile_id] = state
        if not self._timer.isActive():
            self._timer.start()

    def end(self) -> None:
        """Show no more changes; the layer looks as before, unless it was given another look meanwhile."""
        self._timer.stop()
        self._draw()
        if layers.is_there(self._layer):
            shown = self._layer.renderer()
            if shown.type() == "categorizedSymbol" and shown.classAttribute() == FIELD:
                self._restyle(self._renderer)
            self._layer.dataProvider().deleteAttributes([self._layer.fields().lookupField(FIELD)])
            self._layer.updateFields()
        self._layer = self._renderer = None
        self._features, self._changes = {}, {}

    def _restyle(self, renderer: Any) -> None:
        self._layer.setRenderer(renderer)
        self._layer.triggerRepaint()
        self._layer.emitStyleChanged()

    def _draw(self) -> None:
        changes, self._changes = self._changes, {}
        if not changes or not layers.is_there(self._layer):
            return
        index = self._layer.fields().lookupField(FIELD)
        known = {
            self._features[tile_id]: {index: state} for tile_id, state in changes.items() if tile_id in self._features
        }
        self._layer.dataProvider().changeAttributeValues(known)
        self._layer.triggerRepaint()


def _renderer() -> QgsCategorizedSymbolRenderer:
    labels = (tr("Waiting"), tr("Being processed"), tr("Done"), tr("Empty, left out"))
    categories = []
    for (state, look), label in zip(LOOKS, labels):
        symbol = QgsFillSymbol.createSimple({"outline_width": "0.4", **look})
        categories.append(QgsRendererCategory(state, symbol, label))
    return QgsCategorizedSymbolRenderer(FIELD, categories)


def mark_outdated(layer: Any, is_outdated: bool, name: str) -> None:
    """Show a tile layer as outdated, pale and named so, or as valid again."""
    if layers.is_there(layer):
        layer.setName(tr("{} (outdated)").format(name) if is_outdated else name)
        layer.setOpacity(OUTDATED_OPACITY if is_outdated else 1.0)
        layer.triggerRepaint()
