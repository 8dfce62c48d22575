# SPDX-License-Identifier: GPL-2.0-or-later
"""The algorithm a second time: slow, short, and written from its description alone.

Nothing here imports the engine. Numbers are Python's integers and Fractions, and numpy.float32 where the algorithm
says single precision. What is here has to be so plain that it is right at a glance; what the engine does faster is held
against it. `segment` is the whole of it.
"""

from .attributes import describe
from .kmeans import find_centres
from .levels import level_columns, segment_levels
from .segmentation import Stages, segment
from .stretch import Limits, rsgislib_limits, stretch_limits
from .validity import as_given, as_rsgislib_reads, rsgislib_valid_pixels, valid_pixels

__all__ = [
    "Limits",
    "Stages",
    "as_given",
    "as_rsgislib_reads",
    "describe",
    "find_centres",
    "level_columns",
    "rsgislib_limits",
    "rsgislib_valid_pixels",
    "segment",
    "segment_levels",
    "stretch_limits",
    "valid_pixels",
]
