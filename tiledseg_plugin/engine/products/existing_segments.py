# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs over existing segments: values put on their grid, an execution, a work folder, and their end."""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Dict, Iterator, Protocol, Tuple

from .. import execution, kernels
from ..errors import SegmentationError
from ..execution.runner import Runner
from ..files.no_data import Band, scaling_note
from ..files.raster import Raster, describe
from ..files.work_folder import WorkFolder
from ..progress import Feedback, Progress
from ..resources import worker_memory
from ..stages.statistics import BLOCK_PIXELS
from .alignment import bands_on_grid, describe_values
from .attributes import AttributeJob, Attributes, describe_segments
from .segment_ids import RasterIds


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


@dataclass
class SegmentsRun:
    """What the products of existing segments share.

    segments : Raster
    job : AttributeJob, of the bands of VALUES; of none if there is none
    bands : of VALUES, as they are there
    """

    segments: Raster
    job: AttributeJob
    bands: Tuple[Band, ...]
    runner: Runner
    progress: Progress
    folder: WorkFolder

    def check(self) -> None:
        """Raise Cancelled if the user wants the run to end; pass on what the execution has to say."""
        self.progress.listening_to(self.runner)()

    def measure(self) -> Attributes:
        """The attributes of all segments.

        Raises
        ------
        SegmentationError : there is no segment, or no segment has a value
        """
        self.progress.start("values", "Reading values")
        attributes = describe_segments(
            self.job, None, self.runner, self.progress.advance_as("Reading values"), self.check
        )
        if not attributes.ids.size:
            raise SegmentationError(f"SEGMENTS {self.segments.path} holds no segment: all of its pixels are no data.")
        if self.job.bands and not any(moments.counts.any() for moments in attributes.bands):
            raise SegmentationError("VALUES has no valid pixel in any segment: check that it overlaps SEGMENTS.")
        if self.named(attributes).ids[0] == 0:
            self.progress.feedback.info("SEGMENTS declares what is no data in it, and 0 is not, so 0 is a segment.")
        return attributes

    def named(self, attributes: Attributes) -> Attributes:
        """The attributes with the ids that SEGMENTS has, rather than those by which segments are counted here."""
        return replace(attributes, ids=RasterIds(self.segments).named(attributes.ids))


@contextmanager
def segments_run(parameters: ProductParameters, feedback: Feedback, stages: Dict[str, int]) -> Iterator[SegmentsRun]:
    """A SegmentsRun; its execution and work folder are gone at the end.

    Parameters
    ----------
    stages : {stage: weight}, see `progress`
    """
    segments = describe(parameters.segments, (1,))
    if not segments.zero_is_nodata:
        for note in segments.notes:
            feedback.info(f"SEGMENTS: {note}")
    progress = Progress(feedback, stages)
    folder = WorkFolder("", {})
    starting = None
    try:
        values = describe_values(parameters.values, parameters.bands) if parameters.values else None
        bands = () if values is None else bands_on_grid(values, segments, folder)
        if values is not None:
            _log_values(values, feedback)
        size = int(BLOCK_PIXELS**0.5)
        needed = worker_memory(2 * size, 2 * size, max(len(bands), 1), bands[0].dtype if bands else segments.dtype)
        request = execution.Request(parameters.execution, parameters.workers, needed)
        starting = execution.start(request, bands[0] if bands else segments)
        kernel, note = kernels.choose(parameters.kernels)
        feedback.info(note)
        runner = starting.ready(feedback, progress.check_cancelled)
        job = AttributeJob(RasterIds(segments), bands, kernel.NAME)
        yield SegmentsRun(segments, job, () if values is None else values.bands, runner, progress, folder)
        progress.complete()
    finally:
        try:
            if starting is not None:
                starting.close()
        finally:
            folder.close(True)


def _log_values(values: Raster, feedback: Feedback) -> None:
    """What the user should know about VALUES."""
    for note in values.notes:
        feedback.info(f"VALUES: {note}")
    note = scaling_note(values.bands)
    if note:
        feedback.info(f"VALUES: {note}: they are applied, as QGIS does.")
