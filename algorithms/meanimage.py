# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:meanimage`: each pixel shows the mean of its segment. The ids in here are published and never change."""

from qgis.core import QgsProcessingParameterRasterDestination

from .looks import show_means
from .segments import SegmentsAlgorithm
from .text import tr


class SegmentMeanImage(SegmentsAlgorithm):
    """Parameters in, one call of the engine, a raster out."""

    STYLE = staticmethod(show_means)

    def name(self):
        return "meanimage"

    def displayName(self):
        return tr("Mean image of segments")

    def shortDescription(self):
        return tr("A raster in which every pixel shows the mean of its segment.")

    def tags(self):
        return tr("segments,mean,average,image,generalize,smooth,GEOBIA,OBIA").split(",")

    def description(self):
        return (
            tr(
                "Makes a raster on the segments' grid with a band for each of the values' bands; every pixel has "
                "the mean of its segment, in the units of the values. No data is NaN."
            ),
        )

    def initAlgorithm(self, configuration=None):
        self._add_inputs()
        self.add(
            QgsProcessingParameterRasterDestination(self.OUTPUT, tr("Mean image")),
            tr("Raster of real numbers: .tif (.cog.tif: cloud optimized), .img, or .kea where GDAL has it."),
        )
        self._add_count()

    def output_of(self, name, path, called):
        from ..tiledseg_plugin.engine.files.formats import format_of
        from ..tiledseg_plugin.engine.files.output_files import IMAGE, Output

        if path:
            format_of(path, called)
        return Output(called, path, IMAGE)

    def work(self, values, feedback):
        from ..tiledseg_plugin.engine.products.segment_polygons import segment_mean_image

        result = segment_mean_image(values, feedback)
        return {self.OUTPUT: values.output, self.SEGMENT_COUNT: result.segment_count}

    def _run(self, parameters, context, output):
        from ..tiledseg_plugin.engine.products.segment_polygons import MeanImageParameters, check_mean_image

        run = MeanImageParameters(**self._rasters(parameters, context), output=output)
        check_mean_image(run)
        return run
