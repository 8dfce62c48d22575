# SPDX-License-Identifier: GPL-2.0-or-later
"""Who uses a folder: a file in it that its owner holds locked, so that what a killed run left is known.

The system gives up a lock when its holder ends, however that was. Where a file system has no locks, the process id in
the file decides, on the machine that wrote it.
"""

import errno
import json
import os
import re
import socket
import stat
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple, Union

from .foreign import belongs_to_this_user, is_real_folder, is_regular

OWNER = "tiledseg-owner.json"
MADE_BY_MKDTEMP = re.compile(r"^\.?tiledseg-[a-z0-9_]{8}$")
HALF_MADE_SECONDS = 60.0
LOCKED_BYTE = 1 << 20  # behind the text, which others must be able to read
MOST_MARK_BYTES = 4096
MARK = b'{"pid"'  # how a mark begins
Finish = Callable[[Path], bool]


class Occupied(Exception):
    """Another run uses the folder; as part of a sentence, who."""


class Ownership:
    """The mark of this run in a folder, until `release`.

    Raises
    ------
    Occupied : another run is at work there
    OSError : the folder cannot be written to, or something else lies under the name of the mark
    """

    def __init__(self, folder: Union[str, Path]) -> None:
        self._path = Path(folder) / OWNER
        self._file: Optional[int] = None
        while self._file is None:
            self._file = self._take()

    def _take(self) -> Optional[int]:
        """The open file, or None if it went away meanwhile."""
        file = _open_mark(self._path, os.O_RDWR | os.O_CREAT)
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

    def release(self) -> None:
        """Take the mark away; one that cannot be removed is nobody's any more. Raises nothing."""
        if self._file is None:
            return
        if sys.platform == "win32":  # an open file cannot be removed there
            self.leave()
            self._remove_mark()
        else:
            self._remove_mark()
            self.leave()

    def _remove_mark(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def leave(self) -> None:
        """Give the folder up with the mark in it, by which `remove_abandoned` knows that nobody uses it."""
        if self._file is None:
            return
        file, self._file = self._file, None
        with suppress(OSError):
            os.ftruncate(file, 0)
            os.lseek(file, 0, os.SEEK_SET)
            os.write(file, b"{}")  # nobody's, also where the process id decides
        os.close(file)

    def remove_folder(self) -> None:
        """Remove the folder with all that is in it; what cannot be removed now keeps the mark, for the next run."""
        if _remove_all_but_the_mark(self._path.parent):
            self.release()
            with suppress(OSError):
                self._path.parent.rmdir()
        else:
            self.leave()


def is_occupied(folder: Union[str, Path]) -> bool:
    """Whether somebody holds the mark of a folder now."""
    path = Path(folder) / OWNER
    try:
        return path.exists() and not _is_abandoned(path)
    except OSError:
        return False


def make_owned_folder(parent: Union[str, Path], prefix: str) -> Tuple[Path, Ownership]:
    """A new folder for a run, which is marked as its own.

    Returns
    -------
    folder : Path
    ownership : Ownership

    Raises
    ------
    OSError : the parent cannot be written to
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            return folder, Ownership(folder)
        except (FileNotFoundError, Occupied):  # another run took it, without a mark, for one that is left over
            if not Path(parent).is_dir():
                raise
        except OSError:
            remove_folder_of_another(folder)
            raise


def remove_folder_of_another(folder: Union[str, Path]) -> None:
    """As `Ownership.remove_folder`, of a folder whose owner is known to be gone."""
    folder = Path(folder)
    if _remove_all_but_the_mark(folder):
        with suppress(OSError):
            (folder / OWNER).unlink(missing_ok=True)
            folder.rmdir()


def _remove_all_but_the_mark(folder: Path) -> bool:
    """Whoever is killed meanwhile leaves what `remove_abandoned` knows. Whether all could be removed."""
    try:
        found = [path for path in folder.iterdir() if path.name != OWNER]
    except FileNotFoundError:
        return True
    except OSError:
        return False
    removed = [_remove(path) for path in found]  # every one is tried
    return all(removed)


def _remove(path: Path) -> bool:
    """Remove a file, or a folder with what is in it, if it can be had; whether it is gone."""
    with suppress(OSError):
        is_folder = path.is_dir() and not path.is_symlink()
        for inner in list(path.iterdir()) if is_folder else []:
            _remove(inner)
        remove = path.rmdir if is_folder else path.unlink
        try:
            remove()
        except OSError:  # on Windows a file that is read-only cannot be removed
            if not path.is_symlink():  # or what it leads to would be changed
                path.chmod(0o700)
            remove()
    return not os.path.lexists(path)


def remove_abandoned(parent: Union[str, Path], prefix: str, finish: Optional[Finish] = None) -> None:
    """Remove the folders that killed runs left in `parent`; those of others are not touched.

    Parameters
    ----------
    prefix : that was given to `make_owned_folder`
    finish : called with such a folder, which nobody else takes up meanwhile, to save what is in it; returns whether
        the rest may be removed
    """
    try:
        found = [Path(entry.path) for entry in os.scandir(parent) if entry.name.startswith(prefix)]
    except OSError:
        return
    for folder in found:
        if not MADE_BY_MKDTEMP.match(folder.name) or not is_real_folder(folder):
            continue
        try:
            if not os.path.lexists(folder / OWNER):
                folder.rmdir()  # does nothing to one with files in it; one that is being made is made again
            elif is_regular(folder / OWNER) and belongs_to_this_user(folder) and _is_abandoned(folder / OWNER):
                _take_up(folder, finish)
        except (OSError, Occupied):
            continue


def _begins_a_mark(head: bytes) -> bool:
    """Also if it was half written, or emptied, or is nobody's, or holds what a power cut has left of it."""
    return head.startswith(MARK) or MARK.startswith(head) or not head.strip(b"\0") or head == b"{}"


def _take_up(folder: Path, finish: Optional[Finish]) -> None:
    ownership = Ownership(folder)
    done = False
    try:
        done = finish is None or finish(folder)
    finally:
        if done:
            ownership.remove_folder()
        else:
            ownership.leave()


def _is_old(path: Path) -> bool:
    """Also if it is of the future, as after the clock has been set back."""
    return abs(time.time() - path.stat().st_mtime) > HALF_MADE_SECONDS


def _open_mark(path: Path, flags: int) -> int:
    """The file of a mark; a link in its place is not followed, and no file of another content is written into."""
    if path.is_symlink():
        raise OSError(errno.EEXIST, f"its {OWNER} is a link", str(path))
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    file = os.open(path, flags, 0o666)
    try:
        status = os.fstat(file)
        if stat.S_ISREG(status.st_mode) and status.st_size <= MOST_MARK_BYTES and _begins_a_mark(os.read(file, 16)):
            return file
    except OSError:  # a lock that Windows has on it
        os.close(file)
        raise
    os.close(file)
    raise OSError(errno.EEXIST, f"its {OWNER} is not ours", str(path))


def _is_abandoned(path: Path) -> bool:
    file = _open_mark(path, os.O_RDWR)
    try:
        locked = _lock(file)
        if locked is not None:
            return locked
        is_being_made = not path.stat().st_size and not _is_old(path)
        return not is_being_made and not _lives(_read(file))
    finally:
        os.close(file)


def _lock(file: int) -> Optional[bool]:
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


def _is_same_file(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False


def _read(file: int) -> Dict[str, Any]:
    try:
        os.lseek(file, 0, os.SEEK_SET)
        found = json.loads(os.read(file, MOST_MARK_BYTES) or b"{}")
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _lives(owner: Dict[str, Any]) -> bool:
    """Whether the process is there; one on another machine is taken to be."""
    if not owner:
        return False
    if owner.get("host") != socket.gethostname() or sys.platform == "win32":
        return True
    pid = owner.get("pid")
    if type(pid) is not int or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _describe(owner: Dict[str, Any]) -> str:
    if not owner:
        return "another run"
    return f"the run of process {owner.get('pid')} on {owner.get('host')}"
