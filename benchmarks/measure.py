# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a command and measure it: wall time, processor time, and the peak memory of each of its processes.

Whoever measures must be small itself: Linux lets a new process inherit the peak of the one that started it. So this
module, and the one that calls it, import nothing outside the standard library.
"""

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List

SAMPLE_SECONDS = 0.2  # a look takes time of a core that the command may want
PATIENCE_SECONDS = 5.0


@dataclass
class Measured:
    """How a command ran.

    peak_memory : the most resident memory of its first process, bytes
    children : the other processes of its tree as {"name", "peak_memory"}, the largest first
    said : the end of what it wrote to stderr and stdout
    """

    returncode: int
    seconds: float
    cpu_seconds: float
    peak_memory: int
    children: List[dict] = field(default_factory=list)
    timed_out: bool = False
    said: str = ""

    def failure(self) -> str:
        """Why the run does not count; empty if it does."""
        if self.timed_out:
            return f"stopped after {self.seconds:.0f} s"
        if self.returncode:
            lines = [line for line in self.said.splitlines() if line.strip()]
            return f"exit code {self.returncode}: {lines[-1].strip() if lines else 'nothing was said'}"
        return ""


def measure(command, environment, folder, time_limit):
    """Run a command in a folder and wait for it.

    Parameters
    ----------
    command : list of str
    environment : dict, None for that of this process
    folder : Path, the current folder of the command, for its log as well
    time_limit : seconds, after which it is killed with all that it started

    Returns
    -------
    Measured
    """
    log = Path(folder) / "log.txt"
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        watch = _Watch(process.pid, started + time_limit)
        watch.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # the benchmark itself is stopped
            watch.stop()
            process.wait()
            watch.end()
            raise
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        watch.end()
    own = watch.peaks.pop(process.pid, ("", 0))[1]
    children = [{"name": name, "peak_memory": peak} for name, peak in watch.peaks.values()]
    # the kernel's own figure knows the last moments too, but it may be inherited, or that of a child that has ended
    peak = usage.ru_maxrss * 1024
    is_own = peak > (_peak_of("self") or 0) and not (own and children)
    return Measured(
        returncode=process.returncode,
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_memory=max(own, peak) if is_own else own,
        children=sorted(children, key=lambda child: -child["peak_memory"]),
        timed_out=watch.timed_out,
        said=log.read_text("utf-8", "replace")[-4000:],
    )


class _Watch(threading.Thread):
    """Samples the peaks of a tree of processes, and kills it when its time is over."""

    def __init__(self, pid, deadline):
        super().__init__(daemon=True)
        self.pid, self.deadline = pid, deadline
        self.peaks: Dict[int, tuple] = {}
        self.timed_out = self._stopped = False
        self._ended = threading.Event()

    def run(self):
        while not self._ended.wait(SAMPLE_SECONDS):
            for pid in tree(self.pid):
                peak = _peak_of(pid)
                if peak:
                    self.peaks[pid] = (_name_of(pid), peak)
            if time.monotonic() > self.deadline:
                self.timed_out = True
            if self.timed_out or self._stopped:
                self._kill()

    def stop(self):
        """Kill the processes at the next look."""
        self._stopped = True

    def end(self):
        """The first process has ended; of a tree that was killed, none may run on."""
        self._ended.set()
        self.join()
        if self.timed_out or self._stopped:
            self._signal(signal.SIGKILL)

    def _kill(self):
        self._signal(signal.SIGTERM)
        if not self._ended.wait(PATIENCE_SECONDS):
            self._signal(signal.SIGKILL)

    def _signal(self, kind):
        try:
            os.killpg(self.pid, kind)
        except ProcessLookupError:  # all have ended
            pass


def tree(pid):
    """A process and all that descend from it, as far as /proc says."""
    found, todo = [], [pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                todo += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
        except (OSError, ValueError):  # it has ended, or the kernel does not tell
            continue
    return found


def _peak_of(pid):
    """Bytes; None where the process is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _name_of(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "?"
