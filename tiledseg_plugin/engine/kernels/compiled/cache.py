# SPDX-License-Identifier: GPL-2.0-or-later
"""The numba decorator of all compiled kernels: without the GIL, kept on disk between runs and upgrades."""

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, TypeVar

from numba import config, njit

F = TypeVar("F", bound=Callable[..., Any])


def cache_folder() -> Path:
    """Where the machine code is kept: NUMBA_CACHE_DIR, else a folder of this user's caches."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return Path(os.environ["NUMBA_CACHE_DIR"])
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "tiledseg" / "numba"


@contextmanager
def _cached_in(folder: Path) -> Iterator[None]:
    """numba reads the folder when a function is decorated; other plugins' functions keep theirs."""
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        config.CACHE_DIR = before


def kernel(function: F) -> F:
    """Compile `function` on its first call with each dtype, or load it from the cache."""
    with _cached_in(cache_folder()):
        try:
            return njit(nogil=True, cache=True)(function)
        except RuntimeError:  # no folder can be written: compiled anew in each process
            return njit(nogil=True)(function)
