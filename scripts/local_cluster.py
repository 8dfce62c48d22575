# SPDX-License-Identifier: GPL-2.0-or-later
"""A Dask scheduler with workers on this machine, processes of one thread, as a user would start them. Linux only."""

import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, List

SECONDS_TO_START = 60


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[str]:
    """The address of the scheduler; its processes end with the block. What they say goes into logs in the folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = f"tcp://127.0.0.1:{port}"
    scheduler = _start(folder, "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
    started = [scheduler]
    try:
        for number in range(workers):
            more = ["--nthreads", "1", "--no-dashboard", "--no-nanny", "--local-directory", str(folder / f"w{number}")]
            started.append(_start(folder, "worker", address, *more))
        (folder / "workers.txt").write_text(" ".join(str(process.pid) for process in started[1:]))
        _wait_for(address, workers)
        yield address
    finally:
        for process in started:
            process.kill()
            process.wait()


def _start(folder: Path, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
    log = (folder / f"dask-{program}.log").open("ab")
    command = [sys.executable, "-m", f"distributed.cli.dask_{program}", *arguments]
    environment = {"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False", **os.environ}  # as in the README
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)


def _wait_for(address: str, workers: int) -> None:
    import distributed

    with distributed.Client(address, timeout=SECONDS_TO_START, set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=SECONDS_TO_START)


def cpu_seconds_of_workers(folder: Path) -> float:
    """What the workers of `cluster` have taken of processors so far, from their start."""
    pids: List[str] = (folder / "workers.txt").read_text().split()
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
