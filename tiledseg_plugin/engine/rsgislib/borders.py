# SPDX-License-Identifier: GPL-2.0-or-later
"""Which segments of a patch touch its border, and the connected regions that they form: arrays only."""

from typing import Dict, Optional

import numpy as np

from ..files.window import Window
from ..kernels.plain.clumps import clump


def touching_segments(labels: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """(segments + 1,) bool, the segments that have a pixel that is marked."""
    touching = np.zeros(int(labels.max(initial=0)) + 1, bool)
    touching[labels[marked]] = True
    touching[0] = False
    return touching


def neighbours_of(mask: np.ndarray) -> np.ndarray:
    """The pixels that have a 4-neighbour in a mask."""
    found = np.zeros(mask.shape, bool)
    found[1:] |= mask[:-1]
    found[:-1] |= mask[1:]
    found[:, 1:] |= mask[:, :-1]
    found[:, :-1] |= mask[:, 1:]
    return found


def box_of(mask: np.ndarray, window: Window) -> Optional[Window]:
    """The smallest window in the raster that holds the pixels of a mask over `window`; None if it has none."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    left, top = int(cols[0]), int(rows[0])
    return Window(window.col + left, window.row + top, int(cols[-1]) - left + 1, int(rows[-1]) - top + 1)


def describe_regions(
    labels: np.ndarray, touching: np.ndarray, window: Window, surrounding: Window
) -> Dict[str, np.ndarray]:
    """Number the connected regions of touching segments: their boxes, their segments, and where they meet the sides."""
    regions, count = clump(touching[labels].astype(np.uint16))
    region_of = np.zeros(touching.size, np.int64)
    region_of[labels] = regions
    region_of[~touching] = 0
    boxes = _bounding_boxes(regions, count) + np.array((window.col, window.row) * 2)
    whole = np.zeros((surrounding.height, surrounding.width), np.int64)
    whole[window.within(surrounding)] = regions
    sides = {"top": whole[0], "bottom": whole[-1], "left": whole[:, 0], "right": whole[:, -1]}
    return {"region_of": region_of, "boxes": boxes, "surrounding": np.array(surrounding), **sides}


def _bounding_boxes(regions: np.ndarray, count: int) -> np.ndarray:
    """Left, top, right and bottom (beyond the last pixel) of each region: (count, 4) int64."""
    boxes = np.empty((count, 4), np.int64)
    for low, array in ((1, regions), (0, regions.T)):
        lines, places = np.nonzero(array)
        region = array[lines, places].astype(np.int64) - 1
        boxes[region[::-1], low] = lines[::-1]  # lines ascend, and what is written last stays
        boxes[region, low + 2] = lines + 1
    return boxes
