# SPDX-License-Identifier: GPL-2.0-or-later
"""NODATA, what the user says is no data whatever the raster declares: as GDAL has it where that is what is declared."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasters import Log, run, write_raster
from test_no_data import DECLARED, TYPES, can_declare, made, masks, pool
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files.gdal_access import configured, open_raster
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from tiledseg.tiledseg_plugin.engine.files.reading import read_bands, read_validity, read_window
from tiledseg.tiledseg_plugin.engine.parameters import PreflightParameters, SegmentParameters
from tiledseg.tiledseg_plugin.engine.preflight import preflight

gdal = pytest.importorskip("osgeo.gdal")
NUMBERS = [value for value in DECLARED if value is not None]
QUICK = {"num_clusters": 4, "min_pixels": 3, "sampling": 1, "execution": "serial", "kernels": "plain"}


def check(path, nodata, expected, bands=()):
    """That all ways of reading find these pixels valid, by band and under each rule."""
    dataset = open_raster(path)
    for rule, valid in (("any", expected.all(axis=0)), ("all", expected.any(axis=0))):
        raster = describe(path, bands, rule, nodata=nodata)
        assert not raster.zero_is_nodata
        np.testing.assert_array_equal(read_window(dataset, raster, raster.window)[1], valid)
        np.testing.assert_array_equal(read_validity(dataset, raster, raster.window)[rule], valid)
    for (_, found), valid in zip(read_bands(dataset, raster, raster.window), expected):
        np.testing.assert_array_equal(found, valid)


def finite(path):
    values = gdal.Open(path).ReadAsArray()
    return np.isfinite(values[None] if values.ndim == 2 else values)


def is_no_pixels(dtype, number):
    """Whether a whole number cannot be: it is a fraction, or beyond the type. GDAL cuts some of them off."""
    limits = np.iinfo(dtype)
    return (
        number != number
        or number in (np.inf, -np.inf)
        or number != int(number)
        or not limits.min <= number <= limits.max
    )


@pytest.mark.parametrize("dtype, number", itertools.product(TYPES, NUMBERS))
@pytest.mark.parametrize("otherwise", [None, 5])
def test_a_number_is_no_data_as_if_the_raster_declared_it(tmp_path, dtype, number, otherwise):
    path, declaring = str(tmp_path / "in.vrt"), str(tmp_path / "declaring.vrt")
    values = pool(dtype, number)[None]
    made(path, [values], [otherwise])
    if np.dtype(dtype).kind != "f" and is_no_pixels(dtype, number):
        expected = np.ones((1, *values.shape), bool)
    else:
        as_declared = number if np.dtype(dtype).kind == "f" else int(number)
        assert can_declare(dtype, as_declared)
        expected = masks(made(declaring, [values], [as_declared]))
    check(path, repr(number), expected)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("otherwise", [None, 0, 77])
def test_none_makes_every_pixel_data_but_nan_and_infinity(tmp_path, dtype, otherwise):
    path = made(str(tmp_path / "in.vrt"), [pool(dtype, otherwise)[None]], [otherwise])
    check(path, "none", finite(path))
    check(path, " NONE ", finite(path))


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(TYPES), min_size=1, max_size=4),
    st.sampled_from([0, 5, 77, 78, 255]),
    st.integers(0, 2**31),
)
def test_a_number_counts_in_bands_of_all_types_whatever_each_declares(scratch, kinds, number, seed):
    rng = np.random.default_rng(seed)
    planes = [rng.choice(pool(kind, number), (5, 12)) for kind in map(np.dtype, kinds)]
    path, declaring = str(scratch / "given.vrt"), str(scratch / "declaring.vrt")
    made(path, planes, [rng.choice([None, 0, 5, 77]) for _ in kinds])
    check(path, str(number), masks(made(declaring, planes, [number] * len(kinds))))


@pytest.mark.parametrize("kind", ["internal", "alpha"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_masks_and_alpha_count_beside_a_number_and_not_with_none(tmp_path, kind, dtype):
    path = str(tmp_path / "in.tif")
    values = np.arange(3 * 6 * 8).reshape(3, 6, 8).astype(dtype)
    values[:, 2:4] = 9
    hidden = np.zeros((6, 8), bool)
    hidden[:, :3] = True
    if kind == "alpha":
        plane = np.where(hidden, 0, 255).astype(dtype)[None]
        write_raster(path, np.concatenate([values, plane]), options=["PHOTOMETRIC=RGB", "ALPHA=YES"])
    else:
        write_raster(path, values)
        with configured({"GDAL_TIFF_INTERNAL_MASK": "YES"}):
            dataset = gdal.Open(path, gdal.GA_Update)
            dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
            dataset.GetRasterBand(1).GetMaskBand().WriteArray(np.where(hidden, 0, 255).astype(np.uint8))
            del dataset
    check(path, "9", ~hidden & (values != 9), (1, 2, 3))
    check(path, "none", np.ones(values.shape, bool), (1, 2, 3))
    assert describe(path, nodata="none").numbers == [1, 2, 3]  # what is marked as alpha is no data band either way


@pytest.mark.parametrize(
    "text", ["0;255", "1,5", "no", "nothing", "0x10", "--1", "1e", "٣", "1" * 61, "NaN,0", "None None"]
)
@pytest.mark.parametrize("kind", [SegmentParameters, PreflightParameters])
def test_what_is_not_understood_is_refused_in_one_sentence(text, kind):
    outputs = {"output": "out.tif"} if kind is SegmentParameters else {}
    with pytest.raises(SegmentationError, match="NODATA is .*: give one number") as refused:
        kind(input="in.tif", nodata=text, **outputs).check()
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 240


@pytest.mark.parametrize(
    "text", ["", " ", "none", "None", "0", "-9999", "+7", "1e20", ".5", "5.", "nan", "NaN", "-inf", "Infinity"]
)
def test_what_is_understood_is_taken(text):
    SegmentParameters(input="in.tif", output="out.tif", nodata=text).check()


def scene(path, nodata=None):
    rng = np.random.default_rng(5)
    values = np.kron(rng.integers(1, 9, (2, 6, 7)), np.ones((1, 8, 8), int)).astype(np.uint8) * 20
    values[:, :10, :10] = 0
    return write_raster(path, values, nodata=nodata), values


def test_a_run_and_its_preflight_follow_it_and_say_so(tmp_path):
    path, values = scene(tmp_path / "in.tif", nodata=40)
    for text, valid in (
        ("none", values[0] >= 0),
        ("0", values.all(axis=0)),
        ("", (values != 40).all(axis=0)),
        ("256", values[0] >= 0),
    ):
        log = Log()
        ids, result = run(path, tmp_path / "out.tif", log, nodata=text, mean_image=str(tmp_path / "mean.tif"), **QUICK)
        np.testing.assert_array_equal(ids > 0, valid)
        means = gdal.Open(str(tmp_path / "mean.tif")).ReadAsArray()
        np.testing.assert_array_equal(np.isfinite(means[0]), valid)
        checked = preflight(PreflightParameters(input=path, nodata=text), Log())
        assert checked.valid_fraction == valid.mean() and result.valid_pixels == valid.sum()
        assert any(line.startswith(f"NODATA={text}") for line in log.lines) == bool(text)


def test_without_a_declared_value_zeros_are_data_once_it_is_given(tmp_path):
    path, values = scene(tmp_path / "in.tif")
    assert run(path, tmp_path / "a.tif", **QUICK)[1].valid_pixels == values.any(axis=0).sum() < values[0].size
    assert run(path, tmp_path / "a.tif", nodata="none", **QUICK)[1].valid_pixels == values[0].size
    assert run(path, tmp_path / "a.tif", nodata="20", **QUICK)[1].valid_pixels == (values != 20).all(axis=0).sum()


def test_an_interrupted_run_with_another_one_is_not_taken_up(tmp_path):
    from tiledseg.tiledseg_plugin.engine.errors import Cancelled

    path, _ = scene(tmp_path / "in.tif")
    work = {"work_dir": str(tmp_path / "work"), "tile_width": 16, **QUICK}
    with pytest.raises(Cancelled):
        run(path, tmp_path / "out.tif", Log(cancel_at=60), nodata="0", **work)
    with pytest.raises(SegmentationError, match="NODATA: 0 there, 20 now"):
        run(path, tmp_path / "out.tif", nodata="20", **work)
    run(path, tmp_path / "out.tif", nodata="0", **work)


@pytest.mark.qgis
@pytest.mark.parametrize(
    "value, valid", [(0, 2588), ("0", 2588), (0.0, 2588), ("none", 2688), (None, 2588), ("", 2588)]
)
def test_algorithms_take_it_as_number_or_text(plugin, tmp_path, value, valid):
    import processing

    path, _ = scene(tmp_path / "in.tif")
    given = {"INPUT": path, "NODATA": value}
    checked = processing.run("tiledseg:preflight", {**given, "OUTPUT": "TEMPORARY_OUTPUT"})
    assert checked["VALID_FRACTION"] == pytest.approx(valid / 2688)
    result = processing.run("tiledseg:segment", {**given, "NUM_CLUSTERS": 4, "OUTPUT": str(tmp_path / "out.tif")})
    assert result["VALID_PIXELS"] == valid


@pytest.mark.qgis
@pytest.mark.parametrize("value", ["0;1", True, [0, 1]])
def test_algorithms_refuse_what_is_not_understood(plugin, tmp_path, value):
    import processing
    from qgis.core import QgsProcessingException

    path, _ = scene(tmp_path / "in.tif")
    with pytest.raises(QgsProcessingException, match="NODATA is"):
        processing.run("tiledseg:preflight", {"INPUT": path, "NODATA": value, "OUTPUT": "TEMPORARY_OUTPUT"})
