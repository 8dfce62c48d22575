# SPDX-License-Identifier: GPL-2.0-or-later
"""Shape kernels: what can be added up about the shape of each region in a window, and its pixel nearest to a point."""

from typing import Tuple

import numpy as np

from ..contract import Shapes
from .clumps import clump

FAR = 1 << 62  # the least and the largest column and row of a region without pixels in the window, with its sign


def region_shapes(
    labels: np.ndarray,
    count: int,
    inside: Tuple[int, int, int, int],
    area: np.ndarray,
    across: np.ndarray,
    down: np.ndarray,
) -> Shapes:
    """Sums over the pixels of each region in a window, over its sides, and over the corners where four pixels meet.

    The labels are those of the window and of a margin: the row below it and the column to its right, and, where the
    raster begins or ends with the window, a row or column of zeros. A side and a corner belong to the window to which
    the pixel belongs that is above them or to their left, so that those of windows side by side add up.

    Parameters
    ----------
    labels : (rows, cols) uint32, 1..count, 0 where there is no data
    inside : first row, row after the last, first column and column after the last of the window in `labels`
    area : (rows, 1 or cols) int64, below 2^32 as the next two, what each pixel adds to its region's area
    across : the length of the side between a pixel and the one below
    down : the length of the side between a pixel and the one to its right

    Returns
    -------
    sums : (count, 16) int64: number of pixels; sums of their columns and rows, counted from the window's first, and of
        column^2, column * row, row^2; least and largest column, least and largest row (FAR and -FAR if there is
        none); area; lengths of sides across and of sides down that are not between two pixels of the region; number
        of those beyond which there is no data; Euler number (pixels, less pairs that share a side, plus corners that
        are all in the region); and number of corners at which only two pixels, which do not share a side, are of the
        region, and of one part of it
    parts : (rows, cols) uint32, the 4-connected parts of regions from 1, in raster order, margin and all; 0 for no data
    part_count : int
    contacts : (n, 2) uint32, for each corner of the same kind at which they are of two parts of the region, these,
        those of upper left and lower right before all others; in raster order
    """
    parts, part_count = clump(labels)
    corners, contacts = _corners(labels, count, parts)
    of_sides = _sides(labels, count, across, down)
    sums = np.concatenate([_pixel_sums(labels, count, inside, area), of_sides, corners], axis=1)
    sums[:, 14] += sums[:, 0]  # the Euler number, of which the corners know their and the sides' part
    return sums, parts, part_count, contacts


def _totals(labels: np.ndarray, count: int, *columns: np.ndarray) -> np.ndarray:
    """(count, columns) int64, exact: what is added up for labels from 1 on; that of label 0 is nobody's."""
    order, starts, present = _by_label(labels)
    totals = np.zeros((count + 1, len(columns)), np.int64)
    if starts.size:
        for index, column in enumerate(columns):
            totals[present, index] = np.add.reduceat(column[order].astype(np.int64), starts)
    return totals[1:]


def _by_label(labels: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The order of the labels, where each begins in it, and these labels."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=np.int64(-1)))
    return order, starts, labels[order][starts]


def _pixel_sums(labels: np.ndarray, count: int, inside: Tuple[int, int, int, int], area: np.ndarray) -> np.ndarray:
    first, end, left, right = inside
    own = labels[first:end, left:right]
    row, col = (axis.reshape(-1) for axis in np.indices(own.shape, np.int64))
    areas = np.broadcast_to(area, labels.shape)[first:end, left:right].reshape(-1)
    flat = own.reshape(-1)
    *sums, areas = _totals(flat, count, np.ones_like(col), col, row, col * col, col * row, row * row, areas).T
    limits = np.tile(np.array([FAR, -FAR, FAR, -FAR], np.int64), (count + 1, 1))
    order, starts, present = _by_label(flat)
    if starts.size:
        for index, axis in ((0, col), (2, row)):
            limits[present, index] = np.minimum.reduceat(axis[order], starts)
            limits[present, index + 1] = np.maximum.reduceat(axis[order], starts)
    return np.concatenate([np.stack(sums, axis=1), limits[1:], areas[:, None]], axis=1)


def _sides(labels: np.ndarray, count: int, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Lengths across, lengths down, and number of sides to no data."""
    found = []
    for one, other, lengths in (
        (labels[:-1, :-1], labels[1:, :-1], across),
        (labels[:-1, :-1], labels[:-1, 1:], down),
    ):
        border = one != other
        length = np.broadcast_to(lengths, labels.shape)[:-1, :-1][border]
        one, other = one[border], other[border]
        both = np.concatenate([one, other])
        found.append(_totals(both, count, np.concatenate([length, length]), np.concatenate([other, one]) == 0))
    return np.stack([found[0][:, 0], found[1][:, 0], found[0][:, 1] + found[1][:, 1]], axis=1)


def _corners(labels: np.ndarray, count: int, parts: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """What corners and pairs of pixels add to the Euler number, corners of one part, and the contacts of two."""
    here, right, below, across = labels[:-1, :-1], labels[:-1, 1:], labels[1:, :-1], labels[1:, 1:]
    beside, under = here == right, here == below
    euler = (beside & under & (here == across)).astype(np.int64) - beside - under
    falling = (here == across) & ~beside & ~under & (here != 0)
    rising = (right == below) & (right != here) & (right != across) & (right != 0)
    pairs = [
        np.stack([parts[:-1, :-1][falling], parts[1:, 1:][falling]], axis=1),
        np.stack([parts[:-1, 1:][rising], parts[1:, :-1][rising]], axis=1),
    ]
    touched, contacts = np.concatenate([here[falling], right[rising]]), np.concatenate(pairs)
    same = contacts[:, 0] == contacts[:, 1]
    added = np.bincount(here.reshape(-1), euler.reshape(-1), minlength=count + 1)[1:].astype(np.int64)
    return np.concatenate([added[:, None], _totals(touched, count, same)], axis=1), contacts[~same]


def nearest_pixels(
    labels: np.ndarray, count: int, col: int, row: int, points: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Of each region the pixel whose centre is nearest to a point, by the distance in pixels; of several the first.

    Parameters
    ----------
    labels : (rows, cols) uint32, 1..count, each of which occurs, 0 where there is no data
    col, row : of the window in the raster
    points : (count, 2) float64, column and row in the raster, where the centre of its first pixel is at 0, 0

    Returns
    -------
    nearest : (count,) int64, index of the pixel in the window, in raster order
    distances : (count,) float64, squared
    """
    flat = labels.reshape(-1)
    place = np.flatnonzero(flat)
    regions = flat[place].astype(np.int64) - 1
    rows, cols = np.divmod(place, labels.shape[1])
    across = (cols + col).astype(np.float64) - points[regions, 0]
    along = (rows + row).astype(np.float64) - points[regions, 1]
    distance = across * across + along * along
    order = np.lexsort((place, distance, regions))
    first = order[np.flatnonzero(np.diff(regions[order], prepend=-1))]
    return place[first].astype(np.int64), distance[first]
