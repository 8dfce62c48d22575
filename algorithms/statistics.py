# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:statistics`: a table of any raster's values in segments. The ids in here are published and never change."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterVectorDestination,
)

from ..tiledseg_plugin.engine.parameters import STATISTICS, USUAL_STATISTICS
from ..tiledseg_plugin.engine.progress import Feedback
from .segments import SegmentsAlgorithm
from .text import tr

if TYPE_CHECKING:
    from ..tiledseg_plugin.engine.files.output_files import Output


class SegmentStatistics(SegmentsAlgorithm):
    """Parameters in, one call of the engine, a table out."""

    STATISTICS = "STATISTICS"
    UPDATE_RAT = "UPDATE_RAT"
    CHECKED_HERE = (*SegmentsAlgorithm.CHECKED_HERE, STATISTICS)

    def name(self) -> str:
        return "statistics"

    def displayName(self) -> str:
        return tr("Segment statistics")

    def shortDescription(self) -> str:
        return tr("Statistics of any raster's values in every segment, as a table and as raster attributes.")

    def tags(self) -> List[str]:
        return tr("segments,zonal,statistics,mean,median,percentile,majority,attribute table,RAT,GEOBIA,OBIA").split(
            ","
        )

    def description(self) -> Tuple[str, ...]:
        return (
            tr(
                "Makes a table with one row a segment: the column segment holds its number, and of each band and "
                "statistic there is a column such as mean_1 or median_3. Medians, percentiles and majorities are exact."
            ),
            tr(
                "std is the population standard deviation; p05 and p95 are the 5th and 95th percentile, between the "
                "nearest ranks; of values that are equally frequent the smallest is the majority. A segment without "
                "a value has nulls."
            ),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        self._add_inputs()
        self.add(
            QgsProcessingParameterEnum(
                self.STATISTICS,
                tr("Statistics"),
                options=list(STATISTICS),
                allowMultiple=True,
                defaultValue=list(USUAL_STATISTICS),
                usesStaticStrings=True,
            ),
            tr("Which statistics; in units of the values, but for count, which is in pixels."),
        )
        self.add(
            QgsProcessingParameterBoolean(
                self.UPDATE_RAT, tr("Also write into the attribute table"), defaultValue=False
            ),
            tr(
                "Write the columns into the attribute table of the segments, too, in the file itself; a column that is "
                "there with other values, or with text, stays, and the new one is called by the raster's name as well. "
                "A segment without a value has NaN there, in a GeoPackage null, and 0 as its count. The pixel counts "
                "in Histogram are set right where the table is of other pixels, and the log names what may be stale."
            ),
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.OUTPUT, tr("Table of statistics"), type=QgsProcessing.SourceType.TypeVector
            ),
            tr("Table: .gpkg (GeoPackage), .csv, or .parquet where GDAL has it."),
        )
        self._add_count()

    def output_of(self, name: str, path: str, called: str) -> "Output":
        from ..tiledseg_plugin.engine.files.formats import TABLES

        if path:
            TABLES.driver_of(path, called)
        return super().output_of(name, path, called)

    def run_of(self, parameters: Dict[str, Any], context: QgsProcessingContext, output: str) -> Any:
        from ..tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, check_statistics

        run = StatisticsParameters(
            **self._rasters(parameters, context),
            output=output or "statistics.gpkg",
            statistics=self.value(parameters, self.STATISTICS, context),
            update_rat=self.value(parameters, self.UPDATE_RAT, context),
        )
        check_statistics(run, bool(output))
        return run

    def make(self, run: Any, feedback: Feedback) -> Any:
        from ..tiledseg_plugin.engine.products.segment_statistics import segment_statistics

        return segment_statistics(run, feedback)
