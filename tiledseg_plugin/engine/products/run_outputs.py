# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 5, write: all that is made of a run's segments, one step an output."""

from contextlib import contextmanager, nullcontext
from typing import Any, Callable, Dict, Iterator, List, Sequence

from ..files.attribute_table import (
    BAND_STATISTICS,
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
from ..files.stored import Counting
from ..files.tables import Column
from ..files.verification import verify_raster
from ..forecast import Cost
from ..parameters import SegmentParameters
from ..progress import Background, Progress
from ..stages.context import RunContext
from ..stages.numbering import Segments
from ..stages.ready import takes_ready_blocks
from ..stages.statistics import Summary
from ..stages.write import write_segments
from .attribute_columns import statistics_among
from .attributes import run_bands
from .looked_up import ColumnsOfRun
from .mean_image import MeanImage, mean_image_type, write_mean_image
from .outlines import OutlineJob, trace_segments
from .polygons import Polygons, check_polygon_file, write_polygons
from .run_columns import columns_of_run, level_columns
from .segment_ids import TileIds
from .zone_column import zone_columns

OUTPUT_STAGES: Dict[str, Cost] = {"attributes": Cost(2), "write": Cost(3, 19), "attribute_table": Cost(0, 1)}
OVERVIEWS = Cost(30, 10)
ATTRIBUTES_OF_FLOATS = Cost(85)  # which are not added up along with the tiles
OPTIONAL_STAGES: Dict[str, Cost] = {"mean_image": Cost(90, 35), "polygons": Cost(75, 230)}
INSIDE, BESIDE, ELSEWHERE = "inside", "beside", "elsewhere"  # where the attribute table is written


def stages(parameters: SegmentParameters, raster: Raster) -> Dict[str, Cost]:
    """The stages of a run's outputs with what they cost (see `forecast`), in their order."""
    *first, last = OUTPUT_STAGES.items()
    costs = dict(first)
    if not raster.is_integer:
        costs["attributes"] = ATTRIBUTES_OF_FLOATS
    if not grows_overviews(parameters.output):
        costs["overviews"] = OVERVIEWS
    costs.update([last])
    return {**costs, **{stage: cost for stage, cost in OPTIONAL_STAGES.items() if getattr(parameters, stage)}}


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
    columns = columns_of_run(context, segments, ranges, context.progress.advance_as("Describing segments"))
    more = [*level_columns(segments), *zone_columns(context, segments)]
    where = _place_of_table(context, [*columns, *more], output)
    with _attribute_table(context, [*columns, *more], output, where) as complete_table:
        samples = write_segments(context, segments, output, [*columns, *more] if where == ELSEWHERE else None)
        written = Output("OUTPUT", output, SEGMENTS, parameters.creation_options)
        write_overviews(written, context.runner.workers, context.progress)
        verify_raster(
            output, samples, least_overviews(output, context.raster), allows_gaps(parameters.creation_options)
        )
        complete_table()
    write_style(output, parameters.output, segments.count, others, context.progress.feedback)
    if parameters.mean_image:
        _write_means(context, segments, columns, paths["mean_image"])
    if parameters.polygons:
        _write_outlines(context, segments, [*statistics_among(columns), *more], paths["polygons"])


def _place_of_table(context: RunContext, columns: List[Column], path: str) -> str:
    """Where OUTPUT's attribute table is written: into the raster, beside it, or beside it by another machine."""
    if not stands_beside(path, columns, context.progress.feedback):
        return INSIDE
    return ELSEWHERE if context.runner.remote and takes_ready_blocks(context, path) else BESIDE


@contextmanager
def _attribute_table(context: RunContext, columns: List[Column], path: str, where: str) -> Iterator[Callable[[], None]]:
    """Yields what completes OUTPUT's attribute table, once nothing else is written into the raster.

    A table that becomes a file of its own is written meanwhile; the stage `attribute_table` is then the rest of it.
    """
    progress, text = context.progress, "Writing the attribute table"
    meanwhile: Any = nullcontext()
    if where == BESIDE:
        meanwhile = Background(lambda check, advance: write_table_beside(path, columns, check))
    with meanwhile as table:

        def complete() -> None:
            progress.start("attribute_table", text)
            if table is not None:
                progress.wait_for(table, text)
            elif where == INSIDE:
                write_attribute_table(path, columns)

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


def _write_means(context: RunContext, segments: Segments, columns: Sequence[Column], path: str) -> None:
    context.progress.start("mean_image", "Writing the mean image")
    options, crs = _mean_image_options(context.parameters), context.parameters.assign_crs
    output = Output("MEAN_IMAGE", path, IMAGE, options, assign_crs=crs)
    image = MeanImage(output, context.raster, mean_image_type(run_bands(context.raster)), context.raster.names)
    means = [column.values for column in statistics_among(columns)[:: len(BAND_STATISTICS)]]
    advance = context.progress.advance_as("Writing the mean image")
    source = ColumnsOfRun(_ids_of(context, segments), means)
    write_mean_image(image, source, segments.sizes, context.runner.workers, advance)


def _write_outlines(context: RunContext, segments: Segments, columns: Sequence[Column], path: str) -> None:
    raster, progress, check, kernel = context.raster, context.progress, context.check, context.kernel.NAME
    progress.start("polygons", "Tracing polygons")
    ids, size = _ids_of(context, segments), (raster.width, raster.height)
    job = OutlineJob(ids, *size, False, kernel, context.folder, segments.sizes, is_dense=True)
    advance = progress.advance
    rings = trace_segments(job, context.runner, lambda done: advance(done * 0.3, "Tracing polygons"), check)
    write_polygons(
        Output("POLYGONS", path, VECTOR, assign_crs=context.parameters.assign_crs),
        raster,
        Polygons(rings, Counting(segments.count), segments.sizes, columns),
        lambda done: advance(0.3 + done * 0.7, "Writing polygons"),
        check,
    )


def _ids_of(context: RunContext, segments: Segments) -> TileIds:
    return TileIds(context.plan, segments.folder, frozenset(segments.pieces), context.kernel.NAME)
