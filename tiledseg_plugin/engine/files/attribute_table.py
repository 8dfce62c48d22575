# SPDX-License-Identifier: GPL-2.0-or-later
"""The raster attribute table, and how each format holds it.

Row n belongs to segment n; row 0, no data, is 0 everywhere, also in `Alpha`, which is 255 for segments. What a segment
does not have is NaN in columns of real numbers; in those of integers, which are counts, it is 0. Without `Alpha`
GDAL's colour table, TuiView and RSGISLib have no colours. A column `Value` with the number of the row is in every
table, as QGIS takes none without; of the GeoPackage, the column `segment` is that. KEA and HFA hold tables of any
length. GeoTIFF keeps its table as XML in a side file that is read whole whenever the raster is opened: 0.7 s for a
million values, and as many GB of memory. So beyond MOST_XML_VALUES the table becomes a GeoPackage beside the raster.
"""

from pathlib import Path
from typing import Optional, Sequence

import numpy as np
from osgeo import gdal

from ..errors import SegmentationError
from ..progress import Check, Feedback
from .gdal_access import collected_errors, configured, reason
from .publish import attributes_path
from .stored import AT_A_TIME, AfterZero, Counting
from .table_readback import as_held, holds_columns
from .tables import Column, write_table
from .vector_trial import MOST_COLUMNS

MOST_XML_VALUES = 560_000  # rows times columns: 31,000 segments of 3 bands, 17 MB, opened in 0.4 s
MOST_ROWS = 2**31 - 2  # GDAL numbers them with int
OWN_COLUMNS = ("Value", "Histogram", "Red", "Green", "Blue", "Alpha")
BAND_STATISTICS = ("mean", "min", "max", "std")


def check_table_fits(path: str, bands: int, others: int = 0) -> None:
    """Refuse a GeoTIFF of so many bands that their columns would not fit into a table beside it.

    Whether there will be one is not known before the segments are counted, but with so many bands hundreds are enough.
    """
    columns = len(OWN_COLUMNS) + bands * len(BAND_STATISTICS) + others
    if keeps_table_as_xml(path) and columns + 1 > MOST_COLUMNS["GPKG"]:
        raise SegmentationError(
            f"OUTPUT {path} would have an attribute table of {columns} columns for {bands} bands, too many for a "
            "GeoTIFF and the file beside it: choose .kea or .img, or fewer BANDS."
        )


def write_attribute_table(path: str, columns: Sequence[Column]) -> None:
    """Give a raster of ours, still in its staging folder, its attribute table.

    Parameters
    ----------
    columns : Columns, the row of segment 1 first
    """
    set_attribute_table(path, [_with_row_0(column) for column in columns])


def stands_beside(path: str, columns: Sequence[Column], feedback: Feedback) -> bool:
    """Whether the table of a raster is too large for it and becomes a file of its own; says so."""
    rows = columns[0].values.size
    if not keeps_table_as_xml(path) or (rows + 1) * (len(columns) + 1) <= MOST_XML_VALUES:
        return False
    feedback.info(
        f"The attribute table of {rows} segments is too large for the side file of a GeoTIFF, which would make it slow "
        f"to open: it is written as {Path(attributes_path(path)).name} beside OUTPUT (.kea and .img hold tables of any "
        "size)."
    )
    return True


def write_table_beside(path: str, columns: Sequence[Column], check_cancelled: Check) -> None:
    """Write the attribute table of a raster as a GeoPackage beside it; the raster is not touched."""
    ids = Column("segment", Counting(columns[0].values.size))
    write_table(attributes_path(path), [ids, *columns], check_cancelled)


def _with_row_0(column: Column) -> Column:
    return Column(column.name, AfterZero(column.values), column.usage)


def keeps_table_as_xml(path: str) -> bool:
    """Whether the format of an output has no attribute table of its own."""
    return Path(path).suffix.lower() in (".tif", ".tiff")


def set_attribute_table(
    path: str, columns: Sequence[Column], present: Optional[gdal.RasterAttributeTable] = None
) -> None:
    """Write columns into the attribute table of a raster, in place of those of the same names, and read it again.

    A table without it gets a column `Value`, the number of each row.

    Parameters
    ----------
    columns : Columns with a row for each value, 0 included
    present : a table whose columns stay, if not that of the raster itself
    """
    rows = columns[0].values.size
    if rows > MOST_ROWS:
        raise SegmentationError(f"An attribute table of {rows} rows is longer than GDAL can write: use OUTPUT.")
    as_xml = keeps_table_as_xml(path)
    failed = False
    # GDAL 3.12 and later put the table of a GeoTIFF into the file, which is open for reading only: nothing is saved
    with configured({"GTIFF_WRITE_RAT_TO_PAM": "YES"}), collected_errors() as messages:
        dataset = gdal.Open(path, gdal.GA_ReadOnly if as_xml else gdal.GA_Update)
        band = None if dataset is None else dataset.GetRasterBand(1)
        table = None if band is None else present or band.GetDefaultRAT()
        held = table is not None and not as_xml
        if table is None:
            table = gdal.RasterAttributeTable()
        elif as_xml:
            table = table.Clone()
        if band is not None:
            columns = _with_value(table, columns, rows)
            _fill(table, columns, rows)
            failed = not held and band.SetDefaultRAT(table) != gdal.CE_None
        del table, band, dataset
    messages = [message for message in messages if not _is_harmless(message)]
    if not messages and (failed or not holds_columns(path, columns, as_xml)):
        messages = ["it does not hold what was written to it, and the disk may be full"]
    if messages:
        raise SegmentationError(
            f"The attribute table of {Path(path).name} cannot be written ({reason(messages)}): "
            "make room, and check that the file may be changed."
        )


def _is_harmless(message: str) -> bool:
    # HFA takes the colour columns for a colour table, which it limits to 65,536 entries
    return message.startswith("Invalid number of colors")


def _with_value(table: gdal.RasterAttributeTable, columns: Sequence[Column], rows: int) -> Sequence[Column]:
    """The columns; `Value` comes first unless a column of the table says already which value a row is for."""
    present = [(table.GetNameOfCol(index), table.GetUsageOfCol(index)) for index in range(table.GetColumnCount())]
    if any(name == "Value" or usage in (gdal.GFU_MinMax, gdal.GFU_Min) for name, usage in present):
        return columns
    return [Column("Value", np.arange(rows, dtype=np.int32), "MinMax"), *columns]


def _fill(table: gdal.RasterAttributeTable, columns: Sequence[Column], rows: int) -> None:
    if table.GetRowCount() < rows:
        table.SetRowCount(rows)
    if hasattr(table, "SetTableType"):
        table.SetTableType(gdal.GRTT_THEMATIC)
    names = [table.GetNameOfCol(index) for index in range(table.GetColumnCount())]
    for column in columns:
        if column.name not in names:
            kind = gdal.GFT_Real if column.is_real else gdal.GFT_Integer
            table.CreateColumn(column.name, kind, getattr(gdal, f"GFU_{column.usage}"))
            names.append(column.name)
        index = names.index(column.name)
        as_integers = table.GetTypeOfCol(index) == gdal.GFT_Integer
        for first in range(0, rows, AT_A_TIME):
            values = as_held(column.values[first : first + AT_A_TIME], as_integers)
            table.WriteArray(np.ascontiguousarray(values), index, first)
