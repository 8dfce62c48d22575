# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables of plain columns, as files that QGIS and others read: GeoPackage, CSV, Parquet."""

import csv
import os
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, List, Sequence, Tuple

import numpy as np
from osgeo import gdal, ogr

from ..errors import SegmentationError
from ..progress import Check
from .field_names import field_names
from .formats import TABLES
from .gdal_access import collected_errors, name_for_people, reason
from .verification import verify_features, verify_text_table

VALUES = 1 << 15  # values that are converted at a time; more would not stay in the processor's cache
NOT_FIRST = "`~!@#$%^&*()+-={}|[]\\:\";'<>?,./ "  # in the name of an OGR layer
PLACES = 999  # for values in an SQL statement; newer versions of SQLite take more


@dataclass(frozen=True)
class Column:
    """A named column.

    values : (rows,) integers or floats, an array or what is read when it is needed; NaN is written as null
    label : what people call it, which only a GeoPackage holds, as the field's alias
    usage : what the column means in a raster attribute table, the name of a GDAL `GFU_` constant without that
    """

    name: str
    values: Any  # an array or another of `stored.Rows`
    usage: str = "Generic"
    label: str = ""

    @property
    def is_real(self) -> bool:
        return self.values.dtype.kind == "f"


def write_table(path: str, columns: Sequence[Column], check_cancelled: Check) -> None:
    """Write a table; the caller gives it its final name (see `publish`).

    Parameters
    ----------
    columns : Columns of equal length
    """
    driver = TABLES.driver_of(path, "OUTPUT")
    write = {"GPKG": _write_geopackage, "CSV": _write_csv}.get(driver, _write_with_ogr)
    try:
        write(path, columns, driver, check_cancelled)
    except (sqlite3.Error, OSError) as error:
        raise SegmentationError(
            f"The table {Path(path).name} cannot be written ({error}): make room, or choose another folder."
        ) from error
    if driver != "CSV":
        verify_features(str(path), columns[0].values.size, "The table")


def parts(columns: Sequence[Column], check_cancelled: Check) -> Iterator[List[Tuple[Any, ...]]]:
    """Rows as tuples of Python values, a list of many at a time."""
    rows = max(1, VALUES // len(columns))
    for first in range(0, columns[0].values.size, rows):
        check_cancelled()
        yield list(zip(*(plain_values(column.values[first : first + rows]) for column in columns)))


def plain_values(values: np.ndarray) -> List[Any]:
    """Numbers as Python's, NaN as None."""
    if values.dtype.kind != "f":
        return values.tolist()
    listed = values.tolist()
    if np.isnan(values).any():
        return [None if value != value else value for value in listed]
    return listed


def layer_name(path: str) -> str:
    """What the layer in a file is called: as the file, without what no name in a GeoPackage may begin with."""
    return Path(path).stem.lstrip(NOT_FIRST) or "segments"


def create_fields(layer: ogr.Layer, columns: Sequence[Column], path: str) -> None:
    """Add the columns to the OGR layer of a file; see `field_names`."""
    for column, name in zip(columns, field_names([column.name for column in columns], path)):
        field = ogr.FieldDefn(name, ogr.OFTReal if column.is_real else ogr.OFTInteger64)
        if column.label and Path(path).suffix.lower() == ".gpkg":
            name_for_people(field, column.label)
        layer.CreateField(field)


def _create(path: str, columns: Sequence[Column], driver: str) -> Tuple[gdal.Dataset, ogr.Layer]:
    with collected_errors() as messages:
        dataset = ogr.GetDriverByName(driver).CreateDataSource(str(path))
        layer = None if dataset is None else dataset.CreateLayer(layer_name(path), geom_type=ogr.wkbNone)
        if layer is not None:
            create_fields(layer, columns, path)
    if layer is None or messages:
        raise SegmentationError(f"The table {Path(path).name} cannot be created ({reason(messages)}): make room.")
    return dataset, layer


def _write_geopackage(path: str, columns: Sequence[Column], driver: str, check_cancelled: Check) -> None:
    """OGR makes the tables, and SQLite fills them, many rows with one statement: several times as fast."""
    dataset, layer = _create(path, columns, driver)
    name = layer.GetName()
    del layer
    del dataset
    names = ", ".join(quoted(column.name) for column in columns)
    row = "(" + ", ".join("?" * len(columns)) + ")"

    def insert(rows: int) -> str:
        return f"INSERT INTO {quoted(name)} ({names}) VALUES " + ", ".join([row] * rows)  # noqa: S608 # nosec B608

    total, at_a_time = columns[0].values.size, max(1, PLACES // len(columns))
    with _unjournalled(path) as connection, _counted_at_once(connection, name, total):
        for values, rows in _row_after_row(columns, at_a_time, check_cancelled):
            size = at_a_time * len(columns)
            whole = rows // at_a_time * size
            connection.executemany(insert(at_a_time), (values[at : at + size] for at in range(0, whole, size)))
            if whole < len(values):
                connection.execute(insert(rows % at_a_time), values[whole:])


def _row_after_row(
    columns: Sequence[Column], at_a_time: int, check_cancelled: Check
) -> Iterator[Tuple[List[Any], int]]:
    """The values of many rows as one list, with the number of rows: a multiple of `at_a_time` but for the last."""
    total = columns[0].values.size
    step = max(1, VALUES // len(columns) // at_a_time) * at_a_time
    for first in range(0, total, step):
        check_cancelled()
        rows = min(step, total - first)
        values: List[Any] = [None] * (rows * len(columns))
        for index, column in enumerate(columns):
            values[index :: len(columns)] = plain_values(column.values[first : first + rows])
        yield values, rows


@contextmanager
def _unjournalled(path: str) -> Iterator[sqlite3.Connection]:
    """A transaction without journal or waiting for the disk: a table that is not finished never gets its name."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = OFF")
        with connection:
            yield connection


@contextmanager
def _counted_at_once(connection: sqlite3.Connection, table: str, rows: int) -> Iterator[None]:
    """OGR's triggers count row by row; here the number of all inserted rows is set once."""
    triggers = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? AND name LIKE ?",
        (table, "trigger_insert_feature_count%"),
    ).fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {quoted(name)}")
    yield
    for _, definition in triggers:
        connection.execute(definition)
        connection.execute("UPDATE gpkg_ogr_contents SET feature_count = ? WHERE table_name = ?", (rows, table))


def quoted(name: str) -> str:
    """A name in an SQL statement."""
    return '"' + name.replace('"', '""') + '"'


def _write_csv(path: str, columns: Sequence[Column], driver: str, check_cancelled: Check) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([column.name for column in columns])
        for rows in parts(columns, check_cancelled):
            writer.writerows(rows)
        file.flush()
        size = os.fstat(file.fileno()).st_size
    verify_text_table(path, size, "The table")
    types = ",".join("Real" if column.is_real else "Integer64" for column in columns)
    Path(path).with_suffix(".csvt").write_text(types + "\n", encoding="utf-8")


def _write_with_ogr(path: str, columns: Sequence[Column], driver: str, check_cancelled: Check) -> None:
    dataset, layer = _create(path, columns, driver)
    with collected_errors() as messages:
        for rows in parts(columns, check_cancelled):
            for row in rows:
                feature = ogr.Feature(layer.GetLayerDefn())
                for index, value in enumerate(row):
                    if value is not None:
                        feature.SetField(index, value)
                layer.CreateFeature(feature)
            if messages:
                break
        del layer
        del dataset
    if messages:
        raise SegmentationError(f"The table {Path(path).name} cannot be written ({reason(messages)}): make room.")
