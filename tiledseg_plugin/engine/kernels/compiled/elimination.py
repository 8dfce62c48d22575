# SPDX-License-Identifier: GPL-2.0-or-later
"""Graph kernel: the elimination of small clumps."""

from typing import Any, Optional, Tuple

import numpy as np

from ..contract import DECIDED, RemainingRegions, Run
from .cache import kernel
from .graph import (
    LENGTH,
    NEXT,
    NOBODY,
    contract_clumps,
    contract_lists,
    count_neighbours,
    find_root,
    list_neighbours,
    list_of,
    number_roots,
    own_lists,
)
from .queues import call_up, queue, queue_again
from .undecided import DOUBTFUL, leave_doubtful, list_undecided_edges

PIECE = 1 << 12  # clumps a call, where several threads decide
WORTH_CONTRACTING = 0.6  # the share of clumps left at which the graph is built anew without the others


@kernel
def _describe(clump: int, sizes: np.ndarray, sums: np.ndarray, weights: np.ndarray, means: np.ndarray) -> None:
    """Set the mean of a clump, as `plain.band_means` does."""
    bands = means.shape[1]
    for band in range(bands):
        total = 0.0
        for limb in range(weights.size):
            total += np.float64(sums[clump, limb * bands + band]) * weights[limb]
        means[clump, band] = np.float32(total) / np.float32(sizes[clump])


@kernel
def _prepare(
    sizes: np.ndarray,
    sums: np.ndarray,
    weights: np.ndarray,
    since: np.ndarray,
    means: np.ndarray,
    first_called: np.ndarray,
    next_called: np.ndarray,
) -> None:
    """Compute all means, and queue the clumps smaller than the least wanted, ascending."""
    for clump in range(sizes.size - 1, -1, -1):
        _describe(clump, sizes, sums, weights, means)
        queue(clump, max(sizes[clump], since[clump]), sizes, first_called, next_called)


@kernel
def _is_unchanged(clump: int, stamp: int, changed: np.ndarray, members: np.ndarray, neighbours: np.ndarray) -> bool:
    """Whether neither the clump nor its neighbours changed in the last step."""
    if changed[clump] == stamp:
        return False
    member = clump
    while member != NOBODY:
        for near in list_of(member, members, neighbours):
            if changed[near] == stamp:
                return False
        member = members[member, NEXT]
    return True


@kernel
def _decide(
    waiting: np.ndarray,
    retries: int,
    choice: np.ndarray,
    tail: np.ndarray,
    threshold: float,
    sizes: np.ndarray,
    means: np.ndarray,
    undecided: np.ndarray,
    into: np.ndarray,
    members: np.ndarray,
    neighbours: np.ndarray,
    changed: np.ndarray,
    stamp: int,
) -> None:
    """Note the partner of every waiting clump in `choice`, and the last of its members in `tail`.

    DOUBTFUL is noted for those that are undecided, or have an undecided neighbour. The lists of the clump's members
    lose the clump itself and most repetitions. Nothing else changes, and no clump reads what another one writes, so
    that threads can share the work. The first `retries` clumps found no partner in the last step.
    """
    bands = means.shape[1]
    for i in range(waiting.size):
        clump = waiting[i]
        choice[i] = NOBODY
        if undecided.size and undecided[clump]:
            choice[i] = DOUBTFUL
            continue
        if i < retries and _is_unchanged(clump, stamp, changed, members, neighbours):
            continue
        nearest = np.float32(np.inf)
        chosen = NOBODY
        before = clump
        last = clump
        member = clump
        doubtful = False
        while member != NOBODY:
            own = list_of(member, members, neighbours)
            kept = 0
            for j in range(own.size):
                near = find_root(into, own[j])
                if near in (clump, before):
                    continue
                before = near
                own[kept] = near
                kept += 1
                if undecided.size:
                    doubtful |= undecided[near]
                distance = np.float32(0)
                for band in range(bands):
                    difference = means[clump, band] - means[near, band]
                    distance += difference * difference
                distance = np.float32(np.sqrt(distance))
                # selections rather than branches, as nobody can foresee which neighbour is nearest
                nearer = (distance < nearest) | ((distance == nearest) & (near < chosen))
                nearer &= (sizes[near] > sizes[clump]) & (distance < threshold)
                nearest = distance if nearer else nearest
                chosen = near if nearer else chosen
            members[member, LENGTH] = kept
            following = members[member, NEXT]
            if kept:
                last = member
            else:
                members[last, NEXT] = following
            member = following
        choice[i] = DOUBTFUL if doubtful else chosen
        tail[i] = last


@kernel
def _merge(
    waiting: np.ndarray,
    choice: np.ndarray,
    tail: np.ndarray,
    area: int,
    sizes: np.ndarray,
    listed: int,
    sums: np.ndarray,
    weights: np.ndarray,
    means: np.ndarray,
    into: np.ndarray,
    members: np.ndarray,
    changed: np.ndarray,
    stamp: int,
    first_called: np.ndarray,
    next_called: np.ndarray,
) -> Tuple[int, int]:
    """Carry the noted merges out.

    Returns
    -------
    kept : how many clumps go on waiting, which stand first in `waiting`
    merged : how many have been merged
    """
    planes = sums.shape[1]
    for i in range(waiting.size):
        if choice[i] != NOBODY:
            into[waiting[i]] = choice[i]
    for i in range(waiting.size):
        if choice[i] == NOBODY:
            continue
        clump = waiting[i]
        root = find_root(into, clump)
        if sizes[root] < listed:
            members[tail[i], NEXT] = members[root, NEXT]
            members[root, NEXT] = clump
        choice[i] = root
        sizes[root] += sizes[clump]
        for plane in range(planes):
            sums[root, plane] += sums[clump, plane]
    kept = 0
    merged = 0
    for i in range(waiting.size):
        clump, root = waiting[i], choice[i]
        if root != NOBODY:
            merged += 1
            into[clump] = root
            changed[clump] = stamp
            if changed[root] != stamp:
                changed[root] = stamp
                _describe(root, sizes, sums, weights, means)
        elif sizes[clump] <= area:
            waiting[kept] = clump
            kept += 1
        else:
            queue(clump, sizes[clump], sizes, first_called, next_called)
    return kept, merged


@kernel
def _settle(whole: np.ndarray, into: np.ndarray, survivors: np.ndarray) -> np.ndarray:
    settled = np.empty_like(whole)
    for clump in range(whole.size):
        settled[clump] = survivors[find_root(into, whole[clump])]
    return settled


class Elimination:
    """Defined by `plain.elimination.Elimination`."""

    def __init__(
        self,
        sizes: np.ndarray,
        sums: np.ndarray,
        weights: np.ndarray,
        edges: np.ndarray,
        min_pixels: int,
        threshold: float,
        since: Optional[np.ndarray] = None,
        shared: Optional[np.ndarray] = None,
    ) -> None:
        count = sizes.size
        self.sums, self.weights = sums, np.asarray(weights, np.float64)
        self.min_pixels, self.threshold = min_pixels, np.float32(threshold)
        self.undecided = np.empty(0, bool) if shared is None or not shared.any() else shared.copy()
        is_part = self.undecided.size > 0
        # a large clump that is found to be undecided tells its neighbours so
        self.listed = np.iinfo(np.int64).max if is_part else min_pixels
        # root, size and mean of a clump are needed together: side by side they cost one miss of the cache, not three
        self.state = np.empty((count, 2 + sums.shape[1] // self.weights.size), np.uint32)
        self._view_state()
        self.sizes[:] = sizes  # no raster has more pixels than 32 bits can count
        self.since = np.zeros(count, np.uint32) if since is None else since.copy()
        self.first_called = np.full(max(min_pixels, 1) + 1, NOBODY, np.uint32)
        self.next_called = np.empty(count, np.uint32)
        _prepare(
            self.sizes,
            sums,
            self.weights,
            self.since,
            self.means,
            self.first_called,
            self.next_called,
        )
        start, limits = np.zeros(count + 1, np.int64), (min_pixels, self.listed)
        self.neighbours = np.empty(count_neighbours(edges, sizes, *limits, start), np.uint32)
        list_neighbours(edges, sizes, *limits, start, self.neighbours)
        self.members = own_lists(start)
        self.changed = np.zeros(count, np.uint32)  # the number of the step in which each changed last, 0 for none
        self.waiting, self.retries = np.empty(count, np.uint32), 0
        self.choice, self.tail = np.empty(count, np.uint32), np.empty(count, np.uint32)
        self.room = np.empty((2, count if is_part else 0), np.uint32)
        self.area = self.steps = 0
        self.live = count
        self.whole: Any = None
        self.survivors: Any = None

    def _view_state(self) -> None:
        self.roots, self.sizes, self.means = self.state[:, 0], self.state[:, 1], self.state.view(np.float32)[:, 2:]
        self.roots[:] = np.arange(self.roots.size, dtype=np.uint32)

    def step(self, area: int, run: Run = map) -> int:
        """Defined by `plain.elimination.Elimination.step`."""
        if 1 < self.live < WORTH_CONTRACTING * self.sizes.size:  # arrays of one are of another kind to numba
            self._contract()
        count = self.retries
        for called in self.area + 1 + np.flatnonzero(self.first_called[self.area + 1 : area + 1] != NOBODY):
            count = call_up(called, self.waiting, count, self.sizes, self.roots, self.first_called, self.next_called)
        self.area = area
        graph = self.roots, self.members, self.neighbours
        waiting, choice, tail = self.waiting[:count], self.choice[:count], self.tail[:count]
        before = np.uint32(self.steps)
        self.steps += 1
        # must never come back, or a clump that grows keeps an old mean; there are fewer steps than pixels
        stamp = np.uint32(self.steps)

        def decide(begin: int) -> None:
            _decide(
                waiting[begin : begin + PIECE],
                self.retries - begin,
                choice[begin : begin + PIECE],
                tail[begin : begin + PIECE],
                self.threshold,
                self.sizes,
                self.means,
                self.undecided,
                *graph,
                self.changed,
                before,
            )

        for _ in run(decide, range(0, count, PIECE)):
            pass
        if self.undecided.size:
            count, self.retries = leave_doubtful(
                waiting,
                choice,
                tail,
                self.retries,
                self.room[0],
                self.room[1],
                area,
                self.undecided,
                self.since,
                *graph,
            )
            waiting, choice, tail = waiting[:count], choice[:count], tail[:count]
        self.retries, merged = _merge(
            waiting,
            choice,
            tail,
            area,
            self.sizes,
            self.listed,
            self.sums,
            self.weights,
            self.means,
            self.roots,
            self.members,
            self.changed,
            stamp,
            self.first_called,
            self.next_called,
        )
        self.live -= merged
        return merged

    def next_area(self, area: int) -> Optional[int]:
        """Defined by `plain.elimination.Elimination.next_area`."""
        queued = np.flatnonzero(self.first_called[area + 1 :] != NOBODY)
        return area + 1 + int(queued[0]) if queued.size else None

    def _contract(self) -> None:
        """Forget the clumps that are merged: what is left is small, and so fits better into the caches."""
        if self.whole is None:
            self.whole = np.arange(self.sizes.size, dtype=np.uint32)
            self.survivors = self.whole.copy()
        numbers = np.empty(self.sizes.size, np.uint32)
        count = number_roots(self.roots, numbers)
        start = np.empty(count + 1, np.int64)
        neighbours = np.empty(int(self.members[:, LENGTH].sum(dtype=np.int64)) + 1, np.uint32)
        end = contract_lists(
            self.roots,
            numbers,
            self.sizes,
            self.min_pixels,
            self.listed,
            self.members,
            self.neighbours,
            start,
            neighbours,
        )
        self.members, self.neighbours = own_lists(start), neighbours[:end].copy()
        self.waiting[: self.retries] = numbers[self.waiting[: self.retries]]
        contract_clumps(
            self.roots,
            self.whole,
            numbers,
            self.survivors,
            self.sums,
            self.state,
            self.changed,
            self.since,
            self.undecided,
        )
        self.since, self.undecided, self.state = self.since[:count], self.undecided[:count], self.state[:count]
        self.sums, self.changed = self.sums[:count], self.changed[:count]
        self._view_state()
        self.next_called = self.next_called[:count]
        queue_again(self.area, self.sizes, self.since, self.first_called, self.next_called)

    def regions(self) -> RemainingRegions:
        """Defined by `plain.elimination.Elimination.regions`."""
        self._contract()
        count = self.sizes.size
        since, edges = np.full(count, DECIDED, np.uint32), np.empty((0, 2), np.uint32)
        if self.undecided.size:
            since[self.undecided] = self.since[self.undecided]
            edges = np.empty((self.neighbours.size, 2), np.uint32)
            edges = edges[: list_undecided_edges(self.members, self.neighbours, self.undecided, edges)].copy()
        return RemainingRegions(self.survivors[:count].copy(), self.sizes.astype(np.int64), self.sums, since, edges)

    @property
    def into(self) -> np.ndarray:
        if self.whole is None:
            self._contract()
        return _settle(self.whole, self.roots, self.survivors)
