# SPDX-License-Identifier: GPL-2.0-or-later
"""Which zone each pixel is in: polygons as GDAL burns them at once, whatever window is asked for; lines exactly."""

import numpy as np
import pytest
from osgeo import ogr
from rasters import GEOTRANSFORM, write_raster
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from tiledseg.tiledseg_plugin.engine.files.window import Window
from tiledseg.tiledseg_plugin.engine.kernels.contract import WALL_BELOW, WALL_RIGHT
from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
from tiledseg.tiledseg_plugin.engine.stages import zone_source, zones
from tiledseg.tiledseg_plugin.engine.stages.zone_source import find_zones
from zone_layers import box, burnt_at_once, cut_by, line, polygon, write_layer

SHAPE = (70, 90)
TURNED = (500000.0, 9.0, 3.0, 6000000.0, 2.5, -10.0)
DEGREES = (7.123456789, 0.00026949458523585647, 0.0, 51.3333333, 0.0, -0.00026949458523585647)


@pytest.fixture
def small_cells(monkeypatch):
    """Cells and parts so small that a raster has many."""
    monkeypatch.setattr(zones, "CELL", 16)
    monkeypatch.setattr(zone_source, "PART_POINTS", 40)


def raster(tmp_path, geotransform=GEOTRANSFORM):
    return write_raster(tmp_path / "in.tif", np.ones((1, *SHAPE), np.uint8), geotransform=geotransform)


def zones_of(path, layer, extent=(), outside="segment"):
    parameters = SegmentParameters(input=path, output="", zones=layer, zones_outside=outside, extent=extent)
    return find_zones(parameters, describe(path, extent=extent), lambda: None)


def windows(shape, seed):
    """The whole, a pixel, a row, and some of any size."""
    rng = np.random.default_rng(seed)
    rows, cols = shape
    yield Window(0, 0, cols, rows)
    yield Window(cols - 1, rows - 1, 1, 1)
    yield Window(0, rows // 2, cols, 1)
    for _ in range(6):
        col, row = int(rng.integers(cols)), int(rng.integers(rows))
        yield Window(col, row, int(rng.integers(1, cols - col + 1)), int(rng.integers(1, rows - row + 1)))


def walls_of(labels):
    walls = np.zeros(labels.shape, np.uint8)
    walls[:, :-1] |= np.where(labels[:, :-1] != labels[:, 1:], WALL_RIGHT, 0).astype(np.uint8)
    walls[:-1] |= np.where(labels[:-1] != labels[1:], WALL_BELOW, 0).astype(np.uint8)
    return walls


def some_polygons(seed, count=14):
    """Stars that overlap, slivers, holes, several parts, corners on centres and on edges, some beyond the raster."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        x, y = rng.uniform(-10, SHAPE[1] + 10), rng.uniform(-10, SHAPE[0] + 10)
        corners = int(rng.integers(3, 9))
        angles, lengths = np.sort(rng.uniform(0, 2 * np.pi, corners)), rng.uniform(0.2, 30, corners)
        star = np.stack([x + lengths * np.cos(angles), y + lengths * np.sin(angles)], axis=1)
        if seed % 3 == 1:
            star = np.round(star * 2) / 2  # on centres and edges of pixels
        star = [tuple(map(float, point)) for point in star]
        kind = number % 4
        if kind == 1:
            hole = [(x + (a - x) * 0.4, y + (b - y) * 0.4) for a, b in star]
            found.append(polygon(star, hole))
        elif kind == 2:
            found.append(polygon([(x, y), (x + 60.0, y + 0.3), (x + 60.0, y + 0.9)]))
        elif kind == 3:
            left = x + (40 if number % 8 == 3 else -3)  # apart, or over each other, as features that were collected
            parts = polygon(star)[len("POLYGON") :], polygon(box(left, y, left + 7.3, y + 9))[len("POLYGON") :]
            found.append(f"MULTIPOLYGON({','.join(parts)})")
        else:
            found.append(polygon(star))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_polygons_are_burnt_as_gdal_burns_the_whole_raster_at_once(tmp_path, seed, small_cells):
    transform = (GEOTRANSFORM, GEOTRANSFORM, TURNED, DEGREES)[seed % 4]
    path = raster(tmp_path, transform)
    layer = write_layer(tmp_path / "zones.gpkg", some_polygons(seed), geotransform=transform)
    expected = burnt_at_once(layer, path)
    assert len(np.unique(expected)) > 8
    found = zones_of(path, layer, outside="exclude")
    assert len(found.parts) > 1
    for window in windows(SHAPE, seed):
        there = expected[window.within(Window(0, 0, *SHAPE[::-1]))]
        walls = found.walls(window)
        np.testing.assert_array_equal(np.zeros(there.shape) if walls is None else walls, walls_of(there))
        np.testing.assert_array_equal(found.inside(window), there != 0)
        rows, cols = np.indices(there.shape).reshape(2, -1)
        ids = found.ids(rows + window.row, cols + window.col)
        np.testing.assert_array_equal(np.nan_to_num(ids).reshape(there.shape), there)  # of a GeoPackage, ids are 1 ...


@pytest.mark.parametrize("extent", [(7, 5, 60, 40), (0, 0, 90, 70), (80, 60, 10, 10)])
def test_polygons_are_where_they_are_whatever_part_is_segmented(tmp_path, small_cells, extent):
    path = raster(tmp_path)
    layer = write_layer(tmp_path / "zones.gpkg", [*some_polygons(1), polygon(box(50, 30, 90, 70))])
    col, row, width, height = extent
    there = burnt_at_once(layer, path)[row : row + height, col : col + width]
    found = zones_of(path, layer, extent, "exclude")
    np.testing.assert_array_equal(found.inside(Window(0, 0, width, height)), there != 0)


def test_of_polygons_that_overlap_the_later_one_has_the_pixels(tmp_path, small_cells):
    path = raster(tmp_path)
    layer = write_layer(
        tmp_path / "zones.gpkg", [polygon(box(10, 10, 50, 50)), polygon(box(30, 30, 60, 60))], ids=[7, 900]
    )
    rows, cols = np.array([20, 40, 55, 5]), np.array([20, 40, 55, 5])
    np.testing.assert_array_equal(zones_of(path, layer).ids(rows, cols), [7, 900, 900, np.nan])


def some_lines(seed):
    """Lines of any slope, through centres and along rows and columns, closed ones, and some beyond the raster."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(8):
        points = rng.uniform(-8, 98, (int(rng.integers(2, 7)), 2))
        if number % 4 == 1:
            points = np.round(points * 2) / 2
        elif number % 4 == 2:  # level and upright pieces through centres
            points = np.floor(points) + 0.5
            points[1:, seed % 2] = points[0, seed % 2]
        elif number % 4 == 3:
            points[-1] = points[0]
        found.append([tuple(map(float, point)) for point in points])
    return found


def millionths(lines):
    """As they are kept: multiples of 2^-20 pixels."""
    return [[(round(x * 2**20) / 2**20, round(y * 2**20) / 2**20) for x, y in points] for points in lines]


@pytest.mark.parametrize("seed", range(6))
def test_lines_part_the_pixels_whose_centres_they_run_between(tmp_path, seed, monkeypatch):
    monkeypatch.setattr(zone_source, "PART_POINTS", 9)
    path = raster(tmp_path)
    lines = some_lines(seed)
    found = zones_of(path, write_layer(tmp_path / "lines.gpkg", [line(points) for points in lines]))
    expected = np.zeros(SHAPE, np.uint8)
    for one, other in cut_by(millionths(lines), SHAPE):
        expected[one // SHAPE[1], one % SHAPE[1]] |= WALL_RIGHT if other == one + 1 else WALL_BELOW
    assert np.count_nonzero(expected) > 200
    for window in windows(SHAPE, seed):
        there = expected[window.within(Window(0, 0, *SHAPE[::-1]))].copy()
        there[:, -1] &= WALL_BELOW  # what is beyond the window is not told
        there[-1] &= WALL_RIGHT
        walls = found.walls(window)
        np.testing.assert_array_equal(np.zeros(there.shape) if walls is None else walls, there)


@pytest.mark.parametrize("seed", range(12))
def test_what_a_closed_line_goes_round_is_parted_from_the_rest(tmp_path, seed):
    """Also where it runs through centres and along rows: which side those are on must be the same all round."""
    rng = np.random.default_rng(seed)
    x, y = 45.0, 35.0
    angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
    ring = np.stack([x + rng.uniform(5, 30, 12) * np.cos(angles), y + rng.uniform(5, 30, 12) * np.sin(angles)], axis=1)
    ring = np.round(ring * 2) / 2 if seed % 2 else np.floor(ring) + 0.5
    ring = [tuple(map(float, point)) for point in (*ring, ring[0])]
    path = raster(tmp_path)
    walls = zones_of(path, write_layer(tmp_path / "ring.gpkg", [line(ring)])).walls(Window(0, 0, *SHAPE[::-1]))
    geometry = ogr.CreateGeometryFromWkt(polygon(ring[:-1]))
    hull = geometry.ConvexHull()
    reached, front = np.zeros(SHAPE, bool), [(0, 0)]
    reached[0, 0] = True
    while front:
        row, col = front.pop()
        for near, wall in (
            ((row, col + 1), walls[row, col] & WALL_RIGHT),
            ((row + 1, col), walls[row, col] & WALL_BELOW),
            ((row, col - 1), walls[row, col - 1] & WALL_RIGHT),
            ((row - 1, col), walls[row - 1, col] & WALL_BELOW),
        ):
            if 0 <= near[0] < SHAPE[0] and 0 <= near[1] < SHAPE[1] and not wall and not reached[near]:
                reached[near] = True
                front.append(near)
    inside = 0
    for row in range(SHAPE[0]):
        for col in range(SHAPE[1]):
            centre = ogr.CreateGeometryFromWkt(f"POINT({col + 0.5} {row + 0.5})")
            if geometry.Contains(centre):
                inside += 1
                assert not reached[row, col], (row, col)
            elif hull.Distance(centre) > 0:  # in a bay, a pixel may touch the others at its corners only
                assert reached[row, col], (row, col)
    assert inside > 100


def test_long_lines_far_off_are_exact(tmp_path):
    """Pieces of a million pixels, whose products no double holds."""
    path = raster(tmp_path)
    pieces = [[(-1e6 - 1 / 3, -1e6), (1e6 + 0.1, 1e6 - 0.7)], [(0.5, -7e5), (45.5, 7e5)], [(-3e5, 20.5), (3e5, 20.5)]]
    found = zones_of(path, write_layer(tmp_path / "lines.gpkg", [line(points) for points in pieces]))
    expected = cut_by(millionths(pieces), SHAPE)
    walls = found.walls(Window(0, 0, *SHAPE[::-1]))
    right = {(int(i), int(i) + 1) for i in np.flatnonzero(walls & WALL_RIGHT)}
    below = {(int(i), int(i) + SHAPE[1]) for i in np.flatnonzero(walls & WALL_BELOW)}
    assert right | below == expected and len(expected) > 100


def test_other_coordinate_systems_are_reprojected(tmp_path, small_cells):
    path = raster(tmp_path)
    shapes = some_polygons(0)
    plain = zones_of(path, write_layer(tmp_path / "a.gpkg", shapes))
    other = zones_of(path, write_layer(tmp_path / "b.gpkg", shapes, to="EPSG:3035"))
    whole = Window(0, 0, *SHAPE[::-1])
    assert np.count_nonzero(plain.walls(whole) != other.walls(whole)) <= 2
    degrees = write_layer(
        tmp_path / "c.gpkg",
        [polygon(box(-180.0, -89.0, 180.0, 90.0)), polygon(box(-90.0, -50.0, -80.0, -40.0))],
        crs="EPSG:4326",
        geotransform=(0, 1, 0, 0, 0, 1),
    )
    assert zones_of(path, degrees, outside="exclude").inside(whole).all()


@pytest.mark.parametrize("seed", range(4))
def test_what_two_polygons_share_they_share_in_another_system(tmp_path, seed, small_cells):
    """A mosaic without gaps has none where it is reprojected."""
    rng = np.random.default_rng(seed)
    corners = {(i, j): (i * 15 + rng.uniform(-5, 5), j * 15 + rng.uniform(-5, 5)) for i in range(8) for j in range(7)}
    mosaic = [
        polygon([corners[i, j], corners[i + 1, j], corners[i + 1, j + 1], corners[i, j + 1]])
        for i in range(7)
        for j in range(6)
    ]
    path = raster(tmp_path)
    layer = write_layer(tmp_path / "zones.gpkg", mosaic, to="EPSG:3035")
    inside = zones_of(path, layer, outside="exclude").inside(Window(0, 0, *SHAPE[::-1]))
    assert inside[8:60, 8:80].all()
