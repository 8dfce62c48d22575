# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs in a worker process. It imports the engine, never QGIS."""

import os
import threading
import traceback
from typing import Any, Dict, Optional, Tuple

from ..errors import SegmentationError
from ..machine import release_memory, return_large_arrays, used_memory
from ..report import peak_memory
from ..resources import KEPT_BYTES
from .interpreter import Facts, facts
from .runner import Task

BEAT_SECONDS = 1.0
DONE, REFUSED, OUT_OF_MEMORY, FAULT, DIED = "done", "refused", "out of memory", "fault", "died"

_common: Dict[int, Any] = {}


def begin(beats: Any) -> None:
    """What a worker starts with: it watches the parent, and shows it every second that this process is not stuck."""
    from multiprocess.process import parent_process

    return_large_arrays()
    threading.Thread(target=_watch, args=(parent_process().sentinel, beats), daemon=True).start()


def _watch(parent: int, beats: Any) -> None:
    from multiprocess.connection import wait

    try:
        while not wait([parent], timeout=BEAT_SECONDS):
            beats.send_bytes(b".")
    finally:  # whatever it was: without the parent nobody waits for results
        os._exit(1)


def greet(path: str) -> Tuple[Facts, Optional[Tuple[int, int, int]]]:
    """The handshake: what this interpreter is, and what it sees of the input, (columns, rows, bands) or None."""
    from ..files.gdal_access import open_raster

    dataset = open_raster(path) if path else None
    return facts(), dataset and (dataset.RasterXSize, dataset.RasterYSize, dataset.RasterCount)


def load_kernels(wanted: str, entries: Tuple[str, ...]) -> None:
    """Import and load what tiles will need, while there is nothing else to do; what else is there would take memory."""
    from .. import kernels

    kernels.choose(wanted, entries=entries)


def remember(number: int, common: Any) -> None:
    """Keep what all tasks of a stage share; that of the stage before is given up."""
    _common.clear()
    release_memory()
    _common[number] = common


def _return_memory() -> None:
    """Of the task before; blocks of the raster that two tiles need are read again."""
    from ..files.gdal_access import modest_cache

    if (used_memory() or 0) > KEPT_BYTES:
        modest_cache.empty()
        release_memory()


def perform(task: Task, number: int, item: Any) -> Tuple[str, Any, Optional[int]]:
    """Run one task.

    Returns
    -------
    how : DONE, or what went wrong
    what : the result, or a text; exceptions stay here, as not all of them survive the journey
    peak : the most memory this process has had, bytes or None
    """
    _return_memory()
    try:
        return DONE, task(_common[number], item, _go_on), peak_memory()
    except SegmentationError as error:
        return REFUSED, str(error), peak_memory()
    except MemoryError:
        return OUT_OF_MEMORY, "found no more memory", peak_memory()
    except Exception:
        return FAULT, traceback.format_exc(), peak_memory()


def _go_on() -> None:
    """A worker process is killed when the run is cancelled."""
