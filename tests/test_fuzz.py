# SPDX-License-Identifier: GPL-2.0-or-later
"""A part of what `make fuzz` does, always the same cases; failures that it has found; and the fuzzer itself."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest
from fuzzing import checking, cluster
from fuzzing.coverage import Coverage
from fuzzing.draws import draw
from fuzzing.files import as_json
from fuzzing.images import make
from fuzzing.shrinking import shrink
from tiledseg.tiledseg_plugin.engine.parameters import EXECUTIONS
from tiledseg.tiledseg_plugin.engine.stages import graph
from time_limit import no_test_hangs  # noqa: F401

FOUND = sorted((Path(__file__).parent / "data" / "found").glob("*.json"))
SMALL, LARGE, AT_ONCE = 120, (0, 2, 3, 4, 5), 20


@pytest.fixture(scope="module", autouse=True)
def _dask_ends():
    yield
    cluster.kept.close()


@pytest.mark.parametrize("first", range(0, SMALL, AT_ONCE))
def test_small_rasters_are_segmented_as_by_the_oracle(first):
    for number in range(first, first + AT_ONCE):
        case = draw("small", f"tests-{number}")
        try:
            checking.check(case)
        except checking.Wrong as wrong:
            pytest.fail(f"{wrong}: {as_json(case)}")


@pytest.mark.parametrize("number", LARGE)
def test_larger_rasters_are_segmented_as_untiled_by_the_plain_kernels(number):
    checking.check(draw("large", f"tests-{number}"))


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_what_was_found_once_stays_right(path):
    checking.check(json.loads(path.read_text(encoding="utf-8")))


def test_a_case_is_known_by_its_seed_and_kept_as_text():
    for kind in ("small", "large"):
        case = draw(kind, "again")
        assert case == draw(kind, "again") != draw(kind, "another")
        assert json.loads(as_json(case)) == case


def test_every_execution_is_drawn():
    for kind, least in (("small", 2000), ("large", 200)):
        drawn = Counter(draw(kind, f"executions-{number}")["run"]["execution"] for number in range(least))
        wanted = set(EXECUTIONS) if cluster.is_available() else set(EXECUTIONS) - {"dask"}
        assert set(drawn) == wanted, drawn


@pytest.mark.parametrize("kind", ["small", "large"])
def test_zones_of_every_kind_are_drawn_on_rasters_that_lie_every_way(kind):
    coverage = Coverage()
    for number in range(250):
        coverage.add(draw(kind, f"zones-{number}"))
    for name in ("ZONES", "ZONES_OUTSIDE", "corners of zones", "features of zones", "georeference", "EXTENT"):
        assert min(coverage.counts[name].values()) > 2, coverage.counts[name]


def test_a_fault_is_found_and_shrunk(monkeypatch):
    """Of the regions that touch across the borders of tiles, the last pair is forgotten."""
    right = graph._across_borders
    monkeypatch.setattr(graph, "_across_borders", lambda joints, borders: right(joints, borders)[:-1])
    for number in range(400):
        case = draw("small", f"fault-{number}")
        case["run"].update(execution="serial", interrupted="", kernels="plain")
        try:
            checking.check(case)
        except checking.Wrong:
            break
    else:
        pytest.fail("400 cases did not find it")
    smaller = shrink(case, seconds=5)
    assert make(smaller["image"]).size <= make(case["image"]).size
    with pytest.raises(checking.Wrong):
        checking.check(smaller)
    monkeypatch.undo()
    checking.check(smaller)


def test_coverage_names_what_was_not_met():
    coverage = Coverage()
    assert coverage.share == 0
    coverage.add(draw("small", "one"))
    assert 0 < coverage.share < 0.5
    assert any(line.startswith("NUM_CLUSTERS") and ": 0" in line for line in coverage.table())


@pytest.mark.skipif(sys.platform == "win32", reason="uses fork")
def test_killed_runs_are_taken_up():
    for number in range(6):
        case = draw("small", f"killed-{number}")
        case["run"].update(interrupted="killed", execution="serial")
        checking.check(case)
