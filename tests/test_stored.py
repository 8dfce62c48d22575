# SPDX-License-Identifier: GPL-2.0-or-later
"""Columns that lie in files: rows are read as from an array, statistics are those of all rows at once."""

import io
import math
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy
from osgeo import gdal
from rasters import run, write_raster
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files import outputs, stored, stored_arrays
from tiledseg.tiledseg_plugin.engine.files.stored import Made, Stored
from tiledseg.tiledseg_plugin.engine.progress import Feedback


def in_files(folder, values, counts, column=None):
    """The values as a column in files of so many rows each."""
    ends = np.cumsum([0, *counts])
    paths = [str(folder / f"{number}.npy") for number in range(len(counts))]
    for path, begin, end in zip(paths, ends, ends[1:]):
        part = values[begin:end]
        np.save(path, part if column is None else np.stack([part - 1, part]))
    return Stored(paths, counts, values.dtype, column)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=6),
    first=st.integers(0, 40),
    length=st.integers(0, 40),
    chosen=st.sets(st.integers(0, 35)),
    column=st.sampled_from([None, 1]),
)
def test_rows_are_those_of_an_array(counts, first, length, chosen, column, tmp_path_factory):
    values = np.arange(sum(counts), dtype=np.float64) * 3
    rows = in_files(tmp_path_factory.mktemp("rows"), values, counts, column)
    rows = pickle.loads(pickle.dumps(rows)) if first % 2 else rows
    assert rows[first : first + length].tolist() == values[first : first + length].tolist()
    index = np.array(sorted(place for place in chosen if place < values.size), np.int64)
    assert rows[index].tolist() == values[index].tolist()
    assert np.asarray(rows).tolist() == values.tolist() and rows.size == values.size


@pytest.mark.parametrize("absent", [0.0, 0.3, 0.999, 1.0])
@pytest.mark.parametrize("at_a_time", [128, 1000])
def test_statistics_of_a_band_are_those_of_all_rows_at_once(tmp_path, monkeypatch, absent, at_a_time):
    """To the last bit: lots are added up as numpy adds up the whole."""
    rng = np.random.default_rng(8)
    values = rng.normal(1e6, 1e3, 5000)
    values[rng.random(values.size) < absent] = np.nan
    pixels = rng.integers(1, 10**6, values.size)
    for module in (stored, outputs):
        monkeypatch.setattr(module, "AT_A_TIME", at_a_time)
    monkeypatch.setattr(outputs.added_pairwise, "__defaults__", (at_a_time,))
    held, other = (gdal.GetDriverByName("MEM").Create("", 2, 2, 1, gdal.GDT_Float64) for _ in range(2))
    band, expected = held.GetRasterBand(1), other.GetRasterBand(1)
    outputs.set_statistics(band, in_files(tmp_path, values, [700, 4300]), pixels)
    some = np.isfinite(values)
    if not some.any():
        assert not band.GetMetadata()
        return
    values, pixels = values[some], pixels[some]
    mean = (values * pixels).sum() / pixels.sum()
    deviation = math.sqrt(((values - mean) ** 2 * pixels).sum() / pixels.sum())
    expected.SetStatistics(values.min(), values.max(), mean, deviation)
    assert band.GetMetadata() == expected.GetMetadata()


def test_products_of_a_run_hold_no_column_of_all_segments(tmp_path, data, monkeypatch):
    """Neither of floats nor of integers, with all outputs: rows are read in lots, and found strip by strip."""
    from tiledseg.tiledseg_plugin.engine.products import attributes
    from tiledseg.tiledseg_plugin.engine.stages import numbering

    lengths = []
    remember = attributes.Moments.__init__

    def watched(self, segments, *more):
        lengths.append(segments)
        remember(self, segments, *more)

    monkeypatch.setattr(attributes.Moments, "__init__", watched)
    monkeypatch.setattr(numbering, "STRIP_PIXELS", 1 << 12)
    monkeypatch.setattr(Stored, "__array__", lambda *_: pytest.fail("a column is read as a whole"))
    floats = str(tmp_path / "floats.tif")
    gdal.Translate(floats, str(data / "synthetic_full.tif"), outputType=gdal.GDT_Float32)
    for source in (floats, data / "synthetic_full.tif"):
        products = {"mean_image": str(tmp_path / "m.tif"), "polygons": str(tmp_path / "p.gpkg")}
        _, result = run(source, tmp_path / "o.tif", execution="serial", min_pixels=10, **products)
        assert lengths and max(lengths) < result.segment_count / 3
        lengths.clear()


def test_products_of_existing_segments_hold_no_row_of_all_of_them(tmp_path, monkeypatch):
    """Neither while values are read nor while tables and rasters are written; of ids with gaps, in any order."""
    from tiledseg.tiledseg_plugin.engine.products import attributes, histograms, segment_rows, shape_sums
    from tiledseg.tiledseg_plugin.engine.products.segment_neighbours import NeighboursParameters, segment_neighbours
    from tiledseg.tiledseg_plugin.engine.products.segment_polygons import (
        MeanImageParameters,
        PolygonsParameters,
        segment_mean_image,
        segment_polygons,
    )
    from tiledseg.tiledseg_plugin.engine.products.segment_shape import ShapeParameters, segment_shape
    from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
    from tiledseg.tiledseg_plugin.engine.stages import statistics as survey

    lengths = []
    remember, nothing = attributes.Moments.__init__, shape_sums._nothing

    def watched(self, segments, *more):
        lengths.append(segments)
        remember(self, segments, *more)

    def watched_sums(ids, *more):
        lengths.append(ids.size)
        return nothing(ids, *more)

    monkeypatch.setattr(attributes.Moments, "__init__", watched)
    monkeypatch.setattr(shape_sums, "_nothing", watched_sums)
    monkeypatch.setattr(survey, "BLOCK_PIXELS", 32 * 32)
    monkeypatch.setattr(segment_rows, "SPACING", 2)
    for module in (segment_rows, histograms, shape_sums):
        monkeypatch.setattr(module, "MOST_ROWS", 40)
    for kind in (stored.Stored, stored.Made):
        monkeypatch.setattr(kind, "__array__", lambda *_: pytest.fail("a column is read as a whole"))
    rng = np.random.default_rng(3)
    ids = np.unique(rng.integers(1, 2**32, 500, dtype=np.uint32))[:400]
    rng.shuffle(ids)
    segments = write_raster(tmp_path / "s.tif", np.kron(ids.reshape(20, 20), np.ones((5, 5), np.uint32))[None], 0)
    values = write_raster(tmp_path / "v.tif", rng.integers(0, 99, (2, 100, 100)).astype(np.uint16))
    of, say = {"execution": "serial"}, Feedback()
    wanted = ("mean", "median", "variety", "entropy")
    results = [
        segment_statistics(
            StatisticsParameters(segments, values, str(tmp_path / "o.csv"), statistics=wanted, **of), say
        ),
        segment_mean_image(MeanImageParameters(segments, values, str(tmp_path / "o.tif"), **of), say),
        segment_polygons(PolygonsParameters(segments, str(tmp_path / "o.gpkg"), values, **of), say),
        segment_shape(ShapeParameters(segments, str(tmp_path / "h.csv"), **of), say),
        segment_neighbours(
            NeighboursParameters(segments, str(tmp_path / "p.csv"), str(tmp_path / "n.csv"), values, **of), say
        ),
    ]
    assert [result.segment_count for result in results] == [400] * 5
    assert 40 <= max(lengths) < 400 / 3
    for name in ("o.csv", "h.csv", "n.csv"):
        assert np.loadtxt(tmp_path / name, np.int64, delimiter=",", skiprows=1, usecols=0).tolist() == sorted(
            ids.tolist()
        )


def test_columns_that_some_files_lack_and_columns_made_of_others(tmp_path):
    paths = [str(tmp_path / f"{number}.npy") for number in range(3)]
    for path, rows in zip(paths, ([[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]], [[7.0, 8.0], [9.0, 10.0]])):
        np.save(path, np.array(rows))
    column = Stored(paths, [2, 2, 2], np.float64, [1, None, 0])
    assert np.array_equal(column[:], [3, 4, np.nan, np.nan, 7, 8], equal_nan=True)
    assert np.array_equal(column[np.array([1, 3, 5])], [4, np.nan, 8], equal_nan=True)
    doubled = Made(lambda some, others: some + others, np.float32, column, column)
    assert doubled.size == len(doubled) == 6 and doubled[1:3].dtype == np.float32
    assert np.array_equal(np.asarray(doubled), np.asarray(column) * 2, equal_nan=True)


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">f8", "?", "c16", "S5", "U2", "M8[s]"])
@pytest.mark.parametrize("by_columns", [False, True])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (1, 1), (0, 3), (2, 5), (3, 1, 4), (10**12,), (2**70, 2)])
def test_what_describes_an_array_is_read_as_numpy_reads_it(shape, by_columns, dtype):
    described = {"descr": npy.dtype_to_descr(np.dtype(dtype)), "fortran_order": by_columns, "shape": shape}
    for write in (npy.write_array_header_1_0, npy.write_array_header_2_0):
        write(file := io.BytesIO(), described)
        found = stored_arrays._header(file.getvalue() + bytes(64))
        assert found == (shape, by_columns, np.dtype(dtype), file.tell())


@pytest.mark.parametrize(
    "shape, expected",
    [
        ("(3)", None),
        ("(3,)", (3,)),
        ("( 3,)", (3,)),
        ("(3, 4,)", (3, 4)),
        ("(03,)", None),
        ("(3,,)", None),
        ("3,", None),
    ],
)
def test_a_description_written_otherwise_is_left_to_numpy(shape, expected):
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    head = npy.magic(1, 0) + len(text).to_bytes(2, "little") + text
    if expected is None:
        with pytest.raises(stored_arrays.DAMAGED):
            stored_arrays._header(head)
        return
    assert stored_arrays._header(head) == (expected, False, np.dtype("<f8"), 128)
    with pytest.raises(stored_arrays.DAMAGED):
        stored_arrays._header(head[:90])


@pytest.mark.parametrize("values", [np.arange(12.0).reshape(3, 4), np.arange(6).reshape(2, 3).T, np.zeros((0, 2))])
def test_an_array_in_a_file_is_mapped_as_numpy_maps_it(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    mapped = stored_arrays.map_array(str(tmp_path / "a.npy"))
    assert np.array_equal(mapped, values) and mapped.dtype == values.dtype
    assert mapped.flags.f_contiguous == np.load(tmp_path / "a.npy", mmap_mode="r").flags.f_contiguous
    with pytest.raises(ValueError):
        mapped[:1] = 0
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:100])
    with pytest.raises(stored_arrays.DAMAGED):
        stored_arrays.map_array(str(tmp_path / "a.npy"))
    np.save(tmp_path / "a.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match="no array of numbers"):
        stored_arrays.map_array(str(tmp_path / "a.npy"))


def test_a_column_whose_file_lacks_its_end_is_refused(tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, np.arange(1000))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SegmentationError, match="rows.npy cannot be read .*start the run again"):
        Stored([str(path)], [1000], np.int64)[:10]
    path.unlink()
    with pytest.raises(FileNotFoundError):
        Stored([str(path)], [1000], np.int64)[:10]


@pytest.mark.parametrize(
    "array", [np.arange(6).reshape(2, 3).T, np.empty((0, 5)), np.float32(3), np.array(["a", "bc"])]
)
def test_an_array_is_written_as_numpy_writes_it(array):
    mine, numpys = io.BytesIO(), io.BytesIO()
    stored_arrays.write_array(mine, array)
    np.save(numpys, np.asarray(array, order="C"))
    assert mine.getvalue() == numpys.getvalue()


def test_objects_are_not_written():
    with pytest.raises(ValueError, match="no array of numbers"):
        stored_arrays.write_array(io.BytesIO(), np.array([None]))
