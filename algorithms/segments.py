# SPDX-License-Identifier: GPL-2.0-or-later
"""What the algorithms over existing segments share: SEGMENTS, VALUES, BANDS, and how a run is checked."""

from typing import Callable, Optional, Tuple

from qgis.core import (
    QgsProcessingOutputLayerDefinition,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBand,
    QgsProcessingParameterRasterLayer,
    QgsProperty,
)

from ..tiledseg_plugin.compat import is_null
from ..tiledseg_plugin.errors import SegmentationError
from .base import TiledAlgorithm
from .inputs import band_numbers, gdal_source, raster_layer
from .looks import Look
from .text import tr


class SegmentsAlgorithm(TiledAlgorithm):
    """An algorithm says besides: `_run(parameters, context, output)`, the engine's parameters, checked."""

    SEGMENTS = "SEGMENTS"
    VALUES = "VALUES"
    BANDS = "BANDS"
    OUTPUT = "OUTPUT"
    SEGMENT_COUNT = "SEGMENT_COUNT"
    STYLE: Optional[Callable] = None
    SETTLED: Tuple[str, ...] = (SEGMENTS, VALUES)  # the checks here know better what they may be

    _look: Optional[Look] = None

    def group(self):
        return tr("Segments")

    def groupId(self):
        return "segments"

    def _add_inputs(self, values_optional=False):
        self.add(
            QgsProcessingParameterRasterLayer(self.SEGMENTS, tr("Segments")),
            tr("Raster of segment numbers, as 'Segment raster' writes it, or of any other whole numbers above 0."),
        )
        self.add(
            QgsProcessingParameterRasterLayer(self.VALUES, tr("Raster of values"), optional=values_optional),
            tr(
                "Any raster that overlaps the segments; where its grid or coordinates are others, the nearest pixel "
                "counts. A pixel that a band declares as no data does not count."
            ),
        )
        self.add(
            QgsProcessingParameterBand(
                self.BANDS, tr("Bands"), parentLayerParameterName=self.VALUES, allowMultiple=True, optional=True
            ),
            tr("Bands of the values, such as 1;3. Empty: all."),
        )

    def _add_count(self):
        self.addOutput(QgsProcessingOutputNumber(self.SEGMENT_COUNT, tr("Number of segments")))

    def checkParameterValues(self, parameters, context):
        accepted, _ = super().checkParameterValues(parameters, context)
        try:
            self._run(parameters, context, self._path_asked_for(parameters, context))
        except SegmentationError as error:
            return False, str(error)
        if accepted:
            return True, ""
        rest = self.reason_for_refusal(parameters, context, settled=self.SETTLED)
        return not rest, rest

    def collect(self, parameters, context):
        if self.STYLE is not None:
            self._look = Look(self.id(), self.OUTPUT, type(self).STYLE)
        return self._run(parameters, context, self.parameterAsOutputLayer(parameters, self.OUTPUT, context))

    def postProcessAlgorithm(self, context, feedback):
        super().postProcessAlgorithm(context, feedback)
        if self._look is not None and self._values is not None:
            self._look.attach(context, self._values.output)
        return {}

    def _raster(self, parameters, name, context):
        """What GDAL opens for a raster parameter; empty where an optional one is not given."""
        layer = raster_layer(self, parameters, name, context)
        definition = self.parameterDefinition(name)
        if is_null(parameters.get(name)) and definition.flags() & definition.Flag.FlagOptional:
            return ""
        return gdal_source(layer, parameters.get(name), name)

    def _bands(self, parameters, context, source):
        bands = band_numbers(self._raw(parameters, self.BANDS, context), self.BANDS)
        if source:
            from ..tiledseg_plugin.raster import describe

            describe(source, bands)
        return bands

    def _raw(self, parameters, name, context):
        value = parameters.get(name)
        if isinstance(value, QgsProperty):
            return value.value(context.expressionContext())[0]
        return value

    def _path_asked_for(self, parameters, context):
        """OUTPUT as a path before a run, or empty if there will be a temporary one."""
        value = self._raw(parameters, self.OUTPUT, context)
        if isinstance(value, QgsProcessingOutputLayerDefinition):
            value = value.sink.value(context.expressionContext())[0]
        return "" if is_null(value) or value == "TEMPORARY_OUTPUT" else str(value)
