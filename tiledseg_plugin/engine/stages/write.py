# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 5, write: labels through lookup tables into OUTPUT, window by window.

Overviews of a GeoTIFF are written along. Band statistics, overviews and the attribute table (see `attribute_table`) are
in the file before it gets its name.
"""

from dataclasses import dataclass

import numpy as np
from osgeo import gdal

from .. import kernels
from ..errors import SegmentationError
from ..files.gdal_access import collected_errors, reason
from ..files.output_files import SEGMENTS, Output
from ..files.outputs import create_like, grows_overviews, made_ahead, output_windows, set_statistics
from ..files.overviews import GrowingOverviews
from ..files.verification import Samples
from ..files.work_folder import WorkFolder
from .tiles import labels_of


@dataclass(frozen=True)
class RelabelJob:
    """What all pieces share that are relabelled elsewhere."""

    kernels: str
    folder: WorkFolder


def relabel_piece(job, piece, check_cancelled):
    """Labels of one piece through its lookup table: a task, for executions whose workers are on other machines."""
    kernel, _ = kernels.choose(job.kernels)
    saved = job.folder.load(table_of(piece))
    if saved is None:
        raise SegmentationError(f"The lookup table of tile {piece.tile_id} in {job.folder.path} is damaged: run again.")
    check_cancelled()
    width, height = piece.window.width, piece.window.height
    ids = kernel.relabel(job.folder.load_rows(labels_of(piece), 0, height, width, np.uint32), saved["table"])
    check_cancelled()
    job.folder.save_rows(ids_of(piece), ids)


def table_of(piece):
    """Under which a piece's lookup table lies in the work folder."""
    return f"table-{piece.piece_id:07d}"


def ids_of(piece):
    """Under which a piece's segment ids lie in the work folder."""
    return f"ids-{piece.piece_id:07d}"


def write_segments(
    path, raster, plan, segments, folder, kernel, workers, options, assign_crs, advance, relabelled=False
):
    """Write the segment ids.

    Parameters
    ----------
    segments : graph.Segments
    folder : WorkFolder with the tiles' labels
    workers : threads that look labels up and compress
    options : the user's creation options, `|`-separated
    advance : called with the fraction that is done
    relabelled : whether `relabel_piece` has been at all pieces

    Returns
    -------
    verification.Samples, to hold the finished file against
    """
    output = Output("OUTPUT", path, SEGMENTS, options, assign_crs=assign_crs)
    dataset = create_like(output, raster, 1, gdal.GDT_UInt32, workers)
    band = dataset.GetRasterBand(1)
    band.SetNoDataValue(0)
    band.SetDescription("segment")
    band.SetMetadataItem("LAYER_TYPE", "thematic")
    set_statistics(band, np.arange(1, segments.sizes.size + 1, dtype=np.float64), segments.sizes)

    def part(piece, window):
        common = piece.window.intersection(window)
        name = ids_of(piece) if relabelled else labels_of(piece)
        rows = folder.load_rows(name, common.row - piece.window.row, common.height, piece.window.width, np.uint32)
        left = common.col - piece.window.col
        rows = rows[:, left : left + common.width]
        return common, rows if relabelled else kernel.relabel(rows, segments.tables[piece.piece_id])

    def ids_in(window):
        ids = np.zeros((window.height, window.width), np.uint32)
        for piece in plan.pieces_in(window):
            if piece.piece_id in segments.tables:
                common, array = part(piece, window)
                ids[common.within(window)] = array
        return ids

    windows, samples = output_windows(raster.width, raster.height), Samples()
    with collected_errors() as messages:
        overviews = GrowingOverviews(dataset, workers) if grows_overviews(path) else None
        for done, (window, ids) in enumerate(made_ahead(ids_in, windows, workers), 1):
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
