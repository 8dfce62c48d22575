# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:statistics`: a table of any raster's values in segments. The ids in here are published and never change."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from ..tiledseg_plugin.engine.parameters import MOST_GREY_LEVELS, PERCENTILE, STATISTICS, USUAL_STATISTICS
from ..tiledseg_plugin.engine.progress import Feedback
from .inputs import RastersParameter
from .segments import SegmentsAlgorithm
from .text import tr
from .values import ChoiceParameter, percentiles_in

if TYPE_CHECKING:
    from ..tiledseg_plugin.engine.files.output_files import Output


class SegmentStatistics(SegmentsAlgorithm):
    """Parameters in, one call of the engine, a table out."""

    MORE_VALUES = "MORE_VALUES"
    STATISTICS = "STATISTICS"
    PERCENTILES = "PERCENTILES"
    GREY_LEVELS = "GREY_LEVELS"
    APPLY_SCALE = "APPLY_SCALE"
    UPDATE_RAT = "UPDATE_RAT"
    CHECKED_HERE = (*SegmentsAlgorithm.CHECKED_HERE, STATISTICS, MORE_VALUES)

    def name(self) -> str:
        return "statistics"

    def displayName(self) -> str:
        return tr("Segment statistics")

    def shortDescription(self) -> str:
        return tr("Statistics of any raster's values in every segment, as a table and as raster attributes.")

    def tags(self) -> List[str]:
        return tr(
            "segments,zonal,statistics,mean,median,percentile,majority,minority,variety,classes,texture,GLCM,Haralick,"
            "time series,attribute table,RAT,GEOBIA,OBIA"
        ).split(",")

    def description(self) -> Tuple[str, ...]:
        return (
            tr(
                "Makes a table with one row a segment: the column segment holds its number, and of each band and "
                "statistic there is a column such as mean_1 or median_3. All of them are exact, and the same whatever "
                "the number of workers. v stands for the valid values of a band in a segment, n for how many there are."
            ),
            tr(
                "In units of the values: mean, sum(v) / n; std, the population standard deviation, "
                "sqrt(sum((v - mean)^2) / n); min and max; range, max - min; sum; median; p01 to p99, percentiles "
                "between the nearest ranks, at (n - 1) p / 100; majority and minority, the most and the least frequent "
                "value, the smallest of those that are equally frequent."
            ),
            tr(
                "In other units: count, n in pixels; variety, how many different values; cv, the coefficient of "
                "variation std / |mean|, without unit; valid_fraction, n / pixels of the segment, 0 to 1; share, of "
                "whole numbers that are classes, a column such as share_3_1 for each class of band 1: the pixels of "
                "class 3 / n, 0 to 1."
            ),
            tr(
                "Texture, without unit but for entropy (nats), of pairs of pixels of one segment that touch at a side "
                "or a corner, both ways round (grey level co-occurrence, Haralick et al. 1973), where p(i, j) is the "
                "share of the pairs of grey levels i and j: contrast, sum(p (i - j)^2); homogeneity, "
                "sum(p / (1 + (i - j)^2)); entropy, -sum(p ln p); correlation, sum(p (i - m)(j - m)) / s^2 with m and "
                "s the mean and standard deviation of the levels, -1 to 1. The grey levels are equal steps between two "
                "standard deviations below and above the mean of the whole raster, within its range."
            ),
            tr(
                "What a segment does not have is null: everything but count and valid_fraction where it has no value, "
                "texture where it has no pair, correlation where all levels are alike, cv where the mean is 0."
            ),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        self._add_inputs()
        self._add_what_is_wanted()
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

    def _add_what_is_wanted(self) -> None:
        self.add(
            RastersParameter(self.MORE_VALUES, tr("More rasters of values")),
            tr(
                "Rasters besides the first, such as the dates of a time series, of which the same bands are used; each "
                "may have its own grid. The columns are then called by file and band: scene_2020_mean_1."
            ),
        )
        self.add(
            ChoiceParameter(
                self.STATISTICS,
                tr("Statistics"),
                options=list(STATISTICS),
                default=list(USUAL_STATISTICS),
                further=PERCENTILE,
            ),
            tr("Which statistics, see above for units and formulas; percentiles such as p10 are understood, too."),
        )
        self.add(
            QgsProcessingParameterString(self.PERCENTILES, tr("More percentiles"), optional=True),
            tr("Any others from 1 to 99, separated by semicolons: 10;25;75 makes columns such as p10_1, p25_1, p75_1."),
        )
        self.add(
            QgsProcessingParameterNumber(
                self.GREY_LEVELS,
                tr("Grey levels of texture"),
                QgsProcessingParameterNumber.Type.Integer,
                16,
                True,
                2,
                MOST_GREY_LEVELS,
            ),
            tr("Into how many grey levels the values are divided for contrast, homogeneity, entropy and correlation."),
            advanced=True,
        )
        self.add(
            QgsProcessingParameterBoolean(self.APPLY_SCALE, tr("Apply scale and offset of bands"), True, True),
            tr("Report what the values mean, as QGIS shows them; if not, the values as they are stored."),
            advanced=True,
        )

    def output_of(self, name: str, path: str, called: str) -> "Output":
        from ..tiledseg_plugin.engine.files.formats import TABLES

        if path:
            TABLES.driver_of(path, called)
        return super().output_of(name, path, called)

    def run_of(self, parameters: Dict[str, Any], context: QgsProcessingContext, output: str) -> Any:
        from ..tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, check_statistics

        grey_levels = self.value(parameters, self.GREY_LEVELS, context)
        percentiles = percentiles_in(self.value(parameters, self.PERCENTILES, context), self.PERCENTILES)
        run = StatisticsParameters(
            **self._rasters(parameters, context),
            output=output or "statistics.gpkg",
            more_values=self.raster_sources(parameters, self.MORE_VALUES, context),
            statistics=(*self.value(parameters, self.STATISTICS, context), *percentiles),
            grey_levels=16 if grey_levels is None else grey_levels,
            apply_scale=self.value(parameters, self.APPLY_SCALE, context) is not False,
            update_rat=self.value(parameters, self.UPDATE_RAT, context),
        )
        check_statistics(run, bool(output))
        return run

    def make(self, run: Any, feedback: Feedback) -> Any:
        from ..tiledseg_plugin.engine.products.segment_statistics import segment_statistics

        return segment_statistics(run, feedback)
