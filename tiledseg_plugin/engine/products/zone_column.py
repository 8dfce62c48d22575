# SPDX-License-Identifier: GPL-2.0-or-later
"""The zone that each segment of a run is in: that of its first pixel, as no segment is in two."""

from dataclasses import dataclass
from typing import List

import numpy as np

from ..files.stored import Stored
from ..files.tables import Column
from ..files.work_folder import WorkFolder
from ..progress import Check
from ..stages.context import RunContext
from ..stages.numbering import Segments, first_of
from ..stages.zones import CELL, Zones

ZONE = "zone"


@dataclass(frozen=True)
class ZoneJob:
    """What all strips share.

    width : of the raster, pixels
    """

    folder: WorkFolder
    zones: Zones
    width: int


def zone_of(strip: int) -> str:
    """Under which lie the zones of a strip's segments: (segments,) float64, NaN in no zone."""
    return f"zone-{strip:07d}"


def find_zones_of_strip(job: ZoneJob, strip: int, check_cancelled: Check) -> None:
    """Find the zones of the segments that begin in a strip: the task. Pixels near each other are looked up at once."""
    rows, cols = np.divmod(np.array(job.folder.map_array(first_of(strip))), job.width)
    cells = (rows // CELL) * (job.width // CELL + 1) + cols // CELL
    order = np.argsort(cells, kind="stable")
    found = np.empty(rows.size)
    for some in np.split(order, np.flatnonzero(np.diff(cells[order])) + 1) if order.size else []:
        check_cancelled()
        found[some] = job.zones.ids(rows[some], cols[some])
    job.folder.save_array(zone_of(strip), found)


def zone_columns(context: RunContext, segments: Segments) -> List[Column]:
    """The column `zone` of all segments; none without zones that have ids."""
    zones, folder, counts = context.plan.zones, context.folder, segments.in_strips
    if zones is None or not zones.has_ids:
        return []
    job = ZoneJob(folder, zones, context.raster.width)
    for _ in context.run(find_zones_of_strip, job, range(len(counts))):
        pass
    paths = [folder.array_path(zone_of(strip)) for strip in range(len(counts))]
    return [Column(ZONE, Stored(paths, counts, np.dtype(np.float64)))]
