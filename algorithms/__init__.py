# SPDX-License-Identifier: GPL-2.0-or-later
"""The Processing algorithms, one file each."""

from .example import ExampleData
from .levels import SegmentLevels
from .meanimage import SegmentMeanImage
from .polygons import SegmentPolygons
from .preflight import CheckTiles
from .segment import SegmentRaster
from .statistics import SegmentStatistics
from .status import ShowStatus

ALGORITHMS = (
    CheckTiles,
    ExampleData,
    SegmentLevels,
    SegmentMeanImage,
    SegmentPolygons,
    SegmentRaster,
    SegmentStatistics,
    ShowStatus,
)
