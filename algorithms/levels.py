# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:levels`: segments at another scale. The ids in here are published and never change."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
)

from ..tiledseg_plugin.engine.progress import Feedback
from .inputs import RasterParameter
from .looks import Look, StackedLook, show_outlines, show_segments
from .segments import SegmentsAlgorithm
from .text import tr

if TYPE_CHECKING:
    from ..tiledseg_plugin.engine.files.output_files import Output


class SegmentLevels(SegmentsAlgorithm):
    """Parameters in, one call of the engine, a raster and perhaps polygons out."""

    LEVEL = "LEVEL"
    POLYGONS = "POLYGONS"
    CHECKED_HERE = (SegmentsAlgorithm.SEGMENTS,)

    _looks: Tuple[Tuple[Look, str], ...] = ()

    def name(self) -> str:
        return "levels"

    def displayName(self) -> str:
        return tr("Segments at another scale")

    def shortDescription(self) -> str:
        return tr("The larger segments that a run with LEVELS knows as well, without segmenting again.")

    def tags(self) -> List[str]:
        return tr("segments,scale,levels,hierarchy,multiscale,nested,merge,dissolve,GEOBIA,OBIA").split(",")

    def description(self) -> Tuple[str, ...]:
        return (
            tr(
                "Makes the raster of one of the levels that 'Segment raster' was given: pixel for pixel what a run "
                "with that minimum segment size makes, with numbers from 1 on. Nothing is segmented again; the "
                "segments' table says which of them are one."
            ),
            tr(
                "The attribute table of the level is combined from that of the segments: counts, sums, means, extremes "
                "and standard deviations, those of whole numbers exactly. Colours are the mean of the parts' colours. "
                "Columns in which all parts agree stay, and so do those of the levels above; others, such as medians, "
                "are left out."
            ),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        self.add(
            RasterParameter(self.SEGMENTS, tr("Segments")),
            tr("Raster of segments that 'Segment raster' has made with LEVELS, and so has columns such as level_500."),
        )
        self.add(
            QgsProcessingParameterNumber(
                self.LEVEL, tr("Level: minimum segment size [pixels]"), defaultValue=500, minValue=2
            ),
            tr("Which of the levels, such as 500 for the column level_500. Unit: pixels."),
        )
        self.add(
            QgsProcessingParameterRasterDestination(self.OUTPUT, tr("Segments at the level")),
            tr(
                "Raster of segment numbers with attribute table: .tif (.cog.tif: cloud optimized), .img, or .kea where "
                "GDAL has it."
            ),
        )
        self.add_polygon_output(
            self.POLYGONS,
            tr("Polygons"),
            tr("One polygon a segment of the level, with the columns of its table. Empty: none."),
        )
        self._add_count()

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        names = (self.OUTPUT, self.POLYGONS)
        self._run_of(parameters, context, {name: self.path_asked_for(parameters, name, context) for name in names})

    def collect(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Any:
        names = (self.OUTPUT, self.POLYGONS)
        run = self._run_of(
            parameters, context, {name: self.parameterAsOutputLayer(parameters, name, context) for name in names}
        )
        made = ((self.POLYGONS, show_outlines, run.polygons), (self.OUTPUT, show_segments, run.output))
        stack = [path for _, _, path in made if path]
        self._looks = tuple(
            (StackedLook((self.id(), name), style, stack, path), path) for name, style, path in made if path
        )
        return run

    def output_of(self, name: str, path: str, called: str) -> "Output":
        from ..tiledseg_plugin.engine.files.formats import POLYGONS, format_of
        from ..tiledseg_plugin.engine.files.output_files import SEGMENTS, VECTOR, Output

        if path and name == self.OUTPUT:
            format_of(path, called)
        elif path:
            POLYGONS.driver_of(path, called)
        return Output(called, path, SEGMENTS if name == self.OUTPUT else VECTOR)

    def work(self, values: Any, feedback: Feedback) -> Dict[str, Any]:
        made = super().work(values, feedback)
        return {**made, self.POLYGONS: values.polygons} if values.polygons else made

    def make(self, run: Any, feedback: Feedback) -> Any:
        from ..tiledseg_plugin.engine.products.levels import segments_at_level

        return segments_at_level(run, feedback)

    def postProcessAlgorithm(self, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> Dict[str, Any]:
        super().postProcessAlgorithm(context, feedback)
        for look, path in self._looks:
            look.attach(context, path)
        return {}

    def _run_of(self, parameters: Dict[str, Any], context: QgsProcessingContext, outputs: Dict[str, str]) -> Any:
        """The engine's parameters, checked.

        Parameters
        ----------
        outputs : {id: path}; of those that are not known yet or not asked for it is empty
        """
        from ..tiledseg_plugin.engine.products.levels import LevelsParameters, check_levels

        run = LevelsParameters(
            self.raster_source(parameters, self.SEGMENTS, context),
            self.value(parameters, self.LEVEL, context),
            outputs[self.OUTPUT],
            outputs[self.POLYGONS] or "",
        )
        check_levels(run)
        return run
