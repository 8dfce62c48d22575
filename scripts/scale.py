# SPDX-License-Identifier: GPL-2.0-or-later
"""A run on a raster of any size: is it right, how long does it take, what does it need?

usage: scale.py MEGAPIXELS [--source RASTER] [--bands 8,9,3] [--execution auto] [--workers 0] [--tile 2000]
                [--with mean_image,polygons] [--floats] [--files] [--suffix .tif] [--record FILE]
                [--windows 6] [--folder build/scale]

The raster is a VRT that mirrors a scene (`mirrored`). What is printed: the time, in all and a pixel; the peak memory of
each process, and of the main one stage by stage; the share of the main process in the time of processors; the most that
intermediate files took. The result is checked in windows around corners of tiles, among them where the largest groups
meet: each segment there that nothing beyond the window can have any influence on has to be one of OUTPUT.
EXECUTION=dask starts a scheduler and WORKERS workers here. --record keeps what `progress.Progress` was told, and when.
Linux only.
"""

import argparse
import json
import os
import random
import shutil
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Dict, List, Tuple

import headless
from local_cluster import cluster, cpu_seconds_of_workers

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from measure import Measured, measure  # noqa: E402

LOOK_SECONDS = 0.2
LOOK_SHARE = 50  # a look at thousands of files takes time of a core that the run wants: one part in so many at most
OVERLAP = 5  # pixels by which footprints reach over those beside them
LIMIT_SECONDS = 6 * 3600
SYNTHETIC = ROOT / "tests" / "data" / "synthetic_full.tif"


class Disk(threading.Thread):
    """The most that the files below a folder took together."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.most = 0
        self._folder, self._ended = folder, threading.Event()

    def run(self) -> None:
        pause = LOOK_SECONDS
        while not self._ended.wait(pause):
            begun = time.monotonic()
            self.most = max(self.most, self._used())
            pause = max(LOOK_SECONDS, LOOK_SHARE * (time.monotonic() - begun))

    def _used(self) -> int:
        total = 0
        for folder, _, names in os.walk(self._folder):
            for name in names:
                try:
                    total += os.stat(os.path.join(folder, name)).st_blocks * 512
                except OSError:  # it is gone again
                    continue
        return total

    def end(self) -> int:
        self._ended.set()
        self.join()
        return self.most


def run(scene: Path, folder: Path, given: argparse.Namespace) -> Tuple[Measured, int]:
    """Segment the scene by the engine in a process of its own: how it ran, and the bytes of its intermediate files."""
    temporary = folder / "temporary"
    temporary.mkdir()
    disk = Disk(temporary)
    disk.start()
    program = [sys.executable, Path(__file__), "--segment", scene, folder / f"segments{given.suffix}"]
    settings = ["--execution", given.execution, "--workers", given.workers, "--tile", given.tile]
    settings += ["--with", getattr(given, "with"), "--suffix", given.suffix]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with cluster(folder, int(given.workers) or 2) if given.execution == "dask" else nullcontext("") as scheduler:
        settings += ["--scheduler", scheduler]
        before = cpu_seconds_of_workers(folder) if scheduler else 0.0
        measured = measure([*program, *settings], environment, folder, LIMIT_SECONDS)
        measured.cpu_seconds += cpu_seconds_of_workers(folder) - before if scheduler else 0.0
    return measured, disk.end()


def segment_here(given: argparse.Namespace) -> None:
    """What the process of `run` does; its result goes into a file."""
    sys.path.insert(0, str(headless.plugin_path()))
    from tiledseg.tiledseg_plugin.engine import kernels, progress, segmentation
    from tiledseg.tiledseg_plugin.engine.machine import used_memory
    from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters

    events = []
    started = time.monotonic()

    class Remembered(progress.Progress):
        """Remembers what it is told, and when: seconds, those of processors, stage, fraction, what holds it up."""

        def start(self, stage: str, text: str) -> None:
            super().start(stage, text)
            events.append((time.monotonic() - started, time.process_time(), stage, 0.0, None))

        def advance(self, fraction: float, text: str = "") -> None:
            super().advance(fraction, text)
            events.append((time.monotonic() - started, time.process_time(), "", fraction, kernels.seconds_lost()))

    class Foretold(progress.Feedback):
        """Remembers when which part was said to be done, and the memory of this process then."""

        def __init__(self) -> None:
            self.percents: List[Tuple[float, float]] = []
            self.memory: List[Tuple[float, int]] = []

        def set_progress(self, percent: float) -> None:
            self.percents.append((time.monotonic() - started, percent))
            self.memory.append((time.monotonic() - started, used_memory() or 0))

    segmentation.Progress = Remembered  # type: ignore[misc]
    feedback = Foretold()
    parameters = SegmentParameters(**parameters_of(given))
    result = segmentation.segment(parameters, feedback)
    begun = [(stage, spent) for _, spent, stage, *_ in events if stage] + [("", time.process_time())]
    cpu = {stage: end - spent for (stage, spent), (_, end) in zip(begun, begun[1:])}
    details = {
        "seconds": result.seconds,
        "stages": result.stages,
        "segments": result.segment_count,
        "tiles": result.tile_count,
        "percents": feedback.percents,
        "memory": feedback.memory,
        "events": events,
        "own_cpu_seconds": time.process_time(),
        "cpu": cpu,
    }
    Path("details.json").write_text(json.dumps(details))


def parameters_of(given: argparse.Namespace) -> Dict[str, Any]:
    """Of the run."""
    scene, output = given.segment
    tiles = Path("tiles.json")
    wanted = [name for name in getattr(given, "with").split(",") if name]
    return {
        "input": scene,
        "output": output,
        "execution": given.execution,
        "workers": int(given.workers),
        "tile_width": given.tile,
        "tile_height": given.tile,
        "tiles": tuple(map(tuple, json.loads(tiles.read_text()))) if tiles.exists() else (),
        "dask_scheduler": given.scheduler,
        "work_dir": "temporary/work" if given.scheduler else "",
        **{name: str(Path(name).absolute()) + (".tif" if name == "mean_image" else ".gpkg") for name in wanted},
    }


def corners(side: int, tile: int, count: int) -> List[Tuple[int, int]]:
    """Corners of tiles, (column, row): the middle, where the largest groups meet, and others at random."""
    tiles = max(1, -(-side // tile))
    inner = [number * tile for number in range(1, tiles)] or [side // 2]
    halves = [inner[len(inner) // 2], inner[len(inner) // 4], inner[(3 * len(inner)) // 4]]
    rng = random.Random(side)  # noqa: S311 - no secret
    chosen = [(halves[0], halves[0]), (halves[1], halves[0]), (halves[0], halves[2])]
    chosen += [(rng.choice(inner), rng.choice(inner)) for _ in range(count)]
    return chosen[:count]


def recorded(details: Dict[str, Any], given: argparse.Namespace, pixels: int) -> Dict[str, Any]:
    """What tests/test_forecast.py plays again: the beginnings of stages, and of what came between as much as shows."""
    events: List[Tuple[float, str, float, Any]] = []
    for now, _, stage, fraction, held in details["events"]:
        if stage or held is not None or fraction >= 1 or now - events[-1][0] >= details["seconds"] / 200:
            events.append((round(now, 3), stage, round(fraction, 5), held))
    return {
        "outputs": [name for name in getattr(given, "with").split(",") if name],
        "floats": given.floats,
        "workers": int(given.workers) or os.cpu_count(),
        "seconds": round(details["seconds"], 2),
        "pixels": pixels,
        "events": events,
    }


def report_on(measured: Measured, disk: int, details: Dict[str, Any], pixels: int) -> None:
    """Print what a run needed."""
    print(f"{pixels / 1e6:.0f} million pixels, {details['tiles']} tiles, {details['segments']} segments")
    print(
        f"time: {measured.seconds:.1f} s, {1e9 * measured.seconds / pixels:.0f} ns a pixel; of processors: "
        f"{measured.cpu_seconds:.1f} s, {details['own_cpu_seconds']:.1f} s of it in the main process"
    )
    begin = 0.0
    for name, seconds in details["stages"].items():
        used = [memory for at, memory in details["memory"] if begin <= at < begin + seconds] or [0]
        print(
            f"    {name}: {seconds:.1f} s, {details['cpu'][name]:.1f} s of processors and up to "
            f"{max(used) / 1e6:.0f} MB in the main process"
        )
        begin += seconds
    print(f"memory: main process {measured.peak_memory / 1e9:.2f} GB")
    for child in measured.children:
        print(f"        {child['name']} {child['peak_memory'] / 1e9:.2f} GB")
    print(f"intermediate files: {disk / 1e6:.0f} MB, {disk / pixels:.2f} bytes a pixel")
    ends = details["seconds"]
    for wanted in (10, 25, 50, 75, 90):
        at, percent = next(moment for moment in details["percents"] if moment[1] >= wanted)
        print(f"at {percent:.0f} %: {at:.1f} s, so {at * 100 / percent:.1f} s were foretold of {ends:.1f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("megapixels", type=float, nargs="?", default=64)
    parser.add_argument("--source", default="")
    parser.add_argument("--bands", default="")
    parser.add_argument("--execution", default="auto")
    parser.add_argument("--workers", default="0")
    parser.add_argument("--tile", type=int, default=2000)
    parser.add_argument("--with", default="", help="mean_image, polygons, or both with a comma")
    parser.add_argument("--floats", action="store_true", help="the values as float32")
    parser.add_argument("--files", action="store_true", help="many files, whose overlapping footprints are the tiles")
    parser.add_argument("--suffix", default=".tif", help="of OUTPUT")
    parser.add_argument("--record", type=Path)
    parser.add_argument("--windows", type=int, default=6)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "scale")
    parser.add_argument("--segment", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--scheduler", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.segment:
        segment_here(given)
        return 0
    from cut_windows import check
    from mirrored import footprints, make_mirrored

    folder = given.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    side = max(1, round((given.megapixels * 1e6) ** 0.5))
    bands = [int(number) for number in given.bands.split(",")] if given.bands else []
    scene = make_mirrored(given.source or str(SYNTHETIC), bands, side, folder, given.floats, given.files)
    if given.files:
        (folder / "tiles.json").write_text(json.dumps(footprints(scene, OVERLAP)))
    measured, disk = run(scene, folder, given)
    if measured.failure():
        print(measured.said, file=sys.stderr)
        print(f"The run failed: {measured.failure()}.")
        return 1
    details = json.loads((folder / "details.json").read_text())
    if given.record:
        given.record.write_text(json.dumps(recorded(details, given, side * side)))
    report_on(measured, disk, details, side * side)
    compared, wrong = check(scene, folder / f"segments{given.suffix}", corners(side, given.tile, given.windows))
    print(f"checked: {compared} pixels in {given.windows} windows, {wrong} of them wrong")
    return 1 if wrong or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
