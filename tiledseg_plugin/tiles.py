# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 3, tiles: from the pixels of a tile's pieces to their clumps, exactly as in the whole raster.

Small clumps that nothing outside the piece can have any influence on are merged already; what is left is the graph of
the regions that have to be decided about where all their neighbours are known (see `graph`).
"""

import time
from dataclasses import dataclass
from typing import Optional, Union

import numpy as np

from . import kernels
from .colours import Raw, Stretched
from .elimination import eliminate
from .gdal_access import open_raster
from .kernels.plain.elimination import DECIDED
from .plan import Plan
from .raster import Raster, read_window
from .work_folder import WorkFolder

HALO = 8  # pixels; a tile into which single pixels reach from further away is worked again with twice as many


@dataclass(frozen=True)
class PixelJob:
    """What is needed to put pixels into clusters."""

    raster: Raster
    plan: Plan
    colours: Union[Stretched, Raw]
    centres: np.ndarray


@dataclass(frozen=True)
class TileJob(PixelJob):
    """What all tiles of a run share.

    kernels : name of the set, as `kernels.choose` takes it
    min_pixels, distance_threshold : see `elimination.eliminate`
    """

    kernels: str
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


def work_unit(job, pieces, check_cancelled):
    """Work pieces of one or more tiles: the task of this stage. Gives their results."""
    return [work_piece(job, piece, check_cancelled) for piece in pieces]


def work_piece(job, piece, check_cancelled):
    """Clump one rectangle, merge what can be, and write its labels and graph."""
    started = time.monotonic()
    kernel, _ = kernels.choose(job.kernels)
    clusters, values, compared, halo = calm_clusters(job, piece, kernel, check_cancelled)
    labels, count = kernel.clump(clusters)
    check_cancelled()
    sizes, sums, first, kinds = kernel.describe_clumps(
        labels, count, clusters, job.colours.quantities(values, compared)
    )
    del clusters, values, compared
    edges = kernel.find_edges(labels, count) - np.uint32(1)
    check_cancelled()
    valid = int(sizes.sum())
    graph = _merge_within(job, piece, kernel, labels, (sizes, sums, edges), first, kinds, check_cancelled)
    seconds = time.monotonic() - started
    job.folder.save(
        name_of(piece),
        **graph,
        labels_checksum=np.int64(job.folder.save_rows(labels_of(piece), labels)),
        told=np.array([count, valid, halo, seconds]),
    )
    return PieceResult(piece.piece_id, piece.tile_id, count, valid, halo, seconds)


def _merge_within(job, piece, kernel, labels, graph, first, kinds, check_cancelled):
    """Merge the clumps whose fate the piece alone decides; what is left of the graph, as arrays to be saved.

    region_of : (clumps,) uint32, the region of each clump
    sizes, earliest : (regions,) int64, pixels, and the first of them, counted in the piece
    undecided : (regions,) bool
    first, kinds, sums, since : (undecided regions, ...); first pixel of the clump that each began as
    edges : (m, 2) uint32, indices of undecided regions
    top, bottom, left, right : (pixels,) uint32, 1 + index of the undecided region at each pixel of the piece's borders
    """
    sides = {"top": labels[0], "bottom": labels[-1], "left": labels[:, 0], "right": labels[:, -1]}
    shared = np.zeros(first.size + 1, bool)
    for labels_there, is_open in zip(sides.values(), open_sides(piece.window, job.raster)):
        if is_open:
            shared[labels_there] = True
    sizes, sums, edges = graph
    elimination = eliminate(
        kernel,
        sizes,
        sums,
        edges,
        job.colours.weights,
        job.min_pixels,
        job.distance_threshold,
        lambda fraction: check_cancelled(),
        shared=shared[1:],
    )
    left, region_of = elimination.regions(), np.empty(first.size, np.uint32)
    region_of[left.roots] = np.arange(left.roots.size, dtype=np.uint32)
    region_of = region_of[elimination.into]
    earliest = np.empty(left.roots.size, np.int64)
    earliest[region_of[::-1]] = first[::-1]  # of those written to one place the last one stays
    undecided = left.since != DECIDED
    number = np.cumsum(undecided, dtype=np.uint32)
    at_border = np.append(np.uint32(0), np.where(undecided, number, 0)[region_of].astype(np.uint32))
    roots = left.roots[undecided]
    return {
        "region_of": region_of,
        "sizes": left.sizes,
        "earliest": earliest,
        "undecided": undecided,
        "first": first[roots],
        "kinds": kinds[roots],
        "sums": left.sums[undecided],
        "since": left.since[undecided],
        "edges": number[left.edges] - np.uint32(1),
        **{side: at_border[labels_there] for side, labels_there in sides.items()},
    }


def open_sides(window, raster):
    """Whether the raster goes on beyond the top, bottom, left and right of a window."""
    return window.row > 0, window.bottom < raster.height, window.col > 0, window.right < raster.width


def calm_clusters(job, piece, kernel, check_cancelled):
    """The piece's clusters without single pixels, its values and compared colours, and the halo that was needed."""
    raster = job.raster
    dataset = open_raster(raster.path)
    halo = HALO
    while True:
        window = piece.window.grown(halo, raster.width, raster.height)
        values, valid = read_window(dataset, raster, window, job.plan.covered(window))
        check_cancelled()
        compared = job.colours.compared(values, valid)
        clusters = kernel.nearest_centre(compared, valid, job.centres)
        check_cancelled()
        clusters, uncertain = kernel.eliminate_singles(clusters, compared, open_sides(window, raster))
        check_cancelled()
        inside = piece.window.within(window)
        if not uncertain[inside].any():
            crop = (slice(None), *inside)
            values, compared = np.ascontiguousarray(values[crop]), np.ascontiguousarray(compared[crop])
            return np.ascontiguousarray(clusters[inside]), values, compared, halo
        halo *= 2


def finished_piece(folder, piece):
    """The result of a piece that an earlier run finished; None if there is none or its files are damaged."""
    graph = folder.load(name_of(piece))
    if graph is None or folder.checksum(labels_of(piece)) != int(graph["labels_checksum"]):
        return None
    count, valid, halo, seconds = graph["told"].tolist()
    return PieceResult(piece.piece_id, piece.tile_id, int(count), int(valid), int(halo), seconds)
