# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole run: plan -> statistics -> tiles -> graph -> write."""

import time
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Dict, List, Optional

import numpy as np

from . import execution, kernels, rsgislib_engine
from .errors import SegmentationError
from .graph import build_graph, eliminate
from .kmeans import cluster
from .machine import available_cores
from .needs import worker_memory
from .plan import EMPTY, SPARSE, judge_tiles, make_plan, work_units
from .products import check_products, publishing_all, stages, write_products
from .progress import Progress, TileWatch
from .raster import describe, identity
from .report import peak_memory, report_path, write_report
from .statistics import Survey, blocks, load_summary, sample_colours, save_summary, summarise, survey_block
from .tile_layer import TileRecord, seconds_by_tile, segments_by_tile, tile_records
from .tiles import TileJob, finished_piece, work_unit
from .work_folder import WorkFolder
from .write import RelabelJob, check_output, relabel_piece, table_of, write_segments

STAGES = {
    "builtin": {"statistics": 20, "tiles": 50, "graph": 12, "write": 8},
    "rsgislib": {"statistics": 10, "stage 1": 50, "stage 2": 16, "stage 3": 6, "merge": 6, "write": 6},
}
DECIDING = (
    "bands",
    "num_clusters",
    "min_pixels",
    "distance_threshold",
    "stretch",
    "sampling",
    "kmeans_max_iterations",
    "nodata_rule",
    "tile_width",
    "tile_height",
    "tiles",
    "engine",
    "per_tile_statistics",
)


@dataclass(frozen=True)
class SegmentResult:
    """What a run gives besides OUTPUT.

    tiles : what is known about each tile
    seconds : the whole run; stages : {stage: seconds}; peak_memory : bytes, None where unknown
    """

    segment_count: int
    valid_pixels: int
    tile_count: int
    empty_tiles: int
    sparse_tiles: int
    undersized_segments: int
    seconds: float
    report: str
    peak_memory: Optional[int]
    stages: Dict[str, float] = field(default_factory=dict)
    tiles: List[TileRecord] = field(default_factory=list)


def segment(parameters, feedback):
    """Segment a raster.

    Parameters
    ----------
    parameters : SegmentParameters
    feedback : progress.Feedback

    Returns
    -------
    SegmentResult

    Raises
    ------
    SegmentationError : one sentence on what is wrong; nothing of OUTPUT has been touched
    Cancelled : the user cancelled; likewise
    """
    started = time.monotonic()
    parameters.check()
    with_rsgislib = parameters.engine == "rsgislib"
    if with_rsgislib:
        feedback.info(rsgislib_engine.require().sentence)
    check_output(parameters.output, [parameters.input])
    check_products(parameters)
    raster = describe(parameters.input, parameters.bands, parameters.nodata_rule)
    plan = make_plan(raster, parameters)
    _tell_start(raster, plan, feedback)
    progress = Progress(feedback, {**STAGES[parameters.engine], **stages(parameters)})
    folder = WorkFolder(parameters.work_dir, _manifest(parameters, raster))
    starting = None
    finished = False
    try:
        if folder.note:
            feedback.info(folder.note)
        progress.start("statistics", "Starting")
        starting = _start_execution(parameters, raster, plan)
        kernel, note = progress.aside(lambda check, advance: kernels.choose(parameters.kernels), share=(0.0, 0.0))
        feedback.info(note)
        runner = starting.ready(feedback, progress.check_cancelled)
        summary = _survey(raster, plan, parameters, folder, runner, progress)
        occupancy = judge_tiles(plan, summary.valid_pixels, parameters.valid_data_threshold)
        valid_pixels = sum(summary.valid_pixels.values())
        _tell_occupancy(occupancy, plan, feedback)
        if not valid_pixels:
            raise SegmentationError(
                f"{parameters.input} has no valid pixel in the selected bands: check its no-data value, BANDS and NODATA_RULE."
            )
        colours = summary.colours(raster, parameters.stretch)
        runner.prepare(parameters.kernels)
        centres = None
        if not with_rsgislib or rsgislib_engine.wants_centres(plan, parameters):
            centres = find_centres(summary, colours, parameters, kernel, raster, progress)

        units = work_units(plan, occupancy)
        if with_rsgislib:
            run = partial(_results, runner, progress=progress)
            segments, results, found = rsgislib_engine.segment_in_stages(
                raster, plan, units, parameters, folder, colours, centres, progress, run
            )
        else:
            job = TileJob(raster, plan, colours, centres, parameters.kernels, folder)
            segments, results, found = _segment_in_tiles(job, units, parameters, kernel, runner, progress)
        facts = {
            "kernels": kernel.NAME,
            "execution": {"kind": runner.name, "workers": runner.workers},
            "raster": asdict(raster),
            "colours": {"stretch": parameters.stretch, **asdict(colours)},
            "centres": None if centres is None else centres.astype(float).tolist(),
            **found,
        }
        result = _write(
            parameters, raster, plan, segments, folder, kernel, runner, progress, started, occupancy, summary, facts
        )
        result = replace(result, tiles=_tile_records(raster, plan, occupancy, segments, results))
        finished = True
    finally:
        if starting:
            starting.close()
        folder.close(finished)
    feedback.info(
        f"{result.segment_count} segments from {result.valid_pixels} valid pixels in {result.seconds:.1f} s"
        + (f", {result.undersized_segments} smaller than MIN_PIXELS." if result.undersized_segments else ".")
    )
    return result


def _manifest(parameters, raster):
    chosen = asdict(parameters)
    return {
        "parameters": {"INPUT": parameters.input, **{name.upper(): chosen[name] for name in DECIDING}},
        "input": {**identity(parameters.input), "raster": asdict(raster)},
    }


def _start_execution(parameters, raster, plan):
    width, height = (max(side) for side in zip(*(piece.window[2:] for piece in plan.pieces)))
    with_rsgislib = parameters.engine == "rsgislib"
    needed = rsgislib_engine.worker_memory if with_rsgislib else worker_memory
    return execution.start(
        parameters.execution,
        parameters.workers,
        needed(width, height, len(raster.bands), raster.dtype, parameters.stretch),
        raster,
        most=max(len(plan.pieces), len(blocks(raster))),
        scheduler=parameters.dask_scheduler,
        work_dir=parameters.work_dir,
        holds_lock=with_rsgislib,
    )


def _threads(runner):
    """How many threads of this process may work where the execution's own workers do not."""
    return available_cores() if runner.remote else runner.workers


def _results(runner, task, common, items, progress):
    """What the tasks give, with the notes of the execution passed on as they come."""

    def check():
        while runner.notes:
            progress.feedback.warning(runner.notes.pop(0))
        progress.check_cancelled()

    return runner.run(task, common, items, check)


def _tell_start(raster, plan, feedback):
    width, height = (max(side) for side in zip(*(tile.window[2:] for tile in plan.tiles)))
    feedback.info(
        f"{raster.path}: {raster.width} x {raster.height} pixels, bands {', '.join(map(str, raster.numbers))}, "
        f"{np.dtype(raster.dtype).name}; {len(plan.tiles)} tiles of up to {width} x {height} pixels."
    )
    for note in raster.notes:
        feedback.info(note)


def _tell_occupancy(occupancy, plan, feedback):
    empty, sparse = occupancy.count(EMPTY), occupancy.count(SPARSE)
    if empty or sparse:
        feedback.info(f"{empty} of {len(plan.tiles)} tiles are empty and left out, {sparse} are sparse.")


def _survey(raster, plan, parameters, folder, runner, progress):
    progress.advance(0, "Reading statistics")
    summary = load_summary(folder)
    if summary is not None:
        progress.feedback.info("Statistics are taken from the interrupted run.")
        return summary
    summary = survey(raster, plan, parameters, runner, progress)
    if not folder.is_temporary:
        save_summary(summary, folder)
    return summary


def survey(raster, plan, parameters, runner, progress):
    """The pass over the whole raster."""
    todo = blocks(raster)
    survey = Survey(raster, plan, parameters.sampling)
    results = {}
    for block, result in _results(runner, survey_block, survey, todo, progress):
        results[block] = result
        progress.advance(0.8 * len(results) / len(todo), f"Reading statistics, block {len(results)} of {len(todo)}")
    return summarise(raster, plan, [results[block] for block in todo])


def find_centres(summary, colours, parameters, kernel, raster, progress):
    progress.advance(0.8, "Finding cluster centres")
    sample = sample_colours(summary, colours)
    if not len(sample):
        raise SegmentationError(
            f"No valid pixel of {parameters.input} is in the k-means sample: lower SAMPLING (it is {parameters.sampling})."
        )
    centres, iterations = progress.aside(
        lambda check, advance: cluster(
            sample, parameters.num_clusters, parameters.kmeans_max_iterations, kernel, check
        ),
        "Finding cluster centres",
        (0.8, 1.0),
    )
    if len(centres) < parameters.num_clusters:
        progress.feedback.info(
            f"{len(centres)} clusters instead of {parameters.num_clusters}: the others found no pixel of the sample of their own."
        )
    progress.feedback.debug(f"k-means: {len(sample)} pixels, {iterations} iterations.")
    return centres


def _work_tiles(job, units, runner, progress):
    progress.start("tiles", "Segmenting tiles")
    count = sum(len(unit) for unit in units)
    finished = []
    if not job.folder.is_temporary:
        for unit in units:
            progress.check_cancelled()
            results = [finished_piece(job.folder, piece) for piece in unit]
            finished += [result for result in results if result is not None]
    if finished:
        progress.feedback.info(f"{len(finished)} of {count} tiles are finished already in {job.folder.path}.")
    done = {result.piece_id for result in finished}
    todo = [tuple(piece for piece in unit if piece.piece_id not in done) for unit in units]
    todo = [unit for unit in todo if unit]
    watch = TileWatch(progress.feedback, todo, runner.workers)
    watch.finished({result.tile_id for result in finished} - {piece.tile_id for unit in todo for piece in unit})
    for unit, results in _results(runner, work_unit, job, todo, progress):
        watch.finished(piece.tile_id for piece in unit)
        finished += results
        progress.advance(len(finished) / count, f"Segmented tile {len(finished)} of {count}")
        for result in results:
            progress.feedback.debug(
                f"Tile {result.tile_id}: {result.clumps} clumps, halo {result.halo}, {result.seconds:.2f} s."
            )
    return finished


def _segment_in_tiles(job, units, parameters, kernel, runner, progress):
    """The segments, the results of the tiles, and what was learned for the report."""
    results = _work_tiles(job, units, runner, progress)
    worked = sorted((piece for unit in units for piece in unit), key=lambda piece: piece.piece_id)
    progress.start("graph", "Joining tiles")
    graph = progress.aside(
        lambda check, advance: build_graph(job.raster, job.plan, worked, job.folder, check), "Joining tiles", (0.0, 0.3)
    )
    clumps = graph.sizes.size
    progress.feedback.info(f"{clumps} clumps, {len(graph.edges)} borders between them.")
    segments = progress.aside(
        lambda check, advance: eliminate(
            graph,
            kernel,
            job.colours.weights,
            parameters.min_pixels,
            parameters.distance_threshold,
            advance,
            _threads(runner),
        ),
        "Merging small segments",
        (0.3, 1.0),
    )
    return segments, results, {"initial_clumps": clumps}


def _relabel_elsewhere(plan, segments, parameters, folder, runner, progress):
    """Let workers on other machines do the lookups; here the pieces are only put together."""
    pieces = [piece for piece in plan.pieces if piece.piece_id in segments.tables]
    for piece in pieces:
        progress.check_cancelled()
        folder.save(table_of(piece), table=segments.tables[piece.piece_id])
    job = RelabelJob(parameters.kernels, folder)
    for done, _ in enumerate(_results(runner, relabel_piece, job, pieces, progress), 1):
        progress.advance(0.5 * done / len(pieces), f"Numbered the segments of tile {done} of {len(pieces)}")


def _write(
    parameters, raster, plan, segments, folder, kernel, runner, progress, started, occupancy, summary, facts
):
    progress.start("write", "Writing segments")

    if runner.remote:
        _relabel_elsewhere(plan, segments, parameters, folder, runner, progress)

    def advance(fraction):
        progress.advance(0.5 + fraction / 2 if runner.remote else fraction, "Writing segments")

    with publishing_all(parameters) as paths:
        write_segments(
            paths["output"],
            raster,
            plan,
            segments,
            folder,
            kernel,
            _threads(runner),
            parameters.creation_options,
            parameters.assign_crs,
            advance,
            relabelled=runner.remote,
        )
        write_products(paths, parameters, raster, plan, segments, folder, kernel, runner, progress, summary)
        progress.advance(1)
        progress.check_cancelled()
        progress.finish()
        result = SegmentResult(
            segment_count=segments.sizes.size,
            valid_pixels=int(segments.sizes.sum()),
            tile_count=len(plan.tiles),
            empty_tiles=occupancy.count(EMPTY),
            sparse_tiles=occupancy.count(SPARSE),
            undersized_segments=int(np.count_nonzero(segments.sizes < parameters.min_pixels)),
            seconds=time.monotonic() - started,
            report=report_path(parameters.output),
            peak_memory=(peak_memory() or 0) + runner.peak_memory or None,
            stages=progress.seconds,
        )
        write_report(report_path(paths["output"]), parameters, result, facts)
    return result


def _tile_records(raster, plan, occupancy, segments, results):
    found = segments_by_tile(plan, segments.tables)
    return tile_records(raster.path, plan, occupancy, found, seconds_by_tile(results))
