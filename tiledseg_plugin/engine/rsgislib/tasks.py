# SPDX-License-Identifier: GPL-2.0-or-later
"""What workers do: segment one patch of a stage, and put the stages together in one piece of the plan."""

import re
import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

import numpy as np

from .. import kernels
from ..errors import SegmentationError, why
from ..files.gdal_access import open_raster
from ..files.raster import Raster
from ..files.reading import read_window
from ..files.window import Window
from ..files.work_folder import NUMBER, PREFIX, WorkFolder
from ..progress import Check
from ..stages.colours import Raw, Stretched
from ..stages.kmeans import cluster, distinct_colours
from ..stages.plan import Piece, Plan
from ..stages.rsgislib_stretch import declares_nothing_but_zero
from ..stages.sampling import colours_of_values, denser_steps
from ..stages.statistics import BandStatistics, Summary
from ..stages.tiles import labels_of
from ..wording import counted
from .borders import box_of, describe_regions, neighbours_of, touching_segments
from .patches import Layer, Patch
from .shepherd import Segmenter, TooFewColoursError

Colours = Union[Stretched, Raw]
SCRATCH = PREFIX + "rsgislib"  # folder in the work folder where RSGISLib's own files lie while it runs


@dataclass(frozen=True)
class Settings:
    """How centres are found.

    untiled : RSGISLib finds them itself
    own : each tile has its own stretch and centres
    """

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
    first, second, third : the finished patches of the stages
    """

    raster: Raster
    plan: Plan
    folder: WorkFolder
    settings: Settings
    segmenter: Segmenter
    colours: Optional[Colours] = None
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


class Segmented(NamedTuple):
    """The segments of a patch.

    labels : (rows, cols) uint32, 1 and up; 0 where there is none
    printed : what RSGISLib said
    note : a sentence for the user
    """

    labels: np.ndarray
    printed: str = ""
    note: str = ""


def segment_tile(job: Job, patch: Patch, check_cancelled: Check) -> Finished:
    """Stage 1: a tile by itself, and which of its segments touch another tile."""
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
    segmented, facts = _segment_own(job, patch, values[crop], own[inside])
    touching = touching_segments(segmented.labels, neighbours_of(across)[inside])
    return _save(job, patch, patch.window, segmented, started, open=touching, **facts)


def segment_cut(job: Job, patch: Patch, check_cancelled: Check) -> Finished:
    """Stage 2: what stage 1 cut, within a tile of the offset grid, and which regions touch another one."""
    started = time.monotonic()
    around = patch.window.grown(1, job.raster.width, job.raster.height)
    cut = _open_pixels(job.folder, job.first, around)
    inside = patch.window.within(around)
    mask = cut[inside]
    window = box_of(mask, patch.window)
    if window is None:
        nothing = Segmented(np.zeros((0, 0), np.uint32))
        return _save(job, patch, Window(patch.window.col, patch.window.row, 0, 0), nothing, started)
    check_cancelled()
    segmented = _segment_masked(job, patch, window, mask[window.within(patch.window)])
    across = cut
    across[inside] = False
    touching = touching_segments(segmented.labels, neighbours_of(across)[window.within(around)])
    facts = describe_regions(segmented.labels, touching, window, patch.window)
    return _save(job, patch, window, segmented, started, open=touching, **facts)


def segment_region(job: Job, patch: Patch, check_cancelled: Check) -> Finished:
    """Stage 3: connected regions that stage 2 cut, as wholes."""
    started = time.monotonic()
    wanted: Dict[int, List[int]] = {}
    for number, region in patch.regions:
        wanted.setdefault(number, []).append(region)
    mask = np.zeros((patch.window.height, patch.window.width), bool)
    for source in job.second.patches_in(patch.window):
        if source.number in wanted:
            member = np.isin(load(job.folder, source)["region_of"], wanted[source.number])
            _overlay(mask, patch.window, job.folder, source, member)
    check_cancelled()
    return _save(job, patch, patch.window, _segment_masked(job, patch, patch.window, mask), started)


@dataclass(frozen=True)
class Merge:
    """What putting the stages together needs.

    offsets : {name of a patch: number of segments before its own}
    kernels : name of the set, as `kernels.choose` takes it
    """

    folder: WorkFolder
    layers: Tuple[Layer, ...]
    offsets: Dict[str, int]
    kernels: str


def merge_piece(merge: Merge, piece: Piece, check_cancelled: Check) -> np.ndarray:
    """Save the labels of a piece of the plan, from which the output is written; returns which segment each of them is.

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
    merge.folder.save_labels(labels_of(piece), labels, kernels.choose(merge.kernels)[0])
    return present[present != 0]


def load(folder: WorkFolder, source: Union[Patch, Finished]) -> Dict[str, np.ndarray]:
    """What was saved about a finished patch, without its labels.

    Raises
    ------
    SegmentationError : it is damaged
    """
    found = folder.load(source.name)
    if found is None:
        raise SegmentationError(f"The file {source.name} in {folder.path} is damaged: start the run again.")
    return found


def finished(folder: WorkFolder, patch: Patch) -> Optional[Finished]:
    """The result of a patch that an earlier run finished; None if there is none or its files are damaged."""
    found = folder.load(patch.name)
    if found is None:
        return None
    window = Window(*found["window"].tolist())
    if window.pixels and folder.checksum(patch.name) != int(found["checksum"]):
        return None
    return Finished(patch.name, patch.number, window, found["first"].size, float(found["seconds"]))


def _segment_own(
    job: Job, patch: Patch, values: np.ndarray, valid: np.ndarray
) -> Tuple[Segmented, Dict[str, np.ndarray]]:
    """The segments of a tile, and what later stages need of it."""
    if job.settings.untiled:
        try:
            return _segment_alone(job, patch, values, valid), {}
        except TooFewColoursError:
            pass
    note, facts = "", {}
    colours, centres = job.colours, job.centres
    if colours is None or centres is None:
        colours, centres = _own_centres(job, values, valid)
        facts = {"centres": centres}
        if isinstance(colours, Stretched):
            facts.update(low=np.array(colours.low), high=np.array(colours.high))
        if len(centres) < job.settings.num_clusters:
            note = (
                f"{counted(len(centres), 'cluster')} instead of {job.settings.num_clusters} in part {patch}: "
                "the others found no pixel of their own."
            )
    compared = colours.compared(values, valid, kernels.choose("plain")[0])
    return _segment(job, patch, compared, valid, centres)._replace(note=note), facts


def _segment_alone(job: Job, patch: Patch, values: np.ndarray, valid: np.ndarray) -> Segmented:
    """As RSGISLib does it by itself, where one tile holds the whole raster."""
    if not declares_nothing_but_zero(job.raster):
        values = np.where(valid, values, values.dtype.type(0))
    settings = job.settings
    with _scratch(job.folder, patch) as folder:
        return Segmented(
            *job.segmenter.alone(
                values,
                settings.num_clusters,
                settings.sampling,
                settings.kmeans_max_iterations,
                settings.stretch,
                folder,
            )
        )


def _own_centres(job: Job, values: np.ndarray, valid: np.ndarray) -> Tuple[Colours, np.ndarray]:
    """A tile's own stretch and centres; of a denser sample, and then fewer centres, where it has fewer colours."""
    settings = job.settings
    chosen = values[:, valid]
    summary = Summary(tuple(_band_statistics(band) for band in chosen), (), {})
    colours = summary.colours(job.raster, settings.stretch)
    kernel, _ = kernels.choose()
    compared = colours_of_values(chosen, colours, kernel)
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


def _band_statistics(values: np.ndarray) -> BandStatistics:
    values = values.astype(np.float64)
    mean = float(values.mean())
    return BandStatistics(
        values.size, mean, float(((values - mean) ** 2).sum()), float(values.min()), float(values.max())
    )


def _segment_masked(job: Job, patch: Patch, window: Window, mask: np.ndarray) -> Segmented:
    """Segments of the pixels of a mask, with the centres of the raster or of the nearest tile."""
    values, valid = read_window(open_raster(job.raster.path), job.raster, window, job.plan.covered(window))
    mask = mask & valid
    colours, centres = job.colours, job.centres
    if colours is None or centres is None:
        near = next(one for one in job.first.patches if one.number == patch.nearest)
        found = load(job.folder, near)
        centres = found["centres"]
        colours = Stretched(tuple(found["low"]), tuple(found["high"])) if job.settings.stretch else Raw()
    return _segment(job, patch, colours.compared(values, mask, kernels.choose("plain")[0]), mask, centres)


def _segment(job: Job, patch: Patch, compared: np.ndarray, valid: np.ndarray, centres: np.ndarray) -> Segmented:
    with _scratch(job.folder, patch) as folder:
        labels, printed = job.segmenter.with_centres(compared, valid, centres, folder)
    if ((labels != 0) != valid).any():
        raise SegmentationError(f"RSGISLib left pixels of part {patch} without a segment: use ENGINE=builtin.")
    return Segmented(labels, printed)


def clear_scratch(folder: WorkFolder) -> None:
    """Remove what RSGISLib left in a work folder, and nothing else."""
    scratch = Path(folder.path) / SCRATCH
    for patch in scratch.glob("stage?-*") if not scratch.is_symlink() else ():
        if re.fullmatch(rf"stage\d-{NUMBER}", patch.name) and not patch.is_symlink():
            shutil.rmtree(patch, ignore_errors=True)
    with suppress(OSError):  # something else is in it, or it is not there
        scratch.rmdir()


@contextmanager
def _scratch(folder: WorkFolder, patch: Patch) -> Iterator[Path]:
    """A folder for what RSGISLib reads and writes for one patch, gone afterwards."""
    path = Path(folder.path) / SCRATCH / patch.name
    if path.parent.is_symlink():
        raise SegmentationError(
            f"{path.parent} is a link, which is not followed: remove it, or choose another WORK_DIR."
        )
    shutil.rmtree(path, ignore_errors=True)
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise SegmentationError(
            f"{path} cannot be made ({why(error)}): make room, or choose another WORK_DIR."
        ) from error
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _open_pixels(folder: WorkFolder, layer: Layer, window: Window) -> np.ndarray:
    """(rows, cols) bool, the pixels of a window whose segments touch a border of their stage."""
    pixels = np.zeros((window.height, window.width), bool)
    for source in layer.patches_in(window):
        _overlay(pixels, window, folder, source, load(folder, source)["open"])
    return pixels


def _overlay(target: np.ndarray, window: Window, folder: WorkFolder, source: Finished, table: np.ndarray) -> None:
    """Put what a table says of a patch's segments into an array over a window, where the patch has segments."""
    common = source.window.intersection(window)
    if common is None:
        return
    rows = folder.load_rows(source.name, common.row - source.window.row, common.height, source.window.width, np.uint32)
    left = common.col - source.window.col
    labels = rows[:, left : left + common.width]
    part, present = target[common.within(window)], labels != 0
    part[present] = table[labels[present]]


def _save(
    job: Job, patch: Patch, window: Window, segmented: Segmented, started: float, **arrays: np.ndarray
) -> Finished:
    """Write a finished patch, begun at `started` by `time.monotonic`, to the work folder."""
    labels = segmented.labels
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
    return Finished(patch.name, patch.number, window, count, seconds, segmented.note, segmented.printed)
