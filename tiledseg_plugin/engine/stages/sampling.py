# SPDX-License-Identifier: GPL-2.0-or-later
"""The sample that k-means is run on, as different colours.

SAMPLING=n takes every n-th place of the raster, counted in raster order over all pixels, valid or not (RSGISLib's
rule), and of those the valid ones. Where they have fewer different colours than clusters are asked for, n is halved
(whole numbers: 100, 50, 25, 12, 6, 3, 1) until they have enough or n is 1. Nothing in that depends on tiles, blocks or
the order in which they are done.

What the survey takes of a block it leaves in the work folder, as what colours the values have is known only when all
blocks are read; no process holds more of the sample than its different colours.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Callable, Iterator, List, NamedTuple, Sequence, Tuple, Union

import numpy as np

from .. import kernels
from ..files.gdal_access import OpenRasters
from ..files.raster import Raster
from ..files.reading import read_window
from ..files.window import Window
from ..files.work_folder import WorkFolder, narrowed
from ..kernels.contract import Kernels
from .colours import Raw, Stretched
from .kmeans import distinct_colours
from .parts import load_or_raise
from .plan import Plan

AT_ONCE = 1 << 20  # pixels of the sample whose colours are found in one task

Part = Tuple[np.ndarray, np.ndarray, np.ndarray]  # colours, counts, positions of their first pixels in the raster


class ColourSample(NamedTuple):
    """Different colours in the order in which they appear in the raster.

    step : every how many places were looked at
    colours : (n, bands) float32
    counts : (n,) int64, how often each was met
    """

    step: int
    colours: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class SampleJob:
    """What a sample is taken of; all blocks of a denser one share it.

    kernels : name of the set, as `kernels.choose` takes it
    wanted : how many different colours are enough
    step : SAMPLING
    """

    raster: Raster
    plan: Plan
    colours: Union[Stretched, Raw]
    kernels: str
    wanted: int
    step: int

    @cached_property
    def rasters(self) -> OpenRasters:
        """What tasks read."""
        return OpenRasters()

    @property
    def denser(self) -> Tuple[int, ...]:
        """The steps to try after `step`."""
        return denser_steps(self.step)


def denser_steps(step: int) -> Tuple[int, ...]:
    """The steps that are tried after this one."""
    steps = []
    while step > 1:
        step //= 2
        steps.append(step)
    return tuple(steps)


def places(raster_width: int, block: Window, step: int) -> Tuple[np.ndarray, np.ndarray]:
    """Rows and columns within a block of every n-th place of the raster, counted in raster order from its first."""
    first = -((block.row + np.arange(block.height, dtype=np.int64)) * raster_width + block.col) % step
    cols = first[:, None] + step * np.arange(-(-block.width // step))
    rows, index = np.nonzero(cols < block.width)
    return rows, cols[rows, index]


def _name_of(block: Window) -> str:
    """Under which the sample of a block lies in the work folder."""
    return f"places-{block.col}-{block.row}"


def keep_sample(folder: WorkFolder, block: Window, rows: np.ndarray, cols: np.ndarray, values: np.ndarray) -> None:
    """Leave what a block adds to the sample.

    Parameters
    ----------
    rows, cols : (n,) in the block
    values : (bands, n) of the raster's dtype
    """
    if rows.size:
        folder.save(_name_of(block), places=narrowed(rows * block.width + cols), values=values)


def sample_is_kept(folder: WorkFolder, raster: Raster, blocks: Sequence[Window], sampled: Sequence[int]) -> bool:
    """Whether what an earlier run has left is there and whole, and what it should be."""

    def stands(block: Window, count: int) -> bool:
        saved = folder.load(_name_of(block), "places", "values")
        if saved is None or saved["places"].shape != (count,) or saved["places"].dtype.kind not in "iu":
            return False
        inside = int(saved["places"].min()) >= 0 and int(saved["places"].max()) < block.pixels
        values = saved["values"]
        return inside and values.shape == (len(raster.bands), count) and values.dtype == np.dtype(raster.dtype)

    return len(blocks) == len(sampled) and all(stands(*one) for one in zip(blocks, sampled) if one[1])


@dataclass(frozen=True)
class KeptJob:
    """What the tasks share that find the colours of the sample."""

    sample: SampleJob
    folder: WorkFolder


def colours_of_values(values: np.ndarray, colours: Union[Stretched, Raw], kernel: Kernels) -> np.ndarray:
    """(bands, n) values as the kernels compare them: (n, bands) uint8 or float32."""
    planes = np.ascontiguousarray(values)[:, None, :]
    return np.ascontiguousarray(colours.compared(planes, np.ones(planes.shape[1:], bool), kernel)[:, 0].T)


class SampledValues(NamedTuple):
    """Of the sample in some blocks, in raster order.

    positions : (n,) int64 in the raster
    values : (bands, n) of the raster's dtype
    """

    positions: np.ndarray
    values: np.ndarray


def sampled_values(
    folder: WorkFolder, raster: Raster, blocks: Sequence[Window], check_cancelled: Callable[[], None]
) -> SampledValues:
    """What the survey has left of blocks that have any."""
    positions = [np.empty(0, np.int64)]
    values = [np.empty((len(raster.bands), 0), raster.dtype)]
    for block in blocks:
        check_cancelled()
        saved = load_or_raise(folder, _name_of(block), "places", "values")
        rows, cols = np.divmod(saved["places"].astype(np.int64), block.width)
        positions.append((block.row + rows) * raster.width + block.col + cols)
        values.append(saved["values"])
    where = np.concatenate(positions)
    order = np.argsort(where, kind="stable")
    return SampledValues(where[order], np.concatenate(values, axis=1)[:, order])


def colours_of_blocks(job: KeptJob, blocks: Sequence[Window], check_cancelled: Callable[[], None]) -> Part:
    """The different colours of the sample in some blocks: a task of the survey's end."""
    kernel, _ = kernels.choose(job.sample.kernels)
    sampled = sampled_values(job.folder, job.sample.raster, blocks, check_cancelled)
    compared = colours_of_values(sampled.values, job.sample.colours, kernel)
    check_cancelled()
    colours, counts, first = distinct_colours(compared, kernel)
    return colours, counts, sampled.positions[first]


def kept_sample(
    job: KeptJob,
    blocks: Sequence[Window],
    sampled: Sequence[int],
    run: Callable[..., Iterator[Tuple[Any, Any]]],
    advance: Callable[[float], None],
) -> ColourSample:
    """The sample that the survey has left; see `denser_sample`.

    Parameters
    ----------
    sampled : how many pixels of each block are in it
    """
    lots: List[List[Window]] = []
    size = AT_ONCE
    for block, count in zip(blocks, sampled):
        if count:
            if size + count > AT_ONCE:
                lots.append([])
                size = 0
            lots[-1].append(block)
            size += count
    growing = _Growing(len(job.sample.raster.bands), 0)
    for done, (_, part) in enumerate(run(colours_of_blocks, job, [tuple(lot) for lot in lots]), 1):
        growing.add(*part)
        advance(done / len(lots))
    return growing.sample(job.sample.step)


def sample_block(job: SampleJob, block: Window, check_cancelled: Callable[[], None]) -> List[Part]:
    """The task of a denser sample.

    Returns
    -------
    list of a Part for each of the job's denser steps; none for those after one at which the block by itself has enough
    """
    check_cancelled()
    raster = job.raster
    values, valid = read_window(job.rasters.get(raster.path), raster, block, job.plan.covered(block))
    kernel, _ = kernels.choose(job.kernels)
    found: List[Part] = []
    for step in job.denser:
        check_cancelled()
        rows, cols = places(raster.width, block, step)
        chosen = valid[rows, cols]
        rows, cols = rows[chosen], cols[chosen]
        if not rows.size:
            found.append((np.empty((0, len(values)), np.float32), np.empty(0, np.int64), np.empty(0, np.int64)))
            continue
        planes = np.ascontiguousarray(values[:, rows, cols])[:, None, :]
        compared = job.colours.compared(planes, np.ones(planes.shape[1:], bool), kernel)[:, 0].T
        colours, counts, first = distinct_colours(compared, kernel)
        found.append((colours, counts, (block.row + rows[first]) * raster.width + block.col + cols[first]))
        if len(colours) >= job.wanted:
            break
    return found


class _Growing:
    """Different colours of one step, from blocks in any order; parts are put together when they are worth it."""

    def __init__(self, bands: int, wanted: int) -> None:
        self._wanted = wanted
        self._parts = [(np.empty((0, bands), np.float32), np.empty(0, np.int64), np.empty(0, np.int64))]
        self._pending = 0

    def add(self, colours: np.ndarray, counts: np.ndarray, positions: np.ndarray) -> None:
        self._parts.append((colours, counts, positions))
        self._pending += len(colours)
        if len(self._parts[0][0]) < self._wanted or self._pending > len(self._parts[0][0]):
            self._put_together()

    @property
    def is_enough(self) -> bool:
        return len(self._parts[0][0]) >= self._wanted

    def _put_together(self) -> None:
        parts = [part for part in self._parts if part[1].size] or self._parts[:1]
        self._parts, self._pending = parts, 0
        if len(parts) == 1:
            return
        colours, counts, positions = (np.concatenate(arrays) for arrays in zip(*parts))
        order = np.argsort(positions, kind="stable")  # so that the first of those that are alike is the first of all
        colours, counts, positions = (array[order] for array in (colours, counts, positions))
        _, first, inverse = np.unique(_keys(colours), return_index=True, return_inverse=True)
        whole = np.zeros(first.size, np.int64)
        np.add.at(whole, inverse.reshape(-1), counts)
        order = np.argsort(first)
        self._parts = [(colours[first[order]], whole[order], positions[first[order]])]

    def sample(self, step: int) -> ColourSample:
        self._put_together()
        return ColourSample(step, *self._parts[0][:2])


def _keys(colours: np.ndarray) -> np.ndarray:
    """(n,) by which (n, bands) float32 colours are known to be alike: numbers where they can be, which sort quickly."""
    if colours.shape[1] <= 8 and not np.any((colours < 0) | (colours > 255) | (colours != np.rint(colours))):
        narrow = np.zeros((len(colours), 8), np.uint8)
        narrow[:, : colours.shape[1]] = colours
        return narrow.view(np.uint64).reshape(-1)
    return np.ascontiguousarray(colours).view(f"V{colours.itemsize * colours.shape[1]}").reshape(-1)


def denser_sample(
    job: SampleJob,
    blocks: Sequence[Window],
    run: Callable[..., Iterator[Tuple[Any, Any]]],
    advance: Callable[[float], None],
) -> ColourSample:
    """The sample of the first of the steps that has colours enough, else of the last.

    Parameters
    ----------
    blocks : windows that together hold all valid pixels
    run : function (task, common, items) -> iterator of (item, result), see `execution`
    advance : called with the fraction that is done

    Returns
    -------
    ColourSample
    """
    growing = {step: _Growing(len(job.raster.bands), job.wanted) for step in job.denser}
    for done, (_, found) in enumerate(run(sample_block, job, blocks), 1):
        for step, part in zip(job.denser, found):
            if step not in growing:
                break
            growing[step].add(*part)
            if growing[step].is_enough:
                for later in job.denser[job.denser.index(step) + 1 :]:
                    growing.pop(later, None)
                break
        advance(done / len(blocks))
    step = min(growing)
    return growing[step].sample(step)
