# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan: tiles of the user's own, sparse tiles and their neighbours, against counts made pixel by pixel."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasters import run
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files.window import Window
from tiledseg.tiledseg_plugin.engine.stages import plan as plan_module
from tiledseg.tiledseg_plugin.engine.stages.plan import (
    EMPTY,
    MOST_TILES_OF_WORK,
    OK,
    SPARSE,
    judge_tiles,
    make_plan,
    meeting_of,
    neighbouring,
    part_few,
    plan_grid,
    plan_rectangles,
    work_units,
)

WIDTH, HEIGHT = 40, 30
windows = st.builds(
    Window,
    st.integers(-10, WIDTH + 5),
    st.integers(-10, HEIGHT + 5),
    st.integers(1, 45),
    st.integers(1, 45),
)
schemes = st.lists(windows, min_size=1, max_size=9)


def paint(rectangles, width=WIDTH, height=HEIGHT):
    """(rows, cols): the first rectangle that holds each pixel, counted from 1; 0 where none does."""
    owner = np.zeros((height, width), int)
    for number, window in reversed(list(enumerate(rectangles, 1))):
        owner[max(window.row, 0) : max(window.bottom, 0), max(window.col, 0) : max(window.right, 0)] = number
    return owner


def paint_plan(plan):
    """(rows, cols): the tile of each pixel; no pixel may be in two pieces."""
    owner = np.zeros((plan.height, plan.width), int)
    for piece in plan.pieces:
        part = owner[piece.window.row : piece.window.bottom, piece.window.col : piece.window.right]
        assert part.shape == (piece.window.height, piece.window.width) and not part.any()
        part[:] = piece.tile_id
    return owner


def borders(owner, one, other):
    """How many pixel edges two tiles share."""
    return sum(
        np.count_nonzero((a == x) & (b == y))
        for a, b in ((owner[:, :-1], owner[:, 1:]), (owner[:-1], owner[1:]))
        for x, y in ((one, other), (other, one))
    )


@given(schemes)
def test_pieces_are_disjoint_and_a_pixel_goes_to_the_first_rectangle(rectangles):
    expected = paint(rectangles)
    if not expected.any():
        with pytest.raises(SegmentationError, match="no polygon over the raster"):
            plan_rectangles(WIDTH, HEIGHT, rectangles)
        return
    plan = plan_rectangles(WIDTH, HEIGHT, rectangles)
    numbers, inverse = np.unique(expected, return_inverse=True)
    renumbered = (np.arange(numbers.size) + (numbers[0] != 0))[inverse].reshape(expected.shape)
    assert np.array_equal(paint_plan(plan), renumbered)
    assert plan.covers_all == bool(expected.all())
    whole = Window(0, 0, WIDTH, HEIGHT)
    assert plan.covers_all or np.array_equal(plan.covered(whole), expected > 0)
    assert [piece.piece_id for piece in plan.pieces] == list(range(1, len(plan.pieces) + 1))


@given(schemes)
def test_the_extents_of_a_plan_make_the_same_plan(rectangles):
    try:
        plan = plan_rectangles(WIDTH, HEIGHT, rectangles)
    except SegmentationError:
        return
    assert plan_rectangles(WIDTH, HEIGHT, [tile.window for tile in plan.tiles]) == plan


@given(schemes)
def test_few_tiles_are_processed_in_parts_that_are_the_same_pixels(rectangles):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_module, "LEAST_PIXELS", 30)
        try:
            plan = plan_rectangles(WIDTH, HEIGHT, rectangles)
        except SegmentationError:
            return
        parted = part_few(plan)
    assert np.array_equal(paint_plan(parted), paint_plan(plan))
    assert [piece.piece_id for piece in parted.pieces] == list(range(1, len(parted.pieces) + 1))
    assert [tile.window for tile in parted.tiles] == [tile.window for tile in plan.tiles]
    large = [p for p in plan.pieces if p.window.pixels >= 30 and min(p.window.width, p.window.height) > 1]
    assert len(parted.pieces) == len(plan.pieces) + (3 * len(large) if len(plan.tiles) < plan_module.FEW_TILES else 0)


sides = st.one_of(st.integers(1, 200), st.integers(1, 2**31 - 1))
sizes = st.one_of(st.integers(16, 40), st.integers(16, 2**31 - 1))


@given(sides, sizes, st.integers(-1, 1), st.integers(1, 200))
def test_tiles_of_a_grid_are_few_and_alike_and_none_is_larger_than_asked_for(span, most, near, times):
    """At whole multiples of a tile and a pixel beside them, too, of any width and height."""
    multiple = times * most + near
    for side in (span,) if multiple > 2**31 - 1 else (span, multiple):
        most = max(most, side // 300)  # not millions of tiles
        for plan, axis in ((plan_grid(side, 1, most, 16), 0), (plan_grid(1, side, 16, most), 1)):
            lengths = [tile.window[axis + 2] for tile in plan.tiles]
            starts = [tile.window[axis] for tile in plan.tiles]
            assert len(lengths) == -(-side // most)
            assert max(lengths) <= most and max(lengths) - min(lengths) <= 1
            assert starts == [sum(lengths[:place]) for place in range(len(lengths))] and sum(lengths) == side


@given(st.integers(1, 100), st.integers(1, 100), st.integers(16, 110), st.integers(16, 110))
def test_grid_covers_every_pixel_once_and_names_columns_and_rows(width, height, tile_width, tile_height):
    plan = plan_grid(width, height, tile_width, tile_height)
    assert (paint_plan(plan) > 0).all() and plan.covers_all
    columns, rows = -(-width // tile_width), -(-height // tile_height)
    assert [(tile.col, tile.row) for tile in plan.tiles] == [(c, r) for r in range(rows) for c in range(columns)]


def test_one_column_over_a_whole_number_of_tiles_makes_no_sliver():
    assert [tile.window.width for tile in plan_grid(2041, 10, 2000, 2000).tiles] == [1020, 1021]
    assert [tile.window.width for tile in plan_grid(4000, 10, 2000, 2000).tiles] == [2000, 2000]


def test_more_tiles_than_can_be_looked_after_are_refused():
    """At once: to plan them would take all memory."""
    with pytest.raises(SegmentationError, match="16 and TILE_HEIGHT 16 make 39062500 tiles of 100000 x 100000 pixels"):
        plan_grid(100_000, 100_000, 16, 16)
    assert len(plan_grid(100_000, 100_000, 2000, 2000).tiles) == 2500
    too_many = "make 2097153 tiles of 33554433 x 1 pixels, more than the 2097152 that can be looked after"
    with pytest.raises(SegmentationError, match=too_many):
        plan_grid(16 * 2097152 + 1, 1, 16, 16)


def test_as_many_tiles_as_can_be_looked_after_are_not_refused(monkeypatch):
    monkeypatch.setattr(plan_module, "MOST_TILES", 6)
    assert len(plan_grid(48, 32, 16, 16).tiles) == 6
    with pytest.raises(SegmentationError, match="make 8 tiles"):
        plan_grid(49, 32, 16, 16)


def test_grid_given_as_rectangles_is_the_grid():
    grid = plan_grid(100, 70, 32, 16)
    assert plan_rectangles(100, 70, [tile.window for tile in grid.tiles]) == grid


@given(schemes)
def test_neighbouring_pieces_share_the_edges_that_pixels_do(rectangles):
    try:
        plan = plan_rectangles(WIDTH, HEIGHT, rectangles)
    except SegmentationError:
        return
    found = {}
    for one, other, length in neighbouring(plan.pieces):
        pair = frozenset((one.tile_id, other.tile_id))
        assert length > 0  # what meets at a corner only is no neighbour
        found[pair] = found.get(pair, 0) + length
    owner = paint_plan(plan)
    for one in plan.tiles:
        for other in plan.tiles[one.tile_id :]:
            pair = frozenset((one.tile_id, other.tile_id))
            assert found.get(pair, 0) == borders(owner, one.tile_id, other.tile_id)


@given(schemes, st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1, 0.3, 0.9, 1.0]))
@settings(deadline=None)
def test_sparse_tiles_go_with_the_neighbour_of_the_longest_edge(rectangles, seed, threshold):
    try:
        plan = plan_rectangles(WIDTH, HEIGHT, rectangles)
    except SegmentationError:
        return
    owner = paint_plan(plan)
    rng = np.random.default_rng(seed)
    valid = rng.random(owner.shape) < rng.random(len(plan.tiles) + 1).round(1)[owner]
    counts = {tile.tile_id: int(np.count_nonzero(valid & (owner == tile.tile_id))) for tile in plan.tiles}
    occupancy = judge_tiles(plan, counts, threshold)
    for tile in plan.tiles:
        share = counts[tile.tile_id] / np.count_nonzero(owner == tile.tile_id)
        expected = EMPTY if share == 0 else SPARSE if share < threshold else OK
        assert occupancy.status[tile.tile_id] == expected
        edges = {near.tile_id: borders(owner, tile.tile_id, near.tile_id) for near in plan.tiles if near != tile}
        edges = {near: length for near, length in edges.items() if length and counts[near]}
        best = max(edges, key=lambda near: (edges[near], counts[near], -near), default=None)
        assert occupancy.merged_into.get(tile.tile_id) == (best if expected == SPARSE else None)
    check_units(plan, occupancy)


def check_units(plan, occupancy):
    units = work_units(plan, occupancy)
    processed = sorted(piece.piece_id for unit in units for piece in unit)
    assert processed == [p.piece_id for p in plan.pieces if occupancy.status[p.tile_id] != EMPTY]
    most = MOST_TILES_OF_WORK * max(tile.pixels for tile in plan.tiles)
    assert all(sum(occupancy.valid_pixels[i] for i in {piece.tile_id for piece in unit}) <= most for unit in units)
    of_tile = {piece.tile_id: index for index, unit in enumerate(units) for piece in unit}
    for unit in units:
        members = {piece.tile_id for piece in unit}
        links = {frozenset(pair) for pair in occupancy.merged_into.items()}
        linked = {min(members)}
        while grown := {i for i in members - linked if any(frozenset((i, j)) in links for j in linked)}:
            linked |= grown
        assert linked == members
    return of_tile


def test_a_sparse_tile_is_in_the_task_of_its_neighbour():
    plan = plan_grid(96, 64, 32, 32)
    counts = {1: 1024, 2: 10, 3: 0, 4: 1024, 5: 1000, 6: 5}
    occupancy = judge_tiles(plan, counts, 0.3)
    assert occupancy.merged_into == {2: 1, 6: 5}
    of_tile = check_units(plan, occupancy)
    assert of_tile[2] == of_tile[1] and of_tile[6] == of_tile[5] != of_tile[4]


def test_a_raster_of_sparse_tiles_is_not_one_task():
    plan = plan_grid(32 * 20, 32 * 20, 32, 32)
    occupancy = judge_tiles(plan, {tile.tile_id: 1000 - tile.tile_id for tile in plan.tiles}, 1.0)
    assert occupancy.count(SPARSE) == 400
    assert len(work_units(plan, occupancy)) >= 50


def test_sparse_tile_among_empty_ones_is_processed_alone():
    plan = plan_grid(96, 32, 32, 32)
    occupancy = judge_tiles(plan, {1: 0, 2: 5, 3: 0}, 0.3)
    assert occupancy.status[2] == SPARSE and occupancy.merged_into == {}


def test_thousands_of_tiles_of_a_pixel_are_refused():
    with pytest.raises(SegmentationError, match=r"5000 polygons of 1\.0 pixels on average, too small"):
        plan_rectangles(100, 100, [(i % 100, i // 100, 1, 1) for i in range(5000)])


def test_a_thousand_tiles_may_be_as_small_as_those_of_a_grid_and_no_smaller():
    def scheme(width, height):
        return [(col * width, row * height, width, height) for row in range(26) for col in range(40)]

    assert len(plan_rectangles(640, 416, scheme(16, 16)).tiles) == 1040
    with pytest.raises(SegmentationError, match=r"1040 polygons of 255\.0 pixels on average"):
        plan_rectangles(680, 416, scheme(17, 15))
    assert len(plan_rectangles(680, 416, scheme(17, 15)[:1000]).tiles) == 1000
    with pytest.raises(SegmentationError, match="1001 polygons"):
        plan_rectangles(680, 416, scheme(17, 15)[:1001])


def test_a_task_takes_as_much_as_four_full_tiles_at_most():
    plan = plan_grid(8 * 32, 32, 32, 32)
    for valid, sizes in ((1000, [4, 4]), (1023, [4, 4]), (512, [8]), (500, [8])):
        occupancy = judge_tiles(plan, dict.fromkeys(range(1, 9), valid), 1.0)
        assert [len(unit) for unit in work_units(plan, occupancy)] == sizes


def test_the_largest_task_comes_first():
    occupancy = judge_tiles(plan := plan_grid(128, 32, 32, 32), {1: 10, 2: 1000, 3: 500, 4: 1000}, 0.0)
    assert [unit[0].tile_id for unit in work_units(plan, occupancy)] == [2, 4, 3, 1]


def test_tasks_about_as_large_come_in_the_order_of_their_places():
    plan = plan_grid(128, 32, 32, 32)
    places = {1: 3, 2: 2, 3: 1, 4: 0}
    for valid, expected in (
        ({1: 1000, 2: 1000, 3: 1000, 4: 1000}, [4, 3, 2, 1]),
        ({1: 1000, 2: 990, 3: 1000, 4: 100}, [3, 2, 1, 4]),
        ({1: 1000, 2: 100, 3: 200, 4: 300}, [1, 4, 3, 2]),
        ({1: 1000, 2: 876, 3: 10, 4: 10}, [2, 1, 4, 3]),  # an eighth smaller is about as large, and not more
        ({1: 1000, 2: 875, 3: 10, 4: 10}, [1, 2, 4, 3]),
    ):
        units = work_units(plan, judge_tiles(plan, valid, 0.0), places)
        assert [unit[0].piece_id for unit in units] == expected
    assert work_units(plan, judge_tiles(plan, dict.fromkeys(range(1, 5), 0), 0.0), places) == []


def test_the_place_of_a_task_is_that_of_the_first_piece_of_its_first_tile():
    plan = plan_grid(128, 32, 32, 32)
    occupancy = judge_tiles(plan, {1: 1000, 2: 10, 3: 10, 4: 1000}, 0.3)
    units = work_units(plan, occupancy, {1: 1, 2: 2, 3: 3, 4: 0})
    assert [[piece.tile_id for piece in unit] for unit in units] == [[4, 3], [1, 2]]
    plan = part_few(plan_grid(2048, 1024, 1024, 1024))
    occupancy = judge_tiles(plan, {1: 1000, 2: 1000}, 0.0)
    units = work_units(plan, occupancy, {1: 1, 2: 6, 3: 7, 4: 2, 5: 0, 6: 4, 7: 5, 8: 3})
    assert [[piece.piece_id for piece in unit] for unit in units] == [[5, 6, 7, 8], [1, 2, 3, 4]]


@pytest.mark.parametrize("width, height, pieces", [(1024, 1024, 4), (1024, 1023, 1), (1 << 20, 1, 1), (1 << 19, 2, 4)])
def test_large_pieces_are_parted_where_they_are_few(width, height, pieces):
    assert len(part_few(plan_grid(width, height, 1 << 21, 1 << 21)).pieces) == pieces


def test_a_large_piece_is_cut_in_the_middle():
    (tile,) = part_few(plan_grid(2001, 1003, 1 << 21, 1 << 21)).tiles
    corners = [(0, 0, 1000, 501), (1000, 0, 1001, 501), (0, 501, 1000, 502), (1000, 501, 1001, 502)]
    assert [piece.window for piece in tile.pieces] == [Window(*corner) for corner in corners]


def test_where_windows_meet_and_from_which_place_on():
    one = Window(10, 20, 30, 40)
    assert meeting_of(one, Window(40, 25, 5, 100)) == (("right", "left"), (5, 0))
    assert meeting_of(one, Window(40, 3, 5, 100)) == (("right", "left"), (0, 17))
    assert meeting_of(one, Window(14, 60, 100, 5)) == (("bottom", "top"), (4, 0))
    assert meeting_of(one, Window(1, 60, 100, 5)) == (("bottom", "top"), (0, 9))


def test_tiles_are_counted_from_the_part_of_the_raster_that_is_meant():
    raster = SimpleNamespace(left=100, top=200, width=40, height=30)
    parameters = SimpleNamespace(tiles=((105, 203, 10, 20), (90, 190, 12, 15)), tile_width=16, tile_height=30)
    assert [tile.window for tile in make_plan(raster, parameters).tiles] == [Window(5, 3, 10, 20), Window(0, 0, 2, 5)]
    parameters.tiles = ()
    assert make_plan(raster, parameters) == plan_grid(40, 30, 16, 30)


def test_zones_exclude_pixels_and_have_walls():
    inside, walls = np.indices((30, 40)).sum(axis=0) % 3 > 0, np.ones((30, 40), np.uint8)
    zones = SimpleNamespace(inside=lambda window: inside, walls=lambda window: walls)
    whole, left_half = plan_grid(40, 30, 40, 30), plan_rectangles(40, 30, [Window(0, 0, 20, 30)])
    window = Window(0, 0, 40, 30)
    assert whole.covered(window) is None and whole.walls(window) is None
    with_zones = [replace(plan, zones=zones) for plan in (whole, left_half)]
    assert with_zones[0].covered(window) is inside and with_zones[0].walls(window) is walls
    assert np.array_equal(with_zones[1].covered(window), inside & (np.arange(40) < 20))
    assert with_zones == [whole, left_half]  # zones are no part of which tiles there are


def test_four_tiles_are_enough(monkeypatch):
    monkeypatch.setattr(plan_module, "LEAST_PIXELS", 1)
    assert [len(part_few(plan_grid(40 * count, 40, 40, 40)).pieces) for count in (1, 3, 4, 5)] == [4, 12, 4, 5]


L_SHAPE_WITH_SLIVER = [
    (100, 60, 300, 200),
    (100, 260, 100, 140),
    (420, 50, 1, 300),
    (421, 120, 30, 1),
    (421, 300, 40, 9),
]


@pytest.mark.parametrize(
    "name, stretch", [("landsat7_bahamas_rgb_uint8.tif", True), ("landsat7_nc_5band_float32.tif", False)]
)
def test_any_scheme_over_the_same_area_makes_the_same_segments(shared, tmp_path, name, stretch):
    options = {"num_clusters": 20, "min_pixels": 30, "stretch": stretch}
    path = shared / "data" / name
    expected, _ = run(path, tmp_path / "a.tif", tiles=tuple(L_SHAPE_WITH_SLIVER), **options)
    inside = paint([Window(*rectangle) for rectangle in L_SHAPE_WITH_SLIVER], *expected.shape[::-1]) > 0
    assert expected[inside].any() and not expected[~inside].any()
    rng = np.random.default_rng(7)
    for threshold in (0.0, 0.5):
        parts = []
        for col, row, width, height in L_SHAPE_WITH_SLIVER:
            for _ in range(6):
                left, right = sorted(rng.integers(0, width + 1, 2).tolist())
                top, bottom = sorted(rng.integers(0, height + 1, 2).tolist())
                parts.append((col + left, row + top, right - left, bottom - top))
        rng.shuffle(parts)
        scheme = [tuple(map(int, part)) for part in parts if part[2] > 0 and part[3] > 0] + L_SHAPE_WITH_SLIVER
        ids, result = run(path, tmp_path / "b.tif", tiles=tuple(scheme), valid_data_threshold=threshold, **options)
        assert np.array_equal(ids, expected)
        assert result.tile_count > len(L_SHAPE_WITH_SLIVER)


def test_one_tile_of_the_area_is_the_area_cut_out(shared, tmp_path):
    from osgeo import gdal

    path = str(shared / "data" / "naip_maryland_4band_uint8.tif")
    cut = str(tmp_path / "cut.tif")
    gdal.Translate(cut, path, srcWin=[200, 100, 300, 250], creationOptions=["ALPHA=NO"])
    options = {"num_clusters": 20, "min_pixels": 30, "sampling": 1, "bands": (1, 2, 3, 4)}
    alone, _ = run(cut, tmp_path / "a.tif", **options)
    tiles = ((200, 100, 100, 250), (250, 100, 250, 100), (250, 150, 250, 200))
    ids, _ = run(path, tmp_path / "b.tif", tiles=tiles, **options)
    assert np.array_equal(ids[100:350, 200:500], alone)


def test_segments_and_seconds_of_tiles(shared, tmp_path):
    path = shared / "data" / "landsat7_bahamas_rgb_uint8.tif"
    tiles = ((0, 0, 400, 400), (200, 200, 591, 400), (0, 500, 100, 200))
    ids, result = run(path, tmp_path / "a.tif", tiles=tiles, num_clusters=20, min_pixels=30)
    owner = paint([Window(*tile) for tile in tiles], *ids.shape[::-1])
    assert [record.tile_id for record in result.tiles] == [1, 2, 3]
    for record in result.tiles:
        mine = ids[owner == record.tile_id]
        assert record.segments == len(np.unique(mine[mine > 0]))
        assert record.valid_pixels == np.count_nonzero(mine)
        assert (record.seconds > 0) == bool(record.valid_pixels)
