# SPDX-License-Identifier: GPL-2.0-or-later
"""A column of a table of segments as a raster: every kind of table, numbers, texts, ids, no data, formats."""

import csv

import numpy as np
import pytest
from osgeo import gdal, ogr
from rasters import Log, leftovers, read, write_raster
from test_attributes import need_driver
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files.attribute_table import write_attribute_table, write_table_beside
from tiledseg.tiledseg_plugin.engine.files.tables import Column, write_table
from tiledseg.tiledseg_plugin.engine.products.segment_columns import RasteriseParameters, rasterise_column
from tiledseg.tiledseg_plugin.engine.products.segment_polygons import PolygonsParameters, segment_polygons
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from tiledseg.tiledseg_plugin.engine.stages import statistics as survey

IDS = np.kron(np.arange(12, dtype=np.uint32).reshape(3, 4), np.ones((7, 9), np.uint32))  # 0 to 11
NUMBERS = np.array([np.nan, 1.5, -2.25, 0, 7, 1e-3, np.nan, 3, 4, 5, 6, 8])  # of each
LAND = ["", "wood", "meadow", "wood", "Äcker & <Wege>", "water", None, "meadow", "wood", "wood", "water", "wood"]


def rasterised(folder, segments, column, name="o.tif", **parameters):
    log = Log()
    output = str(folder / name)
    parameters = {"execution": "serial", **parameters}
    result = rasterise_column(RasteriseParameters(str(segments), column, output, **parameters), log)
    dataset = gdal.Open(output)
    return read(output), dataset.GetRasterBand(1).GetNoDataValue(), result, log


def looked_up(values, ids=IDS):
    return np.asarray(values, float)[ids]


def shown(found, nodata):
    """Values with NaN for no data."""
    found = found.astype(float)
    return np.where(found == nodata, np.nan, found)


def table_file(path, ids, columns, id_field="segment"):
    """A table, made by OGR, of {name: values}; texts are texts, None is null."""
    driver = {".gpkg": "GPKG", ".csv": "CSV", ".dbf": "ESRI Shapefile", ".parquet": "Parquet"}[path.suffix]
    dataset = ogr.GetDriverByName(driver).CreateDataSource(str(path))
    layer = dataset.CreateLayer(path.stem, geom_type=ogr.wkbNone)
    fields = {id_field: ids, **columns}
    for name, values in fields.items():
        texts = any(isinstance(value, str) for value in values)
        whole = np.asarray(ids).dtype.kind if name == id_field else np.asarray(values).dtype.kind
        layer.CreateField(
            ogr.FieldDefn(name, ogr.OFTString if texts else ogr.OFTInteger64 if whole in "iu" else ogr.OFTReal)
        )
    for row in zip(*fields.values()):
        feature = ogr.Feature(layer.GetLayerDefn())
        for place, value in enumerate(row):
            if value is not None and value == value:
                feature.SetField(place, value if isinstance(value, str) else value.item())
        layer.CreateFeature(feature)
    del layer, dataset
    return str(path)


@pytest.fixture
def segments(tmp_path):
    return write_raster(tmp_path / "s.tif", IDS[None], 0)


@pytest.mark.parametrize("extension", [".tif", ".img", ".kea"])
@pytest.mark.parametrize("beside", [False, True])
def test_columns_of_the_rasters_own_table(tmp_path, extension, beside):
    need_driver(extension)
    path = str(tmp_path / f"s{extension}")
    write_raster(path, IDS[None], 0, driver={".tif": "GTiff", ".img": "HFA", ".kea": "KEA"}[extension])
    columns = [Column("Histogram", np.full(11, 63.0)), Column("mean_1", NUMBERS[1:]), Column("n", np.arange(1, 12) * 2)]
    if beside:
        if extension != ".tif":
            pytest.skip("tables of other formats are within them")
        write_table_beside(path, columns, lambda: None)
    else:
        write_attribute_table(path, columns)
    found, nodata, result, log = rasterised(tmp_path, path, "mean_1")
    assert found.dtype == np.float32 and np.isnan(nodata)
    assert np.array_equal(found, looked_up(NUMBERS).astype(np.float32), equal_nan=True)
    assert (result.segment_count, result.without_value, result.class_count) == (11, 1, 0)
    assert any("1 segment of 11 without a value" in line for line in log.lines)
    found, nodata, _, _ = rasterised(tmp_path, path, "N")
    assert found.dtype == np.int32 and nodata == -(2**31)
    assert np.array_equal(shown(found, nodata)[IDS > 0], (IDS * 2)[IDS > 0]) and np.isnan(shown(found, nodata)[0, 0])


@pytest.mark.parametrize("extension", [".gpkg", ".csv", ".dbf", ".parquet"])
def test_columns_of_tables_by_any_field(tmp_path, segments, extension):
    if extension == ".parquet" and gdal.GetDriverByName("Parquet") is None:
        pytest.skip("this GDAL has no Parquet driver")
    order = np.random.default_rng(1).permutation(np.arange(1, 14))  # 12 and 13 are no segments
    values = np.append(NUMBERS, [9, 9])[order]
    names = [(LAND + ["sand", "sand"])[one] for one in order]
    table = table_file(tmp_path / f"t{extension}", order, {"value": values, "land": names}, "number")
    found, nodata, _, log = rasterised(tmp_path, segments, "value", table=table, id_field="number")
    assert np.array_equal(found, looked_up(NUMBERS).astype(np.float32), equal_nan=True)
    assert any("2 rows of TABLE for segments that SEGMENTS does not have" in line for line in log.lines)
    found, nodata, result, _ = rasterised(tmp_path, segments, "land", table=table, id_field="NUMBER")
    classes = sorted({"wood", "meadow", "Äcker & <Wege>", "water", "sand"})
    numbers = [classes.index(name) + 1 if name else 0 for name in LAND]
    assert (found.dtype, nodata, result.class_count) == (np.uint8, 0, 5)
    assert np.array_equal(found, np.array(numbers)[IDS])


@pytest.mark.parametrize("extension", [".tif", ".img", ".kea", ".cog.tif"])
def test_texts_become_classes_with_names_colours_and_counts(tmp_path, segments, extension):
    need_driver("." + extension.split(".")[-1])
    table = table_file(tmp_path / "t.gpkg", np.arange(1, 12), {"land": LAND[1:]})
    found, _, _, _ = rasterised(tmp_path, segments, "land", f"o{extension}", table=table)
    dataset = gdal.Open(str(tmp_path / f"o{extension}"))
    rat = dataset.GetRasterBand(1).GetDefaultRAT()
    usages = {rat.GetUsageOfCol(index): index for index in range(rat.GetColumnCount())}
    classes = [rat.GetValueAsString(row, usages[gdal.GFU_Name]) for row in range(rat.GetRowCount())][:5]
    assert classes[1:] == sorted({"wood", "meadow", "Äcker & <Wege>", "water"})
    counts = [rat.GetValueAsDouble(row, usages[gdal.GFU_PixelCount]) for row in range(1, 5)]
    assert counts == np.bincount(found.ravel(), minlength=5)[1:].tolist()
    colours = {tuple(rat.GetValueAsInt(row, usages[getattr(gdal, f"GFU_{c}")]) for c in ("Red", "Green", "Blue"))
               for row in range(1, 5)}  # fmt: skip
    assert len(colours) == 4
    if extension != ".kea":
        table = dataset.GetRasterBand(1).GetColorTable()
        assert {table.GetColorEntry(row)[:3] for row in range(1, 5)} == colours
        assert dataset.GetRasterBand(1).GetCategoryNames()[1:5] == classes[1:]


def test_many_classes_take_two_bytes_and_too_many_are_refused(tmp_path, monkeypatch):
    from tiledseg.tiledseg_plugin.engine.products import segment_columns

    ids = np.arange(1, 401, dtype=np.uint32).reshape(1, 20, 20)
    segments = write_raster(tmp_path / "s.tif", ids, 0)
    table = table_file(tmp_path / "t.gpkg", ids.ravel(), {"land": [f"class {one:03d}" for one in ids.ravel()]})
    found, nodata, result, _ = rasterised(tmp_path, segments, "land", table=table)
    assert (found.dtype, nodata, result.class_count) == (np.uint16, 0, 400) and np.array_equal(found, ids[0])
    monkeypatch.setattr(segment_columns, "MOST_CLASSES", 399)
    with pytest.raises(SegmentationError, match="400 different texts"):
        rasterised(tmp_path, segments, "land", "p.tif", table=table)
    assert not leftovers(tmp_path, {"s.tif", "t.gpkg", "o.tif", "o.tif.aux.xml"})


@pytest.mark.parametrize(
    "dtype, nodata, ids",
    [
        (np.uint32, 0, [7, 2**31, 2**32 - 1, 40]),
        (np.int32, -1, [0, 5, 2**31 - 1, 8]),
        (np.float64, None, [3, 2**32 - 1, 100, 9]),
        (np.uint32, 2**32 - 1, [0, 1, 2**32 - 2, 5]),
        (np.uint8, 255, [0, 1, 2, 254]),
    ],
)
def test_ids_of_any_kind_find_their_rows(tmp_path, monkeypatch, dtype, nodata, ids):
    monkeypatch.setattr(survey, "BLOCK_PIXELS", 64)
    places = np.random.default_rng(2).integers(0, 4, (30, 30))
    held = np.array(ids, np.float64)[places].astype(dtype)
    held[0] = nodata if nodata is not None else 0
    segments = write_raster(tmp_path / "s.tif", held[None], nodata)
    table = table_file(tmp_path / "t.gpkg", np.array(ids, np.int64), {"v": np.array([10, 20, 30, 40])})
    found, absent, result, _ = rasterised(tmp_path, segments, "v", table=table)
    expected = (places + 1) * 10.0
    expected[0] = np.nan
    assert np.array_equal(shown(found, absent), expected, equal_nan=True) and result.segment_count == 4


TYPES = [  # values, the type that is chosen, no data
    ([1, 2, 3], np.int32, -(2**31)),
    ([-(2**31) + 1, 5, 2**31 - 1], np.int32, -(2**31)),
    ([1, 2, 2**32 - 2], np.uint32, 0),
    ([0, 2, 2**32 - 2], np.uint32, 2**32 - 1),
    ([-1, 2, 2**32], np.float64, np.nan),
    ([0.5, 2, 3], np.float32, np.nan),
    ([0.5, 2, 2**24 + 1], np.float64, np.nan),
    ([0.5, np.nan, np.inf], np.float32, np.nan),
]


@pytest.mark.parametrize("values, dtype, nodata", TYPES)
def test_the_type_holds_all_values_and_no_data_is_none_of_them(tmp_path, values, dtype, nodata):
    segments = write_raster(tmp_path / "s.tif", np.array([[[0, 1, 2, 3]]], np.uint32), 0)
    table = table_file(tmp_path / "t.gpkg", np.arange(1, 4), {"v": np.array(values)})
    found, held, _, _ = rasterised(tmp_path, segments, "v", table=table)
    assert found.dtype == dtype and (held == nodata or np.isnan(held) and np.isnan(nodata))
    assert np.array_equal(found[0, 1:].astype(float), np.array(values, float), equal_nan=True)
    assert found[0, 0] == held or np.isnan(found[0, 0])


@pytest.mark.parametrize("data_type", ["uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_types_and_no_data_can_be_asked_for(tmp_path, segments, data_type):
    table = table_file(tmp_path / "t.gpkg", np.arange(1, 11), {"v": np.arange(1, 11)})
    found, nodata, _, _ = rasterised(tmp_path, segments, "v", table=table, data_type=data_type, nodata="99")
    assert found.dtype == data_type and nodata == 99
    assert np.array_equal(found, np.where((IDS == 0) | (IDS == 11), 99, IDS))


def test_a_table_whose_rows_are_named_by_values_is_read_by_them(tmp_path):
    """A class raster of others: three rows, for the values 11, 21 and 31."""
    path = write_raster(tmp_path / "s.img", np.array([[[11, 21], [31, 11]]], np.uint8), driver="HFA")
    rat = gdal.RasterAttributeTable()
    rat.SetRowCount(3)
    rat.CreateColumn("Code", gdal.GFT_Integer, gdal.GFU_MinMax)
    rat.CreateColumn("Cover", gdal.GFT_String, gdal.GFU_Name)
    for row, (code, name) in enumerate(((31, "c"), (11, "a"), (21, "b"))):
        rat.SetValueAsInt(row, 0, code)
        rat.SetValueAsString(row, 1, name)
    from tiledseg.tiledseg_plugin.engine.products.id_columns import rows_of

    assert rows_of(rat).tolist() == [31, 11, 21]
    dataset = gdal.GetDriverByName("GTiff").CreateCopy(str(tmp_path / "c.tif"), gdal.Open(path))
    dataset.GetRasterBand(1).SetDefaultRAT(rat)
    del dataset
    found, _, _, _ = rasterised(tmp_path, tmp_path / "c.tif", "Cover")
    assert found.tolist() == [[1, 2], [3, 1]]


def test_tables_that_the_other_algorithms_make_work_as_they_are(tmp_path, segments):
    values = write_raster(
        tmp_path / "v.tif", np.random.default_rng(1).integers(1, 99, (1, *IDS.shape)).astype(np.uint8)
    )
    band = read(values)
    means = np.array([np.nan] + [band[one == IDS].mean() for one in range(1, 12)])
    for name in ("t.gpkg", "t.csv"):
        segment_statistics(StatisticsParameters(segments, values, str(tmp_path / name), execution="serial"), Log())
    for name in ("p.gpkg", "p.shp", "p.geojson"):
        segment_polygons(PolygonsParameters(segments, str(tmp_path / name), values, execution="serial"), Log())
    with open(tmp_path / "plain.csv", "w", newline="", encoding="utf-8") as file:  # of somebody else's, without types
        csv.writer(file).writerows([["segment", "mean_1"], *((one, means[one]) for one in range(1, 12))])
    for name in ("t.gpkg", "t.csv", "p.gpkg", "p.gpkg|layername=p", "p.shp", "p.dbf", "p.geojson", "plain.csv"):
        found, _, _, _ = rasterised(tmp_path, segments, "mean_1", table=str(tmp_path / name))
        np.testing.assert_allclose(found, looked_up(means), rtol=1e-6, err_msg=name)
    segment_statistics(StatisticsParameters(segments, values, update_rat=True, execution="serial"), Log())
    assert np.allclose(rasterised(tmp_path, segments, "mean_1")[0], looked_up(means), equal_nan=True)


def test_nothing_depends_on_windows_or_workers(tmp_path, monkeypatch, segments):
    write_table(str(tmp_path / "t.gpkg"), [Column("segment", np.arange(1, 12)), Column("v", NUMBERS[1:])], lambda: None)
    monkeypatch.setattr(survey, "BLOCK_PIXELS", 50)
    first, *_ = rasterised(tmp_path, segments, "v", table=str(tmp_path / "t.gpkg"))
    other, *_ = rasterised(
        tmp_path, segments, "v", table=str(tmp_path / "t.gpkg"), execution="threads", workers=3, kernels="plain"
    )
    assert np.array_equal(first, other, equal_nan=True)


REFUSED = {
    "column": (
        {"column": "mean_9"},
        r"COLUMN is 'mean_9', and TABLE .*t\.gpkg has no such column: .* segment, v, land",
    ),
    "field": ({"id_field": "number"}, r"ID_FIELD is 'number', and TABLE .* has no such column"),
    "texts as ids": ({"id_field": "land"}, "ID_FIELD land .* is of the type String, so it holds no segment ids"),
    "fractions as ids": ({"id_field": "v"}, r"ID_FIELD v .* holds 1\.5, so it holds no segment ids"),
    "no table": ({"table": "v.txt"}, r"v\.txt cannot be opened as a table"),
    "no layer": ({"table": "t.gpkg|layername=u"}, "cannot be opened as a table .it has no such layer"),
    "no attribute table": ({"table": ""}, "has no attribute table: give a TABLE"),
    "type": ({"data_type": "int16"}, r"COLUMN v holds 1\.5, which DATA_TYPE int16 cannot hold"),
    "no data is a value": ({"nodata": "7"}, "NODATA is 7, which is the value of a segment"),
    "no data does not fit": ({"column": "land", "nodata": "300"}, "NODATA is 300, which a raster of uint8 cannot hold"),
    "no number": ({"nodata": "none"}, "NODATA is 'none': give a number"),
    "type of classes": ({"column": "land", "data_type": "float32"}, "DATA_TYPE of classes"),
    "empty": ({"column": " "}, "COLUMN is empty"),
    "several rows": ({"table": "twice.gpkg"}, "has several rows for segment 3"),
    "other segments": ({"table": "other.gpkg"}, "COLUMN v has no value for any segment of SEGMENTS: check ID_FIELD"),
    "output": ({"output": "t.gpkg"}, r"ends in '\.gpkg'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_a_sentence_and_nothing_is_left(tmp_path, segments, case):
    given, message = REFUSED[case]
    table_file(tmp_path / "t.gpkg", np.arange(1, 12), {"v": NUMBERS[1:], "land": LAND[1:]})
    table_file(tmp_path / "twice.gpkg", np.array([1, 3, 3]), {"v": np.array([1, 2, 3])})
    table_file(tmp_path / "other.gpkg", np.array([100, 101]), {"v": np.array([1, 2])})
    before = sorted(file.name for file in tmp_path.iterdir())
    parameters = {"column": "v", "table": "t.gpkg", "output": "o.tif", **given}
    for name in ("table", "output"):
        parameters[name] = parameters[name] and str(tmp_path / parameters[name])
    with pytest.raises(SegmentationError, match=message) as raised:
        rasterise_column(RasteriseParameters(segments, execution="serial", **parameters), Log())
    assert "\n" not in str(raised.value)
    assert sorted(file.name for file in tmp_path.iterdir()) == before
