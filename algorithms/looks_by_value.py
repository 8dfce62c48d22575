# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments coloured by a value of theirs, or at random: polygons by an expression, rasters of values by a ramp."""

from dataclasses import dataclass
from typing import List, Sequence, Tuple

from qgis.core import (
    QgsColorRampShader,
    QgsFillSymbol,
    QgsGraduatedSymbolRenderer,
    QgsPalettedRasterRenderer,
    QgsProperty,
    QgsRasterLayer,
    QgsRasterShader,
    QgsRendererRange,
    QgsSingleBandPseudoColorRenderer,
    QgsSingleSymbolRenderer,
    QgsSymbolLayer,
    QgsVectorLayer,
    QgsVectorSimplifyMethod,
)
from qgis.PyQt.QtGui import QColor

# From low to high, lightness rising throughout, so that they are told apart in grey print and by colour-blind eyes.
VALUES = ("#2c105c", "#711f81", "#b63679", "#ee605e", "#fdae78", "#fcfdbf")
INDEX = ("#8c510a", "#d8b365", "#f6e8c3", "#c7eae5", "#5ab4ac", "#01665e")  # brown to green, pale in the middle


@dataclass(frozen=True)
class Colouring:
    """What segments are coloured by.

    title : for people
    columns : of the attribute table; one, or the two of an index
    """

    title: str
    columns: Tuple[str, ...]

    @property
    def is_index(self) -> bool:
        return len(self.columns) == 2

    @property
    def expression(self) -> str:
        """In QGIS's language; null where it has no value."""
        quoted = ['"{}"'.format(name.replace('"', '""')) for name in self.columns]
        if not self.is_index:
            return quoted[0]
        first, second = quoted
        return f"to_real({first} - {second}) / nullif({first} + {second}, 0)"

    @property
    def colours(self) -> Sequence[str]:
        return INDEX if self.is_index else VALUES


def colour_between(colours: Sequence[str], share: float) -> QColor:
    """A colour of a ramp, at 0 to 1 of its length."""
    place = min(max(share, 0.0), 1.0) * (len(colours) - 1)
    left = min(int(place), len(colours) - 2)
    first, second, part = QColor(colours[left]), QColor(colours[left + 1]), place - left
    mixed = (round(a + (b - a) * part) for a, b in zip(first.getRgb()[:3], second.getRgb()[:3]))
    return QColor(*mixed)


def show_classes(layer: QgsVectorLayer, colouring: Colouring, ends: Sequence[float]) -> None:
    """Colour polygons by classes of a value.

    Parameters
    ----------
    ends : of the classes, ascending, one more than there are classes
    """
    count = len(ends) - 1
    ranges: List[QgsRendererRange] = []
    for number, (low, high) in enumerate(zip(ends, ends[1:])):
        colour = colour_between(colouring.colours, number / max(count - 1, 1))
        ranges.append(QgsRendererRange(low, high, filled(colour), f"{low:.4g} – {high:.4g}"))
    layer.setRenderer(QgsGraduatedSymbolRenderer(colouring.expression, ranges))
    draw_as_they_are(layer)


def filled(colour: QColor) -> QgsFillSymbol:
    """A fill that leaves no gap to its neighbours."""
    return QgsFillSymbol.createSimple(
        {"color": colour.name(), "outline_color": colour.name(), "outline_width": "0.1", "joinstyle": "bevel"}
    )


def show_at_random(layer: QgsVectorLayer, id_column: str) -> None:
    """A colour for each polygon, the same whenever it is drawn."""
    number = '"{}"'.format(id_column.replace('"', '""'))
    colour = f"color_hsv(({number} * 137.508) % 360, 45 + ({number} * 37) % 50, 60 + ({number} * 71) % 40)"
    symbol = filled(QColor("#888888"))
    stroke = symbol.symbolLayer(0)
    for name in (QgsSymbolLayer.Property.PropertyFillColor, QgsSymbolLayer.Property.PropertyStrokeColor):
        stroke.setDataDefinedProperty(name, QgsProperty.fromExpression(colour))
    layer.setRenderer(QgsSingleSymbolRenderer(symbol))
    draw_as_they_are(layer)


def draw_as_they_are(layer: QgsVectorLayer) -> None:
    """Draw every corner: where QGIS leaves some out for speed, what lies below shows between neighbours."""
    method = layer.simplifyMethod()
    method.setSimplifyHints(QgsVectorSimplifyMethod.SimplifyHint.NoSimplification)
    layer.setSimplifyMethod(method)


def show_column(layer: QgsRasterLayer) -> None:
    """A raster of one value a segment: classes in their own colours, numbers by a ramp."""
    provider = layer.dataProvider()
    classes = provider.colorTable(1)
    if classes:
        known = QgsPalettedRasterRenderer.colorTableToClassData([one for one in classes if one.value > 0])
        layer.setRenderer(QgsPalettedRasterRenderer(provider, 1, known))
        return
    from ..tiledseg_plugin.engine.products.segment_values import kept_limits

    title = provider.generateBandName(1)
    show_ramp(layer, Colouring(title, (title,)), *kept_limits(layer.source()))


def show_ramp(layer: QgsRasterLayer, colouring: Colouring, low: float, high: float) -> None:
    """Colour a raster of values by a ramp whose legend says what they are."""
    colours = colouring.colours
    items = [
        QgsColorRampShader.ColorRampItem(low + (high - low) * place / (len(colours) - 1), QColor(colour))
        for place, colour in enumerate(colours)
    ]
    ramp = QgsColorRampShader(low, high)
    ramp.setColorRampType(QgsColorRampShader.Type.Interpolated)
    ramp.setColorRampItemList(items)
    shader = QgsRasterShader()
    shader.setRasterShaderFunction(ramp)
    renderer = QgsSingleBandPseudoColorRenderer(layer.dataProvider(), 1, shader)
    renderer.setClassificationMin(low)
    renderer.setClassificationMax(high)
    layer.setRenderer(renderer)
