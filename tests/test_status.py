# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:status` and what the engine finds out for it."""

import json

import pytest
from leftovers import own_workers
from tiledseg.tiledseg_plugin.engine import installation, kernels
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.execution import processes
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from tiledseg.tiledseg_plugin.engine.rsgislib.availability import Availability
from time_limit import no_test_hangs  # noqa: F401


def test_what_is_said_to_work_does_work():
    found = installation.find_status("1.2.3", Feedback())
    assert "plain" in found.kernels
    assert {"auto", "threads", "serial"} <= set(found.executions)
    assert ("processes" in found.executions) == bool(found.interpreter) == (not processes.missing_package())
    assert ("compiled" in found.kernels) == bool(found.versions["numba"])
    assert "GTiff" in found.drivers
    assert found.cores >= 1
    assert not own_workers()


def test_what_is_missing_is_advised(monkeypatch):
    def only_plain(name, check=None):
        if name == "compiled":
            raise SegmentationError("The compiled kernels do not work here (no numba): install numba or use plain.")
        return choose(name)

    choose = kernels.choose
    monkeypatch.setattr(kernels, "choose", only_plain)
    monkeypatch.setattr(installation, "_version", lambda name: None)
    monkeypatch.setattr(processes, "missing_package", lambda: "pathos")
    not_installed = Availability("", False, "the Python package rsgislib is not installed")
    monkeypatch.setattr(installation.rsgislib_engine, "describe", lambda: not_installed)
    found = installation.find_status("1.2.3", Feedback())
    assert found.kernels == ("plain",)
    assert found.executions == ("auto", "threads", "serial")
    assert found.interpreter == ""
    advice = " ".join(found.advice)
    for name in ("numba", "pathos", "distributed", "RSGISLib"):
        assert name in advice
    assert any("nothing, they cannot be had here" in line for line in found.lines())


@pytest.mark.command
def test_command_line_shows_it(qgis_process):
    ended = qgis_process("--json", "run", "tiledseg:status")
    assert ended.returncode == 0, ended.stderr
    results = json.loads(ended.stdout)["results"]
    assert "threads" in results["EXECUTIONS"].split(",")
    assert results["CORES"] >= 1
    assert "QGIS" in results["VERSIONS"]
