# SPDX-License-Identifier: GPL-2.0-or-later
"""Style by, as a person would: the button, then the menu. Called by `results`, in the same start of QGIS."""

import time

import driver
from driver import ARGUMENTS, FOLDER, found
from qgis.core import QgsProject
from qgis.utils import iface
from tiledseg.algorithms.layer_files import layers_of, mark_as_result

INDEX = ("Index of two bands", "band 3 and", "band 1")


def style(session):
    project = QgsProject.instance()
    polygons = layers_of(project, found["to new files"]["results"]["POLYGONS"])[0]
    raster = layers_of(project, found["cancelled too late"]["output"])[0]
    iface.setActiveLayer(layers_of(project, found["to new files"]["results"]["OUTPUT"])[0])
    found["menu"] = [one.text() for one in opened(session).actions() if one.isEnabled() and not one.isSeparator()]
    session.style_by.menu.close()
    choose(session, "Random colours")
    found["polygons at random"] = state(session, polygons)
    choose(session, *INDEX)
    found["polygons by index"] = state(session, polygons)
    driver.picture("30 polygons by an index")
    iface.setActiveLayer(layers_of(project, ARGUMENTS["raster"])[0])  # then it is the last run's
    choose(session, *INDEX)
    found["raster by index"] = state(session, of_values(raster))
    choose(session, "Size [pixels]")
    found["raster by size"] = state(session, of_values(raster))
    found["layers of values"] = len(
        [one for one in project.mapLayers().values() if one.customProperty("tiledseg/style-of")]
    )
    found["files of values"] = sorted(path.name for path in FOLDER.glob("*_values*.vrt"))
    driver.picture("31 raster by size")
    many(session)


def opened(session):
    """The menu of the button, open."""
    session.style_by.menu = None
    driver.click(session.panel.style_button)
    driver.wait(lambda: session.style_by.menu is not None, 30, "the menu")
    return session.style_by.menu


def choose(session, *texts):
    """Open the menu, and choose an entry of a menu of a menu."""
    said = []
    session.style_by.ended.connect(said.append)
    menu = opened(session)
    if len(texts) > 2:
        driver.picture("32 menu", menu)
    shown = menu
    for text in texts[:-1]:
        shown = next(one for one in shown.actions() if one.text() == text).menu()
    next(one for one in shown.actions() if one.text() == texts[-1]).trigger()
    menu.close()
    driver.wait(lambda: said, 60, texts)
    session.style_by.ended.disconnect(said.append)


def state(session, layer):
    known = {"status": session.panel.status.text(), "source": layer.source(), "renderer": layer.renderer().type()}
    if hasattr(layer.renderer(), "ranges"):
        known["classes"] = [[one.lowerValue(), one.upperValue()] for one in layer.renderer().ranges()]
        known["expression"] = layer.renderer().classAttribute()
    node = QgsProject.instance().layerTreeRoot().findLayer(layer.id())
    known["legend"] = len(iface.layerTreeView().layerTreeModel().layerLegendNodes(node))
    return known


def of_values(segments):
    every = QgsProject.instance().mapLayers().values()
    return next(one for one in every if one.customProperty("tiledseg/style-of") == segments.source())


def many(session):
    """A raster of many segments: nothing waits for its table or its drawing."""
    raster = driver.open_raster(ARGUMENTS["many"])
    mark_as_result(raster, "OUTPUT")
    driver.drawn()
    beat = driver.Heartbeat()
    started = time.monotonic()
    with beat.listening():
        choose(session, "Mean of a band", "band 1")
    styled = time.monotonic() - started
    started = time.monotonic()
    with beat.listening():
        iface.mapCanvas().zoomByFactor(0.8)  # not refreshAllLayers: it opens each file anew, on the main thread
        driver.pause(0.05)
        driver.wait(lambda: not iface.mapCanvas().isDrawing(), 60, "the map")
    found["many"] = {"styled": styled, "drawn": time.monotonic() - started, "blocked": beat.longest}
    found["many"].update(state(session, of_values(raster)), **{"blocked in": beat.blocked_in})
    driver.picture("33 many segments")
    QgsProject.instance().removeMapLayers([of_values(raster).id(), raster.id()])
