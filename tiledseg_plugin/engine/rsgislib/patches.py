# SPDX-License-Identifier: GPL-2.0-or-later
"""What is segmented in which stage: patches of pixels, and how they follow from the plan and from each other."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Dict, Iterable, List, Sequence, Set, Tuple

import numpy as np

from ..files.window import Window
from ..kernels.components import components
from ..kernels.pairs import distinct_pairs
from ..stages.plan import Piece, Plan, extent_of, meeting_of, neighbouring

Key = Tuple[int, int]  # of a region: the number of its stage 2 patch, and its own within that


@dataclass(frozen=True)
class Patch:
    """Pixels that RSGISLib segments at once.

    stage : 1, 2 or 3
    number : from 1 within the stage
    window : that holds all of its pixels
    parts : of stage 1, the windows of its tiles
    regions : of stage 3, what it is made of
    nearest : number of the nearest patch of stage 1
    """

    stage: int
    number: int
    window: Window
    parts: Tuple[Window, ...] = ()
    regions: Tuple[Key, ...] = ()
    nearest: int = 0

    way_out = "ENGINE=builtin"  # what to choose if workers die of it

    def __str__(self) -> str:
        return f"{self.number} of stage {self.stage}"

    @property
    def name(self) -> str:
        """The name of its result in the work folder."""
        return f"stage{self.stage}-{self.number:07d}"


@dataclass(frozen=True)
class Layer:
    """Finished patches of a stage: anything with a window. Their pixels do not overlap, though their windows may."""

    patches: Tuple[Any, ...] = ()

    @cached_property
    def _bounds(self) -> np.ndarray:
        windows = [patch.window for patch in self.patches]
        return np.array([(w.col, w.row, w.right, w.bottom) for w in windows], np.int64).reshape(-1, 4).T

    def patches_in(self, window: Window) -> List[Any]:
        """Those whose windows have pixels in a window."""
        left, top, right, bottom = self._bounds
        touched = (left < window.right) & (right > window.col) & (top < window.bottom) & (bottom > window.row)
        return [self.patches[i] for i in np.flatnonzero(touched)]


def tile_patches(units: Sequence[Sequence[Piece]]) -> List[Patch]:
    """Stage 1: one patch a unit, which is a tile with the sparse ones that are merged into it.

    Parameters
    ----------
    units : see `plan.work_units`
    """
    windows = [tuple(piece.window for piece in unit) for unit in units]
    return [Patch(1, number, extent_of(parts), parts, nearest=number) for number, parts in enumerate(windows, 1)]


def offset_patches(plan: Plan, first: Sequence[Patch]) -> List[Patch]:
    """Stage 2: a grid offset by half a tile in each direction in which there is more than one tile.

    Its edges are in the middle of the tiles; where these are no grid, it has tiles as large as the largest of them.

    Parameters
    ----------
    first : patches of stage 1

    Returns
    -------
    none if there is nothing that stage 1 could have cut
    """
    if len(first) < 2:
        return []
    columns = _offset_edges(plan.width, [(tile.window.col, tile.window.right) for tile in plan.tiles])
    rows = _offset_edges(plan.height, [(tile.window.row, tile.window.bottom) for tile in plan.tiles])
    windows = [
        Window(left, top, right - left, bottom - top)
        for top, bottom in zip(rows, rows[1:])
        for left, right in zip(columns, columns[1:])
    ]
    near = nearest(windows, first)
    return [Patch(2, number, window, nearest=source) for number, (window, source) in enumerate(zip(windows, near), 1)]


def _offset_edges(span: int, tiles: Sequence[Tuple[int, int]]) -> List[int]:
    """The edges of that grid along a side of the raster, along which tiles go from one place to another."""
    places = sorted(set(tiles))
    starts, ends = [start for start, _ in places], [end for _, end in places]
    if len(set(starts)) == 1:
        return [0, span]
    if [*starts, span] == [0, *ends]:
        middles = [start + (end - start) // 2 for start, end in places]
    else:
        size = max(end - start for start, end in places)
        middles = list(range(size // 2, span, size))
    return [0, *(middle for middle in middles if middle), span]


def nearest(windows: Iterable[Window], patches: Sequence[Patch]) -> List[int]:
    """For each window the number of the patch whose centre is nearest to its own; the first of several."""
    centres = np.array([_centre(patch.window) for patch in patches])
    found = []
    for window in windows:
        difference = centres - _centre(window)
        found.append(patches[int(np.argmin((difference * difference).sum(axis=1)))].number)
    return found


def _centre(window: Window) -> np.ndarray:
    """Twice the centre, so that it is whole."""
    return np.array((2 * window.col + window.width, 2 * window.row + window.height), np.int64)


@dataclass(frozen=True)
class BorderRegions:
    """The connected regions of a stage 2 patch's segments that touch its border.

    window : of the patch, which its sides surround
    boxes : (regions, 4) int64, left, top, right and bottom of each in the raster
    sides : {top, bottom, left, right: region of each pixel along that side, 0 for none}
    """

    number: int
    window: Window
    boxes: np.ndarray
    sides: Dict[str, np.ndarray]


def region_patches(regions: Sequence[BorderRegions], first: Sequence[Patch], most_pixels: int) -> List[Patch]:
    """Stage 3: regions joined across the borders of stage 2, those near the same tile in one patch.

    Regions that do not touch have nothing to do with each other, so that putting them together changes nothing
    but the number of calls.

    Parameters
    ----------
    first : patches of stage 1
    most_pixels : a region with a larger box than this goes alone
    """
    keys = [(those.number, region) for those in regions for region in range(1, len(those.boxes) + 1)]
    if not keys:
        return []
    boxes = np.concatenate([those.boxes for those in regions])
    together = _join(keys, _across_borders(regions))
    members: Dict[int, List[int]] = {}
    for index, group in enumerate(together):
        members.setdefault(group, []).append(index)
    windows = [_box_window(boxes[indices]) for indices in members.values()]
    batches: Dict[Tuple[int, int], List[int]] = {}
    for group, (window, near) in enumerate(zip(windows, nearest(windows, first))):
        batches.setdefault((near, group if window.pixels > most_pixels else -1), []).append(group)
    groups = list(members.values())
    patches = []
    for number, ((near, _), those) in enumerate(sorted(batches.items()), 1):
        indices = sorted(index for group in those for index in groups[group])
        parts = tuple(keys[index] for index in indices)
        patches.append(Patch(3, number, _box_window(boxes[indices]), regions=parts, nearest=near))
    return patches


def _across_borders(regions: Sequence[BorderRegions]) -> Set[Tuple[Key, Key]]:
    """Pairs of regions that touch across a border between stage 2 patches."""
    pairs = set()
    for one, other, length in neighbouring(regions):
        names, starts = meeting_of(one.window, other.window)
        sides = one.sides[names[0]], other.sides[names[1]]
        pair = np.stack([side[start:][:length] for side, start in zip(sides, starts)], axis=1)
        for here, there in distinct_pairs(pair[pair.all(axis=1)]).tolist():
            pairs.add(((one.number, here), (other.number, there)))
    return pairs


def _join(keys: Sequence[Key], pairs: Iterable[Tuple[Key, Key]]) -> List[int]:
    """For each key the number of its connected component; components in order of their first keys."""
    index = {key: i for i, key in enumerate(keys)}
    links = np.array([(index[a], index[b]) for a, b in sorted(pairs)], np.int64).reshape(-1, 2)
    _, component = components(len(keys), links[:, 0], links[:, 1])
    return component.tolist()


def _box_window(boxes: np.ndarray) -> Window:
    left, top = (int(edge) for edge in boxes[:, :2].min(axis=0))
    right, bottom = (int(edge) for edge in boxes[:, 2:].max(axis=0))
    return Window(left, top, right - left, bottom - top)
