# SPDX-License-Identifier: GPL-2.0-or-later
"""Outputs appear whole or not at all: they are written in a folder beside them and moved when all is done."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from .errors import SegmentationError, why
from .ownership import OWNER, Ownership, remove_abandoned

STAGING = ".tiledseg-"
SIDE_FILES = (".aux.xml", ".ovr", ".msk")  # after the whole name
SIDE_EXTENSIONS = (".ige", ".rrd")  # instead of the extension, HFA's
ATTRIBUTES_SUFFIX = "_attributes.gpkg"


def attributes_path(output):
    """Where the attribute table of an output lies whose format cannot hold it."""
    return str(Path(output).with_name(Path(output).stem + ATTRIBUTES_SUFFIX))


def side_files(output):
    """The files that belong to an output besides itself, there or not."""
    target = Path(output)
    paths = [Path(str(target) + suffix) for suffix in SIDE_FILES]
    if target.suffix.lower() == ".img":
        paths += [target.with_suffix(suffix) for suffix in SIDE_EXTENSIONS]
    if target.suffix.lower() in (".tif", ".tiff"):
        paths.append(Path(attributes_path(target)))
    return paths


@contextmanager
def staging(output, name="OUTPUT"):
    """A folder beside the output, gone at the end."""
    target = Path(output).absolute()
    remove_abandoned(target.parent, STAGING)
    try:
        folder = tempfile.mkdtemp(prefix=STAGING, dir=target.parent)
        ownership = Ownership(folder)
    except OSError as error:
        raise SegmentationError(
            f"The folder {target.parent} of {name} cannot be written to ({why(error)}): choose another."
        ) from error
    try:
        yield Path(folder)
    finally:
        ownership.remove_folder()


@contextmanager
def publishing(output, name="OUTPUT", replaced=side_files):
    """A path to write at; what stands there in the end, side files too, becomes the output.

    Parameters
    ----------
    name : id of the parameter, for messages
    replaced : function of the path, what else of an earlier output goes away
    """
    target = Path(output).absolute()
    with staging(output, name) as folder:
        yield str(folder / target.name)
        try:
            _replace(folder, target, replaced(target))
        except OSError as error:
            raise SegmentationError(
                f"{name} {target} cannot be replaced ({error.filename}: {why(error)}): close it in other programs, "
                "check that its files may be changed, or choose another."
            ) from error


def _replace(folder, target, replaced):
    """Move what is in the folder to the target's; on an error, what was there before is there again."""
    new = sorted(path for path in folder.iterdir() if path.name not in (target.name, OWNER))
    old = {path for path in [*replaced, *(target.parent / path.name for path in new)] if os.path.lexists(path)}
    if target.is_dir() or any(path.is_dir() for path in old):
        blocking = next(path for path in [target, *sorted(old)] if path.is_dir())
        raise IsADirectoryError(0, "it is a folder", str(blocking))
    kept = folder / ".replaced"
    kept.mkdir()
    placed = []
    try:
        for path in sorted(old):
            os.replace(path, kept / path.name)
        for path in new:
            os.replace(path, target.parent / path.name)
            placed.append(target.parent / path.name)
        if (folder / target.name).exists():
            os.replace(folder / target.name, target)
    except OSError:
        for path in placed:
            path.unlink()
        for path in kept.iterdir():
            os.replace(path, target.parent / path.name)
        raise
