# SPDX-License-Identifier: GPL-2.0-or-later
"""Columns that an attribute table has already: they are never replaced, and the user is warned of stale ones."""

import re
from dataclasses import replace
from itertools import count
from typing import Callable, Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from ..files.tables import Column
from ..parameters import PERCENTILE, STATISTICS
from ..progress import Feedback
from ..wording import counted

HISTOGRAM = "Histogram"
STATISTIC = re.compile(rf"(.+_)?({'|'.join(STATISTICS)}|{PERCENTILE.pattern}|share_-?\d+)_\d+(_\d+)?$")
OF_OBJECTS = re.compile(  # names of the columns that `shape_columns` and `segment_neighbours` make
    r"(shape_|neighbours_)?(area|perimeter|on_ellipsoid|compactness|shape_index|fractal_dimension|rectangularity|"
    r"elongation|orientation|hole_count|[xy]_inside|(min|max)_[xy]|on_edge|neighbours|border_nodata|share_.+|"
    r"(mean|greatest)_difference_\d+)(_\d+)?$"
)
MOST_NAMES = 8  # in a sentence


def is_ours(name: str) -> bool:
    """Whether a column looks like one that algorithms over segments write."""
    return bool(STATISTIC.match(name) or OF_OBJECTS.match(name))


class PresentColumns:
    """The columns of a table as they concern the segments of a raster.

    Parameters
    ----------
    names : of all columns; some formats take upper and lower case for the same
    values_of : function of a name, (segments,) numbers of the raster's segments; None where they are no numbers
    """

    def __init__(self, names: Iterable[str], values_of: Callable[[str], Optional[np.ndarray]]) -> None:
        self.names = list(names)
        self._by_key = {name.casefold(): name for name in self.names}
        self._values_of = values_of

    def __contains__(self, name: str) -> bool:
        return name.casefold() in self._by_key

    def holds(self, column: Column) -> bool:
        """Whether there is a column of this name with these values."""
        values = self._values_of(self._by_key[column.name.casefold()])
        return values is not None and np.allclose(values, column.values, rtol=1e-9, equal_nan=True)

    def named(self, columns: Sequence[Column], prefix: str, feedback: Feedback) -> Tuple[List[Column], List[str]]:
        """Columns under names that are free, without those that are there; and the names of the latter.

        Parameters
        ----------
        columns : a row for each of the raster's segments
        prefix : what the values are called
        """
        new: List[Column] = []
        held: List[str] = []
        taken = set(self._by_key)
        for column in columns:
            for name in _candidates(column.name, prefix):
                key = name.casefold()
                if key not in taken:
                    new.append(replace(column, name=name))
                    taken.add(key)
                    break
                if key in self._by_key and self.holds(replace(column, name=name)):
                    held.append(self._by_key[key])
                    break
            if name != column.name and held[-1:] == [name]:
                feedback.info(f"The values of {column.name} are in the attribute table already, as {name}.")
            elif name != column.name:
                feedback.info(f"The attribute table has a column {column.name} already: the new one is called {name}.")
        return new, held

    def stale(self, fresh: List[str]) -> List[str]:
        """The names of columns that look like ours and that nobody has computed anew."""
        return [name for name in self.names if is_ours(name) and name not in fresh]

    def warn_of_stale(self, fresh: List[str], absent: int, feedback: Feedback) -> None:
        """Warn that the table was made for other pixels, and which of our columns nobody has computed anew.

        Parameters
        ----------
        fresh : names of columns whose values have been checked
        absent : how many of the table's segments the raster does not have
        """
        stale = self.stale(fresh)
        shown = ", ".join(stale[:MOST_NAMES]) + (f" and {len(stale) - MOST_NAMES} more" if stale[MOST_NAMES:] else "")
        feedback.warning(
            f"The attribute table is of other pixels than SEGMENTS has now: {HISTOGRAM} has been counted anew"
            + (
                f" (0 for {counted(absent, 'segment')} that {'is' if absent == 1 else 'are'} not there)"
                if absent
                else ""
            )
            + (f", but {shown} may be stale: delete them, or compute them again." if stale else ".")
        )


def _candidates(name: str, prefix: str) -> Iterator[str]:
    yield name
    yield f"{prefix}_{name}"
    for number in count(2):
        yield f"{prefix}_{name}_{number}"
