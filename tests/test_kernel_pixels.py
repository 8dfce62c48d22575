# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernels of pixels, held against their definitions in plain Python: both sets, every value of every result."""

import numpy as np
import pytest
from kernel_sets import assert_same, both_sets
from oracle.kmeans import squared_distances
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.kernels.plain import pixels

SEEDS = range(12)


def drawn(seed):
    """(values, valid, centres) with many ties."""
    rng = np.random.default_rng(seed)
    bands, k = 1 + seed % 4, (1, 2, 3, 9)[seed % 4 - 1]
    values = rng.integers(0, 6, (bands, 5, 7)).astype([np.uint8, np.float32][seed % 2])
    centres = rng.integers(-1, 7, (k, bands)).astype(np.float32) * np.float32(1 if seed < 6 else 0.9)
    return values, rng.random((5, 7)) < 0.8, centres


CHUNKS = {
    "many chunks": {"CHUNK": 7, "FEW": 0},
    "one chunk": {"FEW": 0},
    "all centres at once, in many chunks": {"CELLS": 40},
    "all centres at once": {},
}


@pytest.fixture(params=CHUNKS.values(), ids=CHUNKS)
def chunk(request, monkeypatch):
    """How many pixels, and how many centres, are compared at a time by the plain kernels."""
    for name, value in request.param.items():
        monkeypatch.setattr(pixels, name, value)


@both_sets
@pytest.mark.parametrize("seed", SEEDS)
def test_a_label_is_that_of_the_first_of_the_nearest_centres(kernels, seed, chunk):
    values, valid, centres = drawn(seed)
    expected = np.zeros(valid.shape, np.uint16)
    for row, col in zip(*np.nonzero(valid)):
        expected[row, col] = 1 + np.argmin(squared_distances(values[:, row, col].astype(np.float32), centres))
    assert_same(kernels.nearest_centre(values, valid, centres), expected)
    assert_same(kernels.NearestCentre(centres)(values, valid), expected)


@both_sets
@pytest.mark.parametrize("seed", SEEDS)
def test_the_two_nearest_centres_have_the_two_least_distances(kernels, seed, chunk):
    values, _, centres = drawn(seed)
    colours = values.reshape(len(values), -1).astype(np.float32)
    distances = np.array([np.append(squared_distances(colour, centres), np.float32(np.inf)) for colour in colours.T])
    least = np.sort(distances, axis=1)
    labels, nearest, second = kernels.nearest_two(colours, centres)
    assert_same(labels, (1 + np.argmin(distances, axis=1)).astype(np.uint16))
    assert_same(nearest, least[:, 0])
    assert_same(second, least[:, 1])


@both_sets
@pytest.mark.parametrize("k", [255, 256, 257])
def test_the_last_of_many_centres_is_found(kernels, k, chunk):
    centres = np.arange(k, dtype=np.float32)[:, None]
    labels, nearest, second = kernels.nearest_two(np.array([[-1, 0.5, k]], np.float32), centres)
    assert labels.tolist() == [1, 1, k]
    assert (nearest.tolist(), second.tolist()) == ([1, 0.25, 1], [4, 0.25, 4])


@pytest.mark.parametrize("cells", [1, 20, 1 << 17])
@pytest.mark.parametrize("size", [1, 2, 3, 12])
def test_each_colour_may_have_centres_of_its_own(size, cells, monkeypatch):
    monkeypatch.setattr(pixels, "CELLS", cells)
    rng = np.random.default_rng(size)
    colours = rng.integers(0, 6, (2, size)).astype(np.float32)
    centres = rng.integers(0, 6, (2, 5, size)).astype(np.float32)
    second = np.full(size, np.inf, np.float32)
    index, nearest = pixels.compare_at_once(colours, centres, second)
    distances = np.array([squared_distances(colour, own) for colour, own in zip(colours.T, centres.T)])
    assert_same(index, np.argmin(distances, axis=1).astype(np.uint16))
    assert_same(nearest, np.sort(distances, axis=1)[:, 0])
    assert_same(second, np.sort(distances, axis=1)[:, 1])


def single_pixels(clusters, values, open_sides):
    """As `eliminate_singles`, by its docstring: {pixel: cluster}, and the uncertain pixels."""
    rows, cols = clusters.shape
    cluster = {(r, c): clusters[r, c] for r in range(rows) for c in range(cols) if clusters[r, c]}

    def beside(pixel):
        row, col = pixel
        near = (row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)  # preference on a tie
        return [other for other in near if other in cluster]

    def is_alone(pixel):
        return all(cluster[near] != cluster[pixel] for near in beside(pixel))

    single = {pixel for pixel in cluster if is_alone(pixel)}
    top, bottom, left, right = open_sides
    uncertain = {
        (row, col)
        for row, col in single
        if (top and row == 0) or (bottom and row == rows - 1) or (left and col == 0) or (right and col == cols - 1)
    }
    active = single - uncertain
    while True:
        doubtful = {pixel for pixel in active if any(near in uncertain for near in beside(pixel))}
        new = {}
        for pixel in active - doubtful:
            best = np.float32(np.inf)
            for near in beside(pixel):
                colour, other = (values[(slice(None), *place)].astype(np.float32) for place in (pixel, near))
                distance = squared_distances(colour, other[None])[0]
                if near not in single and distance < best:
                    best, new[pixel] = distance, cluster[near]
        cluster.update(new)
        single -= set(new)
        uncertain |= doubtful
        waiting = active - doubtful - set(new)
        joined = {p for p in waiting if any(cluster[near] == cluster[p] and near not in single for near in beside(p))}
        late = {p for p in waiting - joined if any(near in uncertain for near in beside(p))}
        single -= joined
        uncertain |= late
        if not (doubtful or new or joined or late):
            return cluster, uncertain
        active = waiting - joined - late


@both_sets
@pytest.mark.parametrize("seed", range(40))
def test_single_pixels_follow_their_nearest_neighbour(kernels, seed):
    rng = np.random.default_rng(seed)
    shape = [(7, 9), (1, 12), (12, 1), (16, 5)][seed % 4]
    clusters = rng.integers(1, [3, 6, 30][seed % 3], shape).astype(np.uint16)
    clusters[rng.random(shape) < [0, 0.3][seed % 2]] = 0
    values = rng.integers(0, [2, 5, 256][seed % 3], (1 + seed % 3, *shape)).astype(
        [np.uint8, np.float32][seed // 2 % 2]
    )
    open_sides = [bool(seed >> side & 1) for side in range(4)] if seed < 32 else [False] * 4
    cluster, uncertain = single_pixels(clusters, values, open_sides)
    expected, doubtful = np.zeros(shape, np.uint16), np.zeros(shape, bool)
    for pixel in cluster:
        expected[pixel] = cluster[pixel]
        doubtful[pixel] = pixel in uncertain
    before = clusters.copy()
    found, unsure = kernels.eliminate_singles(clusters, values, open_sides)
    assert_same(unsure, doubtful)
    assert_same(found, expected)
    assert_same(clusters, before)
    assert found.flags.c_contiguous and unsure.flags.c_contiguous


@both_sets
def test_a_single_pixel_whose_neighbours_are_infinitely_far_stays(kernels):
    clusters = np.array([[1, 1, 2, 3, 3]], np.uint16)
    values = np.array([[[-3e38, -3e38, 3e38, -3e38, -3e38]]], np.float32)
    with np.errstate(over="ignore"):
        found, uncertain = kernels.eliminate_singles(clusters, values, (False,) * 4)
    assert_same(found, clusters)
    assert not uncertain.any()


@both_sets
def test_relabelling_looks_labels_up(kernels):
    labels, table = np.array([[2, 0], [1, 1]], np.uint32), np.array([0, 7, 2**32 - 1], np.uint32)
    assert_same(kernels.relabel(labels, table), np.array([[2**32 - 1, 0], [7, 7]], np.uint32))


IDS = {
    "near each other": [5, 9, 5, 0, 7],
    "far from each other": [5, 4_000_000_000, 0, 5, 77],
    "far from each other, all there": [4_000_000_000, 5, 5],
    "the largest there is": [2**32 - 1, 2**32 - 1, 0, 2**32 - 3],
    "the least there is": [1, 1, 2],
    "all there": [4, 6, 5, 4],
    "one": [3],
    "the least one": [1, 1],
    "no data": [0, 0],
    "nothing": [],
}


@both_sets
@pytest.mark.parametrize("ids", IDS.values(), ids=IDS.keys())
def test_ids_are_numbered_in_their_order(kernels, ids):
    present = sorted(set(ids) - {0})
    found, labels, sizes = kernels.compact(np.array(ids, np.uint32))
    assert_same(found, np.array(present, np.uint32))
    assert_same(labels, np.array([1 + present.index(one) if one else 0 for one in ids], np.uint32))
    assert_same(sizes, np.array([ids.count(one) for one in present], np.int64))


@both_sets
def test_ids_of_any_shape_are_numbered(kernels):
    ids = np.array([[3, 0], [8, 3]], np.uint32)
    for array in (ids, ids.T):
        assert_same(kernels.compact(array)[1], np.array([1, 0, 2, 1] if array is ids else [1, 2, 0, 1], np.uint32))


@both_sets
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_values_are_translated_band_by_band(kernels, dtype):
    size = 256 ** np.dtype(dtype).itemsize
    tables = np.random.default_rng(1).integers(0, 256, (2, size)).astype(np.uint8)
    values = np.array([[[0, 1, size - 1]], [[size - 2, 7, 0]]], dtype)
    valid = np.array([[True, False, True]])
    expected = [[[tables[0, 0], 0, tables[0, -1]]], [[tables[1, -2], 0, tables[1, 0]]]]
    assert_same(kernels.translate(values, valid, tables), np.array(expected, np.uint8))


def test_the_plain_kernels_need_no_preparation():
    assert plain.warm_up() is None
