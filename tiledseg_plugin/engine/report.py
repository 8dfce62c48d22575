# SPDX-License-Identifier: GPL-2.0-or-later
"""The JSON report of a run, beside OUTPUT, and what the machine says about it."""

import json
import platform
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Dict, Optional, Protocol

from .errors import SegmentationError, why
from .parameters import SegmentParameters


class IsDataclass(Protocol):
    __dataclass_fields__: ClassVar[Dict[str, Any]]


def report_path(output: str) -> str:
    """Where the report of an output lies."""
    return str(Path(output).with_name(Path(output).stem + "_report.json"))


def versions() -> Dict[str, Optional[str]]:
    """Versions of what the result could depend on; None for what is not installed."""
    found: Dict[str, Optional[str]] = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("numpy", "numba"):
        try:
            found[name] = import_module(name).__version__
        except Exception:  # a broken numba fails in many ways; for the report it is as good as none
            found[name] = None
    from osgeo import gdal

    found["gdal"] = gdal.VersionInfo("RELEASE_NAME")
    return found


def peak_memory() -> Optional[int]:
    """The most resident memory that this process has had, bytes; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def write_report(path: str, parameters: SegmentParameters, result: IsDataclass, facts: Dict[str, Any]) -> None:
    """Write the report.

    Parameters
    ----------
    result : of the run
    facts : what else was learned, plain values

    Raises
    ------
    SegmentationError : it cannot be written
    """
    numbers = {name: value for name, value in asdict(result).items() if name not in ("report", "tiles")}
    content = {"parameters": asdict(parameters), "results": numbers, "versions": versions(), **facts}
    try:
        Path(path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise SegmentationError(
            f"The report {Path(path).name} cannot be written ({why(error)}): make room on the disk of OUTPUT."
        ) from error
