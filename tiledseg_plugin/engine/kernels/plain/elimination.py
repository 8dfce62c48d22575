# SPDX-License-Identifier: GPL-2.0-or-later
"""Graph kernel: the elimination of small clumps."""

from typing import Any, Optional, Union

import numpy as np

from ..contract import DECIDED, NO_LEVEL, Lent, Links, RemainingRegions, Run
from ..pairs import distinct_pairs


def band_means(sizes: np.ndarray, sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean colours: float32(exact sum) / float32(size), (n, bands) float32.

    `sums` holds one plane a band and limb, all bands of the first limb first; a band's total is the sum of its limbs
    times their `weights` (limbs,) float64.
    """
    limbs = np.asarray(weights, np.float64)
    total = (sums.reshape(len(sizes), limbs.size, sums.shape[1] // limbs.size) * limbs[None, :, None]).sum(axis=1)
    return total.astype(np.float32) / sizes.astype(np.float32)[:, None]


class Elimination:
    """Merge small clumps into their spectrally nearest larger neighbours, area by area.

    Call `step(area)` for area = 1, 2, ..., min_pixels, or `go_on` with what `next_area(0)` and then it itself returns,
    until that is None, then read `into`: (n,) uint32, the index of the clump that each has become a part of.

    Parameters
    ----------
    sizes : (n,) int64, pixels, or what returns them
    sums : (n, limbs * bands) int64, see `band_means`; taken over rather than copied: undefined afterwards
    weights : (limbs,) float64
    edges : (m, 2) uint32, indices of neighbouring clumps, each pair once, or what returns them
    min_pixels : int
    threshold : float, greatest distance of mean colours at which clumps merge; inf for none
    undecided_from : (n,) uint32, the step from which on each clump takes part, in agreement with those of its
        neighbours, see `contract.Kernels.Elimination`; taken over as `sums`; None where all do from the first on
    shared : (n,) bool, clumps that touch or reach what is not in this graph; None where the graph is the whole one.
        Then only what they cannot have any influence on is merged; `regions` returns what is left.
    keeps_links : bool, whether `links` are wanted, see `contract.Links`
    """

    def __init__(
        self,
        sizes: Union[np.ndarray, Lent],
        sums: np.ndarray,
        weights: np.ndarray,
        edges: Union[np.ndarray, Lent],
        min_pixels: int,
        threshold: float,
        undecided_from: Optional[np.ndarray] = None,
        shared: Optional[np.ndarray] = None,
        keeps_links: bool = False,
    ) -> None:
        sizes, edges = (array() if callable(array) else array for array in (sizes, edges))
        self.sizes, self.sums, self.weights = sizes.copy(), sums, weights
        self.min_pixels, self.threshold = min_pixels, np.float32(threshold)
        self.means = band_means(self.sizes, self.sums, weights)
        self.into = np.arange(sizes.size, dtype=np.uint32)
        self.source = np.concatenate([edges[:, 0], edges[:, 1]])
        self.neighbour = np.concatenate([edges[:, 1], edges[:, 0]])
        self.undecided_from = np.zeros(sizes.size, np.uint32) if undecided_from is None else undecided_from.copy()
        self.undecided: Any = None if shared is None else shared.copy()
        kept = sizes.size if keeps_links else 0
        self.links = Links(np.arange(kept, dtype=np.uint32), np.full(kept, NO_LEVEL, np.uint32))
        self._keep(self.sizes[self.source] < min_pixels)

    def _keep(self, wanted: np.ndarray) -> None:
        """Keep those directed edges only, each from a clump that looks for a partner to a neighbour."""
        self.source, self.neighbour = self.source[wanted], self.neighbour[wanted]

    def step(self, area: int, run: Run = map) -> int:
        """Decide on the state at the start of the step, then carry all merges out.

        `run` is called as `map` is. Where it uses threads, as that of a ThreadPoolExecutor does, these share the
        decisions, if the kernels can do that; the compiled ones can. Returns how many clumps were merged.
        """
        acting = np.maximum(self.sizes, self.undecided_from)[self.source] <= area
        if self.undecided is not None:
            self._leave_undecided(self.source[acting], self.neighbour[acting], area)
            acting &= ~self.undecided[self.source]
        source, neighbour = self.source[acting], self.neighbour[acting]
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
        if self.links.level.size:
            self.links.partner[source[best]] = neighbour[best]
            self.links.level[source[best]] = area + (self.sizes[source[best]] == area)
        self._merge(source[best], neighbour[best])
        return best.size

    def go_on(self, area: int, last: int, run: Run = map) -> Optional[int]:
        """Take the step `area` and, where many cost little more than one, some of those after it, none beyond `last`.

        Returns the next one that can change anything, as `next_area` does; None if there is none up to `last`.
        """
        following = area + 1 if self.step(area, run) else self.next_area(area)
        return None if following is None or following > last else following

    def next_area(self, area: int) -> Optional[int]:
        """The next step that can change anything after one that did not; None if there is none.

        It may name a step too early, never one too late.
        """
        called = np.maximum(self.sizes, self.undecided_from)[self.source]
        called = called[called > area]
        return int(called.min()) if called.size else None

    def _leave_undecided(self, source: np.ndarray, neighbour: np.ndarray, area: int) -> None:
        """Make undecided what should decide now but has an undecided neighbour, and is so left to the whole raster.

        With it all clumps become undecided that it might join, then those that have one of these as a neighbour, and so
        on.
        """
        while True:
            doubtful = np.zeros(self.sizes.size, bool)
            doubtful[source[self.undecided[source] | self.undecided[neighbour]]] = True
            left = doubtful.copy()
            left[neighbour[doubtful[source]]] = True
            left &= ~self.undecided
            if not left.any():
                return
            self.undecided |= left
            self.undecided_from[left] = area

    def regions(self) -> RemainingRegions:
        """What is left after the last step."""
        roots = np.flatnonzero(self.into == np.arange(self.into.size, dtype=np.uint32)).astype(np.uint32)
        undecided_from, edges = np.full(roots.size, DECIDED, np.uint32), np.empty((0, 2), np.uint32)
        if self.undecided is not None:
            undecided = self.undecided[roots]
            undecided_from[undecided] = self.undecided_from[roots][undecided]
            pairs = np.sort(np.stack([self.source, self.neighbour], axis=1)[self.undecided[self.source]], axis=1)
            edges = np.searchsorted(roots, distinct_pairs(pairs)).astype(np.uint32)
        return RemainingRegions(roots, self.sizes[roots], self.sums[roots], undecided_from, edges)

    def _merge(self, merged: np.ndarray, target: np.ndarray) -> None:
        """Merge clumps into their targets, which may be merged themselves at the same time."""
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
