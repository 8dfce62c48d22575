# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments and their neighbours: the tables behind `tiledseg:neighbours`.

Neighbours share at least one pixel side. The table of pairs has each pair twice, once as either's:

segment, neighbour  ids; sorted by them
border_length       the true length of the sides that they share: in map units, or, where coordinates are geographic, in
                    metres on the ellipsoid
difference_1 ..     of each band, the mean of the segment less that of the neighbour; null where one has no value

That of segments has a row for each:

segment, pixels     its id and number of pixels
neighbours          how many it has
perimeter           the length of all its sides: the border lengths of its pairs, and border_nodata
border_nodata       the length of the sides beyond which there is no data, or the raster ends
mean_difference_1 ..  of each band, the mean of the absolute differences to the neighbours, each counted once
greatest_difference_1 ..  the greatest of them
share_CLASS ..      the share of the perimeter that is with segments of a class
"""

import time
from dataclasses import dataclass
from itertools import count
from typing import List, Tuple

import numpy as np

from ..errors import SegmentationError
from ..files.formats import TABLES
from ..files.output_files import VECTOR, Output, check_files
from ..files.publish import recover_beside
from ..files.raster import describe
from ..files.stored import Stored
from ..files.tables import Column
from ..files.vector_trial import check_columns
from ..parameters import EXECUTIONS, PlainParameters, check_choice
from ..progress import Feedback
from ..wording import counted
from .attribute_columns import statistic_column
from .existing_segments import ProductResult, SegmentsRun, segments_run
from .margins import sides_of
from .neighbour_pairs import Borders, NeighboursJob, measure_borders
from .segment_classes import Classes, check_classes, classes_of
from .segment_ids import RasterIds
from .segment_rows import SegmentRows
from .update_table import TableUpdate, check_rows_fit, check_table_format, update_output, write_tables

NEIGHBOURS_STAGES = {"values": 35, "borders": 45, "table": 20}


@dataclass(frozen=True)
class NeighboursParameters(PlainParameters):
    """The parameters of `tiledseg:neighbours`; the names are those of the interface, in lower case.

    output : path of the table of pairs; summary : of that of segments; each empty for none
    values : empty for none; classes : a column of the attribute table of the segments, empty for none
    update_rat : whether the columns of `summary` go into the attribute table, too
    """

    segments: str
    output: str = ""
    summary: str = ""
    values: str = ""
    bands: Tuple[int, ...] = ()
    classes: str = ""
    update_rat: bool = False
    execution: str = "auto"
    workers: int = 0
    kernels: str = "auto"

    def check(self, output_is_known: bool = True) -> None:
        """Raise SegmentationError for what no raster could make right."""
        self.check_kinds()
        check_choice("EXECUTION", self.execution, EXECUTIONS)
        if not (self.output or self.summary or self.update_rat):
            raise SegmentationError(
                "OUTPUT and SUMMARY are empty and UPDATE_RAT is off: nothing would be written. Give one of them."
            )
        if self.output and output_is_known:
            TABLES.driver_of(self.output, "OUTPUT")
        if self.summary:
            TABLES.driver_of(self.summary, "SUMMARY")


def outputs_of(parameters: NeighboursParameters) -> List[Output]:
    """The tables, and the raster whose attribute table gets columns; what is not asked for has no path."""
    return [
        Output("OUTPUT", parameters.output, VECTOR),
        Output("SUMMARY", parameters.summary, VECTOR),
        update_output(parameters.segments, parameters.update_rat),
    ]


def check_neighbours(parameters: NeighboursParameters, output_is_known: bool = True) -> None:
    """Refuse parameters and inputs that are wrong, and outputs that could not be written or would harm other files."""
    parameters.check(output_is_known)
    recover_beside(parameters.segments, parameters.values)
    describe(parameters.segments, (1,))
    bands = len(describe(parameters.values, parameters.bands).bands) if parameters.values else 0
    if parameters.classes:
        check_classes(parameters.segments, parameters.classes)
    if parameters.update_rat:
        check_table_format(parameters.segments)
    outputs = outputs_of(parameters)[0 if output_is_known else 1 :]
    check_files(outputs, [("SEGMENTS", parameters.segments), ("VALUES", parameters.values)])
    for output in outputs:
        columns = {"OUTPUT": 3 + bands, "SUMMARY": 5 + 2 * bands}.get(output.name)
        if output.path and columns:
            check_columns(output.name, output.path, TABLES.driver_of(output.path, output.name), columns)


@dataclass(frozen=True)
class NeighboursResult(ProductResult):
    """What a run returns besides the tables.

    pair_count : how many pairs of segments touch, each counted once
    """

    pair_count: int = 0


def segment_neighbours(parameters: NeighboursParameters, feedback: Feedback) -> NeighboursResult:
    """Write the tables.

    Raises
    ------
    SegmentationError : one sentence on what is wrong; nothing that was there has been changed
    Cancelled : the user cancelled; likewise
    """
    started = time.monotonic()
    check_neighbours(parameters)
    with segments_run(parameters, feedback, NEIGHBOURS_STAGES) as run:
        segments, pair_count = _write(parameters, run, feedback)
    seconds = time.monotonic() - started
    feedback.info(f"{counted(segments, 'segment')}, {counted(pair_count, 'pair')} of neighbours in {seconds:.1f} s.")
    return NeighboursResult(segments, seconds, run.progress.seconds, pair_count)


def _write(parameters: NeighboursParameters, run: SegmentsRun, feedback: Feedback) -> Tuple[int, int]:
    """Write the tables. Returns how many segments and pairs there are; no file of the work folder is open then."""
    rows = run.measure(("mean",))
    ids = run.named(rows.ids)
    if parameters.update_rat:
        check_rows_fit(parameters.segments, ids)
    classes = classes_of(parameters.segments, parameters.classes, ids, run.check)
    if parameters.summary:
        number = 5 + 2 * len(run.bands) + len(classes.names)
        check_columns("SUMMARY", parameters.summary, TABLES.driver_of(parameters.summary, "SUMMARY"), number)
    run.progress.start("borders", "Measuring borders")
    borders = _measure(run, rows, classes)
    run.progress.start("table", "Writing the tables")
    columns = _summary_columns(run, rows, borders, classes)
    pairs = _pair_columns(run, borders) if parameters.output else []
    update = None
    if parameters.update_rat:
        update = TableUpdate(parameters.segments, ids, rows.sizes, columns, "neighbours")
    output, summary, _ = outputs_of(parameters)
    tables = [(output, pairs), (summary, [Column("segment", ids), *columns])]
    write_tables(tables, update, run.check, feedback)
    return ids.size, sum(borders.pairs) // 2


def _measure(run: SegmentsRun, rows: SegmentRows, classes: Classes) -> Borders:
    if classes.names:
        run.folder.save_array("classes", classes.numbers)
    sides = sides_of(run.job.ids, run.segments, run.job.kernels, run.folder)
    if sides.sizes.ellipsoid is not None:
        run.progress.feedback.info("Coordinates are geographic: lengths are measured on the ellipsoid, in metres.")
    means = tuple(rows.statistic(index, "mean") for index in range(len(run.job.bands)))
    job = NeighboursJob(sides, RasterIds(run.segments), means, len(classes.names))
    advance = run.progress.advance_as("Measuring borders")
    return measure_borders(job, run.segments, (run.runner, run.check), rows.ids.size, advance)


def _pair_columns(run: SegmentsRun, borders: Borders) -> List[Column]:
    """The table of pairs, read from the files of the ranges when it is written."""

    def stored(name: str, dtype: type, column: int) -> Stored:
        return Stored(_paths(run, name, borders), borders.pairs, dtype, column)

    return [
        Column("segment", stored("pairs", np.uint32, 0)),
        Column("neighbour", stored("pairs", np.uint32, 1)),
        Column("border_length", stored("differences", np.float64, 0)),
        *(
            statistic_column("difference", band, stored("differences", np.float64, index))
            for index, band in enumerate(run.bands, 1)
        ),
    ]


def _paths(run: SegmentsRun, name: str, borders: Borders) -> List[str]:
    return [run.folder.array_path(f"{name}-{number:07d}") for number in range(len(borders.segments))]


def _summary_columns(run: SegmentsRun, rows: SegmentRows, borders: Borders, classes: Classes) -> List[Column]:
    """The table of segments, without their ids: likewise, in the order of `finish_range`."""
    paths, places = _paths(run, "summary", borders), count()

    def following(dtype: type = np.float64) -> Stored:
        return Stored(paths, borders.segments, dtype, next(places))

    columns = [
        Column("pixels", rows.sizes),
        Column("neighbours", following(np.int64)),
        Column("perimeter", following()),
        Column("border_nodata", following()),
    ]
    for band in run.bands:
        columns.append(statistic_column("mean_difference", band, following()))
        columns.append(statistic_column("greatest_difference", band, following()))
    return columns + [Column(f"share_{name}", following()) for name in classes.names]
