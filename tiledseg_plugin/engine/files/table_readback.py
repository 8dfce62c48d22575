# SPDX-License-Identifier: GPL-2.0-or-later
"""An attribute table that was written is read again: GDAL may lose one in silence, whole or from the middle on."""

import html
import re
from pathlib import Path
from typing import Optional, Sequence

import numpy as np
from osgeo import gdal

from .gdal_access import collected_errors
from .stored import AT_A_TIME
from .tables import Column

PICKED = 1000  # rows that are compared, the first and the last among them
PICKED_OF_XML = 3
END = b"</PAMDataset>"


def as_held(values: np.ndarray, as_integers: bool) -> np.ndarray:
    """Values of a column as a table holds them: (rows,) float64 or int32."""
    if as_integers:
        return np.nan_to_num(values).astype(np.int32)
    return values if values.dtype.kind == "f" else values.astype(np.int32)


def holds_columns(path: str, columns: Sequence[Column], as_xml: bool) -> bool:
    """Whether the table of a raster, which is closed, has the columns with all rows and, where looked at, their values.

    Parameters
    ----------
    columns : Columns with a row for each value, 0 included
    as_xml : whether the table is in the side file
    """
    return (as_xml and _xml_holds(path + ".aux.xml", columns)) or _raster_holds(path, columns)


def _xml_holds(path: str, columns: Sequence[Column]) -> bool:
    """The side file is searched as text, as GDAL takes ten times as long; GDAL is asked where that finds nothing."""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return False
    start = content.rfind(b"<GDALRasterAttributeTable")
    rows = columns[0].values.size
    if start < 0 or END not in content[-40:] or content.count(b"<Row index=", start) < rows:
        return False
    first = content.find(b"<Row index=", start)
    fields = re.findall(rb"<FieldDefn[^>]*>\s*<Name>(.*?)</Name>\s*<Type[^>]*>(\d)<", content[start:first], re.DOTALL)
    names = [html.unescape(name.decode("utf-8", "replace")) for name, _ in fields]
    if any(column.name not in names for column in columns):
        return False
    indices = [names.index(column.name) for column in columns]
    picked = np.linspace(0, rows - 1, PICKED_OF_XML).astype(int)
    wanted = [
        as_held(column.values[picked], int(fields[index][1]) == gdal.GFT_Integer)
        for column, index in zip(columns, indices)
    ]
    for place, row in enumerate(picked):
        begin = content.find(f'<Row index="{row}">'.encode(), first)
        cells = re.findall(rb"<F>(.*?)</F>", content[begin : content.find(b"</Row>", begin)], re.DOTALL)
        if begin < 0 or len(cells) < len(names):
            return False
        found = [float(cells[index]) for index in indices]
        if not _alike(np.array(found), np.array([values[place] for values in wanted], np.float64)):
            return False
    return True


def _raster_holds(path: str, columns: Sequence[Column]) -> bool:
    rows = columns[0].values.size
    picked = np.unique(np.linspace(0, rows - 1, PICKED).astype(int))
    with collected_errors():
        dataset = gdal.Open(path, gdal.GA_ReadOnly)
        table = None if dataset is None else dataset.GetRasterBand(1).GetDefaultRAT()
        if table is None or table.GetRowCount() < rows:
            return False
        for column in columns:
            index = _index_of(table, column)
            if index is None:
                return False
            wanted = as_held(column.values[picked], table.GetTypeOfCol(index) == gdal.GFT_Integer)
            if not _alike(_rows_of(table, index, picked, rows), wanted):
                return False
    return True


def _rows_of(table: gdal.RasterAttributeTable, index: int, picked: np.ndarray, rows: int) -> np.ndarray:
    """Some rows of a column; those that cannot be read are missing."""
    parts = [np.empty(0)]
    for first in range(0, rows, AT_A_TIME):
        found = table.ReadAsArray(index, first, min(AT_A_TIME, rows - first))
        if found is not None:
            parts.append(np.asarray(found)[picked[(picked >= first) & (picked < first + AT_A_TIME)] - first])
    return np.concatenate(parts)


def _index_of(table: gdal.RasterAttributeTable, column: Column) -> Optional[int]:
    """The index of a column. HFA gives some, such as Alpha, another name; they are known by their usage."""
    every = range(table.GetColumnCount())
    for index in every:
        if table.GetNameOfCol(index) == column.name:
            return index
    if column.usage != "Generic":
        usage = getattr(gdal, f"GFU_{column.usage}")
        for index in every:
            if table.GetUsageOfCol(index) == usage:
                return index
    return None


def _alike(found: np.ndarray, wanted: np.ndarray) -> bool:
    return found.shape == wanted.shape and np.allclose(found, wanted, rtol=1e-12, atol=0, equal_nan=True)
