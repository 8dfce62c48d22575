# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:status`: what can be used on this installation. The ids in here are published and never change."""

from typing import Any, Dict, List, Optional, Tuple

from qgis.core import Qgis, QgsProcessingContext, QgsProcessingOutputNumber, QgsProcessingOutputString

from ..tiledseg_plugin.engine.progress import Feedback
from ..tiledseg_plugin.metadata import plugin_version
from .base import TiledAlgorithm
from .text import tr


class ShowStatus(TiledAlgorithm):
    """No parameters; texts and numbers out."""

    KERNELS = "KERNELS"
    ENGINES = "ENGINES"
    EXECUTIONS = "EXECUTIONS"
    INTERPRETER = "INTERPRETER"
    DRIVERS = "DRIVERS"
    VERSIONS = "VERSIONS"
    ADVICE = "ADVICE"
    CORES = "CORES"
    FREE_MEMORY_MB = "FREE_MEMORY_MB"

    def name(self) -> str:
        return "status"

    def displayName(self) -> str:
        return tr("Show status")

    def group(self) -> str:
        return tr("Help")

    def groupId(self) -> str:
        return "help"

    def tags(self) -> List[str]:
        return tr("status,versions,installation,numba,pathos,dask,kea,rsgislib,diagnosis,help").split(",")

    def shortDescription(self) -> str:
        return tr("Shows which kernels, executions and formats can be used here, and what to install for more.")

    def description(self) -> Tuple[str, ...]:
        return (
            tr(
                "Shows what of the plugin is usable on this installation, by trying it: which kernels and engines, "
                "ways to run tiles and output drivers; which Python worker processes run; versions, cores and memory; "
                "and what to install for what is missing."
            ),
            tr("The plugin needs nothing but QGIS; what is missing costs speed or a format, never the result."),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        for name, label in (
            (self.KERNELS, tr("Kernels")),
            (self.ENGINES, tr("Engines")),
            (self.EXECUTIONS, tr("Executions")),
            (self.INTERPRETER, tr("Python of worker processes")),
            (self.DRIVERS, tr("Output drivers")),
            (self.VERSIONS, tr("Versions")),
            (self.ADVICE, tr("Advice")),
        ):
            self.addOutput(QgsProcessingOutputString(name, label))
        self.addOutput(QgsProcessingOutputNumber(self.CORES, tr("Cores")))
        self.addOutput(QgsProcessingOutputNumber(self.FREE_MEMORY_MB, tr("Free memory [MB]")))

    def collect(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Any:
        return None

    def work(self, values: Any, feedback: Feedback) -> Dict[str, Any]:
        from ..tiledseg_plugin.engine.installation import find_status

        found = find_status(plugin_version(), feedback)
        found.versions = {"QGIS": Qgis.version() if hasattr(Qgis, "version") else Qgis.QGIS_VERSION, **found.versions}
        for line in found.lines():
            feedback.info(line)
        return {
            self.KERNELS: ",".join(found.kernels),
            self.ENGINES: ",".join(found.engines),
            self.EXECUTIONS: ",".join(found.executions),
            self.INTERPRETER: found.interpreter,
            self.DRIVERS: ",".join(found.drivers),
            self.VERSIONS: ", ".join(f"{name} {number or '-'}" for name, number in found.versions.items()),
            self.ADVICE: " ".join(found.advice),
            self.CORES: found.cores,
            self.FREE_MEMORY_MB: (found.free_memory or 0) // 1_000_000,
        }
