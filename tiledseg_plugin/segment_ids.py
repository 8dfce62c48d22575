# SPDX-License-Identifier: GPL-2.0-or-later
"""Where products read segment ids from: the tiles of a run with their lookup tables, or any raster of ids."""

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from . import kernels
from .errors import SegmentationError
from .gdal_access import collected_errors, open_raster, reason
from .plan import Plan
from .raster import Raster
from .tiles import labels_of
from .work_folder import WorkFolder
from .write import table_of


@dataclass(frozen=True)
class TileIds:
    """The segments of a run that is being written. Plain values: it travels to workers.

    worked : ids of the pieces that hold valid pixels
    kernels : name of the set
    """

    plan: Plan
    folder: WorkFolder
    worked: Tuple[int, ...]
    kernels: str

    def save(self, tables):
        """Put the lookup tables of `graph.Segments` into the work folder, where readers need them."""
        for piece in self.plan.pieces:
            if piece.piece_id in tables:
                self.folder.save_array(table_of(piece), tables[piece.piece_id])

    def reader(self):
        """A function window -> (rows, cols) uint32; for one thread."""
        kernel, _ = kernels.choose(self.kernels)
        worked = set(self.worked)

        def read(window):
            ids = np.zeros((window.height, window.width), np.uint32)
            for piece in self.plan.pieces_in(window):
                if piece.piece_id not in worked:
                    continue
                common = piece.window.intersection(window)
                top, left = common.row - piece.window.row, common.col - piece.window.col
                rows = self.folder.map_rows(labels_of(piece), top, common.height, piece.window.width, np.uint32)
                table = self.folder.map_array(table_of(piece))
                ids[common.within(window)] = kernel.relabel(rows[:, left : left + common.width], table)
            return ids

        return read


@dataclass(frozen=True)
class RasterIds:
    """The segments in the first band of a raster; what that declares as no data is 0."""

    raster: Raster

    def reader(self):
        """A function window -> (rows, cols) uint32; for one thread."""
        raster, dataset = self.raster, open_raster(self.raster.path)
        nodata = raster.bands[0].nodata

        def read(window):
            with collected_errors() as messages:
                ids = dataset.GetRasterBand(1).ReadAsArray(*window)
            if ids is None or messages:
                raise SegmentationError(f"SEGMENTS {raster.path} cannot be read ({reason(messages)}): is it damaged?")
            if ids.dtype.kind == "f":
                ids = np.nan_to_num(ids)
            if nodata:
                ids[ids == nodata] = 0
            if ids.dtype != np.uint32:
                wrong = (ids < 0) | (ids > 2**32 - 1) | (ids != np.floor(ids)) if ids.dtype.kind == "f" else ids < 0
                if ids.dtype.itemsize > 4 and ids.dtype.kind in "iu":
                    wrong = wrong | (ids > 2**32 - 1)
                if wrong.any():
                    raise SegmentationError(
                        f"SEGMENTS {raster.path} holds {ids[wrong][0]}, which is no segment id: ids are whole numbers "
                        "from 1 to 4294967295, 0 is no data."
                    )
                ids = ids.astype(np.uint32)
            return ids

        return read
