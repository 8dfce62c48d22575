# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks in worker processes, run with pathos.

Each worker is a pathos pool of one process. So it is known which item is in whose hands; a worker that dies takes
nothing along that others wait for (the locks of a shared pool, its only copy of a task); and a pool itself, which
would wait for ever for the answer of a dead worker, is only ever asked with a time limit.
"""

import itertools
import os
import queue
import threading
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TYPE_CHECKING, Any, Callable, Deque, Dict, Iterable, Iterator, List, Optional, Tuple

from ..errors import Cancelled, SegmentationError
from ..machine import ThreadPool
from ..progress import Check
from . import worker as inside
from .failures import fault, out_of_memory, subject_of, worker_died
from .interpreter import (
    Candidate,
    Facts,
    candidates,
    facts,
    is_the_same_build,
    reason_to_refuse,
    reason_to_skip,
    worker_environment,
)
from .process_worker import CLOSE_SECONDS, POLL_SECONDS, SILENCE_SECONDS, Worker, WorkerDied
from .runner import Common, Item, Result, Task

if TYPE_CHECKING:
    from ..files.raster import Raster


START_SECONDS = 30.0

_stages = itertools.count(1)
# interpreters that this session has tried: {(candidate, time of change): reason to refuse or ""}
_builds: Dict[tuple, str] = {}


class Unavailable(Exception):
    """Worker processes cannot be used here: why, as part of a sentence."""


def missing_package() -> str:
    """Which package worker processes lack here; empty if none. Nothing is imported."""
    from importlib.util import find_spec

    return next((name for name in ("pathos", "multiprocess", "dill") if find_spec(name) is None), "")


def find_interpreter(
    wanted: Iterable[Candidate],
    start: Callable[[Candidate], Tuple[Worker, Facts]],
    host: Facts,
    tried: List[str],
) -> Tuple[Candidate, Worker]:
    """The first candidate whose worker answers the handshake as it should, and that worker.

    Parameters
    ----------
    wanted : best first
    start : called with a candidate; returns a worker and its answer
    host : the facts of this process
    tried : list that a line is added to for each candidate

    Raises
    ------
    Unavailable
    """
    spare = None
    for candidate in wanted:
        key = (candidate, _changed(candidate.path))
        reason = reason_to_skip(candidate) or _builds.get(key, "")
        if not reason:
            try:
                worker, answer = start(candidate)
            except (WorkerDied, OSError) as error:
                reason = f"its worker {error}"  # which may be otherwise the next time: a busy machine, this raster
            else:
                reason = reason_to_refuse(answer, host)
                if reason:
                    _builds[key] = reason
                    worker.close()
                elif is_the_same_build(answer, host) or key in _builds:
                    _builds[key] = ""
                    tried.append(f"{candidate}: works")
                    if spare:
                        spare[1].close()
                    return candidate, worker
                elif spare:
                    worker.close()
                else:
                    spare = (candidate, worker, key)
                    reason = "works, but is not the very installation of this QGIS"
        tried.append(f"{candidate}: {reason}")
    if spare:
        _builds[spare[2]] = ""
        return spare[:2]
    raise Unavailable("no Python was found that can run worker processes (tried " + "; ".join(tried) + ")")


def _changed(path: str) -> Optional[int]:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


class Processes:
    """See `runner.Runner`. Starting begins at once and goes on beside whatever the caller does next.

    Parameters
    ----------
    workers : how many processes
    raster : what the workers must be able to open, if anything
    silence : seconds after which a worker that gives no sign of life is given up
    """

    name = "processes"
    remote = shares_memory = False

    def __init__(self, workers: int, raster: Optional["Raster"] = None, silence: float = SILENCE_SECONDS) -> None:
        self.workers = workers
        self.interpreter: Any = None  # interpreter.Candidate, once it is found
        self.tried: List[str] = []
        self.notes: List[str] = []
        self._raster = raster
        self._silence = silence
        self._closed = False
        self._lock = threading.Lock()
        self._all: List[Worker] = []
        self._reserved = 1  # workers that exist or are being started
        self._free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._retired_peak = 0
        self._threads = ThreadPool(workers, thread_name_prefix="tiledseg")
        self._starting: List[Future] = []
        self._first = self._threads.submit(self._find)

    def wait_until_ready(self, check_cancelled: Check = lambda: None) -> None:
        """Return when there is a worker.

        Raises
        ------
        Unavailable : there will be none
        """
        while not wait([self._first], timeout=POLL_SECONDS).done:
            check_cancelled()
        self._first.result()

    def prepare(self, kernels: str, entries: Tuple[str, ...]) -> None:
        """Let the workers load the kernels while they have nothing else to do."""
        for _ in range(self._free.qsize()):
            self._threads.submit(self._load, kernels, entries)

    def run(
        self, task: Task[Common, Item, Result], common: Common, items: Iterable[Item], check_cancelled: Check
    ) -> Iterator[Tuple[Item, Result]]:
        self.wait_until_ready(check_cancelled)
        stage = (next(_stages), common)
        waiting = items if isinstance(items, deque) else deque(items)
        again: Deque[Item] = deque()  # their workers died
        running: Dict[Future, Tuple[Item, bool]] = {}  # and whether it was tried before
        try:
            while again or waiting or running:
                while (again or waiting) and len(running) < self.workers:
                    tried_before = bool(again)
                    item = again.popleft() if again else waiting.popleft()
                    running[self._threads.submit(self._perform, stage, task, item)] = item, tried_before
                finished, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                check_cancelled()
                for future in finished:
                    item, tried_before = running.pop(future)
                    try:
                        how, what = future.result()
                    except WorkerDied as death:
                        how, what = inside.DIED, str(death)
                    if how == inside.DONE:
                        yield item, what
                    elif how in (inside.DIED, inside.OUT_OF_MEMORY) and not tried_before:
                        again.append(item)
                        self._use_fewer(item, what)
                    else:
                        raise self._error(item, how, what)
        finally:
            if running:
                self.close()

    def close(self) -> None:
        """End all processes at once."""
        self._closed = True
        with self._lock:
            workers, self._all = self._all, []
        self._retired_peak += sum(worker.peak_memory for worker in workers)
        deadline = time.monotonic() + CLOSE_SECONDS
        for thread in [worker.close() for worker in workers]:
            thread.join(max(0.0, deadline - time.monotonic()))
        wait([self._first, *self._starting], max(0.1, deadline - time.monotonic()))
        self._threads.shutdown(wait=False)

    @property
    def together(self) -> int:
        """All of them."""
        return self.workers

    @property
    def peak_memory(self) -> int:
        """Bytes that the workers had together at the most, if all had their most at the same time."""
        with self._lock:
            return sum(worker.peak_memory for worker in self._all) + self._retired_peak

    def _find(self) -> None:
        missing = missing_package()
        if missing:
            raise Unavailable(f"the Python package {missing} is not installed")
        try:
            self.interpreter, worker = find_interpreter(candidates(), self._start, facts(), self.tried)
        except (Unavailable, Cancelled):
            raise
        except Exception as error:  # a pathos or multiprocess of a version that nobody has tried
            raise Unavailable(f"worker processes cannot be started ({type(error).__name__}: {error})") from error
        self._free.put(worker)
        while self._reserve():
            self._starting.append(self._threads.submit(self._start_reserved))

    def _reserve(self) -> bool:
        with self._lock:
            room = self._reserved < self.workers and not self._closed
            self._reserved += room
            return room

    def _start_reserved(self) -> None:
        try:
            worker, _ = self._start(self.interpreter)
        except (WorkerDied, OSError) as error:
            self._reserved -= 1
            raise WorkerDied(str(error)) from error
        self._free.put(worker)

    def _start(self, candidate: Candidate) -> Tuple[Worker, Facts]:
        """A new worker and its answer to the handshake."""
        if self._closed:
            raise Cancelled()
        worker = Worker(candidate, worker_environment(candidate, self.workers), self._silence)
        with self._lock:
            self._all.append(worker)
        try:
            if self._closed:
                raise Cancelled()
            answer, seen = worker.call(START_SECONDS, inside.greet, self._raster.path if self._raster else "")
            if self._raster and seen[:2] != self._raster.file_size:
                raise WorkerDied(f"sees another raster at {self._raster.path}")
        except Exception as error:
            self._forget(worker)
            if isinstance(error, (WorkerDied, Cancelled)):
                raise
            raise WorkerDied(f"cannot be used ({type(error).__name__}: {error})") from error
        return worker, answer

    def _forget(self, worker: Worker) -> None:
        with self._lock:
            if worker in self._all:
                self._all.remove(worker)
                self._retired_peak = max(self._retired_peak, worker.peak_memory)
        worker.close()

    def _take(self) -> Worker:
        """A worker that has nothing to do, started now if there are fewer than there should be."""
        while True:
            if self._closed:
                raise Cancelled()
            try:
                worker = self._free.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if self._reserve():
                    self._start_reserved()
                continue
            if worker.is_alive() and self._reserved <= self.workers:
                return worker
            self._retire(worker)

    def _retire(self, worker: Worker) -> None:
        with self._lock:
            self._reserved -= 1
        self._forget(worker)

    def _perform(self, stage: Tuple[int, Any], task: Task, item: Any) -> Tuple[str, Any]:
        number, common = stage
        worker = self._take()
        try:
            if worker.stage != number:
                worker.call(None, inside.remember, number, common)
                worker.stage = number
            how, what, peak = worker.call(None, inside.perform, task, number, item)
            worker.peak_memory = max(worker.peak_memory, peak or 0)
        except Exception:
            self._retire(worker)
            raise
        self._free.put(worker)
        return how, what

    def _load(self, kernels: str, entries: Tuple[str, ...]) -> None:
        worker = self._take()
        try:
            worker.call(None, inside.load_kernels, kernels, entries)
        except Exception:  # the next task will find out, and say so
            self._retire(worker)
        else:
            self._free.put(worker)

    def _use_fewer(self, item: Any, how: str) -> None:
        self.workers = max(1, self.workers // 2)
        self.notes.append(
            f"{subject_of(item)} is tried again with {self.workers} worker{'s' if self.workers > 1 else ''}: "
            f"its worker process {how}."
        )

    def _error(self, item: Any, how: str, what: str) -> Exception:
        if how == inside.DIED:
            return worker_died(item, what, self.workers)
        if how == inside.OUT_OF_MEMORY:
            return out_of_memory(item, self.workers)
        return SegmentationError(what) if how == inside.REFUSED else fault(item, what)
