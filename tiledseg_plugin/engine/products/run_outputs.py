# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 5, write: all that is made of a run's segments."""

from contextlib import contextmanager
from typing import List

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
from ..files.verification import verify_raster
from ..parameters import SegmentParameters
from .attribute_columns import attribute_columns, statistic_columns
from .attributes import AttributeJob, add_up_tiles, describe_segments, run_bands
from .mean_image import MeanImage, mean_image_type, write_mean_image
from .outlines import OutlineJob, trace_segments
from .polygons import Polygons, check_polygon_file, write_polygons
from .segment_ids import TileIds

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
    _check_options(parameters, raster)
    check_files(outputs_of(parameters), [("INPUT", parameters.input), ("TILES", parameters.tiles_source)])
    if parameters.output:
        check_table_fits(parameters.output, len(raster.bands))
    if parameters.polygons:
        polygons = Output("POLYGONS", parameters.polygons, VECTOR, assign_crs=parameters.assign_crs)
        check_polygon_file(polygons, raster, len(raster.bands))


def _check_options(parameters: SegmentParameters, raster: Raster) -> None:
    if parameters.output:
        check_creation_options(format_of(parameters.output), parameters.creation_options)
    if parameters.mean_image and parameters.output:
        driver, given = format_of(parameters.mean_image, "MEAN_IMAGE"), _mean_image_options(parameters)
        check_creation_options(driver, given, mean_image_type(run_bands(raster)), len(raster.numbers))


def _mean_image_options(parameters):
    """CREATION_OPTIONS are OUTPUT's; a mean image of the same format is written with them, too."""
    return options_for(
        format_of(parameters.mean_image, "MEAN_IMAGE"), format_of(parameters.output), parameters.creation_options
    )


@contextmanager
def publishing_all(parameters):
    """Paths to write OUTPUT and the optional outputs at, {parameter: path}; all are given their names in the end."""
    given = [output for output in outputs_of(parameters) if output.path and output.name != "S1TILES"]
    with publishing_together([(output.path, output.name, replaced_files(output)) for output in given]) as paths:
        yield {output.name.lower(): path for output, path in zip(given, paths)}


def write_outputs(paths, parameters, raster, plan, segments, folder, kernel, runner, progress, summary, write_ids):
    """OUTPUT with its overviews and attribute table, and the optional outputs.

    Parameters
    ----------
    paths : as `publishing_all` gives them
    segments : graph.Segments
    summary : statistics.Summary
    write_ids : called with the path of OUTPUT; writes the raster, which is the stage `write`, and returns its Samples
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
        attributes = add_up_tiles(source, run_bands(raster), segments, workers, advance)
    else:
        ids = np.arange(1, segments.sizes.size + 1, dtype=np.uint32)
        job = AttributeJob(source, run_bands(raster), kernel.NAME)
        attributes = describe_segments(job, ids, runner, advance, check)
    columns = attribute_columns(attributes, raster.numbers, [band.stretch_range() for band in summary.bands])
    _write_raster(paths["output"], raster, columns, parameters.creation_options, workers, progress, write_ids)
    others = [getattr(parameters, name) for name in OPTIONAL_STAGES if getattr(parameters, name)]
    write_style(paths["output"], parameters.output, segments.sizes.size, others, progress.feedback)
    if parameters.mean_image:
        progress.start("mean_image", "Writing the mean image")
        options, crs = _mean_image_options(parameters), parameters.assign_crs
        output = Output("MEAN_IMAGE", paths["mean_image"], IMAGE, options, assign_crs=crs)
        image = MeanImage(output, raster, mean_image_type(run_bands(raster)))
        write_mean_image(image, source, attributes, workers, progress.advance_as("Writing the mean image"))
    if parameters.polygons:
        progress.start("polygons", "Tracing polygons")
        outlines = OutlineJob(source, raster.width, raster.height, False, kernel.NAME, folder)
        text = "Tracing polygons"
        rings = trace_segments(outlines, attributes, runner, lambda done: progress.advance(done * 0.3, text), check)
        write_polygons(
            Output("POLYGONS", paths["polygons"], VECTOR, assign_crs=parameters.assign_crs),
            raster,
            Polygons(rings, attributes, statistic_columns(attributes, raster.numbers)),
            lambda done: progress.advance(0.3 + done * 0.7, "Writing polygons"),
            check,
        )


def _write_raster(path, raster, columns, options, workers, progress, write_ids):
    """OUTPUT with overviews and attribute table.

    A table that becomes a file of its own is written meanwhile; the stage `attribute_table` is then the rest of it.
    Any other is written into the raster, or its side file, when nothing else is at work there.
    """

    output = Output("OUTPUT", path, SEGMENTS, options)

    def write():
        samples = write_ids(path)
        if not grows_overviews(path):
            progress.start("overviews", "Building overviews")
            if is_cog(path):
                make_cog(output, workers, progress.advance_as("Making a cloud optimized GeoTIFF"))
            else:
                build_overviews(output, "NEAREST", workers, progress.advance_as("Building overviews"))
        verify_raster(path, samples, least_overviews(path, raster), allows_gaps(options))
        progress.start("attribute_table", "Writing the attribute table")

    if stands_beside(path, columns, progress.feedback):
        with progress.beside(lambda check, advance: write_table_beside(path, columns, check)) as wait:
            write()
            wait("Writing the attribute table")
    else:
        write()
        write_attribute_table(path, columns)
