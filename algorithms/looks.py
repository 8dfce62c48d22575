# SPDX-License-Identifier: GPL-2.0-or-later
"""How the products look when QGIS loads them; a style that the user has set for an output stays."""

import os

from qgis.core import (
    QgsColorRampShader,
    QgsContrastEnhancement,
    QgsFillSymbol,
    QgsMultiBandColorRenderer,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterBandStats,
    QgsRasterShader,
    QgsSingleBandGrayRenderer,
    QgsSingleBandPseudoColorRenderer,
    QgsSingleSymbolRenderer,
)
from qgis.PyQt.QtGui import QColor

MOST_COLOURS = 8192  # of a ramp that QGIS draws and saves without effort
TURN = 0.6180339887498949  # of the colour circle, from one colour to the next: the golden ratio


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
        """Whether there is a rendering style for this output in Processing, or a style file beside the layer's."""
        from processing.gui.RenderingStyles import RenderingStyles

        beside = os.path.splitext(layer.source().split("|")[0])[0] + ".qml"
        return RenderingStyles.getStyle(*self._output) is not None or os.path.exists(beside)


def show_segments(layer):
    """Colours that change from id to id, or, for millions of ids, between any that are not close to each other.

    Ids are given in raster order, so neighbours' ids are seldom close: those of one row of pixels lie between them.
    """
    provider = layer.dataProvider()
    wanted = QgsRasterBandStats.Stats
    statistics = provider.bandStatistics(1, getattr(wanted, "Max", None) or QgsRasterBandStats.Max)
    most = max(int(statistics.maximumValue), 1)
    count = min(most, MOST_COLOURS)
    ramp = QgsColorRampShader(1, most)
    ramp.setColorRampType(QgsColorRampShader.Type.Interpolated)
    ramp.setColorRampItemList(
        [
            QgsColorRampShader.ColorRampItem(1 + (most - 1) * index / max(count - 1, 1), _colour(index), "")
            for index in range(count)
        ]
    )
    shader = QgsRasterShader(1, most)
    shader.setRasterShaderFunction(ramp)
    renderer = QgsSingleBandPseudoColorRenderer(provider, 1, shader)
    renderer.setClassificationMin(1)
    renderer.setClassificationMax(most)
    layer.setRenderer(renderer)


def _colour(index):
    return QColor.fromHsvF(
        (index * TURN) % 1.0, 0.45 + 0.5 * ((index * 0.37) % 1.0), 0.55 + 0.45 * ((index * 0.71) % 1.0)
    )


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
    statistics = provider.bandStatistics(band)
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
