# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:parameters`: candidates for the parameters of a run, measured."""

from typing import TYPE_CHECKING, Any, Dict, Optional

from qgis.core import QgsProcessingContext

from ..tiledseg_plugin.compat import is_null
from ..tiledseg_plugin.engine.progress import Feedback
from .inputs import layer_source
from .parameter_definitions import ParameterDefinitions

if TYPE_CHECKING:
    from ..tiledseg_plugin.engine.files.output_files import Output
    from ..tiledseg_plugin.engine.parameter_search.candidates import PolygonLayer, SearchParameters


class FindParameters(ParameterDefinitions):
    """Parameters in, one call of the engine, a table, a report and the best values out."""

    PLAIN = (  # that the engine takes as they are, under the same names
        ParameterDefinitions.WINDOWS,
        ParameterDefinitions.WINDOW_SIZE,
        ParameterDefinitions.STRETCH,
        ParameterDefinitions.CRITERION,
        ParameterDefinitions.SAMPLING,
        ParameterDefinitions.KMEANS_MAX_ITERATIONS,
        ParameterDefinitions.NODATA_RULE,
        ParameterDefinitions.WORKERS,
    )

    def output_of(self, name: str, path: str, called: str) -> "Output":
        from ..tiledseg_plugin.engine.files.formats import TABLES

        if path and name != self.REPORT:
            TABLES.driver_of(path, called)
        return super().output_of(name, path, called)

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        names = (self.OUTPUT, self.REPORT, self.POLYGON_TABLE)
        self._run_of(parameters, context, {name: self.path_asked_for(parameters, name, context) for name in names})

    def collect(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Any:
        tables = (self.OUTPUT, self.POLYGON_TABLE)
        outputs = {name: self.parameterAsOutputLayer(parameters, name, context) for name in tables}
        outputs[self.REPORT] = self.parameterAsFileOutput(parameters, self.REPORT, context)
        run = self._run_of(parameters, context, outputs)
        return run, *(self._polygons(name, parameters, context) for name in (self.REGIONS, self.REFERENCE))

    def work(self, values: Any, feedback: Feedback) -> Dict[str, Any]:
        from ..tiledseg_plugin.engine.parameter_search.search import Layers, find_parameters

        run, regions, reference = values
        result = find_parameters(run, Layers(regions, reference), feedback)
        return {
            self.OUTPUT: run.output,
            **({self.REPORT: run.report} if run.report else {}),
            **({self.POLYGON_TABLE: run.polygon_table} if run.polygon_table else {}),
            self.BEST_NUM_CLUSTERS: result.best.num_clusters,
            self.BEST_MIN_PIXELS: result.best.min_pixels,
            self.BEST_DISTANCE_THRESHOLD: result.best.distance_threshold,
            self.BEST_STRETCH: result.best.stretch,
            self.SCORE: result.score,
            self.CANDIDATE_COUNT: result.candidate_count,
            self.AREA_COUNT: result.area_count,
            self.POLYGON_COUNT: result.polygon_count,
        }

    def _run_of(
        self, parameters: Dict[str, Any], context: QgsProcessingContext, outputs: Dict[str, str]
    ) -> "SearchParameters":
        """The engine's parameters, checked; outputs that are not known yet or not asked for have an empty path."""
        from ..tiledseg_plugin.engine.parameter_search import candidates
        from ..tiledseg_plugin.engine.parameter_search.search import check_search

        def read(name: str) -> Any:
            return self.value(parameters, name, context)

        run = candidates.SearchParameters(
            input=self.raster_source(parameters, self.INPUT, context),
            output=outputs[self.OUTPUT],
            report=outputs[self.REPORT],
            polygon_table=outputs[self.POLYGON_TABLE],
            bands=read(self.BANDS) or (),
            num_clusters=candidates.whole_numbers(self.NUM_CLUSTERS, read(self.NUM_CLUSTERS)),
            min_pixels=candidates.whole_numbers(self.MIN_PIXELS, read(self.MIN_PIXELS)),
            distance_thresholds=candidates.limits(self.DISTANCE_THRESHOLD, read(self.DISTANCE_THRESHOLD) or "none"),
            nodata=read(self.NODATA) or "",
            extent=self._extent(parameters, context),
            **{name.lower(): read(name) for name in self.PLAIN},
        )
        sources = [
            (name, layer_source(self.raw(parameters, name, context), context))
            for name in (self.REGIONS, self.REFERENCE)
        ]
        check_search(run, sources, not is_null(self.raw(parameters, self.REFERENCE, context)))
        for name in (self.REGIONS, self.REFERENCE):
            self._polygon_source(name, parameters, context)
        return run

    def _polygons(
        self, name: str, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> Optional["PolygonLayer"]:
        from ..tiledseg_plugin.engine.parameter_search.candidates import PolygonLayer

        scheme = self._scheme(parameters, context, name)
        if scheme is None:
            return None
        polygons, crs, raster_crs = scheme
        return PolygonLayer(
            tuple(polygons), crs, raster_crs, layer_source(self.raw(parameters, name, context), context)
        )
