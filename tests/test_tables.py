# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables of plain columns: what is written is what OGR reads, however many rows go at a time."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest
from osgeo import gdal, ogr
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.files import tables
from tiledseg.tiledseg_plugin.engine.files.tables import Column, write_table


def columns_of(rows, count=7):
    rng = np.random.default_rng(rows)
    means = [rng.normal(0, 1e6, rows) for _ in range(count)]
    means[0][::3] = np.nan
    ids = Column("segment", np.arange(1, rows + 1, dtype=np.uint32))
    return [ids, *(Column(f'mean "{index}"', mean) for index, mean in enumerate(means))]


def rows_of(path):
    dataset = gdal.OpenEx(str(path))
    layer = dataset.GetLayer(0)
    names = [field.GetName() for field in layer.schema]
    return names, [(feature.GetFID(), *(feature[name] for name in names)) for feature in layer]


@pytest.mark.parametrize("rows", [0, 1, 123, 124, 125, 372, 1000])
def test_a_geopackage_holds_every_row_and_counts_them(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(tables, "VALUES", 3000)
    columns, path = columns_of(rows), str(tmp_path / "t.gpkg")
    write_table(path, columns, lambda: None)
    names, found = rows_of(path)
    assert names == [column.name for column in columns]
    values = zip(*(column.values.tolist() for column in columns))
    assert found == [(fid, *(None if value != value else value for value in row)) for fid, row in enumerate(values, 1)]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT feature_count FROM gpkg_ogr_contents").fetchall() == [(rows,)]
        assert connection.execute("SELECT data_type FROM gpkg_contents").fetchall() == [("attributes",)]


def test_a_geopackage_of_more_columns_than_a_statement_takes_at_a_time_counts_what_is_added_later(tmp_path):
    columns, path = columns_of(5, 1200), str(tmp_path / "t.gpkg")
    write_table(path, columns, lambda: None)
    assert len(rows_of(path)[1]) == 5
    dataset = gdal.OpenEx(path, gdal.OF_UPDATE | gdal.OF_VECTOR)
    layer = dataset.GetLayer(0)
    layer.CreateFeature(ogr.Feature(layer.GetLayerDefn()))
    del layer, dataset
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT feature_count FROM gpkg_ogr_contents").fetchall() == [(6,)]


@pytest.mark.parametrize("rows", [0, 1, 124, 125, 1000])
def test_rows_that_ogr_writes_hold_every_value(tmp_path, monkeypatch, rows):
    """As Parquet, which not every GDAL has, with a driver that is always there."""
    monkeypatch.setattr(tables, "VALUES", 1000)
    columns = [*columns_of(rows), Column("large", np.arange(rows) + (1 << 53) + 1)]
    path = str(tmp_path / "t.gpkg")
    tables._write_with_ogr(path, columns, "GPKG", lambda: None)
    names, found = rows_of(path)
    assert names == [column.name for column in columns]
    values = zip(*(column.values.tolist() for column in columns))
    assert found == [(fid, *(None if value != value else value for value in row)) for fid, row in enumerate(values, 1)]


def test_rows_that_ogr_cannot_write_are_said_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "VALUES", 1000)
    calls = []

    def fail():
        calls.append(0)
        gdal.Error(gdal.CE_Failure, gdal.CPLE_FileIO, "no space left")

    with pytest.raises(SegmentationError, match=r"^The table t.gpkg cannot be written \(no space left\): make room\.$"):
        tables._write_with_ogr(str(tmp_path / "t.gpkg"), columns_of(1000), "GPKG", fail)
    assert len(calls) == 1


@pytest.mark.parametrize("name", ["t.gpkg", "t.csv"])
def test_writing_can_be_cancelled(tmp_path, monkeypatch, name):
    monkeypatch.setattr(tables, "VALUES", 100)
    calls = []

    def check():
        calls.append(0)
        if len(calls) > 2:
            raise Cancelled()

    with pytest.raises(Cancelled):
        write_table(str(tmp_path / name), columns_of(1000), check)
    assert len(calls) == 3
