# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker that is killed in every stage of a run: the tasks are done again, and the result is as ever."""

import os
import sys

import numpy as np
import pytest
import worker_tasks as tasks
from faults.scenario import digest
from leftovers import own_workers
from rasters import Log, run, write_raster
from tiledseg.tiledseg_plugin.engine.execution import processes
from time_limit import no_test_hangs  # noqa: F401
from worker_processes import wait_until_gone

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
QUICK = {"num_clusters": 5, "min_pixels": 6, "tile_width": 50, "tile_height": 60, "kernels": "plain"}
STAGES = {"survey_block", "sample_block", "process_unit", "describe_window", "trace_window"}


@pytest.fixture(scope="module")
def raster(tmp_path_factory):
    """Of real numbers, whose attributes are read anew, and with too few colours at each 50th place for the clusters."""
    rng = np.random.default_rng(2)
    values = np.kron(rng.integers(1, 5, (1, 6, 9)), np.ones((1, 10, 10), int)).astype(np.float32) * 7.5
    return write_raster(tmp_path_factory.mktemp("raster") / "in.tif", values)


def go(raster, folder, feedback=None, **changes):
    settings = {**QUICK, "sampling": 2000, "polygons": str(folder / "p.gpkg"), "stretch": False, **changes}
    return run(raster, folder / "o.tif", feedback, **settings)[0]


def stages_of(execution, raster, folder, monkeypatch):
    """Let each stage kill the worker that begins its first task; a folder with a file for each of them."""
    killed = folder / "killed"
    killed.mkdir()
    run_tasks = execution.run

    def run_deadly(runner, task, common, items, check_cancelled):
        return run_tasks(runner, tasks.DieOnceAStage(task, str(killed)), common, items, check_cancelled)

    monkeypatch.setattr(execution, "run", run_deadly)
    return killed


@pytest.mark.slow
@pytest.mark.skipif(bool(processes.missing_package()), reason="pathos is not installed")
def test_a_worker_process_killed_in_every_stage(tmp_path, raster, monkeypatch):
    expected = go(raster, tmp_path, execution="serial")
    polygons = digest(tmp_path / "p.gpkg")
    killed = stages_of(processes.Processes, raster, tmp_path, monkeypatch)
    log = Log()
    ids = go(raster, tmp_path, log, execution="processes", workers=2, work_dir=str(tmp_path / "work"))
    stages = {path.name for path in killed.iterdir()}
    assert len(stages) >= 5, stages
    assert np.array_equal(ids, expected) and digest(tmp_path / "p.gpkg") == polygons
    assert len([line for line in log.lines if "is tried again" in line and "SIGKILL" in line]) == len(stages)
    assert not (tmp_path / "work").exists() and not list(tmp_path.glob(".tiledseg-*"))
    assert not wait_until_gone(own_workers(), 3)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("TILEDSEG_FAULTS"), reason="seven workers have to be started: see make faults")
def test_a_dask_worker_killed_in_every_stage(tmp_path, raster, monkeypatch):
    pytest.importorskip("distributed", reason="distributed is not installed")
    from dask_programs import Cluster
    from tiledseg.tiledseg_plugin.engine.execution.dask_cluster import DaskCluster

    expected = go(raster, tmp_path, execution="serial")
    polygons = digest(tmp_path / "p.gpkg")
    killed = stages_of(DaskCluster, raster, tmp_path, monkeypatch)
    (tmp_path / "cluster").mkdir()
    cluster = Cluster(tmp_path / "cluster")
    try:
        for _ in range(7):
            cluster.add_worker()
        cluster.wait_for(7)
        ids = go(raster, tmp_path, execution="dask", dask_scheduler=cluster.address, work_dir=str(tmp_path / "work"))
    finally:
        cluster.close()
    assert len(list(killed.iterdir())) >= 6  # the numbering is a stage there, too
    assert np.array_equal(ids, expected) and digest(tmp_path / "p.gpkg") == polygons
    assert not (tmp_path / "work").exists() and not list(tmp_path.glob(".tiledseg-*"))
