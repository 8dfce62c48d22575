# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 1, the tree: which pieces, and then which groups of them, are joined; a function of the plan alone.

Groups are rectangular where the pieces allow it, so that their borders, beside which regions stay undecided, are short.
Pieces and groups are parts; they have numbers from one range, those of pieces being their ids.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any, Dict, FrozenSet, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np

from ..files.window import Window
from .plan import Piece, extent_of, meeting_of, neighbouring

Nested = Sequence[Any]  # of pieces and of Nested
Side = Tuple[int, str]  # of a piece: its id, and one of parts.SIDES

MOST_AT_ONCE = 6  # pieces that are not worth parting further
MANY = 256  # pieces, of which no join takes as much memory as a usual tile
QUARTERED = 16  # pieces up to which quarters are joined at once; of more, halves, for half of the memory in the end


class Joint(NamedTuple):
    """A border that two pieces share.

    starts : where it begins on either side, in pixels from the side's first one
    length : in pixels
    """

    sides: Tuple[Side, Side]
    starts: Tuple[int, int]
    length: int


@dataclass(frozen=True)
class Group:
    """Parts that are joined, and merged as far as nothing beyond them can have any influence.

    number : beyond those of all pieces; greater than those of its members
    members : numbers of parts
    extent : of all its pieces
    tiles : ids of those that it holds pieces of
    joints : where its members meet each other
    open_sides : of its pieces, those beyond which there is something else to be processed
    """

    number: int
    members: Tuple[int, ...]
    extent: Window
    tiles: FrozenSet[int]
    joints: Tuple[Joint, ...] = field(default=(), repr=False)
    open_sides: FrozenSet[Side] = field(default=frozenset(), repr=False)

    def __str__(self) -> str:
        count = len(self.tiles)
        return f"group of {count} tile{'s' if count > 1 else ''}, the first of which is tile {min(self.tiles)},"


class Tree:
    """All groups of a run, members before what they are members of; the last one holds everything.

    Parameters
    ----------
    pieces : those that are processed
    groups : as `grow` returns them
    """

    def __init__(self, pieces: Sequence[Piece], groups: Sequence[Group]) -> None:
        self.pieces = tuple(pieces)
        self.groups = tuple(groups)
        self.group_of = {member: group for group in groups for member in group.members}
        self.group_by_number = {group.number: group for group in groups}

    @property
    def whole(self) -> Group:
        """The group that holds everything."""
        return self.groups[-1]

    def groups_in(self, group: Group) -> List[Group]:
        """The members of a group that are groups."""
        return [self.group_by_number[member] for member in group.members if member in self.group_by_number]

    def places(self) -> Dict[int, int]:
        """{piece_id: its place}, by which a group is complete as early as can be: its pieces lie next to each other."""
        grouped = (member for group in self.groups for member in group.members if member not in self.group_by_number)
        return {piece_id: place for place, piece_id in enumerate(grouped)}

    def extents(self) -> Dict[int, Window]:
        """{number of a part: its extent}."""
        return {
            **{piece.piece_id: piece.window for piece in self.pieces},
            **{group.number: group.extent for group in self.groups},
        }


def grow_tree(pieces: Sequence[Piece]) -> Tree:
    """The tree over the pieces that are processed, of which there is at least one.

    It depends on the pieces alone, not on their order.
    """
    ordered = sorted(pieces, key=lambda piece: piece.piece_id)
    centres = np.array([_centre(piece.window) for piece in ordered], np.int64).reshape(-1, 2)
    nested = _nested(np.arange(len(ordered)), centres, ordered)
    return tree_of(nested if len(ordered) > MANY else _with_the_last_outside(nested))


def tree_of(nested: Nested) -> Tree:
    """The tree whose groups are lists, of pieces and of such lists."""
    pieces = sorted(_all_in(nested), key=lambda piece: piece.piece_id)
    growing = _Growing(pieces[-1].piece_id + 1)
    growing.add(nested)
    return Tree(pieces, growing.joined(pieces))


def _all_in(nested: Nested) -> Iterator[Piece]:
    for member in nested:
        if isinstance(member, Piece):
            yield member
        else:
            yield from _all_in(member)


def _centre(window: Window) -> Tuple[int, int]:
    """Twice the column and the row of a window's centre."""
    return 2 * window.col + window.width, 2 * window.row + window.height


def _nested(chosen: np.ndarray, centres: np.ndarray, pieces: Sequence[Piece]) -> Nested:
    """The group of some pieces: each by itself where they are few, else about a quarter each, of many a half each."""
    if chosen.size <= MOST_AT_ONCE:
        return [pieces[index] for index in chosen]
    parts = _halves(chosen, centres)
    if chosen.size <= QUARTERED:
        parts = [part for half in parts for part in (_halves(half, centres) if half.size > 1 else [half])]
    return [pieces[part[0]] if part.size == 1 else _nested(part, centres, pieces) for part in parts]


def _with_the_last_outside(nested: Nested) -> Nested:
    """The same, but the group that holds everything has the pieces of the last small group as members of its own.

    All the rest is one group, or groups within groups, that can be joined while the last pieces are in process: when
    these are finished nothing is left to be done but the join of few, during which other workers would have to wait.
    To join small parts to all the rest takes more memory than halves do, so this is for rasters of few pieces.
    """
    *rest, last = nested
    while not isinstance(last, Piece):
        *before, last = last
        rest = [*([rest] if len(rest) > 1 else rest), *before]
    return [*rest, last]


def _halves(chosen: np.ndarray, centres: np.ndarray) -> List[np.ndarray]:
    """Pieces on either side of a straight cut, about as many here as there; across their longer side if it can be."""
    spans = np.ptp(centres[chosen], axis=0)
    for axis in (0, 1) if spans[0] >= spans[1] else (1, 0):
        order = chosen[np.lexsort((chosen, centres[chosen, axis]))]
        cuts = np.flatnonzero(np.diff(centres[order, axis])) + 1
        if cuts.size:
            cut = cuts[np.argmin(np.abs(2 * cuts - order.size))]
            return [np.sort(order[:cut]), np.sort(order[cut:])]
    raise ValueError("pieces of a plan overlap")


class _Growing:
    """Groups, made from below.

    Parameters
    ----------
    first : number of the first one
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._groups: List[Group] = []

    def add(self, nested: Nested) -> Group:
        """Make a group, and all groups within it."""
        members, extents, tiles = [], [], set()
        for member in nested:
            if isinstance(member, Piece):
                members.append(member.piece_id)
                extents.append(member.window)
                tiles.add(member.tile_id)
            else:
                group = self.add(member)
                members.append(group.number)
                extents.append(group.extent)
                tiles |= group.tiles
        number = self._first + len(self._groups)
        group = Group(number, tuple(members), extent_of(extents), frozenset(tiles))
        self._groups.append(group)
        return group

    def joined(self, pieces: Sequence[Piece]) -> List[Group]:
        """The groups, with where their members meet."""
        above = {member: group.number for group in self._groups for member in group.members}
        joints: Dict[int, List[Joint]] = defaultdict(list)
        open_sides: Dict[int, Set[Side]] = defaultdict(set)
        for one, other, length in neighbouring(pieces):
            joint = _joint(one, other, length)
            meeting = _first_common(one.piece_id, other.piece_id, above)
            joints[meeting].append(joint)
            for side in joint.sides:
                group = above[side[0]]
                while group != meeting:
                    open_sides[group].add(side)
                    group = above[group]
        return [
            replace(group, joints=tuple(joints[group.number]), open_sides=frozenset(open_sides[group.number]))
            for group in self._groups
        ]


def _joint(one: Piece, other: Piece, length: int) -> Joint:
    names, starts = meeting_of(one.window, other.window)
    return Joint(((one.piece_id, names[0]), (other.piece_id, names[1])), starts, length)


def _first_common(one: int, other: int, above: Dict[int, int]) -> int:
    """The smallest group that holds two pieces."""
    passed = set()
    group: Optional[int] = above[one]
    while group is not None:
        passed.add(group)
        group = above.get(group)
    group = above[other]
    while group not in passed:
        group = above[group]
    return group
