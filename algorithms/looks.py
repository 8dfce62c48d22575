# SPDX-License-Identifier: GPL-2.0-or-later
"""How outputs look when QGIS loads them; a style that the user has set for an output stays."""

import os
from typing import Any, Callable, List, Sequence, Tuple

from qgis.core import (
    QgsContrastEnhancement,
    QgsCoordinateReferenceSystem,
    QgsFillSymbol,
    QgsLayerTree,
    QgsLayerTreeLayer,
    QgsMapLayer,
    QgsMapLayerLegendUtils,
    QgsMultiBandColorRenderer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsProject,
    QgsRasterLayer,
    QgsSimpleLineSymbolLayer,
    QgsSingleBandGrayRenderer,
    QgsSingleSymbolRenderer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor
from qgis.PyQt.QtXml import QDomDocument

from ..tiledseg_plugin.compat import KEPT_STATISTICS, MAXIMUM, band_statistics
from ..tiledseg_plugin.engine.files.field_names import SHORT
from ..tiledseg_plugin.engine.files.segment_style import is_ours, style
from ..tiledseg_plugin.metadata import PLUGIN_FOLDER
from .layer_files import layers_of, mark_as_result, reopen

TILE_STYLE = str(PLUGIN_FOLDER / "resources" / "tiles.qml")


class Look(QgsProcessingLayerPostProcessorInterface):
    """Styles a layer after it was loaded; layers of the project that show the same file see it anew.

    QGIS holds no reference to it from Python, so it keeps itself until it was called (QGIS issue 47533).

    Parameters
    ----------
    algorithm_id, output_name : for which output the user may have set a style
    show : function(layer) that sets the style of the layer
    """

    _waiting: List[Any] = []

    def __init__(self, algorithm_id: str, output_name: str, show: Callable[[Any], None]) -> None:
        super().__init__()
        self._output = algorithm_id, output_name
        self._show = show
        self._dressed = ""  # the id of a layer that has its style already
        self._renderer: Any = None  # its renderer once more, for another layer of the same file

    def attach(self, context: QgsProcessingContext, layer_id: str) -> None:
        """Have QGIS call this for a layer, if it will load it. To be called when the output has been written."""
        for shown in layers_of(context.project(), layer_id):
            reopen(shown)
        if layer_id and context.willLoadLayerOnCompletion(layer_id):
            self._waiting.append(self)
            context.layerToLoadOnCompletionDetails(layer_id).setPostProcessor(self)

    @property
    def output_name(self) -> str:
        return self._output[1]

    def dress(self, layer: QgsMapLayer) -> None:
        """Give a layer its style before it is in a project, on any thread: that of a raster takes a while."""
        if not self._has_style_of_the_users(layer):
            self._show(layer)
        self._dressed, self._renderer = layer.id(), layer.renderer().clone()

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        if self in self._waiting:
            self._waiting.remove(self)
        mark_as_result(layer, self._output[1])
        renderer, self._renderer = self._renderer, None
        if layer.id() != self._dressed and not self._has_style_of_the_users(layer):
            if renderer is None:
                self._show(layer)
            else:  # the layer was in the project before
                layer.setRenderer(renderer)
            layer.triggerRepaint()
            layer.emitStyleChanged()
        self.arrange(layer, context.project())

    def arrange(self, layer: QgsMapLayer, project: QgsProject) -> None:
        """Do something else with the layer, whatever its style; this class does nothing.

        Parameters
        ----------
        project : None where there is none
        """

    def _has_style_of_the_users(self, layer: QgsMapLayer) -> bool:
        """Whether the user has set a style for this output in Processing, or has their own style file beside it."""
        from processing.gui.RenderingStyles import RenderingStyles

        beside = os.path.splitext(layer.source().split("|")[0])[0] + ".qml"
        return RenderingStyles.getStyle(*self._output) is not None or (os.path.exists(beside) and not is_ours(beside))


class StackedLook(Look):
    """Styles one of the outputs of a run, and places it among the others.

    Parameters
    ----------
    output : ids of the algorithm and of the output
    stack : the paths of the outputs, the one that shall lie uppermost first, the segments last
    path : that of this one
    """

    def __init__(self, output: Tuple[str, str], show: Callable[[Any], None], stack: Sequence[str], path: str):
        super().__init__(*output, show)
        self._stack, self._path = list(stack), path

    def arrange(self, layer: QgsMapLayer, project: QgsProject) -> None:
        """Outlines lie over images; segments, which hide what is below, are off where there is anything else."""
        if project is None:
            return
        root, place = project.layerTreeRoot(), self._stack.index(self._path)
        above, below = (
            [one for path in paths for one in layers_of(project, path)]
            for paths in (self._stack[:place], self._stack[place + 1 :])
        )
        for upper in above:
            place_above(root, upper.id(), layer.id())
        for lower in below:
            place_above(root, layer.id(), lower.id())
        segments = layers_of(project, self._stack[-1])
        for one in segments if above or below else []:
            node = root.findLayer(one.id())
            if node is not None:
                node.setItemVisibilityChecked(False)
        for one in segments:
            hide_legend(root, one)


def hide_legend(root: QgsLayerTree, layer: QgsMapLayer) -> None:
    """Show no colour ramp in the layer tree: colours that go by a number say nothing."""
    node = root.findLayer(layer.id())
    if node is not None and not is_folded(node):
        fold(node)
        layer.legendChanged.emit()


def is_folded(node: QgsLayerTreeLayer) -> bool:
    """Whether a node of the layer tree shows no legend."""
    legend = QgsMapLayerLegendUtils
    return bool(legend.hasLegendNodeOrder(node)) and not legend.legendNodeOrder(node)


def fold(node: QgsLayerTreeLayer) -> None:
    """Have a node of the layer tree show no legend; one that is in the tree already shows it until the next change."""
    QgsMapLayerLegendUtils.setLegendNodeOrder(node, [])
    node.setExpanded(False)


class TileLook(Look):
    """Styles a tile layer, and places it above its raster.

    Parameters
    ----------
    crs : that of the raster, may be invalid
    raster_id : id of the raster's layer; empty if there is none
    """

    def __init__(self, algorithm_id: str, output_name: str, crs: QgsCoordinateReferenceSystem, raster_id: str) -> None:
        super().__init__(algorithm_id, output_name, show_tiles)
        self._crs = crs
        self._raster_id = raster_id

    def arrange(self, layer: QgsMapLayer, project: QgsProject) -> None:
        if not self._crs.isValid():
            layer.setCrs(self._crs)  # a GeoPackage without one is read as in degrees
        if project is not None:
            place_above(project.layerTreeRoot(), layer.id(), self._raster_id)


def place_above(root: QgsLayerTree, layer_id: str, raster_id: str) -> None:
    """Move a layer in the layer tree to just above a raster, unless it is above it already."""
    order = [layer.id() for layer in root.layerOrder()]
    if layer_id not in order or raster_id not in order or order.index(layer_id) < order.index(raster_id):
        return
    node, raster = root.findLayer(layer_id), root.findLayer(raster_id)
    group = raster.parent()
    group.insertChildNode(group.children().index(raster), node.clone())
    node.parent().removeChildNode(node)


def show_tiles(layer: QgsVectorLayer) -> None:
    """Empty and sparse tiles are hatched; the map tip names the fields as they are, in a Shapefile shorter."""
    layer.loadNamedStyle(TILE_STYLE)
    tip = layer.mapTipTemplate()
    for name, short in SHORT.items():
        if layer.fields().lookupField(name) < 0 <= layer.fields().lookupField(short):
            tip = tip.replace(f'"{name}"', f'"{short}"')
    layer.setMapTipTemplate(tip)


def show_segments(layer: QgsRasterLayer) -> None:
    """The style that the engine puts beside OUTPUT, for the largest id of the layer, unless it has that already."""
    most = int(band_statistics(layer.dataProvider(), 1, MAXIMUM).maximumValue)
    shown = layer.renderer()
    if shown is not None and shown.type() == "singlebandpseudocolor" and shown.classificationMax() == most:
        return
    document = QDomDocument()
    document.setContent(style(most))
    layer.importNamedStyle(document)


def show_means(layer: QgsRasterLayer) -> None:
    """The first three bands as red, green and blue, or the only one in grey, two standard deviations round the mean."""
    provider = layer.dataProvider()
    if layer.bandCount() >= 3:
        _show_bands(layer, 1, 2, 3)
    else:
        renderer = QgsSingleBandGrayRenderer(provider, 1)
        renderer.setContrastEnhancement(_stretched(provider, 1))
        layer.setRenderer(renderer)


def show_natural_colours(layer: QgsRasterLayer) -> None:
    """Blue, green and red, as the first three bands of the example are, in their own colours."""
    _show_bands(layer, 3, 2, 1)


def _show_bands(layer: QgsRasterLayer, red: int, green: int, blue: int) -> None:
    provider = layer.dataProvider()
    renderer = QgsMultiBandColorRenderer(provider, red, green, blue)
    renderer.setRedContrastEnhancement(_stretched(provider, red))
    renderer.setGreenContrastEnhancement(_stretched(provider, green))
    renderer.setBlueContrastEnhancement(_stretched(provider, blue))
    layer.setRenderer(renderer)


def _stretched(provider: Any, band: int) -> QgsContrastEnhancement:
    statistics = band_statistics(provider, band, KEPT_STATISTICS)
    low = max(statistics.mean - 2 * statistics.stdDev, statistics.minimumValue)
    high = min(statistics.mean + 2 * statistics.stdDev, statistics.maximumValue)
    enhancement = QgsContrastEnhancement(provider.dataType(band))
    enhancement.setContrastEnhancementAlgorithm(
        QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum
    )
    enhancement.setMinimumValue(low)
    enhancement.setMaximumValue(high if high > low else low + 1)
    return enhancement


def show_outlines(layer: QgsVectorLayer) -> None:
    """Outlines without fill."""
    layer.setSimplifyMethod(QgsVectorLayer("Polygon", "", "memory").simplifyMethod())  # as it was before fills
    symbol = QgsFillSymbol()
    symbol.deleteSymbolLayer(0)
    for stroke in outline(0.2):
        symbol.appendSymbolLayer(stroke)
    layer.setRenderer(QgsSingleSymbolRenderer(symbol))


def outline(width: float) -> List[QgsSimpleLineSymbolLayer]:
    """A line that shows on dark, on coloured and on pale images: yellow on a dark edge.

    Parameters
    ----------
    width : of the bright line in millimetres
    """
    strokes = []
    for colour, part in ((QColor(40, 20, 0, 150), width + 0.2), (QColor(255, 225, 0), width)):
        stroke = QgsSimpleLineSymbolLayer(colour, part)
        stroke.setPenCapStyle(Qt.PenCapStyle.FlatCap)
        stroke.setPenJoinStyle(Qt.PenJoinStyle.BevelJoin)
        strokes.append(stroke)
    return strokes
