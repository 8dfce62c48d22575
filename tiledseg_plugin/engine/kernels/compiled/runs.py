# SPDX-License-Identifier: GPL-2.0-or-later
"""Labels as runs: what is written of pieces, and drawn again."""

from typing import Optional, Tuple

import numpy as np

from ..plain.runs import ABOVE, BESIDE, DAMAGED, GIVEN, MOST, REACH, SAME
from .cache import inner, kernel
from .pixels import read_only

NO_TABLE = np.empty(0, np.uint32)
AT_ONCE = 8  # pixels that are filled without asking how long the run is


@inner
def _find_runs(row: np.ndarray, flags: np.ndarray, ends: np.ndarray) -> int:
    """Where the runs of a row end; returns how many there are. Without branches, as nobody can foresee them."""
    last = row.size - 1
    for col in range(last):
        flags[col] = row[col] != row[col + 1]
    flags[last] = 1
    found = 0
    for col in range(row.size):
        ends[found] = col + 1
        found += flags[col]
    return found


@kernel
def _encode(
    labels: np.ndarray, flags: np.ndarray, room: np.ndarray, codes: np.ndarray, given: np.ndarray
) -> Tuple[int, int]:
    """How many codes and given labels there are. `room` is for where the runs of two rows end."""
    rows, cols = labels.shape
    coded, known = 0, 0
    for row in range(rows):
        own, above, ends, ends_above = labels[row], labels[max(row - 1, 0)], room[row % 2], room[(row + 1) % 2]
        runs = _find_runs(own, flags, ends)
        begin, place = 0, 0
        for run in range(runs):
            end, label, kind = ends[run], own[begin], GIVEN
            if row:
                while ends_above[place] <= begin:
                    place += 1
                border = ends_above[place]
                is_beside = border < cols and border - begin <= REACH and above[min(border, cols - 1)] == label
                kind = ABOVE if above[begin] == label else BESIDE if is_beside else GIVEN
            given[known] = label
            known += kind == GIVEN
            left = end - begin
            while left > MOST:
                codes[coded] = kind * MOST + MOST - 1
                coded, left, kind = coded + 1, left - MOST, SAME
            codes[coded] = kind * MOST + left - 1
            coded += 1
            begin = end
    return coded, known


def encode_runs(labels: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Defined by `plain.runs.encode_runs`."""
    cols = labels.shape[1]
    codes, given = np.empty(labels.size, np.uint8), np.empty(labels.size + 1, np.uint32)
    room = np.empty(cols, np.uint8), np.empty((2, cols + 1), np.int32)
    coded, known = _encode(np.ascontiguousarray(labels), *room, codes, given)
    return codes[:coded], given[:known]


@kernel
def _decode(
    codes: np.ndarray, given: np.ndarray, table: np.ndarray, ends: np.ndarray, labels: np.ndarray, found: np.ndarray
) -> bool:
    """Whether the codes fit. `ends` and `labels` are for the runs of two rows."""
    rows, cols = found.shape
    coded, known, count = 0, 0, 0
    for row in range(rows):
        own, above, own_ends, above_ends = labels[row % 2], labels[(row + 1) % 2], ends[row % 2], ends[(row + 1) % 2]
        out = found[row]
        runs, place, begin = 0, 0, 0
        while begin < cols:
            if coded == codes.size:
                return False
            kind, end = codes[coded] // MOST, begin + codes[coded] % MOST + 1
            coded += 1
            if end > cols:
                return False
            if kind == GIVEN:
                if known == given.size:
                    return False
                label = given[known]
                known += 1
                if table.size and label >= table.size:
                    return False
            elif kind == SAME:
                if not runs:
                    return False
                label = own[runs - 1]
            else:
                if not count:
                    return False
                while above_ends[place] <= begin:
                    place += 1
                if kind == BESIDE and (place + 1 == count or above_ends[place] - begin > REACH):
                    return False
                label = above[place + (kind == BESIDE)]
            drawn = table[label] if table.size else label
            if begin + AT_ONCE <= cols:
                for col in range(begin, begin + AT_ONCE):
                    out[col] = drawn
                for col in range(begin + AT_ONCE, end):
                    out[col] = drawn
            else:
                for col in range(begin, end):
                    out[col] = drawn
            runs -= runs > 0 and own[max(runs - 1, 0)] == label  # it goes on
            own[runs] = label
            own_ends[runs] = end
            runs += 1
            begin = end
        count = runs
    return coded == codes.size and known == given.size


def decode_runs(codes: np.ndarray, given: np.ndarray, table: Optional[np.ndarray], found: np.ndarray) -> None:
    """Defined by `plain.runs.decode_runs`."""
    if table is not None and not table.size:
        raise ValueError(DAMAGED)
    known, cols = NO_TABLE if table is None else table, found.shape[1]
    room = np.empty((2, cols), np.int32), np.empty((2, cols), np.uint32)
    if not _decode(read_only(codes), read_only(given), read_only(known), *room, found):
        raise ValueError(DAMAGED)
