# SPDX-License-Identifier: GPL-2.0-or-later
"""`make bench BENCH=--layouts`: the same pixels stored in the ways that files come in.

Each run of the engine is held against decoding that file once, in one thread, plus the run on the usual layout (GeoTIFF
in tiles of 256 x 256, DEFLATE); the pre-flight against decoding once. By the clock, and by the processors' time, which
says something on a busy machine, too.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

from first_runs import wait_for_kernels  # noqa: E402
from headless import plugin_path  # noqa: E402
from tables import table  # noqa: E402

USUAL = "GeoTIFF, tiles of 256"
MOST = 1.3
# {name: (driver, suffix, creation options)} of copies
COPIES = {
    USUAL: ("GTiff", "tif", ["TILED=YES", "COMPRESS=DEFLATE"]),
    "JPEG 2000, blocks of 1024": ("JP2OpenJPEG", "jp2", ["REVERSIBLE=YES", "QUALITY=100"]),
    "one strip, DEFLATE": ("GTiff", "strip.tif", ["COMPRESS=DEFLATE", "BLOCKYSIZE={height}"]),
    "strips of one row, DEFLATE": ("GTiff", "rows.tif", ["COMPRESS=DEFLATE", "BLOCKYSIZE=1"]),
    "BIP": ("ENVI", "pixels.bip", ["INTERLEAVE=BIP"]),
    "BIL": ("ENVI", "lines.bil", ["INTERLEAVE=BIL"]),
    "LZW with predictor": ("GTiff", "lzw.tif", ["TILED=YES", "COMPRESS=LZW", "PREDICTOR=2"]),
    "ZSTD with predictor": ("GTiff", "zstd.tif", ["TILED=YES", "COMPRESS=ZSTD", "PREDICTOR=2"]),
    "COG": ("COG", "cog.tif", ["COMPRESS=DEFLATE"]),
}


def make_layouts(source, folder):
    """{name: path} of all that this GDAL can write; what is there is not made again."""
    from osgeo import gdal

    gdal.UseExceptions()
    folder.mkdir(parents=True, exist_ok=True)
    dataset = gdal.Open(str(source))
    found = {}
    for name, (driver, suffix, options) in COPIES.items():
        path = folder / f"scene.{suffix}"
        if gdal.GetDriverByName(driver) is not None:
            chosen = [option.format(height=dataset.RasterYSize) for option in options]
            _make(path, lambda to, d=driver, o=chosen: gdal.Translate(to, dataset, format=d, creationOptions=o))
            found[name] = path
    found["VRT of 16 tiles"] = folder / "mosaic.vrt"
    _make(found["VRT of 16 tiles"], lambda to: _mosaic(dataset, folder, to))
    if "JPEG 2000, blocks of 1024" in found:
        found["VRT of JPEG 2000 of one band"] = folder / "granule.vrt"
        _make(found["VRT of JPEG 2000 of one band"], lambda to: _granule(dataset, folder, to))
    found["12 bands, pixel-interleaved"] = folder / "twelve.tif"
    _make(found["12 bands, pixel-interleaved"], lambda to: _twelve(dataset, to))
    return found


def _make(path, write):
    if not path.exists():
        print(f"Making {path.name} ...", flush=True)
        write(str(path))


def _mosaic(dataset, folder, to):
    from osgeo import gdal

    width, height, parts = dataset.RasterXSize // 4, dataset.RasterYSize // 4, []
    for number in range(16):
        parts.append(str(folder / f"part-{number}.tif"))
        place = [number % 4 * width, number // 4 * height, width, height]
        options = ["TILED=YES", "COMPRESS=DEFLATE"]
        gdal.Translate(parts[-1], dataset, srcWin=place, creationOptions=options)
    gdal.BuildVRT(to, parts).FlushCache()


def _granule(dataset, folder, to):
    from osgeo import gdal

    bands = []
    for number in range(1, dataset.RasterCount + 1):
        bands.append(str(folder / f"band-{number}.jp2"))
        options = {"format": "JP2OpenJPEG", "creationOptions": ["REVERSIBLE=YES", "QUALITY=100"]}
        gdal.Translate(bands[-1], dataset, bandList=[number], **options)
    gdal.BuildVRT(to, bands, separate=True).FlushCache()


def _twelve(dataset, to):
    from osgeo import gdal

    bands = [number % dataset.RasterCount + 1 for number in range(12)]
    options = ["TILED=YES", "COMPRESS=DEFLATE", "INTERLEAVE=PIXEL"]
    gdal.Translate(to, dataset, bandList=bands, creationOptions=options)


def decode_once(path):
    """Read all of a file once, block by block, in one thread; of the first three bands."""
    from osgeo import gdal

    gdal.UseExceptions()
    dataset = gdal.Open(str(path))
    width, height = dataset.GetRasterBand(1).GetBlockSize()
    step = max(1, (1 << 20) // max(1, dataset.RasterXSize) // height) * height
    for row in range(0, dataset.RasterYSize, step):
        rows = min(step, dataset.RasterYSize - row)
        dataset.ReadAsArray(0, row, dataset.RasterXSize, rows, band_list=[1, 2, 3])


def measure_one(what, path):
    """Seconds by the clock and of the processors, in this process, of `decode`, `run` or `preflight` on a file."""
    sys.path.insert(0, str(plugin_path()))
    if what == "decode":
        started = time.monotonic(), time.process_time()
        decode_once(path)
        return time.monotonic() - started[0], time.process_time() - started[1]
    from tiledseg.tiledseg_plugin.engine.parameters import PreflightParameters, SegmentParameters
    from tiledseg.tiledseg_plugin.engine.preflight import preflight
    from tiledseg.tiledseg_plugin.engine.progress import Feedback
    from tiledseg.tiledseg_plugin.engine.segmentation import segment

    started = time.monotonic(), time.process_time()
    if what == "run":
        segment(SegmentParameters(str(path), "layout.tif", bands=(1, 2, 3), workers=2), Feedback())
    else:
        preflight(PreflightParameters(str(path), bands=(1, 2, 3), workers=2), Feedback())
    return time.monotonic() - started[0], time.process_time() - started[1]


def measure(source, folder, names=()):
    """Rows as dicts: layout, seconds of decoding, run and pre-flight, and the two ratios."""
    rows = []
    usual = None
    for name, path in make_layouts(source, folder).items():
        if names and name not in names and name != USUAL:
            continue
        decode, run, preflight = (_elsewhere(what, path, folder) for what in ("decode", "run", "preflight"))
        usual = run if name == USUAL else usual
        row = {"layout": name, "decode": decode, "run": run, "preflight": preflight}
        row["ratio"] = [whole / (once + least) for whole, once, least in zip(run, decode, usual)]
        row["preflight_ratio"] = [whole / once for whole, once in zip(preflight, decode)]
        rows.append(row)
        print(
            f"  {name:<32}{decode[0]:.2f} s to decode, {run[0]:.2f} s to run, {preflight[0]:.2f} s before", flush=True
        )
    return rows


def _elsewhere(what, path, folder):
    command = [sys.executable, str(Path(__file__).resolve()), what, str(path)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()[-2:]]


def layouts_table(rows):
    """For the terminal: seconds by the clock, ratios by the clock and by the processors."""
    cells = []
    for row in rows:
        ratio, before = (" / ".join(f"{one:.2f}" for one in row[name]) for name in ("ratio", "preflight_ratio"))
        seconds = [f"{row[name][0]:.2f}" for name in ("decode", "run", "preflight")]
        verdict = "met" if row["ratio"][0] <= MOST else "not met"
        cells.append([row["layout"], *seconds, ratio, verdict, before])
    header = [
        "layout",
        "decode s",
        "run s",
        "pre-flight s",
        f"run, x (at most {MOST})",
        "",
        "pre-flight, x of decoding",
    ]
    return table(header, cells)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("decode", "run", "preflight", "table"))
    parser.add_argument("path", help="a file; of `table`, the scene that the layouts are made of")
    parser.add_argument("--folder", type=Path, default=Path("layouts"))
    parser.add_argument("--only", nargs="+", default=())
    given = parser.parse_args()
    if given.what == "table":
        wait_for_kernels()
        rows = measure(Path(given.path).resolve(), given.folder.resolve(), given.only)
        print(layouts_table(rows))
        (given.folder / "layouts.json").write_text(json.dumps(rows, indent=1) + "\n")
    else:
        print(*measure_one(given.what, given.path))


if __name__ == "__main__":
    main()
