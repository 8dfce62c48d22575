# SPDX-License-Identifier: GPL-2.0-or-later
"""A raster of hundreds of files, with their footprints as tiles: some empty, some overlapping, smaller at the coast."""

import os
import random

import numpy as np
import pytest
from osgeo import gdal, ogr, osr
from rasters import GEOTRANSFORM, UTM, run, write_raster
from tiledseg.tiledseg_plugin.engine.files import gdal_access
from tiledseg.tiledseg_plugin.engine.parameters import PreflightParameters
from tiledseg.tiledseg_plugin.engine.preflight import preflight
from tiledseg.tiledseg_plugin.engine.progress import Feedback

COLUMNS, ROWS, SIDE, MARGIN = 20, 16, 18, 2  # files, and pixels of each, which overlap by twice the margin
WIDTH, HEIGHT = COLUMNS * SIDE, ROWS * SIDE
SETTINGS = {"num_clusters": 8, "min_pixels": 12, "sampling": 3}


@pytest.fixture(scope="module")
def country(tmp_path_factory):
    """(values, paths of files, windows of files): land with a coast; files without any land are missing."""
    folder = tmp_path_factory.mktemp("files")
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    rng = np.random.default_rng(17)
    shape = 200 + 80 * np.sin(cols / 23) * np.cos(rows / 19) + rng.normal(0, 25, (2, HEIGHT, WIDTH))
    values = shape.clip(1, 255).astype(np.uint8)
    values[:, np.hypot(cols - 0.45 * WIDTH, 1.2 * (rows - 0.5 * HEIGHT)) > 0.47 * WIDTH] = 0
    files = {}
    for row in range(ROWS):
        for col in range(COLUMNS):
            left, top = max(col * SIDE - MARGIN, 0), max(row * SIDE - MARGIN, 0)
            right, bottom = min((col + 1) * SIDE + MARGIN, WIDTH), min((row + 1) * SIDE + MARGIN, HEIGHT)
            if row in (0, ROWS - 1):  # at the coast, files are smaller
                right = min(right, left + SIDE // 2 + MARGIN)
            part = values[:, top:bottom, left:right]
            if part.any():
                transform = (GEOTRANSFORM[0] + 10 * left, 10, 0, GEOTRANSFORM[3] - 10 * top, 0, -10)
                path = write_raster(folder / f"{row:02d}-{col:02d}.tif", part, 0, transform)
                files[str(path)] = (left, top, right - left, bottom - top)
    whole = np.zeros_like(values)
    for left, top, width, height in files.values():
        whole[:, top : top + height, left : left + width] = values[:, top : top + height, left : left + width]
    assert 200 < len(files) < COLUMNS * ROWS
    return whole, files


def mosaic(folder, files):
    """A VRT of the files over the whole country."""
    path = str(folder / "country.vrt")
    left, top = GEOTRANSFORM[0], GEOTRANSFORM[3]
    bounds = (left, top - 10 * HEIGHT, left + 10 * WIDTH, top)
    gdal.BuildVRT(path, list(files), outputBounds=bounds, srcNodata=0, VRTNodata=0).FlushCache()
    return path


class Watched:
    """Counts how often a raster is opened, and the files that this process has open."""

    def __init__(self, monkeypatch, path):
        self.opened, self.most = 0, 0
        original = gdal_access.open_raster

        def open_raster(name):
            self.opened += name == path
            return original(name)

        monkeypatch.setattr(gdal_access, "open_raster", open_raster)

    def look(self, *_):
        self.most = max(self.most, len(os.listdir("/proc/self/fd")))


@pytest.mark.parametrize("execution", ["serial", "threads"])
def test_footprints_as_tiles_change_nothing(country, tmp_path, monkeypatch, execution):
    values, files = country
    expected, _ = run(write_raster(tmp_path / "whole.tif", values, 0), tmp_path / "a.tif", **SETTINGS)
    path, footprints = mosaic(tmp_path, files), list(files.values())
    footprints += [(WIDTH - SIDE, 0, SIDE, SIDE), (0, HEIGHT - 5, 7, 5)]  # of files that there are not
    random.Random(3).shuffle(footprints)
    covered = np.zeros((HEIGHT, WIDTH), bool)
    for left, top, width, height in footprints:
        covered[top : top + height, left : left + width] = True
    assert (covered | ~values.any(axis=0)).all()
    watched, feedback = Watched(monkeypatch, path), Feedback()
    feedback.set_progress = feedback.tile_finished = watched.look
    monkeypatch.setattr("tiledseg.tiledseg_plugin.engine.stages.statistics.BLOCK_PIXELS", 32 * 32)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    ids, result = run(
        path, tmp_path / "b.tif", feedback, tiles=tuple(footprints), execution=execution, workers=2, **SETTINGS
    )
    assert np.array_equal(ids, expected)
    assert result.tile_count == len(footprints) and result.empty_tiles >= 2
    assert watched.opened <= 2 * 4, "once in a thread and stage, not for each of the blocks and tiles"
    if before:
        assert watched.most - before < 130 < len(files), "GDAL keeps 100 of them open"


def test_the_pre_flight_opens_the_raster_once_in_a_thread(country, tmp_path, monkeypatch):
    _, files = country
    path = mosaic(tmp_path, files)
    watched = Watched(monkeypatch, path)
    monkeypatch.setattr("tiledseg.tiledseg_plugin.engine.stages.statistics.BLOCK_PIXELS", 32 * 32)
    result = preflight(PreflightParameters(path, tiles=tuple(files.values()), workers=2), Feedback())
    assert result.tile_count == len(files) and watched.opened <= 2


@pytest.mark.skipif(int(gdal.VersionInfo()) < 3090000, reason="GDAL reads tile indexes as rasters since 3.9")
def test_a_tile_index_is_segmented_as_its_files_are(country, tmp_path):
    values, files = country
    expected, _ = run(write_raster(tmp_path / "whole.tif", values, 0), tmp_path / "a.tif", **SETTINGS)
    index = str(tmp_path / "country.gti.gpkg")
    crs = osr.SpatialReference()
    crs.SetFromUserInput(UTM)
    dataset = ogr.GetDriverByName("GPKG").CreateDataSource(index)
    layer = dataset.CreateLayer("index", crs, ogr.wkbPolygon)
    layer.CreateField(ogr.FieldDefn("location", ogr.OFTString))
    left, top = GEOTRANSFORM[0], GEOTRANSFORM[3]
    for name, value in (("RESX", 10), ("RESY", 10), ("NODATA", 0), ("BAND_COUNT", 2), ("DATA_TYPE", "Byte")):
        layer.SetMetadataItem(name, str(value))
    for name, value in zip(("MINX", "MAXX", "MINY", "MAXY"), (left, left + 10 * WIDTH, top - 10 * HEIGHT, top)):
        layer.SetMetadataItem(name, str(value))
    for path, (col, row, width, height) in files.items():
        west, north = left + 10 * col, top - 10 * row
        east, south = west + 10 * width, north - 10 * height
        feature = ogr.Feature(layer.GetLayerDefn())
        feature.SetField("location", path)
        text = f"POLYGON(({west} {south},{east} {south},{east} {north},{west} {north},{west} {south}))"
        feature.SetGeometryDirectly(ogr.CreateGeometryFromWkt(text))
        layer.CreateFeature(feature)
    layer = dataset = None
    ids, _ = run(index, tmp_path / "b.tif", tiles=tuple(files.values()), **SETTINGS)
    assert np.array_equal(ids, expected)
