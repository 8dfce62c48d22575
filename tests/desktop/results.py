# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one after the other, to the same place and to others; failures; a project that is saved and opened again."""

import os
import threading
import time

import driver
import styles
from driver import ARGUMENTS, FOLDER, found
from qgis.core import QgsProject, QgsSettings
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QApplication, QLineEdit, QMessageBox
from qgis.utils import iface
from tiledseg.algorithms import segment
from tiledseg.algorithms.segment import SegmentRaster
from tiledseg.tiledseg_plugin.desktop.raster_choice import layer_box


def main():
    os.environ["TILEDSEG_KERNELS"] = "plain"  # which need not be compiled
    QgsSettings().setValue("minTaskLengthForSystemNotification", 0, QgsSettings.App)
    found["load"] = ARGUMENTS["load"]
    found["panel at start"] = plugin_panel() is not None and plugin_panel().isVisible()
    driver.open_raster(ARGUMENTS["raster"])
    panel, session = driver.open_panel()
    fields = panel.fields
    found["bands"] = fields.widget("BANDS").findChild(QLineEdit).text()
    found["proposed"] = [session.raster_choice.source(), fields.values()["OUTPUT"]]
    for name, value in ARGUMENTS["parameters"].items():
        fields.set_value(name, value)
    fields.set_value("POLYGONS", str(FOLDER / "polygons.gpkg"))
    fields.set_value("MEAN_IMAGE", str(FOLDER / "means.tif"))
    note_where_rasters_are_styled()
    run(session, "first run")
    driver.picture("20 results")
    fields.set_value("MIN_PIXELS", 60)
    run(session, "to the same files", answer="Replace")
    driver.picture("21 run again")
    run(session, "to new files", answer="Keep, write to new names")
    failures(panel, session)
    cancels(panel, session)
    styles.style(session)
    second(session)
    reopened(panel, session)


def note_where_rasters_are_styled():
    found["styled on the main thread"] = []

    def noting(style):
        def styled(layer):
            found["styled on the main thread"].append(threading.current_thread() is threading.main_thread())
            style(layer)

        return styled

    segment.show_segments, segment.show_means = noting(segment.show_segments), noting(segment.show_means)


def plugin_panel():
    return driver.plugin().desktop.panel


def run(session, name, answer=None):
    """Run, and note how everything looks then."""
    ended = []
    session.ran.connect(ended.append)
    if answer:
        QTimer.singleShot(400, lambda: question(name, answer))
    driver.click(session.panel.run_button)
    driver.wait(lambda: ended, 60, name)
    session.ran.disconnect(ended.append)
    driver.pause(0.3)
    found[name] = {**state(session), "ended": ended, "results": session.last.results}


def question(name, answer):
    box = QApplication.activeModalWidget()
    found[f"question {name}"] = [box.text(), box.informativeText()]
    button = next(one for one in box.buttons() if one.text().replace("&", "") == answer)
    if name == "to the same files":
        driver.picture("22 question", box)
    button.click()


def state(session):
    root = QgsProject.instance().layerTreeRoot()
    groups = {g.name(): [child.name() for child in g.children()] for g in root.findGroups(True)}
    layers = {}
    for node in root.findLayers():
        layer = node.layer()
        layers[layer.id()] = {"name": layer.name(), "source": layer.source(), "on": node.isVisible(), **look(layer)}
    bar = [item.text() for item in iface.messageBar().items()]
    status, summary = session.panel.status.text(), session.panel.summary.text()
    return {
        "summary": summary,
        "groups": groups,
        "layers": layers,
        "order": driver.order(),
        "status": status,
        "bar": bar,
    }


def look(layer):
    """What a layer shows, read through the layer."""
    known = {"renderer": layer.renderer().type()}
    if layer.type() == layer.RasterLayer:
        block = layer.dataProvider().block(1, layer.extent(), 50, 50)
        known["values"] = sorted({block.value(row, col) for row in range(50) for col in range(50)})
        legend = (
            iface.layerTreeView()
            .layerTreeModel()
            .layerLegendNodes(QgsProject.instance().layerTreeRoot().findLayer(layer.id()))
        )
        known["legend"] = len(legend)
    else:
        known["features"] = layer.featureCount()
        known["counted"] = sum(1 for _ in layer.getFeatures())
        known["fields"] = [field.name() for field in layer.fields()]
        known["column"] = getattr(layer.renderer(), "classAttribute", lambda: "")()
    return known


def failures(panel, session):
    fields = panel.fields
    for name, wrong, right in (("CREATION_OPTIONS", "COMPRESS=NOTHING", None), ("BANDS", [99], None)):
        iface.messageBar().clearWidgets()
        fields.set_value("OUTPUT", str(FOLDER / "not made.tif"))
        fields.set_value("POLYGONS", None)
        fields.set_value("MEAN_IMAGE", None)
        fields.set_value(name, wrong)
        before = session.last
        driver.click(panel.run_button)
        driver.wait(lambda before=before: session.running is None and session.last is not before, 30, name)
        driver.pause(0.2)
        session.show_log()
        log = next(one for one in QApplication.topLevelWidgets() if one.objectName() == "TiledSegmentationLog")
        found[name] = {**state(session), "log": log.text.toPlainText()}
        if name == "CREATION_OPTIONS":
            driver.picture("23 failure")
        log.close()
        if name == "BANDS":
            driver.click(panel.preview_button)
            driver.wait(lambda: not panel.preview_button.isChecked() and not session.preview.is_busy, 60, "no preview")
            driver.pause(0.2)
            found["no preview"] = panel.status.text()
        fields.set_value(name, right)


def cancels(panel, session):
    """In the first tile, and when all is done."""
    iface.messageBar().clearWidgets()
    panel.fields.set_value("OUTPUT", str(FOLDER / "cancelled.tif"))
    ended = []
    session.ran.connect(ended.append)
    real = SegmentRaster.work

    begun = threading.Event()

    def cancelled_at_first(self, values, feedback):
        report = feedback.tile_started

        def wait_in_it(tile_id):
            report(tile_id)
            begun.set()
            while not feedback.is_cancelled():
                time.sleep(0.01)

        feedback.tile_started = wait_in_it
        return real(self, values, feedback)

    def cancelled_at_last(self, values, feedback):
        results = real(self, values, feedback)
        feedback._feedback.cancel()
        return results

    for name, work in (("cancelled", cancelled_at_first), ("cancelled too late", cancelled_at_last)):
        SegmentRaster.work = work
        driver.click(panel.run_button)
        if name == "cancelled":
            driver.wait(begun.is_set, 60, "the first tile")
            driver.click(panel.cancel_button)
        driver.wait(lambda: ended, 60, name)
        driver.pause(0.4)
        found[name] = {**state(session), "log": session.last.feedback.textLog(), "ended": list(ended)}
        found[name]["output"] = panel.fields.values()["OUTPUT"]
        ended.clear()
    SegmentRaster.work = real
    session.ran.disconnect(ended.append)


def second(session):
    """Another raster is checked."""
    other = driver.open_raster(ARGUMENTS["other"])
    session.panel.fields.set_value("INPUT", other.id())
    driver.pause(0.2)
    found["proposed for another"] = session.panel.fields.values()["OUTPUT"]
    driver.click(session.panel.check_button)
    driver.wait(lambda: session.running is None and session.tile_layer is not None, 30, "the check")
    found["two rasters"] = state(session)
    combo = layer_box(session.panel.fields.widget("INPUT"))
    found["offered"] = [combo.layer(i).name() for i in range(combo.count()) if combo.layer(i) is not None]


def reopened(panel, session):
    project = QgsProject.instance()
    path = str(FOLDER / "saved.qgs")
    assert project.write(path)
    project.clear()
    driver.pause(0.3)
    found["no project"] = [session.raster_choice.source(), str(panel.fields.value("INPUT"))]
    assert project.read(path)
    driver.pause(0.5)
    chosen = session.raster_choice.raster()
    output = panel.fields.values()["OUTPUT"]
    found["reopened"] = {**state(session), "input": chosen.name(), "output": output, "there": os.path.exists(output)}
    driver.picture("24 project opened again")
    project.removeMapLayer(chosen.id())
    driver.pause(0.2)
    found["removed"] = [session.raster_choice.source(), panel.status.text()]
    assert not QApplication.activeModalWidget() or not isinstance(QApplication.activeModalWidget(), QMessageBox)


driver.drive(main)
