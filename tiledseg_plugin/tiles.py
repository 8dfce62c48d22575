# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 3, tiles: from the pixels of a tile's pieces to their clumps and graphs, exactly as in the whole raster."""

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Union

import numpy as np

from . import kernels
from .colours import Raw, Stretched
from .gdal_access import open_raster
from .plan import Plan
from .raster import Raster, read_window
from .work_folder import WorkFolder

HALO = 8  # pixels; a tile into which single pixels reach from further away is worked again with twice as many


@dataclass(frozen=True)
class TileJob:
    """What all tiles of a run share.

    kernels : name of the set, as `kernels.choose` takes it
    """

    raster: Raster
    plan: Plan
    colours: Union[Stretched, Raw]
    centres: np.ndarray
    kernels: str
    folder: WorkFolder

    @cached_property
    def nearest_centre(self):
        """Labels windows; what it learns is shared by the tiles that this process works."""
        return kernels.choose(self.kernels)[0].NearestCentre(self.centres)


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
    """Clump one rectangle and write its labels and graph."""
    started = time.monotonic()
    kernel, _ = kernels.choose(job.kernels)
    clusters, values, compared, halo = calm_clusters(job, piece, kernel, check_cancelled)
    labels, count = kernel.clump(clusters)
    check_cancelled()
    sizes, sums, first, kinds = kernel.describe_clumps(
        labels, count, clusters, job.colours.quantities(values, compared)
    )
    del values, compared
    edges = kernel.find_edges(labels, count)
    check_cancelled()
    valid = int(sizes.sum())
    seconds = time.monotonic() - started
    job.folder.save(
        name_of(piece),
        sizes=sizes,
        sums=sums,
        first=first,
        kinds=kinds,
        edges=edges,
        top=labels[0],
        bottom=labels[-1],
        left=labels[:, 0],
        right=labels[:, -1],
        labels_checksum=np.int64(job.folder.save_rows(labels_of(piece), labels)),
        told=np.array([count, valid, halo, seconds]),
    )
    return PieceResult(piece.piece_id, piece.tile_id, count, valid, halo, seconds)


def calm_clusters(job, piece, kernel, check_cancelled):
    """The piece's clusters without single pixels, its values and compared colours, and the halo that was needed."""
    raster = job.raster
    dataset = open_raster(raster.path)
    halo = HALO
    while True:
        window = piece.window.grown(halo, raster.width, raster.height)
        values, valid = read_window(dataset, raster, window, job.plan.covered(window))
        check_cancelled()
        compared = job.colours.compared(values, valid, kernel)
        clusters = job.nearest_centre(compared, valid)
        check_cancelled()
        open_sides = (window.row > 0, window.bottom < raster.height, window.col > 0, window.right < raster.width)
        clusters, uncertain = kernel.eliminate_singles(clusters, compared, open_sides)
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
