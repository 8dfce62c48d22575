# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels where walls lie between pixels: both sets against the oracle and against definitions in plain Python."""

import numpy as np
import pytest
from kernel_sets import assert_same, both_sets, compiled, needs_compiled
from oracle.regions import Grid, clump, eliminate_singles
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.kernels.contract import WALL_BELOW, WALL_RIGHT

SHAPES = [(1, 1), (1, 9), (9, 1), (6, 7), (17, 5), (12, 30)]
CLOSED = (False,) * 4


def drawn(seed):
    """(clusters, values, walls): few clusters, many ties, walls of any density."""
    rng = np.random.default_rng(seed)
    shape = SHAPES[seed % len(SHAPES)]
    clusters = rng.integers(seed % 2, 2 + seed % 4, shape).astype(np.uint16)
    values = rng.integers(0, [3, 256][seed % 2], (1 + seed % 3, *shape)).astype([np.uint8, np.float32][seed // 2 % 2])
    walls = np.where(rng.random(shape) < [0.1, 0.5, 0.9][seed % 3], rng.integers(0, 4, shape), 0).astype(np.uint8)
    return clusters, values, walls


def cut_by(walls):
    """The pairs of pixels that walls lie between."""
    rows, cols = walls.shape
    right = [(r * cols + c, r * cols + c + 1) for r, c in zip(*np.nonzero(walls & WALL_RIGHT)) if c + 1 < cols]
    below = [(r * cols + c, (r + 1) * cols + c) for r, c in zip(*np.nonzero(walls & WALL_BELOW)) if r + 1 < rows]
    return right + below


@both_sets
@pytest.mark.parametrize("seed", range(48))
def test_clumps_and_their_edges_end_at_walls(kernels, seed):
    clusters, _, walls = drawn(seed)
    grid = Grid((clusters != 0).tolist(), cut=cut_by(walls))
    ids = clump(grid, {pixel: clusters.flat[pixel] for pixel in grid.pixels})
    labels, count = kernels.clump(clusters, walls)
    assert_same(labels, grid.image(ids))
    assert count == labels.max(initial=0)
    pairs = {
        (min(ids[pixel], ids[near]), max(ids[pixel], ids[near]))
        for pixel in grid.pixels
        for near in grid.neighbours(pixel)
        if ids[pixel] != ids[near]
    }
    assert_same(kernels.find_edges(labels, count, walls), np.array(sorted(pairs), np.uint32).reshape(-1, 2))


@both_sets
@pytest.mark.parametrize("seed", range(48))
def test_single_pixels_follow_nobody_behind_a_wall(kernels, seed):
    clusters, values, walls = drawn(seed)
    grid = Grid((clusters != 0).tolist(), cut=cut_by(walls))
    flat = values.reshape(len(values), -1).astype(np.float32)
    expected = eliminate_singles(
        grid, {pixel: int(clusters.flat[pixel]) for pixel in grid.pixels}, {p: flat[:, p] for p in grid.pixels}
    )
    found, uncertain = kernels.eliminate_singles(clusters, values, CLOSED, walls)
    assert_same(found, grid.image(expected).astype(np.uint16))
    assert not uncertain.any()


@both_sets
@pytest.mark.parametrize("seed", range(24))
def test_what_is_certain_between_walls_does_not_depend_on_the_window(kernels, seed):
    rng = np.random.default_rng(seed)
    clusters = rng.integers(1, 8, (20, 24)).astype(np.uint16)
    values = rng.integers(0, 9, (2, 20, 24)).astype(np.uint8)
    walls = np.where(rng.random((20, 24)) < 0.2, rng.integers(1, 4, (20, 24)), 0).astype(np.uint8)
    top, bottom, left, right = 5, 14, 6, 17
    part = np.s_[top:bottom, left:right]
    whole, _ = kernels.eliminate_singles(clusters, values, CLOSED, walls)
    window = [np.ascontiguousarray(array) for array in (clusters[part], values[(slice(None), *part)], walls[part])]
    inside, uncertain = kernels.eliminate_singles(*window[:2], (True,) * 4, window[2])
    np.testing.assert_array_equal(inside[~uncertain], whole[part][~uncertain])
    assert not uncertain.all()


@needs_compiled
@pytest.mark.parametrize("seed", range(48))
def test_both_sets_are_uncertain_of_the_same_pixels(seed):
    clusters, values, walls = drawn(seed)
    open_sides = [bool(seed >> side & 1) for side in range(4)]
    expected = plain.eliminate_singles(clusters, values, open_sides, walls)
    for ours, theirs in zip(compiled.eliminate_singles(clusters, values, open_sides, walls), expected):
        assert_same(ours, theirs)


@both_sets
@pytest.mark.parametrize("seed", range(12))
def test_walls_that_are_none_change_nothing(kernels, seed):
    clusters, values, walls = drawn(seed)
    none = np.zeros_like(walls)
    for ours, theirs in zip(
        kernels.eliminate_singles(clusters, values, CLOSED, none), kernels.eliminate_singles(clusters, values, CLOSED)
    ):
        assert_same(ours, theirs)
    labels, count = kernels.clump(clusters)
    assert_same(kernels.clump(clusters, none)[0], labels)
    assert_same(kernels.find_edges(labels, count, none), kernels.find_edges(labels, count))
