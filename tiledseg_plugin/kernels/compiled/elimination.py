# SPDX-License-Identifier: GPL-2.0-or-later
"""Graph kernel: the elimination of small clumps."""

from typing import Any

import numpy as np

from ..plain.elimination import DECIDED, Regions
from .cache import kernel
from .graph import (
    NOBODY,
    contract_clumps,
    contract_lists,
    count_neighbours,
    find_root,
    list_neighbours,
    number_roots,
)
from .undecided import ITSELF, drop_undecided, leave_waiting, list_undecided_edges

PIECE = 1 << 15  # clumps a call, where several threads decide
WORTH_CONTRACTING = 0.5  # the share of clumps left at which the graph is built anew without the others


@kernel
def _describe(clump, sizes, sums, weights, bounded, means):
    """Set the mean of a clump, as `plain.band_means` does, and its size, as far as it fits into 32 bits."""
    bounded[clump] = min(sizes[clump], np.int64(0xFFFFFFFF))
    bands = means.shape[1]
    for band in range(bands):
        total = 0.0
        for limb in range(weights.size):
            total += np.float64(sums[clump, limb * bands + band]) * weights[limb]
        means[clump, band] = np.float32(total) / np.float32(sizes[clump])


@kernel
def _prepare(sizes, sums, weights, since, bounded, means, first_called, next_called):
    """Compute all means, and queue the clumps smaller than the least wanted, ascending."""
    for clump in range(sizes.size - 1, -1, -1):
        _describe(clump, sizes, sums, weights, bounded, means)
        _queue(clump, max(sizes[clump], np.int64(since[clump])), sizes, first_called, next_called)


@kernel
def _queue(clump, area, sizes, first_called, next_called):
    """Chain a clump with those that are called up in the step `area`; those as large as wanted never are."""
    if sizes[clump] < first_called.size - 1:
        next_called[clump] = first_called[area]
        first_called[area] = clump


@kernel
def _call_up(area, waiting, count, sizes, into, first_called, next_called):
    """Append to the `count` clumps in `waiting` those that have just become small enough; gives the new count.

    A clump that has grown while queued goes on to the queue of its size.
    """
    clump = first_called[area]
    first_called[area] = NOBODY
    while clump != NOBODY:
        following = next_called[clump]
        if into[clump] == clump:
            if sizes[clump] <= area:
                waiting[count] = clump
                count += 1
            else:
                _queue(clump, sizes[clump], sizes, first_called, next_called)
        clump = following
    return count


@kernel
def _is_unchanged(clump, stamp, changed, start, degree, neighbours, next_member):
    """Whether neither the clump nor its neighbours changed in the last step."""
    if changed[clump] == stamp:
        return False
    member = clump
    while member != NOBODY:
        for j in range(start[member], start[member] + degree[member]):
            if changed[neighbours[j]] == stamp:
                return False
        member = next_member[member]
    return True


@kernel
def _decide(
    waiting,
    retries,
    choice,
    tail,
    threshold,
    bounded,
    means,
    into,
    start,
    degree,
    neighbours,
    next_member,
    changed,
    stamp,
):
    """Note the partner of every waiting clump in `choice`, and the last of its members in `tail`.

    The lists of the clump's members lose the clump itself and most repetitions. Nothing else changes, and no clump
    reads what another one writes, so that threads can share the work. The first `retries` clumps found no partner in
    the last step.
    """
    bands = means.shape[1]
    seen = np.empty(16, np.uint32)
    for i in range(waiting.size):
        clump = waiting[i]
        choice[i] = NOBODY
        if i < retries and _is_unchanged(clump, stamp, changed, start, degree, neighbours, next_member):
            continue
        nearest = np.float32(np.inf)
        chosen = NOBODY
        known = 0
        last = clump
        member = clump
        while member != NOBODY:
            end = start[member]
            for j in range(start[member], start[member] + degree[member]):
                near = find_root(into, neighbours[j])
                repeated = near == clump
                for k in range(known):
                    repeated |= seen[k] == near
                if repeated:
                    continue
                if known < seen.size:
                    seen[known] = near
                    known += 1
                neighbours[end] = near
                end += 1
                if bounded[near] <= bounded[clump]:
                    continue
                distance = np.float32(0)
                for band in range(bands):
                    difference = means[clump, band] - means[near, band]
                    distance += difference * difference
                distance = np.float32(np.sqrt(distance))
                if distance < threshold and (distance < nearest or (distance == nearest and near < chosen)):
                    nearest = distance
                    chosen = near
            degree[member] = end - start[member]
            following = next_member[member]
            if degree[member]:
                last = member
            else:
                next_member[last] = following
            member = following
        choice[i] = chosen
        tail[i] = last


@kernel
def _merge(
    waiting,
    choice,
    tail,
    area,
    sizes,
    sums,
    weights,
    bounded,
    means,
    into,
    next_member,
    changed,
    stamp,
    first_called,
    next_called,
):
    """Carry the noted merges out; gives how many clumps go on waiting, which stand first in `waiting`."""
    planes = sums.shape[1]
    for i in range(waiting.size):
        if choice[i] != NOBODY:
            into[waiting[i]] = choice[i]
    for i in range(waiting.size):
        if choice[i] == NOBODY:
            continue
        clump = waiting[i]
        root = find_root(into, clump)
        if sizes[root] < first_called.size - 1:  # others never look for a partner
            next_member[tail[i]] = next_member[root]
            next_member[root] = clump
        sizes[root] += sizes[clump]
        for plane in range(planes):
            sums[root, plane] += sums[clump, plane]
        changed[clump] = stamp
    for i in range(waiting.size):
        if choice[i] == NOBODY:
            continue
        root = find_root(into, waiting[i])
        into[waiting[i]] = root
        if changed[root] != stamp:
            changed[root] = stamp
            _describe(root, sizes, sums, weights, bounded, means)
    kept = 0
    for i in range(waiting.size):
        clump = waiting[i]
        if choice[i] == NOBODY:
            if sizes[clump] <= area:
                waiting[kept] = clump
                kept += 1
            else:
                _queue(clump, sizes[clump], sizes, first_called, next_called)
    return kept


@kernel
def _queue_again(area, sizes, since, first_called, next_called):
    first_called[:] = NOBODY
    for clump in range(sizes.size - 1, -1, -1):
        called = max(sizes[clump], np.int64(since[clump]))
        if called > area:
            _queue(clump, called, sizes, first_called, next_called)


@kernel
def _settle(whole, into, survivors):
    settled = np.empty_like(whole)
    for clump in range(whole.size):
        settled[clump] = survivors[find_root(into, whole[clump])]
    return settled


class Elimination:
    __doc__ = "See `plain.Elimination`."

    def __init__(self, sizes, sums, weights, edges, min_pixels, threshold, since=None, shared=None):
        count = sizes.size
        self.sizes, self.sums, self.weights = sizes.copy(), sums, np.asarray(weights, np.float64)
        self.min_pixels, self.threshold = min_pixels, np.float32(threshold)
        # root, size and mean of a clump are needed together: side by side they cost one miss of the cache, not three
        state = np.empty((count, 2 + sums.shape[1] // self.weights.size), np.uint32)
        self.roots, self.bounded, self.means = state[:, 0], state[:, 1], state.view(np.float32)[:, 2:]
        self.roots[:] = np.arange(count, dtype=np.uint32)
        self.since = np.zeros(count, np.uint32) if since is None else since.copy()
        self.undecided = np.empty(0, np.uint8) if shared is None else np.where(shared, ITSELF, 0).astype(np.uint8)
        self.first_called = np.full(max(min_pixels, 1) + 1, NOBODY, np.uint32)
        self.next_called = np.empty(count, np.uint32)
        _prepare(
            self.sizes,
            sums,
            self.weights,
            self.since,
            self.bounded,
            self.means,
            self.first_called,
            self.next_called,
        )
        self.start = np.zeros(count + 1, np.int64)
        self.neighbours = np.empty(count_neighbours(edges, sizes, min_pixels, self.start), np.uint32)
        list_neighbours(edges, sizes, min_pixels, self.start, self.neighbours)
        self.degree = np.diff(self.start).astype(np.uint32)
        self.next_member = np.full(count, NOBODY, np.uint32)
        self.changed = np.zeros(count, np.uint8)
        self.waiting, self.retries = np.empty(count, np.uint32), 0
        self.area = self.steps = 0
        self.live = count
        self.whole: Any = None
        self.survivors: Any = None

    def step(self, area, run=map):
        """See `plain.Elimination.step`."""
        if self.live < WORTH_CONTRACTING * self.sizes.size:
            self._contract()
        count = self.retries
        for called in self.area + 1 + np.flatnonzero(self.first_called[self.area + 1 : area + 1] != NOBODY):
            count = _call_up(called, self.waiting, count, self.sizes, self.roots, self.first_called, self.next_called)
        self.area = area
        graph = self.roots, self.start, self.degree, self.neighbours, self.next_member
        if self.undecided.size:
            unknown = area, self.undecided, self.since, *graph
            count, self.retries = leave_waiting(self.waiting[:count], self.retries, *unknown)
        waiting, choice, tail = self.waiting[:count], np.empty(count, np.uint32), np.empty(count, np.uint32)
        before = np.uint8(self.steps % 255)
        self.steps += 1
        # a stamp that comes back after 255 steps makes a clump look changed that is not: work, but no other result
        stamp = np.uint8(self.steps % 255)

        def decide(begin):
            _decide(
                waiting[begin : begin + PIECE],
                self.retries - begin,
                choice[begin : begin + PIECE],
                tail[begin : begin + PIECE],
                self.threshold,
                self.bounded,
                self.means,
                *graph,
                self.changed,
                before,
            )

        for _ in run(decide, range(0, count, PIECE)):
            pass
        if self.undecided.size:
            count, self.retries = drop_undecided(waiting, choice, tail, self.retries, *unknown)
            waiting, choice, tail = waiting[:count], choice[:count], tail[:count]
        self.retries = _merge(
            waiting,
            choice,
            tail,
            area,
            self.sizes,
            self.sums,
            self.weights,
            self.bounded,
            self.means,
            self.roots,
            self.next_member,
            self.changed,
            stamp,
            self.first_called,
            self.next_called,
        )
        merged = int(np.count_nonzero(choice != NOBODY))
        self.live -= merged
        return merged

    def next_area(self, area):
        """See `plain.Elimination.next_area`."""
        queued = np.flatnonzero(self.first_called[area + 1 :] != NOBODY)
        return area + 1 + int(queued[0]) if queued.size else None

    def _contract(self):
        """Forget the clumps that are merged: what is left is small, and so fits better into the caches."""
        if self.whole is None:
            self.whole = np.arange(self.sizes.size, dtype=np.uint32)
            self.survivors = self.whole.copy()
        numbers = np.empty(self.sizes.size, np.uint32)
        count = number_roots(self.roots, numbers)
        start = np.empty(count + 1, np.int64)
        neighbours = np.empty(int(self.degree.sum()), np.uint32)
        end = contract_lists(
            self.roots,
            numbers,
            self.sizes,
            self.min_pixels,
            self.start,
            self.degree,
            self.neighbours,
            self.next_member,
            start,
            neighbours,
        )
        self.start, self.neighbours = start, neighbours[:end].copy()
        self.degree = np.diff(start).astype(np.uint32)
        self.waiting[: self.retries] = numbers[self.waiting[: self.retries]]
        contract_clumps(
            self.roots,
            self.whole,
            numbers,
            self.survivors,
            self.sizes,
            self.sums,
            self.bounded,
            self.means,
            self.changed,
            self.since,
            self.undecided,
        )
        self.since, self.undecided = self.since[:count], self.undecided[:count]
        self.sizes, self.sums, self.bounded = self.sizes[:count], self.sums[:count], self.bounded[:count]
        self.means, self.roots, self.changed = self.means[:count], self.roots[:count], self.changed[:count]
        self.roots[:] = np.arange(count, dtype=np.uint32)
        self.next_member = np.full(count, NOBODY, np.uint32)
        self.next_called = self.next_called[:count]
        _queue_again(self.area, self.sizes, self.since, self.first_called, self.next_called)

    def regions(self):
        """See `plain.Elimination.regions`."""
        self._contract()
        count = self.sizes.size
        since, edges = np.full(count, DECIDED, np.uint32), np.empty((self.neighbours.size, 2), np.uint32)
        if self.undecided.size:
            since[self.undecided != 0] = self.since[self.undecided != 0]
            edges = edges[: list_undecided_edges(self.start, self.neighbours, self.undecided, self.degree, edges)]
        return Regions(self.survivors[:count].copy(), self.sizes, self.sums, since, edges.copy())

    @property
    def into(self):
        if self.whole is None:
            self._contract()
        return _settle(self.whole, self.roots, self.survivors)
