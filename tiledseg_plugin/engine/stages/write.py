# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 5, write: regions through lookup tables into OUTPUT, window by window.

What else is made of segments is the steps of `products.run_outputs`, of which this is one. Overviews of a GeoTIFF are
written along. Band statistics, overviews and the attribute table (see `attribute_table`) are in the file before it gets
its name.
"""

from typing import Callable

import numpy as np
from osgeo import gdal

from ..errors import SegmentationError
from ..files.gdal_access import collected_errors, reason
from ..files.output_files import SEGMENTS, Output
from ..files.outputs import create_like, grows_overviews, made_ahead, output_windows, set_id_statistics
from ..files.overviews import GrowingOverviews
from ..files.raster import Raster
from ..files.stored import Rows
from ..files.verification import Samples
from ..files.window import Window
from ..files.work_folder import WorkFolder
from .context import RunContext
from .numbering import Segments, table_of
from .plan import Piece
from .tiles import labels_of


def relabel_piece(folder: WorkFolder, piece: Piece, check_cancelled: Callable[[], None]) -> None:
    """Regions of one piece through its lookup table: a task, for executions whose workers are on other machines."""
    table = folder.map_array(table_of(piece))
    check_cancelled()
    ids = folder.load_labels(labels_of(piece), 0, piece.window.height, table)
    check_cancelled()
    folder.save_labels(ids_of(piece), ids)


def ids_of(piece: Piece) -> str:
    """Under which a piece's segment ids lie in the work folder."""
    return f"ids-{piece.piece_id:07d}"


def write_segments(context: RunContext, segments: Segments, path: str) -> Samples:
    """The stage: write the segment ids.

    Returns
    -------
    what to hold the finished file against
    """
    parameters, raster, threads = context.parameters, context.raster, context.threads
    context.progress.start("write", "Writing segments")
    remote = context.runner.remote
    if remote:
        _relabel_elsewhere(context, segments)
    ids_in = _IdsOf(context, segments, remote)
    output = Output("OUTPUT", path, SEGMENTS, parameters.creation_options, assign_crs=parameters.assign_crs)

    def advance(fraction: float) -> None:
        context.progress.advance(0.5 + fraction / 2 if remote else fraction, "Writing segments")

    return write_ids(output, raster, segments.sizes, ids_in, threads, advance)


def write_ids(
    output: Output,
    raster: Raster,
    sizes: Rows,
    ids_in: Callable[[Window], np.ndarray],
    threads: int,
    advance: Callable[[float], None],
) -> Samples:
    """Write a raster of segment ids, with overviews where they can be written along.

    Parameters
    ----------
    raster : whose size and georeference it gets
    sizes : (segments,) pixels
    ids_in : called with a window, in any thread, returns its ids: (rows, cols) uint32
    advance : called with the fraction that is done; raises what ends the run

    Returns
    -------
    what to hold the finished file against
    """
    dataset = create_like(output, raster, 1, gdal.GDT_UInt32, threads)
    band = dataset.GetRasterBand(1)
    band.SetNoDataValue(0)
    band.SetDescription("segment")
    band.SetMetadataItem("LAYER_TYPE", "thematic")
    set_id_statistics(band, sizes)
    windows, samples = output_windows(raster.width, raster.height), Samples()
    with collected_errors() as messages:
        overviews = GrowingOverviews(dataset, threads) if grows_overviews(output.path) else None
        for done, (window, ids) in enumerate(made_ahead(ids_in, windows, threads), 1):
            band.WriteArray(ids, window.col, window.row)
            samples.add(window, [ids])
            if overviews:
                overviews.add(ids, window)
            dataset.FlushCache()  # so that closing, which cannot be cancelled, has little left to do
            if messages:
                break
            advance(done / len(windows))
        band.FlushCache()
        del band, overviews
        dataset.FlushCache()
        del dataset
    if messages:
        raise SegmentationError(
            f"OUTPUT cannot be written ({reason(messages)}): make room on its disk, or choose another."
        )
    return samples


def _relabel_elsewhere(context: RunContext, segments: Segments) -> None:
    """Let workers on other machines do the lookups, in the tables that are in the work folder.

    Here the pieces are only put together.
    """
    progress = context.progress
    pieces = [context.plan.pieces[piece_id - 1] for piece_id in segments.pieces]
    for done, _ in enumerate(context.run(relabel_piece, context.folder, pieces), 1):
        progress.advance(0.5 * done / len(pieces), f"Numbered the segments of tile {done} of {len(pieces)}")


class _IdsOf:
    """Called with a window, returns its segment ids: (rows, cols) uint32; in any thread.

    relabelled : whether `relabel_piece` has been at all pieces
    """

    def __init__(self, context: RunContext, segments: Segments, relabelled: bool) -> None:
        self._plan, self._folder = context.plan, context.folder
        self._pieces, self._relabelled = frozenset(segments.pieces), relabelled

    def __call__(self, window: Window) -> np.ndarray:
        ids = np.zeros((window.height, window.width), np.uint32)
        for piece in self._plan.pieces_in(window):
            if piece.piece_id in self._pieces:
                common = piece.window.part_in(window)
                ids[common.within(window)] = self._part(piece, common)
        return ids

    def _part(self, piece: Piece, common: Window) -> np.ndarray:
        name = ids_of(piece) if self._relabelled else labels_of(piece)
        top, left = common.row - piece.window.row, common.col - piece.window.col
        table = None if self._relabelled else self._folder.map_array(table_of(piece))
        return self._folder.load_labels(name, top, common.height, table)[:, left : left + common.width]
