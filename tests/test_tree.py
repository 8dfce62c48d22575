# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree of groups: any plan, any shape of it, any order of finishing and any interruption give the same segments."""

import random
from collections import deque

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import level_columns
from rasters import Log, segment_untiled, write_raster
from tiledseg.tiledseg_plugin.engine import kernels
from tiledseg.tiledseg_plugin.engine.errors import Cancelled
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from tiledseg.tiledseg_plugin.engine.files.window import Window
from tiledseg.tiledseg_plugin.engine.files.work_folder import WorkFolder
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
from tiledseg.tiledseg_plugin.engine.products.attributes import run_bands
from tiledseg.tiledseg_plugin.engine.products.run_columns import attributes_of_strip
from tiledseg.tiledseg_plugin.engine.progress import Progress
from tiledseg.tiledseg_plugin.engine.stages import numbering
from tiledseg.tiledseg_plugin.engine.stages import tree as tree_module
from tiledseg.tiledseg_plugin.engine.stages.colours import Raw
from tiledseg.tiledseg_plugin.engine.stages.context import RunContext
from tiledseg.tiledseg_plugin.engine.stages.elimination import EliminationRules
from tiledseg.tiledseg_plugin.engine.stages.graph import GroupJob
from tiledseg.tiledseg_plugin.engine.stages.numbering import number_segments, table_of
from tiledseg.tiledseg_plugin.engine.stages.plan import plan_grid, plan_rectangles
from tiledseg.tiledseg_plugin.engine.stages.schedule import PartJob, process_parts
from tiledseg.tiledseg_plugin.engine.stages.tiles import TileJob, labels_of
from tiledseg.tiledseg_plugin.engine.stages.tree import MANY, MOST_AT_ONCE, QUARTERED, grow_tree, tree_of

CENTRES = np.array([[a, b] for a in range(1, 6) for b in range(1, 6)], np.float32)

any_raster = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
some_rasters = settings(any_raster, max_examples=25)


@st.composite
def plans(draw, least=3):
    """A grid, or rectangles that overlap and leave gaps, over a small raster; tiles of about `least` pixels or more."""
    width, height = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    if draw(st.booleans()):
        return plan_grid(width, height, draw(st.integers(least, 70)), draw(st.integers(least, 70)))
    side = st.integers(1, 10 * least)
    corner = st.tuples(st.integers(0, width - 1), st.integers(0, height - 1), side, side)
    return plan_rectangles(width, height, draw(st.lists(corner, min_size=1, max_size=75 // least)))


def pieces_below(tree, number):
    group = tree.group_by_number.get(number)
    if group is None:
        return {number}
    return set().union(*(pieces_below(tree, member) for member in group.members))


def beyond(piece, side):
    """The pixels beside a side of a piece, as a window."""
    col, row, width, height = piece.window
    return {
        "top": Window(col, row - 1, width, 1),
        "bottom": Window(col, row + height, width, 1),
        "left": Window(col - 1, row, 1, height),
        "right": Window(col + width, row, 1, height),
    }[side]


def check_tree(tree, pieces):
    """Everything that is promised of a tree, by brute force."""
    everything = {piece.piece_id for piece in pieces}
    by_id = {piece.piece_id: piece for piece in pieces}
    assert pieces_below(tree, tree.whole.number) == everything
    members = [member for group in tree.groups for member in group.members]
    assert sorted([*members, tree.whole.number]) == sorted([*everything, *(group.number for group in tree.groups)])
    assert [group.number for group in tree.groups] == sorted(group.number for group in tree.groups)
    joined = []
    for group in tree.groups:
        assert group.number > max(group.members) and group.number > max(everything)
        inside = pieces_below(tree, group.number)
        assert group.tiles == {by_id[piece_id].tile_id for piece_id in inside}
        assert all(by_id[piece_id].window.intersection(group.extent) == by_id[piece_id].window for piece_id in inside)
        for piece_id in inside:
            for side in ("top", "bottom", "left", "right"):
                around = beyond(by_id[piece_id], side)
                outside = any(by_id[other].window.intersection(around) for other in everything - inside)
                assert ((piece_id, side) in group.open_sides) == outside
        homes = {piece_id: member for member in group.members for piece_id in pieces_below(tree, member)}
        for (one, other), starts, length in group.joints:
            assert homes[one[0]] != homes[other[0]]
            a, b = beyond(by_id[one[0]], one[1]), by_id[other[0]].window
            common = a.intersection(b)
            assert common.pixels == length
            along = (common.col - a.col) + (common.row - a.row)
            assert along == starts[0]
            assert (common.col - b.col if one[1] == "bottom" else common.row - b.row) == starts[1]
            joined.append((one, other))
    touching = [
        (one.piece_id, other.piece_id)
        for one in pieces
        for side in ("right", "bottom")
        for other in pieces
        if other.window.intersection(beyond(one, side))
    ]
    assert sorted((one[0], other[0]) for one, other in joined) == sorted(touching)
    assert tree.whole.open_sides == frozenset()


@any_raster
@given(plan=plans(), seed=st.integers(0, 2**32 - 1))
def test_a_tree_holds_each_piece_once_and_knows_its_borders(plan, seed):
    pieces = list(plan.pieces)
    tree = grow_tree(pieces)
    check_tree(tree, pieces)
    least = min(2, len(pieces))
    most = {tree.whole: MOST_AT_ONCE + (len(pieces) <= MANY)}  # the last ones and all the rest
    assert all(least <= len(group.members) <= most.get(group, MOST_AT_ONCE) for group in tree.groups)
    random.Random(seed).shuffle(pieces)
    assert grow_tree(pieces).groups == tree.groups
    some = pieces[: max(1, len(pieces) // 2)]  # the others hold no valid pixel
    check_tree(grow_tree(some), some)


@pytest.mark.parametrize("columns, rows", [(1, 1), (2, 2), (4, 4), (16, 16), (1, 100), (63, 64), (5, 7)])
def test_a_tree_over_a_grid_is_flat_and_its_groups_are_compact(columns, rows):
    plan = plan_grid(columns * 20, rows * 20, 20, 20)
    tree = grow_tree(plan.pieces)
    depth, group = 1, tree.group_of[1]
    while group is not tree.whole:
        depth, group = depth + 1, tree.group_of[group.number]
    pieces = columns * rows
    quartered = min(pieces, QUARTERED)
    halvings = np.ceil(np.log2(pieces / quartered)) * (2 if pieces <= MANY else 1)  # and as many joins of all the rest
    assert depth <= max(1, np.ceil(np.log(quartered) / np.log(4)) + 1 + halvings)
    rest = pieces_around(tree)
    for group in tree.groups:
        tiles = [len(pieces_below(tree, member)) for member in group.members]
        # else the last ones would take twice the memory; what joins a small part to all the rest is a small one, too
        assert sum(tiles) <= QUARTERED or len(tiles) == 2 or (group in rest and sum(tiles[1:]) <= QUARTERED)
        if min(columns, rows) > 1 and group not in rest:
            width, height = group.extent.width // 20, group.extent.height // 20
            assert width * height == len(group.tiles)
            assert max(width, height) <= 2 * min(width, height) + 1
    assert len(tree.groups) <= max(1, columns * rows / 2)


def pieces_around(tree):
    """The group of everything, the first member of it, and of that one, and so on: some lie around the last pieces."""
    found = [] if len(tree.pieces) > MANY else [tree.whole]
    while found and tree.groups_in(found[-1])[:1]:
        found.append(tree.groups_in(found[-1])[0])
    return found


@pytest.mark.parametrize("columns, rows", [(4, 4), (16, 16), (1, 100), (5, 7), (13, 19)])
def test_little_is_left_to_be_done_when_the_last_piece_is_finished(columns, rows):
    """So that other workers wait for no more than one join of few parts, whose borders are short."""
    tree = grow_tree(plan_grid(columns * 20, rows * 20, 20, 20).pieces)
    [around], *pieces = tree.groups_in(tree.whole), *tree.whole.members[1:]
    assert tree.whole.members[0] == around.number and 1 < len(pieces) <= MOST_AT_ONCE
    assert set(pieces) <= {piece.piece_id for piece in tree.pieces}
    last = [piece for piece, place in tree.places().items() if place >= columns * rows - len(pieces)]
    assert sorted(last) == sorted(pieces), "they are processed last"
    assert len(around.open_sides) <= 4 * len(pieces)


@pytest.mark.parametrize("columns, rows", [(8, 8), (9, 9), (16, 16), (32, 32), (24, 40), (63, 64), (100, 7)])
def test_no_join_takes_more_memory_than_those_of_the_tree_that_leaves_nothing_outside(columns, rows, monkeypatch):
    """What is undecided lies along the borders of what is joined. Of small rasters no join takes as much as a tile."""
    plan = plan_grid(columns * 20, rows * 20, 20, 20)

    def longest():
        grown = grow_tree(plan.pieces)
        return max(
            sum(len(grown.group_by_number[member].open_sides) for member in group.members)
            for group in grown.groups
            if not {*group.members} & {piece.piece_id for piece in plan.pieces}
        )

    found = longest()
    monkeypatch.setattr(tree_module, "_with_the_last_outside", lambda nested: nested)
    assert found <= longest() * (1.2 if columns * rows <= MANY else 1.0)


@pytest.mark.parametrize("pieces, groups", [(QUARTERED, 3), (QUARTERED + 1, 2)])
def test_a_tree_of_so_many_pieces_is_joined_of_quarters_of_more_of_halves(pieces, groups):
    tree = grow_tree(plan_grid(20 * pieces, 20, 20, 20).pieces)
    around = tree.groups_in(tree.whole)[0]
    if groups == 3:
        assert len(tree.groups_in(around)) == 3  # the fourth quarter is what is processed last
    else:
        assert [len(group.tiles) for group in tree.groups_in(around)] == [8, 2, 2, 2]  # a half, and most of the other


def test_a_half_of_one_piece_is_not_cut_again():
    """Six pieces have their centres in one column, and the seventh lies far to the right."""
    plan = plan_rectangles(60, 6, [*((0, row, 2, 1) for row in range(6)), (40, 0, 20, 6)])
    tree = grow_tree(plan.pieces)
    check_tree(tree, list(plan.pieces))
    assert 7 in tree.whole.members and len(tree.groups) == 3


def test_a_group_says_how_many_tiles_it_holds():
    plan = plan_grid(60, 20, 20, 20)
    assert str(tree_of([plan.pieces[1]]).whole) == "group of 1 tile, the first of which is tile 2,"
    two = tree_of([plan.pieces[2], plan.pieces[1]]).whole
    assert str(two) == "group of 2 tiles, the first of which is tile 2,"
    assert str(grow_tree(plan.pieces).whole).startswith("group of 3 tiles, ")


def test_borders_of_empty_tiles_are_closed_at_once():
    plan = plan_grid(80, 80, 20, 20)
    island = [piece for piece in plan.pieces if piece.piece_id in (6, 7, 10, 11)]
    assert grow_tree(island).whole.open_sides == frozenset()
    tree = grow_tree([*island, plan.pieces[0]])
    assert all(not group.open_sides for group in tree.groups)


class Shuffled:
    """An execution that finishes tasks in any order and ends when it has done so many."""

    name, workers, remote, peak_memory = "shuffled", 2, False, 0

    def __init__(self, rng, left=10**9):
        self.notes, self._rng, self._left = [], rng, left

    def run(self, task, common, items, check_cancelled):
        begun = []
        items = items if isinstance(items, deque) else deque(items)
        while items or begun:
            while items and len(begun) < 4:
                begun.append(items.popleft())
            item = begun.pop(self._rng.randrange(len(begun)))
            if not self._left:
                raise Cancelled()
            self._left -= 1
            yield item, task(common, item, lambda: None)


def nested_at_random(rng, pieces, most):
    """Pieces in groups of up to `most`, whatever lies beside what."""
    parts = list(pieces)
    rng.shuffle(parts)
    while len(parts) > most or rng.random() < 0.3:
        size = rng.randint(1, most)
        parts = [*parts[size:], parts[:size]]
    return parts


@st.composite
def segmentations(draw):
    """A picture of few colours with holes, how it is tiled, and by which rules its regions are merged."""
    plan = draw(plans(least=11))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.integers(1, draw(st.sampled_from([3, 6])), (2, plan.height, plan.width))
    rows, cols = np.indices(values.shape[1:])
    grain = draw(st.sampled_from([1, 2, 3]))
    values = values[:, rows // grain * grain, cols // grain * grain].astype(np.uint8)
    values[:, rng.random(values.shape[1:]) < draw(st.sampled_from([0, 0.1]))] = 0
    values[:, : draw(st.integers(0, 15))] = 0
    sizes = sorted(draw(st.sets(st.sampled_from([1, 2, 4, 5, 9, 10, 40, 400, 5000]), min_size=1, max_size=4)))
    rules = EliminationRules((1.0,), sizes[0], draw(st.sampled_from([None, 1.6])), tuple(sizes[1:]))
    return plan, values, rules, draw(st.integers(0, 2**32 - 1))


def segment_by_parts(path, plan, rules, rng, folder, tree, runs):
    """The ids of all pixels, by stages 3 and 4 with this tree; `runs` are executions that break, but for the last."""
    raster = describe(path)
    parameters = SegmentParameters(str(path), "", min_pixels=rules.min_pixels, levels=rules.levels, kernels="plain")
    tiles = TileJob(raster, plan, Raw(), CENTRES, "plain", folder, rules)
    job = PartJob(tiles, GroupJob(folder, rules, "plain", True))
    units = [(piece,) for piece in tree.pieces]
    rng.shuffle(units)
    kernel, _ = kernels.choose("plain")
    for runner in runs:
        progress = Progress(Log(), {"tiles": 5, "graph": 5})
        context = RunContext(parameters, raster, plan, kernel, runner, progress, folder)
        try:
            finished = process_parts(context, job, tree, units)
            segments = number_segments(context, tree, finished.clumps, 0.5)
        except Cancelled:
            files = sorted(path for path in folder.path.iterdir() if path.suffix in (".npz", ".raw"))
            for path in rng.sample(files, min(len(files), rng.choice([0, 1, 3]))):
                path.write_bytes(path.read_bytes()[: rng.choice([0, 50])])
            continue
        ids = np.zeros((plan.height, plan.width), np.uint32)
        for piece in tree.pieces:
            table = folder.map_array(table_of(piece))
            ids[piece.window.within(Window(0, 0, plan.width, plan.height))] = folder.load_labels(
                labels_of(piece), 0, piece.window.height, kernel, table
            )
        return (
            ids,
            described(segments, run_bands(raster)),
            segments,
            finished.clumps,
        )
    raise AssertionError("the last execution breaks")


def described(segments, bands):
    """The ids of all segments, and per band their counts, totals, squares, low and high, put together from strips."""
    before = np.cumsum([0, *segments.in_strips]).tolist()
    strips = [
        attributes_of_strip(segments.folder, bands, strip, before[strip], None)
        for strip in range(len(segments.in_strips))
    ]
    names = ("counts", "totals", "squares", "low", "high")
    return np.concatenate([strip.ids for strip in strips]), [
        [np.concatenate([getattr(strip.bands[index], name) for strip in strips], axis=-1) for name in names]
        for index in range(len(bands))
    ]


def check_level(ids, larger, column):
    """Whether a column says what the segments are parts of in another run, by the first of them."""
    (of_run,) = level_columns({0: ids, 1: larger}).values()
    _, first = np.unique(of_run, return_index=True)
    assert column.tolist() == (first + 1)[of_run - 1].tolist()
    assert np.flatnonzero(column == np.arange(1, column.size + 1)).tolist() == first.tolist()


@some_rasters
@given(
    drawn=segmentations(),
    most=st.integers(2, 9),
    grown=st.booleans(),
    strip=st.sampled_from([1, 100, 1 << 26]),
    interruptions=st.integers(0, 3),
)
def test_any_tree_any_order_and_any_interruption_give_the_same(drawn, most, grown, strip, interruptions, scratch):
    plan, values, rules, seed = drawn
    rng = random.Random(seed)
    path = write_raster(scratch / "in.tif", values, 0)
    covered = plan.covered(Window(0, 0, plan.width, plan.height))
    valid = (values != 0).all(axis=0) & (True if covered is None else covered)
    if not valid.any():
        return
    holds = {
        piece.piece_id: valid[piece.window.within(Window(0, 0, plan.width, plan.height))].any() for piece in plan.pieces
    }
    tiles = {piece.tile_id for piece in plan.pieces if holds[piece.piece_id]}
    pieces = [piece for piece in plan.pieces if piece.tile_id in tiles]
    tree = grow_tree(pieces) if grown else tree_of(nested_at_random(rng, pieces, most))
    check_tree(tree, pieces)
    folder = WorkFolder(str(scratch / f"work-{rng.random()}"), {"parameters": {}})
    tasks = 2 * (len(pieces) + len(tree.groups)) + plan.height
    runs = [Shuffled(rng, rng.randrange(tasks)) for _ in range(interruptions)]
    before, numbering.STRIP_PIXELS = numbering.STRIP_PIXELS, strip
    try:
        ids, attributes, segments, clumps = segment_by_parts(
            path, plan, rules, rng, folder, tree, [*runs, Shuffled(rng)]
        )
        in_tiles, columns = segments.in_tiles, {level: c[:] for level, c in segments.holder_columns.items()}
    finally:
        numbering.STRIP_PIXELS = before
        folder.close(finished=True)
    compared = values.astype(np.float32)
    expected = segment_untiled(compared, valid, CENTRES, rules.min_pixels, rules.threshold, values)
    assert np.array_equal(ids, expected)
    numbers, bands = attributes
    assert numbers.tolist() == list(range(1, expected.max() + 1))
    for band, found in zip(values, bands):
        for one, other in zip(found, plain.region_moments(expected.ravel(), expected.max(), band.ravel())):
            assert one.tolist() == other.tolist()
    assert list(columns) == list(rules.levels)
    for level, column in columns.items():
        larger = segment_untiled(compared, valid, CENTRES, level, rules.threshold, values)
        check_level(expected, larger, column)
        assert segments.at_levels[level] == larger.max()
    assert clumps == segment_untiled(compared, valid, CENTRES, 1, None, values).max()
    for tile in plan.tiles:
        pixels = [expected[piece.window.within(Window(0, 0, plan.width, plan.height))] for piece in tile.pieces]
        found = np.unique(np.concatenate([part.ravel() for part in pixels]))
        assert in_tiles.get(tile.tile_id, 0) == np.count_nonzero(found)
    assert not folder.path.exists()
