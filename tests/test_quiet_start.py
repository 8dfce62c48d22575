# SPDX-License-Identifier: GPL-2.0-or-later
"""QGIS Desktop has kernels compiled when it is idle: once, by a calm process, and never while something goes on."""

import pytest

pytest.importorskip("qgis.core", reason="QGIS is not in this Python")


class Canvas:
    def __init__(self):
        self.left, self.drawing = 0.0, False

    def extent(self):
        from qgis.core import QgsRectangle

        return QgsRectangle(self.left, 0, self.left + 10, 10)

    def isDrawing(self):  # QGIS's name
        return self.drawing


@pytest.fixture
def quiet(qgis_application, monkeypatch):
    from tiledseg.tiledseg_plugin.desktop import quiet_start

    asked = []
    monkeypatch.setattr(quiet_start, "compile_quietly", lambda feedback: asked.append(feedback))
    start = quiet_start.QuietStart(Canvas())
    start.asked = asked
    yield start
    start.stop()


def test_it_begins_only_when_nothing_has_happened_for_a_while_and_once(quiet):
    from tiledseg.tiledseg_plugin.desktop.tasks import wait_until

    for number in range(4):  # somebody moves the map
        quiet._canvas.left = number
        quiet.look()
    quiet._canvas.drawing = True
    for _ in range(4):
        quiet.look()
    assert quiet.task is None
    quiet._canvas.drawing = False
    quiet.look()
    assert quiet.task is None
    quiet.look()
    assert quiet.task is not None and not quiet._timer.isActive()
    assert wait_until(lambda: quiet.task is None, 10)
    assert len(quiet.asked) == 1


def test_it_ends_with_qgis(quiet):
    quiet.stop()
    assert not quiet._timer.isActive() and quiet.task is None


def test_only_what_is_missing_is_asked_for_and_by_a_calm_process(qgis_application, tmp_path, monkeypatch):
    pytest.importorskip("numba")
    from tiledseg.tiledseg_plugin.desktop.quiet_start import compile_quietly
    from tiledseg.tiledseg_plugin.engine.execution import compiling
    from tiledseg.tiledseg_plugin.engine.kernels import machine_code
    from tiledseg.tiledseg_plugin.engine.kernels.entries import USUAL, entries_of_run
    from tiledseg.tiledseg_plugin.engine.progress import Feedback

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    asked = []
    monkeypatch.setattr(compiling.shared, "request", lambda entries, calm=False: asked.append((entries, calm)))
    machine_code.mark("clump-all", machine_code.READY)
    compile_quietly(Feedback())
    [(entries, calm)] = asked
    assert calm and "clump-all" not in entries and "reassign-all" in entries
    for entry in {entry for usual in USUAL for entry in entries_of_run(*usual)}:
        machine_code.mark(entry, machine_code.READY)
    compile_quietly(Feedback())
    assert len(asked) == 1
