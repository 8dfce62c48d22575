# SPDX-License-Identifier: GPL-2.0-or-later
"""What of the plugin is usable on this installation, and what to install for the rest."""

import importlib
import importlib.util
import platform
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

from . import kernels
from . import rsgislib as rsgislib_engine
from .errors import SegmentationError
from .machine import available_cores, free_memory
from .progress import Check, Feedback, Progress
from .report import versions
from .wording import counted

DRIVERS = ("GTiff", "COG", "HFA", "KEA")


@dataclass
class Status:
    """The parts of the plugin and whether they work.

    kernels, engines, executions, drivers : names of what works
    versions : {name: version, None for what is missing}
    interpreter : what worker processes run; empty if they cannot be had
    cores, free_memory : of the machine; bytes, None where unknown
    advice : what to install or change, one sentence each
    """

    kernels: Tuple[str, ...] = ()
    engines: Tuple[str, ...] = ("builtin",)
    executions: Tuple[str, ...] = ("auto", "threads", "serial")
    drivers: Tuple[str, ...] = ()
    versions: Dict[str, Optional[str]] = field(default_factory=dict)
    interpreter: str = ""
    cores: int = 1
    free_memory: Optional[int] = 0
    advice: Tuple[str, ...] = ()

    def lines(self) -> List[str]:
        """The whole as text, line by line."""
        memory = "unknown" if self.free_memory is None else f"{self.free_memory // 1_000_000} MB"
        return [
            "Versions: " + ", ".join(f"{name} {found or 'is missing'}" for name, found in self.versions.items()),
            f"Machine: {counted(self.cores, 'core')}, free memory {memory}",
            f"Kernels: {', '.join(self.kernels)}",
            f"Engines: {', '.join(self.engines)}",
            f"Executions: {', '.join(self.executions)}",
            f"Worker processes run: {self.interpreter or 'nothing, they cannot be had here'}",
            f"Output drivers: {', '.join(self.drivers)}",
            *(f"Advice: {sentence}" for sentence in self.advice),
        ]


def find_status(plugin_version: str, feedback: Feedback) -> Status:
    """Find out, by trying, what works here; takes some seconds, as a worker process is started.

    Parameters
    ----------
    plugin_version : such as '0.1.0'
    """
    progress = Progress(feedback, {"status": 1})
    progress.start("status", "Trying what works here")
    return progress.in_background(lambda check_cancelled, advance: _find(plugin_version, check_cancelled))


def _find(plugin_version: str, check_cancelled: Check) -> Status:
    advice: List[str] = []
    found = Status(cores=available_cores(), free_memory=free_memory())
    found.versions = {"plugin": plugin_version, **versions()}
    for name in ("pathos", "distributed"):
        found.versions[name] = _version(name)
    rsgislib = rsgislib_engine.describe()
    found.versions["rsgislib"] = rsgislib.version or ("of unknown version" if rsgislib.usable else None)
    found.kernels = _kernels(advice, check_cancelled)
    if rsgislib.usable:
        found.engines += ("rsgislib",)
    else:
        advice.append(rsgislib.sentence)
    found.interpreter = _interpreter(advice, check_cancelled)
    if found.interpreter:
        found.executions = ("auto", "processes", "threads", "serial")
    if found.versions["distributed"]:
        found.executions += ("dask",)
    else:
        advice.append("For EXECUTION=dask install the Python package distributed (Debian: python3-distributed).")
    found.drivers = _drivers(advice)
    found.advice = tuple(advice)
    return found


def _version(name: str) -> Optional[str]:
    """The version of a package that can be imported; None otherwise."""
    try:
        if importlib.util.find_spec(name) is None:
            return None
        return str(getattr(importlib.import_module(name), "__version__", "of unknown version"))
    except Exception:  # a broken package is as good as none
        return None


def _kernels(advice: List[str], check_cancelled: Check) -> Tuple[str, ...]:
    usable: List[str] = []
    for name in ("compiled", "plain"):
        try:
            kernels.choose(name, check_cancelled)
            usable.append(name)
        except (SegmentationError, ImportError) as error:
            if name == "compiled":
                advice.append(f"Install numba for several times the speed: {error}")
    return tuple(usable)


def _interpreter(advice: List[str], check_cancelled: Check) -> str:
    from .execution.processes import Processes, Unavailable, missing_package

    processes = Processes(1)
    try:
        processes.wait_until_ready(check_cancelled)
        return f"{processes.interpreter} (Python {platform.python_version()})"
    except Unavailable as error:
        missing = missing_package()
        if missing:
            advice.append(f"For EXECUTION=processes install the Python package pathos; {missing} is missing.")
        else:
            advice.append(f"EXECUTION=processes cannot be used: {error}. TILEDSEG_PYTHON can name an interpreter.")
        return ""
    finally:
        processes.close()


def _drivers(advice: List[str]) -> Tuple[str, ...]:
    from osgeo import gdal

    usable = tuple(name for name in DRIVERS if gdal.GetDriverByName(name) is not None)
    if "KEA" not in usable:
        advice.append(
            "For .kea outputs use a GDAL with the KEA driver (conda-forge: libgdal-kea); .tif and .img need nothing."
        )
    return usable
