# SPDX-License-Identifier: GPL-2.0-or-later
"""The borders between segments as lines along pixel edges, fast enough to be drawn anew at every move of a map."""

import numpy as np

BLOCK = 256  # pixels; a block's lines are one geometry, so that a map draws only those in view

LINE = np.dtype([("order", "u1"), ("type", "<u4"), ("points", "<u4"), ("xy", "<f8", 4)])  # a WKB line of two points
LINE_STRING, MULTI_LINE_STRING = 2, 5


def outlines(ids, window, transform, check_cancelled=lambda: None):
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
            lines = border_lines(block, BLOCK) + np.array([window.col + col, window.row + row] * 2)
            if len(lines):
                found.append(_multi_line_string(lines, transform))
    return tuple(found)


def border_lines(ids, size=None):
    """The straight parts of all borders: (n, 4) float64, column and row of their two ends in pixel edges.

    Parameters
    ----------
    size : rows and columns whose own borders (right and below) are wanted; all if not given
    """
    rows, cols = (min(length, size or length) for length in ids.shape)
    vertical = ids[:rows, :-1] != ids[:rows, 1:]
    horizontal = (ids[:-1, :cols] != ids[1:, :cols]).T
    x, y1, y2 = _runs(vertical.T)
    y, x1, x2 = _runs(horizontal.T)
    return np.concatenate([np.stack([x + 1, y1, x + 1, y2], axis=1), np.stack([x1, y + 1, x2, y + 1], axis=1)]).astype(
        np.float64
    )


def _runs(marked):
    """Line, begin and end of every run of marked cells along the lines of a bool array."""
    padded = np.zeros((marked.shape[0], marked.shape[1] + 2), np.int8)
    padded[:, 1:-1] = marked
    steps = np.diff(padded, axis=1)
    line, begin = np.nonzero(steps == 1)
    end = np.nonzero(steps == -1)[1]
    return line, begin, end


def _multi_line_string(lines, transform):
    """WKB of lines given in pixel edges."""
    parts = np.empty(len(lines), LINE)
    parts["order"], parts["type"], parts["points"] = 1, LINE_STRING, 2
    for i in (0, 2):
        col, row = lines[:, i], lines[:, i + 1]
        parts["xy"][:, i] = transform[0] + col * transform[1] + row * transform[2]
        parts["xy"][:, i + 1] = transform[3] + col * transform[4] + row * transform[5]
    header = np.array([(1, MULTI_LINE_STRING, len(lines))], np.dtype([("o", "u1"), ("t", "<u4"), ("n", "<u4")]))
    return header.tobytes() + parts.tobytes()
