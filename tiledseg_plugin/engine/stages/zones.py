# SPDX-License-Identifier: GPL-2.0-or-later
"""Zones: areas whose borders no segment crosses. Which zone each pixel is in, and which neighbours that parts.

All is a function of the place in the raster's file alone, never of the window that is looked at: whatever the tiles
are, a pixel is in the same zone. Where two neighbours are in two zones, or a line runs between their centres, there is
a wall (see `kernels.plain`); clumps, single pixels and the graph know nothing but walls.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import SegmentationError
from ..files.decoded import Cells
from ..files.window import Window
from ..files.work_folder import WorkFolder
from ..kernels.contract import WALL_BELOW, WALL_RIGHT
from .burning import burnt, upright
from .zone_lines import walls_of_lines
from .zone_raster import ClassRaster
from .zone_shapes import Shapes, part_of

CELL = 1024  # pixels along a side: polygons are burnt in squares of the raster's file that are always the same


@dataclass(frozen=True)
class ShapesInFolder:
    """Shapes that lie in the work folder, where workers find them.

    bounds : of all of them together, see `Shapes`
    """

    folder: WorkFolder
    name: str
    bounds: Tuple[float, float, float, float]

    def load(self) -> Shapes:
        """Read them.

        Raises
        ------
        SegmentationError : they are gone or damaged
        """
        saved = self.folder.load(self.name)
        if saved is None:
            raise SegmentationError(f"The file {self.name} in {self.folder.path} is damaged: start the run again.")
        return Shapes(**saved)


@dataclass(frozen=True)
class _VectorZones:
    """Zones of a layer.

    parts : their shapes, in their order
    left, top : column and row of the file at which the raster begins
    excludes : whether pixels in no zone are no data
    """

    parts: Tuple[Union[Shapes, ShapesInFolder], ...]
    left: int
    top: int
    excludes: bool = False

    @cached_property
    def _cells(self) -> Cells:
        """What windows beside each other share; of all threads of a process."""
        return Cells()

    def _shapes_in(self, window: Window) -> List[Shapes]:
        """The shapes that may have something in a window of the file, in their order."""
        return [
            found
            for part in self.parts
            if _touches(part.bounds if isinstance(part, ShapesInFolder) else part.extent, window)
            for found in [(part.load() if isinstance(part, ShapesInFolder) else part).within(window)]
            if found.numbers.size
        ]


def _touches(bounds: Sequence[float], window: Window) -> bool:
    left, top, right, bottom = bounds
    return left <= window.right and right >= window.col and top <= window.bottom and bottom >= window.row


@dataclass(frozen=True)
class PolygonZones(_VectorZones):
    """Zones that are polygons, burnt by GDAL: a pixel is in that which its centre is in, of several in the last."""

    has_ids: ClassVar[bool] = True

    def walls(self, window: Window) -> Optional[np.ndarray]:
        """(rows, cols) uint8, see `kernels.plain`; None where there are none."""
        return _walls_between(self._places(window))

    def inside(self, window: Window) -> Optional[np.ndarray]:
        """(rows, cols) bool, what is not excluded; None where all of it is to be segmented."""
        return self._places(window) != 0 if self.excludes else None

    def ids(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """The ids of the features at some pixels, which lie near each other: (n,) float64, NaN in no zone."""
        window = _window_of(rows, cols)
        places = self._places(window)[rows - window.row, cols - window.col]
        shapes = self._shapes_in(window.moved(self.left, self.top))
        known = np.concatenate([np.zeros(1, np.int64), *(one.places + 1 for one in shapes)])
        numbers = np.concatenate([[np.nan], *(one.numbers for one in shapes)])
        return numbers[np.searchsorted(known, places)]  # both ascend, as shapes are in the order of the layer

    def _places(self, window: Window) -> np.ndarray:
        """(rows, cols) uint32: 1 + the place of each pixel's zone among all of the layer, 0 in none."""
        in_file = window.moved(self.left, self.top)
        whole = np.empty((window.height, window.width), np.uint32)
        for row in range(in_file.row // CELL * CELL, in_file.bottom, CELL):
            for col in range(in_file.col // CELL * CELL, in_file.right, CELL):
                cell = Window(col, row, CELL, CELL)
                common = cell.part_in(in_file)
                whole[common.within(in_file)] = self._cell(cell)[common.within(cell)]
        return whole

    def _cell(self, cell: Window) -> np.ndarray:
        kept = self._cells.get(cell)
        if kept is None:
            kept = _burnt(self._shapes_in(cell), cell)
            self._cells.keep(cell, kept)
        return kept


def _burnt(shapes: Sequence[Shapes], cell: Window) -> np.ndarray:
    """Which polygon each pixel's centre is in: (rows, cols) uint32, 1 + its place in the layer, 0 for none."""
    places = np.concatenate([np.zeros(1, np.int64), *(one.places + 1 for one in shapes)]).astype(np.uint32)
    if places.size == 1:
        return np.zeros((cell.height, cell.width), np.uint32)
    try:
        return places[burnt((upright(rings) for one in shapes for rings in one.polygons()), cell)]
    except ValueError as error:
        raise SegmentationError(f"ZONES cannot be burnt ({error}): repair the layer with 'Fix geometries'.") from None


@dataclass(frozen=True)
class LineZones(_VectorZones):
    """Lines that part the pixels on either side; see `zone_lines`. No pixel is outside, and none has an id."""

    has_ids: ClassVar[bool] = False

    def walls(self, window: Window) -> Optional[np.ndarray]:
        """(rows, cols) uint8, see `kernels.plain`; None where there are none."""
        in_file = window.moved(self.left, self.top)
        walls = np.zeros((window.height, window.width), np.uint8)
        for shapes in self._shapes_in(in_file):
            walls_of_lines(shapes.points, shapes.is_first, in_file, walls)
        return walls if walls.any() else None

    def inside(self, window: Window) -> None:
        """All of it is to be segmented."""

    def ids(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """None has one."""
        return np.full(rows.size, np.nan)


@dataclass(frozen=True)
class RasterZones:
    """Zones that are the classes of a raster.

    left, top : column and row of the file at which the raster that is segmented begins
    excludes : whether pixels in no zone are no data
    """

    classes: ClassRaster
    left: int
    top: int
    excludes: bool = False
    has_ids: ClassVar[bool] = True

    def walls(self, window: Window) -> Optional[np.ndarray]:
        """(rows, cols) uint8, see `kernels.plain`; None where there are none."""
        classes, valid = self.classes.read(window.moved(self.left, self.top))
        return _walls_between(valid, classes)

    def inside(self, window: Window) -> Optional[np.ndarray]:
        """(rows, cols) bool, what is not excluded; None where all of it is to be segmented."""
        return self.classes.read(window.moved(self.left, self.top))[1] if self.excludes else None

    def ids(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """The classes of some pixels, which lie near each other: (n,) float64, NaN in no zone."""
        window = _window_of(rows, cols)
        classes, valid = self.classes.read(window.moved(self.left, self.top))
        at = rows - window.row, cols - window.col
        return np.where(valid[at], classes[at].astype(np.float64), np.nan)


Zones = Union[PolygonZones, LineZones, RasterZones]


def _window_of(rows: np.ndarray, cols: np.ndarray) -> Window:
    col, row = int(cols.min()), int(rows.min())
    return Window(col, row, int(cols.max()) - col + 1, int(rows.max()) - row + 1)


def _walls_between(*planes: np.ndarray) -> Optional[np.ndarray]:
    """Walls where two neighbours differ in any of some (rows, cols)."""
    walls = np.zeros(planes[0].shape, np.uint8)
    for plane in planes:
        walls[:, :-1] |= (plane[:, :-1] != plane[:, 1:]) * np.uint8(WALL_RIGHT)
        walls[:-1] |= (plane[:-1] != plane[1:]) * np.uint8(WALL_BELOW)
    return walls if walls.any() else None


def in_folder(zones: Zones, folder: WorkFolder) -> Zones:
    """The same zones, whose shapes lie in a work folder, for workers."""
    if isinstance(zones, RasterZones):
        return zones
    kept = []
    for number, part in enumerate(zones.parts):
        if isinstance(part, Shapes):
            folder.save(part_of(number), **part.arrays())
            part = ShapesInFolder(folder, part_of(number), part.extent)
        kept.append(part)
    return type(zones)(tuple(kept), zones.left, zones.top, zones.excludes)
