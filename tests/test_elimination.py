# SPDX-License-Identifier: GPL-2.0-or-later
"""Elimination: both sets of kernels alike, and parts of a raster first or all of it at once alike."""

import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kernel_sets import assert_same, both_sets, compiled, examples, needs_compiled
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.kernels.plain.elimination import DECIDED


def every_step(kernels, sizes, sums, weights, edges, min_pixels, threshold, run=map):
    elimination = kernels.Elimination(sizes.copy(), sums.copy(), weights, edges, min_pixels, threshold)
    states = []
    for area in range(1, min_pixels + 1):
        elimination.step(area, run)
        states.append(elimination.into.copy())
    return states


def make_some_huge(sizes, draw, rng):
    """Some clumps are as large as an ocean."""
    huge = draw(st.sampled_from([0, 2**31, 2**32 - 50, 2**32, 2**33 + 1, 2**40]))
    sizes[rng.random(sizes.size) < draw(st.sampled_from([0.02, 0.1, 0.5]))] += huge


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 300))
    bands, limbs = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    reach = draw(st.sampled_from([1, 2, 8, 300]))
    one = rng.integers(0, count, draw(st.integers(0, 4)) * count)
    other = one + rng.integers(1, reach + 1, one.size)
    edges = np.unique(np.stack([one, other], axis=1)[other < count], axis=0).astype(np.uint32)
    sizes = rng.integers(1, draw(st.sampled_from([2, 4, 60])), count)
    make_some_huge(sizes, draw, rng)
    sums = rng.integers(0, draw(st.sampled_from([2, 40, 1 << 40])), (count, limbs * bands))
    weights = np.array([1.0, 2.0**-20])[:limbs]
    threshold = draw(st.sampled_from([np.inf, 1e9, 30.0, 2.0, 0.0]))
    return sizes, sums, weights, edges.reshape(-1, 2), draw(st.integers(1, 40)), threshold


@needs_compiled
@examples
@given(graphs())
def test_elimination_is_the_same_after_every_step(graph):
    for ours, theirs in zip(every_step(compiled, *graph), every_step(plain, *graph)):
        assert_same(ours, theirs)


@needs_compiled
@examples
@given(graphs(), st.integers(0, 2**32 - 1))
def test_clumps_that_are_undecided_beyond_the_last_step_never_act(graph, seed):
    """No part leaves any; but a file may be somebody else's."""
    sizes, sums, weights, edges, min_pixels, threshold = graph
    rng = np.random.default_rng(seed)
    from_step = np.where(rng.random(sizes.size) < 0.3, min_pixels + rng.integers(1, 99, sizes.size), 0)
    found = []
    for kernels in (compiled, plain):
        known = sizes.copy(), sums.copy(), weights, edges, min_pixels, threshold, from_step.astype(np.uint32)
        found.append(all_steps(kernels.Elimination(*known), min_pixels).into)
    assert_same(*found)


@needs_compiled
def test_elimination_does_not_depend_on_threads():
    rng = np.random.default_rng(5)
    count = 200_000
    one = np.repeat(np.arange(count - 400), 2)
    other = one + np.tile([1, 400], count - 400)
    edges = np.stack([one, other], axis=1).astype(np.uint32)
    sizes, sums = rng.integers(1, 6, count), rng.integers(0, 1000, (count, 3))
    with ThreadPoolExecutor(2) as pool:
        for threshold in (np.inf, 40.0):
            graph = sizes, sums, np.ones(1), edges, 12, threshold
            for ours, theirs in zip(every_step(compiled, *graph, run=pool.map), every_step(plain, *graph)):
                assert_same(ours, theirs)


@both_sets
def test_a_chain_of_merges_in_one_step_ends_in_its_last_clump(kernels):
    sizes, sums = np.array([3, 1, 2, 9]), np.array([[300], [10], [24], [180]])
    edges = np.array([[1, 2], [2, 3], [0, 3]], np.uint32)
    elimination = kernels.Elimination(sizes, sums, np.ones(1), edges, 4, np.inf)
    elimination.step(2)  # 1 -> 2 and 2 -> 3, decided together
    assert elimination.into.tolist() == [0, 3, 3, 3]
    elimination.step(3)
    assert elimination.into.tolist() == [3, 3, 3, 3]


@needs_compiled
def test_steps_beyond_the_last_that_can_change_anything_are_left_out_where_many_wait():
    """Some thousands find no partner, each step: with a least size of thousands of millions that took for ever."""
    count, least = 20_000, 2**31 - 1
    sizes, sums = np.ones(count, np.int64), np.arange(count)[:, None] % 2 * 100
    sizes[::2] = 2
    sums[::2] *= 2
    edges = np.stack([np.arange(1, count - 1), np.arange(2, count)], axis=1).astype(np.uint32)  # the first has none
    for shared in (None, np.arange(count) == 0):
        elimination = compiled.Elimination(sizes, sums.copy(), np.ones(1), edges, 2000, 5.0, shared=shared)
        area, calls = elimination.next_area(0), 0
        while area is not None:
            area, calls = elimination.go_on(area, least), calls + 1
            assert calls < 20
        assert elimination.into.tolist() == list(range(count))


@both_sets
def test_what_is_lent_goes_when_it_has_been_used(kernels):
    held = {"sizes": np.array([3, 1, 2, 9]), "edges": np.array([[1, 2], [2, 3], [0, 3]], np.uint32)}
    there = [weakref.ref(array) for array in held.values()]
    sums = np.array([[300], [10], [24], [180]])
    lent = {name: partial(held.pop, name) for name in held}
    elimination = kernels.Elimination(lent["sizes"], sums, np.ones(1), lent["edges"], 4, np.inf)
    assert [each() for each in there] == [None, None]
    assert all_steps(elimination, 4).into.tolist() == [3, 3, 3, 3]


@both_sets
def test_lowest_of_equally_near_clumps_wins(kernels):
    sizes, sums = np.array([5, 1, 5]), np.array([[50], [12], [70]])
    elimination = kernels.Elimination(sizes, sums, np.ones(1), np.array([[0, 1], [1, 2]], np.uint32), 3, np.inf)
    elimination.step(1)
    assert elimination.into.tolist() == [0, 0, 2]


@both_sets
def test_a_distance_of_the_threshold_is_too_far(kernels):
    for threshold, expected in ((2.0, [0, 1]), (2.1, [0, 0])):
        sizes, sums = np.array([5, 1]), np.array([[50], [12]])
        elimination = kernels.Elimination(sizes, sums, np.ones(1), np.array([[0, 1]], np.uint32), 3, threshold)
        elimination.step(1)
        assert elimination.into.tolist() == expected


@both_sets
def test_a_clump_without_partner_tries_again_when_its_neighbour_has_grown(kernels):
    # 0 is too far from 1 until 1 has taken 2 and 3 in, step by step
    sizes, sums = np.array([1, 4, 2, 3]), np.array([[20], [0], [60], [90]])
    edges = np.array([[0, 1], [1, 2], [1, 3]], np.uint32)
    elimination = kernels.Elimination(sizes, sums, np.ones(1), edges, 4, 31.0)
    expected = plain.Elimination(np.array([1, 4, 2, 3]), np.array([[20], [0], [60], [90]]), np.ones(1), edges, 4, 31.0)
    for area in range(1, 5):
        elimination.step(area)
        expected.step(area)
        assert elimination.into.tolist() == expected.into.tolist()
    assert elimination.into.tolist() == [1, 1, 1, 1]


def all_steps(elimination, min_pixels):
    for area in range(1, min_pixels + 1):
        elimination.step(area)
    return elimination


def by_parts(kernel, levels, sizes, sums, edges, min_pixels, threshold):
    """Eliminate within each part of a graph, among what that leaves within each larger part, and so on.

    Parameters
    ----------
    levels : (n,) arrays, the part of each clump; the last has one part only

    Returns
    -------
    into : as that of an elimination
    early : how many clumps were merged in the first level
    """
    into, undecided_from = np.arange(sizes.size), np.zeros(sizes.size, np.uint32)
    sizes, sums, edges = sizes.copy(), sums.copy(), edges.astype(np.int64)
    early = None
    for parts in levels:
        last = np.arange(sizes.size)
        kept_edges = [np.empty((0, 2), np.int64)]
        decided = undecided_from == DECIDED
        across = parts[edges[:, 0]] != parts[edges[:, 1]]
        shared = np.zeros(sizes.size, bool)
        shared[edges[across].ravel()] = True
        for part in np.unique(parts):
            nodes = np.flatnonzero((parts == part) & ~decided & (into == np.arange(into.size)))
            within = np.searchsorted(nodes, edges[(parts[edges] == part).all(axis=1)]).astype(np.uint32)
            elimination = kernel.Elimination(
                sizes[nodes],
                sums[nodes],
                np.ones(1),
                within.reshape(-1, 2),
                min_pixels,
                threshold,
                undecided_from=undecided_from[nodes],
                shared=shared[nodes],
            )
            left = all_steps(elimination, min_pixels).regions()
            roots = nodes[left.roots]
            last[nodes] = nodes[elimination.into]
            sizes[roots], sums[roots], undecided_from[roots] = left.sizes, left.sums, left.undecided_from
            kept_edges.append(roots[left.edges])
        edges = np.concatenate([edges[across], *kept_edges])
        into = last[into]
        early = np.count_nonzero(into != np.arange(into.size)) if early is None else early
    return into, early


@st.composite
def grids(draw):
    """Clumps on a grid, which has the neighbourhoods of a raster, in two to six rectangular parts."""
    rows, cols = draw(st.integers(2, 24)), draw(st.integers(2, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    number = np.arange(rows * cols).reshape(rows, cols)
    pairs = [
        np.stack([a.ravel(), b.ravel()], axis=1)
        for a, b in ((number[1:], number[:-1]), (number[:, 1:], number[:, :-1]))
    ]
    edges = np.concatenate(pairs)
    edges = np.sort(edges[rng.random(len(edges)) < draw(st.sampled_from([1.0, 0.8]))], axis=1).astype(np.uint32)
    sizes = rng.integers(1, draw(st.sampled_from([2, 5, 40])), number.size)
    make_some_huge(sizes, draw, rng)
    sums = sizes[:, None] * rng.integers(0, draw(st.sampled_from([2, 10, 255])), (number.size, draw(st.integers(1, 3))))
    cut = draw(st.integers(1, rows)), draw(st.integers(1, cols))
    parts = (number // cols >= cut[0]) + 2 * (number % cols >= cut[1])
    return parts.ravel(), sizes, sums, edges, draw(st.integers(1, 30)), draw(st.sampled_from([np.inf, 60.0, 8.0]))


@both_sets
@examples
@given(grids())
def test_parts_and_then_the_rest_make_what_the_whole_makes(kernels, graph):
    parts, *rest = graph
    sizes, sums, edges, min_pixels, threshold = rest
    expected = all_steps(plain.Elimination(sizes, sums.copy(), np.ones(1), edges, min_pixels, threshold), min_pixels)
    for levels in ([parts, 0 * parts], [parts, parts // 2, 0 * parts]):
        found, _ = by_parts(kernels, levels, *rest)
        np.testing.assert_array_equal(found, expected.into)


@both_sets
def test_most_of_a_large_part_is_decided_alone(kernels):
    rng = np.random.default_rng(1)
    number = np.arange(200 * 100).reshape(200, 100)
    edges = np.concatenate(
        [
            np.stack([number[:-1].ravel(), number[1:].ravel()], 1),
            np.stack([number[:, :-1].ravel(), number[:, 1:].ravel()], 1),
        ]
    ).astype(np.uint32)
    sizes, parts = rng.integers(1, 30, number.size), (number // 100 >= 100).ravel().astype(int)
    sums = sizes[:, None] * rng.integers(0, 255, (number.size, 3))
    found, early = by_parts(kernels, [parts, 0 * parts], sizes, sums, edges, 12, np.inf)
    expected = all_steps(plain.Elimination(sizes, sums.copy(), np.ones(1), edges, 12, np.inf), 12)
    np.testing.assert_array_equal(found, expected.into)
    assert early > 0.5 * np.count_nonzero(found != np.arange(found.size))


@needs_compiled
@examples
@given(grids())
def test_both_sets_leave_the_same(graph):
    parts, sizes, sums, edges, min_pixels, threshold = graph
    shared = parts == parts.max()
    left = []
    for kernel in (plain, compiled):
        elimination = kernel.Elimination(sizes, sums.copy(), np.ones(1), edges, min_pixels, threshold, shared=shared)
        left.append(all_steps(elimination, min_pixels).regions())
    for ours, theirs in zip(*left):
        order = np.lexsort(ours.T[::-1]) if ours.ndim == 2 and ours.shape[1] == 2 else slice(None)
        other = np.lexsort(theirs.T[::-1]) if theirs.ndim == 2 and theirs.shape[1] == 2 else slice(None)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours[order], theirs[other])


@needs_compiled
def test_what_merged_clumps_took_is_given_back_before_new_lists_are_made_and_parts_of_arrays_are_left_alone():
    count, rng = 2000, np.random.default_rng(1)
    sizes, values = rng.integers(1, 4, count), rng.integers(0, 256, (count + 1, 3))
    edges = np.stack([np.arange(count - 1), np.arange(1, count)], axis=1).astype(np.uint32)
    expected = every_step(plain, sizes, values[1:], np.ones(1), edges, 40, np.inf)[-1]
    for owned in (True, False):
        sums = values[1:].copy() if owned else values.copy()[1:]
        elimination = compiled.Elimination(sizes.copy(), sums, np.ones(1), edges, 40, np.inf)
        area = elimination.next_area(0)
        while area is not None and area <= 40:
            area = elimination.go_on(area, 40)
        assert_same(elimination.into, expected)
        clumps = elimination.clumps
        assert len(clumps.sums) == len(clumps.state) == len(clumps.changed) < 0.6 * count
        assert clumps.state.flags.owndata and clumps.changed.flags.owndata and clumps.sums.flags.owndata == owned
        assert len(sums) == (len(clumps.sums) if owned else count)
