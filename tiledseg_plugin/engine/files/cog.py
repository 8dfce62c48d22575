# SPDX-License-Identifier: GPL-2.0-or-later
"""The copy that makes a GeoTIFF of ours a cloud optimized one, with overviews."""

import os

from osgeo import gdal

from ..errors import SegmentationError, why
from ..progress import Advance
from .creation_options import creation_options
from .gdal_access import collected_errors, reason
from .georeference import keep_geolocation
from .output_files import Output
from .overviews import ProgressCallback


def make_cog(output: Output, workers: int, advance: Advance) -> None:
    """Turn the plain GeoTIFF at an output's path, which ends in `.cog.tif`, into a cloud optimized one.

    Parameters
    ----------
    workers : threads that compress
    advance : called with the fraction that is done

    Raises
    ------
    SegmentationError : it cannot be written
    """
    plain = output.path + ".plain"
    try:
        os.replace(output.path, plain)
    except OSError as error:
        raise SegmentationError(f"{output.name} cannot be written ({why(error)}): make room on its disk.") from error
    callback = ProgressCallback(advance)
    with collected_errors() as messages:
        source = gdal.Open(plain)
        if source is not None:
            copy = gdal.GetDriverByName("COG").CreateCopy(
                output.path,
                source,
                options=creation_options("COG", output.options, workers),
                callback=callback,
            )
            del copy
        whole = source is not None and os.path.exists(output.path)
        if whole:
            keep_geolocation(source, output.path)
        del source
    callback.raise_if_cancelled()
    for left in (plain, plain + ".aux.xml"):
        if os.path.exists(left):
            os.unlink(left)
    if messages or not whole:
        raise SegmentationError(
            f"{output.name} cannot be written ({reason(messages)}): make room, or check CREATION_OPTIONS."
        )
