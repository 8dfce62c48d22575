#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measure the products of a run beside their peers, all in one go: medians of several rounds, as JSON.

usage: products.py SCENE.tif FOLDER [--rounds 3] [--skip peers]

SCENE is a raster of three bands, 8000 x 8000 pixels for the project's goals. Measured are: a run, with the seconds that
the attribute table adds; `tiledseg:polygons` and `gdal_polygonize.py`, both to GeoPackage; and statistics (mean,
std, min, max, median) of all bands against `native:zonalstatisticsfb` on the polygons, a band at a
time, through `qgis_process`. Kernels are compiled before the first round.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tiledseg_plugin.engine.parameters import SegmentParameters  # noqa: E402
from tiledseg_plugin.engine.products.segment_polygons import PolygonsParameters, segment_polygons  # noqa: E402
from tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics  # noqa: E402
from tiledseg_plugin.engine.progress import Feedback  # noqa: E402
from tiledseg_plugin.engine.segmentation import segment  # noqa: E402

ATTRIBUTES = ("attributes", "attribute_table")


def timed(work):
    started = time.monotonic()
    result = work()
    return time.monotonic() - started, result


def zonal_statistics(scene, polygons, folder):
    """Seconds of QGIS' own algorithm for all three bands; mean, std, min, max, median are 2, 4, 5, 6, 3."""
    program = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
    if program is None:
        return None
    environment = {
        **os.environ,
        "QT_QPA_PLATFORM": "offscreen",
        "QGIS_CUSTOM_CONFIG_PATH": tempfile.mkdtemp(dir=folder),
    }
    total = 0.0
    for band in (1, 2, 3):
        output = folder / f"zonal{band}.gpkg"
        output.unlink(missing_ok=True)
        parameters = [f"INPUT={polygons}", f"INPUT_RASTER={scene}", f"RASTER_BAND={band}", f"COLUMN_PREFIX=b{band}_"]
        parameters += ["STATISTICS=2,4,5,6,3", f"OUTPUT={output}"]
        command = [program, "run", "native:zonalstatisticsfb", "--", *parameters]
        seconds, _ = timed(
            lambda command=command: subprocess.run(command, env=environment, check=True, capture_output=True)
        )
        total += seconds
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip", choices=["peers"], default="")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    segments, polygons = str(given.folder / "segments.tif"), str(given.folder / "polygons.gpkg")
    theirs, table = str(given.folder / "gdal_polygons.gpkg"), str(given.folder / "statistics.gpkg")
    segment(SegmentParameters(given.scene, segments, polygons=polygons), Feedback())
    wanted = StatisticsParameters(segments, given.scene, table, statistics=("mean", "std", "min", "max", "median"))
    segment_statistics(wanted, Feedback())

    rounds = []
    for _ in range(given.rounds):
        result = segment(SegmentParameters(given.scene, segments), Feedback())
        added = sum(result.stages.get(stage, 0) for stage in ATTRIBUTES)
        found = {"segments": result.segment_count, "run": result.seconds, "attributes": added}
        found["attributes_add"] = added / (result.seconds - added)
        found["polygons"], _ = timed(lambda: segment_polygons(PolygonsParameters(segments, polygons), Feedback()))
        found["statistics"], _ = timed(lambda: segment_statistics(wanted, Feedback()))
        if given.skip != "peers":
            Path(theirs).unlink(missing_ok=True)
            command = ["gdal_polygonize.py", "-q", segments, "-f", "GPKG", theirs]
            found["gdal_polygonize"], _ = timed(lambda command=command: subprocess.run(command, check=True))
            found["zonalstatisticsfb"] = zonal_statistics(given.scene, polygons, given.folder)
        rounds.append(found)
        print(json.dumps(found), flush=True)
    names = [name for name in rounds[0] if rounds[0][name] is not None]
    print(json.dumps({"median": {name: statistics.median(found[name] for found in rounds) for name in names}}))


if __name__ == "__main__":
    main()
