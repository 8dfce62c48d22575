# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments of several minimum sizes from one elimination: each is what a run of its own makes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_sets import both_sets
from tiledseg.tiledseg_plugin.engine.stages.elimination import ClumpGraph, EliminationRules, eliminate
from tiledseg.tiledseg_plugin.engine.stages.scales import distinct_edges, merge_to_sizes


def graph_of(kernel, seed, shape=(24, 31), colours=6):
    """A noisy image of few colours, as clumps; some pixels have no data."""
    rng = np.random.default_rng(seed)
    clusters = rng.integers(0, colours, shape).astype(np.uint16)
    clusters[rng.random(shape) < 0.4] = 1
    labels, count = kernel.clump(clusters)
    values = (clusters[None] * 9 + rng.integers(0, 8, (2, *shape))).astype(np.uint8)
    sizes, sums, _, _ = kernel.describe_clumps(labels, count, clusters, values)
    return ClumpGraph(sizes, sums, kernel.find_edges(labels, count) - np.uint32(1))


def one_by_one(kernel, graph, rules, sizes):
    """The slow, obvious way: a run a size."""
    return [
        eliminate(kernel, graph._replace(sums=graph.sums.copy()), rules._replace(min_pixels=size), lambda _: None).into
        for size in sizes
    ]


@both_sets
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    sizes=st.lists(st.integers(1, 60) | st.integers(60, 2000), min_size=1, max_size=8, unique=True).map(sorted),
    threshold=st.sampled_from([None, 3.0, 12.0, 40.0]),
)
def test_every_size_is_what_its_own_run_makes(kernels, seed, sizes, threshold):
    graph, rules = graph_of(kernels, seed), EliminationRules((1.0,), 0, threshold)
    expected = one_by_one(kernels, graph, rules, sizes)
    found = merge_to_sizes(kernels, graph._replace(sums=graph.sums.copy()), rules, sizes, lambda _: None)
    for size, ours, theirs in zip(sizes, found, expected):
        np.testing.assert_array_equal(ours, theirs, str(size))


@both_sets
def test_a_region_of_just_the_minimum_size_does_not_act(kernels):
    """In a run that goes on to larger sizes it does, in the very step that is the last of the smaller one."""
    graph = ClumpGraph(
        np.array([2, 3, 50], np.int64),
        np.array([[20], [36], [900]], np.int64),
        np.array([[0, 1], [1, 2]], np.uint32),
    )
    rules = EliminationRules((1.0,), 0, None)
    into = merge_to_sizes(kernels, graph._replace(sums=graph.sums.copy()), rules, [3, 4, 5, 6], lambda _: None)
    # at 3, clump 0 (of 2 pixels) joins clump 1, which then has 5 and joins clump 2 only where 5 is too small
    assert [one.tolist() for one in into] == [[1, 1, 2], [1, 1, 2], [1, 1, 2], [2, 2, 2]]


@both_sets
@pytest.mark.parametrize("sizes", [[5], [1, 7], [7, 10**9]])
def test_one_clump_is_what_it_is(kernels, sizes):
    graph = ClumpGraph(np.array([6], np.int64), np.array([[60]], np.int64), np.empty((0, 2), np.uint32))
    into = merge_to_sizes(kernels, graph, EliminationRules((1.0,), 0, None), sizes, lambda _: None)
    assert [one.tolist() for one in into] == [[0]] * len(sizes)


def test_distinct_edges():
    edges = np.array([[3, 1], [1, 3], [2, 2], [0, 4], [4, 0], [1, 3]], np.uint32)
    found = distinct_edges(edges)
    assert found.dtype == np.uint32 and found.tolist() == [[0, 4], [1, 3]]
    assert distinct_edges(np.empty((0, 2), np.uint32)).shape == (0, 2)
