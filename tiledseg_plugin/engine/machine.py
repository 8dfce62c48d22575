# SPDX-License-Identifier: GPL-2.0-or-later
"""What this machine offers: cores, free memory and threads, as far as the system says and allows."""

import ctypes
import math
import mmap
import os
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional

CONTROL_GROUP = Path("/sys/fs/cgroup")
PROCESS = Path("/proc/self")
SORTED, SORT_SECONDS = 20_000, 0.0004  # numbers, and how long that took where the costs of stages were measured
THREAD_BYTES = 24 << 20  # of address space: its stack, and what it needs before it can report an error


_c_library = ctypes.CDLL(None) if sys.platform == "linux" else None
_trim = getattr(_c_library, "malloc_trim", None)  # glibc has it, musl not
_set_allocation = getattr(_c_library, "mallopt", None)
_TRIMMED, _MAPPED = -1, -3  # thresholds, as mallopt takes them
ALONE_BYTES = 4 << 20  # of an array that is worth a mapping of its own
LAST_BYTES = 64 << 20  # of what is freed, behind all that is used, may be kept


class ThreadPool(ThreadPoolExecutor):
    """Threads for tasks; `submit` raises MemoryError where there is no room for another one.

    Without looking for that first, Python may wait for ever for the first sign of a thread that found no memory for it.
    """

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> "Future[Any]":
        try:
            mmap.mmap(-1, THREAD_BYTES).close()
        except (OSError, ValueError) as error:
            raise MemoryError("there is no memory for another thread") from error
        try:
            return super().submit(function, *arguments, **options)
        except RuntimeError as error:
            if "new thread" not in str(error):
                raise
            raise MemoryError(str(error)) from error


def available_cores() -> int:
    """Cores that this process may use; a container's share of them is rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in _groups("cpu"):
        quota = _words(group / "cpu.max") or [
            *_words(group / "cpu.cfs_quota_us"),
            *_words(group / "cpu.cfs_period_us"),
        ]
        if len(quota) == 2 and quota[0] not in ("max", "-1"):
            cores = min(cores, max(1, math.ceil(int(quota[0]) / int(quota[1]))))
    return cores


def free_memory() -> Optional[int]:
    """Bytes that this process and its workers can use without swapping; None where the system does not say."""
    if sys.platform == "win32":
        return _free_on_windows()
    free = _from_meminfo()
    if free is None:
        try:  # macOS says what is there, not what is free
            free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        except (ValueError, OSError, AttributeError):
            return None
    limits = [(group / most, group / used) for group in _groups("memory") for most, used in MEMORY_FILES]
    for most, used in limits:
        limit, taken = _words(most), _words(used)
        if limit and taken and limit[0] != "max":
            free = min(free, max(0, int(limit[0]) - int(taken[0])))
    return min([free, *_room_for_this_process()])


MEMORY_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))


def _groups(controller: str) -> Iterator[Path]:
    """The folders of the control groups that limit this process: its own, and those that it is in, of either version.

    A container may see its own group as the topmost one, under another name than its processes are told.
    """
    for line in _lines(PROCESS / "cgroup") or ["0::/"]:
        number, _, rest = line.partition(":")
        names, _, place = rest.partition(":")
        if number == "0" and not names:
            tops = [CONTROL_GROUP, CONTROL_GROUP / "unified"]
        elif controller in names.split(","):
            tops = [CONTROL_GROUP / names, CONTROL_GROUP / controller]
        else:
            continue
        parts = [part for part in place.split("/") if part not in ("", ".", "..")]
        for top in dict.fromkeys(tops):
            yield from (top.joinpath(*parts[:count]) for count in range(len(parts), -1, -1))


def _room_for_this_process() -> List[int]:
    """What a limit of this process's address space leaves, if there is one: [bytes] or nothing."""
    try:
        import resource
    except ImportError:  # Windows
        return []
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    used = _words(PROCESS / "statm")
    if limit == resource.RLIM_INFINITY or not used:
        return []
    return [max(0, limit - int(used[0]) * resource.getpagesize())]


def _lines(path: Path) -> List[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, ValueError):
        return []


def used_memory() -> Optional[int]:
    """Resident bytes of this process; None where the system does not say."""
    pages = _words(Path("/proc/self/statm"))
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else None


def slowness() -> float:
    """How much longer computing takes here than where costs were measured; found out in some milliseconds."""
    import numpy as np  # which takes a while, and this module comes with the plugin itself

    numbers = np.arange(SORTED, dtype=np.int64) * 2654435761 % 999983  # in no order
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        np.argsort(numbers, kind="stable")  # which no version of numpy does by vectors
        took.append(time.perf_counter() - begun)
    return min(took) / SORT_SECONDS


def release_memory() -> None:
    """Return what this process has freed to the system, where the C library keeps it; elsewhere nothing happens."""
    if _trim is not None:
        _trim(0)


def return_large_arrays() -> None:
    """From now on what a large array has taken goes back to the system as soon as it is freed, where glibc is used.

    Otherwise it stays, with holes that later arrays do not fit into.
    """
    if _set_allocation is not None:
        _set_allocation(_MAPPED, ALONE_BYTES)
        _set_allocation(_TRIMMED, LAST_BYTES)


def _words(path: Path) -> List[str]:
    return " ".join(_lines(path)).split()


def _from_meminfo() -> Optional[int]:
    words = _words(Path("/proc/meminfo"))
    return int(words[words.index("MemAvailable:") + 1]) * 1024 if "MemAvailable:" in words else None


def _free_on_windows() -> Optional[int]:
    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
            (name, ctypes.c_ulonglong)
            for name in ("total", "free", "page_total", "page_free", "virtual_total", "virtual_free", "extended")
        ]

    status = Status()
    status.length = ctypes.sizeof(status)
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):  # type: ignore[attr-defined]
        return None
    return status.free
