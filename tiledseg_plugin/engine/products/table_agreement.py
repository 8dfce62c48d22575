# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the attribute table of a raster of segments is of its pixels: one that was cut out of a larger one keeps a
table that is not, or lacks the counts of pixels, which GDAL drops. Whoever reads the segments says so.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np
from osgeo import gdal

from .. import kernels
from ..files.gdal_access import collected_errors, open_raster
from ..files.output_files import is_attribute_table
from ..files.publish import attributes_path
from ..files.raster import describe
from ..files.tables import quoted
from ..progress import Check
from ..stages.statistics import blocks
from ..wording import counted
from .id_columns import ID, rows_of
from .present_columns import HISTOGRAM
from .segment_ids import RasterIds
from .update_geopackage import database_uri


@dataclass(frozen=True)
class Claim:
    """What a table says.

    ids : (rows,) int64, of the segments that it is about
    counts : (rows,) float64, of their pixels; None where it does not say
    """

    ids: np.ndarray
    counts: Optional[np.ndarray]


def claim_of(segments: str) -> Optional[Claim]:
    """What the attribute table of a raster says of its segments; None where there is none, or it names no values."""
    beside = attributes_path(segments)
    if is_attribute_table(beside):
        return _claim_beside(beside)
    with collected_errors():
        dataset = open_raster(segments)
        table = dataset.GetRasterBand(1).GetDefaultRAT()
        if table is None or not table.GetRowCount():
            return None
        every = range(table.GetColumnCount())
        usages = {table.GetUsageOfCol(index): index for index in every if table.GetTypeOfCol(index) != gdal.GFT_String}
        counts = None
        if gdal.GFU_PixelCount in usages:
            counts = np.asarray(table.ReadAsArray(usages[gdal.GFU_PixelCount])).astype(np.float64)
        elif gdal.GFU_MinMax not in usages and "Value" not in [table.GetNameOfCol(index) for index in every]:
            return None  # rows that need not be about values
        ids = rows_of(table)
    return _about_segments(ids, counts)


def _claim_beside(path: str) -> Optional[Claim]:
    try:
        with closing(sqlite3.connect(database_uri(path), uri=True)) as connection:
            (name,) = connection.execute("SELECT table_name FROM gpkg_contents LIMIT 1").fetchone()
            statement = f"SELECT {quoted(ID)}, {quoted(HISTOGRAM)} FROM {quoted(name)}"  # noqa: S608 # nosec B608
            rows = connection.execute(statement).fetchall()
    except (sqlite3.Error, TypeError):  # in use elsewhere, or no GeoPackage: what needs it says so
        return None
    table = np.array(rows, np.float64).reshape(-1, 2)
    return _about_segments(np.nan_to_num(table[:, 0]).astype(np.int64), np.nan_to_num(table[:, 1]))


def _about_segments(ids: np.ndarray, counts: Optional[np.ndarray]) -> Claim:
    """Rows without pixels are there for numbers that no segment has."""
    order = np.argsort(ids, kind="stable")
    if counts is None:
        return Claim(ids[order], None)
    order = order[counts[order] > 0]
    return Claim(ids[order], counts[order])


def disagreement(claim: Optional[Claim], ids: np.ndarray, sizes: np.ndarray, absent: int) -> str:
    """A sentence on how a table differs from the pixels; empty where it does not.

    Parameters
    ----------
    ids, sizes : (segments,) of the raster, the ids ascending
    absent : the number that no segment can have; a table may count its pixels, too
    """
    if claim is None:
        return ""
    kept = claim.ids != absent
    own, counts = claim.ids[kept], None if claim.counts is None else claim.counts[kept]
    ids = ids.astype(np.int64)
    gone = int(np.count_nonzero(~np.isin(own, ids)))
    new = int(np.count_nonzero(~np.isin(ids, own)))
    others = 0
    if counts is not None and own.size:
        places = np.minimum(np.searchsorted(own, ids), own.size - 1)
        others = int(np.count_nonzero((own[places] == ids) & (counts[places] != sizes)))
    parts = [
        f"{counted(gone, 'segment')} in it {'is' if gone == 1 else 'are'} not there" if gone else "",
        f"{counted(others, 'segment')} {'has' if others == 1 else 'have'} another number of pixels" if others else "",
        f"{counted(new, 'segment')} {'is' if new == 1 else 'are'} not in it" if new else "",
    ]
    if not any(parts):
        return ""
    return (
        f"The attribute table of SEGMENTS is of other pixels ({', '.join(filter(None, parts))}), as where a raster was "
        "cut out of a larger one: the segments and pixels that are there count."
    )


def looked_over(segments: str, check_cancelled: Check) -> Tuple[str, Optional[np.ndarray]]:
    """`disagreement` for whoever does not read the pixels anyway, and the ids that are there where there is one.

    Pixels are only counted at first: where there are as many as the table says, it is taken to be right.
    """
    claim = claim_of(segments)
    if claim is None:
        return "", None
    raster = describe(segments, (1,))
    ids = RasterIds(raster)
    if claim.counts is not None:
        own = claim.counts[claim.ids != ids.absent].sum()
        read = ids.reader()
        total = 0
        for window in blocks(raster):
            check_cancelled()
            total += int(np.count_nonzero(read(window)))
        if total == own:
            return "", None
    present, sizes = _counted(ids, check_cancelled)
    sentence = disagreement(claim, present, sizes, ids.absent)
    return sentence, present if sentence else None


def _counted(ids: RasterIds, check_cancelled: Check) -> Tuple[np.ndarray, np.ndarray]:
    """The ids that are there, ascending, and their pixels."""
    kernel, _ = kernels.choose()
    read = ids.reader()
    parts: List[Tuple[np.ndarray, np.ndarray]] = []
    for window in blocks(ids.raster):
        check_cancelled()
        present, _, sizes = kernel.compact(read(window))
        parts.append((present, sizes))
    every, places = np.unique(np.concatenate([present for present, _ in parts]), return_inverse=True)
    counts = np.bincount(places.reshape(-1), np.concatenate([sizes for _, sizes in parts]), every.size)
    return ids.named(every), counts.astype(np.int64)
