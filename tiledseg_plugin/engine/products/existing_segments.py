# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs over existing segments: values put on their grid, an execution, a work folder, and their end."""

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Dict, Iterator, List, Protocol, Sequence, Tuple

import numpy as np

from .. import execution, kernels
from ..errors import SegmentationError
from ..execution.runner import Runner
from ..files.gdal_access import modest_cache
from ..files.no_data import Band, scaling_note
from ..files.raster import Raster, describe
from ..files.stored import Made, Rows
from ..files.work_folder import WorkFolder
from ..progress import Feedback, Progress
from ..resources import worker_memory
from ..stages.statistics import BLOCK_PIXELS
from .alignment import bands_on_grid, describe_values
from .attributes import AttributeJob
from .segment_ids import RasterIds
from .segment_rows import RowsJob, SegmentRows, describe_segments
from .table_agreement import disagreement


class ProductParameters(Protocol):
    """What the parameters of every product of existing segments have."""

    @property
    def segments(self) -> str: ...

    @property
    def values(self) -> str: ...

    @property
    def bands(self) -> Tuple[int, ...]: ...

    @property
    def execution(self) -> str: ...

    @property
    def workers(self) -> int: ...

    @property
    def kernels(self) -> str: ...


@dataclass(frozen=True)
class ProductResult:
    """What a run returns besides its outputs.

    stages : {stage: seconds}
    """

    segment_count: int
    seconds: float
    stages: Dict[str, float] = field(default_factory=dict)


class WithoutValues:
    """Parameters of what reads no values."""

    @property
    def values(self) -> str:
        """None."""
        return ""

    @property
    def bands(self) -> Tuple[int, ...]:
        """None."""
        return ()


@dataclass
class SegmentsRun:
    """What the products of existing segments share.

    segments : Raster
    job : AttributeJob, of the bands of VALUES; of none if there is none
    bands : of VALUES, as they are there
    sources : of each band, the raster that it is from
    """

    segments: Raster
    job: AttributeJob
    bands: Tuple[Band, ...]
    runner: Runner
    progress: Progress
    folder: WorkFolder
    sources: Tuple[str, ...] = ()

    def check(self) -> None:
        """Raise Cancelled if the user wants the run to end; pass on what the execution has to say."""
        self.progress.listening_to(self.runner)()

    def measure(
        self, statistics: Sequence[str] = (), compares_table: bool = True, adds_up: bool = False
    ) -> SegmentRows:
        """The rows of all segments; says so if the attribute table of SEGMENTS is of other pixels.

        Parameters
        ----------
        statistics : the columns that are wanted of each band, see `moment_statistic`
        compares_table : False where the table is to be updated, which says that itself
        adds_up : see `RowsJob`

        Raises
        ------
        SegmentationError : there is no segment, or no segment has a value
        """
        self.progress.start("values", "Reading values")
        job = RowsJob(self.job, self.folder, tuple(statistics), adds_up)
        rows = describe_segments(job, self.runner, self.progress.advance_as("Reading values"), self.check)
        self.check_found(rows.ids)
        if compares_table:
            self.compare_table(rows.ids, rows.sizes)
        if self.job.bands and not any(rows.has_values):
            raise SegmentationError("VALUES has no valid pixel in any segment: check that it overlaps SEGMENTS.")
        for source in dict.fromkeys(self.sources):
            if not any(some for some, of in zip(rows.has_values, self.sources) if of == source):
                self.progress.feedback.warning(f"{source} has no valid pixel in any segment: its columns are empty.")
        return rows

    def check_found(self, ids: Rows) -> None:
        """Raise SegmentationError if there is no segment; say so if 0 is one.

        Parameters
        ----------
        ids : (segments,) uint32, ascending, by which segments are counted here
        """
        if not ids.size:
            raise SegmentationError(f"SEGMENTS {self.segments.path} holds no segment: all of its pixels are no data.")
        if RasterIds(self.segments).named(ids[:1])[0] == 0:
            self.progress.feedback.info("SEGMENTS declares what is no data in it, and 0 is not, so 0 is a segment.")

    def compare_table(self, ids: Rows, sizes: Rows) -> None:
        """Say so if the attribute table of SEGMENTS is of other pixels, as where it was cut out of a larger raster.

        Parameters
        ----------
        ids, sizes : (segments,) uint32, as for `check_found`, and their pixels
        """
        absent = RasterIds(self.segments).absent
        sentence = disagreement(self.segments.path, self.named(ids), sizes, absent)
        if sentence:
            self.progress.feedback.warning(sentence)

    def named(self, ids: Rows) -> Rows:
        """The ids that SEGMENTS has, rather than those by which segments are counted here."""
        return Made(RasterIds(self.segments).named, np.uint32, ids)


@dataclass(frozen=True)
class Further:
    """What only some products want of VALUES.

    values : rasters besides VALUES, of which the same bands are used
    apply_scale : whether scale and offset of the bands count
    """

    values: Tuple[str, ...] = ()
    apply_scale: bool = True


@contextmanager
def segments_run(
    parameters: ProductParameters, feedback: Feedback, stages: Dict[str, int], further: Further = Further()
) -> Iterator[SegmentsRun]:
    """A SegmentsRun; its execution and work folder are gone at the end.

    Parameters
    ----------
    stages : {stage: weight}, see `progress`
    """
    with modest_cache, _begun(parameters, feedback, stages, further) as run:
        yield run


@contextmanager
def _begun(
    parameters: ProductParameters, feedback: Feedback, stages: Dict[str, int], further: Further
) -> Iterator[SegmentsRun]:
    segments = describe(parameters.segments, (1,))
    if not segments.zero_is_nodata:
        for note in segments.notes:
            feedback.info(f"SEGMENTS: {note}")
    progress = Progress(feedback, stages)
    folder = WorkFolder("", {})
    starting = None
    try:
        rasters = _values(parameters, further, feedback)
        check = progress.check_cancelled
        on_grid = [bands_on_grid(raster, segments, folder, check, number) for number, raster in enumerate(rasters)]
        bands = tuple(band for of_raster in on_grid for band in of_raster)
        size = int(BLOCK_PIXELS**0.5)
        needed = worker_memory(2 * size, 2 * size, max(len(bands), 1), bands[0].dtype if bands else segments.dtype)
        request = execution.Request(parameters.execution, parameters.workers, needed)
        starting = execution.start(request, bands[0] if bands else segments)
        kernel, note = kernels.choose(parameters.kernels, calm=False)
        feedback.info(note)
        runner = starting.ready(feedback, check)
        job = AttributeJob(RasterIds(segments), bands, kernel.NAME)
        described = tuple(band for raster in rasters for band in raster.bands)
        sources = tuple(raster.path for raster in rasters for _ in raster.bands)
        yield SegmentsRun(segments, job, described, runner, progress, folder, sources)
        progress.complete()
    finally:
        try:
            if starting is not None:
                starting.close()
        finally:
            folder.close(True)


def _values(parameters: ProductParameters, further: Further, feedback: Feedback) -> List[Raster]:
    """The rasters of values; says what the user should know about them."""
    rasters = []
    for path in (parameters.values, *further.values):
        if not path:
            continue
        raster = describe_values(path, parameters.bands)
        called = f"{Path(path).name}" if further.values else "VALUES"
        for note in raster.notes:
            feedback.info(f"{called}: {note}")
        note = scaling_note(raster.bands)
        if note and further.apply_scale:
            feedback.info(f"{called}: {note}: they are applied, as QGIS does.")
        elif note:
            feedback.info(f"{called}: {note}: they are not applied, as asked for.")
            raster = replace(raster, bands=tuple(replace(band, scale=1.0, offset=0.0) for band in raster.bands))
        rasters.append(raster)
    return rasters
