# SPDX-License-Identifier: GPL-2.0-or-later
"""LEVELS: of one run, the segments of several minimum sizes, each just what a run with that MIN_PIXELS makes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_sets import both_sets, compiled, examples, needs_compiled
from oracle import level_columns
from osgeo import gdal, ogr
from rasters import Log, level_columns_of, run, write_patches, write_raster
from test_elimination import grids
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters, levels_asked_for
from tiledseg.tiledseg_plugin.engine.stages.elimination import ClumpGraph, EliminationRules, eliminate_to_levels

LEVELS = (30, 31, 200, 5000)
TILINGS = ((2000, 2000, "serial"), (37, 41, "threads"), (16, 90, "processes"), (50, 30, "serial"))


@both_sets
@examples
@given(graph=grids(), more=st.sets(st.integers(2, 2000), max_size=4))
def test_levels_of_one_elimination_are_what_each_alone_makes(kernels, graph, more):
    _, sizes, sums, edges, min_pixels, threshold = graph
    sizes_wanted = sorted({min_pixels, *more})
    threshold = None if np.isinf(threshold) else threshold

    def into(*wanted):
        rules = EliminationRules((1.0,), wanted[0], threshold, wanted[1:])
        return eliminate_to_levels(kernels, ClumpGraph(sizes, sums.copy(), edges), rules, lambda done: None)

    together = into(*sizes_wanted)
    assert len(together) == len(sizes_wanted)
    for size, found in zip(sizes_wanted, together):
        (alone,) = into(size)
        assert found.tolist() == alone.tolist()


@needs_compiled
def test_links_are_the_same_with_threads_and_when_merged_clumps_are_forgotten():
    rng = np.random.default_rng(5)
    count = 60_000
    one = np.repeat(np.arange(count - 300), 2)
    edges = np.stack([one, one + np.tile([1, 300], count - 300)], axis=1).astype(np.uint32)
    sizes, sums = rng.integers(1, 6, count), rng.integers(0, 1000, (count, 3))
    found = []
    with ThreadPoolExecutor(2) as pool:
        for kernels, each in ((plain, map), (compiled, pool.map)):
            graph = sizes.copy(), sums.copy(), np.ones(1), edges, 60, 700.0
            elimination = kernels.Elimination(*graph, keeps_links=True)
            for area in range(1, 61):
                elimination.step(area, each)
            found.append(elimination)
    for ours, theirs in zip(found[0].links, found[1].links):
        np.testing.assert_array_equal(ours, theirs)


def field_of(path, name):
    dataset = ogr.Open(str(path))
    return [feature[name] for feature in dataset.GetLayer()]


def hold(ids, larger, column):
    """Assert that a column says what the segments are parts of in another run: the number of the first of them."""
    (of_run,) = level_columns({0: ids, 1: larger}).values()
    _, first = np.unique(of_run, return_index=True)
    assert column.tolist() == (first + 1)[of_run - 1].tolist()


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    return write_patches(tmp_path_factory.mktemp("levels") / "patches.tif")


@pytest.fixture(scope="module", params=[None, 60.0], ids=["no limit", "limit"])
def alone(request, patches, tmp_path_factory):
    """The distance, and of each size what a run with it as MIN_PIXELS makes: {size: ids}."""
    folder = tmp_path_factory.mktemp("alone")
    made = {
        size: run(patches, folder / f"{size}.tif", min_pixels=size, distance_threshold=request.param, num_clusters=9)[0]
        for size in (20, *LEVELS)
    }
    return request.param, made


@pytest.mark.parametrize("width, height, execution", TILINGS)
def test_each_level_is_what_a_run_with_it_makes_however_it_is_run(patches, alone, width, height, execution, tmp_path):
    threshold, made = alone
    tiles = {"tile_width": width, "tile_height": height, "execution": execution, "workers": 2}
    ids, result = run(
        patches,
        tmp_path / "out.tif",
        feedback=(log := Log()),
        min_pixels=20,
        levels=LEVELS,
        distance_threshold=threshold,
        num_clusters=9,
        **tiles,
    )
    np.testing.assert_array_equal(ids, made[20])
    columns = level_columns_of(tmp_path / "out.tif")
    assert list(columns) == list(LEVELS)
    for level, column in columns.items():
        hold(ids, made[level], column)
        count = made[level].max()
        assert f"With MIN_PIXELS = {level} there are {count} segments." in log.lines or count == 1
    assert result.undersized_segments == np.count_nonzero(np.bincount(made[20].ravel())[1:] < 20)


def test_polygons_and_a_table_of_floats_have_the_columns_too(tmp_path):
    rng = np.random.default_rng(1)
    values = np.kron(rng.random((2, 6, 8)), np.ones((1, 10, 10))).astype(np.float32)
    path = write_raster(tmp_path / "in.tif", values + rng.random((2, 60, 80)).astype(np.float32) / 9)
    files = {"polygons": str(tmp_path / "p.gpkg"), "mean_image": str(tmp_path / "m.tif")}
    for name, output in (("a.kea", {}), ("b.img", files)):
        if gdal.GetDriverByName("KEA") is None and name.endswith("kea"):
            continue
        ids, _ = run(path, tmp_path / name, min_pixels=9, levels=(40, 300), num_clusters=5, tile_width=30, **output)
        columns = level_columns_of(tmp_path / name)
        for level in (40, 300):
            larger, _ = run(path, tmp_path / "c.tif", min_pixels=level, num_clusters=5)
            hold(ids, larger, columns[level])
    assert field_of(files["polygons"], "level_300") == columns[300].tolist()


def test_a_table_too_large_for_the_side_file_has_the_columns(tmp_path, monkeypatch):
    from tiledseg.tiledseg_plugin.engine.files import attribute_table

    monkeypatch.setattr(attribute_table, "MOST_XML_VALUES", 100)
    path = write_patches(tmp_path / "in.tif")
    ids, _ = run(path, tmp_path / "o.tif", min_pixels=20, levels=(200,), num_clusters=9)
    larger, _ = run(path, tmp_path / "larger.tif", min_pixels=200, num_clusters=9)
    hold(ids, larger, np.array(field_of(tmp_path / "o_attributes.gpkg", "level_200")))


@pytest.mark.parametrize(
    "text, levels", [("", ()), ("  ", ()), ("500", (500,)), (" 500 ;2000;10000", (500, 2000, 10000))]
)
def test_levels_are_read(text, levels):
    assert levels_asked_for(text) == levels


@pytest.mark.parametrize("text", ["a", "5,6", "5;", ";5", "5;;6", "-5", "5.5", "1e3", "٥", "9" * 100, "5 6", "nan"])
def test_what_is_no_level_is_refused_in_one_sentence(text):
    with pytest.raises(SegmentationError, match=r"^LEVELS is '[^\n]*, such as 500;2000, or leave it empty\.$") as error:
        levels_asked_for(text)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    "levels, more, sentence",
    [
        ((100,), {}, "100 is not above MIN_PIXELS, 100"),
        ((99,), {}, "99 is not above MIN_PIXELS, 100"),
        ((500, 500), {}, "500 is not above the one before it, 500"),
        ((500, 300), {}, "300 is not above the one before it, 500"),
        ((2**31,), {}, "LEVELS is 2147483648: give a number of 2 to 2147483647"),
        ((1,), {"min_pixels": 1}, "LEVELS is 1: give"),
        ((500,), {"engine": "rsgislib"}, "leave LEVELS empty, or choose ENGINE=builtin"),
        ((500.5,), {}, "LEVELS is .* which is not a tuple of whole numbers"),
    ],
)
def test_levels_that_cannot_be_are_refused(levels, more, sentence):
    with pytest.raises(SegmentationError, match=sentence):
        SegmentParameters("in.tif", "out.tif", levels=levels, **more).check()
    SegmentParameters("in.tif", "out.tif", min_pixels=1, levels=(2, 2**31 - 1)).check()
