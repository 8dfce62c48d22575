# SPDX-License-Identifier: GPL-2.0-or-later
"""A function in a process of its own with limits of time and memory, and how that ended (Linux, macOS).

The process that calls this starts no threads of its own, as it is forked for each call: what it has imported need not
be imported again.
"""

import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

PAUSE = 0.005


@dataclass(frozen=True)
class Limits:
    """seconds : of the clock; memory : bytes of address space"""

    seconds: float = 60.0
    memory: int = 6 << 30


@dataclass(frozen=True)
class Ended:
    """How it ended.

    result : what the function returned, or None
    fault : what went wrong, in one line; empty if nothing did
    said : all that was written to stdout and stderr
    seconds : of processor time
    """

    result: Any
    fault: str
    said: str
    seconds: float = 0.0


class Isolated:
    """A function that runs in a process of its own.

    Parameters
    ----------
    function : takes nothing; its result is written as JSON
    folder : an empty folder for what the process says, and its temporary and current folders
    """

    def __init__(self, function: Callable[[], Any], folder: Path, limits: Limits):
        self.folder, self.limits = folder, limits
        for name in ("tmp", "cwd"):
            (folder / name).mkdir()
        self.started, self.processor = time.monotonic(), 0.0
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            _inside(function, folder, limits)

    def poll(self) -> Optional[Ended]:
        """How it ended, or None while it runs."""
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        late = time.monotonic() - self.started > self.limits.seconds
        if not pid and not late:
            return None
        if not pid:
            self._kill()
            os.waitpid(self.pid, 0)
            return self._ended(f"hang: not ended after {self.limits.seconds:.0f} s")
        self.processor = usage.ru_utime + usage.ru_stime
        others = self._kill()
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            return self._ended(f"crash: {signal.Signals(-code).name}")
        if code:
            return self._ended(self._last_line(code))
        return self._ended("processes are left running" if others else self._left())

    def wait(self) -> Ended:
        while (ended := self.poll()) is None:
            time.sleep(PAUSE)
        return ended

    def _kill(self) -> bool:
        """End all of the process's group; whether any was there."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def _ended(self, fault: str) -> Ended:
        result = self.folder / "result.json"
        found = json.loads(result.read_text("utf-8")) if result.exists() and not fault else None
        return Ended(found, fault, (self.folder / "said.txt").read_text("utf-8", "replace"), self.processor)

    def _last_line(self, code: int) -> str:
        lines = (self.folder / "said.txt").read_text("utf-8", "replace").strip().splitlines()
        return f"traceback: {lines[-1]}" if lines else f"exit status {code}"

    def _left(self) -> str:
        """Files in the temporary and the current folder."""
        left = [
            str(path.relative_to(self.folder)) for name in ("tmp", "cwd") for path in (self.folder / name).iterdir()
        ]
        return f"leftovers: {sorted(left)}" if left else ""


def _inside(function: Callable[[], Any], folder: Path, limits: Limits) -> None:
    """The process itself; does not return."""
    code = 1
    try:
        os.setsid()
        said = os.open(folder / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number in (1, 2):
            os.dup2(said, number)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
        os.chdir(folder / "cwd")
        result = function()
        (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
