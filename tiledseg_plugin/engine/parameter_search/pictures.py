# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of segments over the image, as PNG that stands in the report itself."""

import base64
import struct
import zlib
from typing import Callable, List, Optional

import numpy as np

from .. import kernels
from ..files.window import Window
from ..stages.elimination import ClumpGraph, EliminationRules, eliminate
from .areas import Area
from .measuring import Clumped, SearchJob, clump_area

SIDE = 240  # pixels of the raster that are shown at most, in each direction
ZOOM = 2  # so that a line is thinner than a pixel
MARGIN = 64
LINE = (255, 225, 0)
SHARES = (2.0, 98.0)  # percentiles of a band that become black and white


def window_to_show(area: Area) -> Window:
    """The middle of an area."""
    window = area.window
    width, height = min(window.width, SIDE), min(window.height, SIDE)
    return Window(window.col + (window.width - width) // 2, window.row + (window.height - height) // 2, width, height)


class Shown:
    """A part of the raster of which pictures are made.

    Parameters
    ----------
    window : what is shown
    """

    def __init__(self, job: SearchJob, window: Window, check: Callable[[], None]) -> None:
        self.job, self.window, self.check = job, window, check

    def picture(self, clustering: int, threshold: Optional[float], size: int) -> str:
        """The segments of a candidate over the image, as a data URI.

        Parameters
        ----------
        clustering : index of the job's
        """
        pixels = self.job.pixels[clustering]
        kernel, _ = kernels.choose(pixels.kernels)
        raster = self.job.raster
        clumped = clump_area(pixels, self.window.grown(MARGIN, raster.width, raster.height), kernel, self.check)
        rules = EliminationRules(pixels.colours.weights, size, threshold)
        graph = ClumpGraph(clumped.graph.sizes, clumped.graph.sums.copy(), clumped.graph.edges)
        ids = np.zeros(clumped.labels.shape, np.uint32)
        if graph.sizes.size:
            into = eliminate(kernel, graph, rules, lambda _: self.check()).into
            ids = np.append(np.uint32(0), into + np.uint32(1))[clumped.labels]
        rows, cols = self.window.within(clumped.window)
        return png(with_outlines(self._image(clumped), ids[rows, cols]))

    def _image(self, clumped: Clumped) -> np.ndarray:
        """(rows, cols, 3) uint8, the first three bands as red, green and blue; one is grey."""
        rows, cols = self.window.within(clumped.window)
        valid = clumped.labels[rows, cols] > 0
        planes = [_stretched(plane, valid) for plane in clumped.values[:3, rows, cols]]
        planes += [planes[-1]] * (3 - len(planes))
        return np.stack(planes, axis=2)


def _stretched(plane: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """A band as uint8; 0 where it is not valid."""
    known: List[float] = np.percentile(plane[valid], SHARES).tolist() if valid.any() else [0.0, 1.0]
    low, high = known
    share = (plane.astype(np.float64) - low) / (high - low) if high > low else np.full(plane.shape, 0.5)
    return (np.clip(share, 0, 1) * 255 * valid).astype(np.uint8)


def with_outlines(image: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The image, enlarged, with a line between any two segments: (ZOOM * rows, ZOOM * cols, 3) uint8."""
    large, owner = (np.repeat(np.repeat(array, ZOOM, axis=0), ZOOM, axis=1) for array in (image, ids))
    border = np.zeros(owner.shape, bool)
    border[:, 1:] |= owner[:, 1:] != owner[:, :-1]
    border[1:] |= owner[1:] != owner[:-1]
    large[border] = LINE
    return large


def png(image: np.ndarray) -> str:
    """(rows, cols, 3) uint8 as the data URI of a PNG."""
    rows, cols, _ = image.shape
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), image.reshape(rows, 3 * cols)], axis=1)  # each unfiltered

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", cols, rows, 8, 2, 0, 0, 0)
    packed = zlib.compress(lines.tobytes(), 6)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")
