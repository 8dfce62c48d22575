# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:polygons`: one polygon a segment. The ids in here are published and never change."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterVectorDestination,
)

from ..tiledseg_plugin.engine.progress import Feedback
from .looks import show_outlines
from .segments import SegmentsAlgorithm
from .text import tr

if TYPE_CHECKING:
    from ..tiledseg_plugin.engine.files.output_files import Output


class SegmentPolygons(SegmentsAlgorithm):
    """Parameters in, one call of the engine, a vector layer out."""

    SIMPLIFY = "SIMPLIFY"
    STYLE = staticmethod(show_outlines)

    def name(self) -> str:
        return "polygons"

    def displayName(self) -> str:
        return tr("Segments to polygons")

    def shortDescription(self) -> str:
        return tr("One polygon a segment, with its statistics.")

    def tags(self) -> List[str]:
        return tr("segments,polygons,polygonize,vectorize,outlines,statistics,simplify,coverage,GEOBIA,OBIA").split(",")

    def description(self) -> Tuple[str, ...]:
        return (
            tr(
                "Makes one polygon of every segment, along its pixels' sides and with its holes; a segment in several "
                "parts becomes one multipolygon. Fields: segment, its number; pixels; and, if a raster of values is "
                "given, mean, min, max and std of each band, such as mean_1."
            ),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        self._add_inputs(values_optional=True)
        self.add(
            QgsProcessingParameterBoolean(self.SIMPLIFY, tr("Simplify"), defaultValue=False),
            tr(
                "Straighten the stairs of the pixels, by at most half a pixel; edges that two segments share stay "
                "shared, without gaps or overlaps."
            ),
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.OUTPUT, tr("Polygons"), type=QgsProcessing.SourceType.TypeVectorPolygon
            ),
            tr("Polygon layer: .gpkg (GeoPackage), .fgb, .shp, .geojson, .gml or .sqlite."),
        )
        self._add_count()

    def output_of(self, name: str, path: str, called: str) -> "Output":
        from ..tiledseg_plugin.engine.files.formats import POLYGONS

        if path:
            POLYGONS.driver_of(path, called)
        return super().output_of(name, path, called)

    def run_of(self, parameters: Dict[str, Any], context: QgsProcessingContext, output: str) -> Any:
        from ..tiledseg_plugin.engine.products.segment_polygons import PolygonsParameters, check_polygons

        simplify = self.value(parameters, self.SIMPLIFY, context)
        run = PolygonsParameters(**self._rasters(parameters, context), output=output, simplify=simplify)
        check_polygons(run)
        return run

    def make(self, run: Any, feedback: Feedback) -> Any:
        from ..tiledseg_plugin.engine.products.segment_polygons import segment_polygons

        return segment_polygons(run, feedback)
