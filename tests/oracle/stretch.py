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
    band : all values of a band, valid or not
    """
    return stretch_limits([value for value in band if value != 1])


def stretch_value(value, limits, lower_limit_is_one=False):
    """The colour of a valid value, 1..255.

    Parameters
    ----------
    lower_limit_is_one : a value equal to the lower limit becomes 1 before 1 is added, as RSGISLib has it
    """
    low, high = limits
    if high <= low:
        return 1
    scaled = (float(value) - low) / (high - low) * 255.0
    colour = math.floor(min(max(scaled, 0.0), 255.0) + 0.5)
    if lower_limit_is_one and value == low:
        colour = 1
    return min(colour + 1, 255)
