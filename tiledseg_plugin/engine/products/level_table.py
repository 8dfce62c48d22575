# SPDX-License-Identifier: GPL-2.0-or-later
"""The attribute table of a level, combined from the columns of the segments that its segments are made of.

Counts, sums and extremes of parts add up to those of the whole, and so do means and deviations with the counts. Of
whole numbers all of this is exact: what was added up is found again from the means, whose digits suffice, and the
result is that of a run with the level as MIN_PIXELS, to the last bit. Of other numbers it is that but for the rounding
of doubles. Colours are the mean of the parts' colours.
"""

import re
from dataclasses import dataclass
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np

from ..errors import SegmentationError
from ..files.segment_table import SegmentTable
from ..files.tables import Column
from ..progress import Check, Feedback
from .run_columns import LEVEL_PREFIX

ROUNDING = 8 * np.finfo(np.float64).eps  # of a mean that was written as text and multiplied; of squares four times that
IDS = ("value", "segment", "fid")
COLOURS = ("Red", "Green", "Blue", "Alpha")
STATISTIC = re.compile(r"(.+_)?(mean|std|min|max|sum|count)((?:_\d+)+)$")
MOST_NAMES = 8  # in a sentence


def levels_in(table: SegmentTable) -> List[int]:
    """The levels that a table has columns of, ascending."""
    found = [re.fullmatch(LEVEL_PREFIX + r"([1-9]\d*)", name) for name in table.kinds]
    return sorted(int(match.group(1)) for match in found if match)


class Grouping:
    """Which segments are one at a level.

    Attributes
    ----------
    place : (segments,) uint32, the index of what each is a part of, from 0; they are ordered by their first pixels
    stand : (count,) uint32, the index of the segment that stands for each
    """

    def __init__(self, holders: np.ndarray) -> None:
        self.stand = np.flatnonzero(holders == np.arange(1, holders.size + 1)).astype(np.uint32)
        number = np.full(holders.size, self.stand.size, np.uint32)
        number[self.stand] = np.arange(self.stand.size, dtype=np.uint32)
        self.place = number[holders - 1]

    @property
    def count(self) -> int:
        """How many there are at the level."""
        return self.stand.size

    @property
    def is_whole(self) -> bool:
        """Whether each segment has one that stands for it."""
        return int(self.place.max(initial=0)) < self.count


def grouping_of(table: SegmentTable, level: int, path: str) -> Grouping:
    """What the table says of a level.

    Raises
    ------
    SegmentationError : there is no such column, or it does not say that
    """
    name = f"{LEVEL_PREFIX}{level}"
    if name not in table.kinds:
        levels = levels_in(table)
        there = (
            f"it has {', '.join(map(str, levels))}" if levels else "run 'Segment raster' with LEVELS for such columns"
        )
        raise SegmentationError(f"SEGMENTS {path} has no column {name} in its table: {there}.")
    holders = np.concatenate([lot for (lot,) in table.lots([name])])
    valid = holders.dtype.kind in "iu" or bool(np.all(holders == np.floor(holders)))
    own = np.arange(1, holders.size + 1)
    if valid and holders.size == table.rows and np.all((holders >= 1) & (holders <= own)):
        grouping = Grouping(holders.astype(np.uint32))
        if grouping.is_whole:
            return grouping
    raise SegmentationError(f"The column {name} of SEGMENTS {path} is damaged: run 'Segment raster' again.")


@dataclass
class _Lot:
    """Some rows, ordered by what they are parts of.

    order : of the rows
    starts : where the rows of each whole begin in this order
    wholes : (n,) which they are
    """

    order: np.ndarray
    starts: np.ndarray
    wholes: np.ndarray

    def reduced(self, ufunc: np.ufunc, values: np.ndarray) -> np.ndarray:
        return ufunc.reduceat(values[self.order], self.starts)


class LevelTable:
    """Columns of a level, each asked of the table when it is wanted.

    sizes : (count,) int64, pixels
    """

    def __init__(self, table: SegmentTable, grouping: Grouping, check: Check) -> None:
        self._table, self._grouping, self._check = table, grouping, check
        self._lots: Dict[int, _Lot] = {}
        self.sizes = self._added("Histogram").astype(np.int64)

    def columns(self, level: int, feedback: Feedback) -> List[Column]:
        """The columns, in the order of the table; what cannot be combined is left out, and the log says so."""
        made: List[Column] = []
        left = list(self._table.texts)
        for name in self._table.kinds:
            self._check()
            if name.lower() in IDS:
                continue
            column = self._column(name, level)
            if column is None:
                left.append(name)
            elif column.values.size:
                made.append(column)
        if left:
            more = f" and {len(left) - MOST_NAMES} more" if len(left) > MOST_NAMES else ""
            feedback.info(
                f"Columns that cannot be combined are left out: {', '.join(left[:MOST_NAMES])}{more}; "
                "'Segment statistics' computes such for OUTPUT."
            )
        return made

    def _column(self, name: str, level: int) -> Optional[Column]:
        """None where there is no way to combine it; without rows where it says nothing at this level."""
        match = STATISTIC.match(name)
        if name == "Histogram":
            return Column(name, self.sizes.astype(np.float64), "PixelCount")
        if name in COLOURS:
            return Column(name, np.floor(self._mean(name, "Histogram")[0] + 0.5).astype(np.int32), name)
        if re.fullmatch(LEVEL_PREFIX + r"[1-9]\d*", name):
            return Column(name, self._holders(name) if int(name[len(LEVEL_PREFIX) :]) > level else np.empty(0))
        values = self._statistic(match, name) if match else self._common(name)
        return None if values is None else Column(name, values)

    def _statistic(self, match: "re.Match[str]", name: str) -> Optional[np.ndarray]:
        kind = match.group(2)
        count, mean = (f"{match.group(1) or ''}{other}{match.group(3)}" for other in ("count", "mean"))
        weights = count if count in self._table.kinds else "Histogram"
        if kind == "mean":
            return self._mean(name, weights)[0]
        if kind == "std":
            return self._deviation(name, mean, weights) if mean in self._table.kinds else None
        if kind in ("min", "max"):
            return self._extreme(name, np.fmin if kind == "min" else np.fmax)
        return self._added(name)

    def _rows(self, *names: str) -> Iterator[Tuple[_Lot, List[np.ndarray]]]:
        """Lots of rows, each with what it is parts of."""
        first = 0
        for values in self._table.lots(names):
            self._check()
            if first not in self._lots:
                place = self._grouping.place[first : first + values[0].size]
                order = np.argsort(place, kind="stable")
                starts = np.flatnonzero(np.diff(place[order].astype(np.int64), prepend=-1))
                self._lots[first] = _Lot(order, starts, place[order[starts]])
            yield self._lots[first], values
            first += values[0].size

    def _sum(self, made: Callable[..., np.ndarray], *names: str) -> np.ndarray:
        """Sums of what is made of some columns: (count,) float64."""
        total = np.zeros(self._grouping.count)
        for lot, values in self._rows(*names):
            total[lot.wholes] += lot.reduced(np.add, made(lot, *values))
        return total

    def _added(self, name: str) -> np.ndarray:
        """Sums of a column; NaN where no part has a value."""
        some = self._sum(lambda _, values: (~np.isnan(values)).astype(np.float64), name)
        total = self._sum(lambda _, values: np.nan_to_num(values.astype(np.float64)), name)
        return np.where(some > 0, total, np.nan)

    def _extreme(self, name: str, least: np.ufunc) -> np.ndarray:
        found = np.full(self._grouping.count, np.nan)
        for lot, (values,) in self._rows(name):
            found[lot.wholes] = least(found[lot.wholes], lot.reduced(least, values.astype(np.float64)))
        return found

    def _mean(self, name: str, weights: str) -> Tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
        """Means, sums, counts, and whether all sums of parts are whole numbers."""
        whole = True

        def total_of(_: _Lot, mean: np.ndarray, count: np.ndarray) -> np.ndarray:
            nonlocal whole
            total, is_whole = _rounded(np.nan_to_num(mean * count), ROUNDING)
            whole = whole and is_whole
            return total

        counts = self._sum(_counts, name, weights)
        totals = self._sum(total_of, name, weights)
        with np.errstate(invalid="ignore"):
            return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan), totals, counts, whole

    def _deviation(self, name: str, mean_name: str, weights: str) -> np.ndarray:
        """Population standard deviations, by those of the parts about a value near the mean of the whole."""
        means, totals, counts, whole = self._mean(mean_name, weights)
        about = np.nan_to_num(np.floor(means) if whole else means)

        def squares(lot: _Lot, deviation: np.ndarray, mean: np.ndarray, count: np.ndarray) -> np.ndarray:
            away = np.empty(mean.size)
            away[lot.order] = np.repeat(about[lot.wholes], np.diff(np.append(lot.starts, mean.size)))
            if not whole:
                return np.nan_to_num((deviation**2 + (mean - away) ** 2) * count)
            off = _rounded(np.nan_to_num(mean * count), ROUNDING)[0] - count * away
            return _rounded(np.nan_to_num(deviation**2 * count + off * (off / np.maximum(count, 1))), 4 * ROUNDING)[0]

        with np.errstate(invalid="ignore", over="ignore"):
            about_whole = self._sum(squares, name, mean_name, weights)
            some = np.maximum(counts, 1)
            rest = totals - about * counts
            variance = (about_whole - rest * (rest / some)) / some
            return np.where(counts > 0, np.sqrt(np.maximum(variance, 0)), np.nan)

    def _holders(self, name: str) -> np.ndarray:
        """A column of a level above, by the numbers of this one: (count,) uint32."""
        holders = np.concatenate([values for (values,) in self._table.lots([name])]).astype(np.int64)
        return self._grouping.place[holders[self._grouping.stand] - 1] + np.uint32(1)

    def _common(self, name: str) -> Optional[np.ndarray]:
        """What all parts of each agree upon; None if they do not."""
        least, most = self._extreme(name, np.fmin), self._extreme(name, np.fmax)
        if not np.array_equal(least, most, equal_nan=True):
            return None
        return least if self._table.kinds[name] or np.isnan(least).any() else least.astype(np.int64)


def _counts(_: _Lot, mean: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(mean), 0, np.nan_to_num(count)).astype(np.float64)


def _rounded(values: np.ndarray, share: float) -> Tuple[np.ndarray, bool]:
    """Whole numbers where the values are that but for rounding; and whether all are."""
    near = np.rint(values)
    is_near = np.abs(values - near) <= share * np.abs(values)
    return np.where(is_near, near, values), bool(is_near.all())
