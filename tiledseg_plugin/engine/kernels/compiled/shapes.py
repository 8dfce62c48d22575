# SPDX-License-Identifier: GPL-2.0-or-later
"""Shape kernels: what can be added up about the shape of each region in a window, and its pixel nearest to a point."""

from typing import Tuple

import numpy as np

from ..contract import Shapes
from ..plain.shapes import FAR
from .cache import kernel
from .clumps import clump


@kernel
def _pixel_sums(labels: np.ndarray, area: np.ndarray, sums: np.ndarray) -> None:
    """What runs of pixels add, of the window without its margin."""
    rows, cols = labels.shape
    wide = area.shape[1] > 1
    for row in range(rows):
        end = 0
        while end < cols:
            begin, label = end, labels[row, end]
            end += 1
            while end < cols and labels[row, end] == label:
                end += 1
            if label == 0:
                continue
            own = sums[label - 1]
            last, pixels = end - 1, end - begin
            # sums of the integers, and of their squares, up to the end of the run less those before it
            columns = (last * end - (begin - 1) * begin) // 2
            squares = (last * end * (2 * last + 1) - (begin - 1) * begin * (2 * begin - 1)) // 6
            own[0] += pixels
            own[1] += columns
            own[2] += row * pixels
            own[3] += squares
            own[4] += row * columns
            own[5] += row * row * pixels
            own[6] = min(own[6], begin)
            own[7] = max(own[7], last)
            own[8] = min(own[8], row)
            own[9] = max(own[9], row)
            if wide:
                for col in range(begin, end):
                    own[10] += area[row, col]
            else:
                own[10] += area[row, 0] * pixels


@kernel
def _sides_and_corners(
    labels: np.ndarray,
    parts: np.ndarray,
    across: np.ndarray,
    down: np.ndarray,
    sums: np.ndarray,
    contacts: np.ndarray,
    first_rising: int,
) -> Tuple[int, int]:
    """Add what sides and corners do; returns how many contacts fall and how many rise.

    Without room in `contacts` these are only counted, and nothing is added. A row of sums before the first is for what
    is nobody's.
    """
    rows, cols = labels.shape
    counts_only = len(contacts) == 0
    wide = across.shape[1] > 1
    falling, rising = 0, first_rising
    for row in range(rows - 1):
        for col in range(cols - 1):
            here, right = labels[row, col], labels[row, col + 1]
            below, beyond = labels[row + 1, col], labels[row + 1, col + 1]
            if here == right and here == below:
                if not counts_only:
                    sums[here, 14] += (here == beyond) - 2
                continue
            if not counts_only:
                at = col if wide else 0
                if here != right:
                    sums[here, 12] += down[row, at]
                    sums[right, 12] += down[row, at]
                    sums[here, 13] += right == 0
                    sums[right, 13] += here == 0
                else:
                    sums[here, 14] -= 1
                if here != below:
                    sums[here, 11] += across[row, at]
                    sums[below, 11] += across[row, at]
                    sums[here, 13] += below == 0
                    sums[below, 13] += here == 0
                else:
                    sums[here, 14] -= 1
            if here == right or here == below:  # noqa: SIM109 - as quick as can be
                continue
            if here == beyond and here != 0:
                one, other = parts[row, col], parts[row + 1, col + 1]
                if one != other:
                    if not counts_only:
                        contacts[falling, 0] = one
                        contacts[falling, 1] = other
                    falling += 1
                elif not counts_only:
                    sums[here, 15] += 1
            if right == below and right != beyond and right != 0:
                one, other = parts[row, col + 1], parts[row + 1, col]
                if one != other:
                    if not counts_only:
                        contacts[rising, 0] = one
                        contacts[rising, 1] = other
                    rising += 1
                elif not counts_only:
                    sums[right, 15] += 1
    return falling, rising


def region_shapes(
    labels: np.ndarray,
    count: int,
    inside: Tuple[int, int, int, int],
    area: np.ndarray,
    across: np.ndarray,
    down: np.ndarray,
) -> Shapes:
    """Defined by `plain.shapes.region_shapes`."""
    labels = np.ascontiguousarray(labels)
    parts, part_count = clump(labels)
    first, end, left, right = inside
    sums = np.zeros((count + 1, 16), np.int64)
    sums[:, 6:10] = FAR, -FAR, FAR, -FAR
    own = np.ascontiguousarray(labels[first:end, left:right])
    own_area = area[first:end] if area.shape[1] == 1 else area[first:end, left:right]
    _pixel_sums(own, np.ascontiguousarray(own_area), sums[1:])
    nothing = np.empty((0, 2), np.uint32)
    falling, rising = _sides_and_corners(labels, parts, across, down, sums, nothing, 0)
    contacts = np.empty((falling + rising + 1, 2), np.uint32)  # and one, as without room nothing is added
    _sides_and_corners(labels, parts, across, down, sums, contacts, falling)
    sums = sums[1:]
    sums[:, 14] += sums[:, 0]
    return sums, parts, part_count, contacts[:-1]


@kernel
def _nearest(
    labels: np.ndarray, col: int, row: int, points: np.ndarray, nearest: np.ndarray, distances: np.ndarray
) -> None:
    rows, cols = labels.shape
    for i in range(rows):
        for j in range(cols):
            if labels[i, j] == 0:
                continue
            region = labels[i, j] - 1
            across = np.float64(j + col) - points[region, 0]
            along = np.float64(i + row) - points[region, 1]
            distance = across * across + along * along
            if distance < distances[region]:
                distances[region] = distance
                nearest[region] = i * cols + j


def nearest_pixels(
    labels: np.ndarray, count: int, col: int, row: int, points: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Defined by `plain.shapes.nearest_pixels`."""
    nearest, distances = np.zeros(count, np.int64), np.full(count, np.inf)
    _nearest(labels, col, row, points, nearest, distances)
    return nearest, distances
