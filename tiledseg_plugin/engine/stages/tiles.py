# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 3, tiles: from the pixels of a tile's pieces to their clumps, exactly as in the whole raster.

Small clumps that nothing outside the piece can have any influence on are merged already; what is left is the graph of
the regions that have to be decided about where all their neighbours are known (see `graph`).
"""

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from .. import kernels
from ..files.decoded import AnyCells, Cells, Kept
from ..files.gdal_access import OpenRasters
from ..files.raster import Raster
from ..files.reading import read_window
from ..files.window import Window
from ..files.work_folder import WorkFolder
from ..kernels.contract import WALL_BELOW, WALL_RIGHT, Kernels, Labeller
from .colours import Raw, Stretched
from .elimination import EliminationRules, Graph, merge_within
from .moments import moments_of_pixels
from .parts import SIDES, Left, finished_result, save_graph, save_part
from .plan import Piece, Plan

HALO = 8  # pixels; a tile into which single pixels reach from further away is processed again with twice as many


@dataclass(frozen=True)
class PixelJob:
    """What is needed to put pixels into clusters.

    kernels : name of the set, as `kernels.choose` takes it
    """

    raster: Raster
    plan: Plan
    colours: Union[Stretched, Raw]
    centres: np.ndarray
    kernels: str

    @cached_property
    def nearest_centre(self) -> Labeller:
        """Labels windows; what it learns is shared by the tiles that this process takes."""
        return kernels.choose(self.kernels)[0].NearestCentre(self.centres)

    @cached_property
    def cells(self) -> AnyCells:
        """What tiles beside each other read of a raster that is resampled."""
        return Cells()

    def forget(self) -> None:
        """Give up what was learned from tiles, which is learned again with the next ones.

        Rasters stay open, as a virtual one of thousands of files takes long to open.
        """
        for name in ("nearest_centre", "cells"):
            vars(self).pop(name, None)

    @cached_property
    def rasters(self) -> OpenRasters:
        """What tasks read."""
        return OpenRasters()


@dataclass(frozen=True)
class TileJob(PixelJob):
    """What all tiles of a run share.

    kept : what the survey has left of what it has read, if it has
    """

    folder: WorkFolder
    rules: EliminationRules
    kept: Optional[Kept] = None

    @cached_property
    def cells(self) -> AnyCells:
        """What is read: by the survey before, or by tiles beside each other of a raster that is resampled."""
        return Cells() if self.kept is None else self.kept


@dataclass(frozen=True)
class PieceResult:
    """What is reported of a finished piece; the rest is in the work folder."""

    piece_id: int
    tile_id: int
    clumps: int
    valid_pixels: int
    halo: int
    seconds: float


def labels_of(piece: Piece) -> str:
    """Under which a piece's labels lie in the work folder: (rows, cols) uint32, the region of each pixel, from 1."""
    return f"labels-{piece.piece_id:07d}"


def load_part(
    folder: WorkFolder, name: str, piece: Piece, window: Window, set_name: str, table: Optional[np.ndarray] = None
) -> np.ndarray:
    """What lies under a name of a piece, where it has pixels in a window: (rows, cols) uint32.

    Parameters
    ----------
    name : of its labels, or of its ids
    set_name : of the kernels that draw them, as `kernels.choose` takes it
    table : where they are looked up, if anywhere
    """
    common = piece.window.part_in(window)
    top, left = common.row - piece.window.row, common.col - piece.window.col
    rows = folder.load_labels(name, top, common.height, kernels.choose(set_name)[0], table)
    return rows[:, left : left + common.width]


def process_unit(job: TileJob, pieces: Sequence[Piece], check_cancelled: Callable[[], None]) -> List[PieceResult]:
    """Process pieces of one or more tiles: the task of this stage."""
    return [process_piece(job, piece, check_cancelled) for piece in pieces]


def process_piece(job: TileJob, piece: Piece, check_cancelled: Callable[[], None]) -> PieceResult:
    """Clump one rectangle, merge what can be, and write its regions and what is to be known of them."""
    started = time.monotonic()
    kernel, _ = kernels.choose(job.kernels)
    settled = settled_clusters(job, piece, kernel, check_cancelled)
    labels, count = kernel.clump(settled.clusters, settled.walls)
    check_cancelled()
    sizes, sums, first, clusters = kernel.describe_clumps(
        labels, count, settled.clusters, job.colours.quantities(settled.values, settled.compared)
    )
    window, values, walls, halo = settled.window, settled.values, settled.walls, settled.halo
    del settled
    edges = kernel.find_edges(labels, count, walls) - np.uint32(1)
    check_cancelled()
    valid = int(sizes.sum())
    rows, cols = np.divmod(first, window.width)
    first = (window.row + rows) * job.raster.width + window.col + cols
    borders = _borders(job, piece, labels[piece.window.within(window)], _walls_at_sides(walls, piece.window, window))
    del walls
    graph = Graph(sizes, sums, edges, first, first, clusters, borders)
    del edges  # the graph's may go while regions are merged
    merged = merge_within(kernel, graph, job.rules, lambda fraction: check_cancelled())
    regions = kernel.relabel(labels, np.append(np.uint32(0), merged.region_of + np.uint32(1)))
    del labels
    check_cancelled()
    moments = None
    if job.raster.is_integer:
        moments = moments_of_pixels(kernel, values, regions, merged.decided.size)
        check_cancelled()
    checksum = job.folder.save_labels(labels_of(piece), regions[piece.window.within(window)], kernel)
    seconds = time.monotonic() - started
    save_graph(job.folder, piece.piece_id, merged.take_left())
    left = Left(merged, moments, result=(count, valid, halo, seconds, checksum))
    save_part(job.folder, piece.piece_id, left)
    return PieceResult(piece.piece_id, piece.tile_id, count, valid, halo, seconds)


def _borders(
    job: TileJob, piece: Piece, labels: np.ndarray, walls: Sequence[Optional[np.ndarray]]
) -> Dict[Tuple[int, str], np.ndarray]:
    """What is at the open sides of a piece, 0 where a wall is: nothing beyond it has any influence."""
    at_sides = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    sides = zip(SIDES, open_sides(piece.window, job.raster), at_sides, walls)
    return {
        (piece.piece_id, side): border if wall is None else np.where(wall, np.uint32(0), border)
        for side, is_open, border, wall in sides
        if is_open
    }


def _walls_at_sides(walls: Optional[np.ndarray], inner: Window, window: Window) -> Sequence[Optional[np.ndarray]]:
    """Whether a wall is before each pixel of a side of a window, in the order of SIDES; None at the raster's edge.

    Parameters
    ----------
    walls : of the window with its margin
    """
    if walls is None:
        return (None,) * len(SIDES)
    rows, cols = inner.within(window)
    above, before = rows.start - 1, cols.start - 1
    return (
        walls[above, cols] & WALL_BELOW != 0 if above >= 0 else None,
        walls[rows.stop - 1, cols] & WALL_BELOW != 0,
        walls[rows, before] & WALL_RIGHT != 0 if before >= 0 else None,
        walls[rows, cols.stop - 1] & WALL_RIGHT != 0,
    )


def open_sides(window: Window, raster: Raster) -> Tuple[bool, bool, bool, bool]:
    """Whether the raster goes on beyond the sides of a window, in the order of SIDES."""
    return window.row > 0, window.bottom < raster.height, window.col > 0, window.right < raster.width


class SettledClusters(NamedTuple):
    """What a piece's clumps are made of, with the margin of `halo` pixels that its single pixels were decided with.

    window : the piece with the margin, as far as the raster goes
    clusters : (rows, cols) uint16 of `window`, without single pixels; 0 where not valid, and in the margin
    walls : (rows, cols) uint8 of `window`, or None, see `kernels.plain`
    values, compared : (bands, rows, cols) of `window`, see `reading.read_window` and `colours`
    """

    window: Window
    clusters: np.ndarray
    walls: Optional[np.ndarray]
    values: np.ndarray
    compared: np.ndarray
    halo: int


def settled_clusters(
    job: PixelJob, piece: Piece, kernel: Kernels, check_cancelled: Callable[[], None]
) -> SettledClusters:
    """Read and label a piece and its margin, which stays, as to cut it off would copy all bands."""
    raster = job.raster
    dataset = job.rasters.get(raster.path)
    halo = HALO
    while True:
        window = piece.window.grown(halo, raster.width, raster.height)
        values, valid = read_window(dataset, raster, window, job.plan.covered(window), job.cells)
        check_cancelled()
        compared = job.colours.compared(values, valid, kernel)
        clusters = job.nearest_centre(compared, valid)
        check_cancelled()
        walls = job.plan.walls(window)
        clusters, uncertain = kernel.eliminate_singles(clusters, compared, open_sides(window, raster), walls)
        check_cancelled()
        inside = piece.window.within(window)
        if not uncertain[inside].any():
            _clear_outside(clusters, *inside)
            return SettledClusters(window, clusters, walls, values, compared, halo)
        halo *= 2


def _clear_outside(array: np.ndarray, rows: slice, cols: slice) -> None:
    array[: rows.start] = array[rows.stop :] = 0
    array[:, : cols.start] = array[:, cols.stop :] = 0


def finished_piece(job: TileJob, piece: Piece, with_graph: bool) -> List[PieceResult]:
    """The result of a piece that an earlier run finished; none if there is none or its files are damaged.

    Parameters
    ----------
    with_graph : whether its graph is still needed
    """
    result = finished_result(job.folder, piece.piece_id, with_graph)
    if result is None:
        return []
    count, valid, halo, seconds, checksum = result.tolist()
    if job.folder.checksum(labels_of(piece)) != int(checksum):
        return []
    return [PieceResult(piece.piece_id, piece.tile_id, int(count), int(valid), int(halo), seconds)]
