# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:meanimage`: each pixel shows the mean of its segment. The ids in here are published and never change."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from qgis.core import QgsProcessingContext, QgsProcessingParameterRasterDestination

from ..tiledseg_plugin.engine.progress import Feedback
from .looks import show_means
from .segments import SegmentsAlgorithm
from .text import tr

if TYPE_CHECKING:
    from ..tiledseg_plugin.engine.files.output_files import Output


class SegmentMeanImage(SegmentsAlgorithm):
    """Parameters in, one call of the engine, a raster out."""

    STYLE = staticmethod(show_means)

    def name(self) -> str:
        return "meanimage"

    def displayName(self) -> str:
        return tr("Mean image of segments")

    def shortDescription(self) -> str:
        return tr("A raster in which every pixel shows the mean of its segment.")

    def tags(self) -> List[str]:
        return tr("segments,mean,average,image,generalize,smooth,GEOBIA,OBIA").split(",")

    def description(self) -> Tuple[str, ...]:
        return (
            tr(
                "Makes a raster on the segments' grid with a band for each of the values' bands; every pixel has "
                "the mean of its segment, in the units of the values. No data is NaN."
            ),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        self._add_inputs()
        self.add(
            QgsProcessingParameterRasterDestination(self.OUTPUT, tr("Mean image")),
            tr("Raster of real numbers: .tif (.cog.tif: cloud optimized), .img, or .kea where GDAL has it."),
        )
        self._add_count()

    def output_of(self, name: str, path: str, called: str) -> "Output":
        from ..tiledseg_plugin.engine.files.formats import format_of
        from ..tiledseg_plugin.engine.files.output_files import IMAGE, Output

        if path:
            format_of(path, called)
        return Output(called, path, IMAGE)

    def run_of(self, parameters: Dict[str, Any], context: QgsProcessingContext, output: str) -> Any:
        from ..tiledseg_plugin.engine.products.segment_polygons import MeanImageParameters, check_mean_image

        run = MeanImageParameters(**self._rasters(parameters, context), output=output)
        check_mean_image(run)
        return run

    def make(self, run: Any, feedback: Feedback) -> Any:
        from ..tiledseg_plugin.engine.products.segment_polygons import segment_mean_image

        return segment_mean_image(run, feedback)
