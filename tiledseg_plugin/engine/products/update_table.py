# SPDX-License-Identifier: GPL-2.0-or-later
"""New columns in the attribute table of segments that exist: the raster's files are replaced, never half written."""

import os
import shutil
from dataclasses import replace
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from osgeo import gdal

from ..errors import SegmentationError, why
from ..files.attribute_table import MOST_ROWS, MOST_XML_VALUES, keeps_table_as_xml, set_attribute_table
from ..files.gdal_access import collected_errors, open_raster
from ..files.output_files import UPDATED, Output, is_attribute_table, replaced_files
from ..files.publish import Replaced, attributes_path, nothing_else, publishing_together
from ..files.stored import Rows
from ..files.tables import Column, write_table
from ..progress import Check, Feedback
from .attributes import Attributes
from .present_columns import HISTOGRAM, PresentColumns
from .update_geopackage import is_locked, side_files, write_updated

MOST_SPARSE = 50_000_000  # rows that a table with gaps may have


class TableUpdate(NamedTuple):
    """Columns that the attribute table of segments is to get.

    segments : path of the raster
    ids, sizes : (segments,) of the segments that the columns' rows are for, ascending, and their pixels
    prefix : what the values are called, where a column's name is taken
    """

    segments: str
    ids: Rows
    sizes: Rows
    columns: Sequence[Column]
    prefix: str


def update_output(segments: str, update_rat: bool) -> Output:
    """SEGMENTS as an output, of which only the table changes; without a path if it does not."""
    return Output("UPDATE_RAT", segments if update_rat else "", UPDATED, updates="SEGMENTS")


def write_tables(
    tables: Sequence[Tuple[Output, Sequence[Column]]], update: Optional[TableUpdate], check: Check, feedback: Feedback
) -> None:
    """Write tables, and that in SEGMENTS: all are there in the end, or all are as they were.

    Parameters
    ----------
    tables : with their columns; those without a path are left out
    update : None where SEGMENTS stays as it is
    """
    wanted = [(output, columns) for output, columns in tables if output.path]
    files = [(output.path, output.name, replaced_files(output)) for output, _ in wanted]
    if update is not None:
        files.append(file_to_update(update.segments))
    with publishing_together(files) as paths:
        for (_, columns), path in zip(wanted, paths):
            write_table(path, columns, check)
        if update is not None:
            write_update(update, paths[-1], feedback)


def check_table_format(segments: str) -> None:
    """Refuse a raster that is no file, or of a format whose table cannot be written; `check_files` refuses the rest."""
    if not os.path.isfile(segments):
        raise SegmentationError(f"SEGMENTS {segments} is no file, so UPDATE_RAT cannot write into it: switch it off.")
    driver = open_raster(segments).GetDriver().ShortName
    if driver not in ("GTiff", "COG", "HFA", "KEA"):
        raise SegmentationError(
            f"SEGMENTS {segments} is a {driver} file, which UPDATE_RAT cannot write into: use .tif, .img or .kea."
        )


def check_rows_fit(segments: str, ids: Rows) -> int:
    """How many rows the table has, up to the largest id; refused as soon as that is known to be too many.

    Parameters
    ----------
    ids : (segments,) ascending
    """
    rows = int(ids[ids.size - 1 : ids.size][0]) + 1
    if not _has_table_beside(segments) and rows > min(MOST_ROWS, max(MOST_SPARSE, 4 * ids.size)):
        raise SegmentationError(
            f"The ids of SEGMENTS reach {rows - 1}, and its table would have as many rows: switch UPDATE_RAT off."
        )
    return rows


def _has_table_beside(segments: str) -> bool:
    """Whether the table of a GeoTIFF is a file of its own; one of the user's may have its name.

    Raises
    ------
    SegmentationError : that cannot be seen, as another program has locked the file
    """
    beside = attributes_path(segments)
    if not keeps_table_as_xml(segments) or not os.path.isfile(beside):
        return False
    if is_attribute_table(beside):
        return True
    if is_locked(beside):
        raise SegmentationError(
            f"{beside}, which may be the table of SEGMENTS, is locked: close it in other programs, or switch "
            "UPDATE_RAT off."
        )
    return False


def file_to_update(segments: str) -> Tuple[str, str, Replaced]:
    """The file that holds the table of a raster, as `publish.publishing_together` takes it."""
    if _has_table_beside(segments):
        return attributes_path(segments), "SEGMENTS", side_files
    return segments, "SEGMENTS", nothing_else


def write_update(update: TableUpdate, staged: str, feedback: Feedback) -> None:
    """Write the table with more columns; what is there under the same name with other values stays, and the new one
    gets another name.

    Counts of pixels are refreshed. A segment without a value has NaN (in a GeoPackage null), and so have rows of ids
    that the raster does not have; row 0, if it is no segment, is 0.

    Parameters
    ----------
    staged : where what is to replace the `file_to_update` is written; nothing is if nothing has to be changed
    """
    segments, prefix = update.segments, update.prefix
    attributes = Attributes(np.asarray(update.ids), np.asarray(update.sizes), ())
    columns = [replace(column, values=np.asarray(column.values)) for column in update.columns]
    if _has_table_beside(segments):
        write_updated(attributes_path(segments), staged, attributes, columns, prefix, feedback)
        return
    present = _table_columns(segments)
    rows = max([check_rows_fit(segments, attributes.ids), *(values.size for values in present.values())])
    written = _to_be_written(attributes, columns, rows, present, prefix, feedback)
    every = len({*present, *(column.name for column in written)})
    if keeps_table_as_xml(segments) and rows * every > MOST_XML_VALUES:
        raise SegmentationError(
            f"The attribute table of {rows} rows is too large for the side file of a GeoTIFF: switch UPDATE_RAT off, "
            "or use .kea or .img for SEGMENTS."
        )
    if written:
        _write(segments, staged, written)


def _to_be_written(
    attributes: Attributes,
    columns: Sequence[Column],
    rows: int,
    present: Mapping[str, np.ndarray],
    prefix: str,
    feedback: Feedback,
) -> List[Column]:
    """The new columns, with a row for each id up to the largest, and the histogram if the present one is not right."""

    def values_of(name: str) -> Optional[np.ndarray]:
        values = present[name]
        if values.dtype.kind not in "iuf":
            return None
        padded = np.append(values, np.full(rows - values.size, np.nan))
        return padded[attributes.ids]

    there = PresentColumns(present, values_of)
    new, fresh = there.named(columns, prefix, feedback)
    histogram = Column(HISTOGRAM, attributes.sizes * 1.0, "PixelCount")
    new = spread(attributes, new, rows)
    counted = present.get(HISTOGRAM)
    if HISTOGRAM in there and (counted is None or counted.dtype.kind not in "iuf"):
        return new  # a user's column of the same name, which stays
    (histogram,) = spread(attributes, [histogram], rows)
    before = max((values.size for values in present.values()), default=0)
    if counted is None:  # GDAL drops it, and only it, when it copies a part of a raster
        absent = before - 1 - np.count_nonzero((attributes.ids > 0) & (attributes.ids < before))
        if there.stale(fresh):
            there.warn_of_stale(fresh, absent, feedback)
        return [histogram, *new]
    known = slice(0 if attributes.ids[0] == 0 else 1, None)  # pixels of no data may have been counted, too
    counted = np.append(counted, np.zeros(rows - counted.size))[known]
    wanted = histogram.values[known]
    if np.array_equal(counted, wanted):
        return new
    there.warn_of_stale(fresh, int(np.count_nonzero(counted[wanted == 0])), feedback)
    return [histogram, *new]


def spread(attributes: Attributes, columns: Sequence[Column], rows: int) -> List[Column]:
    """The columns with a row for each id up to the largest: NaN, or 0, where there is no such id."""
    spread_out = []
    for column in columns:
        real = column.is_real and column.usage != "PixelCount"
        values = np.full(rows, np.nan) if real else np.zeros(rows, column.values.dtype)
        values[0] = 0
        values[attributes.ids] = column.values
        spread_out.append(replace(column, values=values))
    return spread_out


def _table_columns(segments: str) -> Dict[str, np.ndarray]:
    """{name: (rows,) values} of the table in a raster."""
    with collected_errors():
        dataset = open_raster(segments)
        table = dataset.GetRasterBand(1).GetDefaultRAT()
        if table is None:
            return {}
        return {
            table.GetNameOfCol(index): np.asarray(table.ReadAsArray(index)) for index in range(table.GetColumnCount())
        }


def _write(segments: str, path: str, columns: Sequence[Column]) -> None:
    try:
        if keeps_table_as_xml(segments):
            _write_side_file(segments, path, columns)
            return
        shutil.copy2(segments, path)
        os.chmod(path, 0o644)
    except OSError as error:
        raise SegmentationError(f"SEGMENTS cannot be copied ({why(error)}): make room on its disk.") from error
    set_attribute_table(path, columns)


def _write_side_file(segments: str, path: str, columns: Sequence[Column]) -> None:
    """Only the side file is replaced: it is made beside a raster of one pixel, and of as many bands.

    GDAL 3.12 and later may hold the table in the raster, whose columns would be hidden by those of the side file.
    """
    if os.path.exists(segments + ".aux.xml"):
        shutil.copy2(segments + ".aux.xml", path + ".aux.xml")
        os.chmod(path + ".aux.xml", 0o644)
    with collected_errors():
        source = open_raster(segments)
        dataset = gdal.GetDriverByName("GTiff").Create(path, 1, 1, source.RasterCount, gdal.GDT_UInt32)
        del dataset
        present = source.GetRasterBand(1).GetDefaultRAT()
        present = None if present is None else present.Clone()
        del source
    set_attribute_table(path, columns, present)
    os.unlink(path)
