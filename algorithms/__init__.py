# SPDX-License-Identifier: GPL-2.0-or-later
"""The Processing algorithms, one file each."""

from .preflight import CheckTiles
from .segment import SegmentRaster
from .status import ShowStatus

ALGORITHMS = (CheckTiles, SegmentRaster, ShowStatus)
