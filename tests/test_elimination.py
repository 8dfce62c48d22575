# SPDX-License-Identifier: GPL-2.0-or-later
"""What tiles decide about their clumps alone, and the raster about the rest, is what deciding all at once gives."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiledseg_plugin import kernels
from tiledseg_plugin.kernels import plain
from tiledseg_plugin.kernels.plain.elimination import DECIDED

compiled = kernels._load_compiled()[0]
both_sets = pytest.mark.parametrize(
    "kernel",
    [plain, pytest.param(compiled, marks=pytest.mark.skipif(compiled is None, reason="numba is not installed"))],
    ids=["plain", "compiled"],
)
examples = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


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
    into, since = np.arange(sizes.size), np.zeros(sizes.size, np.uint32)
    sizes, sums, edges = sizes.copy(), sums.copy(), edges.astype(np.int64)
    early = None
    for parts in levels:
        last = np.arange(sizes.size)
        kept_edges = [np.empty((0, 2), np.int64)]
        decided = since == DECIDED
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
                since=since[nodes],
                shared=shared[nodes],
            )
            left = all_steps(elimination, min_pixels).regions()
            roots = nodes[left.roots]
            last[nodes] = nodes[elimination.into]
            sizes[roots], sums[roots], since[roots] = left.sizes, left.sums, left.since
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
    sums = sizes[:, None] * rng.integers(0, draw(st.sampled_from([2, 10, 255])), (number.size, draw(st.integers(1, 3))))
    cut = draw(st.integers(1, rows)), draw(st.integers(1, cols))
    parts = (number // cols >= cut[0]) + 2 * (number % cols >= cut[1])
    return parts.ravel(), sizes, sums, edges, draw(st.integers(1, 30)), draw(st.sampled_from([np.inf, 60.0, 8.0]))


@both_sets
@examples
@given(grids())
def test_parts_and_then_the_rest_give_what_the_whole_gives(kernel, graph):
    parts, *rest = graph
    sizes, sums, edges, min_pixels, threshold = rest
    expected = all_steps(plain.Elimination(sizes, sums.copy(), np.ones(1), edges, min_pixels, threshold), min_pixels)
    for levels in ([parts, 0 * parts], [parts, parts // 2, 0 * parts]):
        found, _ = by_parts(kernel, levels, *rest)
        np.testing.assert_array_equal(found, expected.into)


@both_sets
def test_most_of_a_large_part_is_decided_alone(kernel):
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
    found, early = by_parts(kernel, [parts, 0 * parts], sizes, sums, edges, 12, np.inf)
    expected = all_steps(plain.Elimination(sizes, sums.copy(), np.ones(1), edges, 12, np.inf), 12)
    np.testing.assert_array_equal(found, expected.into)
    assert early > 0.5 * np.count_nonzero(found != np.arange(found.size))


@examples
@given(grids())
@pytest.mark.skipif(compiled is None, reason="numba is not installed")
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
