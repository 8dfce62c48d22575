# SPDX-License-Identifier: GPL-2.0-or-later
"""The borders between segments as lines along pixel edges, fast enough to be drawn anew at every move of a map.

Borders are found as straight runs of pixel sides. Where just two runs meet, they are joined to one line, so that there
are few lines with many points: a map draws those several times faster than many lines of two.
"""

from typing import Optional, Sequence, Tuple

import numpy as np

from .files.window import Window
from .progress import Check

BLOCK = 256  # pixels; a block's lines are one geometry, so that a map draws only those in view
LINE_STRING, MULTI_LINE_STRING = 2, 5
HEAD = np.dtype([("order", "u1"), ("type", "<u4"), ("count", "<u4")])  # of WKB


def border_lines(
    ids: np.ndarray, window: Window, transform: Sequence[float], check_cancelled: Check = lambda: None
) -> Tuple[bytes, ...]:
    """The borders between areas of different ids, and to where there is no data.

    Parameters
    ----------
    ids : (rows, cols) of any integer type
    window : the part of the raster that `ids` is
    transform : the raster's geotransform

    Returns
    -------
    tuple of WKB multi-line strings, in the raster's coordinates; none where there is no border
    """
    found = []
    for row in range(0, ids.shape[0], BLOCK):
        check_cancelled()
        for col in range(0, ids.shape[1], BLOCK):
            block = ids[row : row + BLOCK + 1, col : col + BLOCK + 1]  # with the first pixels of the next blocks
            runs = border_runs(block, BLOCK) + np.array([window.col + col, window.row + row] * 2)
            if len(runs):
                points, counts = joined(runs)
                found.append(_multi_line_string(points, counts, transform))
    return tuple(found)


def border_runs(ids: np.ndarray, size: Optional[int] = None) -> np.ndarray:
    """The straight parts of all borders: (n, 4) int64, column and row of their two ends in pixel edges.

    Parameters
    ----------
    size : rows and columns whose own borders (right and below) are wanted; all if not given
    """
    rows, cols = (min(length, size or length) for length in ids.shape)
    vertical = ids[:rows, :-1] != ids[:rows, 1:]
    horizontal = (ids[:-1, :cols] != ids[1:, :cols]).T
    x, y1, y2 = _runs(vertical.T)
    y, x1, x2 = _runs(horizontal.T)
    return np.concatenate([np.stack([x + 1, y1, x + 1, y2], axis=1), np.stack([x1, y + 1, x2, y + 1], axis=1)])


def _runs(marked: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Line, begin and end of every run of marked cells along the lines of a bool array."""
    padded = np.zeros((marked.shape[0], marked.shape[1] + 2), np.int8)
    padded[:, 1:-1] = marked
    steps = np.diff(padded, axis=1)
    line, begin = np.nonzero(steps == 1)
    end = np.nonzero(steps == -1)[1]
    return line, begin, end


def joined(runs: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Runs as lines of many points.

    The ends of run i are numbered 2i and 2i + 1. A run that is entered by one end is left by the other, `end ^ 1`; a
    line that enters at `end` has come from the run that is entered at `mate[end] ^ 1`.

    Returns
    -------
    points : (n, 2), one line behind the other
    counts : (lines,) how many points each has
    """
    ends = runs.reshape(-1, 2)
    mate = _mates(ends)
    before = np.where(mate < 0, np.arange(len(mate)), mate ^ 1)
    first, rank, least = _follow(before)
    # A ring has no first run. Cut it where its first run is entered by its first end, once for both directions.
    cut = np.flatnonzero((mate[first] >= 0) & (least == np.arange(len(mate))))
    cut = cut[cut % 2 == 0]
    if cut.size:
        mate[mate[cut]] = -1
        mate[cut] = -1
        before = np.where(mate < 0, np.arange(len(mate)), mate ^ 1)
        first, rank, _ = _follow(before)
    last = np.empty(len(mate), np.int64)
    final = np.flatnonzero(mate < 0) ^ 1  # runs after which a line ends, by the end at which they are entered
    last[first[final]] = final ^ 1
    chosen = np.flatnonzero(first < last[first])  # every line is there once in each direction
    chosen = chosen[np.lexsort((rank[chosen], first[chosen]))]
    lengths = np.bincount(first[chosen], minlength=len(mate))
    counts = lengths[lengths > 0] + 1
    points = np.empty((len(chosen) + len(counts), 2), ends.dtype)
    at_end = np.cumsum(counts) - 1
    is_last = np.zeros(len(points), bool)
    is_last[at_end] = True
    points[~is_last] = ends[chosen]
    points[is_last] = ends[chosen[np.cumsum(counts - 1) - 1] ^ 1]
    return points, counts


def _mates(ends: np.ndarray) -> np.ndarray:
    """For each end of a run the end of the other run that meets it alone, -1 where there is none."""
    keys = ends[:, 1] * (int(ends[:, 0].max()) + 1) + ends[:, 0]
    order = np.argsort(keys, kind="stable")
    pair = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    mate = np.full(len(ends), -1, np.int64)
    mate[order[pair]], mate[order[pair + 1]] = order[pair + 1], order[pair]
    return mate


def _follow(before: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Follow all lines back to where they begin, in steps of twice the length each time.

    Returns
    -------
    first : where each comes from; of no meaning in a ring
    rank : how many runs are before it
    least : the least of all ends that were passed
    """
    index = np.arange(len(before))
    first, rank, least = before, (before != index).astype(np.int64), np.minimum(before, index)
    length = 1
    while length < len(before):
        further = first[first]
        if np.array_equal(further, first):
            break
        rank = rank + rank[first]
        least = np.minimum(least, least[first])
        first = further
        length *= 2
    return first, rank, least


def _multi_line_string(points: np.ndarray, counts: np.ndarray, transform: Sequence[float]) -> bytes:
    """WKB of lines given in pixel edges."""
    col, row = points[:, 0], points[:, 1]
    xy = np.empty((len(points), 2), "<f8")
    xy[:, 0] = transform[0] + col * transform[1] + row * transform[2]
    xy[:, 1] = transform[3] + col * transform[4] + row * transform[5]
    heads = np.empty(len(counts), HEAD)
    heads["order"], heads["type"], heads["count"] = 1, LINE_STRING, counts
    sizes = HEAD.itemsize + counts * xy[:1].nbytes
    begins = np.cumsum(sizes) - sizes
    body = np.empty(int(sizes.sum()), np.uint8)
    is_head = np.zeros(len(body), bool)
    is_head[(begins[:, None] + np.arange(HEAD.itemsize)).ravel()] = True
    body[is_head] = heads.view(np.uint8)
    body[~is_head] = xy.view(np.uint8).ravel()
    return np.array([(1, MULTI_LINE_STRING, len(counts))], HEAD).tobytes() + body.tobytes()
