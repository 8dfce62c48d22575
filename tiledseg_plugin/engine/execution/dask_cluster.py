# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks on an existing Dask cluster (dask.distributed).

Pixels travel by files in WORK_DIR, which all machines see. The engine itself travels there, too, as an archive that
each worker unpacks into a folder of its own: so all run the same version, also workers that join later, and nothing
has to be installed on them but what the engine imports. A worker gets tasks only when it has been checked, also one
that joins later. By the network go only names and small numbers; what is larger than a message ought to be, such as
the sample of a block, goes through a file as well.
"""

import os
import queue
import threading
import time
import uuid
from collections import Counter, deque
from pathlib import Path
from typing import Any, Dict, FrozenSet

from ..errors import Cancelled, SegmentationError
from . import failures
from . import worker as inside
from .dask_client import connect, leave, quietly
from .interpreter import facts
from .shipping import archive, digest_of, greeting_caller, task_caller

CONNECT_SECONDS = 15.0
ANSWER_SECONDS = 60.0
POLL_SECONDS = 0.1
LOOK_SECONDS = 2.0  # between looks at who is there
ALONE_SECONDS = 60.0  # without any worker
RESULT_SECONDS = 20.0
LOSSES = 2  # of one task, after which the run is given up


class DaskCluster:
    """See `execution`.

    Parameters
    ----------
    scheduler : address, such as `tcp://host:8786`
    work_dir : folder that all workers see
    raster : raster.Raster, which all workers must be able to open
    """

    name = "dask"
    remote = True
    peak_memory = 0

    def __init__(self, scheduler, work_dir, raster):
        try:
            import distributed
        except Exception as error:  # broken installations fail in many ways
            raise SegmentationError(
                f"EXECUTION=dask needs the Python package distributed, which cannot be imported here ({error}): "
                "install it, or choose another execution."
            ) from error
        self.notes = []
        self.workers = 1
        self._scheduler = scheduler
        self._folder = Path(work_dir).absolute()
        self._raster = raster
        self._token = uuid.uuid4().hex[:12]
        self._files = []
        self._client: Any = None
        self._futures: Dict[str, tuple] = {}
        self._checked: Dict[str, str] = {}  # {address of a worker: what is wrong with it or ""}
        self._here: FrozenSet[str] = frozenset()  # those that can do the work
        self._distributed = distributed

    def wait_until_ready(self, check_cancelled):
        """Connect, and check that every worker can do the work.

        Raises
        ------
        SegmentationError : the scheduler does not answer, or a worker cannot take part
        """
        try:
            self._client = _within(
                2 * CONNECT_SECONDS, lambda: connect(self._scheduler, CONNECT_SECONDS), check_cancelled
            )
        except Cancelled:
            raise
        except Exception as error:  # an address can be wrong in many ways
            raise SegmentationError(
                f"The Dask scheduler {self._scheduler} does not answer ({str(error) or type(error).__name__}): "
                "check DASK_SCHEDULER, and that it runs."
            ) from error
        self._check_versions(check_cancelled)
        code = archive()
        self._code = (self._save(f"code-{self._token}.zip", code), digest_of(code), __name__.split(".")[0])
        self._check_workers(check_cancelled)
        self._look(None, check_cancelled)

    def prepare(self, kernels):
        """Each worker loads them with its first tile."""

    def run(self, task, common, items, check_cancelled):
        from distributed.protocol import serialize_bytes

        items = list(items)
        stage = f"stage-{self._token}-{uuid.uuid4().hex[:6]}.bin"
        path = self._save(stage, serialize_bytes((task, common, items)))
        call = task_caller()
        ended: queue.SimpleQueue = queue.SimpleQueue()
        waiting = deque(range(len(items)))
        losses: Counter = Counter()
        looked, alone = 0.0, None
        try:
            while waiting or self._futures:
                while waiting and self._here and len(self._futures) < 2 * self.workers:
                    index = waiting.popleft()
                    name = f"tiledseg-{stage[6:-4]}-{index}-{losses[index]}"
                    future = self._client.submit(
                        call, self._code, path, index, key=name, pure=False, retries=1, workers=sorted(self._here)
                    )
                    self._futures[future.key] = (future, index, self._here)
                    future.add_done_callback(ended.put)
                try:
                    future = ended.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    future = None
                check_cancelled()
                lost = []
                if future is not None and future.key in self._futures:
                    _, index, _ = self._futures.pop(future.key)
                    told = self._told(future, check_cancelled)
                    if told is not None:
                        yield items[index], self._result(told, items[index])
                    else:
                        lost.append((index, future.status))
                if time.monotonic() - looked > LOOK_SECONDS:
                    looked = time.monotonic()
                    alone = self._look(alone, check_cancelled)
                    lost += [(index, "its workers are gone") for index in self._withdraw()]
                for index, how in lost:
                    if losses[index] == LOSSES:
                        raise self._lost(items[index], how)
                    losses[index] += 1
                    waiting.appendleft(index)
        finally:
            self._drop_futures()
            self._discard(stage)  # which also tells tasks that still run to stop

    def close(self):
        """Leave the cluster; tasks that still run end at their next check."""
        for name in list(self._files):
            self._discard(name)
        client, self._client = self._client, None
        if client is not None:
            thread = threading.Thread(target=leave, args=(client,), daemon=True)
            thread.start()
            thread.join(1.0)

    def _look(self, alone, check_cancelled):
        """See who is there and can do the work; returns since when there has been nobody, None if there is somebody."""
        threads = self._ask(self._client.nthreads, check_cancelled)
        for name in sorted(threads.keys() - self._checked.keys()):
            self._checked[name] = "is being asked"
            threading.Thread(target=self._ask_newcomer, args=(name,), daemon=True).start()
        self._here = frozenset(name for name in threads if not self._checked[name])
        self.workers = max(1, sum(threads[name] for name in self._here))
        if self._here:
            return None
        alone = alone or time.monotonic()
        if time.monotonic() - alone > ALONE_SECONDS:
            raise SegmentationError(
                f"The Dask scheduler {self._scheduler} has had no worker for {ALONE_SECONDS:.0f} s that can take part: "
                "start some and run again with the same WORK_DIR; what is finished is not done again."
            )
        return alone

    def _withdraw(self):
        """Take back the tasks that only workers were to do which are gone; returns which."""
        gone = {key: entry for key, entry in self._futures.items() if not entry[2] & self._here}
        for key in gone:
            del self._futures[key]
        self._forget([future for future, _, _ in gone.values()])
        return [index for _, index, _ in gone.values()]

    def _told(self, future, check_cancelled):
        """What a task told, or the error that ended it; None if it was lost on the way, with its worker perhaps."""
        try:
            if future.status == "error":
                return _within(RESULT_SECONDS, future.exception, check_cancelled)
            if future.status == "finished":
                return _within(RESULT_SECONDS, future.result, check_cancelled)
        except Cancelled:
            raise
        except Exception as error:
            self.notes.append(f"A result was lost ({type(error).__name__}: {error}); it is asked for again.")
            self._ask(self._client.nthreads, check_cancelled)
        return None

    def _lost(self, item, how):
        return SegmentationError(
            f"{failures.name_of(item)} was lost by the Dask scheduler {self._scheduler} ({how}): run again "
            "with the same WORK_DIR; what is finished is not done again."
        )

    def _result(self, told, item):
        from distributed.protocol import deserialize_bytes

        if isinstance(told, self._distributed.KilledWorker):
            raise failures.worker_died(item, "died on each machine that tried it", self.workers)
        if isinstance(told, BaseException):
            raise failures.fault(item, f"{type(told).__name__}: {told}")
        how, what = told
        if how == inside.REFUSED:
            raise SegmentationError(what)
        if how == inside.OUT_OF_MEMORY:
            raise failures.out_of_memory(item, self.workers)
        if how == inside.FAULT:
            raise failures.fault(item, what)
        if isinstance(what, str):
            path = Path(what)
            content = path.read_bytes()
            path.unlink(missing_ok=True)
            return deserialize_bytes(content)
        return deserialize_bytes(what)

    def _check_versions(self, check_cancelled):
        """Python, numpy and dask must be alike where code and arrays are exchanged."""
        found = self._ask(self._client.get_versions, check_cancelled)
        own = _versions(found["client"])
        if not found["workers"]:
            raise SegmentationError(
                f"The Dask scheduler {self._scheduler} has no workers: start some (dask-worker {self._scheduler})."
            )
        others = {f"worker {name}": versions for name, versions in found["workers"].items()}
        for name, versions in {"scheduler": found["scheduler"], **others}.items():
            self._raise_if(self._fault_of_versions(name, _versions(versions), own))

    def _fault_of_versions(self, name, theirs, own):
        """The sentence on what is not alike; empty if all is."""
        wrong = [f"{what} {theirs[what]} instead of {own[what]}" for what in own if theirs[what] != own[what]]
        if name == "scheduler":
            wrong = [text for text in wrong if not text.startswith("numpy")]
        if not wrong:
            return ""
        return (
            f"The Dask {name} of {self._scheduler} runs {', '.join(wrong)}: use the same versions as this QGIS there."
        )

    def _check_workers(self, check_cancelled):
        answers = self._ask(lambda: self._greet(None), check_cancelled)
        for name, answer in answers.items():
            self._raise_if(self._fault_of(name, answer))
            self._checked[name] = ""

    def _greet(self, workers):
        return self._client.run(
            greeting_caller(), self._code, str(self._raster.path), workers=workers, on_error="return"
        )

    def _ask_newcomer(self, name):
        """As at the start, but beside the run, which gives a worker no task before it has answered."""
        wrong = self._fault_of_newcomer(name)
        self._checked[name] = wrong
        if wrong and self._client is not None:
            self.notes.append(f"A worker that has joined is left out: {wrong}")

    def _fault_of_newcomer(self, name):
        """The sentence on why a worker cannot take part; empty if it can."""
        from distributed.versions import get_versions

        try:
            told = self._client.run(get_versions, workers=[name])[name]
            wrong = self._fault_of_versions(f"worker {name}", _versions(told), _versions(get_versions()))
            return wrong or self._fault_of(name, self._greet([name])[name])
        except Exception as error:  # it may be gone again, or anything may be wrong with it
            return f"The Dask worker {name} does not answer ({str(error) or type(error).__name__}): start it anew."

    def _fault_of(self, name, answer):
        """What is wrong with the answer of a worker to the greeting, as a sentence."""
        if isinstance(answer, BaseException):
            return (
                f"The Dask worker {name} cannot work ({type(answer).__name__}: {answer}): it must see WORK_DIR "
                f"{self._folder}, and needs numpy and GDAL."
            )
        seen, there = answer
        if seen != [self._raster.width, self._raster.height]:
            return (
                f"The Dask worker {name} cannot read {self._raster.path} "
                f"({there if seen is None else 'another raster'}): "
                "the input must be on storage that all workers see, under the same path."
            )
        host = facts()
        if there["gdal"].split(".")[:2] != host["gdal"].split(".")[:2]:
            self.notes.append(f"The Dask worker {name} has GDAL {there['gdal']}, this QGIS {host['gdal']}.")
        return ""

    @staticmethod
    def _raise_if(wrong):
        if wrong:
            raise SegmentationError(wrong)

    def _ask(self, question, check_cancelled):
        """An answer of the scheduler, within a time limit."""
        try:
            return _within(ANSWER_SECONDS, question, check_cancelled)
        except (OSError, TimeoutError, RuntimeError) as error:
            raise SegmentationError(
                f"The Dask scheduler {self._scheduler} does not answer any more "
                f"({str(error) or type(error).__name__}): "
                "run again with the same WORK_DIR; what is finished is not done again."
            ) from error

    def _save(self, name, content):
        path = self._folder / f"tiledseg-{name}"
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(content)
        os.replace(partial, path)
        self._files.append(name)
        return str(path)

    def _discard(self, name):
        (self._folder / f"tiledseg-{name}").unlink(missing_ok=True)
        if name in self._files:
            self._files.remove(name)

    def _drop_futures(self):
        futures = [future for future, _, _ in self._futures.values()]
        self._futures.clear()
        self._forget(futures)

    def _forget(self, futures):
        if futures and self._client is not None:
            threading.Thread(target=quietly, args=(self._client.cancel, futures), daemon=True).start()


def _within(seconds, function, check_cancelled):
    """What a function gives, waited for no longer than so many seconds.

    Raises
    ------
    TimeoutError
    """
    outcome: queue.SimpleQueue = queue.SimpleQueue()

    def call():
        try:
            outcome.put((function(), None))
        except Exception as error:
            outcome.put((None, error))

    threading.Thread(target=call, daemon=True).start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            result, error = outcome.get(timeout=POLL_SECONDS)
        except queue.Empty:
            check_cancelled()
            continue
        if error is not None:
            raise error
        return result
    raise TimeoutError(f"no answer within {seconds:.0f} s")


def _versions(told):
    """Of what must be alike: {name: version}, as dask reports them."""
    packages = told.get("packages", {})
    python = ".".join(str(packages.get("python", "?")).split(".")[:2])
    return {"Python": python, **{name: packages.get(name) for name in ("numpy", "dask", "distributed")}}
