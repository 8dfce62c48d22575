# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks on an existing Dask cluster (dask.distributed).

Pixels travel by files in WORK_DIR, which all machines see. The engine itself travels there, too, as an archive that
each worker unpacks into a folder of its own: so all run the same version, also workers that join later, and nothing
has to be installed on them but Python, numpy and GDAL. By the network go only names and small numbers; what
is larger than a message ought to be, such as the sample of a block, goes through a file as well.
"""

import os
import queue
import threading
import time
import uuid
from collections import Counter, deque
from pathlib import Path
from typing import Any, Dict

from ..errors import Cancelled, SegmentationError
from . import failures
from . import worker as inside
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
        self._distributed = distributed

    def wait_until_ready(self, check_cancelled):
        """Connect, and check that every worker can do the work.

        Raises
        ------
        SegmentationError : the scheduler does not answer, or a worker cannot take part
        """
        try:
            self._client = _within(2 * CONNECT_SECONDS, self._connect, check_cancelled)
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
        self.workers = max(1, sum(self._ask(self._client.nthreads, check_cancelled).values()))

    def _connect(self):
        made = []

        class Client(self._distributed.Client):  # type: ignore[name-defined, misc]
            def __init__(self, *arguments, **options):
                made.append(self)
                super().__init__(*arguments, **options)

        try:
            return Client(self._scheduler, timeout=CONNECT_SECONDS, set_as_default=False, name="tiledseg")
        except BaseException:
            for client in made:
                _leave(client)
            raise

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
                while waiting and len(self._futures) < 2 * self.workers:
                    index = waiting.popleft()
                    name = f"tiledseg-{stage[6:-4]}-{index}-{losses[index]}"
                    future = self._client.submit(call, self._code, path, index, key=name, pure=False, retries=1)
                    self._futures[future.key] = (future, index)
                    future.add_done_callback(ended.put)
                try:
                    future = ended.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    future = None
                check_cancelled()
                if future is not None:
                    _, index = self._futures.pop(future.key)
                    told = self._told(future, check_cancelled)
                    if told is not None:
                        yield items[index], self._result(told, items[index])
                    elif losses[index] < LOSSES:
                        losses[index] += 1
                        waiting.appendleft(index)
                    else:
                        raise self._lost(items[index], future.status)
                elif time.monotonic() - looked > LOOK_SECONDS:
                    looked = time.monotonic()
                    alone = self._look(alone, check_cancelled)
        finally:
            self._drop_futures()
            self._discard(stage)  # which also tells tasks that still run to stop

    def close(self):
        """Leave the cluster; tasks that still run end at their next check."""
        for name in list(self._files):
            self._discard(name)
        client, self._client = self._client, None
        if client is not None:
            thread = threading.Thread(target=_leave, args=(client,), daemon=True)
            thread.start()
            thread.join(1.0)

    def _look(self, alone, check_cancelled):
        """See who is there; gives since when there has been no worker, None if there are some."""
        threads = self._ask(self._client.nthreads, check_cancelled)
        self.workers = max(1, sum(threads.values()))
        if threads:
            return None
        alone = alone or time.monotonic()
        if time.monotonic() - alone > ALONE_SECONDS:
            raise SegmentationError(
                f"The Dask scheduler {self._scheduler} has had no worker for {ALONE_SECONDS:.0f} s: start some and run "
                "again with the same WORK_DIR; what is finished is not done again."
            )
        return alone

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
            theirs = _versions(versions)
            wrong = [f"{what} {theirs[what]} instead of {own[what]}" for what in own if theirs[what] != own[what]]
            if name == "scheduler":
                wrong = [text for text in wrong if not text.startswith("numpy")]
            if wrong:
                raise SegmentationError(
                    f"The Dask {name} of {self._scheduler} runs {', '.join(wrong)}: "
                    "use the same versions as this QGIS there."
                )

    def _check_workers(self, check_cancelled):
        host = facts()
        answers = self._ask(
            lambda: self._client.run(greeting_caller(), self._code, str(self._raster.path), on_error="return"),
            check_cancelled,
        )
        for name, answer in answers.items():
            if isinstance(answer, BaseException):
                raise SegmentationError(
                    f"The Dask worker {name} cannot work ({type(answer).__name__}: {answer}): it must see WORK_DIR "
                    f"{self._folder}, and needs numpy and GDAL."
                )
            seen, there = answer
            if seen != [self._raster.width, self._raster.height]:
                raise SegmentationError(
                    f"The Dask worker {name} cannot read {self._raster.path} "
                    f"({there if seen is None else 'another raster'}): "
                    "the input must be on storage that all workers see, under the same path."
                )
            if there["gdal"].split(".")[:2] != host["gdal"].split(".")[:2]:
                self.notes.append(f"The Dask worker {name} has GDAL {there['gdal']}, this QGIS {host['gdal']}.")

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
        futures = [future for future, _ in self._futures.values()]
        self._futures.clear()
        if futures and self._client is not None:
            threading.Thread(target=_quietly, args=(self._client.cancel, futures), daemon=True).start()


def _quietly(function, *arguments):
    try:
        function(*arguments)
    except Exception:
        return  # nobody is there any more to be told


def _leave(client):
    """Close a client for good.

    One that is left open closes itself when it is collected, in whatever thread that happens, which may then wait for
    itself for ever.
    """
    _quietly(client.close, 1.0)
    client.status = "closed"


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
