# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments at another scale, for `tiledseg:levels`: the segments of a run with LEVELS at one of these.

Nothing is segmented, and no pixel value is read: the table of the segments says which are one at the level, and what it
says of each is combined.
"""

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Iterator, List, Sequence, Tuple

import numpy as np

from .. import kernels
from ..errors import SegmentationError
from ..files.attribute_table import check_table_fits, stands_beside, write_attribute_table, write_table_beside
from ..files.formats import format_of
from ..files.output_files import SEGMENTS, VECTOR, Output, check_files, replaced_files
from ..files.outputs import grows_overviews, least_overviews
from ..files.publish import publishing_together, recover_beside
from ..files.raster import Raster, describe
from ..files.segment_style import write_style
from ..files.segment_table import open_table, table_beside
from ..files.tables import Column
from ..files.verification import verify_raster
from ..files.window import Window
from ..files.work_folder import WorkFolder
from ..parameters import PlainParameters, check_range
from ..progress import Feedback
from ..stages.write import write_ids
from .existing_segments import ProductResult, SegmentsRun, WithoutValues, segments_run
from .level_table import LevelTable, grouping_of
from .outlines import trace_segments
from .polygons import Polygons, check_polygon_file, write_polygons
from .run_outputs import write_overviews
from .segment_ids import IdReader, RasterIds
from .segment_polygons import outline_job

PLACES = "table-0000000"  # under which the level's number of each segment lies in the work folder
NOT_OF_POLYGONS = ("Histogram", "Red", "Green", "Blue", "Alpha")


@dataclass(frozen=True)
class LevelsParameters(WithoutValues, PlainParameters):
    """The parameters of `tiledseg:levels`; the names are those of the interface, in lower case.

    polygons : empty for none
    """

    segments: str
    level: int
    output: str
    polygons: str = ""
    execution: str = "auto"
    workers: int = 0
    kernels: str = "auto"


@dataclass(frozen=True)
class LevelIds:
    """The ids of a level, of the segments in a raster. Plain values: it travels to workers.

    folder : where the level's number of each segment lies, 0 for no data first
    """

    raster: Raster
    folder: WorkFolder
    kernels: str

    def reader(self) -> IdReader:
        """A function window -> (rows, cols) uint32; for one thread."""
        read, numbers = RasterIds(self.raster).reader(), self.folder.map_array(PLACES)
        kernel, _ = kernels.choose(self.kernels)

        def read_level(window: Window) -> np.ndarray:
            ids = read(window)
            most = int(ids.max(initial=0))
            if most >= numbers.size:
                raise SegmentationError(
                    f"SEGMENTS {self.raster.path} holds segment {most}, of which its table has no row: it is not that "
                    "of these segments, so run 'Segment raster' again."
                )
            return kernel.relabel(ids, numbers)

        return read_level


def outputs_of(parameters: LevelsParameters) -> List[Output]:
    """All outputs, those that are not asked for without a path."""
    return [Output("OUTPUT", parameters.output, SEGMENTS), Output("POLYGONS", parameters.polygons, VECTOR)]


def check_levels(parameters: LevelsParameters) -> None:
    """Refuse segments without that level, and outputs that could not be written or would harm other files.

    Outputs without a path are passed over.
    """
    parameters.check_kinds()
    check_range("LEVEL", parameters.level, 2)
    recover_beside(parameters.segments)
    segments = describe(parameters.segments, (1,))
    if RasterIds(segments).absent:
        raise SegmentationError(
            f"SEGMENTS {segments.path} declares another value than 0 as no data, and segments with levels begin with "
            "1: give the raster as 'Segment raster' made it."
        )
    grouping_of(open_table(parameters.segments), parameters.level, parameters.segments)
    columns = len(open_table(parameters.segments).kinds)
    if parameters.output:
        format_of(parameters.output)
        check_table_fits(parameters.output, 0, columns)
    inputs = [("SEGMENTS", parameters.segments), ("SEGMENTS", table_beside(parameters.segments))]
    check_files(outputs_of(parameters), inputs)
    if parameters.polygons:
        check_polygon_file(outputs_of(parameters)[1], segments, 0, columns)


def segments_at_level(parameters: LevelsParameters, feedback: Feedback) -> ProductResult:
    """Write the raster of a level with its table, and its polygons where they are asked for.

    Raises
    ------
    SegmentationError : one sentence on what is wrong; nothing of the outputs has been touched
    Cancelled : the user cancelled; likewise
    """
    started = time.monotonic()
    check_levels(parameters)
    stages = {"table": 10, "write": 20, "attribute_table": 10}
    if not grows_overviews(parameters.output):
        stages["overviews"] = 10
    if parameters.polygons:
        stages.update(values=10, outlines=25, polygons=40)
    with segments_run(parameters, feedback, stages) as run:
        run.progress.start("table", "Combining the table")
        table = open_table(parameters.segments)
        grouping = grouping_of(table, parameters.level, parameters.segments)
        run.folder.save_array(PLACES, np.append(np.uint32(0), grouping.place + np.uint32(1)))
        combined = LevelTable(table, grouping, run.check)
        columns = combined.columns(parameters.level, feedback)
        with _publishing(parameters) as (path, polygons):
            _write_raster(run, parameters, path, combined.sizes, columns)
            if polygons.path:
                _write_polygons(run, columns, polygons)
    feedback.info(f"{table.rows} segments are {grouping.count} with MIN_PIXELS = {parameters.level}.")
    return ProductResult(grouping.count, time.monotonic() - started)


@contextmanager
def _publishing(parameters: LevelsParameters) -> Iterator[Tuple[str, Output]]:
    """Where to write the raster, and the polygons; both get their names in the end."""
    given = [output for output in outputs_of(parameters) if output.path]
    with publishing_together([(output.path, output.name, replaced_files(output)) for output in given]) as paths:
        polygons = outputs_of(parameters)[1]
        yield paths[0], polygons.at(paths[1]) if polygons.path else polygons


def _write_raster(
    run: SegmentsRun, parameters: LevelsParameters, path: str, sizes: np.ndarray, columns: Sequence[Column]
) -> None:
    progress, workers = run.progress, run.runner.workers
    progress.start("write", "Writing segments")
    source, output = LevelIds(run.segments, run.folder, run.job.kernels), Output("OUTPUT", path, SEGMENTS)
    readers = _Readers(source)
    samples = write_ids(output, run.segments, sizes, readers, workers, progress.advance_as("Writing segments"))
    write_overviews(output, workers, progress)
    verify_raster(path, samples, least_overviews(path, run.segments), False)
    progress.start("attribute_table", "Writing the attribute table")
    if stands_beside(path, columns, progress.feedback):
        write_table_beside(path, columns, run.check)
    else:
        write_attribute_table(path, columns)
    others = [parameters.polygons] if parameters.polygons else []
    write_style(path, parameters.output, sizes.size, others, progress.feedback)


class _Readers:
    """Called with a window in any thread, returns its ids."""

    def __init__(self, source: LevelIds) -> None:
        self._source, self._own = source, threading.local()

    def __call__(self, window: Window) -> np.ndarray:
        if not hasattr(self._own, "read"):
            self._own.read = self._source.reader()
        ids: np.ndarray = self._own.read(window)
        return ids


def _write_polygons(run: SegmentsRun, columns: Sequence[Column], output: Output) -> None:
    """Polygons of what has pixels in the raster, which may be a part of the one that the table is of."""
    run.progress.start("outlines", "Tracing outlines")
    source = LevelIds(run.segments, run.folder, run.job.kernels)
    run.job = replace(run.job, ids=source)
    rows = run.measure()
    job = outline_job(run, rows, False)
    rings = trace_segments(job, run.runner, run.progress.advance_as("Tracing outlines"), run.check)
    run.progress.start("polygons", "Writing polygons")
    ids = np.asarray(rows.ids)
    chosen = [
        replace(column, values=column.values[ids - 1]) for column in columns if column.name not in NOT_OF_POLYGONS
    ]
    advance = run.progress.advance_as("Writing polygons")
    polygons = Polygons(rings, ids.astype(np.int64), rows.sizes, chosen)
    write_polygons(output, run.segments, polygons, advance, run.check)
