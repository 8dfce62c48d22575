# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 2, statistics: one pass over the raster finds band statistics, the k-means sample and the tiles' valid pixels.

The pass goes over blocks of its own, not over the user's tiles, so that nothing in its result depends on them.
"""

import json
import math
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import SegmentationError
from ..execution.runner import Runner
from ..files.decoded import Kept
from ..files.foreign import parse_json
from ..files.gdal_access import OpenRasters
from ..files.raster import Raster
from ..files.reading import grid, read_values, read_window
from ..files.window import Window
from ..files.work_folder import WorkFolder
from ..machine import ThreadPool
from ..progress import Progress
from ..wording import counted
from . import rsgislib_stretch
from .colours import Raw, Stretched
from .context import Context
from .kmeans import cluster
from .plan import Plan, extent_of
from .sampling import (
    ColourSample,
    KeptJob,
    SampleJob,
    denser_sample,
    keep_sample,
    kept_sample,
    places,
    sample_is_kept,
)
from .zones import Zones

BLOCK_PIXELS = 1 << 20
MOST_AT_ONCE = 500_000_000  # bytes that are read together
PART = 1 << 16  # values whose squares are added up at a time, in the cache


@dataclass(frozen=True)
class Survey:
    """What a block's task needs to know.

    folder : where the sample is left
    as_rsgislib : whether statistics as RSGISLib's script counts them are wanted, too
    cells : where what is read is left for the tiles; None where they are to read it again
    """

    raster: Raster
    plan: Plan
    sampling: int
    folder: WorkFolder
    as_rsgislib: bool = False
    cells: Optional[Kept] = None

    @cached_property
    def rasters(self) -> OpenRasters:
        """What tasks read."""
        return OpenRasters()


@dataclass
class BandStatistics:
    """Count, mean, sum of squared deviations and range of a band's valid pixels."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    @property
    def deviation(self) -> float:
        """Population standard deviation."""
        return math.sqrt(self.squares / self.count) if self.count else 0.0

    def stretch_range(self) -> Tuple[float, float]:
        """Two standard deviations round the mean, within the range."""
        return (
            max(self.mean - 2 * self.deviation, self.low),
            min(self.mean + 2 * self.deviation, self.high),
        )


@dataclass
class BlockResult:
    """What one block adds: per band (count, sum, sum of squares, low, high), valid pixels of tiles.

    sampled : how many of its pixels are in the sample, which is in the work folder
    rsgislib_moments : of what RSGISLib's script counts, empty where that is not wanted
    """

    moments: list
    sampled: int
    valid_pixels: dict
    rsgislib_moments: list


def blocks(raster: Raster) -> Tuple[Window, ...]:
    """The blocks of the pass: whole rows where the file is stored so, else squares of whole file blocks."""
    return grid(raster, BLOCK_PIXELS)


def decoded_together(raster: Raster, windows: Sequence[Window]) -> Tuple[Tuple[Window, ...], ...]:
    """Windows of `grid` by the blocks of the file that they lie in: those of one block are better read at once.

    Only a block as high as the raster holds several of them. Those that are too large for memory stay by themselves.
    """
    together: Dict[int, List[Window]] = {}
    for window in windows:
        together.setdefault(window.col, []).append(window)
    value = len(raster.bands) * np.dtype(raster.dtype).itemsize
    is_small = all(sum(window.pixels for window in some) * value <= MOST_AT_ONCE for some in together.values())
    if raster.block[1] < raster.height or not is_small:
        return tuple((window,) for window in windows)
    return tuple(map(tuple, together.values()))


def survey_block(survey: Survey, block: Window, check_cancelled: Callable[[], None]) -> BlockResult:
    """Read one block."""
    check_cancelled()
    raster = survey.raster
    values, valid, rsgislib_moments = _read_block(survey, block)
    everywhere = bool(valid.all())
    moments = [_moments(band[valid] if not everywhere else band.ravel(), raster.is_integer) for band in values]
    rows, cols = places(raster.width, block, survey.sampling)
    chosen = valid[rows, cols]
    rows, cols = rows[chosen], cols[chosen]
    tiles: Dict[int, int] = {}
    for piece in survey.plan.pieces_in(block):
        common = piece.window.part_in(block)
        count = int(np.count_nonzero(valid[common.within(block)]))
        tiles[piece.tile_id] = tiles.get(piece.tile_id, 0) + count
    keep_sample(survey.folder, block, rows, cols, values[:, rows, cols])
    return BlockResult(moments, rows.size, tiles, rsgislib_moments)


def survey_blocks(survey: Survey, some: Sequence[Window], check_cancelled: Callable[[], None]) -> List[BlockResult]:
    """Read blocks that are decoded together: the task of this stage."""
    if len(some) > 1 and survey.cells is not None:
        read_values(survey.rasters.get(survey.raster.path), survey.raster, extent_of(some), survey.cells)
    return [survey_block(survey, block, check_cancelled) for block in some]


def _read_block(survey: Survey, block: Window) -> Tuple[np.ndarray, np.ndarray, list]:
    """The values of a block, what is valid in it, and the moments of what RSGISLib's script counts."""
    raster, covered = survey.raster, survey.plan.covered(block)
    dataset = survey.rasters.get(raster.path)
    if not survey.as_rsgislib:
        values, valid = read_window(dataset, raster, block, covered, survey.cells)
        return values, valid, []
    values, declared = read_window(dataset, replace(raster, first_zero_is_nodata=False), block, covered, survey.cells)
    exact = rsgislib_stretch.sums_are_exact(raster)
    counted = rsgislib_stretch.counted_values(values, declared, covered)
    with np.errstate(invalid="ignore"):  # of values beyond float32, which are refused when all is known
        return values, declared & (values[0] != 0), [_moments(band, exact) for band in counted]


def _moments(values: np.ndarray, is_integer: bool) -> Optional[tuple]:
    """(count, sum, sum of squares, low, high) of integers, else (count, mean, squares of deviations, low, high)."""
    if not values.size:
        return None
    low, high = values.min().item(), values.max().item()
    if not is_integer:
        values = values.astype(np.float64)
        mean = float(values.mean())
        deviations = values - mean
        return values.size, mean, float(_dot(deviations, deviations)), low, high
    return values.size, *_exact_sums(values), low, high


def _exact_sums(values: np.ndarray) -> Tuple[int, int]:
    """Sum and sum of squares of integers of up to 32 bits, taken in parts that float64 holds exactly."""
    total, squares = 0, 0
    wide = values.dtype.itemsize > 2
    for start in range(0, values.size, PART):
        part = values[start : start + PART]
        lower = (part & 0xFFFF if wide else part).astype(np.float64)
        total += int(lower.sum())
        squares += int(_dot(lower, lower))
        if wide:
            upper = (part >> 16).astype(np.float64)
            total += int(upper.sum()) << 16
            squares += (int(_dot(upper, upper)) << 32) + (int(_dot(upper, lower)) << 17)
    return total, squares


def _dot(one: np.ndarray, other: np.ndarray) -> np.number:
    """As np.dot, whose BLAS may have threads that keep cores busy for a while after each call."""
    return np.einsum("i,i->", one, other)


def combine(moments: Sequence[Optional[tuple]], is_integer: bool) -> BandStatistics:
    """Statistics of one band from those of all blocks, in the order of the blocks."""
    parts = [part for part in moments if part is not None]
    result = BandStatistics()
    if not parts:
        return result
    result.low, result.high = min(part[3] for part in parts), max(part[4] for part in parts)
    if is_integer:
        count, total, squares = (sum(part[i] for part in parts) for i in range(3))
        result.count, result.mean = count, total / count
        result.squares = (count * squares - total * total) / count
        return result
    result.count, result.mean, result.squares = parts[0][:3]
    for count, mean, squares, _, _ in parts[1:]:
        both = result.count + count
        difference = mean - result.mean
        result.mean += difference * (count / both)
        result.squares += squares + difference * difference * (result.count * count / both)
        result.count = both
    return result


@dataclass
class Summary:
    """What is known after the pass.

    bands : statistics of each selected band
    sampled : how many pixels of each block are in the sample, see `sampling.keep_sample`
    valid_pixels : {tile_id: pixels}
    occupied : indices of the blocks that have a valid pixel
    rsgislib_bands : statistics as RSGISLib's script counts them, empty where they are not wanted
    """

    bands: Tuple[BandStatistics, ...]
    sampled: Tuple[int, ...]
    valid_pixels: dict
    occupied: Tuple[int, ...] = ()
    rsgislib_bands: Tuple[BandStatistics, ...] = ()

    def require_data(self, raster: Raster, zones: Optional[Zones] = None) -> None:
        """Raise SegmentationError if no pixel is valid, and none that lies in a zone where others are excluded."""
        if any(self.valid_pixels.values()):
            return
        if zones is not None and zones.excludes:
            raise SegmentationError(
                f"{raster.path} has no valid pixel in ZONES: check the zones, the raster's no-data value, BANDS and "
                "NODATA_RULE, or set ZONES_OUTSIDE to segment."
            )
        raise SegmentationError(
            f"{raster.path} has no valid pixel in the selected bands: check its no-data value, BANDS and NODATA_RULE."
        )

    def colours(self, raster: Raster, stretched: bool) -> Union[Stretched, Raw]:
        """How values become the colours that are compared."""
        if stretched and self.rsgislib_bands:
            return rsgislib_stretch.colours_of(self.rsgislib_bands, raster)
        if stretched:
            low, high = zip(*(band.stretch_range() for band in self.bands))
            return Stretched(low, high)
        if raster.is_integer:
            return Raw()
        largest = max(max(abs(band.low), abs(band.high)) for band in self.bands)
        return Raw(exponent=math.frexp(largest)[1])


def summarise(raster: Raster, plan: Plan, results: Sequence[BlockResult]) -> Summary:
    """Put the blocks' results together; `results` in the order of `blocks`."""
    valid_pixels = {tile.tile_id: 0 for tile in plan.tiles}
    for result in results:
        for tile_id, count in result.valid_pixels.items():
            valid_pixels[tile_id] += count
    exact = rsgislib_stretch.sums_are_exact(raster)
    return Summary(
        _combined([result.moments for result in results], raster.is_integer),
        tuple(result.sampled for result in results),
        valid_pixels,
        tuple(index for index, result in enumerate(results) if any(result.valid_pixels.values())),
        _combined([result.rsgislib_moments for result in results], exact),
    )


def _combined(moments: List[list], is_integer: bool) -> Tuple[BandStatistics, ...]:
    """Statistics of each band from the moments of the blocks; those have as many bands each."""
    return tuple(combine(band, is_integer) for band in zip(*moments))


def save_summary(summary: Summary, folder: WorkFolder) -> None:
    """Keep the summary in the work folder."""
    plain = {
        "bands": [asdict(band) for band in summary.bands],
        "sampled": summary.sampled,
        "valid_pixels": list(summary.valid_pixels.items()),
        "occupied": summary.occupied,
        "rsgislib_bands": [asdict(band) for band in summary.rsgislib_bands],
    }
    folder.save("survey", summary=np.array(json.dumps(plain)))


def load_summary(folder: WorkFolder, raster: Raster) -> Optional[Summary]:
    """The summary that `save_summary` kept; None if there is none, or it or the sample is damaged."""
    saved = folder.load("survey")
    if saved is None:
        return None
    try:
        plain = parse_json(str(saved["summary"]))
        bands, as_rsgislib = (
            tuple(BandStatistics(**band) for band in plain[name]) for name in ("bands", "rsgislib_bands")
        )
        sampled, occupied = (tuple(map(int, plain[name])) for name in ("sampled", "occupied"))
        summary = Summary(bands, sampled, dict(plain["valid_pixels"]), occupied, as_rsgislib)
    except (LookupError, TypeError, ValueError):
        return None
    return summary if sample_is_kept(folder, raster, blocks(raster), sampled) else None


def survey(job: Survey, runner: Runner, progress: Progress) -> Summary:
    """The pass over the whole raster. `progress` is in its stage `statistics`."""
    todo = blocks(job.raster)
    results: Dict[Window, BlockResult] = {}
    tasks = [(block,) for block in todo] if job.cells is None else decoded_together(job.raster, todo)
    for task, found in runner.run(survey_blocks, job, tasks, progress.listening_to(runner)):
        results.update(zip(task, found))
        progress.advance(0.8 * len(results) / len(todo), f"Reading statistics, block {len(results)} of {len(todo)}")
    return summarise(job.raster, job.plan, [results[block] for block in todo])


def take_sample(context: Context, summary: Summary, colours: Union[Stretched, Raw], folder: WorkFolder) -> ColourSample:
    """What k-means is run on: the sample of SAMPLING, or a denser one where that has too few different colours.

    `context.progress` is in its stage `statistics`; the log says which sample it is.

    Parameters
    ----------
    folder : of the survey
    """
    parameters, raster, kernel, progress = context.parameters, context.raster, context.kernel, context.progress
    wanted, step = parameters.num_clusters, parameters.sampling
    every = blocks(raster)
    job = SampleJob(raster, context.plan, colours, kernel.NAME, wanted, step)

    def advance_to(begin: float, text: str) -> Callable[[float], None]:
        return lambda fraction: progress.advance(begin + 0.05 * fraction, text)

    found = kept_sample(KeptJob(job, folder), every, summary.sampled, context.run, advance_to(0.8, "Taking the sample"))
    if len(found.colours) >= wanted or step == 1:
        return found
    occupied = [every[index] for index in summary.occupied]
    denser = denser_sample(job, occupied, context.run, advance_to(0.85, "Taking a denser sample"))
    places_taken = "every place" if denser.step == 1 else f"one place in {denser.step}"
    progress.feedback.info(
        f"SAMPLING={step} meets {counted(len(found.colours), 'different colour')} for {wanted} clusters, so k-means "
        f"takes {places_taken} of the raster instead, with {counted(len(denser.colours), 'different colour')}."
    )
    return denser


def save_sample(sample: ColourSample, folder: WorkFolder) -> None:
    """Keep a sample that took a pass of its own in the work folder."""
    folder.save("sample", step=np.int64(sample.step), colours=sample.colours, counts=sample.counts)


def load_sample(folder: WorkFolder) -> Optional[ColourSample]:
    """The sample that `save_sample` kept; None if there is none, or it is damaged."""
    saved = folder.load("sample")
    if saved is None or saved.keys() != {"step", "colours", "counts"}:
        return None
    return ColourSample(int(saved["step"]), saved["colours"], saved["counts"])


def fewer_clusters(found: int, wanted: int, colours: int) -> str:
    """The sentence that says why there are fewer clusters than were asked for, of so many different colours."""
    why = "the others found no pixel of the sample of their own"
    if colours < wanted:
        why = f"the raster has only {counted(colours, 'different colour')}"
    return f"{counted(found, 'cluster')} instead of {wanted} (NUM_CLUSTERS): {why}."


def find_centres(context: Context, sample: ColourSample) -> np.ndarray:
    """The k-means centres of the whole raster: (k, bands) float32. `context.progress` is in its stage `statistics`."""
    parameters, progress = context.parameters, context.progress

    def find(check: Callable[[], None], advance: Callable[[float], None]) -> Tuple[np.ndarray, int]:
        with ThreadPool(context.threads) as pool:

            def run(function: Callable[[Any], Any], parts: Sequence[Any]) -> Any:
                check()
                return pool.map(function, parts)

            limits = parameters.num_clusters, parameters.kmeans_max_iterations
            return cluster(sample.colours, sample.counts, *limits, context.kernel, run)

    centres, iterations = progress.in_background(find, "Finding cluster centres", (0.9, 1.0))
    if len(centres) < parameters.num_clusters:
        progress.feedback.info(fewer_clusters(len(centres), parameters.num_clusters, len(sample.colours)))
    progress.feedback.debug(f"k-means: {counted(sample.counts.sum(), 'pixel')}, {counted(iterations, 'iteration')}.")
    return centres
