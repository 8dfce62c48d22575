# SPDX-License-Identifier: GPL-2.0-or-later
"""Medians, percentiles, majorities and the like of segments: what the values of a band say when they are sorted."""

import re
from dataclasses import dataclass
from typing import Collection, Dict, Iterator, List, Sequence, Tuple

import numpy as np
from numpy.typing import DTypeLike

from ..errors import SegmentationError
from ..files.raster import Raster
from ..files.stored import Made, Rows
from ..files.window import Window
from ..parameters import PERCENTILE
from .attributes import AttributeJob, added_type, band_values, moments_for
from .histograms import Described
from .segment_rows import SegmentRows

OTHERS = ("majority", "minority", "variety", "share")
IN_UNITS = re.compile(
    rf"median|majority|minority|{PERCENTILE.pattern}"
)  # of the values, so that scale and offset count
MOST_CLASSES = 256  # whose shares become columns


def is_order_statistic(name: str) -> bool:
    """Whether a statistic needs the values of segments and how often they occur."""
    return name in ("median", *OTHERS) or PERCENTILE.fullmatch(name) is not None


def fraction_of(name: str) -> float:
    """Of a median or percentile, the share of the values that are smaller."""
    return 0.5 if name == "median" else int(name[1:]) / 100


@dataclass(frozen=True)
class Ranks:
    """The order statistics of some bands, for `histograms`.

    bands : one raster of one band each
    wanted : which statistics
    sources : of each band, what VALUES it is from, for messages
    first : see `histograms.Countable`
    """

    bands: Tuple[Raster, ...]
    wanted: Tuple[str, ...]
    sources: Tuple[str, ...]
    first: int = 0

    @property
    def dtypes(self) -> List[DTypeLike]:
        return [added_type(band.dtype) for band in self.bands]

    def counted(
        self, job: AttributeJob, window: Window, ids: np.ndarray, labels: np.ndarray
    ) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
        """The values of each band; see `histograms.Countable`."""
        return band_values(self.bands, window, labels, job.rasters)

    def described(self, index: int, starts: np.ndarray, distinct: np.ndarray, frequencies: np.ndarray) -> Described:
        """Order statistics of stored values; see `histograms.Countable`."""
        (band,) = self.bands[index].bands
        scale, offset = band.scale, band.offset
        found = order_statistics(starts, distinct, frequencies, self.wanted, scale < 0)
        if "share" in self.wanted:
            found.update(shares(starts, distinct * scale + offset, frequencies, self.sources[index]))
        return found

    def check(self, index: int, names: Collection[str]) -> None:
        """Refuse more classes than can become columns."""
        if sum(name.startswith("share_") for name in names) > MOST_CLASSES:
            raise _too_many_classes(self.sources[index])


def order_statistics(
    starts: np.ndarray, distinct: np.ndarray, frequencies: np.ndarray, wanted: Sequence[str], descending: bool = False
) -> Described:
    """Of regions whose values are as `kernels.region_histograms` returns them.

    Percentiles lie between the nearest ranks, as in `numpy.percentile`; of values that are equally frequent the
    smallest is the majority, or minority; the variety is how many different values there are.

    Parameters
    ----------
    descending : whether the values mean the smaller the larger they are, as by a negative scale

    Returns
    -------
    {statistic: (regions,) float64}, NaN for regions without values; shares are left out
    """
    count = starts.size - 1
    results = {name: np.full(count, np.nan) for name in wanted if name != "share"}
    some = np.flatnonzero(np.diff(starts))
    if not some.size:
        return results
    upto = np.cumsum(frequencies)
    begin = np.append(0, upto)[starts[some]]
    total = np.append(0, upto)[starts[some + 1]] - begin
    for name in results:
        if name == "variety":
            results[name][some] = np.diff(starts)[some]
        elif name in OTHERS:
            pick = np.maximum if name == "majority" else np.minimum
            extreme = pick.reduceat(frequencies, starts[some])
            best = np.flatnonzero(frequencies == np.repeat(extreme, np.diff(starts)[some]))
            first = np.searchsorted(best, starts[some + 1]) - 1 if descending else np.searchsorted(best, starts[some])
            results[name][some] = distinct[best[first]]
        else:
            fraction = fraction_of(name)
            rank = (total - 1) * (1 - fraction if descending else fraction)
            lower = np.floor(rank).astype(np.int64)
            low = distinct[np.searchsorted(upto, begin + lower, side="right")].astype(np.float64)
            upper = np.minimum(lower + 1, total - 1)
            high = distinct[np.searchsorted(upto, begin + upper, side="right")].astype(np.float64)
            results[name][some] = low + (high - low) * (rank - lower)
    return results


def shares(starts: np.ndarray, distinct: np.ndarray, frequencies: np.ndarray, source: str) -> Described:
    """The shares that classes have of the values of each region, of regions as for `order_statistics`.

    Parameters
    ----------
    source : of the values, for messages

    Returns
    -------
    {share_3: (regions,) float64} of each class that any of them has, NaN for regions without values

    Raises
    ------
    SegmentationError : the values are no classes
    """
    classes = np.unique(distinct)
    if (classes != np.floor(classes)).any():
        wrong = classes[classes != np.floor(classes)][0]
        raise SegmentationError(
            f"STATISTICS asks for the share of each class, but {source} holds {wrong:.10g}, which is no class: classes "
            "are whole numbers, so choose another raster, other BANDS or other statistics."
        )
    if classes.size > MOST_CLASSES:
        raise _too_many_classes(source)
    count = starts.size - 1
    owner = np.repeat(np.arange(count), np.diff(starts))
    total = np.bincount(owner, frequencies, count)
    found = {}
    for one in classes.tolist():
        of_class = distinct == one
        times = np.bincount(owner[of_class], frequencies[of_class], count)
        found[f"share_{int(one)}"] = np.divide(times, total, out=np.full(count, np.nan), where=total > 0)
    return found


def _too_many_classes(source: str) -> SegmentationError:
    return SegmentationError(
        f"STATISTICS asks for the share of each class, but {source} holds more than {MOST_CLASSES} different values: "
        "choose a raster of classes, other BANDS or other statistics."
    )


def completed(found: Sequence[Dict[str, Rows]], bands: Sequence[Raster], rows: SegmentRows) -> List[Dict[str, Rows]]:
    """What `histograms` has found of Ranks, in the values' units; of a class that a segment lacks the share is 0."""
    results: List[Dict[str, Rows]] = []
    for index, (described, raster) in enumerate(zip(found, bands)):
        scaled, counts = moments_for(raster, 0).scaled, rows.statistic(index, "count")
        results.append({})
        for name, values in described.items():
            if name.startswith("share_"):
                values = Made(_share, np.float64, values, counts)
            elif IN_UNITS.fullmatch(name):
                values = Made(scaled, np.float64, values)
            results[-1][name] = values
    return results


def _share(share: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(share) & (counts > 0), 0.0, share)
