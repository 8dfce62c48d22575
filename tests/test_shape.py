# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:shape`: the engine's table, against the geometries that GEOS makes of the pixels of segments."""

import csv
import math

import numpy as np
import pytest
from osgeo import gdal, ogr
from rasters import GEOTRANSFORM, UTM, Log, leftovers, run, write_raster
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.products import margins
from tiledseg.tiledseg_plugin.engine.products.segment_shape import ShapeParameters, segment_shape
from tiledseg.tiledseg_plugin.engine.products.shape_columns import SHAPE_COLUMNS
from tiledseg.tiledseg_plugin.engine.stages import statistics as survey

GRIDS = {
    "square pixels": (GEOTRANSFORM, UTM),
    "oblong pixels": ((500000.0, 10.0, 0.0, 6000000.0, 0.0, -7.5), UTM),
    "upwards": ((500000.0, 10.0, 0.0, 5900000.0, 0.0, 10.0), UTM),
    "rotated": ((500000.0, 8.0, 6.0, 6000000.0, 6.0, -8.0), UTM),
    "sheared": ((500000.0, 8.0, 3.0, 6000000.0, 1.0, -11.0), UTM),
    "no georeference": (None, None),
}


def shape(segments, output, log=None, **parameters):
    segment_shape(ShapeParameters(str(segments), str(output), **parameters), log or Log())
    with open(output, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return {name: np.array([float(v) if v else np.nan for v in column]) for name, *column in zip(*rows)}


def patches(shape=(40, 46), seed=3, colours=4, fine=3):
    """Segments that are 4-connected, and many of them with holes that meet at corners."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, colours, tuple(-(-side // fine) for side in shape))
    values = np.kron(coarse, np.ones((fine, fine), int))[: shape[0], : shape[1]]
    speckled = np.where(rng.random(shape) < 0.08, rng.integers(0, colours, shape), values)
    labels = np.zeros(shape, np.uint32)
    for colour in range(colours):
        mask, _ = plain.clump((speckled == colour).astype(np.uint16))
        labels[mask > 0] = mask[mask > 0] + labels.max()
    labels[:4, :9] = 0
    return labels


def polygons_of(ids, transform):
    """{id: ogr.Geometry}: the pixels of each segment as squares, united by GEOS."""
    found = {}
    for label in np.unique(ids[ids != 0]):
        union = ogr.Geometry(ogr.wkbMultiPolygon)
        for row, col in zip(*np.nonzero(ids == label)):
            ring = ogr.Geometry(ogr.wkbLinearRing)
            for c, r in ((col, row), (col + 1, row), (col + 1, row + 1), (col, row + 1), (col, row)):
                ring.AddPoint_2D(*gdal.ApplyGeoTransform(transform, float(c), float(r)))
            polygon = ogr.Geometry(ogr.wkbPolygon)
            polygon.AddGeometry(ring)
            union.AddGeometry(polygon)
        found[int(label)] = union.UnionCascaded()
    return found


def parts_of(geometry):
    several = geometry.GetGeometryType() == ogr.wkbMultiPolygon
    return [geometry.GetGeometryRef(i) for i in range(geometry.GetGeometryCount())] if several else [geometry]


def check_against_geos(found, ids, transform):
    polygons = polygons_of(ids, transform)
    assert list(polygons) == found["segment"].tolist()
    for place, (label, polygon) in enumerate(polygons.items()):
        row = {name: values[place] for name, values in found.items()}
        parts = parts_of(polygon)
        area, perimeter = polygon.GetArea(), polygon.Boundary().Length()
        least_x, most_x, least_y, most_y = polygon.GetEnvelope()
        centroid = polygon.Centroid()
        expected = {
            "pixels": np.count_nonzero(ids == label),
            "area": area,
            "perimeter": perimeter,
            "compactness": 4 * math.pi * area / perimeter**2,
            "shape_index": perimeter / 4 / math.sqrt(area),
            "parts": len(parts),
            "hole_count": sum(part.GetGeometryCount() - 1 for part in parts),
            "x": centroid.GetX(),
            "y": centroid.GetY(),
            **{"min_x": least_x, "max_x": most_x, "min_y": least_y, "max_y": most_y},
        }
        if area > 1:
            expected["fractal_dimension"] = 2 * math.log(perimeter / 4) / math.log(area)
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, rel=1e-9, abs=1e-9), (label, name)
        point = ogr.Geometry(ogr.wkbPoint)
        point.AddPoint_2D(row["x_inside"], row["y_inside"])
        assert polygon.Contains(point), label


@pytest.fixture
def small_windows(monkeypatch):
    """Windows that most segments cross."""
    monkeypatch.setattr(survey, "BLOCK_PIXELS", 16 * 16)


def as_tiles(path, ids, **more):
    """A raster whose windows are squares, as its file is of tiles."""
    return write_raster(path, ids[None], options=["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16"], **more)


@pytest.mark.parametrize("grid", GRIDS)
def test_shapes_are_those_of_the_polygons(tmp_path, small_windows, grid):
    transform, crs = GRIDS[grid]
    ids = patches()
    path = as_tiles(tmp_path / "s.tif", ids, geotransform=transform, crs=crs)
    found = shape(path, tmp_path / "o.csv", execution="serial")
    check_against_geos(found, ids, transform or (0.0, 1.0, 0.0, 0.0, 0.0, -1.0))
    assert not found["on_ellipsoid"].any()


def test_segments_in_several_parts_are_one_with_all_their_holes(tmp_path, small_windows):
    """Classes rather than segments: parts, and parts that meet at corners, some of them with holes."""
    ids = np.random.default_rng(5).choice(4, (40, 36), p=[0.1, 0.15, 0.2, 0.55]).astype(np.uint32)
    found = shape(as_tiles(tmp_path / "s.tif", ids), tmp_path / "o.csv", execution="serial")
    assert found["parts"].min() > 20 and found["hole_count"].max() > 20
    check_against_geos(found, ids, GEOTRANSFORM)


@pytest.mark.parametrize("pattern", ["ring", "two holes at a corner", "hole at the outside", "spiral", "one", "comb"])
def test_holes_are_rings_of_the_polygon(tmp_path, small_windows, pattern):
    drawn = {
        "ring": ["111", "101", "111"],
        "two holes at a corner": ["1111", "1011", "1101", "1111"],
        "hole at the outside": ["0111", "1011", "1111"],
        "spiral": ["11111", "10001", "10101", "11101"],
        "one": ["1"],
        "comb": ["10101", "11111", "10101"],
    }[pattern]
    ids = np.array([list(row) for row in drawn], np.uint32)
    found = shape(write_raster(tmp_path / "s.tif", ids[None]), tmp_path / "o.csv", execution="serial")
    check_against_geos(found, ids, GEOTRANSFORM)


def second_moments(mask, transform):
    """Of the area of pixels, about its centroid in map coordinates: their mean products of deviations, by pixel."""
    row, col = np.nonzero(mask)
    x, y = (transform[at] + transform[at + 1] * (col + 0.5) + transform[at + 2] * (row + 0.5) for at in (0, 3))
    steps = np.array([transform[1:3], transform[4:6]])
    return np.cov(np.stack([x, y]), bias=True) + steps @ steps.T / 12


@pytest.mark.parametrize("grid", ["square pixels", "oblong pixels", "sheared"])
def test_elongation_and_orientation_are_those_of_the_principal_axes(tmp_path, small_windows, grid):
    transform, crs = GRIDS[grid]
    ids = patches(seed=8)
    path = as_tiles(tmp_path / "s.tif", ids, geotransform=transform, crs=crs)
    found = shape(path, tmp_path / "o.csv", execution="serial")
    for place, label in enumerate(found["segment"]):
        values, axes = np.linalg.eigh(second_moments(ids == label, transform))
        assert found["elongation"][place] == pytest.approx(math.sqrt(values[1] / values[0]), rel=1e-9)
        if values[1] > values[0] * (1 + 1e-9):
            bearing = math.degrees(math.atan2(axes[0, 1], axes[1, 1])) % 180
            off = abs(found["orientation"][place] - bearing)
            assert min(off, 180 - off) < 1e-6 and 0 <= found["orientation"][place] < 180
        else:
            assert math.isnan(found["orientation"][place])


def test_lines_point_where_they_lie_and_a_square_points_nowhere(tmp_path):
    ids = np.zeros((9, 9), np.uint32)
    ids[0, 1:9], ids[1:9, 0], ids[7:9, 7:9] = 1, 2, 3
    ids[np.arange(2, 6), np.arange(2, 6)] = 4  # from upper left to lower right
    ids[np.arange(2, 6), 8 - np.arange(2, 6)] = 5
    found = shape(write_raster(tmp_path / "s.tif", ids[None]), tmp_path / "o.csv", execution="serial")
    np.testing.assert_allclose(found["orientation"], [90, 0, np.nan, 135, 45], atol=1e-9)
    np.testing.assert_allclose(found["elongation"][:3], [8, 8, 1])


def test_the_point_inside_is_the_pixel_nearest_to_the_centroid_and_the_first_of_several(tmp_path, small_windows):
    ids = patches()
    ids[20:29, 29:38] = 9999  # a ring has its centroid outside of it, as far from four pixels,
    ids[21:28, 30:37] = 9998  # and the first of them is not in the first window here
    found = shape(as_tiles(tmp_path / "s.tif", ids), tmp_path / "o.csv", execution="serial")
    left, step, _, top, _, down = GEOTRANSFORM
    for place, label in enumerate(found["segment"]):
        row, col = np.nonzero(ids == label)
        nearest = np.argmin((row - row.mean()) ** 2 + (col - col.mean()) ** 2)
        assert found["x_inside"][place] == left + step * (col[nearest] + 0.5)
        assert found["y_inside"][place] == top + down * (row[nearest] + 0.5)
        assert ids[row[nearest], col[nearest]] == label


def test_what_touches_the_edge_or_no_data_with_a_side_is_on_the_edge(tmp_path, small_windows):
    ids = patches()
    found = shape(as_tiles(tmp_path / "s.tif", ids), tmp_path / "o.csv", execution="serial")
    around = np.pad(ids, 1)
    outside = around == 0
    beside = outside[:-2, 1:-1] | outside[2:, 1:-1] | outside[1:-1, :-2] | outside[1:-1, 2:]
    expected = np.isin(found["segment"], np.unique(ids[beside & (ids != 0)]))
    assert np.array_equal(found["on_edge"], expected) and 0 < expected.sum() < expected.size


@pytest.mark.parametrize(
    "file,bands", [("sen2_20210527_aber_10band.tif", (8, 9, 3)), ("naip_maryland_4band_uint8.tif", ())]
)
def test_shapes_of_real_rasters_are_those_of_their_polygons(shared, tmp_path, file, bands):
    path = tmp_path / "part.tif"
    gdal.Translate(str(path), str(shared / "data" / file), srcWin=[100, 100, 300, 260])
    run(path, tmp_path / "s.img", bands=bands, min_pixels=40)
    found = shape(tmp_path / "s.img", tmp_path / "o.csv")
    source = gdal.Open(str(tmp_path / "s.img"))
    dataset = ogr.GetDriverByName("Memory").CreateDataSource("")
    layer = dataset.CreateLayer("", None, ogr.wkbPolygon)
    layer.CreateField(ogr.FieldDefn("id", ogr.OFTInteger64))
    gdal.Polygonize(source.GetRasterBand(1), None, layer, 0)
    polygons = {feature["id"]: feature.GetGeometryRef().Buffer(0) for feature in layer if feature["id"]}
    assert sorted(polygons) == found["segment"].tolist()
    for place, label in enumerate(found["segment"]):
        polygon = polygons[label]
        assert found["area"][place] == pytest.approx(polygon.GetArea(), rel=1e-9)
        assert found["perimeter"][place] == pytest.approx(polygon.Boundary().Length(), rel=1e-9)
        assert found["hole_count"][place] == polygon.GetGeometryCount() - 1
        assert found["x"][place] == pytest.approx(polygon.Centroid().GetX(), rel=1e-9)
        assert found["y"][place] == pytest.approx(polygon.Centroid().GetY(), rel=1e-9)
        assert [found[name][place] for name in ("min_x", "max_x", "min_y", "max_y")] == pytest.approx(
            polygon.GetEnvelope(), rel=1e-9
        )


@pytest.mark.parametrize("grid", ["square pixels", "rotated"])
def test_shapes_do_not_depend_on_windows_workers_execution_or_kernels(tmp_path, monkeypatch, grid):
    transform, crs = GRIDS[grid]
    ids = np.random.default_rng(2).integers(0, 5, (70, 81)).astype(np.uint32)
    ids[:35] = patches((35, 81))
    path = as_tiles(tmp_path / "s.tif", ids, geotransform=transform, crs=crs)
    first = (tmp_path / "0.csv").read_bytes() if shape(path, tmp_path / "0.csv", execution="serial") else b""
    runs = [(16 * 16, {"workers": 4}), (48 * 48, {"kernels": "plain"}), (32 * 32, {"execution": "processes"})]
    for pixels, more in runs if grid == "rotated" else runs[:2]:
        monkeypatch.setattr(survey, "BLOCK_PIXELS", pixels)
        shape(path, tmp_path / "1.csv", **more)
        assert (tmp_path / "1.csv").read_bytes() == first, (pixels, more)
    strips = write_raster(tmp_path / "strips.tif", ids[None], geotransform=transform, crs=crs)
    monkeypatch.setattr(survey, "BLOCK_PIXELS", 81 * 3)
    monkeypatch.setattr(margins, "MOST_PIXELS", 60)  # windows are cut
    shape(strips, tmp_path / "2.csv", execution="serial")
    assert (tmp_path / "2.csv").read_bytes() == first


def test_a_raster_without_segments_is_refused_and_nothing_is_left(tmp_path):
    path = write_raster(tmp_path / "s.tif", np.zeros((1, 5, 5), np.uint8))
    with pytest.raises(SegmentationError, match="holds no segment"):
        shape(path, tmp_path / "o.csv")
    assert not leftovers(tmp_path, {"s.tif"})


def test_columns_are_documented(tmp_path):
    found = shape(write_raster(tmp_path / "s.tif", np.ones((1, 3, 3), np.uint8)), tmp_path / "o.csv")
    assert list(found) == ["segment", *SHAPE_COLUMNS]
