# SPDX-License-Identifier: GPL-2.0-or-later
"""What is valid in a raster: as GDAL's mask bands say, for every type and every way to declare no data."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal, gdal_array
from rasters import Log, read, run, write_raster
from tiledseg.tiledseg_plugin.engine.files.gdal_access import collected_errors, open_raster
from tiledseg.tiledseg_plugin.engine.files.no_data import is_signed_byte
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from tiledseg.tiledseg_plugin.engine.files.reading import read_bands, read_validity, read_window
from tiledseg.tiledseg_plugin.engine.parameters import PreflightParameters
from tiledseg.tiledseg_plugin.engine.preflight import preflight
from tiledseg.tiledseg_plugin.engine.progress import Feedback

TYPES = [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64]
TYPES += [kind for kind, name in ((np.int64, "GDT_Int64"), (np.uint64, "GDT_UInt64")) if hasattr(gdal, name)]
NAN, INF, MOST = float("nan"), float("inf"), float(np.finfo(np.float32).max)
DECLARED = [None, 0, 1, 77, 255, 256, -1, -128, -9999, 70000, 2**31 - 1, 2**32 - 1, 2**53 + 1, 2**63 - 1, 2**64 - 1]
DECLARED += [0.1, 77.5, -0.5, 1e10, -1e38, -MOST, -3.40282e38, MOST, -1.79769e308, 1e-40, NAN, INF, -INF]


def pool(dtype, nodata):
    """Values of a type that lie on and about a declared one, and at the ends of the type."""
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        near = [] if nodata is None or not np.isfinite(nodata) else [int(nodata) + i for i in (-1, 0, 1)]
        every = [0, 1, 5, 76, 77, 78, limits.min, limits.max, limits.min + 1, limits.max - 1, *near]
        return np.array(sorted({value for value in every if limits.min <= value <= limits.max}), dtype)
    limits = np.finfo(dtype)
    about = (
        [] if nodata is None else [nodata, *(nodata * (1 + share) for share in (1e-15, 1e-7, 4e-7, 5e-7, -3e-7, 1e-3))]
    )
    with np.errstate(over="ignore"):
        values = np.array([0, 1, -1, 0.1, 77, -9999, NAN, INF, -INF, limits.max, limits.min, limits.tiny, *about])
        values = np.concatenate([values, [-1e37, -3.4e38, 3.3e38, -1.7e308, 1e300]]).astype(dtype)
        return np.concatenate([values, np.nextafter(values, dtype.type(0)), np.nextafter(values, dtype.type(INF))])


def made(path, planes, nodatas):
    """A raster with bands of types and no-data values of their own."""
    files = []
    for index, plane in enumerate(planes):
        name = f"{path}.{index}.tif"
        kind = gdal_array.NumericTypeCodeToGDALTypeCode(plane.dtype.type)
        dataset = gdal.GetDriverByName("GTiff").Create(name, plane.shape[1], plane.shape[0], 1, kind)
        dataset.GetRasterBand(1).WriteArray(plane)
        del dataset
        files.append(name)
    rows, cols = planes[0].shape
    dataset = gdal.GetDriverByName("VRT").Create(path, cols, rows, 0)
    for index, (plane, nodata) in enumerate(zip(planes, nodatas), 1):
        dataset.AddBand(gdal_array.NumericTypeCodeToGDALTypeCode(plane.dtype.type))
        source = (
            f'<SimpleSource><SourceFilename relativeToVRT="0">{files[index - 1]}</SourceFilename>'
            f'<SourceBand>1</SourceBand><SrcRect xOff="0" yOff="0" xSize="{cols}" ySize="{rows}"/>'
            f'<DstRect xOff="0" yOff="0" xSize="{cols}" ySize="{rows}"/></SimpleSource>'
        )
        dataset.GetRasterBand(index).SetMetadataItem("source_0", source, "new_vrt_sources")
        if nodata is not None:
            with collected_errors():
                dataset.GetRasterBand(index).SetNoDataValue(nodata)
    dataset.FlushCache()
    return path


def masks(path, numbers=None):
    """(bands, rows, cols) bool: what GDAL's mask bands call valid, and what is finite besides."""
    dataset = gdal.Open(str(path))
    found = []
    for number in numbers or range(1, dataset.RasterCount + 1):
        band = dataset.GetRasterBand(number)
        found.append((band.GetMaskBand().ReadAsArray() > 0) & np.isfinite(band.ReadAsArray()))
    return np.array(found)


def check(path, expected, bands=()):
    """That all ways of reading agree with the masks of the bands; 0 does not count as no data here."""
    dataset = open_raster(str(path))
    for rule, valid in (("any", expected.all(axis=0)), ("all", expected.any(axis=0))):
        raster = describe(str(path), bands, rule, zero_may_be_nodata=False)
        values, found = read_window(dataset, raster, raster.window)
        np.testing.assert_array_equal(found, valid)
        assert np.isfinite(values).all()
        np.testing.assert_array_equal(read_validity(dataset, raster, raster.window)[rule], valid)
    for (_, found), valid in zip(read_bands(dataset, raster, raster.window), expected):
        np.testing.assert_array_equal(found, valid)


def can_declare(dtype, nodata):
    """Whether GDAL can be asked to: of 64-bit integers it takes only their own."""
    dtype = np.dtype(dtype)
    if nodata is None or dtype.kind == "f" or dtype.itemsize < 8:
        return True
    return isinstance(nodata, int) and np.iinfo(dtype).min <= nodata <= np.iinfo(dtype).max


@pytest.mark.parametrize("dtype, nodata", [pair for pair in itertools.product(TYPES, DECLARED) if can_declare(*pair)])
def test_validity_is_gdals_for_every_type_and_declared_value(tmp_path, dtype, nodata):
    path = str(tmp_path / "in.vrt")
    made(path, [pool(dtype, nodata)[None]], [nodata])
    check(path, masks(path))


@settings(max_examples=60)
@given(st.data())
def test_validity_is_gdals_for_bands_of_many_types_together(scratch, data):
    kinds = data.draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=4))
    nodatas = []
    for kind in map(np.dtype, kinds):
        nodatas.append(data.draw(st.sampled_from([value for value in DECLARED if can_declare(kind, value)])))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    planes = [rng.choice(pool(kind, nodata), (5, 12)) for kind, nodata in zip(kinds, nodatas)]
    path = str(scratch / "in.vrt")
    made(path, planes, nodatas)
    check(path, masks(path))


@settings(max_examples=75)
@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.sampled_from([np.float32, np.float64]), st.data())
def test_validity_is_gdals_at_the_ends_of_what_is_near_enough(scratch, nodata, dtype, data):
    """GDAL takes floats for no data that differ in the seventh digit, of double precision, too."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    share = rng.uniform(-1, 1, (20, 40)) * rng.choice([1e-8, 4.76e-7, 4.77e-7, 4.7684e-7, 1e-6, 1], (20, 40))
    with np.errstate(over="ignore"):
        values = (np.float64(nodata) * (1 + share)).astype(dtype)
        edge = np.array([nodata * (1 + side * 2 * np.finfo(np.float32).eps) for side in (-1, 1)]).astype(dtype)
    steps = np.arange(-20, 20).astype(f"i{edge.itemsize}")
    values[:2] = (edge.view(steps.dtype)[:, None] + steps).view(dtype)
    path = str(scratch / "near.vrt")
    made(path, [values], [nodata])
    check(path, masks(path))


def test_the_lowest_float_is_no_data_though_its_digits_were_lost(tmp_path):
    """As in rasters of ArcGIS: -3.40282e38 is declared over pixels of -3.4028235e38."""
    values = np.full((1, 40, 50), 3.0, np.float32) + np.arange(50, dtype=np.float32) % 7
    values[0, :15] = -MOST
    path = write_raster(tmp_path / "in.tif", values, nodata=-3.40282e38)
    ids, _ = run(path, tmp_path / "out.tif", sampling=3, min_pixels=5, num_clusters=5)
    assert np.array_equal(ids > 0, values[0] > 0)


COLOURS = np.array([[10, 20, 30], [10, 5, 5], [5, 20, 5], [5, 5, 30], [1, 2, 3], [0, 0, 0]], np.uint8)


def colours(rows=40, cols=60, seed=1):
    return (
        np.moveaxis(COLOURS[np.random.default_rng(seed).integers(0, len(COLOURS), (rows // 4, cols // 4))], -1, 0)
        .repeat(4, 1)
        .repeat(4, 2)
    )


@pytest.mark.parametrize("rule", ["any", "all"])
@pytest.mark.parametrize("kind", ["NODATA_VALUES", "tRNS of a PNG"])
def test_a_colour_is_no_data_where_all_channels_have_it(tmp_path, kind, rule):
    values = colours()
    path = write_raster(tmp_path / "in.tif", values)
    dataset = gdal.Open(path, gdal.GA_Update)
    if kind == "NODATA_VALUES":
        dataset.SetMetadataItem("NODATA_VALUES", "10 20 30")
    else:
        memory = gdal.GetDriverByName("MEM").CreateCopy("", dataset)
        for number, value in enumerate((10, 20, 30), 1):
            memory.GetRasterBand(number).SetNoDataValue(value)
        path = str(tmp_path / "in.png")
        gdal.GetDriverByName("PNG").CreateCopy(path, memory)
    del dataset
    expected = (values != np.array([10, 20, 30])[:, None, None]).any(axis=0)
    assert 0 < expected.sum() < expected.size
    options = {"sampling": 1, "min_pixels": 3, "num_clusters": 4, "nodata_rule": rule}
    ids, _ = run(path, tmp_path / "out.tif", **options)
    assert np.array_equal(ids > 0, expected)
    check(path, masks(path))
    assert np.array_equal(run(path, tmp_path / "out.tif", bands=(2,), **options)[0] > 0, expected)


@pytest.mark.parametrize("where", ["in the file", "in a .msk file", "in a .msk file, as alpha"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_mask_for_all_bands_is_read_wherever_it_lies(tmp_path, where, dtype):
    values = np.maximum(colours(), 1).astype(dtype)
    path = write_raster(tmp_path / "in.tif", values, nodata=5 if where == "in the file" else None)
    mask = np.where(np.arange(60) % 11 < 4, 0, 255)[None].repeat(40, 0).astype(np.uint8)
    previous = gdal.GetConfigOption("GDAL_TIFF_INTERNAL_MASK")
    gdal.SetConfigOption("GDAL_TIFF_INTERNAL_MASK", "YES" if where == "in the file" else "NO")
    try:
        dataset = gdal.Open(path, gdal.GA_Update)
        dataset.CreateMaskBand(gdal.GMF_PER_DATASET | (gdal.GMF_ALPHA if "alpha" in where else 0))
        dataset.GetRasterBand(1).GetMaskBand().WriteArray(mask)
        del dataset
    finally:
        gdal.SetConfigOption("GDAL_TIFF_INTERNAL_MASK", previous)
    assert (tmp_path / "in.tif.msk").exists() == ("in a .msk file" in where)
    check(path, masks(path))
    ids, _ = run(path, tmp_path / "out.tif", sampling=1, min_pixels=3, num_clusters=4)
    assert np.array_equal(ids > 0, mask > 0)  # a mask stands for all that is declared, as it does in GDAL


def test_a_palette_with_a_transparent_colour(tmp_path):
    values = np.random.default_rng(3).integers(0, 4, (1, 20, 30)).astype(np.uint8)
    dataset = gdal.GetDriverByName("MEM").CreateCopy("", gdal.Open(write_raster(tmp_path / "a.tif", values)))
    table = gdal.ColorTable()
    for index in range(4):
        table.SetColorEntry(index, (60 * index, 10, 200, 0 if index == 2 else 255))
    dataset.GetRasterBand(1).SetColorTable(table)
    dataset.GetRasterBand(1).SetNoDataValue(2)
    for name, driver in (("in.png", "PNG"), ("in.gif", "GIF")):
        if gdal.GetDriverByName(driver) is None:
            continue
        gdal.GetDriverByName(driver).CreateCopy(str(tmp_path / name), dataset)
        check(tmp_path / name, masks(tmp_path / name))
        found = read(tmp_path / name)
        raster = describe(str(tmp_path / name), zero_may_be_nodata=False)
        _, valid = read_window(open_raster(raster.path), raster, raster.window)
        dataset = gdal.Open(raster.path)
        assert np.array_equal(valid, found != dataset.GetRasterBand(1).GetNoDataValue())


def signed_bytes(path, values, nodata=None):
    """A raster of signed bytes: a type of its own from GDAL 3.7 on, a note before."""
    rows, cols = values.shape[1:]
    kind = getattr(gdal, "GDT_Int8", None)
    options = [] if kind else ["PIXELTYPE=SIGNEDBYTE"]
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), cols, rows, len(values), kind or gdal.GDT_Byte, options)
    for number, plane in enumerate(values, 1):
        if nodata is not None:
            dataset.GetRasterBand(number).SetNoDataValue(nodata)
        dataset.GetRasterBand(number).WriteRaster(0, 0, cols, rows, plane.astype(np.int8).tobytes())
    dataset.SetGeoTransform((500000.0, 10.0, 0.0, 6000000.0, 0.0, -10.0))
    dataset.FlushCache()
    return str(path)


@pytest.mark.parametrize("driver", ["MEM", "GTiff", "HFA", "VRT"])
def test_bytes_are_looked_at_without_a_warning(tmp_path, driver):
    """GDAL from 3.7 on warns of the note on signed bytes, once a look, on what QGIS prints."""
    written = write_raster(tmp_path / "b.tif", np.ones((1, 4, 4), np.uint8))
    copy = gdal.GetDriverByName(driver).CreateCopy(
        "" if driver == "MEM" else str(tmp_path / driver), gdal.Open(written)
    )
    said = []
    gdal.PushErrorHandler(lambda *error: said.append(error))
    try:
        assert not is_signed_byte(copy.GetRasterBand(1))
    finally:
        gdal.PopErrorHandler()
    assert said == []


def signed_scene():
    rng = np.random.default_rng(4)
    values = np.kron(rng.integers(-120, 120, (2, 6, 8)), np.ones((1, 8, 8), int)) + rng.integers(0, 7, (2, 48, 64))
    values[:, :9] = -128
    return values.astype(np.int8)


@pytest.mark.parametrize("form", ["tif", "nc"])
@pytest.mark.parametrize("stretch", [True, False])
@pytest.mark.parametrize("nodata", [-128, None])
def test_signed_bytes_are_what_the_same_values_are_in_16_bits(tmp_path, form, stretch, nodata):
    values = signed_scene()
    path = signed_bytes(tmp_path / "in.tif", values, nodata)
    if form == "nc":
        if gdal.GetDriverByName("netCDF") is None:
            pytest.skip("this GDAL has no netCDF driver")
        gdal.Translate(str(tmp_path / "in.nc"), path, bandList=[1])
        path, values = str(tmp_path / "in.nc"), values[:1]
        if nodata is None:  # netCDF has a default for it
            dataset = gdal.Open(path)
            nodata = dataset.GetRasterBand(1).GetNoDataValue()
    wide = write_raster(tmp_path / "wide.tif", values.astype(np.int16), nodata)
    raster = describe(path)
    assert np.dtype(raster.dtype) == np.int8
    read_values, _ = read_window(open_raster(path), raster, raster.window)
    options = {"sampling": 1, "min_pixels": 9, "num_clusters": 12, "stretch": stretch}
    expected, _ = run(wide, tmp_path / "b.tif", mean_image=str(tmp_path / "mb.tif"), **options)
    assert np.array_equal(np.where(expected > 0, read_values, 0), np.where(expected > 0, values, 0))
    for kernels, tile in (("plain", 500), ("auto", 17)):
        ids, _ = run(
            path,
            tmp_path / "a.tif",
            mean_image=str(tmp_path / "ma.tif"),
            kernels=kernels,
            tile_width=tile,
            tile_height=tile,
            **options,
        )
        assert np.array_equal(ids, expected)
        np.testing.assert_array_equal(read(tmp_path / "ma.tif"), read(tmp_path / "mb.tif"))
    if nodata == -128:
        assert np.array_equal(ids > 0, (values != -128).all(axis=0))


def test_signed_bytes_beside_other_types(tmp_path):
    """In a raster whose values are read in a type that holds all of them."""
    one = signed_bytes(tmp_path / "s.tif", signed_scene()[:1], -128)
    other = write_raster(tmp_path / "o.tif", np.full((1, 48, 64), 999, np.uint16), crs=None)
    gdal.BuildVRT(str(tmp_path / "both.vrt"), [one, other], separate=True).FlushCache()
    dataset = gdal.Open(str(tmp_path / "both.vrt"), gdal.GA_Update)
    if not hasattr(gdal, "GDT_Int8"):
        dataset.GetRasterBand(1).SetMetadataItem("PIXELTYPE", "SIGNEDBYTE", "IMAGE_STRUCTURE")
    dataset.FlushCache()
    del dataset
    raster = describe(str(tmp_path / "both.vrt"))
    values, valid = read_window(open_raster(raster.path), raster, raster.window)
    expected = signed_scene()[0]
    assert np.array_equal(values[0], expected) and (values[1] == 999).all()
    assert np.array_equal(valid, expected != -128)


def test_preflight_and_run_agree_about_alpha(tmp_path):
    values = np.concatenate([np.maximum(colours(), 1), np.zeros((1, 40, 60), np.uint8)])
    values[3, 10:] = 200
    path = write_raster(tmp_path / "in.tif", values, options=["ALPHA=YES", "PHOTOMETRIC=RGB"])
    log = Log()
    found = preflight(PreflightParameters(input=path, tile_width=16, tile_height=16), log)
    assert sum(record.valid_pixels for record in found.records) == 30 * 60
    assert any("bands 1, 2, 3" in line for line in log.lines) and any("marked as alpha" in line for line in log.lines)
    assert preflight(PreflightParameters(input=path, bands=(1, 2, 3, 4)), Feedback()).valid_fraction == 1


def test_a_value_that_floats_would_round_is_told_from_its_neighbours(tmp_path):
    """64-bit integers beside floats are read as floats, which cannot tell 2^53 from 2^53 + 1."""
    if np.int64 not in TYPES:
        pytest.skip("this GDAL has no 64-bit integers")
    values = np.array([[2**53, 2**53 + 1, 2**53 + 2, 5]], np.int64)
    for other, nodata in itertools.product((np.int64, np.float32), (2**53 + 1, 2**53 + 2)):
        path = str(tmp_path / "in.vrt")
        made(path, [values, np.ones((1, 4), other)], [nodata, None])
        expected = np.array([values != nodata, np.ones((1, 4), bool)])
        check(path, expected)
