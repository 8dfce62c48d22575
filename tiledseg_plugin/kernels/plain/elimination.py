# SPDX-License-Identifier: GPL-2.0-or-later
"""Graph kernel: the elimination of small clumps."""

import numpy as np


def band_means(sizes, sums, weights):
    """Mean colours: float32(exact sum) / float32(size), (n, bands) float32.

    `sums` holds one plane a band and limb, all bands of the first limb first; a band's total is the sum of its limbs
    times their `weights` (limbs,) float64.
    """
    limbs = np.asarray(weights, np.float64)
    total = (sums.reshape(len(sizes), limbs.size, -1) * limbs[None, :, None]).sum(axis=1)
    return total.astype(np.float32) / sizes.astype(np.float32)[:, None]


class Elimination:
    """Merge small clumps into their spectrally nearest larger neighbours, area by area.

    Call `step(area)` for area = 1, 2, ..., min_pixels, or only for those that `next_area` names, then read
    `into`: (n,) uint32, the index of the clump that each has become a part of.

    Parameters
    ----------
    sizes : (n,) int64, pixels
    sums : (n, limbs * bands) int64, see `band_means`; taken over rather than copied: undefined afterwards
    weights : (limbs,) float64
    edges : (m, 2) uint32, indices of neighbouring clumps, each pair once
    min_pixels : int
    threshold : float, greatest distance of mean colours at which clumps merge; inf for none
    """

    def __init__(self, sizes, sums, weights, edges, min_pixels, threshold):
        self.sizes, self.sums, self.weights = sizes.copy(), sums, weights
        self.min_pixels, self.threshold = min_pixels, np.float32(threshold)
        self.means = band_means(self.sizes, self.sums, weights)
        self.into = np.arange(sizes.size, dtype=np.uint32)
        self.source = np.concatenate([edges[:, 0], edges[:, 1]])
        self.neighbour = np.concatenate([edges[:, 1], edges[:, 0]])
        self._keep(self.sizes[self.source] < min_pixels)

    def _keep(self, wanted):
        self.source, self.neighbour = self.source[wanted], self.neighbour[wanted]

    def step(self, area, run=map):
        """Decide on the state at the start of the step, then carry all merges out.

        `run` is called as `map` is; one that uses threads, such as that of a ThreadPoolExecutor, shares the decisions
        out where the kernels know how (the compiled ones do). Gives how many clumps were merged.
        """
        small = self.sizes[self.source] <= area
        source, neighbour = self.source[small], self.neighbour[small]
        larger = self.sizes[neighbour] > self.sizes[source]
        source, neighbour = source[larger], neighbour[larger]
        distance = np.zeros(source.size, np.float32)
        for mean in self.means.T:
            difference = mean[source] - mean[neighbour]
            distance += difference * difference
        distance = np.sqrt(distance)
        near = distance < self.threshold
        source, neighbour, distance = source[near], neighbour[near], distance[near]
        if not source.size:
            return 0
        order = np.lexsort((neighbour, distance, source))
        source, neighbour = source[order], neighbour[order]
        best = np.flatnonzero(np.diff(source, prepend=np.int64(-1)))
        self._merge(source[best], neighbour[best])
        return best.size

    def next_area(self, area):
        """The next step that can change anything after one that did not: the least larger size, None if there is none.

        It may name a step too early, never one too late.
        """
        sizes = self.sizes[self.source]
        sizes = sizes[sizes > area]
        return int(sizes.min()) if sizes.size else None

    def _merge(self, merged, target):
        follow = np.arange(self.sizes.size, dtype=np.uint32)
        follow[merged] = target
        final = target
        while True:  # a target may itself be merged in this step
            further = follow[final]
            if np.array_equal(further, final):
                break
            final = further
        order = np.argsort(final, kind="stable")
        starts = np.flatnonzero(np.diff(final[order], prepend=np.int64(-1)))
        grown = final[order][starts]
        self.sizes[grown] += np.add.reduceat(self.sizes[merged][order], starts)
        self.sums[grown] += np.add.reduceat(self.sums[merged][order], starts, axis=0)
        self.means[grown] = band_means(self.sizes[grown], self.sums[grown], self.weights)
        follow[merged] = final
        self.into = follow[self.into]
        self.source, self.neighbour = follow[self.source], follow[self.neighbour]
        self._keep((self.source != self.neighbour) & (self.sizes[self.source] < self.min_pixels))
