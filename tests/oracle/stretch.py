# SPDX-License-Identifier: GPL-2.0-or-later
"""The stretch of each band to 1..255."""

import math
from fractions import Fraction
from typing import NamedTuple


class Limits(NamedTuple):
    """The values of a band that become the least and the greatest colour."""

    low: float
    high: float


def stretch_limits(band):
    """Two population standard deviations round the mean, within the range: Limits.

    Parameters
    ----------
    band : the valid values of a band, int or float; computed exactly, and rounded to a double at the end
    """
    exact = [Fraction(value) for value in band]
    mean = sum(exact) / len(exact)
    variance = sum((value - mean) ** 2 for value in exact) / len(exact)
    deviation = math.sqrt(variance)
    return Limits(
        max(float(mean) - 2 * deviation, float(min(band))),
        min(float(mean) + 2 * deviation, float(max(band))),
    )


def rsgislib_limits(band):
    """As `stretch_limits` of the values that RSGISLib's script counts: zeros do, ones do not.

    Parameters
    ----------
    band : all values of a band, valid or not, as RSGISLib reads them: in single precision
    """
    counted = [value for value in band if value != 1]
    return stretch_limits(counted) if counted else Limits(0.0, 0.0)


def stretch_value(value, limits, as_rsgislib=False):
    """The colour of a valid value, 1..255.

    Parameters
    ----------
    as_rsgislib : before 1 is added, 1 itself becomes 0, and a value equal to the lower limit becomes 1
    """
    low, high = limits
    if high <= low:
        return 1
    scaled = (float(value) - low) / (high - low) * 255.0
    colour = math.floor(min(max(scaled, 0.0), 255.0) + 0.5)
    if as_rsgislib and value == low:
        colour = 1
    if as_rsgislib and value == 1:
        colour = 0
    return min(colour + 1, 255)
