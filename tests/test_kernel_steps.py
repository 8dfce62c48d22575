# SPDX-License-Identifier: GPL-2.0-or-later
"""The elimination step by step, and k-means: held against their definitions in plain Python, every value of both."""

import sys

import numpy as np
import pytest
from kernel_sets import assert_same, both_sets
from oracle.kmeans import squared_distances
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.kernels.contract import DECIDED
from tiledseg.tiledseg_plugin.engine.kernels.plain.apart import SOME_NEAR


class Steps:
    """As `plain.elimination.Elimination`, by its docstrings, of one limb."""

    def __init__(self, sizes, sums, edges, min_pixels, threshold, undecided_from=None, shared=None):
        self.size, self.sums = dict(enumerate(sizes.tolist())), dict(enumerate(sums.tolist()))
        self.min_pixels, self.threshold, self.is_part = min_pixels, np.float32(threshold), shared is not None
        self.start = dict.fromkeys(self.size, 0) if undecided_from is None else dict(enumerate(undecided_from.tolist()))
        self.undecided = set() if shared is None else set(np.flatnonzero(shared).tolist())
        self.beside = {clump: set() for clump in self.size}
        for one, other in edges.tolist():
            self.beside[one].add(other)
            self.beside[other].add(one)
        self.into = list(self.size)

    def mean(self, clump):
        return [np.float32(total) / np.float32(self.size[clump]) for total in self.sums[clump]]

    def partner(self, clump):
        found = []
        for near in self.beside[clump]:
            distance = np.float32(0)
            for a, b in zip(self.mean(clump), self.mean(near)):
                distance = distance + (a - b) * (a - b)
            if self.size[near] > self.size[clump] and np.sqrt(distance) < self.threshold:
                found.append((np.sqrt(distance), near))
        return min(found, default=(None, None))[1]

    def acting(self, area):
        return [
            clump
            for clump, size in self.size.items()
            if size < self.min_pixels and max(size, self.start[clump]) <= area and self.beside[clump]
        ]

    def step(self, area):
        acting = self.acting(area)
        while True:  # until no more becomes undecided
            doubtful = [clump for clump in acting if {clump, *self.beside[clump]} & self.undecided]
            new = {near for clump in doubtful for near in (clump, *self.beside[clump])} - self.undecided
            if not new:
                break
            self.undecided |= new
            self.start.update(dict.fromkeys(new, area))
        noted = {clump: self.partner(clump) for clump in acting if clump not in self.undecided}
        noted = {clump: partner for clump, partner in noted.items() if partner is not None}
        ends = {}
        for clump in noted:
            ends[clump] = noted[clump]
            while ends[clump] in noted:
                ends[clump] = noted[ends[clump]]
        for clump, end in ends.items():
            self.size[end] += self.size.pop(clump)
            self.sums[end] = [a + b for a, b in zip(self.sums[end], self.sums.pop(clump))]
            self.beside[end] |= self.beside.pop(clump)
        for clump in self.beside:
            self.beside[clump] = {ends.get(near, near) for near in self.beside[clump]} - {clump}
        self.into = [ends.get(root, root) for root in self.into]
        return len(noted)

    def next_area(self, area):
        waiting = [c for c in self.acting(10**9) if max(self.size[c], self.start[c]) > area]
        return min((max(self.size[c], self.start[c]) for c in waiting), default=None)

    def regions(self):
        roots = sorted(self.size)
        start = [self.start[root] if root in self.undecided else DECIDED for root in roots]
        pairs = {
            (min(one, other), max(one, other))
            for one in self.undecided & set(roots)
            for other in self.beside[one]
            if min(self.size[one], self.size[other]) < self.min_pixels and other in self.undecided
        }
        edges = sorted((roots.index(one), roots.index(other)) for one, other in pairs)
        return roots, [self.size[root] for root in roots], [self.sums[root] for root in roots], start, edges


def graph(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 30))
    one = rng.integers(0, count, 2 * count)
    other = (one + rng.integers(1, 4, one.size)) % count
    edges = np.unique(np.sort(np.stack([one, other], axis=1)[one != other], axis=1), axis=0).astype(np.uint32)
    sizes = rng.integers(1, [3, 8, 14][seed % 3], count)
    sums = sizes[:, None] * rng.integers(0, [3, 40][seed % 2], (count, 1 + seed % 3))
    return sizes, sums, edges, int(rng.integers(1, 12)), [np.inf, 20.0, 2.0, 0.0][seed // 2 % 4]


def hold(kernels, found, expected, min_pixels):
    """Run both step by step, and compare all that they return."""
    for area in range(1, min_pixels + 1):
        after, least = found.next_area(area - 1), expected.next_area(area - 1)
        assert after == least if kernels is plain else least is None or after <= least
        assert found.step(area) == expected.step(area), area
        assert found.into.tolist() == expected.into, area
        assert found.into.dtype == np.uint32
    roots, sizes, sums, start, edges = expected.regions()
    left = found.regions()
    assert_same(left.roots, np.array(roots, np.uint32))
    assert_same(left.sizes, np.array(sizes, np.int64))
    assert_same(left.sums, np.array(sums, np.int64))
    assert_same(left.undecided_from, np.array(start, np.uint32))
    assert left.edges.dtype == np.uint32 and left.edges.shape == (len(edges), 2)
    assert sorted(map(tuple, left.edges.tolist())) == edges


@both_sets
@pytest.mark.parametrize("seed", range(60))
def test_every_step_merges_what_the_definition_says(kernels, seed):
    sizes, sums, edges, min_pixels, threshold = graph(seed)
    before = sizes.copy()
    expected = Steps(sizes, sums, edges, min_pixels, threshold)
    hold(kernels, kernels.Elimination(sizes, sums, np.ones(1), edges, min_pixels, threshold), expected, min_pixels)
    assert_same(sizes, before)


@both_sets
@pytest.mark.parametrize("seed", range(60))
def test_a_part_leaves_what_the_definition_says(kernels, seed):
    """Steps drawn for `undecided_from` contradict each other, as no part leaves them: plain takes them as it says.

    Those that parts do leave, both sets take in `test_elimination.by_parts`.
    """
    sizes, sums, edges, min_pixels, threshold = graph(seed)
    rng = np.random.default_rng(seed)
    shared = rng.random(sizes.size) < [0.1, 0.4][seed % 2]
    start = (
        None if seed % 3 == 0 or kernels is not plain else rng.integers(0, min_pixels + 1, sizes.size).astype(np.uint32)
    )
    given = shared.copy(), None if start is None else start.copy()
    expected = Steps(sizes, sums, edges, min_pixels, threshold, start, shared)
    elimination = kernels.Elimination(sizes, sums, np.ones(1), edges, min_pixels, threshold, start, shared)
    hold(kernels, elimination, expected, min_pixels)
    assert_same(shared, given[0])
    assert start is None or (start == given[1]).all()


@both_sets
@pytest.mark.parametrize("seed", range(80))
def test_steps_that_are_taken_at_once_are_those_one_by_one(kernels, seed, monkeypatch):
    """Of the whole graph and of parts, up to the end and to a step before, by few and by many a call."""
    sizes, sums, edges, min_pixels, threshold = graph(seed)
    if kernels is not plain and seed % 2:
        monkeypatch.setattr(sys.modules[kernels.Elimination.__module__], "PIECE", 1 + seed % 3)
    shared = np.random.default_rng(seed).random(sizes.size) < [0, 0, 0.1, 0.4][seed % 4]
    expected = Steps(sizes, sums, edges, min_pixels, threshold, None, shared)
    found = kernels.Elimination(
        sizes, sums.copy(), np.ones(1), edges, min_pixels, threshold, None, shared, keeps_links=seed % 5 > 0
    )
    last, taken = [min_pixels, min_pixels - 1, 10**6][seed % 3], 0
    area = found.next_area(0)
    while area is not None and area <= last:
        assert area > taken
        area = found.go_on(area, last)
        until = min(last, min_pixels + sizes.size) if area is None else area - 1
        for step in range(taken + 1, until + 1):
            expected.step(step)
        taken = max(taken, until)
        assert found.into.tolist() == expected.into
    left, (roots, *_) = found.regions(), expected.regions()
    assert left.roots.tolist() == roots


@both_sets
def test_links_take_no_room_where_nobody_wants_them(kernels):
    sizes, sums, edges, min_pixels, threshold = graph(1)
    given = sizes, sums, np.ones(1), edges, min_pixels, threshold
    assert [array.size for array in kernels.Elimination(*given).links] == [0, 0]
    assert [array.size for array in kernels.Elimination(*given, keeps_links=True).links] == [sizes.size] * 2


@both_sets
def test_keys_are_counted_where_they_first_appear(kernels):
    for words in (1, 2, 3):
        keys = np.random.default_rng(words).integers(0, 3, (40, words)).astype(np.uint64) << np.uint64(61)
        places = {}
        for place, key in enumerate(map(tuple, keys.tolist())):
            places.setdefault(key, []).append(place)
        first, counts = kernels.distinct(keys)
        assert_same(first, np.array([own[0] for own in places.values()], np.int64))
        assert_same(counts, np.array([len(own) for own in places.values()], np.int64))


def other_centres(centres, moved, own):
    """The other centres in the order of their distance from one; these distances, and how far each has moved."""
    squared = [sum((float(a) - float(b)) ** 2 for a, b in zip(centres[own], other)) for other in centres]
    order = sorted((k for k in range(len(centres)) if k != own), key=lambda k: squared[k])
    return order, [min(np.sqrt(squared[k]), 1e19) for k in order] or [1e19], [moved[k] for k in order] or [0.0]


def reassigned(planes, counts, centres, moved, known, margin, least):
    """As `reassign`, colour by colour, of whole numbers; changes `known`: labels and both bounds."""
    labels, to_nearest, to_others = known
    changed, sizes, sums = 0, [0] * len(centres), [[0] * len(centres) for _ in planes]
    for i, colour in enumerate(planes.T):
        beyond = np.inf  # how far away at least what it is not compared with is
        if moved.size:
            own = int(labels[i]) - 1
            order, apart, steps = other_centres(centres, moved, own)
            near = max(1, len(centres) // SOME_NEAR)
            to_nearest[i] += moved[own]
            bounds = [to_others[i] - max(steps), apart[0] - to_nearest[i]]
            if near < len(centres) - 1:  # the near ones have moved so far, or the others are so far away
                bounds.append(min(to_others[i] - max(steps[:near]), apart[near] - to_nearest[i]))
            to_others[i] = max(bounds)
            if to_nearest[i] * (1 + margin) + least < to_others[i] * (1 - margin):
                continue
            to_nearest[i] = np.sqrt(float(squared_distances(colour, centres)[own])) * (1 + margin)
            to_others[i] = max(to_others[i], apart[0] - to_nearest[i])
            if to_nearest[i] * (1 + margin) + least < to_others[i] * (1 - margin):
                continue
            far = (apart[near] if near < len(centres) - 1 else 1e19) - to_nearest[i]
            if to_nearest[i] * (1 + margin) + least < far * (1 - margin):
                beyond, compared = far, {own, *order[:near]}
        squared = squared_distances(colour, centres)
        new = int(np.argmin(squared))
        others = [other for k, other in enumerate(squared) if k != new and (beyond == np.inf or k in compared)]
        to_nearest[i] = np.sqrt(float(squared[new])) * (1 + margin)
        to_others[i] = min(min(np.sqrt(float(min(others, default=1e38))), 1e19) * (1 - margin), beyond)
        old, labels[i] = int(labels[i]) - 1, new + 1
        changed += int(counts[i]) * (old != new)
        if old != new or not moved.size:
            for centre, sign in ((new, 1), (old, -1)) if moved.size else ((new, 1),):
                sizes[centre] += sign * int(counts[i])
                for band, value in enumerate(colour):
                    sums[band][centre] += sign * int(counts[i]) * int(value)
    return changed, np.array(sizes, np.int64), np.array(sums, np.int64)


@pytest.mark.parametrize("margin, least", [(1e-3, 0.01), (0.2, 0.0), (0.0, 2.0)])
@pytest.mark.parametrize("seed", range(12))
def test_only_colours_that_may_have_another_centre_are_compared(seed, margin, least):
    """Bounds are those of the plain kernels; the others may find closer ones in between."""
    rng = np.random.default_rng(seed)
    bands, k = 1 + seed % 3, (1, 2, 5, 16)[seed // 3]
    planes = rng.integers(0, 30, (bands, 50)).astype(np.float32)
    counts = rng.integers(1, 5, 50)
    centres = rng.integers(0, 30, (k, bands)).astype(np.float32)
    ours = np.full(50, 1, np.uint16), np.zeros(50), np.zeros(50)
    theirs = tuple(array.copy() for array in ours)
    moved = np.empty(0)
    for _ in range(4):
        found = plain.reassign(planes, counts, centres, moved, *ours, margin, least, True)
        expected = reassigned(planes, counts, centres, moved, theirs, margin, least)
        assert found[0] == expected[0]
        assert_same(found[1], expected[1])
        assert_same(found[2], expected[2])
        for mine, other in zip(ours, theirs):
            assert_same(mine, other)
        steps = rng.integers(-2, 3, centres.shape) * (rng.random((k, 1)) < 0.5)
        centres = (centres + steps).astype(np.float32)
        moved = np.sqrt((steps.astype(float) ** 2).sum(axis=1))


@both_sets
@pytest.mark.parametrize("k", [1, 2, 3, 9, 40, 300])
def test_labels_are_those_of_comparing_all_and_bounds_hold_while_some_centres_move_far(kernels, k):
    """Also of centres that coincide, and of more than are looked at in pairs."""
    rng = np.random.default_rng(k)
    planes = rng.integers(0, 256, (3, 400)).astype(np.float32)
    counts = rng.integers(1, 5, 400)
    centres = rng.integers(0, 256, (k, 3)).astype(np.float32)
    labels, to_nearest, to_others = np.ones(400, np.uint16), np.zeros(400), np.zeros(400)
    moved, margin = np.empty(0), 1e-5
    for _ in range(8):
        kernels.reassign(planes, counts, centres, moved, labels, to_nearest, to_others, margin, 1e-15, True)
        squared = np.stack([squared_distances(colour, centres) for colour in planes.T]).astype(np.float64)
        assert_same(labels, squared.argmin(axis=1).astype(np.uint16) + np.uint16(1))
        here = np.arange(400), labels - 1
        assert (to_nearest >= np.sqrt(squared[here])).all()
        squared[here] = np.inf
        assert (to_others <= np.sqrt(squared.min(axis=1))).all()
        before = centres
        centres = (centres + rng.normal(0, 1, centres.shape) * rng.choice([0, 0.3, 2, 60], (k, 1))).astype(np.float32)
        centres[rng.integers(0, k, k // 8)] = centres[0]
        moved = np.sqrt(((centres.astype(float) - before) ** 2).sum(axis=1)) * (1 + margin)


@both_sets
def test_members_are_counted_and_added_up(kernels):
    """Of the first assignment everything is counted, of a later one only what changes."""
    planes, counts = np.array([[1, 5, 9, 20]], np.float32), np.array([2, 3, 1, 7])
    labels, to_nearest, to_others = np.ones(4, np.uint16), np.zeros(4), np.zeros(4)
    known = labels, to_nearest, to_others, 1e-6, 1e-9
    first = kernels.reassign(planes, counts, np.array([[4], [21]], np.float32), np.empty(0), *known, True)
    assert (first[0], first[1].tolist(), first[2].tolist()) == (7, [6, 7], [[26, 140]])
    moved = kernels.reassign(planes, counts, np.array([[4], [11]], np.float32), np.array([0.0, 10.0]), *known, True)
    assert (moved[0], moved[1].tolist(), moved[2].tolist()) == (1, [-1, 1], [[-9, 9]])
    assert labels.tolist() == [1, 1, 2, 2]
    whole = kernels.reassign(planes, counts, np.array([[4], [11]], np.float32), np.empty(0), *known, False)
    assert (whole[0], whole[1].tolist(), whole[2].shape) == (0, [5, 8], (0, 2))


@both_sets
def test_a_colour_as_near_to_another_centre_is_compared_again(kernels):
    """It may be an earlier one, which then has it."""
    known = np.array([2], np.uint16), np.array([2.0]), np.array([2.0]), 0.0, 0.0
    centres = np.array([[3], [7]], np.float32)
    changed, _, _ = kernels.reassign(np.array([[5]], np.float32), np.array([1]), centres, np.zeros(2), *known, True)
    assert changed == 1 and known[0][0] == 1


@both_sets
def test_an_infinite_second_distance_is_bounded(kernels):
    planes, counts = np.array([[0.0]], np.float32), np.array([1])
    to_others = np.zeros(1)
    with np.errstate(over="ignore"):
        for centres in ([[0.0]], [[0.0], [3e38]]):
            known = np.ones(1, np.uint16), np.zeros(1), to_others, 0.5, 0.0
            kernels.reassign(planes, counts, np.array(centres, np.float32), np.empty(0), *known, False)
            assert to_others[0] == 0.5e19


@both_sets
@pytest.mark.filterwarnings("error:invalid value")
def test_colours_so_far_away_that_squares_overflow_are_compared_again(kernels):
    rng = np.random.default_rng(2)
    planes = (rng.normal(0, 1, (2, 60)) * 10.0 ** rng.integers(17, 22, 60)).astype(np.float32)
    counts, labels, to_nearest, to_others = np.ones(60, np.int64), np.ones(60, np.uint16), np.zeros(60), np.zeros(60)
    centres, moved = planes.T[:9].copy(), np.empty(0)
    with np.errstate(over="ignore"):
        for step in (1e18, 1e20, 1e18):
            kernels.reassign(planes, counts, centres, moved, labels, to_nearest, to_others, 1e-5, 1e-15, False)
            assert_same(labels, plain.nearest_two(planes, centres)[0])
            before, centres = centres, (centres + rng.normal(0, step, centres.shape)).astype(np.float32)
            moved = np.sqrt(((centres.astype(float) - before) ** 2).sum(axis=1)) * (1 + 1e-5)


@both_sets
def test_amounts_are_added_in_their_order(kernels):
    labels = np.array([2, 1, 2, 2, 4], np.uint16)
    amounts = np.array([1e16, 3.0, 1.0, -1e16, 0.5])
    assert_same(kernels.sum_members(labels, amounts, 5), np.array([3.0, (1e16 + 1.0) - 1e16, 0.0, 0.5, 0.0]))
