# SPDX-License-Identifier: GPL-2.0-or-later
"""A raster of segments that was cut out of a larger one keeps a table that lies: everything that reads it says so."""

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal, ogr
from rasters import Log, read, write_raster
from test_attributes import need_driver
from tiledseg.tiledseg_plugin.engine.files.attribute_table import write_attribute_table, write_table_beside
from tiledseg.tiledseg_plugin.engine.files.tables import Column
from tiledseg.tiledseg_plugin.engine.products import table_agreement
from tiledseg.tiledseg_plugin.engine.products.segment_columns import RasteriseParameters, rasterise_column
from tiledseg.tiledseg_plugin.engine.products.segment_polygons import (
    MeanImageParameters,
    PolygonsParameters,
    segment_mean_image,
    segment_polygons,
)
from tiledseg.tiledseg_plugin.engine.products.segment_shape import ShapeParameters, segment_shape
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from tiledseg.tiledseg_plugin.engine.products.segment_values import only_of, read_columns
from tiledseg.tiledseg_plugin.engine.products.table_agreement import claim_of, looked_over

IDS = np.kron(np.arange(1, 13, dtype=np.uint32).reshape(3, 4), np.ones((10, 12), np.uint32))
IDS[:3] = 0
PART = (6, 5, 30, 14)  # columns 6 to 35, rows 5 to 18: of segments 1, 2, 3, 5, 6, 7
ALGORITHMS = {
    "statistics": lambda s, v, o: segment_statistics(
        StatisticsParameters(s, v, o + ".csv", execution="serial"), LOG[0]
    ),
    "meanimage": lambda s, v, o: segment_mean_image(MeanImageParameters(s, v, o + ".tif", execution="serial"), LOG[0]),
    "polygons": lambda s, v, o: segment_polygons(PolygonsParameters(s, o + ".gpkg", v, execution="serial"), LOG[0]),
    "shape": lambda s, v, o: segment_shape(ShapeParameters(s, o + ".csv", execution="serial"), LOG[0]),
    "rasterise": lambda s, v, o: rasterise_column(RasteriseParameters(s, "m", o + ".tif", execution="serial"), LOG[0]),
}
LOG = [Log()]


def with_table(path, driver="GTiff", beside=False):
    """Segments with a table as a run of ours writes it: counts, and a number each."""
    write_raster(path, IDS[None], 0, driver=driver)
    counts = np.bincount(IDS.ravel(), minlength=13)[1:].astype(float)
    columns = [Column("Histogram", counts, "PixelCount"), Column("m", np.arange(1, 13) * 10.0)]
    if beside:
        write_table_beside(str(path), columns, lambda: None)
    else:
        write_attribute_table(str(path), columns)
    return str(path)


def translated(source, target):
    """A part as gdal_translate cuts it out: the table comes along, without the counts."""
    gdal.Translate(str(target), source, srcWin=PART, format="HFA" if target.suffix == ".img" else "GTiff")
    return str(target)


def copied(source, target):
    """A part whose table was copied along as it is."""
    driver = "HFA" if target.suffix == ".img" else "GTiff"
    part = IDS[PART[1] : PART[1] + PART[3], PART[0] : PART[0] + PART[2]]
    if driver == "GTiff":
        write_raster(target, part[None], 0)
        shutil.copy(source + ".aux.xml", str(target) + ".aux.xml")
    else:
        write_raster(target, part[None], 0, driver=driver)
        dataset, whole = gdal.Open(str(target), gdal.GA_Update), gdal.Open(source)
        dataset.GetRasterBand(1).SetDefaultRAT(whole.GetRasterBand(1).GetDefaultRAT().Clone())
        del dataset, whole
    return str(target)


def beside(source, target):
    """A part with the table that stood beside the whole raster."""
    shutil.copy(source.replace(".tif", "_attributes.gpkg"), str(target).replace(".tif", "_attributes.gpkg"))
    part = IDS[PART[1] : PART[1] + PART[3], PART[0] : PART[0] + PART[2]]
    return write_raster(target, part[None], 0)


@pytest.fixture(params=["translated.tif", "translated.img", "copied.tif", "copied.img", "beside.tif"])
def part(request, tmp_path):
    way, extension = request.param.split(".")
    driver = "HFA" if extension == "img" else "GTiff"
    whole = with_table(tmp_path / f"whole.{extension}", driver, way == "beside")
    return {"translated": translated, "copied": copied, "beside": beside}[way](whole, tmp_path / f"part.{extension}")


def said(log):
    return [line for line in log.lines if "attribute table of SEGMENTS" in line]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_says_so_once_and_works_with_what_is_there(tmp_path, part, name):
    values = write_raster(tmp_path / "v.tif", np.random.default_rng(1).integers(0, 99, (1, 14, 30)).astype(np.uint8))
    LOG[0] = Log()
    result = ALGORITHMS[name](part, values, str(tmp_path / "o"))
    (sentence,) = said(LOG[0])
    assert "6 segments in it are not there" in sentence and sentence.endswith("that are there count.")
    dropped = claim_of(part).counts is None  # GDAL drops them where it copies a part
    assert ("another number of pixels" in sentence) != dropped
    assert result.segment_count == 6
    if name == "rasterise":
        assert np.array_equal(read(tmp_path / "o.tif"), read(part) * 10)
    if name == "polygons":
        dataset = ogr.Open(str(tmp_path / "o.gpkg"))
        assert dataset.GetLayer(0).GetFeatureCount() == 6


@pytest.mark.parametrize("extension", [".tif", ".img", ".kea", " beside.tif"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_table_that_is_right_is_passed_over_in_silence(tmp_path, name, extension):
    need_driver("." + extension.split(".")[-1])
    driver = {"tif": "GTiff", "img": "HFA", "kea": "KEA"}[extension.split(".")[-1]]
    segments = with_table(tmp_path / f"whole{extension}", driver, "beside" in extension)
    values = write_raster(tmp_path / "v.tif", np.ones((1, 30, 48), np.uint8))
    LOG[0] = Log()
    ALGORITHMS[name](segments, values, str(tmp_path / "o"))
    assert not said(LOG[0])
    assert looked_over(segments, lambda: None) == ("", None)


def test_rows_without_pixels_and_other_kinds_of_tables_are_no_lie(tmp_path):
    gaps = np.where(IDS, IDS * 7, 0).astype(np.uint32)
    segments = write_raster(tmp_path / "s.tif", gaps[None], 0)
    values = write_raster(tmp_path / "v.tif", np.ones((1, 30, 48), np.uint8))
    log = Log()
    segment_statistics(StatisticsParameters(segments, values, update_rat=True, execution="serial"), log)
    segment_shape(ShapeParameters(segments, str(tmp_path / "o.csv"), execution="serial"), log)
    assert not said(log) and looked_over(segments, lambda: None) == ("", None)
    names = gdal.RasterAttributeTable()  # of somebody else: nothing says which values the rows are for
    names.SetRowCount(300)
    names.CreateColumn("Name", gdal.GFT_String, gdal.GFU_Name)
    other = write_raster(tmp_path / "other.tif", gaps[None], 0)
    dataset = gdal.Open(other)
    dataset.GetRasterBand(1).SetDefaultRAT(names)
    del dataset
    segment_shape(ShapeParameters(other, str(tmp_path / "p.csv"), execution="serial"), log)
    assert not said(log) and looked_over(other, lambda: None) == ("", None)


def test_an_update_says_it_in_its_own_words_only(tmp_path):
    part = copied(with_table(tmp_path / "whole.tif"), tmp_path / "part.tif")
    values = write_raster(tmp_path / "v.tif", np.ones((1, 14, 30), np.uint8))
    log = Log()
    segment_statistics(StatisticsParameters(part, values, update_rat=True, execution="serial"), log)
    assert not said(log) and len([line for line in log.lines if "has been counted anew" in line]) == 1
    segment_statistics(StatisticsParameters(part, values, str(tmp_path / "o.csv"), execution="serial"), log)
    assert not said(log)  # it is right now


def test_style_by_shows_the_segments_that_are_there(part):
    sentence, there = looked_over(part, lambda: None)
    assert "6 segments in it are not there" in sentence
    assert there.tolist() == [1, 2, 3, 5, 6, 7]
    values = only_of(read_columns(part, ["m"])["m"], there)
    assert np.array_equal(np.flatnonzero(~np.isnan(values)), there) and values[7] == 70


@settings(max_examples=60)
@given(
    own=st.lists(st.integers(0, 30), max_size=25),
    ids=st.sets(st.integers(1, 30), min_size=1),
    counts=st.booleans(),
    ordered=st.booleans(),
    lot=st.integers(1, 7),
    seed=st.integers(0, 9),
)
def test_a_table_in_any_order_is_compared_lot_by_lot_as_at_once(own, ids, counts, ordered, lot, seed):
    """Rows ascending, as all programs write them, are not held; others, or several of one segment, are."""
    rng = np.random.default_rng(seed)
    own = np.array(sorted(set(own)) if ordered else own, np.int64)
    pixels = rng.integers(1, 3, own.size).astype(np.float64) if counts else None
    ids, sizes = np.array(sorted(ids), np.uint32), rng.integers(1, 3, len(ids))

    def lots(path=""):
        for first in range(0, own.size, lot):
            part = slice(first, first + lot)
            yield own[part], None if pixels is None else pixels[part]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_agreement, "claim_lots", lots)
        patch.setattr(table_agreement, "ROWS", 4)
        found = table_agreement.disagreement("", ids, sizes, 3)
    kept = own != 3
    rows = {int(one): at for at, one in reversed(list(enumerate(own.tolist()))) if one != 3}  # the first of each counts
    gone, new = np.count_nonzero(~np.isin(own[kept], ids)), np.count_nonzero(~np.isin(ids, own[kept]))
    others = sum(
        pixels is not None and i in rows and pixels[rows[i]] != n for i, n in zip(ids.tolist(), sizes.tolist())
    )
    numbers = [int(word) for word in found.split("(")[-1].split(")")[0].replace(",", "").split() if word.isdigit()]
    assert numbers == [number for number in (gone, others, new) if number]
