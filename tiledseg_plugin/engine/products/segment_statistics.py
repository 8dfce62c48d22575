# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics of any raster's values in any segments: the table behind `tiledseg:statistics`."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np

from ..errors import SegmentationError
from ..files.formats import TABLES
from ..files.no_data import Band
from ..files.output_files import UPDATED, VECTOR, Output, check_files, replaced_files
from ..files.publish import publishing_together, recover_beside
from ..files.raster import describe
from ..files.tables import Column, write_table
from ..files.vector_trial import check_columns
from ..parameters import EXECUTIONS, STATISTICS, USUAL_STATISTICS, PlainParameters, check_choice
from ..progress import Check, Feedback
from ..wording import counted
from .attribute_columns import statistic_column
from .attributes import Attributes
from .existing_segments import segments_run
from .quantiles import ORDER_STATISTICS, QuantileJob, Ranked, rank_segments
from .update_table import check_rows_fit, check_table_format, file_to_update, write_update

TABLE_STAGES = {"values": 40, "ranks": 40, "table": 10}
MOMENTS = {  # attributes of `Moments` by statistic
    "mean": "mean",
    "std": "deviation",
    "min": "minimum",
    "max": "maximum",
    "sum": "sum",
    "count": "counts",
}


@dataclass(frozen=True)
class StatisticsParameters(PlainParameters):
    """The parameters of `tiledseg:statistics`; the names are those of the interface, in lower case.

    output : path of the table; empty for none, with `update_rat`
    """

    segments: str
    values: str
    output: str = ""
    bands: Tuple[int, ...] = ()
    statistics: Tuple[str, ...] = USUAL_STATISTICS
    update_rat: bool = False
    execution: str = "auto"
    workers: int = 0
    kernels: str = "auto"

    def check(self, output_is_known: bool = True) -> None:
        """Raise SegmentationError for what no raster could make right."""
        self.check_kinds()
        unknown = [name for name in self.statistics if name not in STATISTICS]
        if unknown or not self.statistics:
            raise SegmentationError(
                f"STATISTICS has '{', '.join(unknown)}': give one or more of {', '.join(STATISTICS)}."
            )
        check_choice("EXECUTION", self.execution, EXECUTIONS)
        if not self.output and not self.update_rat:
            raise SegmentationError(
                "OUTPUT is empty and UPDATE_RAT is off: nothing would be written. Give one of them."
            )
        if self.output and output_is_known:
            TABLES.driver_of(self.output, "OUTPUT")


def outputs_of(parameters: StatisticsParameters) -> List[Output]:
    """The table, and the raster whose attribute table gets columns; what is not asked for has no path."""
    return [
        Output("OUTPUT", parameters.output, VECTOR),
        Output("UPDATE_RAT", parameters.segments if parameters.update_rat else "", UPDATED, updates="SEGMENTS"),
    ]


def check_statistics(parameters: StatisticsParameters, output_is_known: bool = True) -> None:
    """Refuse parameters and inputs that are wrong, and outputs that could not be written or would harm other files."""
    parameters.check(output_is_known)
    recover_beside(parameters.segments, parameters.values)
    describe(parameters.segments, (1,))
    bands = len(describe(parameters.values, parameters.bands).bands)
    if parameters.update_rat:
        check_table_format(parameters.segments)
    outputs = outputs_of(parameters)[0 if output_is_known else 1 :]
    check_files(outputs, [("SEGMENTS", parameters.segments), ("VALUES", parameters.values)])
    if parameters.output and output_is_known:
        columns = 1 + bands * len(set(parameters.statistics))
        check_columns("OUTPUT", parameters.output, TABLES.driver_of(parameters.output, "OUTPUT"), columns)


@dataclass(frozen=True)
class StatisticsResult:
    """What a run returns besides the table.

    stages : {stage: seconds}
    """

    segment_count: int
    seconds: float
    stages: Dict[str, float] = field(default_factory=dict)


def segment_statistics(parameters: StatisticsParameters, feedback: Feedback) -> StatisticsResult:
    """Write a table with one row a segment.

    Raises
    ------
    SegmentationError : one sentence on what is wrong; nothing that was there has been changed
    Cancelled : the user cancelled; likewise
    """
    started = time.monotonic()
    check_statistics(parameters)
    with segments_run(parameters, feedback, TABLE_STAGES) as run:
        attributes = run.measure()
        if parameters.update_rat:
            check_rows_fit(parameters.segments, attributes)
        wanted = tuple(name for name in ORDER_STATISTICS if name in parameters.statistics)
        ranked: List[Ranked] = [{} for _ in run.job.bands]
        if wanted:
            run.progress.start("ranks", "Ranking values")
            ranks = QuantileJob(run.job, wanted, run.folder)
            ranked = rank_segments(ranks, attributes, run.runner, run.progress.advance_as("Ranking values"), run.check)
        run.progress.start("table", "Writing the table")
        columns = _columns(attributes, ranked, run.bands, parameters.statistics)
        attributes = run.named(attributes)
        _write_all(parameters, attributes, columns, run.check, feedback)
    seconds = time.monotonic() - started
    feedback.info(f"Statistics of {counted(attributes.ids.size, 'segment')} in {seconds:.1f} s.")
    return StatisticsResult(int(attributes.ids.size), seconds, run.progress.seconds)


def _write_all(
    parameters: StatisticsParameters,
    attributes: Attributes,
    columns: Sequence[Column],
    check_cancelled: Check,
    feedback: Feedback,
) -> None:
    """The table, and that in SEGMENTS: both are there in the end, or both are as they were."""
    files = [file_to_update(parameters.segments)] if parameters.update_rat else []
    if parameters.output:
        files.insert(0, (parameters.output, "OUTPUT", replaced_files(outputs_of(parameters)[0])))
    with publishing_together(files) as paths:
        if parameters.output:
            write_table(paths[0], [Column("segment", attributes.ids), *columns], check_cancelled)
        if parameters.update_rat:
            prefix = Path(parameters.values).stem
            write_update(parameters.segments, paths[-1], attributes, columns, prefix, feedback)


def _columns(
    attributes: Attributes, ranked: Sequence[Ranked], bands: Sequence[Band], statistics: Sequence[str]
) -> List[Column]:
    """Columns mean_1, std_1, ... of the first band, and so on; in the order in which STATISTICS names them."""
    columns: List[Column] = []
    for band, moments, ranks in zip(bands, attributes.bands, ranked):
        for name in STATISTICS:
            if name in statistics:
                values = ranks[name] if name in ranks else getattr(moments, MOMENTS[name])
                columns.append(statistic_column(name, band, np.asarray(values)))
    return columns
