# SPDX-License-Identifier: GPL-2.0-or-later
"""Graph kernel: the elimination of small clumps."""

from typing import NamedTuple, Optional, Union

import numpy as np

from ..contract import DECIDED, NO_LEVEL, Lent, Links, RemainingRegions, Run
from ..pairs import look_up
from .cache import kernel
from .graph import (
    LENGTH,
    NOBODY,
    NeighbourLists,
    contract_clumps,
    contract_lists,
    count_neighbours,
    find_root,
    list_neighbours,
    number_roots,
    own_lists,
    own_roots,
)
from .queues import FIRST, Queues, empty_queues, next_called_up, queue_again
from .steps import (
    ALL,
    AREA,
    ASLEEP,
    CALLED,
    FEW,
    IS_MARKED,
    IS_QUIET,
    LARGEST,
    LIVE,
    NOT_YET,
    RETRIES,
    STEPS,
    WANTED,
    decide,
    prepare,
    take_steps,
)
from .undecided import Decisions, list_left_edges

PIECE = 1 << 12  # clumps a call, where several threads decide
WORTH_CONTRACTING = 0.6  # the share of clumps left at which the graph is built anew without the others


@kernel
def _settle(whole: np.ndarray, into: np.ndarray, survivors: np.ndarray, settled: np.ndarray) -> None:
    """What each clump has become a part of, by the numbers that clumps had before any was forgotten."""
    for clump in range(whole.size):
        settled[clump] = survivors[find_root(into, whole[clump])]


class Clumps(NamedTuple):
    """What is known of each clump. What is said of one that has been merged into another is out of date.

    state : (n, 2 + bands) uint32, its root, size and mean side by side: they are needed together, and so cost one miss
        of the cache, not three
    sizes : (n,) uint32, a column of `state`; what it cannot hold is as large as it can be, see `with_sizes`
    means : (n, bands) float32, columns of `state`
    sums : (n, limbs * bands) int64, see `plain.elimination.band_means`; with one more plane, see `with_sizes`
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

    @staticmethod
    def of(state: np.ndarray, *others: np.ndarray) -> "Clumps":
        """With `state` as sizes and means, too."""
        return Clumps(state, state[:, 1], state.view(np.float32)[:, 2:], *others)


def _shortened(array: np.ndarray, count: int) -> np.ndarray:
    """The first ones, in place: to copy them would hold them twice. What is behind is not given back of a view."""
    if count >= len(array) or not array.flags.owndata:
        return array[:count]
    array.resize((count, *array.shape[1:]), refcheck=False)
    return array


def with_sizes(sums: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Sums, with the sizes as one more plane where these may become more than 32 bits can count.

    Who is large enough, and who is larger than a small one, shows without them; what its mean is, does not.
    """
    return np.column_stack([sums, sizes]) if int(sizes.sum()) > int(LARGEST) else sums


class Elimination:
    """Defined by `plain.elimination.Elimination`."""

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
        sizes, count = sizes() if callable(sizes) else sizes, len(sums)
        self.weights = np.asarray(weights, np.float64)
        self.min_pixels, self.threshold = min_pixels, np.float32(threshold)
        undecided = np.empty(0, bool) if shared is None or not shared.any() else shared.copy()
        # a large clump that turns out to be undecided makes its neighbours undecided, so it needs a list of them
        self.listed = ALL if undecided.size or keeps_links else min_pixels
        self.planes, sums = sums.shape[1], with_sizes(sums, sizes)
        sizes = np.minimum(sizes, int(LARGEST)).astype(np.uint32)
        edges = edges() if callable(edges) else edges
        start, limits = np.zeros(count + 1, np.int64), (min_pixels, self.listed)
        neighbours = np.empty(count_neighbours(edges, sizes, *limits, start), np.uint32)
        list_neighbours(edges, sizes, *limits, start, neighbours)
        del edges
        members = own_lists(start)
        del start
        state = np.empty((count, 2 + self.planes // self.weights.size), np.uint32)
        state[:, 1] = sizes
        del sizes
        self.lists = NeighbourLists(own_roots(state), members, neighbours)
        self.clumps = clumps = Clumps.of(
            state,
            sums,
            np.zeros(count, np.uint32) if undecided_from is None else undecided_from,
            undecided,
            np.zeros(count, np.uint32),
        )
        self.queues = empty_queues(min_pixels, count)
        prepare(clumps.sizes, sums, self.weights, clumps.undecided_from, clumps.means, *self.queues)
        self.course = np.array(
            [0, NOT_YET, 0, 0, count, WORTH_CONTRACTING * count, 0, False, False, 0], np.int64
        )  # see `steps.take_steps`
        self._make_room(np.empty(0, np.uint32))
        # the number now of each clump or of what it has become a part of, and the number at first of each that is left
        self.whole: Optional[np.ndarray] = None
        self.survivors = np.empty(0, np.uint32)
        self.settled: Optional[np.ndarray] = None  # what `into` is in the end
        kept = count if keeps_links else 0
        self.links = Links(np.arange(kept, dtype=np.uint32), np.full(kept, NO_LEVEL, np.uint32))

    def step(self, area: int, run: Run = map) -> int:
        """Defined by `plain.elimination.Elimination.step`."""
        before, following = self.course[LIVE], self.go_on(area, area, run)
        while following is not None:
            following = self.go_on(following, area, run)
        return int(before - self.course[LIVE])

    def go_on(self, area: int, last: int, run: Run = map) -> Optional[int]:
        """Defined by `plain.elimination.Elimination.go_on`."""
        if self.course[CALLED] == NOT_YET:
            if 1 < self.course[LIVE] < self.course[FEW]:
                self._contract()
            if self.course[WANTED] > self.decisions.waiting.size:
                self._make_room(self.decisions.waiting[: self.course[RETRIES]])
            area = self._take_steps(area, last)
        if self.course[CALLED] != NOT_YET:
            begins = range(int(self.course[ASLEEP]), int(self.course[CALLED]), PIECE)
            for _ in run(lambda begin: self.decide(begin, min(begin + PIECE, begins.stop)), begins):
                pass
            area = self._take_steps(area, last)
        return area if area <= last else None

    def _take_steps(self, area: int, last: int) -> int:
        clumps, limits = self.clumps[1:], (self.weights, self.threshold, self.listed)
        links = self.survivors, *self.links
        known = *self.decisions, *clumps, *limits, *self.lists, *links, *self.queues
        return int(take_steps(area, last, PIECE, self.course, *known))

    def _make_room(self, waiting: np.ndarray) -> None:
        """For the decisions of a step, and somewhat more than those; some clumps are waiting already."""
        room = max(int(self.course[WANTED]), waiting.size) * 5 // 4
        in_doubt = room if self.clumps.undecided.size else 0
        self.decisions = Decisions(*(np.empty(size, np.uint32) for size in (room, room, room, in_doubt)))
        self.decisions.waiting[: waiting.size] = waiting

    def decide(self, begin: int, end: int) -> None:
        """Decide about some of those that are called up, in any thread."""
        course, clumps = self.course, self.clumps
        waiting, choice, tail = (array[begin:end] for array in self.decisions[:3])
        retries = int(course[RETRIES]) - begin
        last = int(course[STEPS]), bool(course[IS_QUIET]), bool(course[IS_MARKED])
        known = clumps.sizes, clumps.means, clumps.undecided, clumps.changed
        decide(waiting, choice, tail, retries, self.threshold, *known, *last, *self.lists)

    def next_area(self, area: int) -> Optional[int]:
        """Defined by `plain.elimination.Elimination.next_area`."""
        called = self.queues.called
        following = int(next_called_up(area + 1, called))
        return following if following < len(called) else None

    def _contract(self) -> None:
        """Forget the clumps that are merged: what is left is small, and so fits better into the caches."""
        waiting, called = self.decisions.waiting[: self.course[RETRIES]].copy(), self.queues.called
        del self.decisions, self.queues  # which would be in the way now
        before = self.clumps.changed.size
        numbers, is_left = np.empty(before, np.uint32), np.empty(before, bool)
        count = number_roots(self.lists.into, numbers, is_left)
        into, members, neighbours = self.lists
        state, sizes, means, sums, undecided_from, undecided, changed = self.clumps
        del self.clumps, self.lists, into, sizes, means  # which look at arrays that become shorter
        contract_clumps(is_left, sums, state, changed, undecided_from, undecided)
        state, sums, undecided_from, undecided, changed = (
            _shortened(array, count) for array in (state, sums, undecided_from, undecided, changed)
        )
        self.clumps = clumps = Clumps.of(state, sums, undecided_from, undecided, changed)
        start, room = np.empty(count + 1, np.int64), np.full(count, NOBODY, np.uint32)
        whole, neighbours = neighbours, np.empty(int(members[:, LENGTH].sum(dtype=np.int64)) + 1, np.uint32)
        known = members, whole, numbers, is_left, clumps.sizes, self.listed, room, clumps.sizes >= self.min_pixels
        end = contract_lists(*known, start, neighbours)
        del known, whole, room, members
        neighbours = _shortened(neighbours, end)
        self.lists = NeighbourLists(own_roots(state), own_lists(start), neighbours)
        self._make_room(numbers[waiting])
        if self.whole is None:
            self.whole, self.survivors = numbers, np.flatnonzero(is_left).astype(np.uint32)
        else:
            look_up(self.whole, numbers)
            self.survivors = self.survivors[is_left]
        self.course[FEW] = int(WORTH_CONTRACTING * count)
        self.queues = Queues(called, np.empty(count, np.uint32))
        if count > 1:  # the last one has nobody to merge with; arrays of one are of another kind to numba
            queue_again(int(self.course[AREA]), clumps.sizes, undecided_from, *self.queues)
        else:
            called[:, FIRST] = NOBODY

    def regions(self) -> RemainingRegions:
        """Defined by `plain.elimination.Elimination.regions`. What is of no use any more goes on the way."""
        state, sums = self.clumps.state, self.clumps.sums
        undecided_from, undecided = self.clumps.undecided_from, self.clumps.undecided
        members, neighbours = self.lists.members, self.lists.neighbours
        del self.clumps, self.lists, self.decisions, self.queues
        into, sizes = state[:, 0].copy(), state[:, 1].copy()
        del state
        self.settled = self._settled(into)
        into = self.settled if self.whole is None else into
        edges = np.empty((0, 2), np.uint32)
        if undecided.size:
            edges = np.empty((int(members[:, LENGTH].sum(dtype=np.int64)) + 1, 2), np.uint32)
            known = members, neighbours, sizes, self.min_pixels, undecided, np.full(into.size, NOBODY, np.uint32)
            edges = _shortened(edges, list_left_edges(into, *known, edges))
            del known
        del members, neighbours
        everybody = np.arange(into.size, dtype=np.uint32)
        roots = everybody[into == everybody]
        left_from = np.full(roots.size, DECIDED, np.uint32)
        if undecided.size:
            numbers = np.empty(into.size, np.uint32)
            numbers[roots] = np.arange(roots.size, dtype=np.uint32)
            look_up(edges, numbers)
            is_left = undecided[roots]
            left_from[is_left] = undecided_from[roots[is_left]]
        sums, exact = np.split(sums[roots], [self.planes], axis=1)
        sizes = exact[:, 0] if exact.size else sizes[roots].astype(np.int64)
        return RemainingRegions(self._at_first(roots), sizes, sums, left_from, edges)

    def _at_first(self, clumps: np.ndarray) -> np.ndarray:
        """The numbers that some clumps had before any was forgotten."""
        return clumps if self.whole is None else self.survivors[clumps]

    @property
    def into(self) -> np.ndarray:
        """Defined by `plain.elimination.Elimination`."""
        if self.settled is not None:
            return self.settled
        return self._settled(self.lists.into.copy())

    def _settled(self, into: np.ndarray) -> np.ndarray:
        everybody = np.arange(into.size, dtype=np.uint32)
        whole = everybody if self.whole is None else self.whole
        settled = np.empty_like(whole)
        _settle(whole, into, self._at_first(everybody), settled)
        return settled
