# SPDX-License-Identifier: GPL-2.0-or-later
"""What `tiledseg:segment` is called, takes and returns. The ids in here are published and never change."""

from typing import Any, Dict, List, Optional, Tuple

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputFile,
    QgsProcessingOutputNumber,
    QgsProcessingParameterCrs,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterFile,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterString,
)

from ..tiledseg_plugin.engine.parameters import ENGINES, EXECUTIONS, MOST_CLUSTERS
from .text import tr
from .tiling import DOUBLE, Numbers, TilingAlgorithm
from .values import WordParameter


class SegmentDefinitions(TilingAlgorithm):
    """Identity, parameters and outputs of `tiledseg:segment`, each with its help."""

    NUM_CLUSTERS = "NUM_CLUSTERS"
    MIN_PIXELS = "MIN_PIXELS"
    LEVELS = "LEVELS"
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

    def name(self) -> str:
        return "segment"

    def displayName(self) -> str:
        return tr("Segment raster")

    def shortDescription(self) -> str:
        return tr(
            "Divides a raster of any size into image objects (Shepherd et al. 2019), without seams between tiles."
        )

    def tags(self) -> List[str]:
        return tr(
            "segmentation,segment,OBIA,GEOBIA,image objects,superpixels,k-means,clustering,tiles,large,mosaic,shepherd"
        ).split(",")

    def description(self) -> Tuple[str, ...]:
        return (
            tr(
                "Divides a raster into segments (image objects): connected pixels of similar values, none smaller than "
                "the minimum size unless no neighbour is similar enough. The algorithm is that of Shepherd, Bunting "
                "and Dymond (2019), Remote Sensing 11(6), 658: k-means clusters, connected areas of one cluster, "
                "and the iterative elimination of areas that are too small."
            ),
            tr(
                "The raster is processed in tiles and never held in memory as a whole. Tile size, workers and "
                "execution change speed and memory, never the result: it is, pixel for pixel, that of one tile."
            ),
            tr(
                "The output holds the number of each pixel's segment, 1 and up (0 is no data), with a raster attribute "
                "table of pixel count, colour and band statistics. A report in JSON is written beside it."
            ),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        self._add_raster(tr("Raster to segment"))
        self._add_how_it_is_segmented()
        self._add_how_it_is_run()
        self._add_outputs()

    def _add_how_it_is_segmented(self) -> None:
        self._add_number(
            self.NUM_CLUSTERS,
            tr("Number of clusters"),
            tr("How many clusters k-means makes of the pixels' values; more give more and smaller segments."),
            Numbers(2, MOST_CLUSTERS),
        )
        self._add_sizes()
        self._add_number(
            self.DISTANCE_THRESHOLD,
            tr("Distance threshold"),
            tr(
                "Greatest distance between mean values at which a small segment is still merged; a segment without "
                "so similar a neighbour stays small. Unit: the values that are segmented, which are 0 to 255 with the "
                "stretch. Empty: no limit."
            ),
            Numbers(0, kind=DOUBLE),
            optional=True,
        )
        self._add_stretch()
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
        self._add_extent()
        self._add_zones()
        self._add_nodata()

    def _add_sizes(self) -> None:
        self._add_number(
            self.MIN_PIXELS,
            tr("Minimum segment size [pixels]"),
            tr("Smaller segments are merged into the most similar neighbour. Unit: pixels."),
        )
        self.add(
            WordParameter(self.LEVELS, tr("Further minimum sizes [pixels]"), optional=True),
            tr(
                "Minimum sizes above the minimum segment size, ascending and separated by semicolons, such as "
                "500;2000;10000. The segments stay as they are, and the attribute table gets a column for each, such "
                "as level_500: the number of the segment that stands for what this one would be a part of with that "
                "minimum size, which is exactly what a run with it makes. 'Segments at another scale' makes rasters of "
                "them. Unit: pixels. Empty: none."
            ),
            advanced=True,
        )

    def _add_stretch(self) -> None:
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

    def _add_how_it_is_run(self) -> None:
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
                "folder and the input must then be on storage that all workers see under the same path. Whoever can "
                "reach the scheduler can run code on its workers and on this machine: use one in a network that you "
                "trust."
            ),
            advanced=True,
        )
        self._add_how_it_is_written()

    def _add_how_it_is_written(self) -> None:
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

    def _add_engine(self) -> None:
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

    def _add_outputs(self) -> None:
        self.add(
            QgsProcessingParameterRasterDestination(self.OUTPUT, tr("Segments")),
            tr(
                "Raster of segment numbers (unsigned 32 bit, 0 = no data). The extension decides the format: "
                ".tif (GeoTIFF; .cog.tif: cloud optimized), .img (Erdas Imagine) or .kea (KEA, where GDAL has it). Its "
                "attribute table has pixel count, colour, mean, min, max and std of each band, and the zone where "
                "there are zones; of a GeoTIFF with "
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
        self.add_polygon_output(
            self.POLYGONS,
            tr("Polygons"),
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
                "how many segments have pixels in the tile, and seconds, how long the tile took. Empty: none."
            ),
        )
        self._add_numbers()

    def _add_numbers(self) -> None:
        for name, label in (
            (self.SEGMENT_COUNT, tr("Number of segments")),
            (self.VALID_PIXELS, tr("Number of valid pixels")),
            *self._tile_counts(),
            (self.UNDERSIZED_SEGMENTS, tr("Number of segments under the minimum size")),
            (self.SECONDS, tr("Duration of the run [seconds]")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))
        self.addOutput(QgsProcessingOutputFile(self.REPORT, tr("Report of the run (JSON)")))
