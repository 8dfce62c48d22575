# SPDX-License-Identifier: GPL-2.0-or-later
"""Segmenting within zones: the oracle's segments, at any tiling, and the zone of each."""

import numpy as np
import oracle
import pytest
from rasters import GEOTRANSFORM, Log, read, run, write_raster
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.stages import plan, zone_source, zones
from zone_layers import box, burnt_at_once, cut_by, line, polygon, write_layer, zone_column

SHAPE = (36, 44)
PARCELS = [
    polygon(box(3.2, 2.7, 20.4, 15.1), box(8, 6, 12.5, 9.5)),
    polygon([(20.4, 2.7), (40.3, 5.0), (33.3, 20.2), (20.4, 15.1)]),
    polygon(box(18.0, 14.0, 26.0, 31.0)),
    polygon(box(30.0, 24.0, 31.0, 25.0)),  # a pixel
    polygon(box(27.1, 22.0, 27.3, 35.0)),  # holds no centre
    f"MULTIPOLYGON({polygon(box(2, 20, 9, 33))[7:]},{polygon(box(33, 27, 43, 35))[7:]})",
]
LINES = [[(-3.0, 10.3), (50.0, 18.9)], [(14.5, -1.0), (14.5, 20.5), (30.2, 20.5)], [(22.0, 22.0), (30.0, 33.0)]]
RUN = {"num_clusters": 5, "min_pixels": 9, "sampling": 1, "distance_threshold": 90.0}
TILINGS = (
    {"tile_width": 1000, "tile_height": 1000, "kernels": "plain", "execution": "serial"},
    {"tile_width": 16, "tile_height": 16, "kernels": "compiled", "execution": "threads"},
    {"tile_width": 17, "tile_height": 1000, "kernels": "plain", "execution": "threads"},
)


@pytest.fixture(autouse=True)
def small_cells(monkeypatch):
    monkeypatch.setattr(zones, "CELL", 16)
    monkeypatch.setattr(zone_source, "PART_POINTS", 12)


@pytest.fixture
def scene(tmp_path):
    """(path, values, valid): patches with noise, so that there are single pixels and clumps of all sizes."""
    rng = np.random.default_rng(5)
    values = np.kron(rng.integers(20, 230, (2, 9, 11)), np.ones((1, 4, 4), int)) + rng.integers(0, 40, (2, *SHAPE))
    values = values.astype(np.uint8)
    values[:, 5:8, 30:34] = 0
    path = write_raster(tmp_path / "in.tif", values, nodata=0)
    return path, values, (values != 0).all(axis=0)


def expected_of(scene, labels=None, cut=(), excluded=None, **changes):
    _, values, valid = scene
    valid = valid if excluded is None else valid & ~excluded
    return oracle.segment(
        values, valid.tolist(), zones=None if labels is None else labels.tolist(), cut=cut, **{**RUN, **changes}
    )


@pytest.mark.parametrize("outside", ["segment", "exclude"])
@pytest.mark.parametrize("least_pixels", [64, 1 << 20])
def test_segments_within_polygons_are_the_oracles(tmp_path, scene, outside, least_pixels, monkeypatch):
    monkeypatch.setattr(plan, "LEAST_PIXELS", least_pixels)
    layer = write_layer(tmp_path / "parcels.gpkg", PARCELS)
    labels = burnt_at_once(layer, scene[0])
    expected = expected_of(scene, labels, excluded=labels == 0 if outside == "exclude" else None).clumps
    assert (expected != expected_of(scene, np.zeros_like(labels)).clumps).any()
    for tiling in TILINGS:
        ids, result = run(scene[0], tmp_path / "out.tif", zones=layer, zones_outside=outside, **RUN, **tiling)
        np.testing.assert_array_equal(ids, expected)
        assert result.valid_pixels == np.count_nonzero(expected)
        column = zone_column(tmp_path / "out.tif")
        _, first = np.unique(ids, return_index=True)
        np.testing.assert_array_equal(np.nan_to_num(column), labels.ravel()[first[-column.size :]])
        assert np.isnan(column).any() == (outside == "segment")


def test_segments_between_lines_are_the_oracles(tmp_path, scene):
    layer = write_layer(tmp_path / "roads.gpkg", [line(points) for points in LINES])
    expected = expected_of(scene, cut=cut_by(LINES, SHAPE)).clumps
    assert (expected != expected_of(scene).clumps).any()
    for tiling in TILINGS:
        ids, _ = run(scene[0], tmp_path / "out.tif", zones=layer, **RUN, **tiling)
        np.testing.assert_array_equal(ids, expected)
    with pytest.raises(ValueError):
        zone_column(tmp_path / "out.tif")  # lines have no pixels


@pytest.mark.parametrize(
    "dtype, nodata", [(np.uint8, 0), (np.int16, -5), (np.float32, None), (np.uint32, None), (np.float64, 7.0)]
)
def test_segments_within_classes_are_the_oracles(tmp_path, scene, dtype, nodata):
    rng = np.random.default_rng(1)
    classes = np.kron(rng.integers(0, 5, (6, 7)), np.ones((6, 7), int))[: SHAPE[0], : SHAPE[1]].astype(dtype)
    classes = np.pad(classes, ((0, SHAPE[0] - classes.shape[0]), (0, SHAPE[1] - classes.shape[1])), "edge")
    if dtype == np.float32:
        classes[classes == 3] = np.nan
    if nodata is not None:
        classes[classes == 2] = nodata
    path = write_raster(tmp_path / "classes.tif", classes[None], nodata=nodata)
    outside = classes == (0 if nodata is None else nodata)
    outside |= ~np.isfinite(classes.astype(float))
    labels = np.where(outside, -99.0, classes.astype(np.float64))
    expected = expected_of(scene, labels).clumps
    for tiling in TILINGS[:2]:
        ids, _ = run(scene[0], tmp_path / "out.tif", zones=path, **RUN, **tiling)
        np.testing.assert_array_equal(ids, expected)
    column = zone_column(tmp_path / "out.tif")
    _, first = np.unique(ids, return_index=True)
    np.testing.assert_array_equal(np.where(np.isnan(column), -99, column), labels.ravel()[first[-column.size :]])
    ids, _ = run(scene[0], tmp_path / "out.tif", zones=path, zones_outside="exclude", **RUN, **TILINGS[1])
    np.testing.assert_array_equal(ids, expected_of(scene, labels, excluded=outside).clumps)


def test_classes_on_another_grid_are_those_at_the_pixels_centres(tmp_path, scene):
    rng = np.random.default_rng(2)
    classes = rng.integers(1, 9, (1, 30, 30)).astype(np.uint8)
    own = (GEOTRANSFORM[0] - 13.0, 37.0, 0.0, GEOTRANSFORM[3] + 4.0, 0.0, -21.0)
    path = write_raster(tmp_path / "coarse.tif", classes, geotransform=own)
    rows, cols = np.indices(SHAPE) + 0.5
    taken = classes[0, ((rows * 10 + 4) // 21).astype(int), ((cols * 10 + 13) // 37).astype(int)]
    ids, _ = run(scene[0], tmp_path / "out.tif", zones=path, **RUN, **TILINGS[1])
    np.testing.assert_array_equal(ids, expected_of(scene, taken).clumps)
    fine = write_raster(
        tmp_path / "fine.tif",
        np.kron(taken, np.ones((4, 4), np.uint8))[None],
        geotransform=(GEOTRANSFORM[0], 2.5, 0.0, GEOTRANSFORM[3], 0.0, -2.5),
    )
    ids, _ = run(scene[0], tmp_path / "out.tif", zones=fine, **RUN, **TILINGS[1])
    np.testing.assert_array_equal(ids, expected_of(scene, taken).clumps)


def test_classes_in_another_coordinate_system_are_reprojected(tmp_path, scene):
    from osgeo import gdal

    classes = np.kron(np.arange(1, 37).reshape(6, 6), np.ones((12, 12), int))[None].astype(np.uint8)
    own = (GEOTRANSFORM[0] - 100.0, 10.0, 0.0, GEOTRANSFORM[3] + 100.0, 0.0, -10.0)
    write_raster(tmp_path / "own.tif", classes, geotransform=own)
    fine = str(tmp_path / "other.tif")
    gdal.Warp(fine, str(tmp_path / "own.tif"), dstSRS="EPSG:3035", xRes=0.5, yRes=0.5)
    taken = classes[0, 10 : 10 + SHAPE[0], 10 : 10 + SHAPE[1]]
    ids, _ = run(scene[0], tmp_path / "out.tif", zones=fine, **RUN, **TILINGS[1])
    expected = expected_of(scene, taken).clumps
    assert np.count_nonzero(ids != expected) < 0.02 * ids.size


def test_a_part_of_the_raster_has_the_zones_that_are_there(tmp_path, scene):
    path, values, valid = scene
    layer = write_layer(tmp_path / "parcels.gpkg", PARCELS)
    part = np.s_[6:32, 9:40]
    labels = burnt_at_once(layer, path)[part]
    cut = "cut.tif", values[(slice(None), *part)], valid[part]
    ids, _ = run(path, tmp_path / "out.tif", zones=layer, extent=(9, 6, 31, 26), **RUN, **TILINGS[1])
    np.testing.assert_array_equal(ids, expected_of(cut, labels).clumps)


@pytest.mark.parametrize("kind", ["polygons", "lines", "classes"])
def test_zones_beside_the_part_that_is_segmented_are_refused_by_naming_it(tmp_path, scene, kind):
    path = scene[0]
    if kind == "classes":
        layer = write_raster(tmp_path / "zones.tif", np.ones((1, 5, 5), np.uint8), geotransform=GEOTRANSFORM)
    else:
        shape = polygon(box(0, 0, 5, 5)) if kind == "polygons" else line([(0, 0), (5, 5)])
        layer = write_layer(tmp_path / "zones.gpkg", [shape])
    run(path, tmp_path / "whole.tif", zones=layer, **RUN, **TILINGS[1])
    sentence = (
        r"ZONES .*zones\.\w+ does not lie over EXTENT, the part of .*in\.tif that is segmented: give another EXTENT"
    )
    with pytest.raises(SegmentationError, match=sentence):
        run(path, tmp_path / "out.tif", zones=layer, extent=(20, 15, 20, 15), **RUN, **TILINGS[1])
    assert not (tmp_path / "out.tif").exists()


def test_floats_and_polygons_of_segments_have_their_zone(tmp_path, scene):
    from osgeo import ogr

    path = write_raster(tmp_path / "float.tif", scene[1].astype(np.float32), nodata=0)
    layer = write_layer(tmp_path / "parcels.gpkg", PARCELS, ids=[11, 12, 13, 14, 15, 16])
    ids, _ = run(path, tmp_path / "out.tif", zones=layer, polygons=str(tmp_path / "out.gpkg"), **RUN, **TILINGS[2])
    dataset = ogr.Open(str(tmp_path / "out.gpkg"))
    column = zone_column(tmp_path / "out.tif")
    assert {11, 12, 13, 14, 16} == set(column[np.isfinite(column)])
    for feature in dataset.GetLayer(0):
        zone = column[feature.GetField("segment") - 1]
        assert feature.GetField("zone") == (None if np.isnan(zone) else zone)


def test_without_zones_nothing_differs(tmp_path, scene):
    """A zone that holds all of the raster is none."""
    layer = write_layer(tmp_path / "all.gpkg", [polygon(box(-5, -5, 60, 60))])
    plain, _ = run(scene[0], tmp_path / "a.tif", **RUN, **TILINGS[1])
    ids, _ = run(scene[0], tmp_path / "b.tif", zones=layer, zones_outside="exclude", **RUN, **TILINGS[1])
    np.testing.assert_array_equal(ids, plain)
    np.testing.assert_array_equal(plain, expected_of(scene).clumps)


def test_a_zone_smaller_than_the_least_size_stays_as_it_is(tmp_path, scene):
    layer = write_layer(tmp_path / "parcels.gpkg", PARCELS)
    labels = burnt_at_once(layer, scene[0])
    ids, result = run(
        scene[0], tmp_path / "out.tif", zones=layer, **{**RUN, "min_pixels": 500, "distance_threshold": None}
    )
    for zone in np.unique(labels[scene[2]]):
        own = ids[(labels == zone) & scene[2]]
        if own.size < 500:
            assert not np.isin(ids[labels != zone], np.unique(own)).any()
    assert result.undersized_segments


@pytest.mark.parametrize("moment", [20, 55, 85])
def test_a_run_is_taken_up_with_the_same_zones_and_no_others(tmp_path, scene, moment):
    layer = write_layer(tmp_path / "parcels.gpkg", PARCELS)
    expected = expected_of(scene, burnt_at_once(layer, scene[0])).clumps
    given = {**RUN, **TILINGS[1], "work_dir": str(tmp_path / "work")}
    with pytest.raises(Cancelled):
        run(scene[0], tmp_path / "out.tif", Log(cancel_at=moment), zones=layer, **given)
    changed = write_layer(tmp_path / "changed.gpkg", [*PARCELS[:-1], polygon(box(1, 20, 9, 33))])
    for other in ({"zones": changed}, {"zones": ""}, {"zones": layer, "zones_outside": "exclude"}):
        with pytest.raises(SegmentationError, match="ZONES.*there, .* now"):
            run(scene[0], tmp_path / "out.tif", **other, **given)
    moved = write_layer(tmp_path / "the same elsewhere.gpkg", PARCELS)
    ids, _ = run(scene[0], tmp_path / "out.tif", log := Log(), zones=moved, **given)
    assert any("is taken up" in text for text in log.lines)
    np.testing.assert_array_equal(ids, expected)
    assert list((tmp_path / "work").iterdir()) == []


def test_changed_classes_are_not_taken_up(tmp_path, scene):
    classes = np.kron(np.arange(1, 5).reshape(2, 2), np.ones((18, 22), int)).astype(np.uint8)[None]
    path = write_raster(tmp_path / "classes.tif", classes)
    given = {**RUN, **TILINGS[1], "work_dir": str(tmp_path / "work")}
    with pytest.raises(Cancelled):
        run(scene[0], tmp_path / "out.tif", Log(cancel_at=50), zones=path, **given)
    classes[0, 0, 0] = 9
    write_raster(tmp_path / "classes.tif", classes)
    with pytest.raises(SegmentationError, match="ZONES: content .* there, content .* now"):
        run(scene[0], tmp_path / "out.tif", zones=path, **given)


def test_levels_stay_within_zones(tmp_path, scene):
    layer = write_layer(tmp_path / "parcels.gpkg", PARCELS)
    labels = burnt_at_once(layer, scene[0]).tolist()
    levels = (20, 70, 400)
    least, others = RUN["min_pixels"], {name: value for name, value in RUN.items() if name != "min_pixels"}
    expected = oracle.segment_levels(*scene[1:], least, levels, zones=labels, **others)
    columns = oracle.level_columns(expected)
    ids, _ = run(scene[0], tmp_path / "out.tif", zones=layer, levels=levels, **RUN, **TILINGS[1])
    np.testing.assert_array_equal(ids, expected[least])
    for level in levels:
        found = zone_column(tmp_path / "out.tif", f"level_{level}")
        np.testing.assert_array_equal(np.unique(found[columns[level] == 1]).size, 1)
        pairs = set(zip(found.tolist(), columns[level].tolist()))
        assert len(pairs) == len(set(found.tolist())) == len(set(columns[level].tolist()))
    assert np.isfinite(zone_column(tmp_path / "out.tif")).any()


def test_zones_without_a_valid_pixel_are_named(tmp_path, scene):
    layer = write_layer(tmp_path / "hole.gpkg", [polygon(box(30, 5, 34, 8))])
    with pytest.raises(SegmentationError, match="has no valid pixel in ZONES.*set ZONES_OUTSIDE to segment"):
        run(scene[0], tmp_path / "out.tif", zones=layer, zones_outside="exclude", **RUN, **TILINGS[0])
    assert not (tmp_path / "out.tif").exists()


def test_worker_processes_know_the_zones(tmp_path, scene):
    layer = write_layer(tmp_path / "parcels.gpkg", PARCELS)
    given = {**RUN, "tile_width": 16, "tile_height": 1000, "execution": "processes", "workers": 2}
    ids, _ = run(scene[0], tmp_path / "out.tif", zones=layer, zones_outside="exclude", **given)
    labels = burnt_at_once(layer, scene[0])
    np.testing.assert_array_equal(ids, expected_of(scene, labels, excluded=labels == 0).clumps)
    assert read(tmp_path / "out.tif").shape == SHAPE
