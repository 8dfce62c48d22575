# SPDX-License-Identifier: GPL-2.0-or-later
"""Creation options: what keeps ids and means as they are is used, all else is refused before a run."""

from functools import cache

import numpy as np
import pytest
from osgeo import gdal
from rasters import leftovers, read, run, write_raster
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files import creation_options
from tiledseg.tiledseg_plugin.engine.files.creation_options import check_creation_options
from tiledseg.tiledseg_plugin.engine.products.segment_polygons import MeanImageParameters, segment_mean_image
from tiledseg.tiledseg_plugin.engine.progress import Feedback

QUICK = {"sampling": 3, "min_pixels": 5, "num_clusters": 8, "execution": "serial"}
EXTENSIONS = {"GTiff": "tif", "COG": "cog.tif", "HFA": "img"}
REFUSED = {
    "GTiff": (
        *(
            "COMPRESS=JPEG",
            "COMPRESS=JPEG|NUM_THREADS=2",
            "COMPRESS=WEBP|NUM_THREADS=2",
            "COMPRESS=WEBP|WEBP_LOSSLESS=YES",
        ),
        *("COMPRESS=CCITTFAX4", "COMPRESS=JXL", "COMPRESS=LZWW", "COMPRESS=LERC|MAX_Z_ERROR=1", "COMPRESS="),
        *("COMPRESS=LERC_ZSTD|MAX_Z_ERROR=0.75", "compress=lerc_deflate|max_z_error=2", "DISCARD_LSB=1"),
        *(
            "DISCARD_LSB=0,2",
            "NBITS=20",
            "NBITS=8",
            "PIXELTYPE=SIGNEDBYTE",
            "PHOTOMETRIC=RGB",
            "PHOTOMETRIC=MINISWHITE",
        ),
        *("ALPHA=YES", "STREAMABLE_OUTPUT=YES", "BLOCKXSIZE=100", "BLOCKXSIZE=wide", "PREDICTOR=3", "PREDICTOR=7"),
        *("ZLEVEL=77", "COMPRESS=ZSTD|ZSTD_LEVEL=99", "BIGTIFF=MAYBE", "COMPRES=LZW", "SPARSE_OK=perhaps", "TILED=2"),
        *("NUM_THREADS=lots", "COMPRESS", "=LZW", "COMPRESS=LZW|x", "MAX_Z_ERROR=nan", "COMPRESSED=YES"),
    ),
    "COG": (
        *("COMPRESS=JPEG", "COMPRESS=WEBP|QUALITY=100", "COMPRESS=LERC|MAX_Z_ERROR=1", "OVERVIEW_COMPRESS=JPEG"),
        *("OVERVIEW_COMPRESS=WEBP", "RESAMPLING=AVERAGE", "OVERVIEW_RESAMPLING=cubic", "TARGET_SRS=EPSG:4326", "RES=2"),
        *(
            "TILING_SCHEME=GoogleMapsCompatible",
            "EXTENT=0,0,1,1",
            "WARP_RESAMPLING=NEAREST",
            "ADD_ALPHA=NO",
            "ZOOM_LEVEL=3",
        ),
        *("ALIGNED_LEVELS=2", "BLOCKSIZE=77", "BLOCKSIZE=100", "TILED=YES", "BLOCKXSIZE=256", "NBITS=8"),
    ),
    "HFA": (
        *("AUX=YES", "NBITS=4", "PIXELTYPE=SIGNEDBYTE", "DEPENDENT_FILE=other.img", "BLOCKSIZE=5000"),
        *("COMPRESS=DEFLATE", "TILED=YES", "COMPRESSED=perhaps"),
    ),
}
KEPT = {
    "GTiff": (
        *("", "COMPRESS=NONE", "compress=lzw|predictor=2", "COMPRESS=ZSTD|ZSTD_LEVEL=3", "COMPRESS=LZMA|LZMA_PRESET=1"),
        *("COMPRESS=LERC", "COMPRESS=LERC_DEFLATE|MAX_Z_ERROR=0", "COMPRESS=PACKBITS", "SPARSE_OK=YES", "TILED=NO"),
        *("BLOCKXSIZE=128|BLOCKYSIZE=64", "BIGTIFF=YES", "TFW=YES", "ENDIANNESS=BIG", "PHOTOMETRIC=MINISBLACK"),
        *("INTERLEAVE=BAND", "NUM_THREADS=ALL_CPUS", "PROFILE=BASELINE", "PROFILE=GeoTIFF", "DISCARD_LSB=0", " | "),
        *("GEOTIFF_VERSION=1.1", "ZLEVEL=9", "COMPRESS=NONE|TILED=NO|BLOCKYSIZE=7"),
    ),
    "COG": (
        *("", "COMPRESS=LZW|PREDICTOR=YES", "COMPRESS=NONE|OVERVIEWS=NONE", "COMPRESS=ZSTD|LEVEL=3", "BLOCKSIZE=128"),
        *(
            "OVERVIEW_COMPRESS=LZW",
            "RESAMPLING=MODE",
            "OVERVIEW_RESAMPLING=NEAREST",
            "TILING_SCHEME=CUSTOM",
            "SPARSE_OK=YES",
        ),
    ),
    "HFA": (
        "",
        "COMPRESSED=NO",
        "COMPRESS=YES",
        "BLOCKSIZE=128",
        "USE_SPILL=YES",
        "IGNOREUTM=YES",
        "FORCETOPESTRING=YES",
    ),
}


def offered(driver_name, options):
    """Whether this GDAL has been built with what the options ask for."""
    driver = gdal.GetDriverByName(driver_name)
    if driver is None:
        return False
    listed = driver.GetMetadataItem("DMD_CREATIONOPTIONLIST").replace("'", '"')
    for option in options.split("|"):
        name, _, value = option.upper().partition("=")
        if (
            name.endswith("COMPRESS")
            and driver_name != "HFA"
            and value not in ("NONE", "")
            and f">{value}<" not in listed
        ):
            return False
    return True


@cache
def scene_values(rows, cols):
    rng = np.random.default_rng(0)
    coarse = rng.integers(1, 120, (3, rows // 8, cols // 8))
    values = (np.kron(coarse, np.ones((8, 8), int)) + rng.integers(0, 3, (3, rows, cols))).astype(np.uint16)
    values[:, : rows - 30, :20] = 0
    return values


def size_for(driver):
    """Rows and columns that are enough for blocks and an overview in this format."""
    return (560, 600) if driver == "COG" else (296, 320)


def scene(tmp_path, driver="GTiff"):
    return write_raster(tmp_path / "in.tif", scene_values(*size_for(driver)))


@pytest.mark.parametrize("driver, options", [(driver, option) for driver, every in REFUSED.items() for option in every])
def test_what_would_change_ids_is_refused_before_the_run(tmp_path, driver, options):
    if gdal.GetDriverByName(driver) is None:
        pytest.skip(f"this GDAL has no {driver} driver")
    path, output = scene(tmp_path, driver), tmp_path / f"out.{EXTENSIONS[driver]}"
    output.write_text("before")
    with pytest.raises(SegmentationError, match="CREATION_OPTIONS") as raised:
        run(path, output, creation_options=options, **QUICK)
    assert "\n" not in str(raised.value) and "vsimem" not in str(raised.value) and str(raised.value).endswith(".")
    assert output.read_text() == "before" and not leftovers(tmp_path, {"in.tif", output.name})


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """(ids, means) of a driver's scene, each made once."""

    @cache
    def of(size):
        folder = tmp_path_factory.mktemp("expected")
        path = write_raster(folder / "in.tif", scene_values(*size))
        ids, _ = run(path, folder / "out.tif", mean_image=str(folder / "mean.tif"), **QUICK)
        return ids, read(folder / "mean.tif")

    return lambda driver="GTiff": of(size_for(driver))


@pytest.mark.parametrize("driver, options", [(driver, option) for driver, every in KEPT.items() for option in every])
def test_what_is_accepted_keeps_ids_means_table_and_place(tmp_path, driver, options, expected):
    if not offered(driver, options):
        pytest.skip(f"this GDAL has no {options} for {driver}")
    extension = EXTENSIONS[driver]
    output, mean = tmp_path / f"out.{extension}", tmp_path / f"mean.{extension}"
    path = scene(tmp_path, driver)
    ids, means = expected(driver)
    if "LERC" in options:  # its decoder cannot read no data of several bands of a pixel: one product less
        run(path, output, creation_options=options, **QUICK)
    else:
        run(path, output, creation_options=options, mean_image=str(mean), **QUICK)
        assert np.array_equal(read(mean), means, equal_nan=True)
    assert np.array_equal(read(output), ids)
    dataset, source = gdal.Open(str(output)), gdal.Open(path)
    band = dataset.GetRasterBand(1)
    assert dataset.GetGeoTransform() == pytest.approx(source.GetGeoTransform())
    assert dataset.GetSpatialRef().IsSame(source.GetSpatialRef())
    assert band.GetNoDataValue() == 0 and band.GetDefaultRAT().GetRowCount() == ids.max() + 1
    assert band.GetOverviewCount() or "OVERVIEWS=NONE" in options
    for level in range(band.GetOverviewCount()):
        assert np.isin(band.GetOverview(level).ReadAsArray(), ids).all()


def test_options_of_output_are_for_a_mean_image_of_the_same_format_only(tmp_path, expected):
    path = scene(tmp_path)
    run(path, tmp_path / "o.img", mean_image=str(tmp_path / "m.tif"), creation_options="COMPRESSED=NO", **QUICK)
    run(path, tmp_path / "o.tif", mean_image=str(tmp_path / "m.img"), creation_options="COMPRESS=LZW", **QUICK)
    assert np.array_equal(read(tmp_path / "m.img"), expected()[1], equal_nan=True)
    run(path, tmp_path / "o.tif", mean_image=str(tmp_path / "m.tif"), creation_options="COMPRESS=LZW", **QUICK)
    for name in ("o.tif", "m.tif"):
        assert gdal.Open(str(tmp_path / name)).GetMetadataItem("COMPRESSION", "IMAGE_STRUCTURE") == "LZW"
    with pytest.raises(SegmentationError, match="file of means"):
        run(path, tmp_path / "p.tif", mean_image=str(tmp_path / "q.tif"), creation_options="COMPRESS=LERC", **QUICK)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_means_may_be_rounded_but_not_lost(dtype):
    for accepted in ("COMPRESS=LERC|MAX_Z_ERROR=0.01", "DISCARD_LSB=4", "COMPRESS=DEFLATE|PREDICTOR=3"):
        if offered("GTiff", accepted):
            check_creation_options("GTiff", accepted, dtype)
    check_creation_options("COG", "OVERVIEW_RESAMPLING=CUBIC|COMPRESS=LZW", dtype, 3)
    for refused in ("COMPRESS=JPEG", "COMPRESS=WEBP", "NBITS=16", "PHOTOMETRIC=RGB", "ALPHA=YES", "BLOCKYSIZE=3"):
        with pytest.raises(SegmentationError, match="CREATION_OPTIONS"):
            check_creation_options("GTiff", refused, dtype, 3)
    with pytest.raises(SegmentationError, match="another grid"):
        check_creation_options("COG", "TARGET_SRS=EPSG:3857", dtype)


def test_a_mean_image_of_existing_segments_is_checked_as_well(tmp_path):
    path = scene(tmp_path)
    run(path, tmp_path / "s.tif", **QUICK)
    parameters = MeanImageParameters(
        str(tmp_path / "s.tif"), path, str(tmp_path / "m.tif"), creation_options="COMPRESS=JPEG", execution="serial"
    )
    with pytest.raises(SegmentationError, match="COMPRESS=JPEG"):
        segment_mean_image(parameters, Feedback())
    assert not (tmp_path / "m.tif").exists()


def test_a_trial_leaves_nothing_in_memory_and_no_handler():
    before, said = gdal.ReadDir("/vsimem/"), []
    gdal.PushErrorHandler(lambda level, number, text: said.append(text))
    try:
        check_creation_options("GTiff", "COMPRESS=LZW|TFW=YES")
        gdal.Error(gdal.CE_Warning, gdal.CPLE_AppDefined, "still heard")
    finally:
        gdal.PopErrorHandler()
    assert gdal.ReadDir("/vsimem/") == before and said == ["still heard"]
    assert creation_options._trial("GTiff", "", np.uint32, 1) == []
