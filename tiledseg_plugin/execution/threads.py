# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks in threads of this process; the kernels and GDAL leave the interpreter lock to the others."""

from collections import deque
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from threading import Event

from ..errors import Cancelled

POLL_SECONDS = 0.1


class Threads:
    """See `execution`."""

    name = "threads"

    def __init__(self, workers):
        self.workers = workers
        self._stop = Event()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="tiledseg")

    def _check_stopped(self):
        if self._stop.is_set():
            raise Cancelled()

    def run(self, task, common, items, check_cancelled):
        waiting = deque(items)
        running = {}
        try:
            while waiting or running:
                while waiting and len(running) < 2 * self.workers:
                    item = waiting.popleft()
                    running[self._pool.submit(task, common, item, self._check_stopped)] = item
                finished, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                check_cancelled()
                for future in finished:
                    yield running.pop(future), future.result()
        finally:
            if running:
                self._stop.set()
                for future in running:
                    future.cancel()
                wait(running)
                self._stop.clear()

    def close(self):
        self._stop.set()
        self._pool.shutdown()
