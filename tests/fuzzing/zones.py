# SPDX-License-Identifier: GPL-2.0-or-later
"""Zones of a case: drawn, written, and what they mean by definitions that are not the engine's.

The "zones" of a case are {"kind", "shapes", "grid", "outside", "offset", "cell"}; a case may have none:

kind : "polygons" and "parcels", which share their borders (WKT), "lines" ([[[col, row], ...], ...]) or "classes"
    ([left, top, right, bottom, class], painted one over the other on 0, which is no class)
grid : of classes, their pixels' width and height in those of the raster, and how far they begin to the left and above
offset : column and row of the raster as it was drawn at which a smaller one begins
cell : pixels along a side of what is burnt at once
"""

import math
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from osgeo import gdal
from rasters import GEOTRANSFORM, UTM, write_raster
from tiledseg.tiledseg_plugin.engine.stages import zones
from zone_layers import box, burnt_at_once, cut_by, line, polygon, write_layer

from .files import geotransform

OUTSIDE = ("segment", "exclude")
KINDS = ("polygons", "parcels", "lines", "classes")
BURNT = ("polygons", "parcels")


def draw_zones(rng, rows, cols):
    """Zones, or None; one of them lies over the middle of the raster, so that there always are some."""
    if rng.random() < 0.5:
        return None
    kind = rng.choice(KINDS)
    round_share = rng.choice(
        [0.1, 0.5, 1.0]
    )  # of the shapes, so many have their corners on edges and centres of pixels
    if kind == "classes":
        shapes = _classes(rng, rows, cols)
    else:
        shapes = {"polygons": _polygons, "parcels": _parcels, "lines": _lines}[kind](rng, rows, cols, round_share)
    grid = [1, 1, 0, 0]
    if rng.random() < 0.5:
        width, height = rng.uniform(0.3, 5), rng.uniform(0.3, 5)
        grid = [width, height, min(3.3, 0.4 * cols * width), min(2.7, 0.4 * rows * height)]
    return {
        "kind": kind,
        "shapes": shapes,
        "grid": grid,
        "outside": rng.choice(OUTSIDE),
        "offset": [0, 0],
        "cell": rng.choice([16, 64, 1024]),
    }


def _place(rng, side, roundly):
    return _rounded(rng.uniform(-0.2 * side - 2, 1.2 * side + 2), roundly)


def _rounded(value, roundly):
    """A coordinate, on an edge or the centre of a pixel if so: there GDAL's burning and walls of lines have ties."""
    return round(value * 2) / 2 if roundly else value


def _middle(rng, rows, cols, roundly):
    left, top = (math.floor(side - 1.2) / 2 if roundly else side / 2 - 0.6 for side in (cols, rows))
    right, bottom = cols / 2 + rng.uniform(0.6, cols), rows / 2 + 0.6 + rows / 3
    if roundly:
        right, bottom = math.ceil(2 * right) / 2, math.ceil(2 * bottom) / 2
    return polygon(box(left, top, right, bottom))


def _polygons(rng, rows, cols, round_share):
    """Boxes with a hole, and any corners, one over the other; some features are of two parts."""
    found = [_middle(rng, rows, cols, rng.random() < round_share)]
    for _ in range(rng.randint(0, 8)):
        roundly = rng.random() < round_share
        x, y = _place(rng, cols, roundly), _place(rng, rows, roundly)
        if rng.random() < 0.4:
            width, height = (_rounded(abs(_place(rng, side, roundly)) / 2 + 0.5, roundly) for side in (cols, rows))
            hole = [_rounded(value, roundly) for value in (x + width / 4, y + 0.5, x + width / 2, y + 1.5)]
            found.append(polygon(box(x, y, x + width, y + height), box(*hole)))
        else:  # any corners: rings that cross themselves, and slivers
            corners = [(_place(rng, cols, roundly), _place(rng, rows, roundly)) for _ in range(rng.randint(2, 6))]
            found.append(polygon([(x, y), *corners]))
    if len(found) > 2 and rng.random() < 0.3:
        found.append(_together(found.pop(), found.pop()))
    rng.shuffle(found)
    return found


def _parcels(rng, rows, cols, round_share):
    """Neighbours that have their borders in common; in some is a hole with an island, and some are of two parts."""
    roundly = rng.random() < round_share
    xs, ys = (sorted(_place(rng, side, roundly) for _ in range(rng.randint(2, 5))) for side in (cols, rows))
    shift = rng.choice([0.0, 0.5, 2.0])
    corners = [
        [tuple(_rounded(value + rng.uniform(-shift, shift), roundly) for value in (x, y)) for x in xs] for y in ys
    ]
    found = []
    for upper, lower in zip(corners, corners[1:]):
        for one, other, third, fourth in zip(upper, upper[1:], lower[1:], lower):
            ring = [one, other, third, fourth][:: rng.choice([1, -1])]
            if rng.random() < 0.25:
                middle = [sum(values) / 4 for values in zip(*ring)]
                island = [tuple(_rounded((a + b) / 2, roundly) for a, b in zip(corner, middle)) for corner in ring]
                found += [polygon(ring, island), polygon(island[::-1])]
            else:
                found.append(polygon(ring))
    rng.shuffle(found)
    if len(found) > 2 and rng.random() < 0.5:
        found.append(_together(found.pop(), found.pop()))
    return [_middle(rng, rows, cols, roundly), *found]


def _together(*polygons):
    return "MULTIPOLYGON(" + ",".join(one[len("POLYGON") :] for one in polygons) + ")"


def _lines(rng, rows, cols, round_share):
    found = [[[-1.0, rows / 2], [cols + 1.0, rows / 2 + rng.choice([0, 0.3, 2])]]]
    for _ in range(rng.randint(0, 5)):
        roundly = rng.random() < round_share
        points = [[_place(rng, cols, roundly), _place(rng, rows, roundly)] for _ in range(rng.randint(2, 6))]
        if rng.random() < 0.3:  # along rows and columns
            for number, (before, point) in enumerate(zip(points, points[1:])):
                point[number % 2] = before[number % 2]
        found.append(points + [points[0]] * rng.randint(0, 1))
    return found


def _classes(rng, rows, cols):
    found = [[0, 0, cols, rows, rng.randint(0, 2)]]
    for _ in range(rng.randint(0, 9)):
        left, top = rng.randint(0, cols), rng.randint(0, rows)
        found.append([left, top, rng.randint(left, cols + 1), rng.randint(top, rows + 1), rng.randint(0, 4)])
    return found


def write_zones(case, folder):
    """The file of a case's zones; empty where it has none."""
    drawn = case.get("zones")
    if not drawn:
        return ""
    transform = _moved(drawn, geotransform(case["file"]))
    if drawn["kind"] == "classes":
        width, height, left, top = drawn["grid"]
        painted = _painted(drawn["shapes"])
        x, y = gdal.ApplyGeoTransform(transform, -left, -top)
        along, down = (transform[1], transform[4]), (transform[2], transform[5])
        own = (x, along[0] * width, down[0] * height, y, along[1] * width, down[1] * height)
        return write_raster(Path(folder) / "classes.tif", painted[None], geotransform=own)
    shapes = drawn["shapes"] if drawn["kind"] in BURNT else [line(map(tuple, points)) for points in drawn["shapes"]]
    return write_layer(Path(folder) / "zones.gpkg", shapes, geotransform=transform, crs=UTM)


def zones_beside(raster):
    """The zones that `write_zones` has written beside a raster."""
    return next(str(path) for name in ("zones.gpkg", "classes.tif") for path in Path(raster).parent.glob(name))


def _moved(drawn, transform):
    """The geotransform of the raster as it was drawn, from that of the one that is left of it."""
    x, y = gdal.ApplyGeoTransform(transform, *(-float(places) for places in drawn["offset"]))
    return (x, *transform[1:3], y, *transform[4:])


def _painted(boxes):
    right, bottom = max(one[2] for one in boxes), max(one[3] for one in boxes)
    painted = np.zeros((max(bottom, 1), max(right, 1)), np.int16)
    for left, top, right, bottom, number in boxes:
        painted[top:bottom, left:right] = number
    return painted


def meaning(case, layer, raster, shape, part):
    """(labels, cut) of a case's zones: (rows, cols) of numbers, 0 for none, and the pairs of pixels that are parted.

    Parameters
    ----------
    layer, raster : paths
    shape : rows and columns of the raster
    part : the rows and columns of it that are meant, as slices
    """
    drawn = case.get("zones")
    if not drawn:
        return None, ()
    if drawn["kind"] in BURNT:
        return _burnt(case, layer, raster, shape)[part], ()
    col, row = drawn["offset"]
    if drawn["kind"] == "lines":
        unit = 2.0**20
        own = [np.rint((np.array(points) - (col, row)) * unit) / unit for points in drawn["shapes"]]
        own = [[tuple(point) for point in points - (part[1].start, part[0].start)] for points in own]
        return None, cut_by(own, tuple(side.stop - side.start for side in part))
    width, height, left, top = drawn["grid"]
    painted = _painted(drawn["shapes"])
    rows, cols = np.indices(shape) + 0.5
    own_rows = np.floor(np.round((rows + row + top) / height, 6)).astype(int)
    own_cols = np.floor(np.round((cols + col + left) / width, 6)).astype(int)
    there = (own_rows < painted.shape[0]) & (own_cols < painted.shape[1])
    labels = np.zeros(shape, np.int64)
    labels[there] = painted[own_rows[there], own_cols[there]]
    return labels[part], ()


def _burnt(case, layer, raster, shape):
    """What GDAL burns where rows are counted downwards: in other rasters, it has sides through centres otherwise."""
    if geotransform(case["file"]) != GEOTRANSFORM:
        folder = Path(layer).parent
        transform = _moved(case["zones"], GEOTRANSFORM)
        layer = write_layer(folder / "upright.gpkg", case["zones"]["shapes"], geotransform=transform, crs=UTM)
        raster = write_raster(folder / "upright.tif", np.zeros((1, *shape), np.uint8))
    return burnt_at_once(layer, raster)


@contextmanager
def cells_of(case):
    """Let the engine burn in cells of the size that a case says."""
    before, zones.CELL = zones.CELL, case["zones"]["cell"] if case.get("zones") else zones.CELL
    try:
        yield
    finally:
        zones.CELL = before
