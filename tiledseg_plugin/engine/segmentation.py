# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole run: plan -> statistics -> tiles -> graph -> write."""

import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from . import execution, kernels
from . import rsgislib as rsgislib_engine
from .errors import Cancelled
from .execution.runner import Runner
from .files.decoded import Decoded, Held, Kept, held_bytes, is_worth_keeping
from .files.gdal_access import modest_cache
from .files.no_data import scaling_note
from .files.publish import recover_beside
from .files.raster import Raster, describe, identity
from .files.stored import in_lots
from .files.work_folder import WorkFolder
from .kernels.contract import Kernels
from .kernels.entries import entries_of_run
from .machine import slowness
from .parameters import SegmentParameters
from .products.run_outputs import check_products, publishing_all, write_outputs
from .products.tile_records import TileRecord, seconds_by_tile, tile_records
from .progress import Background, Feedback, Progress
from .report import peak_memory, report_path, write_report
from .resources import group_memory, worker_memory, zones_memory
from .stage_costs import weights_of
from .stages.colours import Raw, Stretched
from .stages.context import RunContext
from .stages.effects import known_of, nothing_merged, without_effect
from .stages.elimination import EliminationRules
from .stages.graph import GroupJob
from .stages.numbering import Segments, number_segments
from .stages.parts import merged_of
from .stages.plan import EMPTY, SPARSE, Occupancy, Plan, judge_tiles, make_plan, part_few, work_units
from .stages.rsgislib_stretch import as_rsgislib_sees
from .stages.sampling import ColourSample
from .stages.schedule import GROUPS_SHARE, PartJob, process_parts
from .stages.statistics import (
    Summary,
    Survey,
    blocks,
    find_centres,
    load_sample,
    load_summary,
    save_sample,
    save_summary,
    survey,
    take_sample,
)
from .stages.tiles import HALO, TileJob
from .stages.tree import grow_tree
from .stages.zone_source import digest_of, find_zones
from .stages.zones import in_folder
from .wording import counted

DECIDING = (
    "bands",
    "num_clusters",
    "min_pixels",
    "levels",
    "distance_threshold",
    "stretch",
    "rsgislib_stretch",
    "sampling",
    "kmeans_max_iterations",
    "nodata",
    "extent",
    "nodata_rule",
    "tile_width",
    "tile_height",
    "tiles",
    "zones_outside",
    "engine",
    "per_tile_statistics",
)


@dataclass(frozen=True)
class SegmentResult:
    """What a run returns besides OUTPUT.

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


def segment(parameters: SegmentParameters, feedback: Feedback) -> SegmentResult:
    """Segment a raster.

    Raises
    ------
    SegmentationError : one sentence on what is wrong; nothing of OUTPUT has been touched
    Cancelled : the user cancelled; likewise
    """
    run = _Run(parameters, feedback)
    finished = False
    try:
        with modest_cache:
            result = run.run()
        finished = True
    finally:
        run.close(finished)
    feedback.info(
        f"{counted(result.segment_count, 'segment')} from {counted(result.valid_pixels, 'valid pixel')} "
        f"in {result.seconds:.1f} s"
        + (f", {result.undersized_segments} smaller than MIN_PIXELS." if result.undersized_segments else ".")
    )
    return result


class _Surveyed(NamedTuple):
    """What the pass over the raster has found."""

    summary: Summary
    occupancy: Occupancy
    colours: Union[Stretched, Raw]


class _Learned(NamedTuple):
    """By what pixels are put into clusters; both are None where RSGISLib finds its own for every tile."""

    sample: Optional[ColourSample]
    centres: Optional[np.ndarray]


class _Segmented(NamedTuple):
    """What is known when the segments are.

    tiles : results of what was processed, each with a `tile_id` and its `seconds`
    facts : for the report
    """

    segments: Segments
    tiles: Sequence[Any]
    facts: Dict[str, Any]


class _Run:
    """One run: the stages in their order, each with what those before it have found."""

    def __init__(self, parameters: SegmentParameters, feedback: Feedback) -> None:
        self.started = time.monotonic()
        parameters.check()
        self.with_rsgislib = parameters.engine == "rsgislib"
        if self.with_rsgislib:
            feedback.info(rsgislib_engine.require().sentence)
        self.parameters, self.feedback = parameters, feedback
        recover_beside(parameters.input, parameters.zones.split("|")[0])
        self.raster = describe(
            parameters.input,
            parameters.bands,
            parameters.nodata_rule,
            nodata=parameters.nodata,
            extent=parameters.extent,
        )
        check_products(parameters, self.raster)
        if parameters.rsgislib_stretch:
            self.raster = as_rsgislib_sees(self.raster)
        self.zones = find_zones(parameters, self.raster, self._check_cancelled)
        self.plan = replace(make_plan(self.raster, parameters), zones=self.zones)
        if not self.with_rsgislib:
            self.plan = part_few(self.plan)
        _log_start(self.raster, self.plan, feedback)
        kinds = self.raster.dtype, len(self.raster.bands), parameters.stretch, parameters.num_clusters
        self.entries = entries_of_run(*kinds, self.raster.width * self.raster.height // parameters.sampling)
        pace = 1e-9 * self.raster.width * self.raster.height * slowness()
        self.progress = Progress(feedback, weights_of(parameters, self.raster), kernels.seconds_lost, pace)
        self.folder = WorkFolder(parameters.work_dir, self._manifest())
        self.kept: Optional[Kept] = None
        self._under_way = ExitStack()  # what has to be stopped in the end

    def _manifest(self) -> Dict[str, Any]:
        chosen = asdict(self.parameters)
        return {
            "parameters": {
                "INPUT": self.parameters.input,
                **{name.upper(): chosen[name] for name in DECIDING},
                "ZONES": self._content_of_zones(),
            },
            "input": {**identity(self.parameters.input), "raster": asdict(self.raster)},
        }

    def _content_of_zones(self) -> str:
        """By which it shows, where a run is taken up, that zones have changed, wherever they lie."""
        if self.zones is None or not self.parameters.work_dir:
            return ""
        return f"content {digest_of(self.zones, self.raster, self._check_cancelled)}"

    def _check_cancelled(self) -> None:
        if self.feedback.is_cancelled():
            raise Cancelled()

    def run(self) -> SegmentResult:
        """All stages.

        Workers are started first. The kernels are loaded meanwhile and during the survey, which does not need them.
        """
        if self.folder.note:
            self.feedback.info(self.folder.note)
        self.progress.start("statistics", "Starting")
        if self.zones is not None:
            self.plan = replace(self.plan, zones=in_folder(self.zones, self.folder))
            self.zones = None  # its shapes are in the folder
        starting = self._start_execution()
        self._under_way.callback(starting.close)
        loading = Background(self._load_kernels)
        self._under_way.callback(loading.stop)
        runner = starting.ready(self.feedback, self.progress.check_cancelled)
        surveyed = self._survey(runner)
        kernel, note = self.progress.wait_for(loading, "Loading the kernels", (0.8, 0.8))
        runner.prepare(self.parameters.kernels, self.entries)
        self.feedback.info(note)
        context = RunContext(self.parameters, self.raster, self.plan, kernel, runner, self.progress, self.folder)
        if not self.with_rsgislib:
            known = known_of(surveyed.summary, surveyed.colours, self.plan.zones)
            for sentence in without_effect(self.parameters, known):
                self.feedback.notice(sentence)
        learned = self._learn(context, surveyed)
        segmented = self._segment(context, surveyed, learned)
        return self._write(context, surveyed, learned, segmented)

    def _load_kernels(self, check: Callable[[], None], advance: Callable[[float], None]) -> Tuple[Kernels, str]:
        """What is there is loaded; what is not, is made by another process while the run goes on."""
        return kernels.choose(self.parameters.kernels, check, self.entries, calm=False)

    def _start_execution(self) -> execution.Starting:
        parameters, raster = self.parameters, self.raster
        width, height = (max(side) for side in zip(*(piece.window[2:] for piece in self.plan.pieces)))
        bands, needed = len(raster.bands), rsgislib_engine.worker_memory if self.with_rsgislib else worker_memory
        tile_bytes = needed(width, height, bands, raster.dtype, parameters.stretch)
        tile_bytes += 0 if self.plan.zones is None else zones_memory(width, height)
        request = execution.Request(
            parameters.execution,
            parameters.workers,
            max(tile_bytes, group_memory(self.plan.pixels, bands)),
            most=max(len(self.plan.pieces), len(blocks(raster))),
            scheduler=parameters.dask_scheduler,
            work_dir=parameters.work_dir,
            holds_lock=self.with_rsgislib,
        )
        return execution.start(request, raster)

    def _survey(self, runner: Runner) -> _Surveyed:
        """The statistics of the raster, and what follows from them for the tiles and the colours."""
        parameters, plan = self.parameters, self.plan
        summary = load_summary(self.folder, self.raster)
        if summary is not None:
            self.feedback.info("Statistics are taken from the interrupted run.")
        else:
            self.kept = self._place_for_values(runner)
            as_rsgislib = parameters.rsgislib_stretch
            job = Survey(self.raster, plan, parameters.sampling, self.folder, as_rsgislib, self.kept)
            summary = survey(job, runner, self.progress)
            if not self.folder.is_temporary:
                save_summary(summary, self.folder)
        summary.require_data(self.raster, self.plan.zones)
        occupancy = judge_tiles(plan, summary.valid_pixels, parameters.valid_data_threshold)
        empty, sparse = occupancy.count(EMPTY), occupancy.count(SPARSE)
        if empty or sparse:
            tiles, verb = counted(len(plan.tiles), "tile"), "is" if empty == 1 else "are"
            self.feedback.info(f"Of {tiles}, {empty} {verb} empty and left out, {sparse} sparse.")
        return _Surveyed(summary, occupancy, summary.colours(self.raster, parameters.stretch))

    def _place_for_values(self, runner: Runner) -> Optional[Kept]:
        """Where the survey leaves what it has read, where that is worth it; other machines read by themselves."""
        raster, folder = self.raster, self.folder
        if self.with_rsgislib or runner.remote:
            return None
        if runner.shares_memory and held_bytes(raster):
            return Held()
        windows = [piece.window.grown(HALO, raster.width, raster.height) for piece in self.plan.pieces]
        if not is_worth_keeping(raster.path, len(raster.bands), np.dtype(raster.dtype).itemsize, windows, folder.path):
            return None
        self.feedback.info("Values are kept in the work folder, as the blocks of the file are slow to read.")
        return Decoded(folder)

    def _learn(self, context: RunContext, surveyed: _Surveyed) -> _Learned:
        """The centres, and what k-means was run on; a sample that was taken by a pass of its own is kept."""
        if self.with_rsgislib and not rsgislib_engine.wants_centres(self.plan, self.parameters):
            return _Learned(None, None)
        sample = load_sample(self.folder)
        if sample is None:
            sample = take_sample(context, surveyed.summary, surveyed.colours, self.folder)
            if sample.step != self.parameters.sampling and not self.folder.is_temporary:
                save_sample(sample, self.folder)
        return _Learned(sample, find_centres(context, sample))

    def _segment(self, context: RunContext, surveyed: _Surveyed, learned: _Learned) -> _Segmented:
        parameters, plan, colours = self.parameters, self.plan, surveyed.colours
        if self.with_rsgislib:
            units = work_units(plan, surveyed.occupancy)
            return _Segmented(*rsgislib_engine.segment_in_stages(context, units, colours, learned.centres))
        rules = EliminationRules(
            colours.weights, parameters.min_pixels, parameters.distance_threshold, parameters.levels
        )
        kept, self.kept = self.kept, None  # what is in memory goes with the tiles
        tiles = TileJob(self.raster, plan, colours, learned.centres, parameters.kernels, self.folder, rules, kept)
        groups = GroupJob(self.folder, rules, parameters.kernels, self.raster.is_integer, context.runner.together)
        tree = grow_tree([piece for piece in plan.pieces if surveyed.occupancy.status[piece.tile_id] != EMPTY])
        units = work_units(plan, surveyed.occupancy, tree.places())
        finished = process_parts(context, PartJob(tiles, groups), tree, units)
        segments = number_segments(context, tree, finished.clumps, GROUPS_SHARE)
        if self.folder.is_temporary:  # nobody takes this run up
            for number in tree.extents():
                self.folder.drop(merged_of(number))
        facts = {"initial_clumps": segments.clumps, "segments_at_levels": segments.at_levels}
        return _Segmented(segments, list(finished.pieces.values()), facts)

    def _write(
        self, context: RunContext, surveyed: _Surveyed, learned: _Learned, segmented: _Segmented
    ) -> SegmentResult:
        """OUTPUT and all that goes with it, the report last."""
        with publishing_all(self.parameters) as paths:
            write_outputs(context, segmented.segments, surveyed.summary, paths)
            self.progress.advance(1)
            self.progress.finish()
            for sentence in kernels.failures(context.kernel):
                self.feedback.info(sentence)
            result = self._result(context, surveyed.occupancy, segmented)
            counts = segmented.segments.clumps or 0, result.segment_count, result.undersized_segments
            for sentence in nothing_merged(self.parameters, *counts):
                self.feedback.notice(sentence)
            facts = _facts(context, surveyed.colours, learned)
            write_report(report_path(paths["output"]), self.parameters, result, {**facts, **segmented.facts})
        self.progress.complete()
        return result

    def _result(self, context: RunContext, occupancy: Occupancy, segmented: _Segmented) -> SegmentResult:
        segments = segmented.segments
        seconds = seconds_by_tile(segmented.tiles)
        valid = undersized = 0
        for sizes in in_lots(segments.sizes):
            valid += int(sizes.sum())
            undersized += int(np.count_nonzero(sizes < self.parameters.min_pixels))
        return SegmentResult(
            segment_count=segments.count,
            valid_pixels=valid,
            tile_count=len(self.plan.tiles),
            empty_tiles=occupancy.count(EMPTY),
            sparse_tiles=occupancy.count(SPARSE),
            undersized_segments=undersized,
            seconds=time.monotonic() - self.started,
            report=report_path(self.parameters.output),
            peak_memory=(peak_memory() or 0) + context.runner.peak_memory or None,
            stages=self.progress.seconds,
            tiles=tile_records(self.raster.path, self.plan, occupancy, segments.in_tiles, seconds, self.raster.origin),
        )

    def close(self, finished: bool) -> None:
        """Stop the workers and tidy the work folder up."""
        with ExitStack() as stack:  # each, whatever becomes of the others
            stack.callback(self.folder.close, finished)
            stack.enter_context(self._under_way)


def _log_start(raster: Raster, plan: Plan, feedback: Feedback) -> None:
    width, height = (max(side) for side in zip(*(tile.window[2:] for tile in plan.tiles)))
    feedback.info(
        f"{raster.path}: {raster.size}, bands {', '.join(map(str, raster.numbers))}, "
        f"{np.dtype(raster.dtype).name}; {counted(len(plan.tiles), 'tile')} of up to {width} x {height} pixels."
    )
    for note in raster.notes:
        feedback.notice(note)
    note = scaling_note(raster.bands)
    if note:
        feedback.info(
            f"{note}: segments are found from the stored values; means and other attributes have them applied."
        )


def _facts(context: RunContext, colours: Union[Stretched, Raw], learned: _Learned) -> Dict[str, Any]:
    """What the report says besides parameters and result."""
    return {
        "kernels": kernels.used(context.kernel),
        "execution": {"kind": context.runner.name, "workers": context.runner.workers},
        "raster": asdict(context.raster),
        "colours": {"stretch": context.parameters.stretch, **asdict(colours)},
        "sampling": None if learned.sample is None else learned.sample.step,
        "centres": None if learned.centres is None else learned.centres.astype(float).tolist(),
    }
