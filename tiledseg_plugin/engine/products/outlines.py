# SPDX-License-Identifier: GPL-2.0-or-later
"""Outlines of segments: traced window by window, joined exactly, kept in the work folder as rings of pixel corners.

A segment that lies within one window is finished there. Of the others, windows leave chains; the end of each names
the pixel side on which it goes on, so joining is a look-up, and what comes out does not depend on the windows.
"""

from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

import numpy as np

from .. import kernels
from ..execution.runner import Runner
from ..files.window import Window
from ..files.work_folder import WorkFolder
from ..progress import Advance, Check
from .attributes import Attributes, places_of
from .segment_ids import SegmentIds

WINDOW = 1024  # pixels
SEGMENTS_AT_A_TIME = 4096
Arrays = Tuple[np.ndarray, ...]


@dataclass(frozen=True)
class OutlineJob:
    """What all windows share; the work folder holds `ids` and `sizes` of the segments.

    all_junctions : also keep corners on straight borders where other segments meet, for simplifying
    """

    ids: SegmentIds
    width: int
    height: int
    all_junctions: bool
    kernels: str
    folder: WorkFolder


@dataclass
class Rings:
    """Every ring of every segment, ordered by segment, outer ones first, then by first corner.

    owners : (rings,) int64, the place of each ring's segment among the ids
    outer : (rings,) bool
    files : (rings,) int32, number of the file that holds its corners
    starts, lengths : (rings,) int64, where in that file
    """

    owners: np.ndarray
    outer: np.ndarray
    files: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    folder: WorkFolder

    @property
    def parts(self) -> int:
        """The most outer rings that a segment has."""
        return int(np.bincount(self.owners[self.outer]).max(initial=0))

    def range(self, first: int, end: int) -> Tuple[slice, np.ndarray, np.ndarray, np.ndarray]:
        """The rings of the segments at places first..end: (rings' slice, offsets, corners, flags)."""
        low, high = np.searchsorted(self.owners, [first, end])
        lengths = self.lengths[low:high]
        offsets = np.append(0, np.cumsum(lengths))
        corners, flags = np.empty((offsets[-1], 2), np.int32), np.empty(offsets[-1], np.uint8)
        files = self.files[low:high]
        for file in np.unique(files):
            chosen = np.flatnonzero(files == file)
            source = _ranges(self.starts[low:high][chosen], lengths[chosen])
            target = _ranges(offsets[:-1][chosen], lengths[chosen])
            corners[target] = self.folder.map_array(f"corners-{file:07d}")[source]
            flags[target] = self.folder.map_array(f"flags-{file:07d}")[source]
        return slice(low, high), offsets, corners, flags


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """start, start + 1, ... of each, one behind the other."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if ends.size else 0) + np.repeat(starts - ends + lengths, lengths)


def windows_of(width: int, height: int) -> List[Tuple[int, Window]]:
    """(number, Window) of a grid of its own, whatever the user's tiles are."""
    return list(
        enumerate(
            Window(col, row, min(WINDOW, width - col), min(WINDOW, height - row))
            for row in range(0, height, WINDOW)
            for col in range(0, width, WINDOW)
        )
    )


def trace_window(job: OutlineJob, numbered: Tuple[int, Window], check_cancelled: Check) -> Tuple[Arrays, Arrays]:
    """Trace a window: the task of this stage.

    Returns
    -------
    rings : (owners, areas, offsets, code of the first corner) of the finished rings, whose corners are in the folder
    chains : (owners, starts, ends, offsets) of what other windows go on with; likewise
    """
    number, window = numbered
    kernel, _ = kernels.choose(job.kernels)
    around = window.grown(1, job.width, job.height)
    ids = np.zeros((window.height + 2, window.width + 2), np.uint32)
    top, left = around.row - window.row + 1, around.col - window.col + 1
    ids[top : top + around.height, left : left + around.width] = job.ids.reader()(around)
    check_cancelled()
    owners, starts, ends, offsets, corners, flags = kernel.trace_outlines(
        ids, window.row, window.col, job.width, job.all_junctions
    )
    check_cancelled()
    every = job.folder.map_array("ids")
    sizes = job.folder.map_array("sizes")
    present, _, here = kernel.compact(ids[1:-1, 1:-1])
    whole = present[sizes[places_of(present, every)] == here]
    finished = np.isin(owners, whole)
    lengths = np.diff(offsets)

    index = _ranges(offsets[:-1][~finished], lengths[~finished])
    job.folder.save_array(f"chain-corners-{number:07d}", corners[index])
    job.folder.save_array(f"chain-flags-{number:07d}", flags[index])
    chains = places_of(owners[~finished], every), starts[~finished], ends[~finished], lengths[~finished]

    index = _ranges(offsets[:-1][finished], lengths[finished])
    rings = _finish(job, number, places_of(owners[finished], every), lengths[finished], corners[index], flags[index])
    return rings, chains


def _finish(
    job: OutlineJob, number: int, owners: np.ndarray, lengths: np.ndarray, corners: np.ndarray, flags: np.ndarray
) -> Arrays:
    """Put simple rings into a file; (owners, areas, offsets, code of the first corner)."""
    kernel, _ = kernels.choose(job.kernels)
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    sources, offsets, corners, flags, areas = kernel.finish_rings(offsets, corners, flags)
    job.folder.save_array(f"corners-{number:07d}", corners)
    job.folder.save_array(f"flags-{number:07d}", flags)
    first = corners[offsets[:-1]].astype(np.int64)
    return owners[sources], areas, offsets, first[:, 0] << 32 | first[:, 1]


def trace_segments(
    job: OutlineJob, attributes: Attributes, runner: Runner, advance: Advance, check_cancelled: Check
) -> Rings:
    """The outlines of all segments.

    Parameters
    ----------
    attributes : attributes.Attributes, of which ids and sizes are used

    Returns
    -------
    Rings
    """
    job.folder.save_array("ids", attributes.ids)
    job.folder.save_array("sizes", attributes.sizes)
    windows = windows_of(job.width, job.height)
    kernel, _ = kernels.choose(job.kernels)
    kernel.finish_rings(*kernel.trace_outlines(np.eye(4, dtype=np.uint32), 0, 0, 2, False)[3:])  # compile once
    rings, chains = {}, {}
    for done, ((number, _), result) in enumerate(runner.run(trace_window, job, windows, check_cancelled), 1):
        rings[number], chains[number] = result
        advance(0.9 * done / len(windows))
    rings[len(windows)] = _join(job, [chains[number] for number in range(len(windows))], check_cancelled)
    return _sorted(rings, job.folder)


def _join(job: OutlineJob, chains: Sequence[Arrays], check_cancelled: Check) -> Arrays:
    """Link the chains of all windows into rings and finish these."""
    owners, starts, ends, lengths = (np.concatenate(arrays) for arrays in zip(*chains))
    files = np.repeat(np.arange(len(chains)), [part[0].size for part in chains])
    begins = np.concatenate([np.append(0, np.cumsum(part[3]))[:-1] for part in chains]).astype(np.int64)
    by_start = np.argsort(starts, kind="stable")
    following = by_start[np.searchsorted(starts[by_start], ends)] if starts.size else by_start
    order, cuts = _cycles(following.tolist())
    check_cancelled()
    total = lengths[order]
    offsets = np.append(0, np.cumsum(total))
    corners, flags = np.empty((offsets[-1], 2), np.int32), np.empty(offsets[-1], np.uint8)
    for file in np.unique(files):
        check_cancelled()
        chosen = np.flatnonzero(files[order] == file)
        source = _ranges(begins[order][chosen], total[chosen])
        target = _ranges(offsets[:-1][chosen], total[chosen])
        corners[target] = job.folder.map_array(f"chain-corners-{file:07d}")[source]
        flags[target] = job.folder.map_array(f"chain-flags-{file:07d}")[source]
    ring_offsets = offsets[np.append(cuts, order.size)]
    ring_owners = owners[order[cuts]] if order.size else owners
    return _finish(job, len(chains), ring_owners, np.diff(ring_offsets), corners, flags)


def _cycles(following: List[int]) -> Tuple[np.ndarray, np.ndarray]:
    """The members of each cycle of a permutation, one cycle behind the other, and where each begins."""
    seen = bytearray(len(following))
    order: List[int] = []
    cuts: List[int] = []
    for start in range(len(following)):
        if seen[start]:
            continue
        cuts.append(len(order))
        at = start
        while not seen[at]:
            seen[at] = 1
            order.append(at)
            at = following[at]
    return np.array(order, np.int64), np.array(cuts, np.int64)


def _sorted(rings: Dict[int, Arrays], folder: WorkFolder) -> Rings:
    numbers = sorted(rings)
    owners, areas, codes = (np.concatenate([rings[number][i] for number in numbers]) for i in (0, 1, 3))
    starts = np.concatenate([rings[number][2][:-1] for number in numbers])
    lengths = np.concatenate([np.diff(rings[number][2]) for number in numbers])
    files = np.repeat(np.array(numbers, np.int32), [rings[number][0].size for number in numbers])
    order = np.lexsort((codes, areas < 0, owners))
    return Rings(owners[order], areas[order] > 0, files[order], starts[order], lengths[order], folder)
