# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernels: compiled against plain on any input, and both against what RSGISLib makes at every stage."""

import json
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_sets import assert_same, both_sets, compiled, examples, needs_compiled
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.stages import kmeans
from tiledseg.tiledseg_plugin.engine.stages.colours import Stretched, stretch

DATA = Path(__file__).parent / "data"
OURS = ("synthetic_full", "synthetic_holes", "synthetic_oneband")
SHARED = ("sen2_aber_b8_b9_b3", "naip_maryland", "landsat7_bahamas")
CLOSED = (False,) * 4


@pytest.fixture(params=OURS + SHARED)
def reference(request):
    """One raster with every stage of RSGISLib's segmentation, and its parameters."""
    folder = DATA
    if request.param in SHARED:
        folder = request.getfixturevalue("shared") / "reference"
    path = folder / f"{request.param}.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    with np.load(path) as arrays:
        stages = dict(arrays)
    stages["parameters"] = json.loads(str(stages["parameters"]))
    return stages


def eliminate(kernels, labels, count, clusters, values, min_pixels, threshold):
    """Final clumps of a window, without gaps in their numbers."""
    sizes, sums, _, _ = kernels.describe_clumps(labels, count, clusters, values)
    elimination = kernels.Elimination(
        sizes, sums, np.ones(1), kernels.find_edges(labels, count) - 1, min_pixels, threshold
    )
    for area in range(1, min_pixels + 1):
        elimination.step(area)
    regions = kernels.relabel(labels, np.append(np.uint32(0), elimination.into + 1).astype(np.uint32))
    first = np.full(count + 1, labels.size)
    np.minimum.at(first, regions.ravel(), np.arange(labels.size))
    first[0] = labels.size
    numbers = np.zeros(count + 1, np.uint32)
    present = np.flatnonzero(first < labels.size)
    numbers[present[np.argsort(first[present])]] = np.arange(1, present.size + 1)
    return kernels.relabel(regions, numbers)


@both_sets
def test_every_stage_is_that_of_rsgislib(kernels, reference):
    values, parameters = reference["stretched"], reference["parameters"]
    sample = values.reshape(len(values), -1)[:, :: parameters["sampling"]].T
    sample = sample[(sample != 0).any(axis=1)]
    clusters, calm, initial = reference["clusters"], reference["no_singles"], reference["initial_clumps"]

    colours, counts, _ = kmeans.distinct_colours(sample, kernels)
    centres, _ = kmeans.cluster(
        colours, counts, parameters["num_clusters"], parameters["kmeans_max_iterations"], kernels
    )
    np.testing.assert_array_equal(centres, reference["centres"])
    np.testing.assert_array_equal(kernels.nearest_centre(values, clusters != 0, centres), clusters)
    found, uncertain = kernels.eliminate_singles(clusters.astype(np.uint16), values, CLOSED)
    np.testing.assert_array_equal(found, calm)
    assert not uncertain.any()
    labels, count = kernels.clump(calm.astype(np.uint16))
    np.testing.assert_array_equal(labels, initial)
    assert count == initial.max()
    final = eliminate(kernels, labels, count, found, values, parameters["min_pixels"], parameters["distance_threshold"])
    np.testing.assert_array_equal(final, reference["clumps"])


@needs_compiled
def test_every_compiled_kernel_says_which_plain_one_defines_it():
    """A name that both sets have is either the same object, or its docstring names the module of the plain one."""
    for name in set(compiled.__all__) - {"NAME", "warm_up"}:
        ours, theirs = getattr(compiled, name), getattr(plain, name)
        module = theirs.__module__.rpartition(".")[2]
        assert ours is theirs or ours.__doc__.startswith(f"Defined by `plain.{module}.{name}`."), name
    assert set(compiled.__all__) == set(plain.__all__)


@needs_compiled
def test_no_compiled_kernel_takes_a_named_tuple():
    """numba may take one for another whose arrays have other strides, see `compiled.graph`."""
    from numba import types
    from numba.core.dispatcher import Dispatcher

    compiled.warm_up()
    found = 0
    for name, module in sys.modules.items():
        if name.startswith(compiled.__name__ + "."):
            for kernel in vars(module).values():
                if isinstance(kernel, Dispatcher):
                    for signature in kernel.signatures:
                        found += 1
                        assert not any(isinstance(kind, types.BaseNamedTuple) for kind in signature), kernel
    assert found > 20


# --- properties: small random inputs -------------------------------------------------------------------------------


def _draw_values(draw, shape):
    """Colours with many ties: uint8, or float32 that may be tiny or huge enough for distances to under- or overflow."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if draw(st.booleans()):
        return rng.integers(0, draw(st.sampled_from([2, 5, 256])), shape).astype(np.uint8)
    tiny, huge = [1e-30, 3e-30, -1e-23, 0], [1e30, -1e30, 3e38, 1e18]
    pool = draw(st.sampled_from([[0.5, 1, 1.25, -3], tiny, huge, [1, 2, 1e19]]))
    return rng.choice(np.array(pool, np.float32), shape)


@st.composite
def colours(draw):
    bands = draw(st.integers(1, 5))
    values = _draw_values(draw, (bands, draw(st.integers(1, 30)), draw(st.integers(1, 60))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    k = draw(st.sampled_from([1, 2, 3, 7, 60, 300]))
    centres = rng.choice(values.reshape(bands, -1).T, k).astype(np.float32)
    if draw(st.booleans()):
        centres = (centres * np.float32(draw(st.sampled_from([0.5, 1.01, -1])))).astype(np.float32)
    valid = rng.random(values.shape[1:]) < draw(st.sampled_from([0, 0.5, 1]))
    return values, valid, np.ascontiguousarray(centres)


@needs_compiled
@examples
@given(colours())
def test_nearest_centre_is_the_same(drawn):
    with np.errstate(over="ignore", invalid="ignore"):
        expected = plain.nearest_centre(*drawn)
    assert_same(compiled.nearest_centre(*drawn), expected)


@needs_compiled
@examples
@given(colours())
def test_two_nearest_centres_are_the_same(drawn):
    values, _, centres = drawn
    values = values.reshape(len(values), -1).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = plain.nearest_two(values, centres)
    for ours, theirs in zip(compiled.nearest_two(values, centres), expected):
        assert_same(ours, theirs)


@needs_compiled
@pytest.mark.parametrize("bands, size", [(1, 300), (2, 70000), (3, 5000), (10, 3000)])
@pytest.mark.parametrize("k", [1, 61, 3000])
def test_nearest_centre_is_the_same_for_many_pixels(bands, size, k):
    rng = np.random.default_rng(bands)
    values = rng.integers(0, 256, (bands, 1, size)).astype(np.uint8)
    centres = (rng.random((k, bands)) * 255).astype(np.float32)
    valid = rng.random((1, size)) < 0.9
    assert_same(compiled.nearest_centre(values, valid, centres), plain.nearest_centre(values, valid, centres))


@st.composite
def three_bands(draw):
    """8-bit colours and centres with ties: duplicates, whole numbers, the ends of the range, and beyond."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.choice(
        draw(st.sampled_from([[0, 255], range(256), [7, 8, 9], [0, 3, 4, 127, 128, 252, 255]])), (3, 700)
    )
    k = draw(st.integers(1, 300))
    centres = rng.choice(
        draw(st.sampled_from([[0, 255], range(256), [6, 7.5, 9], [-1e-30, 0, 300, -40], [3e38, 1]])), (k, 3)
    )
    if draw(st.booleans()):
        centres = centres + rng.normal(0, draw(st.sampled_from([1e-6, 1, 40])), (k, 3))
    valid = rng.random(700) < draw(st.sampled_from([0, 0.5, 1]))
    return values.astype(np.uint8), valid, centres.astype(np.float32)


@needs_compiled
@examples
@given(three_bands())
def test_the_table_of_colours_holds_the_nearest_centres(drawn):
    from tiledseg.tiledseg_plugin.engine.kernels.compiled.colour_table import ColourTable

    values, valid, centres = drawn
    with np.errstate(over="ignore", invalid="ignore"):
        expected = plain.nearest_centre(values, valid, centres)
    table = ColourTable(centres)
    for part in (np.s_[:300], np.s_[:], np.s_[:]):  # the second finds some colours there, the third all
        labels = np.full(valid[part].size, 9, np.uint16)
        table.look_up(values[:, part], valid[part], labels)
        assert_same(labels, expected[part])


@both_sets
def test_windows_that_share_their_centres_are_labelled_as_if_alone(kernels, monkeypatch):
    if kernels is compiled:
        monkeypatch.setattr("tiledseg.tiledseg_plugin.engine.kernels.compiled.centres.FEW", 30_000)
    rng = np.random.default_rng(4)
    for bands in (1, 2, 3, 4):
        windows = [rng.integers(0, 256, (bands, 90, 110)).astype(np.uint8) for _ in range(24)]
        centres = (rng.random((60, bands)) * 255).astype(np.float32)
        valid = rng.random((90, 110)) < 0.9
        shared = pickle.loads(pickle.dumps(kernels.NearestCentre(centres)))
        with ThreadPoolExecutor(4) as pool:
            labels = list(pool.map(lambda values: shared(values, valid), windows))  # noqa: B023
        for ours, values in zip(labels, windows):
            assert_same(ours, plain.nearest_centre(values, valid, centres))


@both_sets
def test_many_centres_are_told_apart(kernels):
    centres = np.arange(65534, dtype=np.float32)[:, None]
    values = np.array([[[0, 65533, 40000.4]]], np.float32)
    assert kernels.nearest_centre(values, np.ones((1, 3), bool), centres).tolist() == [[1, 65534, 40001]]


@both_sets
def test_first_of_equal_centres_wins(kernels):
    values = np.full((2, 1, 5), 7, np.uint8)
    centres = np.array([[9, 7], [5, 7], [7, 9]], np.float32)
    assert (kernels.nearest_centre(values, np.ones((1, 5), bool), centres) == 1).all()


@both_sets
def test_infinite_distances_give_the_first_centre(kernels):
    values = np.full((1, 1, 2), 3e38, np.float32)
    centres = np.array([[-3e38], [-2e38]], np.float32)
    with np.errstate(over="ignore"):
        assert kernels.nearest_centre(values, np.ones((1, 2), bool), centres).tolist() == [[1, 1]]


def _pattern(draw, rows, cols, rng):
    kind = draw(st.sampled_from(["random", "chessboard", "stripes", "chain"]))
    row, col = np.indices((rows, cols))
    if kind == "chessboard":
        return (1 + (row + col) % 2).astype(np.uint16)
    if kind == "stripes":
        return (1 + col % 3).astype(np.uint16)
    if kind == "chain":  # a line of single pixels with something to follow at one end only
        clusters = np.zeros((rows, cols), np.uint16)
        clusters[rows // 2] = 1 + np.arange(cols) % draw(st.sampled_from([3, 50]))
        clusters[rows // 2, :2] = 7
        return clusters
    return rng.integers(1, draw(st.sampled_from([2, 3, 6, 40])) + 1, (rows, cols)).astype(np.uint16)


@st.composite
def windows(draw):
    rows, cols = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    clusters = _pattern(draw, rows, cols, rng)
    clusters[rng.random((rows, cols)) < draw(st.sampled_from([0, 0.1, 0.6, 1]))] = 0
    return clusters, _draw_values(draw, (draw(st.integers(1, 5)), rows, cols))


@needs_compiled
@examples
@given(windows(), st.tuples(*[st.booleans()] * 4))
def test_single_pixels_are_the_same(window, open_sides):
    clusters, values = window
    before = clusters.copy()
    with np.errstate(over="ignore", invalid="ignore"):
        expected = plain.eliminate_singles(clusters, values, open_sides)
    for ours, theirs in zip(compiled.eliminate_singles(clusters, values, open_sides), expected):
        assert_same(ours, theirs)
    assert_same(clusters, before)


@both_sets
@examples
@given(windows(), st.tuples(*[st.booleans()] * 4), st.integers(0, 8))
def test_what_is_not_uncertain_does_not_depend_on_the_window(kernels, window, cuts, margin):
    clusters, values = window
    rows, cols = clusters.shape
    top, bottom = margin * cuts[0], rows - margin * cuts[1]
    left, right = margin * cuts[2], cols - margin * cuts[3]
    if top >= bottom or left >= right:
        return
    part = np.s_[top:bottom, left:right]
    with np.errstate(over="ignore", invalid="ignore"):
        whole, _ = kernels.eliminate_singles(clusters, values, CLOSED)
        inside, uncertain = kernels.eliminate_singles(
            np.ascontiguousarray(clusters[part]), np.ascontiguousarray(values[(slice(None), *part)]), cuts
        )
    np.testing.assert_array_equal(inside[~uncertain], whole[part][~uncertain])


@needs_compiled
@examples
@given(windows(), st.booleans())
def test_clumps_and_edges_are_the_same(window, as_integers):
    clusters, values = window
    labels, count = plain.clump(clusters)
    assert_same(compiled.clump(clusters)[0], labels)
    assert compiled.clump(clusters)[1] == count
    quantities = (
        values if values.dtype == np.uint8 and not as_integers else (values.astype(float) % 1000).astype(np.int64) << 40
    )
    expected = plain.describe_clumps(labels, count, clusters, quantities)
    for ours, theirs in zip(compiled.describe_clumps(labels, count, clusters, quantities), expected):
        assert_same(ours, theirs)
    assert_same(compiled.find_edges(labels, count), plain.find_edges(labels, count))


@needs_compiled
def test_edges_are_the_same_where_they_are_met_far_oftener_than_there_are_clumps():
    """The compiled kernel finds room for more of them, again and again."""
    labels = np.random.default_rng(3).integers(0, 4, (90, 40)).astype(np.uint32)
    assert_same(compiled.find_edges(labels, 3), plain.find_edges(labels, 3))
    assert_same(plain.find_edges(labels, 3), np.array([[1, 2], [1, 3], [2, 3]], np.uint32))


@needs_compiled
def test_edges_of_a_clump_with_many_neighbours_are_the_same():
    clusters = np.ones((60, 61), np.uint16)
    clusters[1::2, 1::2] = 1 + np.arange(1, 901).reshape(30, 30)
    labels, count = plain.clump(clusters)
    assert_same(compiled.find_edges(labels, count), plain.find_edges(labels, count))


@needs_compiled
@examples
@given(st.integers(1, 400), st.data())
def test_relabelling_is_the_same(size, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    labels = rng.integers(0, 50, (3, size)).astype(np.uint32)
    table = rng.integers(0, 2**32, 50).astype(np.uint32)
    assert_same(compiled.relabel(labels, table), plain.relabel(labels, table))


@needs_compiled
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_the_stretch_is_the_same(dtype):
    rng = np.random.default_rng(3)
    limits = np.iinfo(dtype)
    values = rng.integers(limits.min, limits.max, (3, 40, 70), endpoint=True).astype(dtype)
    valid = rng.random((40, 70)) < 0.8
    colours = Stretched((-40.5, 5.0, 9.0), (90.25, 5.0, 110.0))
    expected = np.stack([stretch(*band) for band in zip(values, colours.low, colours.high)]) * valid
    for kernels in (plain, compiled):
        assert_same(colours.compared(values, valid, kernels), expected)
