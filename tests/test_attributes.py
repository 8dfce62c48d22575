# SPDX-License-Identifier: GPL-2.0-or-later
"""The attribute table of OUTPUT, against scipy.ndimage, in every format."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from osgeo import gdal
from rasters import Log, leftovers, read, run, write_raster
from tiledseg.tiledseg_plugin.engine import kernels
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.files import attribute_table, gdal_access, table_readback
from tiledseg.tiledseg_plugin.engine.files.gdal_access import OpenRasters, open_raster
from tiledseg.tiledseg_plugin.engine.files.no_data import Band
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from tiledseg.tiledseg_plugin.engine.files.tables import Column
from tiledseg.tiledseg_plugin.engine.files.window import Window
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.products import run_outputs
from tiledseg.tiledseg_plugin.engine.products.attributes import Moments, band_values, single_bands
from tiledseg.tiledseg_plugin.engine.stages.moments import add_up, moments_in, moments_of_pixels

ndimage = pytest.importorskip("scipy.ndimage", reason="the tests compare with scipy, which is not installed")

RASTERS = {
    "sentinel": ("sen2_20210527_aber_10band.tif", {"bands": (8, 9, 3)}),
    "ndvi": ("sen2_20210527_aber_ndvi_irregular.tif", {}),
    "landsat float": ("landsat7_nc_5band_float32.tif", {}),
    "landsat": ("landsat7_bahamas_rgb_uint8.tif", {}),
    "naip": ("naip_maryland_4band_uint8.tif", {"bands": (1, 2, 3, 4)}),  # the fourth is marked as alpha
}
FORMATS = [".tif", ".cog.tif", ".img", ".kea"]


def real_part(shared, folder, name):
    """(path, parameters) of 480 x 440 pixels of a real raster, with its holes where it has some."""
    file, parameters = RASTERS[name]
    path = str(folder / "part.tif")
    gdal.Translate(path, str(shared / "data" / file), srcWin=[0, 0, 480, 440])
    return path, parameters


def table_of(path):
    """The attribute table as {column: values}, with the usage of each."""
    dataset = gdal.Open(str(path))
    band = dataset.GetRasterBand(1)
    table = band.GetDefaultRAT()
    names = [table.GetNameOfCol(index) for index in range(table.GetColumnCount())]
    columns = {name: np.asarray(table.ReadAsArray(index)) for index, name in enumerate(names)}
    usages = {name: table.GetUsageOfCol(index) for index, name in enumerate(names)}
    return columns, usages


def need_driver(extension):
    if extension == ".kea" and gdal.GetDriverByName("KEA") is None:
        pytest.skip("this GDAL has no KEA driver")


def two_band_scene(dtype, shape=(150, 170), seed=3):
    rng = np.random.default_rng(seed)
    patches = np.kron(rng.integers(0, 9, (2, 15, 17)), np.ones((1, 10, 10), int))
    values = patches * 13 + rng.integers(0, 5, patches.shape)
    return values[:, : shape[0], : shape[1]].astype(dtype)


def check_against_scipy(columns, ids, values, numbers):
    every = np.arange(1, ids.max() + 1)
    assert np.array_equal(columns["Histogram"][1:], np.bincount(ids.ravel())[1:])
    for number, band in zip(numbers, values.astype(np.float64)):
        np.testing.assert_allclose(columns[f"mean_{number}"][1:], ndimage.mean(band, ids, every), rtol=1e-9)
        np.testing.assert_array_equal(columns[f"min_{number}"][1:], ndimage.minimum(band, ids, every))
        np.testing.assert_array_equal(columns[f"max_{number}"][1:], ndimage.maximum(band, ids, every))
        deviation = ndimage.standard_deviation(band, ids, every)
        np.testing.assert_allclose(columns[f"std_{number}"][1:], deviation, rtol=1e-7, atol=1e-9)
    assert all(values[0] == 0 for values in columns.values())
    assert np.array_equal(columns["Value"], np.arange(ids.max() + 1))
    assert (columns.get("Alpha", columns.get("Opacity"))[1:] == 255).all()  # HFA's name for it


@pytest.mark.parametrize("name", RASTERS)
def test_attributes_agree_with_scipy_on_real_rasters(shared, tmp_path, name):
    path, parameters = real_part(shared, tmp_path, name)
    ids, _ = run(path, tmp_path / "o.img", tile_width=333, tile_height=130, **parameters)
    values = np.atleast_3d(read(path).T).T
    numbers = parameters.get("bands") or range(1, len(values) + 1)
    columns, _ = table_of(tmp_path / "o.img")
    check_against_scipy(columns, ids.astype(np.int64), values[np.array(numbers) - 1], numbers)


@pytest.mark.parametrize("extension", FORMATS)
def test_every_format_holds_the_table_overviews_and_band_statistics(tmp_path, extension):
    need_driver(extension)
    values = np.concatenate([two_band_scene(np.uint8), two_band_scene(np.uint8, seed=4)])
    values = np.pad(values, ((0, 0), (0, 600), (0, 600)), mode="reflect")
    path = write_raster(tmp_path / "in.tif", values)
    output = tmp_path / f"o{extension}"
    ids, result = run(path, output, min_pixels=30)
    columns, usages = table_of(output)
    check_against_scipy(columns, ids.astype(np.int64), values, (1, 2, 3, 4))
    assert usages["Histogram"] == gdal.GFU_PixelCount
    assert [usages[name] for name in ("Red", "Green", "Blue")] == [gdal.GFU_Red, gdal.GFU_Green, gdal.GFU_Blue]
    assert gdal.GFU_Alpha in usages.values()
    # HFA and KEA keep no such usage; QGIS goes by the name
    assert usages["Value"] == gdal.GFU_MinMax or extension in (".img", ".kea")
    assert columns["Red"].min() >= 0 and columns["Red"].max() <= 255 and columns["Red"].max() > 200
    dataset = gdal.Open(str(output))
    band = dataset.GetRasterBand(1)
    assert band.GetOverviewCount() >= 1
    assert band.GetMetadataItem("LAYER_TYPE") == "thematic"
    least, most, mean, deviation = band.GetStatistics(False, False)
    valid = ids[ids != 0]
    assert (least, most) == (1, result.segment_count)
    assert (mean, deviation) == (pytest.approx(valid.mean()), pytest.approx(valid.std()))
    assert band.GetNoDataValue() == 0


@pytest.mark.parametrize("extension", [".tif", ".img"])
@pytest.mark.parametrize("bands", [(1,), (1, 2), (2, 1, 3), (1, 2, 3, 4)])
def test_segments_have_the_colours_of_their_first_bands(tmp_path, extension, bands):
    values = np.concatenate([two_band_scene(np.uint16), two_band_scene(np.uint16, seed=4) * 30]) + np.uint16(1)
    path = write_raster(tmp_path / "in.tif", values)
    run(path, tmp_path / f"o{extension}", min_pixels=30, bands=bands)
    columns, _ = table_of(tmp_path / f"o{extension}")
    found = [columns[name][1:] for name in ("Red", "Green", "Blue")]
    expected = []
    for number in bands[:3]:
        band = values[number - 1].astype(float)
        low = max(band.mean() - 2 * band.std(), band.min())
        high = min(band.mean() + 2 * band.std(), band.max())
        share = (columns[f"mean_{number}"][1:] - low) / (high - low)
        expected.append(np.floor(np.clip(share, 0, 1) * 255 + 0.5))
    expected = {1: expected * 3, 2: [*expected, 0 * expected[0]]}.get(len(bands), expected)
    for ours, theirs in zip(found, expected):
        assert np.ptp(ours) > 100 or not theirs.any()
        np.testing.assert_allclose(ours, theirs, atol=1)  # the mean may lie between two of them


@pytest.mark.parametrize("extension", [".tif", ".cog.tif"])
def test_a_table_that_gdal_loses_in_silence_is_an_error(tmp_path, monkeypatch, extension):
    """GDAL 3.12 and later return 0 and save nothing where the table would go into a file that is open for reading."""
    path = write_raster(tmp_path / "in.tif", two_band_scene(np.uint8))
    monkeypatch.setattr(gdal.Band, "SetDefaultRAT", lambda band, table: gdal.CE_None)
    with pytest.raises(SegmentationError, match="does not hold what was written"):
        run(path, tmp_path / f"o{extension}", min_pixels=30)
    assert not leftovers(tmp_path, {"in.tif", "in.tif.aux.xml"})


def lose(text, what):
    """A side file without its last row, a column, or with another value at the end."""
    head, row, tail = text.rpartition("    <Row index=")
    if what == "a row":
        return head + tail.partition("</Row>\n")[2]
    if what == "a column":
        return text.replace("<Name>mean_2</Name>", "<Name>other</Name>")
    first, _, last = tail.rpartition("<F>")
    return head + row + first + "<F>-77</F>" + last.partition("</F>")[2]


@pytest.mark.parametrize("what", ["a row", "a column", "a value"])
def test_what_a_table_lacks_is_found(tmp_path, what):
    path = write_raster(tmp_path / "in.tif", two_band_scene(np.uint8))
    columns = [Column("Value", np.arange(9), "MinMax"), Column("mean_2", np.arange(9) / 7), Column("n", np.arange(9))]
    attribute_table.set_attribute_table(path, columns)
    assert table_readback._xml_holds(path + ".aux.xml", columns)  # the quick way, whatever GDAL's version
    assert table_readback.holds_columns(path, columns, as_xml=False)
    side_file = tmp_path / "in.tif.aux.xml"
    side_file.write_text(lose(side_file.read_text(), what))
    assert not table_readback.holds_columns(path, columns, as_xml=True)
    assert not table_readback.holds_columns(path, columns, as_xml=False)  # GDAL says the same


@pytest.mark.parametrize("tile", [1000, 37])
def test_overviews_of_a_geotiff_hold_every_other_pixel(tmp_path, tile):
    values = np.pad(two_band_scene(np.uint8), ((0, 0), (0, 1211), (0, 733)), mode="reflect")
    ids, _ = run(
        write_raster(tmp_path / "in.tif", values), tmp_path / "o.tif", min_pixels=30, tile_width=tile * 10, workers=2
    )
    dataset = gdal.Open(str(tmp_path / "o.tif"))
    band = dataset.GetRasterBand(1)
    assert band.GetOverviewCount() == 3
    for index in range(3):
        level = 2 ** (index + 1)
        assert np.array_equal(band.GetOverview(index).ReadAsArray(), ids[::level, ::level])


def test_a_cog_is_one(tmp_path):
    values = np.pad(two_band_scene(np.uint8), ((0, 0), (0, 700), (0, 700)), mode="reflect")
    ids, _ = run(write_raster(tmp_path / "in.tif", values), tmp_path / "o.cog.tif", min_pixels=30)
    dataset = gdal.Open(str(tmp_path / "o.cog.tif"))
    assert dataset.GetMetadataItem("LAYOUT", "IMAGE_STRUCTURE") == "COG"
    assert np.array_equal(ids, run(tmp_path / "in.tif", tmp_path / "p.tif", min_pixels=30)[0])
    assert not leftovers(
        tmp_path,
        {"in.tif", "o.cog.tif", "o.cog.tif.aux.xml", "o.cog.qml", "o.cog_report.json"}
        | {"p.tif", "p.tif.aux.xml", "p.qml", "p_report.json"},
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.int32, np.float32, np.float64])
def test_the_table_does_not_depend_on_tiles_workers_execution_or_kernels(tmp_path, dtype):
    values = two_band_scene(dtype)
    if dtype == np.float32:
        values += np.random.default_rng(1).normal(0, 0.01, values.shape).astype(dtype)
    path = write_raster(tmp_path / "in.tif", values)
    tables = []
    for parameters in (
        {"tile_width": 1000, "tile_height": 1000, "execution": "serial"},
        {"tile_width": 37, "tile_height": 41, "execution": "threads", "workers": 3},
        {"tile_width": 64, "tile_height": 16, "execution": "serial", "kernels": "plain"},
    ):
        run(path, tmp_path / "o.img", min_pixels=20, **parameters)
        tables.append(table_of(tmp_path / "o.img")[0])
    for table in tables[1:]:
        assert table.keys() == tables[0].keys()
        assert all(np.array_equal(table[name], tables[0][name]) for name in table)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64])
def test_both_kernels_give_the_same_moments(dtype):
    compiled, note = kernels.choose("auto")
    if compiled is plain:
        pytest.skip(note)
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 50, 20000).astype(np.uint32)
    labels[labels == 7] = 8
    limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
    values = (
        rng.integers(limits.min, limits.max, 20000, dtype, True) if limits else rng.normal(0, 1, 20000).astype(dtype)
    )
    for one, other in zip(plain.region_moments(labels, 50, values), compiled.region_moments(labels, 50, values)):
        assert one.dtype == other.dtype and np.array_equal(one, other)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint32])
@pytest.mark.parametrize("choice", ["plain", "auto"])
def test_moments_of_parts_add_up_to_those_of_the_segments(dtype, choice):
    kernel, note = kernels.choose(choice)
    if choice == "auto" and kernel is plain:
        pytest.skip(note)
    rng = np.random.default_rng(8)
    limits = np.iinfo(dtype)
    values = rng.integers(limits.min, limits.max, 30000, dtype, True)
    segment_of = rng.integers(0, 40, 200).astype(np.uint32)  # of each part; some segments have many, some none
    segment_of[segment_of == 11] = 12
    part_of = np.r_[np.arange(200), rng.integers(0, 200, 29800)]
    parts, places = [[], []], []
    for half in np.array_split(np.arange(30000), [200, 9000]):  # as several tiles
        present, label = np.unique(part_of[half], return_inverse=True)
        pixels = np.stack([values[half], values[half] // 2])[:, None]
        found = moments_of_pixels(plain, pixels, (label + 1).astype(np.uint32)[None], present.size)
        for band, each in enumerate(found):
            saved = {name: made() for name, made in each.arrays(band).items()}
            parts[band].append((np.bincount(label), moments_in(saved, band)))
        places.append(segment_of[present])
    together = [add_up(kernel, iter(of_band), np.concatenate(places), 41) for of_band in parts]
    moments = Moments(41, False)
    moments.hold(together[0].with_pixels(np.bincount(segment_of[part_of], minlength=41)))
    expected = plain.region_moments(segment_of[part_of] + np.uint32(1), 41, values)
    whole = Moments(41, False)
    whole.add(np.arange(41), expected)
    assert (whole.counts == 0).sum() >= 2
    for name in ("counts", "totals", "squares", "low", "high"):
        assert np.array_equal(getattr(moments, name), getattr(whole, name)), name
    halved = plain.region_moments(segment_of[part_of] + np.uint32(1), 41, values // 2)
    assert np.array_equal(together[1].totals, halved[1])
    low, high = together[1].squares
    assert np.array_equal(high * 2**32 + low, halved[2][1] * 2**32 + halved[2][0])


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.uint32])
def test_deviations_of_large_integers_are_exact(dtype):
    top = np.iinfo(dtype).max
    values = top - np.random.default_rng(6).integers(0, 3, 1000).astype(dtype)
    moments = Moments(1, False)
    for part in np.split(values, 10):
        moments.add(np.zeros(1, int), plain.region_moments(np.ones(part.size, np.uint32), 1, part))
    exact = np.std((int(top) - values.astype(object)).astype(float))
    assert moments.deviation[0] == pytest.approx(exact, rel=1e-13)
    assert moments.sum[0] == float(sum(values.tolist()))


def test_a_large_spread_of_32_bit_values_is_exact():
    values = np.array([0, 2**32 - 1] * 500, np.uint32)
    moments = Moments(1, False)
    moments.add(np.zeros(1, int), plain.region_moments(np.ones(values.size, np.uint32), 1, values))
    assert moments.deviation[0] == (2**32 - 1) / 2


def test_a_table_too_large_for_xml_becomes_a_geopackage(tmp_path, monkeypatch):
    monkeypatch.setattr(attribute_table, "MOST_XML_VALUES", 10)
    path = write_raster(tmp_path / "in.tif", two_band_scene(np.uint8))
    log = Log()
    _, result = run(path, tmp_path / "o.tif", log, min_pixels=30)
    assert any("o_attributes.gpkg" in line for line in log.lines)
    dataset = gdal.OpenEx(str(tmp_path / "o_attributes.gpkg"))
    layer = dataset.GetLayer(0)
    assert layer.GetFeatureCount() == result.segment_count
    feature = layer.GetNextFeature()
    assert feature["segment"] == 1 and feature["Histogram"] > 0 and feature["mean_2"] is not None
    monkeypatch.undo()
    run(path, tmp_path / "o.tif", log, min_pixels=30)
    assert not (tmp_path / "o_attributes.gpkg").exists() and (tmp_path / "o.tif.aux.xml").exists()


@pytest.mark.parametrize("kind", kernels.CHOICES[1:])
def test_compact_numbers_ids_wherever_they_lie(kind):
    try:
        kernel, _ = kernels.choose(kind)
    except SegmentationError as error:
        pytest.skip(str(error))
    top = 2**32 - 1
    for ids in ([0, 5, 5, 9, 1], [top, 0, 3, top], [top, 0, top], [0, 0], [7, 7], [1, 2, 2, 3], [8, 900, 8]):
        present, labels, sizes = kernel.compact(np.array([ids], np.uint32))
        assert (present.dtype, labels.dtype, sizes.dtype) == (np.uint32, np.uint32, np.int64)
        assert np.array_equal(np.append(np.uint32(0), present)[labels], ids)
        assert [*zip(present, sizes)] == [(one, ids.count(one)) for one in sorted(set(ids) - {0})]


def test_bands_read_together_are_what_each_of_them_is_alone(tmp_path, monkeypatch):
    values = np.random.default_rng(2).integers(0, 4, (3, 20, 30)).astype(np.int16)
    other = write_raster(tmp_path / "other.tif", values[:1])
    raster = describe(write_raster(tmp_path / "in.tif", values, options=["INTERLEAVE=PIXEL"]))
    bands = single_bands(replace(raster, bands=(Band(1, nodata=3), Band(2), Band(3, nodata=2))))
    bands += single_bands(describe(other))
    window, labels = Window(3, 2, 20, 10), np.arange(200, dtype=np.uint32)
    alone = [found for band in bands for found in band_values((band,), window, labels, OpenRasters())]
    opened = []
    monkeypatch.setattr(gdal_access, "open_raster", lambda path: opened.append(path) or open_raster(path))
    together = list(band_values(bands, window, labels, OpenRasters()))
    assert opened == [raster.path, other]
    for index, (one, both) in enumerate(zip(alone, together)):
        part = values[index % 3, 2:12, 3:23].ravel()
        valid = part != (bands[index].bands[0].nodata if index < 3 else None)
        assert np.array_equal(both[0], part) and np.array_equal(both[1], labels * valid)
        assert all(np.array_equal(a, b) for a, b in zip(one, both))


@pytest.mark.parametrize("failing", ["write_segments", "write_table_beside"])
@pytest.mark.parametrize("error", [Cancelled(), SegmentationError("no room")])
def test_the_raster_and_a_table_beside_it_end_together(tmp_path, monkeypatch, failing, error):
    """Whichever of the two ends early, nothing of either goes on or stays."""
    monkeypatch.setattr(attribute_table, "MOST_XML_VALUES", 10)
    began, ended = threading.Event(), threading.Event()

    def fail(*arguments, **named):
        assert began.wait(10)
        raise error

    def write_on(path, columns, check_cancelled):
        began.set()
        try:
            while True:
                check_cancelled()
                time.sleep(0.01)
        finally:
            ended.set()

    def write_raster_at_once(*arguments, **named):
        began.set()
        ended.set()

    monkeypatch.setattr(run_outputs, "write_table_beside", write_on)
    monkeypatch.setattr(run_outputs, "write_segments", write_raster_at_once)
    monkeypatch.setattr(run_outputs, "verify_raster", lambda *arguments: None)  # there is none
    monkeypatch.setattr(run_outputs, failing, fail)
    path = write_raster(tmp_path / "in.tif", two_band_scene(np.uint8))
    started = time.monotonic()
    with pytest.raises(type(error)):
        run(path, tmp_path / "o.tif", min_pixels=30, execution="serial")
    assert ended.is_set() and time.monotonic() - started < 20
    assert not leftovers(tmp_path, {"in.tif"})
