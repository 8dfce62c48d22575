# SPDX-License-Identifier: GPL-2.0-or-later
"""What workers do: segment one patch of a stage, and put the stages together in one piece of the plan."""

import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Union

import numpy as np

from .. import kernels
from ..errors import SegmentationError, why
from ..files.gdal_access import open_raster
from ..files.raster import Raster, read_window
from ..files.window import Window
from ..files.work_folder import NUMBER, PREFIX, WorkFolder
from ..kernels.plain.clumps import clump
from ..stages.colours import Raw, Stretched
from ..stages.kmeans import cluster, distinct_colours
from ..stages.plan import Plan
from ..stages.rsgislib_stretch import declares_nothing_but_zero
from ..stages.sampling import denser_steps
from ..stages.statistics import BandStatistics, Summary, sample_colours
from ..stages.tiles import labels_of
from .patches import Layer
from .shepherd import TooFewColoursError

SCRATCH = PREFIX + "rsgislib"  # folder in the work folder where RSGISLib's own files lie while it runs


@dataclass(frozen=True)
class Settings:
    """How centres are found. untiled : RSGISLib finds them itself; own : each tile has its own stretch and centres."""

    num_clusters: int
    sampling: int
    kmeans_max_iterations: int
    stretch: bool
    untiled: bool
    own: bool


@dataclass(frozen=True)
class Job:
    """What all patches share.

    colours, centres : of the whole raster; None where each tile has its own
    segmenter : shepherd.Shepherd, or what takes its place
    first, second, third : the finished patches of the stages
    """

    raster: Raster
    plan: Plan
    folder: WorkFolder
    settings: Settings
    segmenter: Any
    colours: Optional[Union[Stretched, Raw]] = None
    centres: Optional[np.ndarray] = None
    first: Layer = Layer()
    second: Layer = Layer()
    third: Layer = Layer()


@dataclass(frozen=True)
class Finished:
    """A finished patch; its labels and the rest are in the work folder.

    window : that its labels fill
    segments : how many; printed : what RSGISLib said
    """

    name: str
    number: int
    window: Window
    segments: int
    seconds: float
    note: str = ""
    printed: str = ""


def segment_tile(job, patch, check_cancelled):
    """Stage 1: a tile by itself; tells the segments that touch another tile."""
    started = time.monotonic()
    dataset = open_raster(job.raster.path)
    window = patch.window.grown(1, job.raster.width, job.raster.height)
    values, valid = read_window(dataset, job.raster, window, job.plan.covered(window))
    own = np.zeros(valid.shape, bool)
    for part in patch.parts:
        own[part.within(window)] = True
    inside = patch.window.within(window)
    across = valid & ~own
    own &= valid
    check_cancelled()
    crop = (slice(None), *inside)
    labels, facts, note, printed = _segment_own(job, patch, values[crop], own[inside])
    touching = _touching(labels, _beside(across)[inside])
    return _save(job, patch, patch.window, labels, started, note, printed, open=touching, **facts)


def segment_cut(job, patch, check_cancelled):
    """Stage 2: what stage 1 cut, within a tile of the offset grid; tells the regions that touch another one."""
    started = time.monotonic()
    around = patch.window.grown(1, job.raster.width, job.raster.height)
    cut = _open_pixels(job.folder, job.first, around)
    inside = patch.window.within(around)
    mask = cut[inside]
    window = _box(mask, patch.window)
    if window is None:
        return _save(job, patch, Window(patch.window.col, patch.window.row, 0, 0), np.zeros((0, 0), np.uint32), started)
    check_cancelled()
    labels, printed = _segment_masked(job, patch, window, mask[window.within(patch.window)])
    across = cut
    across[inside] = False
    touching = _touching(labels, _beside(across)[window.within(around)])
    facts = _describe_regions(labels, touching, window, patch.window)
    return _save(job, patch, window, labels, started, "", printed, open=touching, **facts)


def segment_region(job, patch, check_cancelled):
    """Stage 3: connected regions that stage 2 cut, as wholes."""
    started = time.monotonic()
    wanted: Dict[int, list] = {}
    for number, region in patch.parts:
        wanted.setdefault(number, []).append(region)
    mask = np.zeros((patch.window.height, patch.window.width), bool)
    for source in job.second.patches_in(patch.window):
        if source.number in wanted:
            member = np.isin(load(job.folder, source)["region_of"], wanted[source.number])
            _overlay(mask, patch.window, job.folder, source, member)
    check_cancelled()
    labels, printed = _segment_masked(job, patch, patch.window, mask)
    return _save(job, patch, patch.window, labels, started, "", printed)


@dataclass(frozen=True)
class Merge:
    """What putting the stages together needs. offsets : {name of a patch: number of segments before its own}"""

    folder: WorkFolder
    layers: tuple
    offsets: dict


def merge_piece(merge, piece, check_cancelled):
    """The labels of a piece of the plan as the output is written from; gives the segment behind each of them.

    Returns
    -------
    (labels,) uint32, index of each label's segment among those of all patches, from 1
    """
    window = piece.window
    merged = np.zeros((window.height, window.width), np.uint32)
    for layer in merge.layers:  # a later stage covers what an earlier one cut
        check_cancelled()
        for source in layer.patches_in(window):
            table = np.arange(source.segments + 1, dtype=np.uint32) + np.uint32(merge.offsets[source.name])
            _overlay(merged, window, merge.folder, source, table)
    present, labels = np.unique(merged, return_inverse=True)
    labels = labels.reshape(merged.shape).astype(np.uint32)
    if present[0] != 0:
        labels += np.uint32(1)
    merge.folder.save_rows(labels_of(piece), labels)
    return present[present != 0]


def load(folder, source):
    """What was saved about a finished patch, without its labels.

    Raises
    ------
    SegmentationError : it is damaged
    """
    found = folder.load(source.name)
    if found is None:
        raise SegmentationError(f"The file {source.name} in {folder.path} is damaged: start the run again.")
    return found


def finished(folder, patch):
    """The result of a patch that an earlier run finished; None if there is none or its files are damaged."""
    found = folder.load(patch.name)
    if found is None:
        return None
    window = Window(*found["window"].tolist())
    if window.pixels and folder.checksum(patch.name) != int(found["checksum"]):
        return None
    return Finished(patch.name, patch.number, window, found["first"].size, float(found["seconds"]))


def _segment_own(job, patch, values, valid):
    """Segments of a tile, and what later stages need: (labels, arrays to save, note, printed)."""
    if job.settings.untiled:
        try:
            labels, printed = _segment_alone(job, patch, values, valid)
            return labels, {}, "", printed
        except TooFewColoursError:
            pass
    note, facts = "", {}
    colours, centres = job.colours, job.centres
    if centres is None:
        colours, centres = _own_centres(job, values, valid)
        facts = {"centres": centres}
        if job.settings.stretch:
            facts.update(low=np.array(colours.low), high=np.array(colours.high))
        if len(centres) < job.settings.num_clusters:
            note = (
                f"{len(centres)} clusters instead of {job.settings.num_clusters} in part {patch}: the others found no "
                "pixel of their own."
            )
    labels, printed = _segment(job, patch, colours.compared(values, valid, kernels.choose("plain")[0]), valid, centres)
    return labels, facts, note, printed


def _segment_alone(job, patch, values, valid):
    """As RSGISLib does it by itself, where one tile holds the whole raster."""
    if not declares_nothing_but_zero(job.raster):
        values = np.where(valid, values, values.dtype.type(0))
    settings = job.settings
    with _Scratch(job.folder, patch) as folder:
        return job.segmenter.alone(
            values, settings.num_clusters, settings.sampling, settings.kmeans_max_iterations, settings.stretch, folder
        )


def _own_centres(job, values, valid):
    """A tile's own stretch and centres; of a denser sample, and then fewer centres, where it has fewer colours."""
    settings = job.settings
    chosen = values[:, valid]
    summary = Summary(tuple(_band_statistics(band) for band in chosen), chosen.T, {})
    colours = summary.colours(job.raster, settings.stretch)
    kernel, _ = kernels.choose()
    compared = sample_colours(summary, colours, kernel)
    for step in (settings.sampling, *denser_steps(settings.sampling)):
        taken = np.zeros(valid.size, bool)
        taken[::step] = True
        sample = compared[taken.reshape(valid.shape)[valid]]
        if not len(sample):
            continue
        different, counts, _ = distinct_colours(sample, kernel)
        if len(different) >= settings.num_clusters:
            break
    centres, _ = cluster(different, counts, settings.num_clusters, settings.kmeans_max_iterations, kernel)
    return colours, centres


def _band_statistics(values):
    values = values.astype(np.float64)
    mean = float(values.mean())
    return BandStatistics(
        values.size, mean, float(((values - mean) ** 2).sum()), float(values.min()), float(values.max())
    )


def _segment_masked(job, patch, window, mask):
    """Segments of the pixels of a mask, with the centres of the raster or of the nearest tile."""
    values, valid = read_window(open_raster(job.raster.path), job.raster, window, job.plan.covered(window))
    mask = mask & valid
    colours, centres = job.colours, job.centres
    if centres is None:
        near = next(one for one in job.first.patches if one.number == patch.nearest)
        found = load(job.folder, near)
        centres = found["centres"]
        colours = Stretched(tuple(found["low"]), tuple(found["high"])) if job.settings.stretch else Raw()
    return _segment(job, patch, colours.compared(values, mask, kernels.choose("plain")[0]), mask, centres)


def _segment(job, patch, compared, valid, centres):
    with _Scratch(job.folder, patch) as folder:
        labels, printed = job.segmenter.with_centres(compared, valid, centres, folder)
    if ((labels != 0) != valid).any():
        raise SegmentationError(f"RSGISLib left pixels of part {patch} without a segment: use ENGINE=builtin.")
    return labels, printed


def clear_scratch(folder):
    """Remove what RSGISLib left in a work folder, and nothing else."""
    scratch = Path(folder.path) / SCRATCH
    for patch in scratch.glob("stage?-*") if not scratch.is_symlink() else ():
        if re.fullmatch(rf"stage\d-{NUMBER}", patch.name) and not patch.is_symlink():
            shutil.rmtree(patch, ignore_errors=True)
    with suppress(OSError):  # something else is in it, or it is not there
        scratch.rmdir()


class _Scratch:
    """A folder for what RSGISLib reads and writes for one patch, gone afterwards."""

    def __init__(self, folder, patch):
        self._path = Path(folder.path) / SCRATCH / patch.name

    def __enter__(self):
        shutil.rmtree(self._path, ignore_errors=True)
        try:
            self._path.mkdir(parents=True)
        except OSError as error:
            raise SegmentationError(
                f"{self._path} cannot be made ({why(error)}): make room, or choose another WORK_DIR."
            ) from error
        return self._path

    def __exit__(self, *_):
        shutil.rmtree(self._path, ignore_errors=True)


def _touching(labels, marked):
    """(segments + 1,) bool, the segments that have a pixel that is marked."""
    touching = np.zeros(int(labels.max(initial=0)) + 1, bool)
    touching[labels[marked]] = True
    touching[0] = False
    return touching


def _beside(mask):
    """The pixels that have a 4-neighbour in a mask."""
    beside = np.zeros(mask.shape, bool)
    beside[1:] |= mask[:-1]
    beside[:-1] |= mask[1:]
    beside[:, 1:] |= mask[:, :-1]
    beside[:, :-1] |= mask[:, 1:]
    return beside


def _box(mask, window):
    """The smallest window in the raster that holds the pixels of a mask over `window`; None if it has none."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    left, top = int(cols[0]), int(rows[0])
    return Window(window.col + left, window.row + top, int(cols[-1]) - left + 1, int(rows[-1]) - top + 1)


def _open_pixels(folder, layer, window):
    """(rows, cols) bool, the pixels of a window whose segments touch a border of their stage."""
    pixels = np.zeros((window.height, window.width), bool)
    for source in layer.patches_in(window):
        _overlay(pixels, window, folder, source, load(folder, source)["open"])
    return pixels


def _overlay(target, window, folder, source, table):
    """Put what a table says of a patch's segments into an array over a window, where the patch has segments."""
    common = source.window.intersection(window)
    if common is None:
        return
    rows = folder.load_rows(source.name, common.row - source.window.row, common.height, source.window.width, np.uint32)
    left = common.col - source.window.col
    labels = rows[:, left : left + common.width]
    part, present = target[common.within(window)], labels != 0
    part[present] = table[labels[present]]


def _describe_regions(labels, touching, window, surrounding):
    """Number the connected regions of touching segments: their boxes, their segments, and where they meet the sides."""
    regions, count = clump(touching[labels].astype(np.uint16))
    region_of = np.zeros(touching.size, np.int64)
    region_of[labels] = regions
    region_of[~touching] = 0
    boxes = _bounding_boxes(regions, count) + np.array((window.col, window.row) * 2)
    whole = np.zeros((surrounding.height, surrounding.width), np.int64)
    whole[window.within(surrounding)] = regions
    sides = {"top": whole[0], "bottom": whole[-1], "left": whole[:, 0], "right": whole[:, -1]}
    return {"region_of": region_of, "boxes": boxes, "surrounding": np.array(surrounding), **sides}


def _bounding_boxes(regions, count):
    """Left, top, right and bottom (beyond the last pixel) of each region: (count, 4) int64."""
    boxes = np.empty((count, 4), np.int64)
    for low, array in ((1, regions), (0, regions.T)):
        lines, places = np.nonzero(array)
        region = array[lines, places].astype(np.int64) - 1
        boxes[region[::-1], low] = lines[::-1]  # lines ascend, and what is written last stays
        boxes[region, low + 2] = lines + 1
    return boxes


def _save(job, patch, window, labels, started, note="", printed="", **arrays):
    """Write a finished patch to the work folder."""
    count = int(labels.max(initial=0))
    flat = labels.ravel()
    present = np.flatnonzero(flat)
    first = np.full(count + 1, flat.size, np.int64)
    first[flat[present[::-1]]] = present[::-1]
    rows, cols = np.divmod(first[1:], max(window.width, 1))
    checksum = job.folder.save_rows(patch.name, labels) if labels.size else 0
    seconds = time.monotonic() - started
    job.folder.save(
        patch.name,
        first=(window.row + rows) * job.raster.width + window.col + cols,
        sizes=np.bincount(flat, minlength=count + 1)[1:],
        window=np.array(window),
        checksum=np.int64(checksum),
        seconds=np.float64(seconds),
        **arrays,
    )
    return Finished(patch.name, patch.number, window, count, seconds, note, printed)
