# SPDX-License-Identifier: GPL-2.0-or-later
"""Who works in a folder: a file in it that its owner holds locked, so that what a killed run left can be told apart.

The system gives up a lock when its holder ends, however that was. Where a file system has no locks, the process id in
the file decides, on the machine that wrote it.
"""

import json
import os
import re
import shutil
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

OWNER = "tiledseg-owner.json"
MADE_BY_MKDTEMP = re.compile(r"^\.?tiledseg-[a-z0-9_]{8}$")
HALF_MADE_SECONDS = 60.0
LOCKED_BYTE = 1 << 20  # behind the text, which others must be able to read


class Occupied(Exception):
    """Another run works in the folder; as part of a sentence, who."""


class Ownership:
    """The mark of this run in a folder, until `release`.

    Raises
    ------
    Occupied : another run is at work there
    OSError : the folder cannot be written to
    """

    def __init__(self, folder):
        self._path = Path(folder) / OWNER
        self._file = None
        while self._file is None:
            self._file = self._take()

    def _take(self):
        """The open file, or None if it went away meanwhile."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            locked = _lock(file)
            if locked is False or (locked is None and _lives(_read(file))):
                raise Occupied(_describe(_read(file)))
            if not _is_same_file(file, self._path):  # its last owner has just removed it
                os.close(file)
                return None
            os.ftruncate(file, 0)
            os.lseek(file, 0, os.SEEK_SET)
            os.write(file, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        except BaseException:
            os.close(file)
            raise
        return file

    def release(self):
        """Take the mark away."""
        if self._file is None:
            return
        file, self._file = self._file, None
        if sys.platform == "win32":  # an open file cannot be removed there
            os.close(file)
            self._path.unlink(missing_ok=True)
        else:
            self._path.unlink(missing_ok=True)
            os.close(file)

    def remove_folder(self):
        """Remove the folder with all that is in it."""
        _remove_all_but_the_mark(self._path.parent)
        self.release()
        shutil.rmtree(self._path.parent, ignore_errors=True)


def _remove_all_but_the_mark(folder):
    """Whoever is killed meanwhile leaves what `remove_abandoned` knows."""
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != OWNER:
            with suppress(OSError):
                path.unlink()


def remove_abandoned(parent, prefix):
    """Remove the folders that killed runs left in `parent`; those of others are not touched.

    Parameters
    ----------
    prefix : that was given to `tempfile.mkdtemp`
    """
    try:
        found = [Path(entry.path) for entry in os.scandir(parent) if entry.name.startswith(prefix)]
    except OSError:
        return
    for folder in found:
        if not MADE_BY_MKDTEMP.match(folder.name) or folder.is_symlink():
            continue
        try:
            if not (folder / OWNER).exists():
                if _is_old(folder):
                    folder.rmdir()  # does nothing to one with files in it
            elif _is_abandoned(folder / OWNER):
                _remove_all_but_the_mark(folder)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue


def _is_old(path):
    return time.time() - path.stat().st_mtime > HALF_MADE_SECONDS


def _is_abandoned(path):
    if not path.stat().st_size and not _is_old(path):
        return False  # its owner is about to lock it
    file = os.open(path, os.O_RDWR)
    try:
        locked = _lock(file)
        return locked if locked is not None else not _lives(_read(file))
    finally:
        os.close(file)


def _lock(file):
    """Whether the lock was to be had; None if there are no locks here. It lasts until the file is closed."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_same_file(file, path):
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False


def _read(file):
    try:
        os.lseek(file, 0, os.SEEK_SET)
        return json.loads(os.read(file, 4096) or b"{}")
    except (OSError, ValueError):
        return {}


def _lives(owner):
    """Whether the process is there; one on another machine is taken to be."""
    if not owner:
        return False
    if owner.get("host") != socket.gethostname() or sys.platform == "win32":
        return True
    try:
        os.kill(int(owner.get("pid", 0)), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _describe(owner):
    if not owner:
        return "another run"
    return f"the run of process {owner.get('pid')} on {owner.get('host')}"
