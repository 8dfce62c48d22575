# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 5, write: labels through lookup tables into OUTPUT, window by window.

Band statistics, overviews and the attribute table (see `attribute_table`) are in the file before it gets its name.
"""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from osgeo import gdal, osr

from .errors import Cancelled, SegmentationError
from .gdal_access import collected_errors, configured, open_raster, reason
from .publish import staging
from .raster import Window
from .tiles import labels_of

WINDOW_PIXELS = 1 << 22
BLOCK = 512
DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".img": "HFA", ".kea": "KEA"}
COG = ".cog.tif"
SMALLEST_OVERVIEW = 256  # pixels


def is_cog(output):
    """Whether the output is to be a cloud optimized GeoTIFF: its name ends in `.cog.tif`."""
    return str(output).lower().endswith(COG)


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


def check_output(output, inputs, name="OUTPUT"):
    """Refuse an output that could not be written, before anything is done.

    Parameters
    ----------
    inputs : paths that must not be overwritten
    name : id of the parameter, for messages
    """
    driver_for(output, name)
    folder = Path(output).absolute().parent
    if not folder.is_dir():
        raise SegmentationError(f"The folder {folder} of {name} does not exist: make it, or choose another.")
    for path in inputs:
        if os.path.exists(output) and os.path.exists(path) and os.path.samefile(output, path):
            raise SegmentationError(f"{name} {output} is the input itself: choose another name.")
    if os.path.isdir(output):
        raise SegmentationError(f"{name} {output} is a folder: give a file name in it.")
    with staging(output, name):
        pass  # a folder that cannot be written to is told now


def creation_options(driver_name, given, threads):
    """GDAL creation options: the user's, and ours for what they leave open.

    Parameters
    ----------
    driver_name : GTiff, HFA, KEA or COG
    given : `|`-separated
    """
    options = dict(option.split("=", 1) for option in given.split("|") if "=" in option)
    wrong = [option for option in given.split("|") if option and "=" not in option]
    if wrong:
        raise SegmentationError(f"CREATION_OPTIONS has '{wrong[0]}': write NAME=VALUE, separated by '|'.")
    options = {name.strip().upper(): value.strip() for name, value in options.items()}
    defaults = {}
    if driver_name == "GTiff":
        defaults = {"TILED": "YES", "COMPRESS": "DEFLATE", "BIGTIFF": "IF_SAFER", "NUM_THREADS": str(threads)}
        if options.get("TILED", "YES").upper() == "YES":
            defaults.update(BLOCKXSIZE=str(BLOCK), BLOCKYSIZE=str(BLOCK))
        if options.get("COMPRESS", "DEFLATE").upper() == "DEFLATE":
            defaults["ZLEVEL"] = "6"
    elif driver_name == "COG":
        defaults = {"COMPRESS": "DEFLATE", "BIGTIFF": "IF_SAFER", "NUM_THREADS": str(threads)}
        defaults.update(OVERVIEW_RESAMPLING="NEAREST", BLOCKSIZE=str(BLOCK))
    elif driver_name == "HFA":
        defaults = {"COMPRESSED": "YES"}
    return [f"{name}={value}" for name, value in {**defaults, **options}.items()]


def create_like(path, raster, count, data_type, options, assign_crs):
    """A new dataset with the input's size, geotransform, GCPs and CRS (or the CRS given as WKT)."""
    source = open_raster(raster.path)
    with collected_errors() as messages:
        driver = driver_for(path)
        dataset = driver.Create(path, raster.width, raster.height, count, data_type, options)
    if dataset is None:
        raise SegmentationError(
            f"OUTPUT {Path(path).name} cannot be created ({reason(messages)}): check CREATION_OPTIONS and free space."
        )
    crs = source.GetSpatialRef()
    gcp_crs = source.GetGCPSpatialRef()
    if assign_crs:
        crs = gcp_crs = osr.SpatialReference(wkt=assign_crs)
    with collected_errors():
        geotransform = source.GetGeoTransform(can_return_null=True)
        if geotransform is not None:
            dataset.SetGeoTransform(geotransform)
        if source.GetGCPCount():
            dataset.SetGCPs(source.GetGCPs(), gcp_crs)
        if crs is not None:
            dataset.SetSpatialRef(crs)
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


def write_segments(path, raster, plan, segments, folder, kernel, workers, options, assign_crs, advance):
    """Write the segment ids.

    Parameters
    ----------
    segments : graph.Segments
    folder : WorkFolder with the tiles' labels
    workers : threads that look labels up and compress
    options : the user's creation options, `|`-separated
    advance : called with the fraction that is done
    """
    driver = driver_for(path)
    options = creation_options(driver.ShortName, "" if is_cog(path) else options, workers)
    dataset = create_like(path, raster, 1, gdal.GDT_UInt32, options, assign_crs)
    band = dataset.GetRasterBand(1)
    band.SetNoDataValue(0)
    band.SetDescription("segment")
    _describe_ids(band, segments.sizes)

    def part(tile, window):
        common = tile.window.intersection(window)
        rows = folder.load_rows(
            labels_of(tile), common.row - tile.window.row, common.height, tile.window.width, np.uint32
        )
        left = common.col - tile.window.col
        return common, kernel.relabel(rows[:, left : left + common.width], segments.tables[tile.tile_id])

    def ids_of(window, pool):
        ids = np.zeros((window.height, window.width), np.uint32)
        tiles = [tile for tile in plan.tiles_in(window) if tile.tile_id in segments.tables]
        for common, array in pool.map(lambda tile: part(tile, window), tiles):
            ids[common.within(window)] = array
        return ids

    windows = output_windows(raster.width, raster.height)
    with collected_errors() as messages, ThreadPoolExecutor(workers) as pool:
        for done, window in enumerate(windows):
            advance(done / len(windows))
            band.WriteArray(ids_of(window, pool), window.col, window.row)
            if messages:
                break
        band.FlushCache()
        del band
        dataset.FlushCache()
        del dataset
    if messages:
        raise SegmentationError(f"OUTPUT cannot be written ({reason(messages)}): make room on its disk, or choose another.")


def _describe_ids(band, sizes):
    """Band statistics and layer type, without which QGIS reads the whole raster to show it."""
    ids = np.arange(1, sizes.size + 1, dtype=np.float64)
    pixels = max(int(sizes.sum()), 1)
    mean = float(np.dot(ids, sizes)) / pixels
    deviation = math.sqrt(float(np.dot((ids - mean) ** 2, sizes)) / pixels)
    band.SetMetadataItem("LAYER_TYPE", "thematic")
    band.SetStatistics(1.0, float(max(sizes.size, 1)), mean, deviation)


def build_overviews(path, resampling, workers, advance):
    """Overviews inside a raster of ours, down to a few hundred pixels; a `.cog.tif` gets them when it is copied."""
    if is_cog(path):
        return
    with collected_errors() as messages:
        dataset = gdal.Open(path, gdal.GA_Update)
        levels = overview_levels(dataset.RasterXSize, dataset.RasterYSize)
        if levels:
            given = {"COMPRESS_OVERVIEW": "DEFLATE", "GDAL_NUM_THREADS": str(workers), "HFA_USE_RRD": "NO"}
            told = _Told(advance)
            with configured(given):
                dataset.BuildOverviews(resampling, levels, told)
            told.again()
        del dataset
    if messages:
        raise SegmentationError(f"Overviews of {Path(path).name} cannot be written ({reason(messages)}): make room.")


class _Told:
    """A callback for GDAL; what `advance` raises must not pass through C and is raised by `again`."""

    def __init__(self, advance):
        self.advance, self.raised = advance, None

    def __call__(self, fraction, message, data):
        try:
            self.advance(fraction)
        except Cancelled as cancelled:
            self.raised = cancelled
            return 0
        return 1

    def again(self):
        if self.raised is not None:
            raise self.raised


def overview_levels(width, height):
    """Powers of 2, until both sides are small."""
    levels = []
    while max(width, height) / 2 ** len(levels) > SMALLEST_OVERVIEW:
        levels.append(2 ** (len(levels) + 1))
    return levels


def make_cog(path, options, workers, advance):
    """Turn the plain GeoTIFF at a path that ends in `.cog.tif` into a cloud optimized one."""
    plain = path + ".plain"
    os.replace(path, plain)
    told = _Told(advance)
    with collected_errors() as messages:
        source = gdal.Open(plain)
        copy = gdal.GetDriverByName("COG").CreateCopy(
            path,
            source,
            options=creation_options("COG", options, workers),
            callback=told,
        )
        del copy, source
    told.again()
    for left in (plain, plain + ".aux.xml"):
        if os.path.exists(left):
            os.unlink(left)
    if messages:
        raise SegmentationError(f"OUTPUT cannot be written ({reason(messages)}): make room, or check CREATION_OPTIONS.")
