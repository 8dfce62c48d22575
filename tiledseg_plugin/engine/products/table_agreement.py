# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the attribute table of a raster of segments is of its pixels: one that was cut out of a larger one keeps a
table that is not, or lacks the counts of pixels, which GDAL drops. Whoever reads the segments says so.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from itertools import repeat
from typing import Iterator, List, Optional, Tuple

import numpy as np
from osgeo import gdal

from .. import kernels
from ..files.gdal_access import collected_errors, open_raster
from ..files.output_files import is_attribute_table
from ..files.publish import attributes_path
from ..files.raster import describe
from ..files.segment_table import FETCHED, OWN_TABLES
from ..files.stored import Rows
from ..files.tables import quoted
from ..progress import Check
from ..stages.statistics import blocks
from ..wording import counted
from .id_columns import ID, value_column
from .present_columns import HISTOGRAM
from .segment_ids import RasterIds
from .update_geopackage import database_uri

ROWS = 1 << 16  # at a time
Lot = Tuple[np.ndarray, Optional[np.ndarray]]  # ids and pixels, as in `Claim`


@dataclass(frozen=True)
class Claim:
    """What a table says.

    ids : (rows,) int64, ascending, of the segments that it is about
    counts : (rows,) float64, of their pixels; None where it does not say
    """

    ids: np.ndarray
    counts: Optional[np.ndarray]


def claim_of(segments: str) -> Optional[Claim]:
    """What the attribute table of a raster says of its segments; None where there is none, or it names no values."""
    lots = claim_lots(segments)
    if lots is None:
        return None
    try:
        parts = list(lots)
    except sqlite3.Error:
        return None
    ids = np.concatenate([np.empty(0, np.int64), *(ids for ids, _ in parts)])
    order = np.argsort(ids, kind="stable")
    known = [counts for _, counts in parts if counts is not None]
    return Claim(ids[order], np.concatenate(known)[order] if known else None)


def claim_lots(segments: str) -> Optional[Iterator[Lot]]:
    """As `claim_of`, some rows at a time, as the table has them.

    Rows without pixels, which are there for numbers that no segment has, are left out. What iterates may raise
    sqlite3.Error.
    """
    beside = attributes_path(segments)
    if is_attribute_table(beside):
        return _lots_beside(beside)
    with collected_errors():
        dataset = open_raster(segments)
        table = dataset.GetRasterBand(1).GetDefaultRAT()
        if table is None or not table.GetRowCount():
            return None
        every = range(table.GetColumnCount())
        usages = {table.GetUsageOfCol(index): index for index in every if table.GetTypeOfCol(index) != gdal.GFT_String}
        names = [table.GetNameOfCol(index) for index in every]
    if gdal.GFU_PixelCount not in usages and gdal.GFU_MinMax not in usages and "Value" not in names:
        return None  # rows that need not be about values
    return _lots_inside(dataset, table, usages.get(gdal.GFU_PixelCount))


def _lots_inside(dataset: gdal.Dataset, table: gdal.RasterAttributeTable, counted: Optional[int]) -> Iterator[Lot]:
    total = table.GetRowCount()
    step = ROWS if dataset.GetDriver().ShortName in OWN_TABLES else total

    def lots_of(index: int) -> Iterator[np.ndarray]:
        for first in range(0, total, step):
            with collected_errors():
                values = np.asarray(table.ReadAsArray(index, first, min(step, total - first)))
            yield values

    of_values = value_column(table, lots_of)
    ids = lots_of(of_values) if of_values is not None else repeat(None)
    counts = lots_of(counted) if counted is not None else repeat(None)
    for first, own, pixels in zip(range(0, total, step), ids, counts):
        own = np.arange(first, min(first + step, total)) if own is None else own
        yield _about_segments(own.astype(np.int64), None if pixels is None else pixels.astype(np.float64))


def _lots_beside(path: str) -> Optional[Iterator[Lot]]:
    connection = None
    try:
        connection = sqlite3.connect(database_uri(path), uri=True)
        (name,) = connection.execute("SELECT table_name FROM gpkg_contents LIMIT 1").fetchone()
        statement = f"SELECT {quoted(ID)}, {quoted(HISTOGRAM)} FROM {quoted(name)}"  # noqa: S608 # nosec B608
        cursor = connection.execute(statement)
    except (sqlite3.Error, TypeError):  # in use elsewhere, or no GeoPackage: what needs it says so
        if connection is not None:
            connection.close()
        return None
    return _lots_of(cursor, connection)


def _lots_of(cursor: sqlite3.Cursor, connection: sqlite3.Connection) -> Iterator[Lot]:
    with closing(connection):
        while True:
            parts = [np.empty((0, 2))]
            for _ in range(ROWS // FETCHED):
                rows = cursor.fetchmany(FETCHED)
                if not rows:
                    break
                parts.append(np.array(rows, np.float64))
            table = np.nan_to_num(np.concatenate(parts))
            if not table.size:
                return
            yield _about_segments(table[:, 0].astype(np.int64), table[:, 1])


def _about_segments(ids: np.ndarray, counts: Optional[np.ndarray]) -> Lot:
    """Rows without pixels are there for numbers that no segment has."""
    return (ids, None) if counts is None else (ids[counts > 0], counts[counts > 0])


class _Unordered(Exception):
    """The rows of a table are not in the order of the segments."""


class _Differences:
    """How a table differs from the segments of a raster, of which some rows are looked at at a time.

    Parameters
    ----------
    ids, sizes : see `disagreement`
    """

    def __init__(self, ids: Rows, sizes: Rows) -> None:
        self._ids, self._sizes, self._at, self._last = ids, sizes, 0, -1
        self._gone, self._new, self._others = 0, 0, 0

    def add(self, own: np.ndarray, counts: Optional[np.ndarray]) -> None:
        """Compare the next rows of the table, which follow those before.

        Raises
        ------
        _Unordered : they do not
        """
        if own.size and (own[0] <= self._last or (own[1:] <= own[:-1]).any()):
            raise _Unordered
        while own.size:
            self._last = int(own[-1])
            here = self._ids[self._at : self._at + ROWS].astype(np.int64)
            upto = int(np.searchsorted(own, here[-1], side="right")) if here.size else own.size
            if upto == own.size:
                here = here[: np.searchsorted(here, self._last, side="right")]
            places = np.searchsorted(here, own[:upto])
            there = np.append(here, -1)[places] == own[:upto]
            both = int(np.count_nonzero(there))
            self._gone, self._new = self._gone + upto - both, self._new + here.size - both
            if counts is not None:
                sizes = self._sizes[self._at : self._at + here.size]
                self._others += int(np.count_nonzero(counts[:upto][there] != sizes[places[there]]))
                counts = counts[upto:]
            own, self._at = own[upto:], self._at + here.size

    def sentence(self) -> str:
        """When all rows have been compared."""
        return _sentence(self._gone, self._others, self._new + self._ids.size - self._at)


def disagreement(segments: str, ids: Rows, sizes: Rows, absent: int) -> str:
    """A sentence on how the table of a raster differs from its pixels; empty where it does not.

    Where the rows of the table are in no order, which no program is known to write, all are held.

    Parameters
    ----------
    ids, sizes : (segments,) of the raster, the ids ascending
    absent : the number that no segment can have; a table may count its pixels, too
    """
    differences = _Differences(ids, sizes)
    lots = claim_lots(segments)
    if lots is None:
        return ""
    try:
        for lot in lots:
            own, counts = _without(absent, lot)
            differences.add(own, counts)
    except sqlite3.Error:
        return ""
    except _Unordered:
        claim = claim_of(segments)
        return "" if claim is None else _disagreement(claim, np.asarray(ids), np.asarray(sizes), absent)
    return differences.sentence()


def _without(absent: int, lot: Lot) -> Lot:
    ids, counts = lot
    kept = ids != absent
    return (ids, counts) if kept.all() else (ids[kept], None if counts is None else counts[kept])


def _disagreement(claim: Claim, ids: np.ndarray, sizes: np.ndarray, absent: int) -> str:
    own, counts = _without(absent, (claim.ids, claim.counts))
    ids = ids.astype(np.int64)
    gone = int(np.count_nonzero(~np.isin(own, ids)))
    new = int(np.count_nonzero(~np.isin(ids, own)))
    others = 0
    if counts is not None and own.size:
        places = np.minimum(np.searchsorted(own, ids), own.size - 1)
        others = int(np.count_nonzero((own[places] == ids) & (counts[places] != sizes)))
    return _sentence(gone, others, new)


def _sentence(gone: int, others: int, new: int) -> str:
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
    sentence = _disagreement(claim, present, sizes, ids.absent)
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
