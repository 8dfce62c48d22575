# SPDX-License-Identifier: GPL-2.0-or-later
"""Merging section by section: what is merged all at once, for any sections, of a whole graph and of a part of one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_sets import both_sets, examples
from test_elimination import grids
from tiledseg.tiledseg_plugin.engine.files.window import Window
from tiledseg.tiledseg_plugin.engine.kernels.contract import DECIDED
from tiledseg.tiledseg_plugin.engine.stages.elimination import ClumpGraph, EliminationRules, eliminate
from tiledseg.tiledseg_plugin.engine.stages.nesting import regions_at
from tiledseg.tiledseg_plugin.engine.stages.sections import ACROSS, Sectioned, sections_of


def nothing(fraction):
    """Nobody waits."""


@st.composite
def sectioned(draw):
    """A graph, rules for it, and which section each clump is in: rectangles, or whatever."""
    parts, sizes, sums, edges, min_pixels, threshold = draw(grids())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.sampled_from([1, 3, 10, ACROSS]))
    sections = parts.astype(np.uint8) if draw(st.booleans()) else rng.integers(0, count, sizes.size).astype(np.uint8)
    levels = draw(st.sampled_from([(), (min_pixels + 1,), (min_pixels + 5, 60)]))
    rules = EliminationRules((1.0,), min_pixels, None if np.isinf(threshold) else threshold, levels)
    return sizes.astype(np.int64), sums, edges, rules, sections, rng


def copied(*arrays):
    """A graph of their copies: some are taken over."""
    return ClumpGraph(*(None if array is None else array.copy() for array in arrays))


@both_sets
@examples
@given(sectioned())
def test_a_whole_graph_is_merged_as_at_once(kernels, drawn):
    sizes, sums, edges, rules, sections, _ = drawn
    found = Sectioned(kernels, copied(sizes, sums, edges), rules, nothing, 1, sections)
    expected = eliminate(kernels, copied(sizes, sums, edges), rules, nothing)
    assert found.into.tolist() == expected.into.tolist()
    for size in rules.all_sizes if rules.levels else ():
        assert regions_at(found.links, size).tolist() == regions_at(expected.links, size).tolist()
    ours, theirs = found.regions(), expected.regions()
    for name in ("roots", "sizes", "sums", "undecided_from"):
        assert getattr(ours, name).tolist() == getattr(theirs, name).tolist()
    assert (ours.undecided_from == DECIDED).all() and not len(ours.edges)


@both_sets
@examples
@given(sectioned(), st.booleans())
def test_clumps_take_part_from_the_step_on_from_which_they_are_undecided(kernels, drawn, in_part):
    sizes, sums, edges, rules, sections, rng = drawn
    from_step = rng.integers(0, 20, sizes.size).astype(np.uint32)
    graph = sizes, sums, edges, from_step, rng.random(sizes.size) < 0.05 if in_part else None
    found = Sectioned(kernels, copied(*graph), rules, nothing, 1, np.zeros_like(sections))
    expected = eliminate(kernels, copied(*graph), rules, nothing)
    assert found.into.tolist() == expected.into.tolist()
    assert found.regions().undecided_from.tolist() == expected.regions().undecided_from.tolist()


@both_sets
@examples
@given(sectioned(), st.sampled_from([0.01, 0.1]))
def test_of_a_part_what_is_left_can_be_merged_later(kernels, drawn, share):
    sizes, sums, edges, rules, sections, rng = drawn
    shared = rng.random(sizes.size) < share
    shared[rng.integers(sizes.size)] = True
    found = Sectioned(kernels, copied(sizes, sums, edges, None, shared), rules, nothing, 1, sections)
    left = found.regions()
    undecided = left.undecided_from != DECIDED
    assert undecided[np.searchsorted(left.roots, np.flatnonzero(shared))].all(), "nothing may be merged with them"
    assert undecided[left.edges].all() and (np.diff(left.edges[:, 0].astype(int)) >= 0).all()
    from_step = np.where(undecided, left.undecided_from, 0)
    # what is decided would take no part any more, which it does not without edges
    rest = ClumpGraph(left.sizes, left.sums, left.edges, from_step.astype(np.uint32))
    rest = eliminate(kernels, rest, rules, nothing)
    expected = eliminate(kernels, copied(sizes, sums, edges), rules, nothing)
    region_of = np.searchsorted(left.roots, found.into)
    assert left.roots[rest.into][region_of].tolist() == expected.into.tolist()


@pytest.mark.parametrize("columns", [100, 1000])
def test_a_section_is_a_rectangle_of_the_extent(columns):
    extent = Window(20, 30, 10, 25)
    rows, cols = (each.ravel() for each in np.mgrid[30:55, 20:30])
    found = sections_of(rows * columns + cols, columns, extent).reshape(25, 10)
    assert found.dtype == np.uint8 and found.tolist() == np.kron(np.arange(25).reshape(5, 5), np.ones((5, 2))).tolist()
    outside = sections_of(np.array([29 * columns + 19, 60 * columns + 40]), columns, extent)
    assert outside.tolist() == [0, 24]
