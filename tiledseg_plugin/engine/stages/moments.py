# SPDX-License-Identifier: GPL-2.0-or-later
"""What regions are described by: sums and ranges of the raster's integers, which travel up the tree with the regions.

Integers add up exactly in any order, so each part adds up what its members have found, and writes that of a segment
where the segment is decided. Floats do not; they are described when the segments are known (see `products.attributes`).
"""

from functools import partial
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Tuple, Union

import numpy as np

from ..files.work_folder import narrowed
from ..kernels.contract import Kernels

PREFIX = "moments_"  # of the names of the arrays in files
EVERYTHING = np.s_[:]
BandMoments = Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # see `kernels.region_moments`


class RegionMoments(NamedTuple):
    """Of all bands of some regions; each has as many values as it has pixels.

    totals : (bands, regions) sums of the values
    squares : (bands, 2, regions), of their squares, see `kernels.region_moments`
    low, high : (bands, regions), the least and the greatest value
    """

    totals: np.ndarray
    squares: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def of(self, chosen: np.ndarray) -> "RegionMoments":
        """Those of some regions, which are chosen by a mask or by indices."""
        return RegionMoments(*(array[..., chosen] for array in self))

    def band(self, index: int, sizes: np.ndarray) -> BandMoments:
        """Those of one band, as the kernels take them."""
        return sizes, self.totals[index], self.squares[index], self.low[index], self.high[index]

    def arrays(self, chosen: Union[slice, np.ndarray] = EVERYTHING) -> Dict[str, Callable[[], np.ndarray]]:
        """What is written into a file, of all regions, or of some, which are chosen by a mask or by indices.

        Of squares without a high limb, which are most, that is left out. Each array is made when it is its turn.
        """
        return {PREFIX + name: partial(_for_file, array, chosen) for name, array in zip(self._fields, self)}


def _for_file(array: np.ndarray, chosen: Union[slice, np.ndarray]) -> np.ndarray:
    if array.ndim == 3 and not (array[:, 1].any() and array[:, 1, chosen].any()):
        array = array[:, :1]
    return narrowed(array[..., chosen])


def names_in_files() -> Tuple[str, ...]:
    """Of the arrays that hold them."""
    return tuple(PREFIX + name for name in RegionMoments._fields)


def moments_in(saved: Mapping[str, np.ndarray]) -> RegionMoments:
    """From the arrays of a file, which are as narrow as they could be."""
    found = RegionMoments(*(saved[name] for name in names_in_files()))
    if found.squares.shape[1:2] != (1,):
        return found
    return found._replace(squares=np.concatenate([found.squares, np.zeros_like(found.squares)], axis=1))


def moments_of_pixels(kernel: Kernels, values: np.ndarray, regions: np.ndarray, count: int) -> RegionMoments:
    """Of what each region holds in a window.

    Parameters
    ----------
    values : (bands, rows, cols) integers
    regions : (rows, cols) uint32, 1..count, 0 for pixels in none
    """
    flat = regions.reshape(-1)
    bands = [kernel.region_moments(flat, count, band.reshape(-1))[1:] for band in values]
    return RegionMoments(*(np.stack(arrays) for arrays in zip(*bands)))


def add_up(
    kernel: Kernels, parts: Iterable[Tuple[np.ndarray, RegionMoments]], places: np.ndarray, shape: Tuple[int, int]
) -> RegionMoments:
    """What regions hold that are made of others.

    Parameters
    ----------
    parts : (n,) int64 pixels of some of these others, and what they hold; of each part nothing is kept
    places : (all of them,) uint32, the region that each is in, one part behind the other
    shape : bands and regions
    """
    limits, counts = np.iinfo(np.int64), np.zeros(shape[1], np.int64)
    whole = RegionMoments(
        np.zeros(shape, np.int64),
        np.zeros((shape[0], 2, shape[1]), np.uint64),
        np.full(shape, limits.max, np.int64),
        np.full(shape, limits.min, np.int64),
    )
    end = 0
    for sizes, moments in parts:
        begin, end = end, end + sizes.size
        for band in range(shape[0]):
            kernel.add_moments(places[begin:end], moments.band(band, sizes), whole.band(band, counts))
        del sizes, moments  # before the next ones are read
    return whole


def joined(parts: Iterable[RegionMoments]) -> RegionMoments:
    """Of several lots of regions, one behind the other."""
    lots: List[RegionMoments] = list(parts)
    return RegionMoments(*(np.concatenate([_widened(array) for array in arrays], axis=-1) for arrays in zip(*lots)))


def _widened(array: np.ndarray) -> np.ndarray:
    return array.astype(np.uint64 if array.ndim == 3 else np.int64, copy=False)
