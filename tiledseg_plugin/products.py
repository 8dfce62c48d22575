# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 5, the rest of it: what is made of a run's segments besides their ids."""

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
from .attributes import AttributeJob, describe_segments, run_bands
from .errors import SegmentationError
from .mean_image import mean_image_type, write_mean_image
from .outlines import OutlineJob, trace_segments
from .overviews import build_overviews, make_cog
from .polygons import check_vector, vector_side_files, write_polygons
from .publish import publishing, side_files
from .segment_ids import TileIds
from .write import check_output, is_cog

STAGES = {"attributes": 10, "overviews": 4, "attribute_table": 3}
OPTIONAL_STAGES = {"mean_image": 8, "polygons": 30}


def stages(parameters):
    """The stages of a run's products with their weights (see `progress`)."""
    optional = {stage: weight for stage, weight in OPTIONAL_STAGES.items() if getattr(parameters, stage)}
    return {**STAGES, **optional}


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


def _finish_raster(path, columns, options, workers, progress):
    """Overviews and attribute table of OUTPUT.

    A table that becomes a file of its own is written meanwhile; the stage `attribute_table` is then the rest of it.
    Any other is written into the raster, or its side file, when nothing else is at work there.
    """

    def build():
        progress.start("overviews", "Building overviews")
        build_overviews(path, "NEAREST", workers, progress.advance_as("Building overviews"))
        if is_cog(path):
            make_cog(path, options, workers, progress.advance_as("Making a cloud optimized GeoTIFF"))
        progress.start("attribute_table", "Writing the attribute table")

    if stands_beside(path, columns, progress.feedback):
        with progress.beside(lambda check, advance: write_table_beside(path, columns, check)) as wait:
            build()
            wait("Writing the attribute table")
    else:
        build()
        write_attribute_table(path, columns)


def write_products(paths, parameters, raster, plan, segments, folder, kernel, runner, progress, summary):
    """Attribute table, overviews and the optional outputs, from the segments that OUTPUT holds already.

    Parameters
    ----------
    paths : as `publishing_all` gives them
    segments : graph.Segments
    summary : statistics.Summary
    """
    path, workers = paths["output"], runner.workers
    check = progress.listening_to(runner)

    progress.start("attributes", "Describing segments")
    source = TileIds.of(plan, folder, segments.tables, kernel.NAME)
    ids = np.arange(1, segments.sizes.size + 1, dtype=np.uint32)
    job = AttributeJob(source, run_bands(raster), kernel.NAME)
    attributes = describe_segments(job, ids, runner, progress.advance_as("Describing segments"), check)
    columns = attribute_columns(attributes, raster.numbers, [band.stretch_range() for band in summary.bands])
    _finish_raster(path, columns, parameters.creation_options, workers, progress)
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
