# SPDX-License-Identifier: GPL-2.0-or-later
"""Every raster GDAL opens: types, no data, shapes, references; and bad input in one sentence."""

import itertools
import os
import zipfile

import numpy as np
import pytest
from osgeo import gdal
from rasters import GEOTRANSFORM, Log, leftovers, read, run, write_raster
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.files.gdal_access import open_raster
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from tiledseg.tiledseg_plugin.engine.files.reading import read_window
from today import TODAY

QUICK = {"sampling": 3, "min_pixels": 5, "num_clusters": 8}


def scene(bands=3, rows=40, cols=50, dtype=np.uint16, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(1, 120, (bands, -(-rows // 8), -(-cols // 8)))
    return (np.kron(coarse, np.ones((8, 8), int))[:, :rows, :cols] + rng.integers(0, 5, (bands, rows, cols))).astype(
        dtype
    )


TYPES = [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64]
NODATA = [None, 0, 77, -9999.0, -3.4e38]


@pytest.mark.parametrize(
    "dtype, nodata, stretch",  # every other one of a type, and of a value, is stretched: the others tomorrow
    [(*pair, (number + TODAY) % 2 == 0) for number, pair in enumerate(itertools.product(TYPES, NODATA))],
)
def test_any_type_and_nodata_value(tmp_path, dtype, nodata, stretch):
    values = scene(dtype=dtype)
    empty = np.zeros(values.shape[1:], bool)
    empty[:12, :30] = True
    if nodata is None or nodata == 0 or np.dtype(dtype).kind == "f":
        values[:, empty] = nodata or 0
        valid = ~empty
    elif nodata == 77:
        values[:, empty] = 77
        valid = (values != 77).all(axis=0)
    elif np.dtype(dtype).kind == "i" and nodata == -9999:
        values[:, empty] = -9999
        valid = ~empty
    else:  # a value that the type cannot hold says nothing about any pixel
        valid = np.ones(values.shape[1:], bool)
    if nodata == 77:
        valid = (values != 77).all(axis=0)
    path = write_raster(tmp_path / "in.tif", values, nodata)
    expected, result = run(path, tmp_path / "a.tif", stretch=stretch, kernels="plain", **QUICK)
    assert np.array_equal(expected > 0, valid)
    assert result.valid_pixels == valid.sum()
    ids, _ = run(path, tmp_path / "b.tif", stretch=stretch, tile_width=16, tile_height=19, **QUICK)
    assert np.array_equal(ids, expected)


def test_values_of_any_size_are_told_apart(tmp_path):
    small = scene(dtype=np.float64)
    expected, _ = run(write_raster(tmp_path / "a.tif", small), tmp_path / "1.tif", stretch=False, **QUICK)
    for factor in (2.0**-60, 2.0**20):
        threshold = {"distance_threshold": 100.0 * factor}
        path = write_raster(tmp_path / "b.tif", small * factor)
        ids, _ = run(path, tmp_path / "2.tif", stretch=False, **QUICK, **threshold)
        assert np.array_equal(ids, expected)


@pytest.mark.parametrize("rule", ["any", "all"])
def test_nan_and_infinity_are_never_valid_values(tmp_path, rule):
    values = scene(dtype=np.float32)
    values[0, 3:9, 4:20] = np.nan
    values[1, 5:15, 10:30] = np.inf
    values[2, 5:8, 10:30] = -np.inf
    bad = ~np.isfinite(values)
    expected = ~(bad.any(axis=0) if rule == "any" else bad.all(axis=0))
    path = write_raster(tmp_path / "in.tif", values)
    ids, _ = run(path, tmp_path / "out.tif", nodata_rule=rule, **QUICK)
    assert np.array_equal(ids > 0, expected)


def test_rules_of_nodata_differ_where_only_some_bands_are_empty(shared, tmp_path):
    path = str(shared / "data" / "landsat7_bahamas_rgb_uint8.tif")
    values = read(path)
    for rule, expected in (("any", (values != 0).all(axis=0)), ("all", (values != 0).any(axis=0))):
        raster = describe(path, nodata_rule=rule)
        _, valid = read_window(open_raster(path), raster, raster.window)
        assert np.array_equal(valid, expected)


def test_mask_band_decides(tmp_path):
    values = scene()
    path = write_raster(tmp_path / "in.tif", values)
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
    mask = np.full(values.shape[1:], 255, np.uint8)
    mask[10:20, 5:45] = 0
    dataset.GetRasterBand(1).GetMaskBand().WriteArray(mask)
    del dataset
    ids, _ = run(path, tmp_path / "out.tif", **QUICK)
    assert np.array_equal(ids > 0, mask > 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("place", ["last", "second", "fifth of six"])
def test_alpha_masks_and_is_no_band_unless_it_is_named(tmp_path, dtype, place):
    values, alphas = with_alpha(dtype, place)
    hidden = (values[np.array(alphas) - 1] == 0).any(axis=0)
    path = write_alpha(tmp_path / "in.tif", values, alphas)
    data = tuple(number for number in range(1, len(values) + 1) if number not in alphas)
    log = Log()
    ids, _ = run(path, tmp_path / "a.tif", log, **QUICK)
    assert np.array_equal(ids > 0, ~hidden)
    assert len([line for line in log.lines if "marked as alpha" in line]) == 1
    expected, _ = run(path, tmp_path / "b.tif", bands=data, **QUICK)
    assert np.array_equal(ids, expected)
    with_nothing = write_raster(
        tmp_path / "c.tif", np.where(hidden, 0, values[np.array(data) - 1]).astype(dtype), nodata=0
    )
    assert np.array_equal(ids, run(with_nothing, tmp_path / "c_out.tif", **QUICK)[0])
    log = Log()
    ids, _ = run(path, tmp_path / "d.tif", log, bands=tuple(range(1, len(values) + 1)), **QUICK)
    assert (ids > 0).all()
    assert any("used as data" in line for line in log.lines)


def with_alpha(dtype, place):
    """(values, numbers of the alpha bands): under alpha 0 lie high values, as an image editor leaves them."""
    values = scene(bands=4, dtype=dtype)
    alpha = np.full(values.shape[1:], 255, dtype)
    alpha[:, :20], alpha[30:, 30:] = 0, 1
    values[:, :, :20] = 255
    if place == "fifth of six":  # and another one
        other = alpha.copy()
        other[:9] = 0
        return np.stack([*values, alpha, other]), [5, 6]
    order = [0, 1, 2, 3] if place == "last" else [0, 3, 1, 2]
    return np.stack([*values[:3], alpha])[order], [order.index(3) + 1]


def write_alpha(path, values, alphas):
    write_raster(path, values)
    dataset = gdal.Open(str(path), gdal.GA_Update)
    for number in alphas:
        dataset.GetRasterBand(number).SetColorInterpretation(gdal.GCI_AlphaBand)
    dataset.FlushCache()
    return str(path)


def test_alpha_of_an_image_with_four_bytes(tmp_path):
    """As GDAL itself writes it, and as any image editor does."""
    values = scene(bands=4, rows=60, cols=60, dtype=np.uint8)
    values[3], values[:3, :, :20] = 255, 255
    values[3, :, :20] = 0
    path = write_raster(tmp_path / "in.tif", values, options=["ALPHA=YES", "PHOTOMETRIC=RGB"])
    gdal.Translate(str(tmp_path / "in.png"), path, format="PNG")
    for source in (path, tmp_path / "in.png"):
        ids, result = run(source, tmp_path / "out.tif", **QUICK)
        assert not ids[:, :20].any() and (ids[:, 20:] > 0).all()
        assert result.valid_pixels == 60 * 40


def test_a_raster_of_alpha_alone_is_data(tmp_path):
    values = scene(bands=1, dtype=np.uint8)
    ids, _ = run(write_alpha(tmp_path / "in.tif", values, [1]), tmp_path / "out.tif", **QUICK)
    assert (ids > 0).all()


def test_alpha_and_a_declared_value_both_say_what_is_no_data(tmp_path):
    values, alphas = with_alpha(np.uint8, "last")
    values[:3, 25:30] = 7
    write_alpha(tmp_path / "in.tif", values, alphas)
    dataset = gdal.Open(str(tmp_path / "in.tif"), gdal.GA_Update)
    dataset.GetRasterBand(1).SetNoDataValue(7)
    del dataset
    ids, _ = run(tmp_path / "in.tif", tmp_path / "out.tif", **QUICK)
    assert np.array_equal(ids > 0, (values[3] > 0) & (values[:3] != 7).all(axis=0))


def test_zeros_are_nodata_only_where_none_is_declared(tmp_path):
    values = scene()
    values[:, 5:10, 5:10] = 0
    values[0, 20:25, :] = 0
    log = Log()
    ids, _ = run(write_raster(tmp_path / "a.tif", values), tmp_path / "out.tif", log, **QUICK)
    assert np.array_equal(ids > 0, values.any(axis=0))
    assert any("declares no no-data" in line for line in log.lines)
    ids, _ = run(write_raster(tmp_path / "b.tif", values, 9999), tmp_path / "out.tif", **QUICK)
    assert (ids > 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (70, 1), (2, 2), (17, 33), (33, 17), (49, 16)])
@pytest.mark.parametrize("bands", [1, 12])
def test_any_shape(tmp_path, shape, bands):
    path = write_raster(tmp_path / "in.tif", scene(bands, *shape))
    parameters = {**QUICK, "sampling": 1}
    expected, _ = run(path, tmp_path / "a.tif", kernels="plain", **parameters)
    ids, _ = run(path, tmp_path / "b.tif", tile_width=16, tile_height=16, **parameters)
    assert np.array_equal(ids, expected)
    assert ids.min() == 1


def test_more_clusters_than_colours(tmp_path):
    values = np.repeat(np.arange(1, 5, dtype=np.uint8), 100).reshape(1, 20, 20)
    log = Log()
    _, result = run(
        write_raster(tmp_path / "in.tif", values), tmp_path / "out.tif", log, sampling=1, min_pixels=1, stretch=False
    )
    assert result.segment_count == 4
    assert any("4 clusters instead of 60" in line for line in log.lines)


def test_min_pixels_of_one_eliminates_nothing_and_of_many_everything(tmp_path):
    path = write_raster(tmp_path / "in.tif", scene())
    _, most = run(path, tmp_path / "a.tif", sampling=1, min_pixels=1)
    _, fewest = run(path, tmp_path / "b.tif", sampling=1, min_pixels=10**9, distance_threshold=None)
    assert most.segment_count > 20
    assert fewest.segment_count == 1


@pytest.mark.parametrize(
    "geotransform",
    [GEOTRANSFORM, (1.5, 0.1, 0.03, 2.25, -0.04, -0.1), (0.125, 10.0, 0.0, 7.0, 0.0, 10.0), None],
    ids=["north-up", "rotated", "south-up", "none"],
)
@pytest.mark.parametrize("extension", ["tif", "img"])
def test_reference_is_carried_over_exactly(tmp_path, geotransform, extension):
    path = write_raster(tmp_path / "in.tif", scene(), geotransform=geotransform)
    run(path, tmp_path / f"out.{extension}", **QUICK)
    source, output = gdal.Open(path), gdal.Open(str(tmp_path / f"out.{extension}"))
    expected = source.GetGeoTransform(can_return_null=True)
    if extension == "img" and geotransform:  # the format computes it from its corners
        expected = pytest.approx(expected, rel=1e-12)
    assert output.GetGeoTransform(can_return_null=True) == expected
    assert output.GetSpatialRef().IsSame(source.GetSpatialRef())
    assert output.GetRasterBand(1).DataType == gdal.GDT_UInt32
    assert output.GetRasterBand(1).GetNoDataValue() == 0


def test_no_crs_gcps_and_assigned_crs(tmp_path):
    path = write_raster(tmp_path / "in.tif", scene(), crs=None, geotransform=None)
    dataset = gdal.Open(path, gdal.GA_Update)
    wkt = gdal.Open(write_raster(tmp_path / "utm.tif", scene(1, 2, 2))).GetProjection()
    points = [gdal.GCP(500000 + 10 * x, 6000000 - 11 * y, 0, x, y) for x, y in ((0, 0), (50, 0), (0, 40), (50, 40))]
    dataset.SetGCPs(points, wkt)
    del dataset
    run(path, tmp_path / "out.tif", **QUICK)
    output = gdal.Open(str(tmp_path / "out.tif"))
    assert [(p.GCPX, p.GCPY, p.GCPPixel, p.GCPLine) for p in output.GetGCPs()] == [
        (p.GCPX, p.GCPY, p.GCPPixel, p.GCPLine) for p in points
    ]
    path = write_raster(tmp_path / "plain.tif", scene(), crs=None)
    run(path, tmp_path / "out.tif", **QUICK)
    assert gdal.Open(str(tmp_path / "out.tif")).GetProjection() == ""
    run(path, tmp_path / "out.tif", assign_crs=wkt, **QUICK)
    assert gdal.Open(str(tmp_path / "out.tif")).GetSpatialRef().GetAuthorityCode(None) == "32630"


def test_zip_vrt_and_odd_paths(tmp_path):
    path = write_raster(tmp_path / "in.tif", scene())
    expected, _ = run(path, tmp_path / "a.tif", **QUICK)
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(path, "in.tif")
    odd = tmp_path / "with spaces, ümläut"
    odd.mkdir()
    gdal.BuildVRT(str(odd / "ä b.vrt"), [path]).FlushCache()
    for source in (f"/vsizip/{tmp_path}/in.zip/in.tif", str(odd / "ä b.vrt")):
        ids, _ = run(source, odd / "öut put.tif", tile_width=20, **QUICK)
        assert np.array_equal(ids, expected)


def test_empty_and_nearly_empty_tiles_are_harmless(tmp_path):
    values = scene(3, 100, 120)
    values[:, :70, :80] = 0
    values[:, 3, 3:5] = 50
    values[:, 40, 40] = 9
    path = write_raster(tmp_path / "in.tif", values, 0)
    expected, _ = run(path, tmp_path / "a.tif", **QUICK)
    ids, result = run(path, tmp_path / "b.tif", tile_width=20, tile_height=20, **QUICK)
    assert np.array_equal(ids, expected)
    assert result.tile_count == 30
    assert (result.empty_tiles, result.sparse_tiles) == (10, 2)


def test_raster_without_valid_pixel_is_one_error(tmp_path):
    path = write_raster(tmp_path / "in.tif", np.zeros((2, 30, 30), np.int16), 0)
    with pytest.raises(SegmentationError, match="no valid pixel"):
        run(path, tmp_path / "out.tif", tile_width=16)
    assert leftovers(tmp_path, {"in.tif"}) == []


@pytest.mark.parametrize(
    "parameters, part",
    [
        ({"bands": (0,)}, "band 0"),
        ({"bands": (1, 99)}, "band 99"),
        ({"bands": (1, 1)}, "twice"),
        ({"tile_width": 0}, "TILE_WIDTH"),
        ({"num_clusters": 1}, "NUM_CLUSTERS"),
        ({"distance_threshold": 0}, "DISTANCE_THRESHOLD"),
        ({"execution": "magic"}, "EXECUTION"),
        ({"creation_options": "COMPRESS"}, "CREATION_OPTIONS"),
    ],
)
def test_bad_parameters(tmp_path, parameters, part):
    path = write_raster(tmp_path / "in.tif", scene())
    with pytest.raises(SegmentationError, match=part):
        run(path, tmp_path / "out.tif", **parameters)
    assert leftovers(tmp_path, {"in.tif"}) == []


def test_bad_files(tmp_path):
    path = write_raster(tmp_path / "in.tif", scene())
    with pytest.raises(SegmentationError, match="nothing.tif cannot be opened"):
        run(tmp_path / "nothing.tif", tmp_path / "out.tif")
    with pytest.raises(SegmentationError, match="is the input itself"):
        run(path, path)
    with pytest.raises(SegmentationError, match="does not exist"):
        run(path, tmp_path / "missing" / "out.tif")
    with pytest.raises(SegmentationError, match=r"ends in '\.png'"):
        run(path, tmp_path / "out.png")
    assert leftovers(tmp_path, {"in.tif"}) == []


def test_damaged_input_is_reported_and_leaves_the_old_output(tmp_path):
    path = write_raster(tmp_path / "in.tif", scene(3, 300, 300), options=["COMPRESS=DEFLATE"])
    run(path, tmp_path / "out.tif", **QUICK)
    before = (tmp_path / "out.tif").read_bytes()
    os.truncate(path, os.path.getsize(path) // 2)
    with pytest.raises(SegmentationError, match="cannot be"):
        run(path, tmp_path / "out.tif", **QUICK)
    assert (tmp_path / "out.tif").read_bytes() == before
    assert leftovers(tmp_path, {"in.tif", "out.tif", "out.tif.aux.xml", "out.qml", "out_report.json"}) == []


@pytest.mark.parametrize("at", [0, 10, 40, 70, 82])
def test_cancelling_leaves_nothing(tmp_path, at):
    path = write_raster(tmp_path / "in.tif", scene(3, 600, 600))
    with pytest.raises(Cancelled):
        run(path, tmp_path / "out.tif", Log(cancel_at=at), tile_width=100, tile_height=100, **QUICK)
    assert leftovers(tmp_path, {"in.tif"}) == []


def test_progress_only_grows_and_names_tiles(tmp_path):
    log = Log()
    run(write_raster(tmp_path / "in.tif", scene(3, 200, 200)), tmp_path / "out.tif", log, tile_width=50, **QUICK)
    assert log.percents == sorted(log.percents) and log.percents[-1] <= 100
    assert any("tile 4 of 4" in text for text in log.texts)
