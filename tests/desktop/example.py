# SPDX-License-Identifier: GPL-2.0-or-later
"""A first try: example data, and from there three clicks to the first segments; then once more, and beside a file."""

import os
from pathlib import Path

from driver import click, drive, found, open_panel, picture, plugin, wait
from qgis.core import QgsProject
from qgis.PyQt.QtWidgets import QApplication, QPushButton


def script():
    project = QgsProject.instance()
    home = Path(os.environ["TILEDSEG_DRIVE"]).parent / "project"
    home.mkdir(exist_ok=True)
    (home / "example landscape.tif").write_text("somebody's own")
    project.setFileName(str(home / "first.qgz"))
    assert project.write()
    panel, session = open_panel()
    button = panel.findChild(QPushButton, "example")
    click(button)  # the first
    wait(lambda: button.isEnabled() and project.mapLayers(), 90, "the example")
    layer = next(iter(project.mapLayers().values()))
    found["layer"] = (layer.name(), layer.source(), layer.isValid())
    found["bands"] = [layer.bandName(number) for number in range(1, 5)]
    found["input"] = panel.fields.value("INPUT") == layer.id()
    found["tiles"] = [panel.fields.value(name) for name in ("TILE_WIDTH", "TILE_HEIGHT")]
    picture("example-1-added")
    ended = []
    session.checked.connect(ended.append)
    click(panel.check_button)  # the second
    wait(lambda: ended, 60, "the check")
    found["summary"] = panel.summary.text()
    picture("example-2-checked")
    click(panel.preview_button)  # the third
    wait(lambda: session.preview.is_busy, 20, "the preview to begin")
    wait(lambda: not session.preview.is_busy, 120, "the first segments")
    picture("example-3-preview")
    panel.fields.set_value("EXTENT", "605000,610000,5691000,5696000 [EPSG:32632]")  # a part only
    wait(lambda: "500 × 500" in panel.status.text(), 120, "the preview of the part")
    ended.clear()
    click(panel.check_button)
    wait(lambda: ended, 60, "the check of the part")
    found["part"] = panel.summary.text()
    found["commands"] = []
    for action in (panel.copy_command, panel.copy_python):
        action.trigger()
        found["commands"].append(QApplication.clipboard().text())
    picture("example-4-part")
    click(panel.preview_button)
    plugin().desktop.example.action.trigger()  # it is there: no second file, no second layer
    wait(lambda: not session.preview.is_busy, 20)
    found["layers"] = [one.source() for one in project.mapLayers().values()].count(layer.source())
    found["files"] = sorted(name for name in os.listdir(home) if name.endswith(".tif"))
    found["own"] = (home / "example landscape.tif").read_text()


drive(script)
