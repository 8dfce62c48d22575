# SPDX-License-Identifier: GPL-2.0-or-later
"""The promise: RSGISLib's segments, and the same at any tile size, number of workers, execution and kernels."""

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_sets import available, needs_compiled
from osgeo import gdal
from rasters import Log, read, run, segment_untiled, write_raster
from tiledseg.tiledseg_plugin.engine import segmentation
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.stages import plan

SCHEMES = [(64, 64), (100, 37), (256, 256), (1000, 1000), (5000, 5000)]
RASTERS = {
    "naip_maryland": ("data/naip_maryland_4band_uint8.tif", {"bands": (1, 2, 3, 4)}),  # the fourth is marked as alpha
    "landsat7_bahamas": ("data/landsat7_bahamas_rgb_uint8.tif", {}),
    "landsat7_nc_float": ("data/landsat7_nc_5band_float32.tif", {"bands": (3, 2, 1, 5), "stretch": False}),
    "sen2_ndvi_irregular": ("data/sen2_20210527_aber_ndvi_irregular.tif", {"num_clusters": 20}),
    "sen2_10band": ("data/sen2_20210527_aber_10band.tif", {"min_pixels": 40}),
}


def reference(folder, name):
    stages = np.load(folder / f"{name}.npz")
    parameters = json.loads(str(stages["parameters"]))
    parameters["bands"] = tuple(parameters["bands"] or ())
    return stages, parameters


@pytest.mark.parametrize("kernels", [pytest.param("compiled", marks=needs_compiled), "plain"])
def test_synthetic_holes_without_stretch_equal_rsgislib(data, tmp_path, kernels):
    stages, parameters = reference(data, "synthetic_holes_nostretch")
    ids, _ = run(data / "synthetic_holes.tif", tmp_path / "out.tif", tile_width=50, kernels=kernels, **parameters)
    assert np.count_nonzero(ids != stages["clumps"]) == 0


@pytest.mark.parametrize("tile", [2000, 300])
def test_naip_without_stretch_equals_rsgislib(shared, tmp_path, tile):
    stages, parameters = reference(shared / "reference", "naip_maryland_nostretch")
    raster = shared / "data" / "naip_maryland_4band_uint8.tif"
    parameters["bands"] = (1, 2, 3, 4)  # the fourth is marked as alpha, which RSGISLib does not know
    ids, result = run(raster, tmp_path / "out.tif", tile_width=tile, tile_height=tile, **parameters)
    assert np.count_nonzero(ids != stages["clumps"]) == 0
    assert result.segment_count == stages["clumps"].max()


# tile width and height, execution, workers, kernels
WAYS = [
    ((64, 64), "threads", 2, available[0]),
    ((241, 256), "serial", 1, available[0]),
    ((1000, 100), "threads", 4, available[0]),
]
WAYS_OF_A_PART = [
    ((100, 37), "threads", 2, "plain"),
    ((64, 64), "serial", 1, "plain"),
    ((5000, 5000), "threads", 4, "plain"),
]


@pytest.mark.parametrize("name", RASTERS)
def test_result_does_not_depend_on_tiles_workers_execution_or_kernels(shared, tmp_path, name):
    """On a part of each raster, with holes where it has some; the plain kernels, which are slow, on a smaller one."""
    path, parameters = RASTERS[name]
    large, small = str(tmp_path / "large.tif"), str(tmp_path / "small.tif")
    for part, window in ((large, [0, 0, 480, 440]), (small, [150, 130, 140, 150])):
        gdal.Translate(part, str(shared / path), srcWin=window, creationOptions=["ALPHA=NO"])
    for raster, ways in ((large, WAYS), (small, WAYS_OF_A_PART)):
        expected, first = run(
            raster, tmp_path / "out.tif", tile_width=9999, tile_height=9999, kernels=available[0], **parameters
        )
        assert first.segment_count > 10
        for (width, height), execution, workers, kernels in ways:
            ids, result = run(
                raster,
                tmp_path / "out.tif",
                tile_width=width,
                tile_height=height,
                execution=execution,
                workers=workers,
                kernels=kernels,
                **parameters,
            )
            assert np.array_equal(ids, expected), (width, height, execution, workers, kernels)
            assert result.valid_pixels == first.valid_pixels


@pytest.mark.parametrize("tile", SCHEMES)
def test_synthetic_raster_does_not_depend_on_tiles(data, tmp_path, tile):
    expected, _ = run(data / "synthetic_holes.tif", tmp_path / "a.tif", sampling=7, kernels="plain")
    for workers in (1, 4):
        ids, _ = run(
            data / "synthetic_holes.tif",
            tmp_path / "b.tif",
            sampling=7,
            tile_width=tile[0],
            tile_height=tile[1],
            workers=workers,
        )
        assert np.array_equal(ids, expected)


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(-1, 1), st.integers(-1, 1)),
    st.tuples(st.integers(16, 40), st.integers(16, 40)),
    st.sampled_from(available),
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_result_is_that_of_one_tile_at_whole_multiples_of_a_tile_and_a_pixel_beside(
    data, tmp_path, times, more, tile, kernels
):
    columns, rows = (count * size + rest for count, size, rest in zip(times, tile, more))
    path = write_raster(tmp_path / "in.tif", read(data / "synthetic_holes.tif")[:, 40 : 40 + rows, 30 : 30 + columns])
    way = {"num_clusters": 6, "min_pixels": 15, "sampling": 1, "execution": "serial", "kernels": kernels}
    expected, _ = run(path, tmp_path / "a.tif", tile_width=5000, tile_height=5000, **way)
    ids, result = run(path, tmp_path / "b.tif", tile_width=tile[0], tile_height=tile[1], **way)
    assert np.array_equal(ids, expected)
    assert result.tile_count == -(-columns // tile[0]) * -(-rows // tile[1])


@pytest.mark.parametrize("engine_tiles", [(5000, 5000), (5000, 150)])
def test_a_few_large_tiles_are_processed_in_parts_and_reported_as_tiles(data, tmp_path, monkeypatch, engine_tiles):
    expected, _ = run(data / "synthetic_holes.tif", tmp_path / "a.tif", sampling=7)
    monkeypatch.setattr(plan, "LEAST_PIXELS", 1000)
    states, log = {}, Log()
    log.tile_started = lambda tile_id: states.setdefault(tile_id, []).append("working")
    log.tile_finished = lambda tile_id: states[tile_id].append("done")
    log.debug = log.lines.append
    size = dict(zip(("tile_width", "tile_height"), engine_tiles))
    ids, result = run(data / "synthetic_holes.tif", tmp_path / "b.tif", log, sampling=7, workers=3, **size)
    assert np.array_equal(ids, expected)
    assert states == {tile_id: ["working", "done"] for tile_id in range(1, result.tile_count + 1)}
    assert len([line for line in log.lines if line.startswith("Tile 1: ")]) == 4


DTYPES = [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64]


@st.composite
def small_rasters(draw):
    """(values, nodata): noise of few or many colours, so with long chains of single pixels, and holes."""
    bands, rows, cols = draw(st.integers(1, 5)), draw(st.integers(1, 60)), draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    colours = draw(st.sampled_from([2, 3, 10, 200]))
    texture = draw(st.sampled_from(["noise", "patches", "chessboard", "gradient"]))
    row, col = np.indices((rows, cols))
    noise = rng.integers(0, colours, (bands, rows, cols))
    values = {
        "noise": noise,
        "patches": noise[:, row // 4 * 4, col // 5 * 5] + (rng.random((bands, rows, cols)) < 0.1),
        "chessboard": (row + col + np.arange(bands)[:, None, None]) % 2 * 7 + (rng.random((rows, cols)) < 0.05),
        "gradient": row + 2 * col + noise // 3,
    }[texture]
    values = (values + 1).astype(dtype)
    if dtype.kind == "f":
        values = values * dtype.type(0.37)
    nodata = draw(st.sampled_from([None, 0, 1]))
    holes = draw(st.sampled_from(["none", "slant", "scattered", "stripes"]))
    empty = {
        "none": np.zeros((rows, cols), bool),
        "slant": row + 2 * col > rows + cols // 2,
        "scattered": rng.random((rows, cols)) < 0.3,
        "stripes": col % 7 < 3,
    }[holes]
    values[:, empty] = 0 if nodata is None else nodata
    if dtype.kind == "f" and draw(st.booleans()):
        values[rng.integers(bands), rng.random((rows, cols)) < 0.02] = np.nan
    return values, nodata


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    raster=small_rasters(),
    tile=st.tuples(st.integers(16, 61), st.integers(16, 61)),
    stretch=st.booleans(),
    num_clusters=st.sampled_from([2, 5, 60]),
    min_pixels=st.sampled_from([1, 2, 12, 100, 10**6]),
    threshold=st.sampled_from([None, 3.0, 100.0]),
    sampling=st.sampled_from([1, 3, 100]),
    as_rsgislib=st.booleans(),
    nodata_rule=st.sampled_from(["any", "all"]),
    execution=st.sampled_from(["serial", "threads"]),
    kernels=st.sampled_from([(available[0], "plain"), ("plain", available[0]), ("plain", "plain")]),
)
def test_result_never_depends_on_tiling(
    raster,
    tile,
    stretch,
    num_clusters,
    min_pixels,
    threshold,
    sampling,
    as_rsgislib,
    nodata_rule,
    execution,
    kernels,
    scratch,
):
    values, nodata = raster
    path = write_raster(scratch / "in.tif", values, nodata)
    parameters = {
        "stretch": stretch,
        "num_clusters": num_clusters,
        "min_pixels": min_pixels,
        "distance_threshold": threshold,
        "sampling": sampling,
        "rsgislib_stretch": stretch and as_rsgislib,
        "nodata_rule": nodata_rule,
    }
    try:
        expected, _ = run(path, scratch / "a.tif", kernels=kernels[0], execution="serial", **parameters)
    except SegmentationError as error:
        assert "no valid pixel" in str(error).lower()
        return
    ids, result = run(
        path,
        scratch / "b.tif",
        tile_width=tile[0],
        tile_height=tile[1],
        execution=execution,
        workers=2,
        kernels=kernels[1],
        **parameters,
    )
    assert np.array_equal(ids, expected)
    assert result.segment_count == ids.max()
    assert len(np.unique(ids[ids > 0])) == ids.max()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32 - 1),
    colours=st.sampled_from([3, 8, 50]),
    min_pixels=st.sampled_from([1, 5, 40]),
    threshold=st.sampled_from([None, 10.0]),
)
def test_tiled_run_equals_the_kernels_on_the_whole_array(seed, colours, min_pixels, threshold, scratch):
    rng = np.random.default_rng(seed)
    values = rng.integers(1, colours + 1, (2, 45, 50)).astype(np.uint8)
    values[:, 20:24, :30] = 0
    path = write_raster(scratch / "in.tif", values, 0)
    ids, result = run(
        path,
        scratch / "out.tif",
        stretch=False,
        sampling=1,
        min_pixels=min_pixels,
        distance_threshold=threshold,
        num_clusters=6,
        tile_width=17,
        tile_height=23,
    )
    centres = np.array(json.loads(Path(result.report).read_text("utf-8"))["centres"], np.float32)
    expected = segment_untiled(values, (values != 0).all(axis=0), centres, min_pixels, threshold)
    assert np.array_equal(ids, expected)


def test_long_chains_of_single_pixels_enlarge_the_halo(scratch):
    """A chessboard of single pixels settles from one corner, further than any fixed halo reaches."""
    row, col = np.indices((64, 70))
    values = np.where((row + col) % 2, 200, 10).astype(np.uint8)
    values[:4, :4] = 10
    path = write_raster(scratch / "in.tif", values[None])
    parameters = {"num_clusters": 2, "sampling": 1, "stretch": False, "min_pixels": 3}
    expected, _ = run(path, scratch / "a.tif", **parameters)
    ids, _ = run(path, scratch / "b.tif", tile_width=16, tile_height=16, **parameters)
    assert np.array_equal(ids, expected)


def test_bands_are_used_in_the_order_given(data, tmp_path):
    first, _ = run(data / "synthetic_full.tif", tmp_path / "a.tif", bands=(1, 2, 3), sampling=3)
    whole, _ = run(data / "synthetic_full.tif", tmp_path / "b.tif", sampling=3)
    one, _ = run(data / "synthetic_full.tif", tmp_path / "c.tif", bands=(2,), sampling=3)
    assert np.array_equal(first, whole)
    assert not np.array_equal(one, whole)


def test_input_is_left_as_it_was(data, tmp_path):
    before, files = read(data / "synthetic_full.tif"), sorted(data.iterdir())
    run(data / "synthetic_full.tif", tmp_path / "a.tif")
    assert np.array_equal(read(data / "synthetic_full.tif"), before)
    assert sorted(data.iterdir()) == files


def test_kernels_are_loaded_beside_the_survey_and_named_in_the_log(data, tmp_path, monkeypatch):
    loading, survey = threading.Event(), segmentation.survey
    choose = segmentation.kernels.choose

    def choose_late(wanted, check=None, entries=(), calm=None):
        assert loading.wait(20), "the survey waits for the kernels"
        return choose(wanted, check, entries, calm)

    def survey_first(*arguments):
        summary = survey(*arguments)
        loading.set()
        return summary

    monkeypatch.setattr(segmentation.kernels, "choose", choose_late)
    monkeypatch.setattr(segmentation, "survey", survey_first)
    log = Log()
    run(data / "synthetic_full.tif", tmp_path / "a.tif", log, execution="threads")
    assert [line for line in log.lines if line.startswith("Kernels: ")] == [choose("auto")[1]]


def test_kernels_that_cannot_be_had_end_the_run(data, tmp_path, monkeypatch):
    monkeypatch.setenv("TILEDSEG_KERNELS", "fast")
    with pytest.raises(SegmentationError, match="TILEDSEG_KERNELS=fast is not known"):
        run(data / "synthetic_full.tif", tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())


def test_a_run_can_be_cancelled_while_kernels_are_loaded(data, tmp_path, monkeypatch):
    released = threading.Event()
    log = Log()
    log.is_cancelled = lambda: "Loading the kernels" in log.texts

    def load(wanted, check, entries, calm):
        while not released.wait(0.05):  # between two kernels
            check()

    monkeypatch.setattr(segmentation.kernels, "choose", load)
    started = time.monotonic()
    with pytest.raises(Cancelled):
        run(data / "synthetic_full.tif", tmp_path / "a.tif", log)
    assert time.monotonic() - started < 10
    released.set()
    assert not list(tmp_path.iterdir())
