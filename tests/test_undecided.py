# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps from which on clumps are undecided: what a run gives the kernels, on which both sets agree."""

import itertools

import numpy as np
import pytest
from fuzzing import checking
from fuzzing.draws import draw
from fuzzing.images import make
from fuzzing.undecided import contradictions, watching
from kernel_sets import assert_same, compiled, needs_compiled
from rasters import run, write_raster
from tiledseg.tiledseg_plugin.engine.kernels import plain


def possible(sizes, edges, min_pixels, undecided_from):
    """The greatest steps up to these that contradict nothing."""
    steps = undecided_from.astype(np.int64)
    while contradictions(sizes, edges, min_pixels, steps):
        called = np.maximum(sizes, steps)
        for one, other in (edges.T, edges.T[::-1]):
            acting = sizes[one] < min_pixels
            np.minimum.at(steps, other[acting], called[one][acting])
    return steps.astype(np.uint32)


def graph(seed):
    """(sizes, sums, edges, min_pixels, threshold, undecided_from, shared): a grid of clumps, or a few of them."""
    rng = np.random.default_rng(seed)
    if seed % 2:
        rows, cols = rng.integers(2, 14, 2)
        number = np.arange(rows * cols).reshape(rows, cols)
        sides = (number[:-1], number[1:]), (number[:, :-1], number[:, 1:])
        edges = np.concatenate([np.stack([a.ravel(), b.ravel()], axis=1) for a, b in sides])
    else:
        number = np.arange(rng.integers(2, 6))
        edges = np.array([pair for pair in itertools.combinations(number, 2) if rng.random() < 0.6]).reshape(-1, 2)
    edges, count = edges.astype(np.uint32), number.size
    sizes, min_pixels = rng.integers(1, [2, 5, 12][seed % 3], count), int(rng.integers(2, 25))
    sums = sizes[:, None] * rng.integers(0, [4, 255][seed // 2 % 2], (count, 2))
    steps = rng.integers(0, min_pixels + 1, count) * (rng.random(count) > [0, 0.5, 0.9][seed // 2 % 3])
    shared = rng.random(count) < [0, 0.03, 0.1, 0.3][seed // 3 % 4]
    undecided_from = possible(sizes, edges, min_pixels, steps)
    return sizes, sums, edges, min_pixels, [np.inf, 60.0][seed // 5 % 2], undecided_from, shared


def ended(kernel, drawn, with_shared):
    sizes, sums, edges, min_pixels, threshold, undecided_from, shared = drawn
    shared = shared.copy() if with_shared else None
    rest = np.ones(1), edges.copy(), min_pixels, threshold, undecided_from.copy(), shared
    elimination = kernel.Elimination(sizes.copy(), sums.copy(), *rest)
    into = []
    for area in range(1, min_pixels + 1):
        elimination.step(area)
        into.append(elimination.into.copy())
    return into, elimination.regions()


@needs_compiled
@pytest.mark.parametrize("first", range(0, 200, 50))
def test_both_sets_agree_on_whatever_contradicts_nothing(first):
    late = 0
    for seed in range(first, first + 50):
        drawn = graph(seed)
        late += np.count_nonzero(drawn[5] > drawn[0])
        for with_shared in (False, True):
            into, left = ended(plain, drawn, with_shared)
            other_into, other_left = ended(compiled, drawn, with_shared)
            for ours, theirs in zip(into, other_into):
                assert_same(ours, theirs)
            for name in ("roots", "sizes", "sums", "undecided_from"):
                assert_same(getattr(left, name), getattr(other_left, name))
    assert late > 20


def test_contradictions_are_seen():
    sizes, edges = np.array([1, 4, 9]), np.array([[0, 1], [1, 2]], np.uint32)
    for steps, expected in (([0, 0, 0], 0), ([2, 2, 4], 0), ([1, 2, 0], 1), ([5, 5, 0], 0), ([0, 0, 5], 1)):
        assert contradictions(sizes, edges, 10, np.array(steps, np.uint32)) == expected, steps
    assert contradictions(sizes, edges, 4, np.array([1, 1, 5], np.uint32)) == 0  # clump 1 is large: it decides nothing
    assert contradictions(sizes, edges, 4, None) == 0


FRACTAL = {"kind": "fractal", "bands": 2, "rows": 80, "cols": 90, "dtype": "uint8", "low": 0, "high": 255}


@pytest.mark.parametrize("min_pixels, threshold", [(12, 20.0), (60, 20.0), (300, 9.0)])
def test_no_run_gives_its_kernels_contradictions(tmp_path, min_pixels, threshold):
    """Nor does any case of the fuzzer, which looks at all eliminations of its process."""
    path = write_raster(tmp_path / "in.tif", make({**FRACTAL, "seed": min_pixels, "levels": 0, "grain": 1}), nodata=0)
    with watching() as watched:
        before = watched.eliminations, watched.late
        given = {"execution": "serial", "tile_width": 16, "tile_height": 20, "sampling": 3}
        run(path, tmp_path / "o.tif", min_pixels=min_pixels, distance_threshold=threshold, **given)
    assert watched.eliminations - before[0] > 20 and watched.late - before[1] > 20


def test_a_run_that_did_would_be_seen(monkeypatch):
    from tiledseg.tiledseg_plugin.engine.stages import graph as stage

    load = stage.load_undecided

    def spoilt(folder, number):
        graph = load(folder, number)
        graph.undecided_from = graph.undecided_from + np.arange(graph.sizes.size, dtype=np.uint32)
        return graph

    monkeypatch.setattr(stage, "load_undecided", spoilt)
    with pytest.raises(AssertionError, match="contradictory pairs"):
        for number in range(60):
            case = draw("small", f"undecided-{number}")
            case["run"].update(execution="serial", interrupted="", kernels="plain")
            for name in ("tiles", "levels"):
                case["parameters"].pop(name, None)
            case["parameters"].update(tile_width=16, tile_height=16, min_pixels=30)
            checking.check(case)
