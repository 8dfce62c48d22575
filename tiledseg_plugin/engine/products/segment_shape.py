# SPDX-License-Identifier: GPL-2.0-or-later
"""The shape of any segments: the table behind `tiledseg:shape`. What its columns are is in `shape_columns`."""

import time
from dataclasses import dataclass
from typing import List, Tuple

from ..errors import SegmentationError
from ..files.formats import TABLES
from ..files.output_files import VECTOR, Output, check_files
from ..files.publish import recover_beside
from ..files.raster import describe
from ..files.stored import Rows
from ..files.tables import Column
from ..parameters import EXECUTIONS, PlainParameters, check_choice
from ..progress import Feedback
from ..wording import counted
from .existing_segments import ProductResult, SegmentsRun, WithoutValues, segments_run
from .inside_points import inside_points
from .margins import sides_of
from .shape_columns import shape_columns
from .shape_sums import sum_shapes
from .update_table import TableUpdate, check_rows_fit, check_table_format, update_output, write_tables

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
        ids, columns = _measure(run, parameters, feedback)
        run.progress.start("table", "Writing the table")
        update = (
            TableUpdate(parameters.segments, ids, columns[0].values, columns, "shape")
            if parameters.update_rat
            else None
        )
        table = [Column("segment", ids), *columns]
        write_tables([(outputs_of(parameters)[0], table)], update, run.check, feedback)
    seconds = time.monotonic() - started
    feedback.info(f"Shape of {counted(ids.size, 'segment')} in {seconds:.1f} s.")
    return ProductResult(ids.size, seconds, run.progress.seconds)


def _measure(run: SegmentsRun, parameters: ShapeParameters, feedback: Feedback) -> Tuple[Rows, List[Column]]:
    """The segments under their own ids, and the columns of their shape."""
    progress, job = run.progress, sides_of(run.job.ids, run.segments, run.job.kernels, run.folder)
    if job.sizes.ellipsoid is not None:
        feedback.info("Coordinates are geographic: areas and lengths are measured on the ellipsoid, in metres.")
    progress.start("shapes", "Measuring shapes")
    sums = sum_shapes(job, run.segments, run.runner, progress.advance_as("Measuring shapes"), run.check)
    run.check_found(sums.ids)
    ids = run.named(sums.ids)
    if parameters.update_rat:
        check_rows_fit(parameters.segments, ids)
    else:
        run.compare_table(sums.ids, sums.sizes)
    progress.start("points", "Finding points inside")
    advance = progress.advance_as("Finding points inside")
    inside = inside_points(job, run.segments, sums, (run.runner, run.check), advance)
    return ids, shape_columns(sums, inside, job.sizes)
