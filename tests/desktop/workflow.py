# SPDX-License-Identifier: GPL-2.0-or-later
"""A person opens a raster, checks the tiles, tunes the segments by eye, runs, and sees the tiles fill in."""

import os

import driver
from driver import ARGUMENTS, FOLDER, found
from qgis.core import QgsProject
from qgis.utils import iface
from tiledseg.tiledseg_plugin.desktop.outline_layer import features_of
from tiledseg.tiledseg_plugin.engine.progress import Feedback


def main():
    raster = driver.open_raster(ARGUMENTS["raster"])
    panel, session = driver.open_panel()
    found["load"] = ARGUMENTS["load"]
    found["panel"] = [panel.width(), panel.height(), panel.isVisible()]
    driver.picture("1 panel")
    beat = driver.Heartbeat()
    with beat.listening():  # numba's machine code is loaded, or made, once a clone
        driver.wait(lambda: not session.preview.is_busy, 200, "the kernels")
    found["loading blocked"] = beat.longest
    fields = panel.fields
    fields.set_value("TILE_WIDTH", ARGUMENTS["tile"])
    fields.set_value("TILE_HEIGHT", ARGUMENTS["tile"])

    beat = driver.Heartbeat()
    with beat.listening():
        driver.click(panel.check_button)
        driver.wait(lambda: session.tile_layer is not None and session.running is None, 60, "the check")
    found["check blocked"], found["check blocked in"] = beat.longest, beat.blocked_in
    found["summary"] = panel.summary.text()
    found["order after check"] = driver.order()
    found["statuses"] = sorted(f["status"] for f in session.tile_layer.getFeatures())
    driver.picture("2 tiles checked")

    fields.set_value("TILE_WIDTH", ARGUMENTS["tile"] // 2)
    found["outdated"] = [session.tile_layer.name(), panel.summary.text()]
    fields.set_value("TILE_WIDTH", ARGUMENTS["tile"])
    found["current again"] = session.tile_layer.name()

    preview(panel, session)
    centre_first(panel, session)
    run(panel, session, raster)


def preview(panel, session):
    beat = driver.Heartbeat()
    live = session.preview
    with beat.listening():
        driver.click(panel.preview_button)
        found["first preview"] = driver.wait(lambda: live.preview is not None or not live.is_on, 300, "the preview")
    found["first preview blocked"] = beat.longest
    found["first preview blocked in"] = beat.blocked_in
    found["preview status"] = panel.status.text()
    found["order with preview"] = driver.order()
    driver.picture("3 preview")
    canvas = iface.mapCanvas()
    canvas.zoomByFactor(0.4)
    driver.wait(lambda: not live.is_busy, 30)
    driver.drawn()
    driver.picture("4 preview zoomed in")
    canvas.zoomByFactor(2.5)
    driver.wait(lambda: not live.is_busy, 30)
    driver.drawn()

    beat = driver.Heartbeat()
    seconds = {}
    with beat.listening():
        for name, value in (("MIN_PIXELS", 40), ("DISTANCE_THRESHOLD", 30.0), ("MIN_PIXELS", 100)):
            before = live.preview
            panel.fields.set_value(name, value)
            seconds[f"{name}={value}"] = driver.wait(lambda before=before: live.preview is not before, 30, name)
        panel.fields.set_value("DISTANCE_THRESHOLD", 100.0)
        driver.wait(lambda: not live.is_busy, 30)
        before = live.preview
        extent = canvas.extent()
        extent.setXMinimum(extent.xMinimum() + extent.width() / 20)
        canvas.setExtent(extent)
        canvas.refresh()
        seconds["move"] = driver.wait(lambda: live.preview is not before, 30, "the moved view")
        driver.drawn()
    found["previews"] = seconds
    found["previews blocked"] = beat.longest
    found["previews blocked in"] = beat.blocked_in
    found["pixels in view"] = live.preview.window.pixels
    driver.click(panel.preview_button)
    driver.pause(0.3)
    found["order after preview"] = driver.order()


def centre_first(panel, session):
    """As after an installation, when no kernel is compiled: outlines of the centre of the view are there first."""
    live, said, seen = session.preview, [], {}

    def drawn_lines():
        return sorted(feature.geometry().asWkb().data() for feature in live.layer.getFeatures())

    def is_right(shown, lines):
        parameters = live._parameters(panel.fields.values())
        expected = live._previewer.show(parameters, shown.window, Feedback())
        features = features_of(expected.lines)
        return (shown.ids == expected.ids).all() and lines == sorted(one.geometry().asWkb().data() for one in features)

    os.environ["TILEDSEG_KERNELS"] = "plain"
    live.reported.connect(said.append)
    beat = driver.Heartbeat()
    with beat.listening():
        driver.click(panel.preview_button)
        driver.wait(lambda: live.part or live.preview, 60, "the centre")
        part = live.part
        seen["centre"] = part and (part, drawn_lines())
        driver.wait(lambda: live.preview, 60, "the rest")
        seen["whole"] = live.preview, drawn_lines()
        driver.drawn()
    live.reported.disconnect(said.append)
    found["centre blocked"], found["centre blocked in"] = beat.longest, beat.blocked_in
    found["centre"] = {
        name: seen[name] and [*seen[name][0].window, bool(is_right(*seen[name]))] for name in ("centre", "whole")
    }
    found["centre said"] = said
    driver.click(panel.preview_button)
    del os.environ["TILEDSEG_KERNELS"]


def run(panel, session, raster):
    output = FOLDER / "segments.tif"
    panel.fields.set_value("OUTPUT", str(output))
    states, ended = [], []

    def note():
        if session.tile_layer.fields().lookupField("progress") >= 0:
            states.append(sorted(f["progress"] for f in session.tile_layer.getFeatures()))

    beat = driver.Heartbeat()

    def look():
        note()
        if states and "picture" not in found and 3 < states[-1].count("done") < len(states[-1]) - 3:
            found["picture"] = True
            iface.mapCanvas().waitWhileRendering()
            driver.pause(0.4)
            grab = iface.mainWindow().grab()
            folder = ARGUMENTS.get("screenshots")
            if folder:
                grab.save(f"{folder}/5 running.png")
            beat.overlook()

    os.environ["TILEDSEG_KERNELS"] = "plain"  # with the compiled ones all tiles may be done before the first redraw
    session.ran.connect(ended.append)
    session.tile_layer.repaintRequested.connect(note)  # a run of few pixels is over before many looks
    with beat.listening():
        driver.click(panel.run_button)
        driver.wait(lambda: session.running is not None, 30)
        while not ended:
            driver.pause(0.1)
            look()
    session.tile_layer.repaintRequested.disconnect(note)
    del os.environ["TILEDSEG_KERNELS"]
    look()  # the run may have ended during a look
    found["run blocked"] = beat.longest
    found["run blocked in"] = beat.blocked_in
    found["ran"] = ended
    found["states"] = [{s: one.count(s) for s in set(one)} for one in states]
    found["order after run"] = driver.order()
    found["groups"] = [group.name() for group in QgsProject.instance().layerTreeRoot().findGroups()]
    found["run status"] = panel.status.text()
    found["results"] = session.last.results
    driver.pause(0.2)
    found["message"] = iface.messageBar().currentItem().text() if iface.messageBar().currentItem() else ""
    layer = next(one for one in QgsProject.instance().mapLayers().values() if one.source() == str(output))
    found["renderer"] = layer.renderer().type()
    driver.picture("6 result")
    iface.mapCanvas().zoomByFactor(0.3)
    driver.picture("7 result zoomed in")


driver.drive(main)
