# SPDX-License-Identifier: GPL-2.0-or-later
"""The style beside OUTPUT, and the attribute table as QGIS sees it."""

import re

import numpy as np
import pytest
from rasters import Log, leftovers, run, write_raster
from test_attributes import two_band_scene
from tiledseg.tiledseg_plugin.engine.files import segment_style


@pytest.fixture
def scene(tmp_path):
    (tmp_path / "of others").mkdir()
    return write_raster(tmp_path / "of others" / "in.tif", two_band_scene(np.uint8))


@pytest.mark.parametrize("extension", [".tif", ".cog.tif", ".img"])
def test_style_is_replaced_with_the_raster(tmp_path, scene, extension):
    run(scene, tmp_path / f"o{extension}", min_pixels=30)
    style = tmp_path / f"o{extension}".replace(".tif", ".qml").replace(".img", ".qml")
    first = style.read_text()
    _, result = run(scene, tmp_path / f"o{extension}", min_pixels=300)
    assert re.findall('classificationMax="(.*?)"', style.read_text()) == [str(result.segment_count)]
    assert style.read_text() != first


def test_style_of_the_users_stays(tmp_path, scene):
    (tmp_path / "o.qml").write_text("<qgis>of the user's</qgis>")
    log = Log()
    run(scene, tmp_path / "o.tif", log, min_pixels=30)
    assert (tmp_path / "o.qml").read_text() == "<qgis>of the user's</qgis>"
    assert any("o.qml" in line and "stays" in line for line in log.lines)


@pytest.mark.parametrize("other", ["o.jpg", "o.shp", "polygons"])
def test_no_style_where_it_would_be_another_files_as_well(tmp_path, scene, other):
    parameters = {"polygons": str(tmp_path / "o.gpkg")} if other == "polygons" else {}
    if not parameters:
        (tmp_path / other).write_text("another layer")
    log = Log()
    run(scene, tmp_path / "o.tif", log, min_pixels=30, **parameters)
    assert not (tmp_path / "o.qml").exists()
    assert any("o.qml" in line and "none is written" in line for line in log.lines)


def test_style_that_cannot_be_written_is_an_error(tmp_path, scene, monkeypatch):
    def fail(*arguments, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segment_style.Path, "write_text", fail)
    with pytest.raises(segment_style.SegmentationError, match="o.qml cannot be written .No space left"):
        run(scene, tmp_path / "o.tif", min_pixels=30)
    assert not leftovers(tmp_path, {"of others"})


@pytest.mark.parametrize("most", [1, 2, 3000, 8192, 8193, 30_000, 2**32 - 1])
def test_qgis_takes_the_style_whatever_the_number_of_segments(qgis_application, tmp_path, most):
    from qgis.core import QgsRasterLayer

    values = np.array([[[0, 1, (most + 1) // 2, most]]], np.uint32)
    path = write_raster(tmp_path / "o.tif", values, nodata=0)
    (tmp_path / "o.qml").write_text(segment_style.style(most))
    layer = QgsRasterLayer(path, "opened again later")
    assert layer.renderer().type() == "singlebandpseudocolor"
    shade = layer.renderer().shader().rasterShaderFunction().shade
    colours = {shade(float(value)) for value in (1, (most + 1) // 2, most)}
    assert len(colours) == min(most, 3) and all(colour[0] and colour[4] == 255 for colour in colours)
    assert len(layer.renderer().legendSymbologyItems()) <= segment_style.MOST_COLOURS


@pytest.mark.parametrize("extension", [".tif", ".cog.tif", ".img"])
def test_qgis_takes_the_table_and_opens_the_raster_with_the_style(qgis_application, tmp_path, scene, extension):
    from qgis.core import QgsRasterLayer

    _, result = run(scene, tmp_path / f"o{extension}", min_pixels=30)
    layer = QgsRasterLayer(str(tmp_path / f"o{extension}"), "segments")
    assert layer.renderer().type() == "singlebandpseudocolor"
    if not hasattr(layer, "attributeTable"):
        return  # before QGIS 3.30
    table = layer.attributeTable(1)
    assert table.isValid() == (True, "")
    assert table.hasColor()
    row = table.row(result.segment_count)
    assert row[[field.name for field in table.fields()].index("Value")] == result.segment_count


def test_looks_do_not_replace_a_style_of_the_users(plugin, tmp_path, scene):
    from qgis.core import QgsRasterLayer
    from tiledseg.algorithms.looks import Look, show_segments

    run(scene, tmp_path / "o.tif", min_pixels=30)
    layer = QgsRasterLayer(str(tmp_path / "o.tif"), "segments")
    look = Look("tiledseg:segment", "OUTPUT", show_segments)
    assert not look._has_style_of_the_users(layer)
    (tmp_path / "o.qml").write_text("<qgis>of the user's</qgis>")
    assert look._has_style_of_the_users(layer)


def test_coloured_polygons_leave_no_gaps_to_their_neighbours(plugin, tmp_path):
    from qgis.core import QgsMapRendererSequentialJob, QgsMapSettings, QgsVectorLayer
    from qgis.PyQt.QtCore import QSize
    from qgis.PyQt.QtGui import QColor
    from tiledseg.algorithms.looks import show_outlines
    from tiledseg.algorithms.looks_by_value import Colouring, show_at_random, show_classes

    values = np.random.default_rng(5).integers(0, 250, (1, 400, 400)).astype(np.uint8)
    run(write_raster(tmp_path / "in.tif", values), tmp_path / "o.tif", min_pixels=60, polygons=str(tmp_path / "o.gpkg"))
    layer = QgsVectorLayer(str(tmp_path / "o.gpkg"), "polygons", "ogr")
    usual = layer.simplifyMethod().simplifyHints()
    shown = QgsMapSettings()
    shown.setLayers([layer])
    shown.setDestinationCrs(layer.crs())
    shown.setOutputSize(QSize(150, 150))
    shown.setFlag(QgsMapSettings.Flag.UseRenderingOptimization, True)
    inside = layer.extent()
    inside.scale(0.9)
    shown.setExtent(inside)
    for show in (
        lambda: show_classes(layer, Colouring("", ("mean_1",)), [-1.0, 110.0, 140.0, 300.0]),
        lambda: show_at_random(layer, "segment"),
    ):
        show_outlines(layer)
        assert layer.simplifyMethod().simplifyHints() == usual
        show()
        drawn = []
        for colour in ("#000000", "#ffffff"):
            shown.setBackgroundColor(QColor(colour))
            job = QgsMapRendererSequentialJob(shown)
            job.start()
            job.waitForFinished()
            drawn.append([job.renderedImage().pixelColor(col, row).red() for row in range(150) for col in range(150)])
        through = np.subtract(drawn[1], drawn[0])
        assert through.max() < 60, np.sort(through)[-20:]
