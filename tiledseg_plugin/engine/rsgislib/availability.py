# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether RSGISLib can be used in this Python, in which version, and how to get it."""

import re
from dataclasses import dataclass
from importlib import import_module, util
from pathlib import Path
from types import ModuleType

from osgeo import gdal

from ..errors import SegmentationError

HOW_TO_GET_IT = "install qgis and rsgislib from conda-forge into one environment, or use ENGINE=builtin"
FUNCTIONS = ("run_shepherd_segmentation", "run_shepherd_segmentation_pre_calcd_stats")


@dataclass(frozen=True)
class Availability:
    """What is known about RSGISLib.

    version : empty where it is unknown
    kea : whether GDAL has the KEA driver
    reason : why it cannot be used, as part of a sentence; empty if it can
    """

    version: str
    kea: bool
    reason: str

    @property
    def usable(self) -> bool:
        return not self.reason

    @property
    def sentence(self) -> str:
        """One sentence for a log or a list."""
        if not self.usable:
            return f"RSGISLib cannot be used: {self.reason}; {HOW_TO_GET_IT}."
        form = "KEA" if self.kea else "GeoTIFF, as GDAL has no KEA driver,"
        return f"RSGISLib {self.version or '5'} is usable; its intermediate files are {form} files."


def describe() -> Availability:
    """Look for RSGISLib. Its libraries are loaded, since only that shows that they fit this Python and GDAL."""
    kea = has_kea()
    if util.find_spec("rsgislib") is None:
        return Availability("", kea, "the Python package rsgislib is not installed")
    try:
        module = load()
    except Exception as error:  # of a library that does not fit, anything
        return Availability("", kea, f"it does not load ({type(error).__name__}: {str(error).splitlines()[0]})")
    version = _version()
    if not all(hasattr(module, name) for name in FUNCTIONS):
        return Availability(version, kea, f"version {version or 'unknown'} is too old, 5.0 is needed")
    return Availability(version, kea, "")


def load() -> ModuleType:
    """The module of RSGISLib that segments. Importing it switches GDAL's exceptions on for all of QGIS; not so here."""
    used_exceptions = gdal.GetUseExceptions()
    try:
        return import_module("rsgislib.segmentation.shepherdseg")
    finally:
        if not used_exceptions:
            gdal.DontUseExceptions()


def require() -> Availability:
    """What `describe` finds, for whoever cannot do without.

    Raises
    ------
    SegmentationError : it cannot be used; the sentence says how to get it
    """
    found = describe()
    if not found.usable:
        raise SegmentationError(f"ENGINE=rsgislib cannot be used: {found.reason}; {HOW_TO_GET_IT}.")
    return found


def has_kea() -> bool:
    """Whether GDAL can write KEA files."""
    return gdal.GetDriverByName("KEA") is not None


def _version() -> str:
    """The version. RSGISLib itself asks a program that need not be on PATH, and then says NA.NA."""
    from importlib import metadata  # 20 ms, which other runs need not wait for

    try:
        return metadata.version("rsgislib")
    except metadata.PackageNotFoundError:
        pass
    package = import_module("rsgislib")
    stated = getattr(package, "__version__", "")
    if re.match(r"\d", stated):
        return stated
    for root in list(Path(package.__file__ or "").parents)[1:6]:
        program = root / "bin" / "rsgis-config"
        if program.is_file():
            found = re.search(r"--version\)\s*echo\s+(\d[\w.]*)", program.read_text(errors="replace"))
            if found:
                return found.group(1)
        for record in (root / "conda-meta").glob("rsgislib-*.json"):
            return record.name.split("-")[1]
    return ""
