# SPDX-License-Identifier: GPL-2.0-or-later
"""What the shape of each segment is made of, added up over the windows of a raster: exactly, so in any order.

Windows leave their sums in the work folder, where they are put together a range of segments at a time, see
`segment_rows`.

Sums of squares of columns and rows may be beyond 64 bits where a raster is large. They are kept modulo 2^64, with an
approximation beside them: together the two say the exact number, as the approximation is less than 2^63 off.
"""

from dataclasses import dataclass
from typing import Dict, List, Tuple

import numpy as np

from .. import kernels
from ..execution.runner import Runner
from ..files.raster import Raster
from ..files.window import Window
from ..kernels.plain.shapes import FAR
from ..progress import Advance, Check
from .attributes import LIMB, LOW_BITS, places_of
from .margins import SidesJob, numbered_windows
from .segment_ids import LARGEST
from .segment_parts import Joined, WindowParts, open_contacts, window_parts
from .segment_rows import PRESENT, Range, Samples, cut, sampled, segments_of

Seen = Tuple[np.ndarray, WindowParts]  # samples of the ids in a window or its margin, and their parts
Numbered = Dict[int, Window]  # windows by their numbers
MOST_ROWS = 1 << 16  # that a range is to have
OPEN = "open"  # under which lies what `Joined` has counted
Second = Tuple[np.ndarray, np.ndarray, np.ndarray]  # of columns, of columns and rows, of rows


def sum_window(job: SidesJob, numbered: Tuple[int, Window], check_cancelled: Check) -> Seen:
    """What a window adds: the task of this stage. The sums are left in the folder.

    Parameters
    ----------
    numbered : (number of the window, Window)
    """
    number, window = numbered
    kernel, _ = kernels.choose(job.kernels)
    margin = job.read(window)
    check_cancelled()
    present, labels, _ = kernel.compact(margin.ids)
    labels = labels.reshape(margin.ids.shape)
    check_cancelled()
    sums, parts, count, contacts = kernel.region_shapes(labels, present.size, margin.inside, *margin.lengths)
    check_cancelled()
    found, renumbered = window_parts(window, margin, present, labels, (parts, count))
    job.folder.save_array(f"sums-{number:07d}", np.concatenate([sums.T, found.closed[None]]))
    if job.sizes.is_rotated:
        job.folder.save_array(f"reach-{number:07d}", _reach(job, window, margin.ids, present))
    job.folder.save_array(f"{PRESENT}-{number:07d}", present)
    found = found._replace(closed=found.closed[:0])
    return sampled(present), found._replace(contacts=open_contacts(contacts, renumbered))


def _reach(job: SidesJob, window: Window, ids: np.ndarray, present: np.ndarray) -> np.ndarray:
    """(4, n) float64: least and greatest x and y of corners of the pixels in a window, of a rotated raster."""
    top, left = int(window.row == 0), int(window.col == 0)
    own = ids[top : top + window.height, left : left + window.width]
    reach = np.tile(np.array([[np.inf], [-np.inf], [np.inf], [-np.inf]]), (1, present.size))
    row, col = np.indices(own.shape)
    chosen = own != 0
    places = np.searchsorted(present, own[chosen])
    col, row = col[chosen] + window.col, row[chosen] + window.row
    for right, down in ((0, 0), (0, 1), (1, 0), (1, 1)):
        x, y = job.sizes.map_x(col + right, row + down), job.sizes.map_y(col + right, row + down)
        for index, values in ((0, x), (2, y)):
            np.minimum.at(reach[index], places, values)
            np.maximum.at(reach[index + 1], places, values)
    return reach


class Exact:
    """Sums of integers below 2^62 each, in two limbs."""

    def __init__(self, size: int) -> None:
        self._low, self._high = np.zeros(size, np.uint64), np.zeros(size, np.uint64)

    def add(self, places: np.ndarray, values: np.ndarray) -> None:
        low = self._low[places] + (values.astype(np.uint64) & LOW_BITS)
        self._high[places] += (values.astype(np.uint64) >> LIMB) + (low >> LIMB)
        self._low[places] = low & LOW_BITS

    @property
    def values(self) -> np.ndarray:
        """(size,) float64."""
        return self._high.astype(np.float64) * 2.0**32 + self._low.astype(np.float64)


class SquareSums:
    """Sums of column^2, column * row and row^2, counted from the raster's first pixel; see the module."""

    def __init__(self, size: int) -> None:
        self._exact, self._about = np.zeros((3, size), np.uint64), np.zeros((3, size))

    def add(self, places: np.ndarray, sums: np.ndarray, col: int, row: int) -> None:
        """Add what a window holds.

        Parameters
        ----------
        sums : (6, n) int64, of 1, columns, rows, column^2, column * row and row^2, counted from the window's first
        col, row : where that is
        """
        modular, floats = sums.astype(np.uint64), sums.astype(np.float64)
        for dtype, total, (pixels, cols, rows, *squares) in (
            (np.uint64, self._exact, modular),
            (np.float64, self._about, floats),
        ):
            x, y, two = (np.array([number], dtype) for number in (col, row, 2))
            total[0, places] += squares[0] + two * x * cols + x * x * pixels
            total[1, places] += squares[1] + x * rows + y * cols + x * y * pixels
            total[2, places] += squares[2] + two * y * rows + y * y * pixels

    def about(self, sizes: np.ndarray, cols: np.ndarray, rows: np.ndarray) -> Second:
        """Variances and covariance of columns and rows: sums of products of deviations from the mean, by pixel.

        Parameters
        ----------
        sizes, cols, rows : (size,) int64, pixels, sums of columns and of rows

        Returns
        -------
        (size,) float64 each
        """
        whole = cols // sizes, rows // sizes  # deviations from the whole part of the mean are small
        rest = [(total - part * sizes).astype(np.float64) for total, part in zip((cols, rows), whole)]
        found = []
        for index, (i, j) in enumerate(((0, 0), (0, 1), (1, 1))):
            first, second = (cols, rows)[i], (cols, rows)[j]
            results = []
            for dtype, total in ((np.uint64, self._exact[index]), (np.float64, self._about[index])):
                a, b, p, q, n = (array.astype(dtype) for array in (whole[i], whole[j], first, second, sizes))
                results.append(total - a * q - b * p + a * b * n)
            signed = results[0].view(np.int64).astype(np.float64)
            product = signed + 2.0**64 * np.floor((results[1] - signed) / 2.0**64 + 0.5)
            found.append((product - rest[i] * (rest[j] / sizes)) / sizes)
        return found[0], found[1], found[2]


@dataclass
class ShapeSums:
    """Of every segment of a range.

    ids : (segments,) uint32, ascending
    sizes, cols, rows : (segments,) int64: pixels, sums of their columns and of their rows
    squares : see there
    limits : (4, segments) int64: least and largest column, least and largest row
    reach : (4, segments) float64: least and greatest x and y, of a rotated raster; else empty
    area, across, down : in units of `PixelSizes`
    open_sides : (segments,) int64, beyond which there is no data
    parts, holes : (segments,) int64
    """

    ids: np.ndarray
    sizes: np.ndarray
    cols: np.ndarray
    rows: np.ndarray
    squares: SquareSums
    limits: np.ndarray
    reach: np.ndarray
    area: Exact
    across: Exact
    down: Exact
    open_sides: np.ndarray
    parts: np.ndarray
    holes: np.ndarray


def sum_shapes(
    job: SidesJob, raster: Raster, runner: Runner, advance: Advance, check_cancelled: Check
) -> List[Tuple[Range, Numbered]]:
    """The pass over the raster. Returns ranges of segments with the windows that hold some, for `sums_of_range`.

    Parameters
    ----------
    raster : of segments
    runner : see `execution`
    advance : called with the fraction that is done
    """
    job.prepare()
    _compile(job)
    windows = dict(numbered_windows(raster))
    joined, samples = Joined(), Samples()
    for done, ((number, _), seen) in enumerate(runner.run(sum_window, job, windows.items(), check_cancelled), 1):
        samples.add(number, seen[0])
        joined.add(seen[1])
        advance(done / len(windows))
    job.folder.save_array(OPEN, joined.counted())
    return [(item, {number: windows[number] for number in item[2]}) for item in samples.ranges(MOST_ROWS, LARGEST + 1)]


def sums_of_range(job: SidesJob, item: Range, windows: Numbered, check_cancelled: Check) -> ShapeSums:
    """Put together what windows have left of a range of segments."""
    ids, parts = segments_of(job.folder, item)
    found, others = _nothing(ids, job.sizes.is_rotated), np.zeros((3, ids.size), np.int64)
    for number, here, places in parts:
        check_cancelled()
        sums = np.array(job.folder.map_array(f"sums-{number:07d}")[:, here])
        _add(found, places, sums, windows[number])
        others[:, places] += sums[14:]
        if job.sizes.is_rotated:
            reach = np.array(job.folder.map_array(f"reach-{number:07d}")[:, here])
            found.reach[::2, places] = np.minimum(found.reach[::2, places], reach[::2])
            found.reach[1::2, places] = np.maximum(found.reach[1::2, places], reach[1::2])
    euler, met, closed = others
    joined = job.folder.map_array(OPEN)
    owners, more, met_later = np.array(joined[:, slice(*cut(joined[0], *item[1]))])
    places = places_of(owners, ids)
    closed[places] += more
    met[places] += met_later
    found.parts[:] = closed
    found.holes[:] = closed - euler + met
    return found


def _nothing(ids: np.ndarray, is_rotated: bool) -> ShapeSums:
    sizes, cols, rows, open_sides, parts, holes = (np.zeros(ids.size, np.int64) for _ in range(6))
    limits = np.tile(np.array([[FAR], [-FAR], [FAR], [-FAR]]), (1, ids.size))
    reach = np.tile(np.array([[np.inf], [-np.inf], [np.inf], [-np.inf]]), (1, ids.size if is_rotated else 0))
    squares, lengths = SquareSums(ids.size), [Exact(ids.size) for _ in range(3)]
    area, across, down = lengths
    return ShapeSums(ids, sizes, cols, rows, squares, limits, reach, area, across, down, open_sides, parts, holes)


def _add(found: ShapeSums, places: np.ndarray, sums: np.ndarray, window: Window) -> None:
    """Add the sums of a window, see `kernels.plain.shapes.region_shapes`."""
    pixels, cols, rows = sums[:3]
    found.sizes[places] += pixels
    found.cols[places] += cols + pixels * window.col
    found.rows[places] += rows + pixels * window.row
    found.squares.add(places, sums[:6], window.col, window.row)
    some = pixels > 0
    here, limits = places[some], sums[6:10, some] + np.array([[window.col], [window.col], [window.row], [window.row]])
    found.limits[::2, here] = np.minimum(found.limits[::2, here], limits[::2])
    found.limits[1::2, here] = np.maximum(found.limits[1::2, here], limits[1::2])
    for total, values in zip((found.area, found.across, found.down), sums[10:13]):
        total.add(places, values)
    found.open_sides[places] += sums[13]


def _compile(job: SidesJob) -> None:
    """Compile the kernels here, once, rather than in every worker."""
    kernel, _ = kernels.choose(job.kernels)
    kernel.compact(np.ones(1, np.uint32))
    ones = np.ones((2, 1), np.int64)
    kernel.region_shapes(np.ones((2, 2), np.uint32), 1, (0, 1, 0, 1), ones, ones, ones)
