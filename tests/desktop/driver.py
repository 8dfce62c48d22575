# SPDX-License-Identifier: GPL-2.0-or-later
"""For scripts that QGIS runs with --code: they act as a person would, wait, look, and write down what they found."""

import json
import os
import sys
import threading
import time
import traceback
from contextlib import contextmanager
from pathlib import Path

from qgis.core import QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import QEventLoop, Qt, QTimer
from qgis.PyQt.QtTest import QTest
from qgis.utils import iface, plugins

ARGUMENTS = json.loads(Path(os.environ["TILEDSEG_DRIVE"]).read_text())
FOLDER = Path(ARGUMENTS["folder"])
found = {}


def drive(script, ends=True):
    """Run a script once QGIS is up, write down what it found, and end QGIS at once (or let the script do so).

    An exception anywhere in Python ends QGIS, too, which would show it in a window and wait.
    """

    def fail(kind, error, where):
        found["error"] = "".join(traceback.format_exception(kind, error, where))
        write()
        os._exit(1)

    sys.excepthook = fail

    def begin():
        try:
            script()
        except BaseException:
            found["error"] = traceback.format_exc()
            write()
            os._exit(1)
        write()
        if ends:
            os._exit(0)

    iface.mainWindow().setGeometry(0, 0, 1366, 768)
    QTimer.singleShot(1500, begin)


def write():
    Path(ARGUMENTS["found"]).write_text(json.dumps(found, default=str, indent=1))


def pause(seconds):
    """Let QGIS go on; the event loop is a true one, so nothing is delayed by the waiting itself."""
    loop = QEventLoop()
    QTimer.singleShot(int(seconds * 1000), loop.quit)
    loop.exec()


def wait(condition, seconds=60, what=""):
    """Let QGIS go on until something is the case; returns how many seconds it took."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"waited {seconds} s for {what or condition}")
        pause(0.02)
    return time.monotonic() - started


def plugin():
    return plugins["tiledseg"]


def open_raster(path, name=None):
    layer = QgsRasterLayer(str(path), name or Path(path).stem)
    assert layer.isValid(), path
    QgsProject.instance().addMapLayer(layer)
    iface.setActiveLayer(layer)
    iface.mapCanvas().setExtent(iface.mapCanvas().mapSettings().layerExtentToOutputExtent(layer, layer.extent()))
    iface.mapCanvas().refresh()
    return layer


def open_panel():
    """Open the panel with its button in the toolbar; returns the panel and its session."""
    desktop = plugin().desktop
    if not desktop.action.isChecked():
        desktop.action.trigger()
    pause(0.3)
    return desktop.panel, desktop.session


def click(button):
    assert button.isEnabled() and button.isVisible(), button.text()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def drawn():
    """Wait until the map is drawn."""
    pause(0.3)
    wait(lambda: not iface.mapCanvas().isDrawing(), 60, "the map")
    pause(0.2)


def picture(name, widget=None):
    """A screenshot of a window, the main one if not given."""
    folder = ARGUMENTS.get("screenshots")
    if folder:
        drawn()
        Path(folder).mkdir(parents=True, exist_ok=True)
        (widget or iface.mainWindow()).grab().save(str(Path(folder) / f"{name}.png"))


class Heartbeat:
    """Beats every few milliseconds while the GUI is free.

    longest : the longest gap, in seconds
    blocked_in : the Python stacks that were seen in gaps of more than 80 ms, with how long the gap had been by then
    """

    def __init__(self):
        self.longest, self._last = 0.0, time.monotonic()
        self.blocked_in = []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(5)
        self._timer.timeout.connect(self._beat)
        self._listens = False

    def _beat(self):
        now = time.monotonic()
        self.longest, self._last = max(self.longest, now - self._last), now

    def _watch(self):
        main = threading.main_thread().ident
        while self._listens:
            time.sleep(0.02)
            gap = time.monotonic() - self._last
            if gap > 0.08:
                frames = traceback.extract_stack(sys._current_frames()[main])
                self.blocked_in.append([round(gap, 3), [f"{f.filename}:{f.lineno} {f.name}" for f in frames[-4:]]])

    def overlook(self):
        """Begin anew: what has just taken its time was the script itself."""
        self._last = time.monotonic()

    @contextmanager
    def listening(self):
        self._last = time.monotonic()
        self._timer.start()
        self._listens = True
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            yield self
        finally:
            self._timer.stop()
            self._listens = False
            self._beat()


def order():
    """The names of all layers, uppermost first."""
    return [layer.name() for layer in QgsProject.instance().layerTreeRoot().layerOrder()]


def children():
    """The ids of the processes that this one has started and that still run, but for one that compiles kernels.

    That one outlives what it was started for; see the plugin's `compiling`.
    """
    from tiledseg.tiledseg_plugin.engine.execution.compiling import PROGRAM

    own = os.getpid()
    running = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            rest = status.read_text().rsplit(")", 1)[1].split()
            program = (status.parent / "cmdline").read_text()
        except OSError:
            continue
        if int(rest[1]) == own and rest[0] != "Z" and PROGRAM not in program:
            running.append(int(status.parent.name))
    return running
