# SPDX-License-Identifier: GPL-2.0-or-later
"""Parts of the RSGISLib engine: which tiles and regions go together, what it prints, whether it is usable."""

import ctypes
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasters import Log
from tiledseg.tiledseg_plugin.engine import rsgislib as rsgislib_engine
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files.window import Window
from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
from tiledseg.tiledseg_plugin.engine.rsgislib import availability, shepherd
from tiledseg.tiledseg_plugin.engine.rsgislib.availability import Availability
from tiledseg.tiledseg_plugin.engine.rsgislib.capture import captured_output
from tiledseg.tiledseg_plugin.engine.rsgislib.patches import (
    BorderRegions,
    Patch,
    offset_patches,
    region_patches,
    tile_patches,
)
from tiledseg.tiledseg_plugin.engine.stages.plan import plan_grid, plan_rectangles


def test_an_rsgislib_that_does_not_load_is_reported_with_its_reason(monkeypatch):
    def broken(name):
        raise ImportError("libhdf5.so.999: cannot open shared object file")

    monkeypatch.setattr(availability.util, "find_spec", lambda name: object())
    monkeypatch.setattr(availability, "import_module", broken)
    assert "libhdf5.so.999" in rsgislib_engine.describe().sentence


@pytest.mark.parametrize("execution", ["threads", "dask"])
def test_threads_are_refused(execution):
    parameters = SegmentParameters(
        "in.tif", "out.tif", engine="rsgislib", execution=execution, work_dir="w", dask_scheduler="s"
    )
    with pytest.raises(SegmentationError, match="not made for threads"):
        parameters.check()


def test_statistics_of_tiles_are_not_for_the_built_in_engine():
    with pytest.raises(SegmentationError, match="PER_TILE_STATISTICS"):
        SegmentParameters("in.tif", "out.tif", per_tile_statistics=True).check()


@given(st.integers(1, 300), st.integers(1, 300), st.integers(16, 120), st.integers(16, 120))
@settings(deadline=None)
def test_offset_tiles_cover_the_raster_once_and_share_no_border_with_tiles(width, height, tile_width, tile_height):
    plan = plan_grid(width, height, tile_width, tile_height)
    tiles = tile_patches([tile.pieces for tile in plan.tiles])
    offset = offset_patches(plan, tiles)
    assert bool(offset) == (len(tiles) > 1)
    count = np.zeros((height, width), int)
    middles = [sorted({tile.window[side] + tile.window[side + 2] // 2 for tile in plan.tiles}) for side in (0, 1)]
    for patch in offset:
        count[patch.window.within(Window(0, 0, width, height))] += 1
        for side in (0, 1):
            assert patch.window[side] in [0, *(middles[side] if len(middles[side]) > 1 else ())]
    assert not offset or (count == 1).all()


def test_offset_tiles_are_not_offset_along_a_single_row_of_tiles():
    plan = plan_grid(100, 30, 40, 50)
    windows = [patch.window for patch in offset_patches(plan, tile_patches([tile.pieces for tile in plan.tiles]))]
    assert windows == [Window(0, 0, 16, 30), Window(16, 0, 33, 30), Window(49, 0, 34, 30), Window(83, 0, 17, 30)]


def test_offset_tiles_of_tiles_that_are_no_grid_are_as_large_as_the_largest():
    plan = plan_rectangles(100, 30, [(5, 0, 40, 30), (60, 0, 40, 30)])
    windows = [patch.window for patch in offset_patches(plan, tile_patches([tile.pieces for tile in plan.tiles]))]
    assert windows == [Window(0, 0, 20, 30), Window(20, 0, 40, 30), Window(60, 0, 40, 30)]


def test_a_sparse_tile_is_in_one_patch_with_its_neighbour():
    plan = plan_rectangles(100, 100, [(0, 0, 50, 50), (50, 0, 50, 40)])
    patch = tile_patches([tuple(plan.pieces)])[0]
    assert (patch.window, len(patch.parts)) == (Window(0, 0, 100, 50), 2)
    assert offset_patches(plan, [patch]) == []


def regions_of(number, window, left, right, boxes):
    sides = {"left": np.array(left), "right": np.array(right)}
    sides.update(top=np.zeros(window.width, int), bottom=np.zeros(window.width, int))
    return BorderRegions(number, window, np.array(boxes).reshape(-1, 4), sides)


def test_regions_that_meet_at_a_border_are_done_together_and_others_by_tile():
    one = regions_of(1, Window(0, 0, 4, 3), [0, 0, 0], [1, 0, 2], [(1, 0, 4, 1), (2, 2, 4, 3)])
    two = regions_of(2, Window(4, 0, 4, 3), [1, 0, 0], [0, 0, 0], [(4, 0, 6, 1)])
    tiles = [Patch(1, 1, Window(0, 0, 3, 3)), Patch(1, 2, Window(3, 0, 3, 3))]
    rest = region_patches([one, two], tiles, most_pixels=9)
    assert [patch.regions for patch in rest] == [((1, 2),), ((1, 1), (2, 1))]
    assert [patch.window for patch in rest] == [Window(2, 2, 2, 1), Window(1, 0, 5, 1)]
    assert [patch.nearest for patch in rest] == [1, 2]
    assert region_patches([], tiles, 9) == []


def test_all_that_a_library_prints_is_captured(tmp_path, capfd):
    library = ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
    with captured_output(tmp_path / "printed.txt") as printed:
        print("from Python")
        library.puts(b"from a library")
        os.write(2, b"from a system call\n")
    print("afterwards")
    assert set(printed.text.split("\n")) == {"from Python", "from a library", "from a system call", ""}
    assert capfd.readouterr() == ("afterwards\n", "")
    assert os.listdir(tmp_path) == []


def test_output_comes_back_after_an_error(tmp_path, capfd):
    with pytest.raises(ValueError), captured_output(tmp_path / "printed.txt"):
        raise ValueError
    os.write(1, b"heard")
    assert capfd.readouterr().out == "heard"


def test_centres_are_written_as_rsgislib_reads_them(tmp_path):
    centres = np.array([[1.5, 20], [3.25, 40], [1234567, 0.000123]], np.float32)
    shepherd.write_centres(tmp_path / "centres.gmtxt", centres)
    assert (tmp_path / "centres.gmtxt").read_text().split() == ["m=3", "n=2", "1.5,3.25,1.23457e+06", "20,40,0.000123"]


def test_no_valid_pixel_is_zero_for_rsgislib():
    compared = np.array([[[0, 3], [0, 0]], [[0, 0], [5, 0]]], np.uint8)
    valid = np.array([[True, True], [True, False]])
    changed = shepherd._without_zeros(compared, valid)
    assert changed.any(axis=0).tolist() == valid.tolist()
    assert np.allclose(changed, compared)
    everywhere = np.array([[True, True], [True, False]]) & compared.any(axis=0)
    assert shepherd._without_zeros(compared, everywhere) is compared


def test_status_line_of_a_usable_rsgislib(monkeypatch):
    module = SimpleNamespace(**dict.fromkeys(availability.FUNCTIONS, None))
    monkeypatch.setattr(availability.util, "find_spec", lambda name: object())
    monkeypatch.setattr(availability, "import_module", lambda name: module)
    monkeypatch.setattr(availability, "_version", lambda: "5.2.3")
    monkeypatch.setattr(availability, "has_kea", lambda: False)
    assert rsgislib_engine.describe().sentence == (
        "RSGISLib 5.2.3 is usable; its intermediate files are GeoTIFF, as GDAL has no KEA driver, files."
    )


def test_status_reports_rsgislib(monkeypatch):
    from tiledseg.tiledseg_plugin.engine import installation

    for found in (
        Availability("5.2.3", True, ""),
        Availability("", False, "the Python package rsgislib is not installed"),
    ):
        monkeypatch.setattr(rsgislib_engine, "describe", lambda found=found: found)
        seen = installation.find_status("1.2.3", Log())
        assert ("rsgislib" in seen.engines) == found.usable
        assert seen.versions["rsgislib"] == (found.version or None)
        assert any("conda-forge into one environment" in line for line in seen.advice) != found.usable
