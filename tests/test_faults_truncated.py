# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that end too early, for real: an input at every block, and what a run left in its work folder at any byte."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal
from rasters import Log, read, run, write_raster
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from time_limit import no_test_hangs  # noqa: F401

QUICK = {"num_clusters": 5, "min_pixels": 6, "sampling": 3, "tile_width": 30, "kernels": "plain", "execution": "serial"}
LAYOUTS = {
    "plain strips": ["BLOCKYSIZE=4"],
    "compressed strips": ["COMPRESS=DEFLATE", "BLOCKYSIZE=4"],
    "tiles": ["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16"],
}


def scene():
    rng = np.random.default_rng(2)
    patches = np.kron(rng.integers(20, 230, (2, 6, 9)), np.ones((1, 8, 8), int))
    return (patches + rng.integers(0, 30, patches.shape)).astype(np.uint8)


def ends_of_blocks(path):
    """Where each block of a TIFF ends."""
    dataset = gdal.Open(str(path))
    band, found = dataset.GetRasterBand(1), set()
    width, height = band.GetBlockSize()
    for row in range(-(-band.YSize // height)):
        for col in range(-(-band.XSize // width)):
            offset = int(band.GetMetadataItem(f"BLOCK_OFFSET_{col}_{row}", "TIFF"))
            found.add(offset + int(band.GetMetadataItem(f"BLOCK_SIZE_{col}_{row}", "TIFF")))
    return sorted(found)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_input_that_ends_at_any_block_is_refused_and_nothing_is_touched(tmp_path, layout):
    whole = write_raster(tmp_path / "whole.tif", scene(), options=LAYOUTS[layout])
    expected, _ = run(whole, tmp_path / "o.tif", **QUICK)
    (tmp_path / "s").mkdir()
    kept = {path.name: path.read_bytes() for path in tmp_path.glob("o*")}
    size, cut = os.path.getsize(whole), tmp_path / "in.tif"
    ends = [end for end in ends_of_blocks(whole) if end < size]
    assert len(ends) > 3
    for place in [ends[0] - 1, *ends[:: max(1, len(ends) // 6)], size - 1]:
        shutil.copy(whole, cut)
        os.truncate(cut, place)
        try:
            ids, _ = run(cut, tmp_path / "s" / "o.tif", **QUICK)
        except SegmentationError as error:
            assert "\n" not in str(error) and ": " in str(error)
            assert not list((tmp_path / "s").iterdir())
        else:  # what is cut off need not be of the pixels
            assert np.array_equal(ids, expected)
            shutil.rmtree(tmp_path / "s")
            (tmp_path / "s").mkdir()
        with pytest.raises(SegmentationError):
            run(cut, tmp_path / "o.tif", **{**QUICK, "min_pixels": 9, "bands": (1, 3)})
        assert {path.name: path.read_bytes() for path in tmp_path.glob("o*")} == kept


@pytest.mark.parametrize("which", ["SEGMENTS", "VALUES"])
def test_products_of_truncated_rasters_are_refused(tmp_path, which):
    values = write_raster(tmp_path / "in.tif", scene(), options=["BLOCKYSIZE=4"])
    segments = tmp_path / "s.tif"
    run(values, segments, **QUICK)
    cut = Path(segments if which == "SEGMENTS" else values)
    os.truncate(cut, os.path.getsize(cut) * 2 // 3)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    parameters = StatisticsParameters(
        str(segments), values, str(tmp_path / "t.csv"), execution="serial", kernels="plain"
    )
    with pytest.raises(SegmentationError, match="cannot be read|damaged"):
        segment_statistics(parameters, Feedback())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_is_left_of_a_work_folder_is_used_or_made_anew(tmp_path):
    raster = write_raster(tmp_path / "in.tif", scene())
    expected, _ = run(raster, tmp_path / "expected.tif", **QUICK)
    with pytest.raises(Cancelled):
        run(raster, tmp_path / "o.tif", Log(cancel_at=66), work_dir=str(tmp_path / "left"), **QUICK)
    names = sorted(path.name for path in (tmp_path / "left").iterdir())
    assert len(names) > 6
    for number, name in enumerate(names):
        for share in ((0, 0.9), (0.3, 1))[number % 2]:
            work = tmp_path / "work"
            shutil.copytree(tmp_path / "left", work)
            size = os.path.getsize(work / name)
            os.truncate(work / name, max(0, min(size - 1, int(size * share) - number % 3)))
            run(raster, tmp_path / "o.tif", work_dir=str(work), **QUICK)
            assert np.array_equal(read(tmp_path / "o.tif"), expected), (name, share)
            assert not list(work.iterdir())
            shutil.rmtree(work)
