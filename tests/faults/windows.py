# SPDX-License-Identifier: GPL-2.0-or-later
"""How files behave on Windows, imitated: what is open can neither be removed, replaced nor renamed; locks; names."""

import errno
import ntpath
import os
import types
from pathlib import Path
from typing import Callable, Dict, List, Set, Tuple

READ_ONLY = 0o200  # of the owner's bits: whether it may be written to


def held_here() -> Set[str]:
    """The files that this process has open, or mapped into memory (Linux)."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:  # that of this listing
            continue
    for line in Path("/proc/self/maps").read_text().splitlines():
        found.add(line.split(maxsplit=5)[-1])
    return found


class OpenFilesStay:
    """In place of functions of `os`. What it has refused is in `refused`."""

    def __init__(self, monkeypatch, below: Path):
        self._below, self.refused = str(below), []  # type: str, List[Tuple[str, str]]
        for name in ("replace", "rename", "unlink"):
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name)))

    def _wrap(self, name: str, function: Callable) -> Callable:
        def call(*arguments, **options):
            for path in map(os.path.abspath, map(os.fspath, arguments)):
                if path.startswith(self._below):
                    self._look(name, path)
            target = arguments[-1]
            read_only = os.path.isfile(target) and not os.stat(target).st_mode & READ_ONLY
            if read_only and (name == "unlink" or (name == "replace" and not _same(*arguments))):
                self._refuse(name, os.fspath(target), "it is read-only")
            return function(*arguments, **options)

        return call

    def _look(self, name: str, path: str) -> None:
        inside = os.path.isdir(path)
        for held in held_here():
            if held == path or (inside and held.startswith(path + os.sep)) or _is_second_name(path, held):
                self._refuse(name, held, "it is open in another program")

    def _refuse(self, name: str, path: str, why: str) -> None:
        self.refused.append((name, path))
        raise PermissionError(errno.EACCES, why, path)


def _is_second_name(path: str, held: str) -> bool:
    """A file that is held under one of its names can be removed under none."""
    if not os.path.isfile(path) or os.lstat(path).st_nlink == 1 or not os.path.isfile(held):
        return False
    return os.path.samestat(os.lstat(path), os.lstat(held))


def _same(one, other) -> bool:
    return os.path.abspath(one) == os.path.abspath(other)


def fake_msvcrt() -> types.ModuleType:
    """Locks of a byte that hold against other handles of the same process, too, as they do there."""
    module = types.ModuleType("msvcrt")
    holders: Dict[Tuple[int, int], int] = {}
    module.LK_NBLCK = 2

    def locking(file: int, mode: int, count: int) -> None:
        status = os.fstat(file)
        key = status.st_dev, status.st_ino
        holder = holders.get(key)
        if holder is not None and holder != file and _is_open(holder, key):
            raise OSError(errno.EACCES, "Permission denied")
        holders[key] = file

    module.locking = locking
    return module


def _is_open(file: int, key: Tuple[int, int]) -> bool:
    try:
        status = os.fstat(file)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == key


class Disks:
    """`os` for a module that compares paths: that of Windows, with files of which only the names are known."""

    def __init__(self, files: List[str], folder: str = "C:\\Users\\me"):
        self._folder = folder
        self._files = {self._norm(name) for name in files}
        self.path = types.SimpleNamespace(**{name: getattr(ntpath, name) for name in dir(ntpath) if name[0] != "_"})
        self.path.abspath = self.path.realpath = self._absolute
        self.path.exists = self.path.isfile = self.path.lexists = lambda path: self._norm(path) in self._files
        self.path.isdir = lambda path: any(name.startswith(self._norm(path) + "\\") for name in self._files)
        self.path.islink = lambda path: False
        self.sep, self.altsep = "\\", "/"

    def _absolute(self, path: str) -> str:
        return ntpath.normpath(ntpath.join(self._folder, path))

    def _norm(self, path: str) -> str:
        return self._absolute(path).lower()

    def stat(self, path: str, **options):
        raise FileNotFoundError(errno.ENOENT, "there is none here", path)
