# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:shape` and `tiledseg:neighbours` of any raster of ids: types, gaps, large numbers, 0 as a segment."""

import numpy as np
import pytest
from rasters import write_raster
from test_neighbours import neighbours
from test_shape import patches, shape
from tiledseg.tiledseg_plugin.engine.stages import statistics as survey

GAPS = np.uint64(37000001), np.uint64(4294967291)


def with_gaps(ids):
    """The same segments under numbers up to 4294967295, in another order, and which one is which."""
    old = np.unique(ids[ids != 0])
    new = old.astype(np.uint64) * GAPS[0] % GAPS[1] + np.uint64(1)
    new[-1] = 2**32 - 1
    table = np.zeros(int(old[-1]) + 1, np.uint32)
    table[old] = new.astype(np.uint32)
    return table


def compare(tmp_path, ids, table, raster):
    """Both tables of a raster are those of the plain one, with other ids."""
    plain = write_raster(tmp_path / "plain.tif", ids[None])
    expected, found = shape(plain, tmp_path / "0.csv", execution="serial"), shape(raster, tmp_path / "1.csv")
    order = np.argsort(table[expected["segment"].astype(int)])
    assert np.array_equal(found.pop("segment"), table[expected.pop("segment").astype(int)][order])
    for name, values in found.items():
        assert np.array_equal(values, expected[name][order], equal_nan=True), name
    (pairs, _), (found, summary) = neighbours(plain, tmp_path), neighbours(raster, tmp_path)
    named = {
        (table[int(a)], table[int(b)], length)
        for a, b, length in zip(pairs["segment"], pairs["neighbour"], pairs["border_length"])
    }
    assert named == set(zip(found["segment"], found["neighbour"], found["border_length"]))
    assert np.all(np.diff(found["segment"]) >= 0) and np.all(np.diff(summary["segment"]) > 0)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    monkeypatch.setattr(survey, "BLOCK_PIXELS", 46 * 7)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint16, np.float32, np.float64])
def test_ids_of_any_type(tmp_path, dtype):
    ids = patches()
    table = np.arange(ids.max() + 1)
    compare(tmp_path, ids, table, write_raster(tmp_path / "s.tif", ids[None].astype(dtype)))


def test_ids_with_gaps_up_to_32_bits(tmp_path):
    ids = patches()
    table = with_gaps(ids)
    compare(tmp_path, ids, table, write_raster(tmp_path / "s.tif", table[ids][None]))


@pytest.mark.parametrize("nodata", [4294967295, 77777])
def test_0_is_a_segment_where_something_else_is_no_data(tmp_path, nodata):
    ids = patches()
    table = np.arange(-1, int(ids.max())).astype(np.int64)
    table[0] = nodata
    compare(tmp_path, ids, table, write_raster(tmp_path / "s.tif", table[ids][None].astype(np.uint32), nodata=nodata))
