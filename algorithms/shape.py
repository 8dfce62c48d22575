# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:shape`: a table of the shape of segments. The ids in here are published and never change."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterVectorDestination,
)

from ..tiledseg_plugin.engine.progress import Feedback
from .segments import SegmentsAlgorithm
from .text import tr

if TYPE_CHECKING:
    from ..tiledseg_plugin.engine.files.output_files import Output


class SegmentShape(SegmentsAlgorithm):
    """Parameters in, one call of the engine, a table out."""

    UPDATE_RAT = "UPDATE_RAT"
    CHECKED_HERE = (SegmentsAlgorithm.SEGMENTS,)

    def name(self) -> str:
        return "shape"

    def displayName(self) -> str:
        return tr("Segment shape")

    def shortDescription(self) -> str:
        return tr("Area, perimeter, compactness and other measures of the shape of every segment, as a table.")

    def tags(self) -> List[str]:
        return tr(
            "segments,shape,area,perimeter,compactness,fractal dimension,elongation,orientation,holes,centroid,GEOBIA,"
            "OBIA"
        ).split(",")

    def description(self) -> Tuple[str, ...]:
        return (
            tr(
                "Makes a table with one row a segment: the column segment holds its number, and the others its shape. "
                "A is its area, P its perimeter, N its number of pixels."
            ),
            tr(
                "pixels: N. area: A in map units squared; on geographic coordinates on the ellipsoid, in square "
                "metres. perimeter: P, the true length of all pixel sides between the segment and anything else, "
                "around holes too, in map units; on geographic coordinates in metres. on_ellipsoid: 1 where area and "
                "perimeter are in metres on the ellipsoid, else 0."
            ),
            tr(
                "compactness: 4 pi A / P^2, 1 of a circle, 0.785 of a square (Polsby and Popper 1991). shape_index: "
                "P / (4 sqrt A), 1 of a square, more of others (FRAGSTATS, McGarigal and Marks 1995). "
                "fractal_dimension: 2 ln(P / 4) / ln A, 1 of a square, towards 2 for convoluted outlines; it depends "
                "on the map's unit, and areas of 1 or less have none (FRAGSTATS)."
            ),
            tr(
                "rectangularity: N divided by the pixels of the rectangle around the segment along the raster's rows "
                "and columns, 0 to 1 (after Rosin 1999). elongation: sqrt(l1 / l2) of the second moments l1 and l2 of "
                "its area along its principal axes, 1 or more (Hu 1962, Lehmann 2007). orientation: direction of its "
                "long axis in degrees clockwise from the map's north, 0 to 180; null where none is longer."
            ),
            tr(
                "parts: how many parts, connected by pixel sides, it has. hole_count: rings inside of its polygons. "
                "x, y: centroid, in map coordinates. x_inside, y_inside: centre of its pixel that is nearest to the "
                "centroid, which is inside in any case. min_x, min_y, max_x, max_y: its extent. on_edge: 1 where it "
                "touches the edge of the raster or of no data with a side, else 0."
            ),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        self._add_segments()
        self.add(
            QgsProcessingParameterBoolean(
                self.UPDATE_RAT, tr("Also write into the attribute table"), defaultValue=False
            ),
            tr(
                "Write the columns into the attribute table of the segments, too, in the file itself; a column that is "
                "there with other values stays, and the new one is called shape_ and its name."
            ),
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.OUTPUT, tr("Table of shapes"), type=QgsProcessing.SourceType.TypeVector
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
        from ..tiledseg_plugin.engine.products.segment_shape import ShapeParameters, check_shape

        run = ShapeParameters(
            segments=self.raster_source(parameters, self.SEGMENTS, context),
            output=output or "shape.gpkg",
            update_rat=self.value(parameters, self.UPDATE_RAT, context),
        )
        check_shape(run, bool(output))
        return run

    def make(self, run: Any, feedback: Feedback) -> Any:
        from ..tiledseg_plugin.engine.products.segment_shape import segment_shape

        return segment_shape(run, feedback)
