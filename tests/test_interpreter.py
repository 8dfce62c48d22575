# SPDX-License-Identifier: GPL-2.0-or-later
"""Which Python workers run: where it is looked for on each platform, and that only one that answers is used."""

import os
import stat
import sys
import sysconfig
import threading
from pathlib import Path

import pytest
from leftovers import own_workers
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.execution import interpreter, processes
from tiledseg.tiledseg_plugin.engine.execution.interpreter import Candidate, candidates, worker_environment
from time_limit import no_test_hangs  # noqa: F401
from worker_processes import wait_until_gone

needs_pathos = pytest.mark.skipif(bool(processes.missing_package()), reason="pathos is not installed")
needs_scripts = pytest.mark.skipif(sys.platform == "win32", reason="fake interpreters are shell scripts")


def paths(**host):
    return [candidate.path for candidate in candidates(environ={}, executable="", **host)]


@pytest.mark.parametrize(
    "platform, prefix, first",
    [
        ("win32", r"C:\OSGeo4W\apps\Python312", r"C:\OSGeo4W\apps\Python312\python.exe"),
        ("win32", r"C:\Program Files\QGIS 3.34\apps\Python39", r"C:\Program Files\QGIS 3.34\apps\Python39\python.exe"),
        ("win32", r"C:\miniforge\envs\qgis", r"C:\miniforge\envs\qgis\python.exe"),
        ("darwin", "/Applications/QGIS.app/Contents/MacOS", "/Applications/QGIS.app/Contents/MacOS/bin/python3.9"),
        ("darwin", "/Applications/QGIS 4.app/Contents/Frameworks", "/Applications/QGIS 4.app/Contents/MacOS/python"),
        ("linux", "/usr", "/usr/bin/python3.9"),
        ("linux", "/app", "/app/bin/python3.9"),
        ("linux", "/home/a b/miniforge/envs/qgis", "/home/a b/miniforge/envs/qgis/bin/python3.9"),
    ],
)
def test_the_first_candidate_is_the_python_of_the_installation(platform, prefix, first):
    assert paths(platform=platform, prefix=prefix, base_prefix=prefix, version=(3, 9))[0] == first


def test_windows_looks_in_the_bin_folder_too():
    found = paths(platform="win32", prefix=r"C:\OSGeo4W\apps\Python39", base_prefix=r"C:\OSGeo4W\apps\Python39")
    assert r"C:\OSGeo4W\bin\python.exe" in found


def test_macos_bundle_sets_the_home_of_its_own_python():
    frameworks = "/Applications/QGIS.app/Contents/Frameworks"
    found = candidates("darwin", frameworks, frameworks, "", (3, 12), {})
    assert Candidate("/Applications/QGIS.app/Contents/MacOS/python3.12", frameworks) in found
    assert found[0].home is None  # the wrapper sets it itself


def test_macos_looks_where_vcpkg_puts_it():
    assert "/vcpkg/tools/python3/python3.12" in paths(
        platform="darwin", prefix="/vcpkg", base_prefix="/vcpkg", version=(3, 12)
    )


def test_sys_executable_comes_last():
    found = candidates("linux", "/usr", "/usr", "/home/me/.pyenv/shims/python3", (3, 11), {})
    assert found[-1].path == "/home/me/.pyenv/shims/python3"


def test_pythonhome_of_the_host_is_tried_first_and_then_left_out():
    found = candidates("linux", "/usr", "/usr", "", (3, 11), {"PYTHONHOME": "/rubbish"})
    assert found[0] == Candidate("/usr/bin/python3.11", "/rubbish")
    assert Candidate("/usr/bin/python3.11", None) in found


def test_the_variable_names_the_only_candidate():
    assert candidates(environ={"TILEDSEG_PYTHON": "/opt/python3"}) == [Candidate("/opt/python3")]


def fake(path, script):
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + script + "\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return Candidate(str(path))


WORKING = f'exec "{sys.executable}" "$@"'


@needs_scripts
@pytest.mark.parametrize("name", ["QGIS", "qgis-bin.exe", "qgis.bin", "perl"])
def test_a_program_that_is_not_called_python_is_never_started(tmp_path, name):
    marker = tmp_path / "started"
    candidate = fake(tmp_path / "bin" / name, f"touch '{marker}'")
    assert "not a Python by its name" in interpreter.reason_to_skip(candidate)
    link = tmp_path / "python3"
    link.symlink_to(candidate.path)
    assert "not a Python by its name" in interpreter.reason_to_skip(Candidate(str(link)))
    assert not marker.exists()


@needs_scripts
@pytest.mark.parametrize("name", ["python", "python3", "python3.12", "python.exe", "pythonw.exe", "Python"])
def test_names_of_pythons_are_known(tmp_path, name):
    assert interpreter.reason_to_skip(fake(tmp_path / name, WORKING)) == ""


@pytest.fixture
def find(monkeypatch):
    """What `Processes` finds among given candidates: (the candidate or None, what was tried)."""
    monkeypatch.setattr(processes, "_builds", {})
    monkeypatch.setattr(processes, "START_SECONDS", 8.0)

    def find(*wanted):
        monkeypatch.setattr(processes, "candidates", lambda: list(wanted))
        execution = processes.Processes(1)
        try:
            execution.wait_until_ready()
            return execution.interpreter, execution.tried
        except processes.Unavailable as error:
            return None, [str(error)]
        finally:
            execution.close()
            assert not wait_until_gone(own_workers(), 2)

    return find


@needs_pathos
@needs_scripts
@pytest.mark.parametrize(
    "layout",
    [
        "OSGeo4W/apps/Python312/python.exe",
        "QGIS.app/Contents/MacOS/python",
        "QGIS.app/Contents/MacOS/bin/python3.9",
        "größe und leerzeichen/bin/python3",
    ],
)
def test_the_first_that_answers_is_used(tmp_path, find, layout):
    missing = Candidate(str(tmp_path / "nowhere" / "python3"))
    dying = fake(tmp_path / "dying" / "python3", "echo 'cannot load library' >&2; exit 127")
    working = fake(tmp_path / layout, WORKING)
    found, tried = find(missing, dying, working)
    assert found == working
    assert "does not exist" in tried[0]
    assert "exit code 127 (cannot load library)" in tried[1]


@needs_pathos
@needs_scripts
def test_one_that_opens_a_window_and_never_answers_is_ended(tmp_path, find, monkeypatch):
    monkeypatch.setattr(processes, "START_SECONDS", 1.0)
    found, tried = find(fake(tmp_path / "python3", "exec sleep 600"))
    assert found is None
    assert "did not answer within 1 s" in tried[0]


@needs_pathos
@needs_scripts
def test_another_build_of_python_is_refused_although_it_starts(find):
    other = Path(os.environ.get("TILEDSEG_OTHER_PYTHON", Path.home() / ".pyenv" / "shims" / "python3"))
    if not other.exists():
        pytest.skip("no other Python here; TILEDSEG_OTHER_PYTHON can name one")
    found, _ = find(Candidate(str(other)))
    assert found is None


def test_the_binary_interface_is_known_while_another_thread_reads_the_configuration_of_python(monkeypatch):
    expected = interpreter.facts()["abi"]
    monkeypatch.setattr(sysconfig, "_CONFIG_VARS", {})
    assert interpreter.facts()["abi"] == expected != ""


def test_the_handshake_compares_what_would_break():
    host = interpreter.facts()
    assert interpreter.reason_to_refuse(host, host) == ""
    for name, value, word in (
        ("abi", "cpython-38-darwin", "binary interface"),
        ("pointer", 4, "word size"),
        ("numpy", "0.1", "numpy"),
        ("gdal", "1.0", "GDAL"),
        ("version", [2, 7, 18], "Python 2.7.18"),
        ("geotiff", False, "GeoTIFF"),
    ):
        assert word in interpreter.reason_to_refuse({**host, name: value}, host)
    assert not interpreter.is_the_same_build({**host, "base_prefix": "/elsewhere"}, host)


def test_environment_keeps_what_the_build_needs_and_drops_what_would_disturb():
    host = {
        "PATH": "/a",
        "PROJ_LIB": "/proj",
        "LD_LIBRARY_PATH": "/lib",
        "PYTHONPATH": "/rubbish",
        "PYTHONHOME": "/rubbish",
        "PYTHONSTARTUP": "x.py",
        "PYTHONWARNINGS": "error",
        "QT_QPA_PLATFORM": "xcb",
        "QGIS_PREFIX_PATH": "/usr",
        "LD_PRELOAD": "x.so",
        "VIRTUAL_ENV": "/venv",
    }
    made = worker_environment(Candidate("/usr/bin/python3"), 2, environ=host)
    assert {name for name in host if name in made} == {"PATH", "PROJ_LIB", "LD_LIBRARY_PATH"}
    assert made["OMP_NUM_THREADS"] == made["GDAL_NUM_THREADS"] == "1"
    assert worker_environment(Candidate("p", "/home"), environ=host)["PYTHONHOME"] == "/home"


@needs_pathos
def test_rubbish_in_the_environment_and_another_python_on_path_do_no_harm(tmp_path, monkeypatch, find):
    fake(tmp_path / "python3", "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONHOME", str(tmp_path / "no home"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    found, tried = find(*candidates())
    assert found is not None, tried
    assert found.home is None


@needs_pathos
def test_the_search_ends_when_the_run_is_cancelled(tmp_path, monkeypatch):
    if sys.platform == "win32":
        pytest.skip("fake interpreters are shell scripts")
    slow = fake(tmp_path / "python3", "exec sleep 600")
    monkeypatch.setattr(processes, "candidates", lambda: [slow])
    execution = processes.Processes(2)
    threading.Event().wait(0.3)
    execution.close()
    with pytest.raises((SegmentationError, processes.Cancelled)):
        execution.wait_until_ready()


@pytest.fixture
def find_from(monkeypatch):
    """`find_interpreter` among candidates that exist, with a session's memory of its own."""
    monkeypatch.setattr(processes, "_builds", {})
    monkeypatch.setattr(processes, "reason_to_skip", lambda candidate: "")
    host = interpreter.facts()

    def find_from(*answers):
        """answers: facts or an exception, of the workers of "a", "b", ...; returns (name, what was tried)."""
        started, tried = [], []

        def start(candidate):
            started.append(candidate.path)
            answer = answers["abc".index(candidate.path)]
            if isinstance(answer, Exception):
                raise answer
            return Stopped(), {**host, **answer}

        wanted = [Candidate(name) for name, _ in zip("abc", answers)]
        try:
            return processes.find_interpreter(wanted, start, host, tried)[0].path, started, tried
        except processes.Unavailable:
            return None, started, tried

    return find_from


class Stopped:
    def close(self):
        """It never ran."""


@pytest.mark.parametrize(
    "how",
    ["did not answer within 30 s", "cannot be used (SegmentationError: x.tif cannot be opened)", "ended with code 3"],
)
def test_what_failed_once_is_tried_again_with_the_next_run(find_from, how):
    found, started, tried = find_from(processes.WorkerDied(how))
    assert (found, started) == (None, ["a"]) and how in tried[0]
    found, started, _ = find_from({})
    assert (found, started) == ("a", ["a"])


@pytest.mark.parametrize(
    "other", [{"abi": "cpython-38"}, {"numpy": "0.1"}, {"gdal": "1.0"}, {"version": [2, 7, 18]}, {"geotiff": False}]
)
def test_another_build_is_not_tried_again_until_it_changes(find_from, monkeypatch, other):
    assert find_from(other, {})[:2] == ("b", ["a", "b"])
    found, started, tried = find_from({}, {})
    assert (found, started) == ("b", ["b"])
    assert len(tried) == 2 and "a: " in tried[0]
    monkeypatch.setattr(processes, "_changed", lambda path: 1)
    assert find_from({}, {})[:2] == ("a", ["a"])


def test_one_of_another_installation_that_works_is_known_the_next_time(find_from):
    assert find_from({"base_prefix": "/elsewhere"})[0] == "a"
    assert find_from({"base_prefix": "/elsewhere"}, {})[:2] == ("a", ["a"])
