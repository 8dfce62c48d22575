# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:example`: a small scene to try things on. The ids in here are published and never change."""

from typing import Any, Dict, List, Optional, Tuple

from qgis.core import QgsProcessingContext, QgsProcessingFeedback, QgsProcessingParameterRasterDestination

from ..tiledseg_plugin.engine.progress import Feedback
from .base import TiledAlgorithm
from .looks import Look, show_natural_colours
from .text import tr


class ExampleData(TiledAlgorithm):
    """No input; a raster out."""

    OUTPUT = "OUTPUT"

    _look: Optional[Look] = None

    def name(self) -> str:
        return "example"

    def displayName(self) -> str:
        return tr("Make example data")

    def group(self) -> str:
        return tr("Help")

    def groupId(self) -> str:
        return "help"

    def tags(self) -> List[str]:
        return tr("example,sample,demo,test,data,scene,image,tutorial,help").split(",")

    def shortDescription(self) -> str:
        return tr("Draws a small satellite scene of an invented landscape to try things on.")

    def description(self) -> Tuple[str, ...]:
        return (
            tr(
                "Draws a satellite scene of 1500 x 1200 pixels of 10 m with the bands blue, green, red and near "
                "infrared: fields, woods, a river and a lake, a town, villages and roads, within a slanted edge beyond "
                "which there is no data. The landscape is invented, and always the same."
            ),
            tr("Nothing is downloaded, and no file is replaced."),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        self.add(
            QgsProcessingParameterRasterDestination(self.OUTPUT, tr("Example scene")),
            tr("A new GeoTIFF (.tif) of 16-bit whole numbers, reflectance times 10,000; 0 is no data."),
        )

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        from ..tiledseg_plugin.engine.example.scene import check_example

        check_example(self.path_asked_for(parameters, self.OUTPUT, context))

    def collect(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Any:
        self._look = Look(self.id(), self.OUTPUT, show_natural_colours)
        return self.parameterAsOutputLayer(parameters, self.OUTPUT, context)

    def work(self, values: Any, feedback: Feedback) -> Dict[str, Any]:
        from ..tiledseg_plugin.engine.example.scene import write_example

        write_example(values, feedback)
        return {self.OUTPUT: values}

    def postProcessAlgorithm(self, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> Dict[str, Any]:
        super().postProcessAlgorithm(context, feedback)
        if self._look is not None:
            self._look.attach(context, self._values)
        return {}
