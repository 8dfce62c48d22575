# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be said of segments by how often each value occurs in them, exact, without holding the raster.

A segment that lies within one window is finished there. Of the others, each window leaves the distinct values and how
often they occur in the work folder; they are put together afterwards, a range of segments at a time.
"""

from dataclasses import dataclass
from typing import Collection, Dict, Iterator, List, Protocol, Tuple

import numpy as np
from numpy.typing import DTypeLike

from .. import kernels
from ..execution.runner import Runner
from ..files.window import Window
from ..files.work_folder import WorkFolder
from ..progress import Advance, Check
from ..stages.statistics import blocks
from .attributes import AttributeJob, Attributes, places_of

MOST_VALUES = 1 << 24  # that are put together at a time
Described = Dict[str, np.ndarray]  # by statistic, (segments,) float64


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
    """What all windows share; the work folder holds `ids` and `sizes` of the segments."""

    attributes: AttributeJob
    countable: Countable
    folder: WorkFolder


def describe_window(
    job: HistogramJob, numbered: Tuple[int, Window], check_cancelled: Check
) -> Tuple[np.ndarray, List[Described], int]:
    """What is said of the segments that lie in a window as a whole; what the others hold is left in the folder.

    Parameters
    ----------
    numbered : (number of the window, Window)

    Returns
    -------
    places : (n,) int64, of the finished segments
    results : per band {statistic: (n,) float64}
    left : how many values were left in the folder
    """
    number, window = numbered
    kernel, _ = kernels.choose(job.attributes.kernels)
    ids = job.attributes.ids.reader()(window)
    present, labels, here = kernel.compact(ids)
    check_cancelled()
    places = places_of(present, job.folder.map_array("ids"))
    whole = job.folder.map_array("sizes")[places] == here
    results: List[Described] = []
    left = 0
    for index, (values, counted) in enumerate(job.countable.counted(job.attributes, window, ids, labels)):
        starts, distinct, frequencies = kernel.region_histograms(counted, present.size, values)
        check_cancelled()
        every = job.countable.described(index, starts, distinct, frequencies)
        results.append({name: values[whole] for name, values in every.items()})
        open_values = np.repeat(~whole, np.diff(starts))
        if open_values.any():
            left += int(np.count_nonzero(open_values))
            owner = np.repeat(places, np.diff(starts))[open_values]
            for name, array in (
                ("owner", owner),
                ("value", distinct[open_values]),
                ("times", frequencies[open_values]),
            ):
                job.folder.save_array(_name(name, job.countable.first + index, number), array)
    return places[whole], results, left


def _name(kind: str, band: int, window: int) -> str:
    return f"{kind}-{band}-{window:07d}"


def describe_range(
    job: HistogramJob, bounds: Tuple[int, int], check_cancelled: Check
) -> List[Tuple[int, np.ndarray, Described]]:
    """What is said of the segments that windows left in the folder.

    Parameters
    ----------
    bounds : (first place, place after the last one)

    Returns
    -------
    of each band that has some: (its index, places, {statistic: (n,) float64})
    """
    first, end = bounds
    results = []
    for index in range(len(job.countable.dtypes)):
        band = job.countable.first + index
        parts: Dict[str, List[np.ndarray]] = {kind: [] for kind in ("owner", "value", "times")}
        for saved in job.folder.arrays(f"owner-{band}-"):
            check_cancelled()
            owner = job.folder.map_array(saved)
            low, high = np.searchsorted(owner, [first, end])
            if low < high:
                window = int(saved.rsplit("-", 1)[1])
                for kind, arrays in parts.items():
                    arrays.append(np.array(job.folder.map_array(_name(kind, band, window))[low:high]))
        if not parts["owner"]:
            continue
        owner, value, times = (np.concatenate(arrays) for arrays in parts.values())
        order = np.lexsort((value, owner))
        owner, value, times = owner[order], value[order], times[order]
        places, starts = np.unique(owner, return_index=True)
        # a value that several windows hold counts once, as often as all of them have it
        merged = np.flatnonzero(np.append(True, (owner[1:] != owner[:-1]) | (value[1:] != value[:-1])))
        times = np.add.reduceat(times, merged)
        starts = np.append(np.searchsorted(merged, starts), merged.size)
        results.append((index, places, job.countable.described(index, starts, value[merged], times)))
    return results


def describe_by_histograms(
    job: HistogramJob, attributes: Attributes, runner: Runner, advance: Advance, check_cancelled: Check
) -> List[Described]:
    """What is said of every segment, in values as they are stored.

    Parameters
    ----------
    attributes : of which ids and sizes are used
    runner : see `execution`
    advance : called with the fraction that is done

    Returns
    -------
    per band {statistic: (segments,) float64}, NaN where nothing is said
    """
    job.folder.save_array("ids", attributes.ids)
    job.folder.save_array("sizes", attributes.sizes)
    kernel, _ = kernels.choose(job.attributes.kernels)
    for dtype in job.countable.dtypes:
        kernel.region_histograms(np.zeros(1, np.uint32), 1, np.zeros(1, dtype))
    results: List[Described] = [{} for _ in job.countable.dtypes]

    def put(index: int, places: np.ndarray, found: Described) -> None:
        for name, values in found.items():
            if name not in results[index]:
                results[index][name] = np.full(attributes.ids.size, np.nan)
                job.countable.check(index, results[index])
            results[index][name][places] = values

    windows = list(enumerate(blocks(job.attributes.bands[0])))
    left = 0
    for done, (_, (places, found, more)) in enumerate(runner.run(describe_window, job, windows, check_cancelled), 1):
        for index, result in enumerate(found):
            put(index, places, result)
        left += more
        advance(0.9 * done / len(windows))
    ranges = _ranges(job, left, attributes.ids.size)
    for done, (_, ranked) in enumerate(runner.run(describe_range, job, ranges, check_cancelled), 1):
        for part in ranked:
            put(*part)
        advance(0.9 + 0.1 * done / len(ranges))
    return results


def _ranges(job: HistogramJob, left: int, segments: int) -> List[Tuple[int, int]]:
    """Ranges of segments that leave about as many values each, few enough to hold."""
    if not left:
        return []
    count = np.zeros(segments + 1, np.int64)
    for index in range(len(job.countable.dtypes)):
        for saved in job.folder.arrays(f"owner-{job.countable.first + index}-"):
            places, times = np.unique(job.folder.map_array(saved), return_counts=True)
            count[places + 1] += times
    upto = np.cumsum(count)
    parts = -(-left // MOST_VALUES)
    bounds = np.searchsorted(upto, np.arange(1, parts) * (left / parts)).tolist()
    bounds = sorted({0, *bounds, segments})
    return list(zip(bounds, bounds[1:]))
