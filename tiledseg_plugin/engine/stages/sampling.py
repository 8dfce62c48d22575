# SPDX-License-Identifier: GPL-2.0-or-later
"""The sample that k-means is run on, as different colours.

SAMPLING=n takes every n-th place of the raster, counted in raster order over all pixels, valid or not (RSGISLib's
rule), and of those the valid ones. Where they have fewer different colours than clusters are asked for, n is halved
(whole numbers: 100, 50, 25, 12, 6, 3, 1) until they have enough or n is 1. Nothing in that depends on tiles, blocks or
the order in which they are done.
"""

from dataclasses import dataclass
from typing import Any, Callable, Iterator, List, NamedTuple, Sequence, Tuple, Union

import numpy as np

from .. import kernels
from ..files.gdal_access import open_raster
from ..files.raster import Raster, read_window
from ..files.window import Window
from .colours import Raw, Stretched
from .kmeans import distinct_colours
from .plan import Plan

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
    first = -((block.row + np.arange(block.height)) * raster_width + block.col) % step
    cols = first[:, None] + step * np.arange(-(-block.width // step))
    rows, index = np.nonzero(cols < block.width)
    return rows, cols[rows, index]


def sample_block(job: SampleJob, block: Window, check_cancelled: Callable[[], None]) -> List[Part]:
    """The task of a denser sample.

    Returns
    -------
    list of a Part for each of the job's denser steps; none for those after one at which the block by itself has enough
    """
    check_cancelled()
    raster = job.raster
    values, valid = read_window(open_raster(raster.path), raster, block, job.plan.covered(block))
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
        colours, counts, positions = (np.concatenate(arrays) for arrays in zip(*self._parts))
        order = np.argsort(positions, kind="stable")  # so that the first of those that are alike is the first of all
        colours, counts, positions = (array[order] for array in (colours, counts, positions))
        packed = np.ascontiguousarray(colours).view(f"V{colours.itemsize * colours.shape[1]}").reshape(-1)
        _, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
        whole = np.zeros(first.size, np.int64)
        np.add.at(whole, inverse.reshape(-1), counts)
        order = np.argsort(first)
        self._parts = [(colours[first[order]], whole[order], positions[first[order]])]
        self._pending = 0

    def sample(self, step: int) -> ColourSample:
        self._put_together()
        return ColourSample(step, *self._parts[0][:2])


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
