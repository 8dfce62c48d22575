# SPDX-License-Identifier: GPL-2.0-or-later
"""Windows of ids with the margin that sides between windows need, and how long these sides are."""

from dataclasses import dataclass
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

from ..files.gdal_access import open_raster
from ..files.raster import Raster
from ..files.window import Window
from ..files.work_folder import WorkFolder
from ..stages.statistics import blocks
from .pixel_sizes import PixelSizes, pixel_sizes
from .segment_ids import SegmentIds

MOST_PIXELS = 1 << 28  # in a window, so that no sum over its sides is beyond 64 bits
MOST_SQUARES = 1 << 62
SIDES = "sides"  # of all rows, in the work folder


@dataclass(frozen=True)
class SidesJob:
    """What all windows of a pass over pixels and their sides share.

    sizes : of pixels
    folder : which holds SIDES, where sides differ from row to row
    """

    ids: SegmentIds
    width: int
    height: int
    sizes: PixelSizes
    kernels: str
    folder: WorkFolder

    @property
    def differs_by_row(self) -> bool:
        return self.sizes.ellipsoid is not None and not self.sizes.is_rotated

    def prepare(self) -> None:
        """Leave in the folder what the tasks need: computed at once, so that no window can compute it otherwise."""
        if self.differs_by_row:
            sides = self.sizes.window(0, -1, 1, self.height + 2)
            self.folder.save_array(SIDES, np.stack(sides))

    def read(self, window: Window) -> "WithMargin":
        """The ids of a window with its margin, see `kernels.plain.shapes.region_shapes`."""
        top, left = int(window.row == 0), int(window.col == 0)
        ids = np.zeros((top + window.height + 1, left + window.width + 1), np.uint32)
        right, bottom = min(window.right + 1, self.width), min(window.bottom + 1, self.height)
        around = Window(window.col, window.row, right - window.col, bottom - window.row)
        ids[top : top + around.height, left : left + around.width] = self.ids.reader()(around)
        inside = top, top + window.height, left, left + window.width
        return WithMargin(ids, inside, self._lengths(window.col - left, window.row - top, ids.shape))

    def _lengths(self, col: int, row: int, shape: Sequence[int]) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, cols = shape
        if not self.differs_by_row:
            return self.sizes.window(col, row, cols, rows)
        area, across, down = np.array(self.folder.map_array(SIDES)[:, row + 1 : row + 1 + rows])
        return area, across, down


def sides_of(ids: SegmentIds, raster: Raster, kernels: str, folder: WorkFolder) -> SidesJob:
    """What passes over the pixels of a raster of segments, and their sides, share."""
    return SidesJob(ids, raster.width, raster.height, pixel_sizes(open_raster(raster.path)), kernels, folder)


class WithMargin(NamedTuple):
    """A window of ids.

    ids : (rows, cols) uint32, with the margin
    inside : first row, row after the last, first column, column after the last of the window itself
    lengths : of areas and sides, see `PixelSizes.window`
    """

    ids: np.ndarray
    inside: Tuple[int, int, int, int]
    lengths: Tuple[np.ndarray, np.ndarray, np.ndarray]


def numbered_windows(raster: Raster) -> List[Tuple[int, Window]]:
    """(number, Window) of all `blocks`, cut where sums over one could be beyond 64 bits."""
    windows: List[Window] = []
    every = blocks(raster)
    step = every[0].width
    while step > 1 and not _is_small(step, every[0].height):  # of the largest, as windows lie in columns
        step = (step + 1) // 2
    for block in every:
        for col in range(block.col, block.right, step):
            windows.append(Window(col, block.row, min(step, block.right - col), block.height))
    return list(enumerate(windows))


def _is_small(width: int, height: int) -> bool:
    return width * height <= MOST_PIXELS and width * height * max(width, height) ** 2 < MOST_SQUARES
