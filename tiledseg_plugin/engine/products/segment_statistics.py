# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics of any raster's values in any segments: the table behind `tiledseg:statistics`."""

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Sequence, Tuple

from ..errors import SegmentationError
from ..files.formats import TABLES
from ..files.output_files import VECTOR, Output, check_files
from ..files.publish import recover_beside
from ..files.raster import describe
from ..files.stored import Rows
from ..files.tables import Column
from ..files.vector_trial import check_columns
from ..parameters import (
    EXECUTIONS,
    MOST_GREY_LEVELS,
    STATISTICS,
    TEXTURES,
    USUAL_STATISTICS,
    PlainParameters,
    check_choice,
    is_statistic,
)
from ..progress import Feedback
from ..wording import counted
from .attribute_columns import statistic_column
from .existing_segments import Further, ProductResult, SegmentsRun, segments_run
from .histograms import HistogramJob, describe_by_histograms
from .quantiles import Ranks, completed, is_order_statistic
from .segment_rows import SegmentRows
from .texture import Textures, texture_limits
from .update_table import TableUpdate, check_rows_fit, check_table_format, update_output, write_tables

LONGEST_SOURCE = 40  # characters of a raster's name in the name of a column


@dataclass(frozen=True)
class StatisticsParameters(PlainParameters):
    """The parameters of `tiledseg:statistics`; the names are those of the interface, in lower case.

    output : path of the table; empty for none, with `update_rat`
    statistics : of STATISTICS and percentiles, p01 to p99
    more_values : rasters besides `values`, of which the same bands are used
    grey_levels : of textures
    apply_scale : whether scale and offset of bands count
    """

    segments: str
    values: str
    output: str = ""
    bands: Tuple[int, ...] = ()
    statistics: Tuple[str, ...] = USUAL_STATISTICS
    update_rat: bool = False
    more_values: Tuple[str, ...] = ()
    grey_levels: int = 16
    apply_scale: bool = True
    execution: str = "auto"
    workers: int = 0
    kernels: str = "auto"

    def check(self, output_is_known: bool = True) -> None:
        """Raise SegmentationError for what no raster could make right."""
        self.check_kinds()
        unknown = [name for name in self.statistics if not is_statistic(name)]
        if unknown or not self.statistics:
            raise SegmentationError(
                f"STATISTICS has '{', '.join(unknown)}': give one or more of {', '.join(STATISTICS)}, or percentiles, "
                "p01 to p99."
            )
        if not 2 <= self.grey_levels <= MOST_GREY_LEVELS:
            raise SegmentationError(
                f"GREY_LEVELS is {self.grey_levels}: give a number of 2 to {MOST_GREY_LEVELS}, such as 16."
            )
        check_choice("EXECUTION", self.execution, EXECUTIONS)
        if not self.output and not self.update_rat:
            raise SegmentationError(
                "OUTPUT is empty and UPDATE_RAT is off: nothing would be written. Give one of them."
            )
        if self.output and output_is_known:
            TABLES.driver_of(self.output, "OUTPUT")

    @property
    def named(self) -> Tuple[str, ...]:
        """The statistics in the order of their columns: percentiles follow what is published, ascending."""
        percentiles = sorted(name for name in set(self.statistics) if name not in STATISTICS)
        return (*(name for name in STATISTICS if name in self.statistics), *percentiles)


def outputs_of(parameters: StatisticsParameters) -> List[Output]:
    """The table, and the raster whose attribute table gets columns; what is not asked for has no path."""
    return [
        Output("OUTPUT", parameters.output, VECTOR),
        update_output(parameters.segments, parameters.update_rat),
    ]


def check_statistics(parameters: StatisticsParameters, output_is_known: bool = True) -> None:
    """Refuse parameters and inputs that are wrong, and outputs that could not be written or would harm other files."""
    parameters.check(output_is_known)
    recover_beside(parameters.segments, parameters.values, *parameters.more_values)
    describe(parameters.segments, (1,))
    rasters = [("VALUES", parameters.values), *(("MORE_VALUES", path) for path in parameters.more_values)]
    paths = [path for _, path in rasters]
    twice = [path for path in paths if paths.count(path) > 1]
    if twice:
        raise SegmentationError(f"VALUES and MORE_VALUES name {twice[0]} twice: give each raster once.")
    bands = sum(len(describe(path, parameters.bands).bands) for _, path in rasters)
    if parameters.update_rat:
        check_table_format(parameters.segments)
    outputs = outputs_of(parameters)[0 if output_is_known else 1 :]
    check_files(outputs, [("SEGMENTS", parameters.segments), *rasters])
    if parameters.output and output_is_known:
        _check_columns(parameters, bands * len(parameters.named))


def _check_columns(parameters: StatisticsParameters, columns: int) -> None:
    check_columns("OUTPUT", parameters.output, TABLES.driver_of(parameters.output, "OUTPUT"), 1 + columns)


def segment_statistics(parameters: StatisticsParameters, feedback: Feedback) -> ProductResult:
    """Write a table with one row a segment.

    Raises
    ------
    SegmentationError : one sentence on what is wrong; nothing that was there has been changed
    Cancelled : the user cancelled; likewise
    """
    started = time.monotonic()
    check_statistics(parameters)
    further = Further(parameters.more_values, parameters.apply_scale)
    with segments_run(parameters, feedback, _stages(parameters.named), further) as run:
        segments = _write(parameters, run, feedback)
    seconds = time.monotonic() - started
    feedback.info(f"Statistics of {counted(segments, 'segment')} in {seconds:.1f} s.")
    return ProductResult(segments, seconds, run.progress.seconds)


def _write(parameters: StatisticsParameters, run: SegmentsRun, feedback: Feedback) -> int:
    """Write the table. Returns how many segments there are; no file of the work folder is open then."""
    with_textures = bool(set(parameters.named) & set(TEXTURES))
    rows = run.measure(_of_moments(parameters.named), not parameters.update_rat, with_textures)
    if parameters.update_rat:
        check_rows_fit(parameters.segments, run.named(rows.ids))
    counts = _counted(parameters, run, rows)
    run.progress.start("table", "Writing the table")
    columns = list(_columns(parameters, run, rows, counts))
    if parameters.output:
        _check_columns(parameters, len(columns))
    ids, prefix = run.named(rows.ids), "new" if parameters.more_values else Path(parameters.values).stem
    update = TableUpdate(parameters.segments, ids, rows.sizes, columns, prefix) if parameters.update_rat else None
    table = [Column("segment", ids), *columns]
    write_tables([(outputs_of(parameters)[0], table)], update, run.check, feedback)
    return rows.ids.size


def _stages(statistics: Iterable[str]) -> Dict[str, int]:
    """Stages and their weights."""
    wanted = {
        "values": 40,
        "ranks": 40 * any(map(is_order_statistic, statistics)),
        "textures": 120 * bool(set(statistics) & set(TEXTURES)),
        "table": 10,
    }
    return {stage: weight for stage, weight in wanted.items() if weight}


def _of_moments(statistics: Sequence[str]) -> Tuple[str, ...]:
    """Those that need no more than sums and limits, and what the others are completed with."""
    others = {name for name in statistics if is_order_statistic(name) or name in TEXTURES}
    return tuple(dict.fromkeys([*(name for name in statistics if name not in others), *(["count"] if others else [])]))


def _counted(parameters: StatisticsParameters, run: SegmentsRun, rows: SegmentRows) -> List[Dict[str, Rows]]:
    """Of each band the statistics that need to know how often values, or pairs of them, occur in each segment."""
    results: List[Dict[str, Rows]] = [{} for _ in run.job.bands]
    ranked = tuple(filter(is_order_statistic, parameters.named))
    if ranked:
        run.progress.start("ranks", "Ranking values")
        job = HistogramJob(run.job, Ranks(run.job.bands, ranked, run.sources), run.folder)
        advance = run.progress.advance_as("Ranking values")
        found = describe_by_histograms(job, rows.ids.size, run.runner, advance, run.check)
        results = completed(found, run.job.bands, rows)
    if set(parameters.named) & set(TEXTURES):
        run.progress.start("textures", "Counting pairs of pixels")
        limits = tuple(texture_limits(rows.whole(band)) for band in range(len(run.job.bands)))
        textures = Textures(run.job.bands, limits, parameters.grey_levels, len(run.job.bands))
        advance = run.progress.advance_as("Counting pairs of pixels")
        job = HistogramJob(run.job, textures, run.folder)
        found = describe_by_histograms(job, rows.ids.size, run.runner, advance, run.check)
        results = [{**before, **more} for before, more in zip(results, found)]
    return results


def _columns(
    parameters: StatisticsParameters, run: SegmentsRun, rows: SegmentRows, counts: Sequence[Dict[str, Rows]]
) -> Iterator[Column]:
    """Columns mean_1, std_1, ... of the first band, and so on; of several rasters, with the name of each before."""
    paths = list(dict.fromkeys(run.sources))
    called = dict(zip(paths, _short_names(paths))) if parameters.more_values else {}
    for index, (source, band, described) in enumerate(zip(run.sources, run.bands, counts)):
        for name in parameters.named:
            if name == "share":
                shares = [one for one in described if one.startswith("share_")]
                for one in sorted(shares, key=lambda share: int(share[len("share_") :])):
                    yield statistic_column(one, band, described[one], called.get(source, ""))
            else:
                values = described[name] if name in described else rows.statistic(index, name)
                yield statistic_column(name, band, values, called.get(source, ""))


def _short_names(paths: Iterable[str]) -> List[str]:
    """What rasters are called in names of columns: as their files, in letters, digits, `_` and `-`; no two alike."""
    names: List[str] = []
    taken = set()
    for path in paths:
        stem = re.sub(r"[^\w-]+", "_", Path(path).stem).strip("_")[-LONGEST_SOURCE:] or "values"
        name, number = stem, 2
        while name.casefold() in taken:
            name, number = f"{stem}_{number}", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names
