# SPDX-License-Identifier: GPL-2.0-or-later
"""Which parameters cannot have had an effect on a raster, in a sentence each."""

import math
from typing import List, NamedTuple, Union

import numpy as np

from ..parameters import SegmentParameters
from ..wording import counted
from .colours import Raw, Stretched
from .statistics import BandStatistics, Summary
from .zones import LineZones, Zones

SINGLE = 4 * float(np.finfo(np.float32).eps)  # share by which a mean in single precision may be off


class Known(NamedTuple):
    """What is known of a raster before its segments are.

    farthest : a distance that no two colours are further apart
    zones : of the plan
    bands : how many are used
    """

    valid_pixels: int
    farthest: float
    zones: Union[Zones, None]
    bands: int


def known_of(summary: Summary, colours: Union[Stretched, Raw], zones: Union[Zones, None]) -> Known:
    """What the survey has found that matters here."""
    spans = [_span(colours, index, band) for index, band in enumerate(summary.bands)]
    return Known(sum(summary.valid_pixels.values()), math.hypot(*spans), zones, len(spans))


def _span(colours: Union[Stretched, Raw], index: int, band: BandStatistics) -> float:
    """How far apart the colours of a band may be, with what rounding adds."""
    if isinstance(colours, Raw):
        low, high = float(band.low), float(band.high)
        return (high - low) + 2 * SINGLE * max(abs(low), abs(high))
    if type(colours) is Stretched and not colours.high[index] > colours.low[index]:
        return 0.0
    return 255.0


def without_effect(parameters: SegmentParameters, known: Known) -> List[str]:
    """A sentence for each parameter that can make no difference, whatever the segments are."""
    found = []
    least, threshold = parameters.min_pixels, parameters.distance_threshold
    if least == 1:
        also = "" if threshold is None else ", and DISTANCE_THRESHOLD has no effect"
        found.append(f"MIN_PIXELS is 1, so that no segment is too small and none is merged{also}.")
    elif least > known.valid_pixels:
        found.append(
            f"MIN_PIXELS is {least}, but there are only {counted(known.valid_pixels, 'valid pixel')}: whatever can be "
            "merged is, and a larger number has no other effect."
        )
    if threshold is not None and least > 1 and threshold > known.farthest:
        found.append(
            f"DISTANCE_THRESHOLD is {threshold:g}, but no two colours of this raster are further apart than "
            f"{known.farthest:.4g}: it has no effect."
        )
    if parameters.zones_outside == "exclude" and isinstance(known.zones, LineZones):
        found.append(
            "ZONES_OUTSIDE is 'exclude', but ZONES are lines, of which nothing lies outside: it has no effect."
        )
    if parameters.nodata_rule == "all" and known.bands == 1:
        found.append("NODATA_RULE is 'all', but one band is used: it has no effect.")
    return found


def nothing_merged(parameters: SegmentParameters, clumps: int, segments: int, undersized: int) -> List[str]:
    """A sentence where there were segments to merge, but none was.

    Parameters
    ----------
    clumps, segments : how many there were before, and how many there are now
    undersized : of these, how many are smaller than wanted
    """
    if clumps != segments or not undersized:
        return []
    limit = parameters.distance_threshold
    near = "" if limit is None else f" within the DISTANCE_THRESHOLD of {limit:g}"
    return [
        f"MIN_PIXELS is {parameters.min_pixels}, but nothing was merged: of {counted(undersized, 'smaller segment')} "
        f"none has a larger neighbour{near}."
    ]
