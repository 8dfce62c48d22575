# SPDX-License-Identifier: GPL-2.0-or-later
"""Rasters of segments of any type and no data: which numbers are segments, in everything that is made of them."""

import numpy as np
import pytest
from osgeo import gdal, ogr
from rasters import Log, read, run, write_raster
from test_attributes import table_of, two_band_scene
from test_statistics import EXPECTED, check, statistics, table
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.products.segment_polygons import (
    MeanImageParameters,
    PolygonsParameters,
    segment_mean_image,
    segment_polygons,
)
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import (
    StatisticsParameters,
    segment_statistics,
)
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from tiledseg.tiledseg_plugin.engine.stages import statistics as survey

ndimage = pytest.importorskip("scipy.ndimage", reason="the tests compare with scipy, which is not installed")
MOST = 2**32 - 1
GAP = -1  # in a picture of segments: no data


def picture():
    """Segments numbered from 0 as they lie, and GAP."""
    rng = np.random.default_rng(5)
    numbers = np.kron(rng.permutation(9 * 10).reshape(9, 10), np.ones((8, 7), int))
    numbers[30:40, 20:50] = GAP
    numbers[:5] = 0
    return numbers


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    """Windows that most segments cross."""
    monkeypatch.setattr(survey, "BLOCK_PIXELS", 32 * 32)


def with_numbers(numbers, dtype, nodata):
    """The picture with these numbers for its segments and this one for what has no data, in a type."""
    rows = picture()
    table = np.array([*numbers, nodata], dtype)
    return table[rows]


# what SEGMENTS declares, and whether 0 is a segment then
WAYS = [
    (np.uint8, 255, True),
    (np.uint8, 0, False),
    (np.uint8, None, False),
    (np.int16, -1, True),
    (np.uint16, 7000, True),
    (np.int32, -(2**31), True),
    (np.uint32, MOST, True),
    (np.uint32, 5, True),
    (np.uint32, 0, False),
    (np.uint32, None, False),
    (np.float32, -9999, True),
    (np.float64, float("nan"), True),
    (np.float64, MOST, True),
    (np.float64, None, False),
]
if hasattr(gdal, "GDT_Int64"):
    WAYS += [(np.int64, -1, True), (np.uint64, 2**64 - 1, True), (np.int64, 0, False)]


def made(tmp_path, dtype, nodata):
    """(path, ids, what is a segment): with gaps in the ids, and up to the largest where the type holds it."""
    largest = np.finfo(dtype).max if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    numbers = np.arange(90)
    if np.dtype(dtype) == np.float32:
        numbers = numbers * 100_003  # as large as it holds whole numbers
    elif largest >= MOST:
        numbers = numbers * 40_000_001
        numbers[89] = MOST - (nodata == MOST or nodata is not None and not 0 <= nodata <= MOST)
        if nodata == MOST and np.dtype(dtype).kind == "f":
            numbers[89] -= 5000  # GDAL takes for no data what is that near to it
    numbers = np.where(numbers == nodata, 250, numbers) if nodata != 0 else np.where(numbers == 0, 250, numbers)
    ids = with_numbers(numbers, dtype, 0 if nodata is None else nodata)
    path = write_raster(tmp_path / "s.tif", ids[None], nodata)
    present = picture() != GAP
    if nodata is None:
        present &= ids != 0
    return path, ids, present


def values_for(shape):
    return two_band_scene(np.int16)[:, : shape[0], : shape[1]]


@pytest.mark.parametrize("dtype, nodata, zero_is_segment", WAYS)
def test_statistics_of_the_segments_that_are_declared(tmp_path, dtype, nodata, zero_is_segment):
    path, ids, present = made(tmp_path, dtype, nodata)
    values = values_for(ids.shape)
    raster = write_raster(tmp_path / "v.tif", values)
    found = statistics(path, raster, tmp_path / "o.csv")
    compact = np.unique(ids[present], return_inverse=True)
    inside = np.zeros(ids.shape, np.int64)
    inside[present] = compact[1] + 1
    assert np.array_equal(found["segment"], compact[0].astype(np.float64))
    assert (0 in found["segment"]) == zero_is_segment
    check({**found, "segment": np.arange(1, compact[0].size + 1)}, inside, values)


@pytest.mark.parametrize("dtype, nodata, zero_is_segment", WAYS)
def test_mean_image_and_polygons_of_the_segments_that_are_declared(tmp_path, dtype, nodata, zero_is_segment):
    path, ids, present = made(tmp_path, dtype, nodata)
    values = values_for(ids.shape)
    raster = write_raster(tmp_path / "v.tif", values)
    log = Log()
    segment_mean_image(MeanImageParameters(path, raster, str(tmp_path / "m.tif")), log)
    assert any("0 is a segment" in line for line in log.lines) == zero_is_segment
    numbers, inverse = np.unique(ids[present], return_inverse=True)
    means = np.bincount(inverse, values[1][present]) / np.bincount(inverse)
    expected = np.full(ids.shape, np.nan, np.float32)
    expected[present] = means[inverse]
    np.testing.assert_allclose(read(tmp_path / "m.tif")[1], expected, rtol=1e-6)
    segment_polygons(PolygonsParameters(path, str(tmp_path / "p.gpkg"), raster), Feedback())
    dataset = ogr.Open(str(tmp_path / "p.gpkg"))
    rows = [(f["segment"], f["pixels"], f["mean_2"], f.GetGeometryRef().GetArea()) for f in dataset.GetLayer(0)]
    assert [row[0] for row in rows] == numbers.astype(np.uint64).tolist()
    np.testing.assert_array_equal([row[1] for row in rows], np.bincount(inverse))
    np.testing.assert_allclose([row[2] for row in rows], means)
    np.testing.assert_allclose([row[3] for row in rows], np.bincount(inverse) * 100.0)


@pytest.mark.parametrize("extension", ["tif", "img"])
def test_the_row_of_segment_0_in_the_attribute_table(tmp_path, extension):
    ids = with_numbers(range(90), np.uint16, 65535)
    segments = write_raster(
        tmp_path / f"s.{extension}", ids[None], 65535, driver="GTiff" if extension == "tif" else "HFA"
    )
    values = values_for(ids.shape)
    raster = write_raster(tmp_path / "v.tif", values)
    statistics(segments, raster, None, update_rat=True, statistics=("mean", "count"))
    columns, _ = table_of(segments)
    assert columns["count_1"][0] == np.count_nonzero(ids == 0) > 0
    assert columns["mean_2"][0] == pytest.approx(values[1][ids == 0].mean())
    assert columns["mean_2"][89] == pytest.approx(values[1][ids == 89].mean())


@pytest.mark.parametrize("kind", ["mask", "alpha"])
def test_masks_of_segments_count(tmp_path, kind):
    ids = with_numbers(range(1, 91), np.uint8, 200)
    hidden = np.zeros(ids.shape, bool)
    hidden[:, 11:25] = True
    if kind == "mask":
        path = write_raster(tmp_path / "s.tif", ids[None])
        dataset = gdal.Open(path, gdal.GA_Update)
        dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
        dataset.GetRasterBand(1).GetMaskBand().WriteArray(np.where(hidden, 0, 255).astype(np.uint8))
    else:
        planes = np.stack([ids, np.where(hidden, 0, 255).astype(np.uint8)])
        path = write_raster(tmp_path / "s.tif", planes, options=["ALPHA=YES"])
    dataset = None
    raster = write_raster(tmp_path / "v.tif", values_for(ids.shape))
    found = statistics(path, raster, tmp_path / "o.csv", statistics=("count",))
    numbers, counts = np.unique(ids[~hidden], return_counts=True)
    assert np.array_equal(found["segment"], numbers)
    assert np.array_equal(found["count_1"], counts)


@pytest.mark.parametrize("dtype, value", [(np.float32, 2.5), (np.int16, -3), (np.float64, 2.0**32), (np.float32, 1e20)])
def test_what_is_no_id_is_reported_in_one_sentence(tmp_path, dtype, value):
    ids = with_numbers(range(1, 91), dtype, 0)
    ids[60, 60] = value
    path, raster = write_raster(tmp_path / "s.tif", ids[None]), write_raster(tmp_path / "v.tif", values_for(ids.shape))
    with pytest.raises(SegmentationError, match="no segment id: ids are whole numbers from 1 to 4294967295"):
        statistics(path, raster, tmp_path / "o.csv")


def test_one_id_too_many_is_reported(tmp_path):
    ids = with_numbers([*range(89), MOST], np.float64, -1)
    path, raster = (
        write_raster(tmp_path / "s.tif", ids[None], -1),
        write_raster(tmp_path / "v.tif", values_for(ids.shape)),
    )
    with pytest.raises(SegmentationError, match="declare 0 or 4294967295 as no data"):
        statistics(path, raster, tmp_path / "o.csv")


# scale and offset


def scaled_raster(path, values, scaling, nodata=None):
    write_raster(path, values, nodata)
    dataset = gdal.Open(str(path), gdal.GA_Update)
    for number, (scale, offset) in enumerate(scaling, 1):
        dataset.GetRasterBand(number).SetScale(scale)
        dataset.GetRasterBand(number).SetOffset(offset)
    del dataset
    return str(path)


SCALINGS = [((1e-4, -0.1), (-0.25, 3.0)), ((-1e6, 1e9), (1.0, 273.15)), ((2.0, 0.0), (1.0, 0.0)), ((0.0, 5.0), (-1, 0))]


def meant(values, scaling):
    """What the values mean; a scale of 0 means nothing."""
    return np.stack([band * s + o if s else band for band, (s, o) in zip(values.astype(np.float64), scaling)])


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("other_grid", [False, True])
def test_statistics_are_of_the_values_that_qgis_shows(tmp_path, dtype, scaling, other_grid):
    ids = with_numbers(range(1, 91), np.uint32, 0)
    values = values_for(ids.shape).astype(dtype)
    values[:, 50:60, 30:60] = 77
    path = scaled_raster(tmp_path / "v.tif", values, scaling, nodata=77)
    if other_grid:  # a pixel wider, so that it is put on the segments' grid
        gdal.Translate(str(tmp_path / "w.tif"), path, srcWin=[0, 0, 71, 72])
        path = str(tmp_path / "w.tif")
    segments = write_raster(tmp_path / "s.tif", ids[None], 0)
    log = Log()
    parameters = StatisticsParameters(segments, path, str(tmp_path / "o.csv"), statistics=tuple(EXPECTED))
    segment_statistics(parameters, log)
    expected = meant(values, scaling)
    found = table(tmp_path / "o.csv")
    for band in (0, 1):
        scale, offset = scaling[band] if scaling[band][0] else (1, 0)
        columns = {name.rsplit("_", 1)[0]: column for name, column in found.items() if name.endswith(f"_{band + 1}")}
        check_scaled(columns, ids, expected[band], values[band] != 77, scale, offset)
    assert len([line for line in log.lines if "scale" in line]) == 1


def check_scaled(found, ids, values, valid, scale, offset):
    """Within what double precision leaves of values that were added up before they were scaled."""
    every = np.unique(ids[ids != 0])
    inside = np.where(valid, ids, 0)
    size = np.abs(values).max() + abs(offset)
    for name, function in EXPECTED.items():
        expected = ndimage.labeled_comprehension(values, inside, every, function, float, np.nan)
        if name == "count":
            expected = np.nan_to_num(expected)
        tolerance = 1e-9 + 1e-12 * size * (1000 if name == "sum" else 1)
        if name == "std":
            tolerance = 1e-9 + 1e-7 * abs(scale)
        np.testing.assert_allclose(found[name], expected, rtol=1e-9, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("scaling", SCALINGS[:2])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_a_run_reports_is_scaled_and_its_segments_are_those_of_the_stored_values(tmp_path, dtype, scaling):
    values = values_for((72, 70)).astype(dtype) + 1
    plain = write_raster(tmp_path / "a.tif", values)
    path = scaled_raster(tmp_path / "b.tif", values, scaling)
    options = {"sampling": 1, "min_pixels": 20, "num_clusters": 9}
    expected, _ = run(plain, tmp_path / "a_out.img", **options)
    log = Log()
    products = {"mean_image": str(tmp_path / "m.tif"), "polygons": str(tmp_path / "p.gpkg")}
    ids, _ = run(path, tmp_path / "o.img", log, tile_width=19, tile_height=40, **options, **products)
    assert np.array_equal(ids, expected)
    assert any("scale" in line and "stored values" in line for line in log.lines)
    columns, _ = table_of(tmp_path / "o.img")
    every = np.arange(1, ids.max() + 1)
    image, dataset = read(tmp_path / "m.tif"), ogr.Open(products["polygons"])
    rows = {row["segment"]: row.items() for row in dataset.GetLayer(0)}
    for number, band in enumerate(meant(values, scaling), 1):
        of = [band[ids == one] for one in every]
        np.testing.assert_allclose(columns[f"mean_{number}"][1:], [one.mean() for one in of], rtol=1e-9)
        np.testing.assert_allclose(columns[f"min_{number}"][1:], [one.min() for one in of], rtol=1e-9)
        np.testing.assert_allclose(columns[f"max_{number}"][1:], [one.max() for one in of], rtol=1e-9)
        deviation = [one.std() for one in of]
        np.testing.assert_allclose(columns[f"std_{number}"][1:], deviation, rtol=1e-5, atol=1e-6 * band.std())
        np.testing.assert_allclose(image[number - 1], columns[f"mean_{number}"][ids], rtol=1e-6)
        np.testing.assert_allclose([rows[one][f"mean_{number}"] for one in every], columns[f"mean_{number}"][1:])
    before, _ = table_of(tmp_path / "a_out.img")
    assert all(np.array_equal(before[name], columns[name]) for name in before if name in ("Red", "Green", "Blue"))


@pytest.mark.parametrize("place", [0, 2])
def test_alpha_of_values_masks_and_bands_keep_their_numbers(tmp_path, place):
    ids = with_numbers(range(1, 91), np.uint32, 0)
    values = values_for(ids.shape).astype(np.uint8)
    alpha = np.full(ids.shape, 255, np.uint8)
    alpha[:, :23], values[:, :, :23] = 0, 255
    planes = np.insert(values, place, alpha, axis=0)
    path = write_raster(tmp_path / "v.tif", planes)
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.GetRasterBand(place + 1).SetColorInterpretation(gdal.GCI_AlphaBand)
    del dataset
    segments = write_raster(tmp_path / "s.tif", ids[None], 0)
    gdal.Translate(str(tmp_path / "w.tif"), path, srcWin=[0, 0, 71, 72])  # a pixel wider: put on the segments' grid
    for source in (path, str(tmp_path / "w.tif")):
        found = statistics(segments, source, tmp_path / "o.csv")
        numbers = [number for number in (1, 2, 3) if number != place + 1]
        assert {name for name in found if name.startswith("mean_")} == {f"mean_{number}" for number in numbers}
        found = {
            f"{name.rsplit('_', 1)[0]}_{numbers.index(int(name[-1])) + 1}" if "_" in name else name: column
            for name, column in found.items()
        }
        check(found, ids, values, alpha > 0)
        segment_polygons(PolygonsParameters(segments, str(tmp_path / "p.gpkg"), source), Feedback())
        dataset = ogr.Open(str(tmp_path / "p.gpkg"))
        row = dataset.GetLayer(0).GetNextFeature().items()
        assert {name for name in row if name.startswith("mean_")} == {f"mean_{number}" for number in numbers}
        del dataset
        segment_mean_image(MeanImageParameters(segments, source, str(tmp_path / "m.tif")), Feedback())
        assert len(read(tmp_path / "m.tif")) == 2
