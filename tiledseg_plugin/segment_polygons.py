# SPDX-License-Identifier: GPL-2.0-or-later
"""Polygons and mean image of any raster of segments: the work of `tiledseg:polygons` and `tiledseg:meanimage`."""

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Tuple

from . import execution, kernels
from .alignment import bands_on_grid
from .attribute_table import statistic_columns
from .attributes import AttributeJob
from .mean_image import mean_image_type, write_mean_image
from .outlines import OutlineJob, trace_segments
from .polygons import check_vector, vector_side_files, write_polygons
from .progress import Progress
from .publish import publishing
from .raster import describe
from .segment_ids import RasterIds
from .segment_statistics import measure
from .simplify import simplifier
from .work_folder import WorkFolder
from .write import check_output


@dataclass(frozen=True)
class PolygonsParameters:
    """The parameters of `tiledseg:polygons`; the names are those of the interface, in lower case."""

    segments: str
    output: str
    values: str = ""
    bands: Tuple[int, ...] = ()
    simplify: bool = False
    execution: str = "auto"
    workers: int = 0
    kernels: str = "auto"


@dataclass(frozen=True)
class MeanImageParameters:
    """The parameters of `tiledseg:meanimage`; the names are those of the interface, in lower case."""

    segments: str
    values: str
    output: str
    bands: Tuple[int, ...] = ()
    creation_options: str = ""
    execution: str = "auto"
    workers: int = 0
    kernels: str = "auto"


@dataclass(frozen=True)
class ProductResult:
    """What a run gives besides its output."""

    segment_count: int
    seconds: float


@contextmanager
def _described(parameters, feedback, stages):
    """(segments, job, runner, progress, folder), with the runner and the folder gone at the end."""
    segments = describe(parameters.segments, (1,))
    kernel, note = kernels.choose(parameters.kernels)
    feedback.info(note)
    folder = WorkFolder("", {})
    runner = execution.create(parameters.execution, parameters.workers)
    try:
        bands = bands_on_grid(parameters.values, parameters.bands, segments, folder) if parameters.values else ()
        job = AttributeJob(RasterIds(segments), bands, kernel.NAME)
        yield segments, job, runner, Progress(feedback, stages), folder
    finally:
        runner.close()
        folder.remove()


def segment_polygons(parameters, feedback):
    """Write one polygon a segment.

    Raises
    ------
    SegmentationError : one sentence on what is wrong; nothing of OUTPUT has been touched
    Cancelled : the user cancelled; likewise
    """
    started = time.monotonic()
    check_vector(parameters.output, "OUTPUT")
    with _described(parameters, feedback, {"values": 15, "outlines": 25, "write": 60}) as (
        segments,
        job,
        runner,
        progress,
        folder,
    ):
        attributes = measure(job, runner, progress)
        progress.start("outlines", "Tracing outlines")
        outlines = OutlineJob(job.ids, segments.width, segments.height, parameters.simplify, job.kernels, folder)
        rings = trace_segments(
            outlines,
            attributes,
            runner,
            lambda done: progress.advance(done, "Tracing outlines"),
            progress.check_cancelled,
        )
        progress.start("write", "Writing polygons")
        numbers = parameters.bands or range(1, len(job.bands) + 1)
        with publishing(parameters.output, replaced=vector_side_files) as path:
            write_polygons(
                path,
                segments,
                rings,
                attributes,
                statistic_columns(attributes, numbers),
                simplifier(job.kernels) if parameters.simplify else None,
                "",
                lambda done: progress.advance(done, "Writing polygons"),
                progress.check_cancelled,
            )
        progress.finish()
    return ProductResult(int(attributes.ids.size), time.monotonic() - started)


def segment_mean_image(parameters, feedback):
    """Write the mean of each band in each segment as a raster.

    Raises
    ------
    SegmentationError : one sentence on what is wrong; nothing of OUTPUT has been touched
    Cancelled : the user cancelled; likewise
    """
    started = time.monotonic()
    check_output(parameters.output, [parameters.segments, parameters.values])
    with _described(parameters, feedback, {"values": 50, "write": 50}) as (segments, job, runner, progress, _):
        attributes = measure(job, runner, progress)
        progress.start("write", "Writing the mean image")
        with publishing(parameters.output) as path:
            write_mean_image(
                path,
                segments,
                job.ids,
                attributes,
                mean_image_type([band.dtype for band in job.bands]),
                runner.workers,
                parameters.creation_options,
                "",
                lambda done: progress.advance(done, "Writing the mean image"),
                "OUTPUT",
            )
        progress.finish()
    return ProductResult(int(attributes.ids.size), time.monotonic() - started)
