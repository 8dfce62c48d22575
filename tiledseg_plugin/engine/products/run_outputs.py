# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 5, write: all that is made of a run's segments, one step an output."""

from contextlib import contextmanager, nullcontext
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence

import numpy as np

from ..files.attribute_table import (
    check_table_fits,
    stands_beside,
    write_attribute_table,
    write_table_beside,
)
from ..files.cog import make_cog
from ..files.creation_options import allows_gaps, check_creation_options, options_for
from ..files.formats import format_of, is_cog
from ..files.output_files import IMAGE, SEGMENTS, VECTOR, Output, check_files, layer_output, replaced_files
from ..files.outputs import grows_overviews, least_overviews
from ..files.overviews import build_overviews
from ..files.publish import publishing_together
from ..files.raster import Raster
from ..files.segment_style import write_style
from ..files.tables import Column
from ..files.verification import verify_raster
from ..parameters import SegmentParameters
from ..progress import Background, Progress
from ..stages.context import RunContext
from ..stages.numbering import Segments
from ..stages.statistics import Summary
from ..stages.write import write_segments
from .attribute_columns import attribute_columns, statistic_columns
from .attributes import AttributeJob, Attributes, attributes_of_run, describe_segments, run_bands
from .mean_image import MeanImage, mean_image_type, write_mean_image
from .outlines import OutlineJob, trace_segments
from .polygons import Polygons, check_polygon_file, write_polygons
from .run_columns import columns_of_run, level_columns
from .segment_ids import TileIds
from .zone_column import zone_columns

OUTPUT_STAGES: Dict[str, float] = {"attributes": 6, "write": 8, "overviews": 4, "attribute_table": 3}
OPTIONAL_STAGES: Dict[str, float] = {"mean_image": 8, "polygons": 30}


def stages(parameters: SegmentParameters) -> Dict[str, float]:
    """The stages of a run's outputs with their weights (see `progress`)."""
    always = {stage: weight for stage, weight in OUTPUT_STAGES.items() if stage != "overviews"}
    overviews = {} if grows_overviews(parameters.output) else {"overviews": OUTPUT_STAGES["overviews"]}
    optional = {stage: weight for stage, weight in OPTIONAL_STAGES.items() if getattr(parameters, stage)}
    return {**always, **overviews, **optional}


def outputs_of(parameters: SegmentParameters) -> List[Output]:
    """All outputs of a run, those that are not asked for without a path; OUTPUT comes first."""
    return [
        Output("OUTPUT", parameters.output, SEGMENTS, parameters.creation_options),
        Output("MEAN_IMAGE", parameters.mean_image, IMAGE, parameters.creation_options),
        Output("POLYGONS", parameters.polygons, VECTOR),
        layer_output("S1TILES", parameters.s1tiles),
    ]


def check_products(parameters: SegmentParameters, raster: Raster) -> None:
    """Refuse outputs that could not be written or would harm other files, before anything is done.

    Parameters
    ----------
    parameters : outputs without a path are passed over
    raster : the input
    """
    _check_options(parameters, raster)
    inputs = [("INPUT", parameters.input), ("TILES", parameters.tiles_source), ("ZONES", parameters.zones)]
    check_files(outputs_of(parameters), inputs)
    others = len(parameters.levels) + (1 if parameters.zones else 0)
    if parameters.output:
        check_table_fits(parameters.output, len(raster.bands), others)
    if parameters.polygons:
        polygons = Output("POLYGONS", parameters.polygons, VECTOR, assign_crs=parameters.assign_crs)
        check_polygon_file(polygons, raster, len(raster.bands), others)


def _check_options(parameters: SegmentParameters, raster: Raster) -> None:
    if parameters.output:
        check_creation_options(format_of(parameters.output), parameters.creation_options)
    if parameters.mean_image and parameters.output:
        driver, given = format_of(parameters.mean_image, "MEAN_IMAGE"), _mean_image_options(parameters)
        check_creation_options(driver, given, mean_image_type(run_bands(raster)), len(raster.numbers))


def _mean_image_options(parameters: SegmentParameters) -> str:
    """CREATION_OPTIONS are OUTPUT's; a mean image of the same format is written with them, too."""
    return options_for(
        format_of(parameters.mean_image, "MEAN_IMAGE"), format_of(parameters.output), parameters.creation_options
    )


@contextmanager
def publishing_all(parameters: SegmentParameters) -> Iterator[Dict[str, str]]:
    """Paths to write OUTPUT and the optional outputs at, {parameter: path}; all are given their names in the end."""
    given = [output for output in outputs_of(parameters) if output.path and output.name != "S1TILES"]
    with publishing_together([(output.path, output.name, replaced_files(output)) for output in given]) as paths:
        yield {output.name.lower(): path for output, path in zip(given, paths)}


def write_outputs(context: RunContext, segments: Segments, summary: Summary, paths: Dict[str, str]) -> None:
    """OUTPUT with its overviews and attribute table, and the optional outputs, one after the other.

    Parameters
    ----------
    paths : of `publishing_all`
    """
    parameters, output = context.parameters, paths["output"]
    others = [getattr(parameters, name) for name in OPTIONAL_STAGES if getattr(parameters, name)]
    ranges = [band.stretch_range() for band in summary.bands]
    context.progress.start("attributes", "Describing segments")
    described = None
    if segments.has_moments and not others:
        columns = columns_of_run(context, segments, ranges, context.progress.advance_as("Describing segments"))
    else:
        described = _describe(context, segments)
        columns = attribute_columns(described.attributes, context.raster.bands, ranges)
    more = [*level_columns(segments), *zone_columns(context, segments)]
    columns += more
    with _attribute_table(context, columns, output) as complete_table:
        samples = write_segments(context, segments, output)
        written = Output("OUTPUT", output, SEGMENTS, parameters.creation_options)
        write_overviews(written, context.runner.workers, context.progress)
        verify_raster(
            output, samples, least_overviews(output, context.raster), allows_gaps(parameters.creation_options)
        )
        complete_table()
    write_style(output, parameters.output, segments.count, others, context.progress.feedback)
    if described and parameters.mean_image:
        _write_means(context, described, paths["mean_image"])
    if described and parameters.polygons:
        _write_outlines(context, described, more, paths["polygons"])


class _Described(NamedTuple):
    """The segments as products need them."""

    ids: TileIds
    attributes: Attributes


def _describe(context: RunContext, segments: Segments) -> _Described:
    """Attributes of the segments: from the tiles' own where their sums are exact, else from the pixels."""
    plan, raster, folder = context.plan, context.raster, context.folder
    advance = context.progress.advance_as("Describing segments")
    ids = TileIds(plan, folder, segments.pieces)
    if segments.has_moments:
        attributes = attributes_of_run(segments, run_bands(raster), advance)
    else:
        numbers = np.arange(1, segments.count + 1, dtype=np.uint32)
        job = AttributeJob(ids, run_bands(raster), context.kernel.NAME)
        attributes = describe_segments(job, numbers, context.runner, advance, context.check)
    return _Described(ids, attributes)


@contextmanager
def _attribute_table(context: RunContext, columns: List[Column], path: str) -> Iterator[Callable[[], None]]:
    """Yields what completes OUTPUT's attribute table, once nothing else is written into the raster.

    A table that becomes a file of its own is written meanwhile; the stage `attribute_table` is then the rest of it.
    """
    progress, text = context.progress, "Writing the attribute table"
    meanwhile: Any = nullcontext()
    if stands_beside(path, columns, progress.feedback):
        meanwhile = Background(lambda check, advance: write_table_beside(path, columns, check))
    with meanwhile as table:

        def complete() -> None:
            progress.start("attribute_table", text)
            if table is None:
                write_attribute_table(path, columns)
            else:
                progress.wait_for(table, text)

        yield complete


def write_overviews(output: Output, workers: int, progress: Progress) -> None:
    """Overviews, where they have not been written along with the raster."""
    if grows_overviews(output.path):
        return
    progress.start("overviews", "Building overviews")
    if is_cog(output.path):
        make_cog(output, workers, progress.advance_as("Making a cloud optimized GeoTIFF"))
    else:
        build_overviews(output, "NEAREST", workers, progress.advance_as("Building overviews"))


def _write_means(context: RunContext, described: _Described, path: str) -> None:
    context.progress.start("mean_image", "Writing the mean image")
    options, crs = _mean_image_options(context.parameters), context.parameters.assign_crs
    output = Output("MEAN_IMAGE", path, IMAGE, options, assign_crs=crs)
    image = MeanImage(output, context.raster, mean_image_type(run_bands(context.raster)), context.raster.names)
    advance = context.progress.advance_as("Writing the mean image")
    write_mean_image(image, described.ids, described.attributes, context.runner.workers, advance)


def _write_outlines(context: RunContext, described: _Described, more: Sequence[Column], path: str) -> None:
    raster, attributes, progress, check = context.raster, described.attributes, context.progress, context.check
    progress.start("polygons", "Tracing polygons")
    job = OutlineJob(described.ids, raster.width, raster.height, False, context.kernel.NAME, context.folder)
    advance = progress.advance
    rings = trace_segments(job, attributes, context.runner, lambda done: advance(done * 0.3, "Tracing polygons"), check)
    write_polygons(
        Output("POLYGONS", path, VECTOR, assign_crs=context.parameters.assign_crs),
        raster,
        Polygons(rings, attributes, [*statistic_columns(attributes, raster.bands), *more]),
        lambda done: advance(0.3 + done * 0.7, "Writing polygons"),
        check,
    )
