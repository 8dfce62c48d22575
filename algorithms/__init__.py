# SPDX-License-Identifier: GPL-2.0-or-later
"""The Processing algorithms, one file each."""

from .example import ExampleData
from .meanimage import SegmentMeanImage
from .parameters import FindParameters
from .polygons import SegmentPolygons
from .preflight import CheckTiles
from .segment import SegmentRaster
from .shape import SegmentShape
from .statistics import SegmentStatistics
from .status import ShowStatus

ALGORITHMS = (
    CheckTiles,
    ExampleData,
    FindParameters,
    SegmentMeanImage,
    SegmentPolygons,
    SegmentRaster,
    SegmentShape,
    SegmentStatistics,
    ShowStatus,
)
