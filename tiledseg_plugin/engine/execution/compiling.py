# SPDX-License-Identifier: GPL-2.0-or-later
"""The process that compiles kernels beside whatever else is done, so that nobody waits for them.

One at a time works for a cache, whoever has started it: it holds the mark of the folder (see `files.ownership`). It
outlives the run, as the next one needs the kernels, too, and ends when all that is wanted is there, or after
`compile_process.LIFE_SECONDS`; nothing is left for anybody to end.
"""

import json
import os
import subprocess  # nosec B404 - only ever given an interpreter that is this installation's own by its name
import sys
import threading
from typing import Dict, List, Optional, Sequence

from ..files.ownership import is_occupied
from ..kernels import machine_code
from .interpreter import Candidate, candidates, reason_to_skip, worker_environment

OTHER_PYTHON = 3  # exit code: not the Python, numba or machine that kernels are wanted for
MOST_BAD_ENDS = 2  # of processes that were killed or crashed, after which this process starts no more
MODULE = f"{__package__}.compile_process"
PROGRAM = (
    "import json, sys; order = json.load(sys.stdin); sys.path[:] = order['path']; "
    "from importlib import import_module; sys.exit(import_module(order['module']).main(order))"
)


class Compiling:
    """Starts the process where it is needed. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._left: Optional[List[Candidate]] = None
        self._bad_ends = 0
        self._is_calm = False

    def request(self, entries: Sequence[str], calm: bool = False) -> str:
        """Have entries compiled, in their order, before others that are wanted.

        Parameters
        ----------
        calm : whether there is time, and everything else on the machine goes first

        Returns
        -------
        why nothing can be compiled here; empty if it can
        """
        with self._lock:
            try:
                wanted = machine_code.marked(machine_code.WANTED)
                for entry in entries:
                    if entry not in wanted:
                        machine_code.mark(entry, machine_code.WANTED)
                if self._is_calm and not calm and self.is_at_work:
                    self._end_calm_one()
                if not self.is_at_work and not is_occupied(machine_code.folder()):
                    machine_code.unmark(machine_code.EVERYTHING, machine_code.URGENT)
                    return self._start(entries, calm)
                if not self.is_at_work and not calm:  # that of another program, if it is a calm one, makes room
                    machine_code.mark(machine_code.EVERYTHING, machine_code.URGENT)
            except (ImportError, OSError) as error:
                return f"{type(error).__name__}: {error}"
        return ""

    @property
    def is_at_work(self) -> bool:
        """Whether the process that was started here still runs."""
        return self._process is not None and self._process.poll() is None

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the process that was started here; whether there is none any more."""
        process = self._process
        try:
            return process is None or process.wait(seconds) is not None
        except subprocess.TimeoutExpired:
            return False

    def _start(self, entries: Sequence[str], calm: bool) -> str:
        if self._left is None:
            self._left = [one for one in candidates() if not reason_to_skip(one)]
        if not self._left:
            return "no Python was found that can compile them beside a run"
        if self._bad_ends >= MOST_BAD_ENDS:
            return "the process that compiles them was ended or crashed"
        candidate = self._left[0]
        order = {
            "path": [path or os.getcwd() for path in sys.path],
            "module": MODULE,
            "folder": str(machine_code.folder()),
            "entries": list(entries),
            "calm": calm,
        }
        self._process, self._is_calm = _launch(candidate, order, calm), calm
        threading.Thread(target=self._watch, args=(self._process, candidate), daemon=True).start()
        return ""

    def _end_calm_one(self) -> None:
        """What it has compiled is there; the rest is left to one that gets its share of the machine."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _watch(self, process: "subprocess.Popen[bytes]", candidate: Candidate) -> None:
        """Learn from how it ends; on POSIX a process whose end nobody asks for stays in the table of processes."""
        code = process.wait()
        with self._lock:
            if code == OTHER_PYTHON and self._left and self._left[0] == candidate:
                del self._left[0]
            elif code and process is self._process:
                self._bad_ends += 1


def _launch(candidate: Candidate, order: Dict[str, object], calm: bool) -> "subprocess.Popen[bytes]":
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    if calm:
        flags |= getattr(subprocess, "IDLE_PRIORITY_CLASS", 0)
    process = subprocess.Popen(  # noqa: S603  # nosec B603 - see above
        [candidate.path, "-s", "-c", PROGRAM],
        env=worker_environment(candidate),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # what ends the run from the keyboard does not end it
        creationflags=flags,
    )
    if process.stdin is not None:
        try:
            with process.stdin as pipe:
                pipe.write(json.dumps(order).encode())
        except OSError:  # it has ended already, which its exit code says
            pass
    return process


shared = Compiling()  # by all of this process
