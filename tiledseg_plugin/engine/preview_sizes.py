# SPDX-License-Identifier: GPL-2.0-or-later
"""What a preview says about the sizes of segments: how large they are, and which would stay too small, and why."""

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from .kernels.contract import Kernels


@dataclass(frozen=True)
class Sizes:
    """Of the segments that lie wholly in view; where there are none, of the parts that are in view.

    count : how many; median : of their sizes, pixels
    undersized : how many are below the minimum size
    isolated : how many of these touch no other segment; the others have no neighbour that is similar enough
    histogram : how many have 1, 2 to 3, 4 to 7, 8 to 15 ... pixels
    """

    count: int
    median: float
    undersized: int
    isolated: int
    histogram: Tuple[int, ...]


def sizes_in_view(ids: np.ndarray, is_cut: Tuple[bool, bool, bool, bool], min_pixels: int, kernel: Kernels) -> Sizes:
    """Count.

    Parameters
    ----------
    ids : (rows, cols) uint32, 0 where there is no data
    is_cut : whether the raster goes on at the left, the top, the right and the bottom of `ids`
    kernel : the module of kernels, for `find_edges`
    """
    most = int(ids.max(initial=0))
    pixels = np.bincount(ids.ravel(), minlength=most + 1)
    pixels[0] = 0
    whole = pixels > 0
    for cut, border in zip(is_cut, (ids[:, 0], ids[0], ids[:, -1], ids[-1])):
        if cut:
            whole[border] = False
    if not whole.any():
        whole = pixels > 0
    sizes = pixels[whole]
    if sizes.size == 0:
        return Sizes(0, 0.0, 0, 0, ())
    small = whole & (pixels < min_pixels)
    isolated = 0
    if small.any():
        touches = np.zeros(most + 1, bool)
        touches[kernel.find_edges(ids, most).ravel()] = True
        isolated = int(np.count_nonzero(small & ~touches))
    classes = np.bincount(np.floor(np.log2(sizes)).astype(np.int64))
    return Sizes(
        int(sizes.size), float(np.median(sizes)), int(np.count_nonzero(small)), isolated, tuple(classes.tolist())
    )
