# SPDX-License-Identifier: GPL-2.0-or-later
"""One worker process, seen from the parent: started, asked, watched and ended, each with a time limit."""

import itertools
import os
import signal
import tempfile
import threading
import time
from typing import Any, Callable, Dict, Optional

from ..errors import Cancelled
from . import worker as inside
from .interpreter import Candidate

POLL_SECONDS = 0.05
SILENCE_SECONDS = 300.0  # without a beat of a process that runs
CLOSE_SECONDS = 1.0

_numbers = itertools.count(1)


class WorkerDied(Exception):
    """A worker is gone, or as good as gone: how, as part of a sentence that begins with "its worker process"."""


class Worker:
    """One process and the pathos pool that holds it.

    Raises
    ------
    WorkerDied : by all calls
    """

    def __init__(self, candidate: Candidate, environment: Dict[str, str], silence: float = SILENCE_SECONDS) -> None:
        from multiprocess.connection import Pipe
        from pathos.pools import ProcessPool

        from .launch import Launch, settle_queues

        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the worker lives
        launch = Launch(candidate, environment, self._output)
        self._beats, beats = Pipe(duplex=False)
        self._name = f"tiledseg-{os.getpid()}-{next(_numbers)}"
        self._states = ProcessPool.__state__
        self.peak_memory = 0
        self._silence = silence
        self.stage: Optional[int] = None
        self._closing = False
        self._tidying: Any = None
        self._lock = threading.Lock()
        try:
            self._pool = ProcessPool(
                nodes=1, id=self._name, context=launch, initializer=inside.begin, initargs=(beats,)
            )
            settle_queues(self._states[self._name])
        except Exception:
            self._output.close()
            raise
        finally:
            beats.close()
        self._process: Any = launch.process
        self.pid = self._process.pid

    def call(self, limit: Optional[float], function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function returns in the worker, waited for as long as the process shows signs of life.

        Parameters
        ----------
        limit : seconds after which the process is given up all the same; None for none
        """
        if self._closing:
            raise Cancelled()
        result = self._pool.apipe(function, *arguments)
        silent, before = 0.0, time.monotonic()
        begun = before
        while True:
            result.wait(POLL_SECONDS)
            if result.ready():
                return self._answer(result)
            if self._closing:
                raise Cancelled()
            if self._process.exitcode is not None:
                result.wait(2 * POLL_SECONDS)  # its last words may be on the way
                if result.ready():
                    return self._answer(result)
                raise WorkerDied(self._how_it_ended())
            now = time.monotonic()
            # Counted in small steps: a computer that slept has not waited.
            silent = 0.0 if self._has_beaten() else silent + min(now - before, 1.0)
            before = now
            if silent > self._silence:
                self.kill()
                raise WorkerDied(f"gave no sign of life for {self._silence:.0f} s")
            if limit is not None and now - begun > limit:
                self.kill()
                raise WorkerDied(f"did not answer within {limit:.0f} s")

    def _answer(self, result: Any) -> Any:
        try:
            return result.get(0)
        except BrokenPipeError:
            self._process.join(CLOSE_SECONDS)
            raise WorkerDied(self._how_it_ended()) from None

    def is_alive(self) -> bool:
        return not self._closing and self._process.exitcode is None

    def _has_beaten(self) -> bool:
        beaten = False
        try:
            while self._beats.poll():
                self._beats.recv_bytes()
                beaten = True
        except (EOFError, OSError):
            return False
        return beaten

    def _how_it_ended(self) -> str:
        code = self._process.exitcode
        if code is not None and code < 0:
            try:
                return f"was ended by signal {-code} ({signal.Signals(-code).name})"
            except ValueError:
                return f"was ended by signal {-code}"
        try:
            self._output.seek(0)
            lines = self._output.read()[-4000:].decode("utf-8", "replace").strip().splitlines()
        except (OSError, ValueError):
            lines = []
        return f"ended with exit code {code}" + (f" ({lines[-1].strip()})" if lines else "")

    def kill(self) -> None:
        """End the process, whatever it does."""
        if self._process.exitcode is None:
            try:
                self._process.kill()
            except (OSError, ValueError):
                pass  # it was quicker

    def close(self) -> threading.Thread:
        """End the process at once; returns the thread that tidies the pool up, which should take no time."""
        with self._lock:
            if not self._closing:
                self._closing = True
                self.kill()
                self._tidying = threading.Thread(target=self._tidy_up, name=self._name, daemon=True)
                self._tidying.start()
        return self._tidying

    def _tidy_up(self) -> None:
        from .launch import end

        try:
            self._process.join(CLOSE_SECONDS)
            end(self._states.pop(self._name))
        finally:
            self._beats.close()
            self._output.close()
