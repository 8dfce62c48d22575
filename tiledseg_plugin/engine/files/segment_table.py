# SPDX-License-Identifier: GPL-2.0-or-later
"""The attribute table of segments, read in lots of rows: in the raster, or a GeoPackage beside it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, Iterator, List, Protocol, Sequence

import numpy as np
from osgeo import gdal, ogr

from ..errors import SegmentationError
from .gdal_access import open_raster
from .output_files import is_attribute_table
from .publish import attributes_path
from .stored import AT_A_TIME
from .tables import quoted

# Drivers that read a table in parts. GDAL's own, which is for small ones, writes those parts beside the array that they
# are for, up to GDAL 3.6 at least.
OWN_TABLES = ("HFA", "KEA")
# Rows of a file beside that are fetched at a time. With more objects at once Python looks for garbage among all that
# there are, which holds QGIS's window up for half a second.
FETCHED = 500
NUMERIC = (ogr.OFTInteger, ogr.OFTInteger64, ogr.OFTReal)


class SegmentTable(Protocol):
    """A table whose row n is segment n, from 1.

    kinds : {name: whether it holds real numbers}, of all columns of numbers
    texts : names of the others
    rows : how many segments it has
    """

    kinds: Dict[str, bool]
    texts: List[str]
    rows: int

    def lots(self, names: Sequence[str]) -> Iterator[List[np.ndarray]]:
        """The values of some columns, an array each, so many rows at a time; NaN where there is none."""


def table_beside(segments: str) -> str:
    """The file beside a raster that holds its table; empty where there is none."""
    beside = attributes_path(segments)
    return beside if os.path.isfile(beside) and is_attribute_table(beside) else ""


def open_table(segments: str) -> SegmentTable:
    """The table of a raster of segments.

    Raises
    ------
    SegmentationError : there is none whose rows are segments 1, 2, 3 ..
    """
    beside = table_beside(segments)
    return _BesideTable(beside) if beside else _RasterTable(segments)


class _RasterTable:
    def __init__(self, segments: str) -> None:
        self._dataset = open_raster(segments)  # the table goes with it
        self._table = self._dataset.GetRasterBand(1).GetDefaultRAT()
        if self._table is None or self._table.GetRowCount() < 2:
            raise SegmentationError(
                f"SEGMENTS {segments} has no attribute table, or none of segments: give one that 'Segment raster' made."
            )
        every = range(self._table.GetColumnCount())
        self._places = {self._table.GetNameOfCol(index): index for index in every}
        kinds = {name: self._table.GetTypeOfCol(index) for name, index in self._places.items()}
        self.kinds = {name: kind == gdal.GFT_Real for name, kind in kinds.items() if kind != gdal.GFT_String}
        self.texts = [name for name, kind in kinds.items() if kind == gdal.GFT_String]
        self.rows = self._table.GetRowCount() - 1

    def lots(self, names: Sequence[str]) -> Iterator[List[np.ndarray]]:
        places = [self._places[name] for name in names]
        whole = None
        if self._dataset.GetDriver().ShortName not in OWN_TABLES:
            whole = [np.asarray(self._table.ReadAsArray(place)) for place in places]
        for first in range(1, self.rows + 1, AT_A_TIME):
            end = min(first + AT_A_TIME, self.rows + 1)
            if whole is not None:
                yield [values[first:end] for values in whole]
            else:
                yield [np.asarray(self._table.ReadAsArray(place, first, end - first)) for place in places]


class _BesideTable:
    def __init__(self, path: str) -> None:
        self._path = path
        dataset = ogr.Open(path)
        layer = dataset.GetLayer(0)
        self._layer, self.rows = layer.GetName(), layer.GetFeatureCount()
        definition = layer.GetLayerDefn()
        fields = [definition.GetFieldDefn(index) for index in range(definition.GetFieldCount())]
        self.kinds = {one.GetName(): one.GetType() == ogr.OFTReal for one in fields if one.GetType() in NUMERIC}
        self.texts = [one.GetName() for one in fields if one.GetType() not in NUMERIC]
        del layer, dataset

    def lots(self, names: Sequence[str]) -> Iterator[List[np.ndarray]]:
        columns = ", ".join(quoted(name) for name in ("segment", *names))
        query = f"SELECT {columns} FROM {quoted(self._layer)} ORDER BY segment"  # noqa: S608 # nosec B608
        with closing(sqlite3.connect(f"{Path(self._path).absolute().as_uri()}?mode=ro", uri=True)) as connection:
            cursor = connection.execute(query)
            for first in range(1, self.rows + 1, AT_A_TIME):
                yield self._lot(cursor, names, first, min(AT_A_TIME, self.rows + 1 - first))

    def _lot(self, cursor: sqlite3.Cursor, names: Sequence[str], first: int, count: int) -> List[np.ndarray]:
        """The next rows, those of segments `first` .."""
        parts: List[List[np.ndarray]] = [[] for _ in names]
        end = first + count
        while first < end:
            rows = cursor.fetchmany(min(FETCHED, end - first))
            ids, *values = zip(*rows) if rows else ((0,),)
            if ids[0] != first or ids[-1] != first + len(ids) - 1:
                raise SegmentationError(f"{self._path} has no row for each of its segments: run again.")
            first += len(ids)
            for part, name, column in zip(parts, names, values):
                part.append(_numbers(column, self.kinds[name]))
        return [np.concatenate(part) for part in parts]


def _numbers(values: Sequence[Any], is_real: bool) -> np.ndarray:
    if is_real or None in values:
        return np.array([np.nan if value is None else value for value in values], np.float64)
    return np.array(values, np.int64)
