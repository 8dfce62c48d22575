# SPDX-License-Identifier: GPL-2.0-or-later
"""Labels as runs in files: what was packed comes out again, rows by rows, and what is damaged is noticed."""

import io
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiledseg.tiledseg_plugin.engine.files.labels import BLOCK_ROWS, LONGEST, pack, unpack


@st.composite
def labels(draw):
    """Rows of runs, short and longer than a byte can count, of values of any size."""
    rows = draw(st.sampled_from([1, 2, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 3 * BLOCK_ROWS + 5]))
    cols = draw(st.sampled_from([1, 2, 7, LONGEST, LONGEST + 1, 700]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = rng.integers(1, draw(st.sampled_from([1, 4, 600, 10**6])) + 1, rows * cols)
    lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), rows * cols)) + 1]
    values = rng.integers(0, draw(st.sampled_from([2, 300, 2**32])), lengths.size, np.uint32)
    return np.repeat(values, lengths)[: rows * cols].reshape(rows, cols)


@given(labels(), st.integers(0, 2**32 - 1))
def test_rows_come_out_as_they_went_in(array, seed):
    file = io.BytesIO(pack(array))
    assert np.array_equal(unpack(file, 0, len(array)), array)
    rng = np.random.default_rng(seed)
    first = int(rng.integers(0, len(array)))
    count = int(rng.integers(0, len(array) - first + 1))
    some = unpack(file, first, count)
    assert some.dtype == np.uint32 and np.array_equal(some, array[first : first + count])
    small = array % 50
    table = rng.integers(0, 2**32, 50, np.uint32)
    assert np.array_equal(unpack(io.BytesIO(pack(small)), first, count, table), table[small[first : first + count]])


def test_a_window_of_a_larger_array_can_be_packed():
    array = np.arange(10000, dtype=np.uint32).reshape(100, 100)[3:80, 10:50]
    assert np.array_equal(unpack(io.BytesIO(pack(array)), 0, 77), array)


def test_areas_take_little_room():
    array = np.kron(np.arange(400, dtype=np.uint32).reshape(20, 20), np.ones((40, 40), np.uint32))
    assert len(pack(array)) < array.size / 20


@pytest.mark.parametrize("left", [0, 10, 30, 200, -1])
def test_files_cut_short_are_noticed(left):
    array = np.random.default_rng(1).integers(0, 9, (150, 90)).astype(np.uint32)
    content = pack(array)
    with pytest.raises((ValueError, IndexError, zlib.error)):
        unpack(io.BytesIO(content[:left]), 0, 150)
    with pytest.raises(ValueError):
        unpack(io.BytesIO(content), 100, 51)
