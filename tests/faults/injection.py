# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that happen at the n-th operation of a process: counted in an undisturbed run, then made at each of them.

Only for processes that are forked for it: everything in this one is changed, and nothing is put back.
"""

import builtins
import errno
import os
import resource
import shutil
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np
from osgeo import gdal

REMOVING = ("unlink", "rmdir")  # of os
CHANGING = ("link", "replace", "rename", "mkdir", *REMOVING, "fsync", "ftruncate", "write")
TAKING_ROOM = ("link", "replace", "rename", "mkdir", "fsync", "ftruncate", "write")
WRITING = set("wxa+")


class Operations:
    """Counts the operations of this process, and calls something at the n-th one instead of it, or before it.

    Attributes
    ----------
    count : so far
    log : what each of them was
    """

    def __init__(self, number: int = 0, happen: Optional[Callable[[str], Any]] = None, lasting: bool = False):
        self.count, self.log = 0, []  # type: Tuple[int, List[str]]
        self._number, self._happen, self._lasting = number, happen, lasting
        self._busy = False

    def pass_by(self, what: str) -> bool:
        """Called before an operation; whether it is one that goes wrong."""
        if self._busy:
            return False
        self.count += 1
        self.log.append(what)
        due = self._number and (self.count == self._number or (self._lasting and self.count > self._number))
        if due and self._happen is not None:
            self._busy = True
            try:
                self._happen(what)
            finally:
                self._busy = False
        return bool(due)

    def watch(self, module: Any, name: str, failing: Callable[..., Any]) -> None:
        """Count the calls of a function; those that go wrong call `failing` instead."""
        function = getattr(module, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if self.pass_by(f"{name} {_named(arguments)}"):
                return failing(function, *arguments, **options)
            return function(*arguments, **options)

        setattr(module, name, call)


def _named(arguments: Tuple[Any, ...]) -> str:
    return next((Path(os.fspath(one)).name for one in arguments if isinstance(one, (str, os.PathLike))), "")


def as_it_is(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    return function(*arguments, **options)


def system_error(number: int) -> Callable[..., Any]:
    """What the system says, of whatever it was called with."""

    def fail(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        path = next((os.fspath(one) for one in arguments if isinstance(one, (str, os.PathLike))), None)
        raise OSError(number, os.strerror(number), path)

    return fail


def watch_writing(operations: Operations, failing: Callable[..., Any]) -> None:
    """Everything by which Python changes a folder or a file; a file that is opened for writing gets a full disk."""
    for name in TAKING_ROOM if failing is FULL else CHANGING:
        operations.watch(os, name, failing)
    opened, low = builtins.open, os.open

    def open_file(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if WRITING & set(mode) and operations.pass_by(f"open {_named((file,))}"):
            if failing is as_it_is:
                return opened(file, mode, *arguments, **options)
            if failing is not FULL:
                return failing(opened, file, mode)
            opened(file, mode).close()  # for names there is room
            return opened("/dev/full", mode.replace("x", "w"), *arguments, **options)
        return opened(file, mode, *arguments, **options)

    def open_low(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR) and operations.pass_by(f"os.open {_named((path,))}"):
            return failing(low, path, flags, *arguments, **options)
        return low(path, flags, *arguments, **options)

    builtins.open, os.open = open_file, open_low


FULL, DENIED = system_error(errno.ENOSPC), system_error(errno.EACCES)


def watch_reading(operations: Operations, failing: Callable[..., Any], by_gdal: Callable[..., Any]) -> None:
    """Everything by which a run reads: pixels, blocks, tables and files of the work folder."""
    for owner, name in ((gdal.Dataset, "ReadAsArray"), (gdal.Band, "ReadAsArray"), (gdal.Band, "ReadRaster")):
        operations.watch(owner, name, by_gdal)
    for name in ("Open", "OpenEx"):
        operations.watch(gdal, name, by_gdal)
    operations.watch(gdal.RasterAttributeTable, "ReadAsArray", by_gdal)
    for name in ("fromfile", "memmap", "load"):
        operations.watch(np, name, failing)
    operations.watch(os, "read", failing)
    opened = builtins.open

    def open_file(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if not WRITING & set(mode) and operations.pass_by(f"open to read {_named((file,))}"):
            return failing(opened, file, mode, *arguments, **options)
        return opened(file, mode, *arguments, **options)

    builtins.open = open_file


def gdal_failure(function: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    """As GDAL does it when a block cannot be read."""
    gdal.Error(gdal.CE_Failure, gdal.CPLE_FileIO, "an imitated read error")


def watch_gdal_writing(operations: Operations, failing: Callable[..., Any]) -> None:
    """The calls by which pixels, tables and rows are handed to GDAL and SQLite."""
    operations.watch(gdal.Band, "WriteArray", failing)
    operations.watch(gdal.Driver, "Create", failing)
    operations.watch(gdal.RasterAttributeTable, "WriteArray", failing)
    operations.watch(gdal.Dataset, "FlushCache", failing)
    operations.watch(sqlite3, "connect", failing)


def kill(what: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def removing(*folders: Path) -> Callable[[str], None]:
    """Remove folders with all that is in them, as somebody might who takes them for rubbish."""

    def remove(what: str) -> None:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    return remove


def watch_moves(operations: Operations, failing: Callable[..., Any]) -> None:
    """What Windows refuses of a file that another program has open."""
    for name in ("replace", "rename", *REMOVING):
        operations.watch(os, name, failing)


def limit_memory(more: int) -> None:
    """Let this process have so many bytes of address space more than it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def limit_files(most: int) -> None:
    """Let no file of this process become longer than so many bytes: a write beyond fails, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def lift_limits() -> None:
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE):
        resource.setrlimit(kind, (resource.getrlimit(kind)[1],) * 2)


def set_the_clock_back(seconds: float) -> None:
    """From now on each look at the clock of the day shows an earlier time; that of the system itself goes on."""
    now = time.time()
    looks: Dict[str, int] = {"number": 0}

    def earlier() -> float:
        looks["number"] += 1
        return now - seconds * looks["number"]

    time.time = earlier
