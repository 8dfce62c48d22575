# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run must not leave behind: processes and files."""

import os
import tempfile
import time
from pathlib import Path

from worker_processes import worker_processes


def own_workers():
    """Worker processes that this process started."""
    return [pid for pid, (parent, _) in worker_processes().items() if parent == os.getpid()]


def wait_until_gone(pids, seconds):
    """Those that are still there after so many seconds at the most."""
    end = time.monotonic() + seconds
    left = set(pids)
    while left and time.monotonic() < end:
        left &= set(worker_processes())
        time.sleep(0.02)
    return left


def temporary_folders():
    """Work folders in the temporary folder, and their like beside outputs are found by `.tiledseg-*`."""
    return {path.name for path in Path(tempfile.gettempdir()).glob("tiledseg-*") if path.is_dir()}
