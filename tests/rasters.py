# SPDX-License-Identifier: GPL-2.0-or-later
"""Making rasters for tests, running the engine on them, and what the result must be."""

from pathlib import Path

import numpy as np
from osgeo import gdal, gdal_array
from tiledseg.tiledseg_plugin.engine import kernels
from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from tiledseg.tiledseg_plugin.engine.segmentation import segment

UTM = "EPSG:32630"
GEOTRANSFORM = (500000.0, 10.0, 0.0, 6000000.0, 0.0, -10.0)


class Log(Feedback):
    """Feedback that remembers."""

    def __init__(self, cancel_at=None):
        self.lines, self.percents, self.texts = [], [], []
        self.cancel_at = cancel_at

    def is_cancelled(self):
        return self.cancel_at is not None and bool(self.percents) and self.percents[-1] >= self.cancel_at

    def set_progress(self, percent):
        self.percents.append(percent)

    def set_progress_text(self, text):
        self.texts.append(text)

    def info(self, text):
        self.lines.append(text)

    def warning(self, text):
        self.lines.append(text)


def write_raster(path, values, nodata=None, geotransform=GEOTRANSFORM, crs=UTM, driver="GTiff", options=()):
    """A raster of (bands, rows, cols) values; `nodata` one value for all bands, or None; none is alpha unless asked."""
    bands, rows, cols = values.shape
    if driver == "GTiff" and not any(option.startswith("ALPHA=") for option in options):
        options = [*options, "ALPHA=NO"]  # GDAL takes the fourth of four bytes for alpha
    kind = gdal_array.NumericTypeCodeToGDALTypeCode(values.dtype)
    dataset = gdal.GetDriverByName(driver).Create(str(path), cols, rows, bands, kind, list(options))
    if geotransform:
        dataset.SetGeoTransform(geotransform)
    if crs:
        dataset.SetProjection(_wkt(crs))
    for index, band in enumerate(values):
        if nodata is not None:
            dataset.GetRasterBand(index + 1).SetNoDataValue(nodata)
        dataset.GetRasterBand(index + 1).WriteArray(band)
    dataset.FlushCache()
    return str(path)


def write_patches(path):
    """160 x 90 pixels of 3 bands: patches of 10 x 10 with noise, some of them alike."""
    rng = np.random.default_rng(3)
    patches = np.kron(rng.integers(20, 230, (3, 9, 16)), np.ones((1, 10, 10), int))
    return write_raster(path, (patches + rng.integers(0, 20, patches.shape)).astype(np.uint8))


def _wkt(crs):
    from osgeo import osr

    reference = osr.SpatialReference()
    reference.SetFromUserInput(crs)
    return reference.ExportToWkt()


def read(path):
    """All bands: (rows, cols) or (bands, rows, cols)."""
    dataset = gdal.Open(str(path))
    return dataset.ReadAsArray()


def level_columns_of(path):
    """{level: (segments,)} of a raster's attribute table."""
    dataset = gdal.Open(str(path))
    table = dataset.GetRasterBand(1).GetDefaultRAT()
    names = [table.GetNameOfCol(index) for index in range(table.GetColumnCount())]
    return {
        int(name[len("level_") :]): table.ReadAsArray(index)[1:]
        for index, name in enumerate(names)
        if name.startswith("level_")
    }


def same_levels(*paths):
    """Assert that the tables of two rasters have the same columns of levels, and some."""
    one, other = map(level_columns_of, paths)
    assert one and list(one) == list(other)
    assert all(one[level].tolist() == other[level].tolist() for level in one)


def run(path, output, feedback=None, **parameters):
    """Segment; returns the ids and the result."""
    result = segment(SegmentParameters(input=str(path), output=str(output), **parameters), feedback or Feedback())
    return read(output), result


def of_tile(array, record, width, height):
    """The part of (rows, cols) that is a tile of the grid: as few as there can be, cut at even shares, rounded down.

    Parameters
    ----------
    record : with its `col` and `row`
    width, height : of the largest tile that is allowed
    """
    slices = []
    for span, most, place in zip(array.shape, (height, width), (record["row"], record["col"])):
        share = span / np.ceil(span / most)
        slices.append(slice(*np.floor(np.array([place, place + 1]) * share + 1e-9).astype(int)))
    return array[tuple(slices)]


def segment_untiled(compared, valid, centres, min_pixels, threshold, sums_of=None):
    """The algorithm on whole arrays, kernel after kernel: what every tiling must make."""
    kernel, _ = kernels.choose("plain")
    clusters = kernel.nearest_centre(compared, valid, centres)
    clusters, _ = kernel.eliminate_singles(clusters, compared, (False,) * 4)
    labels, count = kernel.clump(clusters)
    sizes, sums, _, _ = kernel.describe_clumps(labels, count, clusters, compared if sums_of is None else sums_of)
    edges = kernel.find_edges(labels, count) - np.uint32(1)
    elimination = kernel.Elimination(sizes, sums, np.ones(1), edges, min_pixels, threshold or np.inf)
    for area in range(1, min_pixels + 1):
        elimination.step(area)
    merged = np.append(0, elimination.into.astype(np.int64) + 1)[labels]
    ids = np.zeros(labels.shape, np.uint32)
    _, first, inverse = np.unique(merged[valid], return_index=True, return_inverse=True)
    rank = np.empty(first.size, np.uint32)
    rank[np.argsort(first)] = np.arange(1, first.size + 1)
    ids[valid] = rank[inverse]
    return ids


def leftovers(folder, allowed):
    """Files in a folder besides the allowed names."""
    return sorted(file.name for file in Path(folder).iterdir() if file.name not in allowed)
