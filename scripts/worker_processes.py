# SPDX-License-Identifier: GPL-2.0-or-later
"""Which worker processes are there, so that tests and `make stress` see whether a run has left any behind (Linux)."""

import os
from pathlib import Path


def worker_processes():
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
