# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine: arrays, rasters and files, never QGIS."""

from importlib import import_module
from threading import Lock

_LOADING = Lock()
IMPORT_THEIR_MODULES = ("execution", "rsgislib")  # and `kernels`, with the first


def load() -> None:
    """Import the packages that import modules of theirs, before several threads import what they need.

    Where one thread imports such a package and another a module of it, each has a lock that the other one waits for,
    and Python ends that with an error. QGIS looks at parameters on one thread while others run.
    """
    with _LOADING:
        for name in IMPORT_THEIR_MODULES:
            import_module(f"{__name__}.{name}")
