# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the machine code of the compiled kernels is kept, and which of it is there. Imports no numba.

The folder is named for all that the code depends on: the kernels' own sources, the versions of numba and Python, the
processor. So an upgrade of other files, or another place of the plugin, leaves it as it is, and several installations
do not disturb each other. Beside numba's own files it holds marks, empty or with a sentence, that say of an entry
(see `entries`) that it is wanted, ready, or cannot be compiled; one says that a run waits for what is wanted.
"""

import hashlib
import importlib.machinery
import importlib.util
import os
import platform
import re
import shutil
import sys
import time
import warnings
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Iterable, List, Set

READY, WANTED, FAILED, URGENT = "ready", "wanted", "failed", "urgent"
PREFIX = "kernels-"
OF_NUMBA = re.compile(r"^[a-z_]+_[0-9a-f]{40}$")  # what was kept by the place and time of the sources
USED = "used"  # its time says when a process last loaded from the folder
DAY = 86_400.0
UNUSED_DAYS = 30
TRY_AGAIN_SECONDS = DAY  # after which what could not be compiled is tried once more
EVERYTHING = "everything"  # in the place of an entry: numba itself cannot be used


def root() -> Path:
    """The folder that holds those of all versions: NUMBA_CACHE_DIR, else one of this user's caches."""
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


def folder() -> Path:
    """The folder of this version of everything.

    Raises
    ------
    ImportError : numba is not there
    """
    return root() / _name()


@lru_cache(maxsize=1)
def _name() -> str:
    if importlib.util.find_spec("numba") is None:
        raise ImportError("numba is not installed")
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    for fact in _facts():
        digest.update(f"{fact}\n".encode())
    return PREFIX + digest.hexdigest()[:16]


def _facts() -> List[str]:
    """What machine code depends on besides the kernels, and the package in which it is looked for again."""
    import numpy

    with warnings.catch_warnings():  # of other packages about each other
        warnings.simplefilter("ignore")
        from llvmlite import binding

    return [
        __name__,
        sys.version,
        importlib.machinery.EXTENSION_SUFFIXES[0],  # not by `sysconfig`, which is half filled while a thread fills it
        numpy.__version__,
        _version_of("numba"),
        _version_of("llvmlite"),
        platform.machine(),
        binding.get_host_cpu_name(),
        str(sorted(binding.get_host_cpu_features().items())),
    ]


def _version_of(package: str) -> str:
    """As its files say, rather than by importing it, which takes a second; the place tells builds apart, too."""
    from importlib import metadata

    with suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    spec = importlib.util.find_spec(package)
    return str(os.stat(str(spec.origin)).st_mtime_ns) if spec else ""


def mark(entry: str, how: str, text: str = "") -> None:
    """Leave a mark: READY, WANTED or FAILED; URGENT on EVERYTHING.

    Raises
    ------
    OSError : the folder cannot be written
    """
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    partial = place / f"{entry}.{how}.{os.getpid()}"
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, place / f"{entry}.{how}")


def unmark(entry: str, how: str) -> None:
    with suppress(OSError):
        (folder() / f"{entry}.{how}").unlink()


def marked(how: str) -> Set[str]:
    """The entries with a mark; an empty set where there is no folder yet."""
    found = set()
    with suppress(OSError):
        for item in os.scandir(folder()):
            entry, _, mark = item.name.rpartition(".")
            if mark == how and not (how == FAILED and time.time() - item.stat().st_mtime > TRY_AGAIN_SECONDS):
                found.add(entry)
    return found


def reason_of(entry: str) -> str:
    """Why an entry could not be compiled."""
    with suppress(OSError):
        return (folder() / f"{entry}.{FAILED}").read_text(encoding="utf-8")
    return ""


def note_use() -> None:
    """Keep the folder from being taken for one that nobody uses any more."""
    path = folder() / USED
    with suppress(OSError):
        if not path.exists() or time.time() - path.stat().st_mtime > DAY:
            path.write_text("", encoding="utf-8")


def remove_unused(keep: Iterable[Path]) -> None:
    """Remove what other versions left, a month after it was last used, and what numba kept by itself before."""
    kept = set(keep)
    with suppress(OSError):
        for path in root().iterdir():
            if (
                path.name.startswith(PREFIX)
                and path not in kept
                and _is_unused(path)
                or OF_NUMBA.match(path.name)
                and not os.environ.get("NUMBA_CACHE_DIR")
            ):
                shutil.rmtree(path, ignore_errors=True)


def _is_unused(path: Path) -> bool:
    with suppress(OSError):
        stamp = path / USED
        return time.time() - (stamp if stamp.exists() else path).stat().st_mtime > UNUSED_DAYS * DAY
    return False
