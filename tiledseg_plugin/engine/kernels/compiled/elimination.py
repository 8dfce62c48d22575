# SPDX-License-Identifier: GPL-2.0-or-later
"""Graph kernel: the elimination of small clumps."""

from typing import NamedTuple, Optional, Tuple, cast

import numpy as np

from ..contract import DECIDED, NO_LEVEL, Links, RemainingRegions, Run
from .cache import inner, kernel
from .changes import mark_beside, note_links
from .graph import (
    LENGTH,
    NEXT,
    NOBODY,
    NeighbourLists,
    contract_clumps,
    contract_lists,
    count_neighbours,
    find_root,
    list_neighbours,
    list_of,
    number_roots,
    own_lists,
    own_roots,
)
from .queues import Queues, call_up, queue, queue_again
from .undecided import DOUBTFUL, Decisions, Room, leave_doubtful, list_undecided_edges

ALL = np.iinfo(np.int64).max  # of `listed`: all clumps have lists
PIECE = 1 << 12  # clumps a call, where several threads decide
WORTH_CONTRACTING = 0.6  # the share of clumps left at which the graph is built anew without the others


@inner
def _describe(clump: int, sizes: np.ndarray, sums: np.ndarray, weights: np.ndarray, means: np.ndarray) -> None:
    """Set the mean of a clump, as `plain.elimination.band_means` does."""
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
    undecided_from: np.ndarray,
    means: np.ndarray,
    first_called: np.ndarray,
    next_called: np.ndarray,
) -> None:
    """Compute all means, and queue the clumps smaller than the least wanted, ascending."""
    for clump in range(sizes.size - 1, -1, -1):
        _describe(np.uint32(clump), sizes, sums, weights, means)
        queue(np.uint32(clump), max(sizes[clump], undecided_from[clump]), sizes, first_called, next_called)


@inner
def _is_unchanged(clump: int, stamp: int, changed: np.ndarray, members: np.ndarray, neighbours: np.ndarray) -> bool:
    """Whether neither the clump nor its neighbours changed in the last step."""
    if changed[clump] == stamp:
        return False
    member = clump
    while member != NOBODY:
        begin, end = list_of(member, members)
        for place in range(begin, end):
            if changed[neighbours[place]] == stamp:
                return False
        member = members[member, NEXT]
    return True


@inner
def _distance(one: int, other: int, means: np.ndarray) -> float:
    """The distance of the mean colours of two clumps, float32."""
    distance = np.float32(0)
    for band in range(means.shape[1]):
        difference = means[one, band] - means[other, band]
        distance += difference * difference
    return np.float32(np.sqrt(distance))


@kernel
def _decide(
    waiting: np.ndarray,
    choice: np.ndarray,
    tail: np.ndarray,
    retries: int,
    threshold: float,
    sizes: np.ndarray,
    means: np.ndarray,
    undecided: np.ndarray,
    changed: np.ndarray,
    stamp: int,
    is_quiet: bool,
    is_marked: bool,
    into: np.ndarray,
    members: np.ndarray,
    neighbours: np.ndarray,
) -> None:
    """Note the partner of every waiting clump in `choice`, and the last clump of the chain of its lists in `tail`.

    DOUBTFUL is noted for those that are undecided, or have an undecided neighbour. The lists of the clump's members
    lose the clump itself and most repetitions. Nothing else changes, and no clump reads what another one writes, so
    that threads can share the work. The first `retries` clumps found no partner in the last step, whose number is
    `stamp`, and in which nothing was merged if it `is_quiet`; if it `is_marked`, see `changes.mark_beside`.
    """
    for i in range(waiting.size):
        clump = waiting[i]
        choice[i] = NOBODY
        if undecided.size and undecided[clump]:
            choice[i] = DOUBTFUL
            continue
        if i < retries and (
            is_quiet
            or (changed[clump] != stamp if is_marked else _is_unchanged(clump, stamp, changed, members, neighbours))
        ):
            continue
        nearest, chosen, doubtful = np.float32(np.inf), NOBODY, False
        before = last = member = clump
        while member != NOBODY:
            begin, end = list_of(member, members)
            kept = begin
            for place in range(begin, end):
                near = find_root(into, neighbours[place])
                if (near == clump) | (near == before):
                    continue
                before = near
                neighbours[kept] = near
                kept += np.uintp(1)
                if undecided.size:
                    doubtful |= undecided[near]
                distance = _distance(clump, near, means)
                # selections rather than branches, as nobody can foresee which neighbour is nearest
                nearer = (distance < nearest) | ((distance == nearest) & (near < chosen))
                nearer &= (sizes[near] > sizes[clump]) & (distance < threshold)
                nearest = distance if nearer else nearest
                chosen = near if nearer else chosen
            members[member, LENGTH] = kept - begin
            following = members[member, NEXT]
            if kept != begin:
                last = member
            else:
                members[last, NEXT] = following
            member = following
        choice[i] = DOUBTFUL if doubtful else chosen
        tail[i] = last


@inner
def _join(
    waiting: np.ndarray,
    choice: np.ndarray,
    tail: np.ndarray,
    sizes: np.ndarray,
    sums: np.ndarray,
    listed: int,
    into: np.ndarray,
    members: np.ndarray,
) -> None:
    """Replace each noted partner by the clump that it ends in, which may be another's partner, and add up there."""
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
        for plane in range(sums.shape[1]):
            sums[root, plane] += sums[clump, plane]


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
    changed: np.ndarray,
    stamp: int,
    into: np.ndarray,
    members: np.ndarray,
    survivors: np.ndarray,
    partner: np.ndarray,
    level: np.ndarray,
    neighbours: np.ndarray,
    first_called: np.ndarray,
    next_called: np.ndarray,
) -> Tuple[int, int, bool]:
    """Carry the noted merges out, in the step of the number `stamp`; `partner` and `level` are empty or the links.

    Returns
    -------
    kept : how many clumps go on waiting, which stand first in `waiting`
    merged : how many have been merged
    is_marked : see `changes.mark_beside`
    """
    if level.size:
        note_links(waiting, choice, area, sizes, survivors, partner, level)
    _join(waiting, choice, tail, sizes, sums, listed, into, members)
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
    is_marked = listed == ALL and mark_beside(choice, 4 * kept + 16, stamp, changed, into, members, neighbours)
    return kept, merged, is_marked


@kernel
def _settle(whole: np.ndarray, into: np.ndarray, survivors: np.ndarray, settled: np.ndarray) -> None:
    """What each clump has become a part of, by the numbers that clumps had before any was forgotten."""
    for clump in range(whole.size):
        settled[clump] = survivors[find_root(into, whole[clump])]


class Clumps(NamedTuple):
    """What is known of each clump. What is said of one that has been merged into another is out of date.

    state : (n, 2 + bands) uint32, its root, size and mean side by side: they are needed together, and so cost one miss
        of the cache, not three
    sizes : (n,) uint32, a column of `state`; no raster has more pixels than 32 bits can count
    means : (n, bands) float32, columns of `state`
    sums : (n, limbs * bands) int64, see `plain.elimination.band_means`
    undecided_from : (n,) uint32, see `plain.elimination.Elimination`
    undecided : (n,) bool; (0,) where the graph is the whole one
    changed : (n,) uint32, the number of the step in which it changed last, 0 for none
    """

    state: np.ndarray
    sizes: np.ndarray
    means: np.ndarray
    sums: np.ndarray
    undecided_from: np.ndarray
    undecided: np.ndarray
    changed: np.ndarray

    def first(self, count: int) -> "Clumps":
        """The first ones: views."""
        return Clumps(*(array[:count] for array in self))


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
        undecided_from: Optional[np.ndarray] = None,
        shared: Optional[np.ndarray] = None,
        keeps_links: bool = False,
    ) -> None:
        count = sizes.size
        self.weights = np.asarray(weights, np.float64)
        self.min_pixels, self.threshold = min_pixels, np.float32(threshold)
        state = np.empty((count, 2 + sums.shape[1] // self.weights.size), np.uint32)
        self.clumps = clumps = Clumps(
            state,
            state[:, 1],
            state.view(np.float32)[:, 2:],
            sums,
            np.zeros(count, np.uint32) if undecided_from is None else undecided_from.copy(),
            np.empty(0, bool) if shared is None or not shared.any() else shared.copy(),
            np.zeros(count, np.uint32),
        )
        clumps.sizes[:] = sizes
        self.queues = Queues(np.full(max(min_pixels, 1) + 1, NOBODY, np.uint32), np.empty(count, np.uint32))
        _prepare(clumps.sizes, sums, self.weights, clumps.undecided_from, clumps.means, *self.queues)
        # a large clump that turns out to be undecided makes its neighbours undecided, so it needs a list of them
        self.listed = ALL if clumps.undecided.size or keeps_links else min_pixels
        start, limits = np.zeros(count + 1, np.int64), (min_pixels, self.listed)
        neighbours = np.empty(count_neighbours(edges, sizes, *limits, start), np.uint32)
        list_neighbours(edges, sizes, *limits, start, neighbours)
        self.lists = NeighbourLists(own_roots(clumps.state), own_lists(start), neighbours)
        self.decisions, self.retries = Decisions(*(np.empty(count, np.uint32) for _ in range(3))), 0
        self.room = Room(*(np.empty(clumps.undecided.size, np.uint32) for _ in range(2)))
        self.area = self.steps = 0
        self.is_quiet = self.is_marked = False
        self.live = count
        # the number now of each clump or of what it has become a part of, and the number at first of each that is left
        self.whole: Optional[np.ndarray] = None
        self.survivors = np.empty(0, np.uint32)
        kept = count if keeps_links else 0
        self.links = Links(np.arange(kept, dtype=np.uint32), np.full(kept, NO_LEVEL, np.uint32))

    def step(self, area: int, run: Run = map) -> int:
        """Defined by `plain.elimination.Elimination.step`."""
        if 1 < self.live < WORTH_CONTRACTING * self.clumps.changed.size:  # arrays of one are of another kind to numba
            self._contract()
        clumps, lists, decisions = self.clumps, self.lists, self._call_up(area)
        before = np.uint32(self.steps)
        self.steps += 1
        # must never come back, or a clump that grows keeps an old mean; there are fewer steps than pixels
        stamp = np.uint32(self.steps)

        last = self.is_quiet, self.is_marked

        def decide(begin: int) -> None:
            part, retries = decisions.part(begin, begin + PIECE), self.retries - begin
            known = clumps.sizes, clumps.means, clumps.undecided, clumps.changed
            _decide(*part, retries, self.threshold, *known, before, *last, *lists)

        for _ in run(decide, range(0, decisions.waiting.size, PIECE)):
            pass
        if clumps.undecided.size:
            doubt = clumps.undecided, clumps.undecided_from
            kept, self.retries = leave_doubtful(*decisions, self.retries, *self.room, area, *doubt, *lists)
            decisions = decisions.part(0, kept)
        grown = clumps.sizes, self.listed, clumps.sums, self.weights, clumps.means, clumps.changed
        known = lists.into, lists.members, self.survivors, *self.links, lists.neighbours
        self.retries, merged, self.is_marked = _merge(*decisions, area, *grown, stamp, *known, *self.queues)
        self.live -= merged
        self.is_quiet = not merged
        return merged

    def _call_up(self, area: int) -> Decisions:
        """Those that decide in the step `area`: those that found no partner before, and those whose size it is."""
        sizes, waiting, count = self.clumps.sizes, self.decisions.waiting, self.retries
        first_called, begin = self.queues.first_called, self.area + 1
        for called in (area,) if area == begin else begin + np.flatnonzero(first_called[begin : area + 1] != NOBODY):
            count = call_up(called, waiting, count, sizes, self.lists.into, *self.queues)
        self.area = area
        return self.decisions.part(0, count)

    def next_area(self, area: int) -> Optional[int]:
        """Defined by `plain.elimination.Elimination.next_area`."""
        first_called, begin, length = self.queues.first_called, area + 1, 64
        while begin < first_called.size:  # a little at first: the next is near, and there may be millions of steps
            queued = first_called[begin : begin + length] != NOBODY
            if queued.any():
                return begin + int(queued.argmax())
            begin, length = begin + length, 4 * length
        return None

    def _contract(self) -> None:
        """Forget the clumps that are merged: what is left is small, and so fits better into the caches."""
        clumps, lists = self.clumps, self.lists
        if self.whole is not None and clumps.changed.size == 1:
            return
        if self.whole is None:
            self.whole = np.arange(clumps.changed.size, dtype=np.uint32)
            self.survivors = self.whole.copy()
        numbers = np.empty(clumps.changed.size, np.uint32)
        count = number_roots(lists.into, numbers)
        start = np.empty(count + 1, np.int64)
        neighbours = np.empty(int(lists.members[:, LENGTH].sum(dtype=np.int64)) + 1, np.uint32)
        limits, room = (self.min_pixels, self.listed), (np.full(count, NOBODY, np.uint32), np.zeros(count, bool))
        end = contract_lists(*lists, numbers, clumps.sizes, *limits, *room, start, neighbours)
        neighbours.resize(end, refcheck=False)  # in place: to copy them would hold them twice
        members = own_lists(start)
        retried = self.decisions.waiting[: self.retries]
        retried[:] = numbers[retried]
        state, _, _, sums, undecided_from, undecided, changed = clumps
        moved = sums, state, changed, undecided_from, undecided
        contract_clumps(lists.into, self.whole, numbers, self.survivors, *moved)
        self.clumps = clumps = clumps.first(count)
        self.lists = NeighbourLists(own_roots(clumps.state), members, neighbours)
        self.queues = Queues(self.queues.first_called, self.queues.next_called[:count])
        if count > 1:  # the last one has nobody to merge with; arrays of one are of another kind to numba
            queue_again(self.area, clumps.sizes, clumps.undecided_from, *self.queues)
        else:
            self.queues.first_called[:] = NOBODY

    def regions(self) -> RemainingRegions:
        """Defined by `plain.elimination.Elimination.regions`."""
        self._contract()
        clumps, undecided = self.clumps, self.clumps.undecided
        count = clumps.changed.size
        undecided_from, edges = np.full(count, DECIDED, np.uint32), np.empty((0, 2), np.uint32)
        if undecided.size:
            undecided_from[undecided] = clumps.undecided_from[undecided]
            edges = np.empty((self.lists.neighbours.size, 2), np.uint32)
            edges = edges[: list_undecided_edges(self.lists.members, self.lists.neighbours, undecided, edges)].copy()
        sizes = clumps.sizes.astype(np.int64)
        return RemainingRegions(self.survivors[:count].copy(), sizes, clumps.sums, undecided_from, edges)

    @property
    def into(self) -> np.ndarray:
        """Defined by `plain.elimination.Elimination`."""
        if self.whole is None:
            self._contract()
        whole = cast(np.ndarray, self.whole)
        if self.clumps.changed.size == 1:  # an array of one is of another kind to numba
            return np.full(whole.size, self.survivors[0], np.uint32)
        settled = np.empty_like(whole)
        _settle(whole, self.lists.into, self.survivors, settled)
        return settled
