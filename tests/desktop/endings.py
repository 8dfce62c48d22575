# SPDX-License-Identifier: GPL-2.0-or-later
"""A run that does not reach its end: how QGIS and the disk look afterwards."""

import os
import tempfile
from pathlib import Path

import driver
from driver import ARGUMENTS, FOLDER, found
from qgis import utils
from qgis.core import Qgis, QgsApplication, QgsProject
from qgis.PyQt.QtCore import QCoreApplication, QModelIndex, QTimer
from qgis.PyQt.QtWidgets import QApplication, QMessageBox, QPushButton
from qgis.utils import iface


def main():
    fail()
    for how in (cancel_in_panel, cancel_in_task_manager, remove_raster, remove_tile_layer, clear_project, unload):
        found[how.__name__] = {}
        raster = QgsProject.instance().mapLayersByName(Path(ARGUMENTS["raster"]).stem) or [
            driver.open_raster(ARGUMENTS["raster"])
        ]
        run, session = begin(how.__name__, raster[0])
        seconds = how(run, session, raster[0])
        found[how.__name__].update(seconds=seconds, left=left_over(how.__name__), cancelled=run.was_cancelled)
    utils.loadPlugin("tiledseg")
    utils.startPlugin("tiledseg")
    close_window()
    begin("quit", QgsProject.instance().mapLayersByName(Path(ARGUMENTS["raster"]).stem)[0])
    found["quit"] = "began"
    driver.write()
    # QGIS 3.22 itself crashes now and then where a layer is the current one
    iface.layerTreeView().setCurrentIndex(QModelIndex())
    if Qgis.QGIS_VERSION_INT >= 34000:
        # QGIS itself then crashes with any layer in the project, plugins or not; ours has been asked to end before
        QCoreApplication.instance().aboutToQuit.connect(lambda: os._exit(0))
    QCoreApplication.quit()  # as at the end of the desktop session: nobody is asked


def close_window():
    """QGIS asks whether to cancel what runs; yes."""
    run, session = begin("close_window", driver.open_raster(ARGUMENTS["raster"]))

    def say_yes():
        box = QApplication.activeModalWidget()
        if isinstance(box, QMessageBox):
            found["close_window"] = {"question": box.text()}
            box.button(QMessageBox.StandardButton.Yes).click()

    QTimer.singleShot(1000, say_yes)
    iface.actionExit().trigger()
    seconds = ended(session)
    found["close_window"].update(seconds=seconds, left=left_over("close_window"), cancelled=run.was_cancelled)


def begin(name, raster):
    """Start a run and wait until its first tile is done."""
    panel, session = driver.open_panel()
    panel.fields.set_value("INPUT", raster.id())
    panel.fields.set_value("TILE_WIDTH", 256)
    panel.fields.set_value("TILE_HEIGHT", 256)
    panel.fields.set_value("OUTPUT", str(FOLDER / name / "segments.tif"))
    (FOLDER / name).mkdir()
    driver.click(panel.run_button)
    driver.wait(lambda: "done" in states(session), 120, "the first tile")
    return session.running, session


def states(session):
    layer = session.tile_layer
    if session.running is None or layer is None or layer.fields().lookupField("progress") < 0:
        return []
    return [feature["progress"] for feature in layer.getFeatures()]


def ended(session):
    seconds = driver.wait(lambda: session.running is None, 20, "the end of the run")
    driver.pause(0.3)
    return seconds


def left_over(name):
    files = [str(path) for path in (FOLDER / name).iterdir()]
    work = [str(path) for path in Path(tempfile.gettempdir()).glob("tiledseg-*")]
    return {"files": files, "work folders": work, "processes": driver.children()}


def cancel_in_panel(run, session, raster):
    driver.click(session.panel.cancel_button)
    seconds = ended(session)
    found["cancel_in_panel"]["status"] = session.panel.status.text()
    found["cancel_in_panel"]["fields"] = [field.name() for field in session.tile_layer.fields()]
    return seconds


def cancel_in_task_manager(run, session, raster):
    for task in QgsApplication.taskManager().activeTasks():
        task.cancel()
    return ended(session)


def remove_raster(run, session, raster):
    QgsProject.instance().removeMapLayer(raster.id())
    return ended(session)


def remove_tile_layer(run, session, raster):
    """The run goes on without it; it is cancelled here for the next one."""
    QgsProject.instance().removeMapLayer(session.tile_layer.id())
    driver.pause(0.6)
    found["remove_tile_layer"]["goes on"] = session.running is run or bool(run.results)
    session.cancel()
    return ended(session)


def clear_project(run, session, raster):
    QgsProject.instance().clear()
    return ended(session)


def fail():
    """A raster without a valid pixel: the check warns, the run fails."""
    iface.messageBar().clearWidgets()
    QgsProject.instance().clear()
    panel, session = driver.open_panel()
    panel.fields.set_value("INPUT", driver.open_raster(ARGUMENTS["empty"]).id())
    panel.fields.set_value("OUTPUT", str(FOLDER / "failed.tif"))
    failed = []
    session.ran.connect(failed.append)
    driver.click(panel.run_button)
    driver.wait(lambda: failed, 60, "the failure")
    driver.pause(0.3)
    item = iface.messageBar().currentItem()
    found["messages"] = [one.text() for one in iface.messageBar().items()]
    driver.picture("8 failure")
    button = next(one for one in item.findChildren(QPushButton) if "log" in one.text().lower())
    driver.click(button)
    log = next(one for one in QApplication.topLevelWidgets() if one.objectName() == "TiledSegmentationLog")
    driver.pause(0.3)
    driver.picture("9 log", log)
    found["fail"] = {"succeeded": failed, "message": item.text(), "log": log.text.toPlainText()}
    found["fail"]["status"] = panel.status.text()
    found["fail"]["output"] = (FOLDER / "failed.tif").exists()
    log.close()


def unload(run, session, raster):
    utils.unloadPlugin("tiledseg")
    found["unload"]["running"] = run.is_running
    return 0


driver.drive(main, ends=False)
