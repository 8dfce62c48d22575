# SPDX-License-Identifier: GPL-2.0-or-later
"""Connected components and clumps in numpy, against a walk through the graph; and runs on a machine without scipy."""

import json
import os
import subprocess
import sys

import headless
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_sets import both_sets, examples
from rasters import read, write_raster
from tiledseg.tiledseg_plugin.engine.kernels import pairs as pairs_module
from tiledseg.tiledseg_plugin.engine.kernels.components import components
from tiledseg.tiledseg_plugin.engine.kernels.pairs import counted_pairs, distinct_pairs, look_up


@pytest.mark.parametrize("dtype", [np.uint32, np.int64])
@pytest.mark.parametrize("most", [0, 1, 3, 0xFFFFFFFF])
def test_pairs_are_found_once_in_their_order(most, dtype):
    pairs = np.random.default_rng(most).integers(0, most, (200, 2), dtype, endpoint=True)
    for some in (pairs, pairs[:1], pairs[:0]):
        expected, times = np.unique(some.reshape(-1, 2), axis=0, return_counts=True)
        found, counted = counted_pairs(some)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(counted, times)
        np.testing.assert_array_equal(distinct_pairs(some), expected)
        assert found.dtype == np.uint32 and found.shape[1] == 2


@pytest.mark.parametrize("at_once", [None, 1, 4])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 11])
@pytest.mark.parametrize("columns", [(), (2,)])
def test_pairs_are_looked_up_in_place_or_into_another_array(monkeypatch, at_once, count, columns):
    if at_once:
        monkeypatch.setattr(pairs_module, "AT_ONCE", at_once)
    table = np.array([40, 10, 30, 20], np.uint32)
    indices = np.arange(count * (2 if columns else 1), dtype=np.uint32).reshape(count, *columns) % 4
    expected, before = table[indices], indices.copy()
    found = np.full(indices.shape, 7, np.int64)
    look_up(indices, table, found)
    assert np.array_equal(found, expected) and np.array_equal(indices, before)
    look_up(indices, table)
    assert np.array_equal(indices, expected)


def walked(count, links):
    """The component of every node, numbered in the order of their first nodes."""
    neighbours = [[] for _ in range(count)]
    for one, other in links:
        neighbours[one].append(other)
        neighbours[other].append(one)
    number, found = [-1] * count, 0
    for start in range(count):
        if number[start] < 0:
            number[start], waiting = found, [start]
            while waiting:
                for other in neighbours[waiting.pop()]:
                    if number[other] < 0:
                        number[other] = found
                        waiting.append(other)
            found += 1
    return found, number


def check(count, links):
    links = np.array(links, np.int64).reshape(-1, 2)
    found, number = components(count, links[:, 0], links[:, 1])
    assert (found, number.tolist()) == walked(count, links.tolist())


@examples
@given(st.data())
def test_components_are_those_of_a_walk(data):
    count = data.draw(st.integers(0, 40))
    nodes = st.integers(0, max(count - 1, 0))
    check(count, data.draw(st.lists(st.tuples(nodes, nodes), max_size=60)) if count else [])


@pytest.mark.parametrize("seed", range(5))
def test_long_paths_rings_stars_and_combs(seed):
    rng = np.random.default_rng(seed)
    names = rng.permutation(3000)
    path = np.stack([names[:-1], names[1:]], axis=1)
    star = np.stack([np.full(2999, names[0]), names[1:]], axis=1)
    comb = np.concatenate([path[:1000], np.stack([names[:1000], names[1000:2000]], axis=1)])
    for links in (path, np.concatenate([path, [names[[-1, 0]]]]), star, star[::-1], comb, path[::2], path[:, ::-1]):
        check(3000, rng.permutation(links))


@both_sets
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (23, 31), (2, 2)])
@pytest.mark.parametrize("kinds", [1, 2, 5])
def test_clumps_are_those_of_a_walk(kernels, shape, kinds):
    for seed in range(5):
        clusters = np.random.default_rng(seed).integers(0, kinds + 1, shape).astype(np.uint16)
        nodes = np.arange(clusters.size).reshape(shape)
        links = [
            (one, other)
            for these, those in ((nodes[:, 1:], nodes[:, :-1]), (nodes[1:], nodes[:-1]))
            for one, other in zip(these.ravel(), those.ravel())
            if clusters.flat[one] == clusters.flat[other] != 0
        ]
        _, number = walked(clusters.size, links)
        expected, known = np.zeros(clusters.size, np.uint32), {}
        for pixel in np.flatnonzero(clusters):
            expected[pixel] = known.setdefault(number[pixel], len(known) + 1)
        labels, count = kernels.clump(clusters)
        assert labels.dtype == np.uint32 and count == len(known)
        np.testing.assert_array_equal(labels.ravel(), expected)


@pytest.fixture
def without_scipy(tmp_path):
    """A folder for PYTHONPATH in which scipy is a package that cannot be imported."""
    package = tmp_path / "blocked" / "scipy"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('there is no scipy here')\n")
    return str(package.parent)


@pytest.fixture
def image(tmp_path):
    rng = np.random.default_rng(5)
    values = np.kron(rng.integers(20, 230, (3, 12, 14)), np.ones((1, 9, 9), int)) + rng.integers(0, 9, (3, 108, 126))
    return write_raster(tmp_path / "in.tif", values.astype(np.uint8))


ALL = """
import sys
sys.path.insert(0, {plugins!r})
try:
    import scipy
except ImportError:
    pass
else:
    raise SystemExit("scipy is there")
from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from tiledseg.tiledseg_plugin.engine.rsgislib import run, tasks
from tiledseg.tiledseg_plugin.engine.products.segment_polygons import PolygonsParameters, segment_polygons
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from tiledseg.tiledseg_plugin.engine.segmentation import segment

result = segment(
    SegmentParameters(
        input={image!r}, output={folder!r} + "/o.tif",
        polygons={folder!r} + "/p.gpkg", mean_image={folder!r} + "/m.tif",
        tile_width=50, tile_height=40, min_pixels=20, execution={execution!r}, workers=2, kernels={kernels!r},
    ),
    Feedback(),
)
segment_statistics(StatisticsParameters({folder!r} + "/o.tif", {image!r}, {folder!r} + "/t.csv"), Feedback())
segment_polygons(PolygonsParameters({folder!r} + "/o.tif", {folder!r} + "/q.gpkg", simplify=True), Feedback())
assert "scipy.sparse" not in sys.modules and "scipy.ndimage" not in sys.modules
print(result.segment_count)
"""


@pytest.mark.parametrize("kernels, execution", [("plain", "threads"), ("auto", "auto"), ("plain", "processes")])
def test_everything_works_without_scipy(tmp_path, without_scipy, image, kernels, execution):
    from tiledseg.tiledseg_plugin.engine.execution import processes

    if execution == "processes" and processes.missing_package():
        pytest.skip(f"{processes.missing_package()} is not installed")
    code = ALL.format(
        plugins=str(headless.plugin_path()), image=image, folder=str(tmp_path), kernels=kernels, execution=execution
    )
    environment = {**os.environ, "PYTHONPATH": without_scipy}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) == read(tmp_path / "o.tif").max() > 20


@pytest.mark.command
def test_command_line_works_without_scipy(tmp_path, without_scipy, image, qgis_process, monkeypatch):
    monkeypatch.setitem(qgis_process.environment, "PYTHONPATH", without_scipy)
    monkeypatch.setitem(qgis_process.environment, "TILEDSEG_KERNELS", "plain")
    output = tmp_path / "o.tif"
    ended = qgis_process("--json", "run", "tiledseg:segment", "--", f"INPUT={image}", f"OUTPUT={output}")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["results"]["SEGMENT_COUNT"] == read(output).max()
    status = qgis_process("--json", "run", "tiledseg:status")
    assert status.returncode == 0 and "plain" in json.loads(status.stdout)["results"]["KERNELS"]
