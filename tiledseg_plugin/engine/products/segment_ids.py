# SPDX-License-Identifier: GPL-2.0-or-later
"""Where products read segment ids from: the tiles of a run with their lookup tables, or any raster of ids."""

from dataclasses import dataclass
from typing import Callable, FrozenSet, Iterator, Protocol, Tuple

import numpy as np

from ..errors import SegmentationError
from ..files.gdal_access import open_raster
from ..files.raster import Raster
from ..files.reading import read_values, read_window
from ..files.window import Window
from ..files.work_folder import WorkFolder
from ..stages.numbering import table_of
from ..stages.plan import Plan
from ..stages.ready import IdsOf
from ..stages.tiles import labels_of, load_part

LARGEST = 2**32 - 1  # id
IdReader = Callable[[Window], np.ndarray]


class SegmentIds(Protocol):
    """Where the ids of segments are read from. Plain values: it travels to workers."""

    def reader(self) -> IdReader:
        """A function window -> (rows, cols) uint32 ids, 0 for no data; for one thread."""


@dataclass(frozen=True)
class TileIds:
    """The segments of a run that is being written.

    pieces : ids of the pieces that hold valid pixels
    kernels : name of the set, as `kernels.choose` takes it
    """

    plan: Plan
    folder: WorkFolder
    pieces: FrozenSet[int]
    kernels: str

    def reader(self) -> IdReader:
        """A function window -> (rows, cols) uint32; for one thread."""
        return IdsOf(self.plan, self.folder, self.pieces, False, self.kernels)

    def labels_in(self, window: Window) -> Iterator[Tuple[Tuple[slice, slice], np.ndarray, np.ndarray]]:
        """Of each piece in a window, where it lies there, the labels of its regions, and its lookup table."""
        for piece in self.plan.pieces_in(window):
            if piece.piece_id in self.pieces:
                labels = load_part(self.folder, labels_of(piece), piece, window, self.kernels)
                place = piece.window.part_in(window).within(window)
                yield place, labels, self.folder.map_array(table_of(piece))


@dataclass(frozen=True)
class RasterIds:
    """The segments in a raster of one band.

    No data is what the raster declares, and 0 where it declares nothing; otherwise 0 is a segment. Readers return 0 for
    no data in any case: ids below the declared value become one higher, which `named` takes back.
    """

    raster: Raster

    @property
    def absent(self) -> int:
        """The number that no segment can have."""
        if self.raster.zero_is_nodata:
            return 0
        nodata = self.raster.bands[0].nodata
        return int(nodata) if nodata is not None and 0 <= nodata <= LARGEST and nodata == int(nodata) else LARGEST

    def named(self, ids: np.ndarray) -> np.ndarray:
        """The segments' ids as the raster has them, of those that readers return: both (n,) uint32, ascending."""
        return ids if self.absent == 0 else ids - (ids <= self.absent).astype(np.uint32)

    def reader(self) -> IdReader:
        """A function window -> (rows, cols) uint32; for one thread."""
        raster, dataset, absent = self.raster, open_raster(self.raster.path), self.absent
        plain = raster.dtype == np.dtype(np.uint32).str and absent == 0 and not raster.bands[0].is_masked

        def read(window: Window) -> np.ndarray:
            if plain:  # as they are
                return read_values(dataset, raster, window)[0]
            values, valid = read_window(dataset, raster, window)
            self._check(values[0], valid)
            ids = np.where(valid, values[0], values.dtype.type(0)).astype(np.uint32)
            if absent:
                ids += (valid & (ids < absent)).astype(np.uint32)
            return ids

        return read

    def _check(self, values: np.ndarray, valid: np.ndarray) -> None:
        """Raise SegmentationError for what is no id."""
        wrong = np.zeros((), bool)
        if values.dtype.kind == "f":
            wrong = values != np.floor(values)
        if values.dtype.kind != "u":
            wrong = wrong | (values < 0)
        if values.dtype.itemsize > 4 or values.dtype.kind == "f":
            wrong = wrong | (values > LARGEST)
        wrong = wrong & valid
        if wrong.any():
            raise SegmentationError(
                f"SEGMENTS {self.raster.path} holds {values[wrong][0]}, which is no segment id: ids are whole numbers "
                f"from {0 if self.absent else 1} to {LARGEST}."
            )
        if self.absent == LARGEST and values.dtype.itemsize >= 4 and (valid & (values == LARGEST)).any():
            raise SegmentationError(
                f"SEGMENTS {self.raster.path} holds {LARGEST} as an id, and what it declares as no data leaves 0 as an "
                f"id, too, which is one more than there is room for: declare 0 or {LARGEST} as no data."
            )
