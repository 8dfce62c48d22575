# SPDX-License-Identifier: GPL-2.0-or-later
"""A temporary layer of outlines above a raster, as the preview and the scales of segments show them."""

from typing import Any, List, Optional, Sequence

from qgis.core import (
    QgsFeature,
    QgsGeometry,
    QgsLineSymbol,
    QgsProject,
    QgsRasterLayer,
    QgsSimpleLineSymbolLayer,
    QgsSingleSymbolRenderer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor

from . import layers


class OutlineLayer:
    """Made when it is filled for the first time, and again if the user has removed it.

    Parameters
    ----------
    name : of the layer

    Attributes
    ----------
    layer : QgsVectorLayer, None if there is none
    """

    def __init__(self, name: str) -> None:
        self.layer: Any = None
        self._name = name
        self._is_dense: Optional[bool] = None  # of the layer's look

    def fill(self, features: Sequence[QgsFeature], raster: Optional[QgsRasterLayer], is_dense: bool) -> None:
        """Show some lines instead of what is shown; thin ones where pixels are smaller than the screen's."""
        if not layers.is_there(self.layer):
            self.layer, self._is_dense = _new_layer(self._name, raster), None
            QgsProject.instance().addMapLayer(self.layer, False)
            layers.insert_above(self.layer, raster)
        elif raster is not None and self.layer.crs() != raster.crs():
            self.layer.setCrs(raster.crs())
        provider = self.layer.dataProvider()
        provider.truncate()
        provider.addFeatures(list(features))
        self.layer.updateExtents()
        if is_dense != self._is_dense:
            self._is_dense = is_dense
            self.layer.setRenderer(_renderer(is_dense))
            self.layer.emitStyleChanged()
        self.layer.triggerRepaint()

    def remove(self) -> None:
        """Take the layer away."""
        if layers.is_there(self.layer):
            QgsProject.instance().removeMapLayer(self.layer.id())
        self.layer = None


def features_of(lines: Sequence[bytes]) -> List[QgsFeature]:
    """Features with the geometries of some WKB; on any thread."""
    features = []
    for wkb in lines:
        geometry, feature = QgsGeometry(), QgsFeature()
        geometry.fromWkb(wkb)
        feature.setGeometry(geometry)
        features.append(feature)
    return features


def _new_layer(name: str, raster: Optional[QgsRasterLayer]) -> QgsVectorLayer:
    layer = QgsVectorLayer("MultiLineString?index=yes", name, "memory")
    if raster is not None:
        layer.setCrs(raster.crs())
    layer.setCustomProperty("skipMemoryLayersCheck", 1)  # QGIS shall not ask whether to save it
    return layer


def _renderer(is_dense: bool) -> QgsSingleSymbolRenderer:
    """Yellow on a dark edge, which is seen on any image; where pixels are smaller than the screen's, thin."""
    edge, line = (QColor(0, 0, 0, 110), 0.55), (QColor(255, 230, 0), 0.26)
    thin_edge, thin_line = (QColor(40, 20, 0, 90), 0.24), (QColor(255, 230, 0, 190), 0.1)
    symbol = QgsLineSymbol()
    symbol.deleteSymbolLayer(0)
    for colour, width in (thin_edge, thin_line) if is_dense else (edge, line):
        stroke = QgsSimpleLineSymbolLayer(colour, width)
        stroke.setPenCapStyle(Qt.PenCapStyle.FlatCap if is_dense else Qt.PenCapStyle.SquareCap)
        symbol.appendSymbolLayer(stroke)
    return QgsSingleSymbolRenderer(symbol)
