#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measure shape, neighbours and statistics of segments beside the ways that users have today: medians, as JSON.

usage: objects.py SCENE.tif FOLDER [--rounds 3] [--skip peers]

SCENE is a raster of three bands. Measured are `tiledseg:segment`; `tiledseg:shape`, `tiledseg:neighbours` and
`tiledseg:statistics` (mean, std, min, max, median of three bands) on its segments; and, beside shape and statistics
together: through `qgis_process`, `gdal:polygonize`, `native:zonalstatisticsfb` a band at a time and
`native:fieldcalculator` for area, perimeter, compactness, shape index and the centroid; and pyshepseg's
`calcPerSegmentStatsTiled` and `calcPerSegmentSpatialStatsTiled`, where it can be imported (PYTHONPATH). Ratios are
theirs by ours; those of shape and of neighbours, ours by the time of segment. Kernels are compiled before.
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

from osgeo import gdal

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tiledseg_plugin.engine.parameters import SegmentParameters  # noqa: E402
from tiledseg_plugin.engine.products.segment_neighbours import NeighboursParameters, segment_neighbours  # noqa: E402
from tiledseg_plugin.engine.products.segment_shape import ShapeParameters, segment_shape  # noqa: E402
from tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics  # noqa: E402
from tiledseg_plugin.engine.progress import Feedback  # noqa: E402
from tiledseg_plugin.engine.segmentation import segment  # noqa: E402

MEASURES = {
    "area": "$area",
    "perimeter": "perimeter($geometry)",
    "compactness": "4 * pi() * area($geometry) / perimeter($geometry) ^ 2",
    "shape_index": "perimeter($geometry) / (4 * sqrt(area($geometry)))",
    "x": "x(centroid($geometry))",
    "y": "y(centroid($geometry))",
}


def timed(work):
    started = time.monotonic()
    work()
    return time.monotonic() - started


def ours(scene, folder):
    """{what: function that does it}."""
    segments = str(folder / "segments.img")
    wanted = ("mean", "std", "min", "max", "median")
    return {
        "segment": lambda: segment(SegmentParameters(scene, segments), Feedback()),
        "shape": lambda: segment_shape(ShapeParameters(segments, str(folder / "shape.gpkg")), Feedback()),
        "statistics": lambda: segment_statistics(
            StatisticsParameters(segments, scene, str(folder / "statistics.gpkg"), statistics=wanted), Feedback()
        ),
        "neighbours": lambda: segment_neighbours(
            NeighboursParameters(segments, str(folder / "pairs.gpkg"), str(folder / "summary.gpkg"), values=scene),
            Feedback(),
        ),
    }


def by_polygons(scene, folder):
    """Seconds of the way through polygons, {step: seconds}; empty where there is no qgis_process."""
    program = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
    if program is None:
        return {}
    profile = tempfile.mkdtemp(dir=folder)
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "QGIS_CUSTOM_CONFIG_PATH": profile}
    found = dict.fromkeys(("polygonize", "zonalstatisticsfb", "fieldcalculator"), 0.0)

    def step(name, algorithm, parameters, output):
        output.unlink(missing_ok=True)
        given = [f"{key}={value}" for key, value in {**parameters, "OUTPUT": output}.items()]
        command = [program, "run", algorithm, "--", *given]
        found[name] += timed(lambda: subprocess.run(command, env=environment, check=True, capture_output=True))
        return output

    layer = folder / "polygons.gpkg"
    layer = step("polygonize", "gdal:polygonize", {"INPUT": folder / "segments.img", "BAND": 1, "FIELD": "ID"}, layer)
    for band in (1, 2, 3):
        parameters = {"INPUT": layer, "INPUT_RASTER": scene, "RASTER_BAND": band, "COLUMN_PREFIX": f"b{band}_"}
        layer = step(
            "zonalstatisticsfb",
            "native:zonalstatisticsfb",
            {**parameters, "STATISTICS": "2,4,5,6,3"},
            folder / f"zonal{band}.gpkg",
        )
    for name, formula in MEASURES.items():
        parameters = {"INPUT": layer, "FIELD_NAME": name, "FIELD_TYPE": 0, "FORMULA": formula}
        layer = step("fieldcalculator", "native:fieldcalculator", parameters, folder / f"field_{name}.gpkg")
    return found


def by_pyshepseg(scene, folder):
    """Its seconds; empty where it cannot be imported."""
    gdal.Translate(str(folder / "with_nodata.tif"), scene, noData=0)
    program = [sys.executable, Path(__file__).with_name("run_pyshepseg_objects.py").absolute()]
    trial = subprocess.run([sys.executable, "-c", "import pyshepseg.tilingstats"], capture_output=True, check=False)
    if trial.returncode:
        return {}
    shutil.copy(folder / "segments.img", folder / "theirs.img")
    done = subprocess.run(
        [*program, "with_nodata.tif", "theirs.img"], cwd=folder, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def ratios(found):
    """Theirs by ours, and ours by segment."""
    both = found["shape"] + found["statistics"]
    made = {f"{name}_by_segment": found[name] / found["segment"] for name in ("shape", "neighbours")}
    for name, steps in (
        ("polygons", ("polygonize", "zonalstatisticsfb", "fieldcalculator")),
        ("pyshepseg", ("pyshepseg_statistics", "pyshepseg_spatial")),
    ):
        if all(step in found for step in steps):
            made[f"{name}_by_shape_and_statistics"] = sum(found[step] for step in steps) / both
    return {name: round(value, 2) for name, value in made.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip", choices=["peers"], default="")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    scene = os.path.abspath(given.scene)
    runs = ours(scene, given.folder)
    for work in runs.values():  # compiles
        work()
    rounds = []
    for _ in range(given.rounds):
        found = {name: timed(work) for name, work in runs.items()}
        if given.skip != "peers":
            found.update(by_polygons(scene, given.folder))
            found.update(by_pyshepseg(scene, given.folder))
        rounds.append(found)
        print(json.dumps(found), flush=True)
    median = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    print(json.dumps({"median": median, "ratios": ratios(median)}))


if __name__ == "__main__":
    main()
