# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 3, tiles: from the pixels of a tile's pieces to their clumps, exactly as in the whole raster.

Small clumps that nothing outside the piece can have any influence on are merged already; what is left is the graph of
the regions that have to be decided about where all their neighbours are known (see `graph`).
"""

import time
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from .. import kernels
from ..errors import SegmentationError
from ..files.decoded import AnyCells, Cells, Decoded
from ..files.gdal_access import open_raster
from ..files.raster import Raster, read_window
from ..files.window import Window
from ..files.work_folder import WorkFolder
from ..progress import TileWatch
from .colours import Raw, Stretched
from .context import RunContext
from .elimination import EliminationRules, Graph, Merged, merge_within
from .plan import FEW_TILES, Piece, Plan

SIDES = ("top", "bottom", "left", "right")
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
    def nearest_centre(self) -> Any:
        """Labels windows; what it learns is shared by the tiles that this process takes."""
        return kernels.choose(self.kernels)[0].NearestCentre(self.centres)

    @cached_property
    def cells(self) -> AnyCells:
        """What tiles beside each other read of a raster that is resampled."""
        return Cells()


@dataclass(frozen=True)
class TileJob(PixelJob):
    """What all tiles of a run share."""

    folder: WorkFolder
    rules: EliminationRules
    is_decoded: bool = False  # whether the survey has left what it has read

    @cached_property
    def cells(self) -> AnyCells:
        """What is read: by the survey before, or by tiles beside each other of a raster that is resampled."""
        return Decoded(self.folder) if self.is_decoded else Cells()


@dataclass(frozen=True)
class PieceResult:
    """What is reported of a finished piece; the rest is in the work folder."""

    piece_id: int
    tile_id: int
    clumps: int
    valid_pixels: int
    halo: int
    seconds: float


def graph_of(piece: Piece) -> str:
    """Under which a piece's graph lies in the work folder."""
    return f"graph-{piece.piece_id:07d}"


def labels_of(piece: Piece) -> str:
    """Under which a piece's labels lie in the work folder."""
    return f"labels-{piece.piece_id:07d}"


def moments_of(piece: Piece) -> str:
    """Under which the statistics of the values in a piece's regions lie in the work folder."""
    return f"moments-{piece.piece_id:07d}"


def process_tiles(context: RunContext, job: TileJob, units: Sequence[Tuple[Piece, ...]]) -> List[PieceResult]:
    """The stage: process the units that an earlier run has not finished. Returns the results of all pieces.

    Parameters
    ----------
    units : of `plan.work_units`
    """
    progress, feedback = context.progress, context.progress.feedback
    progress.start("tiles", "Segmenting tiles")
    finished = _finished_before(context, job, units)
    done = {result.piece_id for result in finished}
    remaining = [tuple(piece for piece in unit if piece.piece_id not in done) for unit in units]
    todo = [unit for unit in remaining if unit]
    left = Counter(piece.tile_id for unit in todo for piece in unit)
    tiles = {piece.tile_id for unit in units for piece in unit}
    if finished:
        feedback.info(f"{len(tiles - left.keys())} of {len(tiles)} tiles are finished already in {job.folder.path}.")
    watch = TileWatch(feedback, todo, context.runner.workers)
    watch.finished(tiles - left.keys())
    pieces, processed = len(finished) + sum(len(unit) for unit in todo), len(tiles - left.keys())
    tasks = todo if len(units) >= FEW_TILES else [(piece,) for unit in todo for piece in unit]
    for task, results in context.run(process_unit, job, tasks):
        left.subtract(piece.tile_id for piece in task)
        ended = {piece.tile_id for piece in task if not left[piece.tile_id]}
        watch.finished(ended)
        finished += results
        processed += len(ended)
        progress.advance(len(finished) / pieces, f"Segmented tile {processed} of {len(tiles)}")
        for result in results:
            feedback.debug(
                f"Tile {result.tile_id}: {result.clumps} clumps, halo {result.halo}, {result.seconds:.2f} s."
            )
    return finished


def _finished_before(context: RunContext, job: TileJob, units: Sequence[Tuple[Piece, ...]]) -> List[PieceResult]:
    """The results of the pieces that an earlier run finished."""
    if job.folder.is_temporary:
        return []
    finished: List[PieceResult] = []
    for unit in units:
        context.progress.check_cancelled()
        results = [finished_piece(job, piece) for piece in unit]
        finished += [result for result in results if result is not None]
    return finished


def process_unit(job: TileJob, pieces: Sequence[Piece], check_cancelled: Callable[[], None]) -> List[PieceResult]:
    """Process pieces of one or more tiles: the task of this stage."""
    return [process_piece(job, piece, check_cancelled) for piece in pieces]


def process_piece(job: TileJob, piece: Piece, check_cancelled: Callable[[], None]) -> PieceResult:
    """Clump one rectangle, merge what can be, and write its labels and graph."""
    started = time.monotonic()
    kernel, _ = kernels.choose(job.kernels)
    settled = settled_clusters(job, piece, kernel, check_cancelled)
    labels, count = kernel.clump(settled.clusters)
    check_cancelled()
    sizes, sums, first, clusters = kernel.describe_clumps(
        labels, count, settled.clusters, job.colours.quantities(settled.values, settled.compared)
    )
    window, values, halo = settled.window, settled.values, settled.halo
    del settled
    edges = kernel.find_edges(labels, count) - np.uint32(1)
    check_cancelled()
    valid = int(sizes.sum())
    rows, cols = np.divmod(first, window.width)
    first = (window.row + rows) * job.raster.width + window.col + cols
    inner = labels[piece.window.within(window)]
    graph = Graph(sizes, sums, edges, first, first, clusters, _borders(job, piece, inner))
    del edges  # the graph's may go while regions are merged
    merged = merge_within(kernel, graph, job.rules, lambda fraction: check_cancelled())
    if job.raster.is_integer:
        job.folder.save(moments_of(piece), **_moments_of_regions(kernel, values, labels, merged))
        check_cancelled()
    checksum = job.folder.save_rows(labels_of(piece), inner)
    seconds = time.monotonic() - started
    _save(job.folder, piece, merged, labels_checksum=np.int64(checksum), result=np.array([count, valid, halo, seconds]))
    return PieceResult(piece.piece_id, piece.tile_id, count, valid, halo, seconds)


def _borders(job: TileJob, piece: Piece, labels: np.ndarray) -> Dict[Tuple[int, str], np.ndarray]:
    sides = zip(SIDES, open_sides(piece.window, job.raster), (labels[0], labels[-1], labels[:, 0], labels[:, -1]))
    return {(piece.piece_id, side): border for side, is_open, border in sides if is_open}


def _save(folder: WorkFolder, piece: Piece, merged: Merged, **more: Any) -> None:
    left = {name: value for name, value in vars(merged.left).items() if name != "borders"}
    borders = {side: border for (_, side), border in merged.left.borders.items()}
    folder.save(
        graph_of(piece),
        **{f"left_{name}": value for name, value in left.items()},
        **{f"border_{side}": border for side, border in borders.items()},
        **{name: value for name, value in vars(merged).items() if name != "left"},
        **more,
    )


def _moments_of_regions(kernel: Any, values: np.ndarray, labels: np.ndarray, merged: Merged) -> Dict[str, np.ndarray]:
    """What attributes are made of (see `attributes`), while the values are at hand: of integers no order matters."""
    regions = kernel.relabel(labels, np.append(np.uint32(0), merged.region_of + np.uint32(1))).reshape(-1)
    bands = [kernel.region_moments(regions, merged.undecided.size, band.reshape(-1)) for band in values]
    counts, totals, squares, low, high = (np.stack(arrays) for arrays in zip(*bands))
    whole = {"counts": counts[0], "totals": totals, "squares": squares, "low": low, "high": high}
    return {name: _narrowed(array) for name, array in whole.items()}


def _narrowed(array: np.ndarray) -> np.ndarray:
    """The integers in the smallest type that holds them; most regions are small."""
    least, most = int(array.min(initial=0)), int(array.max(initial=0))
    fitting = np.promote_types(np.min_scalar_type(least), np.min_scalar_type(most))
    return array.astype(fitting) if fitting.kind in "iu" else array


def load_moments(folder: WorkFolder, piece: Piece) -> List[Tuple[np.ndarray, ...]]:
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


def damaged(folder: WorkFolder, piece: Piece) -> SegmentationError:
    """The error that says so of a piece's files."""
    return SegmentationError(f"The files of tile {piece.tile_id} in {folder.path} are damaged: start the run again.")


def load_merged(folder: WorkFolder, piece: Piece) -> Optional[Merged]:
    """What a piece has left, as `process_piece` saved it; None if it is missing or damaged."""
    saved = folder.load(graph_of(piece))
    if saved is None:
        return None
    borders = {(piece.piece_id, side): saved[f"border_{side}"] for side in SIDES if f"border_{side}" in saved}
    left = {name[len("left_") :]: array for name, array in saved.items() if name.startswith("left_")}
    whole = {name: saved[name] for name in ("region_of", "undecided", "sizes", "earliest")}
    return Merged(**whole, left=Graph(**left, borders=borders))


def open_sides(window: Window, raster: Raster) -> Tuple[bool, bool, bool, bool]:
    """Whether the raster goes on beyond the sides of a window, in the order of SIDES."""
    return window.row > 0, window.bottom < raster.height, window.col > 0, window.right < raster.width


class SettledClusters(NamedTuple):
    """What a piece's clumps are made of, with the margin of `halo` pixels that its single pixels were decided with.

    window : the piece with the margin, as far as the raster goes
    clusters : (rows, cols) uint16 of `window`, without single pixels; 0 where not valid, and in the margin
    values, compared : (bands, rows, cols) of `window`, see `raster.read_window` and `colours`
    """

    window: Window
    clusters: np.ndarray
    values: np.ndarray
    compared: np.ndarray
    halo: int


def settled_clusters(job: PixelJob, piece: Piece, kernel: Any, check_cancelled: Callable[[], None]) -> SettledClusters:
    """Read and label a piece and its margin, which stays, as to cut it off would copy all bands."""
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
            return SettledClusters(window, clusters, values, compared, halo)
        halo *= 2


def _clear_outside(array: np.ndarray, rows: slice, cols: slice) -> None:
    array[: rows.start] = array[rows.stop :] = 0
    array[:, : cols.start] = array[:, cols.stop :] = 0


def finished_piece(job: TileJob, piece: Piece) -> Optional[PieceResult]:
    """The result of a piece that an earlier run finished; None if there is none or its files are damaged."""
    graph = job.folder.load(graph_of(piece))
    if graph is None or job.folder.checksum(labels_of(piece)) != int(graph["labels_checksum"]):
        return None
    if job.raster.is_integer and job.folder.load(moments_of(piece)) is None:
        return None
    count, valid, halo, seconds = graph["result"].tolist()
    return PieceResult(piece.piece_id, piece.tile_id, int(count), int(valid), int(halo), seconds)
