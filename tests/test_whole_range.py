# SPDX-License-Identifier: GPL-2.0-or-later
"""Exactness over a parameter's whole range, not its default, on rasters that need many steps to get there.

Compiled kernels against plain ones, tiled against untiled; a step's number once had 8 bits, so that what MIN_PIXELS
above 255 gave was wrong.
"""

import numpy as np
import pytest
from fuzzing.images import make
from kernel_sets import assert_same, both_sets, compiled, needs_compiled
from rasters import run, write_raster
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.stages import elimination, plan
from tiledseg.tiledseg_plugin.engine.stages.kmeans import cluster, distinct_colours

UNTILED = {"kernels": "plain", "execution": "serial", "tile_width": 1 << 20, "tile_height": 1 << 20}
MIN_PIXELS = (1, 100, 256, 257, 1000, 10_000)
RANGES = {
    "uint8": (0, 255),
    "uint16": (0, 65535),
    "int16": (-32768, 32767),
    "uint32": (0, 2**32 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "float32": (-1.0, 1.0),
    "float64": (0.0, 1e12),
}


def fractal(seed=1, bands=3, rows=90, cols=110, dtype="uint8", levels=0, grain=2, kind="fractal"):
    low, high = RANGES[dtype]
    return make(
        {
            "kind": kind,
            "seed": seed,
            "bands": bands,
            "rows": rows,
            "cols": cols,
            "dtype": dtype,
            "low": low,
            "high": high,
            "levels": levels,
            "grain": grain,
        }
    )


def graph_of(values, num_clusters):
    """(sizes, sums, edges) of the clumps of an image."""
    valid = np.ones(values.shape[1:], bool)
    colours, counts, _ = distinct_colours(values.reshape(len(values), -1).T[::7], plain)
    centres, _ = cluster(colours, counts, num_clusters, 50, plain)
    clusters, _ = plain.eliminate_singles(plain.nearest_centre(values, valid, centres), values, (False,) * 4)
    labels, count = plain.clump(clusters)
    sizes, sums, _, _ = plain.describe_clumps(labels, count, clusters, values)
    return sizes, sums, plain.find_edges(labels, count) - np.uint32(1)


def eliminated(kernel, graph, min_pixels, threshold, shared=None):
    sizes, sums, edges = (array.copy() for array in graph)
    clumps = elimination.ClumpGraph(sizes, sums, edges, shared=shared)
    rules = elimination.EliminationRules((1.0,), min_pixels, threshold)
    done = elimination.eliminate(kernel, clumps, rules, lambda share: None)
    return done.into, done.regions()


@needs_compiled
@pytest.mark.parametrize("threshold", [None, 12.0, 1e-300])
@pytest.mark.parametrize("seed, num_clusters, grain", [(1, 60, 1), (2, 9, 2), (3, 300, 3)])
def test_kernels_agree_at_any_min_pixels(seed, num_clusters, grain, threshold):
    graph = graph_of(fractal(seed, grain=grain), num_clusters)
    shared = np.random.default_rng(seed).random(graph[0].size) < 0.01
    for min_pixels in MIN_PIXELS:
        for border in (None, shared):
            ours, left = eliminated(compiled, graph, min_pixels, threshold, border)
            theirs, right = eliminated(plain, graph, min_pixels, threshold, border)
            assert_same(ours, theirs)
            for name in ("roots", "sizes", "undecided_from"):
                assert_same(getattr(left, name), getattr(right, name))


@both_sets
def test_a_mean_is_computed_anew_however_many_steps_ago_it_was_before(kernels):
    """Clump 0 grows in step 1 and again in step 256, with a merge elsewhere in every step between.

    Its mean is 17.8 then, so that clump 3 of colour 12 joins clump 4 of colour 7 in step 300; not so with a mean of 10.
    """
    pairs = 299
    sizes = np.array([400, 1, 256, 300, 900, *range(1, pairs + 1), *range(2, pairs + 2)], np.int64)
    small = np.arange(5, 5 + pairs)
    edges = np.concatenate([[[0, 1], [0, 2], [0, 3], [3, 4]], np.stack([small, small + pairs], axis=1)])
    sums = (sizes * np.concatenate([[10, 10, 30, 12, 7], np.full(2 * pairs, 200)]))[:, None]
    into, left = eliminated(kernels, (sizes, sums, edges.astype(np.uint32)), 350, 100.0)
    assert into[:5].tolist() == [0, 0, 0, 4, 4]
    assert left.sizes[:2].tolist() == [657, 1200]


@pytest.fixture
def pieces(monkeypatch):
    """Sets from how many pixels on the engine parts a tile."""
    return lambda least: monkeypatch.setattr(plan, "LEAST_PIXELS", least)


def assert_tiling_makes_no_difference(path, tmp_path, pieces, tiles, **parameters):
    pieces(1 << 62)
    expected, first = run(path, tmp_path / "whole.tif", **UNTILED, **parameters)
    pieces(1 << 20)
    for width, height in tiles:
        ids, result = run(path, tmp_path / "tiled.tif", tile_width=width, tile_height=height, **parameters)
        assert np.array_equal(ids, expected), (width, height)
        assert result.segment_count == first.segment_count
    return first


@pytest.mark.parametrize("min_pixels", MIN_PIXELS)
def test_tiling_makes_no_difference_at_any_min_pixels(tmp_path, pieces, min_pixels):
    path = write_raster(tmp_path / "in.tif", fractal(7, rows=150, cols=170, grain=1), nodata=0)
    tiles = [(5000, 5000), (57, 90)]
    assert_tiling_makes_no_difference(path, tmp_path, pieces, tiles, min_pixels=min_pixels, sampling=10)


@pytest.mark.parametrize("dtype, stretch", [(dtype, number % 2 == 0) for number, dtype in enumerate(RANGES)])
def test_tiling_makes_no_difference_to_any_dtype(tmp_path, pieces, dtype, stretch):
    """The fuzzer draws each dtype with and without a stretch."""
    values = fractal(5, bands=2, dtype=dtype, rows=90, cols=80, grain=1)
    path = write_raster(tmp_path / "in.tif", values)
    given = {"stretch": stretch, "sampling": 7, "min_pixels": 600, "distance_threshold": None}
    assert_tiling_makes_no_difference(path, tmp_path, pieces, [(5000, 5000), (45, 61)], **given)


@pytest.mark.parametrize(
    "bands, num_clusters",
    [(1, 2), (1, 256), (2, 500), (3, 255), (3, 256), (3, 500), (4, 60), (7, 500), (12, 2), (12, 60)],
)
def test_tiling_makes_no_difference_to_any_number_of_bands_and_clusters(tmp_path, pieces, bands, num_clusters):
    path = write_raster(tmp_path / "in.tif", fractal(9, bands=bands, rows=70, cols=60, grain=2))
    given = {"num_clusters": num_clusters, "sampling": 3, "min_pixels": 400, "distance_threshold": 40.0}
    assert_tiling_makes_no_difference(path, tmp_path, pieces, [(5000, 5000), (33, 60)], **given)


@pytest.mark.slow
@pytest.mark.parametrize("min_pixels, segments", [(2000, 1302)])
def test_a_real_raster_at_a_large_min_pixels(shared, tmp_path, min_pixels, segments):
    """The counts are those of the plain kernels at any tiling."""
    raster = shared / "data" / "naip_maryland_4band_uint8.tif"
    for tile in (2000, 256):
        _, result = run(
            raster, tmp_path / "out.tif", bands=(1, 2, 3, 4), min_pixels=min_pixels, tile_width=tile, tile_height=tile
        )
        assert result.segment_count == segments, tile
