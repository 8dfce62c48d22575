# SPDX-License-Identifier: GPL-2.0-or-later
"""How tasks are run. No stage knows which execution it has.

runner : the contract -> serial, threads, processes, dask_cluster : its four implementations
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Optional, cast

from .. import kernels
from ..errors import SegmentationError
from ..machine import available_cores
from ..progress import Check, Feedback
from ..resources import Workers, choose_workers
from . import compiling
from .runner import Runner
from .serial import Serial
from .threads import Threads

if TYPE_CHECKING:
    from ..files.raster import Raster

kernels.compile_with(compiling.shared.request)

WORTH_PROCESSES = 500_000_000  # values of the raster; for fewer, to start processes takes too large a share of the run


def create(kind: str, workers: int) -> Runner:
    """An execution within this process: `threads` or `serial`; 0 workers for all cores."""
    return Serial() if kind == "serial" else Threads(workers or available_cores())


def is_worth_processes(raster: "Raster", workers: int) -> bool:
    """Whether `auto` takes processes rather than threads."""
    return workers > 1 and raster.width * raster.height * len(raster.bands) >= WORTH_PROCESSES


@dataclass(frozen=True)
class Request:
    """What is asked of an execution.

    kind : `auto`, `processes`, `threads`, `serial` or `dask`
    workers : 0 for what the machine allows
    memory : bytes that a worker may need, see `resources.worker_memory`
    most : how many workers could be busy at the same time; None where that is not known
    scheduler, work_dir : of Dask: its address, and a folder that all its workers see
    holds_lock : whether tasks keep the interpreter lock for long; threads are of no use then, and workers may be silent
    """

    kind: str
    workers: int
    memory: int
    most: Optional[int] = None
    scheduler: str = ""
    work_dir: str = ""
    holds_lock: bool = False


def start(request: Request, raster: "Raster") -> "Starting":
    """Begin to start an execution whose workers can read a raster; it is `ready` when it is needed."""
    kind = request.kind
    if kind == "dask":
        from .dask_cluster import DaskCluster

        return Starting(kind, DaskCluster(request.scheduler, request.work_dir, raster))
    if kind == "serial":
        return Starting(kind, Serial())
    chosen = choose_workers(request.workers, request.most, request.memory)
    if kind == "threads":
        return Starting(kind, Threads(chosen.count), chosen)
    if kind not in ("auto", "processes"):
        raise SegmentationError(f"EXECUTION={kind} is not known.")
    if kind == "auto" and not request.holds_lock and not is_worth_processes(raster, chosen.count):
        return Starting("threads", Threads(chosen.count), chosen)
    from .processes import SILENCE_SECONDS, Processes

    processes = Processes(chosen.count, raster, math.inf if request.holds_lock else SILENCE_SECONDS)
    return Starting(kind, processes, chosen, Serial if request.holds_lock else None)


class Starting:
    """An execution that may still be starting.

    Parameters
    ----------
    kind : as it was asked for
    chosen : how many workers it has and why, if that was for us to choose
    substitute : what takes the place of processes that cannot be had; threads if not given
    """

    def __init__(
        self,
        kind: str,
        execution: Runner,
        chosen: Optional[Workers] = None,
        substitute: Optional[Callable[[], Runner]] = None,
    ) -> None:
        self.kind = kind
        self.execution = execution
        self._chosen = chosen
        self._substitute = substitute

    def ready(self, feedback: Feedback, check_cancelled: Check) -> Runner:
        """The execution, ready for tasks; says which it is and why.

        Raises
        ------
        SegmentationError : it cannot be had, and no other may take its place
        """
        if self.execution.name == "processes":
            self._await_processes(feedback, check_cancelled)
        else:
            self.execution.wait_until_ready(check_cancelled)
        workers = self.execution.workers
        why = f" ({self._chosen.reason})" if self._chosen else ""
        feedback.info(f"Execution: {self.execution.name}, {workers} worker{'s' if workers != 1 else ''}{why}.")
        if self._chosen and self._chosen.warning:
            feedback.warning(self._chosen.warning)
        return self.execution

    def _await_processes(self, feedback: Feedback, check_cancelled: Check) -> None:
        from .processes import Processes, Unavailable, missing_package

        processes = cast(Processes, self.execution)
        try:
            processes.wait_until_ready(check_cancelled)
        except Unavailable as error:
            processes.close()
            if self.kind == "processes":
                instead = "serial" if self._substitute else "auto or threads"
                raise SegmentationError(
                    f"EXECUTION=processes cannot be used here: {error}. Use EXECUTION={instead}."
                ) from error
            report = feedback.info if missing_package() else feedback.warning
            self.execution = self._substitute() if self._substitute else Threads(processes.workers)
            report(f"EXECUTION={self.execution.name} is used instead of processes, with the same result: {error}.")
        else:
            feedback.info(f"Workers run {processes.interpreter}.")
        for line in processes.tried:
            feedback.debug(f"Interpreter {line}")

    def close(self) -> None:
        self.execution.close()
