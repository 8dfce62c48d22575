# SPDX-License-Identifier: GPL-2.0-or-later
"""Raster outputs: drivers by extension, new datasets, and the windows in which they are written."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from osgeo import gdal

from ..errors import SegmentationError
from ..files.creation_options import BLOCK
from ..files.gdal_access import collected_errors, open_raster, reason
from ..files.georeference import carry_georeference
from ..files.overviews import overview_levels
from ..files.window import Window

WINDOW_PIXELS = 1 << 22


MOST_AHEAD = 4  # windows that wait to be written


DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".img": "HFA", ".kea": "KEA"}


COG = ".cog.tif"


def is_cog(output):
    """Whether the output is to be a cloud optimized GeoTIFF: its name ends in `.cog.tif`."""
    return str(output).lower().endswith(COG)


def format_of(output, name="OUTPUT"):
    """The short name of the GDAL driver whose creation options count for an output: GTiff, HFA, KEA or COG."""
    return "COG" if is_cog(output) else driver_for(output, name).ShortName


def grows_overviews(output):
    """Whether the output is a GeoTIFF, whose overviews `write_segments` writes along with it."""
    return DRIVERS[Path(output).suffix.lower()] == "GTiff" and not is_cog(output)


def least_overviews(output, raster):
    """How many overviews a finished output has at least; those of a cloud optimized one are the user's choice."""
    return 0 if is_cog(output) else len(overview_levels(raster.width, raster.height))


def driver_for(output, name="OUTPUT"):
    """The GDAL driver that makes a path's file; a cloud optimized GeoTIFF is copied from a plain one.

    Raises
    ------
    SegmentationError : the extension is none of ours, or this GDAL has no driver for it
    """
    extension = Path(output).suffix.lower()
    if extension not in DRIVERS:
        raise SegmentationError(f"{name} {output} ends in '{extension}': use one of {', '.join(DRIVERS)}.")
    driver = gdal.GetDriverByName(DRIVERS[extension])
    if driver is None:
        raise SegmentationError(f"This GDAL has no {DRIVERS[extension]} driver for {name} {output}: use .tif or .img.")
    if is_cog(output) and gdal.GetDriverByName("COG") is None:
        raise SegmentationError(f"This GDAL has no COG driver for {name} {output}: use another name that ends in .tif.")
    return driver


def create_like(path, raster, count, data_type, options, assign_crs):
    """A new dataset with the input's size and georeference (with the CRS given as WKT)."""
    source = open_raster(raster.path)
    with collected_errors() as messages:
        driver = driver_for(path)
        dataset = driver.Create(path, raster.width, raster.height, count, data_type, options)
    if dataset is None:
        raise SegmentationError(
            f"OUTPUT {Path(path).name} cannot be created ({reason(messages)}): check CREATION_OPTIONS and free space."
        )
    with collected_errors():
        carry_georeference(source, dataset, assign_crs)
    return dataset


def output_windows(width, height):
    """Windows in whole blocks of the output, in the order in which a file grows."""
    columns = min(-(-width // BLOCK) * BLOCK, 16 * BLOCK)
    rows = max(BLOCK, WINDOW_PIXELS // columns // BLOCK * BLOCK)
    return [
        Window(col, row, min(columns, width - col), min(rows, height - row))
        for row in range(0, height, rows)
        for col in range(0, width, columns)
    ]


def worked_ahead(work, windows, workers):
    """(window, what `work` makes of it), in the order of the windows; threads work a few ahead."""
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque = deque()
        for window in windows:
            ahead.append((window, pool.submit(work, window)))
            if len(ahead) > min(workers, MOST_AHEAD):
                window, made = ahead.popleft()
                yield window, made.result()
        for window, made in ahead:
            yield window, made.result()
