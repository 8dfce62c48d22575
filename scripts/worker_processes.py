# SPDX-License-Identifier: GPL-2.0-or-later
"""Which worker processes are there, so that tests and `make stress` see whether a run has left any behind (Linux)."""

import os
import time
from pathlib import Path
from typing import Dict, Set, Tuple


def worker_processes() -> Dict[int, Tuple[int, str]]:
    """All worker processes of the machine: {pid: (pid of the parent, when it started)}."""
    found = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            command = Path(entry.path, "cmdline").read_bytes()
            status = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if b"multiprocess.spawn" in command and len(status) > 19 and status[0] != "Z":
            found[int(entry.name)] = (int(status[1]), status[19])
    return found


def workers_of(parent: int) -> Dict[int, str]:
    """The worker processes that a process has started: {pid: when it started}."""
    return {pid: started for pid, (of, started) in worker_processes().items() if of == parent}


def wait_until_gone(workers: Dict[int, str], seconds: float) -> Set[int]:
    """Those of some workers, {pid: when it started}, that are still there after so many seconds at the most."""
    end = time.monotonic() + seconds
    left = set(workers)
    while left and time.monotonic() < end:
        there = worker_processes()
        left = {pid for pid in left if pid in there and there[pid][1] == workers[pid]}
        time.sleep(0.02)
    return left
