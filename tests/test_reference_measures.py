# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures with reference polygons: against figures computed by hand, and against a slow and obvious computation."""

import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import measures as oracle
from tiledseg.tiledseg_plugin.engine.products.reference_measures import (
    ReferencePixels,
    find_overlaps,
    in_all,
    measure_polygons,
    together,
)


def reference_of(shape, polygons):
    """From sets of (row, col), numbered 11, 12, ..."""
    index = [number for number, polygon in enumerate(polygons) for _ in polygon]
    place = [row * shape[1] + col for polygon in polygons for row, col in sorted(polygon)]
    numbers = np.arange(11, 11 + len(polygons))
    return ReferencePixels(shape, numbers, np.array(index, np.int64), np.array(place, np.int64))


def rectangle(row, col, height, width):
    return {(r, c) for r in range(row, row + height) for c in range(col, col + width)}


def measure(ids, polygons):
    ids = np.array(ids, np.uint32)
    return measure_polygons(find_overlaps(ids, int(ids.max()), reference_of(ids.shape, polygons)))


def test_a_polygon_in_two_segments_by_hand():
    """Of 16 pixels, 8 are all of segment 1, and 8 are half of segment 2, in which the centre lies."""
    ids = np.repeat([[1, 1, 2, 2, 2, 2]], 4, axis=0)
    found = measure(ids, [rectangle(0, 0, 4, 4)])
    assert found.numbers.tolist() == [11] and found.segments.tolist() == [2]
    assert found.over.tolist() == [pytest.approx(0.5)]  # of both 8 of 16 are outside
    assert found.under.tolist() == [pytest.approx((0 + 0.5) / 2)]
    assert found.rms.tolist() == [pytest.approx((math.sqrt(0.25 / 2) + 0.5) / 2)]
    assert found.iou.tolist() == [pytest.approx(8 / 16)]
    assert found.quality_rate.tolist() == [pytest.approx(((1 - 8 / 16) + (1 - 8 / 24)) / 2)]
    total = in_all(found)
    assert (total.polygons, total.pse, total.nsr, total.ed2) == (1, 0, 0, 0)  # half is not more than half


def test_a_segment_over_two_polygons_by_hand():
    """A segment of 40 pixels holds polygons of 10 and of 20: it has 30 and 20 outside, and stands for both."""
    polygons = [rectangle(0, 0, 1, 10), rectangle(2, 0, 2, 10)]
    total = in_all(measure(np.ones((4, 10)), polygons))
    assert total.pse == pytest.approx((30 + 20) / 30)
    assert total.nsr == pytest.approx(1 / 2)
    assert total.ed2 == pytest.approx(math.hypot(50 / 30, 0.5))
    assert (total.over, total.under) == (0, pytest.approx((0.75 + 0.5) / 2))


def test_a_perfect_match():
    ids = np.where(np.arange(12).reshape(3, 4) % 4 < 2, 1, 2)
    total = in_all(measure(ids, [rectangle(0, 0, 3, 2), rectangle(0, 2, 3, 2)]))
    assert astuple(total) == (2, 0, 0, 0, 0, 1, 0, 0, 0)


def test_where_none_corresponds_the_segment_that_shares_most_does():
    """Each quarter of the polygon is another segment's, its centre has no data, and theirs lie outside of it."""
    ids = np.zeros((5, 25), np.uint32)
    ids[0:2, 0:12], ids[0:2, 13:], ids[3:, 0:12], ids[3:, 13:] = 1, 2, 3, 4
    ids[0, 11] = 0
    polygon = rectangle(0, 10, 5, 5) - {(r, c) for r, c in rectangle(0, 0, 5, 25) if not ids[r, c]}
    found = measure(ids, [polygon])
    assert found.segments.tolist() == [1] and found.over.tolist() == [pytest.approx(1 - 4 / 15)]


def draw(seed):
    """Segments, and overlapping polygons of their valid pixels."""
    rng = np.random.default_rng(seed)
    ids = np.kron(rng.integers(0, 9, (4, 5)), np.ones((3, 3), int)).astype(np.uint32)
    polygons = []
    for _ in range(rng.integers(1, 6)):
        row, col = rng.integers(0, 8), rng.integers(0, 10)
        shape = rectangle(row, col, rng.integers(1, 12 - row), rng.integers(1, 15 - col))
        polygons.append({pixel for pixel in shape if ids[pixel]})
    return ids, [polygon for polygon in polygons if polygon]


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_measures_are_those_of_the_slow_computation(seed):
    ids, polygons = draw(seed)
    if not polygons:
        return
    found, segments = measure(ids, polygons), oracle.pixels_of(ids)
    for index, polygon in enumerate(polygons):
        ours = [getattr(found, name)[index] for name in ("segments", "over", "under", "rms", "quality_rate", "iou")]
        np.testing.assert_allclose(ours, oracle.of_polygon(polygon, segments), atol=1e-12)
    total = in_all(found)
    np.testing.assert_allclose((total.pse, total.nsr, total.ed2), oracle.ed2(polygons, segments), atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_larger_segments_are_judged_from_those_that_they_are_made_of(seed):
    ids, polygons = draw(seed)
    if not polygons:
        return
    holder = np.random.default_rng(seed).integers(0, 4, 9)
    reference = reference_of(ids.shape, polygons)
    joined = measure_polygons(find_overlaps(ids, 9, reference).joined(holder))
    larger = np.append(0, holder + 1)[ids].astype(np.uint32)
    once = measure_polygons(find_overlaps(larger, 4, reference))
    for ours, theirs in zip(astuple(joined), astuple(once)):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_areas_are_put_together():
    one, other = measure(np.ones((2, 2)), [rectangle(0, 0, 1, 2)]), measure([[1, 2]], [{(0, 0)}])
    both = together([one, other])
    assert both.over.tolist() == [0, 0] and both.under.tolist() == [0.5, 0]
    assert in_all(both).nsr == 0 and in_all(both).pse == pytest.approx(2 / 3)
