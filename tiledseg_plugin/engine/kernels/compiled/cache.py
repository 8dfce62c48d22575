# SPDX-License-Identifier: GPL-2.0-or-later
"""The numba decorator of all compiled kernels: without the GIL, kept on disk between runs and upgrades."""

import threading
from contextlib import contextmanager
from typing import Any, Callable, Iterator, TypeVar

from numba import njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator

from .. import machine_code

F = TypeVar("F", bound=Callable[..., Any])

_here = threading.local()


class NotCompiled(Exception):
    """Machine code is not in the cache, and this thread is not to compile any."""


@contextmanager
def only_loading() -> Iterator[None]:
    """In this thread, what is not in the cache raises NotCompiled."""
    _here.only_loads = True
    try:
        yield
    finally:
        _here.only_loads = False


class _Place(_CacheLocator):
    """Where numba keeps a function: by what it depends on, not by the place and time of its file."""

    def __init__(self, function: Callable[..., Any], path: str) -> None:
        self._py_file, self._line = path, function.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        return str(machine_code.folder())

    def get_source_stamp(self) -> str:
        return machine_code.folder().name

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> Any:
        return cls(py_func, py_file)


class _Kept(CompileResultCacheImpl):
    _locator_classes = [_Place]


class _KernelCache(FunctionCache):
    """As numba's, but a damaged file is as good as none, and one that cannot be written is no reason to fail."""

    _impl_class = _Kept

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # half a file, or one that another hand has been at; it is written anew
            found = None
        if found is None and getattr(_here, "only_loads", False):
            raise NotCompiled(str(sig))
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError:  # compiled anew in each process, then
            return


def kernel(function: F) -> F:
    """Compile `function` on its first call with each dtype, or load it from the cache."""
    dispatcher = njit(nogil=True, no_cfunc_wrapper=True)(function)
    dispatcher._cache = _KernelCache(function)  # `cache=True` does the same with a cache that goes by file and time
    return dispatcher


def inner(function: F) -> F:
    """As `kernel`, of a function that only kernels call.

    It gets neither the code by which Python would call it nor a file: it is a part of those that call it.
    """
    return njit(nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True)(function)
