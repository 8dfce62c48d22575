# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:segment`: a raster into image objects. The ids in here are published and never change."""

from dataclasses import replace
from typing import Any, Dict, Tuple

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsProcessing,
    QgsProcessingOutputFile,
    QgsProcessingOutputNumber,
    QgsProcessingParameterCrs,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterFile,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from ..tiledseg_plugin.compat import crs_to_wkt, is_null
from ..tiledseg_plugin.errors import SegmentationError
from ..tiledseg_plugin.parameters import ENGINES, EXECUTIONS, MOST_CLUSTERS, SegmentParameters
from .looks import Look, show_means, show_outlines, show_segments
from .text import tr
from .tile_layer import AFTER_A_RUN, check_tile_output
from .tiling import DOUBLE, TilingAlgorithm


class SegmentRaster(TilingAlgorithm):
    """Parameters in, one call of the engine, numbers out."""

    NUM_CLUSTERS = "NUM_CLUSTERS"
    MIN_PIXELS = "MIN_PIXELS"
    DISTANCE_THRESHOLD = "DISTANCE_THRESHOLD"
    STRETCH = "STRETCH"
    RSGISLIB_STRETCH = "RSGISLIB_STRETCH"
    SAMPLING = "SAMPLING"
    KMEANS_MAX_ITERATIONS = "KMEANS_MAX_ITERATIONS"
    ENGINE = "ENGINE"
    PER_TILE_STATISTICS = "PER_TILE_STATISTICS"
    EXECUTION = "EXECUTION"
    WORK_DIR = "WORK_DIR"
    DASK_SCHEDULER = "DASK_SCHEDULER"
    ASSIGN_CRS = "ASSIGN_CRS"
    CREATION_OPTIONS = "CREATION_OPTIONS"
    OUTPUT = "OUTPUT"
    MEAN_IMAGE = "MEAN_IMAGE"
    POLYGONS = "POLYGONS"
    S1TILES = "S1TILES"
    SEGMENT_COUNT = "SEGMENT_COUNT"
    VALID_PIXELS = "VALID_PIXELS"
    UNDERSIZED_SEGMENTS = "UNDERSIZED_SEGMENTS"
    SECONDS = "SECONDS"
    REPORT = "REPORT"

    _looks: Tuple[Tuple[Look, str], ...] = ()

    def name(self):
        return "segment"

    def displayName(self):
        return tr("Segment raster")

    def shortDescription(self):
        return tr(
            "Divides a raster of any size into image objects (Shepherd et al. 2019), without seams between tiles."
        )

    def tags(self):
        return tr(
            "segmentation,segment,OBIA,GEOBIA,image objects,superpixels,k-means,clustering,tiles,large,mosaic,shepherd"
        ).split(",")

    def description(self):
        return (
            tr(
                "Divides a raster into segments (image objects): connected pixels of similar values, none smaller than "
                "the minimum size unless no neighbour is similar enough. The algorithm is that of Shepherd, Bunting "
                "and Dymond (2019), Remote Sensing 11(6), 658: k-means clusters, connected areas of one cluster, "
                "and the iterative elimination of areas that are too small."
            ),
            tr(
                "The raster is worked in tiles and never held in memory as a whole. Tile size, workers and execution "
                "change speed and memory, never the result: it is the same, pixel for pixel, as that of one tile."
            ),
            tr(
                "The output holds the number of each pixel's segment, 1 and up (0 is no data), with a raster attribute "
                "table of pixel count, colour and band statistics. A report in JSON is written beside it."
            ),
        )

    def initAlgorithm(self, configuration=None):
        self._add_raster(tr("Raster to segment"))
        self._add_how_it_is_segmented()
        self._add_how_it_is_run()
        self._add_outputs()

    def _add_how_it_is_segmented(self):
        self._add_number(
            self.NUM_CLUSTERS,
            tr("Number of clusters"),
            tr("How many clusters k-means makes of the pixels' values; more give more and smaller segments."),
            least=2,
            most=MOST_CLUSTERS,
        )
        self._add_number(
            self.MIN_PIXELS,
            tr("Minimum segment size [pixels]"),
            tr("Smaller segments are merged into the most similar neighbour. Unit: pixels."),
        )
        self._add_number(
            self.DISTANCE_THRESHOLD,
            tr("Distance threshold"),
            tr(
                "Greatest distance between mean values at which a small segment is still merged; a segment without "
                "so similar a neighbour stays small. Unit: the values that are segmented, which are 0 to 255 with the "
                "stretch. Empty: no limit."
            ),
            kind=DOUBLE,
            least=0,
            optional=True,
        )
        self._add_switch(
            self.STRETCH,
            tr("Stretch values first"),
            tr(
                "Stretch each band to 8 bit (two standard deviations about its mean) so that all bands count alike. "
                "Switched off, the values are used as they are. True or false."
            ),
        )
        self._add_switch(
            self.RSGISLIB_STRETCH,
            tr("Stretch as RSGISLib does"),
            tr(
                "The stretch with the statistics that RSGISLib's script computes (zeros count, pixels equal to 1 do "
                "not) and its rule that a pixel is no data where the first band is 0, for the very result of RSGISLib "
                "from the raw image. True or false."
            ),
            advanced=True,
        )
        self._add_number(
            self.SAMPLING,
            tr("Sampling for k-means [pixels]"),
            tr(
                "Every n-th place of the raster, counted in raster order, goes into k-means where it is valid; 1 takes "
                "all. Where these places have fewer different colours than clusters, n is halved until there are "
                "enough, and the log says so. Unit: pixels."
            ),
            advanced=True,
        )
        self._add_number(
            self.KMEANS_MAX_ITERATIONS,
            tr("Maximum iterations of k-means"),
            tr("K-means ends after so many iterations if it has not converged before."),
            advanced=True,
        )
        self._add_nodata_rule()

    def _add_how_it_is_run(self):
        self._add_tiles()
        self._add_engine()
        self._add_choice(
            self.EXECUTION,
            tr("Execution"),
            tr(
                "How tiles are run; the result is always the same. 'processes': in worker processes (needs the Python "
                "package pathos); 'threads': in threads of QGIS; 'serial': one by one; 'dask': on a Dask cluster; "
                "'auto': processes where they can be had and are worth starting, else threads."
            ),
            EXECUTIONS,
        )
        self._add_workers()
        self.add(
            QgsProcessingParameterFile(
                self.WORK_DIR,
                tr("Work folder"),
                behavior=QgsProcessingParameterFile.Behavior.Folder,
                optional=True,
            ),
            tr(
                "Where intermediate files go. If it is given, a run that was interrupted, by whatever, goes on from "
                "them when it is started again with the same parameters; they are removed when it has finished. "
                "Empty: a temporary folder."
            ),
            advanced=True,
        )
        self.add(
            QgsProcessingParameterString(self.DASK_SCHEDULER, tr("Dask scheduler"), optional=True),
            tr(
                "Address of a running Dask scheduler, such as tcp://host:8786, for the execution 'dask'. The work "
                "folder and the input must then be on storage that all workers see under the same path."
            ),
            advanced=True,
        )
        self.add(
            QgsProcessingParameterCrs(self.ASSIGN_CRS, tr("Coordinate reference system to assign"), optional=True),
            tr("Written on the outputs instead of the input's; nothing is reprojected. Empty: that of the input."),
            advanced=True,
        )
        self.add(
            QgsProcessingParameterString(self.CREATION_OPTIONS, tr("Creation options"), optional=True),
            tr(
                "GDAL creation options of OUTPUT, and of the mean image where it has the same format, separated by |, "
                "such as COMPRESS=ZSTD|BIGTIFF=YES. What the format does not know, or what would change segment "
                "numbers or their grid, is refused."
            ),
            advanced=True,
        )

    def _add_engine(self):
        self._add_choice(
            self.ENGINE,
            tr("Engine"),
            tr(
                "'builtin': exact, no tile border shows. 'rsgislib': RSGISLib 5, which must be installed, segments "
                "each tile and does its borders anew in two more stages (Clewley et al. 2014); the result depends on "
                "the tiles."
            ),
            ENGINES,
        )
        self._add_switch(
            self.PER_TILE_STATISTICS,
            tr("Each tile has its own stretch and clusters"),
            tr(
                "Of the engine 'rsgislib' only: stretch and cluster centres are found for each tile by itself instead "
                "of once for the whole raster. True or false."
            ),
            advanced=True,
        )

    def _add_outputs(self):
        self.add(
            QgsProcessingParameterRasterDestination(self.OUTPUT, tr("Segments")),
            tr(
                "Raster of segment numbers (unsigned 32 bit, 0 = no data). The extension decides the format: "
                ".tif (GeoTIFF; .cog.tif: cloud optimized), .img (Erdas Imagine) or .kea (KEA, where GDAL has it). Its "
                "attribute table has pixel count, colour, and mean, min, max and std of each band; of a GeoTIFF with "
                "very many segments it is a GeoPackage beside it."
            ),
        )
        self.add(
            QgsProcessingParameterRasterDestination(
                self.MEAN_IMAGE, tr("Mean image"), optional=True, createByDefault=False
            ),
            tr(
                "Raster in which every pixel has the means of its segment, in the input's values as QGIS shows them, "
                "with scale and offset applied. Empty: none."
            ),
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.POLYGONS,
                tr("Polygons"),
                type=QgsProcessing.SourceType.TypeVectorPolygon,
                optional=True,
                createByDefault=False,
            ),
            tr("One polygon a segment, with number, pixels, and mean, min, max and std of each band. Empty: none."),
        )
        self.add(
            QgsProcessingParameterFeatureSink(
                self.S1TILES,
                tr("Tile layer"),
                type=QgsProcessing.SourceType.TypeVectorPolygon,
                optional=True,
                createByDefault=False,
            ),
            tr(
                "Polygon layer of the tiles, as 'Check tiles before a run' makes it, with two fields more: segments, "
                "how many segments have pixels in the tile, and seconds, how long the tile was worked. Empty: none."
            ),
        )
        for name, label in (
            (self.SEGMENT_COUNT, tr("Number of segments")),
            (self.VALID_PIXELS, tr("Number of valid pixels")),
            *self._tile_counts(),
            (self.UNDERSIZED_SEGMENTS, tr("Number of segments under the minimum size")),
            (self.SECONDS, tr("Duration of the run [seconds]")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))
        self.addOutput(QgsProcessingOutputFile(self.REPORT, tr("Report of the run (JSON)")))

    def createCustomParametersWidget(self, parent):
        """The toolbox's dialog, with a button to check the tiles; batch and modeler do not ask for it."""
        from qgis.utils import iface

        if iface is None:
            return None
        from ..tiledseg_plugin.desktop.dialog import SegmentDialog

        return SegmentDialog(self, parent)

    def run_parameters(self, parameters, context, output=""):
        """The engine's parameters, with the polygons of TILES read; `output` is empty for a preview."""
        run = self._run_parameters(parameters, context, {self.OUTPUT: output})
        return self._with_tiles(run, self._scheme(parameters, context))

    def check(self, parameters, context):
        names = (self.OUTPUT, self.MEAN_IMAGE, self.POLYGONS, self.S1TILES)
        self._run_parameters(
            parameters, context, {name: self.path_asked_for(parameters, name, context) for name in names}
        )

    def collect(self, parameters, context):
        # models do not call checkParameterValues of the algorithms in them, so all is checked here, too
        files = (self.OUTPUT, self.MEAN_IMAGE, self.POLYGONS)
        outputs = {name: self.parameterAsOutputLayer(parameters, name, context) for name in files}
        outputs[self.S1TILES] = self.path_asked_for(parameters, self.S1TILES, context)
        run = self._run_parameters(parameters, context, outputs)
        if not is_null(self.raw(parameters, self.S1TILES, context)):
            crs = QgsCoordinateReferenceSystem.fromWkt(run.assign_crs) if run.assign_crs else None
            crs = crs or self._raster_crs(parameters, context)
            self._tile_layer = self._tile_output(self.S1TILES, parameters, context, crs)
        self._looks = tuple(
            (Look(self.id(), name, style), path)
            for name, style, path in (
                (self.OUTPUT, show_segments, run.output),
                (self.MEAN_IMAGE, show_means, run.mean_image),
                (self.POLYGONS, show_outlines, run.polygons),
            )
        )
        return run, self._scheme(parameters, context)

    def output_of(self, name, path, called):
        from ..tiledseg_plugin.products import outputs_of
        from ..tiledseg_plugin.write import driver_for

        if path and name in (self.OUTPUT, self.MEAN_IMAGE):
            driver_for(path, called)
        run = replace(SegmentParameters("", ""), **{name.lower(): path})
        return next(replace(output, name=called) for output in outputs_of(run) if output.name == name)

    def work(self, values, feedback):
        from ..tiledseg_plugin.segmentation import segment

        run, scheme = values
        result = segment(self._with_tiles(run, scheme), feedback)
        tiles: Dict[str, Any] = {}
        if self._tile_layer is not None:
            tiles[self.S1TILES] = self._tile_layer.write(result.tiles, AFTER_A_RUN)
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

    def postProcessAlgorithm(self, context, feedback):
        super().postProcessAlgorithm(context, feedback)
        for look, path in self._looks:
            look.attach(context, path)
        return {}

    def _run_parameters(self, parameters, context, outputs):
        """The engine's parameters, checked, without the polygons of TILES.

        Parameters
        ----------
        outputs : {id: path}; of those that are not known yet or not asked for it is empty
        """

        def read(name):
            return self.value(parameters, name, context)

        run = SegmentParameters(
            **self._tiling_parameters(parameters, context),
            output=outputs[self.OUTPUT],
            mean_image=outputs.get(self.MEAN_IMAGE, ""),
            polygons=outputs.get(self.POLYGONS, ""),
            s1tiles=outputs.get(self.S1TILES, ""),
            num_clusters=read(self.NUM_CLUSTERS),
            min_pixels=read(self.MIN_PIXELS),
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
        self._tile_source(parameters, context)
        return run

    def _assigned_crs(self, parameters, context):
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


def _check_files(run):
    """What the engine would refuse right at its start, so that a dialog says it at once."""
    from ..tiledseg_plugin.products import check_products
    from ..tiledseg_plugin.raster import describe

    if run.engine == "rsgislib":
        from ..tiledseg_plugin import rsgislib_engine

        rsgislib_engine.require()
    check_products(run, describe(run.input, run.bands, run.nodata_rule))
    check_tile_output("S1TILES", run.s1tiles, run.input, run.assign_crs)
