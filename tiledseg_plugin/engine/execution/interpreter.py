# SPDX-License-Identifier: GPL-2.0-or-later
"""Which Python the workers run, and with which environment.

Inside QGIS `sys.executable` is QGIS itself (Windows, macOS) or whatever `python3` comes first on PATH (Linux), so it
is asked last, if at all. A candidate is used only after a worker that was started with it has answered a handshake.
"""

import importlib.util
import os
import re
import struct
import sys
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Dict, List, Mapping, Optional, Tuple

Facts = Dict[str, Any]  # what is compared of two interpreters: {name: plain value}

OVERRIDE = "TILEDSEG_PYTHON"
PYTHON_NAME = re.compile(r"^python(w)?(\d(\.\d+)*)?(\.exe)?$", re.IGNORECASE)
MOST_CACHE_MEGABYTES = 64  # of a worker: each block is read once or twice, so more would not help
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "GDAL_NUM_THREADS")
DROPPED = {
    "LD_PRELOAD",
    "DYLD_INSERT_LIBRARIES",
    "PYTHONDEVMODE",
    "PYTHONEXECUTABLE",
    "PYTHONFAULTHANDLER",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONPATH",
    "PYTHONPLATLIBDIR",
    "PYTHONSTARTUP",
    "PYTHONWARNINGS",
    "VIRTUAL_ENV",
    "__PYVENV_LAUNCHER__",
}


@dataclass(frozen=True)
class Candidate:
    """An interpreter that may be the one. `home` is what PYTHONHOME must be for it, None for unset."""

    path: str
    home: Optional[str] = None

    def __str__(self) -> str:
        return f"{self.path} (PYTHONHOME={self.home})" if self.home else self.path


def candidates(
    platform: Optional[str] = None,
    prefix: Optional[str] = None,
    base_prefix: Optional[str] = None,
    executable: Optional[str] = None,
    version: Optional[Tuple[int, int]] = None,
    environ: Optional[Mapping[str, str]] = None,
) -> List[Candidate]:
    """The interpreters to try, best first, whether they exist or not; arguments are those of the host.

    The places are those of OSGeo4W and the standalone installer (Windows), of the bundles before and since 3.44 and of
    vcpkg builds (macOS), of conda, of Linux distributions and Flatpak.

    Parameters
    ----------
    platform : as `sys.platform`
    version : (major, minor)
    """
    platform, environ = platform or sys.platform, os.environ if environ is None else environ
    executable = sys.executable if executable is None else executable
    if environ.get(OVERRIDE):
        return [Candidate(environ[OVERRIDE], environ.get("PYTHONHOME") or None)]
    places = _on_windows if platform == "win32" else _on_posix
    found: List[Candidate] = []
    for root in dict.fromkeys((prefix or sys.prefix, base_prefix or sys.base_prefix)):
        found += places(platform, root, "{}.{}".format(*(version or sys.version_info)[:2]))
    if executable:
        found.append(Candidate(executable))
    home = environ.get("PYTHONHOME")
    if home:  # a value that serves the host serves its workers; one that makes no sense the host has ignored
        found = [Candidate(one.path, home) for one in found if not one.home] + found
    return list(dict.fromkeys(found))


def _on_windows(platform: str, prefix: str, version: str) -> List[Candidate]:
    root = PureWindowsPath(prefix)
    names = ("python.exe", "python3.exe", "pythonw.exe")
    places = [root / name for name in names] + [root.parent.parent / "bin" / name for name in names[:2]]
    return [Candidate(str(place)) for place in places]


def _on_posix(platform: str, prefix: str, version: str) -> List[Candidate]:
    root = PurePosixPath(prefix)
    names = (f"python{version}", "python3")
    found = []
    if platform == "darwin" and root.name == "Frameworks":
        programs = root.parent / "MacOS"
        found.append(Candidate(str(programs / "python")))
        found += [Candidate(str(programs / name), str(root)) for name in names]
    found += [Candidate(str(root / "bin" / name)) for name in names]
    if platform == "darwin":
        found += [Candidate(str(root / "tools" / "python3" / name)) for name in names]
    return found


def reason_to_skip(candidate: Candidate) -> str:
    """Why a candidate is not even started; empty if it is worth a handshake."""
    if not os.path.isfile(candidate.path):
        return "does not exist"
    for name in (os.path.basename(candidate.path), os.path.basename(os.path.realpath(candidate.path))):
        if not PYTHON_NAME.match(name):
            return f"is not a Python by its name ({name})"
    return "" if os.access(candidate.path, os.X_OK) else "may not be executed"


def facts() -> Facts:
    """What an interpreter says about itself in the handshake, as plain values."""
    import numpy
    from osgeo import gdal

    return {
        "version": list(sys.version_info[:3]),
        "abi": EXTENSION_SUFFIXES[0],
        "pointer": struct.calcsize("P"),
        "base_prefix": os.path.realpath(sys.base_prefix),
        "numpy": numpy.__version__,
        "gdal": gdal.VersionInfo("RELEASE_NAME"),
        "geotiff": gdal.GetDriverByName("GTiff") is not None,
    }


def reason_to_refuse(answer: Facts, host: Facts) -> str:
    """Why a worker that answered so cannot work for the host; empty if it can. Both as `facts` returns them."""
    for name, what in (("pointer", "word size"), ("abi", "binary interface"), ("numpy", "numpy"), ("gdal", "GDAL")):
        if answer.get(name) != host[name]:
            return f"has another {what} ({answer.get(name)} instead of {host[name]})"
    if answer["version"][:2] != host["version"][:2]:
        return f"is Python {'.'.join(map(str, answer['version']))}, not {'.'.join(map(str, host['version']))}"
    return "" if answer.get("geotiff") else "has no GeoTIFF driver"


def is_the_same_build(answer: Facts, host: Facts) -> bool:
    """Whether even the last digit of the version and the installation are the host's."""
    return answer["version"] == host["version"] and answer["base_prefix"] == host["base_prefix"]


def worker_environment(
    candidate: Candidate, workers: int = 1, memory: Optional[int] = None, environ: Optional[Mapping[str, str]] = None
) -> Dict[str, str]:
    """The environment variables of a worker.

    Kept is what the same build of Python and GDAL needs; dropped is what would change how Python starts; libraries
    get one thread each, since the workers themselves are the parallelism.

    Parameters
    ----------
    workers : how many share GDAL's block cache
    memory : bytes for the block caches of all of them
    """
    environ = os.environ if environ is None else environ
    kept = {name: value for name, value in environ.items() if not _is_dropped(name)}
    if candidate.home:
        kept["PYTHONHOME"] = candidate.home
    kept.update(PYTHONDONTWRITEBYTECODE="1", PYTHONSAFEPATH="1", PYTHONIOENCODING="utf-8")
    kept.update(dict.fromkeys(ONE_THREAD, "1"))
    megabytes = max(16, (memory or 256_000_000) // max(workers, 1) // 1_000_000)
    kept["GDAL_CACHEMAX"] = str(min(megabytes, MOST_CACHE_MEGABYTES))
    return kept


def _is_dropped(name: str) -> bool:
    return name.upper() in DROPPED or name.startswith(("QT_", "QGIS_", "MALLOC_CHECK"))


def import_folders(*names: str) -> List[str]:
    """The folders from which these packages are imported, for a child that needs them before it has the host's path."""
    found = (importlib.util.find_spec(name) for name in names)
    return list(
        dict.fromkeys(os.path.dirname(os.path.dirname(os.path.abspath(str(one.origin)))) for one in found if one)
    )
