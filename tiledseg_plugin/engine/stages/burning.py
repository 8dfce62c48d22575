# SPDX-License-Identifier: GPL-2.0-or-later
"""Burn polygons: which pixels' centres are in them, as GDAL says of the layer on the raster.

GDAL says it by the way that a ring goes round, and so has a horizontal side that runs through centres in the polygon or
not by whether rows are counted upwards or downwards. Here all is burnt as on a raster with north up. (On one with south
up, GDAL would have such a side in the other of two polygons.)
"""

import struct
from typing import Iterable, Sequence

import numpy as np
from osgeo import gdal, ogr

from ..files.gdal_access import collected_errors, reason, vectors_in_memory
from ..files.window import Window

BEYOND = 16.0  # pixels by which coordinates are moved for GDAL, which takes a geotransform at 0, 0 for none


def upright(rings: Sequence[np.ndarray]) -> bytes:
    """A polygon with all of some rings as WKB to be burnt: GDAL burns what is in an odd number of them.

    So the parts of a feature have to be burnt one by one, as GDAL does, or where they overlap would be in none.

    Parameters
    ----------
    rings : (n, 2) float64 each, columns and rows
    """
    parts = [struct.pack("<BII", 1, ogr.wkbPolygon, len(rings))]
    for ring in rings:
        points = np.empty((len(ring), 2), "<f8")
        points[:, 0] = ring[:, 0] + BEYOND
        points[:, 1] = BEYOND - ring[:, 1]
        parts += [struct.pack("<I", len(ring)), points.tobytes()]
    return b"".join(parts)


def burnt(polygons: Iterable[bytes], window: Window) -> np.ndarray:
    """Which polygon each pixel's centre is in: (rows, cols) uint32, 1 + its place, of several the last; 0: none.

    Where coordinates are multiples of a power of 2, moving them by whole pixels changes none, and what is burnt in
    windows is what is burnt at once.

    Parameters
    ----------
    polygons : as `upright` returns them

    Raises
    ------
    ValueError : GDAL cannot burn one, with its reason
    """
    with collected_errors() as messages:
        source = vectors_in_memory()
        layer = source.CreateLayer("polygons", None, ogr.wkbPolygon)
        layer.CreateField(ogr.FieldDefn("number", ogr.OFTInteger))
        for number, wkb in enumerate(polygons, 1):
            feature = ogr.Feature(layer.GetLayerDefn())
            feature.SetField(0, number)
            feature.SetGeometryDirectly(ogr.CreateGeometryFromWkb(wkb))
            layer.CreateFeature(feature)
        target = gdal.GetDriverByName("MEM").Create("", window.width, window.height, 1, gdal.GDT_UInt32)
        target.SetGeoTransform((window.col + BEYOND, 1.0, 0.0, BEYOND - window.row, 0.0, -1.0))
        failed = gdal.RasterizeLayer(target, [1], layer, options=["ATTRIBUTE=number"]) != gdal.CE_None
        found = target.ReadAsArray()
        del layer, source
    if failed or messages or found is None:
        raise ValueError(reason(messages))
    return found
