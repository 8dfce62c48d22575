# SPDX-License-Identifier: GPL-2.0-or-later
"""pyshepseg's statistics of segments: of three bands, and two spatial ones that it comes with.

usage: run_pyshepseg_objects.py SCENE SEGMENTS.img

It prints, as JSON, the seconds of `calcPerSegmentStatsTiled` (mean, stddev, min, max, median, a band at a time) and of
`calcPerSegmentSpatialStatsTiled` (mean coordinates and numbers of edge pixels), without imports and compilation. SCENE
needs a no-data value, SEGMENTS a table with a histogram.
"""

import json
import sys
import time

import numpy as np
from osgeo import gdal
from pyshepseg import tilingstats

STATISTICS = ("mean", "stddev", "min", "max", "median")


def spectral(scene, segments):
    for band in (1, 2, 3):
        wanted = [(f"theirs_{name}_{band}", name) for name in STATISTICS]
        tilingstats.calcPerSegmentStatsTiled(scene, band, segments, wanted)


def spatial(scene, segments):
    transform = np.array(gdal.Open(segments).GetGeoTransform())
    columns = [("theirs_x", gdal.GFT_Real), ("theirs_y", gdal.GFT_Real)]
    tilingstats.calcPerSegmentSpatialStatsTiled(
        scene, 1, segments, columns, tilingstats.userFuncMeanCoord, userParam=transform
    )
    columns = [("theirs_edge", gdal.GFT_Integer), ("theirs_inside", gdal.GFT_Integer)]
    tilingstats.calcPerSegmentSpatialStatsTiled(
        scene, 1, segments, columns, tilingstats.userFuncNumEdgePixels, userParam=True
    )


def corner(scene, segments):
    """A few pixels of both, with a table, on which all is compiled."""
    part = [0, 0, 200, 200]
    gdal.Translate("corner_scene.tif", scene, srcWin=part)
    small = gdal.Translate("corner_segments.img", segments, format="HFA", srcWin=part)
    ids = small.ReadAsArray()
    ids = np.searchsorted(np.append(0, np.unique(ids[ids > 0])), ids).astype(np.uint32)  # it takes no gaps
    small.GetRasterBand(1).WriteArray(ids)
    table = gdal.RasterAttributeTable()
    table.CreateColumn("Histogram", gdal.GFT_Real, gdal.GFU_PixelCount)
    table.SetRowCount(int(ids.max()) + 1)
    table.WriteArray(np.bincount(ids.ravel()).astype(np.float64), 0)
    small.GetRasterBand(1).SetDefaultRAT(table)
    del small
    return "corner_scene.tif", "corner_segments.img"


def main():
    scene, segments = sys.argv[1:]
    small = corner(scene, segments)
    found = {}
    for name, work in (("pyshepseg_statistics", spectral), ("pyshepseg_spatial", spatial)):
        work(*small)
        started = time.monotonic()
        work(scene, segments)
        found[name] = time.monotonic() - started
    print(json.dumps(found))


if __name__ == "__main__":
    main()
