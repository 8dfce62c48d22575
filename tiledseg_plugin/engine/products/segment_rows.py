# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known of the segments of any raster, a row each, in files: no process holds all of them.

Windows leave what they hold of each segment; then tasks put it together, a range of ids at a time, and leave the rows
of these segments. How many segments there are is not known before, and ids may be any, so ranges are cut by samples:
one of so many ids of each window. Moments are added by window, in an order that is always the same (see `attributes`).
"""

from dataclasses import dataclass
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, cast

import numpy as np

from .. import kernels
from ..execution.runner import Runner
from ..files.outputs import added_pairwise
from ..files.raster import Raster
from ..files.stored import Rows, Stored
from ..files.window import Window
from ..files.work_folder import WorkFolder, narrowed
from ..progress import Advance, Check
from ..stages.statistics import BandStatistics, blocks
from .attribute_columns import moment_statistic
from .attributes import (
    IN_PART,
    AttributeJob,
    Attributes,
    Moments,
    Part,
    added_type,
    is_added_as_float,
    moments_for,
    places_of,
    summarise_window,
)
from .segment_ids import LARGEST, RasterIds

SPACING = 256  # one of so many ids, or places, is a sample
MOST_ROWS = 1 << 18  # that a range is to have, of what windows hold of segments
MOST_VALUES = 1 << 22  # of all columns in a range
IDS, SIZES = "ids", "sizes"  # of all segments, in the work folder
PRESENT, MOMENTS = "present", "moments"  # of those in a window
Range = Tuple[int, Tuple[int, int], Tuple[int, ...]]  # number, first id (or place) and that after the last, windows


@dataclass(frozen=True)
class RowsJob:
    """What the tasks of both passes share.

    statistics : names, see `moment_statistic`; each is a column for each band
    adds_up : whether it is wanted what all segments hold together
    """

    attributes: AttributeJob
    folder: WorkFolder
    statistics: Tuple[str, ...]
    adds_up: bool = False


class Added(NamedTuple):
    """Of a band in the segments of a range: values, segments that have some, sums of both kinds, and limits.

    Sums are of integers, and only where they are wanted: those of floats depend on how they are added.
    """

    pixels: int
    segments: int
    total: int
    square: int
    low: float
    high: float


class SegmentRows:
    """The rows of all segments.

    Attributes
    ----------
    ids : (segments,) uint32, ascending, as readers return them; the work folder holds them as IDS
    sizes : (segments,) int64 pixels; likewise, as SIZES
    has_values : of each band, whether any segment has a value

    Parameters
    ----------
    counts : how many segments each range has
    added : of each range what it holds of each band
    """

    def __init__(self, job: RowsJob, counts: Sequence[int], added: Sequence[Sequence[Added]]) -> None:
        self._job, self._counts, self._added = job, list(counts), added
        total, folder = int(sum(counts)), job.folder
        self.ids: Rows = Stored([folder.array_path(IDS)], [total], np.uint32)
        self.sizes: Rows = Stored([folder.array_path(SIZES)], [total], np.int64)
        bands = range(len(job.attributes.bands))
        self.has_values = tuple(any(of_range[band].pixels for of_range in added) for band in bands)

    def statistic(self, band: int, name: str) -> Stored:
        """A column of a band, of those that were asked for: float64, NaN where there is none, or int64."""
        index = band * len(self._job.statistics) + self._job.statistics.index(name)
        dtype = np.int64 if name == "count" else np.float64
        return Stored(self._paths(rows_of_range), self._counts, dtype, index)

    def whole(self, band: int) -> Optional[BandStatistics]:
        """Statistics of a band's stored values in all segments; None where there is none."""
        lots = [of_range[band] for of_range in self._added]
        count = sum(lot.pixels for lot in lots)
        if not count:
            return None
        low, high = min(lot.low for lot in lots), max(lot.high for lot in lots)
        if is_added_as_float(self._job.attributes.bands[band].dtype):
            mean, deviations = self._added_floats(band, count, [lot.segments for lot in lots])
        else:
            total, square = sum(lot.total for lot in lots), sum(lot.square for lot in lots)
            mean, deviations = total / count, (square * count - total * total) / count
        return BandStatistics(count, mean, deviations, low, high)

    def _added_floats(self, band: int, count: int, segments: Sequence[int]) -> Tuple[float, float]:
        """Mean and sum of squared deviations, to the last bit as if all segments were added up at once."""
        paths = self._paths(lambda number: sums_of_range(band, number))
        counts, means, squares = (Stored(paths, segments, np.float64, index) for index in range(3))

        def of_means(first: int, end: int) -> np.ndarray:
            return cast(np.ndarray, means[first:end] * (counts[first:end] / count))

        def of_deviations(first: int, end: int) -> np.ndarray:
            return cast(np.ndarray, squares[first:end] + counts[first:end] * (means[first:end] - mean) ** 2)

        with np.errstate(over="ignore", invalid="ignore"):
            mean = added_pairwise(sum(segments), of_means)
            return mean, added_pairwise(sum(segments), of_deviations)

    def _paths(self, name: Callable[[int], str]) -> List[str]:
        return [self._job.folder.array_path(name(number)) for number in range(len(self._counts))]


def rows_of_range(number: int) -> str:
    """Under which lie the columns of a range: (bands x statistics, segments) float64, which holds them all exactly."""
    return f"rows-{number:07d}"


def sums_of_range(band: int, number: int) -> str:
    """Under which lie counts, means and squared deviations of a range's segments with values: (3, n) float64."""
    return f"totals-{band}-{number:07d}"


def describe_segments(job: RowsJob, runner: Runner, advance: Advance, check_cancelled: Check) -> SegmentRows:
    """Statistics of all bands of the job in every segment.

    Parameters
    ----------
    runner : see `execution`
    advance : called with the fraction that is done
    """
    attributes, folder = job.attributes, job.folder
    _compile(attributes)
    grid = attributes.bands[0] if attributes.bands else cast(RasterIds, attributes.ids).raster
    windows = list(enumerate(blocks(grid)))
    samples = Samples()
    for done, ((number, _), found) in enumerate(runner.run(describe_window, job, windows, check_cancelled), 1):
        samples.add(number, found)
        advance(0.9 * done / len(windows))
    values = max(len(job.attributes.bands) * max(len(job.statistics), len(IN_PART) + 1), 1)
    ranges = samples.ranges(min(MOST_ROWS, max(MOST_VALUES // values, 1)), LARGEST + 1)
    counts = [0] * len(ranges)
    added: List[Tuple[Added, ...]] = [()] * len(ranges)
    for done, ((number, *_), (count, sums)) in enumerate(runner.run(describe_range, job, ranges, check_cancelled), 1):
        counts[number], added[number] = count, sums
        advance(0.9 + 0.1 * done / len(ranges))
    keep_ids(folder, counts)
    folder.drop(*(f"{name}-{number:07d}" for name in (PRESENT, MOMENTS) for number in samples.numbers))
    return SegmentRows(job, counts, added)


def keep_ids(folder: WorkFolder, counts: Sequence[int]) -> None:
    """Put the ids and sizes that ranges have left together, as IDS and SIZES.

    Parameters
    ----------
    counts : how many segments each range has
    """
    for name, dtype in ((IDS, np.uint32), (SIZES, np.int64)):
        parts = [f"{name}-{number:07d}" for number in range(len(counts))]
        folder.save_column(name, Stored([folder.array_path(part) for part in parts], counts, dtype))
        folder.drop(*parts)


class Samples:
    """By which ids, or places, of windows are cut into ranges."""

    def __init__(self) -> None:
        self._samples: List[np.ndarray] = []
        self._windows: List[Tuple[int, int, int]] = []  # number, first and last

    @property
    def numbers(self) -> List[int]:
        """Of the windows that have any."""
        return [number for number, _, _ in self._windows]

    def add(self, window: int, found: np.ndarray) -> None:
        """Add what `sampled` returned of a window."""
        if found.size:
            self._samples.append(found[:-1])
            self._windows.append((window, int(found[0]), int(found[-1])))

    def ranges(self, most: int, end: int) -> List[Range]:
        """Ranges from 0 to `end`, with about so many in the windows' files."""
        if not self._samples:
            return []
        every = np.sort(np.concatenate(self._samples))
        step = max(most // SPACING, 1)
        bounds = [0, *(bound for bound in np.unique(every[step::step]).tolist() if 0 < bound < end), end]
        spans = list(zip(bounds, bounds[1:]))
        return [(number, *both) for number, both in enumerate(zip(spans, self.within(spans)))]

    def within(self, spans: Sequence[Tuple[int, int]]) -> Iterator[Tuple[int, ...]]:
        """Of each span, first and end, the windows that may have some of it, ascending."""
        numbers, first, last = np.array(sorted(self._windows), np.int64).reshape(-1, 3).T
        for low, high in spans:
            yield tuple(numbers[(first < high) & (last >= low)].tolist())


def sampled(values: np.ndarray) -> np.ndarray:
    """Some of ascending values, among them the first, and then the last."""
    return np.append(values[::SPACING], values[-1:])


def cut(values: np.ndarray, first: int, end: int) -> Tuple[int, int]:
    """Where the values from `first` on, and those from `end` on, begin in ascending ones."""
    kind = values.dtype.type  # of another one, all of them would be converted
    return int(np.searchsorted(values, kind(first))), int(np.searchsorted(values, kind(end - 1), side="right"))


def describe_window(job: RowsJob, numbered: Tuple[int, Window], check_cancelled: Check) -> np.ndarray:
    """Find what a window holds of each segment, and leave it in the folder: the task of the first pass.

    Returns
    -------
    samples of its ids, see `sampled`
    """
    number, window = numbered
    present, pixels, moments = summarise_window(job.attributes, window, check_cancelled)
    if present.size:
        job.folder.save_array(f"{PRESENT}-{number:07d}", present)
        job.folder.save_array(f"{MOMENTS}-{number:07d}", _records(job.attributes.bands, pixels, moments))
    return sampled(present)


def _records(bands: Sequence[Raster], pixels: np.ndarray, moments: Sequence[Part]) -> np.ndarray:
    """(n,) records of what `summarise_window` returns, so that some rows of a file can be read.

    Bands of one type are together in a field, as names of many fields are more than the head of a file may hold.
    """
    columns = {"pixels": pixels}
    kinds = _kinds(bands)
    for kind in dict.fromkeys(kinds):
        parts = [part for own, part in zip(kinds, moments) if own == kind]
        for name, arrays in zip(IN_PART, zip(*parts)):
            for row, of_bands in enumerate(zip(*(array.reshape(-1, pixels.size) for array in arrays))):
                columns[f"{name}_{kind}_{row}"] = np.stack(of_bands, axis=1)
    columns = {name: narrowed(array) if array.dtype.kind in "iu" else array for name, array in columns.items()}
    records = np.empty(pixels.size, [(name, array.dtype, array.shape[1:]) for name, array in columns.items()])
    for name, array in columns.items():
        records[name] = array
    return records


def _parts(bands: Sequence[Raster], records: np.ndarray) -> Iterator[Part]:
    """Of each band what `_records` has made of it, as it was."""
    places: Dict[str, int] = {}
    for kind in _kinds(bands):
        place = places.get(kind, 0)
        places[kind] = place + 1
        names = [name for name in cast(Tuple[str, ...], records.dtype.names) if name.startswith(f"squares_{kind}_")]
        squares = np.stack([records[name][:, place] for name in names])
        counts, totals, low, high = (
            records[f"{name}_{kind}_0"][:, place] for name in ("counts", "totals", "low", "high")
        )
        if totals.dtype.kind != "f":
            squares = squares.astype(np.uint64)
            totals, low, high = (array.astype(np.int64) for array in (totals, low, high))
        yield counts.astype(np.int64), totals, squares, low, high


def _kinds(bands: Sequence[Raster]) -> List[str]:
    """The type in which each band is added up."""
    return [np.dtype(added_type(band.dtype)).name for band in bands]


def describe_range(job: RowsJob, item: Range, check_cancelled: Check) -> Tuple[int, Tuple[Added, ...]]:
    """Put together what windows hold of a range of segments, and leave the rows: the task of the second pass.

    Returns
    -------
    count : of the segments
    added : of each band
    """
    number, _, _ = item
    attributes = _attributes_of(job, item, check_cancelled)
    columns = [
        np.asarray(moment_statistic(name, moments, attributes.sizes), np.float64)
        for moments in attributes.bands
        for name in job.statistics
    ]
    if columns:
        job.folder.save_array(rows_of_range(number), np.stack(columns))
    job.folder.save_array(f"{IDS}-{number:07d}", attributes.ids)
    job.folder.save_array(f"{SIZES}-{number:07d}", attributes.sizes)
    added = tuple(_added(moments, job.adds_up) for moments in attributes.bands)
    if job.adds_up:
        for index, moments in enumerate(attributes.bands):
            if moments.is_float:
                counts, totals, squares, _, _ = moments.held
                some = counts > 0
                job.folder.save_array(sums_of_range(index, number), np.stack([counts, totals, squares[0]])[:, some])
    return int(attributes.ids.size), added


def _attributes_of(job: RowsJob, item: Range, check_cancelled: Check) -> Attributes:
    ids, parts = segments_of(job.folder, item)
    attributes = Attributes(
        ids, np.zeros(ids.size, np.int64), tuple(moments_for(band, ids.size) for band in job.attributes.bands)
    )
    for window, here, places in parts:
        check_cancelled()
        records = np.array(job.folder.map_array(f"{MOMENTS}-{window:07d}")[here])
        attributes.sizes[places] += records["pixels"].astype(np.int64)
        for band, part in zip(attributes.bands, _parts(job.attributes.bands, records)):
            band.add(places, part)
    return attributes


def segments_of(folder: WorkFolder, item: Range) -> Tuple[np.ndarray, List[Tuple[int, slice, np.ndarray]]]:
    """The segments of a range, by what windows have left as PRESENT.

    Returns
    -------
    ids : (segments,) uint32, ascending
    parts : of each window with some of them its number, where they are in its file, and their places among the ids
    """
    _, (first, end), windows = item
    found: List[Tuple[int, slice, np.ndarray]] = []
    for window in windows:
        present = folder.map_array(f"{PRESENT}-{window:07d}")
        here = slice(*cut(present, first, end))
        if here.start < here.stop:
            found.append((window, here, np.array(present[here])))
    ids = np.unique(np.concatenate([np.empty(0, np.uint32), *(present for _, _, present in found)]))
    return ids, [(window, here, places_of(present, ids)) for window, here, present in found]


def _added(moments: Moments, adds_up: bool) -> Added:
    some = moments.counts > 0
    if not some.any():
        return Added(0, 0, 0, 0, np.inf, -np.inf)
    counts, totals, squares, low, high = (array[..., some] for array in moments.held)
    total = square = 0
    if adds_up and not moments.is_float:
        total, square = sum(totals.tolist()), sum(squares[0].tolist()) + (sum(squares[1].tolist()) << 32)
    return Added(int(counts.sum()), int(counts.size), total, square, float(low.min()), float(high.max()))


def _compile(job: AttributeJob) -> None:
    """Compile the kernels here, once, rather than in every worker."""
    kernel, _ = kernels.choose(job.kernels)
    kernel.compact(np.ones(1, np.uint32))
    for dtype in {np.dtype(band.dtype) for band in job.bands}:
        kernel.region_moments(np.zeros(1, np.uint32), 1, np.zeros(1, added_type(dtype)))
