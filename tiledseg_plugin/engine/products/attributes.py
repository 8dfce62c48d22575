# SPDX-License-Identifier: GPL-2.0-or-later
"""Attributes of segments: statistics of a raster's values in each of them.

Those of a run on integers have been added up by its parts. Any others are found in one parallel pass (of a run, see
`window_moments`) over the windows of `statistics.blocks`, whatever the user's tiles are. Integers are added up exactly.
Floats are added up in double precision, in an order that is always the same (by pixel within a window, then by window),
as deviations from the window's mean; so nothing in the result depends on tiles, workers or execution.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Dict, Iterable, Iterator, List, Sequence, Tuple, TypeVar, cast

import numpy as np
from numpy.typing import DTypeLike

from .. import kernels
from ..execution.runner import Runner
from ..files.gdal_access import OpenRasters
from ..files.raster import Raster
from ..files.reading import read_bands
from ..files.window import Window
from ..files.work_folder import WorkFolder, narrowed
from ..progress import Advance, Check
from ..stages.numbering import moments_of
from ..stages.parts import load_or_raise
from ..stages.statistics import blocks
from .segment_ids import RasterIds, SegmentIds

LOW_BITS = np.uint64(0xFFFFFFFF)
LIMB = np.uint64(32)
Part = Tuple[np.ndarray, ...]  # as `kernels.region_moments` returns it: counts, totals, squares, low, high
Summarised = Tuple[np.ndarray, np.ndarray, List[Part]]  # see `summarise_window`
IN_PART = ("counts", "totals", "squares", "low", "high")
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class AttributeJob:
    """What all windows of a pass share.

    bands : one raster of one band each
    """

    ids: SegmentIds
    bands: Tuple[Raster, ...]
    kernels: str

    @cached_property
    def rasters(self) -> OpenRasters:
        """What tasks read."""
        return OpenRasters()


def run_bands(raster: Raster) -> Tuple[Raster, ...]:
    """The bands of a run's input as its segments hold them: all finite values of all their pixels."""
    every = (replace(band, nodata=None, real="", mask=0, alphas=()) for band in raster.bands)
    return tuple(replace(raster, bands=(band,), nodata_rule="any", zero_is_nodata=False) for band in every)


def single_bands(raster: Raster) -> Tuple[Raster, ...]:
    """The bands of any raster, each with its own no data; 0 is a value unless the raster declares otherwise."""
    return tuple(replace(raster, bands=(band,), nodata_rule="any", zero_is_nodata=False) for band in raster.bands)


def summarise_window(job: AttributeJob, window: Window, check_cancelled: Check) -> Summarised:
    """The moments of each band in each segment of a window: the task of this stage.

    Returns
    -------
    present : (count,) uint32 ids
    sizes : (count,) int64 pixels
    moments : per band what `kernels.region_moments` returns
    """
    kernel, _ = kernels.choose(job.kernels)
    present, labels, sizes = kernel.compact(job.ids.reader()(window))
    check_cancelled()
    moments = []
    if present.size:
        for values, counted in band_values(job.bands, window, labels, job.rasters):
            moments.append(kernel.region_moments(counted, present.size, values))
            check_cancelled()
    return present, sizes, moments


def band_values(
    bands: Sequence[Raster], window: Window, labels: np.ndarray, rasters: OpenRasters
) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
    """Of each band its values in a window, flat, and the labels with 0 where it has no data.

    Bands of one raster are read together: where a file holds pixels with all their bands, it is decoded once.

    Parameters
    ----------
    bands : as in `AttributeJob`
    labels : (pixels,) uint32
    """
    for raster, group in groupby(bands, lambda band: replace(band, bands=())):
        together = replace(raster, bands=tuple(band.bands[0] for band in group))
        for values, valid in read_bands(rasters.get(raster.path), together, window):
            flat = values.reshape(-1).astype(added_type(raster.dtype), copy=False)
            yield flat, labels if valid.all() else labels * valid.reshape(-1)


def in_order(results: Iterable[Tuple[Item, Result]], items: Iterable[Item]) -> Iterator[Tuple[Item, Result]]:
    """The results of an execution's `run`, in the order of the items rather than that in which they finish."""
    early: Dict[Item, Result] = {}
    others = iter(items)
    wanted = next(others, None)
    for item, result in results:
        early[item] = result
        while wanted is not None and wanted in early:
            yield wanted, early.pop(wanted)
            wanted = next(others, None)


class Moments:
    """Count, sum, sum of squares and range of one band in each segment.

    Sums are of stored values; scale and offset are applied to the results, which is as exact.

    Parameters
    ----------
    segments : how many
    is_float : of the stored values
    scale, offset : of the band
    """

    def __init__(self, segments: int, is_float: bool, scale: float = 1.0, offset: float = 0.0) -> None:
        self.is_float, self.scale, self.offset = is_float, scale, offset
        self.counts = np.zeros(segments, np.int64)
        self.totals = np.zeros(segments, np.float64 if is_float else np.int64)  # means of floats
        self.squares = np.zeros((1, segments)) if is_float else np.zeros((2, segments), np.uint64)
        limits = (np.inf, -np.inf) if is_float else (np.iinfo(np.int64).max, np.iinfo(np.int64).min)
        self.low, self.high = (np.full(segments, limit, self.totals.dtype) for limit in limits)

    def add(self, places: np.ndarray, part: Part) -> None:
        """Add what a window holds.

        Parameters
        ----------
        places : (n,) the index of each of its segments, none of them twice
        part : of these segments
        """
        counts, totals, squares, low, high = part
        some = counts > 0
        if not some.all():
            places, counts, totals, low, high = (array[some] for array in (places, counts, totals, low, high))
            squares = squares[:, some]
        self.low[places] = np.minimum(self.low[places], low)
        self.high[places] = np.maximum(self.high[places], high)
        if self.is_float:
            before = self.counts[places]
            both = before + counts
            difference = totals - self.totals[places]
            self.totals[places] += difference * (counts / both)
            with np.errstate(over="ignore", invalid="ignore"):  # values beyond 1e154, whose squares no double holds
                self.squares[0, places] += squares[0] + difference * difference * (before * (counts / both))
        else:
            self.totals[places] += totals
            lower = self.squares[0, places] + squares[0]
            self.squares[1, places] += squares[1] + (lower >> LIMB)
            self.squares[0, places] = lower & LOW_BITS
        self.counts[places] += counts

    @property
    def held(self) -> Part:
        """What has been added so far."""
        return self.counts, self.totals, self.squares, self.low, self.high

    def hold(self, part: Part) -> None:
        """Take what has been added up elsewhere, of integers and of all segments."""
        counts, totals, squares, low, high = part
        self.counts, self.totals, self.low, self.high = (
            np.asarray(array).astype(np.int64) for array in (counts, totals, low, high)
        )
        self.squares = squares.astype(np.uint64)

    def _filled(self, array: np.ndarray) -> np.ndarray:
        return np.where(self.counts > 0, array, np.nan)

    def scaled(self, array: np.ndarray) -> np.ndarray:
        """Stored values with the scale and offset of the band."""
        return array if (self.scale, self.offset) == (1.0, 0.0) else array * self.scale + self.offset

    @property
    def stored_mean(self) -> np.ndarray:
        """(segments,) float64, of the values as they are stored, NaN where a segment has none."""
        return self._filled(self.totals if self.is_float else self.totals / np.maximum(self.counts, 1))

    @property
    def mean(self) -> np.ndarray:
        """(segments,) float64, NaN where a segment has no value; so are all of these."""
        return self.scaled(self.stored_mean)

    @property
    def sum(self) -> np.ndarray:
        with np.errstate(over="ignore"):
            total = self._filled(self.totals * self.counts if self.is_float else self.totals)
        return total if not self.offset and self.scale == 1 else total * self.scale + self.counts * self.offset

    @property
    def minimum(self) -> np.ndarray:
        return self.scaled(self._filled(self.low if self.scale > 0 else self.high))

    @property
    def maximum(self) -> np.ndarray:
        return self.scaled(self._filled(self.high if self.scale > 0 else self.low))

    @property
    def deviation(self) -> np.ndarray:
        """Population standard deviation."""
        return self._stored_deviation() * abs(self.scale)

    def _stored_deviation(self) -> np.ndarray:
        counts = np.maximum(self.counts, 1)
        if self.is_float:
            return self._filled(np.sqrt(self.squares[0] / counts))
        # Deviations from the whole part of the mean are small enough to stay exact.
        whole = self.totals // counts
        rest = self.totals - whole * counts
        some = self.counts > 0
        span = float(max(np.max(self.high, where=some, initial=0) - np.min(self.low, where=some, initial=0), 1))
        if span * span * float(counts.max(initial=1)) < 2.0**63:
            # modulo 2^64, which the result is below
            squares = (self.squares[1] << LIMB) + self.squares[0]
            whole, total, modular = whole.astype(np.uint64), self.totals.astype(np.uint64), counts.astype(np.uint64)
            about_whole = (squares - np.uint64(2) * whole * total + whole * whole * modular).astype(np.float64)
        else:
            exact = ((self.squares[1].astype(object) << 32) + self.squares[0]) - 2 * whole.astype(object) * self.totals
            about_whole = (exact + whole.astype(object) ** 2 * counts).astype(np.float64)
        variance = (about_whole - rest * (rest / counts)) / counts
        return self._filled(np.sqrt(np.maximum(variance, 0)))


def moments_for(raster: Raster, segments: int) -> Moments:
    """Moments to be filled of a raster of one band."""
    (band,) = raster.bands
    return Moments(segments, is_added_as_float(raster.dtype), band.scale, band.offset)


@dataclass
class Attributes:
    """Statistics of every segment.

    ids : (segments,) uint32, ascending
    sizes : (segments,) int64 pixels
    bands : Moments of each band
    """

    ids: np.ndarray
    sizes: np.ndarray
    bands: Tuple[Moments, ...]


def describe_segments(
    job: AttributeJob, folder: WorkFolder, runner: Runner, advance: Advance, check_cancelled: Check
) -> Attributes:
    """Statistics of all bands of the job in every segment.

    Which segments there are is known when all windows have been read; until then what these hold lies in the folder.

    Parameters
    ----------
    runner : see `execution`
    advance : called with the fraction that is done

    Returns
    -------
    Attributes
    """
    grid = job.bands[0] if job.bands else cast(RasterIds, job.ids).raster
    windows = blocks(grid)
    _compile(job)
    ordered = in_order(runner.run(summarise_window, job, windows, check_cancelled), windows)
    presents = []
    for number, (present, pixels, moments) in enumerate(_advancing(ordered, len(windows), advance)):
        presents.append(present)
        folder.save(moments_of(number), pixels=narrowed(pixels), **_narrow(moments))
    ids = np.unique(np.concatenate(presents))
    bands = tuple(moments_for(band, ids.size) for band in job.bands)
    sizes = np.zeros(ids.size, np.int64)
    for number, present in enumerate(presents):
        check_cancelled()
        saved = load_or_raise(folder, moments_of(number))
        folder.drop(moments_of(number))
        places = places_of(present, ids)
        sizes[places] += saved["pixels"].astype(np.int64)
        if present.size:
            for index, band in enumerate(bands):
                band.add(places, _wide(saved, index))
    return Attributes(ids, sizes, bands)


def _narrow(moments: Sequence[Part]) -> Dict[str, np.ndarray]:
    """What `summarise_window` returns of each band, as it is written into a file."""
    return {
        f"{name}_{index}": narrowed(array) if array.dtype.kind in "iu" and name in IN_PART[:3] else array
        for index, part in enumerate(moments)
        for name, array in zip(IN_PART, part)
    }


def _wide(saved: Dict[str, np.ndarray], index: int) -> Part:
    """Of one band what `_narrow` has made of it, as it was."""
    counts, totals, squares, low, high = (saved[f"{name}_{index}"] for name in IN_PART)
    if totals.dtype.kind != "f":
        totals, squares = totals.astype(np.int64), squares.astype(np.uint64)
    return counts.astype(np.int64), totals, squares, low, high


def _compile(job: AttributeJob) -> None:
    """Compile the kernels here, once, rather than in every worker."""
    kernel, _ = kernels.choose(job.kernels)
    kernel.compact(np.ones(1, np.uint32))
    for dtype in {np.dtype(band.dtype) for band in job.bands}:
        kernel.region_moments(np.zeros(1, np.uint32), 1, np.zeros(1, added_type(dtype)))


def _advancing(results: Iterable[Tuple[Window, Summarised]], total: int, advance: Advance) -> Iterator[Summarised]:
    for done, (_, result) in enumerate(results, 1):
        yield result
        advance(done / total)


def added_type(dtype: DTypeLike) -> np.dtype:
    """The dtype in which a band's values go to the kernels: 64-bit integers become float64."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        return dtype.newbyteorder("=") if dtype.itemsize <= 4 else np.dtype(np.float64)
    return np.dtype(np.float64 if dtype.itemsize == 8 else np.float32)


def is_added_as_float(dtype: DTypeLike) -> bool:
    """Whether sums of a band's values are floats rather than exact integers."""
    return added_type(dtype).kind == "f"


def places_of(present: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The indices of some ids among all of them, ascending."""
    if ids.size and int(ids[-1]) == ids.size:
        return present.astype(np.int64) - 1
    return np.searchsorted(ids, present)
