# SPDX-License-Identifier: GPL-2.0-or-later
"""What all algorithms of the plugin share."""

import importlib.util
from typing import TYPE_CHECKING, Any, Dict, Tuple

from qgis.core import (
    QgsApplication,
    QgsMapLayer,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterVectorDestination,
    QgsProperty,
)
from qgis.PyQt.QtGui import QIcon

from ..tiledseg_plugin import engine
from ..tiledseg_plugin.compat import is_null
from ..tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from ..tiledseg_plugin.engine.files.publish import recover_beside
from ..tiledseg_plugin.metadata import ICON, homepage
from .feedback import ProcessingFeedback, errors_as_processing_exceptions
from .inputs import gdal_source, path_asked_for, raster_layer, rasters_given
from .labels import for_whom_it_is
from .text import facts, in_colour_of_text, parameter_help, tr
from .values import check_values, evaluated, is_optional, is_read_here, read

if TYPE_CHECKING:
    from ..tiledseg_plugin.engine.files.output_files import Output

NEEDED = ("numpy", "osgeo")


class TiledAlgorithm(QgsProcessingAlgorithm):
    """Identity, help and the way a run starts and ends. An algorithm says what is its own:

    - `description()`: what it does, as a tuple of literal paragraphs for `tr`;
    - `add(definition, help)` in `initAlgorithm`;
    - `check(parameters, context)`: on the main thread, before a run, raise SegmentationError for what is wrong;
    - `collect(parameters, context)`: on the main thread, read layers and settings into plain values;
    - `work(values, feedback)`: on any thread, hand them to the engine and return the outputs.
    """

    CHECKED_HERE: Tuple[str, ...] = ()  # parameters of which `check` knows better than QGIS what they may be

    _values: Any = None
    _layers_to_load: Dict[str, Any] = {}

    def createInstance(self) -> "TiledAlgorithm":
        return type(self)()

    def icon(self) -> QIcon:
        return QIcon(ICON)

    def svgIconPath(self) -> str:
        return ICON

    def helpUrl(self) -> str:
        return homepage()

    def canExecute(self) -> Tuple[bool, str]:
        missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            return False, tr("Python packages that QGIS needs for this are missing: {}. Install them.").format(
                ", ".join(missing)
            )
        return True, ""

    def add(self, definition: QgsProcessingParameterDefinition, text: str, advanced: bool = False) -> None:
        """Add a parameter with its help, to which default and range are appended."""
        if advanced:
            definition.setFlags(definition.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
        definition.setHelp(parameter_help(text, definition))
        self.addParameter(definition)

    def add_polygon_layer(self, name: str, label: str, text: str) -> None:
        """Add an optional parameter for a layer of polygons, as `add` does."""
        kinds = [QgsProcessing.SourceType.TypeVectorPolygon]
        self.add(QgsProcessingParameterFeatureSource(name, label, types=kinds, optional=True), text)

    def add_polygon_output(self, name: str, label: str, text: str) -> None:
        """Add an output of polygons that is not made unless it is asked for."""
        kind = QgsProcessing.SourceType.TypeVectorPolygon
        self.add(
            QgsProcessingParameterVectorDestination(name, label, type=kind, optional=True, createByDefault=False), text
        )

    def shortHelpString(self) -> str:
        """Paragraphs and the help of each parameter; `qgis_process` prints it raw, with the parameters after it."""
        if QgsApplication.platform() == "qgis_process":
            return "\n\n".join(self.description())
        # no <p> and <b>: the dialog writes them in greys that cannot be read on the dark ground of other themes
        paragraphs = [f"<div>{text}</div><br>" for text in self.description()]
        shown = [definition for definition in self.parameterDefinitions() if definition.help()]
        items = [f"<li><strong>{definition.description()}</strong>: {definition.help()}</li>" for definition in shown]
        return in_colour_of_text("".join(paragraphs) + "<ul>" + "".join(items) + "</ul>")

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        """Raise SegmentationError for what is wrong and QGIS does not see: nothing, unless an algorithm says so."""

    def _recover_files(self, parameters: Dict[str, Any]) -> None:
        """Finish what a killed run has left half replaced, before anything is looked for in those folders."""
        sinks = [getattr(value, "sink", value) for value in parameters.values()]
        values = [value.staticValue() if isinstance(value, QgsProperty) else value for value in sinks]
        values = [value.source() if isinstance(value, QgsMapLayer) else value for value in values]
        recover_beside(*(value.split("|")[0] for value in values if isinstance(value, str)))

    def output_of(self, name: str, path: str, called: str) -> "Output":
        """An output of this algorithm as the engine compares it with other files; its format is checked.

        Parameters
        ----------
        name : id of the parameter
        path : may be empty
        called : the name for messages, which a model has for it
        """
        from ..tiledseg_plugin.engine.files.output_files import VECTOR, Output

        return Output(called, path, VECTOR)

    def checkParameterValues(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Tuple[bool, str]:
        engine.load()
        self._recover_files(parameters)
        accepted, _ = super().checkParameterValues(parameters, context)
        try:
            check_values(self.parameterDefinitions(), parameters, context)
            self.check(parameters, context)
        except SegmentationError as error:
            return False, self._worded(str(error))
        rest = "" if accepted else self._reason_for_refusal(parameters, context)
        return not rest, self._worded(rest)

    def _worded(self, text: str) -> str:
        """A message as whoever reads it knows the parameters."""
        return for_whom_it_is(self.parameterDefinitions())(text)

    def _reason_for_refusal(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> str:
        """A sentence on the first value that QGIS refuses, but for those of CHECKED_HERE; empty if there is none."""
        for definition in self.parameterDefinitions():
            value = parameters.get(definition.name(), definition.defaultValue())
            if definition.name() in self.CHECKED_HERE or definition.checkValueIsAcceptable(value, context):
                continue
            if is_read_here(definition) and not is_null(value):
                continue
            if is_null(value):
                return tr("{} ({}) is missing: give a value.").format(definition.name(), definition.description())
            return tr("{} is '{}', which is not a value it can have: change it. {}").format(
                definition.name(), value, facts(definition)
            )
        return ""

    def raw(self, parameters: Dict[str, Any], name: str, context: QgsProcessingContext) -> Any:
        """What was given for a parameter, as it is; of a property, its value."""
        return evaluated(name, parameters.get(name), context)

    def value(self, parameters: Dict[str, Any], name: str, context: QgsProcessingContext) -> Any:
        """What was given for a parameter as a plain value, see `values.read`."""
        return read(self.parameterDefinition(name), parameters, context)

    def path_asked_for(self, parameters: Dict[str, Any], name: str, context: QgsProcessingContext) -> str:
        """An output as a path before a run, or empty if there will be none or a temporary one."""
        return path_asked_for(parameters, name, context)

    def raster_source(self, parameters: Dict[str, Any], name: str, context: QgsProcessingContext) -> str:
        """What GDAL opens for a raster parameter; empty where an optional one is not given."""
        given = self.raw(parameters, name, context)
        if is_null(given) and is_optional(self.parameterDefinition(name)):
            return ""
        return gdal_source(raster_layer(self, parameters, name, context), given, name)

    def raster_sources(self, parameters: Dict[str, Any], name: str, context: QgsProcessingContext) -> Tuple[str, ...]:
        """What GDAL opens for each raster of a parameter of several."""
        return rasters_given(self.raw(parameters, name, context), name, context)

    def prepareAlgorithm(
        self, parameters: Dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        with errors_as_processing_exceptions(feedback, self._worded):
            engine.load()
            self._values = self.collect(parameters, context)
        self._layers_to_load = context.layersToLoadOnCompletion()
        return True

    def processAlgorithm(
        self, parameters: Dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> Dict[str, Any]:
        try:
            with errors_as_processing_exceptions(feedback, self._worded):
                return self.work(self._values, ProcessingFeedback(feedback, self._worded))
        except Cancelled:
            feedback.pushInfo(tr("Cancelled; no output was written."))
            return {}

    def dress(self, output: str, layer: QgsMapLayer) -> None:
        """Style a layer of an output on another thread, before QGIS has it, where an algorithm knows how."""

    def postProcessAlgorithm(self, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> Dict[str, Any]:
        # After a run on a pool thread QGIS forgets what `collect` asked it to load, as the thread has a context of its
        # own (QgsProcessingContext.takeResultsFrom).
        for layer_id, details in self._layers_to_load.items():
            if not context.willLoadLayerOnCompletion(layer_id):
                context.addLayerToLoadOnCompletion(layer_id, details)
        return {}
