# SPDX-License-Identifier: GPL-2.0-or-later
"""k-means: the centres are those of the definition, with both sets of kernels and any number of threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_sets import assert_same, both_sets
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.stages import kmeans


@both_sets
@pytest.mark.parametrize("bands", [1, 2, 3, 4, 8, 9, 17])
@pytest.mark.parametrize("most", [2, 256])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_distinct_colours_are_in_order_of_appearance(kernels, bands, most, dtype):
    sample = np.random.default_rng(bands).integers(0, most, (5000, bands)).astype(dtype)
    sample[1000:2000] = sample[:1000]
    colours, counts, places = kmeans.distinct_colours(sample, kernels)
    _, first, often = np.unique(sample, axis=0, return_index=True, return_counts=True)
    assert_same(colours, sample[np.sort(first)].astype(np.float32))
    assert_same(counts, often[np.argsort(first)])
    assert np.array_equal(places, np.sort(first))


def cluster(sample, num_clusters, max_iterations, kernels, **more):
    return kmeans.cluster(*kmeans.distinct_colours(sample, kernels)[:2], num_clusters, max_iterations, kernels, **more)


def simple_lloyd(sample, num_clusters, max_iterations):
    """k-means as defined, everything compared and added up anew in every iteration."""
    colours, counts, _ = kmeans.distinct_colours(sample, plain)
    planes = np.ascontiguousarray(colours.T)
    centres = kmeans.starting_centres(planes, min(num_clusters, len(colours)))
    everywhere = np.ones(len(colours), bool)
    labels = plain.nearest_centre(planes, everywhere, centres)
    for iteration in range(1, max_iterations + 1):  # noqa: B007
        size = np.bincount(labels, counts, len(centres) + 1)[1:]
        sums = np.stack([np.bincount(labels, counts * plane.astype(float), len(centres) + 1)[1:] for plane in planes])
        centres = (sums[:, size > 0].astype(np.float32) / size[size > 0].astype(np.float32)).T.copy()
        previous, labels = labels, plain.nearest_centre(planes, everywhere, centres)
        if counts[labels != previous].sum() <= kmeans.CHANGED_SHARE * counts.sum():
            break
    return kmeans.round_to_six_digits(centres), iteration


@both_sets
def test_centres_do_not_depend_on_threads(kernels, monkeypatch):
    rng = np.random.default_rng(8)
    monkeypatch.setattr(kmeans, "PART", 1000)
    for bands, scale in ((3, 1), (5, 1), (3, 0.37)):
        sample = rng.integers(0, 256, (7000, bands)).astype(np.uint8)
        sample = sample if scale == 1 else sample * np.float32(scale)
        with ThreadPoolExecutor(3) as pool:
            ours, theirs = cluster(sample, 40, 60, kernels, run=pool.map), simple_lloyd(sample, 40, 60)
        assert_same(ours[0], theirs[0])
        assert ours[1] == theirs[1]


@both_sets
@settings(max_examples=40, deadline=None)
@given(st.integers(1, 10), st.integers(1, 3000), st.sampled_from([2, 5, 40]), st.sampled_from([9, 256]), st.data())
def test_centres_are_those_of_the_definition(kernels, bands, size, k, values, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    sample = rng.integers(0, values, (size, bands)).astype(data.draw(st.sampled_from([np.uint8, np.float32])))
    if sample.dtype == np.float32:
        sample *= np.float32(data.draw(st.sampled_from([1, 0.37, 1e-22, 1e17])))
    with np.errstate(over="ignore", invalid="ignore"):
        ours, theirs = cluster(sample, k, 50, kernels), simple_lloyd(sample, k, 50)
    assert_same(ours[0], theirs[0])
    assert ours[1] == theirs[1]
