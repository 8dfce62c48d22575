# SPDX-License-Identifier: GPL-2.0-or-later
"""The outlines of segments at any of their levels, of what a map shows of them: fast enough to follow a slider.

The segments in view are read once, with no more pixels than the screen has, and their levels looked up in the table.
"""

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from osgeo import gdal

from .files.gdal_access import collected_errors, open_raster
from .files.georeference import geotransform
from .files.segment_table import open_table
from .files.window import Window
from .preview_lines import border_lines
from .products.level_table import levels_in
from .progress import Check


@dataclass(frozen=True)
class Levels:
    """What a raster of segments says of its levels.

    holders : {level: (segments + 1,) uint32}, the segment that stands for what each is a part of, of no data first;
        0 is the level of the segments themselves
    """

    path: str
    holders: Dict[int, np.ndarray]


@dataclass(frozen=True)
class View:
    """Segments as a map shows them.

    ids : (rows, cols) uint32, where pixels are smaller than the screen's only one of several
    transform : of these, as GDAL's geotransform
    is_coarse : whether some are left out
    """

    ids: np.ndarray
    transform: Tuple[float, ...]
    is_coarse: bool


def read_levels(path: str, check_cancelled: Check) -> Optional[Levels]:
    """The levels that a raster of segments has; None if it has none.

    Raises
    ------
    SegmentationError : it has no table
    """
    table = open_table(path)
    levels = levels_in(table)
    if not levels:
        return None
    columns: List[List[np.ndarray]] = [[np.zeros(1, np.uint32)] for _ in levels]
    for lot in table.lots([f"level_{level}" for level in levels]):
        check_cancelled()
        for column, values in zip(columns, lot):
            column.append(values.astype(np.uint32))
    own = np.arange(table.rows + 1, dtype=np.uint32)
    return Levels(path, {0: own, **{level: np.concatenate(column) for level, column in zip(levels, columns)}})


def view_of(path: str, extent: Sequence[float], most: Tuple[int, int]) -> Optional[View]:
    """The segments in an extent; None if none of the raster is in it.

    Parameters
    ----------
    extent : (left, bottom, right, top) in the raster's coordinates
    most : columns and rows to be read
    """
    dataset = open_raster(path)
    transform = geotransform(dataset)
    left, bottom, right, top = extent
    inverse = gdal.InvGeoTransform(transform)
    corners = [gdal.ApplyGeoTransform(inverse, x, y) for x in (left, right) for y in (bottom, top)]
    (first_col, last_col), (first_row, last_row) = ((min(axis), max(axis)) for axis in zip(*corners))
    col, row = int(np.floor(first_col)), int(np.floor(first_row))
    view = Window(col, row, int(np.ceil(last_col)) - col, int(np.ceil(last_row)) - row)
    window = view.intersection(Window(0, 0, dataset.RasterXSize, dataset.RasterYSize))
    if window is None:
        return None
    cols, rows = (min(length, limit) for length, limit in zip((window.width, window.height), most))
    with collected_errors():
        ids = dataset.GetRasterBand(1).ReadAsArray(*window, buf_xsize=cols, buf_ysize=rows)
    if ids is None:
        return None
    across, down = window.width / cols, window.height / rows
    x, y = gdal.ApplyGeoTransform(transform, window.col, window.row)
    scaled = (x, transform[1] * across, transform[2] * down, y, transform[4] * across, transform[5] * down)
    return View(ids, scaled, cols < window.width or rows < window.height)


def level_lines(levels: Levels, level: int, view: View, check_cancelled: Check) -> Tuple[bytes, ...]:
    """The borders between the segments of a level in view: WKB multi-line strings in the raster's coordinates."""
    holders = levels.holders[level]
    at_level = holders[np.minimum(view.ids, holders.size - 1)]
    return border_lines(at_level, Window(0, 0, *view.ids.shape[::-1]), view.transform, check_cancelled)
