# SPDX-License-Identifier: GPL-2.0-or-later
"""How tasks are run. No stage knows which kind it runs on.

A task is a module-level function `task(common, item, check_cancelled)`: `common` is what all tasks of a stage share,
`item` what this one is about. Both, and what it gives, are plain values; pixels go through files. An execution has

    name, workers       for the log
    remote              whether tasks run on other machines, which should then do what can be done there
    notes               sentences that came up meanwhile, such as a worker that died and was replaced
    peak_memory         bytes that others than this process have had
    prepare(kernels)    a hint that tiles come next
    run(task, common, items, check_cancelled) -> iterator of (item, result), in the order in which they finish
    close()

`run` calls `check_cancelled` at least every 0.2 s while it waits. When that or a task raises, or the iterator is given
up, nothing of it runs on: processes are killed, threads end at their next check. The execution is closed then.
"""

import math

from ..errors import SegmentationError
from ..machine import available_cores
from ..resources import choose_workers
from .serial import Serial
from .threads import Threads


def create(kind, workers):
    """An execution within this process: `threads` or `serial`; 0 workers for all cores."""
    return Serial() if kind == "serial" else Threads(workers or available_cores())


WORTH_PROCESSES = 500_000_000  # values of the raster; for fewer, to start processes takes too large a share of the run


def start(kind, workers, tile_bytes, raster, most=1_000_000, scheduler="", work_dir="", holds_lock=False):
    """Begin to start an execution; give what `ready` is called on when it is needed.

    Parameters
    ----------
    kind : `auto`, `processes`, `threads`, `serial` or `dask`
    workers : int, 0 for what the machine allows
    tile_bytes : memory that a worker may need, see `needs.worker_memory`
    raster : raster.Raster, the input
    most : how many workers could be busy at the same time
    scheduler, work_dir : of Dask: its address, and a folder that all its workers see
    holds_lock : whether tasks keep the interpreter lock for long; threads are of no use then, and workers may be silent
    """
    if kind == "dask":
        from .dask_cluster import DaskCluster

        return Starting(kind, DaskCluster(scheduler, work_dir, raster), None)
    if kind == "serial":
        return Starting(kind, Serial(), None)
    chosen = choose_workers(workers, most, tile_bytes)
    if kind == "threads":
        return Starting(kind, Threads(chosen.count), chosen)
    if kind not in ("auto", "processes"):
        raise SegmentationError(f"EXECUTION={kind} is not known.")
    values = raster.width * raster.height * len(raster.bands)
    if kind == "auto" and not holds_lock and (chosen.count == 1 or values < WORTH_PROCESSES):
        return Starting("threads", Threads(chosen.count), chosen)
    from .processes import SILENCE_SECONDS, Processes

    processes = Processes(chosen.count, raster, math.inf if holds_lock else SILENCE_SECONDS)
    return Starting(kind, processes, chosen, Serial if holds_lock else None)


class Starting:
    """An execution that may still be starting. otherwise : what makes its substitute, if not threads"""

    def __init__(self, kind, execution, chosen, otherwise=None):
        self.kind = kind
        self.execution = execution
        self._chosen = chosen
        self._otherwise = otherwise

    def ready(self, feedback, check_cancelled):
        """The execution, ready for tasks; says which it is and why.

        Raises
        ------
        SegmentationError : it cannot be had, and no other may take its place
        """
        if self.execution.name == "processes":
            self._settle_processes(feedback, check_cancelled)
        elif self.execution.name == "dask":
            self.execution.wait_until_ready(check_cancelled)
        workers = self.execution.workers
        why = f" ({self._chosen.reason})" if self._chosen else ""
        feedback.info(f"Execution: {self.execution.name}, {workers} worker{'s' if workers != 1 else ''}{why}.")
        if self._chosen and self._chosen.warning:
            feedback.warning(self._chosen.warning)
        return self.execution

    def _settle_processes(self, feedback, check_cancelled):
        from .processes import Unavailable, missing_package

        processes = self.execution
        try:
            processes.wait_until_ready(check_cancelled)
        except Unavailable as error:
            processes.close()
            if self.kind == "processes":
                instead = "serial" if self._otherwise else "auto or threads"
                raise SegmentationError(
                    f"EXECUTION=processes cannot be used here: {error}. Use EXECUTION={instead}."
                ) from error
            tell = feedback.info if missing_package() else feedback.warning
            self.execution = self._otherwise() if self._otherwise else Threads(processes.workers)
            tell(f"EXECUTION={self.execution.name} is used instead of processes, with the same result: {error}.")
        else:
            feedback.info(f"Workers run {processes.interpreter}.")
        for line in processes.tried:
            feedback.debug(f"Interpreter {line}")

    def close(self):
        self.execution.close()
