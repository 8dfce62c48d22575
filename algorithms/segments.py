# SPDX-License-Identifier: GPL-2.0-or-later
"""What the algorithms over existing segments share: SEGMENTS, VALUES, BANDS, and how a run is checked."""

from typing import Any, Callable, Dict, Optional, Tuple

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBand,
)

from ..tiledseg_plugin.engine.progress import Feedback
from .base import TiledAlgorithm
from .inputs import RasterParameter
from .looks import Look
from .text import tr


class SegmentsAlgorithm(TiledAlgorithm):
    """An algorithm says besides:

    - `STYLE`: function(layer), how QGIS shows the output; None for QGIS's own way;
    - `run_of(parameters, context, output)`: the engine's parameters, checked; `output` may be empty before a run;
    - `make(run, feedback)`: hand them to the engine, and return its result.
    """

    SEGMENTS = "SEGMENTS"
    VALUES = "VALUES"
    BANDS = "BANDS"
    OUTPUT = "OUTPUT"
    SEGMENT_COUNT = "SEGMENT_COUNT"
    STYLE: Optional[Callable[[Any], None]] = None
    CHECKED_HERE: Tuple[str, ...] = (SEGMENTS, VALUES)

    _look: Optional[Look] = None

    def group(self) -> str:
        return tr("Segments")

    def groupId(self) -> str:
        return "segments"

    def _add_segments(self) -> None:
        self.add(
            RasterParameter(self.SEGMENTS, tr("Segments")),
            tr(
                "Raster of segment numbers, as 'Segment raster' writes it, or of any other whole numbers. What it "
                "declares as no data is no data; where it declares nothing, 0 is."
            ),
        )

    def _add_inputs(self, values_optional: bool = False) -> None:
        self._add_segments()
        self.add(
            RasterParameter(self.VALUES, tr("Raster of values"), optional=values_optional),
            tr(
                "Any raster that overlaps the segments; where its grid or coordinates are others, the nearest pixel "
                "counts. A pixel that a band declares as no data, or that alpha or a mask hides, does not count. Scale "
                "and offset of a band are applied, as QGIS does."
            ),
        )
        self.add(
            QgsProcessingParameterBand(
                self.BANDS, tr("Bands"), parentLayerParameterName=self.VALUES, allowMultiple=True, optional=True
            ),
            tr("Bands of the values, such as 1;3. Empty: all but alpha."),
        )

    def _add_count(self) -> None:
        self.addOutput(QgsProcessingOutputNumber(self.SEGMENT_COUNT, tr("Number of segments")))

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        self.run_of(parameters, context, self.path_asked_for(parameters, self.OUTPUT, context))

    def collect(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Any:
        show = type(self).STYLE
        if show is not None:
            self._look = Look(self.id(), self.OUTPUT, show)
        return self.run_of(parameters, context, self.parameterAsOutputLayer(parameters, self.OUTPUT, context))

    def work(self, values: Any, feedback: Feedback) -> Dict[str, Any]:
        result = self.make(values, feedback)
        return {self.OUTPUT: values.output, self.SEGMENT_COUNT: result.segment_count}

    def postProcessAlgorithm(self, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> Dict[str, Any]:
        super().postProcessAlgorithm(context, feedback)
        if self._look is not None and self._values is not None:
            self._look.attach(context, self._values.output)
        return {}

    def run_of(self, parameters: Dict[str, Any], context: QgsProcessingContext, output: str) -> Any:
        raise NotImplementedError

    def make(self, run: Any, feedback: Feedback) -> Any:
        raise NotImplementedError

    def _rasters(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Dict[str, Any]:
        """SEGMENTS, VALUES and BANDS for the engine."""
        segments, values = (self.raster_source(parameters, name, context) for name in (self.SEGMENTS, self.VALUES))
        bands = self.value(parameters, self.BANDS, context) or ()
        return {"segments": segments, "values": values, "bands": bands}
