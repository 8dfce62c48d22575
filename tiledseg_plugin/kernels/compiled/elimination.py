# SPDX-License-Identifier: GPL-2.0-or-later
"""Graph kernel: the elimination of small clumps."""

import numpy as np

from .cache import kernel
from .graph import NOBODY, contract_clumps, contract_lists, count_neighbours, find_root, list_neighbours, number_roots

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
def _prepare(sizes, sums, weights, bounded, means, first_of_size, next_of_size):
    """Compute all means, and chain the clumps of each size below the least wanted, ascending."""
    for clump in range(sizes.size - 1, -1, -1):
        _describe(clump, sizes, sums, weights, bounded, means)
        _queue(clump, sizes, first_of_size, next_of_size)


@kernel
def _queue(clump, sizes, first_of_size, next_of_size):
    size = sizes[clump]
    if size < first_of_size.size:
        next_of_size[clump] = first_of_size[size]
        first_of_size[size] = clump


@kernel
def _call_up(area, waiting, count, sizes, into, first_of_size, next_of_size):
    """Append to the `count` clumps in `waiting` those that have just become small enough; gives the new count.

    A clump that has grown while queued goes on to the queue of its size.
    """
    clump = first_of_size[area]
    first_of_size[area] = NOBODY
    while clump != NOBODY:
        following = next_of_size[clump]
        if into[clump] == clump:
            if sizes[clump] == area:
                waiting[count] = clump
                count += 1
            else:
                _queue(clump, sizes, first_of_size, next_of_size)
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
    first_of_size,
    next_of_size,
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
        if sizes[root] < first_of_size.size:  # others never look for a partner
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
                _queue(clump, sizes, first_of_size, next_of_size)
    return kept


@kernel
def _queue_again(area, sizes, first_of_size, next_of_size):
    first_of_size[:] = NOBODY
    for clump in range(sizes.size - 1, -1, -1):
        if sizes[clump] > area:
            _queue(clump, sizes, first_of_size, next_of_size)


@kernel
def _settle(whole, into, survivors):
    settled = np.empty_like(whole)
    for clump in range(whole.size):
        settled[clump] = survivors[find_root(into, whole[clump])]
    return settled


class Elimination:
    __doc__ = "See `plain.Elimination`."

    def __init__(self, sizes, sums, weights, edges, min_pixels, threshold):
        count = sizes.size
        self.sizes, self.sums, self.weights = sizes.copy(), sums, np.asarray(weights, np.float64)
        self.min_pixels, self.threshold = min_pixels, np.float32(threshold)
        # root, size and mean of a clump are needed together: side by side they cost one miss of the cache, not three
        state = np.empty((count, 2 + sums.shape[1] // self.weights.size), np.uint32)
        self.roots, self.bounded, self.means = state[:, 0], state[:, 1], state.view(np.float32)[:, 2:]
        self.roots[:] = np.arange(count, dtype=np.uint32)
        self.first_of_size = np.full(max(min_pixels, 1), NOBODY, np.uint32)
        self.next_of_size = np.empty(count, np.uint32)
        _prepare(self.sizes, sums, self.weights, self.bounded, self.means, self.first_of_size, self.next_of_size)
        self.start = np.zeros(count + 1, np.int64)
        self.neighbours = np.empty(count_neighbours(edges, sizes, min_pixels, self.start), np.uint32)
        list_neighbours(edges, sizes, min_pixels, self.start, self.neighbours)
        self.degree = np.diff(self.start).astype(np.uint32)
        self.next_member = np.full(count, NOBODY, np.uint32)
        self.changed = np.zeros(count, np.uint8)
        self.waiting, self.retries = np.empty(count, np.uint32), 0
        self.area = self.steps = 0
        self.live = count
        self.whole = self.survivors = None

    def step(self, area, run=map):
        """See `plain.Elimination.step`."""
        if self.live < WORTH_CONTRACTING * self.sizes.size:
            self._contract()
        count = self.retries
        for size in self.area + 1 + np.flatnonzero(self.first_of_size[self.area + 1 : area + 1] != NOBODY):
            count = _call_up(size, self.waiting, count, self.sizes, self.roots, self.first_of_size, self.next_of_size)
        self.area = area
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
                self.roots,
                self.start,
                self.degree,
                self.neighbours,
                self.next_member,
                self.changed,
                before,
            )

        for _ in run(decide, range(0, count, PIECE)):
            pass
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
            self.first_of_size,
            self.next_of_size,
        )
        merged = int(np.count_nonzero(choice != NOBODY))
        self.live -= merged
        return merged

    def next_area(self, area):
        """See `plain.Elimination.next_area`."""
        queued = np.flatnonzero(self.first_of_size[area + 1 :] != NOBODY)
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
        )
        self.sizes, self.sums, self.bounded = self.sizes[:count], self.sums[:count], self.bounded[:count]
        self.means, self.roots, self.changed = self.means[:count], self.roots[:count], self.changed[:count]
        self.roots[:] = np.arange(count, dtype=np.uint32)
        self.next_member = np.full(count, NOBODY, np.uint32)
        self.next_of_size = self.next_of_size[:count]
        _queue_again(self.area, self.sizes, self.first_of_size, self.next_of_size)

    @property
    def into(self):
        if self.whole is None:
            self._contract()
        return _settle(self.whole, self.roots, self.survivors)
