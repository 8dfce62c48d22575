# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of the tree in a work folder that is somebody else's: indices that lead nowhere are noticed."""

import numpy as np
import pytest
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files.work_folder import WorkFolder
from tiledseg.tiledseg_plugin.engine.kernels.contract import DECIDED
from tiledseg.tiledseg_plugin.engine.stages.elimination import Graph, Merged
from tiledseg.tiledseg_plugin.engine.stages.moments import BandMoments, moments_in, names_in_files
from tiledseg.tiledseg_plugin.engine.stages.nesting import Nested
from tiledseg.tiledseg_plugin.engine.stages.parts import (
    Left,
    contents_of,
    finished_result,
    graph_of,
    load_decided,
    load_moments,
    load_undecided,
    merged_of,
    save_graph,
    save_part,
)

NUMBER = 7


def left_of(earliest=101):
    """Of four regions three are undecided, and lie at two open sides of piece 3.

    earliest : of the one that is decided
    """
    graph = Graph(
        sizes=np.array([4, 1, 9]),
        sums=np.array([[40, 4], [1, 2], [9, 9]]),
        edges=np.array([[0, 1], [1, 2]], np.uint32),
        first=np.array([100, 103, 111]),
        earliest=np.array([100, 102, 111]),
        clusters=np.array([1, 2, 1], np.uint16),
        borders={(3, "left"): np.array([1, 0, 2], np.uint32), (3, "top"): np.array([3, 3], np.uint32)},
        undecided_from=np.array([1, 1, 5], np.uint32),
    )
    region_of, decided = np.array([0, 1, 1, 2, 3], np.uint32), np.array([False, True, False, False])
    nested = Nested(
        np.array([1, 0, 2, 3], np.uint32),
        np.array([1, DECIDED, 1, 5], np.uint32),
        np.array([100, 102, 111]),
        np.array([[0, 0, 1, 2]], np.uint32),
    )
    began_as = np.array([0, 2, 3], np.uint32)
    merged = Merged(region_of, decided, np.array([30]), np.array([earliest]), graph, began_as, nested)
    return Left(merged, None, [2, 5], [1.0])


def save_both(folder, left):
    save_graph(folder, NUMBER, left.merged.take_left())
    save_part(folder, NUMBER, left)


@pytest.fixture
def folder(tmp_path):
    """With one part."""
    folder = WorkFolder(str(tmp_path / "work"), {"parameters": {}, "input": {}})
    save_both(folder, left_of())
    yield folder
    folder.close(False)


def test_what_was_written_is_read(folder):
    graph = load_undecided(folder, NUMBER)
    assert graph.get("first").tolist() == [100, 103, 111] and graph.edges.tolist() == [[0, 1], [1, 2]]
    assert {side: border.tolist() for side, border in graph.borders.items()} == {
        (3, "left"): [1, 0, 2],
        (3, "top"): [3, 3],
    }
    assert load_decided(folder, NUMBER).nested is None
    decided = load_decided(folder, NUMBER, levels=1)
    assert decided.nested.left_in.tolist() == [1, 0, 2, 3] and decided.nested.begins.tolist() == [100, 102, 111]
    assert decided.nested.begins_at.tolist() == [[0, 0, 1, 2]]
    assert decided.region_of.tolist() == [0, 1, 1, 2, 3] and decided.members_end.tolist() == [2, 5]


@pytest.mark.parametrize(
    "earliest, kind",
    [(200, np.uint8), (2**31, np.uint32), (2**32 - 1, np.uint32), (2**32, np.int64), (2**40, np.int64)],
)
def test_first_pixels_are_narrow_in_files_but_never_unsigned_numbers_of_64_bits(folder, earliest, kind):
    """numpy makes floats of these and numbers with a sign together."""
    save_both(folder, left_of(earliest))
    saved = load_decided(folder, NUMBER).earliest
    assert saved.tolist() == [earliest] and saved.dtype == kind


@pytest.mark.parametrize(
    "name, value",
    [
        ("steps", np.array([0, 2], np.uint8)),
        ("steps", np.array([0, -1])),
        ("steps", np.array([0], np.uint8)),
        ("steps", np.array([[0, 1]], np.uint8)),
        ("steps", np.array([0.0, 1.0])),
        ("reaches", np.array([1, 2], np.uint8)),
        ("reaches", np.array([-1, 1])),
        ("reaches", np.array([1.0, np.nan])),
        ("borders", np.array([1, 0, 2, 4, 3], np.uint32)),
        ("borders", np.array([1, 0, 2], np.uint32)),
        ("border_ends", np.array([3, 2])),
        ("border_ends", np.array([-1, 5])),
        ("border_ends", np.array([5])),
        ("border_of", np.array([[3, 0], [3, 4]])),
        ("border_of", np.array([[3, -1], [3, 0]])),
        ("clusters", np.array([1, 2], np.uint16)),
        ("sums", np.zeros((4, 2), np.int64)),
        ("sums", np.zeros(3, np.int64)),
        ("sizes", np.array(3)),
        ("earliest", np.zeros((3, 1), np.int64)),
        ("base", np.array([100])),
        ("base", np.array([100.0, 100.0])),
        ("sizes", np.array([4.0, np.nan, 9.0])),
        ("undecided_from", np.empty(0, np.uint32)),
    ],
)
def test_graph_with_indices_that_lead_nowhere_is_damaged(folder, name, value):
    saved = {**folder.load(graph_of(NUMBER)), name: value}
    folder.save(graph_of(NUMBER), **saved)
    with pytest.raises(SegmentationError, match=f"{graph_of(NUMBER)} in .* is damaged: start the run again"):
        load_undecided(folder, NUMBER)


@pytest.mark.parametrize("name", ["first", "earliest", "clusters"])
def test_what_is_read_later_is_damaged_where_it_has_become_of_another_graph(folder, name):
    graph, saved = load_undecided(folder, NUMBER), folder.load(graph_of(NUMBER))
    assert len(graph.get(name)) == 3
    folder.save(graph_of(NUMBER), **{**saved, name: saved[name][:2]})
    with pytest.raises(SegmentationError, match=f"{graph_of(NUMBER)} in .* is damaged: start the run again"):
        graph.get(name)


def moments(high):
    """Of three regions, in two bands.

    high : the high limb of one of the squares of the second band
    """
    low = np.array([1, 2, -3])
    return [
        BandMoments(np.array([9, 2**40, -3]), np.array([[5, 6, 7], [0, 0, 0]], np.uint64), low, low + 200),
        BandMoments(np.array([4, 5, 6]), np.array([[2**32 - 1, 0, 9], [0, high, 0]], np.uint64), low - 1, low),
    ]


def of_four_regions(least=0):
    """What they hold in a band, beginning with `least`."""
    values = np.arange(4) + least
    return BandMoments(values, np.stack([values, values * 0]).astype(np.uint64), values, values)


def arrays_of(bands, *chosen):
    return {name: made() for band, each in enumerate(bands) for name, made in each.arrays(band, *chosen).items()}


@pytest.mark.parametrize("high", [0, 3])
def test_moments_are_read_as_they_were_written(folder, high):
    written = moments(high)
    folder.save(contents_of(NUMBER), arrays_of(written).items())
    assert folder.load(contents_of(NUMBER), "moments_squares_1")["moments_squares_1"].shape[0] == (2 if high else 1)
    for band, expected in enumerate(written):
        sizes, read = load_moments(folder, NUMBER, band)
        assert sizes.tolist() == load_undecided(folder, NUMBER).sizes.tolist()
        assert [one.tolist() for one in read] == [one.tolist() for one in expected]
        some = moments_in(arrays_of(written, np.array([True, False, True])), band)  # none of which has a high limb
        assert some.squares.tolist() == expected.squares[:, [0, 2]].tolist()


@pytest.mark.parametrize("name", ["totals", "squares", "low", "high"])
def test_moments_of_other_regions_are_damaged(folder, name):
    arrays, name = arrays_of(moments(3)), f"moments_{name}_1"
    whole = arrays[name]
    for forged in (whole[..., :2], whole[None], whole[..., 0], whole.astype(float)):
        folder.save(contents_of(NUMBER), **{**arrays, name: forged})
        assert load_moments(folder, NUMBER, 0)
        with pytest.raises(SegmentationError, match=f"{contents_of(NUMBER)} in .* is damaged: start the run again"):
            load_moments(folder, NUMBER, 1)


def test_what_a_part_holds_is_made_band_by_band(folder):
    """No more than one band is held at a time; what is left goes into one file, what is decided into another."""
    left, made = left_of(), []

    def bands():
        for band in range(2):
            made.append(band)
            yield of_four_regions(10 * band)

    save_both(folder, left._replace(moments=bands()))
    assert made == [0, 1]
    for band in range(2):
        assert load_moments(folder, NUMBER, band)[1].totals.tolist() == [10 * band, 10 * band + 2, 10 * band + 3]
        saved = folder.load(merged_of(NUMBER), *names_in_files(band))
        assert moments_in(saved, band).totals.tolist() == [10 * band + 1]


@pytest.mark.parametrize("is_damaged", [False, True])
@pytest.mark.parametrize("with_moments", [False, True])
def test_a_part_is_finished_if_all_that_is_still_needed_of_it_is_there(folder, with_moments, is_damaged):
    left = left_of()
    save_both(folder, left._replace(moments=[of_four_regions()]) if with_moments else left)
    for with_graph in (False, True):
        assert finished_result(folder, NUMBER, with_graph).tolist() == [1.0]
    for name in [graph_of(NUMBER), contents_of(NUMBER)] if with_moments else [graph_of(NUMBER)]:
        saved, (path,) = folder.load(name), folder.path.glob(f"*{name}.npz")
        if is_damaged:
            path.write_bytes(path.read_bytes()[:-1])
        else:
            path.unlink()
        assert finished_result(folder, NUMBER, True) is None
        assert finished_result(folder, NUMBER, False).tolist() == [1.0]
        folder.save(name, **saved)
        assert finished_result(folder, NUMBER, True).tolist() == [1.0]
    folder.drop(merged_of(NUMBER))
    assert finished_result(folder, NUMBER, True) is finished_result(folder, NUMBER, False) is None


@pytest.mark.parametrize(
    "name, value",
    [
        ("region_of", np.array([0, 1, 1, 2, 4], np.uint32)),
        ("region_of", np.array([0, 1, 1, 2, -1])),
        ("region_of", np.array([0.0, 1.0])),
        ("decided", np.array([0, 1, 0, 0])),
        ("decided", np.array([False, True, True, False])),
        ("earliest", np.array([101, 102])),
        ("left_in", np.array([1, 0, 2, -3])),
        ("left_in", np.array([1, 0, 2], np.uint32)),
        ("left_in", np.array([1.0, 0.0, 2.0, 3.0])),
        ("undecided_from", np.array([1, 4, 1, 5], np.uint32)),
        ("undecided_from", np.array([1, DECIDED, 1, DECIDED], np.uint32)),
        ("undecided_from", np.array([[1, DECIDED, 1, 5]], np.uint32)),
        ("begins", np.array([100.0, 102.0, 111.0])),
        ("begins", np.array([[100, 102, 111]])),
        ("begins", np.array([100, 102])),
        ("begins_at", np.array([0, 0, 1, 2], np.uint32)),
        ("begins_at", np.array([[0, 0, 1]], np.uint32)),
        ("begins_at", np.array([[0, 0, 1, 2]] * 2, np.uint32)),
        ("begins_at", np.array([[0, 0, 1, 3]], np.uint32)),
        ("begins_at", np.array([[0, 0, 1, -1]])),
    ],
)
def test_decisions_with_indices_that_lead_nowhere_are_damaged(folder, name, value):
    saved = {**folder.load(merged_of(NUMBER)), name: value}
    folder.save(merged_of(NUMBER), **saved)
    with pytest.raises(SegmentationError, match=f"{merged_of(NUMBER)} in .* is damaged: start the run again"):
        load_decided(folder, NUMBER, levels=1)
