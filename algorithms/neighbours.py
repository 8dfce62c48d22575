# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:neighbours`: tables of segments and their neighbours. The ids in here are published and never change."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from ..tiledseg_plugin.engine.progress import Feedback
from .segments import SegmentsAlgorithm
from .text import tr

if TYPE_CHECKING:
    from ..tiledseg_plugin.engine.files.output_files import Output


class SegmentNeighbours(SegmentsAlgorithm):
    """Parameters in, one call of the engine, two tables out."""

    CLASSES = "CLASSES"
    UPDATE_RAT = "UPDATE_RAT"
    SUMMARY = "SUMMARY"
    PAIR_COUNT = "PAIR_COUNT"

    def name(self) -> str:
        return "neighbours"

    def displayName(self) -> str:
        return tr("Segment neighbours")

    def shortDescription(self) -> str:
        return tr("Which segments touch, along what length, and how much they differ, as tables.")

    def tags(self) -> List[str]:
        return tr(
            "segments,neighbours,neighbors,adjacency,region adjacency graph,border,contrast,context,classes,GEOBIA,OBIA"
        ).split(",")

    def description(self) -> Tuple[str, ...]:
        return (
            tr(
                "Neighbours are segments that share at least one pixel side. Makes a table of pairs, in which each "
                "pair stands twice, once from either side, and, if wanted, a table with one row a segment."
            ),
            tr(
                "Pairs: segment and neighbour, their numbers; border_length, the true length of the pixel sides that "
                "they share, in map units, on geographic coordinates in metres on the ellipsoid; and, if a raster of "
                "values is given, difference_1 and so on, the mean of the segment in band 1 less that of the neighbour "
                "(null where one of them has no value)."
            ),
            tr(
                "Segments: segment; pixels; neighbours, how many it has; perimeter, the length of all its sides, which "
                "is the sum of its border lengths and of border_nodata, the length of those beyond which there is no "
                "data or the raster ends; mean_difference_1 and greatest_difference_1 and so on, the mean and the "
                "greatest of the absolute differences to its neighbours, each counted once; and, if a column of "
                "classes is given, share_ and the class: the share of the perimeter that is with segments of the "
                "class, 0 to 1."
            ),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        self._add_inputs(values_optional=True)
        self.add(
            QgsProcessingParameterString(self.CLASSES, tr("Column of classes"), optional=True),
            tr(
                "Name of a column of the segments' attribute table that holds their class, as whole numbers or texts, "
                "256 different ones at most. If there is none of that name, the message lists all."
            ),
        )
        self.add(
            QgsProcessingParameterBoolean(
                self.UPDATE_RAT, tr("Also write into the attribute table"), defaultValue=False
            ),
            tr(
                "Write the columns of the table of segments into their attribute table, too, in the file itself; a "
                "column that is there with other values stays, and the new one is called neighbours_ and its name."
            ),
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.OUTPUT, tr("Table of pairs"), type=QgsProcessing.SourceType.TypeVector
            ),
            tr("Table: .gpkg (GeoPackage), .csv, or .parquet where GDAL has it."),
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.SUMMARY,
                tr("Table of segments"),
                type=QgsProcessing.SourceType.TypeVector,
                optional=True,
                createByDefault=False,
            ),
            tr("Table with one row a segment: .gpkg (GeoPackage), .csv, or .parquet where GDAL has it."),
        )
        self._add_count()
        self.addOutput(QgsProcessingOutputNumber(self.PAIR_COUNT, tr("Number of pairs, each counted once")))

    def output_of(self, name: str, path: str, called: str) -> "Output":
        from ..tiledseg_plugin.engine.files.formats import TABLES

        if path:
            TABLES.driver_of(path, called)
        return super().output_of(name, path, called)

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        output, summary = (self.path_asked_for(parameters, name, context) for name in (self.OUTPUT, self.SUMMARY))
        self._run_with(parameters, context, output, summary)

    def collect(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Any:
        output, summary = (
            self.parameterAsOutputLayer(parameters, name, context) for name in (self.OUTPUT, self.SUMMARY)
        )
        return self._run_with(parameters, context, output, summary)

    def _run_with(self, parameters: Dict[str, Any], context: QgsProcessingContext, output: str, summary: str) -> Any:
        """The engine's parameters, checked; both paths may be empty before a run."""
        from ..tiledseg_plugin.engine.products.segment_neighbours import NeighboursParameters, check_neighbours

        run = NeighboursParameters(
            **self._rasters(parameters, context),
            output=output or "pairs.gpkg",
            summary=summary,
            classes=(self.value(parameters, self.CLASSES, context) or "").strip(),
            update_rat=self.value(parameters, self.UPDATE_RAT, context),
        )
        check_neighbours(run, bool(output))
        return run

    def work(self, values: Any, feedback: Feedback) -> Dict[str, Any]:
        from ..tiledseg_plugin.engine.products.segment_neighbours import segment_neighbours

        result = segment_neighbours(values, feedback)
        return {
            self.OUTPUT: values.output,
            **({self.SUMMARY: values.summary} if values.summary else {}),
            self.SEGMENT_COUNT: result.segment_count,
            self.PAIR_COUNT: result.pair_count,
        }
