# SPDX-License-Identifier: GPL-2.0-or-later
"""Zones in the panel: a layer in memory as ZONES, in the check, the preview and the run."""

import driver
from driver import FOLDER, found
from qgis.core import QgsFeature, QgsGeometry, QgsProject, QgsRectangle, QgsVectorLayer
from qgis.utils import iface


def parcels(raster):
    """A layer in memory of rectangles over the middle of a raster, so that much of it is in none."""
    layer = QgsVectorLayer(f"Polygon?crs={raster.crs().authid()}", "parcels", "memory")
    whole = raster.extent()
    wide, high = whole.width() / 8, whole.height() / 8
    for col in range(2, 6):
        for row in range(2, 6):
            left, bottom = whole.xMinimum() + col * wide, whole.yMinimum() + row * high
            feature = QgsFeature()
            feature.setGeometry(
                QgsGeometry.fromRect(QgsRectangle(left, bottom, left + wide * 0.97, bottom + high * 0.97))
            )
            layer.dataProvider().addFeatures([feature])
    return layer


def main():
    panel, session = driver.open_panel()
    driver.plugin().desktop.example.add()
    driver.wait(lambda: session.raster_choice.raster() is not None, 60, "the example")
    raster = session.raster_choice.raster()
    layer = QgsProject.instance().addMapLayer(parcels(raster))
    layer.setOpacity(0.3)
    fields = panel.fields
    found["kept empty"] = fields.value("ZONES")
    fields.set_value("ZONES", layer.id())
    fields.set_value("ZONES_OUTSIDE", "exclude")
    fields.set_value("DISTANCE_THRESHOLD", 1000)
    fields.set_value("OUTPUT", str(FOLDER / "in parcels.tif"))
    driver.picture("zones 1")
    driver.click(panel.check_button)
    driver.wait(lambda: session.tile_layer is not None and session.running is None, 60, "the check")
    found["checked"] = panel.summary.text()
    driver.click(panel.preview_button)
    driver.wait(lambda: session.preview.preview is not None and not session.preview.is_busy, 300, "the preview")
    driver.pause(0.5)
    found["previewed"] = panel.status.text()
    found["preview"] = [int((session.preview.preview.ids == 0).sum()), session.preview.preview.segments]
    driver.picture("zones 2 preview")
    before = session.last
    driver.click(panel.run_button)
    driver.wait(lambda: session.running is None and session.last is not before, 300, "the run")
    driver.pause(0.5)
    found["run"] = [session.last.results.get("SEGMENT_COUNT"), session.last.results.get("VALID_PIXELS")]
    found["said"] = list(session.last.feedback.notices)
    iface.mapCanvas().refreshAllLayers()
    driver.pause(1)
    driver.picture("zones 3 results")


driver.drive(main)
