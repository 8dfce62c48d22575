# SPDX-License-Identifier: GPL-2.0-or-later
"""Odd rasters: names and places of files."""

import os
from functools import partial
from pathlib import Path

from .making import Made, UnavailableError, everywhere, odd, scene, tif, with_hole

NAMES = (
    "with spaces .tif",
    "größe und öl.tif",
    "gro\u0308\u00dfe.tif",
    "地図.tif",
    "\U0001f5fa.tif",
    "a#b.tif",
    "a?b=c&d.tif",
    "100%.tif",
    "%20.tif",
    "it's.tif",
    'say "so".tif',
    "a;b|c.tif",
    "a:b.tif",
    "a,b.tif",
    "$HOME `date` $(date).tif",
    "back\\slash.tif",
    "-dash.tif",
    "--help",
    "<in>.tif",
    "{in}.tif",
    "[1-3]*.tif",
    "two\nlines.tif",
    "tab\there.tif",
    "no extension",
    "UPPER.TIF",
    "in.tif.",
    ".hidden.tif",
    "in.png",
    "in.tar.gz",
    "in.aux.xml.tif",
    "tiledseg-2.0.tif",
    "segments_attributes.tif",
    "n" * 200 + ".tif",
    "n" * 251 + ".tif",
)


def _named(name: str, folder: Path) -> Made:
    try:
        return Made(tif(folder, scene(3), name=name), everywhere())
    except OSError as error:
        raise UnavailableError(f"this file system has no such name: {error}") from error


for _name in NAMES:
    odd(f"name {_name[:30]!r} of {len(_name)}")(partial(_named, _name))


@odd("name of a damaged file with a line break")
def _damaged_lines(folder: Path) -> Made:
    path = folder / "two\nlines.tif"
    path.write_bytes(b"II*\x00")
    return Made(str(path), refused="cannot be opened")


@odd("name that is not UTF-8")
def _not_utf8(folder: Path) -> Made:
    source = tif(folder, scene(2))
    path = os.fsencode(folder) + b"/\xff\xfe.tif"
    try:
        os.rename(source, path)
    except OSError as error:
        raise UnavailableError(f"this file system has no such name: {error}") from error
    return Made(os.fsdecode(path), either=True)


@odd("in folders of 900 letters")
def _deep(folder: Path) -> Made:
    for _ in range(9):
        folder = folder / ("d" * 90 + " ä")
    folder.mkdir(parents=True)
    return Made(tif(folder, scene(2)), everywhere())


@odd("in a folder with odd letters")
def _odd_folder(folder: Path) -> Made:
    folder = folder / "ö #1 100% ?x=y 'q' \"d\""
    folder.mkdir()
    return Made(tif(folder, with_hole(0, 2)), with_hole(0, 2).any(axis=0))


@odd("by a link")
def _link(folder: Path) -> Made:
    (folder / "elsewhere").mkdir()
    (folder / "in.tif").symlink_to(tif(folder / "elsewhere", scene(2)))
    return Made(str(folder / "in.tif"), everywhere())


@odd("by a path with dots in it")
def _dots(folder: Path) -> Made:
    (folder / "sub").mkdir()
    tif(folder, scene(2))
    return Made(f"{folder}/sub/.././/in.tif", everywhere())


@odd("read-only file in a read-only folder")
def _read_only(folder: Path) -> Made:
    (folder / "closed").mkdir()
    path = tif(folder / "closed", scene(2))
    os.chmod(path, 0o400)
    os.chmod(folder / "closed", 0o500)
    return Made(path, everywhere())


@odd("file that nobody may read")
def _unreadable(folder: Path) -> Made:
    path = tif(folder, scene(2))
    os.chmod(path, 0)
    if os.access(path, os.R_OK):  # the superuser may
        return Made(path, everywhere())
    return Made(path, refused="cannot be opened")
