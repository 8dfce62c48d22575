# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernels of clumps and of what is in regions, held against their definitions in plain Python: both sets."""

import math
from fractions import Fraction

import numpy as np
import pytest
from kernel_sets import assert_same, both_sets
from oracle.regions import Grid, clump
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.kernels.plain import attributes
from tiledseg.tiledseg_plugin.engine.kernels.plain.clumps import first_pixels

SHAPES = [(1, 1), (1, 9), (9, 1), (6, 7), (7, 6)]


def window(seed):
    """Clusters and their clumps, by the oracle: (clusters, labels, count)."""
    rng = np.random.default_rng(seed)
    shape = SHAPES[seed % len(SHAPES)]
    clusters = rng.integers(seed % 2, 2 + seed % 3, shape).astype(np.uint16)
    grid = Grid((clusters != 0).tolist())
    labels = grid.image(clump(grid, {pixel: clusters.flat[pixel] for pixel in grid.pixels}))
    return clusters, labels, int(labels.max(initial=0))


@both_sets
@pytest.mark.parametrize("seed", range(30))
def test_clumps_are_connected_pixels_of_one_cluster(kernels, seed):
    clusters, labels, count = window(seed)
    with np.errstate(all="raise"):
        found, number = kernels.clump(clusters)
    assert_same(found, labels)
    assert number == count


@both_sets
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_clumps_are_described(kernels, seed, dtype):
    clusters, labels, count = window(seed)
    most = 255 if dtype == np.uint8 else 1 << 40
    quantities = (
        np.random.default_rng(seed).integers(0, most, (1 + seed % 7, *labels.shape), endpoint=True).astype(dtype)
    )
    sizes, sums, first, of = kernels.describe_clumps(labels, count, clusters, quantities)
    own = [np.flatnonzero(labels.ravel() == label) for label in range(1, count + 1)]
    assert_same(sizes, np.array([members.size for members in own], np.int64))
    expected = [[sum(int(plane.flat[m]) for m in members) for plane in quantities] for members in own]
    assert_same(sums, np.array(expected, np.int64).reshape(count, len(quantities)))
    assert_same(first, np.array([members[0] for members in own], np.int64))
    assert_same(of, clusters.ravel()[first])
    assert_same(first_pixels(labels, count), first)


@both_sets
def test_a_window_without_data_has_no_clumps(kernels):
    nothing = np.zeros((2, 3), np.uint16)
    labels, count = kernels.clump(nothing)
    assert count == 0 and not labels.any()
    described = kernels.describe_clumps(labels, 0, nothing, np.ones((2, 2, 3), np.uint8))
    assert [array.shape for array in described] == [(0,), (0, 2), (0,), (0,)]
    assert kernels.find_edges(labels, 0).shape == (0, 2)


@both_sets
@pytest.mark.parametrize("seed", range(30))
def test_edges_are_the_pairs_that_share_a_side(kernels, seed):
    _, labels, count = window(seed)
    rows, cols = labels.shape
    pairs = set()
    for row in range(rows):
        for col in range(cols):
            for near in ((row + 1, col), (row, col + 1)):
                if near[0] < rows and near[1] < cols:
                    one, other = int(labels[row, col]), int(labels[near])
                    if one != other and one and other:
                        pairs.add((min(one, other), max(one, other)))
    assert_same(kernels.find_edges(labels, count), np.array(sorted(pairs), np.uint32).reshape(-1, 2))


def test_edges_of_large_labels_are_not_mixed_up():
    high = 2**32 - 1
    assert plain.find_edges(np.array([[high, high - 1, 3]], np.uint32), high).tolist() == [
        [3, high - 1],
        [high - 1, high],
    ]


REAL = {
    "uint8": (np.uint8, [0, 255, 7, 7]),
    "int8": (np.int8, [-128, 127, 0, 5]),
    "int16": (np.int16, [-32768, 32767, 3, -1]),
    "uint16": (np.uint16, [65535, 65535, 0, 1]),
    "int32": (np.int32, [-(2**31), 2**31 - 1, 70000, -70000]),
    "uint32": (np.uint32, [2**32 - 1, 2**32 - 2, 0, 5]),
}
LABELS = np.array([2, 0, 1, 2, 4, 4, 0, 1, 4, 2, 2], np.uint32)


@pytest.fixture(params=[3, 1 << 20], ids=["many parts", "one part"])
def part(request, monkeypatch):
    monkeypatch.setattr(attributes, "PART", request.param)


@both_sets
@pytest.mark.parametrize("kind", REAL)
def test_moments_of_integers_are_exact(kernels, kind, part):
    dtype, pool = REAL[kind]
    values = np.array([pool[i % len(pool)] for i in range(LABELS.size)], dtype)
    counts, totals, squares, low, high = kernels.region_moments(LABELS, 5, values)
    own = [[int(value) for value in values[region == LABELS]] for region in range(1, 6)]
    limits = np.iinfo(dtype)
    assert_same(counts, np.array([len(some) for some in own], np.int64))
    assert_same(totals, np.array([sum(some) for some in own], np.int64))
    limbs = [[sum(v * v & 0xFFFFFFFF for v in some) for some in own], [sum(v * v >> 32 for v in some) for some in own]]
    assert_same(squares, np.array(limbs, np.uint64))
    assert_same(low, np.array([min(some, default=limits.max) for some in own], dtype))
    assert_same(high, np.array([max(some, default=limits.min) for some in own], dtype))


@both_sets
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments_of_floats(kernels, dtype):
    values = np.array([0.1, np.nan, -3, 2.5, 1e10, 7, np.inf, 4, -8, 0.3, 1], dtype)
    counts, means, squares, low, high = kernels.region_moments(LABELS, 4, values)
    limits = np.finfo(dtype)
    for region in range(4):
        own = [float(value) for value in values[region + 1 == LABELS]]
        assert counts[region] == len(own)
        total = 0.0
        for value in own:
            total += value
        mean = total / len(own) if own else 0.0
        squared = 0.0
        for value in own:
            squared += (value - mean) * (value - mean)
        assert (means[region], squares[0, region]) == (mean, squared)
        assert low[region] == min(own, default=limits.max) and high[region] == max(own, default=limits.min)
    assert (counts.dtype, means.dtype, squares.shape, low.dtype) == (np.int64, np.float64, (1, 4), dtype)


@both_sets
@pytest.mark.parametrize("values", [np.zeros(3, np.uint8), np.zeros(3, np.float32)])
def test_regions_without_a_pixel_have_no_moments(kernels, values):
    counts, totals, squares, low, high = kernels.region_moments(np.zeros(3, np.uint32), 2, values)
    assert not counts.any() and not totals.any() and not squares.any() and (low > high).all()


@both_sets
def test_squares_of_floats_may_be_infinite(kernels):
    values = np.array([1e200, -1e200])
    with np.errstate(over="ignore"):
        assert kernels.region_moments(np.ones(2, np.uint32), 1, values)[2][0, 0] == math.inf


@both_sets
def test_sums_of_many_large_pixels_are_exact(kernels):
    size = (1 << 20) + 5
    values = np.full(size, 2**32 - 1, np.uint32)
    _, totals, squares, _, _ = kernels.region_moments(np.ones(size, np.uint32), 1, values)
    assert int(totals[0]) == size * (2**32 - 1)
    assert int(squares[0, 0]) + (int(squares[1, 0]) << 32) == size * (2**32 - 1) ** 2


@both_sets
@pytest.mark.parametrize("places", [[4, 0, 4, 2, 0, 4], [1, 1, 3, 1, 4, 3], [2, 3, 3, 2, 2, 3]])
@pytest.mark.parametrize("seed", range(3))
def test_moments_of_parts_add_up(kernels, places, seed):
    rng = np.random.default_rng(seed)
    places = np.array(places, np.uint32)
    part = (
        rng.integers(1, 9, 6),
        rng.integers(-(2**40), 2**40, 6),
        np.stack([rng.integers(2**33, 2**34, 6), rng.integers(0, 2**30, 6)]).astype(np.uint64),
        rng.integers(-90, 0, 6).astype(np.int16),
        rng.integers(0, 90, 6).astype(np.int16),
    )
    whole = (
        rng.integers(0, 9, 5),
        rng.integers(-(2**40), 2**40, 5),
        np.stack([rng.integers(2**32 - 9, 2**32, 5), rng.integers(0, 2**30, 5)]).astype(np.uint64),
        rng.integers(-90, 0, 5),
        rng.integers(0, 90, 5),
    )
    before = [array.copy() for array in whole]
    assert kernels.add_moments(places, part, whole) is None
    for region in range(5):
        own = np.flatnonzero(places == region)
        for after, start, more in zip(whole[:2], before[:2], part[:2]):
            assert after[region] == start[region] + more[own].sum()
        square = int(before[2][0, region]) + (int(before[2][1, region]) << 32)
        square += sum(int(part[2][0, i]) + (int(part[2][1, i]) << 32) for i in own)
        assert [int(limb) for limb in whole[2][:, region]] == [square & 0xFFFFFFFF, square >> 32]
        assert whole[3][region] == min([int(before[3][region]), *part[3][own].tolist()])
        assert whole[4][region] == max([int(before[4][region]), *part[4][own].tolist()])


@both_sets
def test_no_parts_add_nothing(kernels):
    whole = tuple(np.array(array) for array in ([1], [2], [[3], [4]], [5], [6]))
    nothing = np.empty(0, np.int64)
    kernels.add_moments(
        np.empty(0, np.uint32), (nothing, nothing, np.empty((2, 0), np.uint64), nothing, nothing), whole
    )
    assert [array.tolist() for array in whole] == [[1], [2], [[3], [4]], [5], [6]]


@both_sets
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
def test_histograms_count_each_value_of_a_region(kernels, dtype):
    values = np.array([3, 9, 1, 3, 2, 2, 9, 1, 5, 1, 3], dtype)
    starts, distinct, frequencies = kernels.region_histograms(LABELS, 5, values)
    own = [sorted(values[region == LABELS].tolist()) for region in range(1, 6)]
    assert_same(starts, np.cumsum([0] + [len(set(some)) for some in own]).astype(np.int64))
    expected = [value for some in own for value in sorted(set(some))]
    assert_same(distinct, np.array(expected, dtype))
    assert_same(frequencies, np.array([some.count(v) for some in own for v in sorted(set(some))], np.int64))


@both_sets
def test_histograms_of_nothing_are_empty(kernels):
    starts, distinct, frequencies = kernels.region_histograms(np.zeros(2, np.uint32), 3, np.ones(2, np.uint8))
    assert starts.tolist() == [0, 0, 0, 0] and not distinct.size and not frequencies.size


@both_sets
def test_means_divide_rounded_sums_by_rounded_sizes(kernels):
    """Band 0 of both limbs, then band 1; what is added up is exact, each number is then rounded once."""
    sizes, weights = np.array([3, 2**24 + 1]), np.array([4.0, 0.5])
    sums = np.array([[1, 2, 3, 5], [2**40 + 1, 7, 9, 2**33 + 3]])
    means = kernels.band_means(sizes, sums, weights)
    for clump_sums, size, mean in zip(sums.tolist(), sizes.tolist(), means):
        for band in range(2):
            total = Fraction(4) * clump_sums[band] + Fraction(1, 2) * clump_sums[2 + band]
            assert mean[band] == np.float32(float(total)) / np.float32(size)
    assert means.dtype == np.float32 and means.shape == (2, 2)
