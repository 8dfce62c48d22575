# SPDX-License-Identifier: GPL-2.0-or-later
"""Windows of the input raster: values, and what is valid in them. This is the one place that reads windows."""

import math
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from osgeo import gdal

from ..errors import SegmentationError
from ..parameters import NODATA_RULES
from .decoded import AnyCells, all_kept
from .gdal_access import collected_errors, reason
from .no_data import invalid_values
from .raster import Raster
from .window import Window

CELL_PIXELS = 1 << 20  # as many as the blocks have that statistics are read by


def read_bands(dataset: gdal.Dataset, raster: Raster, window: Window) -> List[Tuple[np.ndarray, np.ndarray]]:
    """The values of a window and what is valid in each band by itself, whatever it is in the others.

    Returns
    -------
    [(values, valid)] : per band (rows, cols) of the raster's dtype, finite, and (rows, cols) bool
    """
    values = read_values(dataset, raster, window)
    judged = []
    for plane, bad in zip(values, _invalid(dataset, raster, window, values)):
        if raster.zero_is_nodata:
            bad = bad | (plane == 0)
        judged.append((_finite(plane), _opposite(bad, plane.shape)))
    return judged


def read_window(
    dataset: gdal.Dataset,
    raster: Raster,
    window: Window,
    covered: Optional[np.ndarray] = None,
    cells: Optional[AnyCells] = None,
) -> Tuple[np.ndarray, np.ndarray]:
    """The values of a window and what is valid in it.

    Parameters
    ----------
    dataset : as `gdal_access.open_raster` returns it
    covered : (rows, cols) bool, False where the pixels are outside all tiles; None where all are covered
    cells : of a raster that is resampled, for windows that share some; or those that have been decoded

    Returns
    -------
    values : (bands, rows, cols) of the raster's dtype, finite
    valid : (rows, cols) bool
    """
    values = read_values(dataset, raster, window, cells)
    judged = _judged(raster, _invalid(dataset, raster, window, values, cells), values, (raster.nodata_rule,))
    valid = _opposite(judged[raster.nodata_rule], values.shape[1:])
    if covered is not None:
        valid &= covered
    values = _finite(values)  # under the rule `all` a pixel may be valid that is not finite in a band
    if raster.first_zero_is_nodata:
        valid &= values[0] != 0
    return values, valid


def read_validity(dataset: gdal.Dataset, raster: Raster, window: Window) -> Dict[str, np.ndarray]:
    """What is valid in a window under each of the rules of no data; only what decides that is read.

    Returns
    -------
    {rule: (rows, cols) bool}, the rules being those of NODATA_RULE; one array for both where they agree by nature
    """
    decided_by_values = (
        raster.zero_is_nodata
        or np.dtype(raster.dtype).kind == "f"
        or any(band.nodata is not None for band in raster.bands)
    )
    values: Optional[np.ndarray] = read_values(dataset, raster, window) if decided_by_values else None
    rules = NODATA_RULES if len(raster.bands) > 1 else NODATA_RULES[:1]
    judged = _judged(raster, _invalid(dataset, raster, window, values), values, rules)
    valid = {rule: np.broadcast_to(~bad, (window.height, window.width)) for rule, bad in judged.items()}
    return {rule: valid.get(rule, valid[rules[0]]) for rule in NODATA_RULES}


def _judged(
    raster: Raster, invalid: Iterator[np.ndarray], values: Optional[np.ndarray], rules: Sequence[str]
) -> Dict[str, np.ndarray]:
    """Which pixels have no data under each of some rules: (rows, cols) bool, or the scalar False.

    Parameters
    ----------
    invalid : of each band what has no data in it
    values : (bands, rows, cols), where 0 in all bands is no data
    """
    judged: Dict[str, np.ndarray] = {}
    for bad in invalid:
        for rule in rules:
            before = judged.get(rule)
            judged[rule] = bad if before is None else before | bad if rule == "any" else before & bad
    if raster.zero_is_nodata and values is not None:
        zero = ~values.any(axis=0)
        judged = {rule: bad | zero for rule, bad in judged.items()}
    return judged


def _opposite(bad: np.ndarray, shape: Tuple[int, ...]) -> np.ndarray:
    return ~bad if bad.shape else np.full(shape, not bad)


def _finite(values: np.ndarray) -> np.ndarray:
    """The values with 0 in place of what is not finite, in place."""
    if values.dtype.kind == "f":
        values[~np.isfinite(values)] = 0
    return values


def _invalid(
    dataset: gdal.Dataset,
    raster: Raster,
    window: Window,
    values: Optional[np.ndarray],
    cells: Optional[AnyCells] = None,
) -> Iterator[np.ndarray]:
    """Of each band what has no data in it: (rows, cols) bool, or the scalar False. A mask is read once for all."""
    found: Dict[tuple, np.ndarray] = {}
    for index, band in enumerate(raster.bands):
        bad = np.zeros((), bool) if values is None else invalid_values(values[index], band)
        for source in ([("mask", band.mask)] if band.mask else []) + [("alpha", number) for number in band.alphas]:
            if source not in found:
                found[source] = ~(_read(dataset, raster, window, source, cells)[0] > 0)
            bad = bad | found[source]
        yield bad


def read_values(dataset: gdal.Dataset, raster: Raster, window: Window, cells: Optional[AnyCells] = None) -> np.ndarray:
    """The values of a window as they are stored, valid or not: (bands, rows, cols) of the raster's dtype."""
    return _read(dataset, raster, window, ("values", *raster.numbers), cells)


def _read(
    dataset: gdal.Dataset, raster: Raster, window: Window, source: tuple, cells: Optional[AnyCells] = None
) -> np.ndarray:
    """What the raster holds in a window: (planes, rows, cols), the caller's to change.

    Parameters
    ----------
    source : ("values", numbers of bands ...), ("mask", number of the band that it is of) or ("alpha", number)
    """
    keeper = cells if cells is not None and cells.keeps_all else None
    if not raster.resampled:
        kept = None if keeper is None else all_kept(keeper, source, _grid_in(raster, CELL_PIXELS, window))
        if kept is not None:
            return _put_together(window, kept)
        whole = _read_at_once(dataset, raster, window, source)
        if keeper is not None:
            for cell in _grid_in(raster, CELL_PIXELS, window):
                if cell.part_in(window) == cell:
                    rows, cols = cell.within(window)
                    keeper.keep((source, cell), whole[:, rows, cols])
        return whole
    parts = {}
    for cell in _grid_in(raster, CELL_PIXELS, window):
        part = None if cells is None else cells.get((source, cell))
        if part is None:
            part = _read_at_once(dataset, raster, cell, source)
            if cell == window and keeper is None:
                return part
            if cells is not None:
                cells.keep((source, cell), part)
        parts[cell] = part
    return _put_together(window, parts)


def _put_together(window: Window, parts: Dict[Window, np.ndarray]) -> np.ndarray:
    """A window of (planes, rows, cols) from the cells that it lies in."""
    first = next(iter(parts.values()))
    whole = np.empty((len(first), window.height, window.width), first.dtype)
    for cell, part in parts.items():
        common = cell.part_in(window)
        (rows, cols), (part_rows, part_cols) = common.within(window), common.within(cell)
        whole[:, rows, cols] = part[:, part_rows, part_cols]
    return whole


def _read_at_once(dataset: gdal.Dataset, raster: Raster, window: Window, source: tuple) -> np.ndarray:
    kind, *numbers = source
    in_file = window.moved(raster.left, raster.top)
    with collected_errors() as messages:
        if kind == "values":
            array = np.empty((len(numbers), window.height, window.width), raster.dtype)
            if dataset.ReadAsArray(*in_file, buf_obj=_buffer(array, raster), band_list=numbers) is None:
                array = None
        else:
            band = dataset.GetRasterBand(numbers[0])
            array = (band.GetMaskBand() if kind == "mask" else band).ReadAsArray(*in_file)
            array = None if array is None else array[None]
    if array is None or messages:
        raise SegmentationError(
            f"{raster.path} cannot be read at column {in_file.col}, row {in_file.row} "
            f"({window.width} x {window.height} pixels: {reason(messages)}): the file may be damaged."
        )
    if kind == "values" and array.dtype != np.int8:
        for plane, band in zip(array, raster.bands):
            if band.signed:
                plane[plane > 127] -= plane.dtype.type(256)
    return array


def _buffer(array: np.ndarray, raster: Raster) -> np.ndarray:
    """The array as GDAL fills it: where signed bytes are bytes to it, so they are here."""
    return array.view(np.uint8) if array.dtype == np.int8 and raster.bands[0].signed else array


def grid(raster: Raster, pixels: int) -> Tuple[Window, ...]:
    """Windows of about so many pixels: whole rows where the file is stored so, else squares of whole file blocks."""
    return _grid_in(raster, pixels, raster.window)


def _grid_in(raster: Raster, pixels: int, window: Window) -> Tuple[Window, ...]:
    """The windows of that grid that have pixels in a window."""
    block_width, block_height = raster.block
    if block_width >= raster.width:
        width, height = raster.width, max(1, pixels // raster.width)
    else:
        width = height = math.isqrt(pixels)
        width = max(block_width, width // block_width * block_width)
    height = max(block_height, height // block_height * block_height) if block_height < raster.height else height
    return tuple(
        Window(col, row, min(width, raster.width - col), min(height, raster.height - row))
        for row in range(window.row // height * height, window.bottom, height)
        for col in range(window.col // width * width, window.right, width)
    )
