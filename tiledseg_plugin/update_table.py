# SPDX-License-Identifier: GPL-2.0-or-later
"""New columns in the attribute table of segments that exist: the raster's files are replaced, never half written."""

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from osgeo import gdal

from .attribute_table import MOST_ROWS, MOST_XML_VALUES, keeps_table_as_xml, set_attribute_table
from .attributes import Attributes
from .errors import SegmentationError, why
from .gdal_access import collected_errors, open_raster
from .output_files import is_attribute_table
from .publish import attributes_path, publishing, staging
from .tables import Column, write_table

MOST_SPARSE = 50_000_000  # rows that a table with gaps may have


def check_table_can_be_updated(segments):
    """Refuse a raster whose table could not be written, before anything is done."""
    if not os.path.isfile(segments):
        raise SegmentationError(f"SEGMENTS {segments} is no file, so UPDATE_RAT cannot write into it: switch it off.")
    driver = open_raster(segments).GetDriver().ShortName
    if driver not in ("GTiff", "COG", "HFA", "KEA"):
        raise SegmentationError(
            f"SEGMENTS {segments} is a {driver} file, which UPDATE_RAT cannot write into: use .tif, .img or .kea."
        )
    with staging(segments, "SEGMENTS"):
        pass


def check_rows_fit(segments: str, attributes: Attributes) -> int:
    """How many rows the table has, up to the largest id; refused as soon as that is known to be too many."""
    rows = int(attributes.ids[-1]) + 1
    if not _has_table_beside(segments) and rows > min(MOST_ROWS, max(MOST_SPARSE, 4 * attributes.ids.size)):
        raise SegmentationError(
            f"The ids of SEGMENTS reach {rows - 1}, and its table would have as many rows: switch UPDATE_RAT off."
        )
    return rows


def _has_table_beside(segments: str) -> bool:
    """Whether the table of a GeoTIFF is a file of its own; one of the user's may have its name."""
    return keeps_table_as_xml(segments) and is_attribute_table(attributes_path(segments))


def update_attribute_table(segments, attributes, columns, prefix, feedback):
    """Add columns; one that is there under the same name with other values stays, and the new one gets the prefix.

    Parameters
    ----------
    attributes : attributes.Attributes, whose ids the columns' rows are for
    prefix : what the values are called
    """
    beside = attributes_path(segments)
    if _has_table_beside(segments):
        _update_geopackage(beside, attributes, columns, prefix, feedback)
        return
    rows = check_rows_fit(segments, attributes)
    present = _table_columns(segments)
    columns = _named(_spread(attributes, columns, rows), present, prefix, feedback)
    if not any(column.name == "Histogram" for column in present):
        columns.insert(0, _spread(attributes, [Column("Histogram", attributes.sizes * 1.0, "PixelCount")], rows)[0])
    every = len({column.name for column in [*present, *columns]})
    if keeps_table_as_xml(segments) and rows * every > MOST_XML_VALUES:
        raise SegmentationError(
            f"The attribute table of {rows} rows is too large for the side file of a GeoTIFF: switch UPDATE_RAT off, "
            "or use .kea or .img for SEGMENTS."
        )
    with publishing(segments, "SEGMENTS", replaced=lambda target: []) as path:
        if keeps_table_as_xml(segments):
            _write_side_file(segments, path, columns)
        else:
            try:
                shutil.copy2(segments, path)
                os.chmod(path, 0o644)
            except OSError as error:
                raise SegmentationError(f"SEGMENTS cannot be copied ({why(error)}): make room on its disk.") from error
            set_attribute_table(path, columns)


def _write_side_file(segments, path, columns):
    """Only the side file is replaced: it is made beside a raster of one pixel."""
    if os.path.exists(segments + ".aux.xml"):
        shutil.copy2(segments + ".aux.xml", path + ".aux.xml")
        os.chmod(path + ".aux.xml", 0o644)
    with collected_errors():
        dataset = gdal.GetDriverByName("GTiff").Create(path, 1, 1, 1, gdal.GDT_UInt32)
        del dataset
    set_attribute_table(path, columns)
    os.unlink(path)


def _spread(attributes, columns, rows):
    """The columns with a row for each id up to the largest."""
    spread = []
    for column in columns:
        values = np.zeros(rows, column.values.dtype)
        values[attributes.ids] = column.values
        spread.append(replace(column, values=np.nan_to_num(values) if column.is_real else values))
    return spread


def _table_columns(segments):
    with collected_errors():
        dataset = open_raster(segments)
        table = dataset.GetRasterBand(1).GetDefaultRAT()
        if table is None:
            return []
        return [
            Column(table.GetNameOfCol(index), np.asarray(table.ReadAsArray(index)))
            for index in range(table.GetColumnCount())
            if table.GetTypeOfCol(index) != gdal.GFT_String
        ]


def _named(columns, present, prefix, feedback):
    there = {column.name: column.values for column in present}
    named = []
    for column in columns:
        values = there.get(column.name)
        same = values is None or (
            values.size == column.values.size and np.allclose(values, column.values, rtol=1e-9, equal_nan=True)
        )
        name = column.name if same else f"{prefix}_{column.name}"
        if not same:
            feedback.info(f"The attribute table has a column {column.name} already: the new one is called {name}.")
        named.append(replace(column, name=name))
    return named


def _update_geopackage(path, attributes, columns, prefix, feedback):
    with closing(sqlite3.connect(f"file:{Path(path).as_posix()}?mode=ro", uri=True)) as connection:
        name = Path(path).stem.replace('"', '""')
        cursor = connection.execute(f'SELECT * FROM "{name}" ORDER BY segment')  # noqa: S608 # nosec B608: quoted
        names = [description[0] for description in cursor.description]
        rows = cursor.fetchall()
    present = [Column(name, np.array(values)) for name, values in zip(names, zip(*rows)) if name != "fid"]
    present = [replace(column, values=_numbers(column.values)) for column in present]
    if not np.array_equal(present[0].values, attributes.ids):
        raise SegmentationError(f"{path} holds other segments than SEGMENTS: delete it, or switch UPDATE_RAT off.")
    new = {column.name: column for column in _named(columns, present, prefix, feedback)}
    kept = [column for column in present if column.name not in new]
    with publishing(path, "SEGMENTS", replaced=lambda target: []) as staged:
        write_table(staged, [*kept, *new.values()], lambda: None)


def _numbers(values):
    return values.astype(np.float64) if values.dtype == object else values
