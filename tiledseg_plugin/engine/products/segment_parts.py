# SPDX-License-Identifier: GPL-2.0-or-later
"""How many parts and holes segments have, from what windows side by side know of them.

A segment that any program has made may lie in several parts, so the number of holes does not follow from the Euler
number alone. Windows number the parts that they see; those on a row or column that two of them have read are one part.

Holes are those of the segment's polygons: rings inside of them, such as `tiledseg:polygons` writes. Two holes, or a
hole and the outside, that meet at a corner only are two. As a part is connected by sides, that is 1 less its Euler
number, and one more for each corner at which it meets itself.
"""

from typing import Dict, List, NamedTuple, Tuple

import numpy as np

from ..files.window import Window
from ..kernels.components import components
from ..kernels.pairs import counted_pairs
from .margins import WithMargin

Shared = Tuple[Tuple[str, int, int], np.ndarray]  # where a row or column lies, and the parts of its pixels


class WindowParts(NamedTuple):
    """The parts that a window sees.

    closed : (labels,) int64, of each label the parts that lie in the window as a whole
    owners : (n,) uint32 ids, of the parts that other windows may see, too, which are numbered from 1
    shared : rows and columns that are also read by others
    contacts : (m, 3) int64, two of the n parts that meet at corners, and how often
    """

    closed: np.ndarray
    owners: np.ndarray
    shared: List[Shared]
    contacts: np.ndarray


def window_parts(
    window: Window, margin: WithMargin, present: np.ndarray, labels: np.ndarray, parts: Tuple[np.ndarray, int]
) -> Tuple[WindowParts, np.ndarray]:
    """What a window contributes, and the numbers that the parts have in it: (parts + 1,) uint32, 0 for closed ones.

    Parameters
    ----------
    present, labels : as `kernels.compact` returns them; (rows, cols)
    parts : of the pixels, and how many there are, as `kernels.region_shapes` returns them
    """
    pixels, count = parts
    top, _, left, _ = margin.inside
    shared = {
        ("row", window.bottom, window.col): pixels[-1, left:],
        ("column", window.row, window.right): pixels[top:, -1],
    }
    if window.row:
        shared["row", window.row, window.col] = pixels[top, left:]
    if window.col:
        shared["column", window.row, window.col] = pixels[top:, left]
    is_open = np.zeros(count + 1, bool)
    for line in shared.values():
        is_open[line] = True
    is_open[0] = False
    label_of = np.zeros(count + 1, np.uint32)
    label_of[pixels.reshape(-1)] = labels.reshape(-1)
    closed = np.bincount(label_of[1:][~is_open[1:]], minlength=present.size + 1)[1:].astype(np.int64)
    number = np.where(is_open, np.cumsum(is_open), 0).astype(np.uint32)
    lines = [(place, number[line]) for place, line in shared.items()]
    owners = present[label_of[is_open].astype(np.int64) - 1]
    return WindowParts(closed, owners, lines, np.empty((0, 3), np.int64)), number


def open_contacts(contacts: np.ndarray, number: np.ndarray) -> np.ndarray:
    """(m, 3) int64: those between parts that other windows may join, each pair once, and how often it occurs."""
    both = number[contacts.astype(np.int64)].astype(np.int64)
    both = np.sort(both[(both != 0).all(axis=1)], axis=1)
    pairs, times = counted_pairs(both)
    return np.concatenate([pairs, times.reshape(-1, 1)], axis=1).astype(np.int64)


class Joined:
    """The open parts of all windows, joined."""

    def __init__(self) -> None:
        self._count = 0
        self._owners: List[np.ndarray] = []
        self._links: List[np.ndarray] = []
        self._contacts: List[np.ndarray] = []
        self._waiting: Dict[Tuple[str, int, int], np.ndarray] = {}  # lines that only one window has brought

    def add(self, found: WindowParts) -> None:
        """Add the parts of a window, in any order."""
        before = self._count
        self._count += found.owners.size
        self._owners.append(found.owners)
        for place, line in found.shared:
            own = np.where(line != 0, line.astype(np.int64) + before, 0)
            other = self._waiting.pop(place, None)
            if other is None:
                self._waiting[place] = own
                continue
            both = np.stack([own, other], axis=1)[own != 0] - 1
            self._links.append(both[np.append(True, (both[1:] != both[:-1]).any(axis=1))[: len(both)]])
        contacts = found.contacts.copy()
        contacts[:, :2] += before - 1
        self._contacts.append(contacts)

    def counted(self) -> np.ndarray:
        """(3, n) int64: ids of the segments that have such parts, ascending, how many these are, and how many of the
        contacts are of a part with itself.
        """
        if not self._count:
            return np.empty((3, 0), np.int64)
        ids, owners = np.unique(np.concatenate(self._owners), return_inverse=True)
        owners = owners.reshape(-1)
        links = np.concatenate([*self._links, np.empty((0, 2), np.int64)])
        found, number = components(self._count, links[:, 0], links[:, 1])
        first = np.empty(found, np.int64)
        first[number[::-1]] = np.arange(self._count - 1, -1, -1)
        met = np.concatenate(self._contacts)
        met = met[number[met[:, 0]] == number[met[:, 1]]]
        contacts = np.zeros(ids.size, np.int64)
        np.add.at(contacts, owners[met[:, 0]], met[:, 2])
        return np.stack([ids.astype(np.int64), np.bincount(owners[first], minlength=ids.size), contacts])
