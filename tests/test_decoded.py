# SPDX-License-Identifier: GPL-2.0-or-later
"""Small files, and those whose blocks are slow to decode: each block is decoded once or nearly so, and the result is
what it always was."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal
from rasters import Log, run
from tiledseg.tiledseg_plugin.engine import segmentation
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files import decoded, reading
from tiledseg.tiledseg_plugin.engine.files.decoded import (
    Decoded,
    Held,
    held_bytes,
    is_worth_keeping,
    storage_of,
    times_decoded,
)
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from tiledseg.tiledseg_plugin.engine.files.reading import read_window
from tiledseg.tiledseg_plugin.engine.files.window import Window
from tiledseg.tiledseg_plugin.engine.files.work_folder import WorkFolder
from tiledseg.tiledseg_plugin.engine.parameters import PreflightParameters
from tiledseg.tiledseg_plugin.engine.preflight import preflight
from tiledseg.tiledseg_plugin.engine.progress import Feedback

WIDTH, HEIGHT, BANDS = 230, 170, 3
SETTINGS = {"num_clusters": 6, "min_pixels": 9, "sampling": 2, "kernels": "plain", "execution": "serial"}
LAYOUTS = {
    "one strip": ("GTiff", ["COMPRESS=DEFLATE", f"BLOCKYSIZE={HEIGHT}"]),
    "one strip of all bands": ("GTiff", ["COMPRESS=DEFLATE", f"BLOCKYSIZE={HEIGHT}", "INTERLEAVE=PIXEL"]),
    "strips of one row": ("GTiff", ["COMPRESS=LZW", "BLOCKYSIZE=1"]),
    "large tiles": ("GTiff", ["COMPRESS=ZSTD", "TILED=YES", "BLOCKXSIZE=128", "BLOCKYSIZE=128", "PREDICTOR=2"]),
    "JPEG 2000": ("JP2OpenJPEG", ["REVERSIBLE=YES", "QUALITY=100", "BLOCKXSIZE=128", "BLOCKYSIZE=128"]),
}


@pytest.fixture(scope="module")
def values():
    rng = np.random.default_rng(6)
    patches = np.kron(rng.integers(20, 230, (BANDS, 17, 23)), np.ones((1, 10, 10), int))
    values = (patches + rng.integers(0, 25, patches.shape)).astype(np.uint16)
    values[:, 40:60, 90:130] = 0
    return values


@pytest.fixture(scope="module")
def files(values, tmp_path_factory):
    """{layout: path}, the same pixels in each; `usual` is not compressed."""
    folder = tmp_path_factory.mktemp("layouts")
    memory = gdal.GetDriverByName("MEM").Create("", WIDTH, HEIGHT, BANDS, gdal.GDT_UInt16)
    memory.WriteArray(values)
    found = {}
    for name, (driver, options) in {"usual": ("GTiff", ["TILED=YES"]), **LAYOUTS}.items():
        if gdal.GetDriverByName(driver) is None:
            continue
        path = folder / f"{name}.{'jp2' if 'JP2' in driver else 'tif'}"
        gdal.GetDriverByName(driver).CreateCopy(str(path), memory, options=options)
        found[name] = str(path)
    return found


@pytest.fixture(scope="module")
def expected(files, tmp_path_factory):
    """The ids of these pixels, whatever the layout."""
    return run(files["usual"], tmp_path_factory.mktemp("expected") / "o.tif", **SETTINGS)[0]


@pytest.fixture
def read_pixels(monkeypatch):
    """How many pixels were read of the file, a list of windows."""
    read, at_once = [], reading._read_at_once

    def counted(dataset, described, window, source):
        read.append(window)
        return at_once(dataset, described, window, source)

    monkeypatch.setattr(reading, "_read_at_once", counted)
    return read


def file_of(files, layout):
    if layout not in files:
        pytest.skip("this GDAL has no driver for it")
    return files[layout]


@pytest.fixture
def no_room_in_memory(monkeypatch):
    monkeypatch.setattr(decoded, "HELD_BYTES", 0)


@pytest.mark.parametrize("execution", ["serial", "threads"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_pixel_of_a_small_file_is_read_once(files, expected, layout, execution, tmp_path, read_pixels):
    path, log = file_of(files, layout), Log()
    given_ = {**SETTINGS, "execution": execution, "tile_width": 90, "tile_height": 100}
    ids, _ = run(path, tmp_path / "o.tif", log, **given_)
    assert np.array_equal(ids, expected)
    assert sum(window.pixels for window in read_pixels) == WIDTH * HEIGHT
    assert not any("Values are kept" in line for line in log.lines)


def test_what_is_quick_to_read_or_too_much_is_not_kept_in_memory(files, monkeypatch):
    size, raster = WIDTH * HEIGHT * BANDS * 2, describe(files["one strip"])
    assert held_bytes(raster) == size
    assert held_bytes(describe(files["usual"])) == 0
    assert held_bytes(describe(files["one strip"], (2,))) == size // BANDS
    assert held_bytes(describe(files["one strip"], extent=(100, 0, 23, 17))) == 23 * 17 * BANDS * 2
    for name, least in (("HELD_BYTES", size), ("free_memory", lambda: 8 * size)):
        with monkeypatch.context() as patch:
            patch.setattr(decoded, name, least)
            assert held_bytes(raster) == size
            patch.setattr(decoded, name, least - 1 if name == "HELD_BYTES" else lambda: 8 * size - 1)
            assert held_bytes(raster) == 0
    monkeypatch.setattr(decoded, "free_memory", lambda: None)
    assert held_bytes(raster) == 0


def floats_of(values, path):
    """The same image with values that are not finite, which reading makes zeros of and no data."""
    values = values.astype(np.float32)
    values[0, 5:9, 30:60], values[1, 100:130, 7], values[2, 3, 50] = np.nan, np.inf, -np.inf
    dataset = gdal.GetDriverByName("GTiff").Create(
        str(path), WIDTH, HEIGHT, BANDS, gdal.GDT_Float32, ["COMPRESS=DEFLATE"]
    )
    dataset.WriteArray(values)


@pytest.mark.parametrize("kind", ["floats", "a mask", "resampled", "a part"])
def test_what_is_in_memory_is_what_is_in_the_file(files, values, kind, tmp_path, read_pixels, monkeypatch):
    path, more = str(tmp_path / "in.tif"), {}
    if kind == "floats":
        floats_of(values, path)
    elif kind == "a mask":
        gdal.Translate(path, files["one strip"], creationOptions=["COMPRESS=LZW"])
        dataset = gdal.Open(path, gdal.GA_Update)
        dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
        dataset.GetRasterBand(1).GetMaskBand().WriteArray(np.where(np.indices((HEIGHT, WIDTH)).sum(0) % 97 < 9, 0, 255))
        del dataset
    elif kind == "resampled":
        path = str(tmp_path / "in.vrt")
        gdal.Translate(path, files["one strip"], format="VRT", width=WIDTH * 2 // 3, resampleAlg="bilinear")
    else:
        path, more = files["one strip"], {"nodata": "77", "bands": (3, 1)}
    given_ = {**SETTINGS, **more, "tile_width": 70, "tile_height": 60}
    held, _ = run(path, tmp_path / "held.tif", **given_)
    read_once = len(read_pixels)
    monkeypatch.setattr(decoded, "HELD_BYTES", 0)
    monkeypatch.setattr(segmentation, "is_worth_keeping", lambda *_: False)
    ids, _ = run(path, tmp_path / "o.tif", **given_)
    assert len(np.unique(ids)) > 20 and np.array_equal(held, ids)
    assert read_once < len(read_pixels) - read_once, "nothing was kept"


def test_nobody_changes_what_is_in_memory_and_it_stays_there(values):
    held, key = Held(), (("values", 1), Window(0, 0, WIDTH, HEIGHT))
    held.keep(key, values[:1])
    with pytest.raises(ValueError):
        held.get(key)[0, 0, 0] = 1
    there = pickle.loads(pickle.dumps(held))
    assert there.get(key) is None and not there.keeps_all


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_pixel_of_a_slow_layout_is_read_once_and_the_result_is_the_same(
    files, expected, layout, tmp_path, read_pixels, monkeypatch, no_room_in_memory
):
    monkeypatch.setattr(decoded, "SMALL_SIDE", 100)  # as all is small here
    path, log = file_of(files, layout), Log()
    ids, _ = run(path, tmp_path / "o.tif", log, tile_width=90, tile_height=100, **SETTINGS)
    assert np.array_equal(ids, expected)
    assert sum(window.pixels for window in read_pixels) == WIDTH * HEIGHT
    assert any("Values are kept" in line for line in log.lines)


@settings(max_examples=6, deadline=None)
@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    width=st.integers(60, WIDTH),
    height=st.integers(60, HEIGHT),
    pixels=st.sampled_from([900, 5000, 40_000]),
    full=st.integers(0, 40),
    in_memory=st.booleans(),
)
def test_whatever_the_tiles_the_cells_and_the_room_for_them(
    files, expected, tmp_path_factory, layout, width, height, pixels, full, in_memory
):
    """Where the disk is full, what was not kept is read again."""
    if layout not in files:
        return
    folder = tmp_path_factory.mktemp("any")
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        save = WorkFolder.save_array

        def save_while_there_is_room(self, name, array):
            if name.startswith("decoded"):
                kept.append(name)
                if len(kept) > full:
                    raise SegmentationError("The disk is full: make room.")
            save(self, name, array)

        if not in_memory:
            patch.setattr(decoded, "HELD_BYTES", 0)
        patch.setattr(WorkFolder, "save_array", save_while_there_is_room)
        patch.setattr(reading, "CELL_PIXELS", pixels)
        patch.setattr("tiledseg.tiledseg_plugin.engine.stages.statistics.BLOCK_PIXELS", pixels)
        ids, _ = run(files[layout], folder / "o.tif", tile_width=width, tile_height=height, **SETTINGS)
    assert np.array_equal(ids, expected)


@pytest.mark.parametrize("execution", ["threads", "processes"])
def test_all_executions_read_what_the_survey_has_left(files, expected, tmp_path, execution, no_room_in_memory):
    given_ = {**SETTINGS, "execution": execution, "workers": 2, "tile_width": 120}
    ids, _ = run(files["one strip"], tmp_path / "o.tif", **given_)
    assert np.array_equal(ids, expected)


def test_what_a_killed_run_has_left_is_not_trusted(files, expected, tmp_path, no_room_in_memory):
    """It bears its name before the disk has all of it; and another raster may be of the same size."""
    work = tmp_path / "work"
    work.mkdir()
    described = describe(files["one strip"])
    cells = Decoded(WorkFolder(str(work), {}))
    cells.keep((("values", 1, 2, 3), described.window), np.zeros((BANDS, HEIGHT, WIDTH), np.uint16))
    cells._folder._ownership.release()
    assert list(work.glob("tiledseg-decoded-*"))
    (work / "tiledseg-manifest.json").unlink()
    ids, _ = run(files["one strip"], tmp_path / "b.tif", work_dir=str(work), tile_width=120, **SETTINGS)
    assert np.array_equal(ids, expected)
    assert not list(work.glob("*"))


def test_a_half_cell_is_read_again(files, values, tmp_path):
    described, folder = describe(files["one strip"]), WorkFolder("", {})
    cells = Decoded(folder)
    dataset = gdal.Open(files["one strip"])
    read_window(dataset, described, described.window, cells=cells)
    [path] = folder.path.glob("tiledseg-decoded-*")
    path.write_bytes(path.read_bytes()[:1000])
    window = Window(30, 20, 60, 50)
    found, _ = read_window(dataset, described, window, cells=cells)
    assert np.array_equal(found, values[:, 20:70, 30:90])
    folder.close(True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_preflight_reads_each_block_once(files, layout, read_pixels, monkeypatch):
    monkeypatch.setattr("tiledseg.tiledseg_plugin.engine.stages.statistics.BLOCK_PIXELS", 5000)
    path = file_of(files, layout)
    result = preflight(PreflightParameters(path, tile_width=50, tile_height=50), Feedback())
    assert sum(window.pixels for window in read_pixels) == WIDTH * HEIGHT
    if "one strip" in layout:
        assert len(read_pixels) == 1
    assert result.tile_count == 20


@pytest.mark.parametrize(
    "block, windows, times",
    [
        ((10, 10), [(0, 0, 10, 10), (10, 0, 10, 10)], 1.0),
        ((10, 10), [(0, 0, 11, 10), (9, 0, 11, 10)], 2.0),
        ((20, 1), [(0, 0, 10, 10), (10, 0, 10, 10)], 2.0),
        ((20, 10), [(0, 0, 5, 5), (5, 0, 5, 5), (10, 5, 5, 5), (15, 5, 5, 5)], 4.0),
        ((64, 64), [(0, 0, 20, 10)], 1.0),
    ],
)
def test_how_often_blocks_would_be_decoded(block, windows, times):
    assert times_decoded(block, 20, 10, [Window(*window) for window in windows]) == times


def test_what_is_quick_to_read_is_not_kept(files, tmp_path):
    folder = WorkFolder("", {})
    tiles = [Window(col, 0, 20, HEIGHT) for col in range(0, WIDTH, 20)]
    assert is_worth_keeping(files["one strip"], BANDS, 2, tiles, folder.path)
    assert not is_worth_keeping(files["usual"], BANDS, 2, tiles, folder.path)
    assert not is_worth_keeping(files["one strip"], BANDS, 2, [Window(0, 0, WIDTH, HEIGHT)], folder.path)
    assert not is_worth_keeping(files["one strip"], BANDS, 10**12, tiles, folder.path), "it would fill the disk"
    folder.close(True)


def test_small_blocks_are_kept_only_for_tiles_that_are_much_smaller(files):
    path = file_of(
        files, "large tiles"
    )  # which are small enough for GDAL's cache: values would take more disk than time
    folder = WorkFolder("", {})
    for side, is_kept in ((90, False), (25, True)):
        tiles = [Window(col, row, side, side) for col in range(0, WIDTH - side, side) for row in range(0, 75, side)]
        assert is_worth_keeping(path, BANDS, 2, tiles, folder.path) == is_kept
    folder.close(True)


def test_a_virtual_raster_is_as_slow_as_what_it_is_made_of(files, tmp_path):
    path = file_of(files, "JPEG 2000")
    gdal.Translate(str(tmp_path / "granule.vrt"), path, format="VRT")
    found = storage_of(gdal.Open(str(tmp_path / "granule.vrt")))
    assert found.is_slow and found.block == (128, 128)
    gdal.Translate(str(tmp_path / "strips.vrt"), files["one strip"], format="VRT")
    found = storage_of(gdal.Open(str(tmp_path / "strips.vrt")))
    assert found.is_compressed and not found.is_slow and found.block == (WIDTH, HEIGHT)
    assert decoded.storage_of(gdal.Open(files["usual"])).is_compressed is False
