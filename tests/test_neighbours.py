# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:neighbours`: the engine's tables, against neighbours found pixel side by pixel side."""

import csv
import math
from collections import defaultdict

import numpy as np
import pytest
from osgeo import gdal, ogr
from rasters import GEOTRANSFORM, Log, leftovers, run, write_raster
from test_attributes import table_of
from test_shape import GRIDS, as_tiles, patches, shape
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.products import neighbour_pairs
from tiledseg.tiledseg_plugin.engine.products.segment_neighbours import NeighboursParameters, segment_neighbours
from tiledseg.tiledseg_plugin.engine.stages import statistics as survey


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return {name: np.array([float(v) if v else np.nan for v in column]) for name, *column in zip(*rows)}


def neighbours(segments, folder, log=None, **parameters):
    """The table of pairs, that of segments, and what the engine returns."""
    paths = str(folder / "pairs.csv"), str(folder / "segments.csv")
    parameters = {"execution": "serial", **parameters}
    result = segment_neighbours(NeighboursParameters(str(segments), *paths, **parameters), log or Log())
    pairs, summary = map(table, paths)
    assert 2 * result.pair_count == pairs["segment"].size and result.segment_count == summary["segment"].size
    return pairs, summary


def borders_of(ids, transform):
    """{segment: {neighbour, 0 for no data: length}}, side by side."""
    across, down = math.hypot(transform[1], transform[4]), math.hypot(transform[2], transform[5])
    around = np.pad(ids, 1).astype(np.int64)
    found = defaultdict(lambda: defaultdict(float))
    for one, other, length in ((around[:-1], around[1:], across), (around[:, :-1], around[:, 1:], down)):
        for a, b in zip(one[one != other].tolist(), other[one != other].tolist()):
            found[a][b] += length
            found[b][a] += length
    del found[0]
    return found


@pytest.fixture
def small_windows(monkeypatch):
    """Windows that most segments cross, and ranges of a few segments."""
    monkeypatch.setattr(survey, "BLOCK_PIXELS", 16 * 16)
    monkeypatch.setattr(neighbour_pairs, "MOST_PAIRS", 50)


@pytest.mark.parametrize("grid", ["square pixels", "sheared", "no georeference"])
def test_pairs_and_their_borders(tmp_path, small_windows, grid):
    transform, crs = GRIDS[grid]
    ids = patches()
    raster = as_tiles(tmp_path / "s.tif", ids, geotransform=transform, crs=crs)
    pairs, summary = neighbours(raster, tmp_path)
    expected = borders_of(ids, transform or (0, 1, 0, 0, 0, -1))
    listed = [(a, b) for a in sorted(expected) for b in sorted(expected[a]) if b]
    assert list(zip(pairs["segment"], pairs["neighbour"])) == listed
    np.testing.assert_allclose(pairs["border_length"], [expected[a][b] for a, b in listed], rtol=1e-12)
    assert summary["segment"].tolist() == sorted(expected)
    assert summary["neighbours"].tolist() == [len([b for b in expected[a] if b]) for a in sorted(expected)]
    np.testing.assert_allclose(summary["border_nodata"], [expected[a][0] for a in sorted(expected)], rtol=1e-12)


@pytest.mark.parametrize("grid", [*GRIDS, "degrees", "rotated degrees"])
def test_lengths_of_pairs_and_of_the_outer_border_are_the_perimeter(tmp_path, small_windows, grid):
    more = {
        "degrees": ((-3.0, 0.01, 0, 71.3, 0, -0.02), "EPSG:4326"),
        "rotated degrees": ((5.0, 0.03, 0.01, 61.0, 0.02, -0.04), "EPSG:4326"),
    }
    transform, crs = {**GRIDS, **more}[grid]
    raster = as_tiles(tmp_path / "s.tif", patches(seed=11), geotransform=transform, crs=crs)
    pairs, summary = neighbours(raster, tmp_path)
    of_shape = shape(raster, tmp_path / "o.csv", execution="serial")
    assert np.array_equal(summary["perimeter"], of_shape["perimeter"])
    place = np.searchsorted(summary["segment"], pairs["segment"])
    total = np.bincount(place, pairs["border_length"], minlength=summary["segment"].size)
    np.testing.assert_allclose(total + summary["border_nodata"], summary["perimeter"], rtol=1e-12)
    assert np.array_equal(summary["border_nodata"] > 0, of_shape["on_edge"] == 1)


def test_differences_of_means_to_the_neighbours(tmp_path, small_windows):
    ids = patches(seed=4)
    values = np.random.default_rng(3).integers(1, 900, (2, *ids.shape)).astype(np.int16)
    values[0][np.isin(ids, (3, 5, 8))] = -1  # segments without a value
    raster = as_tiles(tmp_path / "s.tif", ids)
    pairs, summary = neighbours(raster, tmp_path, values=write_raster(tmp_path / "v.tif", values, nodata=-1))
    every = summary["segment"]
    for number, band in enumerate(values.astype(float), 1):
        band[band == -1] = np.nan
        mean = {
            label: np.mean(band[ids == label]) if label not in (3, 5, 8) or number == 2 else np.nan for label in every
        }
        signed = np.array([mean[a] - mean[b] for a, b in zip(pairs["segment"], pairs["neighbour"])])
        np.testing.assert_allclose(pairs[f"difference_{number}"], signed, rtol=1e-12, atol=1e-9)
        for place, label in enumerate(every):
            own = np.abs(signed[pairs["segment"] == label])
            own = own[~np.isnan(own)]
            expected = (own.mean(), own.max()) if own.size else (np.nan, np.nan)
            found = [summary[f"{name}_difference_{number}"][place] for name in ("mean", "greatest")]
            np.testing.assert_allclose(found, expected, rtol=1e-12)


def with_column(path, name, kind, values):
    """Give the raster a table with a column, row n for segment n."""
    dataset = gdal.Open(path, gdal.GA_Update)
    rat = gdal.RasterAttributeTable()
    rat.CreateColumn(name, kind, gdal.GFU_Generic)
    rat.SetRowCount(len(values))
    for row, value in enumerate(values):
        (rat.SetValueAsString if kind == gdal.GFT_String else rat.SetValueAsInt)(row, 0, value)
    dataset.GetRasterBand(1).SetDefaultRAT(rat)
    dataset.FlushCache()


@pytest.mark.parametrize("texts", [True, False])
def test_shares_of_the_border_with_each_class(tmp_path, small_windows, texts):
    ids = patches(seed=6)
    raster = as_tiles(tmp_path / "s.tif", ids)
    classes = [("", "wood", "lake", "Wood")[label % 4] if texts else label % 3 for label in range(ids.max() + 1)]
    with_column(raster, "cover", gdal.GFT_String if texts else gdal.GFT_Integer, classes)
    _, summary = neighbours(raster, tmp_path, classes="Cover")
    names = {"Wood": "share_Wood", "lake": "share_lake", "wood": "share_wood_2"} if texts else {}
    names = names or {number: f"share_{number}" for number in range(3)}
    assert [name for name in summary if name.startswith("share_")] == list(names.values())
    for place, (label, borders) in enumerate(sorted(borders_of(ids, GEOTRANSFORM).items())):
        assert summary["segment"][place] == label
        for wanted, name in names.items():
            length = sum(length for other, length in borders.items() if other and classes[other] == wanted)
            assert summary[name][place] == pytest.approx(length / summary["perimeter"][place], abs=1e-12)


def test_neighbours_do_not_depend_on_windows_ranges_workers_or_kernels(tmp_path, monkeypatch):
    ids = np.random.default_rng(2).integers(0, 5, (70, 81)).astype(np.uint32)
    ids[:35] = patches((35, 81))
    values = np.random.default_rng(3).integers(0, 60000, (1, 70, 81)).astype(np.uint16)  # whose sums are exact
    place = {"geotransform": (5.0, 0.03, 0, 61.0, 0, -0.04), "crs": "EPSG:4326"}
    raster = as_tiles(tmp_path / "s.tif", ids, **place)
    with_column(raster, "class", gdal.GFT_Integer, [label % 3 for label in range(ids.max() + 1)])
    given = {"classes": "class", "values": write_raster(tmp_path / "v.tif", values, **place)}
    first = None
    for pixels, most, more in (
        (1 << 20, 1 << 20, {}),
        (16 * 16, 7, {"execution": "threads", "workers": 4}),
        (48 * 48, 1000, {"kernels": "plain"}),
        (32 * 32, 100, {"execution": "processes"}),
    ):
        monkeypatch.setattr(survey, "BLOCK_PIXELS", pixels)
        monkeypatch.setattr(neighbour_pairs, "MOST_PAIRS", most)
        neighbours(raster, tmp_path, **{**given, **more})
        found = [(tmp_path / name).read_bytes() for name in ("pairs.csv", "segments.csv")]
        first = first or found
        assert found == first, (pixels, more)


def test_the_attribute_table_gets_the_columns_of_segments_and_geopackages_have_both_tables(tmp_path):
    scene = np.kron(np.random.default_rng(1).integers(10, 250, (3, 9, 9)), np.ones((10, 10), int)).astype(np.uint8)
    source = write_raster(tmp_path / "in.tif", scene)
    run(source, tmp_path / "s.tif", min_pixels=20)
    outputs = str(tmp_path / "pairs.gpkg"), str(tmp_path / "segments.gpkg")
    parameters = NeighboursParameters(str(tmp_path / "s.tif"), *outputs, values=source, update_rat=True)
    result = segment_neighbours(parameters, Log())
    pairs, summary = map(ogr.Open, outputs)
    assert pairs.GetLayer(0).GetFeatureCount() == 2 * result.pair_count > 0
    rows = [feature.items() for feature in summary.GetLayer(0)]
    columns, _ = table_of(tmp_path / "s.tif")
    for name in ("neighbours", "perimeter", "greatest_difference_3"):
        assert columns[name][1:].tolist() == [row[name] for row in rows]


@pytest.mark.parametrize(
    "classes, message",
    [
        ("none", r"CLASSES is 'none', and the attribute table of .* has no such column: choose one of cover"),
        ("half", r"CLASSES half holds 0\.5: classes are whole numbers or texts"),
        ("many", r"CLASSES many has 300 different values, and at most 256"),
    ],
)
def test_columns_that_are_no_classes_are_refused_and_nothing_is_left(tmp_path, classes, message):
    raster = write_raster(tmp_path / "s.tif", np.arange(1, 301, dtype=np.uint16).reshape(1, 15, 20))
    dataset = gdal.Open(raster, gdal.GA_Update)
    rat = gdal.RasterAttributeTable()
    for index, (name, kind) in enumerate(
        (("cover", gdal.GFT_Integer), ("half", gdal.GFT_Real), ("many", gdal.GFT_Integer))
    ):
        rat.CreateColumn(name, kind, gdal.GFU_Generic)
        for row in range(301):
            rat.SetValueAsDouble(row, index, (0, row / 2, row)[index])
    dataset.GetRasterBand(1).SetDefaultRAT(rat)
    del dataset
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(SegmentationError, match=message):
        neighbours(raster, tmp_path, classes=classes)
    assert not leftovers(tmp_path, before)
