# SPDX-License-Identifier: GPL-2.0-or-later
"""How a pathos pool starts its one process: by `spawn`, with the interpreter and environment that we choose.

A pool takes its queues and processes from a context. This one differs from that of `multiprocess` in three ways:
the program and its environment belong to the context, not to the whole of `multiprocess`; the queues have no locks,
which a killed worker would keep for ever, and whose semaphores would stay in the system (a pool of one worker needs
none); and a dead worker is not replaced behind our back.
"""

# Private parts of `multiprocess` are used here and in `launch_windows`. `subprocess` with `multiprocess.connection`
# would need none of them, but a pool of pathos can only be had with a context that makes its processes and queues, and
# it uses of them what those of `multiprocess` have (`_popen`, `sentinel`, `_reader`, `get`, `put`). Without these
# parts there would be no pathos pool, but one of our own: the contract of tasks, results and pickling written anew.

import io
import os
import subprocess  # nosec B404 - only ever given the interpreter that passed the handshake
import sys
import tempfile
import threading
from typing import IO, Any, Dict, List, Optional

from multiprocess import connection, context, reduction, spawn, util

from .interpreter import Candidate, import_folders

NEEDED_FIRST = ("multiprocess", "dill")


class Channel:
    """A queue as a pool uses it, for one reader and one writer."""

    def __init__(self) -> None:
        self._reader: Any
        self._reader, self._writer = connection.Pipe(duplex=False)
        self._rlock = _NoLock()
        self._closing = threading.Lock()
        self.ends_by_closing = False

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, "_closing": None}

    def get(self) -> Any:
        return self._reader.recv()

    def put(self, item: Any) -> None:
        if self.ends_by_closing:
            with self._closing:  # several threads of a pool say that it ends
                self._writer.close()
        else:
            self._writer.send(item)

    def empty(self) -> bool:
        return not self._reader.poll()

    def stop_reading(self) -> None:
        """Close the parent's end, from which a pool that ends would read the half message that a killed worker left."""
        self._reader.close()
        self._reader = _Nothing()

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


class _Nothing:
    """In place of the end of a pipe."""

    def poll(self, timeout: float = 0.0) -> bool:
        return False

    def close(self) -> None:
        """Nothing is open."""


class _NoLock:
    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        """Nothing is held."""


def settle_queues(pool: Any) -> None:
    """What is left to do with the queues of a pool once its process has started.

    The parent puts nothing into the queue of results but that there will be no more. It says so by closing it, as a
    message could come after half a message of a worker that was killed.
    """
    pool._inqueue.stop_reading()
    pool._outqueue.ends_by_closing = True


def end(pool: Any) -> None:
    """End a pool whose process has been killed; it returns at once, as nothing in the pool waits any more."""
    pool._cache.clear()  # of answers that will not come
    pool.terminate()
    pool.join()
    for channel in (pool._inqueue, pool._outqueue, pool._change_notifier):
        channel.close()


class WorkerProcess(context.SpawnProcess):
    """The process of a worker, or, where the pool wants to replace one that died, something that never runs."""

    launch: Any = None

    def start(self) -> None:
        if self.launch.process is None:
            self.launch.process = self
            super().start()
        else:
            self._popen = _Stillborn()
            self._sentinel = self._popen.sentinel

    @staticmethod
    def _Popen(process: "WorkerProcess") -> Any:
        return process.launch.popen(process)

    def __getstate__(self) -> Dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "launch"}


class _Stillborn:
    """In place of a process: it seems to run until `terminate` is called, so that the pool leaves it alone."""

    pid = None

    def __init__(self) -> None:
        self.sentinel, self._writer = connection.Pipe(duplex=False)
        self.returncode: Optional[int] = None

    def poll(self, flag: int = 0) -> Optional[int]:
        return self.returncode

    def wait(self, timeout: Optional[float] = None) -> Optional[int]:
        return self.returncode

    def terminate(self) -> None:
        self.returncode = 1
        self._writer.close()

    kill = terminate

    def close(self) -> None:
        self.terminate()
        self.sentinel.close()


class Launch(context.SpawnContext):
    """A context for a pool of one process.

    Parameters
    ----------
    candidate : the interpreter
    environment : of the process
    output : file for what it writes to stdout and stderr (not on Windows, where it has neither)
    """

    def __init__(self, candidate: Candidate, environment: Dict[str, str], output: Optional[IO[bytes]]) -> None:
        super().__init__()
        self.candidate, self.environment, self.output = candidate, environment, output
        self.process: Any = None

    def Process(self, *args: Any, **kwargs: Any) -> WorkerProcess:
        process = WorkerProcess(*args, **kwargs)
        process.launch = self
        return process

    def SimpleQueue(self) -> Channel:
        return Channel()

    def popen(self, process: WorkerProcess) -> Any:
        if sys.platform == "win32":
            from .launch_windows import Popen

            return Popen(process, self, _preparation(process.name), _command)
        return _posix_popen()(process, self)


def _preparation(name: str) -> Dict[str, Any]:
    """What the child does before anything else: the host's sys.path and folder, but not its main program."""
    data = spawn.get_preparation_data(name)
    for key in ("init_main_from_name", "init_main_from_path", "sys_argv"):
        data.pop(key, None)
    own = import_folders(__name__.split(".")[0], *NEEDED_FIRST)
    data["sys_path"] = list(dict.fromkeys([*(path or os.getcwd() for path in data["sys_path"]), *own]))
    data["dir"] = os.getcwd()
    return data


def _command(python: str, **handles: int) -> List[str]:
    """The command line of a worker; `multiprocess` itself may lie where only the host looks.

    dill asks for the temporary folder when it is imported, for which Python tries one with a file, and a worker that
    is killed at that moment would leave that file behind. So the folder is set here.
    """
    arguments = ", ".join(f"{name}={value!r}" for name, value in handles.items())
    code = (
        f"import sys, tempfile; tempfile.tempdir = {tempfile.gettempdir()!r}; "
        f"sys.path += {import_folders(*NEEDED_FIRST)!r}; "
        f"from multiprocess.spawn import spawn_main; spawn_main({arguments})"
    )
    return [python, "-s", "-c", code, "--multiprocessing-fork"]


def _posix_popen() -> Any:
    from multiprocess import popen_spawn_posix

    class Popen(popen_spawn_posix.Popen):
        """As its base, but with a program and environment of its own, and without a resource tracker beside it."""

        def __init__(self, process: WorkerProcess, launch: Launch) -> None:
            self._launcher = launch
            self.returncode: Optional[int] = None
            self._program: Optional[subprocess.Popen] = None
            super().__init__(process)  # which calls `_launch`

        def _launch(self, process: WorkerProcess) -> None:
            message = io.BytesIO()
            context.set_spawning_popen(self)
            try:
                reduction.dump(_preparation(process.name), message)
                reduction.dump(process, message)
            finally:
                context.set_spawning_popen(None)
            parent_reads, child_writes = os.pipe()
            child_reads, parent_writes = os.pipe()
            self.finalizer = util.Finalize(self, util.close_fds, (parent_reads, parent_writes))
            try:
                self._program = subprocess.Popen(  # noqa: S603  # nosec B603 - see above
                    _command(self._launcher.candidate.path, pipe_handle=child_reads),
                    env=self._launcher.environment,
                    pass_fds=[*self._fds, child_reads, child_writes],
                    stdin=subprocess.DEVNULL,
                    stdout=self._launcher.output,
                    stderr=self._launcher.output,
                    start_new_session=True,
                )
            finally:
                os.close(child_reads)
                os.close(child_writes)
            self.pid, self.sentinel = self._program.pid, parent_reads  # of the base, which sets them here, too
            try:
                with open(parent_writes, "wb", closefd=False) as pipe:
                    pipe.write(message.getbuffer())
            except BrokenPipeError:
                pass  # it has died already, as its exit code will say

        def poll(self, flag: int = os.WNOHANG) -> Optional[int]:
            if self.returncode is None and self._program is not None:
                self.returncode = self._program.poll() if flag == os.WNOHANG else self._program.wait()
            return self.returncode

    return Popen
