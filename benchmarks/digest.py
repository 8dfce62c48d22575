# SPDX-License-Identifier: GPL-2.0-or-later
"""Print a fingerprint of a raster's pixels, whatever its format and compression.

usage: digest.py RASTER
"""

import hashlib
import sys

from osgeo import gdal

ROWS = 512


def main():
    gdal.UseExceptions()
    dataset = gdal.Open(sys.argv[1])
    digest = hashlib.sha256(f"{dataset.RasterXSize} {dataset.RasterYSize}".encode())
    for top in range(0, dataset.RasterYSize, ROWS):
        height = min(ROWS, dataset.RasterYSize - top)
        digest.update(dataset.ReadAsArray(0, top, dataset.RasterXSize, height).tobytes())
    print(digest.hexdigest())


if __name__ == "__main__":
    main()
