# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 1, the plan: which tiles there are, and, once they are counted, which of them are empty or sparse."""

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Protocol, Sequence, Tuple, TypeVar, Union

import numpy as np

from ..errors import SegmentationError
from ..files.raster import Raster
from ..files.window import Window
from ..parameters import PreflightParameters, SegmentParameters
from .zones import Zones

OK, SPARSE, EMPTY = "ok", "sparse", "empty"
LEAST_MEAN_PIXELS = 16 * 16  # of a tile, where there are many; what TILE_WIDTH and TILE_HEIGHT allow, too
MANY_TILES = 1000
MOST_TILES = 1 << 21  # which take about a kilobyte each, before anything is read
FEW_TILES = 4  # of fewer, each is processed in parts, so that small rasters have tasks for several workers, too
LEAST_PIXELS = 1 << 20  # of a piece that is worth parting
SIZES = 8  # that tasks are told apart by: those of one are about as large
MOST_TILES_OF_WORK = 4  # a task takes at most as many valid pixels as so many full tiles


@dataclass(frozen=True)
class Piece:
    """A rectangle that is processed at once; ids count from 1 over the plan."""

    piece_id: int
    tile_id: int
    window: Window


@dataclass(frozen=True)
class Tile:
    """A tile of the plan; ids count from 1.

    col, row : how manieth the tile's left and upper edges are among those of all tiles, from 0; in a grid, its place
    window : the extent of the tile
    pieces : the rectangles that are processed for it: one, or what earlier tiles leave of it where tiles overlap
    """

    tile_id: int
    col: int
    row: int
    window: Window
    pieces: Tuple[Piece, ...]

    @property
    def pixels(self) -> int:
        return sum(piece.window.pixels for piece in self.pieces)


@dataclass(frozen=True)
class Plan:
    """The tiles of a raster: their pieces do not overlap, and together they cover what is segmented.

    covers_all : whether no pixel of the raster lies outside the tiles
    zones : whose borders no segment crosses; None where there are none
    """

    width: int
    height: int
    tiles: Tuple[Tile, ...]
    covers_all: bool = True
    zones: Optional[Zones] = field(default=None, compare=False, repr=False)

    @cached_property
    def pieces(self) -> Tuple[Piece, ...]:
        """The pieces of all tiles, in the order of their ids."""
        return tuple(piece for tile in self.tiles for piece in tile.pieces)

    @property
    def pixels(self) -> int:
        """How many pixels lie in a tile."""
        return sum(tile.pixels for tile in self.tiles)

    @cached_property
    def _bounds(self) -> np.ndarray:
        return _bounds([piece.window for piece in self.pieces])

    def pieces_in(self, window: Window) -> List[Piece]:
        """The pieces that have pixels in a window."""
        return [self.pieces[i] for i in _touching(self._bounds, window)]

    def covered(self, window: Window) -> Optional[np.ndarray]:
        """(rows, cols) bool, which pixels of a window lie in a tile and in no excluded place; None if all do."""
        in_zones = None if self.zones is None else self.zones.inside(window)
        if self.covers_all:
            return in_zones
        inside = np.zeros((window.height, window.width), bool)
        for piece in self.pieces_in(window):
            inside[piece.window.part_in(window).within(window)] = True
        return inside if in_zones is None else inside & in_zones

    def walls(self, window: Window) -> Optional[np.ndarray]:
        """(rows, cols) uint8, what parts the pixels of a window (see `kernels.plain`); None where nothing does."""
        return None if self.zones is None else self.zones.walls(window)


def _bounds(windows: Sequence[Window]) -> np.ndarray:
    """(4, windows): left, top, right, bottom."""
    return np.array([(w.col, w.row, w.right, w.bottom) for w in windows], np.int64).reshape(-1, 4).T


def _touching(bounds: np.ndarray, window: Window) -> np.ndarray:
    left, top, right, bottom = bounds
    touched = (left < window.right) & (right > window.col) & (top < window.bottom) & (bottom > window.row)
    return np.flatnonzero(touched)


def make_plan(raster: Raster, parameters: Union[SegmentParameters, PreflightParameters]) -> Plan:
    """The plan that parameters with `tiles`, `tile_width` and `tile_height` ask for."""
    if parameters.tiles:
        rectangles = (Window(*rectangle).moved(-raster.left, -raster.top) for rectangle in parameters.tiles)
        return plan_rectangles(raster.width, raster.height, rectangles)
    return plan_grid(raster.width, raster.height, parameters.tile_width, parameters.tile_height)


def part_few(plan: Plan) -> Plan:
    """The plan with large pieces cut into four where there are few tiles; like any tiling, that changes no result."""
    if len(plan.tiles) >= FEW_TILES:
        return plan
    tiles: List[Tile] = []
    pieces = 0
    for tile in plan.tiles:
        windows = [part for piece in tile.pieces for part in _parts(piece.window)]
        numbered = tuple(Piece(pieces + i, tile.tile_id, window) for i, window in enumerate(windows, 1))
        pieces += len(windows)
        tiles.append(replace(tile, pieces=numbered))
    return replace(plan, tiles=tuple(tiles))


def _parts(window: Window) -> List[Window]:
    if window.pixels < LEAST_PIXELS or min(window.width, window.height) < 2:
        return [window]
    width, height = window.width // 2, window.height // 2
    return [
        Window(window.col + col, window.row + row, w, h)
        for row, h in ((0, height), (height, window.height - height))
        for col, w in ((0, width), (width, window.width - width))
    ]


def plan_grid(width: int, height: int, tile_width: int, tile_height: int) -> Plan:
    """A grid of as few tiles as there have to be, all alike to a pixel; none is larger than asked for.

    Raises
    ------
    SegmentationError : there are more than can be looked after
    """
    tiles: List[Tile] = []
    count = -(-width // tile_width) * -(-height // tile_height)
    if count > MOST_TILES:
        raise SegmentationError(
            f"TILE_WIDTH {tile_width} and TILE_HEIGHT {tile_height} make {count} tiles of {width} x {height} pixels, "
            f"more than the {MOST_TILES} that can be looked after: give larger ones, or an EXTENT."
        )
    columns, rows = _balanced(width, tile_width), _balanced(height, tile_height)
    for row, (top, bottom) in enumerate(zip(rows, rows[1:])):
        for col, (left, right) in enumerate(zip(columns, columns[1:])):
            window = Window(left, top, right - left, bottom - top)
            tile_id = len(tiles) + 1
            tiles.append(Tile(tile_id, col, row, window, (Piece(tile_id, tile_id, window),)))
    return Plan(width, height, tuple(tiles))


def _balanced(span: int, most: int) -> List[int]:
    """The edges of the tiles along a side of the raster, from 0 to its last.

    What blocks the file is stored in makes no difference: tiles are read with a halo, so that an edge between two
    blocks would have both of them read twice, and one within a block but that one.
    """
    count = -(-span // most)
    return [place * span // count for place in range(count + 1)]


def plan_rectangles(width: int, height: int, rectangles: Iterable[Tuple[int, int, int, int]]) -> Plan:
    """Tiles of the user's own: rectangles that may differ in size, overlap and leave gaps.

    A pixel goes to the first rectangle that holds it. Rectangles that hold no pixel of the raster, or none that is left
    over for them, make no tile; the others are numbered in their order.

    Parameters
    ----------
    rectangles : iterable of (col, row, width, height) in pixels; parts outside the raster are cut off

    Raises
    ------
    SegmentationError : no tile is left, or there are many of a few pixels each
    """
    whole = Window(0, 0, width, height)
    inside = (whole.intersection(Window(*rectangle)) for rectangle in rectangles)
    cut = list(dict.fromkeys(window for window in inside if window is not None))
    if not cut:
        raise SegmentationError("TILES has no polygon over the raster: check the layer and its coordinate system.")
    bounds = _bounds(cut)
    shapes = []
    for index, window in enumerate(cut):
        earlier = [cut[i] for i in _touching(bounds[:, :index], window)]
        left_over = _remainder(window, earlier)
        if left_over:
            shapes.append(left_over)
    return _plan_of_shapes(width, height, shapes)


def _plan_of_shapes(width: int, height: int, shapes: Sequence[Sequence[Window]]) -> Plan:
    extents = [extent_of(shape) for shape in shapes]
    columns = {edge: place for place, edge in enumerate(sorted({window.col for window in extents}))}
    rows = {edge: place for place, edge in enumerate(sorted({window.row for window in extents}))}
    tiles, pieces = [], 0
    for tile_id, (shape, extent) in enumerate(zip(shapes, extents), 1):
        numbered = tuple(Piece(pieces + i, tile_id, window) for i, window in enumerate(shape, 1))
        pieces += len(shape)
        tiles.append(Tile(tile_id, columns[extent.col], rows[extent.row], extent, numbered))
    plan = Plan(width, height, tuple(tiles))
    pixels = plan.pixels
    if len(tiles) > MANY_TILES and pixels < LEAST_MEAN_PIXELS * len(tiles):
        raise SegmentationError(
            f"TILES has {len(tiles)} polygons of {pixels / len(tiles):.1f} pixels on average, too small to be tiles: "
            "give polygons of at least 16 x 16 pixels, or leave TILES empty."
        )
    return Plan(width, height, tuple(tiles), covers_all=pixels == width * height)


def extent_of(windows: Sequence[Window]) -> Window:
    left, top = min(window.col for window in windows), min(window.row for window in windows)
    right, bottom = max(window.right for window in windows), max(window.bottom for window in windows)
    return Window(left, top, right - left, bottom - top)


def _remainder(window: Window, others: Sequence[Window]) -> Tuple[Window, ...]:
    """The part of a window outside other windows, as disjoint windows: runs of cells, equal runs of rows joined."""
    if not others:
        return (window,)
    bounds = _bounds([window.part_in(other) for other in others])
    xs = np.unique(np.concatenate([bounds[0], bounds[2], [window.col, window.right]]))
    ys = np.unique(np.concatenate([bounds[1], bounds[3], [window.row, window.bottom]]))
    free = np.ones((len(ys) - 1, len(xs) - 1), bool)
    columns, rows = np.searchsorted(xs, bounds[::2]), np.searchsorted(ys, bounds[1::2])
    for (left, right), (top, bottom) in zip(columns.T, rows.T):
        free[top:bottom, left:right] = False
    found, above, first_row = [], None, 0
    for row in range(len(free) + 1):
        line = free[row] if row < len(free) else None
        if above is not None and line is not None and (line == above).all():
            continue
        if above is not None:
            steps = np.flatnonzero(np.diff(above, prepend=False, append=False)).reshape(-1, 2)
            top, bottom = int(ys[first_row]), int(ys[row])
            found += [Window(int(xs[a]), top, int(xs[b] - xs[a]), bottom - top) for a, b in steps]
        above, first_row = line, row
    return tuple(found)


@dataclass
class Occupancy:
    """How much of each tile is valid, and what follows from it.

    valid_pixels, status : {tile_id: ...}
    merged_into : {tile_id of a sparse tile: tile_id of the neighbour it is processed together with}
    """

    valid_pixels: Dict[int, int]
    status: Dict[int, str]
    merged_into: Dict[int, int] = field(default_factory=dict)

    def count(self, status: str) -> int:
        return sum(1 for value in self.status.values() if value == status)


def judge_tiles(plan: Plan, valid_pixels: Dict[int, int], threshold: float) -> Occupancy:
    """Tell empty, sparse and other tiles apart and find each sparse tile's neighbour.

    The neighbour shares the longest edge and is not empty; of several such, the one with the most valid pixels, then
    the lowest id. A sparse tile without one is processed alone.

    Parameters
    ----------
    valid_pixels : {tile_id: pixels}
    threshold : valid fraction under which a tile is sparse, 0..1
    """
    status = {}
    for tile in plan.tiles:
        valid = valid_pixels[tile.tile_id]
        status[tile.tile_id] = EMPTY if valid == 0 else SPARSE if valid / tile.pixels < threshold else OK
    shared: Dict[tuple, int] = {}
    for one, other, length in neighbouring(plan.pieces):
        for tile_id, near in ((one.tile_id, other.tile_id), (other.tile_id, one.tile_id)):
            if tile_id != near and status[tile_id] == SPARSE and status[near] != EMPTY:
                shared[tile_id, near] = shared.get((tile_id, near), 0) + length
    best: Dict[int, tuple] = {}
    for (tile_id, near), length in shared.items():
        rank = (length, valid_pixels[near], -near)
        best[tile_id] = max(best.get(tile_id, rank), rank)
    return Occupancy(valid_pixels, status, {tile_id: -rank[2] for tile_id, rank in sorted(best.items())})


def work_units(plan: Plan, occupancy: Occupancy, places: Optional[Mapping[int, int]] = None) -> List[Tuple[Piece, ...]]:
    """What is processed in one task: a tile, with the sparse ones that are merged into it.

    Sparse tiles can be merged into sparse tiles in turn; such a chain is cut where a task would get more valid pixels
    than a few full tiles have, so that there are tasks enough for all workers.

    Parameters
    ----------
    places : {piece_id: its place among those that are about as large}; None for that of its id

    Returns
    -------
    the pieces of each task, largest tasks first; none of an empty tile
    """
    valid = occupancy.valid_pixels
    members = {tile.tile_id: [tile] for tile in plan.tiles if occupancy.status[tile.tile_id] != EMPTY}
    weights = {tile_id: valid[tile_id] for tile_id in members}
    unit = {tile_id: tile_id for tile_id in members}
    most = MOST_TILES_OF_WORK * max((tile.pixels for tile in plan.tiles), default=0)
    for tile_id in sorted(occupancy.merged_into, key=lambda tile_id: (valid[tile_id], tile_id)):
        here, there = unit[tile_id], unit[occupancy.merged_into[tile_id]]
        if here == there or weights[here] + weights[there] > most:
            continue
        for tile in members[here]:
            unit[tile.tile_id] = there
        members[there] += members.pop(here)
        weights[there] += weights.pop(here)
    largest = max([1, *weights.values()])

    def rank(unit_id: int) -> Tuple[int, int]:
        first = members[unit_id][0].pieces[0].piece_id
        return -SIZES * weights[unit_id] // largest, places[first] if places else first

    return [tuple(piece for tile in members[unit_id] for piece in tile.pieces) for unit_id in sorted(members, key=rank)]


class Rectangle(Protocol):
    """Anything that has its place in the raster, such as a piece."""

    @property
    def window(self) -> Window: ...


AnyRectangle = TypeVar("AnyRectangle", bound=Rectangle)


def neighbouring(pieces: Sequence[AnyRectangle]) -> Iterator[Tuple[AnyRectangle, AnyRectangle, int]]:
    """Every pair of pieces that share a border, with its length in pixels; left or upper piece first."""
    for edge_of, start_of, span_of in (
        (lambda w: w.right, lambda w: w.col, lambda w: (w.row, w.bottom)),
        (lambda w: w.bottom, lambda w: w.row, lambda w: (w.col, w.right)),
    ):
        starting: Dict[int, List[AnyRectangle]] = {}
        for piece in pieces:
            starting.setdefault(start_of(piece.window), []).append(piece)
        for those in starting.values():
            those.sort(key=lambda piece: span_of(piece.window))
        ends = {start: [span_of(piece.window)[1] for piece in those] for start, those in starting.items()}
        for piece in pieces:
            edge = edge_of(piece.window)
            low, high = span_of(piece.window)
            candidates = starting.get(edge, [])
            for near in candidates[bisect_right(ends.get(edge, []), low) :]:
                near_low, near_high = span_of(near.window)
                if near_low >= high:
                    break
                yield piece, near, min(high, near_high) - max(low, near_low)


def meeting_of(one: Window, other: Window) -> Tuple[Tuple[str, str], Tuple[int, int]]:
    """The sides at which a window and one to the right of it or below it meet, and where on each they begin to."""
    if one.right == other.col:
        low = max(one.row, other.row)
        return ("right", "left"), (low - one.row, low - other.row)
    low = max(one.col, other.col)
    return ("bottom", "top"), (low - one.col, low - other.col)
