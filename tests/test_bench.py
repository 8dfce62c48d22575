# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark: a tiny run from beginning to end, and what it concludes from runs."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import headless
import numpy as np
import pytest

sys.path.insert(0, str(headless.ROOT / "benchmarks"))

import bench  # noqa: E402
import layouts  # noqa: E402
import targets  # noqa: E402
from first_runs import FirstRuns  # noqa: E402
from measure import measure  # noqa: E402
from rasters import write_raster  # noqa: E402
from scenes import Scene, make  # noqa: E402
from summary import summarise  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where a run of the product and of gdal_translate on 300 x 300 pixels left its results."""
    try:
        headless.qgis_process_program()
    except headless.HeadlessError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("bench")
    program = [sys.executable, headless.ROOT / "benchmarks" / "bench.py", "--folder", folder]
    what = ["--sizes", "0.09", "--runs", "1", "--variants", "qgis", "engine-warm", "--peers", "gdal", "--no-warm-up"]
    words = [*program, *what, "--workers", "1", "--no-slanted", "--no-bands", "--no-first"]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "printed.txt").write_text(done.stdout)
    return folder


@pytest.mark.command
def test_a_tiny_benchmark_reports_time_memory_stages_and_targets(folder):
    results = json.loads((folder / "bench.json").read_text())
    assert {"machine", "settings", "scenes", "contenders", "records", "summary", "targets", "identical"} <= set(results)
    entries = {entry["contender"]: entry for entry in results["summary"]}
    assert set(entries) == {"qgis", "engine-warm", "gdal"}
    assert not any(entry["failure"] for entry in entries.values())
    assert {"statistics", "tiles", "graph", "write"} <= set(entries["qgis"]["stages"])
    assert entries["qgis"]["peak_memory"] > 50e6
    assert entries["qgis"]["start_seconds"] > 0
    assert entries["gdal"]["ratio"] < 1
    assert results["identical"]


@pytest.mark.command
def test_a_tiny_benchmark_draws_and_prints(folder):
    assert (folder / "bench.png").read_bytes().startswith(b"\x89PNG")
    printed = (folder / "printed.txt").read_text()
    assert "**Tiled Segmentation**" in printed
    assert "not measured" in printed


def test_a_peer_that_is_not_there_is_named_with_the_reason(monkeypatch, tmp_path):
    import peers

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("RSGISLIB_ENV", str(tmp_path / "nothing.sh"))
    found = peers.peers(["otb", "grass", "gdal", "rsgislib"], 2, 4)
    assert all(peer.missing for peer in found)
    assert not any(peer.takes_part(Scene("full", 1)) for peer in found)


def test_a_run_over_its_time_is_stopped_with_all_that_it_started(tmp_path):
    measured = measure(["sh", "-c", "sleep 60 & sleep 60"], None, tmp_path, 0.3)
    assert measured.timed_out
    assert measured.seconds < 30
    assert "stopped after" in measured.failure()


def test_nothing_runs_on_when_the_benchmark_is_stopped(tmp_path, monkeypatch):
    waited = []

    def interrupted(pid, options):
        waited.append(pid)
        raise KeyboardInterrupt

    monkeypatch.setattr("measure.os.wait4", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure(["sleep", "60"], None, tmp_path, 60)
    with pytest.raises(ProcessLookupError):
        os.kill(waited[0], 0)


def test_peaks_are_those_of_each_process(tmp_path):
    child = "import time; block = bytearray(600_000_000); time.sleep(0.5)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    measured = measure([sys.executable, "-c", parent], None, tmp_path, 60)
    assert measured.failure() == ""
    assert measured.children[0]["peak_memory"] > 600e6
    assert measured.peak_memory < 500e6  # the system adds to it what processes that it waited for took


@pytest.mark.parametrize("kind", ["full", "slanted"])
def test_scenes_are_mirrored_without_a_seam_and_repeatable(kind, tmp_path):
    gdal = pytest.importorskip("osgeo.gdal")
    scene = Scene(kind, 0.09)
    make(scene, tmp_path / "one.tif")
    make(scene, tmp_path / "two.tif")
    one, two = (gdal.Open(str(tmp_path / name)).ReadAsArray() for name in ("one.tif", "two.tif"))
    assert one.shape == (3, 300, 300)
    assert (one == two).all()
    valid = (one[0] > 0).mean()
    assert valid == 1 if kind == "full" else 0.4 < valid < 0.8


def record(scene, contender, seconds, **more):
    facts = {"cpu_seconds": seconds, "peak_memory": 500e6, "children": [], "failure": "", "details": {}}
    return {"scene": scene, "contender": contender, "seconds": seconds, **facts, **more}


def judged(records, **settings):
    """Verdicts by what is judged, as from runs on 4, 16 and 64 Mpx."""
    scenes = [{"name": f"full{size}", "kind": "full", "megapixels": size} for size in (4, 16, 64)]
    results = {"scenes": scenes, "records": records, "settings": {"workers": 2, **settings}}
    results["summary"] = summarise(results)
    return {target["what"]: target for target in targets.judge(results)}


def test_targets_are_met_not_met_or_not_measured():
    found = judged(
        [
            record("full16", "qgis", 2.0),
            record("full16", "qgis", 9.0),
            record("full16", "qgis", 2.5, details={"call_seconds": 2.0}),
            record("full16", "pyshepseg", 30.0, details={"call_seconds": 20.0}),
            record("full16", "rsgislib", 12.5),
            record("full16", "gdal", 0.0, failure="exit code 1: no"),
        ]
    )
    faster = found["16 Mpx: faster than pyshepseg tiled"]
    assert (faster["verdict"], faster["value"]) == ("met", 12.0)
    assert (faster["warm_ratio"], faster["call_ratio"]) == (8.0, 10.0)
    assert found["16 Mpx: faster than RSGISLib untiled"]["verdict"] == "not met"
    assert found["16 Mpx: whole run, times gdal_translate"]["verdict"] == "not measured"
    assert found["64 Mpx: faster than pyshepseg tiled"]["verdict"] == "not measured"


def test_memory_is_judged_by_the_largest_worker_of_any_run():
    children = [{"name": "python3", "peak_memory": 410e6}, {"name": "python3", "peak_memory": 300e6}]
    workers = [record("full64", "engine-processes", 9.0, children=children), record("full64", "engine-processes", 9.0)]
    found = judged([record("full64", "qgis", 9.0, peak_memory=890e6), *workers])
    assert found["64 Mpx, peak memory: a worker process"]["verdict"] == "not met"
    parent = "64 Mpx, peak memory: parent (with QGIS, and with threads for workers)"
    assert found[parent]["verdict"] == "met"
    assert judged([record("full64", "qgis", 9.0, peak_memory=910e6)])[parent]["verdict"] == "not met"


def test_scenes_that_are_too_large_for_first_runs_have_none(tmp_path):
    scenes = [SimpleNamespace(kind="full", megapixels=64), SimpleNamespace(kind="slanted", megapixels=4)]
    assert FirstRuns(None, tmp_path, 1).run(scenes, {}) == {}


def test_ten_bands_of_any_raster_are_found_for_the_scene_that_needs_them():
    given = bench.arguments(["--raster", __file__, "--raster-bands", "2", "--sizes", "1", "64"])
    scenes = {scene.name: scene for scene in bench.scenes_of(given)}
    assert set(scenes) == {"full1", "full64", "slanted1", "bands1"}
    assert scenes["bands1"].source_bands == (2,) * 10


def test_layouts_hold_the_same_pixels(tmp_path):
    """Those of ENVI have their headers beside them, which must not be one for two files."""
    gdal = pytest.importorskip("osgeo.gdal")
    values = np.random.default_rng(1).integers(1, 5000, (3, 64, 80)).astype(np.uint16)
    made = layouts.make_layouts(write_raster(tmp_path / "in.tif", values), tmp_path / "made")
    assert {"BIP", "BIL"} <= set(made)
    for name, path in made.items():
        read = gdal.Open(str(path)).ReadAsArray()
        assert len(read) % 3 == 0 and np.array_equal(read, np.concatenate([values] * (len(read) // 3))), name
