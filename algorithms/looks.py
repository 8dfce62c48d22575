# SPDX-License-Identifier: GPL-2.0-or-later
"""How the products look when QGIS loads them; a style that the user has set for an output stays."""

import os

from qgis.core import (
    QgsContrastEnhancement,
    QgsFillSymbol,
    QgsMultiBandColorRenderer,
    QgsProcessingLayerPostProcessorInterface,
    QgsSingleBandGrayRenderer,
    QgsSingleSymbolRenderer,
)
from qgis.PyQt.QtXml import QDomDocument

from ..tiledseg_plugin.compat import ALL_STATISTICS, MAXIMUM
from ..tiledseg_plugin.engine.files.segment_style import is_ours, style


class Look(QgsProcessingLayerPostProcessorInterface):
    """Styles a layer after it was loaded.

    QGIS holds no reference to it from Python, so it keeps itself until it was called (QGIS issue 47533).

    Parameters
    ----------
    algorithm_id, output_name : for which output the user may have set a style
    style : function(layer)
    """

    _waiting: list = []

    def __init__(self, algorithm_id, output_name, style):
        super().__init__()
        self._output = algorithm_id, output_name
        self._style = style

    def attach(self, context, layer_id):
        """Have QGIS call this for a layer, if it will load it."""
        if layer_id and context.willLoadLayerOnCompletion(layer_id):
            self._waiting.append(self)
            context.layerToLoadOnCompletionDetails(layer_id).setPostProcessor(self)

    def postProcessLayer(self, layer, context, feedback):
        if self in self._waiting:
            self._waiting.remove(self)
        if self._has_style_of_the_users(layer):
            return
        self._style(layer)
        layer.triggerRepaint()
        layer.emitStyleChanged()

    def _has_style_of_the_users(self, layer):
        """Whether there is a rendering style for this output in Processing, or a style file of theirs beside it."""
        from processing.gui.RenderingStyles import RenderingStyles

        beside = os.path.splitext(layer.source().split("|")[0])[0] + ".qml"
        return RenderingStyles.getStyle(*self._output) is not None or (os.path.exists(beside) and not is_ours(beside))


def show_segments(layer):
    """The style that the engine puts beside OUTPUT, made for the largest id of the layer."""
    document = QDomDocument()
    document.setContent(style(int(layer.dataProvider().bandStatistics(1, MAXIMUM).maximumValue)))
    layer.importNamedStyle(document)


def show_means(layer):
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


def _stretched(provider, band):
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


def show_outlines(layer):
    """Outlines without fill, that show on dark and on bright images."""
    symbol = QgsFillSymbol.createSimple({"style": "no", "outline_color": "255,210,0,255", "outline_width": "0.2"})
    layer.setRenderer(QgsSingleSymbolRenderer(symbol))
