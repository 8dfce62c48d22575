# SPDX-License-Identifier: GPL-2.0-or-later
"""The classes of segments, which a column of their attribute table says: whole numbers or texts."""

from dataclasses import dataclass
from typing import Dict, List, Set, Union

import numpy as np

from ..errors import SegmentationError
from ..files.stored import Rows
from ..progress import Check
from .id_columns import TableSource, column_names, read_column

MOST_CLASSES = 256


@dataclass(frozen=True)
class Classes:
    """The classes of segments.

    names : of the classes, ascending
    numbers : (segments,) int64, 1 + index in `names`, 0 for segments without a class; empty without names
    """

    names: List[str]
    numbers: np.ndarray


def check_classes(segments: str, name: str) -> None:
    """Refuse a column that is not there."""
    names = column_names(TableSource(segments))
    if name.casefold() not in [one.casefold() for one in names]:
        raise SegmentationError(
            f"CLASSES is '{name}', and the attribute table of {segments} has no such column: choose one of "
            f"{', '.join(names[:12])}."
        )


def classes_of(segments: str, name: str, ids: Rows, check_cancelled: Check) -> Classes:
    """The classes of segments.

    Parameters
    ----------
    name : of the column; empty for no classes
    ids : (segments,) uint32, ascending

    Raises
    ------
    SegmentationError : a number is no whole one, there are too many classes, or no segment has one
    """
    if not name:
        return Classes([], np.zeros(0, np.int64))
    ids = np.asarray(ids)
    column = read_column(TableSource(segments), name, check_cancelled)
    values: Union[np.ndarray, List[float]]
    if isinstance(column.values, list):
        names = sorted({text for text in column.values if text})
        places: Dict[str, float] = {text: float(place) for place, text in enumerate(names, 1)}
        values = np.array([places.get(text or "", 0.0) for text in column.values])
    else:
        known = np.unique(column.values[~np.isnan(column.values)])
        broken = known[known != np.floor(known)]
        if broken.size:
            raise SegmentationError(
                f"CLASSES {name} holds {broken[0]:.10g}: classes are whole numbers or texts, so choose another column."
            )
        names = [str(int(value)) for value in known]
        values = np.where(np.isnan(column.values), 0, np.searchsorted(known, column.values) + 1)
    numbers = np.zeros(ids.size, np.int64)
    there = np.isin(ids, column.ids)
    numbers[there] = values[np.searchsorted(column.ids, ids[there])].astype(np.int64)
    return _present(names, numbers, name)


def _present(names: List[str], numbers: np.ndarray, name: str) -> Classes:
    """The classes that segments have, numbered anew."""
    present = np.unique(numbers[numbers > 0])
    if not present.size:
        raise SegmentationError(f"CLASSES {name} has no value for any segment: choose another column.")
    if present.size > MOST_CLASSES:
        raise SegmentationError(
            f"CLASSES {name} has {present.size} different values, and at most {MOST_CLASSES} can be classes: choose "
            "another column."
        )
    anew = np.zeros(len(names) + 1, np.int64)
    anew[present] = np.arange(1, present.size + 1)
    return Classes(_told_apart([names[place - 1] for place in present.tolist()]), anew[numbers])


def _told_apart(names: List[str]) -> List[str]:
    """The names, some with a number where they differ in nothing but upper and lower case, as columns may not."""
    found: List[str] = []
    taken = {name.casefold() for name in names}
    seen: Set[str] = set()
    for name in names:
        unlike, number = name, 1
        while unlike.casefold() in (seen if number == 1 else taken | seen):
            number += 1
            unlike = f"{name}_{number}"
        seen.add(unlike.casefold())
        found.append(unlike)
    return found
