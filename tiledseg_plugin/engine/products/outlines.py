# SPDX-License-Identifier: GPL-2.0-or-later
"""Outlines of segments: traced window by window, joined exactly, kept in the work folder as rings of pixel corners.

A segment that lies within one window is finished there. Of the others, windows leave chains; the end of each names
the pixel side on which it goes on, so joining is a look-up, and what comes out does not depend on the windows.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np

from .. import kernels
from ..execution.runner import Runner
from ..files.stored import Rows
from ..files.window import Window
from ..files.work_folder import WorkFolder, narrowed
from ..progress import Advance, Check
from ..stages.parts import load_or_raise
from .attributes import places_of
from .segment_ids import SegmentIds

WINDOW = 1024  # pixels
SEGMENTS_AT_A_TIME = 4096
SEGMENTS_IN_LOT = 64 * SEGMENTS_AT_A_TIME
CORNERS_AT_A_TIME = 1 << 22
SORTED = ("owners", "outer", "files", "starts", "lengths")
Arrays = Tuple[np.ndarray, ...]


@dataclass(frozen=True)
class OutlineJob:
    """What all windows share.

    all_junctions : also keep corners on straight borders where other segments meet, for simplifying
    sizes : (segments,) int64 pixels
    is_dense : whether the ids are 1, 2, 3 ..; otherwise the work folder holds them as `ids`
    """

    ids: SegmentIds
    width: int
    height: int
    all_junctions: bool
    kernels: str
    folder: WorkFolder
    sizes: Rows
    is_dense: bool

    def places_of(self, ids: np.ndarray) -> np.ndarray:
        """The indices of some ids among all of them."""
        return ids.astype(np.int64) - 1 if self.is_dense else places_of(ids, self.folder.map_array("ids"))


class SomeRings(NamedTuple):
    """The rings of some segments, ordered by segment, outer ones first, then by first corner.

    owners : (rings,) int64, the place of each ring's segment among the ids
    outer : (rings,) bool
    offsets : (rings + 1,) where each begins in the corners
    corners, flags : see `kernels.finish_rings`
    """

    owners: np.ndarray
    outer: np.ndarray
    offsets: np.ndarray
    corners: np.ndarray
    flags: np.ndarray


class Rings:
    """Every ring of every segment, in files.

    Parameters
    ----------
    folder : with what `sort_rings` has left
    parts : the most outer rings that a segment has
    """

    def __init__(self, folder: WorkFolder, parts: int) -> None:
        self.parts = parts
        self._folder = folder
        self._lot, self._sorted = -1, {"owners": np.empty(0, np.int64)}

    def range(self, first: int, end: int) -> SomeRings:
        """The rings of the segments at places first..end, which lie in one lot of SEGMENTS_IN_LOT."""
        if first // SEGMENTS_IN_LOT != self._lot:
            self._lot = first // SEGMENTS_IN_LOT
            self._sorted = load_or_raise(self._folder, _sorted_name(self._lot))
        low, high = np.searchsorted(self._sorted["owners"], [first, end])
        owners, outer, files, starts, lengths = (self._sorted[name][low:high] for name in SORTED)
        starts, lengths = starts.astype(np.int64), lengths.astype(np.int64)
        offsets = np.append(0, np.cumsum(lengths))
        corners, flags = np.empty((offsets[-1], 2), np.int32), np.empty(offsets[-1], np.uint8)
        for file in np.unique(files):
            chosen = np.flatnonzero(files == file)
            source = _ranges(starts[chosen], lengths[chosen])
            target = _ranges(offsets[:-1][chosen], lengths[chosen])
            corners[target] = self._folder.map_array(f"corners-{file:07d}")[source]
            flags[target] = self._folder.map_array(f"flags-{file:07d}")[source]
        return SomeRings(owners, outer, offsets, corners, flags)


def _rings_name(number: int) -> str:
    """Under which lies whose the rings in a file of corners are."""
    return f"rings-{number:07d}"


def _sorted_name(lot: int) -> str:
    """Under which lie the rings of a lot of segments, in their order."""
    return f"sorted-{lot:07d}"


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


def trace_window(job: OutlineJob, numbered: Tuple[int, Window], check_cancelled: Check) -> Tuple[List[int], Arrays]:
    """Trace a window: the task of this stage.

    Returns
    -------
    lots : of segments that have rings which are finished and in the folder
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
    present, _, here = kernel.compact(ids[1:-1, 1:-1])
    whole = present[job.sizes[job.places_of(present)] == here]
    finished = np.isin(owners, whole)
    lengths = np.diff(offsets)

    index = _ranges(offsets[:-1][~finished], lengths[~finished])
    job.folder.save_array(f"chain-corners-{number:07d}", corners[index])
    job.folder.save_array(f"chain-flags-{number:07d}", flags[index])
    chains = job.places_of(owners[~finished]), starts[~finished], ends[~finished], lengths[~finished]

    index = _ranges(offsets[:-1][finished], lengths[finished])
    lots = _finish(job, number, job.places_of(owners[finished]), lengths[finished], corners[index], flags[index])
    return lots, chains


def _finish(
    job: OutlineJob, number: int, owners: np.ndarray, lengths: np.ndarray, corners: np.ndarray, flags: np.ndarray
) -> List[int]:
    """Put simple rings into files; returns the lots of segments that they are of."""
    kernel, _ = kernels.choose(job.kernels)
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    sources, offsets, corners, flags, areas = kernel.finish_rings(offsets, corners, flags)
    job.folder.save_array(f"corners-{number:07d}", corners)
    job.folder.save_array(f"flags-{number:07d}", flags)
    first = corners[offsets[:-1]].astype(np.int64)
    codes, owners = first[:, 0] << 32 | first[:, 1], owners[sources]
    arrays = {"owners": owners, "offsets": offsets, "codes": codes}
    job.folder.save(_rings_name(number), outer=areas > 0, **{name: narrowed(array) for name, array in arrays.items()})
    return np.unique(owners // SEGMENTS_IN_LOT).tolist()


def trace_segments(job: OutlineJob, runner: Runner, advance: Advance, check_cancelled: Check) -> Rings:
    """The outlines of all segments."""
    windows = windows_of(job.width, job.height)
    kernel, _ = kernels.choose(job.kernels)
    kernel.finish_rings(*kernel.trace_outlines(np.eye(4, dtype=np.uint32), 0, 0, 2, False)[3:])  # compile once
    files: Dict[int, List[int]] = defaultdict(list)
    chains = {}
    for done, ((number, _), (lots, left)) in enumerate(runner.run(trace_window, job, windows, check_cancelled), 1):
        chains[number] = left
        for lot in lots:
            files[lot].append(number)
        advance(0.8 * done / len(windows))
    for number, lots in _join(job, [chains[number] for number in range(len(windows))], check_cancelled):
        for lot in lots:
            files[lot].append(number)
    job.folder.drop(*(f"chain-{what}-{number:07d}" for what in ("corners", "flags") for number in chains))
    advance(0.9)
    todo = [(lot, tuple(sorted(files[lot]))) for lot in range(-(-job.sizes.size // SEGMENTS_IN_LOT))]
    parts = 0
    for done, (_, most) in enumerate(runner.run(sort_rings, job.folder, todo, check_cancelled), 1):
        parts = max(parts, most)
        advance(0.9 + 0.1 * done / len(todo))
    job.folder.drop(*(_rings_name(number) for number in {number for some in files.values() for number in some}))
    return Rings(job.folder, parts)


def _join(job: OutlineJob, chains: Sequence[Arrays], check_cancelled: Check) -> Iterator[Tuple[int, List[int]]]:
    """Link the chains of all windows into rings and finish these: (number of a file, lots that it has rings of)."""
    owners, starts, ends, lengths = (np.concatenate(arrays) for arrays in zip(*chains))
    files = np.repeat(np.arange(len(chains)), [part[0].size for part in chains])
    begins = np.concatenate([np.append(0, np.cumsum(part[3]))[:-1] for part in chains]).astype(np.int64)
    by_start = np.argsort(starts, kind="stable")
    following = by_start[np.searchsorted(starts[by_start], ends)] if starts.size else by_start
    order, cuts = _cycles(following.tolist())
    ends = np.append(cuts, order.size)
    corners = np.append(0, np.cumsum(lengths[order]))[ends]
    number, first = len(chains), 0
    while first < cuts.size:  # so many rings that not all of their corners have to be held
        check_cancelled()
        last = max(first + 1, int(np.searchsorted(corners, corners[first] + CORNERS_AT_A_TIME)) - 1)
        some, begin = order[ends[first] : ends[last]], ends[first : last + 1] - ends[first]
        yield number, _finish_linked(job, number, some, begin, (owners, files, begins, lengths))
        number, first = number + 1, last


def _finish_linked(
    job: OutlineJob, number: int, order: np.ndarray, cuts: np.ndarray, chains: Sequence[np.ndarray]
) -> List[int]:
    """Put rings together from chains and finish them, see `_finish`.

    Parameters
    ----------
    order : chains, those of a ring one behind the other
    cuts : (rings + 1,) where each ring begins in `order`
    chains : of all chains their owners, files, where they begin in these, and lengths
    """
    owners, files, begins, lengths = (array[order] for array in chains)
    offsets = np.append(0, np.cumsum(lengths))
    corners, flags = np.empty((offsets[-1], 2), np.int32), np.empty(offsets[-1], np.uint8)
    for file in np.unique(files):
        chosen = np.flatnonzero(files == file)
        source = _ranges(begins[chosen], lengths[chosen])
        target = _ranges(offsets[:-1][chosen], lengths[chosen])
        corners[target] = job.folder.map_array(f"chain-corners-{file:07d}")[source]
        flags[target] = job.folder.map_array(f"chain-flags-{file:07d}")[source]
    return _finish(job, number, owners[cuts[:-1]], np.diff(offsets[cuts]), corners, flags)


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


def sort_rings(folder: WorkFolder, lot: Tuple[int, Tuple[int, ...]], check_cancelled: Check) -> int:
    """Gather and sort the rings of a lot of segments: the task. Returns the most outer rings that one has.

    Parameters
    ----------
    lot : its number, and those of the files that have rings of it
    """
    number, files = lot
    first = number * SEGMENTS_IN_LOT
    found = {name: [np.empty(0, np.int64)] for name in (*SORTED, "codes")}
    for file in files:
        check_cancelled()
        saved = load_or_raise(folder, _rings_name(file), "owners", "outer", "offsets", "codes")
        here = np.flatnonzero((saved["owners"] >= first) & (saved["owners"] < first + SEGMENTS_IN_LOT))
        offsets = saved["offsets"].astype(np.int64)
        saved.update(starts=offsets[:-1], lengths=np.diff(offsets))
        saved["files"] = np.full(saved["owners"].size, file, np.int32)
        for name, parts in found.items():
            parts.append(saved[name][here].astype(np.int64))
    rings = {name: np.concatenate(parts) for name, parts in found.items()}
    order = np.lexsort((rings["codes"], rings["outer"] == 0, rings["owners"]))
    outer = rings["outer"] != 0
    folder.save(
        _sorted_name(number), **{name: rings[name][order] for name in SORTED if name != "outer"}, outer=outer[order]
    )
    return int(np.bincount(rings["owners"][outer] - first).max(initial=0))
