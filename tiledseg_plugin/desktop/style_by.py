# SPDX-License-Identifier: GPL-2.0-or-later
"""**Style by**: segments coloured by a mean, an index, their size or any column; polygons where there are some.

The table of a raster of segments is not seen in QGIS before 3.30, and a class for each of 200,000 segments is more than
QGIS can draw. So a raster of segments gets another layer above it: a small file (VRT) that looks each id up in a list
of values, drawn by a colour ramp.
"""

import os
import tempfile
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

from qgis.core import (
    QgsApplication,
    QgsFeatureRequest,
    QgsMapLayer,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
    QgsVectorLayerFeatureSource,
)
from qgis.PyQt.QtCore import QCoreApplication, QObject, pyqtSignal
from qgis.PyQt.QtWidgets import QMenu

from ...algorithms import looks
from ...algorithms.layer_files import file_of, layers_of, mark_as_result, result_of
from ...algorithms.looks_by_value import Colouring, show_at_random, show_classes, show_ramp
from ...algorithms.text import tr
from ..engine.files.attribute_table import BAND_STATISTICS
from ..engine.files.segment_style import is_ours, style_path
from ..engine.progress import Feedback
from . import layers, style_menu
from .outputs import free_path
from .tasks import EngineTask

BANDS = "tiledseg/band-"  # with the number of a band, property of a layer: what the band is called
STYLE_OF = "tiledseg/style-of"  # property of a layer: the file of segments whose values it shows
ID_COLUMN = "segment"


class StyleBy(QObject):
    """Colours one layer of segments at a time.

    Parameters
    ----------
    active : () -> the layer that is active in QGIS
    last_output : () -> OUTPUT of the last run, may be empty
    """

    ended = pyqtSignal(str)  # what was done, or why not, in a sentence

    def __init__(self, active: Callable[[], Any], last_output: Callable[[], str], parent: Any = None):
        super().__init__(parent)
        self._active, self._last_output = active, last_output
        self._task: Any = None
        self.menu: Any = None  # what is shown, for whoever looks

    @property
    def is_busy(self) -> bool:
        return self._task is not None

    def cancel(self) -> None:
        if self._task is not None:
            self._task.superseded = True
            self._task.cancel()

    # -- which layer, and what it can be coloured by

    def target(self) -> Optional[QgsMapLayer]:
        """The layer to colour: of the active one's, or the last run's, segments the polygons, else the raster."""
        active = self._active()
        if isinstance(active, QgsVectorLayer) and is_polygons(active):
            return active
        segments = active if isinstance(active, QgsRasterLayer) and is_segments(active) else None
        if segments is None:
            shown = str(active.customProperty(STYLE_OF, "")) if active is not None else ""
            found = layers_of(QgsProject.instance(), shown or self._last_output())
            segments = found[0] if found else None
        return None if segments is None else _polygons_of(segments) or segments

    def open(self, show: Callable[[QMenu], None]) -> None:
        """Make the menu, in the background where a table has to be read for it, and have it shown."""
        layer = self.target()
        if layer is None:
            self.ended.emit(tr("There are no segments to style: run first, or choose a layer of segments."))
        elif isinstance(layer, QgsVectorLayer):
            self._open_menu(layer, _names_of_fields(layer), show)
        else:
            path = file_of(layer)

            def work(feedback: Feedback) -> Dict[str, str]:
                from ..engine.products.segment_values import numeric_columns

                return {name: name for name in numeric_columns(path)}

            self._start(work, lambda names: self._open_menu(layer, names, show))

    def _open_menu(self, layer: QgsMapLayer, names: Dict[str, str], show: Callable[[QMenu], None]) -> None:
        if not layers.is_there(layer):
            return
        if self.menu is not None:
            self.menu.deleteLater()
        self.menu = QMenu()
        self.menu.addAction(layer.name()).setEnabled(False)  # a section's title does not show in all themes
        self.menu.addSeparator()
        outlines = (lambda: self._show_outlines(layer)) if isinstance(layer, QgsVectorLayer) else None
        style_menu.fill(self.menu, _with_bands(names, layer), lambda colouring: self.apply(layer, colouring), outlines)
        show(self.menu)

    # -- colouring

    def apply(self, layer: QgsMapLayer, colouring: Optional[Colouring]) -> None:
        """Colour a layer of segments; None for random colours."""
        if isinstance(layer, QgsVectorLayer):
            self._colour_polygons(layer, colouring)
        else:
            self._colour_raster(layer, colouring)

    def _show_outlines(self, layer: QgsVectorLayer) -> None:
        looks.show_outlines(layer)
        self._shown(layer, tr("Outlines only."))

    def _colour_polygons(self, layer: QgsVectorLayer, colouring: Optional[Colouring]) -> None:
        if colouring is None:
            show_at_random(layer, ID_COLUMN)
            self._shown(layer, tr("Random colours."))
            return
        source = QgsVectorLayerFeatureSource(layer)
        places = [layer.fields().lookupField(name) for name in colouring.columns]

        def work(feedback: Feedback) -> List[float]:
            from ..engine.products import segment_values

            return segment_values.breaks(_evaluated(colouring, _values_of(source, places, feedback)))

        def show(ends: List[float]) -> None:
            if layers.is_there(layer):
                show_classes(layer, colouring, ends)
                self._shown(layer, tr("Coloured by {}.").format(colouring.title))

        self._start(work, show)

    def _colour_raster(self, layer: QgsRasterLayer, colouring: Optional[Colouring]) -> None:
        path = file_of(layer)
        if colouring is None:
            self.forget(path)
            looks.show_segments(layer)
            self._shown(layer, tr("Random colours."))
            return
        place = self.place_for(path)

        def work(feedback: Feedback) -> Tuple[QgsRasterLayer, Tuple[float, float], str]:
            from ..engine.products import segment_values, table_agreement

            check = _check(feedback)
            columns = segment_values.read_columns(path, colouring.columns, check)
            values = _evaluated(colouring, [columns[name] for name in colouring.columns])
            values[0] = float("nan")
            said, there = table_agreement.looked_over(path, check)
            if there is not None:
                values = segment_values.only_of(values, there)
            segment_values.write_values(place, path, values, colouring.title)
            return _opened(place, colouring), segment_values.limits(values), said

        self._start(work, lambda found: self._show_values(layer, colouring, *found))

    def _show_values(
        self,
        layer: QgsRasterLayer,
        colouring: Colouring,
        shown: QgsRasterLayer,
        limits: Tuple[float, float],
        said: str,
    ) -> None:
        """Show a layer of values; `said` is what the user should know of the table that they are from."""
        if not layers.is_there(layer):
            return
        project = QgsProject.instance()
        self.forget(file_of(layer))
        shown.setCustomProperty(STYLE_OF, file_of(layer))
        mark_as_result(shown, "STYLE")
        show_ramp(shown, colouring, *limits)
        project.addMapLayer(shown, False)
        node = project.layerTreeRoot().findLayer(layer.id())
        parent, index = (node.parent(), node.parent().children().index(node)) if node else (project.layerTreeRoot(), 0)
        parent.insertLayer(index, shown)
        layers.switch_off(layer)
        self._shown(shown, " ".join([tr("Coloured by {}.").format(colouring.title), said]).rstrip())

    def _shown(self, layer: QgsMapLayer, text: str) -> None:
        layer.triggerRepaint()
        layer.emitStyleChanged()
        node = QgsProject.instance().layerTreeRoot().findLayer(layer.id())
        if node is not None:
            node.setItemVisibilityCheckedParentRecursive(True)
        self.ended.emit(text)

    # -- layers of values

    def forget(self, segments: str) -> None:
        """Take the layers of values of some segments away, and their files: the segments are others now."""
        from ..engine.products.segment_values import is_ours as is_our_file

        for layer in self._value_layers(segments):
            path = file_of(layer)
            QgsProject.instance().removeMapLayer(layer.id())
            if is_our_file(path):
                os.remove(path)

    def _value_layers(self, segments: str) -> List[QgsMapLayer]:
        every = QgsProject.instance().mapLayers().values()
        return [layer for layer in every if layer.customProperty(STYLE_OF, "") == segments]

    def place_for(self, segments: str) -> str:
        """Where the file of values goes: beside the segments, or, where that cannot be, to the temporary files.

        Always at a new name: GDAL may write an earlier file once more when its layer goes.
        """
        folder = os.path.dirname(segments)
        if not os.access(folder, os.W_OK):
            folder = tempfile.mkdtemp(prefix="tiledseg-style-")
        stem = os.path.splitext(os.path.basename(segments))[0]
        return free_path(os.path.join(folder, f"{stem}_values.vrt"))

    # -- in the background

    def _start(self, work: Callable[[Feedback], Any], then: Callable[[Any], None]) -> None:
        if self._task is not None:
            return
        task = EngineTask(tr("Style by"), work)

        def ended() -> None:
            self._task = None
            if task.error:
                self.ended.emit(tr("No style: {}").format(task.error))
            elif task.result is not None and not task.superseded:
                then(task.result)

        task.ended.connect(ended)
        self._task = task
        QgsApplication.taskManager().addTask(task)


def is_polygons(layer: QgsVectorLayer) -> bool:
    """Whether a layer holds a polygon a segment."""
    return layer.isSpatial() and layer.fields().lookupField(ID_COLUMN) >= 0


def is_segments(layer: QgsRasterLayer) -> bool:
    """Whether a raster holds segments: one that the plugin has made, or one that has its style beside it."""
    return result_of(layer) == "OUTPUT" or is_ours(style_path(file_of(layer)))


def _opened(place: str, colouring: Colouring) -> QgsRasterLayer:
    """A layer of values for the main thread, opened in another: 200,000 values take a tenth of a second."""
    options = QgsRasterLayer.LayerOptions(False)  # its statistics, which no one needs, would take long
    name = tr("{} of segments").format(colouring.title[:1].upper() + colouring.title[1:])
    opened = QgsRasterLayer(place, name, "gdal", options)
    opened.moveToThread(QCoreApplication.instance().thread())
    return opened


def _polygons_of(segments: QgsMapLayer) -> Optional[QgsVectorLayer]:
    """The polygons in the same group of results."""
    node = QgsProject.instance().layerTreeRoot().findLayer(segments.id())
    if node is None or not layers.is_of_results(node.parent()):
        return None
    beside = [child.layer() for child in node.parent().findLayers()]
    return next((one for one in beside if isinstance(one, QgsVectorLayer) and result_of(one) == "POLYGONS"), None)


def name_bands(made: Iterable[QgsMapLayer], raster: Optional[QgsRasterLayer]) -> None:
    """Let layers of results know what the bands of their raster are called, where they have names."""
    if raster is None:
        return
    for number in range(1, raster.bandCount() + 1):
        name = raster.bandName(number).partition(": ")[2]
        for layer in made:
            if name:
                layer.setCustomProperty(f"{BANDS}{number}", name)
                _name_fields(layer, number, name)


def _name_fields(layer: QgsMapLayer, band: int, name: str) -> None:
    """What people call the columns of a band, where the file cannot say it: GDAL has aliases from 3.7 on."""
    fields = layer.fields() if isinstance(layer, QgsVectorLayer) else ()
    for index, field in enumerate(fields):
        statistic, _, number = field.name().rpartition("_")
        if statistic in BAND_STATISTICS and number == str(band) and not field.alias():
            layer.setFieldAlias(index, tr("{} of band {}, {}").format(statistic, band, name))


def _with_bands(names: Dict[str, str], layer: QgsMapLayer) -> Dict[str, str]:
    """Names of columns, the means of bands with the names of these."""
    known = dict(names)
    for name, called in names.items():
        match = style_menu.MEAN.fullmatch(name)
        if match and called == name:
            band = str(layer.customProperty(f"{BANDS}{match.group(1)}", ""))
            known[name] = tr("mean of {} (band {})").format(band, match.group(1)) if band else name
    return known


def _names_of_fields(layer: QgsVectorLayer) -> Dict[str, str]:
    return {
        field.name(): field.alias() or field.name()
        for field in layer.fields()
        if field.isNumeric() and field.name() not in ("fid", ID_COLUMN)
    }


def _values_of(source: QgsVectorLayerFeatureSource, places: List[int], feedback: Feedback) -> List[Any]:
    """The values of some fields, an array each; what is null is NaN."""
    import numpy as np

    request = QgsFeatureRequest().setFlags(QgsFeatureRequest.Flag.NoGeometry).setSubsetOfAttributes(places)
    check, rows = _check(feedback), []
    for number, feature in enumerate(source.getFeatures(request)):
        if number % 1000 == 0:
            check()
        rows.append([_number(feature[place]) for place in places])
    table = np.array(rows, dtype=float).reshape(-1, len(places))
    return [table[:, column] for column in range(len(places))]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")


def _evaluated(colouring: Colouring, columns: List[Any]) -> Any:
    from ..engine.products.segment_values import index_of

    return index_of(*columns) if colouring.is_index else columns[0]


def _check(feedback: Feedback) -> Callable[[], None]:
    from ..engine.progress import Progress

    return Progress(feedback, {"style": 1}).check_cancelled
