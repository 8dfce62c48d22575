# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks in threads of this process; the kernels and GDAL leave the interpreter lock to the others."""

from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event
from typing import Any, Dict

from ..errors import Cancelled
from .failures import out_of_memory

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 1.0


class Threads:
    """See `execution`.

    A thread cannot be killed. When a run is cancelled, tasks end at their next check; one that is inside a long
    call is not waited for longer than a second, and comes to its own end later, without effect.
    """

    name = "threads"
    remote = False
    peak_memory = 0  # of others than this process

    def __init__(self, workers):
        self.workers = workers
        self.notes = []
        self._stop = Event()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="tiledseg")

    def prepare(self, kernels):
        """They are loaded already."""

    def run(self, task, common, items, check_cancelled):
        waiting = deque(items)
        running: Dict[Future, Any] = {}
        try:
            while waiting or running:
                while waiting and len(running) < 2 * self.workers:
                    item = waiting.popleft()
                    running[self._pool.submit(task, common, item, self._check_stopped)] = item
                finished, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                check_cancelled()
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
                wait(running, timeout=PATIENCE_SECONDS)

    def close(self):
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _check_stopped(self):
        if self._stop.is_set():
            raise Cancelled()
