# SPDX-License-Identifier: GPL-2.0-or-later
"""Which segments touch, and along what length: found window by window, and merged a range of segments at a time.

Each window leaves its pairs in the work folder, both ways, sorted by segment. A range of segments is a slice of each of
these files; its task puts them together and leaves the finished pairs, and returns what a row a segment is made of. So
no process holds more pairs than those of one window or one range.
"""

from dataclasses import dataclass
from typing import List, NamedTuple, Tuple

import numpy as np

from .. import kernels
from ..execution.runner import Runner
from ..files.raster import Raster
from ..files.stored import Stored
from ..files.window import Window
from ..progress import Advance, Check
from .attributes import LIMB, LOW_BITS, places_of
from .margins import SidesJob, numbered_windows
from .segment_ids import RasterIds
from .segment_rows import IDS, Range, Samples, cut, sampled

MOST_PAIRS = 1 << 20  # that are put together at a time
MOST_SHARES = 1 << 24  # values of shares that a range may have


@dataclass(frozen=True)
class NeighboursJob:
    """What the tasks of both passes share.

    sides : whose folder holds IDS of the segments as the readers return them
    names : of the segments
    means : of each band, of the segments
    classes : how many there are; if any, the folder holds `classes`, (segments,) int64 from 1, 0 for those without one
    """

    sides: SidesJob
    names: RasterIds
    means: Tuple[Stored, ...]
    classes: int


class Borders(NamedTuple):
    """Where the results lie: of each range how many segments it has, and how many pairs it has left in the folder."""

    segments: List[int]
    pairs: List[int]


def find_borders(job: NeighboursJob, numbered: Tuple[int, Window], check_cancelled: Check) -> np.ndarray:
    """Find the borders in a window: the task of the first pass. Pairs are left in the folder.

    (4, n) int64: place of the segment, place of its neighbour (-1 for no data), lengths across and down.

    Returns
    -------
    samples of the places of the segments, one for each pair, see `segment_rows.sampled`
    """
    number, window = numbered
    sides = job.sides
    kernel, _ = kernels.choose(sides.kernels)
    margin = sides.read(window)
    present, labels, _ = kernel.compact(margin.ids)
    check_cancelled()
    _, across, down = margin.lengths
    pairs, lengths = kernel.region_borders(labels.reshape(margin.ids.shape), present.size, across, down)
    check_cancelled()
    places = np.append(-1, places_of(present, sides.folder.map_array(IDS))).astype(np.int64)
    low, high = places[pairs[:, 0]], places[pairs[:, 1]]
    inner = low >= 0
    both = np.concatenate([np.stack([low, high, *lengths.T])[:, inner], np.stack([high, low, *lengths.T])], axis=1)
    both = both[:, np.lexsort((both[1], both[0]))]
    sides.folder.save_array(f"borders-{number:07d}", both)
    return sampled(both[0])


def finish_range(job: NeighboursJob, item: Range, check_cancelled: Check) -> int:
    """Put the pairs of a range of segments together: the task of the second pass. Returns how many there are.

    Left in the folder are `pairs`, (2, n) uint32 ids, and `differences`, (1 + bands, n) float64, the border's length
    and the differences of the means; and `summary`, (columns, segments) float64: how many neighbours each segment has,
    the lengths of all its sides and of those beyond which there is no data, for each band the mean and the greatest
    absolute difference, NaN where there are none, and of each class the share of the perimeter.
    """
    number, (first, end), _ = item
    folder = job.sides.folder
    owner, neighbour, across, down = _merged(job, item, check_cancelled)
    _, across_unit, down_unit = job.sides.sizes.units
    between = neighbour >= 0
    starts = np.searchsorted(owner, np.arange(first, end + 1))
    total = _added(across, starts[:-1]) * across_unit + _added(down, starts[:-1]) * down_unit
    lengths = _value(across) * across_unit + _value(down) * down_unit
    open_border = np.zeros(end - first)
    open_border[owner[~between] - first] = lengths[~between]
    owner, neighbour, lengths = owner[between], neighbour[between], lengths[between]
    starts = np.searchsorted(owner, np.arange(first, end + 1))
    check_cancelled()
    others, of_other = np.unique(neighbour, return_inverse=True)
    of_other = of_other.reshape(-1)
    differences = [mean[first:end][owner - first] - mean[others][of_other] for mean in job.means]
    ids = folder.map_array(IDS)
    named = np.stack([job.names.named(np.array(ids[places])) for places in (owner, neighbour)])
    folder.save_array(f"pairs-{number:07d}", named)
    folder.save_array(f"differences-{number:07d}", np.stack([lengths, *differences]))
    summary = [np.diff(starts), total, open_border]
    for difference in map(np.abs, differences):
        summary += [_mean(difference, owner - first, end - first), _greatest(difference, starts)]
    if job.classes:
        summary += [*_shares(job, owner - first, neighbour, lengths, total)]
    folder.save_array(f"summary-{number:07d}", np.stack(summary).astype(np.float64, copy=False))
    return int(owner.size)


def _merged(job: NeighboursJob, item: Range, check_cancelled: Check) -> Tuple[np.ndarray, ...]:
    """Owner and neighbour of each pair of a range, sorted, and lengths across and down in two limbs each."""
    _, (first, end), windows = item
    parts = [np.empty((4, 0), np.int64)]
    for window in windows:
        check_cancelled()
        every = job.sides.folder.map_array(f"borders-{window:07d}")
        low, high = cut(every[0], first, end)
        if low < high:
            parts.append(np.array(every[:, low:high]))
    owner, neighbour, across, down = np.concatenate(parts, axis=1)
    order = np.lexsort((neighbour, owner))
    owner, neighbour = owner[order], neighbour[order]
    new = np.append(True, (owner[1:] != owner[:-1]) | (neighbour[1:] != neighbour[:-1]))[: owner.size]
    starts = np.flatnonzero(new)
    lengths = (_limbs(values[order], starts) for values in (across, down))
    return (owner[starts], neighbour[starts], *lengths)


def _limbs(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """(2, n) uint64: sums of (m,) int64 from each start on to the next, the low 32 bits and the rest."""
    both = np.stack([values.astype(np.uint64) & LOW_BITS, values.astype(np.uint64) >> LIMB])
    return _carried(np.add.reduceat(both, starts, axis=1) if starts.size else both)


def _carried(limbs: np.ndarray) -> np.ndarray:
    return np.stack([limbs[0] & LOW_BITS, limbs[1] + (limbs[0] >> LIMB)])


def _value(limbs: np.ndarray) -> np.ndarray:
    return limbs[1].astype(np.float64) * 2.0**32 + limbs[0].astype(np.float64)


def _added(limbs: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """(n,) float64, the sums from each start on to the next: each segment has a side."""
    return _value(_carried(np.add.reduceat(limbs, starts, axis=1)))


def _mean(values: np.ndarray, segments: np.ndarray, count: int) -> np.ndarray:
    """Of each segment, over the neighbours that have a value."""
    known = ~np.isnan(values)
    total = np.bincount(segments[known], values[known], minlength=count)
    number = np.bincount(segments[known], minlength=count)
    return np.divide(total, number, out=np.full(count, np.nan), where=number > 0)


def _greatest(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    found = np.full(starts.size - 1, np.nan)
    some = np.diff(starts) > 0
    if some.any():
        found[some] = np.fmax.reduceat(values, starts[:-1][some])
    return found


def _shares(
    job: NeighboursJob, segments: np.ndarray, neighbours: np.ndarray, lengths: np.ndarray, total: np.ndarray
) -> np.ndarray:
    """(classes, n) float64."""
    of = np.array(job.sides.folder.map_array("classes")[neighbours])
    size = job.classes + 1
    found = np.bincount(segments * size + of, lengths, minlength=total.size * size).reshape(-1, size)
    return np.ascontiguousarray((found[:, 1:] / total[:, None]).T)


def measure_borders(
    job: NeighboursJob, raster: Raster, execution: Tuple[Runner, Check], segments: int, advance: Advance
) -> Borders:
    """Both passes.

    Parameters
    ----------
    raster : of segments
    execution : the runner, and what is called now and then
    advance : called with the fraction that is done
    """
    runner, check_cancelled = execution
    job.sides.prepare()
    ones = np.ones((2, 1), np.int64)
    kernel, _ = kernels.choose(job.sides.kernels)
    kernel.region_borders(np.ones((2, 2), np.uint32), 1, ones, ones)  # compile once
    windows = numbered_windows(raster)
    samples = Samples()
    for done, ((number, _), found) in enumerate(runner.run(find_borders, job, windows, check_cancelled), 1):
        samples.add(number, found)
        advance(0.8 * done / len(windows))
    ranges = _ranges(job, samples, segments)
    pairs = [0] * len(ranges)
    for done, ((number, *_), found) in enumerate(runner.run(finish_range, job, ranges, check_cancelled), 1):
        pairs[number] = found
        advance(0.8 + 0.2 * done / len(ranges))
    job.sides.folder.drop(*(f"borders-{number:07d}" for number in samples.numbers))
    return Borders([end - first for _, (first, end), _ in ranges], pairs)


def _ranges(job: NeighboursJob, samples: Samples, segments: int) -> List[Range]:
    """Ranges of segments with not too many pairs, and not too many values in their rows."""
    most = max(1, MOST_SHARES // (job.classes + 1))
    bounds = {*range(0, segments, most), segments, *(high for _, (_, high), _ in samples.ranges(MOST_PAIRS, segments))}
    ordered = sorted(bounds)
    spans = list(zip(ordered, ordered[1:]))
    return [(number, *both) for number, both in enumerate(zip(spans, samples.within(spans)))]
