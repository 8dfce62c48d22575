# SPDX-License-Identifier: GPL-2.0-or-later
"""The shape of any segments: the table behind `tiledseg:shape`. What its columns are is in `shape_columns`."""

import time
from dataclasses import dataclass
from typing import List, Tuple

import numpy as np
from numpy.typing import DTypeLike

from ..errors import SegmentationError
from ..files.formats import TABLES
from ..files.output_files import VECTOR, Output, check_files
from ..files.publish import recover_beside
from ..files.raster import describe
from ..files.stored import Rows, Stored
from ..files.tables import Column
from ..parameters import EXECUTIONS, PlainParameters, check_choice
from ..progress import Check, Feedback
from ..wording import counted
from .existing_segments import ProductResult, SegmentsRun, WithoutValues, segments_run
from .inside_points import InsideJob, inside_points
from .margins import SidesJob, sides_of
from .segment_rows import IDS, SIZES, Range, keep_ids, rows_of_range
from .shape_columns import INSIDE, SHAPE_COLUMNS, shape_columns, shape_values
from .shape_sums import Numbered, sum_shapes, sums_of_range
from .update_table import TableUpdate, check_rows_fit, check_table_format, update_output, write_tables

CENTROID = ("col", "row")
IN_ROWS = (*(name for name in SHAPE_COLUMNS if name not in INSIDE), *CENTROID)  # what ranges leave in the folder
SHAPE_STAGES = {"shapes": 60, "points": 25, "table": 15}


@dataclass(frozen=True)
class ShapeParameters(WithoutValues, PlainParameters):
    """The parameters of `tiledseg:shape`; the names are those of the interface, in lower case.

    output : path of the table; empty for none, with `update_rat`
    """

    segments: str
    output: str = ""
    update_rat: bool = False
    execution: str = "auto"
    workers: int = 0
    kernels: str = "auto"

    def check(self, output_is_known: bool = True) -> None:
        """Raise SegmentationError for what no raster could make right."""
        self.check_kinds()
        check_choice("EXECUTION", self.execution, EXECUTIONS)
        if not self.output and not self.update_rat:
            raise SegmentationError(
                "OUTPUT is empty and UPDATE_RAT is off: nothing would be written. Give one of them."
            )
        if self.output and output_is_known:
            TABLES.driver_of(self.output, "OUTPUT")


def outputs_of(parameters: ShapeParameters) -> List[Output]:
    """The table, and the raster whose attribute table gets columns; what is not asked for has no path."""
    return [
        Output("OUTPUT", parameters.output, VECTOR),
        update_output(parameters.segments, parameters.update_rat),
    ]


def check_shape(parameters: ShapeParameters, output_is_known: bool = True) -> None:
    """Refuse parameters and inputs that are wrong, and outputs that could not be written or would harm other files."""
    parameters.check(output_is_known)
    recover_beside(parameters.segments)
    describe(parameters.segments, (1,))
    if parameters.update_rat:
        check_table_format(parameters.segments)
    check_files(outputs_of(parameters)[0 if output_is_known else 1 :], [("SEGMENTS", parameters.segments)])


def segment_shape(parameters: ShapeParameters, feedback: Feedback) -> ProductResult:
    """Write a table with one row a segment.

    Raises
    ------
    SegmentationError : one sentence on what is wrong; nothing that was there has been changed
    Cancelled : the user cancelled; likewise
    """
    started = time.monotonic()
    check_shape(parameters)
    with segments_run(parameters, feedback, SHAPE_STAGES) as run:
        segments = _write(parameters, run, feedback)
    seconds = time.monotonic() - started
    feedback.info(f"Shape of {counted(segments, 'segment')} in {seconds:.1f} s.")
    return ProductResult(segments, seconds, run.progress.seconds)


def _write(parameters: ShapeParameters, run: SegmentsRun, feedback: Feedback) -> int:
    """Write the table. Returns how many segments there are; no file of the work folder is open then."""
    ids, columns = _measure(run, parameters, feedback)
    run.progress.start("table", "Writing the table")
    update = (
        TableUpdate(parameters.segments, ids, columns[0].values, columns, "shape") if parameters.update_rat else None
    )
    table = [Column("segment", ids), *columns]
    write_tables([(outputs_of(parameters)[0], table)], update, run.check, feedback)
    return ids.size


def _measure(run: SegmentsRun, parameters: ShapeParameters, feedback: Feedback) -> Tuple[Rows, List[Column]]:
    """The segments under their own ids, and the columns of their shape."""
    progress, job = run.progress, sides_of(run.job.ids, run.segments, run.job.kernels, run.folder)
    if job.sizes.ellipsoid is not None:
        feedback.info("Coordinates are geographic: areas and lengths are measured on the ellipsoid, in metres.")
    progress.start("shapes", "Measuring shapes")
    advance = progress.advance_as("Measuring shapes")
    ranges = sum_shapes(job, run.segments, run.runner, lambda done: advance(0.9 * done), run.check)
    counts = [0] * len(ranges)
    for done, ((item, _), found) in enumerate(run.runner.run(describe_range, job, ranges, run.check), 1):
        counts[item[0]] = found
        advance(0.9 + 0.1 * done / len(ranges))
    keep_ids(run.folder, counts)
    ids: Rows = Stored([run.folder.array_path(IDS)], [sum(counts)], np.uint32)
    paths = [run.folder.array_path(rows_of_range(number)) for number in range(len(counts))]

    def stored(name: str, dtype: DTypeLike = np.float64) -> Stored:
        if name in INSIDE:
            return Stored(points, counts, dtype, INSIDE.index(name))
        return Stored(paths, counts, dtype, IN_ROWS.index(name))

    run.check_found(ids)
    if parameters.update_rat:
        check_rows_fit(parameters.segments, run.named(ids))
    else:
        run.compare_table(ids, stored("pixels", np.int64))
    progress.start("points", "Finding points inside")
    inside = InsideJob(job, *map(stored, CENTROID))
    execution = run.runner, run.check
    points = inside_points(inside, run.segments, counts, execution, progress.advance_as("Finding points inside"))
    return run.named(ids), shape_columns(job.sizes, stored)


def describe_range(job: SidesJob, item: Tuple[Range, Numbered], check_cancelled: Check) -> int:
    """Find the shape of a range of segments, and leave its rows in the folder: the task. Returns how many they are."""
    (number, *_), windows = item
    sums = sums_of_range(job, item[0], windows, check_cancelled)
    values = {**shape_values(sums, job.sizes), **dict(zip(CENTROID, (sums.cols / sums.sizes, sums.rows / sums.sizes)))}
    job.folder.save_array(rows_of_range(number), np.stack([values[name] for name in IN_ROWS]).astype(np.float64))
    job.folder.save_array(f"{IDS}-{number:07d}", sums.ids)
    job.folder.save_array(f"{SIZES}-{number:07d}", sums.sizes)
    return int(sums.ids.size)
