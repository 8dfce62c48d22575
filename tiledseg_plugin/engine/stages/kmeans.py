# SPDX-License-Identifier: GPL-2.0-or-later
"""k-means centres from a sample of the raster, as RSGISLib computes them (no random number is involved)."""

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from ..kernels.contract import Kernels, Run

CHANGED_SHARE = 0.0025
MARGIN = 1e-5  # of a distance, more than the rounding of float32 squares and sums of up to 100 bands
LEAST = 1e-15  # below it, squares underflow
PART = 1 << 18  # colours a call of a kernel, at most
SHARED_BY = 4  # the parts are a multiple of it and alike, so that two or four threads end together


def distinct_colours(sample: np.ndarray, kernel: Kernels) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The different colours of a sample in order of first appearance, and how often each occurs.

    Parameters
    ----------
    sample : (n, bands) uint8 or float32, in raster order
    kernel : the set of kernels

    Returns
    -------
    colours : (m, bands) float32
    counts : (m,) int64
    first : (m,) int64, where in the sample each appears first, ascending
    """
    sample = np.ascontiguousarray(sample) + sample.dtype.type(0)  # -0.0 becomes 0.0
    used = sample.shape[1] * sample.itemsize
    packed = np.zeros((len(sample), -(-used // 8) * 8), np.uint8)
    packed[:, :used] = sample.view(np.uint8)
    first, counts = kernel.distinct(packed.view(np.uint64))
    return sample[first].astype(np.float32), counts, first


def starting_centres(planes: np.ndarray, num_clusters: int) -> np.ndarray:
    """Points evenly along the diagonal of the sample's range, each moved onto the nearest colour not yet taken.

    Parameters
    ----------
    planes : (bands, m) float32, different colours

    Returns
    -------
    (num_clusters, bands) float32
    """
    low, high = planes.min(axis=1), planes.max(axis=1)
    taken = np.empty(num_clusters, np.int64)
    distance, difference = np.empty_like(planes[0]), np.empty_like(planes[0])
    for i in range(num_clusters):
        point = low + np.float32(i) * (high - low) / np.float32(num_clusters)
        distance[:] = 0
        for band, plane in enumerate(planes):
            np.subtract(plane, point[band], out=difference)
            distance += np.square(difference, out=difference)
        distance[taken[:i]] = np.inf
        taken[i] = np.argmin(distance)
        if distance[taken[i]] == np.inf:  # so far away that squares overflow: the first that is left
            taken[i] = np.setdiff1d(np.arange(len(distance)), taken[:i])[0]
    return planes.T[taken]


def round_to_six_digits(centres: np.ndarray) -> np.ndarray:
    """Round as RSGISLib's centres file does: six significant decimal digits."""
    return np.array([[float(f"{value:.6g}") for value in centre] for centre in centres], np.float32)


@dataclass
class _Part:
    """Some of the colours, and what is known of the centre that each belongs to; see the kernel `reassign`."""

    planes: np.ndarray
    counts: np.ndarray
    labels: np.ndarray
    to_nearest: np.ndarray
    to_others: np.ndarray


class _Members:
    """Which centre each colour belongs to, kept up to date while centres move, and what the members add up to.

    The margins cover the rounding of float32, so members are exactly those that comparing all would give. Where sums
    are exact, being of integers, only what the colours that changed their centre bring and take is counted.

    Parameters
    ----------
    planes : (bands, m) float32, different colours
    counts : (m,) int64, how often each occurs
    kernel : the set of kernels
    run : as `map`, what calls functions, perhaps in threads
    """

    def __init__(self, planes: np.ndarray, counts: np.ndarray, kernel: Kernels, run: Run) -> None:
        self.kernel, self.run = kernel, run
        whole = all((plane == np.rint(plane)).all() for plane in planes)
        self.exact = whole and np.abs(planes.astype(np.float64)).max() * counts.sum() < 2**53
        self.amounts = [] if self.exact else [counts * plane.astype(np.float64) for plane in planes]
        self.centres = np.empty((0, len(planes)))
        self.sizes, self.sums = np.empty(0), np.empty((len(planes), 0))
        number = min(-(-counts.size // (PART * SHARED_BY)) * SHARED_BY, counts.size)
        ends = np.linspace(0, counts.size, number + 1).astype(int)
        self.parts = [
            _Part(
                np.ascontiguousarray(planes[:, start:end]),
                counts[start:end],
                *(np.zeros(end - start, dtype) for dtype in (np.uint16, np.float64, np.float64)),
            )
            for start, end in zip(ends, ends[1:])
        ]

    def update(self, centres: np.ndarray) -> int:
        """Find the members of the centres in their new places.

        Returns
        -------
        how many, counted as often as they occur, have changed their centre
        """
        exact, moved = centres.astype(np.float64), np.empty(0)
        if len(centres) == len(self.centres):
            moved = np.sqrt(np.square(exact - self.centres).sum(axis=1)) * (1 + MARGIN)
        self.centres = exact
        changed, sizes, sums = zip(*self.run(lambda part: self._reassign(part, centres, moved), self.parts))
        if moved.size:
            self.sizes, self.sums = self.sizes + sum(sizes), self.sums + sum(sums)
        else:
            self.sizes, self.sums = sum(sizes), sum(sums)
        return sum(changed)

    def _reassign(self, part: _Part, centres: np.ndarray, moved: np.ndarray) -> Tuple[int, np.ndarray, np.ndarray]:
        return self.kernel.reassign(
            part.planes,
            part.counts,
            centres,
            moved,
            part.labels,
            part.to_nearest,
            part.to_others,
            MARGIN,
            LEAST,
            self.exact,
        )

    def means(self) -> np.ndarray:
        """(k, bands) float32 of the centres that have members."""
        kept, sums = self.sizes > 0, self.sums
        if not self.exact:
            labels = np.concatenate([part.labels for part in self.parts])
            k = len(self.sizes)
            sums = np.stack(list(self.run(lambda amount: self.kernel.sum_members(labels, amount, k), self.amounts)))
        return (sums[:, kept].astype(np.float32) / self.sizes[kept].astype(np.float32)).T.copy()


def cluster(
    colours: np.ndarray,
    counts: np.ndarray,
    num_clusters: int,
    max_iterations: int,
    kernel: Kernels,
    run: Run = map,
) -> Tuple[np.ndarray, int]:
    """Lloyd's algorithm from a fixed start, in float32.

    Parameters
    ----------
    colours : (n, bands) float32, the different colours of a sample in order of first appearance, n >= 1
    counts : (n,) int64, how often each occurs
    num_clusters : int, lowered to the number of colours where there are fewer
    kernel : the set of kernels
    run : as `map`, what calls functions, perhaps in threads; every iteration calls it, so it may raise to end them

    Returns
    -------
    centres : (k, bands) float32, six significant digits
    iterations : int
    """
    planes = np.ascontiguousarray(colours.T)
    centres = starting_centres(planes, min(num_clusters, len(colours)))
    members = _Members(planes, counts, kernel, run)
    members.update(centres)
    iteration = 0
    while iteration < max_iterations:
        iteration += 1
        centres = members.means()
        if members.update(centres) <= CHANGED_SHARE * counts.sum():
            break
    return round_to_six_digits(centres), iteration
