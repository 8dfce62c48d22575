# SPDX-License-Identifier: GPL-2.0-or-later
"""The copy that makes a GeoTIFF of ours a cloud optimized one, with overviews."""

import os

from osgeo import gdal

from ..errors import SegmentationError
from .creation_options import creation_options
from .gdal_access import collected_errors, reason
from .georeference import keep_geolocation
from .overviews import Told


def make_cog(path, options, workers, advance):
    """Turn the plain GeoTIFF at a path that ends in `.cog.tif` into a cloud optimized one."""
    plain = path + ".plain"
    os.replace(path, plain)
    told = Told(advance)
    with collected_errors() as messages:
        source = gdal.Open(plain)
        copy = gdal.GetDriverByName("COG").CreateCopy(
            path,
            source,
            options=creation_options("COG", options, workers),
            callback=told,
        )
        del copy
        if source is not None and os.path.exists(path):
            keep_geolocation(source, path)
        del source
    told.again()
    for left in (plain, plain + ".aux.xml"):
        if os.path.exists(left):
            os.unlink(left)
    if messages:
        raise SegmentationError(f"OUTPUT cannot be written ({reason(messages)}): make room, or check CREATION_OPTIONS.")
