# SPDX-License-Identifier: GPL-2.0-or-later
"""The models that come with the plugin, as algorithms of its provider; the files open in the graphical modeler."""

from typing import Dict

from qgis.core import QgsProcessingModelAlgorithm
from qgis.PyQt.QtGui import QIcon

from ..tiledseg_plugin.errors import SegmentationError
from ..tiledseg_plugin.metadata import ICON, PLUGIN_FOLDER, homepage
from .text import tr
from .values import check_values

FOLDER = PLUGIN_FOLDER / "resources" / "models"


class CheckSegmentStatistics(QgsProcessingModelAlgorithm):
    """`tiledseg:checksegmentstatistics`: pre-flight, segment, statistics."""

    FILE = str(FOLDER / "checksegmentstatistics.model3")

    def createInstance(self):
        copy = type(self)()
        copy.loadVariant(self.toVariant())
        copy.setProvider(self.provider())
        copy.explain()
        return copy

    def load(self):
        """Read the file; False if that fails or an algorithm that it is made of is not there."""
        if not self.fromFile(self.FILE) or not self.canExecute()[0]:
            return False
        self.explain()
        return True

    def explain(self):
        """Give the parameters the help of those they stand for, as model files hold none."""
        helps: Dict[str, str] = {}
        for child_id, child in self.childAlgorithms().items():
            for definition in child.algorithm().parameterDefinitions():
                helps.setdefault(definition.name(), definition.help())
                for output in child.modelOutputs().values():
                    if output.childOutputName() == definition.name():
                        helps[f"{child_id}:{output.name()}"] = definition.help()
        for definition in self.parameterDefinitions():
            definition.setHelp(helps.get(definition.name(), ""))

    def checkParameterValues(self, parameters, context):
        try:
            check_values(self.parameterDefinitions(), parameters, context)
        except SegmentationError as error:
            return False, str(error)
        return super().checkParameterValues(parameters, context)

    def displayName(self):
        return tr("Check tiles, segment and describe segments")

    def group(self):
        return tr("Segmentation")

    def groupId(self):
        return "segmentation"

    def shortDescription(self):
        return tr("A model: checks the tiles, segments the raster with them, and makes a table of statistics.")

    def tags(self):
        return tr("segmentation,OBIA,GEOBIA,model,workflow,tiles,statistics,zonal").split(",")

    def icon(self):
        return QIcon(ICON)

    def svgIconPath(self):
        return ICON

    def helpUrl(self):
        return homepage()


def shipped_models():
    """All models that can run."""
    models = [CheckSegmentStatistics()]
    return [model for model in models if model.load()]
