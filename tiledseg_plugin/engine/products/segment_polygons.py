# SPDX-License-Identifier: GPL-2.0-or-later
"""Polygons and mean image of any raster of segments, for `tiledseg:polygons` and `tiledseg:meanimage`."""

import time
from dataclasses import dataclass
from typing import Tuple, Union

import numpy as np

from .. import kernels
from ..errors import SegmentationError
from ..files.attribute_table import BAND_STATISTICS
from ..files.creation_options import check_creation_options
from ..files.formats import POLYGONS, format_of
from ..files.output_files import IMAGE, VECTOR, Output, check_files, replaced_files
from ..files.publish import publishing, recover_beside
from ..files.raster import Raster, describe
from ..files.stored import Made
from ..parameters import PlainParameters
from ..progress import Feedback
from .attribute_columns import statistic_column
from .existing_segments import ProductResult, SegmentsRun, segments_run
from .looked_up import ColumnsOfRaster
from .mean_image import MeanImage, mean_image_type, write_mean_image
from .outlines import OutlineJob, trace_segments
from .polygons import Polygons, check_polygon_file, write_polygons
from .segment_ids import RasterIds
from .segment_rows import SegmentRows


@dataclass(frozen=True)
class PolygonsParameters(PlainParameters):
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
class MeanImageParameters(PlainParameters):
    """The parameters of `tiledseg:meanimage`; the names are those of the interface, in lower case."""

    segments: str
    values: str
    output: str
    bands: Tuple[int, ...] = ()
    creation_options: str = ""
    execution: str = "auto"
    workers: int = 0
    kernels: str = "auto"


def _output(parameters: Union[PolygonsParameters, MeanImageParameters]) -> Output:
    if isinstance(parameters, PolygonsParameters):
        return Output("OUTPUT", parameters.output, VECTOR)
    return Output("OUTPUT", parameters.output, IMAGE, parameters.creation_options)


def check_polygons(parameters: PolygonsParameters) -> None:
    """Refuse inputs that are none, and an output that could not be written or would harm other files.

    An output without a path is passed over.
    """
    segments, bands = _rasters(parameters)
    if parameters.output:
        output = _output(parameters)
        POLYGONS.driver_of(output.path, output.name)
        check_files([output], [("SEGMENTS", parameters.segments), ("VALUES", parameters.values)])
        check_polygon_file(output, segments, bands)


def check_mean_image(parameters: MeanImageParameters) -> None:
    """As `check_polygons`, of a mean image."""
    _rasters(parameters)
    if not parameters.values:
        raise SegmentationError("VALUES is missing: give the raster whose means are wanted.")
    if parameters.output:
        check_creation_options(format_of(parameters.output), parameters.creation_options)
        check_files([_output(parameters)], [("SEGMENTS", parameters.segments), ("VALUES", parameters.values)])


def _rasters(parameters: Union[PolygonsParameters, MeanImageParameters]) -> Tuple[Raster, int]:
    """SEGMENTS, and how many bands of VALUES are used."""
    recover_beside(parameters.segments, parameters.values)
    segments = describe(parameters.segments, (1,))
    return segments, len(describe(parameters.values, parameters.bands).bands) if parameters.values else 0


def segment_polygons(parameters: PolygonsParameters, feedback: Feedback) -> ProductResult:
    """Write one polygon a segment.

    Raises
    ------
    SegmentationError : one sentence on what is wrong; nothing of OUTPUT has been touched
    Cancelled : the user cancelled; likewise
    """
    parameters.check_kinds()
    started = time.monotonic()
    check_polygons(parameters)
    with segments_run(parameters, feedback, {"values": 15, "outlines": 25, "write": 60}) as run:
        segments = _write_polygons(parameters, run)
    return ProductResult(segments, time.monotonic() - started)


def _write_polygons(parameters: PolygonsParameters, run: SegmentsRun) -> int:
    """Write them. Returns how many segments there are; no file of the work folder is open then."""
    rows, segments, kernel = run.measure(BAND_STATISTICS), run.segments, run.job.kernels
    run.progress.start("outlines", "Tracing outlines")
    job = outline_job(run, rows, parameters.simplify)
    rings = trace_segments(job, run.runner, run.progress.advance_as("Tracing outlines"), run.check)
    run.progress.start("write", "Writing polygons")
    output = _output(parameters)
    with publishing(output.path, replaced=replaced_files(output)) as path:
        simplify = kernels.choose(kernel)[0].simplify_rings if parameters.simplify else None
        ids = Made(RasterIds(segments).named, np.int64, rows.ids)
        columns = [
            statistic_column(name, band, rows.statistic(index, name))
            for index, band in enumerate(run.bands)
            for name in BAND_STATISTICS
        ]
        polygons = Polygons(rings, ids, rows.sizes, columns, simplify)
        advance = run.progress.advance_as("Writing polygons")
        write_polygons(output.at(path), segments, polygons, advance, run.check)
    return rows.ids.size


def outline_job(run: SegmentsRun, rows: SegmentRows, all_junctions: bool) -> OutlineJob:
    """The job of tracing the segments that have been measured."""
    size = run.segments.width, run.segments.height
    return OutlineJob(run.job.ids, *size, all_junctions, run.job.kernels, run.folder, rows.sizes, is_dense=False)


def segment_mean_image(parameters: MeanImageParameters, feedback: Feedback) -> ProductResult:
    """Write the mean of each band in each segment as a raster.

    Raises
    ------
    SegmentationError : one sentence on what is wrong; nothing of OUTPUT has been touched
    Cancelled : the user cancelled; likewise
    """
    parameters.check_kinds()
    started = time.monotonic()
    check_mean_image(parameters)
    with segments_run(parameters, feedback, {"values": 50, "write": 50}) as run:
        segments = _write_mean_image(parameters, run)
    return ProductResult(segments, time.monotonic() - started)


def _write_mean_image(parameters: MeanImageParameters, run: SegmentsRun) -> int:
    """Write it. Returns how many segments there are; no file of the work folder is open then."""
    dtype = mean_image_type(run.job.bands)
    check_creation_options(format_of(parameters.output), parameters.creation_options, dtype, len(run.job.bands))
    rows = run.measure(("mean",))
    run.progress.start("write", "Writing the mean image")
    output = _output(parameters)
    with publishing(output.path, replaced=replaced_files(output)) as path:
        image = MeanImage(output.at(path), run.segments, dtype, [band.name for band in run.bands])
        advance = run.progress.advance_as("Writing the mean image")
        columns = [rows.statistic(index, "mean") for index in range(len(run.job.bands))]
        means = ColumnsOfRaster(run.job.ids, run.folder, run.job.kernels, columns)
        write_mean_image(image, means, rows.sizes, run.runner.workers, advance)
    return rows.ids.size
