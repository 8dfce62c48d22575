# SPDX-License-Identifier: GPL-2.0-or-later
"""Which pixels carry data, from the values and what is declared about them."""

import math

import numpy as np


def as_given(given, nodata, mask):
    """(nodata, mask) as they are to be understood where the user says what is no data.

    Parameters
    ----------
    given : NODATA, as text: empty for what the raster declares, a number, or `none`
    nodata, mask : as the raster declares them, see `valid_pixels`
    """
    if not given:
        return nodata, mask
    if given == "none":
        return [math.nan] * len(nodata), None
    try:
        number = int(given)
    except ValueError:
        number = float(given)
    return [number] * len(nodata), mask


def valid_pixels(values, nodata, mask=None, rule="any", covered=None):
    """Whether each pixel is valid.

    Parameters
    ----------
    values : (bands, rows, cols), of the selected bands
    nodata : per band the declared no-data value, None where there is none
    mask : (rows, cols), 0 where a mask band says no data; None where there is no mask
    rule : `any` or `all` of the bands have to say no data
    covered : (rows, cols) bool, what lies in a tile; None for all

    Returns
    -------
    rows of cols of bool
    """
    bands, rows, cols = values.shape
    combine = {"any": any, "all": all}[rule]
    held = [_as_held(value, values.dtype) for value in nodata]
    nothing_declared = mask is None and all(value is None for value in nodata)
    valid = []
    for row in range(rows):
        line = []
        for col in range(cols):
            pixel = [values[band, row, col].item() for band in range(bands)]
            masked = mask is not None and mask[row][col] == 0
            says_nodata = [
                masked or not math.isfinite(value) or (declared is not None and value == declared)
                for value, declared in zip(pixel, held)
            ]
            is_valid = not combine(says_nodata)
            if nothing_declared and all(value == 0 for value in pixel):
                is_valid = False
            if covered is not None and not covered[row][col]:
                is_valid = False
            line.append(is_valid)
        valid.append(line)
    return valid


def rsgislib_valid_pixels(values, nodata, mask=None, rule="any", covered=None):
    """As `valid_pixels`, by RSGISLib's rule: what is 0 in the first band is no data.

    That is all where whole numbers declare nothing or 0; what is declared otherwise is no data, too.
    """
    plain = values.dtype.kind in "iu" and mask is None and all(value in (None, 0) for value in nodata)
    bands, rows, cols = values.shape
    if plain:
        declared = [[covered is None or bool(covered[row][col]) for col in range(cols)] for row in range(rows)]
    else:
        declared = valid_pixels(values, nodata, mask, rule, covered)
    return [
        [declared[row][col] and finite(values[0, row, col].item()) != 0 for col in range(cols)] for row in range(rows)
    ]


def as_rsgislib_reads(values, nodata, mask=None, rule="any", covered=None):
    """Per band the values that RSGISLib has statistics of, in single precision: 0 where others are declared no data."""
    plain = values.dtype.kind in "iu" and mask is None and all(value in (None, 0) for value in nodata)
    bands, rows, cols = values.shape
    declared = None if plain else valid_pixels(values, nodata, mask, rule)
    read = []
    for band in range(bands):
        read.append([])
        for row in range(rows):
            for col in range(cols):
                if covered is None or covered[row][col]:
                    value = values[band, row, col].item() if plain or declared[row][col] else 0
                    read[-1].append(single(finite(value)))
    return read


def single(value):
    """A number as single precision holds it."""
    with np.errstate(over="ignore"):
        return np.float32(value).item()


def _as_held(declared, dtype):
    """A declared value as a pixel of single precision would hold it."""
    if declared is None or dtype.kind != "f":
        return declared
    with np.errstate(over="ignore"):
        return dtype.type(declared).item()


def finite(value):
    """Under the rule `all` a pixel may be valid though one of its values is not a number: that one counts as 0."""
    return value if math.isfinite(value) else type(value)(0)
