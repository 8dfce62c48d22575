# SPDX-License-Identifier: GPL-2.0-or-later
"""Earlier files while new ones take their places: at each moment a name has the whole of the one or of the other.

An earlier file gets a second name in the staging folder, as a hard link, and the new one replaces it at its own name.
Only where there are no hard links (FAT, some network drives) is it moved, and its name has nothing for that moment.
The second names go if somebody removes the staging folder then; what they led to is written again (`HeldOpen`).
"""

import os
import shutil
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Dict, Optional

from .on_windows import replace_file
from .ownership import make_owned_folder

STAGING = ".tiledseg-"
NOT_FOLLOWED = {"follow_symlinks": False} if getattr(os, "link", None) in os.supports_follow_symlinks else {}


class HeldOpen:
    """Files that are held open, so that they can be written again if somebody removes their last names.

    None is on Windows, where what is open cannot be replaced.
    """

    def __init__(self) -> None:
        self._files: Dict[Path, int] = {}

    def __bool__(self) -> bool:
        return bool(self._files)

    def hold(self, path: Path) -> None:
        """Hold one more; not one that may not be read, nor what is no file."""
        if sys.platform != "win32" and path not in self._files:
            with suppress(OSError):
                self._files[path] = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)

    def release(self) -> None:
        """Let go of all."""
        while self._files:
            os.close(self._files.popitem()[1])

    def restore(self, path: Path) -> bool:
        """Write a file again that is no more at its place, if that can be done; whether it has been."""
        if path not in self._files:
            return False
        try:
            return _write_again(self._files[path], path)
        except OSError:
            return False


def set_aside(path: Path, aside: Path, held: HeldOpen) -> None:
    """Give a file a second name, under which it stays when its own is given to another; else move it there.

    Raises
    ------
    OSError : it cannot be moved either; on Windows, another program holds it open
    """
    if sys.platform == "win32":
        replace_file(path, path)  # a link to a file that is held could be made, but not be removed again
    if not _must_be_moved(path):
        try:
            os.link(path, aside, **NOT_FOLLOWED)
            return
        except (OSError, NotImplementedError, AttributeError):  # of a file system, or a system, without hard links
            pass
    held.hold(path)
    replace_file(path, aside)


def _must_be_moved(path: Path) -> bool:
    """Whether nothing can take a file's name while it has it: Windows replaces none that is read-only."""
    return sys.platform == "win32" and not os.lstat(path).st_mode & stat.S_IWRITE


def put_in_place(source: Path, path: Path, aside: Optional[Path] = None) -> None:
    """Give a file a name, which it may have already; the other one goes.

    Parameters
    ----------
    aside : where the earlier file of this name has been `set_aside`

    Raises
    ------
    OSError : it cannot be done
    """
    if is_one_file(source, path):
        source.unlink()  # as nothing happens to two names of one file if one is replaced by the other
        return
    try:
        replace_file(source, path)
    except PermissionError:
        if sys.platform != "win32" or aside is None or not is_one_file(aside, path):
            raise
        aside.unlink()
        replace_file(path, aside)  # what other programs have open can be moved at times, though not be replaced
        replace_file(source, path)


def is_one_file(one: Path, other: Path) -> bool:
    """Whether two names are those of one file."""
    return os.path.lexists(one) and os.path.lexists(other) and os.path.samestat(os.lstat(one), os.lstat(other))


def _write_again(file: int, path: Path) -> bool:
    """Whether it was necessary."""
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or (os.path.lexists(path) and os.path.samestat(status, os.lstat(path))):
        return False
    folder, ownership = make_owned_folder(path.parent, STAGING)
    copy = folder / path.name
    try:
        with open(file, "rb", closefd=False) as source, open(copy, "xb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
        copy.chmod(stat.S_IMODE(status.st_mode))
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
        replace_file(copy, path)
    finally:
        ownership.remove_folder()
    return True
