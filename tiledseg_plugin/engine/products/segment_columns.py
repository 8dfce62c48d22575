# SPDX-License-Identifier: GPL-2.0-or-later
"""A column of a table of segments as a raster, for `tiledseg:rasterise`: every pixel has the value of its segment."""

import time
from dataclasses import dataclass, replace
from typing import Any, List, Optional, Sequence

import numpy as np

from ..errors import SegmentationError
from ..files.category_table import write_categories
from ..files.formats import format_of
from ..files.output_files import IMAGE, Output, check_files, replaced_files
from ..files.publish import publishing, recover_beside
from ..files.raster import describe
from ..parameters import EXECUTIONS, PlainParameters, check_choice, no_data_asked_for
from ..progress import Feedback
from ..wording import counted
from .existing_segments import WithoutValues, segments_run
from .id_columns import ID, IdColumn, TableSource, check_column, read_column
from .looked_up import ColumnsOfRaster, LookedUp, write_looked_up

TYPES = ("auto", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")
MOST_CLASSES = 65535
EXACT_IN_FLOAT32 = 2**24  # up to here whole numbers are


@dataclass(frozen=True)
class RasteriseParameters(WithoutValues, PlainParameters):
    """The parameters of `tiledseg:rasterise`; the names are those of the interface, in lower case.

    table : see `id_columns.TableSource`; empty for the attribute table of the segments
    nodata : a number; empty for one that no segment has, of floats NaN
    """

    segments: str
    column: str
    output: str
    table: str = ""
    id_field: str = ID
    data_type: str = "auto"
    nodata: str = ""
    execution: str = "auto"
    workers: int = 0
    kernels: str = "auto"

    def check(self) -> None:
        """Raise SegmentationError for what no raster could make right."""
        self.check_kinds()
        check_choice("DATA_TYPE", self.data_type, TYPES)
        check_choice("EXECUTION", self.execution, EXECUTIONS)
        if not self.column.strip():
            raise SegmentationError("COLUMN is empty: give the name of a column, such as mean_1.")
        if isinstance(no_data_asked_for(self.nodata), str):
            raise SegmentationError(f"NODATA is '{self.nodata}': give a number that no segment has, or leave it empty.")

    @property
    def source(self) -> TableSource:
        return TableSource(self.segments, self.table, self.id_field or ID)


@dataclass(frozen=True)
class RasteriseResult:
    """What a run returns besides its output.

    without_value : how many segments have no value
    class_count : of a column of texts, how many there are; 0 for numbers
    """

    segment_count: int
    without_value: int
    class_count: int
    seconds: float


def output_of(parameters: RasteriseParameters) -> Output:
    return Output("OUTPUT", parameters.output, IMAGE)


def check_rasterise(parameters: RasteriseParameters, columns: Optional[Sequence[str]] = None) -> None:
    """Refuse inputs that are none, a column that is not there, and an output that could not be written or would harm.

    An output without a path is passed over.

    Parameters
    ----------
    columns : names of the columns of a table that is no file yet
    """
    parameters.check()
    recover_beside(parameters.segments, parameters.table)
    describe(parameters.segments, (1,))
    if parameters.output:
        format_of(parameters.output)
        check_files([output_of(parameters)], [("SEGMENTS", parameters.segments), ("TABLE", parameters.table)])
    source = parameters.source if columns is None else replace(parameters.source, table="of this layer")
    check_column(source, parameters.column, columns)


def rasterise_column(parameters: RasteriseParameters, feedback: Feedback) -> RasteriseResult:
    """Write a column of a table of segments as a raster.

    Raises
    ------
    SegmentationError : one sentence on what is wrong; nothing of OUTPUT has been touched
    Cancelled : the user cancelled; likewise
    """
    started = time.monotonic()
    check_rasterise(parameters)
    with segments_run(parameters, feedback, {"values": 40, "write": 60}) as run:
        column = read_column(parameters.source, parameters.column, run.check)
        rows = run.measure()
        classes = _classes(column)
        ids, sizes = np.asarray(run.named(rows.ids)), np.asarray(rows.sizes)
        values = _by_segment(column, classes, ids)
        missing = int(np.count_nonzero(np.isnan(values)))
        _report(parameters, column, ids, missing, feedback)
        dtype = _type_of(parameters, values, column, classes)
        nodata = _no_data_of(parameters, values, dtype)
        run.progress.start("write", "Writing the raster")
        output = output_of(parameters)
        with publishing(output.path, replaced=replaced_files(output)) as path:
            image = LookedUp(output.at(path), run.segments, dtype, nodata, [parameters.column], "NEAREST")
            source = ColumnsOfRaster(run.job.ids, run.folder, run.job.kernels, [values])
            advance = run.progress.advance_as("Writing the raster")
            write_looked_up(image, source, sizes, run.runner.workers, advance)
            if classes:
                known = ~np.isnan(values)
                pixels = np.bincount(values[known].astype(np.int64), sizes[known], len(classes) + 1)
                write_categories(path, classes, pixels)
    return RasteriseResult(int(ids.size), missing, len(classes), time.monotonic() - started)


def _classes(column: IdColumn) -> List[str]:
    """The texts of a column, each once and in order; none for numbers."""
    if not isinstance(column.values, list):
        return []
    classes = sorted({text for text in column.values if text is not None})
    if len(classes) > MOST_CLASSES:
        raise SegmentationError(
            f"COLUMN has {len(classes)} different texts, and at most {MOST_CLASSES} can be classes: choose another."
        )
    return classes


def _by_segment(column: IdColumn, classes: Sequence[str], ids: np.ndarray) -> np.ndarray:
    """(segments,) float64, the value or the number of the class of each; NaN where there is none."""
    if isinstance(column.values, list):
        numbers = {text: float(number) for number, text in enumerate(classes, 1)}
        values = np.array([np.nan if text is None else numbers[text] for text in column.values], np.float64)
    else:
        values = column.values
    found = np.full(ids.size, np.nan)
    if column.ids.size:
        places = np.minimum(np.searchsorted(column.ids, ids), column.ids.size - 1)
        there = column.ids[places] == ids
        found[there] = values[places[there]]
    return found


def _report(
    parameters: RasteriseParameters, column: IdColumn, ids: np.ndarray, missing: int, feedback: Feedback
) -> None:
    """Say which segments have no value, and which rows no segment; refuse a table that has no value for any."""
    if missing == ids.size:
        advice = "check ID_FIELD, and that it is a table of these segments" if parameters.table else "choose another"
        raise SegmentationError(f"COLUMN {parameters.column} has no value for any segment of SEGMENTS: {advice}.")
    if missing:
        feedback.notice(f"{counted(missing, 'segment')} of {ids.size} without a value in {parameters.column}: no data.")
    spare = column.ids.size - int(np.count_nonzero(np.isin(column.ids, ids)))
    if parameters.table and spare:
        feedback.notice(f"{counted(spare, 'row')} of TABLE for segments that SEGMENTS does not have.")


def _type_of(parameters: RasteriseParameters, values: np.ndarray, column: IdColumn, classes: Sequence[str]) -> np.dtype:
    """The type of the raster: that asked for, or the smallest usual one that holds all values, and no data.

    Raises
    ------
    SegmentationError : the type that is asked for does not hold them
    """
    known = values[~np.isnan(values)]
    low, high = float(known.min()), float(known.max())
    if parameters.data_type == "auto":
        if classes:
            return np.dtype(np.uint8 if len(classes) <= np.iinfo(np.uint8).max else np.uint16)
        if column.is_whole and low > -(2**31) and high < 2**31:
            return np.dtype(np.int32)
        if column.is_whole and low >= 0 and high < 2**32 - 1:
            return np.dtype(np.uint32)
        wide = column.is_whole or bool((np.abs(known[np.isfinite(known)]) > EXACT_IN_FLOAT32).any())
        return np.dtype(np.float64 if wide else np.float32)
    dtype = np.dtype(parameters.data_type)
    if classes and dtype not in (np.uint8, np.uint16):
        raise SegmentationError("DATA_TYPE of classes, which have colours, is uint8 or uint16: choose one, or auto.")
    if dtype.kind == "f":
        limit = float(np.finfo(dtype).max)
        wrong = known[np.isfinite(known) & (np.abs(known) > limit)]
    else:
        limits = np.iinfo(dtype)
        wrong = known[(known != np.floor(known)) | (known < limits.min) | (known > limits.max)]
    if wrong.size:
        raise SegmentationError(
            f"COLUMN {parameters.column} holds {wrong[0]:.10g}, which DATA_TYPE {dtype.name} cannot hold: choose "
            "another, or auto."
        )
    return dtype


def _no_data_of(parameters: RasteriseParameters, values: np.ndarray, dtype: np.dtype) -> Any:
    """What is written where there is no value: the number asked for, or one that no segment has.

    Raises
    ------
    SegmentationError : the number asked for is a segment's value or does not fit, or every number is a segment's
    """
    asked_for = no_data_asked_for(parameters.nodata)
    known = values[~np.isnan(values)]
    if asked_for is None:
        if dtype.kind == "f":
            return np.nan
        limits = np.iinfo(dtype)
        for candidate in (0, limits.max) if dtype.kind == "u" else (limits.min, limits.max):
            if not (known == candidate).any():
                return candidate
        raise SegmentationError(
            f"COLUMN {parameters.column} leaves no usual value of DATA_TYPE {dtype.name} for no data: choose a larger "
            "type, or give NODATA."
        )
    held = _held(float(asked_for), dtype)
    if held is None:
        raise SegmentationError(
            f"NODATA is {parameters.nodata}, which a raster of {dtype.name} cannot hold: give another number."
        )
    if (known.astype(dtype) == held).any():
        raise SegmentationError(
            f"NODATA is {parameters.nodata}, which is the value of a segment in COLUMN {parameters.column}: give "
            "another number."
        )
    return held


def _held(number: float, dtype: np.dtype) -> Optional[float]:
    """A number as a raster of that type holds it; None if it cannot."""
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        return int(number) if limits.min <= number <= limits.max and number == np.floor(number) else None
    with np.errstate(over="ignore"):
        held = float(dtype.type(number))
    return held if np.isinf(held) == np.isinf(number) else None
