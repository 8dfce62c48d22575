# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 5, write: all that is made of a run's segments."""

from contextlib import ExitStack, contextmanager
from typing import List

import numpy as np

from .attribute_table import (
    attribute_columns,
    check_table_fits,
    stands_beside,
    statistic_columns,
    write_attribute_table,
    write_table_beside,
)
from .attributes import AttributeJob, add_up_tiles, describe_segments, run_bands
from .cog import make_cog
from .mean_image import mean_image_type, write_mean_image
from .outlines import OutlineJob, trace_segments
from .output_files import IMAGE, SEGMENTS, VECTOR, Output, check_files, layer_output, replaced_files
from .overviews import build_overviews
from .parameters import SegmentParameters
from .polygons import check_vector, write_polygons
from .publish import publishing
from .raster import Raster
from .segment_ids import TileIds
from .write import creation_options, driver_for, grows_overviews, is_cog

STAGES = {"attributes": 6, "write": 8, "overviews": 4, "attribute_table": 3}
OPTIONAL_STAGES = {"mean_image": 8, "polygons": 30}


def stages(parameters):
    """The stages of a run's outputs with their weights (see `progress`)."""
    always = {stage: weight for stage, weight in STAGES.items() if stage != "overviews"}
    overviews = {} if grows_overviews(parameters.output) else {"overviews": STAGES["overviews"]}
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
    outputs = outputs_of(parameters)
    for output in outputs:
        if output.path and output.kind in (SEGMENTS, IMAGE):
            creation_options(driver_for(output.path, output.name).ShortName, parameters.creation_options, threads=1)
    check_files(outputs, [("INPUT", parameters.input), ("TILES", parameters.tiles_source)])
    if parameters.output:
        check_table_fits(parameters.output, len(raster.bands))
    if parameters.polygons:
        check_vector(parameters.polygons, "POLYGONS", raster, len(raster.bands), parameters.assign_crs)


@contextmanager
def publishing_all(parameters):
    """Paths to write OUTPUT and the optional outputs at, {parameter: path}; all are given their names in the end."""
    with ExitStack() as stack:
        paths = {}
        # left in reverse order: OUTPUT comes last
        for output in outputs_of(parameters):
            if output.path and output.name != "S1TILES":
                writing = publishing(output.path, output.name, replaced_files(output))
                paths[output.name.lower()] = stack.enter_context(writing)
        yield paths


def write_outputs(paths, parameters, raster, plan, segments, folder, kernel, runner, progress, summary, write_ids):
    """OUTPUT with its overviews and attribute table, and the optional outputs.

    Parameters
    ----------
    paths : as `publishing_all` gives them
    segments : graph.Segments
    summary : statistics.Summary
    write_ids : called with the path of OUTPUT; writes the raster, which is the stage `write`
    """
    workers = runner.workers
    check = progress.listening_to(runner)

    progress.start("attributes", "Describing segments")
    advance = progress.advance_as("Describing segments")
    source = TileIds(plan, folder, tuple(segments.tables), kernel.NAME)
    from_tiles = segments.regions is not None and raster.is_integer
    if not from_tiles or any(getattr(parameters, name) for name in OPTIONAL_STAGES):
        source.save(segments.tables)
    if from_tiles:
        pieces = [piece for piece in plan.pieces if piece.piece_id in segments.regions]
        attributes = add_up_tiles(pieces, folder, segments, len(raster.bands), kernel, workers, advance)
    else:
        ids = np.arange(1, segments.sizes.size + 1, dtype=np.uint32)
        job = AttributeJob(source, run_bands(raster), kernel.NAME)
        attributes = describe_segments(job, ids, runner, advance, check)
    columns = attribute_columns(attributes, raster.numbers, [band.stretch_range() for band in summary.bands])
    _write_raster(paths["output"], columns, parameters.creation_options, workers, progress, write_ids)
    if parameters.mean_image:
        progress.start("mean_image", "Writing the mean image")
        write_mean_image(
            paths["mean_image"],
            raster,
            source,
            attributes,
            mean_image_type([raster.dtype]),
            workers,
            parameters.creation_options,
            parameters.assign_crs,
            progress.advance_as("Writing the mean image"),
        )
    if parameters.polygons:
        progress.start("polygons", "Tracing polygons")
        outlines = OutlineJob(source, raster.width, raster.height, False, kernel.NAME, folder)
        text = "Tracing polygons"
        rings = trace_segments(outlines, attributes, runner, lambda done: progress.advance(done * 0.3, text), check)
        write_polygons(
            paths["polygons"],
            raster,
            rings,
            attributes,
            statistic_columns(attributes, raster.numbers),
            None,
            parameters.assign_crs,
            lambda done: progress.advance(0.3 + done * 0.7, "Writing polygons"),
            check,
        )


def _write_raster(path, columns, options, workers, progress, write_ids):
    """OUTPUT with overviews and attribute table.

    A table that becomes a file of its own is written meanwhile; the stage `attribute_table` is then the rest of it.
    Any other is written into the raster, or its side file, when nothing else is at work there.
    """

    def write():
        write_ids(path)
        if not grows_overviews(path):
            progress.start("overviews", "Building overviews")
            if is_cog(path):
                make_cog(path, options, workers, progress.advance_as("Making a cloud optimized GeoTIFF"))
            else:
                build_overviews(path, "NEAREST", workers, progress.advance_as("Building overviews"))
        progress.start("attribute_table", "Writing the attribute table")

    if stands_beside(path, columns, progress.feedback):
        with progress.beside(lambda check, advance: write_table_beside(path, columns, check)) as wait:
            write()
            wait("Writing the attribute table")
    else:
        write()
        write_attribute_table(path, columns)
