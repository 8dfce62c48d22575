# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be said of segments by how often each value occurs in them, exact, without holding the raster.

A segment that lies within one window is finished there. Of the others, each window leaves the distinct values and how
often they occur in the work folder; they are put together afterwards, a range of segments at a time.
"""

from dataclasses import dataclass
from typing import Collection, Dict, Iterable, Iterator, List, NamedTuple, Optional, Protocol, Sequence, Tuple

import numpy as np
from numpy.typing import DTypeLike

from .. import kernels
from ..execution.runner import Runner
from ..files.stored import Rows, Stored
from ..files.window import Window
from ..files.work_folder import WorkFolder
from ..progress import Advance, Check
from ..stages.statistics import blocks
from .attributes import AttributeJob, places_of
from .segment_rows import IDS, MOST_ROWS, SIZES, Samples, cut, sampled
from .segment_rows import MOST_VALUES as ROWS_VALUES

MOST_VALUES = 1 << 24  # that are put together at a time
Described = Dict[str, np.ndarray]  # by statistic, (segments,) float64
Key = Tuple[int, str]  # index of a band, and statistic
# Number of a range, first place and place after the last, windows with finished segments of it, each with what is said
# of them, and windows that have left values of it.
Gathered = Tuple[int, Tuple[int, int], Tuple[Tuple[int, Tuple[Key, ...]], ...], Tuple[int, ...]]


class InWindow(NamedTuple):
    """What a window has left in the folder.

    finished : samples of the places of the segments that lie in it as a whole, see `segment_rows.sampled`
    keys : what is said of them
    left : samples of the places of the others, one for each value
    """

    finished: np.ndarray
    keys: Tuple[Key, ...]
    left: np.ndarray


class Countable(Protocol):
    """What is counted in segments, and what is made of the counts. Plain values: it travels to workers."""

    @property
    def first(self) -> int:
        """The number of the first band's files in the work folder."""

    @property
    def dtypes(self) -> List[DTypeLike]:
        """Of what is counted, a dtype a band."""

    def counted(
        self, job: AttributeJob, window: Window, ids: np.ndarray, labels: np.ndarray
    ) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
        """Of each band (n,) values and (n,) uint32 labels, 0 for those that do not count.

        Parameters
        ----------
        ids : (rows, cols) uint32 in the window
        labels : (pixels,) uint32, the segments in the window, from 1
        """

    def described(self, index: int, starts: np.ndarray, distinct: np.ndarray, frequencies: np.ndarray) -> Described:
        """Statistics of a band in regions whose values are as `kernels.region_histograms` returns them."""

    def check(self, index: int, names: Collection[str]) -> None:
        """Raise SegmentationError if these are more statistics of a band than there can be."""


@dataclass(frozen=True)
class HistogramJob:
    """What all windows share; the work folder holds IDS and SIZES of the segments."""

    attributes: AttributeJob
    countable: Countable
    folder: WorkFolder


def describe_window(job: HistogramJob, numbered: Tuple[int, Window], check_cancelled: Check) -> InWindow:
    """Find what is said of the segments that lie in a window as a whole, and what the others hold: both are left in the
    folder.

    Parameters
    ----------
    numbered : (number of the window, Window)
    """
    number, window = numbered
    kernel, _ = kernels.choose(job.attributes.kernels)
    ids = job.attributes.ids.reader()(window)
    present, labels, here = kernel.compact(ids)
    check_cancelled()
    places = places_of(present, job.folder.map_array(IDS))
    whole = job.folder.map_array(SIZES)[places] == here
    said: Dict[Key, np.ndarray] = {}
    owners = [np.empty(0, np.int64)]
    for index, (values, counted) in enumerate(job.countable.counted(job.attributes, window, ids, labels)):
        starts, distinct, frequencies = kernel.region_histograms(counted, present.size, values)
        check_cancelled()
        every = job.countable.described(index, starts, distinct, frequencies)
        said.update({(index, name): values[whole] for name, values in every.items()})
        open_values = np.repeat(~whole, np.diff(starts))
        if open_values.any():
            owners.append(np.repeat(places, np.diff(starts))[open_values])
            for name, array in (
                ("owner", owners[-1]),
                ("value", distinct[open_values]),
                ("times", frequencies[open_values]),
            ):
                job.folder.save_array(_name(name, job.countable.first + index, number), array)
    finished = places[whole] if said else np.empty(0, np.int64)
    if finished.size:
        job.folder.save_array(_name("finished", job.countable.first, number), finished)
        job.folder.save_array(_name("found", job.countable.first, number), np.stack(list(said.values())))
    left = np.sort(np.concatenate(owners))
    return InWindow(sampled(finished), tuple(said), sampled(left))


def _name(kind: str, band: int, window: int) -> str:
    return f"{kind}-{band}-{window:07d}"


def describe_range(job: HistogramJob, item: Gathered, check_cancelled: Check) -> Tuple[Key, ...]:
    """Put together what windows hold of a range of segments, and leave its columns in the folder.

    Returns
    -------
    what the columns are
    """
    number, (first, end), finished, left = item
    columns: Dict[Key, np.ndarray] = {}

    def put(key: Key, places: np.ndarray, values: np.ndarray) -> None:
        columns.setdefault(key, np.full(end - first, np.nan))[places - first] = values

    for window, keys in finished:
        places = job.folder.map_array(_name("finished", job.countable.first, window))
        low, high = cut(places, first, end)
        found = job.folder.map_array(_name("found", job.countable.first, window))
        for key, values in zip(keys, found if low < high else ()):
            put(key, places[low:high], values[low:high])
    for index in range(len(job.countable.dtypes)):
        check_cancelled()
        owner, value, times = _left_of(job, job.countable.first + index, (first, end), left)
        if owner.size:
            places, described = _described(job.countable, index, owner, value, times)
            for name, values in described.items():
                put((index, name), places, values)
    job.folder.save_array(_name("ranked", job.countable.first, number), np.stack([*columns.values()] or [np.empty(0)]))
    return tuple(columns)


def _left_of(job: HistogramJob, band: int, bounds: Tuple[int, int], windows: Sequence[int]) -> List[np.ndarray]:
    """Owners, values and how often they occur, of what windows have left of a range of segments."""
    parts: List[List[np.ndarray]] = [[np.empty(0, np.int64)], [], []]
    for window in windows:
        if not job.folder.has_array(_name("owner", band, window)):
            continue
        low, high = cut(job.folder.map_array(_name("owner", band, window)), *bounds)
        if low < high:
            for kind, arrays in zip(("owner", "value", "times"), parts):
                arrays.append(np.array(job.folder.map_array(_name(kind, band, window))[low:high]))
    return [np.concatenate(arrays) if arrays else np.empty(0) for arrays in parts]


def _described(
    countable: Countable, index: int, owner: np.ndarray, value: np.ndarray, times: np.ndarray
) -> Tuple[np.ndarray, Described]:
    """The places of segments that several windows hold, and what is said of them."""
    order = np.lexsort((value, owner))
    owner, value, times = owner[order], value[order], times[order]
    places, starts = np.unique(owner, return_index=True)
    # a value that several windows hold counts once, as often as all of them have it
    merged = np.flatnonzero(np.append(True, (owner[1:] != owner[:-1]) | (value[1:] != value[:-1])))
    times = np.add.reduceat(times, merged)
    starts = np.append(np.searchsorted(merged, starts), merged.size)
    return places, countable.described(index, starts, value[merged], times)


def describe_by_histograms(
    job: HistogramJob, segments: int, runner: Runner, advance: Advance, check_cancelled: Check
) -> List[Dict[str, Rows]]:
    """What is said of every segment, in values as they are stored.

    Parameters
    ----------
    segments : how many there are
    runner : see `execution`
    advance : called with the fraction that is done

    Returns
    -------
    per band {statistic: (segments,) float64}, NaN where nothing is said
    """
    kernel, _ = kernels.choose(job.attributes.kernels)
    for dtype in job.countable.dtypes:
        kernel.region_histograms(np.zeros(1, np.uint32), 1, np.zeros(1, dtype))
    columns: Dict[Key, List[Optional[int]]] = {}  # of each range, which of its columns it is
    windows = list(enumerate(blocks(job.attributes.bands[0])))
    keys: Dict[int, Tuple[Key, ...]] = {}
    finished, left = Samples(), Samples()
    for done, ((number, _), found) in enumerate(runner.run(describe_window, job, windows, check_cancelled), 1):
        finished.add(number, found.finished)
        left.add(number, found.left)
        keys[number] = found.keys
        _check(job.countable, columns, found.keys)
        advance(0.9 * done / len(windows))
    ranges = _ranges(job, finished, left, keys, segments)
    for done, ((number, *_), ranked) in enumerate(runner.run(describe_range, job, ranges, check_cancelled), 1):
        _check(job.countable, columns, ranked)
        for column, key in enumerate(ranked):
            columns[key].extend([None] * (len(ranges) - len(columns[key])))
            columns[key][number] = column
        advance(0.9 + 0.1 * done / len(ranges))
    _drop(job, finished, left)
    return _stored(job, columns, [span for _, span, *_ in ranges])


def _drop(job: HistogramJob, finished: Samples, left: Samples) -> None:
    """Remove what windows have left."""
    first, bands = job.countable.first, range(len(job.countable.dtypes))
    job.folder.drop(*(_name(kind, first, number) for kind in ("finished", "found") for number in finished.numbers))
    for kind in ("owner", "value", "times"):
        job.folder.drop(*(_name(kind, first + index, number) for index in bands for number in left.numbers))


def _stored(
    job: HistogramJob, columns: Dict[Key, List[Optional[int]]], spans: Sequence[Tuple[int, int]]
) -> List[Dict[str, Rows]]:
    """The columns of each band, in the files of the ranges."""
    paths = [job.folder.array_path(_name("ranked", job.countable.first, number)) for number in range(len(spans))]
    counts = [end - begin for begin, end in spans]
    results: List[Dict[str, Rows]] = [{} for _ in job.countable.dtypes]
    for (index, name), places in columns.items():
        results[index][name] = Stored(paths, counts, np.float64, places or [None] * len(spans))
    return results


def _check(countable: Countable, columns: Dict[Key, List[Optional[int]]], found: Iterable[Key]) -> None:
    """Take what has been found among the columns; refuse more than there can be of a band."""
    for key in found:
        if key not in columns:
            columns[key] = []
            countable.check(key[0], [name for index, name in columns if index == key[0]])


def _ranges(
    job: HistogramJob, finished: Samples, left: Samples, keys: Dict[int, Tuple[Key, ...]], segments: int
) -> List[Gathered]:
    """Ranges of places with not too many segments, of which windows have not left too many values."""
    columns = max((len(some) for some in keys.values()), default=1)
    rows = max(min(MOST_ROWS, ROWS_VALUES // max(columns, 1)), 1)
    bounds = {*range(0, segments, rows), segments}
    bounds.update(high for _, (_, high), _ in left.ranges(MOST_VALUES, segments))
    ordered = sorted(bounds)
    spans = list(zip(ordered, ordered[1:]))
    return [
        (number, span, tuple((window, keys[window]) for window in whole), some)
        for number, (span, whole, some) in enumerate(zip(spans, finished.within(spans), left.within(spans)))
    ]
