# SPDX-License-Identifier: GPL-2.0-or-later
"""The pre-flight in the engine: every tile's valid pixels, as a count by brute force finds them."""

import numpy as np
import pytest
from osgeo import gdal, ogr
from rasters import GEOTRANSFORM, Log, of_tile, write_raster
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.parameters import PreflightParameters
from tiledseg.tiledseg_plugin.engine.preflight import preflight
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from tiledseg.tiledseg_plugin.engine.stages.plan import EMPTY, OK, SPARSE

REAL = {
    "landsat7_bahamas_rgb_uint8.tif": 0,
    "landsat7_nc_5band_float32.tif": -99999,
    "sen2_20210527_aber_ndvi_irregular.tif": -999,
    "sen2_20210527_aber_10band.tif": None,
}


def check(path, feedback=None, **parameters):
    return preflight(PreflightParameters(input=str(path), **parameters), feedback or Feedback())


def invalid_in(path, nodata, bands=None):
    """(bands, rows, cols): what each band calls no data, with nothing of the plugin's."""
    values = gdal.Open(str(path)).ReadAsArray()
    values = values[None] if values.ndim == 2 else values
    values = values[[band - 1 for band in bands]] if bands else values
    if nodata is None:
        return np.broadcast_to((values == 0).all(axis=0), values.shape)
    return (values == np.array(nodata, values.dtype)) | ~np.isfinite(values)


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("rule", ["any", "all"])
@pytest.mark.parametrize(
    "width, height, threshold", [(128, 128, 0.3), (100, 61, 0.8), (2000, 2000, 0.3), (37, 300, 1.0)]
)
def test_tiles_of_real_rasters_agree_with_a_count_by_brute_force(shared, name, rule, width, height, threshold):
    path = shared / "data" / name
    invalid = invalid_in(path, REAL[name])
    valid = ~(invalid.any(axis=0) if rule == "any" else invalid.all(axis=0))
    result = check(path, tile_width=width, tile_height=height, nodata_rule=rule, valid_data_threshold=threshold)
    columns, rows = -(-valid.shape[1] // width), -(-valid.shape[0] // height)
    assert result.tile_count == len(result.records) == columns * rows
    shares, counts, sides = {}, {}, {}
    for record in result.records:
        assert record.tile_id == record.row * columns + record.col + 1
        part = of_tile(valid, vars(record), width, height)
        assert (record.height, record.width) == part.shape
        assert record.valid_pixels == part.sum()
        assert record.valid_fraction == part.mean()
        expected = EMPTY if not part.any() else SPARSE if part.mean() < threshold else OK
        assert record.status == expected
        shares[record.status] = shares.get(record.status, 0) + 1
        counts[record.col, record.row], sides[record.col, record.row] = record.valid_pixels, part.shape
    for record in result.records:
        near = {
            (record.col + x, record.row + y): sides[record.col, record.row][abs(y)]
            for x, y in ((-1, 0), (1, 0), (0, -1), (0, 1))
            if counts.get((record.col + x, record.row + y))
        }
        best = max(near, key=lambda place: (near[place], counts[place], -place[1], -place[0]), default=None)
        expected = None if best is None or record.status != SPARSE else best[1] * columns + best[0] + 1
        assert record.merged_into == expected
    assert (result.empty_tiles, result.sparse_tiles) == (shares.get(EMPTY, 0), shares.get(SPARSE, 0))
    assert result.valid_fraction == pytest.approx(valid.mean(), abs=1e-12)


def test_counts_are_those_of_the_run(shared, tmp_path):
    from rasters import run

    path = shared / "data" / "landsat7_bahamas_rgb_uint8.tif"
    options = {"tile_width": 150, "tile_height": 111, "valid_data_threshold": 0.5}
    before = check(path, **options).records
    _, result = run(path, tmp_path / "a.tif", num_clusters=10, **options)
    assert len(before) == len(result.tiles) == 6 * 7
    for one, other in zip(before, result.tiles):
        for name in ("tile_id", "col", "row", "width", "height", "valid_pixels", "status", "merged_into", "geometry"):
            assert getattr(one, name) == getattr(other, name)


def masked(path, kind):
    """A raster of 3 bands and what is valid in it, by a mask, an alpha band, a no-data value and NaN."""
    rng = np.random.default_rng(3)
    values = rng.integers(1, 200, (3, 90, 120)).astype(np.float32 if kind == "nan" else np.uint16)
    bad = np.zeros((90, 120), bool)
    bad[20:50, 30:70] = True
    if kind == "nan":
        values[1, bad] = np.nan
        write_raster(path, values)
    elif kind == "nodata":
        values[1, bad] = 7
        values[:, ~bad] = np.maximum(values[:, ~bad], 8)
        write_raster(path, values, nodata=7)
    elif kind == "alpha":
        values = np.concatenate([values, np.where(bad, 0, 65535).astype(np.uint16)[None]])
        write_raster(path, values, options=["PHOTOMETRIC=RGB", "ALPHA=YES"])
    elif kind == "mask":
        write_raster(path, values)
        dataset = gdal.Open(str(path), gdal.GA_Update)
        dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
        dataset.GetRasterBand(1).GetMaskBand().WriteArray(np.where(bad, 0, 255).astype(np.uint8))
        dataset = None
    else:  # undeclared
        values[:, bad] = 0
        values[0] *= values[0] > 50
        write_raster(path, values)
    return ~bad


@pytest.mark.parametrize("kind", ["nan", "nodata", "alpha", "mask", "undeclared"])
def test_every_way_to_declare_no_data_counts(tmp_path, kind):
    valid = masked(tmp_path / "a.tif", kind)
    result = check(tmp_path / "a.tif", bands=(1, 2, 3), tile_width=33, tile_height=20, workers=2)
    for record in result.records:
        assert record.valid_pixels == of_tile(valid, vars(record), 33, 20).sum()


def test_warns_where_the_rules_differ_and_names_both_figures(tmp_path):
    values = np.full((2, 100, 100), 9, np.uint8)
    values[0, :30] = 0
    path = write_raster(tmp_path / "a.tif", values, nodata=0)
    log = Log()
    check(path, log)
    (warning,) = [line for line in log.lines if "NODATA_RULE" in line]
    assert "70.0 %" in warning and "100.0 %" in warning
    values[0, 5:30] = 9
    log = Log()
    check(write_raster(tmp_path / "b.tif", values, nodata=0), log)
    assert not any("NODATA_RULE" in line for line in log.lines)


def test_summary_says_what_there_is_to_know(shared):
    log = Log()
    result = check(shared / "data" / "landsat7_bahamas_rgb_uint8.tif", log, tile_width=128, tile_height=128)
    text = "\n".join(log.lines)
    assert "Tiles: 42 (113 x 120 pixels); 40 to process, 2 empty and left out." in text
    assert result.sparse_tiles > 1 and f"{result.sparse_tiles} of them have less than 0.3 valid" in text
    assert "Valid: 67.3 % of the raster." in text
    assert f"{result.memory / 1e6:.0f} MB of memory and {result.disk / 1e6:.0f} MB of disk" in text
    assert result.memory > 0 and result.disk > 0 and result.seconds > 0
    assert log.percents[-1] == 100 and log.percents == sorted(log.percents)


def test_tiles_of_the_users_own(shared):
    path = shared / "data" / "landsat7_bahamas_rgb_uint8.tif"
    log = Log()
    result = check(path, log, tiles=((300, 200, 200, 200), (250, 150, 100, 100), (0, 0, 40, 40), (300, 600, 9, 200)))
    valid = ~invalid_in(path, 0).any(axis=0)
    first, second, third, fourth = result.records
    assert first.valid_pixels == valid[200:400, 300:500].sum()
    assert second.valid_pixels == valid[150:250, 250:350].sum() - valid[200:250, 300:350].sum()
    assert (second.width, second.height) == (100, 100)
    assert second.valid_fraction == second.valid_pixels / (10000 - 2500)
    assert (third.status, third.merged_into) == (EMPTY, None)
    assert (fourth.height, fourth.valid_pixels) == (118, valid[600:, 300:309].sum())
    assert [(r.col, r.row) for r in result.records] == [(2, 2), (1, 1), (0, 0), (2, 3)]
    shape = ogr.CreateGeometryFromWkb(second.geometry)
    pixel = abs(np.linalg.det(np.array(gdal.Open(str(path)).GetGeoTransform())[[[1, 2], [4, 5]]]))
    assert shape.Area() == pytest.approx(7500 * pixel)
    assert any("pixels in tiles" in line for line in log.lines)


def test_an_empty_raster_is_reported(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.zeros((1, 50, 50), np.uint8), nodata=0)
    log = Log()
    result = check(path, log, tile_width=16, tile_height=16)
    assert (result.tile_count, result.empty_tiles, result.valid_fraction) == (16, 16, 0)
    assert any("No pixel is valid" in line for line in log.lines)


def test_cancel_ends_it(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.ones((1, 3000, 3000), np.uint8))
    with pytest.raises(Cancelled):
        check(path, Log(cancel_at=10))


def test_wrong_values_get_a_sentence(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.ones((1, 30, 30), np.uint8), geotransform=GEOTRANSFORM)
    for parameters, message in (
        ({"tile_width": 15}, "TILE_WIDTH is 15"),
        ({"valid_data_threshold": 1.5}, "VALID_DATA_THRESHOLD is 1.5"),
        ({"bands": (2,)}, "band 2"),
        ({"tiles": ((40, 0, 10, 10),)}, "no polygon over the raster"),
    ):
        with pytest.raises(SegmentationError, match=message):
            check(path, **parameters)
