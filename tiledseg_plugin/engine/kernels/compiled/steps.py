# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps of the elimination of small clumps: who decides in each, what, and what that merges."""

from typing import Tuple

import numpy as np

from .cache import inner, kernel
from .changes import mark_beside, note_links
from .graph import LENGTH, NEXT, NOBODY, find_root, list_of
from .queues import FIRST, call_up, count_called, next_called_up, queue
from .undecided import DOUBTFUL, leave_doubtful

ALL = np.iinfo(np.int64).max  # of `listed`: all clumps have lists
LARGEST = np.uint64(0xFFFFFFFF)  # size that `sizes` can hold, which stands for greater ones, too
ENOUGH = 1 << 16  # clumps and steps a call, after which it is time to look whether the user wants to wait any longer

# What stands where in the `course` of an elimination: how far it is
AREA, CALLED, RETRIES, ASLEEP, LIVE, FEW, STEPS, IS_QUIET, IS_MARKED, WANTED = range(10)
NOT_YET = -1  # in CALLED


@inner
def _describe(clump: int, sizes: np.ndarray, sums: np.ndarray, weights: np.ndarray, means: np.ndarray) -> None:
    """Set the mean of a clump, as `plain.elimination.band_means` does; see `with_sizes` for the size."""
    bands = means.shape[1]
    planes = weights.size * bands
    size = np.float32(sums[clump, planes]) if sums.shape[1] > planes else np.float32(sizes[clump])
    for band in range(bands):
        total = 0.0
        for limb in range(weights.size):
            total += np.float64(sums[clump, limb * bands + band]) * weights[limb]
        means[clump, band] = np.float32(total) / size


@kernel
def prepare(
    sizes: np.ndarray,
    sums: np.ndarray,
    weights: np.ndarray,
    undecided_from: np.ndarray,
    means: np.ndarray,
    called: np.ndarray,
    next_called: np.ndarray,
) -> None:
    """Compute all means, and queue the clumps smaller than the least wanted, ascending."""
    for clump in range(sizes.size - 1, -1, -1):
        _describe(np.uint32(clump), sizes, sums, weights, means)
        queue(np.uint32(clump), max(sizes[clump], undecided_from[clump]), sizes, called, next_called)


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
def decide(
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
        sizes[root] = min(np.uint64(sizes[root]) + np.uint64(sizes[clump]), LARGEST)
        for plane in range(sums.shape[1]):
            sums[root, plane] += sums[clump, plane]


@inner
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
    called: np.ndarray,
    next_called: np.ndarray,
) -> Tuple[int, int]:
    """Carry the noted merges out, in the step of the number `stamp`; `partner` and `level` are empty or the links.

    Returns
    -------
    kept : how many clumps go on waiting, which stand first in `waiting`
    merged : how many have been merged; what they have become a part of stands in `choice`
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
            queue(clump, sizes[clump], sizes, called, next_called)
    return kept, merged


@inner
def _let_sleep(waiting: np.ndarray, retries: int, changed: np.ndarray, stamp: int, is_quiet: bool) -> int:
    """Move those of the first `retries` clumps to the front for which nothing has changed; returns how many these are.

    For the others see `changes.mark_beside`, which has marked them, unless the last step `is_quiet`.
    """
    if is_quiet:
        return retries
    asleep = 0
    for i in range(retries):
        clump = waiting[i]
        if changed[clump] != stamp:
            waiting[i], waiting[asleep] = waiting[asleep], clump
            asleep += 1
    return asleep


@kernel
def take_steps(
    area: int,
    last: int,
    most: int,
    course: np.ndarray,
    waiting: np.ndarray,
    choice: np.ndarray,
    tail: np.ndarray,
    doubtful: np.ndarray,
    sizes: np.ndarray,
    means: np.ndarray,
    sums: np.ndarray,
    undecided_from: np.ndarray,
    undecided: np.ndarray,
    changed: np.ndarray,
    weights: np.ndarray,
    threshold: float,
    listed: int,
    into: np.ndarray,
    members: np.ndarray,
    neighbours: np.ndarray,
    survivors: np.ndarray,
    partner: np.ndarray,
    level: np.ndarray,
    called: np.ndarray,
    next_called: np.ndarray,
) -> int:
    """Take the step `area` and those after it that can change anything, up to `last`; returns which comes next.

    That is beyond `last` where none is left. It stops before then

    - when the graph is worth contracting;
    - before a step in which more clumps may look for a partner than there is room for: so many are WANTED;
    - in a step in which more than `most` clumps have to decide: they are in `waiting`, up to CALLED, after those
      ASLEEP, for threads to share their decisions; the step goes on from there with the next call;
    - after a while.

    Parameters
    ----------
    course : (10,) int64, how far the elimination is: the step in which clumps were called up last; how many these are,
        NOT_YET before and after it; how many of them found no partner in the step before, and how many of these need
        not look again; how many clumps are left, and from how few on the graph is worth contracting; the number of
        steps so far; whether the last one merged nothing, and whether it marked (see `changes.mark_beside`); for how
        many clumps the step in which it is has to have room
    others : see `decide` and `_merge`
    """
    done = 0
    while area <= last and done < ENOUGH:
        if course[CALLED] == NOT_YET:
            if 1 < course[LIVE] < course[FEW]:  # arrays of one are of another kind to numba
                return area
            count = course[RETRIES]
            course[WANTED] = count + count_called(course[AREA] + 1, area + 1, called)
            if course[WANTED] > waiting.size:
                return area
            for step in range(course[AREA] + 1, min(area + 1, len(called))):
                if called[step, FIRST] != NOBODY:
                    count = call_up(step, waiting, count, sizes, into, called, next_called)
            course[AREA], course[CALLED], course[ASLEEP] = area, count, 0
            is_quiet, is_marked = course[IS_QUIET] != 0, course[IS_MARKED] != 0
            if not undecided.size and (is_quiet or is_marked):  # nobody beside them can become undecided, either
                course[ASLEEP] = _let_sleep(waiting, course[RETRIES], changed, course[STEPS], is_quiet)
            asleep = course[ASLEEP]
            if count - asleep > most:
                return area
            decide(
                waiting[asleep:count],
                choice[asleep:count],
                tail[asleep:count],
                course[RETRIES] - asleep,
                threshold,
                sizes,
                means,
                undecided,
                changed,
                course[STEPS],
                is_quiet,
                is_marked,
                into,
                members,
                neighbours,
            )
        asleep, count = course[ASLEEP], course[CALLED]
        done += 1 + count - asleep
        course[CALLED] = NOT_YET
        course[STEPS] += 1  # must never come back, or a clump that grows keeps an old mean; there are fewer than pixels
        if undecided.size:
            count, course[RETRIES] = leave_doubtful(
                waiting[:count],
                choice[:count],
                tail[:count],
                course[RETRIES],
                doubtful,
                next_called,
                area,
                undecided,
                undecided_from,
                into,
                members,
                neighbours,
            )
        kept, merged = _merge(
            waiting[asleep:count],
            choice[asleep:count],
            tail[asleep:count],
            area,
            sizes,
            listed,
            sums,
            weights,
            means,
            changed,
            course[STEPS],
            into,
            members,
            survivors,
            partner,
            level,
            called,
            next_called,
        )
        course[RETRIES] = asleep + kept
        course[LIVE] -= merged
        course[IS_QUIET] = merged == 0
        most_marked = 4 * course[RETRIES] + 16
        course[IS_MARKED] = listed == ALL and mark_beside(
            choice[asleep:count], most_marked, course[STEPS], changed, into, members, neighbours
        )
        area += 1
        if not (merged and course[RETRIES]):  # nobody has a reason to look again
            area = next_called_up(area, called)
            if area >= len(called):
                return last + 1
    return area
