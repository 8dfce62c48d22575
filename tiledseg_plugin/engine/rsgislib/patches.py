# SPDX-License-Identifier: GPL-2.0-or-later
"""What is segmented in which stage: patches of pixels, and how they follow from the plan and from each other."""

from dataclasses import dataclass
from functools import cached_property
from typing import Dict, Tuple

import numpy as np

from ..files.window import Window
from ..kernels.components import components
from ..stages.plan import neighbouring


@dataclass(frozen=True)
class Patch:
    """Pixels that RSGISLib segments at once.

    stage : 1, 2 or 3
    number : from 1 within the stage
    window : that holds all of its pixels
    parts : stage 1, the windows of its tiles; stage 3, its regions, each as (number of the stage 2 patch, region)
    nearest : number of the nearest patch of stage 1
    """

    stage: int
    number: int
    window: Window
    parts: Tuple[tuple, ...] = ()
    nearest: int = 0

    way_out = "ENGINE=builtin"  # what to choose if workers die of it

    def __str__(self):
        return f"{self.number} of stage {self.stage}"

    @property
    def name(self):
        """Under which its result lies in the work folder."""
        return f"stage{self.stage}-{self.number:07d}"


@dataclass(frozen=True)
class Layer:
    """Finished patches of a stage: anything with a window. Their pixels do not overlap, though their windows may."""

    patches: tuple = ()

    @cached_property
    def _bounds(self):
        windows = [patch.window for patch in self.patches]
        return np.array([(w.col, w.row, w.right, w.bottom) for w in windows], np.int64).reshape(-1, 4).T

    def patches_in(self, window):
        """Those whose windows have pixels in a window."""
        left, top, right, bottom = self._bounds
        touched = (left < window.right) & (right > window.col) & (top < window.bottom) & (bottom > window.row)
        return [self.patches[i] for i in np.flatnonzero(touched)]


def tile_patches(units):
    """Stage 1: one patch a work unit, which is a tile with the sparse ones that are merged into it.

    Parameters
    ----------
    units : of plan.work_units
    """
    windows = [tuple(piece.window for piece in unit) for unit in units]
    return [Patch(1, number, extent(parts), parts, number) for number, parts in enumerate(windows, 1)]


def offset_patches(plan, first):
    """Stage 2: a grid offset by half a tile in each direction in which there is more than one tile.

    Where tiles differ in size, the grid's are as large as the largest of them.

    Parameters
    ----------
    first : patches of stage 1

    Returns
    -------
    list of Patch; empty if there is nothing that stage 1 could have cut
    """
    if len(first) < 2:
        return []
    whole = Window(0, 0, plan.width, plan.height)
    columns, rows = (
        _offset_edges(
            span, max(getattr(tile.window, side) for tile in plan.tiles), len({at(tile) for tile in plan.tiles})
        )
        for span, side, at in (
            (whole.width, "width", lambda tile: tile.window.col),
            (whole.height, "height", lambda tile: tile.window.row),
        )
    )
    windows = [
        Window(left, top, right - left, bottom - top)
        for top, bottom in zip(rows, rows[1:])
        for left, right in zip(columns, columns[1:])
    ]
    near = nearest(windows, first)
    return [Patch(2, number, window, (), source) for number, (window, source) in enumerate(zip(windows, near), 1)]


def _offset_edges(span, size, tiles):
    return [0, *range(size // 2, span, size), span] if tiles > 1 else [0, span]


def nearest(windows, patches):
    """For each window the number of the patch whose centre is nearest to its own; the first of several."""
    centres = np.array([_centre(patch.window) for patch in patches])
    found = []
    for window in windows:
        difference = centres - _centre(window)
        found.append(patches[int(np.argmin((difference * difference).sum(axis=1)))].number)
    return found


def _centre(window):
    """Twice the centre, so that it is whole."""
    return np.array((2 * window.col + window.width, 2 * window.row + window.height), np.int64)


@dataclass(frozen=True)
class Regions:
    """The connected regions of a stage 2 patch's segments that touch its border.

    window : of the patch, which its sides surround
    boxes : (regions, 4) int64, left, top, right and bottom of each in the raster
    sides : {top, bottom, left, right: region of each pixel along that side, 0 for none}
    """

    number: int
    window: Window
    boxes: np.ndarray
    sides: dict


def region_patches(regions, first, most_pixels):
    """Stage 3: regions joined across the borders of stage 2, those near the same tile in one patch.

    Regions that do not touch have nothing to do with each other, so that putting them together changes nothing
    but the number of calls.

    Parameters
    ----------
    regions : of Regions
    first : patches of stage 1
    most_pixels : a region with a larger box than this goes alone
    """
    keys = [(those.number, region) for those in regions for region in range(1, len(those.boxes) + 1)]
    if not keys:
        return []
    boxes = np.concatenate([those.boxes for those in regions])
    together = _join(keys, _across_borders(regions))
    members: Dict[int, list] = {}
    for index, group in enumerate(together):
        members.setdefault(group, []).append(index)
    windows = [_box_window(boxes[indices]) for indices in members.values()]
    batches: Dict[tuple, list] = {}
    for group, (window, near) in enumerate(zip(windows, nearest(windows, first))):
        batches.setdefault((near, group if window.pixels > most_pixels else -1), []).append(group)
    groups = list(members.values())
    patches = []
    for number, ((near, _), those) in enumerate(sorted(batches.items()), 1):
        indices = sorted(index for group in those for index in groups[group])
        patches.append(Patch(3, number, _box_window(boxes[indices]), tuple(keys[index] for index in indices), near))
    return patches


def _across_borders(regions):
    """Pairs of (number, region) that touch across a border between stage 2 patches."""
    pairs = set()
    for one, other, _ in neighbouring(regions):
        a, b = one.window, other.window
        if a.right == b.col:
            low, high = max(a.row, b.row), min(a.bottom, b.bottom)
            here, there = (
                one.sides["right"][low - a.row : high - a.row],
                other.sides["left"][low - b.row : high - b.row],
            )
        else:
            low, high = max(a.col, b.col), min(a.right, b.right)
            here, there = (
                one.sides["bottom"][low - a.col : high - a.col],
                other.sides["top"][low - b.col : high - b.col],
            )
        both = (here != 0) & (there != 0)
        for pair in np.unique(np.stack([here[both], there[both]], axis=1), axis=0).tolist():
            pairs.add(((one.number, pair[0]), (other.number, pair[1])))
    return pairs


def _join(keys, pairs):
    """For each key the number of its connected component; components in order of their first keys."""
    index = {key: i for i, key in enumerate(keys)}
    links = np.array([(index[a], index[b]) for a, b in sorted(pairs)], np.int64).reshape(-1, 2)
    _, component = components(len(keys), links[:, 0], links[:, 1])
    return component.tolist()


def extent(windows):
    """The smallest window that holds all of some."""
    left, top = min(window.col for window in windows), min(window.row for window in windows)
    right, bottom = max(window.right for window in windows), max(window.bottom for window in windows)
    return Window(left, top, right - left, bottom - top)


def _box_window(boxes):
    left, top = (int(edge) for edge in boxes[:, :2].min(axis=0))
    right, bottom = (int(edge) for edge in boxes[:, 2:].max(axis=0))
    return Window(left, top, right - left, bottom - top)
