# SPDX-License-Identifier: GPL-2.0-or-later
"""EXECUTION=dask on a real scheduler with two workers on the loopback interface."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque

import headless
import numpy as np
import pytest
import worker_tasks as tasks
from rasters import Log, run, write_raster
from tiledseg.tiledseg_plugin.engine import execution
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.execution import dask_cluster, dask_worker
from tiledseg.tiledseg_plugin.engine.execution import worker as inside
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from time_limit import no_test_hangs  # noqa: F401

distributed = pytest.importorskip("distributed", reason="distributed is not installed")
SETTINGS = {"num_clusters": 8, "min_pixels": 12, "sampling": 2, "tile_width": 40, "tile_height": 30}


class Cluster:
    """A scheduler and workers, as a user would start them."""

    def __init__(self, folder):
        self.folder = folder
        self.workers = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self.scheduler = self._start("dask_scheduler", {}, "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")

    def _start(self, program, environment, *arguments):
        number = len(self.workers)
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{program}", *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": os.path.dirname(tasks.__file__),
                "PYTHONUNBUFFERED": "1",
                "TILEDSEG_KERNELS": "plain",
                "XDG_CACHE_HOME": str(self.folder / "cache"),
                "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
                **environment,
            },
            stdout=(self.folder / f"{program}-{number}.log").open("w"),
            stderr=subprocess.STDOUT,
        )

    def add_worker(self, *arguments, environment=None):
        number = len(self.workers)
        worker = self._start(
            "dask_worker", environment or {}, self.address, "--nthreads", "1", "--no-dashboard", "--no-nanny",
            "--name", f"w{number}", "--local-directory", str(self.folder / f"worker-{number}"), *arguments,
        )  # fmt: skip
        self.workers.append(worker)
        return worker

    def wait_for(self, count):
        with distributed.Client(self.address, timeout=30, set_as_default=False) as client:
            end = time.monotonic() + 60
            while len(client.nthreads()) != count:
                assert time.monotonic() < end, "the workers have not come up"
                time.sleep(0.1)

    def close(self):
        for process in [*self.workers, self.scheduler]:
            if process.poll() is None:
                process.kill()
            process.wait(10)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.add_worker()
        cluster.add_worker()
        cluster.wait_for(2)
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def own_cluster(tmp_path):
    """One that a test may harm."""
    (tmp_path / "cluster").mkdir()
    cluster = Cluster(tmp_path / "cluster")
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def raster(tmp_path_factory):
    rng = np.random.default_rng(3)
    patches = np.kron(rng.integers(20, 230, (3, 9, 16)), np.ones((1, 10, 10), int))
    path = tmp_path_factory.mktemp("raster") / "in.tif"
    return write_raster(path, (patches + rng.integers(0, 20, patches.shape)).astype(np.uint8))


def go(cluster, raster, folder, log=None, **changes):
    parameters = {"execution": "dask", "dask_scheduler": cluster.address, "work_dir": str(folder / "work")}
    return run(raster, folder / "out.tif", feedback=log, **{**SETTINGS, **parameters, **changes})


def test_the_result_is_that_of_a_serial_run_and_nothing_is_left(cluster, raster, tmp_path):
    expected, _ = run(raster, tmp_path / "expected.tif", **SETTINGS, execution="serial")
    log = Log()
    ids, result = go(cluster, raster, tmp_path, log)
    assert np.array_equal(ids, expected)
    assert "Execution: dask, 2 workers." in log.lines
    assert not (tmp_path / "work").exists()


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
    ids, _ = go(cluster, path, tmp_path, tile_width=300, tile_height=200, num_clusters=60, min_pixels=100, sampling=100)
    assert np.array_equal(ids, expected)


def test_with_every_pixel_in_the_sample_results_go_through_files(cluster, raster, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_cluster.DaskCluster, "_result", results := _spy(dask_cluster.DaskCluster._result))
    expected, _ = run(raster, tmp_path / "expected.tif", **{**SETTINGS, "sampling": 1}, execution="serial")
    ids, _ = go(cluster, raster, tmp_path, sampling=1)
    assert np.array_equal(ids, expected)
    assert any(isinstance(what, str) for how, what in results.calls)


def _spy(function):
    def spy(*arguments):
        spy.calls.append(arguments[1])
        return function(*arguments)

    spy.calls = []
    return spy


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
def test_a_worker_may_join_later(own_cluster, raster, tmp_path):
    own_cluster.add_worker()
    own_cluster.wait_for(1)
    log = Log()
    log.set_progress = lambda percent: len(own_cluster.workers) > 1 or own_cluster.add_worker()
    ids, _ = go(own_cluster, raster, tmp_path, log, tile_width=16, tile_height=16)
    assert np.array_equal(ids, run(raster, tmp_path / "expected.tif", **SETTINGS, execution="serial")[0])


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


@pytest.mark.slow
def test_a_scheduler_that_ends_does_not_hang_the_run(own_cluster, raster, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_cluster, "ANSWER_SECONDS", 3.0)
    monkeypatch.setattr(dask_cluster, "RESULT_SECONDS", 3.0)
    own_cluster.add_worker()
    own_cluster.wait_for(1)
    log = Log()
    log.set_progress = lambda percent: percent > 25 and own_cluster.scheduler.kill()
    with pytest.raises(SegmentationError, match="Dask scheduler"):
        go(own_cluster, raster, tmp_path, log)


def test_a_scheduler_that_is_not_there_is_named(raster, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 1.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    for wrong in (address, "not an address", "tcp://127.0.0.1:notaport"):
        with pytest.raises(SegmentationError, match=f"Dask scheduler {re.escape(wrong)} does not answer"):
            run(raster, tmp_path / "o.tif", execution="dask", dask_scheduler=wrong, work_dir=str(tmp_path / "w"))


def test_a_scheduler_without_workers_is_said(own_cluster, raster, tmp_path):
    with pytest.raises(SegmentationError, match="has no workers: start some"):
        go(own_cluster, raster, tmp_path)


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


LACKING = """
import sys
class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {name!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Lacking())
"""


@pytest.fixture
def lacking(tmp_path):
    """The environment of a worker to which a package of the engine is missing."""
    folder = tmp_path / "lacking"
    folder.mkdir()

    def environment(name):
        (folder / "sitecustomize.py").write_text(LACKING.format(name=name))
        return {"PYTHONPATH": os.pathsep.join([str(folder), os.path.dirname(tasks.__file__)])}

    return environment


def needed_package():
    """A package that the engine needs and distributed does not: blocked, every task would fail."""
    from tiledseg.tiledseg_plugin.engine.kernels.plain import clumps

    return "scipy" if "scipy" in open(clumps.__file__).read() else "osgeo"


def test_a_worker_that_lacks_a_package_is_said_at_the_start(own_cluster, raster, tmp_path, lacking):
    own_cluster.add_worker()
    own_cluster.add_worker(environment=lacking(needed_package()))
    own_cluster.wait_for(2)
    with pytest.raises(SegmentationError) as error:
        go(own_cluster, raster, tmp_path)
    said = str(error.value)
    assert f"No module named '{needed_package()}" in said
    assert "Dask worker tcp://" in said and "fault" not in said
    assert not (tmp_path / "out.tif").exists()
    assert not (tmp_path / "work").exists() or not [
        path for path in (tmp_path / "work").iterdir() if path.suffix in (".bin", ".zip", ".partial")
    ]


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
    joins_while_running(own_cluster, raster, tmp_path, log, environment=lacking(needed_package()))
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


def test_a_result_that_comes_after_the_end_does_not_stay(tmp_path, monkeypatch):
    from distributed.protocol import serialize_bytes

    path = tmp_path / "tiledseg-stage-0123456789ab-012345.bin"
    path.write_bytes(serialize_bytes((_large, None)))
    replace = os.replace

    def tidy_up_before(source, target):
        path.unlink(missing_ok=True)  # the run is cancelled at this very moment
        replace(source, target)

    monkeypatch.setattr(os, "replace", tidy_up_before)
    dask_worker._stages.clear()
    assert dask_worker.perform(str(path), 0, serialize_bytes(tasks.Item(1))) == (inside.REFUSED, "The run has ended.")
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


FAILING = """
import sys
sys.path[:0] = {paths!r}
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.execution import dask_cluster
dask_cluster.ANSWER_SECONDS = dask_cluster.RESULT_SECONDS = 3.0
dask_cluster.CONNECT_SECONDS = 2.0
from rasters import Log, run
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
def test_no_raw_lines_of_distributed_stand_beside_the_sentence(own_cluster, raster, tmp_path, lacking, what):
    own_cluster.add_worker(environment=lacking(needed_package()) if what == "worker lacks a package" else None)
    own_cluster.wait_for(1)
    if what == "nobody there":
        own_cluster.close()
    script = tmp_path / "run.py"
    parameters = {**SETTINGS, "execution": "dask", "dask_scheduler": own_cluster.address}
    script.write_text(
        FAILING.format(
            paths=[os.path.dirname(headless.__file__), os.path.dirname(__file__), str(headless.plugin_path())],
            pid=own_cluster.scheduler.pid if what == "scheduler ends" else 0,
            raster=str(raster),
            output=str(tmp_path / "out.tif"),
            parameters={**parameters, "work_dir": str(tmp_path / "work")},
        )
    )
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=100)
    assert ended.returncode == 1, ended.stderr
    assert len(ended.stdout.strip().splitlines()) == 1 and "Dask" in ended.stdout
    assert "ERROR" not in ended.stderr and "Traceback" not in ended.stderr
