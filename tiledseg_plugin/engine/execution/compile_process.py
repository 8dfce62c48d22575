# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs in the process that `compiling` starts: it compiles kernels, and marks each as ready or as failed."""

import gc
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, Sequence

from ..files.ownership import Occupied, Ownership
from ..kernels import machine_code
from .compiling import OTHER_PYTHON

LIFE_SECONDS = 600.0  # whatever happens, it is gone then
CALM_NICE = 19


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
    try:
        machine_code.remove_unused([machine_code.folder()])
        compile_wanted(order["entries"])
    finally:
        ownership.release()
    return 0


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
