# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 5, write: all that is made of a run's segments."""

import os
from contextlib import ExitStack, contextmanager

import numpy as np

from .attribute_table import (
    attribute_columns,
    stands_beside,
    statistic_columns,
    write_attribute_table,
    write_table_beside,
)
from .attributes import AttributeJob, add_up_tiles, describe_segments, run_bands
from .cog import make_cog
from .errors import SegmentationError
from .mean_image import mean_image_type, write_mean_image
from .outlines import OutlineJob, trace_segments
from .overviews import build_overviews
from .polygons import check_vector, vector_side_files, write_polygons
from .publish import publishing, side_files
from .segment_ids import TileIds
from .segment_style import write_style
from .write import check_output, grows_overviews, is_cog

STAGES = {"attributes": 6, "write": 8, "overviews": 4, "attribute_table": 3}
OPTIONAL_STAGES = {"mean_image": 8, "polygons": 30}


def stages(parameters):
    """The stages of a run's outputs with their weights (see `progress`)."""
    always = {stage: weight for stage, weight in STAGES.items() if stage != "overviews"}
    overviews = {} if grows_overviews(parameters.output) else {"overviews": STAGES["overviews"]}
    optional = {stage: weight for stage, weight in OPTIONAL_STAGES.items() if getattr(parameters, stage)}
    return {**always, **overviews, **optional}


def check_products(parameters):
    """Refuse outputs that could not be written, before anything is done."""
    if parameters.mean_image:
        check_output(parameters.mean_image, [parameters.input], "MEAN_IMAGE")
    if parameters.polygons:
        check_vector(parameters.polygons)
    given = [getattr(parameters, name) for name in ("output", *OPTIONAL_STAGES) if getattr(parameters, name)]
    if len({os.path.normcase(os.path.abspath(path)) for path in given}) < len(given):
        raise SegmentationError(f"Two outputs have one name ({', '.join(given)}): give each its own.")


@contextmanager
def publishing_all(parameters):
    """Paths to write OUTPUT and the optional outputs at, {parameter: path}; all are given their names in the end."""
    with ExitStack() as stack:
        paths = {}
        # left in reverse order: OUTPUT comes last
        for name in ("output", *OPTIONAL_STAGES):
            if getattr(parameters, name):
                replaced = vector_side_files if name == "polygons" else side_files
                paths[name] = stack.enter_context(publishing(getattr(parameters, name), name.upper(), replaced))
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
    others = [getattr(parameters, name) for name in OPTIONAL_STAGES if getattr(parameters, name)]
    write_style(paths["output"], parameters.output, segments.sizes.size, others, progress.feedback)
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
