# SPDX-License-Identifier: GPL-2.0-or-later
"""ENGINE=rsgislib beside the built-in engine on the same raster: time, agreement of borders, and seams.

usage: rsgislib_comparison.py RASTER [--bands 8,9,3] [--tile 300] [--workers 0] [--min-pixels 100] [--no-stretch]

Prints a line for each way to run:
- seconds of the whole run;
- segments, and those smaller than the minimum;
- agreement with the built-in engine: of all pairs of neighbouring pixels that lie in different segments in either
  result, the share that does in both;
- seam: the share of pairs of neighbouring pixels across tile borders that lie in different segments, divided by that
  share anywhere else. 1 is no seam. What the built-in engine has at the same places, where it has no tile
  borders, shows how far the raster itself is from 1.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import headless  # noqa: E402

sys.path.insert(0, str(headless.plugin_path()))

WAYS = (
    ("builtin", {}),
    ("rsgislib, untiled", {"engine": "rsgislib", "tile_width": 10**6, "tile_height": 10**6}),
    ("rsgislib, three stages", {"engine": "rsgislib"}),
    ("rsgislib, own statistics", {"engine": "rsgislib", "per_tile_statistics": True}),
)


def agreement(one, other):
    """Share of the borders of either that are borders of both."""
    both = either = 0
    for axis in (0, 1):
        a, b = np.diff(one.astype(np.int64), axis=axis) != 0, np.diff(other.astype(np.int64), axis=axis) != 0
        both, either = both + np.count_nonzero(a & b), either + np.count_nonzero(a | b)
    return both / either if either else 1.0


def seam(ids, tile):
    """Share of different neighbours across the lines of a grid, divided by that across all other lines."""
    counts = np.zeros((2, 2))
    for lines in (ids, ids.T):
        valid = (lines[1:] != 0) & (lines[:-1] != 0)
        different = ((lines[1:] != lines[:-1]) & valid).sum(axis=1)
        border = np.arange(1, len(lines)) % tile == 0
        for place, chosen in enumerate((border, ~border)):
            counts[place] += different[chosen].sum(), valid.sum(axis=1)[chosen].sum()
    shares = counts[:, 0] / counts[:, 1]
    return shares[0] / shares[1]


def run(arguments, settings, folder):
    """The ids and the result of a run, and its seconds."""
    from osgeo import gdal
    from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
    from tiledseg.tiledseg_plugin.engine.progress import Feedback
    from tiledseg.tiledseg_plugin.engine.segmentation import segment

    output = str(Path(folder) / "segments.tif")
    given = {
        "bands": tuple(int(number) for number in arguments.bands.split(",") if number),
        "tile_width": arguments.tile,
        "tile_height": arguments.tile,
        "min_pixels": arguments.min_pixels,
        "stretch": not arguments.no_stretch,
        "workers": arguments.workers,
        **settings,
    }
    started = time.monotonic()
    result = segment(SegmentParameters(input=arguments.raster, output=output, **given), Feedback())
    seconds = time.monotonic() - started
    dataset = gdal.Open(output)
    return dataset.ReadAsArray(), result, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raster")
    parser.add_argument("--bands", default="", help="such as 8,9,3; default: all")
    parser.add_argument("--tile", type=int, default=300, help="width and height of tiles [pixels]; default: 300")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--min-pixels", type=int, default=100)
    parser.add_argument("--no-stretch", action="store_true")
    arguments = parser.parse_args()
    print(f"{'':26}{'seconds':>9}{'segments':>10}{'smaller':>9}{'agreement':>11}{'seam':>8}")
    reference = None
    with tempfile.TemporaryDirectory() as folder:
        for name, settings in WAYS:
            if name == "builtin":
                run(arguments, settings, folder)  # compiles the kernels, once in the life of an installation
            ids, result, seconds = run(arguments, settings, folder)
            reference = ids if reference is None else reference
            print(
                f"{name:26}{seconds:9.1f}{result.segment_count:10}{result.undersized_segments:9}"
                f"{agreement(reference, ids):11.4f}{seam(ids, arguments.tile):8.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
