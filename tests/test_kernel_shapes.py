# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernels of shapes, held against their definitions in plain Python: both sets."""

import numpy as np
import pytest
from kernel_sets import assert_same, both_sets
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.kernels.plain.shapes import FAR

SHAPES = [(2, 2), (2, 9), (9, 2), (7, 8), (8, 7)]


def window(seed):
    """Labels with a margin, the window in them, and lengths: (labels, count, inside, (area, across, down))."""
    rng = np.random.default_rng(seed)
    rows, cols = SHAPES[seed % len(SHAPES)]
    count = 1 + seed % 4
    labels = rng.integers(seed % 2, count + 1, (rows, cols)).astype(np.uint32)
    inside = (
        int(rng.integers(0, 2)) if rows > 2 else 0,
        rows - 1,
        int(rng.integers(0, 2)) if cols > 2 else 0,
        cols - 1,
    )
    lengths = rng.integers(0, 1 << 32, (3, rows, cols if seed % 3 else 1))
    return labels, count, inside, tuple(lengths)


def at(lengths, row, col):
    return int(lengths[row, col if lengths.shape[1] > 1 else 0])


def shapes_of(labels, count, inside, lengths):
    """Pixel by pixel, side by side, corner by corner, with Python's integers."""
    area, across, down = lengths
    parts, part_count = plain.clump(labels.astype(np.uint16))
    sums = [[0] * 6 + [FAR, -FAR, FAR, -FAR] + [0] * 6 for _ in range(count + 1)]
    first, end, left, right = inside
    for r in range(first, end):
        for c in range(left, right):
            own, x, y = sums[labels[r, c]], c - left, r - first
            for index, value in enumerate((1, x, y, x * x, x * y, y * y)):
                own[index] += value
            own[6:10] = min(own[6], x), max(own[7], x), min(own[8], y), max(own[9], y)
            own[10] += at(area, r, c)
            own[14] += 1
    falling, rising = [], []
    rows, cols = labels.shape
    for r in range(rows - 1):
        for c in range(cols - 1):
            here, beside, below, beyond = (int(labels[r + i, c + j]) for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)))
            for index, other, length in ((12, beside, at(down, r, c)), (11, below, at(across, r, c))):
                if other == here:
                    sums[here][14] -= 1
                    continue
                for one, two in ((here, other), (other, here)):
                    sums[one][index] += length
                    sums[one][13] += two == 0
            sums[here][14] += here == beside == below == beyond
            if here and here == beyond and here not in (beside, below):
                falling.append((here, int(parts[r, c]), int(parts[r + 1, c + 1])))
            if beside and beside == below and beside not in (here, beyond):
                rising.append((beside, int(parts[r, c + 1]), int(parts[r + 1, c])))
    for label, one, other in falling + rising:
        sums[label][15] += one == other
    contacts = [pair for _, *pair in falling + rising if pair[0] != pair[1]]
    return np.array(sums[1:], np.int64), parts, part_count, np.array(contacts, np.uint32).reshape(-1, 2)


@both_sets
@pytest.mark.parametrize("seed", range(60))
def test_shapes_are_sums_over_pixels_sides_and_corners(kernels, seed):
    given = window(seed)
    labels, count, inside, lengths = given
    found = kernels.region_shapes(labels, count, inside, *lengths)
    expected = shapes_of(*given)
    assert found[2] == expected[2]
    for index in (0, 1, 3):
        assert_same(found[index], expected[index])


@both_sets
def test_a_window_without_data_has_no_shapes(kernels):
    labels, ones = np.zeros((3, 4), np.uint32), np.ones((3, 1), np.int64)
    sums, parts, count, contacts = kernels.region_shapes(labels, 0, (1, 2, 1, 3), ones, ones, ones)
    assert (sums.shape, count, contacts.shape) == ((0, 16), 0, (0, 2)) and not parts.any()


@both_sets
def test_the_largest_lengths_of_a_large_window_add_up_exactly(kernels):
    labels = np.pad(np.ones((300, 400), np.uint32), 1)
    lengths = np.full((302, 1), (1 << 32) - 1, np.int64)
    (sums,) = kernels.region_shapes(labels, 1, (1, 301, 1, 401), lengths, lengths, lengths)[0].tolist()
    assert sums[10:13] == [120000 * ((1 << 32) - 1), 800 * ((1 << 32) - 1), 600 * ((1 << 32) - 1)]
    assert sums[3] == 300 * sum(col * col for col in range(400))


@both_sets
@pytest.mark.parametrize("seed", range(30))
def test_the_nearest_pixel_is_the_first_of_those_that_are_equally_near(kernels, seed):
    rng = np.random.default_rng(seed)
    count = 1 + seed % 3
    labels = rng.integers(0, count + 1, (6, 7)).astype(np.uint32)
    labels.flat[:count] = np.arange(1, count + 1)
    points = np.stack([rng.integers(196, 212, count) / 2, rng.integers(60, 76, count) / 2], axis=1)
    nearest, distances = kernels.nearest_pixels(labels, count, 100, 32, points)
    for region, (x, y) in enumerate(points.tolist()):
        every = {
            place: (place % 7 + 100 - x) ** 2 + (place // 7 + 32 - y) ** 2
            for place in np.flatnonzero(labels == region + 1).tolist()
        }
        assert nearest[region] == min(every, key=lambda place: (every[place], place))
        assert distances[region] == min(every.values())
    assert nearest.dtype == np.int64 and distances.dtype == np.float64


@both_sets
@pytest.mark.parametrize("seed", range(40))
def test_borders_are_sums_over_sides(kernels, seed):
    labels, count, _, (_, across, down) = window(seed)
    expected = {}
    for r in range(labels.shape[0] - 1):
        for c in range(labels.shape[1] - 1):
            for index, other, length in (
                (0, labels[r + 1, c], at(across, r, c)),
                (1, labels[r, c + 1], at(down, r, c)),
            ):
                if other != labels[r, c]:
                    pair = min(labels[r, c], other), max(labels[r, c], other)
                    expected.setdefault(pair, [0, 0])[index] += length
    pairs, lengths = kernels.region_borders(labels, count, across, down)
    assert_same(pairs, np.array(sorted(expected), np.uint32).reshape(-1, 2))
    assert_same(lengths, np.array([expected[pair] for pair in sorted(expected)], np.int64).reshape(-1, 2))


@both_sets
def test_many_more_borders_than_regions_are_all_found(kernels):
    """Each of 60 regions touches each other one: more pairs than any planar map of so many regions has."""
    one, other = np.triu_indices(60, 1)
    labels = np.zeros((2, 3 * one.size + 1), np.uint32)
    labels[0, 0:-1:3], labels[0, 1:-1:3] = one + 1, other + 1
    ones = np.ones((2, 1), np.int64)
    pairs, lengths = kernels.region_borders(labels, 60, ones, ones)
    between = pairs[:, 0] > 0
    assert_same(pairs[between], np.stack([one + 1, other + 1], axis=1).astype(np.uint32))
    assert (lengths[between] == [0, 1]).all()
