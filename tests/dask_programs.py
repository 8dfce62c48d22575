# SPDX-License-Identifier: GPL-2.0-or-later
"""A Dask scheduler and its workers, started as a user would start them, and runs on them."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import worker_tasks as tasks
from rasters import run

distributed = pytest.importorskip("distributed", reason="distributed is not installed")

SETTINGS = {
    "num_clusters": 8,
    "min_pixels": 12,
    "levels": (60, 400),
    "sampling": 2,
    "tile_width": 40,
    "tile_height": 30,
}


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


@contextmanager
def scheduler_in(folder):
    folder.mkdir()
    cluster = Cluster(folder)
    try:
        yield cluster
    finally:
        cluster.close()


def go(cluster, raster, folder, log=None, **changes):
    parameters = {"execution": "dask", "dask_scheduler": cluster.address, "work_dir": str(folder / "work")}
    return run(raster, folder / "out.tif", feedback=log, **{**SETTINGS, **parameters, **changes})


LACKING = """
import sys
class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {name!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Lacking())
"""


def environment_without(name, folder):
    """The environment of a worker to which a package is missing."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(LACKING.format(name=name))
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.path.dirname(tasks.__file__)])}


def needed_package():
    """A package that the engine needs and distributed does not: blocked, every task would fail."""
    from tiledseg.tiledseg_plugin.engine.kernels.plain import clumps

    return "scipy" if "scipy" in open(clumps.__file__).read() else "osgeo"
