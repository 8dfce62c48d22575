# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole run: plan -> statistics -> tiles -> graph -> write."""

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, Optional

import numpy as np

from . import execution, kernels
from . import rsgislib as rsgislib_engine
from .files.gdal_access import modest_cache
from .files.no_data import scaling_note
from .files.publish import recover_beside
from .files.raster import describe, identity
from .files.work_folder import WorkFolder
from .machine import available_cores
from .products.run_outputs import check_products, publishing_all, stages, write_outputs
from .products.tile_records import TileRecord, seconds_by_tile, segments_by_tile, tile_records
from .progress import Background, Progress, TileWatch
from .report import peak_memory, report_path, write_report
from .resources import worker_memory
from .stages.context import RunContext
from .stages.graph import merge_all
from .stages.plan import EMPTY, FEW_TILES, SPARSE, judge_tiles, make_plan, part_few, work_units
from .stages.rsgislib_stretch import as_rsgislib_sees
from .stages.sampling import SampleJob
from .stages.statistics import (
    blocks,
    find_centres,
    load_sample,
    load_summary,
    save_sample,
    save_summary,
    survey,
    take_sample,
)
from .stages.tiles import TileJob, finished_piece, work_unit
from .stages.write import RelabelJob, relabel_piece, table_of, write_segments

STAGES = {
    "builtin": {"statistics": 20, "tiles": 50, "graph": 12},
    "rsgislib": {"statistics": 10, "stage 1": 50, "stage 2": 16, "stage 3": 6, "merge": 6},
}
DECIDING = (
    "bands",
    "num_clusters",
    "min_pixels",
    "distance_threshold",
    "stretch",
    "rsgislib_stretch",
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
    run = _Run(parameters, feedback)
    finished = False
    try:
        with modest_cache:
            run.prepare()
            run.survey()
            segments, results, found = run.segment()
            result = run.write(segments, results, found)
        finished = True
    finally:
        run.close(finished)
    feedback.info(
        f"{result.segment_count} segments from {result.valid_pixels} valid pixels in {result.seconds:.1f} s"
        + (f", {result.undersized_segments} smaller than MIN_PIXELS." if result.undersized_segments else ".")
    )
    return result


class _Run:
    """One run: what its stages share, and the stages in their order."""

    def __init__(self, parameters, feedback):
        self.started = time.monotonic()
        parameters.check()
        self.with_rsgislib = parameters.engine == "rsgislib"
        if self.with_rsgislib:
            feedback.info(rsgislib_engine.require().sentence)
        self.parameters, self.feedback = parameters, feedback
        recover_beside(parameters.input)
        self.raster = describe(parameters.input, parameters.bands, parameters.nodata_rule)
        check_products(parameters, self.raster)
        if parameters.rsgislib_stretch:
            self.raster = as_rsgislib_sees(self.raster)
        self.plan = make_plan(self.raster, parameters)
        if not self.with_rsgislib:
            self.plan = part_few(self.plan)
        self._tell_start()
        self.progress = Progress(feedback, {**STAGES[parameters.engine], **stages(parameters)})
        self.folder = WorkFolder(parameters.work_dir, self._manifest())
        self._starting: Any = None
        self._loading: Any = None

    def _manifest(self):
        chosen = asdict(self.parameters)
        return {
            "parameters": {"INPUT": self.parameters.input, **{name.upper(): chosen[name] for name in DECIDING}},
            "input": {**identity(self.parameters.input), "raster": asdict(self.raster)},
        }

    def _tell_start(self):
        raster, plan = self.raster, self.plan
        width, height = (max(side) for side in zip(*(tile.window[2:] for tile in plan.tiles)))
        self.feedback.info(
            f"{raster.path}: {raster.width} x {raster.height} pixels, bands {', '.join(map(str, raster.numbers))}, "
            f"{np.dtype(raster.dtype).name}; {len(plan.tiles)} tiles of up to {width} x {height} pixels."
        )
        for note in raster.notes:
            self.feedback.info(note)
        note = scaling_note(raster.bands)
        if note:
            self.feedback.info(
                f"{note}: segments are found from the stored values; means and other attributes have them applied."
            )

    def prepare(self):
        """Start workers; the kernels, which the survey does not need, are loaded meanwhile and beside it."""
        if self.folder.note:
            self.feedback.info(self.folder.note)
        self.progress.start("statistics", "Starting")
        self._starting = self._start_execution()
        self._loading = Background(self._load_kernels)
        self.runner = self._starting.ready(self.feedback, self.progress.check_cancelled)

    def _load_kernels(self, check, advance):
        """Those that depend on the raster's type, too: compiled here once, rather than by every worker."""
        kernel, note = kernels.choose(self.parameters.kernels, check)
        check()
        if self.raster.is_integer:
            kernel.region_moments(np.zeros(1, np.uint32), 1, np.zeros(1, self.raster.dtype))
        return kernel, note

    def _start_execution(self):
        parameters, raster = self.parameters, self.raster
        width, height = (max(side) for side in zip(*(piece.window[2:] for piece in self.plan.pieces)))
        needed = rsgislib_engine.worker_memory if self.with_rsgislib else worker_memory
        request = execution.Request(
            parameters.execution,
            parameters.workers,
            needed(width, height, len(raster.bands), raster.dtype, parameters.stretch),
            most=max(len(self.plan.pieces), len(blocks(raster))),
            scheduler=parameters.dask_scheduler,
            work_dir=parameters.work_dir,
            holds_lock=self.with_rsgislib,
        )
        return execution.start(request, raster)

    @property
    def _threads(self):
        """How many threads of this process may work where the execution's own workers do not."""
        return available_cores() if self.runner.remote else self.runner.workers

    def _results(self, task, common, items):
        return self.runner.run(task, common, items, self.progress.listening_to(self.runner))

    def survey(self):
        """The statistics of the raster, and from them what the tiles are worked with."""
        parameters, plan, progress = self.parameters, self.plan, self.progress
        self.summary = load_summary(self.folder)
        if self.summary is not None:
            self.feedback.info("Statistics are taken from the interrupted run.")
        else:
            self.summary = survey(self.raster, plan, parameters, self.runner, progress)
            if not self.folder.is_temporary:
                save_summary(self.summary, self.folder)
        self.summary.require_data(self.raster)
        self.occupancy = judge_tiles(plan, self.summary.valid_pixels, parameters.valid_data_threshold)
        empty, sparse = self.occupancy.count(EMPTY), self.occupancy.count(SPARSE)
        if empty or sparse:
            self.feedback.info(f"{empty} of {len(plan.tiles)} tiles are empty and left out, {sparse} are sparse.")
        self.colours = self.summary.colours(self.raster, parameters.stretch)
        self.kernel, note = progress.wait_for(self._loading, "Loading the kernels", (0.8, 0.8))
        self.runner.prepare(parameters.kernels)  # what had to be compiled is there to be loaded now
        self.feedback.info(note)
        self.centres = self.sample = None
        if not self.with_rsgislib or rsgislib_engine.wants_centres(plan, parameters):
            self.sample = self._sample()
            self.centres = find_centres(self.sample, parameters, self.kernel, progress, self._threads)

    def _sample(self):
        """What k-means works on; one that was taken by a pass of its own is kept."""
        kept = load_sample(self.folder)
        if kept is not None:
            return kept
        wanted, step = self.parameters.num_clusters, self.parameters.sampling
        job = SampleJob(self.raster, self.plan, self.colours, self.kernel.NAME, wanted, step)
        sample = take_sample(job, self.summary, self.runner, self.progress)
        if sample.step != step and not self.folder.is_temporary:
            save_sample(sample, self.folder)
        return sample

    def segment(self):
        """The segments, what is known of the tiles, and what was learned for the report."""
        units = work_units(self.plan, self.occupancy)
        if self.with_rsgislib:
            context = RunContext(
                self.parameters, self.raster, self.plan, self.kernel, self.runner, self.progress, self.folder
            )
            return rsgislib_engine.segment_in_stages(context, units, self.colours, self.centres)
        job = TileJob(
            self.raster,
            self.plan,
            self.colours,
            self.centres,
            self.parameters.kernels,
            self.folder,
            self.parameters.min_pixels,
            self.parameters.distance_threshold,
        )
        results = self._work_tiles(job, units)
        segments = self._merge([piece for piece in self.plan.pieces if self.occupancy.status[piece.tile_id] != EMPTY])
        return segments, results, {"initial_clumps": segments.clumps}

    def _work_tiles(self, job, units):
        self.progress.start("tiles", "Segmenting tiles")
        finished = []
        if not job.folder.is_temporary:
            for unit in units:
                self.progress.check_cancelled()
                results = [finished_piece(job, piece) for piece in unit]
                finished += [result for result in results if result is not None]
        done = {result.piece_id for result in finished}
        todo = [tuple(piece for piece in unit if piece.piece_id not in done) for unit in units]
        todo = [unit for unit in todo if unit]
        left = Counter(piece.tile_id for unit in todo for piece in unit)
        tiles = {piece.tile_id for unit in units for piece in unit}
        if finished:
            self.feedback.info(
                f"{len(tiles - left.keys())} of {len(tiles)} tiles are finished already in {job.folder.path}."
            )
        watch = TileWatch(self.feedback, todo, self.runner.workers)
        watch.finished(tiles - left.keys())
        pieces, worked = len(finished) + sum(len(unit) for unit in todo), len(tiles - left.keys())
        tasks = todo if len(units) >= FEW_TILES else [(piece,) for unit in todo for piece in unit]
        for task, results in self._results(work_unit, job, tasks):
            left.subtract(piece.tile_id for piece in task)
            ended = {piece.tile_id for piece in task if not left[piece.tile_id]}
            watch.finished(ended)
            finished += results
            worked += len(ended)
            self.progress.advance(len(finished) / pieces, f"Segmented tile {worked} of {len(tiles)}")
            for result in results:
                self.feedback.debug(
                    f"Tile {result.tile_id}: {result.clumps} clumps, halo {result.halo}, {result.seconds:.2f} s."
                )
        return finished

    def _merge(self, worked):
        self.progress.start("graph", "Merging small segments")
        parameters, folder = self.parameters, self.folder
        segments = self.progress.in_background(
            lambda check, advance: merge_all(
                worked,
                folder,
                self.kernel,
                self.colours.weights,
                parameters.min_pixels,
                parameters.distance_threshold,
                advance,
                self._threads,
            ),
            "Merging small segments",
        )
        self.feedback.info(f"{segments.clumps} clumps were merged to {segments.sizes.size} segments.")
        return segments

    def write(self, segments, results, found):
        """OUTPUT and all that goes with it, and the result."""
        with publishing_all(self.parameters) as paths:
            write_outputs(
                paths,
                self.parameters,
                self.raster,
                self.plan,
                segments,
                self.folder,
                self.kernel,
                self.runner,
                self.progress,
                self.summary,
                lambda path: self._write_ids(path, segments),
            )
            self.progress.advance(1)
            self.progress.finish()
            result = self._result(segments, results)
            write_report(report_path(paths["output"]), self.parameters, result, self._facts(found))
        return result

    def _write_ids(self, path, segments):
        self.progress.start("write", "Writing segments")
        remote = self.runner.remote
        if remote:
            self._relabel_elsewhere(segments)

        def advance(fraction):
            self.progress.advance(0.5 + fraction / 2 if remote else fraction, "Writing segments")

        return write_segments(
            path,
            self.raster,
            self.plan,
            segments,
            self.folder,
            self.kernel,
            self._threads,
            self.parameters.creation_options,
            self.parameters.assign_crs,
            advance,
            relabelled=remote,
        )

    def _relabel_elsewhere(self, segments):
        """Let workers on other machines do the lookups; here the pieces are only put together."""
        pieces = [piece for piece in self.plan.pieces if piece.piece_id in segments.tables]
        for piece in pieces:
            self.progress.check_cancelled()
            self.folder.save(table_of(piece), table=segments.tables[piece.piece_id])
        job = RelabelJob(self.parameters.kernels, self.folder)
        for done, _ in enumerate(self._results(relabel_piece, job, pieces), 1):
            self.progress.advance(0.5 * done / len(pieces), f"Numbered the segments of tile {done} of {len(pieces)}")

    def _result(self, segments, results):
        tables = segments_by_tile(self.plan, segments.tables)
        return SegmentResult(
            segment_count=segments.sizes.size,
            valid_pixels=int(segments.sizes.sum()),
            tile_count=len(self.plan.tiles),
            empty_tiles=self.occupancy.count(EMPTY),
            sparse_tiles=self.occupancy.count(SPARSE),
            undersized_segments=int(np.count_nonzero(segments.sizes < self.parameters.min_pixels)),
            seconds=time.monotonic() - self.started,
            report=report_path(self.parameters.output),
            peak_memory=(peak_memory() or 0) + self.runner.peak_memory or None,
            stages=self.progress.seconds,
            tiles=tile_records(self.raster.path, self.plan, self.occupancy, tables, seconds_by_tile(results)),
        )

    def _facts(self, found):
        return {
            "kernels": self.kernel.NAME,
            "execution": {"kind": self.runner.name, "workers": self.runner.workers},
            "raster": asdict(self.raster),
            "colours": {"stretch": self.parameters.stretch, **asdict(self.colours)},
            "sampling": None if self.sample is None else self.sample.step,
            "centres": None if self.centres is None else self.centres.astype(float).tolist(),
            **found,
        }

    def close(self, finished):
        """Stop the workers and tidy the work folder up."""
        with ExitStack() as stack:  # each, whatever becomes of the others
            stack.callback(self.folder.close, finished)
            if self._starting:
                stack.callback(self._starting.close)
            if self._loading:
                stack.callback(self._loading.stop)
