# SPDX-License-Identifier: GPL-2.0-or-later
"""pyshepseg, tiled: segment a scene, and tell how long it took without imports and compilation.

usage: run_pyshepseg.py SCENE OUTPUT THREADS (0 for the version without threads)
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from osgeo import gdal
from pyshepseg import tiling

GEOTIFF = {"outputDriver": "GTiff", "creationOptions": ["TILED=YES", "COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER"]}
IMAGINE = {"outputDriver": "HFA"}  # versions with threads insist on an attribute table, which GeoTIFF cannot give them
HAS_THREADS = hasattr(tiling, "SegmentationConcurrencyConfig")


def segment(scene, output, threads, tile=1000, overlap=100):
    chosen = dict(IMAGINE if HAS_THREADS else GEOTIFF)
    if threads:
        chosen["concurrencyCfg"] = tiling.SegmentationConcurrencyConfig(
            concurrencyType=tiling.CONC_THREADS, numWorkers=threads, tileCompletionTimeout=600
        )
    return tiling.doTiledShepherdSegmentation(
        scene,
        output,
        tileSize=tile,
        overlapSize=overlap,
        minSegmentSize=100,
        numClusters=60,
        subsamplePcnt=1,
        fixedKMeansInit=True,
        tempfilesDriver="GTiff",
        tempfilesExt="tif",
        writeHistogram=False,
        **chosen,
    )


def compile_for(scene):
    """Segment a few pixels of the scene, as two tiles, so that all of it is compiled for these data types.

    It is compiled anew in each process, so this takes hardly longer than the first use would.
    """
    dataset = gdal.Open(scene)
    corner = dataset.ReadAsArray(dataset.RasterXSize // 4, dataset.RasterYSize // 4, 80, 80)
    small = gdal.GetDriverByName("GTiff").Create("corner.tif", 160, 80, len(corner), dataset.GetRasterBand(1).DataType)
    small.WriteArray(np.tile(corner, (1, 1, 2)))
    small = None
    segment("corner.tif", "corner_segments.tif", 0, tile=80, overlap=20)


def main():
    scene, output, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    started = time.monotonic()
    compile_for(scene)
    compiled = time.monotonic()
    result = segment(scene, output, threads)
    details = {
        "call_seconds": time.monotonic() - compiled,
        "compile_seconds": compiled - started,
        "segments": int(result.maxSegId),
    }
    Path("details.json").write_text(json.dumps(details))


if __name__ == "__main__":
    main()
