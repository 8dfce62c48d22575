# SPDX-License-Identifier: GPL-2.0-or-later
"""Zones of a case: drawn, written, and what they mean by definitions that are not the engine's.

The "zones" of a case are {"kind", "shapes", "grid", "outside", "offset", "cell"}; a case may have none:

kind : "polygons" (WKT), "lines" ([[[col, row], ...], ...]) or "classes" ([left, top, right, bottom, class], painted one
    over the other on 0, which is no class)
grid : of classes, their pixels' width and height in those of the raster, and how far they begin to the left and above
offset : column and row of the raster as it was drawn at which a smaller one begins
cell : pixels along a side of what is burnt at once
"""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rasters import GEOTRANSFORM, UTM, write_raster
from tiledseg.tiledseg_plugin.engine.stages import zones
from zone_layers import box, burnt_at_once, cut_by, line, polygon, write_layer

OUTSIDE = ("segment", "exclude")


def draw_zones(rng, rows, cols):
    """Zones, or None; one of them lies over the middle of the raster, so that there always are some."""
    if rng.random() < 0.55:
        return None
    kind = rng.choice(["polygons", "polygons", "lines", "classes"])
    drawn = {"polygons": _polygons, "lines": _lines, "classes": _classes}[kind](rng, rows, cols)
    grid = [1, 1, 0, 0]
    if rng.random() < 0.5:
        width, height = rng.uniform(0.3, 5), rng.uniform(0.3, 5)
        grid = [width, height, min(3.3, 0.4 * cols * width), min(2.7, 0.4 * rows * height)]
    return {
        "kind": kind,
        "shapes": drawn,
        "grid": grid,
        "outside": rng.choice(OUTSIDE),
        "offset": [0, 0],
        "cell": rng.choice([16, 64, 1024]),
    }


def _place(rng, side, roundly):
    value = rng.uniform(-0.2 * side - 2, 1.2 * side + 2)
    return round(value * 2) / 2 if roundly else value


def _polygons(rng, rows, cols):
    middle = polygon(box(cols / 2 - 0.6, rows / 2 - 0.6, cols / 2 + rng.uniform(0.6, cols), rows / 2 + 0.6 + rows / 3))
    found = [middle]
    for _ in range(rng.randint(0, 8)):
        roundly = rng.random() < 0.3
        x, y = _place(rng, cols, roundly), _place(rng, rows, roundly)
        if rng.random() < 0.4:
            width, height = (abs(_place(rng, side, roundly)) / 2 + 0.1 for side in (cols, rows))
            found.append(polygon(box(x, y, x + width, y + height), box(x + width / 4, y + 0.1, x + width / 2, y + 1)))
        else:  # any corners: rings that cross themselves, and slivers
            corners = [(_place(rng, cols, roundly), _place(rng, rows, roundly)) for _ in range(rng.randint(2, 6))]
            found.append(polygon([(x, y), *corners]))
    rng.shuffle(found)
    return found


def _lines(rng, rows, cols):
    found = [[[-1.0, rows / 2], [cols + 1.0, rows / 2 + rng.choice([0, 0.3, 2])]]]
    for _ in range(rng.randint(0, 5)):
        roundly = rng.random() < 0.4
        points = [[_place(rng, cols, roundly), _place(rng, rows, roundly)] for _ in range(rng.randint(2, 6))]
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
    transform = _moved(drawn)
    if drawn["kind"] == "classes":
        width, height, left, top = drawn["grid"]
        painted = _painted(drawn["shapes"])
        own = (transform[0] - 10.0 * left, 10.0 * width, 0.0, transform[3] + 10.0 * top, 0.0, -10.0 * height)
        return write_raster(Path(folder) / "classes.tif", painted[None], geotransform=own)
    shapes = (
        drawn["shapes"] if drawn["kind"] == "polygons" else [line(map(tuple, points)) for points in drawn["shapes"]]
    )
    return write_layer(Path(folder) / "zones.gpkg", shapes, geotransform=transform, crs=UTM)


def zones_beside(raster):
    """The zones that `write_zones` has written beside a raster."""
    return next(str(path) for name in ("zones.gpkg", "classes.tif") for path in Path(raster).parent.glob(name))


def _moved(drawn):
    col, row = drawn["offset"]
    return (GEOTRANSFORM[0] - 10.0 * col, *GEOTRANSFORM[1:3], GEOTRANSFORM[3] + 10.0 * row, *GEOTRANSFORM[4:])


def _painted(boxes):
    right, bottom = max(one[2] for one in boxes), max(one[3] for one in boxes)
    painted = np.zeros((max(bottom, 1), max(right, 1)), np.int16)
    for left, top, right, bottom, number in boxes:
        painted[top:bottom, left:right] = number
    return painted


def meaning(case, layer, raster, shape):
    """(labels, cut) of a case's zones: (rows, cols) of numbers, 0 for none, and the pairs of pixels that are parted.

    Parameters
    ----------
    layer, raster : paths
    """
    drawn = case.get("zones")
    if not drawn:
        return None, ()
    if drawn["kind"] == "polygons":
        return burnt_at_once(layer, raster), ()
    col, row = drawn["offset"]
    if drawn["kind"] == "lines":
        unit = 2.0**20
        own = [[tuple(np.rint((np.array(p) - (col, row)) * unit) / unit) for p in points] for points in drawn["shapes"]]
        return None, cut_by(own, shape)
    width, height, left, top = drawn["grid"]
    painted = _painted(drawn["shapes"])
    rows, cols = np.indices(shape) + 0.5
    own_rows = np.floor(np.round((rows + row + top) / height, 6)).astype(int)
    own_cols = np.floor(np.round((cols + col + left) / width, 6)).astype(int)
    there = (own_rows < painted.shape[0]) & (own_cols < painted.shape[1])
    labels = np.zeros(shape, np.int64)
    labels[there] = painted[own_rows[there], own_cols[there]]
    return labels, ()


@contextmanager
def cells_of(case):
    """Let the engine burn in cells of the size that a case says."""
    before, zones.CELL = zones.CELL, case["zones"]["cell"] if case.get("zones") else zones.CELL
    try:
        yield
    finally:
        zones.CELL = before
