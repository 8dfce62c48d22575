# SPDX-License-Identifier: GPL-2.0-or-later
"""Simpler outlines that keep shared edges shared, and never cross.

A ring is cut into arcs where three or more segments meet or a segment touches itself. Each arc is simplified on its
own, from the same end whichever of its two segments it is done for; so both get the same line. The line stays within
half a pixel of the pixel sides it replaces, in the squares round their corners: squares that no other arc enters. So
lines cannot cross or touch, and no ring collapses. Among lines that pass just between two squares, a corner of the
squares belongs to one of the four ways round it only.
"""

import numpy as np

from . import kernels


def simplifier(kernel_name):
    """The function that `polygons.write_polygons` takes: (offsets, corners, flags) -> (offsets, corners)."""
    kernel, _ = kernels.choose(kernel_name)
    return kernel.simplify_rings
