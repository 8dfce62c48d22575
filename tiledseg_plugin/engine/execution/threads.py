# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks in threads of this process; the kernels and GDAL leave the interpreter lock to the others."""

from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from threading import Event
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

from ..errors import Cancelled
from ..machine import ThreadPool
from ..progress import Check
from .failures import out_of_memory
from .runner import Common, Item, Result, Task

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 1.0


class Threads:
    """See `runner.Runner`.

    A thread cannot be killed. When a run ends otherwise than with its results, tasks end at their next check, which is
    waited for: a process that exits while a thread compiles a kernel or reads a raster may crash. Only the user who
    cancels does not wait longer than a second for one that is inside a long call; it comes to its own end later,
    without effect.
    """

    name = "threads"
    remote, shares_memory = False, True
    peak_memory = 0  # of others than this process

    def __init__(self, workers: int) -> None:
        self.workers = self.together = workers
        self.notes: List[str] = []
        self._stop = Event()
        self._running: Dict[Future, Any] = {}
        self._patience: Optional[float] = None  # for tasks at the end, seconds
        self._pool = ThreadPool(workers, thread_name_prefix="tiledseg")

    def wait_until_ready(self, check_cancelled: Check) -> None:
        """Threads are always ready."""

    def prepare(self, kernels: str, entries: Tuple[str, ...]) -> None:
        """The kernels are loaded already, in this process."""

    def run(
        self, task: Task[Common, Item, Result], common: Common, items: Iterable[Item], check_cancelled: Check
    ) -> Iterator[Tuple[Item, Result]]:
        waiting = items if isinstance(items, deque) else deque(items)
        running = self._running = {}
        try:
            while waiting or running:
                while waiting and len(running) < 2 * self.workers:
                    item = waiting.popleft()
                    running[self._pool.submit(task, common, item, self._check_stopped)] = item
                finished, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                try:
                    check_cancelled()
                except Cancelled:
                    self._patience = PATIENCE_SECONDS
                    raise
                for future in finished:
                    item = running.pop(future)
                    try:
                        result = future.result()
                    except MemoryError as error:
                        raise out_of_memory(item, self.workers) from error
                    yield item, result
        finally:
            if running:
                self.close()

    def close(self) -> None:
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        begun = [future for future in self._running if not future.cancelled()]
        if not wait(begun, timeout=self._patience).not_done:
            self._pool.shutdown(wait=True)

    def _check_stopped(self) -> None:
        if self._stop.is_set():
            raise Cancelled()
