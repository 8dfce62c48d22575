# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:preflight` and the tile layers of `tiledseg:segment`, as users call them."""

import json
import math
import os
import sqlite3

import numpy as np
import pytest

gdal = pytest.importorskip("osgeo.gdal")
from rasters import of_tile  # noqa: E402

pytestmark = pytest.mark.qgis

FIELDS = ["tile_id", "col", "row", "width", "height", "valid_pixels", "valid_fraction", "status", "merged_into"]
SHORT_FIELDS = ["tile_id", "col", "row", "width", "height", "valid_px", "valid_frac", "status", "merged_in"]
QUICK = {"NUM_CLUSTERS": 8, "MIN_PIXELS": 10, "SAMPLING": 1}
GEOTRANSFORM = (500000.0, 10.0, 0.0, 6000000.0, 0.0, -10.0)
TURN = math.radians(25)
ROTATED = (500000.0, 10 * math.cos(TURN), 10 * math.sin(TURN), 6e6, 10 * math.sin(TURN), -10 * math.cos(TURN))


def run(plugin, name="preflight", **parameters):
    import processing
    from qgis.core import QgsProcessingFeedback

    feedback = QgsProcessingFeedback()
    result = processing.run(f"tiledseg:{name}", parameters, feedback=feedback)
    return result, feedback.textLog()


def layer_of(result, name="OUTPUT"):
    from qgis.core import QgsVectorLayer

    value = result[name]
    return value if isinstance(value, QgsVectorLayer) else QgsVectorLayer(value)


def polygon_layer(polygons, crs="EPSG:32630", kind="Polygon"):
    """A layer in memory of WKT geometries."""
    from qgis.core import QgsFeature, QgsGeometry, QgsVectorLayer

    layer = QgsVectorLayer(f"{kind}?crs={crs}", "my tiles", "memory")
    for text in polygons:
        feature = QgsFeature()
        if text:
            feature.setGeometry(QgsGeometry.fromWkt(text))
        layer.dataProvider().addFeature(feature)
    layer.updateExtents()
    return layer


def rectangle(left, bottom, right, top):
    return f"POLYGON(({left} {bottom},{right} {bottom},{right} {top},{left} {top},{left} {bottom}))"


@pytest.fixture
def slanted(tmp_path):
    """A raster of 90 x 70 with a slanted footprint: valid where u is small."""
    from rasters import write_raster

    y, x = np.mgrid[:70, :90]
    values = ((x * 7 + y * 3) % 200 + 20).astype(np.uint8)[None].repeat(2, axis=0)
    values[:, np.abs(x - 45 + 0.3 * (y - 35)) > 25] = 0

    def make(name="slanted.tif", geotransform=GEOTRANSFORM, crs="EPSG:32630"):
        return write_raster(tmp_path / name, values, nodata=0, geotransform=geotransform, crs=crs)

    make.valid = values[0] > 0
    return make


def test_numbers_fields_and_values(plugin, slanted):
    result, log = run(plugin, INPUT=slanted(), TILE_WIDTH=20, TILE_HEIGHT=20, OUTPUT="TEMPORARY_OUTPUT")
    layer = layer_of(result)
    assert [field.name() for field in layer.fields() if field.name() != "fid"] == FIELDS
    assert result["TILE_COUNT"] == layer.featureCount() == 20
    rows = [{name: feature[name] for name in FIELDS} for feature in layer.getFeatures()]
    assert [row["tile_id"] for row in rows] == list(range(1, 21))
    for row in rows:
        part = of_tile(slanted.valid, row, 20, 20)
        assert (row["valid_pixels"], row["valid_fraction"]) == (part.sum(), part.mean())
        merged = row["merged_into"]
        assert isinstance(merged, int) == (row["status"] == "sparse")
    states = [row["status"] for row in rows]
    assert result["EMPTY_TILES"] == states.count("empty") > 0
    assert result["SPARSE_TILES"] == states.count("sparse") > 0
    assert result["VALID_FRACTION"] == pytest.approx(slanted.valid.mean())
    assert result["ESTIMATED_MEMORY_MB"] > 0 and result["ESTIMATED_DISK_MB"] > 0
    assert "Tiles: 20 (18 x 18 pixels)" in log


@pytest.mark.parametrize("extension", ["gpkg", "shp", "geojson", "fgb", "memory"])
def test_any_vector_format(plugin, slanted, tmp_path, extension, capfd):
    output = "memory:" if extension == "memory" else str(tmp_path / f"größe.{extension}")
    result, _ = run(plugin, INPUT=slanted(), TILE_WIDTH=20, TILE_HEIGHT=20, OUTPUT=output)
    layer = layer_of(result)
    names = [field.name() for field in layer.fields() if field.name() != "fid"]
    assert names == (SHORT_FIELDS if extension == "shp" else FIELDS)
    assert {feature["status"] for feature in layer.getFeatures()} == {"ok", "sparse", "empty"}
    assert sum(feature[names[5]] for feature in layer.getFeatures()) == slanted.valid.sum()
    assert layer.crs().authid() == "EPSG:32630" or extension == "geojson"


@pytest.mark.parametrize(
    "geotransform, crs",
    [(GEOTRANSFORM, None), (ROTATED, "EPSG:32630"), (ROTATED, None), ((0.0, 2.0, 0.5, 9.0, 0.0, -3.0), None)],
)
def test_polygons_lie_on_their_pixels(plugin, slanted, geotransform, crs):
    path = slanted("a.tif", geotransform, crs)
    result, _ = run(plugin, INPUT=path, TILE_WIDTH=32, TILE_HEIGHT=20, OUTPUT="memory:")
    layer = layer_of(result)
    assert layer.crs().isValid() == bool(crs)
    for feature in layer.getFeatures():
        left, top = feature["col"] * 30, (feature["row"] * 70) // 4  # three and four alike, of 90 x 70 pixels
        right, bottom = left + feature["width"], top + feature["height"]
        corners = [gdal.ApplyGeoTransform(geotransform, x, y)
                   for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))]  # fmt: skip
        ring = [(point.x(), point.y()) for point in feature.geometry().asPolygon()[0]]
        assert ring == [*map(tuple, corners), tuple(corners[0])]


def test_raster_without_georeference_lies_where_qgis_shows_it(plugin, slanted):
    from qgis.core import QgsRasterLayer

    path = slanted("a.tif", None, None)
    result, _ = run(plugin, INPUT=path, TILE_WIDTH=32, TILE_HEIGHT=20, OUTPUT="memory:")
    assert layer_of(result).extent() == QgsRasterLayer(path).extent()


@pytest.mark.parametrize("extension", ["gpkg", "shp", "fgb"])
@pytest.mark.parametrize("geotransform", [GEOTRANSFORM, ROTATED])
def test_segment_takes_the_tile_layer_as_tiles(plugin, slanted, tmp_path, extension, geotransform):
    path = slanted("a.tif", geotransform)
    tiles, _ = run(plugin, INPUT=path, TILE_WIDTH=20, TILE_HEIGHT=33, OUTPUT=str(tmp_path / f"tiles.{extension}"))
    plain, _ = run(plugin, "segment", INPUT=path, OUTPUT=str(tmp_path / "plain.tif"), **QUICK)
    result, _ = run(
        plugin,
        "segment",
        INPUT=path,
        TILES=tiles["OUTPUT"],
        OUTPUT=str(tmp_path / "tiled.tif"),
        S1TILES=str(tmp_path / "s1.gpkg"),
        **QUICK,
    )
    assert "S1TILES" not in plain
    for name in ("TILE_COUNT", "EMPTY_TILES", "SPARSE_TILES"):
        assert result[name] == tiles[name]
    ids = gdal.Open(result["OUTPUT"]).ReadAsArray()
    assert np.array_equal(ids, gdal.Open(plain["OUTPUT"]).ReadAsArray())

    after = {feature["tile_id"]: feature for feature in layer_of(result, "S1TILES").getFeatures()}
    before = {feature["tile_id"]: feature for feature in layer_of(tiles).getFeatures()}
    assert len(after) == len(before) == 15
    for tile_id, feature in after.items():
        assert feature.geometry().isGeosEqual(before[tile_id].geometry())
        part = of_tile(ids, feature, 20, 33)
        assert feature["segments"] == len(np.unique(part[part > 0]))
        assert (feature["seconds"] > 0) == (feature["status"] != "empty")


def test_tiles_in_another_crs_with_gaps_and_overlaps(plugin, slanted, tmp_path):
    from qgis.core import QgsCoordinateReferenceSystem, QgsCoordinateTransform, QgsGeometry, QgsProject

    path = slanted()
    transform = QgsCoordinateTransform(
        QgsCoordinateReferenceSystem("EPSG:32630"), QgsCoordinateReferenceSystem("EPSG:4326"), QgsProject.instance()
    )
    texts = []
    for col, row, width, height in ((20, 0, 40, 40), (40, 20, 30, 30)):
        left, top = GEOTRANSFORM[0] + 10 * col, GEOTRANSFORM[3] - 10 * row
        geometry = QgsGeometry.fromWkt(rectangle(left, top - 10 * height, left + 10 * width, top))
        geometry.transform(transform)
        texts.append(geometry.asWkt(12))
    result, _ = run(plugin, INPUT=path, TILES=polygon_layer(texts, "EPSG:4326"), OUTPUT="memory:")
    first, second = layer_of(result).getFeatures()
    assert (first["width"], first["height"], second["width"], second["height"]) == (40, 40, 30, 30)
    assert first["valid_pixels"] == slanted.valid[0:40, 20:60].sum()
    assert second["valid_pixels"] == slanted.valid[20:50, 40:70].sum() - slanted.valid[20:40, 40:60].sum()
    segmented, _ = run(
        plugin, "segment", INPUT=path, TILES=polygon_layer(texts, "EPSG:4326"), OUTPUT=str(tmp_path / "a.tif"), **QUICK
    )
    covered = np.zeros((70, 90), bool)
    covered[0:40, 20:60] = covered[20:50, 40:70] = True
    assert np.array_equal(gdal.Open(segmented["OUTPUT"]).ReadAsArray() > 0, covered & slanted.valid)


@pytest.mark.parametrize("name", ["preflight", "segment"])
@pytest.mark.parametrize(
    "polygons, kind, message",
    [
        (["LINESTRING(500000 5999900,500100 6000000)"], "LineString", "is not a polygon layer but holds line"),
        (["POINT(500000 5999900)"], "Point", "is not a polygon layer"),
        ([], "Polygon", "TILES 'my tiles' has no polygons"),
        ([None], "Polygon", "Polygon 1 of TILES has no geometry"),
        ([rectangle(0, 0, 10, 10)], "Polygon", "None of the 1 polygons of TILES lies over"),
        (["POLYGON((500000 5999900,500100 6000000,500100 5999900,500000 6000000,500000 5999900))"], "Polygon",
         "is not valid"),
        ([rectangle(500000 + 10 * (i % 90), 5999990 - 10 * (i // 90), 500010 + 10 * (i % 90), 6000000 - 10 * (i // 90))
          for i in range(3000)], "Polygon", "3000 polygons of 1.0 pixels on average"),
    ],
)  # fmt: skip
def test_wrong_tiles_get_one_sentence(plugin, slanted, tmp_path, name, polygons, kind, message):
    from qgis.core import QgsProcessingException

    output = tmp_path / ("out.gpkg" if name == "preflight" else "out.tif")
    with pytest.raises(QgsProcessingException, match=message) as error:
        run(plugin, name, INPUT=slanted(), TILES=polygon_layer(polygons, kind=kind), OUTPUT=str(output))
    assert "Traceback" not in str(error.value) and not output.exists()


def test_tiles_that_are_no_layer_get_one_sentence(plugin, slanted):
    from qgis.core import QgsProcessingException

    with pytest.raises(QgsProcessingException, match="TILES '/nowhere.gpkg' cannot be opened as a vector layer"):
        run(plugin, INPUT=slanted(), TILES="/nowhere.gpkg", OUTPUT="memory:")


def test_runs_in_a_task_and_styles_the_layer_above_the_raster(plugin, slanted, tmp_path):
    from qgis.core import (
        QgsApplication,
        QgsProcessingAlgRunnerTask,
        QgsProcessingContext,
        QgsProcessingFeedback,
        QgsProcessingOutputLayerDefinition,
        QgsProject,
        QgsRasterLayer,
    )
    from qgis.PyQt.QtCore import QEventLoop

    project = QgsProject.instance()
    raster = QgsRasterLayer(slanted(), "scene")
    project.addMapLayer(raster)
    context, feedback = QgsProcessingContext(), QgsProcessingFeedback()
    context.setProject(project)
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("tiledseg:preflight")
    output = QgsProcessingOutputLayerDefinition("TEMPORARY_OUTPUT", project)
    parameters = {"INPUT": raster, "TILE_WIDTH": 20, "TILE_HEIGHT": 20, "OUTPUT": output}
    task = QgsProcessingAlgRunnerTask(algorithm, parameters, context, feedback)
    loop, outcome = QEventLoop(), []
    task.executed.connect(lambda *given: (outcome.extend(given), loop.quit()))
    QgsApplication.taskManager().addTask(task)
    loop.exec()
    try:
        assert outcome[0], feedback.textLog()
        from processing.gui.Postprocessing import handleAlgorithmResults

        assert handleAlgorithmResults(algorithm, context, feedback, parameters=parameters)
        order = project.layerTreeRoot().layerOrder()
        assert [layer.name() for layer in order] == ["Tiles", "scene"]
        renderer = order[0].renderer()
        assert [category.value() for category in renderer.categories()] == ["ok", "sparse", "empty"]
        assert order[0].labelsEnabled()
    finally:
        project.clear()


@pytest.mark.parametrize("set_by_user", [False, True])
def test_a_rendering_style_of_the_users_is_respected(plugin, monkeypatch, set_by_user):
    from processing.gui.RenderingStyles import RenderingStyles
    from qgis.core import QgsProcessingContext, QgsProcessingFeedback
    from tiledseg.algorithms.looks import TileLook

    styles = {"tiledseg:preflight": {"OUTPUT": "/my.qml"}} if set_by_user else {}
    monkeypatch.setattr(RenderingStyles, "styles", styles)
    layer = polygon_layer([])
    look = TileLook("tiledseg:preflight", "OUTPUT", layer.crs(), "")
    look.postProcessLayer(layer, QgsProcessingContext(), QgsProcessingFeedback())
    assert (layer.renderer().type() == "categorizedSymbol") != set_by_user


def test_moves_only_layers_that_are_below(plugin):
    from qgis.core import QgsLayerTree, QgsProject
    from tiledseg.algorithms.looks import place_above

    project = QgsProject.instance()
    try:
        layers = [polygon_layer([]) for _ in range(3)]
        for layer in layers:
            project.addMapLayer(layer, False)
        root = QgsLayerTree()
        for layer in layers:
            root.addLayer(layer)
        above, middle, below = (layer.id() for layer in layers)
        place_above(root, above, below)
        assert [layer.id() for layer in root.layerOrder()] == [above, middle, below]
        place_above(root, below, middle)
        assert [layer.id() for layer in root.layerOrder()] == [above, below, middle]
        place_above(root, below, "unknown")
        assert len(root.findLayers()) == 3
    finally:
        project.clear()


def test_qgis_process(qgis_process, slanted, tmp_path):
    path, tiles, output = slanted(), str(tmp_path / "tiles.gpkg"), str(tmp_path / "out.tif")

    def call(name, **parameters):
        given = [f"{key}={value}" for key, value in parameters.items()]
        finished = qgis_process("--json", "run", f"tiledseg:{name}", "--", *given)
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout)["results"]

    result = call("preflight", INPUT=path, TILE_WIDTH=20, TILE_HEIGHT=20, OUTPUT=tiles)
    assert result["TILE_COUNT"] == 20
    segmented = call("segment", INPUT=path, TILES=tiles, OUTPUT=output, S1TILES=tiles + "2.gpkg")
    assert segmented["TILE_COUNT"] == 20 and os.path.exists(output)
    with sqlite3.connect(tiles + "2.gpkg") as database:
        (table,) = database.execute("select table_name from gpkg_contents").fetchone()
        found = database.execute(f'select tile_id, segments from "{table}" order by tile_id').fetchall()
    assert [row[0] for row in found] == list(range(1, 21)) and any(row[1] for row in found)


def test_example_of_a_100_km_grid_in_another_crs(plugin, shared, tmp_path):
    import subprocess
    import sys
    from pathlib import Path

    script = Path(__file__).resolve().parent.parent / "scripts" / "tile_grid.py"
    raster, grid = str(shared / "data" / "landsat7_bahamas_rgb_uint8.tif"), str(tmp_path / "grid.gpkg")
    command = [sys.executable, str(script), raster, grid, "--crs", "EPSG:5070"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"12 tiles\n"
    before, _ = run(plugin, INPUT=raster, TILES=grid, OUTPUT=str(tmp_path / "tiles.gpkg"))
    options = {**QUICK, "NUM_CLUSTERS": 20, "MIN_PIXELS": 30}
    one, _ = run(plugin, "segment", INPUT=raster, OUTPUT=str(tmp_path / "one.tif"), **options)
    for number, tiles in enumerate((grid, before["OUTPUT"])):
        output = str(tmp_path / f"{number}.tif")
        many, _ = run(plugin, "segment", INPUT=raster, TILES=tiles, OUTPUT=output, **options)
        assert many["TILE_COUNT"] == before["TILE_COUNT"] > 4
        assert np.array_equal(gdal.Open(output).ReadAsArray(), gdal.Open(one["OUTPUT"]).ReadAsArray())


@pytest.mark.parametrize("extension", ["shp", "gpkg", "geojson"])
@pytest.mark.parametrize("name", ["preflight", "segment"])
def test_fields_of_tiles_have_their_documented_names_and_the_map_tip_follows(
    plugin, slanted, tmp_path, extension, name
):
    from qgis.core import QgsExpression, QgsExpressionContext, QgsExpressionContextUtils, QgsProcessingContext

    output = "OUTPUT" if name == "preflight" else "S1TILES"
    path = str(tmp_path / f"tiles.{extension}")
    parameters = {"TILE_WIDTH": 20, "TILE_HEIGHT": 20, output: path}
    if name == "segment":
        parameters.update(QUICK, OUTPUT=str(tmp_path / "a.tif"))
    whole, _ = run(plugin, INPUT=slanted(), TILE_WIDTH=20, TILE_HEIGHT=20, OUTPUT="memory:")
    result, _ = run(plugin, name, INPUT=slanted(), **parameters)
    layer = layer_of(result, output)
    expected = SHORT_FIELDS if extension.lower() == "shp" else FIELDS
    found = [field.name() for field in layer.fields() if field.name() != "fid"]
    assert found[:9] == expected and found[9:] == ([] if name == "preflight" else ["segments", "seconds"])
    rows = {feature["tile_id"]: feature for feature in layer.getFeatures()}
    for feature in layer_of(whole).getFeatures():
        row = rows[feature["tile_id"]]
        for field, written in zip(FIELDS, expected):
            assert row[written] == (
                pytest.approx(feature[field], abs=1e-9) if field == "valid_fraction" else feature[field]
            )
    from tiledseg.algorithms.looks import TileLook

    look = TileLook("tiledseg:preflight", "OUTPUT", layer.crs(), "")
    look.postProcessLayer(layer, QgsProcessingContext(), None)
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    for feature in layer.getFeatures():
        context.setFeature(feature)
        shown = QgsExpression.replaceExpressionText(layer.mapTipTemplate(), context)
        share = float(shown.rpartition(">")[2].removesuffix(" % valid"))
        assert share == pytest.approx(100 * feature[expected[6]], abs=0.0501)
