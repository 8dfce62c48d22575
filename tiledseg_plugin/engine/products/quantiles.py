# SPDX-License-Identifier: GPL-2.0-or-later
"""Medians, percentiles and majorities of segments, exact, without holding the raster.

A segment that lies within one window is finished there. Of the others, each window leaves the distinct values and how
often they occur in the work folder; they are put together afterwards, a range of segments at a time.
"""

from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

import numpy as np

from .. import kernels
from ..execution.runner import Runner
from ..files.window import Window
from ..files.work_folder import WorkFolder
from ..progress import Advance, Check
from ..stages.statistics import blocks
from .attributes import AttributeJob, Attributes, added_type, band_values, places_of

SHARES = {"median": 0.5, "p05": 0.05, "p95": 0.95}
ORDER_STATISTICS = (*SHARES, "majority")
MOST_VALUES = 1 << 24  # that are put together at a time
Ranked = Dict[str, np.ndarray]  # by statistic, (segments,) float64


@dataclass(frozen=True)
class QuantileJob:
    """What all windows share; the work folder holds `ids` and `sizes` of the segments.

    wanted : which of ORDER_STATISTICS
    """

    attributes: AttributeJob
    wanted: Tuple[str, ...]
    folder: WorkFolder

    def is_descending(self, index: int) -> bool:
        """Whether a band has a negative scale, so that larger stored values mean smaller ones."""
        return self.attributes.bands[index].bands[0].scale < 0


def order_statistics(
    starts: np.ndarray, distinct: np.ndarray, frequencies: np.ndarray, wanted: Sequence[str], descending: bool = False
) -> Ranked:
    """Of regions whose values are as `kernels.region_histograms` returns them.

    Percentiles lie between the nearest ranks, as in `numpy.percentile`; of values that are equally frequent the
    smallest is the majority.

    Parameters
    ----------
    descending : whether the values mean the smaller the larger they are, as by a negative scale

    Returns
    -------
    {statistic: (regions,) float64}, NaN for regions without values
    """
    count = starts.size - 1
    results = {name: np.full(count, np.nan) for name in wanted}
    some = np.flatnonzero(np.diff(starts))
    if not some.size:
        return results
    upto = np.cumsum(frequencies)
    begin = np.append(0, upto)[starts[some]]
    total = np.append(0, upto)[starts[some + 1]] - begin
    for name in wanted:
        if name in SHARES:
            rank = (total - 1) * (1 - SHARES[name] if descending else SHARES[name])
            lower = np.floor(rank).astype(np.int64)
            low = distinct[np.searchsorted(upto, begin + lower, side="right")].astype(np.float64)
            upper = np.minimum(lower + 1, total - 1)
            high = distinct[np.searchsorted(upto, begin + upper, side="right")].astype(np.float64)
            results[name][some] = low + (high - low) * (rank - lower)
        else:
            most = np.maximum.reduceat(frequencies, starts[some])
            best = np.flatnonzero(frequencies == np.repeat(most, np.diff(starts)[some]))
            first = np.searchsorted(best, starts[some + 1]) - 1 if descending else np.searchsorted(best, starts[some])
            results[name][some] = distinct[best[first]]
    return results


def rank_window(
    job: QuantileJob, numbered: Tuple[int, Window], check_cancelled: Check
) -> Tuple[np.ndarray, List[Ranked], int]:
    """Order statistics of the segments that lie in a window as a whole; what the others hold is left in the folder.

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
    present, labels, here = kernel.compact(job.attributes.ids.reader()(window))
    check_cancelled()
    places = places_of(present, job.folder.map_array("ids"))
    whole = job.folder.map_array("sizes")[places] == here
    results: List[Ranked] = []
    left = 0
    for index, (values, counted) in enumerate(
        band_values(job.attributes.bands, window, labels, job.attributes.rasters)
    ):
        starts, distinct, frequencies = kernel.region_histograms(counted, present.size, values)
        check_cancelled()
        every = order_statistics(starts, distinct, frequencies, job.wanted, job.is_descending(index))
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
                job.folder.save_array(_name(name, index, number), array)
    return places[whole], results, left


def _name(kind: str, band: int, window: int) -> str:
    return f"{kind}-{band}-{window:07d}"


def rank_range(
    job: QuantileJob, bounds: Tuple[int, int], check_cancelled: Check
) -> List[Tuple[int, np.ndarray, Ranked]]:
    """Order statistics of the segments that windows left in the folder.

    Parameters
    ----------
    bounds : (first place, place after the last one)

    Returns
    -------
    of each band that has some: (its index, places, {statistic: (n,) float64})
    """
    first, end = bounds
    results = []
    for index in range(len(job.attributes.bands)):
        parts: Dict[str, List[np.ndarray]] = {kind: [] for kind in ("owner", "value", "times")}
        for saved in job.folder.arrays(f"owner-{index}-"):
            check_cancelled()
            owner = job.folder.map_array(saved)
            low, high = np.searchsorted(owner, [first, end])
            if low < high:
                window = int(saved.rsplit("-", 1)[1])
                for kind, arrays in parts.items():
                    arrays.append(np.array(job.folder.map_array(_name(kind, index, window))[low:high]))
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
        found = order_statistics(starts, value[merged], times, job.wanted, job.is_descending(index))
        results.append((index, places, found))
    return results


def rank_segments(
    job: QuantileJob, attributes: Attributes, runner: Runner, advance: Advance, check_cancelled: Check
) -> List[Ranked]:
    """Order statistics of all bands in every segment.

    Parameters
    ----------
    attributes : of which ids and sizes are used, and the scaling of bands
    runner : see `execution`
    advance : called with the fraction that is done

    Returns
    -------
    per band {statistic: (segments,) float64}
    """
    job.folder.save_array("ids", attributes.ids)
    job.folder.save_array("sizes", attributes.sizes)
    kernel, _ = kernels.choose(job.attributes.kernels)
    for band in job.attributes.bands:
        kernel.region_histograms(np.zeros(1, np.uint32), 1, np.zeros(1, added_type(band.dtype)))
    empty = np.full(attributes.ids.size, np.nan)
    results = [{name: empty.copy() for name in job.wanted} for _ in job.attributes.bands]
    windows = list(enumerate(blocks(job.attributes.bands[0])))
    left = 0
    for done, (_, (places, found, more)) in enumerate(runner.run(rank_window, job, windows, check_cancelled), 1):
        for result, part in zip(results, found):
            for name, values in part.items():
                result[name][places] = values
        left += more
        advance(0.9 * done / len(windows))
    ranges = _ranges(job, left, attributes.ids.size)
    for done, (_, ranked) in enumerate(runner.run(rank_range, job, ranges, check_cancelled), 1):
        for index, places, ranks in ranked:
            for name, values in ranks.items():
                results[index][name][places] = values
        advance(0.9 + 0.1 * done / len(ranges))
    return [
        {name: moments.scaled(values) for name, values in result.items()}
        for result, moments in zip(results, attributes.bands)
    ]


def _ranges(job: QuantileJob, left: int, segments: int) -> List[Tuple[int, int]]:
    """Ranges of segments that leave about as many values each, few enough to hold."""
    if not left:
        return []
    count = np.zeros(segments + 1, np.int64)
    for saved in job.folder.arrays("owner-"):
        places, times = np.unique(job.folder.map_array(saved), return_counts=True)
        count[places + 1] += times
    upto = np.cumsum(count)
    parts = -(-left // MOST_VALUES)
    bounds = np.searchsorted(upto, np.arange(1, parts) * (left / parts)).tolist()
    bounds = sorted({0, *bounds, segments})
    return list(zip(bounds, bounds[1:]))
