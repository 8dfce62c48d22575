# SPDX-License-Identifier: GPL-2.0-or-later
"""The models that come with the plugin, as algorithms of its provider; the files open in the graphical modeler."""

from typing import Any, Dict, List, Tuple

from qgis.core import (
    QgsApplication,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingParameterRasterLayer,
)
from qgis.PyQt.QtGui import QIcon

from ..tiledseg_plugin.engine.errors import SegmentationError
from ..tiledseg_plugin.metadata import ICON, PLUGIN_FOLDER, homepage
from .inputs import RasterParameter, layer_source, path_asked_for
from .text import tr
from .values import check_values, is_optional

FOLDER = PLUGIN_FOLDER / "resources" / "models"


class CheckSegmentStatistics(QgsProcessingModelAlgorithm):
    """`tiledseg:checksegmentstatistics`: pre-flight, segment, statistics."""

    FILE = str(FOLDER / "checksegmentstatistics.model3")

    def createInstance(self) -> "CheckSegmentStatistics":
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
        """Put a `RasterParameter` in the place of every raster parameter; their order stays."""
        definitions = [definition.clone() for definition in self.parameterDefinitions()]
        for definition in definitions:
            self.removeParameter(definition.name())
        for definition in definitions:
            if isinstance(definition, QgsProcessingParameterRasterLayer):
                definition = RasterParameter(
                    definition.name(), definition.description(), definition.defaultValue(), is_optional(definition)
                )
            self.addParameter(definition, False)

    def explain(self) -> None:
        """Copy the help of the steps' parameters to those of the model, as model files hold none."""
        helps: Dict[str, str] = {}
        for child_id, child in self.childAlgorithms().items():
            for definition in child.algorithm().parameterDefinitions():
                helps.setdefault(definition.name(), definition.help())
                for output in child.modelOutputs().values():
                    if output.childOutputName() == definition.name():
                        helps[f"{child_id}:{output.name()}"] = definition.help()
        for definition in self.parameterDefinitions():
            definition.setHelp(helps.get(definition.name(), ""))

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
        from ..tiledseg_plugin.engine.files.output_files import check_files

        outputs, sources, checks = [], {}, []
        for child_id, child in self.childAlgorithms().items():
            algorithm = QgsApplication.processingRegistry().createAlgorithmById(child.algorithmId())
            given, linked = _given(child, parameters)
            for output in child.modelOutputs().values():
                path = path_asked_for(parameters, f"{child_id}:{output.name()}", context)
                given[output.childOutputName()] = path
                outputs.append(algorithm.output_of(output.childOutputName(), path, output.name()))
            if all(is_optional(algorithm.parameterDefinition(name)) for name in linked):
                checks.append((algorithm, given))
            for name in ("INPUT", "VALUES"):
                if isinstance(given.get(name), (str, QgsMapLayer)):
                    sources[layer_source(given[name], context)] = "INPUT"
        check_files(outputs, [(name, source) for source, name in sources.items()])
        for algorithm, given in checks:
            algorithm.check(given, context)

    def displayName(self) -> str:
        return tr("Check tiles, segment and describe segments")

    def group(self) -> str:
        return tr("Segmentation")

    def groupId(self) -> str:
        return "segmentation"

    def shortDescription(self) -> str:
        return tr("A model: checks the tiles, segments the raster with them, and makes a table of statistics.")

    def tags(self) -> List[str]:
        return tr("segmentation,OBIA,GEOBIA,model,workflow,tiles,statistics,zonal").split(",")

    def icon(self) -> QIcon:
        return QIcon(ICON)

    def svgIconPath(self) -> str:
        return ICON

    def helpUrl(self) -> str:
        return homepage()


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


def shipped_models() -> List[CheckSegmentStatistics]:
    """All models that can run."""
    models = [CheckSegmentStatistics()]
    return [model for model in models if model.load()]
