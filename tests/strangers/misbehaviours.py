# SPDX-License-Identifier: GPL-2.0-or-later
"""What an operation could do to an onlooker, done on purpose: that each is seen for what it is. Prints JSON."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .command import judge
from .isolation import Isolated, Limits
from .snapshot import changes, snapshot

GOOD = {"kind": "right", "text": "as it should be"}
LIMITS = Limits(seconds=3, memory=1 << 30)


def nothing(folder: Path) -> dict:
    return GOOD


def crash(folder: Path) -> dict:
    os.kill(os.getpid(), signal.SIGSEGV)
    return GOOD


def abort(folder: Path) -> dict:
    os.abort()
    return GOOD


def hang(folder: Path) -> dict:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
    return GOOD


def hang_with_a_child(folder: Path) -> dict:
    subprocess.run(["sleep", "60"])
    return GOOD


def traceback(folder: Path) -> dict:
    raise ValueError("this is a traceback")


def memory(folder: Path) -> dict:
    return {**GOOD, "text": str(len(bytearray(2 << 30)))}


def message(folder: Path) -> dict:
    print("Warning 1: a line that nobody asked for", file=sys.stderr)
    return GOOD


def leftover(folder: Path) -> dict:
    (Path(tempfile.gettempdir()) / "left.txt").write_text("")
    return GOOD


def leftover_where_it_runs(folder: Path) -> dict:
    Path("left.txt").write_text("")
    return GOOD


def process_left(folder: Path) -> dict:
    subprocess.Popen(["sleep", "60"])
    return GOOD


def changed_input(folder: Path) -> dict:
    status = (folder / "in.tif").stat()
    (folder / "in.tif").write_text("b")
    os.utime(folder / "in.tif", ns=(status.st_atime_ns, status.st_mtime_ns))
    return GOOD


def side_file(folder: Path) -> dict:
    (folder / "in.tif.aux.xml").write_text("")
    return GOOD


def removed_input(folder: Path) -> dict:
    (folder / "in.tif").unlink()
    return GOOD


ALL = (
    nothing,
    crash,
    abort,
    hang,
    hang_with_a_child,
    traceback,
    memory,
    message,
    leftover,
    leftover_where_it_runs,
    process_left,
    changed_input,
    side_file,
    removed_input,
)


def main() -> None:
    """Let each happen in a folder of its own."""
    endings = {}
    for number, act in enumerate(ALL):
        with tempfile.TemporaryDirectory() as place:
            folder, own = Path(place) / "input", Path(place) / str(number)
            folder.mkdir()
            own.mkdir()
            (folder / "in.tif").write_text("a")
            before = snapshot(str(folder))
            ended = Isolated(lambda act=act, folder=folder: act(folder), own, LIMITS).wait()
            ending = judge(ended, changes(before, snapshot(str(folder))))
            endings[act.__name__] = [ending.kind, ending.text]
    print(json.dumps(endings))


if __name__ == "__main__":
    main()
