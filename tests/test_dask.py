# SPDX-License-Identifier: GPL-2.0-or-later
"""EXECUTION=dask on a scheduler and workers of this machine: results, refusals, cancelling."""

import os
import re
import socket
import threading
import time
from collections import deque

import numpy as np
import pytest
import worker_tasks as tasks
from dask_programs import SETTINGS, distributed, go, scheduler_in
from fuzzing import checking
from fuzzing import cluster as fuzzing_cluster
from fuzzing.draws import draw
from rasters import Log, run, same_levels, write_patches
from tiledseg.tiledseg_plugin.engine import execution
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.execution import dask_cluster, dask_worker
from tiledseg.tiledseg_plugin.engine.execution import worker as inside
from tiledseg.tiledseg_plugin.engine.execution.shipping import digest_of
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from time_limit import no_test_hangs  # noqa: F401


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with scheduler_in(tmp_path_factory.mktemp("dask") / "cluster") as cluster:
        cluster.add_worker()
        cluster.add_worker()
        cluster.wait_for(2)
        yield cluster


@pytest.fixture(scope="module")
def raster(tmp_path_factory):
    return write_patches(tmp_path_factory.mktemp("raster") / "in.tif")


def test_the_result_is_that_of_a_serial_run_and_nothing_is_left(cluster, raster, tmp_path):
    expected, _ = run(raster, tmp_path / "expected.tif", **SETTINGS, execution="serial")
    log = Log()
    ids, result = go(cluster, raster, tmp_path, log)
    assert np.array_equal(ids, expected)
    same_levels(tmp_path / "expected.tif", tmp_path / "out.tif")
    assert "Execution: dask, 2 workers." in log.lines
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("interrupted", ["", "cancelled", "killed"])
def test_what_the_fuzzer_draws_is_on_dask_as_by_the_oracle(cluster, interrupted):
    fuzzing_cluster.kept.use(cluster.address)
    before = fuzzing_cluster.kept.runs
    try:
        for number in range(3):
            case = draw("small", f"dask-{number}")
            case["run"].update(execution="dask", interrupted=interrupted, kernels="plain", kernels_resumed="plain")
            checking.check(case)
    finally:
        fuzzing_cluster.kept.use("")
    assert fuzzing_cluster.kept.runs == before + 3


def test_what_is_put_into_the_queue_meanwhile_is_processed_too(cluster, raster, tmp_path):
    """As groups of tiles are, each of which waits for others."""
    runner = dask_cluster.DaskCluster(cluster.address, str(tmp_path), describe(raster))
    runner.wait_until_ready(lambda: None)
    waiting, finished = deque(tasks.Item(number) for number in (1, 2, 3)), []
    try:
        for item, result in runner.run(tasks.number, 0, waiting, lambda: None):
            assert item.tile_id == result
            finished.append(result)
            if sorted(finished) == [1, 2, 3]:
                waiting.append(tasks.Item(4))
    finally:
        runner.close()
    assert finished[3:] == [4]
    assert not list(tmp_path.iterdir())


def test_a_real_raster_with_several_bands(cluster, shared, tmp_path):
    path = shared / "data" / "naip_maryland_4band_uint8.tif"
    expected, _ = run(path, tmp_path / "expected.tif", execution="threads", tile_width=500)
    ids, _ = go(
        cluster,
        path,
        tmp_path,
        tile_width=300,
        tile_height=200,
        num_clusters=60,
        min_pixels=100,
        levels=(),
        sampling=100,
    )
    assert np.array_equal(ids, expected)


def test_with_every_pixel_in_the_sample_results_go_through_files(cluster, raster, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_cluster.DaskCluster, "_result", results := _spy(dask_cluster.DaskCluster._result))
    expected, _ = run(raster, tmp_path / "expected.tif", **{**SETTINGS, "sampling": 1}, execution="serial")
    ids, _ = go(cluster, raster, tmp_path, sampling=1)
    assert np.array_equal(ids, expected)
    assert any(isinstance(what, tuple) for how, what in results.calls)


def _spy(function):
    def spy(*arguments):
        spy.calls.append(arguments[1])
        return function(*arguments)

    spy.calls = []
    return spy


def test_a_scheduler_that_is_not_there_is_named(raster, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 1.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    for wrong in (address, "not an address", "tcp://127.0.0.1:notaport"):
        with pytest.raises(SegmentationError, match=f"Dask scheduler {re.escape(wrong)} does not answer"):
            run(raster, tmp_path / "o.tif", execution="dask", dask_scheduler=wrong, work_dir=str(tmp_path / "w"))


def test_scheduler_and_work_dir_are_asked_for(raster, tmp_path):
    with pytest.raises(SegmentationError, match="needs DASK_SCHEDULER"):
        run(raster, tmp_path / "o.tif", execution="dask", work_dir=str(tmp_path / "w"))
    with pytest.raises(SegmentationError, match="needs WORK_DIR"):
        run(raster, tmp_path / "o.tif", execution="dask", dask_scheduler="tcp://x:1")


@pytest.mark.parametrize("package, version", [("numpy", "0.9"), ("distributed", "1.0"), ("python", "2.7.1")])
def test_other_versions_are_refused(cluster, raster, tmp_path, monkeypatch, package, version):
    def get_versions(client, *arguments, **more):
        answer = original(client, *arguments, **more)
        next(iter(answer["workers"].values()))["packages"][package] = version
        return answer

    original = distributed.Client.get_versions
    monkeypatch.setattr(distributed.Client, "get_versions", get_versions)
    with pytest.raises(
        SegmentationError, match=f"worker tcp.* runs .*{version[:3]} instead of .*use the same versions"
    ):
        go(cluster, raster, tmp_path)


def test_an_input_that_workers_cannot_read_is_said(cluster, raster, tmp_path, monkeypatch):
    monkeypatch.chdir(os.path.dirname(raster))
    with pytest.raises(SegmentationError, match="cannot read in.tif .*storage that all workers see"):
        go(cluster, "in.tif", tmp_path)


@pytest.fixture
def runner(cluster, raster, tmp_path):
    (tmp_path / "work").mkdir()
    request = execution.Request("dask", 0, 1, scheduler=cluster.address, work_dir=str(tmp_path / "work"))
    starting = execution.start(request, describe(raster))
    yield starting.ready(Log(), lambda: None)
    starting.close()
    assert not list((tmp_path / "work").iterdir())


def test_cancelling_does_not_wait_for_a_long_step(runner):
    begun = time.monotonic()

    def check():
        if time.monotonic() - begun > 0.5:
            raise Cancelled()

    with pytest.raises(Cancelled):
        list(runner.run(tasks.take_long, 5.0, [tasks.Item(1), tasks.Item(2)], check))
    assert time.monotonic() - begun < 2.5


def test_clusters_leave_no_threads(cluster, raster, tmp_path):
    go(cluster, raster, tmp_path)
    time.sleep(1)
    before = threading.active_count()
    for _ in range(3):
        go(cluster, raster, tmp_path)
    time.sleep(1)
    assert threading.active_count() <= before + 3


def test_a_result_that_comes_after_the_end_does_not_stay(tmp_path, monkeypatch):
    from distributed.protocol import serialize_bytes

    path = tmp_path / "tiledseg-stage-0123456789ab-012345.bin"
    content = serialize_bytes((_large, None))
    path.write_bytes(content)
    replace = os.replace

    def tidy_up_before(source, target):
        path.unlink(missing_ok=True)  # the run is cancelled at this very moment
        replace(source, target)

    monkeypatch.setattr(os, "replace", tidy_up_before)
    dask_worker._stages.clear()
    parcel, item = (str(path), digest_of(content)), serialize_bytes(tasks.Item(1))
    assert dask_worker.perform(parcel, 0, item) == (inside.REFUSED, "The run has ended.")
    assert not list(tmp_path.iterdir())


def _large(common, item, check):
    return os.urandom(1_000_000)


def test_a_cancelled_run_leaves_nothing_of_dask(cluster, raster, tmp_path):
    for cancel_at in (5, 12, 25):
        with pytest.raises(Cancelled):
            go(cluster, raster, tmp_path, Log(cancel_at=cancel_at), sampling=1, tile_width=16, tile_height=16)
        time.sleep(0.7)
        left = [path.name for path in (tmp_path / "work").iterdir()]
        assert not [name for name in left if name.endswith((".bin", ".zip", ".partial"))], (cancel_at, left)


def test_all_workers_load_the_kernels_when_it_is_said_that_tiles_come(runner):
    """The plain ones here, which the workers of this module are told to take."""
    runner.prepare("auto", ())
    assert [future.result(timeout=30) for future in runner._loading] == [None, None]
    assert runner.workers == runner.together == 2
    assert sorted(result for _, result in runner.run(tasks.number, 0, [tasks.Item(1)], lambda: None)) == [1]


def test_workers_are_together_where_they_are_on_one_machine():
    assert dask_cluster.together({"tcp://a:1": 1, "tcp://a:2": 2, "tcp://[::1]:3": 4}) == 3
    assert dask_cluster.together({"tcp://a:1": 1, "tcp://b:1": 8}) == 1
    assert dask_cluster.together({}) == 1
