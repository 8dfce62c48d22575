# SPDX-License-Identifier: GPL-2.0-or-later
"""Stages 3 and 4: all tiles, and each group of them as soon as its members are finished, by the same workers.

A group stands before the tiles that are still waiting, so that what it joins does not lie about. For the same reason
many tiles are processed in the order of the groups; a few, largest first, so that workers end at about the same time,
and in that order only those that are about as large.
"""

import gc
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any, Callable, Deque, Dict, List, Sequence, Set, Tuple, Union

from ..progress import TileWatch
from .context import RunContext
from .graph import GroupJob, GroupResult, finished_group, process_group
from .parts import contents_of, graph_of
from .plan import FEW_TILES, Piece
from .tiles import PieceResult, TileJob, finished_piece, process_unit
from .tree import Group, Tree

MANY_TASKS = 64  # of which the last one is too small a share of the run for its size to matter
MANY_TILES = 64  # of a group
GROUPS_SHARE = 0.7  # of the stage `graph`, the rest of which is the numbering

Unit = Tuple[Piece, ...]  # what is processed in one task, see `plan.work_units`
Item = Union[Unit, Group]


@dataclass(frozen=True)
class PartJob:
    """What all tiles and groups of a run share."""

    tiles: TileJob
    groups: GroupJob


def process_part(job: PartJob, item: Item, check_cancelled: Callable[[], None]) -> List[Any]:
    """Process pieces of one or more tiles, or a group: the task of these stages."""
    if isinstance(item, Group):
        if len(item.tiles) >= MANY_TILES:  # it takes more memory than any tile, and comes seldom
            job.tiles.forget()
            gc.collect()
        return [process_group(job.groups, item, check_cancelled)]
    return process_unit(job.tiles, item, check_cancelled)


class Finished:
    """What an earlier run and this one have finished: {number of a part: its result}."""

    def __init__(self) -> None:
        self.pieces: Dict[int, PieceResult] = {}
        self.groups: Dict[int, GroupResult] = {}

    def add(self, results: Sequence[Union[PieceResult, GroupResult]]) -> List[int]:
        """Remember some results; returns the numbers of the parts that they are of."""
        numbers = []
        for result in results:
            if isinstance(result, GroupResult):
                self.groups[result.number] = result
                numbers.append(result.number)
            else:
                self.pieces[result.piece_id] = result
                numbers.append(result.piece_id)
        return numbers

    @property
    def clumps(self) -> int:
        """How many clumps there are in the whole raster."""
        return sum(one.clumps for one in self.pieces.values()) - sum(one.joined for one in self.groups.values())


class Queue:
    """The tasks that can be run: units, and groups whose members are finished.

    Parameters
    ----------
    units : those that are to be processed
    finished : numbers of the parts that are finished already
    """

    def __init__(self, tree: Tree, units: Sequence[Unit], finished: Set[int]) -> None:
        self.tasks: Deque[Item] = deque(units)
        self._tree = tree
        self._missing = {
            group.number: sum(member not in finished for member in group.members)
            for group in tree.groups
            if group.number not in finished
        }
        self.tasks.extendleft(group for group in reversed(tree.groups) if self._missing.get(group.number) == 0)

    def finished(self, numbers: Sequence[int]) -> None:
        """Some parts are finished: what only waited for them can be run."""
        for number in numbers:
            group = self._tree.group_of.get(number)
            if group is None or group.number not in self._missing:
                continue
            self._missing[group.number] -= 1
            if not self._missing[group.number]:
                self.tasks.appendleft(group)


def process_parts(context: RunContext, job: PartJob, tree: Tree, units: Sequence[Unit]) -> Finished:
    """The stages: process the tiles and groups that an earlier run has not finished. Returns all their results.

    Parameters
    ----------
    units : of `plan.work_units`
    """
    progress = context.progress
    progress.start("tiles", "Segmenting tiles")
    finished = _finished_before(context, job, tree)
    remaining = [tuple(piece for piece in unit if piece.piece_id not in finished.pieces) for unit in units]
    todo = [unit for unit in remaining if unit]
    if len(todo) > MANY_TASKS:
        places = tree.places()
        todo.sort(key=lambda unit: min(places[piece.piece_id] for piece in unit))
    tiles = _Tiles(context, job.tiles, units, todo)
    tasks = todo if len(units) >= FEW_TILES else [(piece,) for unit in todo for piece in unit]
    queue = Queue(tree, tasks, finished.pieces.keys() | finished.groups.keys())
    merging = "Merging small segments"
    if not todo:
        progress.start("graph", merging)
    for item, results in context.run(process_part, job, queue.tasks):
        queue.finished(finished.add(results))
        if isinstance(item, Group):
            for member in item.members:  # nobody needs their graphs any more
                context.folder.drop(graph_of(member), contents_of(member))
        else:
            tiles.processed(item, results)
            if tiles.all_are_finished:
                progress.start("graph", merging)
        if tiles.all_are_finished:
            progress.advance(GROUPS_SHARE * len(finished.groups) / len(tree.groups), merging)
    return finished


def _finished_before(context: RunContext, job: PartJob, tree: Tree) -> Finished:
    """What an earlier run has finished: of the parts of a group that is, nobody needs the graphs any more."""
    finished = Finished()
    if job.tiles.folder.is_temporary:
        return finished
    for group in reversed(tree.groups):
        context.progress.check_cancelled()
        above = tree.group_of.get(group.number)
        needed = above is None or above.number not in finished.groups
        finished.add(finished_group(job.groups, group, needed))
    for piece in tree.pieces:
        context.progress.check_cancelled()
        needed = tree.group_of[piece.piece_id].number not in finished.groups
        finished.add(finished_piece(job.tiles, piece, needed))
    return finished


class _Tiles:
    """Reports of the tiles: which are being processed, how many are finished.

    Parameters
    ----------
    units : all of the run; todo : what is left to do of them
    """

    def __init__(self, context: RunContext, job: TileJob, units: Sequence[Unit], todo: Sequence[Unit]) -> None:
        self._progress, self._feedback = context.progress, context.progress.feedback
        self._left = Counter(piece.tile_id for unit in todo for piece in unit)
        tiles = {piece.tile_id for unit in units for piece in unit}
        before = tiles - self._left.keys()
        self._tiles, self._tiles_finished = len(tiles), len(before)
        self._pieces = sum(len(unit) for unit in units)
        self._pieces_left = sum(len(unit) for unit in todo)
        if self._pieces_left < self._pieces:
            self._feedback.info(f"{len(before)} of {len(tiles)} tiles are finished already in {job.folder.path}.")
        self._watch = TileWatch(self._feedback, todo, context.runner.workers)
        self._watch.finished(before)

    def processed(self, task: Unit, results: Sequence[PieceResult]) -> None:
        """A task is finished."""
        self._left.subtract(piece.tile_id for piece in task)
        ended = {piece.tile_id for piece in task if not self._left[piece.tile_id]}
        self._watch.finished(ended)
        self._tiles_finished += len(ended)
        self._pieces_left -= len(task)
        text = f"Segmented tile {self._tiles_finished} of {self._tiles}"
        self._progress.advance(1 - self._pieces_left / self._pieces, text)
        for result in results:
            self._feedback.debug(
                f"Tile {result.tile_id}: {result.clumps} clumps, halo {result.halo}, {result.seconds:.2f} s."
            )

    @property
    def all_are_finished(self) -> bool:
        return not self._pieces_left
