# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 1, the plan: which tiles there are, and, once they are counted, which of them are empty or sparse."""

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import Tuple

import numpy as np

from .raster import Window

OK, SPARSE, EMPTY = "ok", "sparse", "empty"


@dataclass(frozen=True)
class Tile:
    """A tile of the plan; ids count from 1."""

    tile_id: int
    col: int
    row: int
    window: Window


@dataclass(frozen=True)
class Plan:
    """The tiles of a raster: they do not overlap, and together they cover what is segmented.

    covers_all : whether no pixel of the raster lies outside the tiles
    """

    width: int
    height: int
    tiles: Tuple[Tile, ...]
    covers_all: bool = True

    @cached_property
    def _bounds(self):
        return np.array([(w.col, w.row, w.right, w.bottom) for w in (tile.window for tile in self.tiles)]).T

    def tiles_in(self, window):
        """The tiles that have pixels in a window."""
        left, top, right, bottom = self._bounds
        touched = (left < window.right) & (right > window.col) & (top < window.bottom) & (bottom > window.row)
        return [self.tiles[i] for i in np.flatnonzero(touched)]

    def covered(self, window):
        """(rows, cols) bool, which pixels of a window lie in a tile; None if all do."""
        if self.covers_all:
            return None
        inside = np.zeros((window.height, window.width), bool)
        for tile in self.tiles_in(window):
            inside[tile.window.intersection(window).within(window)] = True
        return inside


def plan_grid(width, height, tile_width, tile_height):
    """A regular grid from the raster's first pixel; the last tiles of a row or column are what is left."""
    tiles = []
    for row, top in enumerate(range(0, height, tile_height)):
        for col, left in enumerate(range(0, width, tile_width)):
            window = Window(left, top, min(tile_width, width - left), min(tile_height, height - top))
            tiles.append(Tile(len(tiles) + 1, col, row, window))
    return Plan(width, height, tuple(tiles))


@dataclass
class Occupancy:
    """How much of each tile is valid, and what follows from it.

    valid_pixels, status : {tile_id: ...}
    merged_into : {tile_id of a sparse tile: tile_id of the neighbour it is worked together with}
    """

    valid_pixels: dict
    status: dict
    merged_into: dict = field(default_factory=dict)

    def count(self, status):
        return sum(1 for value in self.status.values() if value == status)


def judge_tiles(plan, valid_pixels, threshold):
    """Tell empty, sparse and other tiles apart and find each sparse tile's neighbour.

    The neighbour shares the longest edge and is not empty; of several such, the one with the most valid pixels, then
    the lowest id. A sparse tile without one is worked alone.

    Parameters
    ----------
    valid_pixels : {tile_id: pixels}
    threshold : valid fraction under which a tile is sparse, 0..1
    """
    status = {}
    for tile in plan.tiles:
        valid = valid_pixels[tile.tile_id]
        share = valid / (tile.window.width * tile.window.height)
        status[tile.tile_id] = EMPTY if valid == 0 else SPARSE if share < threshold else OK
    best = {}
    for one, other, length in neighbouring_tiles(plan):
        for tile, near in ((one, other), (other, one)):
            if status[tile.tile_id] == SPARSE and status[near.tile_id] != EMPTY:
                rank = (length, valid_pixels[near.tile_id], -near.tile_id)
                best[tile.tile_id] = max(best.get(tile.tile_id, rank), rank)
    return Occupancy(valid_pixels, status, {tile_id: -rank[2] for tile_id, rank in sorted(best.items())})


def neighbouring_tiles(plan):
    """Every pair of tiles that share a border, with its length in pixels; left or upper tile first."""
    for edge_of, start_of, span_of in (
        (lambda w: w.right, lambda w: w.col, lambda w: (w.row, w.bottom)),
        (lambda w: w.bottom, lambda w: w.row, lambda w: (w.col, w.right)),
    ):
        starting = {}
        for tile in plan.tiles:
            starting.setdefault(start_of(tile.window), []).append(tile)
        for tiles in starting.values():
            tiles.sort(key=lambda tile: span_of(tile.window))
        ends = {start: [span_of(tile.window)[1] for tile in tiles] for start, tiles in starting.items()}
        for tile in plan.tiles:
            edge = edge_of(tile.window)
            low, high = span_of(tile.window)
            candidates = starting.get(edge, [])
            for near in candidates[bisect_right(ends.get(edge, []), low) :]:
                near_low, near_high = span_of(near.window)
                if near_low >= high:
                    break
                yield tile, near, min(high, near_high) - max(low, near_low)


