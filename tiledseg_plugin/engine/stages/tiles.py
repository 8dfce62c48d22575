# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 3, tiles: from the pixels of a tile's pieces to their clumps, exactly as in the whole raster.

Small clumps that nothing outside the piece can have any influence on are merged already; what is left is the graph of
the regions that have to be decided about where all their neighbours are known (see `graph`).
"""

import time
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Optional, Union

import numpy as np

from .. import kernels
from ..errors import SegmentationError
from ..files.gdal_access import open_raster
from ..files.raster import Cells, Raster, read_window
from ..files.window import Window
from ..files.work_folder import WorkFolder
from .colours import Raw, Stretched
from .elimination import Graph, Merged, merge_within
from .plan import Plan

SIDES = ("top", "bottom", "left", "right")
HALO = 8  # pixels; a tile into which single pixels reach from further away is worked again with twice as many


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
    def nearest_centre(self):
        """Labels windows; what it learns is shared by the tiles that this process works."""
        return kernels.choose(self.kernels)[0].NearestCentre(self.centres)

    @cached_property
    def cells(self):
        """What tiles beside each other read of a raster that is resampled."""
        return Cells()


@dataclass(frozen=True)
class TileJob(PixelJob):
    """What all tiles of a run share.

    min_pixels, distance_threshold : see `elimination.eliminate`
    """

    folder: WorkFolder
    min_pixels: int
    distance_threshold: Optional[float]


@dataclass(frozen=True)
class PieceResult:
    """What is told about a finished piece; the rest is in the work folder."""

    piece_id: int
    tile_id: int
    clumps: int
    valid_pixels: int
    halo: int
    seconds: float


def name_of(piece):
    """Under which a piece's graph lies in the work folder."""
    return f"graph-{piece.piece_id:07d}"


def labels_of(piece):
    """Under which a piece's labels lie in the work folder."""
    return f"labels-{piece.piece_id:07d}"


def moments_of(piece):
    """Under which the statistics of the values in a piece's regions lie in the work folder."""
    return f"moments-{piece.piece_id:07d}"


def work_unit(job, pieces, check_cancelled):
    """Work pieces of one or more tiles: the task of this stage. Gives their results."""
    return [work_piece(job, piece, check_cancelled) for piece in pieces]


def work_piece(job, piece, check_cancelled):
    """Clump one rectangle, merge what can be, and write its labels and graph."""
    started = time.monotonic()
    kernel, _ = kernels.choose(job.kernels)
    calm = calm_clusters(job, piece, kernel, check_cancelled)
    labels, count = kernel.clump(calm.clusters)
    check_cancelled()
    sizes, sums, first, kinds = kernel.describe_clumps(
        labels, count, calm.clusters, job.colours.quantities(calm.values, calm.compared)
    )
    window, values, halo = calm.window, calm.values, calm.halo
    del calm
    edges = kernel.find_edges(labels, count) - np.uint32(1)
    check_cancelled()
    valid = int(sizes.sum())
    rows, cols = np.divmod(first, window.width)
    first = (window.row + rows) * job.raster.width + window.col + cols
    inner = labels[piece.window.within(window)]
    graph = Graph(sizes, sums, edges, first, first, kinds, _borders(job, piece, inner))
    del edges  # the graph's may go while regions are merged
    merged = merge_within(
        kernel,
        graph,
        job.colours.weights,
        job.min_pixels,
        job.distance_threshold,
        lambda fraction: check_cancelled(),
    )
    if job.raster.is_integer:
        _save_moments(job.folder, piece, kernel, values, labels, merged)
        check_cancelled()
    checksum = job.folder.save_rows(labels_of(piece), inner)
    seconds = time.monotonic() - started
    _save(job.folder, piece, merged, labels_checksum=np.int64(checksum), told=np.array([count, valid, halo, seconds]))
    return PieceResult(piece.piece_id, piece.tile_id, count, valid, halo, seconds)


def _borders(job, piece, labels):
    sides = zip(SIDES, open_sides(piece.window, job.raster), (labels[0], labels[-1], labels[:, 0], labels[:, -1]))
    return {(piece.piece_id, side): border for side, is_open, border in sides if is_open}


def _save(folder, piece, merged, **more):
    left = {name: value for name, value in vars(merged.left).items() if name != "borders"}
    borders = {side: border for (_, side), border in merged.left.borders.items()}
    folder.save(
        name_of(piece),
        **{f"left_{name}": value for name, value in left.items()},
        **{f"border_{side}": border for side, border in borders.items()},
        **{name: value for name, value in vars(merged).items() if name != "left"},
        **more,
    )


def _save_moments(folder, piece, kernel, values, labels, merged):
    """What attributes are made of (see `attributes`), while the values are at hand: of integers no order matters."""
    regions = kernel.relabel(labels, np.append(np.uint32(0), merged.region_of + np.uint32(1))).reshape(-1)
    bands = [kernel.region_moments(regions, merged.undecided.size, band.reshape(-1)) for band in values]
    counts, totals, squares, low, high = (np.stack(arrays) for arrays in zip(*bands))
    whole = {"counts": counts[0], "totals": totals, "squares": squares, "low": low, "high": high}
    folder.save(moments_of(piece), **{name: _narrowed(array) for name, array in whole.items()})


def _narrowed(array):
    """The integers in the smallest type that holds them; most regions are small."""
    least, most = int(array.min(initial=0)), int(array.max(initial=0))
    fitting = np.promote_types(np.min_scalar_type(least), np.min_scalar_type(most))
    return array.astype(fitting) if fitting.kind in "iu" else array


def load_moments(folder, piece):
    """Of each band the counts, totals, squares, low and high of a piece's regions (see `kernels.region_moments`).

    Raises
    ------
    SegmentationError : they are missing or damaged
    """
    saved = folder.load(moments_of(piece))
    if saved is None:
        raise damaged(folder, piece)
    names = ("totals", "squares", "low", "high")
    return [(saved["counts"], *parts) for parts in zip(*(saved[name] for name in names))]


def damaged(folder, piece):
    """The error that tells so of a piece's files."""
    return SegmentationError(f"The files of tile {piece.tile_id} in {folder.path} are damaged: start the run again.")


def load_merged(folder, piece):
    """What a piece has left, as `work_piece` saved it: elimination.Merged; None if it is missing or damaged."""
    saved = folder.load(name_of(piece))
    if saved is None:
        return None
    borders = {(piece.piece_id, side): saved[f"border_{side}"] for side in SIDES if f"border_{side}" in saved}
    left = {name[len("left_") :]: array for name, array in saved.items() if name.startswith("left_")}
    whole = {name: saved[name] for name in ("region_of", "undecided", "sizes", "earliest")}
    return Merged(**whole, left=Graph(**left, borders=borders))


def open_sides(window, raster):
    """Whether the raster goes on beyond the sides of a window, in the order of SIDES."""
    return window.row > 0, window.bottom < raster.height, window.col > 0, window.right < raster.width


class Calm(NamedTuple):
    """What a piece's clumps are made of, with the margin of `halo` pixels in which its single pixels were decided.

    window : the piece with the margin, as far as the raster goes
    clusters : (rows, cols) uint16 of `window`, without single pixels; 0 where not valid, and in the margin
    values, compared : (bands, rows, cols) of `window`, see `raster.read_window` and `colours`
    """

    window: Window
    clusters: np.ndarray
    values: np.ndarray
    compared: np.ndarray
    halo: int


def calm_clusters(job, piece, kernel, check_cancelled):
    """Read and label a piece and its margin: Calm. Cutting the margin off would copy all bands, so it stays."""
    raster = job.raster
    dataset = open_raster(raster.path)
    halo = HALO
    while True:
        window = piece.window.grown(halo, raster.width, raster.height)
        values, valid = read_window(dataset, raster, window, job.plan.covered(window), job.cells)
        check_cancelled()
        compared = job.colours.compared(values, valid, kernel)
        clusters = job.nearest_centre(compared, valid)
        check_cancelled()
        clusters, uncertain = kernel.eliminate_singles(clusters, compared, open_sides(window, raster))
        check_cancelled()
        inside = piece.window.within(window)
        if not uncertain[inside].any():
            _clear_outside(clusters, *inside)
            return Calm(window, clusters, values, compared, halo)
        halo *= 2


def _clear_outside(array, rows, cols):
    array[: rows.start] = array[rows.stop :] = 0
    array[:, : cols.start] = array[:, cols.stop :] = 0


def finished_piece(job, piece):
    """The result of a piece that an earlier run finished; None if there is none or its files are damaged."""
    graph = job.folder.load(name_of(piece))
    if graph is None or job.folder.checksum(labels_of(piece)) != int(graph["labels_checksum"]):
        return None
    if job.raster.is_integer and job.folder.load(moments_of(piece)) is None:
        return None
    count, valid, halo, seconds = graph["told"].tolist()
    return PieceResult(piece.piece_id, piece.tile_id, int(count), int(valid), int(halo), seconds)
