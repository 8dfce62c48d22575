# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures without reference: against figures computed by hand, and against a slow and obvious computation."""

import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import measures as oracle
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.products.scale_measures import (
    area_sums,
    autocorrelation,
    distinct_edges,
    f_measure,
    goodness,
    local_variance,
    measures_of,
    rates_of_change,
    sums_of,
    variance,
)


def sums_by_hand(ids, *planes):
    """The sums of (rows, cols) ids, of bands in units of their own."""
    ids = np.array(ids, np.uint32)
    return sums_of(ids, int(ids.max()), [np.array(plane, float) for plane in planes], plain)


def test_two_segments_by_hand():
    """Values 1 3 | 5 7: mean 4, squares 9 + 1 + 1 + 9 = 20, within 2 + 2; means 2 and 6, which differ by -2 and 2."""
    sums = area_sums(sums_by_hand([[1, 1, 2, 2]], [[1, 3, 5, 7]]))
    assert variance(sums) == pytest.approx(4 / 20)
    assert autocorrelation(sums) == pytest.approx(2 / 1 * (-2 * 2) / (4 + 4))  # -1
    assert local_variance(sums) == pytest.approx(1.0)  # each has a standard deviation of 1
    found = measures_of(sums)
    assert (found.segments, found.mean_size) == (2, 2.0)
    assert found.goodness == pytest.approx(0.8 + 1.0)
    assert found.f_measure == pytest.approx(2 * 0.8 * 1.0 / 1.8)


def test_three_segments_of_other_sizes_by_hand():
    """Means 1, 2 and 6 of 1, 3 and 2 pixels in a row: the mean of the means is 3, whatever the sizes."""
    sums = area_sums(sums_by_hand([[1, 2, 2, 2, 3, 3]], [[1, 1, 2, 3, 5, 7]]))
    assert autocorrelation(sums) == pytest.approx(3 / 2 * (-2 * -1 + -1 * 3) / (4 + 1 + 9))  # -0.107
    total = sum((value - 19 / 6) ** 2 for value in (1, 1, 2, 3, 5, 7))
    assert variance(sums) == pytest.approx((0 + 2 + 2) / total)
    assert local_variance(sums) == pytest.approx((0 + math.sqrt(2 / 3) + 1) / 3)


def test_a_gap_of_no_data_parts_neighbours():
    apart = area_sums(sums_by_hand([[1, 0, 2]], [[1, 9, 5]]))
    assert apart.pixels == 2 and math.isnan(autocorrelation(apart))
    assert math.isnan(measures_of(apart).f_measure) and variance(apart) == 0


def test_one_segment_has_no_neighbours_and_all_of_the_variance():
    found = measures_of(area_sums(sums_by_hand([[1, 1, 1]], [[1, 2, 6]])))
    assert found.variance == pytest.approx(1.0)
    assert [math.isnan(value) for value in (found.autocorrelation, found.goodness, found.f_measure)] == [True] * 3


def test_another_candidate_does_not_change_the_scores_of_one():
    """i.segment.uspo scales between the extremes of what was tried, so that one segment flattens all others."""
    assert goodness(0.2, 0.0) == pytest.approx(0.8 + 0.5)
    assert f_measure(0.2, 0.0) == pytest.approx(2 * 0.8 * 0.5 / 1.3)
    assert f_measure(0.2, 0.0, weight=2.0) == pytest.approx(5 * 0.5 * 0.8 / (4 * 0.5 + 0.8))
    assert (f_measure(1.0, 1.0), goodness(1.0, 1.0)) == (0.0, 0.0)
    assert (f_measure(0.0, -1.0), goodness(0.0, -1.0)) == (1.0, 2.0)
    assert goodness(0.0, -1.7) == 2.0  # Moran's I may go a little beyond -1


def test_rates_of_change():
    assert rates_of_change([2.0, 3.0, 3.0, 6.0])[1:] == [50.0, 0.0, 100.0]
    assert [math.isnan(rate) for rate in rates_of_change([0.0, 3.0])] == [True, True]
    assert rates_of_change([]) == []


def test_a_band_of_equal_values_does_not_count():
    alone = area_sums(sums_by_hand([[1, 1, 2, 2]], [[1, 3, 5, 7]]))
    both = area_sums(sums_by_hand([[1, 1, 2, 2]], [[1, 3, 5, 7]], [[0.7] * 4]))
    assert variance(both) == pytest.approx(variance(alone))
    assert autocorrelation(both) == pytest.approx(autocorrelation(alone))
    assert math.isnan(variance(area_sums(sums_by_hand([[1, 2]], [[0.1, 0.1]]))))


def test_distinct_edges():
    edges = np.array([[3, 1], [1, 3], [2, 2], [0, 4], [4, 0], [1, 3]], np.uint32)
    found = distinct_edges(edges)
    assert found.dtype == np.uint32 and found.tolist() == [[0, 4], [1, 3]]
    assert distinct_edges(np.empty((0, 2), np.uint32)).shape == (0, 2)


def scene(seed, shape, count):
    """Segments of any shape in blocks, some of no data, and two bands of values."""
    rng = np.random.default_rng(seed)
    ids = np.kron(rng.integers(0, count + 1, (shape[0] // 3, shape[1] // 3)), np.ones((3, 3), int)).astype(np.uint32)
    values = rng.integers(0, 50, (2, *ids.shape)) + 40 * (ids % 3)
    return ids, values.astype(float)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(4, 12))
def test_measures_are_those_of_the_slow_computation(seed, count):
    ids, values = scene(seed, (12, 18), count)
    there = values[:, ids > 0]
    if len(np.unique(ids[ids > 0])) < 3 or not oracle.neighbours(ids):
        return
    means, deviations = there.mean(axis=1), there.std(axis=1)
    planes = [(plane - mean) / unit for plane, mean, unit in zip(values, means, deviations)]
    found = measures_of(area_sums(sums_of(ids, count, planes, plain)))
    np.testing.assert_allclose(astuple(found), oracle.unsupervised(ids, values, deviations), rtol=1e-9, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(4, 12))
def test_larger_segments_have_the_sums_of_those_that_they_are_made_of(seed, count):
    ids, values = scene(seed, (12, 15), count)
    holder = np.random.default_rng(seed).integers(0, count, count)
    joined = sums_of(ids, count, values, plain).joined(holder)
    _, numbers = np.unique(holder, return_inverse=True)
    larger = np.append(0, numbers + 1)[ids].astype(np.uint32)
    once = sums_of(larger, int(numbers.max()) + 1, values, plain)
    for name in ("pixels", "sums", "within"):
        np.testing.assert_allclose(getattr(joined, name), getattr(once, name))
    assert sorted(map(tuple, joined.edges.tolist())) == sorted(map(tuple, np.sort(once.edges).tolist()))


def test_two_areas_are_as_one_with_both():
    (one, first), (other, second) = (scene(seed, (9, 12), 7) for seed in (3, 4))
    gap = np.zeros((1, 12), np.uint32)
    both = np.concatenate([one, gap, np.where(other, other + 7, 0)]).astype(np.uint32)
    values = np.concatenate([first, np.full((2, 1, 12), 99.0), second], axis=1)
    parts = area_sums(sums_of(one, 7, first, plain)) + area_sums(sums_of(other, 7, second, plain))
    whole = area_sums(sums_of(both, 14, values, plain))
    np.testing.assert_allclose(astuple(measures_of(parts)), astuple(measures_of(whole)), rtol=1e-12)


def test_units_of_bands_make_no_difference():
    """A band in reflectance weighs as much as one in degrees: each is counted in its own standard deviations."""
    ids, values = scene(5, (12, 18), 9)
    scaled = values * np.array([1e-4, 300.0])[:, None, None] + np.array([0.0, 273.15])[:, None, None]
    found = []
    for bands in (values, scaled):
        there = bands[:, ids > 0]
        planes = [(plane - band.mean()) / band.std() for plane, band in zip(bands, there)]
        found.append(astuple(measures_of(area_sums(sums_of(ids, 9, planes, plain)))))
    np.testing.assert_allclose(*found, rtol=1e-6)
