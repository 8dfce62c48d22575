# SPDX-License-Identifier: GPL-2.0-or-later
"""The oracle itself: RSGISLib's stages on the rasters whose results are kept, and what can be seen by eye."""

import ast
import json
import os
from pathlib import Path

import numpy as np
import oracle
import pytest
from kernel_sets import both_sets
from oracle.regions import Grid, clump, eliminate_singles
from oracle.stretch import rsgislib_limits, stretch_value
from osgeo import gdal
from rasters import run, write_raster

STAGES = ("centres", "clusters", "no_singles", "initial_clumps", "clumps")
SYNTHETIC = ("synthetic_oneband", "synthetic_full", "synthetic_holes")
REAL = ("landsat7_bahamas", "naip_maryland", "sen2_aber_b8_b9_b3")  # minutes each


def reference(path):
    stages = np.load(path)
    parameters = json.loads(str(stages["parameters"]))
    parameters.pop("bands")
    return stages, parameters


def assert_stages(stages, parameters):
    """From the stretched image on; where its first band is 0 there is no data."""
    stretched = stages["stretched"]
    found = oracle.segment(stretched, (stretched[0] != 0).tolist(), **{**parameters, "stretch": False})
    for stage in STAGES:
        np.testing.assert_array_equal(getattr(found, stage), stages[stage], err_msg=stage)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_every_stage_is_that_of_rsgislib(data, name):
    assert_stages(*reference(data / f"{name}.npz"))


@pytest.mark.slow
@pytest.mark.skipif("TILEDSEG_LONG" not in os.environ, reason="takes minutes: TILEDSEG_LONG=1 runs it")
@pytest.mark.parametrize("name", REAL)
def test_every_stage_is_that_of_rsgislib_on_real_rasters(shared, name):
    assert_stages(*reference(shared / "reference" / f"{name}.npz"))


def test_raw_values_lead_to_rsgislibs_result_without_a_stretch(data):
    stages, parameters = reference(data / "synthetic_holes_nostretch.npz")
    values = gdal.Open(str(data / "synthetic_holes.tif")).ReadAsArray()
    found = oracle.segment(values, (values[0] != 0).tolist(), **parameters)
    np.testing.assert_array_equal(found.clumps, stages["clumps"])


@pytest.mark.parametrize("name", SYNTHETIC)
def test_rsgislib_stretch_is_that_of_its_script(data, name):
    stages, _ = reference(data / f"{name}.npz")
    values = gdal.Open(str(data / f"{name}.tif")).ReadAsArray().reshape(stages["stretched"].shape)
    for band, stretched, row in zip(values, stages["stretched"], stages["stretch_stats"]):
        limits = rsgislib_limits(band.ravel().tolist())
        np.testing.assert_allclose(limits, row[1:3], rtol=1e-5)
        inside = stages["stretched"][0] != 0
        found = [stretch_value(value, limits, as_rsgislib=True) for value in band[inside].tolist()]
        np.testing.assert_array_equal(found, stretched[inside])


@pytest.mark.parametrize("name", SYNTHETIC)
@both_sets
def test_engine_makes_what_the_oracle_makes(data, tmp_path, kernels, name):
    """With its own stretch, in tiles, and fewer clusters so that the oracle is done sooner."""
    path = data / f"{name}.tif"
    values = gdal.Open(str(path)).ReadAsArray()
    values = values.reshape(-1, *values.shape[-2:])[:, :90, :80]
    cut = write_raster(tmp_path / "in.tif", values)
    given = {"num_clusters": 14, "min_pixels": 300, "sampling": 9}
    ids, _ = run(cut, tmp_path / "out.tif", tile_width=37, tile_height=29, kernels=kernels.NAME, **given)
    valid = oracle.valid_pixels(values, [None] * len(values))
    np.testing.assert_array_equal(ids, oracle.segment(values, valid, **given).clumps)


KNOWN = ("numpy", "math", "fractions", "itertools", "dataclasses", "typing")  # what the oracle may import


def test_shares_no_code_with_the_engine():
    for path in Path(oracle.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            assert all(name.split(".")[0] in KNOWN for name in names)


def test_a_row_by_hand():
    values = np.array([[[1, 1, 1, 9, 1, 5, 5, 5]]], np.uint8)
    found = oracle.segment(values, [[True] * 8], num_clusters=3, min_pixels=3, sampling=1, stretch=False)
    assert found.centres.tolist() == [[1], [5], [9]]  # of the diagonal's points 1, 3.67 and 6.33 the nearest free ones
    assert found.clusters.tolist() == [[1, 1, 1, 3, 1, 2, 2, 2]]
    # the 9 and the 1 behind it are single: beside the first ones, and beside the last ones
    assert found.no_singles.tolist() == [[1, 1, 1, 1, 2, 2, 2, 2]]
    assert found.initial_clumps.tolist() == found.clumps.tolist() == [[1, 1, 1, 1, 2, 2, 2, 2]]


def test_zones_are_segmented_each_by_itself():
    rng = np.random.default_rng(4)
    values = rng.integers(0, 60, (2, 14, 16)).astype(np.uint8)
    zones = np.zeros((14, 16), int)
    zones[5:, :7], zones[5:, 7:] = 1, 2
    everywhere = [[True] * 16] * 14
    given = {"num_clusters": 6, "min_pixels": 12, "sampling": 1, "stretch": False}
    together = oracle.segment(values, everywhere, zones=zones.tolist(), **given)
    for zone in range(3):
        alone = oracle.segment(values, (zones == zone).tolist(), centres=together.centres, **given)
        pairs = np.unique(np.stack([together.clumps[zones == zone], alone.clumps[zones == zone]]), axis=1)
        assert pairs.shape[1] == len(set(pairs[0])) == len(set(pairs[1])) > 1
    assert len(np.unique(zones)) == 3 and together.clumps.max() == len(np.unique(together.clumps))


def test_levels_are_nested_and_those_of_runs_of_their_own():
    rng = np.random.default_rng(8)
    values = np.kron(rng.integers(0, 200, (2, 8, 8)), np.ones((1, 3, 3), int)).astype(np.uint8)
    everywhere = [[True] * 24] * 24
    given = {"num_clusters": 9, "sampling": 1, "distance_threshold": None}
    by_level = oracle.segment_levels(values, everywhere, 2, [12, 40, 5000], **given)
    columns = oracle.level_columns(by_level)  # which looks that they are nested
    assert [ids.max() for ids in by_level.values()] == sorted((ids.max() for ids in by_level.values()), reverse=True)
    assert by_level[5000].max() == 1 < by_level[40].max() < by_level[2].max()
    for level, column in columns.items():
        np.testing.assert_array_equal(column[by_level[2] - 1], by_level[level])


def test_single_pixels_follow_the_nearest_colour_and_up_before_left():
    colours = {pixel: np.array([value], np.float32) for pixel, value in enumerate([4, 4, 4, 4, 6, 9, 4, 9, 9])}
    clusters = dict(enumerate([1, 1, 1, 1, 3, 2, 1, 2, 2]))
    grid = Grid([[True] * 3] * 3)
    assert eliminate_singles(grid, clusters, colours)[4] == 1
    colours[4] = np.array([6.5], np.float32)  # as far from 4 as from 9: up comes first
    assert eliminate_singles(grid, clusters, colours)[4] == 1
    assert clump(grid, clusters) == dict(enumerate([1, 1, 1, 1, 2, 3, 1, 3, 3]))


@pytest.mark.parametrize(
    "nodata, mask, rule, expected",
    [
        ([0, 0], None, "any", [[False, False, True, False]]),
        ([0, 0], None, "all", [[False, True, True, True]]),
        ([None, None], None, "any", [[False, True, True, False]]),
        ([9, None], None, "any", [[True, True, False, False]]),
        ([None, None], [[1, 0, 1, 1]], "any", [[True, False, True, False]]),
    ],
)
def test_validity(nodata, mask, rule, expected):
    values = np.array([[[0, 0, 9, np.nan]], [[0, 5, 5, 5]]])
    assert oracle.valid_pixels(values, nodata, mask, rule) == expected
