# SPDX-License-Identifier: GPL-2.0-or-later
"""What this machine offers: cores and free memory, as far as the system says."""

import ctypes
import math
import os
import sys
from pathlib import Path
from typing import List, Optional

CONTROL_GROUP = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Cores that this process may use; a container's share of them is rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _words(CONTROL_GROUP / "cpu.max")
    if len(quota) == 2 and quota[0] != "max":
        cores = min(cores, max(1, math.ceil(int(quota[0]) / int(quota[1]))))
    return cores


def free_memory() -> Optional[int]:
    """Bytes that can be used without swapping; None where the system does not say."""
    if sys.platform == "win32":
        return _free_on_windows()
    free = _from_meminfo()
    if free is None:
        try:  # macOS says what is there, not what is free
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        except (ValueError, OSError):
            return None
    limit, used = _words(CONTROL_GROUP / "memory.max"), _words(CONTROL_GROUP / "memory.current")
    if limit and used and limit[0] != "max":
        free = min(free, max(0, int(limit[0]) - int(used[0])))
    return free


def used_memory() -> Optional[int]:
    """Resident bytes of this process; None where the system does not say."""
    pages = _words(Path("/proc/self/statm"))
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else None


def _words(path: Path) -> List[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


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


def release_free_memory() -> None:
    """Give freed memory back to the system where the C library keeps it (glibc does, of arrays below 32 MB)."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return
