# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits of memory and cores: they are known before a run where the system says them, and no thread waits for ever."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from rasters import run, write_raster
from tiledseg.tiledseg_plugin.engine import machine, report
from tiledseg.tiledseg_plugin.engine.machine import ThreadPool
from time_limit import no_test_hangs  # noqa: F401

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="control groups are of Linux")
MEGABYTE = 1 << 20


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine with 8 GB free and 16 cores, whose control groups a test writes: {file: text}."""
    groups, process = tmp_path / "cgroup", tmp_path / "self"
    process.mkdir()
    monkeypatch.setattr(machine, "CONTROL_GROUP", groups)
    monkeypatch.setattr(machine, "PROCESS", process)
    monkeypatch.setattr(machine, "_from_meminfo", lambda: 8192 * MEGABYTE)
    monkeypatch.setattr(machine, "_room_for_this_process", lambda: [])
    monkeypatch.setattr(os, "sched_getaffinity", lambda number: set(range(16)), raising=False)

    def write(membership, files):
        (process / "cgroup").write_text(membership)
        for name, text in files.items():
            (groups / name).parent.mkdir(parents=True, exist_ok=True)
            (groups / name).write_text(text)

    return write


GROUPS = {  # membership, files, megabytes free, cores
    "none": ("0::/\n", {}, 8192, 16),
    "container": ("0::/\n", {"memory.max": f"{1000 * MEGABYTE}", "memory.current": f"{400 * MEGABYTE}"}, 600, 16),
    "no limit": ("0::/\n", {"memory.max": "max", "memory.current": "5", "cpu.max": "max 100000"}, 8192, 16),
    "own group of systemd": (
        "0::/user.slice/run-1.scope\n",
        {
            "user.slice/run-1.scope/memory.max": f"{700 * MEGABYTE}",
            "user.slice/run-1.scope/memory.current": f"{100 * MEGABYTE}",
            "user.slice/cpu.max": "250000 100000",
        },
        600,
        3,
    ),
    "the group above": (
        "0::/a/b\n",
        {
            "a/memory.max": f"{300 * MEGABYTE}",
            "a/memory.current": "0",
            "a/b/memory.max": "max",
            "a/b/memory.current": "0",
        },
        300,
        16,
    ),
    "version 1": (
        "4:memory:/docker/x\n1:cpu,cpuacct:/docker/x\n",
        {
            "memory/memory.limit_in_bytes": f"{500 * MEGABYTE}",
            "memory/memory.usage_in_bytes": f"{100 * MEGABYTE}",
            "cpu,cpuacct/cpu.cfs_quota_us": "150000",
            "cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
        400,
        2,
    ),
    "version 1 without limits": (
        "4:memory:/\n1:cpu:/\n",
        {
            "memory/memory.limit_in_bytes": "9223372036854771712",
            "memory/memory.usage_in_bytes": "5",
            "cpu/cpu.cfs_quota_us": "-1",
            "cpu/cpu.cfs_period_us": "100000",
        },
        8192,
        16,
    ),
    "used up": ("0::/\n", {"memory.max": "1000", "memory.current": "2000"}, 0, 16),
}


@pytest.mark.parametrize("name", GROUPS)
def test_limits_of_control_groups_are_known(system, name):
    membership, files, free, cores = GROUPS[name]
    system(membership, files)
    assert machine.free_memory() == free * MEGABYTE
    assert machine.available_cores() == cores


def test_without_proc_the_topmost_group_counts(system, tmp_path, monkeypatch):
    system("0::/\n", {"memory.max": f"{1000 * MEGABYTE}", "memory.current": "0"})
    (tmp_path / "self" / "cgroup").unlink()
    assert machine.free_memory() == 1000 * MEGABYTE


@linux
def test_a_limit_of_the_address_space_is_known():
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 300 * MEGABYTE, before[1]))
    try:
        assert 200 * MEGABYTE < machine.free_memory() < 400 * MEGABYTE  # 300, and what was given back meanwhile
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_without_the_resource_module_nothing_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert machine._room_for_this_process() == []
    assert report.peak_memory() is None


def test_a_thread_that_cannot_be_started_is_a_lack_of_memory(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with ThreadPool(1) as pool:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(MemoryError, match="new thread"):
            pool.submit(int)
        monkeypatch.undo()
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(int)


LITTLE_MEMORY = """
import resource, sys
sys.path[:0] = {paths!r}
from tiledseg.tiledseg_plugin.engine.machine import ThreadPool
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize(), resource.RLIM_INFINITY))
try:
    with ThreadPool(2) as pool:
        print(pool.submit(int).result())
except MemoryError as error:
    print("said")
"""


@linux
def test_a_thread_without_memory_is_not_waited_for():
    """Python's own pool waits for ever for one that dies before its first line."""
    script = LITTLE_MEMORY.format(paths=[str(ROOT / "build" / "plugins")])
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert ended.stdout == "said\n", ended.stderr


IN_A_GROUP = """
import os, sys
group, most, used = sys.argv[1:4]
open(os.path.join(group, "cgroup.procs"), "w").write(str(os.getpid()))
sys.path[:0] = {paths!r}
import stress
from tiledseg.tiledseg_plugin.engine import machine, segmentation
taken = int(open(os.path.join(group, used)).read())
open(os.path.join(group, most), "w").write(str(taken + (20 << 20)))
print("free:", machine.free_memory(), flush=True)
stress.segment(__import__("json").loads(sys.argv[4]))
"""


def _make_group(name):
    """A control group of this test: (folder, file of its limit, file of what is used); None where none can be had."""
    for top, (most, used) in (("memory", machine.MEMORY_FILES[1]), ("", machine.MEMORY_FILES[0])):
        group = machine.CONTROL_GROUP / top / name
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / most).exists():
            return group, most, used
        group.rmdir()
    return None


@linux
@pytest.mark.slow
def test_a_run_in_a_small_control_group_is_ended_and_taken_up(tmp_path):
    """The system kills what takes too much: this process, whose run is taken up, or a worker, which is said."""
    made = _make_group(f"tiledseg-test-{os.getpid()}")
    if made is None:
        pytest.skip("no control group may be made here")
    group = made[0]
    values = np.kron(np.random.default_rng(1).integers(20, 230, (3, 90, 90)), np.ones((1, 8, 8), int)).astype(np.uint8)
    raster = write_raster(tmp_path / "in.tif", values)
    settings = {"kernels": "plain", "min_pixels": 20, "num_clusters": 12, "execution": "serial", "tile_width": 5000}
    given = {"input": raster, "output": str(tmp_path / "o.tif"), "work_dir": str(tmp_path / "work"), **settings}
    script = IN_A_GROUP.format(paths=[str(ROOT / "scripts"), str(ROOT / "tests")])
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", script, *map(str, made), json.dumps({**given, "tile_height": 5000})]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    finally:
        group.rmdir()
    assert ended.returncode == -9 or "MemoryError" in ended.stderr, (ended.returncode, ended.stderr[-2000:])
    free = int(ended.stdout.split()[1])  # as the workers are chosen by
    assert 0 < free < 30 * MEGABYTE  # 20, and what the process gave back meanwhile
    assert not (tmp_path / "o.tif").exists()
    ids, _ = run(raster, tmp_path / "o.tif", work_dir=given["work_dir"], **settings, tile_height=5000)
    expected, _ = run(raster, tmp_path / "x.tif", **{**settings, "tile_width": 300})
    assert np.array_equal(ids, expected)
    assert not list(tmp_path.glob(".tiledseg-*")) and not list(tmp_path.glob("tiledseg-*"))
