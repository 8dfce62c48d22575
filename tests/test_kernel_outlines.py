# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernels of outlines, held against walks in plain Python and against geometry: both sets."""

import numpy as np
import pytest
from kernel_sets import assert_same, both_sets

SADDLE, JUNCTION = 1, 2
EAST, SOUTH, WEST, NORTH = range(4)
STEPS = [(0, 1), (1, 0), (0, -1), (-1, 0)]
ENDS = [(0, 1), (1, 1), (1, 0), (0, 0)]  # of the side walked in each direction, from the pixel's upper left corner
SEEDS = range(24)


def patches(seed):
    """Ids of a window with its margin, some of them 0."""
    rng = np.random.default_rng(seed)
    shape = [(5, 6), (1, 7), (8, 1), (7, 7), (1, 1)][seed % 5]
    ids = rng.integers(seed % 2, [2, 3, 6][seed % 3], (shape[0] + 2, shape[1] + 2)).astype(np.uint32)
    if seed % 4 < 2:  # the whole raster: nothing goes on beyond the window
        ids[[0, -1]] = 0
        ids[:, [0, -1]] = 0
    return ids


def moved(place, direction):
    return place[0] + STEPS[direction % 4][0], place[1] + STEPS[direction % 4][1]


def walk(ids, side):
    """The side after one, whether there is a corner between them, and its flags."""
    place, direction = side[:2], side[2]

    def at(pixel):
        return int(ids[pixel[0] + 1, pixel[1] + 1])

    own, left = at(place), direction - 1
    ahead, beside = moved(place, direction), moved(place, left)
    diagonal = moved(ahead, left)
    meets = {at(ahead), at(diagonal), at(beside)} - {own}
    if at(ahead) != own:
        flags = SADDLE * (at(diagonal) == own)
        flags |= JUNCTION * (len({at(ahead), at(beside), at(diagonal)}) > 1)
        return (*place, (direction + 1) % 4), True, flags
    if at(diagonal) == own:
        return (*diagonal, left % 4), True, 0
    return (*ahead, direction), False, JUNCTION * (len(meets) > 1)


def outlines(ids, all_junctions):
    """[(owner, first side, side after the last, corners, flags)], as `trace_outlines`, of a window at 0, 0."""
    rows, cols = ids.shape[0] - 2, ids.shape[1] - 2
    sides = []
    for row in range(rows):
        for col in range(cols):
            for direction in range(4):
                near = moved((row, col), direction - 1)
                own = ids[row + 1, col + 1]
                if own and ids[near[0] + 1, near[1] + 1] != own:
                    sides.append((row, col, direction))
    after = {side: walk(ids, side) for side in sides}
    entered = {after[side][0] for side in sides}
    chains, done = [], set()
    for start in [side for side in sides if side not in entered] + [side for side in sides if side[2] == NORTH]:
        if start in done:
            continue
        side, corners, flags = start, [], []
        while side in after and side not in done:
            done.add(side)
            following, is_corner, flag = after[side]
            if is_corner or (all_junctions and flag):
                end = ENDS[side[2]]
                corners.append([side[0] + end[0], side[1] + end[1]])
                flags.append(flag)
            side = following
        chains.append((int(ids[start[0] + 1, start[1] + 1]), start, side, corners, flags))
    assert len(done) == len(sides)
    return chains


@both_sets
@pytest.mark.parametrize("all_junctions", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_outlines_are_those_of_a_walk(kernels, seed, all_junctions):
    ids = patches(seed)
    row, col, width = 30, 7, 100
    chains = outlines(ids, all_junctions)
    owners, starts, ends, offsets, corners, flags = kernels.trace_outlines(ids, row, col, width, all_junctions)

    def keys(sides):
        return np.array([((row + r) * width + col + c) * 4 + d for r, c, d in sides], np.int64)

    assert_same(owners, np.array([chain[0] for chain in chains], np.uint32))
    assert_same(starts, keys(chain[1] for chain in chains))
    assert_same(ends, keys(chain[2] for chain in chains))
    assert_same(offsets, np.cumsum([0] + [len(chain[3]) for chain in chains]).astype(np.int64))
    found = [[r + row, c + col] for chain in chains for r, c in chain[3]]
    assert_same(corners, np.array(found, np.int32).reshape(-1, 2))
    assert_same(flags, np.array([flag for chain in chains for flag in chain[4]], np.uint8))


def simple_parts(corners, flags):
    """Numbers of a ring's corners, ring by ring: each part between two visits of one corner, then the rest."""
    left, parts = list(range(len(corners))), []
    while True:
        visits = {}
        for at, number in enumerate(left):
            if flags[number] & SADDLE and tuple(corners[number]) in visits:
                first = visits[tuple(corners[number])]
                parts.append(left[first:at])
                del left[first:at]
                break
            visits[tuple(corners[number])] = at
        else:
            return [*parts, left]


@both_sets
@pytest.mark.parametrize("all_junctions", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_rings_become_simple(kernels, seed, all_junctions):
    ids = patches(seed)
    ids[[0, -1]] = 0
    ids[:, [0, -1]] = 0
    traced = kernels.trace_outlines(ids, 3, 1000, 5000, all_junctions)
    _, _, _, offsets, corners, flags = traced
    expected = []
    for ring, (first, last) in enumerate(zip(offsets[:-1], offsets[1:])):
        for part in simple_parts(corners[first:last].tolist(), flags[first:last].tolist()):
            numbers = [first + number for number in reversed(part)]
            begin = min(range(len(numbers)), key=lambda at: tuple(corners[numbers[at]]))  # noqa: B023
            expected.append((ring, numbers[begin:] + numbers[:begin]))
    sources, found_offsets, found_corners, found_flags, areas = kernels.finish_rings(*traced[3:])
    numbers = np.array([number for _, part in expected for number in part], np.int64)
    assert_same(sources, np.array([ring for ring, _ in expected], np.int64))
    assert_same(found_offsets, np.cumsum([0] + [len(part) for _, part in expected]).astype(np.int64))
    assert_same(found_corners, corners[numbers])
    assert_same(found_flags, flags[numbers])
    shoelace = [
        sum(
            corners[b][0] * int(corners[a][1]) - corners[a][0] * int(corners[b][1])
            for a, b in zip(part, part[1:] + part[:1])
        )
        for _, part in expected
    ]
    assert_same(areas, np.array([-area // 2 for area in shoelace], np.int64))
    if (ids != 0).any():
        assert areas.sum() == (ids != 0).sum()


@both_sets
def test_no_rings_become_none(kernels):
    nothing = kernels.trace_outlines(np.zeros((4, 5), np.uint32), 0, 0, 5, True)
    assert all(array.size == (1 if i == 3 else 0) for i, array in enumerate(nothing))
    finished = kernels.finish_rings(*nothing[3:])
    assert [array.size for array in finished] == [0, 1, 0, 0, 0]
    offsets, corners = kernels.simplify_rings(*finished[1:4])
    assert offsets.tolist() == [0] and corners.shape == (0, 2)


def cross(one, other):
    return one[1] * other[0] - one[0] * other[1]


def unit(one, other):
    """The step from one corner to the next, and how many of them."""
    row, col = other[0] - one[0], other[1] - one[1]
    return int(np.sign(row)), int(np.sign(col)), abs(row) + abs(col)


def gates(arc, origin, target):
    """[(left end, right end)], each (row, col, whether a line may touch it), in half pixels from the origin.

    They are the sides between squares that an arc crosses, half a pixel before and after each pixel corner.
    """
    found = []
    for number in range(origin + 1, target + 1):
        row, col, steps = unit(arc[number - 1], arc[number])
        for along in range(1, 2 * steps, 2):
            touched = {}
            if along == 1 and number - 1 > origin:
                before = unit(arc[number - 2], arc[number - 1])
                touched[cross(before, (row, col))] = [before[0] < row]
            if along == 2 * steps - 1 and number < len(arc) - 1:
                after = unit(arc[number], arc[number + 1])
                touched.setdefault(cross((row, col), after), []).append(row < after[0])
            middle = [2 * (arc[number - 1][i] - arc[origin][i]) + along * (row, col)[i] for i in range(2)]
            ends = []
            for side in (1, -1):
                ends.append((middle[0] + side * col, middle[1] - side * row, all(touched.get(side, [False]))))
            found.append(ends)
    return found


def crosses(line, gate):
    left, right = gate
    of_left, of_right = cross(line, left), cross(right, line)
    return (of_left > 0 or (of_left == 0 and left[2])) and (of_right > 0 or (of_right == 0 and right[2]))


def simplified(corners, flags):
    """Which corners of a ring stay, by its docstring: bools."""
    size = len(corners)
    cuts = [number for number in range(size) if flags[number]] or [0]
    kept = [False] * size
    for first, last in zip(cuts, cuts[1:] + [cuts[0] + size]):
        numbers = [number % size for number in range(first, last + 1)]
        ends = (corners[numbers[0]], corners[numbers[-1]])
        if ends[0] == ends[1]:
            ends = corners[numbers[1]], corners[numbers[-2]]
        if ends[1] < ends[0]:
            numbers.reverse()
        arc = [corners[number] for number in numbers]
        kept[numbers[0]] = kept[numbers[-1]] = True
        origin = 0
        while origin < len(arc) - 1:
            best = origin + 1
            for target in range(origin + 1, len(arc)):
                line = [arc[target][i] - arc[origin][i] for i in range(2)]
                if all(crosses(line, gate) for gate in gates(arc, origin, target)):
                    best = target
            kept[numbers[best]] = True
            origin = best
    return kept


@both_sets
@pytest.mark.parametrize("seed", range(60))
def test_simplified_lines_cross_the_same_sides_in_their_order(kernels, seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, [2, 3, 8][seed % 3], [(6, 7), (12, 12), (20, 5)][seed // 3 % 3])
    if seed % 2:
        row, col = np.indices((24, 24))
        ids = 1 + ((row * [1, 3, 2][seed % 3] + col * [2, 1, 5][seed // 4 % 3]) // [9, 14][seed // 2 % 2] % 3)
        ids[rng.random(ids.shape) < [0, 0.03][seed // 3 % 2]] = 7
    check_simplified(kernels, np.kron(ids, np.ones((1, 1 + seed % 2), int)))


@both_sets
@pytest.mark.parametrize("seed", range(6))
def test_lines_do_not_cut_off_what_winds_round_their_beginning(kernels, seed):
    """Branches that no data surrounds: an arc comes back from behind, where its gates bound nothing any more."""
    check_simplified(kernels, np.random.default_rng(seed).random((11, 10)) < 0.5)


@both_sets
@pytest.mark.parametrize("seed", [7, 11])
def test_an_arc_between_ends_of_one_row_or_column_is_gone_along_from_its_first_end(kernels, seed):
    check_simplified(kernels, np.random.default_rng(seed).integers(0, 3, (16, 16)))


def check_simplified(kernels, ids):
    """The lines round the segments of a raster are those of the definition."""
    ids = np.pad(ids, 1).astype(np.uint32)
    rings = kernels.finish_rings(*kernels.trace_outlines(ids, 0, 0, 100, True)[3:])[1:4]
    offsets, corners, flags = rings
    expected, sizes = [], [0]
    for first, last in zip(offsets[:-1], offsets[1:]):
        ring = [tuple(corner) for corner in corners[first:last].tolist()]
        chosen = [corner for corner, stays in zip(ring, simplified(ring, flags[first:last].tolist())) if stays]
        expected += chosen
        sizes.append(len(chosen))
    found_offsets, found = kernels.simplify_rings(*rings)
    assert_same(found, np.array(expected, np.int32).reshape(-1, 2))
    assert_same(found_offsets, np.cumsum(sizes).astype(np.int64))
