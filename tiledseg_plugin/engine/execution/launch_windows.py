# SPDX-License-Identifier: GPL-2.0-or-later
"""The start of a worker on Windows: as `multiprocess` does it, but with a program and environment of its own.

`multiprocess` takes both from settings of the whole process, in which other plugins read at the same moment.
"""

import os
import subprocess  # nosec B404 - for the quoting of a command line
import sys
from typing import Any, Callable, Dict, List, Optional

from multiprocess import context, popen_spawn_win32, reduction, util

CREATE_NO_WINDOW = 0x08000000


class Popen(popen_spawn_win32.Popen):
    """A process that has been started.

    Parameters
    ----------
    process : the multiprocess Process that runs there
    launch : launch.Launch
    prepared : what the child does before anything else, as plain values
    command : function of the program and handles, see `launch.command`
    """

    def __init__(self, process: Any, launch: Any, prepared: Dict[str, Any], command: Callable[..., List[str]]) -> None:
        import _winapi
        import msvcrt

        program, environment = program_of(launch.candidate.path), dict(launch.environment)
        if popen_spawn_win32.WINENV and os.path.normcase(program) == os.path.normcase(sys.executable):
            # the python.exe of a virtual environment would start another one, which is the worker then
            program, environment["__PYVENV_LAUNCHER__"] = sys._base_executable, sys.executable
        reads, writes = _winapi.CreatePipe(None, 0)
        line = subprocess.list2cmdline(command(program, parent_pid=os.getpid(), pipe_handle=reads))
        with open(msvcrt.open_osfhandle(writes, 0), "wb", closefd=True) as pipe:
            try:
                handle, thread, self.pid, _ = _winapi.CreateProcess(
                    program, line, None, None, False, CREATE_NO_WINDOW, environment, None, None
                )
            except BaseException:
                _winapi.CloseHandle(reads)
                raise
            _winapi.CloseHandle(thread)
            self.returncode: Optional[int] = None
            self._handle, self.sentinel = handle, int(handle)
            self.finalizer = util.Finalize(self, popen_spawn_win32._close_handles, (self.sentinel, int(reads)))
            context.set_spawning_popen(self)
            try:
                reduction.dump(prepared, pipe)
                reduction.dump(process, pipe)
            finally:
                context.set_spawning_popen(None)


def program_of(python: str) -> str:
    """The one beside it that opens no console window, where there is one."""
    windowless = os.path.join(os.path.dirname(python), "pythonw.exe")
    return windowless if os.path.isfile(windowless) else python
