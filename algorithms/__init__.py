# SPDX-License-Identifier: GPL-2.0-or-later
"""The Processing algorithms, one file each."""

from .example import ExampleData
from .levels import SegmentLevels
from .meanimage import SegmentMeanImage
from .neighbours import SegmentNeighbours
from .parameters import FindParameters
from .polygons import SegmentPolygons
from .preflight import CheckTiles
from .rasterise import ColumnToRaster
from .segment import SegmentRaster
from .shape import SegmentShape
from .statistics import SegmentStatistics
from .status import ShowStatus

ALGORITHMS = (
    CheckTiles,
    ColumnToRaster,
    ExampleData,
    FindParameters,
    SegmentLevels,
    SegmentMeanImage,
    SegmentNeighbours,
    SegmentPolygons,
    SegmentRaster,
    SegmentShape,
    SegmentStatistics,
    ShowStatus,
)
