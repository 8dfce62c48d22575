# SPDX-License-Identifier: GPL-2.0-or-later
"""RSGISLib, untiled and in memory: segment a scene, and tell how long the call took.

usage: run_rsgislib.py SCENE OUTPUT (without suffix: KEA where GDAL has it, else GeoTIFF)
"""

import json
import sys
import time
from pathlib import Path

from osgeo import gdal
from rsgislib.segmentation import shepherdseg


def main():
    scene, output = sys.argv[1:3]
    driver, suffix = ("KEA", ".kea") if gdal.GetDriverByName("KEA") else ("GTiff", ".tif")
    started = time.monotonic()
    shepherdseg.run_shepherd_segmentation(
        scene,
        output + suffix,
        tmp_dir="intermediate",
        gdalformat=driver,
        calc_stats=False,
        num_clusters=60,
        min_n_pxls=100,
        dist_thres=100,
        sampling=100,
        km_max_iter=200,
        process_in_mem=True,
    )
    Path("details.json").write_text(json.dumps({"call_seconds": time.monotonic() - started}))


if __name__ == "__main__":
    main()
