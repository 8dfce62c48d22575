# SPDX-License-Identifier: GPL-2.0-or-later
"""`make demo`: segment an aerial image (or RASTER) with `qgis_process`, print what came out and draw it.

Where the image cannot be downloaded, the plugin's own example scene is drawn and segmented.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from demo_picture import draw
from headless import BUILD, HeadlessError, QgisProcess

FOLDER = BUILD / "demo"
SOURCE = "obia==0.2.0"  # a package on PyPI that carries a NAIP tile (USDA, public domain)
IMAGE = "train_image.tif"
BANDS = "1;2;3;4"  # its near infrared is marked as alpha, and would be taken for the mask


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    own = os.environ.get("RASTER")
    if own and not Path(own).expanduser().exists():
        raise HeadlessError(f"There is no file '{own}': give one as make demo RASTER=file.")
    shutil.rmtree(FOLDER / "profile", ignore_errors=True)
    qgis_process = QgisProcess(FOLDER / "profile")
    raster, bands = (Path(own).expanduser(), []) if own else image(qgis_process)
    output = FOLDER / "segments.tif"
    print(f"Segmenting {raster} ...", flush=True)
    given = [f"INPUT={raster}", f"OUTPUT={output}", *bands]
    finished = qgis_process("--json", "run", "tiledseg:segment", "--", *given)
    if finished.returncode:
        raise HeadlessError(f"The segmentation failed: {finished.stderr.strip()}")
    results = json.loads(finished.stdout)["results"]
    picture = draw(raster, output, FOLDER / "demo.png")
    report(results, finished, picture)


def image(qgis_process: QgisProcess) -> tuple:
    """A raster, and what else to say of it: the aerial image, or the example scene where that cannot be had."""
    try:
        return aerial_image(), [f"BANDS={BANDS}"]
    except (OSError, subprocess.CalledProcessError, StopIteration, zipfile.BadZipFile):
        print("The aerial image cannot be downloaded: the plugin draws a scene of its own instead.", flush=True)
    return example(qgis_process), []


def example(qgis_process: QgisProcess) -> Path:
    """The plugin's example scene, drawn anew."""
    scene = FOLDER / "example.tif"
    scene.unlink(missing_ok=True)
    finished = qgis_process("run", "tiledseg:example", "--", f"OUTPUT={scene}")
    if finished.returncode:
        raise HeadlessError(f"The example cannot be drawn: {finished.stderr.strip()}")
    return scene


def aerial_image() -> Path:
    """The NAIP tile, downloaded once; without the package's dependencies, nothing is installed."""
    image = FOLDER / IMAGE
    if image.exists():
        return image
    downloads = FOLDER / "download"
    print(f"Downloading {SOURCE} for its aerial image ...", flush=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        + ["--only-binary=:all:", "--dest", str(downloads), SOURCE],
        check=True,
    )
    with zipfile.ZipFile(next(downloads.glob("obia-*.whl"))) as wheel:
        member = next(name for name in wheel.namelist() if name.endswith("/" + IMAGE))
        partial = image.with_suffix(".partial")
        partial.write_bytes(wheel.read(member))
    partial.replace(image)
    return image


def report(results, finished, picture):
    """A summary that a person reads at a glance."""
    undersized = results["UNDERSIZED_SEGMENTS"]
    pixels = results["VALID_PIXELS"]
    lines = [
        ("Segments", f"{results['SEGMENT_COUNT']:,} ({pixels / results['SEGMENT_COUNT']:.0f} pixels on average)"),
        ("Undersized", f"{undersized:,} (no neighbour within DISTANCE_THRESHOLD)" if undersized else "none"),
        ("Valid pixels", f"{pixels:,}"),
        ("Tiles", f"{results['TILE_COUNT']:,} ({results['EMPTY_TILES']} empty, {results['SPARSE_TILES']} sparse)"),
        ("Time", f"{results['SECONDS']:.1f} s, with the start of QGIS {finished.seconds:.1f} s"),
        ("Peak memory", f"{finished.peak_memory / 1e6:.0f} MB, QGIS included"),
        ("Segments in", results["OUTPUT"]),
        ("Report in", results["REPORT"]),
        ("Picture in", picture),
    ]
    print()
    for name, value in lines:
        print(f"  {name:<14}{value}")


if __name__ == "__main__":
    try:
        main()
    except (HeadlessError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"make demo: {error}")
