# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:segment`: a raster into image objects."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Tuple

from qgis.core import QgsCoordinateReferenceSystem, QgsMapLayer, QgsProcessingContext, QgsProcessingFeedback

from ..tiledseg_plugin.compat import crs_to_wkt, is_null
from ..tiledseg_plugin.engine.errors import SegmentationError
from ..tiledseg_plugin.engine.parameters import SegmentParameters, levels_asked_for
from ..tiledseg_plugin.engine.progress import Feedback
from .looks import Look, StackedLook, show_means, show_outlines, show_segments
from .segment_definitions import SegmentDefinitions
from .text import tr
from .tile_layer import AFTER_A_RUN, check_tile_output
from .zones import forget

if TYPE_CHECKING:
    from ..tiledseg_plugin.engine.files.output_files import Output


class SegmentRaster(SegmentDefinitions):
    """Parameters in, one call of the engine, numbers out.

    dialog : function (algorithm, parent) -> the toolbox's dialog, which QGIS Desktop registers; None without a screen
    """

    dialog: Optional[Callable[[Any, Any], Any]] = None

    _looks: Tuple[Tuple[Look, str], ...] = ()

    def createCustomParametersWidget(self, parent: Any) -> Any:
        """The toolbox's dialog, with a button to check the tiles; batch and modeler do not ask for it."""
        return None if SegmentRaster.dialog is None else SegmentRaster.dialog(self, parent)

    def run_parameters(
        self, parameters: Dict[str, Any], context: QgsProcessingContext, output: str = ""
    ) -> SegmentParameters:
        """The engine's parameters, with the polygons of TILES read; `output` is empty for a preview."""
        run = self._run_parameters(parameters, context, {self.OUTPUT: output})
        return self._with_tiles(self._with_zones(run, parameters, context), self._scheme(parameters, context))

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        names = (self.OUTPUT, self.MEAN_IMAGE, self.POLYGONS, self.S1TILES)
        self._run_parameters(
            parameters, context, {name: self.path_asked_for(parameters, name, context) for name in names}
        )

    def collect(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Any:
        # models do not call checkParameterValues of the algorithms in them, so all is checked here, too
        files = (self.OUTPUT, self.MEAN_IMAGE, self.POLYGONS)
        outputs = {name: self.parameterAsOutputLayer(parameters, name, context) for name in files}
        outputs[self.S1TILES] = self.path_asked_for(parameters, self.S1TILES, context)
        run = self._run_parameters(parameters, context, outputs)
        if not is_null(self.raw(parameters, self.S1TILES, context)):
            crs = QgsCoordinateReferenceSystem.fromWkt(run.assign_crs) if run.assign_crs else None
            crs = crs or self._raster_crs(parameters, context)
            self._tile_layer = self._tile_output(self.S1TILES, parameters, context, crs)
        made = (  # the uppermost first
            (self.POLYGONS, show_outlines, run.polygons),
            (self.MEAN_IMAGE, show_means, run.mean_image),
            (self.OUTPUT, show_segments, run.output),
        )
        stack = [path for _, _, path in made if path]
        self._looks = tuple(
            (StackedLook((self.id(), name), style, stack, path), path) for name, style, path in made if path
        )
        return self._with_zones(run, parameters, context), self._scheme(parameters, context)

    def output_of(self, name: str, path: str, called: str) -> "Output":
        from ..tiledseg_plugin.engine.files.formats import format_of
        from ..tiledseg_plugin.engine.products.run_outputs import outputs_of

        if path and name in (self.OUTPUT, self.MEAN_IMAGE):
            format_of(path, called)
        given: Dict[str, Any] = {name.lower(): path}
        run = replace(SegmentParameters("", ""), **given)
        return next(replace(output, name=called) for output in outputs_of(run) if output.name == name)

    def work(self, values: Any, feedback: Feedback) -> Dict[str, Any]:
        from ..tiledseg_plugin.engine.segmentation import segment

        run, scheme = values
        try:
            result = segment(self._with_tiles(run, scheme), feedback)
        finally:
            forget(run.zones)
        tiles = self._write_tiles(result.tiles, AFTER_A_RUN)
        return {
            self.OUTPUT: run.output,
            **({self.MEAN_IMAGE: run.mean_image} if run.mean_image else {}),
            **({self.POLYGONS: run.polygons} if run.polygons else {}),
            **tiles,
            self.SEGMENT_COUNT: result.segment_count,
            self.VALID_PIXELS: result.valid_pixels,
            self.TILE_COUNT: result.tile_count,
            self.EMPTY_TILES: result.empty_tiles,
            self.SPARSE_TILES: result.sparse_tiles,
            self.UNDERSIZED_SEGMENTS: result.undersized_segments,
            self.SECONDS: result.seconds,
            self.REPORT: result.report,
        }

    def dress(self, output: str, layer: QgsMapLayer) -> None:
        for look, _ in self._looks:
            if look.output_name == output:
                look.dress(layer)

    def postProcessAlgorithm(self, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> Dict[str, Any]:
        super().postProcessAlgorithm(context, feedback)
        for look, path in self._looks:
            look.attach(context, path)
        return {}

    def _run_parameters(
        self, parameters: Dict[str, Any], context: QgsProcessingContext, outputs: Dict[str, str]
    ) -> SegmentParameters:
        """The engine's parameters, checked, without the polygons of TILES.

        Parameters
        ----------
        outputs : {id: path}; of those that are not known yet or not asked for it is empty
        """

        def read(name: str) -> Any:
            return self.value(parameters, name, context)

        run = SegmentParameters(
            **self._tiling_parameters(parameters, context),
            output=outputs[self.OUTPUT],
            mean_image=outputs.get(self.MEAN_IMAGE, ""),
            polygons=outputs.get(self.POLYGONS, ""),
            s1tiles=outputs.get(self.S1TILES, ""),
            num_clusters=read(self.NUM_CLUSTERS),
            min_pixels=read(self.MIN_PIXELS),
            levels=levels_asked_for(read(self.LEVELS) or ""),
            distance_threshold=read(self.DISTANCE_THRESHOLD),
            stretch=read(self.STRETCH),
            rsgislib_stretch=read(self.RSGISLIB_STRETCH),
            sampling=read(self.SAMPLING),
            kmeans_max_iterations=read(self.KMEANS_MAX_ITERATIONS),
            engine=read(self.ENGINE),
            per_tile_statistics=read(self.PER_TILE_STATISTICS),
            execution=read(self.EXECUTION),
            work_dir=read(self.WORK_DIR) or "",
            dask_scheduler=(read(self.DASK_SCHEDULER) or "").strip(),
            assign_crs=self._assigned_crs(parameters, context),
            creation_options=read(self.CREATION_OPTIONS) or "",
        )
        run.check()
        _check_files(run)
        self._polygon_source(self.TILES, parameters, context)
        return run

    def _assigned_crs(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> str:
        given = self.value(parameters, self.ASSIGN_CRS, context)
        if given is None:
            return ""
        crs = self.parameterAsCrs(parameters, self.ASSIGN_CRS, context)
        if not crs.isValid():
            raise SegmentationError(
                tr("{} '{}' is not known: give it as EPSG:code or WKT, or leave it empty for that of INPUT.").format(
                    self.ASSIGN_CRS, given
                )
            )
        return crs_to_wkt(crs)


def _check_files(run: SegmentParameters) -> None:
    """What the engine would refuse right at its start, so that a dialog says it at once."""
    from ..tiledseg_plugin.engine.files.raster import describe
    from ..tiledseg_plugin.engine.products.run_outputs import check_products

    if run.engine == "rsgislib":
        from ..tiledseg_plugin.engine import rsgislib as rsgislib_engine

        rsgislib_engine.require()
    check_products(run, describe(run.input, run.bands, run.nodata_rule, nodata=run.nodata, extent=run.extent))
    check_tile_output("S1TILES", run.s1tiles, run.input, run.assign_crs)
