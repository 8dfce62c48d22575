# SPDX-License-Identifier: GPL-2.0-or-later
"""The start of a worker on Windows, imitated: its environment is the child's alone, and handles are given back."""

import importlib
import io
import os
import pickle
import subprocess
import sys
import types

import pytest
from tiledseg.tiledseg_plugin.engine.execution import processes
from tiledseg.tiledseg_plugin.engine.execution.interpreter import Candidate

pytestmark = [
    pytest.mark.skipif(bool(processes.missing_package()), reason="pathos is not installed"),
    pytest.mark.skipif(sys.platform == "win32", reason="the real thing is there"),
]
PACKAGE = "tiledseg.tiledseg_plugin.engine.execution"


class Windows(types.ModuleType):
    """`_winapi`, as far as a start needs it."""

    INFINITE, WAIT_OBJECT_0, STILL_ACTIVE = -1, 0, 259

    def __init__(self):
        super().__init__("_winapi")
        self.started, self.closed, self.refuses = [], [], False

    def CreatePipe(self, attributes, size):
        return os.pipe()

    def CreateProcess(self, program, line, process, thread, inherit, flags, environment, folder, startup):
        if self.refuses:
            raise PermissionError("blocked by a virus scanner")
        self.started.append((program, line, flags, environment))
        return 1001, 1002, 4711, 4712

    def CloseHandle(self, handle):
        self.closed.append(handle)
        if handle not in (1001, 1002):
            os.close(handle)


@pytest.fixture
def windows(monkeypatch):
    fake, runtime = Windows(), types.ModuleType("msvcrt")
    runtime.open_osfhandle = lambda handle, flags: handle
    monkeypatch.setitem(sys.modules, "_winapi", fake)
    monkeypatch.setitem(sys.modules, "msvcrt", runtime)
    for name in ("STARTUPINFO", "STARTF_FORCEOFFFEEDBACK"):  # which Python 3.14's multiprocess imports
        monkeypatch.setattr(subprocess, name, None, raising=False)
    for name in ("multiprocess.popen_spawn_win32", f"{PACKAGE}.launch_windows"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.import_module(f"{PACKAGE}.launch_windows")
    yield fake
    for name in ("multiprocess.popen_spawn_win32", f"{PACKAGE}.launch_windows"):
        sys.modules.pop(name, None)


class Process:
    """As a process is sent to its child."""

    def __init__(self, name):
        self.name = name


def refuse(*arguments):
    raise AssertionError(f"the environment of the whole process is changed: {arguments[1:]}")


def start(tmp_path, environment, name="python.exe"):
    from tiledseg.tiledseg_plugin.engine.execution.launch import Launch

    python = tmp_path / "a b" / name
    python.parent.mkdir(exist_ok=True)
    python.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        for method in ("__setitem__", "__delitem__"):
            patch.setattr(type(os.environ), method, refuse)
        return Launch(Candidate(str(python)), environment, None).popen(Process("one")), python


def test_only_the_child_has_the_environment_of_a_worker(tmp_path, windows):
    environment = {"PATH": "C:\\x", "GDAL_CACHEMAX": "16"}
    process, python = start(tmp_path, environment)
    ((program, line, flags, given),) = windows.started
    assert (program, given) == (str(python), environment)
    assert given is not environment
    assert flags == 0x08000000  # no console window
    assert process.pid == 4711 and process.returncode is None and process.sentinel == 1001
    assert windows.closed == [1002]


def test_settings_of_multiprocess_stay_as_they_are(tmp_path, windows):
    from multiprocess import spawn

    before = spawn.get_executable(), spawn.get_preparation_data
    start(tmp_path, {})
    assert (spawn.get_executable(), spawn.get_preparation_data) == before


def test_the_command_line_is_one_that_windows_takes_apart_again(tmp_path, windows):
    _, python = start(tmp_path, {})
    line = windows.started[0][1]
    assert line.startswith(f'"{python}" -s -c "import sys, tempfile; ')
    assert line.endswith('" --multiprocessing-fork')
    assert f"parent_pid={os.getpid()}, pipe_handle=" in line
    assert line == subprocess.list2cmdline([str(python), "-s", "-c", line.split('-c "')[1].rsplit('" ')[0],
                                            "--multiprocessing-fork"])  # fmt: skip


def test_a_python_without_a_window_is_preferred(tmp_path, windows):
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "pythonw.exe").touch()
    start(tmp_path, {})
    assert windows.started[0][0] == str(tmp_path / "a b" / "pythonw.exe")


def test_the_child_gets_the_path_of_the_host_and_no_main_program(tmp_path, windows, monkeypatch):
    reads = []
    pipe = os.pipe

    def remember():
        ends = pipe()
        reads.append(ends[0])
        return ends

    monkeypatch.setattr(os, "pipe", remember)
    started = start(tmp_path, {})
    sent = io.BytesIO(os.read(reads[0], 1 << 20))
    prepared, process = pickle.load(sent), pickle.load(sent)
    assert set(filter(None, sys.path)) <= set(prepared["sys_path"])
    assert not {"init_main_from_name", "init_main_from_path", "sys_argv"} & prepared.keys()
    assert process.name == "one"
    assert started[0].pid == 4711


def test_a_start_that_is_refused_leaves_no_handle_open(tmp_path, windows):
    windows.refuses = True
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    with pytest.raises(PermissionError, match="virus scanner"):
        start(tmp_path, {})
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before
