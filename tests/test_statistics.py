# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:statistics`: the engine's table, against scipy and numpy."""

import csv
import os

import numpy as np
import pytest
from osgeo import gdal
from rasters import GEOTRANSFORM, Log, leftovers, read, run, write_raster
from test_attributes import need_driver, table_of, two_band_scene
from tiledseg.tiledseg_plugin.engine import kernels
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.files import attribute_table
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.products import alignment, histograms
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from tiledseg.tiledseg_plugin.engine.stages import statistics as survey

ndimage = pytest.importorskip("scipy.ndimage", reason="the tests compare with scipy, which is not installed")


def statistics(segments, values, output, **parameters):
    parameters.setdefault("statistics", tuple(EXPECTED))
    parameters = StatisticsParameters(str(segments), str(values), str(output) if output else "", **parameters)
    segment_statistics(parameters, Feedback())
    return table(output) if output else None


def table(path):
    """A CSV table as {column: values}, None as NaN."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return {name: np.array([float(v) if v else np.nan for v in column]) for name, *column in zip(*rows)}


def majority(values):
    distinct, times = np.unique(values, return_counts=True)
    return distinct[np.argmax(times)]


EXPECTED = {
    "mean": np.mean,
    "std": np.std,
    "min": np.min,
    "max": np.max,
    "median": np.median,
    "p05": lambda values: np.percentile(values, 5),
    "p95": lambda values: np.percentile(values, 95),
    "sum": np.sum,
    "count": np.size,
    "majority": majority,
}


def check(found, ids, values, valid=None):
    """Every column against numpy, segment by segment."""
    every = np.unique(ids[ids != 0])
    assert np.array_equal(found["segment"], every)
    for number, band in enumerate(values.astype(np.float64), 1):
        inside = ids if valid is None else np.where(valid, ids, 0)
        for name, function in EXPECTED.items():
            expected = ndimage.labeled_comprehension(band, inside, every, function, float, np.nan)
            if name == "count":
                expected = np.nan_to_num(expected)
            np.testing.assert_allclose(found[f"{name}_{number}"], expected, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.fixture
def small_windows(monkeypatch):
    """Windows that most segments cross."""
    monkeypatch.setattr(survey, "BLOCK_PIXELS", 32 * 32)


def blobs(shape=(150, 170), seed=8):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 4)
    steps = np.digitize(noise, np.quantile(noise, [0.2, 0.4, 0.6, 0.8]))
    ids = np.zeros(shape, np.uint32)
    for step in range(5):
        labels, count = ndimage.label(steps == step)
        ids[labels > 0] = labels[labels > 0] + ids.max()
    ids[:20, :30] = 0
    return np.unique(ids, return_inverse=True)[1].reshape(shape).astype(np.uint32)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64, np.int64])
def test_all_statistics_agree_with_numpy(tmp_path, small_windows, dtype):
    ids, values = blobs(), two_band_scene(dtype)
    if np.dtype(dtype).kind == "f":
        values += np.random.default_rng(1).normal(0, 1, values.shape).astype(dtype)
    segments, raster = write_raster(tmp_path / "s.tif", ids[None]), write_raster(tmp_path / "v.tif", values)
    check(statistics(segments, raster, tmp_path / "o.csv"), ids, values)


@pytest.mark.parametrize(
    "file,bands", [("sen2_20210527_aber_10band.tif", (8, 9, 3)), ("landsat7_nc_5band_float32.tif", ())]
)
def test_statistics_agree_with_numpy_on_real_rasters(shared, tmp_path, file, bands):
    path = shared / "data" / file
    ids, _ = run(path, tmp_path / "s.img", bands=bands)
    values = read(path)
    values = values[np.array(bands) - 1] if bands else values
    found = statistics(tmp_path / "s.img", path, tmp_path / "o.csv", bands=bands)
    if bands:
        for old, new in zip(bands, (1, 2, 3)):
            found.update({f"{name}_n{new}": found[f"{name}_{old}"] for name in EXPECTED})
        found.update({f"{name}_{new}": found[f"{name}_n{new}"] for name in EXPECTED for new in (1, 2, 3)})
    check(found, ids, values)


def test_statistics_do_not_depend_on_workers_execution_kernels_or_ranges(tmp_path, small_windows, monkeypatch):
    values = two_band_scene(np.float32)
    values += np.random.default_rng(1).normal(0, 0.3, values.shape).astype(np.float32)
    segments = write_raster(tmp_path / "s.tif", blobs()[None])
    raster = write_raster(tmp_path / "v.tif", values)
    first = statistics(segments, raster, tmp_path / "a.csv", execution="serial")
    monkeypatch.setattr(histograms, "MOST_VALUES", 1000)
    for index, parameters in enumerate(({"workers": 4}, {"execution": "serial", "kernels": "plain"})):
        other = statistics(segments, raster, tmp_path / f"{index}.csv", **parameters)
        assert all(np.array_equal(first[name], other[name], equal_nan=True) for name in first)


def test_no_data_of_a_band_is_left_out_and_undeclared_zeros_are_values(tmp_path, small_windows):
    ids, values = blobs(), two_band_scene(np.int16)
    values[:, 60:80, 60:90] = -7
    values[:, 100:, 100:] = 0
    segments = write_raster(tmp_path / "s.tif", ids[None])
    declared = write_raster(tmp_path / "v.tif", values, nodata=-7)
    check(statistics(segments, declared, tmp_path / "o.csv"), ids, values, values[0] != -7)
    undeclared = write_raster(tmp_path / "u.tif", values)
    check(statistics(segments, undeclared, tmp_path / "p.csv"), ids, values)


def test_ids_may_have_gaps_up_to_32_bits(tmp_path, small_windows):
    ids = blobs().astype(np.uint64)
    ids = np.where(ids, ids * 37000001 % 4294967291 + 1, 0).astype(np.uint32)
    ids[0, 0] = 2**32 - 1
    values = two_band_scene(np.uint8)
    segments = write_raster(tmp_path / "s.tif", ids[None])
    raster = write_raster(tmp_path / "v.tif", values)
    check(statistics(segments, raster, tmp_path / "o.csv"), ids, values)
    with pytest.raises(SegmentationError, match="reach 4294967295"):
        statistics(segments, raster, None, update_rat=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_values_of_another_resolution_are_put_on_the_segments_grid(tmp_path, dtype):
    ids, fine = blobs(), two_band_scene(dtype)
    coarse = fine[:, ::5, ::5].copy()
    coarse[coarse == 99] = 98
    coarse[:, 3:7, 4:8] = 99
    left, step, _, top, _, _ = GEOTRANSFORM
    transform = (left, 5 * step, 0, top, 0, -5 * step)
    raster = write_raster(tmp_path / "v.tif", coarse, nodata=99, geotransform=transform)
    segments = write_raster(tmp_path / "s.tif", ids[None])
    fine = coarse.repeat(5, 1).repeat(5, 2)
    check(statistics(segments, raster, tmp_path / "o.csv"), ids, fine, fine[0] != 99)


def test_pixels_that_the_values_do_not_cover_do_not_count(tmp_path):
    ids, values = blobs(), two_band_scene(np.int16)
    left, step, _, top, _, _ = GEOTRANSFORM
    part = values[:, 30:, 40:]
    raster = write_raster(tmp_path / "v.tif", part, geotransform=(left + 40 * step, step, 0, top - 30 * step, 0, -step))
    valid = np.zeros(ids.shape, bool)
    valid[30:, 40:] = True
    segments = write_raster(tmp_path / "s.tif", ids[None])
    check(statistics(segments, raster, tmp_path / "o.csv"), ids, values, valid)


def test_values_in_another_crs_are_warped_as_gdalwarp_does(tmp_path):
    ids = blobs()
    segments = write_raster(tmp_path / "s.tif", ids[None])
    raster = write_raster(tmp_path / "v.tif", two_band_scene(np.uint8))
    gdal.Warp(str(tmp_path / "geo.tif"), raster, dstSRS="EPSG:4326")
    bounds = (500000.0, 6000000.0 - 1500, 500000.0 + 1700, 6000000.0)
    back = gdal.Warp(
        "",
        str(tmp_path / "geo.tif"),
        format="MEM",
        dstSRS="EPSG:32630",
        outputBounds=bounds,
        width=170,
        height=150,
        errorThreshold=0,
        dstAlpha=True,
    ).ReadAsArray()
    check(statistics(segments, tmp_path / "geo.tif", tmp_path / "o.csv"), ids, back[:2], back[2] != 0)


def test_values_somewhere_else_are_an_error(tmp_path):
    segments = write_raster(tmp_path / "s.tif", blobs()[None])
    raster = write_raster(tmp_path / "v.tif", two_band_scene(np.uint8), geotransform=(0, 10, 0, 10, 0, -10))
    with pytest.raises(SegmentationError, match="overlap"):
        statistics(segments, raster, tmp_path / "o.csv")
    assert not leftovers(tmp_path, {"s.tif", "v.tif"})


def test_more_bands_than_can_be_aligned_are_refused_and_aligning_many_can_be_cancelled(tmp_path, monkeypatch):
    segments = write_raster(tmp_path / "s.tif", blobs((15, 17))[None])
    many = write_raster(tmp_path / "v.tif", np.ones((90, 4, 4), np.uint8), geotransform=(500000, 50, 0, 6e6, 0, -50))
    parameters = StatisticsParameters(segments, many, str(tmp_path / "o.csv"))
    looks = []

    class Impatient(Feedback):
        def is_cancelled(self):
            looks.append(1)
            return len(looks) > 20

    with pytest.raises(Cancelled):
        segment_statistics(parameters, Impatient())
    monkeypatch.setattr(alignment, "MOST_WARPED", 89)
    with pytest.raises(SegmentationError, match="90 bands are too many to be aligned: name at most 89 in BANDS"):
        segment_statistics(parameters, Feedback())
    assert not leftovers(tmp_path, {"s.tif", "v.tif"})


@pytest.mark.parametrize("extension", [".gpkg", ".csv", ".parquet"])
def test_tables_open_with_ogr(tmp_path, extension):
    if extension == ".parquet" and gdal.GetDriverByName("Parquet") is None:
        pytest.skip("this GDAL has no Parquet driver")
    ids, values = blobs(), two_band_scene(np.float32)
    segments, raster = write_raster(tmp_path / "s.tif", ids[None]), write_raster(tmp_path / "v.tif", values)
    output = tmp_path / f"o{extension}"
    segment_statistics(StatisticsParameters(segments, raster, str(output), statistics=("mean", "count")), Feedback())
    layer = (dataset := gdal.OpenEx(str(output))).GetLayer(0)
    assert layer.GetFeatureCount() == ids.max()
    assert [layer.GetLayerDefn().GetFieldDefn(i).GetName() for i in range(5)] == [
        "segment",
        "mean_1",
        "count_1",
        "mean_2",
        "count_2",
    ]
    assert layer.GetNextFeature()["mean_1"] == pytest.approx(values[0][ids == 1].mean())
    del dataset


@pytest.mark.parametrize("extension", [".tif", ".img", ".kea"])
def test_the_attribute_table_gets_the_columns_too(tmp_path, extension):
    need_driver(extension)
    raster = write_raster(tmp_path / "in.tif", two_band_scene(np.uint8))
    other = write_raster(tmp_path / "other.tif", two_band_scene(np.uint8, seed=9))
    segments = tmp_path / f"s{extension}"
    ids, _ = run(raster, segments, min_pixels=30)
    before, _ = table_of(segments)
    statistics(segments, raster, None, statistics=("mean", "median"), update_rat=True)
    after, _ = table_of(segments)
    assert all(np.allclose(after[name], before[name]) for name in before)
    assert set(after) - set(before) == {"median_1", "median_2"}
    log = Log()
    parameters = StatisticsParameters(str(segments), other, statistics=("mean",), update_rat=True)
    segment_statistics(parameters, log)
    last, _ = table_of(segments)
    assert set(last) - set(after) == {"other_mean_1", "other_mean_2"}
    assert np.allclose(last["mean_1"], before["mean_1"])
    assert any("other_mean_1" in line for line in log.lines)
    assert np.array_equal(read(segments), ids)
    allowed = {"in.tif", "other.tif", segments.name, "s.qml", "s_report.json"} | {f"{segments.name}.aux.xml"}
    assert not leftovers(tmp_path, allowed)


def test_a_table_beside_the_raster_gets_the_columns_too(tmp_path, monkeypatch):
    monkeypatch.setattr(attribute_table, "MOST_XML_VALUES", 10)
    raster = write_raster(tmp_path / "in.tif", two_band_scene(np.uint8))
    run(raster, tmp_path / "s.tif", min_pixels=30)
    statistics(tmp_path / "s.tif", raster, None, statistics=("mean", "median"), update_rat=True)
    layer = (dataset := gdal.OpenEx(str(tmp_path / "s_attributes.gpkg"))).GetLayer(0)
    feature = layer.GetNextFeature()
    assert feature["median_2"] is not None and feature["std_1"] is not None
    del dataset


@pytest.mark.parametrize("extension", [".tif", ".img"])
def test_columns_of_others_stay_wherever_gdal_keeps_them(tmp_path, extension):
    """GDAL 3.12 and later write the table of a GeoTIFF into the raster itself, if it is open for that."""
    ids = blobs()
    driver = "GTiff" if extension == ".tif" else "HFA"
    segments = write_raster(tmp_path / f"s{extension}", ids[None], driver=driver)
    raster = write_raster(tmp_path / "v.tif", two_band_scene(np.uint8))
    dataset = gdal.Open(segments, gdal.GA_Update)
    table = gdal.RasterAttributeTable()
    table.SetRowCount(int(ids.max()) + 1)
    table.CreateColumn("theirs", gdal.GFT_Real, gdal.GFU_Generic)
    table.WriteArray(np.arange(ids.max() + 1) * 1.5, 0)
    dataset.GetRasterBand(1).SetDefaultRAT(table)
    del table, dataset
    statistics(segments, raster, None, statistics=("mean",), update_rat=True)
    columns, usages = table_of(segments)
    assert np.array_equal(columns["theirs"], np.arange(ids.max() + 1) * 1.5)
    assert np.array_equal(columns["Value"], np.arange(ids.max() + 1))
    assert usages["Value"] == gdal.GFU_MinMax or extension == ".img"
    assert "mean_2" in columns


def test_a_raster_without_a_table_gets_one(tmp_path):
    ids, values = blobs(), two_band_scene(np.uint8)
    segments, raster = write_raster(tmp_path / "s.tif", ids[None]), write_raster(tmp_path / "v.tif", values)
    statistics(segments, raster, None, statistics=("mean",), update_rat=True)
    columns, _ = table_of(segments)
    assert np.array_equal(columns["Histogram"][1:], np.bincount(ids.ravel())[1:])
    assert columns["mean_2"][3] == pytest.approx(values[1][ids == 3].mean())


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_both_kernels_give_the_same_histograms(dtype):
    compiled, note = kernels.choose("auto")
    if compiled is plain:
        pytest.skip(note)
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 50, 9000).astype(np.uint32)
    labels[labels == 7] = 8
    values = rng.integers(0, 40, 9000).astype(dtype)
    for one, other in zip(plain.region_histograms(labels, 50, values), compiled.region_histograms(labels, 50, values)):
        assert one.dtype == other.dtype and np.array_equal(one, other)


def test_wrong_parameters_are_reported_in_a_sentence(tmp_path):
    segments = write_raster(tmp_path / "s.tif", blobs()[None])
    raster = write_raster(tmp_path / "v.tif", two_band_scene(np.uint8))
    for output, parameters, message in (
        (tmp_path / "o.csv", {"statistics": ("mode",)}, "STATISTICS has 'mode'"),
        (tmp_path / "o.xls", {}, "ends in '.xls'"),
        (tmp_path / "no" / "o.csv", {}, "does not exist: make it"),
        (None, {}, "UPDATE_RAT is off"),
        (tmp_path / "o.csv", {"bands": (3,)}, "band 3"),
    ):
        with pytest.raises(SegmentationError, match=message):
            statistics(segments, raster, output, **parameters)


@pytest.mark.skipif(not hasattr(os, "geteuid") or not os.path.exists("/dev/full"), reason="needs a Unix")
def test_a_full_disk_leaves_the_table_that_was_there(tmp_path, monkeypatch):
    segments = write_raster(tmp_path / "s.tif", blobs()[None])
    raster = write_raster(tmp_path / "v.tif", two_band_scene(np.uint8))
    (tmp_path / "o.csv").write_text("before")
    import builtins

    real = builtins.open
    monkeypatch.setattr(
        builtins, "open", lambda path, *a, **k: real("/dev/full" if "o.csv" in str(path) else path, *a, **k)
    )
    with pytest.raises(SegmentationError, match="No space left"):
        segment_statistics(StatisticsParameters(segments, raster, str(tmp_path / "o.csv")), Feedback())
    monkeypatch.undo()
    assert (tmp_path / "o.csv").read_text() == "before"
    assert not leftovers(tmp_path, {"s.tif", "v.tif", "o.csv"})
