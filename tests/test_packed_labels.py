# SPDX-License-Identifier: GPL-2.0-or-later
"""Labels as runs in files: what was packed comes out again, rows by rows, and what is damaged is noticed."""

import io

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kernel_sets import assert_same, available, both_sets, compiled, examples, needs_compiled
from tiledseg.tiledseg_plugin.engine.files.labels import BLOCK_ROWS, pack, unpack
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.kernels.plain.runs import ABOVE, BESIDE, DAMAGED, GIVEN, MOST, REACH, SAME

SETS = [compiled, plain] if "compiled" in available else [plain]


@st.composite
def labels(draw, most_rows=None):
    """Rows of runs, short and longer than a code can count, of values of any size; or areas of several rows."""
    rows = draw(st.sampled_from([1, 2, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 3 * BLOCK_ROWS + 5]))
    rows = min(rows, most_rows or rows)
    cols = draw(st.sampled_from([1, 2, 7, REACH, REACH + 1, REACH + 2, MOST, MOST + 1, 700]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = draw(st.sampled_from([2, 3, 300, 2**32]))
    if draw(st.booleans()):
        lengths = rng.integers(1, draw(st.sampled_from([1, 4, 600, 10**6])) + 1, rows * cols)
        lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), rows * cols)) + 1]
        return np.repeat(rng.integers(0, values, lengths.size, np.uint32), lengths)[: rows * cols].reshape(rows, cols)
    step = draw(st.sampled_from([2, 9, REACH, 100]))
    areas = rng.integers(0, values, (rows // 3 + 1, cols // step + 2), np.uint32)
    shifted = np.arange(cols) + rng.integers(0, draw(st.sampled_from([1, 3, step])), (rows, 1))
    return areas[np.arange(rows)[:, None] // 3, shifted // step]


@given(labels(), st.integers(0, 2**32 - 1), st.sampled_from(SETS))
def test_rows_come_out_as_they_went_in(array, seed, kernel):
    file = io.BytesIO(pack(array, kernel))
    assert np.array_equal(unpack(file, 0, len(array), kernel), array)
    rng = np.random.default_rng(seed)
    first = int(rng.integers(0, len(array)))
    count = int(rng.integers(0, len(array) - first + 1))
    some = unpack(file, first, count, kernel)
    assert some.dtype == np.uint32 and np.array_equal(some, array[first : first + count])
    small = array % 50
    table = rng.integers(0, rng.choice([2, 2**32]), 50, np.uint32)  # many labels may get the same id
    found = unpack(io.BytesIO(pack(small, kernel)), first, count, kernel, table)
    assert np.array_equal(found, table[small[first : first + count]])


def described(array):
    """Runs and their codes, pixel by pixel, as they are defined."""
    codes, given_ = [], []
    for number, row in enumerate(array.tolist()):
        begin = 0
        while begin < len(row):
            end = begin + 1
            while end < len(row) and row[end] == row[begin]:
                end += 1
            above = array[number - 1].tolist()[begin : begin + REACH + 1] if number else []
            others = [label for label in above if label != above[0]]
            if above[:1] == [row[begin]]:
                kind = ABOVE
            elif others and others[0] == row[begin]:
                kind = BESIDE
            else:
                kind = GIVEN
                given_.append(row[begin])
            for length in [MOST] * ((end - begin - 1) // MOST) + [(end - begin - 1) % MOST + 1]:
                codes.append(kind * 64 + length - 1)
                kind = SAME
            begin = end
    return np.array(codes, np.uint8), np.array(given_, np.uint32)


@both_sets
@examples
@given(array=labels(most_rows=BLOCK_ROWS))
def test_runs_are_described_as_they_are_defined(kernels, array):
    for ours, expected in zip(kernels.encode_runs(array), described(array)):
        assert_same(ours, expected)


@needs_compiled
@examples
@given(st.lists(st.integers(0, 255), min_size=1, max_size=12), st.integers(0, 3), st.integers(1, 70), st.booleans())
@example([0], 1, 1, True)
@example([3, MOST * BESIDE + 3], 1, 4, False)  # beside, where the row above has one run only
@example([MOST * GIVEN + 1] * 2 + [MOST * BESIDE + 1, MOST * ABOVE + 1], 2, 4, False)
@example([MOST - 1, MOST * SAME, MOST * ABOVE], 1, 65, False)  # the second row is cut short
def test_what_was_never_written_is_refused_or_read_alike_by_both_sets(codes, known, cols, with_table):
    """The folder may be somebody else's: no code leads out of an array."""
    codes, known = np.array(codes, np.uint8), np.arange(known, dtype=np.uint32) % 2
    table = np.array([7], np.uint32) if with_table else None
    rows = max(1, int((codes % MOST + 1).astype(int).sum()) // cols)
    found = [np.full((rows, cols), 9, np.uint32) for _ in range(2)]
    ends = []
    for kernel, room in zip((compiled, plain), found):
        try:
            kernel.decode_runs(codes, known, table, room)
            ends.append("")
        except ValueError as error:
            ends.append(str(error))
    assert ends[0] == ends[1]
    if not ends[0]:
        assert_same(*found)


@both_sets
def test_a_run_beside_is_looked_for_in_a_reach(kernels):
    cols = np.arange(REACH + 8)
    for reach, kind in ((REACH, BESIDE), (REACH + 1, GIVEN)):
        image = np.where([cols < 2 + reach, cols < 2], 5, 6).astype(np.uint32)
        codes, given_ = kernels.encode_runs(image)
        assert (codes // MOST).tolist() == [GIVEN, GIVEN, ABOVE, kind]
        found = np.zeros_like(image)
        kernels.decode_runs(codes, given_, None, found)
        assert_same(found, image)
        if kind == GIVEN:
            codes[-1] += BESIDE * MOST
            with pytest.raises(ValueError, match=DAMAGED):
                kernels.decode_runs(codes, given_[:-1], None, found)


@both_sets
@pytest.mark.parametrize(
    "codes, known",
    [
        ([(GIVEN, 4)], 1),  # a row too few
        ([(GIVEN, 4), (ABOVE, 4), (ABOVE, 4)], 1),
        ([(GIVEN, 4), (ABOVE, 3)], 1),
        ([(GIVEN, 3), (ABOVE, 2), (ABOVE, 3)], 1),  # from one row into the next
        ([(GIVEN, 4), (SAME, 4)], 1),  # the beginning of a row
        ([(GIVEN, 4), (SAME, 1), (GIVEN, 3)], 2),
        ([(SAME, 4), (GIVEN, 4)], 1),
        ([(ABOVE, 4), (GIVEN, 4)], 1),  # the first row
        ([(GIVEN, 1), (BESIDE, 3), (GIVEN, 4)], 2),
        ([(GIVEN, 4), (BESIDE, 4)], 1),  # there is no other
        ([(GIVEN, 1), (GIVEN, 3), (ABOVE, 1), (ABOVE, 1), (BESIDE, 2)], 2),
        ([(GIVEN, 4), (ABOVE, 4)], 2),  # labels that nobody has
        ([(GIVEN, 4), (ABOVE, 4)], 0),
        ([(GIVEN, 4), (GIVEN, 4)], 1),
        ([], 0),
    ],
)
def test_codes_that_are_not_of_an_image_are_refused(kernels, codes, known):
    bytes_ = np.array([kind * MOST + length - 1 for kind, length in codes], np.uint8)
    with pytest.raises(ValueError, match=DAMAGED):
        kernels.decode_runs(bytes_, np.arange(known, dtype=np.uint32), None, np.zeros((2, 4), np.uint32))


@both_sets
def test_labels_beyond_the_table_are_refused(kernels):
    content = pack(np.array([[0, 1], [2, 2]], np.uint32), kernels)
    for table in (np.zeros(2, np.uint32), np.zeros(0, np.uint32)):
        with pytest.raises(ValueError):
            unpack(io.BytesIO(content), 0, 2, kernels, table)


@both_sets
def test_a_window_of_a_larger_array_can_be_packed(kernels):
    array = np.arange(10000, dtype=np.uint32).reshape(100, 100)[3:80, 10:50]
    assert np.array_equal(unpack(io.BytesIO(pack(array, kernels)), 0, 77, kernels), array)


@both_sets
def test_areas_take_little_room(kernels):
    array = np.kron(np.arange(400, dtype=np.uint32).reshape(20, 20), np.ones((40, 40), np.uint32))
    assert len(pack(array, kernels)) < array.size / 34  # a byte a run, of 40 pixels, and the labels


@both_sets
@pytest.mark.parametrize("left", [0, 10, 30, 200, -1])
def test_files_cut_short_are_noticed(kernels, left):
    array = np.random.default_rng(1).integers(0, 9, (150, 90)).astype(np.uint32)
    content = pack(array, kernels)
    with pytest.raises((ValueError, IndexError)):
        unpack(io.BytesIO(content[:left]), 0, 150, kernels)
    with pytest.raises(ValueError):
        unpack(io.BytesIO(content), 100, 51, kernels)


@both_sets
def test_a_byte_that_is_another_one_is_noticed(kernels):
    """Codes and labels may mean something with it, too; behind the numbers at the beginning all bytes are checked."""
    array = np.kron(np.arange(60, dtype=np.uint32).reshape(6, 10), np.ones((20, 5), np.uint32))
    content, numbers = pack(array, kernels), 8 * (3 + 2)
    for place in range(numbers, len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(ValueError):
            unpack(io.BytesIO(damaged), 0, 120, kernels)
