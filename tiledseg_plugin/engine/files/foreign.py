# SPDX-License-Identifier: GPL-2.0-or-later
"""What lies in a folder may have been put there by somebody else: read as plain data, or taken for none of ours.

A work folder, a staging folder or a side file may come with a raster out of an archive, or stand in a folder that all
users share. Nothing of it is executed, no link in it is followed, and nothing named in it is touched elsewhere.
"""

import errno
import json
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Union

MOST_JSON_BYTES = 1 << 26


def load_json(path: Union[str, Path]) -> Any:
    """What a JSON file holds.

    Raises
    ------
    ValueError : it is no JSON, or none that this program would write
    OSError : see `open_file`
    """
    with open_file(path) as file:
        if os.fstat(file.fileno()).st_size > MOST_JSON_BYTES:
            raise ValueError(f"{path} is too long")
        content = file.read()
    return parse_json(content.decode("utf-8"))


def parse_json(text: str) -> Any:
    """What a JSON text says; ValueError for any other."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def open_file(path: Union[str, Path]) -> BinaryIO:
    """A file, open for reading.

    Raises
    ------
    OSError : it is not there, or no file: a pipe would have to be waited for, and a device has no end
    """
    file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 - the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no file", str(path))
    return file


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def is_plain_name(name: Any) -> bool:
    """Whether a text names a file in a folder, and neither another folder nor a drive."""
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and not {os.sep, os.altsep or os.sep, "\0"} & set(name)
        and not os.path.splitdrive(name)[0]
    )


def is_regular(path: Union[str, Path]) -> bool:
    """Whether a file is there, and no link, folder, pipe or device under its name."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def is_endless(path: Union[str, Path]) -> bool:
    """Whether under a name, or where a link leads, there is a pipe or a device, which GDAL would read for ever."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def is_real_folder(path: Union[str, Path]) -> bool:
    """Whether a folder is there, and no link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def belongs_to_this_user(path: Path) -> bool:
    """Whether a folder is this user's own, where the system has users.

    A disk may ascribe all files to one user; then a new file beside it is ascribed to the same.
    """
    if not hasattr(os, "geteuid"):
        return True
    try:
        owner = os.lstat(path).st_uid
    except OSError:
        return False
    if owner == os.geteuid():
        return True
    with suppress(OSError), tempfile.TemporaryFile(dir=path.parent) as file:
        return os.fstat(file.fileno()).st_uid == owner
    return False
