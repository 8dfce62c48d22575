# SPDX-License-Identifier: GPL-2.0-or-later
"""The algorithms over segments, and the products of `tiledseg:segment`, as QGIS runs them."""

import numpy as np
import pytest
from osgeo import gdal, ogr
from rasters import read, write_raster
from test_attributes import table_of, two_band_scene


@pytest.fixture
def scene(tmp_path):
    values = np.concatenate([two_band_scene(np.uint8), two_band_scene(np.uint8, seed=4)])[:3]
    return write_raster(tmp_path / "in.tif", values)


@pytest.fixture
def processing(plugin):
    import processing

    return processing


@pytest.fixture
def segments(processing, scene, tmp_path):
    processing.run("tiledseg:segment", {"INPUT": scene, "MIN_PIXELS": 20, "OUTPUT": str(tmp_path / "s.tif")})
    return str(tmp_path / "s.tif")


def test_segment_makes_mean_image_and_polygons(processing, scene, tmp_path):
    wanted = {"OUTPUT": "o.img", "MEAN_IMAGE": "m.tif", "POLYGONS": "p.gpkg"}
    parameters = {name: str(tmp_path / file) for name, file in wanted.items()}
    result = processing.run("tiledseg:segment", {"INPUT": scene, "MIN_PIXELS": 20, **parameters})
    assert {name: result[name] for name in wanted} == parameters
    ids, means = read(parameters["OUTPUT"]), read(parameters["MEAN_IMAGE"])
    columns, _ = table_of(parameters["OUTPUT"])
    for band in range(3):
        np.testing.assert_allclose(means[band], columns[f"mean_{band + 1}"][ids], rtol=1e-6)
    dataset = ogr.Open(parameters["POLYGONS"])
    assert dataset.GetLayer(0).GetFeatureCount() == result["SEGMENT_COUNT"]


def test_products_are_not_made_unless_asked_for(processing, scene, tmp_path):
    result = processing.run("tiledseg:segment", {"INPUT": scene, "OUTPUT": str(tmp_path / "o.tif")})
    assert "MEAN_IMAGE" not in result and "POLYGONS" not in result


@pytest.mark.parametrize("statistics", [["median", "p95"], "median;p95", [4, 6]])
def test_statistics(processing, scene, segments, tmp_path, statistics):
    parameters = {"SEGMENTS": segments, "VALUES": scene, "BANDS": [2, 3], "STATISTICS": statistics}
    result = processing.run("tiledseg:statistics", {**parameters, "OUTPUT": str(tmp_path / "t.gpkg")})
    ids, values = read(segments), read(scene)
    dataset = ogr.Open(result["OUTPUT"])
    rows = {row["segment"]: row.items() for row in dataset.GetLayer(0)}
    assert len(rows) == result["SEGMENT_COUNT"] == ids.max()
    assert set(rows[1]) == {"segment", "median_2", "p95_2", "median_3", "p95_3"}
    assert rows[2]["median_3"] == np.median(values[2][ids == 2])


def test_statistics_into_the_attribute_table_with_a_temporary_output(processing, scene, segments):
    parameters = {"SEGMENTS": segments, "VALUES": scene, "STATISTICS": ["median"], "UPDATE_RAT": True}
    result = processing.run("tiledseg:statistics", {**parameters, "OUTPUT": "TEMPORARY_OUTPUT"})
    assert ogr.Open(result["OUTPUT"]) is not None
    assert "median_3" in table_of(segments)[0]


def test_mean_image(processing, scene, segments, tmp_path):
    parameters = {"SEGMENTS": segments, "VALUES": scene, "BANDS": "3"}
    result = processing.run("tiledseg:meanimage", {**parameters, "OUTPUT": str(tmp_path / "m.tif")})
    ids, values, means = read(segments), read(scene), read(result["OUTPUT"])
    assert means.dtype == np.float32
    expected = np.bincount(ids.ravel(), values[2].ravel()) / np.maximum(np.bincount(ids.ravel()), 1)
    np.testing.assert_allclose(means, expected[ids], rtol=1e-6)
    dataset = gdal.Open(result["OUTPUT"])
    least, most, mean, deviation = dataset.GetRasterBand(1).GetStatistics(False, False)
    np.testing.assert_allclose(
        [least, most, mean, deviation], [means.min(), means.max(), means.mean(), means.std()], 1e-5
    )


@pytest.mark.parametrize("simplify", [False, True])
def test_polygons(processing, segments, tmp_path, simplify):
    parameters = {"SEGMENTS": segments, "SIMPLIFY": simplify}
    result = processing.run("tiledseg:polygons", {**parameters, "OUTPUT": str(tmp_path / "p.shp")})
    dataset = ogr.Open(result["OUTPUT"])
    areas = [feature.GetGeometryRef().GetArea() for feature in dataset.GetLayer(0)]
    expected = np.bincount(read(segments).ravel())[1:] * 100.0
    assert len(areas) == result["SEGMENT_COUNT"]
    np.testing.assert_allclose(areas, expected, rtol=0.5 if simplify else 1e-9)


def test_a_level_with_polygons(processing, scene, tmp_path):
    given = {"INPUT": scene, "OUTPUT": str(tmp_path / "s.tif"), "MIN_PIXELS": 10, "LEVELS": "60"}
    segments = processing.run("tiledseg:segment", {**given, "EXECUTION": "serial"})
    result = processing.run(
        "tiledseg:levels",
        {"SEGMENTS": segments["OUTPUT"], "LEVEL": 60, "OUTPUT": "TEMPORARY_OUTPUT", "POLYGONS": "TEMPORARY_OUTPUT"},
    )
    given.update(OUTPUT=str(tmp_path / "l.tif"), MIN_PIXELS=60, LEVELS="")
    level = processing.run("tiledseg:segment", given)
    assert np.array_equal(read(result["OUTPUT"]), read(level["OUTPUT"]))
    assert result["SEGMENT_COUNT"] == level["SEGMENT_COUNT"] < segments["SEGMENT_COUNT"]
    dataset = ogr.Open(result["POLYGONS"])
    assert dataset.GetLayer(0).GetFeatureCount() == result["SEGMENT_COUNT"]


def test_wrong_values_are_reported_in_one_sentence(processing, scene, segments, tmp_path):
    from qgis.core import QgsProcessingException

    for name, parameters, message in (
        ("statistics", {"VALUES": scene, "BANDS": "9", "OUTPUT": "t.gpkg"}, "band 9"),
        ("statistics", {"VALUES": scene, "STATISTICS": ["mode"], "OUTPUT": "t.gpkg"}, "STATISTICS is 'mode'.*median"),
        ("statistics", {"VALUES": scene, "OUTPUT": "t.xls"}, "ends in '.xls'"),
        ("meanimage", {"VALUES": scene, "OUTPUT": "t.png"}, "ends in '.png'"),
        ("polygons", {"OUTPUT": "t.xyz"}, "'.xyz'"),
        ("polygons", {"VALUES": str(tmp_path / "no.tif"), "OUTPUT": "t.gpkg"}, "cannot be opened"),
    ):
        parameters["OUTPUT"] = str(tmp_path / parameters["OUTPUT"])
        with pytest.raises(QgsProcessingException, match=message):
            processing.run(f"tiledseg:{name}", {"SEGMENTS": segments, **parameters})


def test_looks(processing, scene, segments, tmp_path):
    from qgis.core import QgsRasterLayer, QgsVectorLayer
    from tiledseg.algorithms.looks import show_means, show_outlines, show_segments

    layer = QgsRasterLayer(segments)
    show_segments(layer)
    shader = layer.renderer().shader().rasterShaderFunction()
    ids = np.unique(read(segments))
    colours = [shader.shade(float(value))[1:4] for value in ids[ids > 0][:200]]
    assert all(one != other for one, other in zip(colours, colours[1:]))
    image = QgsRasterLayer(scene)
    show_means(image)
    assert (
        image.renderer().redContrastEnhancement().maximumValue()
        > image.renderer().redContrastEnhancement().minimumValue()
    )
    output = processing.run("tiledseg:polygons", {"SEGMENTS": segments, "OUTPUT": str(tmp_path / "p.gpkg")})["OUTPUT"]
    polygons = QgsVectorLayer(output)
    show_outlines(polygons)
    edge, line = polygons.renderer().symbol().symbolLayers()  # no fill, and two tones
    assert {edge.layerType(), line.layerType()} == {"SimpleLine"} and edge.width() > line.width()
    assert edge.color().lightness() < 50 < 100 < line.color().lightness()


def test_shape(processing, segments, tmp_path):
    result = processing.run("tiledseg:shape", {"SEGMENTS": segments, "OUTPUT": str(tmp_path / "t.gpkg")})
    ids = read(segments)
    dataset = ogr.Open(result["OUTPUT"])
    rows = {row["segment"]: row.items() for row in dataset.GetLayer(0)}
    assert len(rows) == result["SEGMENT_COUNT"] == ids.max()
    assert list(rows[1])[:4] == ["segment", "pixels", "area", "perimeter"]
    assert rows[2]["pixels"] == np.count_nonzero(ids == 2)
    assert rows[2]["area"] == 100 * rows[2]["pixels"]


def test_shape_into_the_attribute_table_with_a_temporary_output(processing, segments):
    before, _ = table_of(segments)
    parameters = {"SEGMENTS": segments, "UPDATE_RAT": True, "OUTPUT": "TEMPORARY_OUTPUT"}
    result = processing.run("tiledseg:shape", parameters)
    assert ogr.Open(result["OUTPUT"]) is not None
    after, _ = table_of(segments)
    assert all(np.array_equal(after[name], before[name]) for name in before)
    assert np.array_equal(after["pixels"][1:], before["Histogram"][1:]) and after["compactness"][1:].max() <= 1
    assert {"area", "x_inside", "hole_count", "on_edge"} <= set(after)


def test_neighbours(processing, scene, segments, tmp_path):
    parameters = {"SEGMENTS": segments, "VALUES": scene, "BANDS": [2], "UPDATE_RAT": True}
    outputs = {"OUTPUT": str(tmp_path / "pairs.gpkg"), "SUMMARY": str(tmp_path / "summary.csv")}
    result = processing.run("tiledseg:neighbours", {**parameters, **outputs})
    assert {name: result[name] for name in outputs} == outputs
    dataset = ogr.Open(result["OUTPUT"])
    layer = dataset.GetLayer(0)
    assert layer.GetFeatureCount() == 2 * result["PAIR_COUNT"]
    rows = [row.items() for row in layer]
    assert list(rows[0]) == ["segment", "neighbour", "border_length", "difference_2"]
    assert all(row["border_length"] > 0 for row in rows)
    columns, _ = table_of(segments)
    assert columns["neighbours"].sum() == 2 * result["PAIR_COUNT"]
    assert result["SEGMENT_COUNT"] == read(segments).max()


def test_neighbours_without_a_summary(processing, segments):
    result = processing.run("tiledseg:neighbours", {"SEGMENTS": segments, "OUTPUT": "TEMPORARY_OUTPUT"})
    assert ogr.Open(result["OUTPUT"]) is not None and "SUMMARY" not in result
