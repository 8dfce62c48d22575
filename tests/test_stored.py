# SPDX-License-Identifier: GPL-2.0-or-later
"""Columns that lie in files: rows are read as from an array, statistics are those of all rows at once."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from osgeo import gdal
from rasters import run
from tiledseg.tiledseg_plugin.engine.files import outputs, stored
from tiledseg.tiledseg_plugin.engine.files.stored import Stored


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
