# SPDX-License-Identifier: GPL-2.0-or-later
"""GDAL without global side effects: errors of a block of calls, and opening of datasets.

`gdal.UseExceptions()` would change how every other plugin in the same QGIS sees GDAL, so errors are collected by a
handler that is pushed for a block and popped after it. Each thread has handlers of its own.
"""

import threading
from contextlib import contextmanager
from types import ModuleType
from typing import ContextManager, Iterator, List, Mapping, Sequence, Tuple

from osgeo import gdal, ogr, osr

from ..errors import SegmentationError
from .foreign import is_endless

LONGEST_REASON = 300  # characters; a statement that SQLite refuses names all of its columns
OPENING = {"CPL_VSIL_GZIP_WRITE_PROPERTIES": "NO"}  # or a .gz of the user's is given a side file
CACHE_BYTES = 128_000_000  # every block is read or written once, so more would not help


class _Messages(List[str]):
    """An error handler for GDAL; as a list, the failures that it was called with."""

    def __call__(self, level: int, number: int, text: str) -> None:
        if level >= gdal.CE_Failure:
            self.append(text.strip())


@contextmanager
def collected_errors() -> Iterator[List[str]]:
    """A list that GDAL's failures within the block are added to, instead of stderr; nor are there exceptions."""
    messages = _Messages()
    with _without_exceptions():
        gdal.PushErrorHandler(messages)
        try:
            yield messages
        finally:
            gdal.PopErrorHandler()


def _switch_off(module: ModuleType) -> bool:
    try:
        module.DontUseExceptions()
    except RuntimeError:
        return False
    return True


class _Shared:
    """A setting of the whole process, changed while any thread is within the block, and then put back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0

    def _change(self) -> None:
        raise NotImplementedError

    def _put_back(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                self._change()
            self._users += 1

    def __exit__(self, *raised: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._put_back()


class _WithoutExceptions(_Shared):
    """GDAL's modules do not raise, in any thread.

    For GDAL before 3.7, whose modules cannot be set for one thread only: threads that switched each for itself would
    leave GDAL with a broken handler.
    """

    def __init__(self) -> None:
        super().__init__()
        self._switched_off: List[ModuleType] = []

    def _change(self) -> None:
        # Each of the modules may be set to raise, and this GDAL lets that be undone only in the reverse order.
        raising = [module for module in (gdal, ogr, osr) if module.GetUseExceptions()]
        self._switched_off = []
        while raising and (module := next(filter(_switch_off, raising), None)) is not None:
            raising.remove(module)
            self._switched_off.append(module)

    def _put_back(self) -> None:
        for module in reversed(self._switched_off):
            module.UseExceptions()


@contextmanager
def _without_exceptions_here() -> Iterator[None]:
    """GDAL's modules do not raise in this thread."""
    with gdal.ExceptionMgr(False), ogr.ExceptionMgr(False), osr.ExceptionMgr(False):
        try:
            yield
        finally:
            gdal.ErrorReset()  # nothing collected here is to be raised when exceptions are on again


class _ModestCache(_Shared):
    """GDAL's cache of blocks, one for all of the process, which may take 5 % of the memory, is kept small."""

    def __init__(self) -> None:
        super().__init__()
        self._before = 0

    def _change(self) -> None:
        self._before = gdal.GetCacheMax()
        gdal.SetCacheMax(min(self._before, CACHE_BYTES))

    def _put_back(self) -> None:
        gdal.SetCacheMax(self._before)

    def empty(self) -> None:
        """Give up the blocks that are kept."""
        with self._lock:  # others would take the 0 for what it was before
            most = gdal.GetCacheMax()
            gdal.SetCacheMax(0)
            gdal.SetCacheMax(most)


_everywhere, modest_cache = _WithoutExceptions(), _ModestCache()
# by the first of them, ExceptionMgr counts for one thread only
_of_a_thread = all(hasattr(gdal, name) for name in ("_SetExceptionsLocal", "ExceptionMgr"))


def _without_exceptions() -> ContextManager[None]:
    return _without_exceptions_here() if _of_a_thread else _everywhere


@contextmanager
def _configured(options: Mapping[str, str]) -> Iterator[None]:
    before = {name: gdal.GetThreadLocalConfigOption(name) for name in options}
    for name, value in options.items():
        gdal.SetThreadLocalConfigOption(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            gdal.SetThreadLocalConfigOption(name, value)


def configured(options: Mapping[str, str]) -> ContextManager[None]:
    """GDAL configuration options for the calls of this thread within the block; GDAL before 3.7 lacks the function."""
    return gdal.config_options(options) if hasattr(gdal, "config_options") else _configured(options)


def reason(messages: Sequence[str], otherwise: str = "GDAL gives no reason") -> str:
    """The first failure as part of a sentence."""
    text = " ".join((messages[0] if messages else otherwise).split()).rstrip(".")
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON // 2]} ... {text[-LONGEST_REASON // 2 :]}"


def name_for_people(field: ogr.FieldDefn, name: str) -> None:
    """Give a field another name, which QGIS shows; GDAL has none before 3.2."""
    if hasattr(field, "SetAlternativeName"):
        field.SetAlternativeName(name)


def vectors_in_memory() -> gdal.Dataset:
    """An empty dataset for layers that are needed for a while."""
    driver = "MEM" if int(gdal.VersionInfo()) >= 3110000 else "Memory"  # GDAL 3.11 has made one driver of the two
    return gdal.GetDriverByName(driver).Create("", 0, 0, 0, gdal.GDT_Unknown)


def open_raster(path: str) -> gdal.Dataset:
    """The dataset, read-only.

    Raises
    ------
    SegmentationError : GDAL cannot open it, or it has no band
    """
    if is_endless(path):
        raise SegmentationError(f"{path} is a pipe or a device, not a raster: choose a file.")
    try:
        with collected_errors() as messages, configured(OPENING):
            dataset = gdal.Open(path, gdal.GA_ReadOnly)
    except (RuntimeError, UnicodeError) as error:  # surrogates stand for bytes that are no letters
        shown = path.encode("utf-8", "replace").decode("utf-8")
        raise SegmentationError(f"The path {shown} is not UTF-8, so GDAL cannot open it: rename it.") from error
    if dataset is None:
        raise SegmentationError(
            f"The raster {path} cannot be opened ({reason(messages)}): check the path and the format."
        )
    if not dataset.RasterCount:
        raise SegmentationError(f"{path} holds no raster band itself: choose one of its subdatasets.")
    return dataset


class OpenRasters:
    """The raster that tasks read, opened once by each thread: a virtual one of thousands of files takes long to open.

    It belongs to what the tasks of a stage share, and is closed with that; nothing of it travels to workers.
    """

    def __init__(self) -> None:
        self._opened = threading.local()

    def __reduce__(self) -> Tuple[type, Tuple[()]]:
        return OpenRasters, ()

    def get(self, path: str) -> gdal.Dataset:
        """The dataset, for this thread.

        Raises
        ------
        SegmentationError : see `open_raster`
        """
        if getattr(self._opened, "path", None) != path:
            self._opened.dataset, self._opened.path = open_raster(path), path
        return self._opened.dataset
