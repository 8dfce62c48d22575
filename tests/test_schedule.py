# SPDX-License-Identifier: GPL-2.0-or-later
"""In which order tiles and groups are processed, what of an earlier run is taken over, and what is reported of it."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
from rasters import Log
from tiledseg.tiledseg_plugin.engine.progress import Progress
from tiledseg.tiledseg_plugin.engine.stages import schedule
from tiledseg.tiledseg_plugin.engine.stages.graph import GroupResult
from tiledseg.tiledseg_plugin.engine.stages.plan import plan_grid, plan_rectangles
from tiledseg.tiledseg_plugin.engine.stages.schedule import (
    GROUPS_SHARE,
    Finished,
    PartJob,
    Queue,
    process_parts,
)
from tiledseg.tiledseg_plugin.engine.stages.tiles import PieceResult, PixelJob
from tiledseg.tiledseg_plugin.engine.stages.tree import Group, grow_tree, tree_of


def piece_result(piece, clumps=10):
    return PieceResult(piece.piece_id, piece.tile_id, clumps, 99, 4, 1.26)


@pytest.fixture
def tree():
    """Pieces 1..4 in two groups, 5 and 6, and those in group 7."""
    a, b, c, d = plan_grid(40, 40, 20, 20).pieces
    return tree_of([[a, b], [c, d]])


def names(tasks):
    return [task.number if isinstance(task, Group) else tuple(piece.piece_id for piece in task) for task in tasks]


@pytest.mark.parametrize("tiles, forgets", [(63, False), (64, True)])
def test_what_tiles_have_taught_is_given_up_before_a_large_group(monkeypatch, tiles, forgets):
    calls = []
    job = SimpleNamespace(tiles=SimpleNamespace(forget=lambda: calls.append("forget")), groups=None)
    monkeypatch.setattr(schedule, "process_group", lambda *given: calls.append("group"))
    schedule.process_part(job, Group(9, (1, 2), None, frozenset(range(tiles))), lambda: None)
    assert calls == (["forget", "group"] if forgets else ["group"])


def test_a_job_learns_again_what_it_has_forgotten():
    job = PixelJob(None, None, None, np.array([[1.0], [9.0]], np.float32), "plain")
    learned, rasters = (job.nearest_centre, job.cells), job.rasters
    assert (job.nearest_centre, job.cells) == learned
    job.forget()
    job.forget()
    assert all(one is not other for one, other in zip(learned, (job.nearest_centre, job.cells)))
    assert job.rasters is rasters
    assert job.nearest_centre(np.array([[8]], np.uint8), np.array([True])).tolist() == [2]


def test_a_group_stands_before_the_tiles_as_soon_as_its_members_are_finished(tree):
    queue = Queue(tree, [(piece,) for piece in tree.pieces], set())
    assert names(queue.tasks) == [(1,), (2,), (3,), (4,)]
    queue.tasks.popleft()
    queue.finished([1])
    assert names(queue.tasks) == [(2,), (3,), (4,)]
    queue.finished([4, 2])
    assert names(queue.tasks) == [5, (2,), (3,), (4,)]
    queue.finished([3])
    assert names(queue.tasks)[:2] == [6, 5]
    queue.finished([6, 5])
    assert names(queue.tasks)[0] == 7
    queue.finished([7])
    assert names(queue.tasks)[:3] == [7, 6, 5]


@pytest.mark.parametrize(
    "finished, expected",
    [
        ({1, 2}, [5, (3,)]),
        ({3, 4, 1, 2}, [5, 6, (3,)]),
        ({3, 4, 6}, [(3,)]),
        ({5, 6}, [7, (3,)]),
        ({5, 6, 7}, [(3,)]),
        ({5, 3, 4}, [6, (3,)]),
    ],
)
def test_what_an_earlier_run_has_finished_need_not_be_waited_for(tree, finished, expected):
    assert names(Queue(tree, [(tree.pieces[2],)], finished).tasks) == expected


def test_a_group_that_was_finished_before_is_not_run_again(tree):
    queue = Queue(tree, [], {3, 4, 6})
    queue.finished([3, 4])
    assert not queue.tasks
    queue.finished([1, 2, 5])
    assert names(queue.tasks) == [7, 5]


def test_clumps_are_counted_once(tree):
    finished = Finished()
    assert finished.add([piece_result(piece) for piece in tree.pieces]) == [1, 2, 3, 4]
    assert finished.add([GroupResult(5, 3), GroupResult(7, 2)]) == [5, 7]
    assert finished.clumps == 4 * 10 - 5
    assert sorted(finished.pieces) == [1, 2, 3, 4] and sorted(finished.groups) == [5, 7]


class Reports(Log):
    def __init__(self):
        super().__init__()
        self.started, self.ended = [], []
        self.tile_started, self.tile_finished = self.started.append, self.ended.append
        self.debug = self.lines.append


class Folder:
    path, is_temporary = "work", False

    def __init__(self):
        self.dropped = []
        self.drop = lambda *names: self.dropped.extend(names)


class OneByOne:
    """Does what is first in the queue; the results are made up."""

    workers, notes = 1, ()

    def __init__(self):
        self.order, self.percents = [], {}

    def run(self, task, job, tasks):
        assert task is schedule.process_part
        while tasks:
            item = tasks.popleft()
            self.order.append(names([item])[0])
            yield item, [GroupResult(item.number, 1)] if isinstance(item, Group) else list(map(piece_result, item))
            self.percents[self.order[-1]] = self.log.percents[-1]


@pytest.fixture
def process(monkeypatch):
    """Process a tree as if some parts were finished; returns (finished, log, order, percents after each, folder)."""

    def go(tree, units, before=(), temporary=False):
        asked = {}
        folder, runner, log = Folder(), OneByOne(), Reports()
        folder.is_temporary, runner.log = temporary, log

        def piece_before(job, piece, with_graph):
            asked[piece.piece_id] = with_graph
            return [piece_result(piece)] if piece.piece_id in before else []

        def group_before(job, group, with_graph):
            asked[group.number] = with_graph
            return [GroupResult(group.number, 1)] if group.number in before else []

        monkeypatch.setattr(schedule, "finished_piece", piece_before)
        monkeypatch.setattr(schedule, "finished_group", group_before)
        progress = Progress(log, {"tiles": 100, "graph": 100})
        context = SimpleNamespace(progress=progress, runner=runner, folder=folder, run=runner.run)
        job = PartJob(SimpleNamespace(folder=folder), SimpleNamespace(folder=folder))
        finished = process_parts(context, job, tree, units)
        return SimpleNamespace(finished=finished, log=log, runner=runner, folder=folder, asked=asked)

    return go


def test_tiles_and_groups_of_a_new_run(tree, process):
    went = process(tree, [(piece,) for piece in tree.pieces], temporary=True)
    assert went.asked == {}
    assert went.runner.order == [(1,), (2,), 5, (3,), (4,), 6, 7]
    assert went.folder.dropped == [
        f"{kind}-{number:07d}" for number in (1, 2, 3, 4, 5, 6) for kind in ("graph", "contents")
    ]
    assert sorted(went.finished.pieces) == [1, 2, 3, 4] and sorted(went.finished.groups) == [5, 6, 7]
    assert went.log.started == went.log.ended == [1, 2, 3, 4]
    share = 50 * GROUPS_SHARE
    expected = {(1,): 12.5, (2,): 25, 5: 25, (3,): 37.5, (4,): 50 + share / 3, 6: 50 + share * 2 / 3, 7: 50 + share}
    assert went.runner.percents == pytest.approx(expected)
    assert went.log.texts[0] == "Segmenting tiles" and "Merging small segments" in went.log.texts
    assert "Segmented tile 1 of 4" in went.log.texts and "Segmented tile 4 of 4" in went.log.texts
    assert went.log.lines == [f"Tile {number}: 10 clumps, halo 4, 1.26 s." for number in (1, 2, 3, 4)]


@pytest.mark.parametrize("columns, rows", [(8, 8), (5, 13), (9, 9), (24, 24)])
def test_of_many_tiles_only_few_graphs_lie_about_at_a_time(process, columns, rows):
    """Whatever is the largest first: each waits for those beside it."""
    tree = grow_tree(plan_grid(16 * columns, 16 * rows, 16, 16).pieces)
    units = [(piece,) for piece in tree.pieces]
    random.Random(3).shuffle(units)
    order = process(tree, units, temporary=True).runner.order
    lying, most = set(), 0
    for one in order:
        number = one if isinstance(one, int) else one[0]
        lying.add(number)
        most = max(most, len(lying))
        if number in tree.group_by_number:
            lying.difference_update(tree.group_by_number[number].members)
    assert lying == {tree.whole.number}
    if columns * rows == 64:  # so few are processed as they are given: largest first
        assert [one for one in order if isinstance(one, tuple)] == [(piece.piece_id,) for (piece,) in units]
    else:
        assert most < 25


def test_a_run_that_is_taken_up(tree, process):
    went = process(tree, [(piece,) for piece in tree.pieces], before={1, 2, 5, 3})
    assert went.asked == {7: True, 6: True, 5: True, 4: True, 3: True, 2: False, 1: False}
    assert went.runner.order == [(4,), 6, 7]
    assert went.log.lines[0] == "3 of 4 tiles are finished already in work."
    assert sorted(went.log.ended) == sorted(went.log.started) == [1, 2, 3, 4] and went.log.ended[-1] == 4
    assert "Segmented tile 4 of 4" in went.log.texts
    assert went.finished.clumps == 40 - 3


def test_a_run_of_which_only_groups_are_left(tree, process):
    went = process(tree, [(piece,) for piece in tree.pieces], before={1, 2, 3, 4, 5, 6})
    assert went.asked == {7: True, 6: True, 5: True, 4: False, 3: False, 2: False, 1: False}
    assert went.runner.order == [7]
    assert went.log.texts == ["Segmenting tiles", "Merging small segments", "Merging small segments"]
    assert went.log.percents[-1] == pytest.approx(50 + 50 * GROUPS_SHARE)


def test_a_run_of_which_all_is_finished(tree, process):
    went = process(tree, [(piece,) for piece in tree.pieces], before={1, 2, 3, 4, 5, 6, 7})
    assert went.asked[7] and not any(asked for number, asked in went.asked.items() if number != 7)
    assert went.runner.order == [] and went.finished.clumps == 40 - 3


def test_few_tasks_are_parted_and_a_tile_is_finished_with_its_last_piece(process):
    """One tile of three pieces and a small one: two tasks are made four."""
    plan = plan_rectangles(30, 20, [(10, 5, 5, 5), (0, 0, 30, 20)])
    units = [tuple(tile.pieces) for tile in plan.tiles]
    assert max(map(len, units)) > 2
    went = process(tree_of(list(plan.pieces)), units)
    tasks = [item for item in went.runner.order if isinstance(item, tuple)]
    assert tasks == [(piece.piece_id,) for piece in plan.pieces]
    assert went.log.ended == [1, 2]
    assert went.log.texts.count("Segmented tile 2 of 2") == 1
    assert went.runner.percents[(2,)] == pytest.approx(2 * 50 / len(plan.pieces))


def test_four_tasks_are_enough(process):
    plan = plan_rectangles(40, 30, [(5, 5, 5, 5), (0, 0, 20, 30), (20, 0, 20, 15), (20, 15, 20, 15)])
    units = [tuple(tile.pieces) for tile in plan.tiles]
    assert len(units) == schedule.FEW_TILES < len(plan.pieces)
    went = process(tree_of(list(plan.pieces)), units)
    assert [item for item in went.runner.order if isinstance(item, tuple)] == names(units)


def test_parts_that_nobody_waits_for_do_not_stop_the_others(tree):
    queue = Queue(tree, [], set())
    queue.finished([7, 1, 2])
    assert names(queue.tasks) == [5]


def test_a_task_is_a_group_or_pieces(tree, monkeypatch):
    monkeypatch.setattr(schedule, "process_group", lambda job, group, check: (job, group.number, check))
    monkeypatch.setattr(schedule, "process_unit", lambda job, pieces, check: [(job, len(pieces), check)])
    job = PartJob("of tiles", "of groups")
    assert schedule.process_part(job, tree.groups[0], "check") == [("of groups", 5, "check")]
    assert schedule.process_part(job, tree.pieces[:2], "check") == [("of tiles", 2, "check")]
