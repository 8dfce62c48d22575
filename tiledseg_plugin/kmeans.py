# SPDX-License-Identifier: GPL-2.0-or-later
"""k-means centres from a sample of the raster, as RSGISLib computes them (no random number is involved)."""

import numpy as np

CHANGED_SHARE = 0.0025
MARGIN = 1e-5  # of a distance, more than the rounding of float32 squares and sums of up to 100 bands
LEAST = 1e-15  # below it, squares underflow


def distinct_colours(sample):
    """The different colours of a sample in order of first appearance, and how often each occurs.

    Parameters
    ----------
    sample : (n, bands) uint8 or float32, in raster order

    Returns
    -------
    colours : (m, bands) float32
    counts : (m,) int64
    """
    sample = np.ascontiguousarray(sample) + sample.dtype.type(0)  # -0.0 becomes 0.0
    if sample.dtype == np.uint8 and sample.shape[1] <= 8:
        packed = np.zeros((len(sample), 8), np.uint8)
        packed[:, : sample.shape[1]] = sample
        _, first, counts = np.unique(packed.view(np.uint64).ravel(), return_index=True, return_counts=True)
    else:
        rows = sample.view(np.dtype((np.void, sample.dtype.itemsize * sample.shape[1]))).ravel()
        _, first, counts = np.unique(rows, return_index=True, return_counts=True)
    order = np.argsort(first)
    return sample[first[order]].astype(np.float32), counts[order]


def starting_centres(planes, num_clusters):
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
    return planes.T[taken]


def round_to_six_digits(centres):
    """Round as RSGISLib's centres file does: six significant decimal digits."""
    return np.array([[float(f"{value:.6g}") for value in centre] for centre in centres], np.float32)


class _Members:
    """Which centre each colour belongs to, kept up to date while centres move.

    Bounds of the distances to the nearest and to all other centres tell which colours cannot have changed (Hamerly
    2010, Making k-means even faster): the others only are compared again. The margins cover the rounding of float32, so
    members are exactly those that comparing all would give.
    """

    def __init__(self, planes, kernel):
        self.planes, self.kernel = planes, kernel
        self.centres = None

    def update(self, centres):
        """Labels, 1 + index of the nearest centre: (m,) uint16, a new array."""
        if self.centres is None or len(centres) != len(self.centres):
            self.labels, nearest, second = self.kernel.nearest_two(self.planes, centres)
            self.to_nearest, self.to_others = self._bounds(nearest, second)
        else:
            moved = np.sqrt(np.square(centres.astype(np.float64) - self.centres).sum(axis=1)) * (1 + MARGIN)
            doubtful = self.kernel.find_doubtful(self.labels, moved, self.to_nearest, self.to_others, MARGIN, LEAST)
            labels, nearest, second = self.kernel.nearest_two(np.take(self.planes, doubtful, axis=1), centres)
            self.labels = self.labels.copy()
            self.labels[doubtful] = labels
            self.to_nearest[doubtful], self.to_others[doubtful] = self._bounds(nearest, second)
        self.centres = centres.astype(np.float64)
        return self.labels

    @staticmethod
    def _bounds(nearest, second):
        far = np.minimum(np.sqrt(second.astype(np.float64)), 1e19)  # an infinite square may be that of 2e19
        return np.sqrt(nearest.astype(np.float64)) * (1 + MARGIN), far * (1 - MARGIN)


class _Sums:
    """How many samples each centre has, and their sums: (k,) and (bands, k) float64.

    Where sums are exact, being of integers, only what the colours that changed their centre bring and take is counted.
    """

    def __init__(self, planes, counts):
        self.planes, self.counts = planes.astype(np.float64), counts
        whole = all((plane == np.rint(plane)).all() for plane in planes)
        self.exact = whole and np.abs(self.planes).max() * counts.sum() < 2**53
        self.labels = None

    def _add_up(self, labels, k, some=slice(None)):
        counts, labels = self.counts[some], labels[some]
        sums = [np.bincount(labels, counts * plane[some], k + 1)[1:] for plane in self.planes]
        return np.bincount(labels, counts, k + 1)[1:], np.stack(sums)

    def update(self, labels, k):
        if self.exact and self.labels is not None and k == len(self.sizes):
            changed = np.flatnonzero(labels != self.labels)
            less, more = self._add_up(self.labels, k, changed), self._add_up(labels, k, changed)
            self.sizes, self.sums = self.sizes + more[0] - less[0], self.sums + more[1] - less[1]
        else:
            self.sizes, self.sums = self._add_up(labels, k)
        self.labels = labels
        return self.sizes, self.sums


def cluster(sample, num_clusters, max_iterations, kernel, check_cancelled=lambda: None):
    """Lloyd's algorithm from a fixed start, in float32.

    Parameters
    ----------
    sample : (n, bands) uint8 or float32, valid pixels' colours in raster order, n >= 1
    num_clusters : int, lowered to the number of distinct colours where there are fewer
    kernel : the set of kernels
    check_cancelled : called once an iteration

    Returns
    -------
    centres : (k, bands) float32, six significant digits
    iterations : int
    """
    colours, counts = distinct_colours(sample)
    planes = np.ascontiguousarray(colours.T)
    centres = starting_centres(planes, min(num_clusters, len(colours)))
    members, totals = _Members(planes, kernel), _Sums(planes, counts)
    labels = members.update(centres)
    iteration = 0
    while iteration < max_iterations:
        check_cancelled()
        iteration += 1
        sizes, sums = totals.update(labels, len(centres))
        kept = sizes > 0
        centres = (sums[:, kept].astype(np.float32) / sizes[kept].astype(np.float32)).T.copy()
        previous, labels = labels, members.update(centres)
        if counts[labels != previous].sum() <= CHANGED_SHARE * counts.sum():
            break
    return round_to_six_digits(centres), iteration
