# SPDX-License-Identifier: GPL-2.0-or-later
"""Polygons and mean image of any raster of segments: the work of `tiledseg:polygons` and `tiledseg:meanimage`."""

import time
from dataclasses import dataclass
from typing import Tuple

from . import kernels
from .attribute_table import statistic_columns
from .creation_options import check_creation_options
from .mean_image import mean_image_type, write_mean_image
from .outlines import OutlineJob, trace_segments
from .own_run import own_run
from .polygons import check_vector, vector_side_files, write_polygons
from .publish import publishing
from .write import check_output, format_of


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


def segment_polygons(parameters, feedback):
    """Write one polygon a segment.

    Raises
    ------
    SegmentationError : one sentence on what is wrong; nothing of OUTPUT has been touched
    Cancelled : the user cancelled; likewise
    """
    started = time.monotonic()
    check_vector(parameters.output, "OUTPUT")
    with own_run(parameters, feedback, {"values": 15, "outlines": 25, "write": 60}) as run:
        attributes, segments, kernel = run.measure(), run.segments, run.job.kernels
        run.progress.start("outlines", "Tracing outlines")
        job = OutlineJob(run.job.ids, segments.width, segments.height, parameters.simplify, kernel, run.folder)
        rings = trace_segments(job, attributes, run.runner, run.progress.advance_as("Tracing outlines"), run.check)
        run.progress.start("write", "Writing polygons")
        numbers = parameters.bands or range(1, len(run.job.bands) + 1)
        with publishing(parameters.output, replaced=vector_side_files) as path:
            write_polygons(
                path,
                segments,
                rings,
                attributes,
                statistic_columns(attributes, numbers),
                kernels.choose(kernel)[0].simplify_rings if parameters.simplify else None,
                "",
                run.progress.advance_as("Writing polygons"),
                run.check,
                "OUTPUT",
            )
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
    with own_run(parameters, feedback, {"values": 50, "write": 50}) as run:
        dtype = mean_image_type([band.dtype for band in run.job.bands])
        check_creation_options(format_of(parameters.output), parameters.creation_options, dtype, len(run.job.bands))
        attributes = run.measure()
        run.progress.start("write", "Writing the mean image")
        with publishing(parameters.output) as path:
            write_mean_image(
                path,
                run.segments,
                run.job.ids,
                attributes,
                dtype,
                run.runner.workers,
                parameters.creation_options,
                "",
                run.progress.advance_as("Writing the mean image"),
                "OUTPUT",
            )
    return ProductResult(int(attributes.ids.size), time.monotonic() - started)
