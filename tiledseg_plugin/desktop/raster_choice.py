# SPDX-License-Identifier: GPL-2.0-or-later
"""The field of the raster: it offers no results of the plugin, and is empty, not another raster, when its own goes."""

from typing import Any, Callable, List, Optional, Set

from qgis.core import QgsMapLayer, QgsProject, QgsRasterLayer
from qgis.gui import QgsMapLayerComboBox
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QObject, QTimer, pyqtSignal
from qgis.PyQt.QtWidgets import QComboBox

from ...algorithms.layer_files import file_of, result_of
from ...algorithms.text import tr
from ..engine.files.segment_style import is_ours, style_path
from .fields import Fields


class RasterChoice(QObject):
    """Watches the project's layers for the field INPUT.

    Parameters
    ----------
    fields : of the panel
    active : () -> the layer that is active in QGIS
    """

    changed = pyqtSignal()  # another raster, or none

    def __init__(self, fields: Fields, active: Callable[[], Any], parent: Any = None):
        super().__init__(parent)
        self._active = active
        self._combo = layer_box(fields.widget("INPUT"))
        self._combo.setAllowEmptyLayer(True, tr("Choose a raster"))
        self._timer = QTimer(self)  # what is done with new layers (marks, styles) is then done
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self.refresh)
        self._new = set(QgsProject.instance().mapLayers())  # ids of layers that have not been looked at
        self._left_out: Set[str] = set()
        self._known = self._id()
        self._before = ""  # what was chosen at the beginning of this moment, if it was something else
        self.refresh()
        self._combo.layerChanged.connect(lambda _: self._note())
        project = QgsProject.instance()
        project.layersAdded.connect(self._layers_added)
        project.layersWillBeRemoved.connect(self._layers_go)

    def raster(self) -> Optional[QgsRasterLayer]:
        layer = self._combo.currentLayer()
        return layer if isinstance(layer, QgsRasterLayer) else None

    def source(self) -> str:
        """The file of the raster, which need not be a layer; empty if none is chosen."""
        raster = self.raster()
        if raster is not None:
            return file_of(raster)
        text = self._combo.currentText()
        return text if text in self._combo.additionalItems() else ""

    def refresh(self) -> None:
        """Leave results out; where no raster is chosen, choose of the new ones the active, or the first."""
        rasters = [one for one in QgsProject.instance().mapLayers().values() if isinstance(one, QgsRasterLayer)]
        results = [one for one in rasters if is_result(one)]
        new, self._new = self._new, set()
        self._leave_out(results)
        if not self.source() or self.raster() in results:
            offered = [
                one for one in rasters if one.id() in new and one not in results and one.providerType() == "gdal"
            ]
            active = self._active()
            self._combo.setLayer(active if active in offered else offered[0] if offered else None)
        self._note()

    def _layers_added(self, layers: List[QgsMapLayer]) -> None:
        self._new |= {layer.id() for layer in layers if isinstance(layer, QgsRasterLayer)}
        self._timer.start()

    def _leave_out(self, results: List[QgsRasterLayer]) -> None:
        """The box is not asked what it leaves out, as it may hold layers that have gone, and QGIS would crash."""
        ids = {one.id() for one in results}
        if ids != self._left_out:
            self._left_out = ids
            self._combo.setExceptedLayerList(results)

    def _layers_go(self, ids: List[str]) -> None:
        if self._left_out.intersection(ids):
            layers = QgsProject.instance().mapLayers()
            self._leave_out([layers[one] for one in self._left_out if one in layers and one not in ids])
        # the box hears of it first, and may have gone to another raster already
        if self._known in ids or self._before in ids:
            self._combo.setLayer(None)
            self._note()

    def _id(self) -> str:
        raster = self.raster()
        return self.source() if raster is None else raster.id()

    def _note(self) -> None:
        if self._id() != self._known:
            self._before, self._known = self._known, self._id()
            QTimer.singleShot(0, self._forget_before)
            self.changed.emit()

    def _forget_before(self) -> None:
        self._before = ""

    def let_go(self) -> None:
        """Listen no more."""
        self._timer.stop()
        project = QgsProject.instance()
        project.layersAdded.disconnect(self._layers_added)
        project.layersWillBeRemoved.disconnect(self._layers_go)


def layer_box(widget: Any) -> QgsMapLayerComboBox:
    """The box of layers in the field of a layer; Python does not know of what class it is."""
    boxes = widget.findChildren(QComboBox)
    return sip.cast(next(box for box in boxes if box.inherits("QgsMapLayerComboBox")), QgsMapLayerComboBox)


def is_result(layer: QgsRasterLayer) -> bool:
    """Whether a raster is one that the plugin has made: it bears a mark, or the plugin's style lies beside it."""
    return bool(result_of(layer)) or is_ours(style_path(file_of(layer)))
