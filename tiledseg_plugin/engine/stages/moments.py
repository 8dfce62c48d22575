# SPDX-License-Identifier: GPL-2.0-or-later
"""What regions are described by: sums and ranges of the raster's integers, which travel up the tree with the regions.

Integers add up exactly in any order, so each part adds up what its members have found, and writes that of a segment
where the segment is decided. Floats do not; they are described when the segments are known (see `products.attributes`).
"""

from functools import partial
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple, Union

import numpy as np

from ..files.work_folder import narrowed
from ..kernels.contract import Kernels, Moments

EVERYTHING = np.s_[:]


class BandMoments(NamedTuple):
    """Of one band of some regions; each has as many values as it has pixels.

    totals : (regions,) sums of the values
    squares : (2, regions), of their squares, see `kernels.region_moments`
    low, high : (regions,), the least and the greatest value
    """

    totals: np.ndarray
    squares: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def of(self, chosen: np.ndarray) -> "BandMoments":
        """Those of some regions, which are chosen by a mask or by indices."""
        return BandMoments(*(array[..., chosen] for array in self))

    def with_pixels(self, sizes: np.ndarray) -> Moments:
        """As the kernels take them."""
        return sizes, self.totals, self.squares, self.low, self.high

    def arrays(self, band: int, chosen: Union[slice, np.ndarray] = EVERYTHING) -> Dict[str, Callable[[], np.ndarray]]:
        """What is written into a file, of all regions, or of some, which are chosen by a mask or by indices.

        Of squares without a high limb, which are most, that is left out. Each array is made when it is its turn.
        """
        return {name: partial(_for_file, array, chosen) for name, array in zip(names_in_files(band), self)}


def _for_file(array: np.ndarray, chosen: Union[slice, np.ndarray]) -> np.ndarray:
    if array.ndim == 2 and not (array[1].any() and array[1, chosen].any()):
        array = array[:1]
    return narrowed(array[..., chosen])


def names_in_files(band: int) -> Tuple[str, ...]:
    """Of the arrays that hold those of a band, which is counted from 0."""
    return tuple(f"moments_{name}_{band}" for name in BandMoments._fields)


def moments_in(saved: Mapping[str, np.ndarray], band: int) -> BandMoments:
    """From the arrays of a file, which are as narrow as they could be."""
    found = BandMoments(*(saved[name] for name in names_in_files(band)))
    if found.squares.shape[:1] != (1,):
        return found
    return found._replace(squares=np.concatenate([found.squares, np.zeros_like(found.squares)]))


def moments_of_pixels(kernel: Kernels, values: np.ndarray, regions: np.ndarray, count: int) -> List[BandMoments]:
    """Of what each region holds in a window, in each band.

    Parameters
    ----------
    values : (bands, rows, cols) integers
    regions : (rows, cols) uint32, 1..count, 0 for pixels in none
    """
    flat = regions.reshape(-1)
    return [BandMoments(*kernel.region_moments(flat, count, band.reshape(-1))[1:]) for band in values]


def add_up(
    kernel: Kernels, parts: Iterable[Tuple[np.ndarray, BandMoments]], places: np.ndarray, count: int
) -> BandMoments:
    """What regions hold in a band that are made of others.

    Parameters
    ----------
    parts : (n,) int64 pixels of some of these others, and what they hold; of each part nothing is kept
    places : (all of them,) uint32, the region that each is in, one part behind the other
    count : of these regions
    """
    limits, counts = np.iinfo(np.int64), np.zeros(count, np.int64)
    whole = BandMoments(
        np.zeros(count, np.int64),
        np.zeros((2, count), np.uint64),
        np.full(count, limits.max, np.int64),
        np.full(count, limits.min, np.int64),
    )
    end = 0
    for sizes, moments in parts:
        begin, end = end, end + sizes.size
        kernel.add_moments(places[begin:end], moments.with_pixels(sizes), whole.with_pixels(counts))
        del sizes, moments  # before the next ones are read
    return whole


def joined(parts: Sequence[BandMoments]) -> BandMoments:
    """Of several lots of regions, one behind the other."""
    return BandMoments(*(np.concatenate([_widened(array) for array in arrays], axis=-1) for arrays in zip(*parts)))


def _widened(array: np.ndarray) -> np.ndarray:
    return array.astype(np.uint64 if array.ndim == 2 else np.int64, copy=False)
