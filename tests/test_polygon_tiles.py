# SPDX-License-Identifier: GPL-2.0-or-later
"""Polygons as tiles: in another coordinate system, over rotated rasters, and wrong ones."""

import itertools
import math

import numpy as np
import pytest
from osgeo import gdal, ogr, osr
from rasters import GEOTRANSFORM, UTM, write_raster
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files.georeference import IDENTITY, polygon_of_windows
from tiledseg.tiledseg_plugin.engine.files.window import Window
from tiledseg.tiledseg_plugin.engine.stages.polygon_tiles import polygons_in_pixels, rectangles_of

TURN = math.radians(25)
ROTATED = (
    500000.0,
    10 * math.cos(TURN),
    10 * math.sin(TURN),
    6000000.0,
    10 * math.sin(TURN),
    -10 * math.cos(TURN),
)
GEOTRANSFORMS = {
    "north up": GEOTRANSFORM,
    "south up": (500000.0, 10.0, 0.0, 6000000.0, 0.0, 10.0),
    "rotated": ROTATED,
    "sheared": (0.0, 0.5, 0.1, 0.0, 0.0, -0.7),
    "sheared downwards": (0.0, 0.5, 0.0, 0.0, -0.2, -0.7),
    "degrees": (-3.0, 1 / 3600, 0.0, 54.0, 0.0, -1 / 3600),
    "none": None,
}


def raster(path, geotransform=GEOTRANSFORM, crs=UTM, width=120, height=90):
    return write_raster(path, np.ones((1, height, width), np.uint8), geotransform=geotransform, crs=crs)


def wkt(crs):
    reference = osr.SpatialReference()
    reference.SetFromUserInput(crs)
    return reference.ExportToWkt()


def wkb(text):
    return bytes(ogr.CreateGeometryFromWkt(text).ExportToWkb())


def box(left, bottom, right, top):
    return wkb(f"POLYGON(({left} {bottom},{right} {bottom},{right} {top},{left} {top},{left} {bottom}))")


@pytest.mark.parametrize("name", GEOTRANSFORMS)
def test_outlines_of_windows_are_those_windows(tmp_path, name):
    path = raster(tmp_path / "a.tif", GEOTRANSFORMS[name], "EPSG:4326" if name == "degrees" else UTM)
    windows = (Window(0, 0, 17, 33), Window(17, 0, 103, 90), Window(3, 70, 1, 1), Window(119, 89, 1, 1))
    transform = GEOTRANSFORMS[name] or (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    polygons = [polygon_of_windows([window], transform) for window in windows]
    assert rectangles_of(path, polygons, "") == windows


def test_outline_of_pieces_is_one_polygon_or_several(tmp_path):
    shape = ogr.CreateGeometryFromWkb(polygon_of_windows([Window(0, 0, 4, 2), Window(0, 2, 2, 2)], GEOTRANSFORM))
    assert shape.GetGeometryName() == "POLYGON" and shape.Area() == 12 * 100
    shape = ogr.CreateGeometryFromWkb(polygon_of_windows([Window(0, 0, 1, 1), Window(1, 1, 1, 1)], ROTATED))
    assert shape.GetGeometryName() == "MULTIPOLYGON" and shape.Area() == pytest.approx(200)


def test_edges_go_to_the_nearest_edge_of_a_pixel(tmp_path):
    path = raster(tmp_path / "a.tif")
    left, top = GEOTRANSFORM[0], GEOTRANSFORM[3]
    near = box(left + 104, top - 296, left + 496, top - 104)
    assert rectangles_of(path, [near], "") == (Window(10, 10, 40, 20),)
    halves = [box(left, top - 900, left + 155.0, top), box(left + 155.0 + 1e-9, top - 900, left + 1200, top)]
    one, other = rectangles_of(path, halves, "")
    assert one.right == other.col


def test_parts_outside_the_raster_are_cut_off_and_polygons_off_it_left_out(tmp_path):
    path = raster(tmp_path / "a.tif")
    left, top = GEOTRANSFORM[0], GEOTRANSFORM[3]
    polygons = [
        box(left - 5000, top - 300, left - 4000, top),
        box(left - 5000, top - 300, left + 100, top + 5000),
        box(left + 300, top - 303, left + 301, top - 100),  # thinner than half a pixel
        box(left + 1000, top - 99999, left + 99999, top - 500),
    ]
    assert rectangles_of(path, polygons, wkt(UTM)) == (Window(0, 0, 10, 30), Window(100, 50, 20, 40))


def test_a_polygon_counts_with_its_extent(tmp_path):
    path = raster(tmp_path / "a.tif")
    left, top = GEOTRANSFORM[0], GEOTRANSFORM[3]
    triangle = wkb(f"POLYGON(({left + 100} {top - 100},{left + 500} {top - 100},{left + 100} {top - 400},"
                   f"{left + 100} {top - 100}))")  # fmt: skip
    assert rectangles_of(path, [triangle], "") == (Window(10, 10, 40, 30),)


@pytest.mark.parametrize("geotransform", ["north up", "rotated"])
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3035", "EPSG:27700"])
def test_reprojected_extents_hold_every_point_of_the_polygon(tmp_path, geotransform, crs):
    transform = GEOTRANSFORMS[geotransform]
    big = (transform[0], *(200 * value for value in transform[1:3]), transform[3], *(200 * v for v in transform[4:]))
    path = raster(tmp_path / "a.tif", big)  # 240 km wide: straight edges are bent by tens of pixels
    forward = osr.CoordinateTransformation(reference(UTM), reference(crs))
    x, y, _ = forward.TransformPoint(*gdal.ApplyGeoTransform(big, 50, 40))
    size = 1.0 if crs == "EPSG:4326" else 70000
    polygon = box(x - size / 2, y - size / 3, x + size / 2, y + size / 3)
    (found,) = rectangles_of(path, [polygon], wkt(crs))

    steps = np.linspace(0, 1, 4001)
    edges = [(x - size / 2 + size * s, y + side * size / 3) for s in steps for side in (-1, 1)]
    edges += [(x + side * size / 2, y - size / 3 + 2 * size / 3 * s) for s in steps for side in (-1, 1)]
    backward = osr.CoordinateTransformation(reference(crs), reference(UTM))
    inverse = gdal.InvGeoTransform(big)
    pixels = np.array([gdal.ApplyGeoTransform(inverse, *point[:2]) for point in backward.TransformPoints(edges)])
    low, high = np.floor(pixels.min(axis=0) + 0.5), np.floor(pixels.max(axis=0) + 0.5)
    expected = Window(*low, *(high - low)).intersection(Window(0, 0, 120, 90))
    assert found == expected


def reference(crs):
    found = osr.SpatialReference()
    found.SetFromUserInput(crs)
    found.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return found


def test_a_world_of_tiles_finds_those_over_the_raster(tmp_path):
    path = raster(tmp_path / "a.tif")
    world = [box(west, south, west + 10, south + 10) for south in range(-90, 90, 10) for west in range(-180, 180, 10)]
    assert rectangles_of(path, world, wkt("EPSG:4326")) == (Window(0, 0, 120, 90),)
    assert rectangles_of(path, [box(-180, -90, 180, 90)], wkt("EPSG:4326")) == (Window(0, 0, 120, 90),)


@pytest.mark.parametrize("crs, raster_crs", [("", UTM), (UTM, None)])
def test_where_a_coordinate_system_is_unknown_coordinates_are_taken_as_they_are(tmp_path, crs, raster_crs):
    path = raster(tmp_path / "a.tif", crs=raster_crs)
    polygon = polygon_of_windows([Window(5, 5, 20, 20)], GEOTRANSFORM)
    assert rectangles_of(path, [polygon], wkt(crs) if crs else "") == (Window(5, 5, 20, 20),)


@pytest.mark.parametrize(
    "polygons, message",
    [
        ([], "has no polygons"),
        ([box(0, 0, 10, 10)], "None of the 1 polygons of TILES lies over"),
        (
            [wkb("POLYGON((500000 5999900,500100 6000000,500100 5999900,500000 6000000,500000 5999900))")],
            "is not valid",
        ),
        ([wkb("POLYGON EMPTY")], "Polygon 1 of TILES has no geometry"),
        ([b""], "Polygon 1 of TILES has no geometry"),
        ([b"not a geometry"], "Polygon 1 of TILES has no geometry"),
        ([wkb("LINESTRING(500000 5999900,500100 6000000)")], "has a linestring where polygons are needed"),
        ([polygon_of_windows([Window(0, 0, 5, 5)], (math.nan, *GEOTRANSFORM[1:]))], "Polygon 1 of TILES is not valid"),
    ],
)
def test_wrong_schemes_get_a_sentence(tmp_path, polygons, message, capfd):
    path = raster(tmp_path / "a.tif")
    with pytest.raises(SegmentationError, match=message) as error:
        rectangles_of(path, polygons, wkt(UTM))
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("order", list(itertools.permutations((gdal, ogr, osr))))
def test_exceptions_stay_as_other_plugins_set_them(tmp_path, order):
    path = raster(tmp_path / "a.tif")
    for module in order:
        module.UseExceptions()
    try:
        with pytest.raises(SegmentationError, match="has no geometry"):
            rectangles_of(path, [b"not a geometry"], wkt(UTM))
        assert all(module.GetUseExceptions() for module in order)
    finally:
        for module in reversed(order):
            module.DontUseExceptions()


TRANSFORM_33N = (500000.0, 10.0, 0.0, 6000000.0, 0.0, -10.0)  # 15 degrees east, 54 north
POLAR = "+proj=gnom +lat_0=90 +lon_0=0 +R=6371000 +units=m"  # has no coordinates south of the equator


def in_degrees(pixels, transform=TRANSFORM_33N, crs="EPSG:32633"):
    """Longitudes and latitudes of columns and rows."""
    forward = osr.CoordinateTransformation(reference(crs), reference("EPSG:4326"))
    return [forward.TransformPoint(*gdal.ApplyGeoTransform(list(transform), *pixel))[:2] for pixel in pixels]


def ring(points):
    return wkb(f"POLYGON(({','.join(f'{x!r} {y!r}' for x, y in [*points, points[0]])}))")


@pytest.mark.parametrize("col, row", [(0, 0), (110, 0), (0, 80), (110, 80)])
def test_a_small_polygon_in_a_corner_is_found_in_another_coordinate_system(tmp_path, col, row):
    path = raster(tmp_path / "a.tif", TRANSFORM_33N, "EPSG:32633")
    corners = in_degrees([(col, row), (col + 10, row), (col + 10, row + 10), (col, row + 10)])
    assert rectangles_of(path, [ring(corners)], wkt("EPSG:4326")) == (Window(col, row, 10, 10),)


@pytest.mark.parametrize("times, columns", [(4.6, 115), (5.4, 10)])
def test_what_lies_further_off_than_five_times_the_raster_does_not_count_for_an_extent(tmp_path, times, columns):
    """An L, whose foot lies so far below the raster, and is as wide as it."""
    path = raster(tmp_path / "a.tif", TRANSFORM_33N, "EPSG:32633")
    (left, top), (right, bottom) = in_degrees([(5, 10), (15, 91)])
    outline = in_degrees([(-1, -1), (121, -1), (121, 91), (-1, 91)])
    span = max(max(values) - min(values) for values in zip(*outline))
    foot, east = min(y for _, y in outline) - times * span, max(x for x, _ in outline)
    corners = [
        (left, top),
        (right, top),
        (right, foot),
        (east, foot),
        (east, foot - span / 10),
        (left, foot - span / 10),
    ]
    (found,) = rectangles_of(path, [ring(corners)], wkt("EPSG:4326"))
    assert (found.col, found.width, found.bottom) == (5, columns, 90)


def test_where_a_coordinate_system_ends_the_part_near_the_raster_counts(tmp_path):
    size = 100_000.0
    transform = (0.0, size, 0.0, -8_000_000.0, 0.0, -size)  # 120 x 90 pixels: from 38 to 15 degrees north
    path = raster(tmp_path / "a.tif", transform, POLAR)
    corners = [(10, 30), (20, 30), (20, -60), (10, -60)]
    (found,) = rectangles_of(path, [ring(corners)], wkt("EPSG:4326"))
    assert found.bottom == 90 and 15 < found.col < 25 and found.row > 20
    with pytest.raises(SegmentationError, match="The raster cannot be reprojected to the coordinate system of TILES"):
        world = raster(tmp_path / "b.tif", (-180.0, 3.0, 0.0, 90.0, 0.0, -2.0), "EPSG:4326")
        rectangles_of(world, [box(-1e6, -1e6, 1e6, 1e6)], wkt(POLAR))


def test_a_millionth_of_a_pixel_is_noise(tmp_path):
    path = raster(tmp_path / "a.tif")
    left, top = GEOTRANSFORM[0], GEOTRANSFORM[3]
    for edge, column in ((10.4999998, 11), (10.499996, 10), (10.5, 11)):
        assert rectangles_of(path, [box(left + 10 * edge, top - 100, left + 300, top)], "")[0].col == column


def test_a_straight_edge_that_is_bent_by_the_projection_counts_where_it_bends(tmp_path):
    """A parallel is lowest at the central meridian, kilometres below where the ends of the edge are."""
    path, pixel = str(tmp_path / "a.tif"), 2.0
    transform = (380_000.0, pixel, 0.0, 5_974_000.0, 0.0, -pixel)
    dataset = gdal.GetDriverByName("GTiff").Create(path, 120_000, 1500, 1, gdal.GDT_Byte, ["SPARSE_OK=YES"])
    dataset.SetGeoTransform(transform)
    dataset.SetProjection(wkt("EPSG:32633"))
    dataset = None
    forward = osr.CoordinateTransformation(reference("EPSG:4326"), reference("EPSG:32633"))
    _, lowest, _ = forward.TransformPoint(15.0, 53.9)
    row = math.floor((transform[3] - lowest) / pixel + 0.5)
    assert 100 < row < 1400
    (found,) = rectangles_of(path, [box(12.31, 53.9, 17.87, 54.7)], wkt("EPSG:4326"))
    assert found == Window(0, 0, 120_000, row)


@pytest.mark.parametrize("name", ["north up", "rotated"])
def test_polygons_in_pixels_keep_their_parts_and_holes(tmp_path, name):
    transform = GEOTRANSFORMS[name]
    path = raster(tmp_path / "a.tif", transform)
    outer, hole, other = (2, 3, 30, 20), (5, 6, 10, 10), (50, 40, 7, 5)
    shape = ogr.CreateGeometryFromWkb(polygon_of_windows([Window(*outer)], IDENTITY)).Difference(
        ogr.CreateGeometryFromWkb(polygon_of_windows([Window(*hole)], IDENTITY))
    )
    shape = shape.Union(ogr.CreateGeometryFromWkb(polygon_of_windows([Window(*other)], IDENTITY)))
    placed = _moved(shape.Clone(), transform)
    off = polygon_of_windows([Window(500, 500, 5, 5)], transform)
    ((number, found),) = polygons_in_pixels(path, [off, bytes(placed.ExportToWkb())], (wkt(UTM), wkt(UTM)), "ZONES")
    found = ogr.CreateGeometryFromWkb(found)
    assert number == 2 and found.GetGeometryCount() == 2
    assert found.SymmetricDifference(shape).Area() < 1e-6 and found.Area() == pytest.approx(30 * 20 - 100 + 35)


def _moved(geometry, transform):
    """A geometry in pixels at its place in a raster's coordinates."""
    for index in range(geometry.GetGeometryCount()):
        _moved(geometry.GetGeometryRef(index), transform)
    for index in range(0 if geometry.GetGeometryCount() else geometry.GetPointCount()):
        pixel = geometry.GetX(index), geometry.GetY(index)
        geometry.SetPoint_2D(index, *gdal.ApplyGeoTransform(list(transform), *pixel))
    return geometry


def test_polygons_in_pixels_are_those_over_the_raster(tmp_path):
    path = raster(tmp_path / "a.tif")
    left, top = GEOTRANSFORM[0], GEOTRANSFORM[3]

    def small(col, row):
        return box(left + 10 * col, top - 10 * row - 3, left + 10 * col + 3, top - 10 * row)

    polygons = [small(0.2, 0.2), small(-0.9, 5), small(5, -0.9), small(119.5, 89.5), small(120.2, 5), small(5, 90.2)]
    found = polygons_in_pixels(path, polygons, (wkt(UTM), wkt(UTM)), "ZONES")
    assert [number for number, _ in found] == [1, 4]
    with pytest.raises(SegmentationError, match="No polygon of ZONES lies over"):
        polygons_in_pixels(path, polygons[1:3], (wkt(UTM), wkt(UTM)), "ZONES")
    flat = raster(tmp_path / "b.tif", (left, 1.0, 0.0, top, 0.0, 0.0))
    with pytest.raises(SegmentationError, match="without area, so ZONES cannot be placed"):
        polygons_in_pixels(flat, polygons, (wkt(UTM), wkt(UTM)), "ZONES")
    path = raster(tmp_path / "c.tif", TRANSFORM_33N, "EPSG:32633")
    degrees = [box(0, 0, 1, 1), ring(in_degrees([(5, 5), (15, 5), (15, 15), (5, 15)]))]
    found = polygons_in_pixels(path, degrees, (wkt("EPSG:32633"), wkt("EPSG:4326")), "ZONES")
    assert [number for number, _ in found] == [2]
