# SPDX-License-Identifier: GPL-2.0-or-later
"""Rectangles of pixels."""

from typing import NamedTuple, Optional, Tuple


class Window(NamedTuple):
    """A rectangle of pixels."""

    col: int
    row: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.col + self.width

    @property
    def bottom(self) -> int:
        return self.row + self.height

    @property
    def pixels(self) -> int:
        return self.width * self.height

    def grown(self, pixels: int, width: int, height: int) -> "Window":
        """This window with a margin, cut to a raster of that size."""
        col, row = max(self.col - pixels, 0), max(self.row - pixels, 0)
        return Window(col, row, min(self.right + pixels, width) - col, min(self.bottom + pixels, height) - row)

    def moved(self, cols: int, rows: int) -> "Window":
        """This window, so many pixels further to the right and down."""
        return Window(self.col + cols, self.row + rows, self.width, self.height)

    def within(self, outer: "Window") -> Tuple[slice, slice]:
        """Slices of rows and of columns that this window takes in an array that holds `outer`."""
        return (
            slice(self.row - outer.row, self.bottom - outer.row),
            slice(self.col - outer.col, self.right - outer.col),
        )

    def intersection(self, other: "Window") -> Optional["Window"]:
        """The common part, or None."""
        col, row = max(self.col, other.col), max(self.row, other.row)
        width, height = min(self.right, other.right) - col, min(self.bottom, other.bottom) - row
        return Window(col, row, width, height) if width > 0 and height > 0 else None

    def part_in(self, other: "Window") -> "Window":
        """The common part with a window that this one is known to touch."""
        common = self.intersection(other)
        if common is None:
            raise ValueError(f"{self} does not touch {other}")
        return common
