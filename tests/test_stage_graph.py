# SPDX-License-Identifier: GPL-2.0-or-later
"""The graph of a group: what its members' graphs are together is what the clumps of their pixels are at once."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
from tiledseg.tiledseg_plugin.engine.files.work_folder import WorkFolder
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.stages import elimination
from tiledseg.tiledseg_plugin.engine.stages import graph as stage
from tiledseg.tiledseg_plugin.engine.stages.elimination import (
    ClumpGraph,
    EliminationRules,
    Graph,
    Merged,
    eliminate,
    in_order_of_appearance,
    merge_within,
)
from tiledseg.tiledseg_plugin.engine.stages.graph import GroupJob, finished_group, join, process_group
from tiledseg.tiledseg_plugin.engine.stages.moments import moments_in, moments_of_pixels
from tiledseg.tiledseg_plugin.engine.stages.parts import (
    SIDES,
    Left,
    load_decided,
    load_moments,
    load_undecided,
    merged_of,
    save_graph,
    save_part,
)
from tiledseg.tiledseg_plugin.engine.stages.plan import plan_grid, plan_rectangles
from tiledseg.tiledseg_plugin.engine.stages.tree import Joint, tree_of

SEEDS = range(6)


def scheme(seed):
    """(plan, nested pieces): a grid or rectangles of different sizes, in groups of groups."""
    if seed % 2:
        plan = plan_grid(13, 11, 7, 6)
        a, b, c, d = plan.pieces
        return plan, [[a, b], [c, d]] if seed % 3 else [[a], [b, [c, d]]]
    plan = plan_rectangles(14, 9, [(0, 0, 5, 9), (5, 0, 9, 4), (5, 4, 3, 5), (8, 4, 6, 5)])
    a, b, c, d = plan.pieces
    return plan, [[b, a], [d, c]]


def raster(seed, plan):
    """Clusters and one band of values; some pixels are no data."""
    rng = np.random.default_rng(seed)
    clusters = rng.integers(0 if seed % 3 else 1, 4, (plan.height, plan.width)).astype(np.uint16)
    return clusters, rng.integers(0, 200, (1, *clusters.shape)).astype(np.uint8)


def described(clusters, values):
    """(labels, sizes, sums, first, clusters of the clumps)."""
    labels, count = plain.clump(clusters)
    return (labels, *plain.describe_clumps(labels, count, clusters, values))


def edges_of(labels):
    count = int(labels.max())
    return {tuple(sorted(pair)) for pair in (plain.find_edges(labels, count).astype(int) - 1).tolist()}


def along(labels, window, side):
    inside = labels[window.row : window.bottom, window.col : window.right]
    return {"top": inside[0], "bottom": inside[-1], "left": inside[:, 0], "right": inside[:, -1]}[side]


def graph_of_piece(piece, clusters, values, plan):
    """All of it undecided, as at first."""
    window = piece.window
    place = slice(window.row, window.bottom), slice(window.col, window.right)
    labels, sizes, sums, first, own = described(clusters[place], values[:, place[0], place[1]])
    rows, cols = np.divmod(first, window.width)
    first = (rows + window.row) * plan.width + cols + window.col
    whole = np.zeros(clusters.shape, np.uint32)
    whole[place] = labels
    borders = {(piece.piece_id, side): along(whole, window, side).copy() for side in SIDES}
    edges = plain.find_edges(labels, len(sizes)) - np.uint32(1)
    return Graph(sizes, sums, edges, first, first.copy(), own, borders, np.zeros(len(sizes), np.uint32))


def below(tree, number):
    group = tree.group_by_number.get(number)
    return [number] if group is None else [piece for member in group.members for piece in below(tree, member)]


def area_of(tree, group, clusters):
    """The clusters of a group's pixels, 0 elsewhere."""
    held = set(below(tree, group.number))
    inside = np.zeros(clusters.shape, bool)
    for piece in tree.pieces:
        if piece.piece_id in held:
            inside[piece.window.row : piece.window.bottom, piece.window.col : piece.window.right] = True
    return np.where(inside, clusters, 0).astype(np.uint16)


@pytest.mark.parametrize("seed", SEEDS)
def test_joined_members_are_the_clumps_of_all_their_pixels(seed):
    plan, nested = scheme(seed)
    clusters, values = raster(seed, plan)
    tree = tree_of(nested)
    graphs = {piece.piece_id: graph_of_piece(piece, clusters, values, plan) for piece in tree.pieces}
    windows = {piece.piece_id: piece.window for piece in tree.pieces}
    for group in tree.groups:
        members = [graphs[member] for member in group.members]
        before = copy.deepcopy(members)
        graph, number, joined = join(group, members)
        labels, sizes, sums, first, own = described(area_of(tree, group, clusters), values)
        assert graph.sizes.tolist() == sizes.tolist() and graph.sums.tolist() == sums.tolist()
        assert graph.get("first").tolist() == graph.get("earliest").tolist() == first.tolist()
        assert graph.get("clusters").tolist() == own.tolist()
        assert {tuple(sorted(pair)) for pair in graph.edges.tolist()} == edges_of(labels)
        assert (graph.edges[:, 0] != graph.edges[:, 1]).all()
        assert set(graph.borders) == set(group.open_sides)
        for (piece_id, side), border in graph.borders.items():
            assert border.tolist() == along(labels, windows[piece_id], side).tolist()
        counts = [each.sizes.size for each in before]
        assert joined == sum(counts) - sizes.size and number().size == sum(counts) and number().dtype == np.uint32
        assert np.bincount(number(), np.concatenate([each.sizes for each in before])).tolist() == sizes.tolist()
        assert own[number()].tolist() == np.concatenate([each.get("clusters") for each in before]).tolist()
        graphs[group.number] = graph
    assert not graphs[tree.whole.number].borders


def test_regions_that_touch_are_a_pair_once_a_joint():
    borders = {(1, "right"): np.array([0, 1, 1, 2, 2, 0]), (2, "left"): np.array([3, 3, 3, 3, 0])}
    joints = [Joint(((1, "right"), (2, "left")), (1, 0), 5)]
    assert stage._across_borders(joints, borders).tolist() == [[0, 2], [1, 2]]
    assert stage._across_borders(2 * joints, borders).tolist() == 2 * [[0, 2], [1, 2]]


def test_what_is_decided_from_a_step_on_stays_with_its_leader():
    plan, nested = scheme(1)
    tree = tree_of(nested)
    clusters = np.ones((plan.height, plan.width), np.uint16)
    graphs = [graph_of_piece(piece, clusters, clusters[None].astype(np.uint8), plan) for piece in tree.pieces]
    for step, graph in enumerate(graphs, 5):
        graph.undecided_from[:] = step
    graph, number, joined = join(tree.groups[0], graphs[:2])
    assert graph.undecided_from.tolist() == [5] and number().tolist() == [0, 0] and joined == 1


def eliminated(graph, rules, undecided_from=None, shared=None, workers=1, kernel=plain):
    """(into, what `advance` was called with)."""
    done = []
    clumps = ClumpGraph(graph.sizes.copy(), graph.sums.copy(), graph.edges.copy(), undecided_from, shared)
    return eliminate(kernel, clumps, rules, done.append, workers).into, done


def every_step(graph, rules, undecided_from=None, shared=None):
    limit = np.inf if rules.threshold is None else rules.threshold
    weights = np.array(rules.weights)
    one = plain.Elimination(
        graph.sizes, graph.sums.copy(), weights, graph.edges, rules.min_pixels, limit, undecided_from, shared
    )
    for area in range(1, rules.min_pixels + 1):
        one.step(area)
    return one


def whole_graph(seed):
    plan, _ = scheme(seed)
    clusters, values = raster(seed, plan)
    labels, sizes, sums, first, own = described(clusters, values)
    edges = plain.find_edges(labels, len(sizes)) - np.uint32(1)
    return Graph(sizes, sums, edges, first, first.copy(), own, {})


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("min_pixels, threshold", [(1, None), (4, 60.0), (9, None), (126, None), (300, 25.0)])
def test_steps_that_are_left_out_change_nothing(seed, min_pixels, threshold):
    graph, rules = whole_graph(seed), EliminationRules((1.0,), min_pixels, threshold)
    for undecided_from in (None, (np.arange(graph.sizes.size) % 5).astype(np.uint32) * 3):
        into, done = eliminated(graph, rules, undecided_from)
        assert into.tolist() == every_step(graph, rules, undecided_from).into.tolist()
        assert done == sorted(done) and all(0 < share <= 1 for share in done)
        assert done or min_pixels == 1
        assert eliminated(graph, rules, undecided_from, workers=2)[0].tolist() == into.tolist()


def test_an_advance_is_the_share_of_the_areas_up_to_the_least_that_says_more():
    line = Graph(
        np.array([1, 2, 4]), np.array([[5], [20], [80]]), np.array([[0, 1], [1, 2]], np.uint32), *[None] * 3, {}
    )
    assert eliminated(line, EliminationRules((1.0,), 4, None))[1] == [0.25, 0.5, 0.75, 1.0]
    assert eliminated(line, EliminationRules((1.0,), 4000, None))[1][0] == 1 / 8
    late = np.array([0, 20, 0], np.uint32)
    assert eliminated(line, EliminationRules((1.0,), 4000, None), late)[1][0] == 1 / 21


class Watching:
    """The plain kernels, whose elimination remembers by what its steps were run."""

    def __init__(self):
        runs = self.runs = []

        class Elimination(plain.Elimination):
            def step(self, area, run=map):
                runs.append(run)
                return super().step(area, run)

        self.Elimination = Elimination


def test_threads_are_used_where_there_are_several():
    graph, rules = whole_graph(1), EliminationRules((1.0,), 3, None)
    for workers in (1, 2):
        kernel = Watching()
        eliminated(graph, rules, workers=workers, kernel=kernel)
        assert kernel.runs and all((run is map) == (workers == 1) for run in kernel.runs)


def test_without_a_number_of_threads_there_is_one():
    kernel, rules = Watching(), EliminationRules((1.0,), 3, None)
    graph = whole_graph(1)
    eliminate(kernel, ClumpGraph(graph.sizes, graph.sums.copy(), graph.edges), rules, lambda share: None)
    merge_within(kernel, graph, rules, lambda share: None)
    assert kernel.runs and all(run is map for run in kernel.runs)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("min_pixels", [1, 3, 8])
def test_what_is_left_within_a_part(seed, min_pixels):
    plan, nested = scheme(seed)
    clusters, values = raster(seed, plan)
    tree = tree_of(nested)
    graph = graph_of_piece(tree.pieces[0], clusters, values, plan)
    graph.undecided_from = (np.arange(graph.sizes.size) % 3).astype(np.uint32)
    graph.earliest = graph.earliest - (np.arange(graph.sizes.size) % 2)
    graph.borders = {side: border for side, border in graph.borders.items() if side[1] in ("right", "bottom")}
    before, rules = copy.deepcopy(graph), EliminationRules((1.0,), min_pixels, 90.0)
    merged = merge_within(plain, graph, rules, lambda fraction: None)
    shared = np.zeros(before.sizes.size, bool)
    for border in before.borders.values():
        shared[border[border > 0] - 1] = True
    expected = every_step(before, rules, before.undecided_from, shared)
    left = expected.regions()
    roots = left.roots.astype(int)
    undecided = left.undecided_from != plain.elimination.DECIDED
    assert roots[merged.region_of].tolist() == expected.into.tolist() and merged.region_of.dtype == np.uint32
    assert merged.decided.tolist() == (~undecided).tolist() and merged.nested is None
    assert merged.began_as.tolist() == np.flatnonzero(undecided).tolist()
    members = [np.flatnonzero(expected.into == root) for root in roots]
    earliest = np.array([before.earliest[inside].min() for inside in members])
    sizes = np.array([before.sizes[inside].sum() for inside in members])
    assert merged.sizes.tolist() == sizes[~undecided].tolist()
    assert merged.earliest.tolist() == earliest[~undecided].tolist()
    own = merged.left
    assert own.sizes.tolist() == sizes[undecided].tolist() and own.earliest.tolist() == earliest[undecided].tolist()
    assert own.sums.tolist() == [before.sums[m].sum(axis=0).tolist() for m, u in zip(members, undecided) if u]
    assert own.first.tolist() == before.first[roots[undecided]].tolist()
    assert own.clusters.tolist() == before.clusters[roots[undecided]].tolist()
    assert own.undecided_from.tolist() == left.undecided_from[undecided].tolist()
    place = {int(region): at for at, region in enumerate(np.flatnonzero(undecided))}
    assert own.edges.tolist() == [[place[int(one)], place[int(other)]] for one, other in left.edges]
    for side, border in before.borders.items():
        regions = [None if not pixel else int(merged.region_of[pixel - 1]) for pixel in border]
        assert own.borders[side].tolist() == [0 if r is None else place.get(r, -1) + 1 for r in regions]


def test_order_of_appearance():
    found = in_order_of_appearance(np.array([7, 7, 2, 9, 2, 7, 1], np.uint32))
    assert found.tolist() == [0, 0, 1, 2, 1, 0, 3] and found.dtype == np.uint32


@pytest.mark.parametrize("inner", [False, True])
def test_a_group_leaves_what_its_members_are_together(tmp_path, monkeypatch, inner):
    plan, nested = scheme(1)
    clusters, values = raster(1, plan)
    tree = tree_of(nested)
    group = tree.groups[0] if inner else tree_of(list(plan.pieces)).whole
    folder = WorkFolder(str(tmp_path / "work"), {"parameters": {}, "input": {}})
    graphs = []
    for member in group.members:
        graph = graph_of_piece(plan.pieces[member - 1], clusters, values, plan)
        graph.borders = {s: b for s, b in graph.borders.items() if any(s in joint.sides for joint in group.joints)}
        graphs.append(copy.deepcopy(graph))
        region_of = np.arange(graph.sizes.size, dtype=np.uint32)
        none, undecided = np.empty(0, np.int64), np.zeros(graph.sizes.size, bool)
        save_graph(folder, member, graph)
        save_part(folder, member, Left(Merged(region_of, undecided, none, none, graph, region_of), None))
    rules = EliminationRules((1.0,), 5, None)
    job, checks, sizes = GroupJob(folder, rules, "plain", False, 2), [], [graph.sizes.size for graph in graphs]
    threads = []
    watch = lambda *given: threads.append(given[-1]) or merge_within(*given)  # noqa: E731
    monkeypatch.setattr(stage, "merge_within", watch)
    result = process_group(job, group, lambda: checks.append(1))
    assert threads == [1 if inner else 2] and GroupJob(folder, rules, "plain", False).threads == 1
    graph, number, joined = join(group, graphs)
    merged = merge_within(plain, graph, rules, lambda fraction: None)
    assert (result.number, result.joined) == (group.number, joined) and joined > 0
    assert len(checks) > len(group.members)
    decided = load_decided(folder, group.number)
    assert decided.region_of.tolist() == merged.region_of[number()].tolist()
    assert decided.decided.tolist() == merged.decided.tolist()
    assert decided.earliest.tolist() == merged.earliest.tolist()
    assert decided.members_end.tolist() == np.cumsum(sizes).tolist()
    assert load_undecided(folder, group.number).sizes.tolist() == merged.left.sizes.tolist()
    assert finished_group(job, group, True) == [result] == finished_group(job, group, False)
    folder.drop(f"graph-{group.number:07d}")
    assert finished_group(job, group, True) == [] and finished_group(job, group, False) == [result]
    folder.close(True)


def test_a_large_group_keeps_in_its_folder_where_regions_are_and_leaves_nothing_of_it(tmp_path, monkeypatch):
    plan, _ = scheme(1)
    clusters, values = raster(1, plan)
    group, rules = tree_of([[*plan.pieces[:3]], plan.pieces[3]]).groups[0], EliminationRules((1.0,), 5, None)
    found, kept, returned = [], [], []
    monkeypatch.setattr(elimination, "release_memory", lambda: returned.append(least))
    monkeypatch.setattr(stage, "modest_cache", SimpleNamespace(empty=lambda: returned.append(("blocks", least))))
    graphs = [graph_of_piece(plan.pieces[member - 1], clusters, values, plan) for member in group.members]
    total = sum(graph.sizes.size for graph in graphs)
    for least in (total + 1, total):
        monkeypatch.setattr(elimination, "LARGE_GRAPH", least)
        folder = WorkFolder(str(tmp_path / f"work{least}"), {"parameters": {}, "input": {}})
        for member in group.members:
            graph = graph_of_piece(plan.pieces[member - 1], clusters, values, plan)
            region_of, none = np.arange(graph.sizes.size, dtype=np.uint32), np.empty(0, np.int64)
            save_graph(folder, member, graph)
            merged = Merged(region_of, np.zeros(region_of.size, bool), none, none, graph, region_of)
            save_part(folder, member, Left(merged, None))
        look = lambda *given, folder=folder: kept.append(folder.arrays("number")) or merge_within(*given)  # noqa: E731
        monkeypatch.setattr(stage, "merge_within", look)
        process_group(GroupJob(folder, rules, "plain", False), group, lambda: None)
        assert folder.arrays("number") == []
        saved = [folder.load(name) for name in (f"graph-{group.number:07d}", merged_of(group.number))]
        found.append([{name: array.tolist() for name, array in each.items()} for each in saved])
        folder.close(True)
    assert kept == [[], [stage.number_of(group.number)]]
    assert returned == [("blocks", total), *[total] * 4]  # of a small group it takes longer than the group itself
    assert found[0] == found[1] and found[0][0]["first"]


def test_a_group_without_regions_has_none_that_lead():
    none = np.empty(0, np.uint32)
    assert stage._leading(lambda: none, lambda: none, none).shape == (0,)


def test_a_group_adds_up_what_its_members_hold(tmp_path):
    """In every band, where the sums have a second limb, too."""
    plan, nested = scheme(1)
    clusters, _ = raster(1, plan)
    values = np.random.default_rng(1).integers(0, 200, (3, *clusters.shape)).astype(np.uint8)
    group = tree_of(nested).groups[0]
    folder = WorkFolder(str(tmp_path / "work"), {"parameters": {}, "input": {}})
    totals = []
    for member in group.members:
        piece = plan.pieces[member - 1]
        graph = graph_of_piece(piece, clusters, values, plan)
        graph.sums = np.hstack([graph.sums, graph.sums % 3])
        place = np.s_[piece.window.row : piece.window.bottom, piece.window.col : piece.window.right]
        moments = moments_of_pixels(plain, values[(slice(None), *place)], *plain.clump(clusters[place]))
        totals.append([each.totals for each in moments])
        region_of = np.arange(graph.sizes.size, dtype=np.uint32)
        none, undecided = np.empty(0, np.int64), np.zeros(graph.sizes.size, bool)
        save_graph(folder, member, graph)
        save_part(folder, member, Left(Merged(region_of, undecided, none, none, graph, region_of), moments))
    rules = EliminationRules((1.0, 65536.0), 2, None)
    process_group(GroupJob(folder, rules, "plain", True), group, lambda: None)
    found = load_decided(folder, group.number)
    expected = np.zeros((3, found.decided.size), np.int64)
    np.add.at(expected.T, found.region_of, np.hstack(totals).T)
    assert 0 < np.count_nonzero(found.decided) < found.decided.size
    decided = folder.load(merged_of(group.number))
    for band, totals in enumerate(expected):
        assert moments_in(decided, band).totals.tolist() == totals[found.decided].tolist()
        assert load_moments(folder, group.number, band)[1].totals.tolist() == totals[~found.decided].tolist()
    folder.close(True)
