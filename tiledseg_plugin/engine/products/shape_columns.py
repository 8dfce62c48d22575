# SPDX-License-Identifier: GPL-2.0-or-later
"""The measures of shape: of each its formula, its unit and where it comes from.

A is the area, P the perimeter, w and h the columns and rows of pixels that a segment spans, N its pixels; l1 and l2 are
the larger and the smaller of the second central moments of its area along its principal axes.

pixels            N
area              A, pixels times the area of one; in map units squared, or on the ellipsoid in square metres where
                  coordinates are geographic, which `on_ellipsoid` says (1 or 0)
perimeter         P, the lengths of all pixel sides between the segment and anything else, around holes, too; in map
                  units, or in metres on the ellipsoid along parallels and meridians
compactness       4 pi A / P^2: 1 of a circle, pi / 4 of a square, towards 0 the longer the outline
                  (Cox 1927, Journal of Paleontology 1; Polsby and Popper 1991, Yale Law & Policy Review 9)
shape_index       P / (4 sqrt A): 1 of a square, and more of any other
                  (SHAPE for rasters in McGarigal and Marks 1995, FRAGSTATS, PNW-GTR-351)
fractal_dimension 2 ln(P / 4) / ln A: 1 of a square, towards 2 for outlines that fill the plane; it depends on the unit
                  of length, and areas of 1 or less have none (FRAC for rasters, ibid.)
rectangularity    N / (w h): the share of the rectangle around it, along the rows and columns of the raster, that the
                  segment fills (Rosin 1999, Machine Vision and Applications 11, with that rectangle)
elongation        sqrt(l1 / l2): how many times as long as wide, 1 of a circle and of a square
                  (Lehmann 2007, The Insight Journal, `elongation`, from the moments of Hu 1962)
orientation       the direction of the axis of l1 in degrees clockwise from the map's north, 0 to 180; none where no
                  direction is longer than others
parts             how many parts, connected by pixel sides, it has: 1 of every segment of ours
hole_count        rings inside of its polygons, see `segment_parts`
x, y              the centroid, in map coordinates; it may be outside of the segment
x_inside, y_inside  the centre of its pixel nearest to the centroid, see `inside_points`
min_x ... max_y   its extent, in map coordinates
on_edge           whether one of its sides is the edge of the raster or of no data: 1 or 0

Moments are those of the area, not of pixel centres: a pixel has 1/12 of its own. On geographic coordinates they count
metres, in the scale at the centroid.
"""

from typing import Callable, Dict, List, Tuple

import numpy as np
from numpy.typing import DTypeLike

from ..files.stored import Rows
from ..files.tables import Column
from .pixel_sizes import PixelSizes
from .shape_sums import ShapeSums

PIXEL = 1 / 12  # the second moment of a pixel about its own centre
SHAPE_COLUMNS = (
    *("pixels", "area", "perimeter", "on_ellipsoid", "compactness", "shape_index", "fractal_dimension"),
    *("rectangularity", "elongation", "orientation", "parts", "hole_count", "x", "y", "x_inside", "y_inside"),
    *("min_x", "min_y", "max_x", "max_y", "on_edge"),
)
WHOLE = ("pixels", "on_ellipsoid", "parts", "hole_count", "on_edge")  # numbers
INSIDE = ("x_inside", "y_inside")


def shape_columns(sizes: PixelSizes, stored: Callable[[str, DTypeLike], Rows]) -> List[Column]:
    """The columns of SHAPE_COLUMNS, in that order; NaN where a measure has no value.

    Parameters
    ----------
    stored : function of a name and a type that returns the values, see `shape_values`
    """
    labels = _labels(sizes.ellipsoid is not None)
    return [
        Column(name, stored(name, np.int64 if name in WHOLE else np.float64), label=labels.get(name, ""))
        for name in SHAPE_COLUMNS
    ]


def shape_values(sums: ShapeSums, sizes: PixelSizes) -> Dict[str, np.ndarray]:
    """The values of SHAPE_COLUMNS but for INSIDE, of the segments of a range."""
    area_unit, across_unit, down_unit = sizes.units
    area = sums.area.values * area_unit
    perimeter = sums.across.values * across_unit + sums.down.values * down_unit
    col, row = sums.cols / sums.sizes + 0.5, sums.rows / sums.sizes + 0.5
    x, y = sizes.map_x(col, row), sizes.map_y(col, row)
    low_col, high_col, low_row, high_row = sums.limits
    elongation, orientation = _principal_axes(sums, sizes, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        fractal = np.where(area > 1, 2 * np.log(perimeter / 4) / np.log(area), np.nan)
    return {
        "pixels": sums.sizes,
        "area": area,
        "perimeter": perimeter,
        "on_ellipsoid": np.full(sums.ids.size, int(sizes.ellipsoid is not None)),
        "compactness": 4 * np.pi * area / perimeter**2,
        "shape_index": perimeter / (4 * np.sqrt(area)),
        "fractal_dimension": fractal,
        "rectangularity": sums.sizes / ((high_col - low_col + 1) * (high_row - low_row + 1)),
        "elongation": elongation,
        "orientation": orientation,
        "parts": sums.parts,
        "hole_count": sums.holes,
        "x": x,
        "y": y,
        **_extent(sums, sizes),
        "on_edge": (sums.open_sides > 0).astype(np.int64),
    }


def _labels(on_ellipsoid: bool) -> Dict[str, str]:
    """What people read instead of some names: units."""
    length = "metres on the ellipsoid" if on_ellipsoid else "map units"
    return {
        "area": f"area in square {length}",
        "perimeter": f"perimeter in {length}",
        "orientation": "orientation in degrees from north",
    }


def _principal_axes(sums: ShapeSums, sizes: PixelSizes, y: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Elongation, and orientation in degrees."""
    cols, both, rows = sums.squares.about(sums.sizes, sums.cols, sums.rows)
    cols, rows = cols + PIXEL, rows + PIXEL
    _, right_x, down_x, _, right_y, down_y = sizes.transform
    scale_x, scale_y = sizes.metres_per_unit(y)
    right_x, down_x, right_y, down_y = (
        value * scale for value, scale in zip((right_x, down_x, right_y, down_y), (scale_x, scale_x, scale_y, scale_y))
    )
    xx = right_x * right_x * cols + 2 * right_x * down_x * both + down_x * down_x * rows
    yy = right_y * right_y * cols + 2 * right_y * down_y * both + down_y * down_y * rows
    xy = right_x * right_y * cols + (right_x * down_y + down_x * right_y) * both + down_x * down_y * rows
    mean, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    # the smaller moment as determinant by larger: a difference would lose it where a segment is a line
    larger = mean + half
    smaller = np.maximum((right_x * down_y - down_x * right_y) ** 2 * (cols * rows - both * both) / larger, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        elongation = np.sqrt(larger / smaller)
    turned = np.degrees(np.arctan2(2 * xy, yy - xx)) / 2 % 180.0  # clockwise from the y axis
    turned = np.where(turned >= 180.0, 0.0, turned)  # of a tiny negative angle
    return elongation, np.where(half > 1e-12 * mean, turned, np.nan)


def _extent(sums: ShapeSums, sizes: PixelSizes) -> Dict[str, np.ndarray]:
    if sizes.is_rotated:
        low_x, high_x, low_y, high_y = sums.reach
    else:
        low_col, high_col, low_row, high_row = sums.limits
        ends = sizes.map_x(low_col, low_row), sizes.map_x(high_col + 1, high_row + 1)
        low_x, high_x = np.minimum(*ends), np.maximum(*ends)
        ends = sizes.map_y(low_col, low_row), sizes.map_y(high_col + 1, high_row + 1)
        low_y, high_y = np.minimum(*ends), np.maximum(*ends)
    return {"min_x": low_x, "min_y": low_y, "max_x": high_x, "max_y": high_y}
