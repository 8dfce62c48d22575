# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 5 on other machines: their workers look ids up and compress blocks, and write the table beside OUTPUT.

Here what is ready is only put into the file. That can be done with GeoTIFFs, see `files.ready_blocks`.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from osgeo import gdal

from ..errors import SegmentationError, why
from ..files.attribute_table import write_table_beside
from ..files.creation_options import BLOCK
from ..files.gdal_access import collected_errors, configured, reason
from ..files.output_files import SEGMENTS, Output
from ..files.outputs import create_like, grows_overviews, set_id_statistics
from ..files.overviews import GrowingOverviews
from ..files.publish import attributes_path
from ..files.raster import Raster
from ..files.ready_blocks import WITHOUT_BLOCKS, ReadyTiff, fits, levels_of, make_ready, ready_windows
from ..files.stored import Rows
from ..files.tables import Column
from ..files.verification import Samples, verify_features
from ..files.window import Window
from ..files.work_folder import WorkFolder
from .context import RunContext
from .numbering import Segments, table_of
from .parts import load_or_raise
from .plan import Piece, Plan
from .tiles import labels_of, load_part

TABLE = "beside"  # under which the table lies in the work folder


@dataclass(frozen=True)
class IdsOf:
    """Called with a window, returns its segment ids: (rows, cols) uint32; in any thread, and on any machine.

    pieces : ids of those that have a lookup table
    relabelled : whether `write.relabel_piece` has been at all pieces
    kernels : name of the set, as `kernels.choose` takes it
    """

    plan: Plan
    folder: WorkFolder
    pieces: FrozenSet[int]
    relabelled: bool
    kernels: str

    @staticmethod
    def run(context: RunContext, segments: Segments, relabelled: bool) -> "IdsOf":
        """Those of a run."""
        return IdsOf(context.plan, context.folder, frozenset(segments.pieces), relabelled, context.kernel.NAME)

    def __call__(self, window: Window) -> np.ndarray:
        ids = np.zeros((window.height, window.width), np.uint32)
        for piece in self.plan.pieces_in(window):
            if piece.piece_id in self.pieces:
                name = ids_of(piece) if self.relabelled else labels_of(piece)
                table = None if self.relabelled else self.folder.map_array(table_of(piece))
                part = load_part(self.folder, name, piece, window, self.kernels, table)
                ids[piece.window.part_in(window).within(window)] = part
        return ids


def ids_of(piece: Piece) -> str:
    """Under which a piece's segment ids lie in the work folder."""
    return f"ids-{piece.piece_id:07d}"


def output_at(context: RunContext, path: str, more: str = "") -> Output:
    """OUTPUT, in its staging folder.

    Parameters
    ----------
    more : creation options besides the user's
    """
    parameters = context.parameters
    options = "|".join(some for some in (parameters.creation_options, more) if some)
    return Output("OUTPUT", path, SEGMENTS, options, assign_crs=parameters.assign_crs)


def create_ids(output: Output, raster: Raster, sizes: Rows, threads: int) -> gdal.Dataset:
    """A raster of segment ids, with all but its pixels.

    Parameters
    ----------
    raster : whose size and georeference it gets
    sizes : (segments,) pixels
    """
    dataset = create_like(output, raster, 1, gdal.GDT_UInt32, threads)
    band = dataset.GetRasterBand(1)
    band.SetNoDataValue(0)
    band.SetDescription("segment")
    band.SetMetadataItem("LAYER_TYPE", "thematic")
    set_id_statistics(band, sizes)
    return dataset


def not_written(because: str) -> SegmentationError:
    """What is said where OUTPUT cannot be written."""
    return SegmentationError(f"OUTPUT cannot be written ({because}): make room on its disk, or choose another.")


class Table(NamedTuple):
    """The item of the task that writes the table beside OUTPUT, whose name, without folders, it bears."""

    name: str

    def __str__(self) -> str:
        return "with the attribute table"


class ReadyJob(NamedTuple):
    """What the tasks share.

    levels, given : see `make_ready`
    columns : of the table
    """

    ids: IdsOf
    levels: Tuple[int, ...]
    given: str
    columns: Sequence[Column]


def ready_of(window: Window) -> str:
    """Under which what `make_ready` returns lies in the work folder."""
    return f"ready-{window.col}-{window.row}"


def get_ready(job: ReadyJob, item: Union[Window, Table], check_cancelled: Callable[[], None]) -> Samples:
    """Make a window's blocks, or the table: the task. Returns what to hold the file against."""
    folder, samples = job.ids.folder, Samples()
    if isinstance(item, Table):
        with tempfile.TemporaryDirectory() as own:  # SQLite and the storage that machines share do not get on well
            path = os.path.join(own, item.name)
            write_table_beside(path, job.columns, check_cancelled)
            folder.save_file(TABLE, attributes_path(path))
        return samples
    ids = job.ids(item)
    check_cancelled()
    for row in range(0, item.height, BLOCK):
        height = min(BLOCK, item.height - row)
        samples.add(Window(item.col, item.row + row, item.width, height), [ids[row : row + height]])
    folder.save(ready_of(item), **make_ready(ids, item, job.levels, job.given))
    return samples


def takes_ready_blocks(context: RunContext, path: str) -> bool:
    """Whether OUTPUT can be put together of blocks that others have compressed: tried with a small raster in memory."""
    return grows_overviews(path) and fits(context.parameters.creation_options)


def write_ready(
    context: RunContext, segments: Segments, path: str, table: Optional[Sequence[Column]]
) -> Optional[Samples]:
    """Write OUTPUT, and the table beside it if there is one; None where its format does not take ready blocks.

    Parameters
    ----------
    table : its columns
    """
    raster, folder, given = context.raster, context.folder, context.parameters.creation_options
    if not takes_ready_blocks(context, path):
        return None
    tiff = _without_blocks(context, segments, path)
    job = ReadyJob(IdsOf.run(context, segments, False), levels_of(raster.width, raster.height), given, table or ())
    windows = ready_windows(raster.width, raster.height)
    tasks: List[Union[Window, Table]] = [Table(Path(path).name)] if table else []
    samples = Samples()
    try:
        for done, (item, found) in enumerate(context.run(get_ready, job, [*tasks, *windows]), 1):
            samples.take(found)
            if isinstance(item, Window):
                tiff.add(item, load_or_raise(folder, ready_of(item)))
                folder.drop(ready_of(item))
            else:
                shutil.copyfile(folder.file_path(TABLE), attributes_path(path))
                folder.drop(TABLE)
            context.progress.advance(done / (len(tasks) + len(windows)), "Writing segments")
        with collected_errors() as messages:
            tiff.close()
    except OSError as error:
        raise not_written(why(error)) from error
    if messages:
        raise not_written(reason(messages))
    if table:
        verify_features(attributes_path(path), segments.count, "The attribute table of OUTPUT")
    return samples


def _without_blocks(context: RunContext, segments: Segments, path: str) -> ReadyTiff:
    """OUTPUT with nothing but its head."""
    raster = context.raster
    with collected_errors() as messages, configured(WITHOUT_BLOCKS):
        dataset = create_ids(output_at(context, path, "SPARSE_OK=TRUE"), raster, segments.sizes, context.threads)
        GrowingOverviews(dataset, context.threads)
        dataset.FlushCache()
        del dataset
    if messages:
        raise not_written(reason(messages))
    return ReadyTiff(path, raster.width, raster.height)
