# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run must not leave behind: processes and files."""

import os
import tempfile
from pathlib import Path

from worker_processes import workers_of


def own_workers():
    """Worker processes that this process started: {pid: when it started}."""
    return workers_of(os.getpid())


def temporary_folders():
    """The names of the work folders in the temporary folder."""
    return {path.name for path in Path(tempfile.gettempdir()).glob("tiledseg-*") if path.is_dir()}
