# SPDX-License-Identifier: GPL-2.0-or-later
"""The numbering of segments: which parts a strip looks at, what is said and how far it is; see also test_tree.py."""

import dataclasses
import random
from types import SimpleNamespace

import numpy as np
import pytest
from osgeo import gdal
from rasters import Log, segment_untiled, write_raster
from test_tree import CENTRES, Shuffled, check_level
from tiledseg.tiledseg_plugin.engine import kernels
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from tiledseg.tiledseg_plugin.engine.files.window import Window
from tiledseg.tiledseg_plugin.engine.files.work_folder import WorkFolder
from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
from tiledseg.tiledseg_plugin.engine.progress import Progress
from tiledseg.tiledseg_plugin.engine.segmentation import segment
from tiledseg.tiledseg_plugin.engine.stages import numbering
from tiledseg.tiledseg_plugin.engine.stages.colours import Raw
from tiledseg.tiledseg_plugin.engine.stages.context import RunContext
from tiledseg.tiledseg_plugin.engine.stages.elimination import EliminationRules
from tiledseg.tiledseg_plugin.engine.stages.graph import GroupJob
from tiledseg.tiledseg_plugin.engine.stages.numbering import (
    Strip,
    moments_of,
    number_segments,
    pixels_of,
    segments_in_tiles,
    sort_strip,
    strips_of,
    table_of,
)
from tiledseg.tiledseg_plugin.engine.stages.parts import merged_of
from tiledseg.tiledseg_plugin.engine.stages.plan import Plan, plan_grid, plan_rectangles
from tiledseg.tiledseg_plugin.engine.stages.schedule import PartJob, process_parts
from tiledseg.tiledseg_plugin.engine.stages.tiles import TileJob, labels_of
from tiledseg.tiledseg_plugin.engine.stages.tree import grow_tree, tree_of


def strips(monkeypatch, pixels, extents, width=10, height=25):
    monkeypatch.setattr(numbering, "STRIP_PIXELS", pixels)
    raster = SimpleNamespace(width=width, height=height, is_integer=True, bands=(1,))
    return strips_of(raster, SimpleNamespace(extents=lambda: extents))


def test_strips_are_whole_rows_and_know_the_parts_that_reach_into_them(monkeypatch):
    extents = {2: Window(0, 7, 5, 8), 1: Window(0, 0, 10, 7), 3: Window(3, 14, 2, 11)}
    assert strips(monkeypatch, 79, extents) == [
        Strip(0, 0, 70, (1,), 1),
        Strip(1, 70, 140, (2,), 1),
        Strip(2, 140, 210, (2, 3), 1),
        Strip(3, 210, 250, (3,), 1),
    ]
    assert [strip.parts for strip in strips(monkeypatch, 1000, extents)] == [(1, 2, 3)]
    one_row = strips(monkeypatch, 9, extents)  # narrower than a row of the raster
    assert [(strip.begin, strip.end) for strip in one_row] == [(10 * row, 10 * row + 10) for row in range(25)]
    assert str(one_row[3]) == "4 of the segments"


@pytest.mark.parametrize(
    "megapixels, count", [(1, 1), (16, 1), (32, 2), (64, 4), (66, 4), (256, 4), (272, 5), (4096, 64), (16384, 256)]
)
def test_strips_of_rasters_that_are_not_small_are_enough_for_several_workers_and_none_is_large(megapixels, count):
    raster = SimpleNamespace(width=4096, height=256 * megapixels, is_integer=True, bands=(1,))
    found = strips_of(raster, SimpleNamespace(extents=lambda: {}))
    assert len(found) == count and found[-1].end == megapixels << 20
    assert max(strip.end - strip.begin for strip in found) <= 1 << 26


@pytest.mark.parametrize("parts", [(), (7,)])
def test_of_floats_a_strip_gathers_no_moments(tmp_path, parts):
    """Their sums would depend on the order in which they are taken."""
    raster = SimpleNamespace(width=4, height=5, is_integer=False, bands=(1, 2))
    (strip,) = strips_of(raster, SimpleNamespace(extents=lambda: dict.fromkeys(parts, Window(0, 0, 4, 5))))
    assert strip == Strip(0, 0, 20, parts, 0)
    folder = WorkFolder(str(tmp_path / "work"), {"parameters": {}})
    folder.save(merged_of(7), earliest=np.array([9, 3]), sizes=np.array([4, 2]))
    assert sort_strip(folder, strip, lambda: None) == 2 * len(parts)
    assert folder.map_array(pixels_of(0)).tolist() == [2, 4][: 2 * len(parts)]
    assert folder.load(moments_of(0)) is None
    folder.close(finished=True)


def test_where_no_part_is_there_are_no_moments_to_gather(tmp_path):
    folder = WorkFolder(str(tmp_path / "work"), {"parameters": {}})
    assert sort_strip(folder, Strip(0, 0, 20, (), 2), lambda: None) == 0
    assert folder.map_array(pixels_of(0)).size == 0 and folder.load(moments_of(0)) is None
    folder.close(finished=True)


class Recorder:
    """In place of Progress: how far the stage says to be."""

    def __init__(self):
        self.feedback, self.fractions = Log(), []

    def advance(self, fraction, text):
        self.fractions.append(fraction)

    def listening_to(self, runner):
        return lambda: None


def number(tmp_path, values, levels, side=11, plan=None):
    """What is recorded while a raster's segments are numbered, and the segments and the tree.

    Parameters
    ----------
    values : (bands, rows, cols), or the path of a raster, of which `plan` says which tiles are looked at
    """
    path = values if plan else write_raster(tmp_path / "in.tif", values, 0)
    raster, plan = describe(path), plan or plan_grid(values.shape[2], values.shape[1], side, side)
    folder = WorkFolder(str(tmp_path / "work"), {"parameters": {}})
    parameters = SegmentParameters(path, "", min_pixels=2, levels=levels, kernels="plain")
    rules, runner = EliminationRules((1.0,), 2, None, levels), Shuffled(random.Random(1))
    first, others = plan.pieces[:4], plan.pieces[4:]
    tree = grow_tree(plan.pieces) if levels or not others else tree_of([list(first), *others])
    kernel, _ = kernels.choose("plain")
    context = RunContext(parameters, raster, plan, kernel, runner, Progress(Log(), {"tiles": 5, "graph": 5}), folder)
    job = PartJob(
        TileJob(raster, plan, Raw(), CENTRES, "plain", folder, rules),
        GroupJob(folder, rules, "plain", has_moments=True),
    )
    finished = process_parts(context, job, tree, [(piece,) for piece in tree.pieces])
    context = dataclasses.replace(context, progress=Recorder())
    segments = number_segments(context, tree, finished.clumps, 0.4)
    return context, segments, tree


@pytest.mark.parametrize("levels", [(), (9, 40)])
def test_the_stage_goes_on_evenly_to_its_end_and_says_what_it_found(tmp_path, monkeypatch, levels):
    monkeypatch.setattr(numbering, "STRIP_PIXELS", 20 * 6)
    values = np.kron(np.random.default_rng(4).integers(1, 5, (2, 10, 10)), np.ones((1, 2, 2), int)).astype(np.uint8)
    context, segments, tree = number(tmp_path, values, levels)
    strips = strips_of(context.raster, tree)
    steps = len(strips) * (2 if levels else 1) + len(tree.groups)
    assert len(strips) == 4 and steps > 4
    assert context.progress.fractions == pytest.approx([0.4 + 0.6 * step / steps for step in range(1, steps + 1)])
    said = [f"{segments.clumps} clumps were merged to {segments.count} segments."]
    said += [f"With MIN_PIXELS = {level} there are {segments.at_levels[level]} segments." for level in levels]
    assert [
        message for message in context.progress.feedback.lines if "MIN_PIXELS" in message or "merged" in message
    ] == [message.replace("are 1 segments", "are 1 segment") for message in said]
    context.folder.close(finished=True)


@pytest.mark.parametrize("levels", [(), (9, 40)])
def test_ids_are_those_of_a_run_without_tiles(tmp_path, monkeypatch, levels):
    """On a few tiles, for which it is quick; on any in test_tree.py."""
    monkeypatch.setattr(numbering, "STRIP_PIXELS", 20 * 3)
    values = np.kron(np.random.default_rng(5).integers(1, 4, (2, 10, 10)), np.ones((1, 2, 2), int)).astype(np.uint8)
    values[:, 3:6, 8:15] = 0
    context, segments, tree = number(tmp_path, values, levels, side=5)
    ids, whole = np.zeros((20, 20), np.uint32), Window(0, 0, 20, 20)
    for piece in tree.pieces:
        table = context.folder.map_array(table_of(piece))
        ids[piece.window.within(whole)] = context.folder.load_labels(
            labels_of(piece), 0, piece.window.height, context.kernel, table
        )
        assert segments.in_tiles[piece.tile_id] == np.count_nonzero(np.unique(ids[piece.window.within(whole)]))
    colours, valid = values.astype(np.float32), (values != 0).all(axis=0)
    expected = segment_untiled(colours, valid, CENTRES, 2, None, values)
    assert np.array_equal(ids, expected)
    assert segments.sizes[:].tolist() == np.bincount(expected.ravel())[1:].tolist()
    assert len(tree.groups) > 1 and segments.has_moments
    strips = [context.folder.load(moments_of(strip)) for strip in range(len(segments.in_strips))]
    for band, of_band in enumerate(values):
        assert sum(int(strip[f"moments_totals_{band}"].sum()) for strip in strips) == int(of_band[valid].sum())
    for level, column in segments.holder_columns.items():
        larger = segment_untiled(colours, valid, CENTRES, level, None, values)
        check_level(expected, larger, column[:])
        assert segments.at_levels[level] == larger.max()
    context.folder.close(finished=True)


@pytest.mark.parametrize("levels", [(), (9, 40)])
def test_where_a_raster_has_more_pixels_than_32_bits_count_ids_are_the_same(tmp_path, levels):
    """A small raster in the last corner of one of 80,000 x 80,000 pixels, and alone."""
    values = np.kron(np.random.default_rng(6).integers(1, 4, (2, 10, 10)), np.ones((1, 2, 2), int)).astype(np.uint8)
    small, huge = write_raster(tmp_path / "small.tif", values, 0), str(tmp_path / "huge.vrt")
    side, begin = 80_000, 80_000 - 20
    gdal.Translate(huge, small, format="VRT", srcWin=[-begin, -begin, side, side])
    tables = []
    for path, size, first in ((small, 20, 0), (huge, side, begin)):
        tiles = [(first + col, first + row, 5, 5) for row in range(0, 20, 5) for col in range(0, 20, 5)]
        context, segments, tree = number(tmp_path, path, levels, plan=plan_rectangles(size, size, tiles))
        found = [context.folder.map_array(table_of(piece)).tolist() for piece in tree.pieces]
        columns = [column[:].tolist() for column in segments.holder_columns.values()]
        tables.append((found, segments.sizes[:].tolist(), columns, segments.at_levels))
        context.folder.close(finished=True)
    assert tables[0] == tables[1] and max(map(max, tables[0][0])) == len(tables[0][1]) > 9


def test_more_segments_than_can_be_numbered_are_refused_in_a_sentence(tmp_path, monkeypatch):
    values = np.arange(1, 101, dtype=np.uint8).reshape(1, 10, 10) * 2
    path = write_raster(tmp_path / "in.tif", values, 0)
    given = {"min_pixels": 1, "num_clusters": 50, "sampling": 1, "stretch": False, "execution": "serial"}
    parameters = SegmentParameters(path, str(tmp_path / "out.tif"), **given)
    count = segment(parameters, Log()).segment_count
    (tmp_path / "out.tif").unlink()
    before = {path.name for path in tmp_path.iterdir()}
    monkeypatch.setattr(numbering, "MOST_SEGMENTS", count - 1)
    with pytest.raises(SegmentationError, match=f"There are {count} segments, more than the {count - 1} that can be"):
        segment(parameters, Log())
    assert {path.name for path in tmp_path.iterdir()} == before


def test_as_many_segments_as_rows_have_numbers_are_not_refused():
    """Of signed integers of 32 bits."""
    numbering._check_count(2147483647)
    with pytest.raises(SegmentationError, match="There are 2147483648 segments, more than the 2147483647 that can be"):
        numbering._check_count(2147483648)


def test_one_clump_was_merged(tmp_path):
    context, _, _ = number(tmp_path, np.full((2, 8, 8), 3, np.uint8), (), side=8)
    assert "1 clump was merged to 1 segment." in context.progress.feedback.lines
    context.folder.close(finished=True)


def test_segments_of_a_tile_are_those_of_all_its_pieces(tmp_path):
    folder = WorkFolder(str(tmp_path / "work"), {"parameters": {}})
    plan = plan_rectangles(30, 20, [(5, 5, 10, 10), (0, 0, 20, 20), (20, 0, 10, 20)])
    assert isinstance(plan, Plan) and [len(tile.pieces) for tile in plan.tiles] == [1, 4, 1]
    tables = [[0, 3, 1], [0, 7, 1], [0, 7, 8], [0, 9], [0, 7, 9, 2], [0, 5, 6]]
    for piece, table in zip(plan.pieces, tables):
        folder.save_array(table_of(piece), np.array(table, np.uint32))
    in_pieces = {1: 2, 2: 2, 3: 2, 4: 1, 5: 3}
    assert segments_in_tiles(plan, folder, in_pieces) == {1: 2, 2: 5}
    assert segments_in_tiles(plan, folder, {3: 2, 6: 2}) == {2: 2, 3: 2}
    assert segments_in_tiles(plan, folder, {2: 2, 3: 2}) == {2: 3}
    folder.close(finished=True)


def test_a_part_whose_regions_are_not_those_of_its_group_is_damaged():
    nested = SimpleNamespace(
        left_in=np.array([0, 3]), undecided_from=np.array([9, 1]), firsts=np.zeros((1, 2), np.int64)
    )
    decided = SimpleNamespace(nested=nested, decided=np.array([True, False]), earliest=np.array([0]))
    job = SimpleNamespace(
        sizes=(2, 5), ids_of=lambda first: np.ones(first.size, np.uint32), folder=SimpleNamespace(path="w")
    )
    with pytest.raises(SegmentationError):
        numbering._ids_of_regions(job, 7, decided, np.ones((2, 2), np.uint32))
