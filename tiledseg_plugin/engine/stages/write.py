# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 5, write: regions through lookup tables into OUTPUT, window by window.

What else is made of segments is the steps of `products.run_outputs`, of which this is one. Overviews of a GeoTIFF are
written along. Band statistics, overviews and the attribute table (see `attribute_table`) are in the file before it gets
its name. On other machines more is done there, see `ready`.
"""

from typing import Callable, Optional, Sequence

import numpy as np

from .. import kernels
from ..files.gdal_access import collected_errors, reason
from ..files.output_files import Output
from ..files.outputs import grows_overviews, made_ahead, output_windows
from ..files.overviews import GrowingOverviews
from ..files.raster import Raster
from ..files.stored import Rows
from ..files.tables import Column
from ..files.verification import Samples
from ..files.window import Window
from .context import RunContext
from .numbering import Segments
from .plan import Piece
from .ready import IdsOf, create_ids, ids_of, not_written, output_at, write_ready


def relabel_piece(ids: IdsOf, piece: Piece, check_cancelled: Callable[[], None]) -> None:
    """Regions of one piece through its lookup table: a task, for executions whose workers are on other machines."""
    found = ids(piece.window)
    check_cancelled()
    ids.folder.save_labels(ids_of(piece), found, kernels.choose(ids.kernels)[0])


def write_segments(
    context: RunContext, segments: Segments, path: str, table: Optional[Sequence[Column]] = None
) -> Samples:
    """The stage: write the segment ids.

    Parameters
    ----------
    table : columns of a table beside the raster, where workers on other machines are to write it meanwhile

    Returns
    -------
    what to hold the finished file against
    """
    context.progress.start("write", "Writing segments")
    remote = context.runner.remote
    samples = write_ready(context, segments, path, table) if remote else None
    if samples is not None:
        return samples
    if remote:
        _relabel_elsewhere(context, segments)

    def advance(fraction: float) -> None:
        context.progress.advance(0.5 + fraction / 2 if remote else fraction, "Writing segments")

    ids_in = IdsOf.run(context, segments, remote)
    return write_ids(output_at(context, path), context.raster, segments.sizes, ids_in, context.threads, advance)


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
    dataset = create_ids(output, raster, sizes, threads)
    band = dataset.GetRasterBand(1)
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
        raise not_written(reason(messages))
    return samples


def _relabel_elsewhere(context: RunContext, segments: Segments) -> None:
    """Let workers on other machines do the lookups, in the tables that are in the work folder.

    Here the pieces are only put together.
    """
    progress = context.progress
    pieces = [context.plan.pieces[piece_id - 1] for piece_id in segments.pieces]
    ids = IdsOf.run(context, segments, False)
    for done, _ in enumerate(context.run(relabel_piece, ids, pieces), 1):
        progress.advance(0.5 * done / len(pieces), f"Numbered the segments of tile {done} of {len(pieces)}")
