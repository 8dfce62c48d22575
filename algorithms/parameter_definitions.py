# SPDX-License-Identifier: GPL-2.0-or-later
"""What `tiledseg:parameters` is called, takes and returns. The ids in here are published and never change."""

from typing import Any, Dict, List, Optional, Tuple

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputBoolean,
    QgsProcessingOutputNumber,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterVectorDestination,
)

from ..tiledseg_plugin.engine.parameter_search.candidates import CRITERIA, LEAST_WINDOW, STRETCHES, SearchParameters
from .text import tr
from .tiling import INTEGER, Numbers, TilingAlgorithm
from .values import WordParameter

DEFAULTS = SearchParameters("", "")


def _list_of(values: Tuple) -> str:
    return ";".join(f"{value:g}" for value in values)


class ParameterDefinitions(TilingAlgorithm):
    """Identity, parameters and outputs of `tiledseg:parameters`, each with its help."""

    NUM_CLUSTERS = "NUM_CLUSTERS"
    MIN_PIXELS = "MIN_PIXELS"
    DISTANCE_THRESHOLD = "DISTANCE_THRESHOLD"
    STRETCH = "STRETCH"
    REGIONS = "REGIONS"
    WINDOWS = "WINDOWS"
    WINDOW_SIZE = "WINDOW_SIZE"
    REFERENCE = "REFERENCE"
    CRITERION = "CRITERION"
    SAMPLING = "SAMPLING"
    KMEANS_MAX_ITERATIONS = "KMEANS_MAX_ITERATIONS"
    OUTPUT = "OUTPUT"
    REPORT = "REPORT"
    POLYGON_TABLE = "POLYGON_TABLE"
    BEST_NUM_CLUSTERS = "BEST_NUM_CLUSTERS"
    BEST_MIN_PIXELS = "BEST_MIN_PIXELS"
    BEST_DISTANCE_THRESHOLD = "BEST_DISTANCE_THRESHOLD"
    BEST_STRETCH = "BEST_STRETCH"
    SCORE = "SCORE"
    CANDIDATE_COUNT = "CANDIDATE_COUNT"
    AREA_COUNT = "AREA_COUNT"
    POLYGON_COUNT = "POLYGON_COUNT"

    def name(self) -> str:
        return "parameters"

    def displayName(self) -> str:
        return tr("Find parameters")

    def shortDescription(self) -> str:
        return tr("Tries many parameters of 'Segment raster', measures the segments, and names the best.")

    def tags(self) -> List[str]:
        return tr(
            "segmentation,parameters,optimisation,optimization,scale,tune,measure,Moran,variance,F measure,ESP,uspo,"
            "reference,accuracy,OBIA,GEOBIA"
        ).split(",")

    def description(self) -> Tuple[str, ...]:
        return (
            tr(
                "Segments parts of a raster with every combination of the values in the lists, measures how good the "
                "segments are, and returns a table of all candidates, a report with plots and pictures, and the best "
                "values, with which a model can go on to 'Segment raster'. All minimum sizes come from one run each."
            ),
            tr(
                "Without reference, good segments are even within (area-weighted variance) and differ from their "
                "neighbours (Moran's I; Espindola et al. 2006, Johnson and Xie 2011). Both are scores between fixed "
                "bounds (Boeck et al. 2017), so that the best does not depend on what else is tried; the F measure "
                "(Johnson et al. 2015) is their harmonic mean. Bands weigh alike, whatever their units. Local variance "
                "and its rate of change (Dragut et al. 2014) name scales to look at."
            ),
            tr(
                "With reference polygons, over- and under-segmentation and their root mean square (Clinton et al. "
                "2010), the quality rate, IoU and ED2 (Liu et al. 2012) are measured, too, and the best matches them."
            ),
            tr(
                "Stretch and clusters are always those of the whole raster, and what is measured is segmented with a "
                "margin: the segments are those that 'Segment raster' then makes, but for those that reach further "
                "than the margin. Segments are cut where the measured part ends; in a large raster, which is taken in "
                "parts of 2000 x 2000 pixels, between those, too. Memory does not grow with the raster."
            ),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        self._add_raster(tr("Raster to segment"))
        self._add_candidates()
        self._add_places()
        self._add_reference()
        self._add_number(
            self.SAMPLING,
            tr("Sampling for k-means [pixels]"),
            tr("Every n-th place of the raster goes into k-means, as in 'Segment raster'. Unit: pixels."),
            advanced=True,
        )
        self._add_number(
            self.KMEANS_MAX_ITERATIONS,
            tr("Maximum iterations of k-means"),
            tr("K-means ends after so many iterations if it has not converged before."),
            advanced=True,
        )
        self._add_nodata()
        self._add_number(
            self.WORKERS,
            tr("Workers"),
            tr("How many parts are tried at a time. 0: as many as the cores and the memory of the machine allow."),
            Numbers(0),
            advanced=True,
        )
        self._add_outputs()

    def _add_candidates(self) -> None:
        for name, label, default, text in (
            (
                self.NUM_CLUSTERS,
                tr("Numbers of clusters to try"),
                DEFAULTS.num_clusters,
                tr("Whole numbers of at least 2, separated by semicolons."),
            ),
            (
                self.MIN_PIXELS,
                tr("Minimum segment sizes to try [pixels]"),
                DEFAULTS.min_pixels,
                tr(
                    "Whole numbers of at least 1, separated by semicolons; many cost little, as all come from one run. "
                    "Unit: pixels."
                ),
            ),
            (
                self.DISTANCE_THRESHOLD,
                tr("Distance thresholds to try"),
                DEFAULTS.distance_thresholds,
                tr(
                    "Numbers above 0, separated by semicolons; 'none' is no limit. Unit: the values that are "
                    "segmented, which are 0 to 255 with the stretch. Empty: no limit."
                ),
            ),
        ):
            optional = name == self.DISTANCE_THRESHOLD
            definition = WordParameter(name, label, defaultValue=_list_of(default), optional=optional)
            self.add(definition, text)
        self._add_enum(
            self.STRETCH,
            tr("Stretch values first"),
            tr("'on': stretch each band to 8 bit first; 'off': use the values as they are; 'both': try both."),
            tuple(STRETCHES),
        )

    def _add_enum(self, name: str, label: str, text: str, options: Tuple[str, ...]) -> None:
        self.add(
            QgsProcessingParameterEnum(
                name, label, options=list(options), defaultValue=options[0], usesStaticStrings=True
            ),
            text,
        )

    def _add_places(self) -> None:
        self.add_polygon_layer(
            self.REGIONS,
            tr("Where to measure"),
            tr(
                "A polygon layer, in any coordinate reference system: candidates are measured in its polygons. Empty: "
                "in windows, as the next two parameters say."
            ),
        )
        for name, label, default, least, text in (
            (
                self.WINDOWS,
                tr("Number of windows"),
                DEFAULTS.windows,
                0,
                tr(
                    "Candidates are measured in so many windows. They are spread over the valid area and chosen so "
                    "that together they hold what the raster holds (the shares of eight land covers, found by "
                    "k-means); with reference polygons, they are where most of these lie. A raster no larger than "
                    "they are together is measured as a whole. 0: the whole raster, which takes longer. Not used with "
                    "'Where to measure'."
                ),
            ),
            (
                self.WINDOW_SIZE,
                tr("Window size [pixels]"),
                DEFAULTS.window_size,
                LEAST_WINDOW,
                tr("The greatest width and height of a window; segments should be much smaller. Unit: pixels."),
            ),
        ):
            self.add(QgsProcessingParameterNumber(name, label, INTEGER, default, minValue=least), text)
        self._add_extent()

    def _add_reference(self) -> None:
        self.add_polygon_layer(
            self.REFERENCE,
            tr("Reference polygons"),
            tr(
                "A polygon layer of objects that somebody has drawn, in any coordinate reference system, to compare "
                "segments with; a few dozen of all kinds are enough. Those count that lie as a whole where candidates "
                "are measured. Pixels whose centre lies in a polygon belong to it."
            ),
        )
        self._add_enum(
            self.CRITERION,
            tr("What makes a candidate the best"),
            tr(
                "'auto': 'rms' with reference polygons, else 'f_measure'; 'f_measure' and 'goodness' (the sum of both "
                "scores), the higher the better, need no reference; 'rms' (over- and under-segmentation) and 'ed2', "
                "the lower the better, and 'iou', the higher the better, do. Of candidates that are as good, the "
                "first in the table is the best."
            ),
            CRITERIA,
        )

    def _add_outputs(self) -> None:
        self.add(
            QgsProcessingParameterVectorDestination(
                self.OUTPUT, tr("Table of candidates"), type=QgsProcessing.SourceType.TypeVector
            ),
            tr("Table with a row for each candidate and its measures: .gpkg, .csv, or .parquet where GDAL has it."),
        )
        self.add(
            QgsProcessingParameterFileDestination(
                self.REPORT, tr("Report"), fileFilter=tr("HTML files (*.html)"), optional=True
            ),
            tr(
                "One HTML file with plots of the measures against the minimum size, and pictures of the segments of "
                "the best three candidates. Empty: none."
            ),
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.POLYGON_TABLE,
                tr("Table of reference polygons"),
                type=QgsProcessing.SourceType.TypeVector,
                optional=True,
                createByDefault=False,
            ),
            tr(
                "Table with a row for each candidate and reference polygon (numbered from 1 in the order of the "
                "layer): .gpkg, .csv, or .parquet where GDAL has it. Empty: none."
            ),
        )
        for name, label in (
            (self.BEST_NUM_CLUSTERS, tr("Best number of clusters")),
            (self.BEST_MIN_PIXELS, tr("Best minimum segment size [pixels]")),
            (self.BEST_DISTANCE_THRESHOLD, tr("Best distance threshold, nothing for no limit")),
            (self.SCORE, tr("What the best has of the criterion")),
            (self.CANDIDATE_COUNT, tr("Number of candidates")),
            (self.AREA_COUNT, tr("Number of parts that were measured")),
            (self.POLYGON_COUNT, tr("Number of reference polygons that were used")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))
        self.addOutput(QgsProcessingOutputBoolean(self.BEST_STRETCH, tr("Whether the stretch is best")))
