# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs in the process that `compiling` starts: it compiles kernels, and marks each as ready or as failed."""

import gc
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, Sequence

from ..files.ownership import Occupied, Ownership
from ..kernels import machine_code
from .compiling import OTHER_PYTHON

LIFE_SECONDS = 600.0  # whatever happens, it is gone then
CALM_NICE = 19
LOOK_SECONDS = 0.5  # between looks whether a run waits


def main(order: Dict[str, Any]) -> int:
    """The process; returns its exit code.

    Parameters
    ----------
    order : as `Compiling` writes it
    """
    end = threading.Timer(LIFE_SECONDS, os._exit, (1,))
    end.daemon = True
    end.start()
    if order["calm"] and sys.platform != "win32":
        os.nice(CALM_NICE)
        with suppress(OSError):  # Linux shares cores out between sessions first, and this process has one of its own
            Path("/proc/self/autogroup").write_text(str(CALM_NICE))
    try:
        if str(machine_code.folder()) != order["folder"]:
            return OTHER_PYTHON
        ownership = Ownership(machine_code.folder())
    except ImportError:
        return OTHER_PYTHON
    except Occupied:  # the one at work takes up what is marked as wanted
        return 0
    if order["calm"]:
        threading.Thread(target=_make_room, daemon=True).start()
    try:
        machine_code.remove_unused([machine_code.folder()])
        compile_wanted(order["entries"])
    finally:
        ownership.release()
    return 0


def _make_room() -> None:
    """End, where a run of another program waits: it has what is left compiled with its share of the machine."""
    while machine_code.EVERYTHING not in machine_code.marked(machine_code.URGENT):
        time.sleep(LOOK_SECONDS)
    os._exit(0)  # what is compiled is there, and ends of any kind leave no halves


def compile_wanted(entries: Sequence[str]) -> None:
    """Compile these entries, and then what else is wanted, until nothing is."""
    try:
        from ..kernels.growing import import_compiled

        import_compiled()
        from ..kernels.compiled.recipes import make
    except Exception as error:  # numba breaks in many ways (ABI of numpy, LLVM, caches)
        machine_code.mark(machine_code.EVERYTHING, machine_code.FAILED, _sentence_of(error))
        return
    machine_code.unmark(machine_code.EVERYTHING, machine_code.FAILED)
    gc.set_threshold(200_000, 20, 100)  # numba makes many objects, few of them garbage: to look for it took a sixth
    waiting = list(entries)
    done = set()
    while waiting:
        entry = waiting.pop(0)
        if entry not in done:
            done.add(entry)
            try:
                make(entry)
            except Exception as error:
                machine_code.mark(entry, machine_code.FAILED, _sentence_of(error))
            else:
                machine_code.mark(entry, machine_code.READY)
        machine_code.unmark(entry, machine_code.WANTED)
        waiting = waiting or sorted(machine_code.marked(machine_code.WANTED) - done)


def _sentence_of(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
