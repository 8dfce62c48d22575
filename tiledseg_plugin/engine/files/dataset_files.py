# SPDX-License-Identifier: GPL-2.0-or-later
"""Which files a dataset consists of, so that nothing writes over one of them, and when two names are one file.

A dataset is given as GDAL, OGR and QGIS name it: a path, `/vsizip/...`, `GPKG:file.gpkg:table`, `file|layername=x`. Its
files are the one that is named, or that holds what is named; what a VRT refers to, through further VRTs, there or not;
and what lies beside each of them and belongs to it.
"""

import html
import os
import re
import sys
import threading
import time
import unicodedata
from collections import OrderedDict
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Optional, Set, Tuple
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from osgeo import gdal

from .foreign import is_endless
from .gdal_access import collected_errors
from .on_windows import without_long_prefix

HEAD_BYTES = 4096
MOST_VRT_BYTES = 1 << 28
REFERRING = (b"<VRTDataset", b"<OGRVRTDataSource", b"<GDALTileIndexDataset")  # how files begin that name others
SOURCE = re.compile(r"<(SourceFilename|SourceDataset|SrcDataSource|IndexDataset)\b([^<>]*)>", re.I)
RELATIVE = re.compile(r"relativeToVRT\s*=\s*[\"']\s*(1|true|yes|on)", re.I)
CDATA = re.compile(r"^\s*<!\[CDATA\[(.*)\]\]>\s*$", re.S)
DATABASE = re.compile(r"\bdbname=(?:'((?:[^'\\]|\\.)*)'|\"([^\"]*)\"|(\S+))")
VIRTUAL = re.compile(r"^/vsi(zip|gzip|tar|7z|rar|subfile|sparse|crypt|cached)(?:_streaming)?/(.*)$", re.S)
MOST_REMEMBERED = 4  # datasets
UNCERTAIN_NS = 3_000_000_000  # a file changed less than this before may change again and keep its time: FAT counts 2 s
WHOLE_NAME = (".", "-")  # what follows the whole name of a file in that of its side file: a.tif.ovr, a.gpkg-wal


@lru_cache(maxsize=256)
def ignores_case(folder: str) -> bool:
    """Whether names that differ by case only are one file in a folder, as on most disks of Windows and macOS."""
    if sys.platform == "win32":
        return True
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            other = os.path.join(folder, entry.name.swapcase())
            if other != entry.path:
                return os.path.exists(other) and os.path.samefile(entry.path, other)
    parent, name = os.path.split(folder.rstrip(os.sep))
    other = os.path.join(parent, name.swapcase())
    return bool(name) and other != folder and os.path.exists(other) and os.path.samefile(folder, other)


class FileKeys:
    """Keys of files: all names of one file have one in common, be it there or not. Each folder is looked at once."""

    def __init__(self) -> None:
        self._folders: Dict[str, Tuple[str, bool]] = {}

    def of(self, path: str) -> Set[str]:
        """The file's place and, of a link, its target's."""
        absolute = os.path.abspath(without_long_prefix(path))
        keys = {self._key(absolute)}
        if os.path.islink(absolute):
            keys.add(self._key(without_long_prefix(os.path.realpath(absolute))))
        return keys

    def _key(self, absolute: str) -> str:
        folder, name = os.path.split(absolute)
        if folder not in self._folders:
            self._folders[folder] = _real_folder(folder)
        real, without_case = self._folders[folder]
        key = os.path.join(real, name if name.isascii() else unicodedata.normalize("NFC", name))
        return key.casefold() if without_case else key

    def are_unchanged(self) -> bool:
        """Whether the folders are still the same ones: no link has got another target."""
        return all(_real_folder(folder) == known for folder, known in list(self._folders.items()))


def _real_folder(folder: str) -> Tuple[str, bool]:
    """Where a folder is, and whether case does not count in it."""
    real = without_long_prefix(os.path.realpath(folder))
    return unicodedata.normalize("NFC", real), ignores_case(real)


def _state(path: str) -> Optional[Tuple[int, int, int, int]]:
    """Device, number, time of change and size: what differs if a file is another or has changed; None for no file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _identity(path: str) -> Tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


class FileSet:
    """Files by all their names: relative and absolute, links of both kinds, and case where it does not count."""

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self.names = FileKeys()
        self._keys: Set[str] = set()
        self._identities: Set[Tuple[int, int]] = set()
        for path in paths:
            self.add(path)

    def add(self, path: str) -> None:
        self._keys |= self.names.of(path)
        with suppress(OSError):
            self._identities.add(_identity(path))

    def __contains__(self, path: str) -> bool:
        if self._keys & self.names.of(path):
            return True
        try:
            return _identity(path) in self._identities
        except OSError:
            return False


_remembered: "OrderedDict[Tuple[str, str], _Files]" = OrderedDict()
_remembering = threading.Lock()


class Dataset:
    """An input with all its files.

    Parameters
    ----------
    name : id of the parameter, for messages
    source : what GDAL, OGR or QGIS opens; the files of a dataset that does not open are those in its name
    """

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source = name, source
        self._files = _files_of(source)

    def holds(self, path: str) -> bool:
        """Whether a file is one of the dataset, or lies in a folder that is the dataset."""
        return self._files.hold(path)


def _files_of(source: str) -> "_Files":
    """The files of a dataset; those of the last few are remembered, and looked at again only if one has changed.

    A run in QGIS checks its files when the dialog asks, when the run is prepared and when it starts, and a VRT of many
    thousand sources takes seconds each time.
    """
    key = source, os.getcwd()
    with _remembering:
        known = _remembered.pop(key, None)
    if known is None or not known.are_unchanged():
        known = _Files(source)
    with _remembering:
        _remembered[key] = known
        while len(_remembered) > MOST_REMEMBERED:
            _remembered.popitem(last=False)
    return known


class _Files:
    """The files of a dataset, as they were when it was looked at."""

    def __init__(self, source: str) -> None:
        begun = time.time_ns()
        named, only_on_disk = _with_sources(source)
        self._folders = FileSet(path for path in named if os.path.isdir(path))
        self._files = FileSet(dict.fromkeys([*named, *listed_files(source)]))
        self._names = FileKeys()
        self._siblings: Dict[str, List[str]] = {}
        for path in named:
            for key in self._beginnings(path):
                self._siblings.setdefault(key, []).append(path)
        self._states = {path: _state(path) for path in named}
        latest = max((state[2] for state in self._states.values() if state), default=0)
        self._may_be_kept = only_on_disk and latest < begun - UNCERTAIN_NS

    def are_unchanged(self) -> bool:
        """Whether looking at the dataset again would find the same."""
        keys = (self._names, self._folders.names, self._files.names)
        return (
            self._may_be_kept
            and all(_state(path) == state for path, state in self._states.items())
            and all(names.are_unchanged() for names in keys)
        )

    def hold(self, path: str) -> bool:
        """See `Dataset.holds`."""
        return path in self._files or self._is_beside(path) or self._is_inside(path)

    def _beginnings(self, path: str) -> Set[str]:
        """What the names of a file and its side files have in common: the folder, and what is before the first dot."""
        folder, name = os.path.split(os.path.abspath(path))
        return {key + os.sep + name.split(".")[0].casefold() for key in self._names.of(folder)}

    def _is_beside(self, path: str) -> bool:
        """Whether a file belongs to one of those that are named: GDAL is only asked where its name suggests it."""
        absolute = os.path.abspath(path)
        name = os.path.basename(absolute).casefold()
        there = os.path.exists(absolute)
        for sibling in {sibling for key in self._beginnings(absolute) for sibling in self._siblings.get(key, ())}:
            own = os.path.basename(sibling).casefold()
            if name.startswith(tuple(own + mark for mark in WHOLE_NAME)):
                return True
            alike = there and os.path.splitext(own)[0] == os.path.splitext(name)[0]
            if alike and absolute in FileSet(listed_files(sibling)):
                return True
        return False

    def _is_inside(self, path: str) -> bool:
        return any(str(parent) in self._folders for parent in Path(os.path.abspath(path)).parents)


def listed_files(source: str) -> List[str]:
    """The files on disk that GDAL lists for a dataset, side files too; those that a VRT itself names; may be empty."""
    if is_endless(source.split("|")[0]):
        return []
    with collected_errors():
        dataset = gdal.OpenEx(source.split("|")[0], gdal.OF_RASTER | gdal.OF_VECTOR)
        listed = [] if dataset is None else dataset.GetFileList() or []
        del dataset
    return [path for name in listed for path in paths_in(name)]


def _with_sources(source: str) -> Tuple[List[str], bool]:
    """The files in a name, and what they refer to if they are VRTs, and so on; and whether all of them are on disk."""
    found: List[str] = []
    only_on_disk = True
    seen: Set[str] = set()
    pending = [(source, "")]
    while pending:
        given, folder = pending.pop()
        text = _resolved(given, folder)
        if text in seen:
            continue
        seen.add(text)
        paths = paths_in(given, folder)
        only_on_disk = only_on_disk and bool(paths or text.startswith("<"))
        found += paths
        for path in dict.fromkeys([text, *paths]):
            pending += _sources_of(path)
    return list(dict.fromkeys(found)), only_on_disk


def _resolved(path: str, folder: str) -> str:
    if not folder or os.path.isabs(path) or path.startswith(("/vsi", "<")):
        return path
    return os.path.join(folder, path)


def _sources_of(path: str) -> List[Tuple[str, str]]:
    """What a VRT refers to, as (name, folder that it is relative to or empty); nothing for any other file."""
    if path.lstrip().startswith("<"):
        content, folder = path, ""
    else:
        content, folder = _referring(path), os.path.dirname(path)
    return [
        (_plain(text), folder if RELATIVE.search(attributes) else "")
        for attributes, text in _elements(content)
        if text.strip()
    ]


def _elements(content: str) -> Iterator[Tuple[str, str]]:
    """(attributes, content) of the elements that name other files; each character is looked at a few times at most."""
    never_closed: Set[str] = set()
    opening = SOURCE.search(content)
    while opening is not None:
        name, attributes = opening.group(1).lower(), opening.group(2)
        end = opening.end()
        if name not in never_closed and not attributes.endswith("/"):
            closing = re.compile(rf"</{name}\s*>", re.I).search(content, end)
            if closing is None:
                never_closed.add(name)
            else:
                yield attributes, content[end : closing.start()]
                end = closing.end()
        opening = SOURCE.search(content, end)


def _plain(text: str) -> str:
    literal = CDATA.match(text)
    return literal.group(1) if literal else html.unescape(text).strip()


def _referring(path: str) -> str:
    """The text of a file that names others; empty for any other."""
    if is_endless(path):
        return ""
    with collected_errors():
        file = gdal.VSIFOpenL(path, "rb")
        if file is None:
            return ""
        try:
            head = bytes(gdal.VSIFReadL(1, HEAD_BYTES, file) or b"")
            if not any(beginning in head for beginning in REFERRING):
                return ""
            return (head + bytes(gdal.VSIFReadL(1, MOST_VRT_BYTES, file) or b"")).decode("utf-8", "replace")
        finally:
            gdal.VSIFCloseL(file)


def paths_in(source: str, folder: str = "") -> List[str]:
    """The files in the name of a dataset: itself, or what holds it.

    Parameters
    ----------
    folder : that relative names are relative to; empty for the current one
    """
    text = source.strip()
    if not text or text.startswith("<"):
        return []
    database = DATABASE.search(text)
    if database:
        text = next(group for group in database.groups() if group is not None).replace("\\'", "'")
    if text.startswith("vrt://"):
        return paths_in(text[len("vrt://") :].split("?")[0], folder)
    if text.startswith("file:"):
        text = url2pathname(unquote(urlsplit(text.split("|")[0]).path))
    if text.startswith("/vsi"):
        return _container_of_virtual(text, folder)
    for candidate in (text, text.split("|")[0], text.split("?")[0]):
        if os.path.exists(_resolved(candidate, folder)):
            return [_resolved(candidate, folder)]
    text = text.split("|")[0]
    within = _container_of_part(text, folder)
    return within or [_resolved(text, folder)]


def _container_of_part(text: str, folder: str) -> List[str]:
    """The file in a name such as NETCDF:"file.nc":variable or GTIFF_DIR:2:C:\\file.tif; the longest that is there."""
    if ":" not in text:
        return []
    pieces = [piece.strip('"') for piece in text.split(":")]
    spans = [
        ":".join(pieces[first:last])
        for first in range(len(pieces))
        for last in range(first + 1, len(pieces) + 1)
        if last - first < len(pieces)
    ]
    spans.sort(key=len, reverse=True)
    for span in spans:
        if span.startswith("/vsi"):
            return _container_of_virtual(span, folder)
        if span.strip("/\\") and os.path.exists(_resolved(span, folder)):
            return [_resolved(span, folder)]
    return []


def _container_of_virtual(path: str, folder: str) -> List[str]:
    """The archive on disk that a /vsi path leads into; nothing where it leads elsewhere, to memory or the network."""
    text = path
    while text.startswith("/vsi"):
        match = VIRTUAL.match(text)
        if match is None:
            return []
        handler, text = match.groups()
        if handler == "subfile":
            text = text.partition(",")[2]
        elif handler == "cached":
            text = unquote(text.partition("file=")[2].split("&")[0])
        elif text.startswith("{"):
            text = text[1:].partition("}")[0]
        if text.startswith("vsi"):
            text = "/" + text
    text = _resolved(text, folder)
    held = text
    while held and not os.path.exists(held) and os.path.dirname(held) != held:
        held = os.path.dirname(held)
    return [held] if held and os.path.isfile(held) else [text]
