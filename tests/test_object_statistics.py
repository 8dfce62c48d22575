# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:statistics` beyond sums: any percentile, varieties, shares of classes, textures, time series, scale."""

import numpy as np
import pytest
from oracle import objects
from osgeo import gdal
from rasters import GEOTRANSFORM, Log, leftovers, write_raster
from test_attributes import table_of
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.execution.serial import Serial
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from tiledseg.tiledseg_plugin.engine.files.work_folder import WorkFolder
from tiledseg.tiledseg_plugin.engine.parameters import TEXTURES
from tiledseg.tiledseg_plugin.engine.products import histograms, segment_rows, texture
from tiledseg.tiledseg_plugin.engine.products.attributes import AttributeJob, single_bands
from tiledseg.tiledseg_plugin.engine.products.quantiles import MOST_CLASSES
from tiledseg.tiledseg_plugin.engine.products.segment_ids import RasterIds
from tiledseg.tiledseg_plugin.engine.products.segment_rows import RowsJob, describe_segments
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from tiledseg.tiledseg_plugin.engine.stages import statistics as survey

NEW = ("p01", "p10", "p37", "p99", "minority", "variety", "range", "cv", "valid_fraction")
SHAPE = (40, 46)
DTYPES = [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.float32, np.float64]


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    """Windows that many segments cross."""
    monkeypatch.setattr(survey, "BLOCK_PIXELS", 16 * 16)


def patches(seed=3):
    """Segments of many shapes, some in several parts, one of a single pixel; 0 is none."""
    rng = np.random.default_rng(seed)
    ids = np.kron(rng.integers(0, 12, (8, 8)), np.ones((5, 6), int))[: SHAPE[0], : SHAPE[1]]
    noisy = rng.random(SHAPE) < 0.1
    ids[noisy] = rng.integers(0, 12, noisy.sum())
    ids[:, 16:18] = 5  # along the edges of windows
    ids[20, 30] = 12
    return ids


def scene(dtype, bands=2, seed=4):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 9, (bands, *SHAPE)) + np.arange(SHAPE[1]) // 9
    if np.dtype(dtype).kind == "f":
        values = values + rng.normal(0, 0.3, values.shape)
    elif np.dtype(dtype).kind == "i":
        values = values - 6
    return values.astype(dtype)


def made(folder, ids, values, statistics, nodata=None, **parameters):
    """{column: values} of a table of statistics."""
    segments = ids if isinstance(ids, str) else write_raster(folder / "s.tif", ids[None].astype(np.uint32))
    raster = values if isinstance(values, str) else write_raster(folder / "v.tif", values, nodata)
    parameters = {"execution": "serial", **parameters}
    output = str(folder / "o.gpkg")
    log = Log()
    segment_statistics(StatisticsParameters(segments, raster, output, statistics=statistics, **parameters), log)
    return columns_of(output)


def columns_of(path):
    dataset = gdal.OpenEx(str(path))
    layer = dataset.GetLayer(0)
    names = [layer.GetLayerDefn().GetFieldDefn(i).GetName() for i in range(layer.GetLayerDefn().GetFieldCount())]
    rows = [[np.nan if row[name] is None else row[name] for name in names] for row in layer]
    del layer, dataset
    return dict(zip(names, np.array(rows, float).T))


def agrees(found, expected, band, rtol=1e-9):
    for name, values in expected.items():
        np.testing.assert_allclose(found[f"{name}_{band}"], values, rtol=rtol, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_new_statistics_are_those_of_numpy_whatever_the_type(tmp_path, dtype):
    ids, values = patches(), scene(dtype)
    values[:, 10:14, 3:40] = 7
    found = made(tmp_path, ids, values, NEW, nodata=7)
    for band in (1, 2):
        agrees(found, objects.statistics(ids, values[band - 1].astype(float), values[band - 1] != 7, NEW), band)


@pytest.mark.parametrize("percentile", range(1, 100, 7))
def test_every_percentile_can_be_had(tmp_path, percentile):
    name = f"p{percentile:02d}"
    ids, values = patches(), scene(np.float32, 1)
    expected = objects.statistics(ids, values[0].astype(float), np.ones(SHAPE, bool), (name,))
    agrees(made(tmp_path, ids, values, (name,)), expected, 1)


NAMINGS = {  # of segments: dtype, what is no data, and which ids there are
    "gaps up to 32 bits": (np.uint32, 0, lambda ids: np.where(ids, ids * 390451572 % (2**32 - 1) + 1, 0)),
    "0 is a segment": (np.int32, -1, lambda ids: ids - 1),
    "signed, nothing declared": (np.int16, None, lambda ids: ids),
    "floats": (np.float64, 0, lambda ids: np.where(ids, ids * 300_000_000.0, 0)),
    "largest is no data": (np.uint32, 2**32 - 1, lambda ids: np.where(ids, ids - 1, 2**32 - 1)),
}


@pytest.mark.parametrize("naming", NAMINGS)
def test_any_ids_will_do(tmp_path, naming):
    dtype, nodata, name = NAMINGS[naming]
    plain, values = patches(), scene(np.int16, 1)
    ids = name(plain.astype(np.int64)).astype(dtype)
    segments = write_raster(tmp_path / "s.tif", ids[None], nodata)
    statistics = (*NEW, "share", *TEXTURES)
    found = made(tmp_path, segments, values, statistics)
    absent = 0 if nodata is None else nodata
    assert np.array_equal(found["segment"], np.unique(ids[ids != absent]))
    # the order of the ids may differ, so that segments are known by the plain ones
    where = [np.flatnonzero(ids.ravel() == one)[0] for one in found["segment"]]
    by_plain = np.argsort(plain.ravel()[where])
    expected = objects.statistics(plain, values[0].astype(float), np.ones(SHAPE, bool), NEW)
    agrees({name: column[by_plain] for name, column in found.items()}, expected, 1)
    grey = objects.levels_of(values[0], plain != 0, 16)
    expected = objects.textures(plain, grey, np.ones(SHAPE, bool), 16)
    agrees({name: column[by_plain] for name, column in found.items()}, expected, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_shares_of_classes(tmp_path, dtype):
    ids = patches()
    classes = np.random.default_rng(5).choice([0, 3, 7, 200], (1, *SHAPE)).astype(dtype)
    if np.dtype(dtype).kind != "u":
        classes[classes == 7] = -7
    classes[0, :9] = 100
    classes[0][ids == 4] = 100
    found = made(tmp_path, ids, classes, ("share",), nodata=100)
    names = [f"share_{int(one)}" for one in np.unique(classes) if one != 100]
    assert list(found) == ["segment", *(f"{name}_1" for name in names)]
    agrees(found, objects.statistics(ids, classes[0].astype(float), classes[0] != 100, names), 1)
    total = sum(found[f"{name}_1"] for name in names)
    without = ~np.isin(np.arange(1, 13), ids[(classes[0] != 100) & (ids > 0)])
    assert without[3] and np.isnan(total[without]).all() and np.allclose(total[~without], 1)


def test_what_is_no_class_is_refused(tmp_path):
    ids = patches()
    with pytest.raises(SegmentationError, match=r"v\.tif holds .*, which is no class"):
        made(tmp_path, ids, scene(np.float32), ("share",))
    many = np.arange(SHAPE[0] * SHAPE[1]).reshape(1, *SHAPE).astype(np.uint16)
    for most in (many, many % (MOST_CLASSES + 1)):
        with pytest.raises(SegmentationError, match="more than 256 different values"):
            made(tmp_path, ids, most, ("share",))
    assert not leftovers(tmp_path, {"s.tif", "v.tif"})
    found = made(tmp_path, np.where(ids == 0, 1, ids), many % MOST_CLASSES, ("share",))
    assert len(found) == 1 + MOST_CLASSES


@pytest.mark.parametrize("levels", [2, 16, 256])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.float32, np.float64])
def test_textures_are_those_of_haralick_pair_by_pair(tmp_path, dtype, levels):
    ids, values = patches(), scene(dtype)
    values[:, 10:14, 3:30] = 7
    found = made(tmp_path, ids, values, TEXTURES, nodata=7, grey_levels=levels)
    for band in (1, 2):
        valid = values[band - 1] != 7
        grey = objects.levels_of(values[band - 1], valid & (ids != 0), levels)
        agrees(found, objects.textures(ids, grey, valid, levels), band)
    assert np.isnan(found["contrast_1"][11])  # a single pixel has no pair


def test_textures_of_a_known_image(tmp_path):
    """The image of four levels in figure 3 of the paper; matrices of all four directions together."""
    image = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 2, 2, 2], [2, 2, 3, 3]])
    matrix = np.zeros((4, 4))
    matrix += [[4, 2, 1, 0], [2, 4, 0, 0], [1, 0, 6, 1], [0, 0, 1, 2]]  # 0 degrees
    matrix += [[6, 0, 2, 0], [0, 4, 2, 0], [2, 2, 2, 2], [0, 0, 2, 0]]  # 90
    matrix += [[2, 1, 3, 0], [1, 2, 1, 0], [3, 1, 0, 2], [0, 0, 2, 0]]  # 135
    matrix += [[4, 1, 0, 0], [1, 2, 2, 0], [0, 2, 4, 1], [0, 0, 1, 0]]  # 45
    assert matrix.sum() == 84
    labels = np.ones((4, 4), np.uint32)
    codes, owners = texture.pairs(image.astype(np.int32), labels, labels, 0, 4)
    counted = np.bincount(codes, minlength=16).reshape(4, 4)
    assert np.array_equal(counted + counted.T, matrix)
    distinct, times = np.unique(codes, return_counts=True)
    found = texture.textures(np.array([0, distinct.size]), distinct, times, 4)
    for name, value in objects.of_matrix(matrix / 84).items():
        assert found[name][0] == pytest.approx(value, rel=1e-12)


def test_textures_of_one_grey_level_and_of_huge_counts():
    found = texture.textures(np.array([0, 1, 1, 3]), np.array([0, 1, 2], np.uint16), np.array([9, 10**9, 10**9]), 2)
    assert found["contrast"][0] == 0 == found["entropy"][0] and found["homogeneity"][0] == 1
    assert np.isnan(found["correlation"][0]) and all(np.isnan(found[name][1]) for name in TEXTURES)
    expected = objects.of_matrix(np.array([[0, 0.25], [0.25, 0.5]]))
    two = texture.textures(np.array([0, 2]), np.array([1, 3], np.uint16), np.array([10**9, 10**9]), 2)
    for name in TEXTURES:
        assert two[name][0] == pytest.approx(expected[name], rel=1e-12)


def whole(folder, ids, values):
    """What all segments hold of a band, found range by range."""
    segments = describe(write_raster(folder / "s.tif", ids[None].astype(np.uint32), 0), (1,))
    bands = single_bands(describe(write_raster(folder / "v.tif", values[None]), (1,)))
    work = WorkFolder("", {})
    try:
        job = RowsJob(AttributeJob(RasterIds(segments), bands, "plain"), work, (), True)
        return describe_segments(job, Serial(), lambda _: None, lambda: None).whole(0)
    finally:
        work.close(True)


@pytest.mark.parametrize("dtype", [np.int32, np.float64])
def test_limits_of_grey_levels_are_exact_and_within_the_range(tmp_path, dtype):
    values = np.array([[5, 6, 7, 8, 1000], *(4 * [5 * [6]])], dtype)
    labels = np.array([[1, 1, 2, 2, 2], *(4 * [5 * [1]])])
    low, high = texture.texture_limits(whole(tmp_path, labels, values))
    assert low == 5 and high == pytest.approx(values.mean() + 2 * values.std(), rel=1e-15)
    assert texture.texture_limits(None) == (0, 0)
    assert not texture.grey_levels(values.ravel(), (3.0, 3.0), 16).any()
    assert texture.grey_levels(np.array([-1e308, 0, 1e308]), (-1e308, 1e308), 4).tolist() == [0, 2, 3]


@pytest.mark.parametrize("dtype", [np.int32, np.float64])
def test_what_all_segments_hold_does_not_depend_on_ranges(tmp_path, monkeypatch, dtype):
    ids, values = patches() * 1_000_003, scene(dtype, 1)[0]
    once = whole(tmp_path, ids, values)
    monkeypatch.setattr(segment_rows, "SPACING", 1)
    monkeypatch.setattr(segment_rows, "MOST_ROWS", 3)
    assert whole(tmp_path, ids, values) == once


def test_nothing_depends_on_windows_workers_kernels_or_execution(tmp_path, monkeypatch):
    ids, values = patches(), scene(np.float32)
    statistics = ("median", "p33", "variety", "minority", *TEXTURES)
    first = made(tmp_path, ids, values, statistics)
    monkeypatch.setattr(histograms, "MOST_VALUES", 300)
    every = [{"workers": 3, "execution": "threads"}, {"kernels": "plain"}, {"execution": "processes", "workers": 2}]
    for pixels, parameters in zip((16 * 16, 9 * 9, 10**6), every):
        monkeypatch.setattr(survey, "BLOCK_PIXELS", pixels)
        other = made(tmp_path, ids, values, statistics, **parameters)
        for name, column in first.items():
            assert np.array_equal(column, other[name], equal_nan=True), (name, parameters)


def test_bands_of_several_types_together_are_as_each_by_itself(tmp_path):
    # floats but for the last digit: a window, by which they are added, is what its first raster has as blocks
    types = (np.uint8, np.float32, np.int16, np.float64, np.uint32)
    scenes = [write_raster(tmp_path / f"v{n}.tif", scene(dtype, seed=n)) for n, dtype in enumerate(types)]
    together = made(
        tmp_path, patches(), scenes[0], ("mean", "std", "min", "max", "count"), more_values=tuple(scenes[1:])
    )
    for n, path in enumerate(scenes):
        alone = made(tmp_path, patches(), path, ("mean", "std", "min", "max", "count"))
        for name, column in list(alone.items())[1:]:
            np.testing.assert_allclose(column, together[f"v{n}_{name}"], rtol=1e-12, err_msg=f"{n} {name}")


def test_a_time_series_has_columns_by_file_and_band(tmp_path):
    ids = patches()
    (tmp_path / "other").mkdir()
    names = ("img 2019.05.tif", "img_2020.tif", "other/img_2020.tif")
    scenes = {name: scene(np.int16, seed=seed) for seed, name in enumerate(names)}
    paths = [write_raster(tmp_path / name, values) for name, values in scenes.items()]
    found = made(tmp_path, ids, paths[0], ("mean", "p90"), more_values=tuple(paths[1:]))
    called = ("img_2019_05", "img_2020", "img_2020_2")
    assert list(found)[1:] == [
        f"{name}_{what}_{band}" for name in called for band in (1, 2) for what in ("mean", "p90")
    ]
    for name, values in zip(called, scenes.values()):
        expected = objects.statistics(ids, values[1].astype(float), np.ones(SHAPE, bool), ("mean", "p90"))
        agrees({column[len(name) + 1 :]: own for column, own in found.items() if column.startswith(name)}, expected, 2)


def test_rasters_of_a_series_may_have_grids_of_their_own_and_one_may_lie_elsewhere(tmp_path):
    ids, fine = patches(), scene(np.uint8, 1)
    coarse = fine[:, ::2, ::2].copy()
    left, step, _, top, _, _ = GEOTRANSFORM
    paths = [
        write_raster(tmp_path / "a.tif", fine),
        write_raster(tmp_path / "b.tif", coarse, geotransform=(left, 2 * step, 0, top, 0, -2 * step)),
        write_raster(tmp_path / "c.tif", coarse[:, :9], geotransform=(left, 2 * step, 0, top, 0, -2 * step)),
        write_raster(tmp_path / "d.tif", coarse, geotransform=(left - 1e5, 2 * step, 0, top, 0, -2 * step)),
    ]
    found = made(tmp_path, ids, paths[0], ("mean", "count"), more_values=tuple(paths[1:]))
    wide = coarse[0].repeat(2, 0).repeat(2, 1)
    part = np.arange(SHAPE[0])[:, None] < 18
    for name, values, valid in (("a", fine[0], True), ("b", wide, True), ("c", wide, part), ("d", wide, False)):
        valid = np.broadcast_to(valid, SHAPE)
        expected = objects.statistics(ids, values.astype(float), valid, ("mean", "count"))
        agrees({column[2:]: own for column, own in found.items() if column[0] == name}, expected, 1)


@pytest.mark.parametrize("apply_scale", [True, False])
@pytest.mark.parametrize("scale, offset", [(3.0, -3.0), (-2.0, 100.0)])
def test_scale_and_offset_can_be_left_out(tmp_path, scale, offset, apply_scale):
    ids, values = patches(), scene(np.int16, 1)
    raster = write_raster(tmp_path / "v.tif", values)
    dataset = gdal.Open(raster, gdal.GA_Update)
    dataset.GetRasterBand(1).SetScale(scale)
    dataset.GetRasterBand(1).SetOffset(offset)
    del dataset
    names = (*NEW, "mean", "std", "sum", "majority")
    found = made(tmp_path, ids, raster, (*names, "share", *TEXTURES), apply_scale=apply_scale)
    meant = values[0] * scale + offset if apply_scale else values[0].astype(float)
    names += tuple(f"share_{int(one)}" for one in np.unique(meant))
    agrees(found, objects.statistics(ids, meant, np.ones(SHAPE, bool), names), 1)
    grey = objects.levels_of(values[0], ids != 0, 16)
    agrees(found, objects.textures(ids, grey, np.ones(SHAPE, bool), 16), 1)


def test_empty_is_nan_in_the_rasters_table(tmp_path):
    ids, values = patches(), scene(np.uint8, 1) + 1
    values[0][ids == 4] = 0
    segments = write_raster(tmp_path / "s.tif", ids[None].astype(np.uint32))
    made(tmp_path, segments, write_raster(tmp_path / "v.tif", values, 0), (*NEW, *TEXTURES, "share"), update_rat=True)
    columns, _ = table_of(segments)
    empty = [name for name in columns if name not in ("Value", "Histogram", "valid_fraction_1")]
    assert len(empty) == 13 + np.unique(values).size - 1 - 1
    assert all(np.isnan(columns[name][4]) for name in empty) and columns["valid_fraction_1"][4] == 0


def test_wrong_values_are_refused_in_a_sentence(tmp_path):
    ids, values = patches(), scene(np.uint8)
    raster = write_raster(tmp_path / "v.tif", values)
    for parameters, message in (
        ({"statistics": ("p00",)}, r"STATISTICS has 'p00'.*p01 to p99"),
        ({"statistics": ("p100",)}, "STATISTICS has 'p100'"),
        ({"grey_levels": 1}, "GREY_LEVELS is 1: give a number of 2 to 256"),
        ({"grey_levels": 257}, "GREY_LEVELS is 257"),
        ({"more_values": (raster,)}, "twice: give each raster once"),
        ({"more_values": (str(tmp_path / "no.tif"),)}, "no.tif cannot be opened"),
    ):
        with pytest.raises(SegmentationError, match=message):
            made(tmp_path, ids, raster, **{"statistics": ("mean",), **parameters})
