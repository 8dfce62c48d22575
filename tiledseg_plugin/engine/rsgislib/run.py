# SPDX-License-Identifier: GPL-2.0-or-later
"""One stage after the other, each over all workers; what comes out is written as the built-in engine's segments are."""

from dataclasses import replace
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import DTypeLike

from ..execution.runner import Task
from ..files.window import Window
from ..files.work_folder import NUMBER, WorkFolder
from ..parameters import SegmentParameters
from ..resources import WORKER_BYTES
from ..stages.colours import Raw, Stretched
from ..stages.context import RunContext
from ..stages.numbering import Segments, pixels_of, segments_in_tiles, table_of
from ..stages.plan import Piece, Plan
from ..wording import counted
from .availability import describe, has_kea
from .patches import BorderRegions, Layer, Patch, offset_patches, region_patches, tile_patches
from .shepherd import Segmenter, Shepherd
from .tasks import (
    Finished,
    Job,
    Merge,
    Settings,
    clear_scratch,
    finished,
    load,
    merge_piece,
    segment_cut,
    segment_region,
    segment_tile,
)

MOST_LINES = 100  # of what RSGISLib says of a part, in the debug log


class TileTime(NamedTuple):
    """How long a tile took in stage 1, with the sparse ones that are merged into it."""

    tile_id: int
    seconds: float


def worker_memory(width: int, height: int, bands: int, dtype: DTypeLike, stretch: bool = True) -> int:
    """As `resources.worker_memory`, for workers that run RSGISLib, which keeps other copies of a tile."""
    dtype = np.dtype(dtype)
    compared = 1 if stretch or dtype == np.uint8 else 4
    return WORKER_BYTES + width * height * (50 + bands * (2 * dtype.itemsize + 2 * compared + 4))


def segmenter_for(parameters: SegmentParameters) -> Segmenter:
    """RSGISLib with the parameters of a run."""
    return Shepherd(parameters.min_pixels, parameters.distance_threshold, "KEA" if has_kea() else "GTiff")


def segment_in_stages(
    context: RunContext,
    units: Sequence[Tuple[Piece, ...]],
    colours: Union[Stretched, Raw],
    centres: Optional[np.ndarray],
) -> Tuple[Segments, List[TileTime], Dict[str, Any]]:
    """Segment all tiles with RSGISLib.

    Parameters
    ----------
    units : see `plan.work_units`
    colours : of the whole raster
    centres : of the whole raster; None where `wants_centres` says so

    Returns
    -------
    segments : as the built-in engine leaves them
    times : of all tiles
    facts : for the report, plain values
    """
    parameters, plan, folder = context.parameters, context.plan, context.folder
    settings = _settings(plan, parameters)
    segmenter = segmenter_for(parameters)
    own = settings.own or settings.untiled
    job = Job(context.raster, plan, folder, settings, segmenter, None if own else colours, centres)
    clear_scratch(folder)  # of a run that was killed
    try:
        stages = _Stages(context)
        tiles = tile_patches(units)
        job = replace(job, first=stages.run(1, "tile", segment_tile, job, tiles))
        cut = offset_patches(plan, tiles)
        job = replace(job, second=stages.run(2, "offset tile", segment_cut, job, cut))
        most = max(tile.window.pixels for tile in plan.tiles)
        regions = [_border_regions(folder, patch) for patch in job.second.patches]
        rest = region_patches([one for one in regions if one is not None], tiles, most)
        job = replace(job, third=stages.run(3, "region", segment_region, job, rest))
        segments = _merge(job, units, context)
    finally:
        clear_scratch(folder)
    facts = {
        "version": describe().version,
        "intermediate_format": getattr(segmenter, "form", None),
        "untiled": settings.untiled,
        "parts": {"tiles": len(tiles), "offset tiles": len(cut), "regions": len(rest)},
    }
    times = [TileTime(units[one.number - 1][0].tile_id, one.seconds) for one in job.first.patches]
    return segments, times, {"rsgislib": facts}


def _settings(plan: Plan, parameters: SegmentParameters) -> Settings:
    return Settings(
        parameters.num_clusters,
        parameters.sampling,
        parameters.kmeans_max_iterations,
        parameters.stretch,
        untiled=is_untiled(plan),
        own=parameters.per_tile_statistics,
    )


def is_untiled(plan: Plan) -> bool:
    """Whether one tile holds all, so that there is nothing to put together."""
    return len(plan.tiles) == 1


def wants_centres(plan: Plan, parameters: SegmentParameters) -> bool:
    """Whether the centres of the whole raster are needed: not where a tile has its own or RSGISLib is alone."""
    return not (is_untiled(plan) or parameters.per_tile_statistics)


class _Stages:
    """Runs the patches of a stage that an earlier run has not finished."""

    def __init__(self, context: RunContext) -> None:
        self._run = context.run
        self._progress = context.progress
        self._resumable = not context.folder.is_temporary
        self._feedback = context.progress.feedback

    def run(self, stage: int, noun: str, task: Task[Job, Patch, Finished], job: Job, patches: Sequence[Patch]) -> Layer:
        """The finished patches of a stage as a Layer, without those that hold nothing."""
        self._progress.start(f"stage {stage}", f"Stage {stage}")
        done = self._finished_before(job.folder, patches, noun)
        todo = [patch for patch in patches if patch.number not in done]
        if todo and self._resumable:
            _forget_after(job.folder, stage)
        for patch, result in self._run(task, job, todo):
            done[patch.number] = result
            text = f"Stage {stage}, segmented {noun} {len(done)} of {len(patches)}"
            self._progress.advance(len(done) / len(patches), text)
            self._report(patch, result)
        if patches:
            segments = sum(one.segments for one in done.values())
            self._feedback.info(f"Stage {stage}: {counted(len(patches), noun)}, {counted(segments, 'segment')}.")
        return Layer(tuple(done[number] for number in sorted(done) if done[number].segments))

    def _finished_before(self, folder: WorkFolder, patches: Sequence[Patch], noun: str) -> Dict[int, Finished]:
        if not self._resumable:
            return {}
        found = {patch.number: finished(folder, patch) for patch in patches}
        done = {number: result for number, result in found.items() if result is not None}
        if done:
            self._feedback.info(f"{len(done)} of {len(patches)} {noun}s are finished already in {folder.path}.")
        return done

    def _report(self, patch: Patch, result: Finished) -> None:
        if result.note:
            self._feedback.info(result.note)
        self._feedback.debug(f"Part {patch}: {counted(result.segments, 'segment')}, {result.seconds:.2f} s.")
        if result.printed:
            self._feedback.debug(_brief(result.printed))


def _brief(printed: str) -> str:
    """What RSGISLib said, without its three lines for each size of clump and its counting to 100."""
    steps = ("Eliminating clumps of size", "Found ", "Eliminated ", "Started")
    lines = [line.strip() for line in printed.splitlines()]
    kept = [line for line in lines if line and not line.startswith(steps)]
    return "\n".join(kept[:MOST_LINES] + ["..."] * (len(kept) > MOST_LINES))


def _forget_after(folder: WorkFolder, stage: int) -> None:
    """Remove what later stages of an earlier run made of patches that are now made anew."""
    for later in range(stage + 1, 4):
        folder.forget(rf"stage{later}-{NUMBER}\.(npz|raw)")


def _border_regions(folder: WorkFolder, patch: Finished) -> Optional[BorderRegions]:
    found = load(folder, patch)
    if not len(found["boxes"]):
        return None
    sides = {side: found[side] for side in ("top", "bottom", "left", "right")}
    return BorderRegions(patch.number, Window(*found["surrounding"].tolist()), found["boxes"], sides)


def _merge(job: Job, units: Sequence[Tuple[Piece, ...]], context: RunContext) -> Segments:
    """Number the segments that no later stage has replaced, in raster order of their first pixels."""
    progress = context.progress
    progress.start("merge", "Putting the stages together")
    layers = (job.first, job.second, job.third)
    offsets: Dict[str, int] = {}
    total, firsts, sizes, kept = 0, [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, bool)]
    for patch in (patch for layer in layers for patch in layer.patches):
        progress.check_cancelled()
        found = load(job.folder, patch)
        offsets[patch.name] = total
        firsts.append(found["first"])
        sizes.append(found["sizes"])
        kept.append(~found["open"][1:] if "open" in found else np.ones(patch.segments, bool))
        total += patch.segments
    first, size, keep = (np.concatenate(arrays) for arrays in (firsts, sizes, kept))
    survivors = np.flatnonzero(keep)
    survivors = survivors[np.argsort(first[survivors], kind="stable")]
    ids = np.zeros(total + 1, np.uint32)
    ids[survivors + 1] = np.arange(1, survivors.size + 1, dtype=np.uint32)
    in_pieces: Dict[int, int] = {}
    pieces = [piece for unit in units for piece in unit]
    merge = Merge(job.folder, layers, offsets, context.kernel.NAME)
    for piece, present in context.run(merge_piece, merge, pieces):
        job.folder.save_array(table_of(piece), np.append(np.uint32(0), ids[present]))
        in_pieces[piece.piece_id] = np.unique(ids[present]).size
        progress.advance(len(in_pieces) / len(pieces), "Putting the stages together")
    in_tiles = segments_in_tiles(context.plan, job.folder, in_pieces)
    job.folder.save_array(pixels_of(0), size[survivors].astype(np.int64))
    return Segments(job.folder, tuple(sorted(in_pieces)), (survivors.size,), in_tiles)
