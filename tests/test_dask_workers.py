# SPDX-License-Identifier: GPL-2.0-or-later
"""EXECUTION=dask while workers and schedulers come and go, or lack something."""

import os
import signal
import subprocess
import sys

import headless
import numpy as np
import pytest
from dask_programs import SETTINGS, environment_without, go, needed_package, scheduler_in
from rasters import Log, run, write_patches
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.execution import dask_cluster
from time_limit import no_test_hangs  # noqa: F401


@pytest.fixture(scope="module")
def raster(tmp_path_factory):
    return write_patches(tmp_path_factory.mktemp("raster") / "in.tif")


@pytest.fixture
def own_cluster(tmp_path):
    """One that a test may harm."""
    with scheduler_in(tmp_path / "cluster") as cluster:
        yield cluster


@pytest.mark.slow
def test_a_worker_that_is_killed_does_not_matter(own_cluster, raster, tmp_path):
    own_cluster.add_worker()
    victim = own_cluster.add_worker()
    own_cluster.wait_for(2)
    expected, _ = run(raster, tmp_path / "expected.tif", **SETTINGS, execution="serial")
    log = Log()

    def kill(percent):
        log.percents.append(percent)
        if percent > 25 and victim.poll() is None:
            victim.send_signal(signal.SIGKILL)
            victim.wait()

    log.set_progress = kill
    ids, _ = go(own_cluster, raster, tmp_path, log)
    assert victim.returncode == -signal.SIGKILL
    assert np.array_equal(ids, expected)


@pytest.mark.slow
def test_without_any_worker_left_the_run_ends(own_cluster, raster, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_cluster, "ALONE_SECONDS", 2.0)
    monkeypatch.setattr(dask_cluster, "RESULT_SECONDS", 2.0)
    worker = own_cluster.add_worker()
    own_cluster.wait_for(1)
    log = Log()
    log.set_progress = lambda percent: percent > 25 and worker.kill()
    with pytest.raises(
        SegmentationError, match="has had no worker for 2 s|was lost by the Dask scheduler|worker process"
    ):
        go(own_cluster, raster, tmp_path, log)


def test_a_scheduler_without_workers_is_said(own_cluster, raster, tmp_path):
    with pytest.raises(SegmentationError, match="has no workers: start some"):
        go(own_cluster, raster, tmp_path)


@pytest.fixture
def lacking(tmp_path):
    """The environment of a worker to which a package of the engine is missing."""
    return environment_without(needed_package(), tmp_path / "lacking")


def joins_while_running(cluster, raster, folder, log, **options):
    """A run on one worker; another comes when statistics have begun, and is known before tiles end."""
    cluster.add_worker()
    cluster.wait_for(1)
    expected, _ = run(raster, folder / "expected.tif", **SETTINGS, execution="serial")

    def join(percent):
        if len(cluster.workers) == 1:
            cluster.add_worker(**options)
            cluster.wait_for(2)

    log.set_progress = join
    ids, _ = go(cluster, raster, folder, log, tile_width=16, tile_height=16)
    assert np.array_equal(ids, expected)


def test_a_worker_that_joins_late_and_lacks_a_package_is_left_out(own_cluster, raster, tmp_path, lacking, monkeypatch):
    monkeypatch.setattr(dask_cluster, "LOOK_SECONDS", 0.1)
    log = Log()
    joins_while_running(own_cluster, raster, tmp_path, log, environment=lacking)
    answer = [
        line for line in log.lines if line.startswith("A worker that has joined is left out: The Dask worker tcp://")
    ]
    assert len(answer) == 1
    assert f"No module named '{needed_package()}" in answer[0]


def test_a_worker_that_joins_late_and_is_right_takes_part(own_cluster, raster, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_cluster, "LOOK_SECONDS", 0.1)
    asked = []
    greet = dask_cluster.DaskCluster._fault_of_newcomer
    monkeypatch.setattr(
        dask_cluster.DaskCluster,
        "_fault_of_newcomer",
        lambda self, name: asked.append((name, greet(self, name))) or asked[-1][1],
    )
    log = Log()
    joins_while_running(own_cluster, raster, tmp_path, log)
    assert [wrong for _, wrong in asked] == [""]
    assert not [line for line in log.lines if "joined is left out" in line]


def test_a_worker_that_joins_late_with_other_versions_is_left_out(own_cluster, raster, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_cluster, "LOOK_SECONDS", 0.1)
    versions = dask_cluster._versions
    first = []

    def other(answer):
        found = versions(answer)
        first.append(answer)
        # own, scheduler's and first worker's are asked at the start; then the newcomer's
        return {**found, "numpy": "0.9"} if len(first) == 4 else found

    monkeypatch.setattr(dask_cluster, "_versions", other)
    log = Log()
    joins_while_running(own_cluster, raster, tmp_path, log)
    assert [line for line in log.lines if "left out: The Dask worker tcp" in line and "numpy 0.9 instead of" in line]


@pytest.mark.slow
def test_tasks_of_workers_that_are_gone_go_to_one_that_comes(own_cluster, raster, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_cluster, "LOOK_SECONDS", 0.1)
    victim = own_cluster.add_worker()
    own_cluster.wait_for(1)
    expected, _ = run(raster, tmp_path / "expected.tif", **SETTINGS, execution="serial")
    log = Log()

    def replace_worker(percent):
        if percent > 20 and len(own_cluster.workers) == 1:
            victim.kill()
            own_cluster.add_worker()

    log.set_progress = replace_worker
    ids, _ = go(own_cluster, raster, tmp_path, log, tile_width=16, tile_height=16)
    assert np.array_equal(ids, expected)


FAILING = """
import sys
sys.path[:0] = {paths!r}
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.execution import dask_cluster
dask_cluster.ANSWER_SECONDS = dask_cluster.RESULT_SECONDS = {patience}
dask_cluster.CONNECT_SECONDS = 2.0
from rasters import write_patches, Log, run
import os, signal
log = Log()
killed = []
def kill(percent):
    if {pid} and percent > 25 and not killed:
        killed.append(os.kill({pid}, signal.SIGKILL))
log.set_progress = kill
try:
    run({raster!r}, {output!r}, feedback=log, **{parameters!r})
except SegmentationError as error:
    print(error)
    sys.exit(1)
"""


@pytest.mark.parametrize("what", ["scheduler ends", "nobody there", "worker lacks a package"])
def test_the_run_ends_with_one_sentence_and_no_raw_lines_of_distributed(own_cluster, raster, tmp_path, lacking, what):
    if what == "nobody there":
        own_cluster.close()
    else:
        own_cluster.add_worker()
        if what == "worker lacks a package":
            own_cluster.add_worker(environment=lacking)
        own_cluster.wait_for(len(own_cluster.workers))
    script = tmp_path / "run.py"
    parameters = {**SETTINGS, "execution": "dask", "dask_scheduler": own_cluster.address}
    script.write_text(
        FAILING.format(
            paths=[os.path.dirname(headless.__file__), os.path.dirname(__file__), str(headless.plugin_path())],
            pid=own_cluster.scheduler.pid if what == "scheduler ends" else 0,
            patience=60.0 if what == "worker lacks a package" else 3.0,
            raster=str(raster),
            output=str(tmp_path / "out.tif"),
            parameters={**parameters, "work_dir": str(tmp_path / "work")},
        )
    )
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=100)
    assert ended.returncode == 1, ended.stderr
    assert len(ended.stdout.strip().splitlines()) == 1 and "Dask" in ended.stdout and "fault" not in ended.stdout
    assert "ERROR" not in ended.stderr and "Traceback" not in ended.stderr
    if what == "worker lacks a package":
        assert f"No module named '{needed_package()}" in ended.stdout and "Dask worker tcp://" in ended.stdout
    else:
        assert "Dask scheduler" in ended.stdout
    assert not (tmp_path / "out.tif").exists()
    if what == "worker lacks a package":  # the others leave what the run can be taken up from
        left = [path for path in (tmp_path / "work").glob("*") if path.suffix in (".bin", ".zip", ".partial")]
        assert not left
