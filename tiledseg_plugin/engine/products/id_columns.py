# SPDX-License-Identifier: GPL-2.0-or-later
"""A column of any table with the ids of segments: the attribute table of a raster, or a table or layer of its own."""

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
from osgeo import gdal, ogr

from ..errors import SegmentationError
from ..files.gdal_access import collected_errors, open_raster, reason
from ..files.output_files import is_attribute_table
from ..files.publish import attributes_path
from ..progress import Check
from .segment_ids import LARGEST

ID = "segment"  # what the ids' column is called in tables of ours
WHOLE = (ogr.OFTInteger, ogr.OFTInteger64)
MOST_NAMES = 12  # in a sentence
Texts = List[Optional[str]]


@dataclass(frozen=True)
class IdColumn:
    """The values of segments.

    ids : (rows,) int64, ascending, each once
    values : (rows,) float64, NaN for null, or as many texts, None for null
    is_whole : whether the column is one of whole numbers
    """

    ids: np.ndarray
    values: Union[np.ndarray, Texts]
    is_whole: bool = False

    @property
    def is_text(self) -> bool:
        return isinstance(self.values, list)


@dataclass(frozen=True)
class TableSource:
    """Where a column is.

    segments : raster of segments
    table : a table or layer, `path` or `path|layername=name`; empty for the raster's attribute table
    id_field : of the table, with the segments' ids
    """

    segments: str
    table: str = ""
    id_field: str = ID

    @property
    def called(self) -> str:
        """What it is in a sentence."""
        return f"TABLE {self.table}" if self.table else f"The attribute table of {self.segments}"


def column_names(source: TableSource) -> List[str]:
    """The names of all columns."""
    if source.table or _table_beside(source.segments):
        with _layer_of(source) as layer:
            return _fields(layer)
    table = _attribute_table(source.segments)
    return [table.GetNameOfCol(index) for index in range(table.GetColumnCount())]


def check_column(source: TableSource, name: str, names: Optional[Sequence[str]] = None) -> None:
    """Refuse a table that is none, or that lacks the column or that of the ids.

    Parameters
    ----------
    names : of all columns, where they are known and the table need not be opened
    """
    names = column_names(source) if names is None else names
    for wanted, parameter in ((name, "COLUMN"), *(((source.id_field, "ID_FIELD"),) if source.table else ())):
        if _matching(names, wanted) is None:
            raise SegmentationError(
                f"{parameter} is '{wanted}', and {_decapitalised(source.called)} has no such column: choose one of "
                f"{_listed(names)}."
            )


def read_column(source: TableSource, name: str, check_cancelled: Check) -> IdColumn:
    """A column by the ids of segments.

    Raises
    ------
    SegmentationError : there is no such table or column, what should be ids are none, or a segment has several rows
    """
    check_column(source, name)
    if source.table or _table_beside(source.segments):
        ids, column = _read_layer(source, name, check_cancelled)
    else:
        ids, column = _read_attribute_table(source.segments, name)
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    if ids.size > 1 and (ids[1:] == ids[:-1]).any():
        twice = ids[1:][ids[1:] == ids[:-1]][0]
        raise SegmentationError(
            f"{source.called} has several rows for segment {twice}: give a table with one row a segment."
        )
    values = column.values
    sorted_values = [values[at] for at in order.tolist()] if isinstance(values, list) else values[order]
    return IdColumn(ids, sorted_values, column.is_whole)


def _decapitalised(text: str) -> str:
    return text[0].lower() + text[1:] if text.startswith("The ") else text


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    return (
        shown + (f" and {len(names) - MOST_NAMES} more" if names[MOST_NAMES:] else "") if names else "those of another"
    )


def _matching(names: Sequence[str], wanted: str) -> Optional[str]:
    """A name as the table writes it; case counts only where names differ by nothing else."""
    if wanted in names:
        return wanted
    return next((name for name in names if name.casefold() == wanted.casefold()), None)


def _table_beside(segments: str) -> str:
    """The GeoPackage that is the attribute table of a raster; empty if there is none."""
    beside = attributes_path(segments)
    return beside if is_attribute_table(beside) else ""


# --- tables and layers


@contextmanager
def _layer_of(source: TableSource) -> Iterator[ogr.Layer]:
    """The layer of a table."""
    path, name = _layer_named(source.table) if source.table else (_table_beside(source.segments), "")
    options = []
    if Path(path).suffix.lower() == ".csv" and not Path(path).with_suffix(".csvt").exists():
        options = ["AUTODETECT_TYPE=YES"]
    with collected_errors() as messages:
        dataset = gdal.OpenEx(path, gdal.OF_VECTOR, open_options=options)
        layer = None
        if dataset is not None and dataset.GetLayerCount():
            layer = dataset.GetLayerByName(name) if name else dataset.GetLayer(0)
        if layer is None:
            raise SegmentationError(
                f"{source.called} cannot be opened as a table ({reason(messages, 'it has no such layer')}): give a "
                ".gpkg, .csv, .parquet or .dbf file, or a layer."
            )
        yield layer
        del layer, dataset


def _layer_named(table: str) -> Tuple[str, str]:
    """Path and name of the layer, as QGIS writes both."""
    path, *parts = table.split("|")
    named: Dict[str, str] = dict(part.split("=", 1) for part in parts if "=" in part)
    return path, named.get("layername", "")


def _fields(layer: ogr.Layer) -> List[str]:
    """The names of the columns; the key of a GeoPackage, which may be named as the ids' column, is one."""
    definition = layer.GetLayerDefn()
    names = [definition.GetFieldDefn(index).GetName() for index in range(definition.GetFieldCount())]
    return [*names, *([layer.GetFIDColumn()] if layer.GetFIDColumn() else [])]


def _read_layer(source: TableSource, name: str, check_cancelled: Check) -> Tuple[np.ndarray, IdColumn]:
    """Ids and values of all rows that have an id."""
    with _layer_of(source) as layer:
        names = _fields(layer)
        places = [names.index(_matching(names, wanted) or wanted) for wanted in (source.id_field, name)]
        count = len(names) - bool(layer.GetFIDColumn())  # what comes after the fields is the key
        definition = layer.GetLayerDefn()
        kinds = [definition.GetFieldDefn(place).GetType() if place < count else ogr.OFTInteger64 for place in places]
        if kinds[0] not in (*WHOLE, ogr.OFTReal):
            raise _no_ids(source, f"is of the type {definition.GetFieldDefn(places[0]).GetTypeName()}")
        is_text = kinds[1] not in (*WHOLE, ogr.OFTReal)
        kept = {names[place] for place in places}
        layer.SetIgnoredFields(["OGR_GEOMETRY", *(field for field in names[:count] if field not in kept)])
        layer.ResetReading()
        ids: List[float] = []
        values: List[Any] = []
        for number, row in enumerate(layer):
            if number % 10_000 == 0:
                check_cancelled()
            own = _value(row, places[0], count, False)
            if own is not None:
                ids.append(own)
                values.append(_value(row, places[1], count, is_text))
    numbers = _as_ids(np.array(ids, np.float64), source)
    if is_text:
        return numbers, IdColumn(numbers, values)
    floats = np.array([np.nan if value is None else value for value in values], np.float64)
    return numbers, IdColumn(numbers, floats, kinds[1] in WHOLE)


def _value(row: ogr.Feature, place: int, count: int, is_text: bool) -> Any:
    """A field of a row, or its key; None for null."""
    if place >= count:
        return row.GetFID()
    if not row.IsFieldSetAndNotNull(place):
        return None
    return (row.GetFieldAsString(place) or None) if is_text else row.GetFieldAsDouble(place)


def _as_ids(ids: np.ndarray, source: TableSource) -> np.ndarray:
    """(rows,) int64"""
    wrong = ids[~((ids >= 0) & (ids <= LARGEST) & (ids == np.floor(ids)))]
    if wrong.size:
        raise _no_ids(source, f"holds {wrong[0]:.10g}")
    return ids.astype(np.int64)


def _no_ids(source: TableSource, what: str) -> SegmentationError:
    return SegmentationError(
        f"ID_FIELD {source.id_field} of {_decapitalised(source.called)} {what}, so it holds no segment ids, which are "
        f"whole numbers from 0 to {LARGEST}: choose another field."
    )


# --- attribute tables within rasters


def _attribute_table(segments: str) -> gdal.RasterAttributeTable:
    with collected_errors():
        dataset = open_raster(segments)  # the table goes with it
        table = dataset.GetRasterBand(1).GetDefaultRAT()
        if table is None or not table.GetRowCount():
            raise SegmentationError(
                f"SEGMENTS {segments} has no attribute table: give a TABLE, or make one with 'Segment statistics' and "
                "UPDATE_RAT."
            )
        return table.Clone()


def _read_attribute_table(segments: str, name: str) -> Tuple[np.ndarray, IdColumn]:
    """Ids and values of all rows."""
    table = _attribute_table(segments)
    names = [table.GetNameOfCol(index) for index in range(table.GetColumnCount())]
    index = names.index(_matching(names, name) or name)
    kind, rows = table.GetTypeOfCol(index), table.GetRowCount()
    ids = rows_of(table)
    if kind == gdal.GFT_String:
        texts: Texts = [table.GetValueAsString(row, index) or None for row in range(rows)]
        return ids, IdColumn(ids, texts)
    values = np.asarray(table.ReadAsArray(index)).astype(np.float64)
    return ids, IdColumn(ids, values, kind == gdal.GFT_Integer)


def rows_of(table: gdal.RasterAttributeTable) -> np.ndarray:
    """(rows,) int64, the value of the raster that each row is for: its column of values, or else its number."""
    index = value_column(table, lambda index: [np.asarray(table.ReadAsArray(index))])
    if index is None:
        return np.arange(table.GetRowCount(), dtype=np.int64)
    return np.asarray(table.ReadAsArray(index)).astype(np.int64)


def value_column(table: gdal.RasterAttributeTable, lots_of: Callable[[int], Iterable[np.ndarray]]) -> Optional[int]:
    """Which column says for which value of the raster a row is; None if none does.

    Parameters
    ----------
    lots_of : function of a column, its values, some rows at a time
    """
    for index in range(table.GetColumnCount()):
        of_values = (
            table.GetUsageOfCol(index) in (gdal.GFU_MinMax, gdal.GFU_Min) or table.GetNameOfCol(index) == "Value"
        )
        if of_values and table.GetTypeOfCol(index) != gdal.GFT_String and all(map(_are_ids, lots_of(index))):
            return index
    return None


def _are_ids(values: np.ndarray) -> bool:
    values = values.astype(np.float64)
    return bool(((values >= 0) & (values <= LARGEST) & (values == np.floor(values))).all())
