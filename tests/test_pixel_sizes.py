# SPDX-License-Identifier: GPL-2.0-or-later
"""True areas and lengths of pixels, against closed formulae and published numbers; and sums beyond 64 bits."""

import math
from fractions import Fraction

import numpy as np
import pytest
from osgeo import gdal
from rasters import write_raster
from test_shape import as_tiles, patches, shape
from tiledseg.tiledseg_plugin.engine.files.gdal_access import open_raster
from tiledseg.tiledseg_plugin.engine.products.pixel_sizes import STEPS, pixel_sizes
from tiledseg.tiledseg_plugin.engine.products.shape_sums import Exact, SquareSums
from tiledseg.tiledseg_plugin.engine.stages import statistics as survey

A, F = 6378137.0, 1 / 298.257223563  # WGS 84
E2 = F * (2 - F)
GLOBE = (-180.0, 1.0, 0.0, 90.0, 0.0, -1.0)


def area_up_to(latitude):
    """Of the ellipsoid between the equator and a latitude in radians, by radian of longitude (Snyder 1987, 3-12)."""
    e, sine = math.sqrt(E2), math.sin(latitude)
    return A**2 * (1 - E2) / 2 * (sine / (1 - E2 * sine**2) + math.atanh(e * sine) / e)


def parallel(latitude):
    """Radius of a parallel, in metres."""
    return A * math.cos(latitude) / math.sqrt(1 - E2 * math.sin(latitude) ** 2)


def meridian(low, high, steps=20000):
    """Length of a meridian between two latitudes in radians, by the midpoint rule."""
    middle = low + (np.arange(steps) + 0.5) * (high - low) / steps
    return float(np.sum(A * (1 - E2) / (1 - E2 * np.sin(middle) ** 2) ** 1.5) * (high - low) / steps)


def test_the_globe_has_its_published_area_and_meridians(tmp_path):
    path = write_raster(tmp_path / "s.tif", np.ones((1, 180, 360), np.uint8), geotransform=GLOBE, crs="EPSG:4326")
    found = shape(path, tmp_path / "o.csv", execution="serial")
    assert found["area"][0] == pytest.approx(510_065_621_724_088.4, rel=1e-9)  # NIMA TR8350.2
    assert found["perimeter"][0] == pytest.approx(4 * 10_001_965.7293, rel=1e-9)  # the poles have no length
    assert found["on_ellipsoid"][0] == 1


@pytest.mark.parametrize("transform", [(-3.0, 0.25, 0, 71.3, 0, -0.5), (10.0, 2e-4, 0, 45.0, 0, -1e-4)])
def test_pixels_on_the_ellipsoid_are_as_large_as_formulae_say(tmp_path, transform):
    raster = write_raster(tmp_path / "s.tif", np.ones((1, 6, 4), np.uint8), geotransform=transform, crs="EPSG:4326")
    sizes = pixel_sizes(open_raster(raster))
    counted = sizes.window(0, 0, 4, 6)
    assert all(array.shape == (6, 1) and array.min() >= 0 and array.max() < STEPS for array in counted)
    area, across, down = (array[:, 0] * unit for array, unit in zip(counted, sizes.units))
    for row in range(6):
        high, low = (math.radians(transform[3] + step * transform[5]) for step in (row, row + 1))
        width = math.radians(transform[1])
        # a unit is a 2^32nd of the largest; the area's formula itself loses digits where pixels are small
        assert area[row] == pytest.approx((area_up_to(high) - area_up_to(low)) * width, rel=1e-8)
        assert across[row] == pytest.approx(parallel(low) * width, rel=1e-9)
        assert down[row] == pytest.approx(meridian(low, high), rel=1e-9)


def test_pixels_of_a_rotated_raster_in_degrees_are_as_large_as_small_pieces_of_them_together(tmp_path):
    transform = (5.0, 0.3, 0.1, 61.0, 0.2, -0.4)
    raster = write_raster(tmp_path / "s.tif", np.ones((1, 3, 3), np.uint8), geotransform=transform, crs="EPSG:4326")
    sizes = pixel_sizes(open_raster(raster))
    area, across, down = (array * unit for array, unit in zip(sizes.window(0, 0, 3, 3), sizes.units))

    def place(col, row):
        return [math.radians(value) for value in gdal.ApplyGeoTransform(transform, col, row)]

    def length(begin, end, pieces=400):
        total = 0.0
        for step in range(pieces):
            (x0, y0), (x1, y1) = (
                place(*(b + (e - b) * at / pieces for b, e in zip(begin, end))) for at in (step, step + 1)
            )
            middle = (y0 + y1) / 2
            total += math.hypot(parallel(middle) * (x1 - x0), meridian(y0, y1, 1))
        return total

    def extent(col, row, pieces=60):
        total, cell = 0.0, abs(0.3 * -0.4 - 0.1 * 0.2) * math.radians(1) ** 2 / pieces**2
        for i in range(pieces):
            for j in range(pieces):
                _, y = place(col + (i + 0.5) / pieces, row + (j + 0.5) / pieces)
                total += cell * parallel(y) * meridian(y - 1e-6, y + 1e-6, 2) / 2e-6
        return total

    for row, col in ((0, 0), (2, 1)):
        assert across[row, col] == pytest.approx(length((col, row + 1), (col + 1, row + 1)), rel=1e-7)
        assert down[row, col] == pytest.approx(length((col + 1, row), (col + 1, row + 1)), rel=1e-7)
        assert area[row, col] == pytest.approx(extent(col, row), rel=1e-6)


@pytest.mark.parametrize("transform", [(-3.0, 0.01, 0, 71.3, 0, -0.02), (5.0, 0.03, 0.01, 61.0, 0.02, -0.04)])
def test_shapes_in_degrees_are_sums_over_pixels_and_do_not_depend_on_windows(tmp_path, monkeypatch, transform):
    ids = patches()
    raster = as_tiles(tmp_path / "s.tif", ids, geotransform=transform, crs="EPSG:4326")
    found = shape(raster, tmp_path / "0.csv", execution="serial")
    sizes = pixel_sizes(open_raster(raster))
    rows, cols = ids.shape
    area, across, down = (
        np.broadcast_to(array * unit, (rows + 1, cols + 1))
        for array, unit in zip(sizes.window(-1, -1, cols + 1, rows + 1), sizes.units)
    )
    around = np.pad(ids, 1)
    for place, label in enumerate(found["segment"]):
        own = around == label
        assert found["area"][place] == pytest.approx(area[own[:-1, :-1]].sum(), rel=1e-9)
        border = across[:, 1:][(own[:-1] != own[1:])[:, 1:-1]].sum() + down[1:][(own[:, :-1] != own[:, 1:])[1:-1]].sum()
        assert found["perimeter"][place] == pytest.approx(border, rel=1e-9)
    monkeypatch.setattr(survey, "BLOCK_PIXELS", 16 * 16)
    for name, kernels in (("1.csv", "auto"), ("2.csv", "plain")):
        shape(raster, tmp_path / name, execution="serial", kernels=kernels)
        assert (tmp_path / name).read_bytes() == (tmp_path / "0.csv").read_bytes()


def test_a_long_segment_in_degrees_is_as_long_as_it_is_in_metres(tmp_path):
    """2 by 1 pixels that are square in degrees, at 60 degrees north, where a degree of longitude is half of one."""
    transform = (10.0, 0.001, 0, 60.0005, 0, -0.001)
    ids = np.ones((1, 1, 2), np.uint8)
    found = shape(write_raster(tmp_path / "s.tif", ids, geotransform=transform, crs="EPSG:4326"), tmp_path / "o.csv")
    ratio = (
        2 * parallel(math.radians(60)) / (meridian(math.radians(59.9999), math.radians(60.0001)) / math.radians(2e-4))
    )
    assert found["elongation"][0] == pytest.approx(max(ratio, 1 / ratio), rel=1e-6)


def test_sums_beyond_64_bits_are_exact():
    """Windows of a raster of 2^32 pixels that is far wider than high, put together in two orders."""
    rng = np.random.default_rng(7)
    parts, n, cols, rows, expected = [], 0, 0, 0, [0, 0, 0]
    for _ in range(40):
        x, y = int(rng.integers(0, 2**31 - 2**16)), int(rng.integers(0, 2))
        col, row = rng.integers(0, 2**16, 50).tolist(), rng.integers(0, 2, 50).tolist()
        times = int(rng.integers(1, 2**20))  # as many pixels as that at each of the places
        sums = [50 * times, *(sum(v) * times for v in (col, row))]
        sums += [times * sum(a * b for a, b in zip(one, other)) for one, other in ((col, col), (col, row), (row, row))]
        parts.append((np.array(sums, np.int64)[:, None], x, y))
        n, cols, rows = n + 50 * times, cols + times * sum(x + c for c in col), rows + times * sum(y + r for r in row)
        for i, (one, other) in enumerate((("c", "c"), ("c", "r"), ("r", "r"))):
            at = {"c": [x + c for c in col], "r": [y + r for r in row]}
            expected[i] += times * sum(a * b for a, b in zip(at[one], at[other]))
    assert expected[0] > 2**80
    means = Fraction(cols, n), Fraction(rows, n)
    exact = [Fraction(total, n) - means[i] * means[j] for total, (i, j) in zip(expected, ((0, 0), (0, 1), (1, 1)))]
    found = []
    for order in (parts, parts[::-1]):
        sums = SquareSums(1)
        for part, x, y in order:
            sums.add(np.array([0]), part, x, y)
        found.append([float(v[0]) for v in sums.about(*(np.array([v], np.int64) for v in (n, cols, rows)))])
    assert found[0] == found[1]
    assert found[0] == pytest.approx([float(value) for value in exact], rel=1e-13)


def test_lengths_beyond_64_bits_are_exact():
    total, every = Exact(2), [2**62 - 1, 2**61 + 12345, 7, 2**62 - 3] * 50
    for value in every:
        total.add(np.array([1]), np.array([value], np.int64))
    assert total.values.tolist() == [0.0, float(sum(every))]
