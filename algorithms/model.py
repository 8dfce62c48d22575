# SPDX-License-Identifier: GPL-2.0-or-later
"""The models that come with the plugin, as algorithms of its provider; the files open in the graphical modeler."""

from typing import Any, Dict, List, Sequence, Tuple

from qgis.core import (
    QgsApplication,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterRasterLayer,
)
from qgis.PyQt.QtGui import QIcon

from ..tiledseg_plugin.compat import is_null
from ..tiledseg_plugin.engine.errors import SegmentationError
from ..tiledseg_plugin.metadata import ICON, PLUGIN_FOLDER, homepage
from .base import TiledAlgorithm
from .inputs import RasterParameter, layer_source, path_asked_for
from .text import tr
from .values import check_values, is_optional

FOLDER = PLUGIN_FOLDER / "resources" / "models"


class ShippedModel(QgsProcessingModelAlgorithm):
    """A model of ours. It says besides:

    - `FILE`: where it is;
    - `displayName`, `shortDescription`, `tags`;
    - `helps()`: the help of outputs of steps that are QGIS's own.
    """

    FILE = ""

    def createInstance(self) -> "ShippedModel":
        copy = type(self)()
        copy.loadVariant(self.toVariant())
        copy.setProvider(self.provider())
        copy.take_files()
        copy.explain()
        return copy

    def load(self) -> bool:
        """Read the file; False if that fails or an algorithm that it is made of is not there."""
        if not self.fromFile(self.FILE) or not self.canExecute()[0]:
            return False
        self.take_files()
        self.explain()
        return True

    def take_files(self) -> None:
        """Put a `RasterParameter` in the place of every raster parameter, and let outputs that need not be named be
        optional, which QGIS does not do; their order stays.
        """
        definitions = [definition.clone() for definition in self.parameterDefinitions()]
        for definition in definitions:
            self.removeParameter(definition.name())
        for definition in definitions:
            if isinstance(definition, QgsProcessingParameterRasterLayer):
                definition = RasterParameter(
                    definition.name(), definition.description(), definition.defaultValue(), is_optional(definition)
                )
            if definition.name() in self._optional_outputs():
                definition.setFlags(definition.flags() | QgsProcessingParameterDefinition.Flag.FlagOptional)
            self.addParameter(definition, False)

    def _optional_outputs(self) -> List[str]:
        return [
            f"{child_id}:{output.name()}"
            for child_id, child in self.childAlgorithms().items()
            for output in child.modelOutputs().values()
            if not output.isMandatory()
        ]

    def explain(self) -> None:
        """Copy the help of the steps' parameters to those of the model, as model files hold none."""
        helps = self.helps()
        for child_id, child in self.childAlgorithms().items():
            for definition in child.algorithm().parameterDefinitions():
                if definition.help():
                    helps.setdefault(definition.name(), definition.help())
                for output in child.modelOutputs().values():
                    if output.childOutputName() == definition.name() and definition.help():
                        helps[f"{child_id}:{output.name()}"] = definition.help()
        for definition in self.parameterDefinitions():
            definition.setHelp(helps.get(definition.name(), ""))

    def processAlgorithm(
        self, parameters: Dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> Dict[str, Any]:
        """Run; what need not be named is made as temporary output, as later steps take it."""
        unnamed = {name: "TEMPORARY_OUTPUT" for name in self._optional_outputs() if is_null(parameters.get(name))}
        result: Dict[str, Any] = super().processAlgorithm({**parameters, **unnamed}, context, feedback)
        return result

    def helps(self) -> Dict[str, str]:
        return {}

    def checkParameterValues(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Tuple[bool, str]:
        try:
            check_values(self.parameterDefinitions(), parameters, context)
            accepted, reason = super().checkParameterValues(parameters, context)
            if not accepted:
                return accepted, reason
            self._check(parameters, context)
        except SegmentationError as error:
            return False, str(error)
        return True, ""

    def _check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        """Refuse before the first step what a later one would refuse, and outputs that harm each other or an input."""
        from ..tiledseg_plugin.engine.files.output_files import check_files, layer_output

        outputs, sources, checks = [], {}, []
        for child_id, child in self.childAlgorithms().items():
            algorithm = QgsApplication.processingRegistry().createAlgorithmById(child.algorithmId())
            given, linked = _given(child, parameters)
            for output in child.modelOutputs().values():
                path = path_asked_for(parameters, f"{child_id}:{output.name()}", context)
                given[output.childOutputName()] = path
                if isinstance(algorithm, TiledAlgorithm):
                    outputs.append(algorithm.output_of(output.childOutputName(), path, output.name()))
                else:
                    outputs.append(layer_output(output.name(), path))
            if isinstance(algorithm, TiledAlgorithm) and _can_be_checked(algorithm, linked):
                checks.append((algorithm, given))
            for name in ("INPUT", "VALUES", "SEGMENTS"):
                if isinstance(given.get(name), (str, QgsMapLayer)):
                    sources[layer_source(given[name], context)] = _called(given[name], parameters, name)
        check_files(outputs, [(name, source) for source, name in sources.items()])
        for algorithm, given in checks:
            algorithm.check(given, context)

    def group(self) -> str:
        return tr("Segmentation")

    def groupId(self) -> str:
        return "segmentation"

    def icon(self) -> QIcon:
        return QIcon(ICON)

    def svgIconPath(self) -> str:
        return ICON

    def helpUrl(self) -> str:
        return homepage()


def _can_be_checked(algorithm: TiledAlgorithm, linked: Sequence[str]) -> bool:
    """Whether a step means the same without what earlier steps will make."""
    return "TABLE" not in linked and all(is_optional(algorithm.parameterDefinition(name)) for name in linked)


def _called(given: Any, parameters: Dict[str, Any], otherwise: str) -> str:
    """The name of the model's own input that has a value."""
    return next((name for name, value in parameters.items() if value is given), otherwise)


class CheckSegmentStatistics(ShippedModel):
    """`tiledseg:checksegmentstatistics`: pre-flight, segment, shape and statistics, one table of both."""

    FILE = str(FOLDER / "checksegmentstatistics.model3")

    def displayName(self) -> str:
        return tr("Check tiles, segment and describe segments")

    def shortDescription(self) -> str:
        return tr(
            "A model: checks the tiles, segments the raster with them, and makes a table of the segments' shape and "
            "statistics."
        )

    def tags(self) -> List[str]:
        return tr("segmentation,OBIA,GEOBIA,model,workflow,tiles,statistics,shape,join,zonal").split(",")

    def helps(self) -> Dict[str, str]:
        return {
            "joined:Joined": tr(
                "Table with the columns of both, shape and statistics, one row a segment: .gpkg or .csv."
            )
        }


class ColourSegments(ShippedModel):
    """`tiledseg:coloursegments`: statistics, and a raster that shows one of their columns."""

    FILE = str(FOLDER / "coloursegments.model3")

    def displayName(self) -> str:
        return tr("Colour segments by a column")

    def shortDescription(self) -> str:
        return tr("A model: statistics of segments, and a raster that shows one of their columns in colours.")

    def tags(self) -> List[str]:
        return tr("segments,OBIA,GEOBIA,model,workflow,statistics,colour,column,rasterize").split(",")


def _given(child: QgsProcessingModelChildAlgorithm, parameters: Dict[str, Any]) -> Tuple[Dict[str, Any], List[str]]:
    """A step's values that are known before the model runs, and the names of those that come from other steps."""
    values, linked = {}, []
    for name, sources in child.parameterSources().items():
        for source in sources:
            if source.outputChildId():
                linked.append(name)
            elif source.parameterName():
                if source.parameterName() in parameters:
                    values[name] = parameters[source.parameterName()]
            else:
                values[name] = source.staticValue()
    return values, linked


def shipped_models() -> List[ShippedModel]:
    """All models that can run."""
    models: List[ShippedModel] = [CheckSegmentStatistics(), ColourSegments()]
    return [model for model in models if model.load()]
