# SPDX-License-Identifier: GPL-2.0-or-later
"""POLYGONS and `tiledseg:polygons`, against gdal.Polygonize and GEOS."""

from collections import Counter

import numpy as np
import pytest
from osgeo import gdal, ogr
from rasters import GEOTRANSFORM, leftovers, run, write_raster
from test_attributes import RASTERS, real_part, two_band_scene
from test_statistics import blobs
from tiledseg.tiledseg_plugin.engine import kernels
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.files import tables
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.products import outlines
from tiledseg.tiledseg_plugin.engine.products import polygons as segments_as_polygons
from tiledseg.tiledseg_plugin.engine.products.segment_polygons import PolygonsParameters, segment_polygons
from tiledseg.tiledseg_plugin.engine.progress import Feedback


def polygons(segments, output, **parameters):
    segment_polygons(PolygonsParameters(str(segments), str(output), **parameters), Feedback())
    return features(output)


def features(path):
    """[(segment, geometry, {field: value})] in the order of the file."""
    dataset = ogr.Open(str(path))
    layer = dataset.GetLayer(0)
    return [(f["segment"], f.GetGeometryRef().Clone(), f.items()) for f in layer]


def members(geometry):
    if geometry.GetGeometryName() == "MULTIPOLYGON":
        return [geometry.GetGeometryRef(i) for i in range(geometry.GetGeometryCount())]
    return [geometry]


def shape(polygon):
    """(area, perimeter, holes): what must be as in gdal.Polygonize."""
    return round(polygon.GetArea(), 3), round(polygon.Boundary().Length(), 3), polygon.GetGeometryCount() - 1


def polygonized(path):
    """(id, shape) of every polygon of gdal.Polygonize, in the same order of corners or not."""
    raster = gdal.Open(str(path))
    band = raster.GetRasterBand(1)
    layer = (dataset := ogr.GetDriverByName("Memory").CreateDataSource("m")).CreateLayer("m", geom_type=ogr.wkbPolygon)
    layer.CreateField(ogr.FieldDefn("id", ogr.OFTInteger64))
    gdal.Polygonize(band, band.GetMaskBand(), layer, 0)
    found = []
    for feature in layer:
        geometry = feature.GetGeometryRef()
        if not geometry.IsValid():  # a hole that touches the outer ring is part of it there
            geometry = geometry.MakeValid()
        found.append((feature["id"], *shape(geometry)))
    del dataset
    return found


def check_against_gdal(path, found):
    ours = [(segment, *shape(part)) for segment, geometry, _ in found for part in members(geometry)]
    assert Counter(ours) == Counter(polygonized(path))
    assert all(geometry.IsValid() for _, geometry, _ in found)


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(outlines, "WINDOW", 16)
    small_lots(monkeypatch)


def small_lots(monkeypatch):
    """Of segments and corners that are held at a time."""
    monkeypatch.setattr(segments_as_polygons, "SEGMENTS_AT_A_TIME", 7)
    monkeypatch.setattr(outlines, "SEGMENTS_IN_LOT", 21)
    monkeypatch.setattr(outlines, "CORNERS_AT_A_TIME", 40)


@pytest.mark.parametrize("name", RASTERS)
def test_polygons_are_those_of_gdal_on_real_rasters(shared, tmp_path, name):
    path, parameters = real_part(shared, tmp_path, name)
    ids, _ = run(path, tmp_path / "o.tif", polygons=str(tmp_path / "p.gpkg"), **parameters)
    found = features(tmp_path / "p.gpkg")
    assert [segment for segment, _, _ in found] == list(range(1, ids.max() + 1))
    check_against_gdal(tmp_path / "o.tif", found)
    a, b, c, d = np.array(gdal.Open(str(tmp_path / "o.tif")).GetGeoTransform())[[1, 2, 4, 5]]
    pixel = abs(a * d - b * c)
    areas = [geometry.GetArea() / pixel for _, geometry, _ in found]
    np.testing.assert_allclose(areas, np.bincount(ids.ravel())[1:], rtol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_regions_of_noise_with_holes_that_touch_are_those_of_gdal(tmp_path, small_windows, seed):
    ndimage = pytest.importorskip("scipy.ndimage")

    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 3, (61, 70))
    ids = np.zeros(kinds.shape, np.uint32)
    for kind in (1, 2):
        labels, _ = ndimage.label(kinds == kind)
        ids[labels > 0] = labels[labels > 0] + ids.max()
    segments = write_raster(tmp_path / "s.tif", ids[None], nodata=0)
    found = polygons(segments, tmp_path / "p.gpkg")
    assert all(geometry.GetGeometryName() == "POLYGON" for _, geometry, _ in found)
    check_against_gdal(segments, found)


def test_a_segment_in_several_parts_is_one_feature(tmp_path, small_windows):
    ids = np.random.default_rng(3).integers(0, 4, (61, 70)).astype(np.uint32) * 1000000007
    segments = write_raster(tmp_path / "s.tif", ids[None], nodata=0)
    found = polygons(segments, tmp_path / "p.gpkg")
    assert [segment for segment, _, _ in found] == sorted(set(ids[ids > 0].tolist()))
    check_against_gdal(segments, found)


def test_geometry_does_not_depend_on_windows_tiles_workers_execution_or_kernels(tmp_path, monkeypatch):
    path = write_raster(tmp_path / "in.tif", two_band_scene(np.uint8))
    results = []
    for window, parameters in (
        (1024, {"execution": "serial"}),
        (16, {"tile_width": 37, "tile_height": 41, "workers": 3}),
        (50, {"tile_width": 64, "tile_height": 16, "kernels": "plain"}),
    ):
        monkeypatch.setattr(outlines, "WINDOW", window)
        if window == 16:
            small_lots(monkeypatch)
        run(path, tmp_path / "o.tif", min_pixels=5, polygons=str(tmp_path / "p.gpkg"), **parameters)
        found = features(tmp_path / "p.gpkg")
        results.append([(segment, geometry.ExportToWkb(), sorted(items.items())) for segment, geometry, items in found])
    assert results[0] == results[1] == results[2]


def test_polygons_carry_the_statistics_of_the_run(tmp_path):
    values = two_band_scene(np.uint8)
    path = write_raster(tmp_path / "in.tif", values)
    ids, _ = run(path, tmp_path / "o.tif", min_pixels=20, polygons=str(tmp_path / "p.gpkg"))
    for segment, _, items in features(tmp_path / "p.gpkg"):
        inside = values[1][ids == segment]
        assert items["pixels"] == inside.size
        assert items["mean_2"] == pytest.approx(inside.mean()) and items["std_2"] == pytest.approx(inside.std())
        assert (items["min_2"], items["max_2"]) == (inside.min(), inside.max())
    assert not leftovers(tmp_path, {"in.tif", "o.tif", "o.tif.aux.xml", "o.qml", "o_report.json", "p.gpkg"})


def test_values_give_their_statistics(tmp_path, small_windows):
    ids, values = blobs(), two_band_scene(np.float32)
    segments, raster = write_raster(tmp_path / "s.tif", ids[None]), write_raster(tmp_path / "v.tif", values)
    found = polygons(segments, tmp_path / "p.gpkg", values=raster)
    check_against_gdal(write_raster(tmp_path / "t.tif", ids[None], nodata=0), found)
    for segment, _, items in found[:20]:
        assert items["mean_1"] == pytest.approx(values[0][ids == segment].mean())


@pytest.mark.parametrize("extension", [".gpkg", ".shp", ".geojson", ".fgb"])
def test_vector_formats(tmp_path, extension):
    ids = blobs()
    segments = write_raster(tmp_path / "s.tif", ids[None], nodata=0)
    found = polygons(segments, tmp_path / f"p{extension}")
    assert sorted(segment for segment, _, _ in found) == list(range(1, ids.max() + 1))  # .fgb is in spatial order
    check_against_gdal(segments, found)


def test_rotated_grids_and_grids_without_a_reference(tmp_path):
    ids = blobs()
    for transform in ((5, 3, 1, 9, 1, -3), None):
        segments = write_raster(tmp_path / "s.tif", ids[None], nodata=0, geotransform=transform, crs=None)
        check_against_gdal(segments, polygons(segments, tmp_path / "p.gpkg"))


@pytest.mark.parametrize("with_holes", [False, True])
def test_simplified_polygons_share_their_edges(tmp_path, small_windows, with_holes):
    ids = blobs(seed=11)
    if with_holes:
        ids[np.random.default_rng(2).random(ids.shape) < 0.02] = ids.max() + 1
    segments = write_raster(tmp_path / "s.tif", ids[None], nodata=0)
    exact = polygons(segments, tmp_path / "e.gpkg")
    found = polygons(segments, tmp_path / "p.gpkg", simplify=True)
    assert len(found) == len(exact)
    points = [sum(part.Boundary().GetPointCount() or 0 for part in members(g)) for _, g, _ in found]
    assert all(geometry.IsValid() and geometry.GetArea() > 0 for _, geometry, _ in found)
    corners = sum(len(g.ExportToWkb()) for _, g, _ in exact)
    assert sum(len(g.ExportToWkb()) for _, g, _ in found) < 0.8 * corners, points[:3]
    # a coverage: what the polygons add up to is their union, and every edge inside is there twice
    total = sum(geometry.GetArea() for _, geometry, _ in found)
    union = ogr.Geometry(ogr.wkbMultiPolygon)
    for _, geometry, _ in found:
        for part in members(geometry):
            union.AddGeometry(part)
    assert union.UnionCascaded().GetArea() == pytest.approx(total, rel=1e-9)
    edges = Counter()
    for _, geometry, _ in found:
        for part in members(geometry):
            for i in range(part.GetGeometryCount()):
                ring = part.GetGeometryRef(i).GetPoints()
                edges.update(frozenset(pair) for pair in zip(ring, ring[1:]))
    assert set(edges.values()) == {1, 2}
    once = [edge for edge, count in edges.items() if count == 1]
    left, top = GEOTRANSFORM[0], GEOTRANSFORM[3]
    on_border = [
        e for e in once if len({x for x, _ in e} & {left, left + 1700}) or len({y for _, y in e} & {top, top - 1500})
    ]
    beside_nodata = len(once) - len(on_border)
    assert beside_nodata < 0.05 * len(edges)
    for (_, one, _), (_, other, _) in zip(exact, found):
        assert one.Buffer(7.2).Contains(other.Boundary())  # half a pixel, along its diagonal


def test_simplifying_is_the_same_in_all_windows_and_kernels(tmp_path, monkeypatch):
    segments = write_raster(tmp_path / "s.tif", blobs(seed=12)[None], nodata=0)
    results = []
    for window, kernel in ((1024, "auto"), (16, "auto"), (40, "plain")):
        monkeypatch.setattr(outlines, "WINDOW", window)
        found = polygons(segments, tmp_path / "p.gpkg", simplify=True, kernels=kernel)
        results.append([geometry.ExportToWkb() for _, geometry, _ in found])
    assert results[0] == results[1] == results[2]


def test_both_kernels_trace_the_same_outlines():
    compiled, note = kernels.choose("auto")
    if compiled is plain:
        pytest.skip(note)
    rng = np.random.default_rng(0)
    for _ in range(60):
        ids = rng.integers(0, rng.integers(2, 5), rng.integers(3, 15, 2)).astype(np.uint32)
        for junctions in (False, True):
            pair = [module.trace_outlines(ids, 5, 7, 100, junctions) for module in (plain, compiled)]
            assert all(one.dtype == other.dtype and np.array_equal(one, other) for one, other in zip(*pair))
            ids = np.pad(ids[1:-1, 1:-1], 1)
            traced = plain.trace_outlines(ids, 0, 0, 100, junctions)
            for step in (
                lambda m, traced=traced: m.finish_rings(*traced[3:]),
                lambda m, traced=traced: m.simplify_rings(*m.finish_rings(*traced[3:])[1:4]),
            ):
                assert all(np.array_equal(one, other) for one, other in zip(step(plain), step(compiled)))


def test_a_wrong_extension_or_folder_is_reported_before_the_run(tmp_path):
    path = write_raster(tmp_path / "in.tif", two_band_scene(np.uint8))
    for name, message in (("p.xyz", "'.xyz'"), ("no/p.gpkg", "does not exist")):
        with pytest.raises(SegmentationError, match=message):
            run(path, tmp_path / "o.tif", polygons=str(tmp_path / name))
    assert not leftovers(tmp_path, {"in.tif"})


def test_a_cancel_while_they_are_written_prints_nothing_and_leaves_nothing(tmp_path, monkeypatch, capfd):
    path = write_raster(tmp_path / "s.tif", np.arange(1, 3601, dtype=np.uint32).reshape(1, 60, 60), nodata=0)

    class Impatient(Feedback):
        is_enough = False

        def is_cancelled(self):
            return self.is_enough

    def create_fields(*arguments):
        tables.create_fields(*arguments)
        impatient.is_enough = True

    impatient = Impatient()
    monkeypatch.setattr(segments_as_polygons, "create_fields", create_fields)
    with pytest.raises(Cancelled):
        segment_polygons(PolygonsParameters(path, str(tmp_path / "p.gpkg"), execution="serial"), impatient)
    assert not leftovers(tmp_path, {"s.tif"})
    assert capfd.readouterr() == ("", "")
