# SPDX-License-Identifier: GPL-2.0-or-later
"""A run with LEVELS in the panel, and its slider over the map."""

import time

import driver
from driver import ARGUMENTS, FOLDER, found
from qgis.core import QgsProject
from qgis.utils import iface
from tiledseg.algorithms.looks import show_segments


def main():
    raster = driver.open_raster(ARGUMENTS["raster"])
    panel, session = driver.open_panel()
    for name, value in ARGUMENTS["parameters"].items():
        panel.fields.set_value(name, value)
    panel.fields.set_value("OUTPUT", str(FOLDER / "segments.tif"))
    found["at first"] = panel.levels.isVisible()
    ended = []
    session.ran.connect(ended.append)
    driver.click(panel.run_button)
    driver.wait(lambda: ended, 90, "the run")
    found["ran"] = ended
    driver.wait(panel.levels.isVisible, 20, "the slider")
    slide(panel, session)
    for layer in QgsProject.instance().mapLayers().values():
        if layer.name() != raster.name() and layer is not session.levels.layer:
            node = QgsProject.instance().layerTreeRoot().findLayer(layer.id())
            node.setItemVisibilityChecked(False)
    panel.levels.slider.setValue(3)
    driver.picture("level")
    panel.levels.slider.setValue(2)
    iface.mapCanvas().zoomByFactor(0.3)
    driver.wait(lambda: not session.levels.is_busy, 20, "the outlines of another view")
    driver.picture("level of a part")
    panel.levels.slider.setValue(0)
    found["switched off"] = session.levels.layer is None
    many(session)


def slide(panel, session):
    """All places of the slider, and what is shown at each."""
    slider, shown = panel.levels.slider, []
    for place in range(1, slider.maximum() + 1):
        slider.setValue(place)
        driver.wait(lambda: not session.levels.is_busy, 20, "the outlines")
        layer = session.levels.layer
        length = sum(feature.geometry().length() for feature in layer.getFeatures())
        shown.append([panel.levels.text.text(), length])
    found["shown"] = shown


def many(session):
    """200,000 segments: how long the GUI is blocked, and how soon the slider shows something."""
    layer = driver.open_raster(ARGUMENTS["many"])
    show_segments(layer)
    driver.drawn()
    heart = driver.Heartbeat()
    with heart.listening():
        session.levels.offer(ARGUMENTS["many"], 10)
        driver.wait(session.panel.levels.isVisible, 60, "the slider")
        seconds = []
        for place in (1, 2, 3, 1):
            before = time.monotonic()
            session.panel.levels.slider.setValue(place)
            driver.wait(lambda: session.levels.layer is not None and not session.levels.is_busy, 60, "outlines")
            seconds.append(time.monotonic() - before)
            driver.drawn()
    found["many"] = {"seconds": seconds, "blocked": heart.longest, "where": heart.blocked_in}
    driver.picture("many")


driver.drive(main)
