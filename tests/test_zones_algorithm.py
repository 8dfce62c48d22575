# SPDX-License-Identifier: GPL-2.0-or-later
"""ZONES in Processing: any layer that QGIS has, the check of tiles, and the command line."""

import numpy as np
import pytest
from guarded import contents
from osgeo import gdal
from rasters import read, run, write_patches
from zone_layers import box, burnt_at_once, line, polygon, write_layer, zone_column

pytestmark = pytest.mark.qgis

QUICK = {"NUM_CLUSTERS": 6, "MIN_PIXELS": 12, "SAMPLING": 1, "EXECUTION": "serial"}
ENGINE = {"num_clusters": 6, "min_pixels": 12, "sampling": 1, "kernels": "plain"}
PARCELS = [polygon(box(11, 7, 62, 40)), polygon(box(62, 7, 120, 55)), polygon(box(30, 60, 90, 84))]


@pytest.fixture
def scene(tmp_path):
    return write_patches(tmp_path / "in.tif"), write_layer(tmp_path / "parcels.gpkg", PARCELS)


def processed(algorithm="segment", **parameters):
    import processing

    return processing.run(f"tiledseg:{algorithm}", parameters)


def copied_to_memory(layer):
    """A layer in memory with the features of another, each with its id."""
    from qgis.core import QgsFeature, QgsVectorLayer

    copy = QgsVectorLayer(f"Polygon?crs={layer.crs().authid()}", "my parcels / new", "memory")
    for feature in layer.getFeatures():
        bare = QgsFeature()
        bare.setGeometry(feature.geometry())
        copy.dataProvider().addFeatures([bare])
    return copy


def test_files_layers_and_layers_in_memory_are_the_same_zones(plugin, scene, tmp_path):
    from qgis.core import QgsProject, QgsVectorLayer

    path, parcels = scene
    expected, _ = run(path, tmp_path / "engine.tif", zones=parcels, **ENGINE)
    layer = QgsVectorLayer(f"{parcels}|layername=zones", "parcels", "ogr")
    assert layer.isValid()
    QgsProject.instance().addMapLayer(layer)
    try:
        for index, given in enumerate((parcels, layer, layer.id(), copied_to_memory(layer))):
            output = str(tmp_path / f"{index}.tif")
            processed(INPUT=path, ZONES=given, OUTPUT=output, **QUICK)
            np.testing.assert_array_equal(read(output), expected)
            assert {1, 2, 3} == set(zone_column(output)[np.isfinite(zone_column(output))])
    finally:
        QgsProject.instance().removeMapLayer(layer.id())
    assert gdal.ReadDirRecursive("/vsimem/tiledseg-zones") in (None, [])


def test_a_filtered_or_edited_layer_is_what_it_shows(plugin, scene, tmp_path):
    from qgis.core import QgsVectorLayer

    path, parcels = scene
    layer = QgsVectorLayer(f"{parcels}|layername=zones", "parcels", "ogr")
    layer.setSubsetString('"fid" <> 2')
    processed(INPUT=path, ZONES=layer, OUTPUT=str(tmp_path / "a.tif"), **QUICK)
    assert set(zone_column(tmp_path / "a.tif")[np.isfinite(zone_column(tmp_path / "a.tif"))]) == {1, 3}
    layer.setSubsetString("")
    layer.startEditing()
    layer.deleteFeature(3)
    before = contents(tmp_path)["parcels.gpkg"]
    processed(INPUT=path, ZONES=layer, ZONES_OUTSIDE="exclude", OUTPUT=str(tmp_path / "b.tif"), **QUICK)
    layer.rollBack()
    assert set(zone_column(tmp_path / "b.tif")) == {1, 2}
    left = write_layer(tmp_path / "left.gpkg", PARCELS[:2])
    np.testing.assert_array_equal(read(tmp_path / "b.tif") != 0, burnt_at_once(left, path) != 0)
    del layer
    assert contents(tmp_path)["parcels.gpkg"] == before


def test_the_check_counts_what_a_run_segments(plugin, scene, tmp_path):
    path, parcels = scene
    given = {"INPUT": path, "ZONES": parcels, "TILE_WIDTH": 40, "TILE_HEIGHT": 45}
    for outside in ("segment", "exclude"):
        output = str(tmp_path / f"{outside}.tif")
        checked = processed("preflight", ZONES_OUTSIDE=outside, OUTPUT="memory:", **given)
        made = processed(ZONES_OUTSIDE=outside, OUTPUT=output, **given, **QUICK)
        assert made["EMPTY_TILES"] == checked["EMPTY_TILES"]
        assert round(checked["VALID_FRACTION"] * 160 * 90) == made["VALID_PIXELS"]
    inside = np.count_nonzero(burnt_at_once(parcels, path))
    assert made["VALID_PIXELS"] == inside < 160 * 90


def test_a_preview_has_the_segments_of_the_run(plugin, scene, tmp_path):
    from qgis.core import QgsApplication, QgsProcessingContext
    from tiledseg.tiledseg_plugin.engine.files.window import Window
    from tiledseg.tiledseg_plugin.engine.preview import Previewer
    from tiledseg.tiledseg_plugin.engine.progress import Feedback

    path, parcels = scene
    roads = write_layer(tmp_path / "roads.gpkg", [line([(-5, 33.3), (170, 48.1)])])
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("tiledseg:segment")
    previewer = Previewer()
    for zones, outside in ((parcels, "segment"), (parcels, "exclude"), (roads, "segment"), (None, "segment")):
        given = {"INPUT": path, "ZONES": zones, "ZONES_OUTSIDE": outside, **QUICK}
        parameters = algorithm.run_parameters(given, QgsProcessingContext())
        assert not previewer.is_ready(parameters)
        previewer.prepare(parameters, Feedback())
        shown = previewer.show(parameters, Window(0, 0, 160, 90), Feedback())
        ids, _ = run(path, tmp_path / "out.tif", zones=zones or "", zones_outside=outside, **ENGINE)
        np.testing.assert_array_equal(shown.ids, ids)


def test_the_command_line_takes_zones(qgis_process, scene, tmp_path):
    path, parcels = scene
    before = contents(tmp_path)
    given = {"INPUT": path, "ZONES": f"{parcels}|layername=zones", "OUTPUT": tmp_path / "out.tif", **QUICK}
    finished = qgis_process("run", "tiledseg:segment", "--", *(f"{name}={value}" for name, value in given.items()))
    assert finished.returncode == 0, finished.stderr
    expected, _ = run(path, tmp_path / "engine.tif", zones=parcels, **ENGINE)
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), expected)
    made = ("out", "engine")
    assert {name: content for name, content in contents(tmp_path).items() if not name.startswith(made)} == before


def test_a_layer_of_points_in_memory_is_refused(plugin, scene):
    from qgis.core import QgsProcessingException, QgsVectorLayer

    points = QgsVectorLayer("Point?crs=EPSG:32630", "wells", "memory")
    nothing = QgsVectorLayer("Polygon?crs=EPSG:32630", "none yet", "memory")
    for layer, sentence in ((points, "ZONES 'wells' holds point"), (nothing, "ZONES 'none yet' has no features")):
        with pytest.raises(QgsProcessingException, match=sentence):
            processed(INPUT=scene[0], ZONES=layer, OUTPUT="TEMPORARY_OUTPUT", **QUICK)
