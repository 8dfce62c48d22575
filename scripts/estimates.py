# SPDX-License-Identifier: GPL-2.0-or-later
"""What the pre-flight says that a run needs, held against what it takes: memory of all its processes, and disk.

usage: estimates.py [MEGAPIXELS ...] [--kinds usual,floats,...] [--folder build/estimates]

Printed is a line for each size and kind of raster: estimated and measured megabytes, and how many times the one the
other is. Estimates are to be upper ends, and at most twice of what is measured. Linux only.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, NamedTuple, Tuple

import headless
import scale
from mirrored import make_mirrored

sys.path.insert(0, str(headless.plugin_path()))


class Kind(NamedTuple):
    """Of a raster and its run."""

    bands: Tuple[int, ...] = ()
    floats: bool = False
    tile: int = 2000
    execution: str = "auto"
    slow: bool = False  # blocks that are decoded once and kept


KINDS: Dict[str, Kind] = {
    "usual": Kind(),
    "floats": Kind(floats=True),
    "one band": Kind(bands=(1,)),
    "ten bands": Kind(bands=(1, 2, 3, 1, 2, 3, 1, 2, 3, 1)),
    "small tiles": Kind(tile=500),
    "processes": Kind(execution="processes"),
    "small tiles in processes": Kind(tile=500, execution="processes"),
    "slow blocks": Kind(slow=True),
}


class Compared(NamedTuple):
    """Bytes."""

    estimated_memory: int
    memory: int
    estimated_disk: int
    disk: int


def compare(megapixels: float, kind: Kind, folder: Path) -> Compared:
    """Run the pre-flight and the run on a raster of so many pixels."""
    from tiledseg.tiledseg_plugin.engine.parameters import PreflightParameters
    from tiledseg.tiledseg_plugin.engine.preflight import preflight
    from tiledseg.tiledseg_plugin.engine.progress import Feedback

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    side = max(1, round((megapixels * 1e6) ** 0.5))
    scene = make_mirrored(str(scale.SYNTHETIC), list(kind.bands), side, folder, kind.floats)
    if kind.slow:
        scene = _in_one_strip(scene, folder)
    settings: Dict[str, Any] = {"execution": kind.execution, "workers": "2", "tile": kind.tile, "suffix": ".tif"}
    measured, disk = scale.run(scene, folder, argparse.Namespace(**settings, **{"with": ""}))
    if measured.failure():
        raise RuntimeError(measured.said)
    outputs = sum(path.stat().st_size for path in folder.glob("segments*"))
    parameters = PreflightParameters(
        str(scene), tile_width=kind.tile, tile_height=kind.tile, workers=2, execution=kind.execution
    )
    found = preflight(parameters, Feedback())
    with_processes = json.loads((folder / "segments_report.json").read_text())["execution"]["kind"] == "processes"
    workers = [child["peak_memory"] for child in measured.children][:2] if with_processes else []
    memory = measured.peak_memory + sum(workers)  # not the process that compiles kernels, if there is one
    return Compared(found.memory, memory, found.disk, disk + outputs)


def _in_one_strip(scene: Path, folder: Path) -> Path:
    """A copy whose compressed blocks go over the whole width, which every tile would decode again."""
    from osgeo import gdal

    path = folder / "strips.tif"
    rows = ["COMPRESS=DEFLATE", "ZLEVEL=1", "BLOCKYSIZE=512"]
    gdal.GetDriverByName("GTiff").CreateCopy(str(path), gdal.Open(str(scene)), options=rows).FlushCache()
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("megapixels", type=float, nargs="*", default=[1, 4, 16, 64])
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--folder", type=Path, default=scale.ROOT / "build" / "estimates")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    wrong, lines = 0, []
    for name in given.kinds.split(","):
        for size in given.megapixels:
            found = compare(size, KINDS[name], given.folder.resolve())
            ratios = found.estimated_memory / found.memory, found.estimated_disk / max(found.disk, 1)
            wrong += any(not 1 <= ratio <= 2 for ratio in ratios)
            megabytes = [value / 1e6 for value in found]
            lines.append([name, size, *found])
            print(
                f"{name}, {size:g} million pixels: "
                f"memory {megabytes[0]:.0f} MB estimated, {megabytes[1]:.0f} measured, {ratios[0]:.2f} x; "
                f"disk {megabytes[2]:.0f} MB estimated, {megabytes[3]:.0f} measured, {ratios[1]:.2f} x",
                flush=True,
            )
    if given.json:
        given.json.write_text(json.dumps(lines))
    shutil.rmtree(given.folder, ignore_errors=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
