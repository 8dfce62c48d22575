# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks on an existing Dask cluster (dask.distributed).

Pixels travel by files in WORK_DIR, which all machines see. The engine itself travels there, too, as an archive that
each worker unpacks into a folder of its own: so all run the same version, also workers that join later, and nothing
has to be installed on them but what the engine imports. A worker gets tasks only when it has been checked, also one
that joins later. By the network go only names, digests and small numbers; what is larger than a message ought to be,
such as the sample of a block, goes through a file as well. Nothing out of a file is executed or unpickled before it has
been held against the digest that came by the network: so who can write to WORK_DIR can spoil a run, but not run code.
"""

import queue
import threading
import time
import uuid
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Deque,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Tuple,
)

from ..errors import Cancelled, SegmentationError
from ..files.on_windows import replace_file
from ..progress import Check
from . import failures
from . import worker as inside
from .dask_client import connect, leave, quietly, together, within
from .interpreter import facts
from .runner import Common, Item, Result, Task
from .shipping import Code, Parcel, archive, collect, digest_of, greeting_caller, loading_caller, task_caller

if TYPE_CHECKING:
    from ..files.raster import Raster

CONNECT_SECONDS = 15.0
ANSWER_SECONDS = 60.0
POLL_SECONDS = 0.1
LOOK_SECONDS = 2.0  # between looks at who is there
ALONE_SECONDS = 60.0  # without any worker
RESULT_SECONDS = 20.0
LOSSES = 2  # of one task, after which the run is given up


@dataclass(frozen=True)
class Submitted:
    """A task that the scheduler has: its future, which item it is of, and the workers that may process it."""

    future: Any
    index: int
    workers: FrozenSet[str]


class Numbered(NamedTuple):
    """An item on its way: how manieth of its stage it is, and what it is as bytes."""

    place: int
    content: bytes


class DaskCluster:
    """See `runner.Runner`.

    Parameters
    ----------
    scheduler : address, such as `tcp://host:8786`
    work_dir : folder that all workers see
    raster : which all workers must be able to open
    """

    name = "dask"
    remote, shares_memory = True, False
    peak_memory = 0

    def __init__(self, scheduler: str, work_dir: str, raster: "Raster") -> None:
        try:
            import distributed
        except Exception as error:  # broken installations fail in many ways
            raise SegmentationError(
                f"EXECUTION=dask needs the Python package distributed, which cannot be imported here ({error}): "
                "install it, or choose another execution."
            ) from error
        self.notes: List[str] = []
        self.workers = self.together = 1
        self._scheduler = scheduler
        self._folder = Path(work_dir).absolute()
        self._raster = raster
        self._token = uuid.uuid4().hex[:12]
        self._files: List[str] = []
        self._client: Any = None
        self._code: Code = ("", "", "")  # where the engine lies for the workers
        self._submitted: Dict[str, Submitted] = {}  # {key of the future: what it is of}
        self._checked: Dict[str, str] = {}  # {address of a worker: what is wrong with it or ""}
        self._here: FrozenSet[str] = frozenset()  # those that can do the work
        self._loading: List[Any] = []  # futures, which go with the client
        self._distributed = distributed

    def wait_until_ready(self, check_cancelled: Check) -> None:
        """Connect, and check that every worker can do the work.

        Raises
        ------
        SegmentationError : the scheduler does not answer, or a worker cannot take part
        """
        try:
            self._client = within(
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

    def prepare(self, kernels: str, entries: Tuple[str, ...]) -> None:
        """Have each worker load them; one that joins later does so with its first tile.

        Nobody waits for that, or asks what has become of it: the next task on a worker stands behind it.
        """
        client, key, given = self._client, f"tiledseg-{self._token}", (self._code, kernels, entries)
        self._loading = [
            client.submit(loading_caller(), *given, key=f"{key}-{name}", pure=False, workers=[name])
            for name in sorted(self._here)
        ]

    def run(
        self, task: Task[Common, Item, Result], common: Common, items: Iterable[Item], check_cancelled: Check
    ) -> Iterator[Tuple[Item, Result]]:
        from distributed.protocol import serialize_bytes

        name = f"{self._token}-{uuid.uuid4().hex[:6]}"
        stage = f"stage-{name}.bin"
        content = serialize_bytes((task, common))
        parcel = self._save(stage, content), digest_of(content)
        ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        waiting = items if isinstance(items, deque) else deque(items)
        begun: List[Item] = []
        again: Deque[int] = deque()  # indices of those of them that were lost
        losses: Counter = Counter()
        looked, alone = 0.0, None
        try:
            while again or waiting or self._submitted:
                while (again or waiting) and self._here and len(self._submitted) < 2 * self.workers:
                    if not again:
                        again.append(len(begun))
                        begun.append(waiting.popleft())
                    index = again.popleft()
                    key = f"tiledseg-{name}-{index}-{losses[index]}"
                    future = self._submit(parcel, Numbered(index, serialize_bytes(begun[index])), key)
                    future.add_done_callback(ended.put)
                future = _next(ended)
                check_cancelled()
                lost = []
                if future is not None and future.key in self._submitted:
                    index = self._submitted.pop(future.key).index
                    outcome = self._outcome(future, check_cancelled)
                    if outcome is not None:
                        yield begun[index], self._result(outcome, begun[index])
                    else:
                        lost.append((index, future.status))
                if time.monotonic() - looked > LOOK_SECONDS:
                    looked = time.monotonic()
                    alone = self._look(alone, check_cancelled)
                    lost += [(index, "its workers are gone") for index in self._withdraw()]
                for index, how in lost:
                    if losses[index] == LOSSES:
                        raise self._lost(begun[index], how)
                    losses[index] += 1
                    again.append(index)
        finally:
            self._drop_futures()
            self._discard(stage)  # by which tasks that still run hear that they should stop

    def close(self) -> None:
        """Leave the cluster; tasks that still run end at their next check."""
        for name in list(self._files):
            self._discard(name)
        client, self._client = self._client, None
        if client is not None:
            thread = threading.Thread(target=leave, args=(client,), daemon=True)
            thread.start()
            thread.join(1.0)

    def _submit(self, parcel: Parcel, item: Numbered, key: str) -> Any:
        """Hand a task to the workers that are here; returns its future."""
        future = self._client.submit(
            task_caller(), self._code, parcel, *item, key=key, pure=False, retries=1, workers=sorted(self._here)
        )
        self._submitted[future.key] = Submitted(future, item.place, self._here)
        return future

    def _look(self, alone: Optional[float], check_cancelled: Check) -> Optional[float]:
        """See who is there and can do the work; returns since when there has been nobody, None if there is somebody."""
        threads = self._ask(self._client.nthreads, check_cancelled)
        for name in sorted(threads.keys() - self._checked.keys()):
            self._checked[name] = "is being asked"
            threading.Thread(target=self._ask_newcomer, args=(name,), daemon=True).start()
        self._here = frozenset(name for name in threads if not self._checked[name])
        self.workers = max(1, sum(threads[name] for name in self._here))
        self.together = together({name: threads[name] for name in self._here})
        if self._here:
            return None
        alone = alone or time.monotonic()
        if time.monotonic() - alone > ALONE_SECONDS:
            raise SegmentationError(
                f"The Dask scheduler {self._scheduler} has had no worker for {ALONE_SECONDS:.0f} s that can take part: "
                "start some and run again with the same WORK_DIR; what is finished is not done again."
            )
        return alone

    def _withdraw(self) -> List[int]:
        """Take back the tasks that only workers were to do which are gone; returns which."""
        gone = {key: entry for key, entry in self._submitted.items() if not entry.workers & self._here}
        for key in gone:
            del self._submitted[key]
        self._forget([entry.future for entry in gone.values()])
        return [entry.index for entry in gone.values()]

    def _outcome(self, future: Any, check_cancelled: Check) -> Any:
        """What a task returned, or the error that ended it; None if it was lost, perhaps with its worker."""
        try:
            if future.status == "error":
                return within(RESULT_SECONDS, future.exception, check_cancelled)
            if future.status == "finished":
                return within(RESULT_SECONDS, future.result, check_cancelled)
        except Cancelled:
            raise
        except Exception as error:
            self.notes.append(f"A result was lost ({type(error).__name__}: {error}); it is asked for again.")
            self._ask(self._client.nthreads, check_cancelled)
        return None

    def _lost(self, item: Any, how: str) -> SegmentationError:
        return SegmentationError(
            f"{failures.subject_of(item)} was lost by the Dask scheduler {self._scheduler} ({how}): run again "
            "with the same WORK_DIR; what is finished is not done again."
        )

    def _result(self, outcome: Any, item: Any) -> Any:
        """The result in the outcome of a task; raises what it says instead."""
        from distributed.protocol import deserialize_bytes

        if isinstance(outcome, self._distributed.KilledWorker):
            raise failures.worker_died(item, "died on each machine that tried it", self.workers)
        if isinstance(outcome, BaseException):
            raise failures.fault(item, f"{type(outcome).__name__}: {outcome}")
        how, what = outcome
        if how == inside.REFUSED:
            raise SegmentationError(what)
        if how == inside.OUT_OF_MEMORY:
            raise failures.out_of_memory(item, self.workers)
        if how == inside.FAULT:
            raise failures.fault(item, what)
        if isinstance(what, tuple):
            content = collect(what)
            Path(what[0]).unlink(missing_ok=True)
            return deserialize_bytes(content)
        return deserialize_bytes(what)

    def _check_versions(self, check_cancelled: Check) -> None:
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

    def _fault_of_versions(self, name: str, theirs: Dict[str, Any], own: Dict[str, Any]) -> str:
        """The sentence on what is not alike; empty if all is."""
        wrong = [f"{what} {theirs[what]} instead of {own[what]}" for what in own if theirs[what] != own[what]]
        if name == "scheduler":
            wrong = [text for text in wrong if not text.startswith("numpy")]
        if not wrong:
            return ""
        return (
            f"The Dask {name} of {self._scheduler} runs {', '.join(wrong)}: use the same versions as this QGIS there."
        )

    def _check_workers(self, check_cancelled: Check) -> None:
        answers = self._ask(lambda: self._greet(None), check_cancelled)
        for name, answer in answers.items():
            self._raise_if(self._fault_of(name, answer))
            self._checked[name] = ""

    def _greet(self, workers: Optional[List[str]]) -> Dict[str, Any]:
        return self._client.run(
            greeting_caller(), self._code, str(self._raster.path), workers=workers, on_error="return"
        )

    def _ask_newcomer(self, name: str) -> None:
        """As at the start, but while the run goes on, which hands a worker no task before it has answered."""
        wrong = self._fault_of_newcomer(name)
        self._checked[name] = wrong
        if wrong and self._client is not None:
            self.notes.append(f"A worker that has joined is left out: {wrong}")

    def _fault_of_newcomer(self, name: str) -> str:
        """The sentence on why a worker cannot take part; empty if it can."""
        from distributed.versions import get_versions

        try:
            reported = self._client.run(get_versions, workers=[name])[name]
            wrong = self._fault_of_versions(f"worker {name}", _versions(reported), _versions(get_versions()))
            return wrong or self._fault_of(name, self._greet([name])[name])
        except Exception as error:  # it may be gone again, or anything may be wrong with it
            return f"The Dask worker {name} does not answer ({str(error) or type(error).__name__}): start it anew."

    def _fault_of(self, name: str, answer: Any) -> str:
        """What is wrong with the answer of a worker to the greeting, as a sentence."""
        if isinstance(answer, BaseException):
            return (
                f"The Dask worker {name} cannot work ({type(answer).__name__}: {answer}): it must see WORK_DIR "
                f"{self._folder}, and needs numpy and GDAL."
            )
        seen, there = answer
        if seen != list(self._raster.file_size):
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
    def _raise_if(wrong: str) -> None:
        if wrong:
            raise SegmentationError(wrong)

    def _ask(self, question: Callable[[], Any], check_cancelled: Check) -> Any:
        """An answer of the scheduler, within a time limit."""
        try:
            return within(ANSWER_SECONDS, question, check_cancelled)
        except (OSError, TimeoutError, RuntimeError) as error:
            raise SegmentationError(
                f"The Dask scheduler {self._scheduler} does not answer any more "
                f"({str(error) or type(error).__name__}): "
                "run again with the same WORK_DIR; what is finished is not done again."
            ) from error

    def _save(self, name: str, content: bytes) -> str:
        path = self._folder / f"tiledseg-{name}"
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(content)
        replace_file(partial, path)
        self._files.append(name)
        return str(path)

    def _discard(self, name: str) -> None:
        (self._folder / f"tiledseg-{name}").unlink(missing_ok=True)
        if name in self._files:
            self._files.remove(name)

    def _drop_futures(self) -> None:
        futures = [entry.future for entry in self._submitted.values()]
        self._submitted.clear()
        self._forget(futures)

    def _forget(self, futures: List[Any]) -> None:
        if futures and self._client is not None:
            threading.Thread(target=quietly, args=(self._client.cancel, futures), daemon=True).start()


def _next(ended: "queue.SimpleQueue[Any]") -> Any:
    """A future that has ended; None if there is none soon."""
    try:
        return ended.get(timeout=POLL_SECONDS)
    except queue.Empty:
        return None


def _versions(reported: Dict[str, Any]) -> Dict[str, Any]:
    """Of what must be alike: {name: version}, from what dask reports."""
    packages = reported.get("packages", {})
    python = ".".join(str(packages.get("python", "?")).split(".")[:2])
    return {"Python": python, **{name: packages.get(name) for name in ("numpy", "dask", "distributed")}}
