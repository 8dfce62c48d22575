# SPDX-License-Identifier: GPL-2.0-or-later
"""The tile layers of the project: one a raster that was checked, and how they stay when the project is saved.

Before a run tiles are a layer in memory. QGIS saves such layers without their features, so these go into a property of
the layer, and come back from it when the project is opened. A run that has written OUTPUT leaves a file of the tiles
beside it, which the layer then shows.
"""

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any, Dict, Optional

from qgis.core import QgsDataProvider, QgsFeature, QgsFeatureRequest, QgsGeometry, QgsProject, QgsVectorLayer
from qgis.PyQt.QtCore import QObject, pyqtSignal

from ...algorithms.layer_files import layers_of, mark_as_result, reopen
from ..compat import is_null
from . import layers
from .tile_states import FIELD

TILES_OF = "tiledseg/tiles-of"  # property: the id of the raster's layer
FEATURES = "tiledseg/tiles"  # property: the features of a layer in memory
RESULT_NAME = "S1TILES"
MOST_STORED = 20_000  # tiles


@dataclass
class Checked:
    """What the last check of a raster has found.

    layer : the tiles; values : of the parameters that tiles depend on; summary : in words
    """

    layer: QgsVectorLayer
    values: Dict[str, str]
    summary: str


class TileLayers(QObject):
    """The tile layers that the panel has made, by the ids of their rasters' layers."""

    gone = pyqtSignal()  # a layer was removed

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._checked: Dict[str, Checked] = {}

    def of(self, raster_id: str) -> Optional[Checked]:
        found = self._checked.get(raster_id)
        return found if found is not None and layers.is_there(found.layer) else None

    def set(self, raster_id: str, layer: QgsVectorLayer, values: Dict[str, str], summary: str) -> None:
        """Remember a layer; one in memory of the same raster goes, whoever made it."""
        for other in in_memory(raster_id):
            if other is not layer and other.id() != layer.id():
                QgsProject.instance().removeMapLayer(other.id())
        self._remember(raster_id, Checked(layer, values, summary))

    def _remember(self, raster_id: str, checked: Checked) -> None:
        self._forget(raster_id)
        mark_as_result(checked.layer, RESULT_NAME)
        checked.layer.setCustomProperty(TILES_OF, raster_id)
        checked.layer.willBeDeleted.connect(self._layer_goes)
        self._checked[raster_id] = checked

    def for_a_run(self, raster_id: str) -> Optional[QgsVectorLayer]:
        """The tiles to show a run's progress on: those that belong to an earlier result stay, and a copy is made."""
        checked = self.of(raster_id)
        if checked is None:
            return None
        if checked.layer.providerType() != "memory":
            copy = checked.layer.materialize(QgsFeatureRequest())
            copy.setName(checked.layer.name())
            copy.setRenderer(checked.layer.renderer().clone())
            QgsProject.instance().addMapLayer(copy, False)
            layers.insert_above(copy, layers.raster_of(raster_id))
            self._remember(raster_id, Checked(copy, checked.values, checked.summary))
            store(copy)
            return copy
        return checked.layer

    def now_in(self, raster_id: str, path: str) -> Optional[QgsVectorLayer]:
        """The tiles after a run that has written them to a file, or to none (empty): the layer shows that."""
        checked = self.of(raster_id)
        if checked is None or not path:
            return None if checked is None else checked.layer
        present = layers_of(QgsProject.instance(), path)
        if present and present[0].id() != checked.layer.id():
            self._forget(raster_id)
            QgsProject.instance().removeMapLayer(checked.layer.id())
            reopen(present[0])
            self._remember(raster_id, Checked(present[0], checked.values, checked.summary))
            return present[0]
        options = QgsDataProvider.ProviderOptions()
        checked.layer.setDataSource(path, checked.layer.name(), "ogr", options, False)
        checked.layer.removeCustomProperty(FEATURES)
        return checked.layer

    def let_go(self) -> None:
        """Listen to no layer any more: at the end of QGIS they go after Python has gone."""
        for raster_id in list(self._checked):
            self._forget(raster_id)

    def _forget(self, raster_id: str) -> None:
        checked = self._checked.pop(raster_id, None)
        if checked is not None and layers.is_there(checked.layer):
            checked.layer.willBeDeleted.disconnect(self._layer_goes)

    def _layer_goes(self) -> None:
        going = self.sender()
        for raster_id, checked in list(self._checked.items()):
            if checked.layer is going or not layers.is_there(checked.layer):
                del self._checked[raster_id]
        self.gone.emit()


def in_memory(raster_id: str) -> Any:
    """The tile layers of a raster that belong to no result."""
    return [
        layer
        for layer in QgsProject.instance().mapLayers().values()
        if layer.customProperty(TILES_OF, "") == raster_id and layer.providerType() == "memory"
    ]


def store(layer: QgsVectorLayer) -> None:
    """Keep the features of a layer in memory in one of its properties, which a project is saved with.

    Of very many, which would take a while and make projects large, QGIS itself says that they will be lost.
    """
    if layer.featureCount() > MOST_STORED:
        return
    fields = [field.name() for field in layer.fields() if field.name() != FIELD]
    rows = [
        [bytes(feature.geometry().asWkb()).hex(), [_plain(feature[name]) for name in fields]]
        for feature in layer.getFeatures()
    ]
    packed = zlib.compress(json.dumps({"fields": fields, "rows": rows}).encode(), 9)
    layer.setCustomProperty(FEATURES, base64.b64encode(packed).decode())
    layer.setCustomProperty("skipMemoryLayersCheck", 1)  # QGIS shall not say that its contents will be lost


def restore(project: QgsProject) -> None:
    """Fill the tile layers of a project that was opened."""
    for layer in project.mapLayers().values():
        packed = layer.customProperty(FEATURES, "")
        if packed and layer.providerType() == "memory" and layer.featureCount() == 0:
            _fill(layer, json.loads(zlib.decompress(base64.b64decode(packed))))


def _fill(layer: QgsVectorLayer, stored: Dict[str, Any]) -> None:
    features = []
    for wkb, values in stored["rows"]:
        feature = QgsFeature(layer.fields())
        geometry = QgsGeometry()
        geometry.fromWkb(bytes.fromhex(wkb))
        feature.setGeometry(geometry)
        for name, value in zip(stored["fields"], values):
            if layer.fields().lookupField(name) >= 0:
                feature.setAttribute(name, value)
        features.append(feature)
    layer.dataProvider().addFeatures(features)
    layer.updateExtents()
    layer.triggerRepaint()


def _plain(value: Any) -> Any:
    return None if is_null(value) else value
