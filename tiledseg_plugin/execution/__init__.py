# SPDX-License-Identifier: GPL-2.0-or-later
"""How tasks are run. No stage knows which kind it runs on.

A task is a module-level function `task(common, item, check_cancelled)`: `common` is what all tasks of a stage share,
`item` what this one is about. Both, and what it gives, are plain values; pixels go through files. An execution has

    run(task, common, items, check_cancelled) -> iterator of (item, result), in the order in which they finish
    close()

`run` calls `check_cancelled` at least every 0.2 s while it waits. When that or a task raises, tasks that have not begun
are dropped, and the error goes on once nothing runs any more.
"""

import os

from ..errors import SegmentationError
from .serial import Serial
from .threads import Threads


def available_cores():
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def create(kind, workers):
    """The execution of that kind.

    Parameters
    ----------
    kind : `auto`, `threads` or `serial`
    workers : int, 0 for all cores
    """
    workers = workers or available_cores()
    if kind == "serial":
        return Serial()
    if kind in ("auto", "threads"):
        return Threads(workers)
    raise SegmentationError(f"EXECUTION={kind} is not known.")
