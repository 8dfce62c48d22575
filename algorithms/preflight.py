# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:preflight`: the tiles of a run, before the run. The ids in here are published and never change."""

from typing import Any, Dict, List, Optional, Tuple

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSink,
)

from ..tiledseg_plugin.engine.parameters import PreflightParameters
from ..tiledseg_plugin.engine.progress import Feedback
from .text import tr
from .tile_layer import BEFORE_A_RUN, check_tile_output
from .tiling import TilingAlgorithm
from .zones import forget

MEGABYTE = 1_000_000


class CheckTiles(TilingAlgorithm):
    """Parameters in, one call of the engine, the tile layer and numbers out."""

    OUTPUT = "OUTPUT"
    VALID_FRACTION = "VALID_FRACTION"
    ESTIMATED_MEMORY_MB = "ESTIMATED_MEMORY_MB"
    ESTIMATED_DISK_MB = "ESTIMATED_DISK_MB"

    def name(self) -> str:
        return "preflight"

    def displayName(self) -> str:
        return tr("Check tiles before a run")

    def shortDescription(self) -> str:
        return tr("Shows which tiles of a raster are empty or sparse, and what segmenting it will need, in seconds.")

    def tags(self) -> List[str]:
        return tr(
            "segmentation,preflight,pre-flight,check,tiles,tiling,grid,empty,nodata,no data,valid,estimate"
        ).split(",")

    def description(self) -> Tuple[str, ...]:
        return (
            tr(
                "Counts the valid pixels of every tile that 'Segment raster' would process with the same parameters, "
                "and makes a polygon layer of the tiles to look at over the raster, before anything is segmented."
            ),
            tr(
                "Fields: tile_id; col and row, the place of the tile, counted from 0 at the left and the top; width "
                "and height in pixels; valid_pixels; valid_fraction (0 to 1); status; merged_into. Status is 'ok'; "
                "'empty', a tile without a valid pixel, which is left out; or 'sparse', a tile under the valid data "
                "threshold, processed together with the neighbour on its longest edge, which merged_into names. A "
                "Shapefile has valid_px, valid_frac and merged_in."
            ),
            tr(
                "The log says how many tiles are empty or sparse, how much of the raster is valid, what a run will "
                "need in memory, on disk and, roughly, in time, and warns where the two no-data rules differ. The "
                "layer can be given to 'Segment raster' as its tiles."
            ),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        self._add_raster(tr("Raster to check"))
        self._add_extent()
        self._add_zones()
        self._add_nodata()
        self._add_tiles()
        self._add_workers()
        self.add(
            QgsProcessingParameterFeatureSink(
                self.OUTPUT, tr("Tiles"), type=QgsProcessing.SourceType.TypeVectorPolygon
            ),
            tr("Polygon layer of the tiles, in any vector format that QGIS writes, with the raster's coordinates."),
        )
        for name, label in (
            *self._tile_counts(),
            (self.VALID_FRACTION, tr("Fraction of valid pixels in the tiles")),
            (self.ESTIMATED_MEMORY_MB, tr("Estimated memory of a run [MB]")),
            (self.ESTIMATED_DISK_MB, tr("Estimated disk space of a run [MB]")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        self._run_parameters(parameters, context)

    def collect(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Any:
        run = self._run_parameters(parameters, context)
        self._tile_layer = self._tile_output(self.OUTPUT, parameters, context, self._raster_crs(parameters, context))
        return self._with_zones(run, parameters, context), self._scheme(parameters, context)

    def work(self, values: Any, feedback: Feedback) -> Dict[str, Any]:
        from ..tiledseg_plugin.engine.preflight import preflight

        run, scheme = values
        try:
            result = preflight(self._with_tiles(run, scheme), feedback)
        finally:
            forget(run.zones)
        return {
            **self._write_tiles(result.records, BEFORE_A_RUN),
            self.TILE_COUNT: result.tile_count,
            self.EMPTY_TILES: result.empty_tiles,
            self.SPARSE_TILES: result.sparse_tiles,
            self.VALID_FRACTION: result.valid_fraction,
            self.ESTIMATED_MEMORY_MB: result.memory / MEGABYTE,
            self.ESTIMATED_DISK_MB: result.disk / MEGABYTE,
        }

    def _run_parameters(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> PreflightParameters:
        """The engine's parameters, checked, without the polygons of TILES, which take a while to read."""
        from ..tiledseg_plugin.engine.files.raster import describe
        from ..tiledseg_plugin.engine.preflight import check_output

        run = PreflightParameters(
            **self._tiling_parameters(parameters, context),
            output=self.path_asked_for(parameters, self.OUTPUT, context),
        )
        run.check()
        describe(run.input, run.bands, run.nodata_rule, nodata=run.nodata, extent=run.extent)
        check_output(run)
        check_tile_output(self.OUTPUT, run.output, run.input)
        self._polygon_source(self.TILES, parameters, context)
        return run
