# SPDX-License-Identifier: GPL-2.0-or-later
"""Every step with the example data, for pictures of a theme, a resolution or a language."""

import os

import driver
import processing
from driver import ARGUMENTS, FOLDER, found
from qgis.PyQt.QtWidgets import QApplication
from qgis.utils import iface
from tiledseg.tiledseg_plugin.engine.report import peak_memory


def main():
    if ARGUMENTS.get("plain"):
        os.environ["TILEDSEG_KERNELS"] = "plain"
    panel, session = driver.open_panel()
    driver.picture("1 panel without a raster")
    driver.plugin().desktop.example.add()
    driver.wait(lambda: session.raster_choice.raster() is not None, 60, "the example")
    driver.wait(lambda: not session.preview.is_busy, 300, "the kernels")
    fields = panel.fields
    fields.set_value("OUTPUT", str(FOLDER / "landscape.tif"))
    fields.set_value("POLYGONS", str(FOLDER / "polygons.gpkg"))
    driver.click(panel.check_button)
    driver.wait(lambda: session.tile_layer is not None and session.running is None, 60, "the check")
    driver.picture("2 tiles")
    driver.click(panel.preview_button)
    driver.wait(lambda: session.preview.preview is not None, 300, "the preview")
    driver.picture("3 preview")
    run(session)
    found["memory"] = [panel.summary.text(), peak_memory()]
    driver.picture("4 results")
    iface.mapCanvas().zoomByFactor(0.3)
    driver.picture("5 results near")
    style(session)
    fields.set_value("CREATION_OPTIONS", "COMPRESS=NOTHING")
    fields.set_value("OUTPUT", str(FOLDER / "other.tif"))
    fields.set_value("POLYGONS", None)
    run(session)
    driver.picture("8 failure")
    dialog = processing.createAlgorithmDialog("tiledseg:segment", {})
    dialog.resize(1100, 650)
    dialog.show()
    driver.pause(0.5)
    driver.picture("9 dialog", dialog)
    dialog.close()
    found["stayed open"] = [
        one.objectName() for one in QApplication.topLevelWidgets() if one.isModal() and one.isVisible()
    ]


def run(session):
    before = session.last
    driver.click(session.panel.run_button)
    driver.wait(lambda: session.running is None and session.last is not before, 300, "the run")
    driver.pause(0.5)


def style(session):
    """By the first index that is known, or else that of the last two bands."""
    said = []
    driver.click(session.panel.style_button)
    driver.wait(lambda: session.style_by.menu is not None, 30, "the menu")
    driver.pause(0.3)
    driver.picture("6 style by", session.style_by.menu)
    session.style_by.ended.connect(said.append)
    menu = session.style_by.menu.actions()[-2].menu()
    shown = menu.actions()[0]
    (shown if shown.menu() is None else shown.menu().actions()[-1]).trigger()
    session.style_by.menu.close()
    driver.wait(lambda: said, 60, "the style")
    driver.picture("7 coloured by an index")


driver.drive(main)
