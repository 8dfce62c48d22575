# SPDX-License-Identifier: GPL-2.0-or-later
"""How outputs look when QGIS loads them; a style that the user has set for an output stays."""

import os
from typing import Any, Callable, List

from qgis.core import (
    QgsContrastEnhancement,
    QgsCoordinateReferenceSystem,
    QgsFillSymbol,
    QgsLayerTree,
    QgsMapLayer,
    QgsMultiBandColorRenderer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsProject,
    QgsRasterLayer,
    QgsSingleBandGrayRenderer,
    QgsSingleSymbolRenderer,
    QgsVectorLayer,
)
from qgis.PyQt.QtXml import QDomDocument

from ..tiledseg_plugin.compat import ALL_STATISTICS, MAXIMUM
from ..tiledseg_plugin.engine.files.field_names import SHORT
from ..tiledseg_plugin.engine.files.segment_style import is_ours, style
from ..tiledseg_plugin.metadata import PLUGIN_FOLDER

TILE_STYLE = str(PLUGIN_FOLDER / "resources" / "tiles.qml")


class Look(QgsProcessingLayerPostProcessorInterface):
    """Styles a layer after it was loaded.

    QGIS holds no reference to it from Python, so it keeps itself until it was called (QGIS issue 47533).

    Parameters
    ----------
    algorithm_id, output_name : for which output the user may have set a style
    show : function(layer) that sets the style of the layer
    """

    _waiting: List[Any] = []

    def __init__(self, algorithm_id: str, output_name: str, show: Callable[[Any], None]):
        super().__init__()
        self._output = algorithm_id, output_name
        self._show = show

    def attach(self, context: QgsProcessingContext, layer_id: str) -> None:
        """Have QGIS call this for a layer, if it will load it."""
        if layer_id and context.willLoadLayerOnCompletion(layer_id):
            self._waiting.append(self)
            context.layerToLoadOnCompletionDetails(layer_id).setPostProcessor(self)

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        if self in self._waiting:
            self._waiting.remove(self)
        if not self._has_style_of_the_users(layer):
            self._show(layer)
            layer.triggerRepaint()
            layer.emitStyleChanged()
        self.arrange(layer, context.project())

    def arrange(self, layer: QgsMapLayer, project: QgsProject) -> None:
        """What else is done with the layer, whatever its style: nothing.

        Parameters
        ----------
        project : None where there is none
        """

    def _has_style_of_the_users(self, layer: QgsMapLayer) -> bool:
        """Whether the user has set a style for this output in Processing, or has their own style file beside it."""
        from processing.gui.RenderingStyles import RenderingStyles

        beside = os.path.splitext(layer.source().split("|")[0])[0] + ".qml"
        return RenderingStyles.getStyle(*self._output) is not None or (os.path.exists(beside) and not is_ours(beside))


class TileLook(Look):
    """Styles a tile layer, and places it above its raster.

    Parameters
    ----------
    crs : that of the raster, may be invalid
    raster_id : id of the raster's layer; empty if there is none
    """

    def __init__(self, algorithm_id: str, output_name: str, crs: QgsCoordinateReferenceSystem, raster_id: str):
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
    """The style that the engine puts beside OUTPUT, made for the largest id of the layer."""
    document = QDomDocument()
    document.setContent(style(int(layer.dataProvider().bandStatistics(1, MAXIMUM).maximumValue)))
    layer.importNamedStyle(document)


def show_means(layer: QgsRasterLayer) -> None:
    """The first three bands as red, green and blue, or the only one in grey, two standard deviations round the mean."""
    provider = layer.dataProvider()
    if layer.bandCount() >= 3:
        renderer = QgsMultiBandColorRenderer(provider, 1, 2, 3)
        renderer.setRedContrastEnhancement(_stretched(provider, 1))
        renderer.setGreenContrastEnhancement(_stretched(provider, 2))
        renderer.setBlueContrastEnhancement(_stretched(provider, 3))
    else:
        renderer = QgsSingleBandGrayRenderer(provider, 1)
        renderer.setContrastEnhancement(_stretched(provider, 1))
    layer.setRenderer(renderer)


def _stretched(provider: Any, band: int) -> QgsContrastEnhancement:
    statistics = provider.bandStatistics(band, ALL_STATISTICS)
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
    """Outlines without fill, in a colour that shows on dark and on bright images."""
    symbol = QgsFillSymbol.createSimple({"style": "no", "outline_color": "255,210,0,255", "outline_width": "0.2"})
    layer.setRenderer(QgsSingleSymbolRenderer(symbol))
