# SPDX-License-Identifier: GPL-2.0-or-later
"""UPDATE_RAT: what has no value, tables of rasters that were cut, and what users have put into tables of ours."""

import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from osgeo import gdal
from rasters import Log, leftovers, read, run, write_raster
from test_attributes import need_driver, table_of, two_band_scene
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files import attribute_table
from tiledseg.tiledseg_plugin.engine.files.gdal_access import configured
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from tiledseg.tiledseg_plugin.engine.progress import Feedback

EXTENSIONS = [".tif", ".cog.tif", ".img", ".kea"]
EDITING = {".cog": ["IGNORE_COG_LAYOUT_BREAK=YES"]}


def update(segments, values, log=None, statistics=("mean", "count"), output="", **parameters):
    segment_statistics(
        StatisticsParameters(
            str(segments),
            str(values),
            str(output),
            statistics=statistics,
            update_rat=True,
            execution="serial",
            **parameters,
        ),
        log or Feedback(),
    )


def strings_of(path, name):
    dataset = gdal.Open(str(path))
    table = dataset.GetRasterBand(1).GetDefaultRAT()
    column = [table.GetNameOfCol(i) for i in range(table.GetColumnCount())].index(name)
    return [table.GetValueAsString(row, column) for row in range(table.GetRowCount())]


def add_strings(path, name, start="of "):
    """A user's column of text."""
    dataset = gdal.Open(str(path), gdal.GA_Update if not str(path).endswith("tif") else gdal.GA_ReadOnly)
    band = dataset.GetRasterBand(1)
    table = band.GetDefaultRAT()
    held = not str(path).endswith("tif")
    if not held:
        table = table.Clone()
    table.CreateColumn(name, gdal.GFT_String, gdal.GFU_Generic)
    index = table.GetColumnCount() - 1
    for row in range(table.GetRowCount()):
        table.SetValueAsString(row, index, f"{start}{row}" if row % 3 else "")
    if not held:
        band.SetDefaultRAT(table)
    del table, band, dataset


@pytest.fixture(params=EXTENSIONS)
def segments(request, tmp_path):
    """Segments of a run, with the raster they are of: (segments, raster)."""
    need_driver(request.param)
    raster = write_raster(tmp_path / "in.tif", two_band_scene(np.uint8))
    run(raster, tmp_path / f"s{request.param}", min_pixels=30, execution="serial")
    return tmp_path / f"s{request.param}", raster


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_a_segment_without_values_has_nan_and_a_count_of_0(tmp_path, segments, dtype):
    path, _ = segments
    ids = read(path)
    values = two_band_scene(dtype, seed=4) + dtype(1)
    hidden = np.isin(ids, (1, 7, ids.max()))
    values[0, hidden] = 0
    other = write_raster(tmp_path / "other.tif", values, nodata=0)
    statistics = ("mean", "std", "min", "max", "median", "majority", "sum", "count")
    update(path, other, statistics=statistics)
    columns, _ = table_of(path)
    without = np.unique(ids[hidden])
    named = {name: columns[f"other_{name}_1" if f"other_{name}_1" in columns else f"{name}_1"] for name in statistics}
    for name, found in named.items():
        assert found[0] == 0, name
        if name == "count":
            assert (found[without] == 0).all()
        else:
            assert np.isnan(found[without]).all(), name
            assert np.isfinite(np.delete(found[1:], without - 1)).all(), name
    assert named["mean"][3] == pytest.approx(values[0][ids == 3].mean())
    # what the table and the raster held is as it was
    assert np.array_equal(read(path), ids) and np.isfinite(columns["mean_1"]).all()


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_rows_of_ids_that_are_not_there_have_no_value(tmp_path, extension):
    need_driver(extension)
    ids = np.kron(np.arange(1, 13, dtype=np.uint32).reshape(3, 4) ** 2, np.ones((20, 20), np.uint32))
    driver = {".img": "HFA", ".kea": "KEA"}.get(extension, "GTiff")
    path = write_raster(tmp_path / f"s{extension}", ids[None], nodata=0, driver=driver)
    values = np.random.default_rng(0).random((1, 60, 80))
    update(path, write_raster(tmp_path / "v.tif", values))
    columns, _ = table_of(path)
    there = np.unique(ids)
    assert columns["mean_1"].size == 145 and columns["mean_1"][0] == 0
    assert np.array_equal(np.flatnonzero(np.isfinite(columns["mean_1"][1:])) + 1, there)
    assert np.array_equal(columns["Histogram"], np.bincount(ids.ravel()))
    assert np.array_equal(columns["count_1"], np.bincount(ids.ravel()))


def cut_out(path, target, window):
    """A part of a raster, as `gdal_translate -srcwin` makes it: with the table of the whole."""
    driver = gdal.Open(str(path)).GetDriver().ShortName
    gdal.Translate(str(target), str(path), format="GTiff" if driver == "COG" else driver, srcWin=window)
    return target


def test_a_part_of_a_raster_has_counts_of_its_own_and_hears_what_is_stale(tmp_path, segments):
    path, raster = segments
    add_strings(path, "note")
    part = cut_out(path, tmp_path / f"part{path.suffix}", (30, 40, 70, 61))
    before, _ = table_of(part)
    ids, values = read(part), read(raster)[:, 40:101, 30:100]
    present = np.unique(ids[ids > 0])
    assert before["mean_1"].size == read(path).max() + 1  # GDAL has kept the table of the whole, without the counts
    log = Log()
    update(part, raster, log)
    after, _ = table_of(part)
    assert np.array_equal(after["Histogram"][1:], np.bincount(ids.ravel(), minlength=before["mean_1"].size)[1:])
    for segment in present:
        assert after["in_mean_1"][segment] == pytest.approx(values[0][ids == segment].mean())
    absent = np.setdiff1d(np.arange(1, before["mean_1"].size), present)
    assert absent.size and np.isnan(after["in_mean_1"][absent]).all() and (after["count_1"][absent] == 0).all()
    assert np.array_equal(after["mean_1"], before["mean_1"])
    assert strings_of(part, "note") == strings_of(path, "note")
    (warned,) = [line for line in log.lines if "stale" in line]
    assert (
        f"0 for {absent.size} segments" in warned
        and "mean_1" in warned
        and "std_2" in warned
        and warned.count(".") == 1
    )
    log = Log()
    update(part, raster, log)  # nothing is new, nothing changes
    assert not any("stale" in line for line in log.lines)
    assert table_of(part)[0].keys() == after.keys()


def test_counts_of_a_part_that_came_with_all_of_the_table_are_refreshed(tmp_path, segments):
    path, raster = segments
    ids = read(path)
    part = tmp_path / f"part{path.suffix}"
    shutil.copy(path, part)
    if (side := path.with_name(path.name + ".aux.xml")).exists():
        shutil.copy(side, part.with_name(part.name + ".aux.xml"))
    # an edit: a corner becomes no data; newer versions of GDAL want to be asked to change a cloud optimized file
    dataset = gdal.OpenEx(str(part), gdal.OF_RASTER | gdal.OF_UPDATE, open_options=EDITING.get(path.suffixes[0], []))
    dataset.GetRasterBand(1).WriteArray(np.zeros((60, 50), np.uint32))
    del dataset
    ids[:60, :50] = 0
    log = Log()
    update(part, raster, log)
    after, _ = table_of(part)
    assert np.array_equal(after["Histogram"][1:], np.bincount(ids.ravel(), minlength=read(path).max() + 1)[1:])
    (warned,) = [line for line in log.lines if "stale" in line]
    assert "counted anew (0 for" in warned
    log = Log()
    update(part, raster, log, statistics=("median",))
    assert not any("stale" in line for line in log.lines)


def test_a_part_cut_along_its_segments_keeps_what_is_right(tmp_path):
    ids = np.kron(np.arange(1, 9, dtype=np.uint32).reshape(2, 4), np.ones((20, 20), np.uint32))
    path = write_raster(tmp_path / "s.tif", ids[None], nodata=0)
    raster = write_raster(tmp_path / "v.tif", np.random.default_rng(0).random((1, 40, 80)))
    update(path, raster, statistics=("mean", "std"))
    part = cut_out(path, tmp_path / "part.tif", (20, 0, 40, 20))
    log = Log()
    update(part, raster, log, statistics=("mean",))
    columns, _ = table_of(part)
    assert set(columns) - {"Value"} == {"Histogram", "mean_1", "std_1"}
    assert np.array_equal(columns["Histogram"], [0, 0, 400, 400, 0, 0, 0, 0, 0])
    (warned,) = [line for line in log.lines if "stale" in line]
    assert "std_1" in warned and "mean_1" not in warned


def test_columns_of_the_users_are_never_replaced(tmp_path, segments):
    path, raster = segments
    for name in ("median_1", "in_median_1", "note"):
        add_strings(path, name, name)
    before = {name: strings_of(path, name) for name in ("median_1", "in_median_1", "note")}
    log = Log()
    update(path, raster, log, statistics=("median",), bands=(1,))
    columns, _ = table_of(path)
    assert {name: strings_of(path, name) for name in before} == before
    assert columns["in_median_1_2"][3] == pytest.approx(np.median(read(raster)[0][read(path) == 3]))
    assert any("median_1" in line and "in_median_1_2" in line for line in log.lines)


def test_a_histogram_that_is_text_stays(tmp_path):
    ids = np.kron(np.arange(1, 9, dtype=np.uint32).reshape(2, 4), np.ones((20, 20), np.uint32))
    path = write_raster(tmp_path / "s.tif", ids[None], nodata=0)
    table = gdal.RasterAttributeTable()
    table.SetRowCount(9)
    table.CreateColumn("Histogram", gdal.GFT_String, gdal.GFU_Generic)
    for row in range(9):
        table.SetValueAsString(row, 0, f"about {row}")
    with configured({"GTIFF_WRITE_RAT_TO_PAM": "YES"}):
        dataset = gdal.Open(path)
        dataset.GetRasterBand(1).SetDefaultRAT(table)
        del dataset
    update(path, write_raster(tmp_path / "v.tif", np.ones((1, 40, 80), np.uint8)))
    assert strings_of(path, "Histogram") == [f"about {row}" for row in range(9)]
    assert table_of(path)[0]["mean_1"][1:].tolist() == [1.0] * 8


def test_new_values_of_the_same_raster_get_another_name_and_the_same_ones_change_nothing(tmp_path, segments):
    path, raster = segments
    other = tmp_path / "other.tif"
    write_raster(other, two_band_scene(np.uint8, seed=8))
    update(path, other, statistics=("mean",))
    files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    update(path, other, statistics=("mean",))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == files
    write_raster(other, two_band_scene(np.uint8, seed=9))
    before, _ = table_of(path)
    update(path, other, statistics=("mean",))
    after, _ = table_of(path)
    assert set(after) - set(before) == {"other_mean_1_2", "other_mean_2_2"}
    assert all(np.array_equal(after[name], before[name], equal_nan=True) for name in before)


def test_what_is_known_of_other_bands_stays(tmp_path):
    ids = np.kron(np.arange(1, 9, dtype=np.uint32).reshape(2, 4), np.ones((20, 20), np.uint32))
    path = write_raster(tmp_path / "s.tif", np.stack([ids, ids * 3]), nodata=0)
    dataset = gdal.Open(path)
    dataset.GetRasterBand(2).SetStatistics(3, 24, 13.5, 6.9)
    dataset.SetMetadataItem("of", "the user's")
    del dataset
    update(path, write_raster(tmp_path / "v.tif", np.ones((1, 40, 80), np.uint8)))
    dataset = gdal.Open(path)
    assert dataset.GetRasterBand(2).GetStatistics(False, False) == [3, 24, 13.5, 6.9]
    assert dataset.GetMetadataItem("of") == "the user's"
    assert dataset.GetRasterBand(1).GetDefaultRAT().GetRowCount() == 9


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """Segments whose table stands beside them: (segments, raster, GeoPackage)."""
    monkeypatch.setattr(attribute_table, "MOST_XML_VALUES", 10)
    raster = write_raster(tmp_path / "in.tif", two_band_scene(np.uint8))
    run(raster, tmp_path / "s.tif", min_pixels=30, execution="serial")
    return tmp_path / "s.tif", raster, tmp_path / "s_attributes.gpkg"


def content_of(path, without=()):
    """All that is in a database: definitions, and rows in their order, but for some columns of the attribute table."""
    with closing(sqlite3.connect(path)) as connection:
        schema = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").fetchall()
        schema = [row for row in schema if not (row[0] == "table" and row[1] == "s_attributes")]
        rows = {}
        for kind, name, _, _ in schema + [("table", "s_attributes", "", "")]:
            if kind in ("table", "view"):
                cursor = connection.execute(f'SELECT * FROM "{name}"')
                kept = [i for i, column in enumerate(cursor.description) if column[0] not in without]
                rows[name] = [cursor.description[i][0] for i in kept], [tuple(row[i] for i in kept) for row in cursor]
        columns = connection.execute("PRAGMA table_info(s_attributes)").fetchall()
        settings = [connection.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")]
    return schema, rows, [row[1:] for row in columns if row[1] not in without], settings


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_all_that_users_have_put_into_a_geopackage_stays(tmp_path, beside, journal):
    segments, raster, path = beside
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        with connection:
            for column in (
                "note TEXT(40)",
                '"class ""x""" MEDIUMINT',
                "seen BOOLEAN",
                "photo BLOB",
                "day DATE",
                "MEDIAN_1 TEXT",
            ):
                connection.execute(f"ALTER TABLE s_attributes ADD COLUMN {column}")
            connection.execute("UPDATE s_attributes SET note = 'ä ' || segment WHERE segment % 3 = 0")
            connection.execute(
                'UPDATE s_attributes SET photo = x\'00ff\', "class ""x""" = 7, seen = 1 WHERE segment = 4'
            )
            connection.execute("UPDATE s_attributes SET day = '2026-02-03', MEDIAN_1 = 'text' WHERE segment = 5")
            connection.execute("UPDATE s_attributes SET mean_2 = NULL WHERE segment = 6")
            connection.execute("CREATE INDEX by_note ON s_attributes (note)")
            connection.execute("CREATE VIEW seen AS SELECT segment, note FROM s_attributes WHERE seen")
            connection.execute(
                "CREATE TABLE layer_styles (id INTEGER PRIMARY KEY, styleQML TEXT, useAsDefault BOOLEAN)"
            )
            connection.execute("INSERT INTO layer_styles VALUES (1, '<qgis/>', 1)")
    new = ("in_median_1", "median_2")
    time = ("last_change",)
    before = content_of(path, time)
    update(segments, raster, statistics=("median",))
    assert content_of(path, (*new, *time)) == before
    layer = (dataset := gdal.OpenEx(str(path))).GetLayer(0)
    ids = read(segments)
    for feature in layer:
        inside = read(raster)[0][ids == feature["segment"]]
        assert feature["in_median_1"] == pytest.approx(np.median(inside))
    definition = layer.GetLayerDefn()
    fields = [definition.GetFieldDefn(i) for i in range(definition.GetFieldCount())]
    types = {field.GetName(): field.GetTypeName() for field in fields}
    assert types["in_median_1"] == "Real" and types["note"] == "String" and types["day"] == "Date"
    del layer, dataset
    assert not leftovers(tmp_path, {"in.tif", "s.tif", "s.tif.aux.xml", "s.qml", "s_attributes.gpkg", "s_report.json"})


def test_a_geopackage_of_a_part_is_counted_anew_and_a_segment_without_values_is_null(tmp_path, beside):
    segments, raster, path = beside
    part = cut_out(segments, tmp_path / "part.tif", (30, 40, 70, 61))
    shutil.copy(path, tmp_path / "part_attributes.gpkg")  # the table in it keeps its name
    ids, values = read(part), read(raster)[:, 40:101, 30:100]
    values[0][ids == ids[5, 5]] = 0
    left, step, _, top, _, down = gdal.Open(str(part)).GetGeoTransform()
    other = write_raster(
        tmp_path / "v.tif", values + (values > 0), nodata=0, geotransform=(left, step, 0, top, 0, down)
    )
    log = Log()
    update(part, other, log, statistics=("mean", "count"))
    counts = np.bincount(ids.ravel(), minlength=read(segments).max() + 1)
    layer = (dataset := gdal.OpenEx(str(tmp_path / "part_attributes.gpkg"))).GetLayer(0)
    rows = [(f["segment"], f["Histogram"], f["v_mean_1"], f["count_1"]) for f in layer]
    del layer, dataset
    assert [row[0] for row in rows] == list(range(1, counts.size))
    assert [row[1] for row in rows] == counts[1:].tolist()
    assert [row[0] for row in rows if row[2] is None] == [
        i for i in range(1, counts.size) if not counts[i] or i == ids[5, 5]
    ]
    assert rows[ids[5, 5] - 1][3] == 0
    assert any("stale" in line and "mean_1" in line for line in log.lines)


def test_a_geopackage_of_other_segments_is_refused_and_stays(tmp_path, beside):
    segments, raster, path = beside
    whole = path.read_bytes()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM s_attributes WHERE segment = 3")
    before = path.read_bytes()
    with pytest.raises(SegmentationError, match="other segments") as raised:
        update(segments, raster)
    assert path.read_bytes() == before and "\n" not in str(raised.value)
    path.write_bytes(whole)
    update(segments, raster)


@pytest.mark.parametrize("change", ['ALTER TABLE s_attributes RENAME COLUMN segment TO "id"', "garbage"])
def test_what_is_no_table_of_ours_but_called_like_one_stays_and_columns_go_elsewhere(tmp_path, beside, change):
    segments, raster, path = beside
    if change == "garbage":
        path.write_bytes(b"this is no database" * 100)
    else:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(change)
    before = path.read_bytes()
    update(segments, raster)
    assert path.read_bytes() == before
    dataset = gdal.Open(str(segments))
    table = dataset.GetRasterBand(1).GetDefaultRAT()
    assert "mean_1" in [table.GetNameOfCol(index) for index in range(table.GetColumnCount())]
