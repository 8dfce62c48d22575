# SPDX-License-Identifier: GPL-2.0-or-later
"""Rasters of classes: colours, and a table with a name and a number of pixels for each value.

Of a GeoTIFF they are in the side file: a palette within it has 256 or 65,536 entries, all of which QGIS lists.
"""

import colorsys
from pathlib import Path
from typing import List, Sequence, Tuple

import numpy as np
from osgeo import gdal

from ..errors import SegmentationError
from .attribute_table import keeps_table_as_xml
from .gdal_access import collected_errors, configured, reason

TURN = 0.6180339887498949  # of the colour circle, from one colour to the next: the golden ratio


def class_colours(count: int) -> List[Tuple[int, int, int]]:
    """Red, green and blue of so many classes; the first are as far from each other as they can be."""
    colours = []
    for index in range(count):
        share = (index * TURN) % 1.0
        rgb = colorsys.hsv_to_rgb(share, 0.45 + 0.4 * ((index // 7) % 2), 0.95 - 0.3 * ((index // 3) % 2))
        colours.append((round(rgb[0] * 255), round(rgb[1] * 255), round(rgb[2] * 255)))
    return colours


def write_categories(path: str, names: Sequence[str], pixels: np.ndarray) -> None:
    """Give a raster of ours, still in its staging folder, the names of its classes 1, 2, 3 .., also as its attribute
    table: Value, Histogram (pixels), Class, and its colours.

    Parameters
    ----------
    pixels : (1 + classes,) how many have each value

    Raises
    ------
    SegmentationError : they cannot be written
    """
    beside = keeps_table_as_xml(path)
    failed = True
    with configured({"GTIFF_WRITE_RAT_TO_PAM": "YES"}), collected_errors() as messages:
        dataset = gdal.Open(path, gdal.GA_ReadOnly if beside else gdal.GA_Update)
        band = None if dataset is None else dataset.GetRasterBand(1)
        if band is not None:
            band.SetColorTable(_colours(len(names)))
            band.SetCategoryNames(["", *names])
            failed = band.SetDefaultRAT(_table(names, pixels)) != gdal.CE_None
        del band, dataset
    if messages or failed or not _are_there(path, names):
        raise SegmentationError(
            f"The classes of {Path(path).name} cannot be written ({reason(messages, 'they are not there')}): "
            "make room, and check that the file may be changed."
        )


def _colours(count: int) -> gdal.ColorTable:
    table = gdal.ColorTable()
    table.SetColorEntry(0, (0, 0, 0, 0))
    for value, colour in enumerate(class_colours(count), 1):
        table.SetColorEntry(value, (*colour, 255))
    return table


def _table(names: Sequence[str], pixels: np.ndarray) -> gdal.RasterAttributeTable:
    table = gdal.RasterAttributeTable()
    if hasattr(table, "SetTableType"):
        table.SetTableType(gdal.GRTT_THEMATIC)
    table.SetRowCount(len(names) + 1)
    colours = np.array([(0, 0, 0), *class_colours(len(names))], np.int32)
    alpha = np.append(0, np.full(len(names), 255)).astype(np.int32)
    columns = [
        ("Value", gdal.GFU_MinMax, np.arange(len(names) + 1, dtype=np.int32)),
        ("Histogram", gdal.GFU_PixelCount, pixels.astype(np.float64)),
        *(
            (name, getattr(gdal, f"GFU_{name}"), np.ascontiguousarray(values))
            for name, values in zip(("Red", "Green", "Blue", "Alpha"), (*colours.T, alpha))
        ),
    ]
    for name, usage, values in columns:
        table.CreateColumn(name, gdal.GFT_Real if values.dtype.kind == "f" else gdal.GFT_Integer, usage)
        table.WriteArray(values, table.GetColumnCount() - 1)
    table.CreateColumn("Class", gdal.GFT_String, gdal.GFU_Name)
    place = table.GetColumnCount() - 1
    for row, name in enumerate(names, 1):
        table.SetValueAsString(row, place, name)
    return table


def _are_there(path: str, names: Sequence[str]) -> bool:
    """Whether the table can be read again, with the first and the last name."""
    with collected_errors():
        dataset = gdal.Open(path)
        table = None if dataset is None else dataset.GetRasterBand(1).GetDefaultRAT()
        if table is None or table.GetRowCount() < len(names) + 1:
            return False
        every = range(table.GetColumnCount())
        place = next((i for i in every if table.GetUsageOfCol(i) == gdal.GFU_Name), -1)
        return place >= 0 and all(
            table.GetValueAsString(row, place) == names[row - 1] for row in {1, len(names)} if names
        )
