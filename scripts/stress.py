# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs of the engine with kills at random moments: none may hang, leave anything behind, or end with another result.

usage: stress.py [RUNS] [--seed N]

Each run segments a small raster in a process of its own. At a random moment a worker, the process, or the process
with all its workers is killed (SIGKILL), or nothing is. A run that was killed is started again with the same WORK_DIR.
Linux only.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import headless
from worker_processes import wait_until_gone, workers_of

sys.path.insert(0, str(headless.plugin_path()))

LIMIT_SECONDS = 120.0
GONE_SECONDS = 3.0
KILLS = ("worker", "worker", "parent", "everything", "nothing")
RASTER_SIZE = 300
OUTPUTS = {"out.tif", "out.qml", "out_report.json"}
PARAMETERS = {
    "num_clusters": 12,
    "min_pixels": 20,
    "sampling": 3,
    "tile_width": 50,
    "tile_height": 40,
    "workers": 2,
    "kernels": "plain",
}


class Failure(Exception):
    """What went wrong in one of the runs."""


def make_raster(path, size=RASTER_SIZE):
    """A small raster whose segments cross the borders of tiles, of so many pixels a side, in tens."""
    import numpy as np
    from osgeo import gdal

    rng = np.random.default_rng(1)
    patches = np.kron(rng.integers(20, 230, (3, size // 10, size // 10)), np.ones((1, 10, 10), int))
    values = (patches + rng.integers(0, 25, patches.shape)).astype(np.uint8)
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), size, size, 3, gdal.GDT_Byte)
    dataset.WriteArray(values)
    dataset.FlushCache()


def segment(parameters):
    """One run, in the process that is going to be killed."""
    tempfile.tempdir = os.environ["TMPDIR"]  # Python tries it with a file, which a kill at that moment would leave

    from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
    from tiledseg.tiledseg_plugin.engine.progress import Feedback
    from tiledseg.tiledseg_plugin.engine.segmentation import segment

    class Log(Feedback):
        def info(self, text):
            print(text, flush=True)

        warning = debug = info

    segment(SegmentParameters(**parameters), Log())


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Stress:
    """The runs, in a folder of their own.

    Parameters
    ----------
    folder : Path
    seed : int, of the random moments and kinds
    size : of the raster, see `make_raster`
    """

    def __init__(self, folder, seed=0, size=RASTER_SIZE):
        self.folder = folder
        self.random = random.Random(seed)  # noqa: S311
        self.temporary = folder / "tmp"
        self.raster = folder / "in.tif"
        self.counts = dict.fromkeys(KILLS, 0)
        self.resumed = 0
        self.temporary.mkdir()
        make_raster(self.raster, size)
        begun = time.monotonic()
        output, code, log = self._run(folder / "expected", "serial", "")
        if code:
            raise Failure(log)
        self.expected = self._read(output)
        self.duration = 1.5 * (time.monotonic() - begun)

    def once(self, number):
        """One run, and the one that takes it up if it was killed."""
        what = self.random.choice(KILLS)
        execution = self.random.choice(("processes", "processes", "threads")) if what != "worker" else "processes"
        work_dir = str(self.folder / f"work-{number}") if self.random.random() < 0.7 else ""
        moment = self.random.uniform(0.0, self.duration)
        self.counts[what] += 1
        output, code, log = self._run(self.folder / f"out-{number}", execution, work_dir, what, moment)
        title = f"run {number} ({execution}, {what} killed after {moment:.2f} s, WORK_DIR {bool(work_dir)})"
        if code == -signal.SIGKILL:
            self.resumed += 1
            output, code, log = self._run(self.folder / f"out-{number}", execution, work_dir)
            title += ", taken up"
        if code:
            raise Failure(f"{title}: ended with {code}\n{log}")
        self._check(title, output, work_dir)
        shutil.rmtree(output.parent)
        return title

    def _run(self, folder, execution, work_dir, what="nothing", moment=0.0):
        """(path of the output, exit code, log) of one process."""
        folder.mkdir(exist_ok=True)
        output = folder / "out.tif"
        parameters = {"input": str(self.raster), "output": str(output), "execution": execution, "work_dir": work_dir}
        log = self.folder / "log.txt"
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, __file__, "--segment", json.dumps({**PARAMETERS, **parameters})],
                env={**os.environ, "TMPDIR": str(self.temporary)},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
            known = self._interfere(process, what, moment)
            try:
                process.wait(LIMIT_SECONDS)
            except subprocess.TimeoutExpired as error:
                kill(process.pid)
                raise Failure(f"hangs after {what} was killed at {moment:.2f} s:\n{log.read_text()}") from error
        left = wait_until_gone(known, GONE_SECONDS)
        if left:
            raise Failure(f"leaves processes {left} after {what} was killed at {moment:.2f} s")
        return output, process.returncode, log.read_text()

    def _interfere(self, process, what, moment):
        """Kill what is to be killed, when it is time; returns all workers that were seen, {pid: when it started}."""
        seen, end, done = {}, time.monotonic() + moment, what == "nothing"
        while process.poll() is None and time.monotonic() < end + LIMIT_SECONDS:
            mine = workers_of(process.pid)
            seen.update(mine)
            if not done and time.monotonic() >= end:
                done = what != "worker" or bool(mine)
                if what == "worker" and mine:
                    kill(self.random.choice(sorted(mine)))
                if what in ("parent", "everything"):
                    kill(process.pid)
                for pid in mine if what == "everything" else ():
                    kill(pid)
            time.sleep(0.02)
        return seen

    def _check(self, title, output, work_dir):
        if not (self._read(output) == self.expected).all():
            raise Failure(f"{title}: another result")
        here = {path.name for path in output.parent.iterdir()}
        if not OUTPUTS <= here <= OUTPUTS | {"out.tif.aux.xml"}:
            raise Failure(f"{title}: leaves {sorted(here)} beside the output")
        # an empty folder is one that was just being made, or removed: the next run removes it when it is a minute old
        left = sorted(path.name for path in self.temporary.iterdir() if not path.is_dir() or any(path.iterdir()))
        if left:
            raise Failure(f"{title}: leaves {left} in the temporary folder")
        if work_dir and Path(work_dir).exists() and list(Path(work_dir).iterdir()):
            raise Failure(f"{title}: leaves {sorted(Path(work_dir).iterdir())}")

    @staticmethod
    def _read(path):
        from osgeo import gdal

        return gdal.Open(str(path)).ReadAsArray()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="?", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--segment", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.segment:
        segment(json.loads(arguments.segment))
        return
    folder = Path(tempfile.mkdtemp(prefix="stress-"))
    begun = time.monotonic()
    try:
        stress = Stress(folder, arguments.seed)
        for number in range(1, arguments.runs + 1):
            print(stress.once(number), flush=True)
    except Failure as failure:
        sys.exit(f"FAILED: {failure}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    kinds = ", ".join(f"{count} x {what}" for what, count in stress.counts.items())
    print(
        f"{arguments.runs} runs passed in {time.monotonic() - begun:.0f} s (killed: {kinds}; {stress.resumed} taken "
        "up): no hang, no process, no file left, all results equal."
    )


if __name__ == "__main__":
    main()
