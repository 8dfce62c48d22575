# SPDX-License-Identifier: GPL-2.0-or-later
"""Simplification kernel: rings with fewer corners, arcs that two segments share simplified alike."""

from typing import Tuple

import numpy as np

from ..plain import simplification
from .cache import kernel

_simplify_ring = kernel(simplification.simplify_ring)


def simplify_rings(offsets: np.ndarray, corners: np.ndarray, flags: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Defined by `plain.simplification.simplify_rings`."""
    return simplification.simplify_with(_simplify_ring, offsets, corners, flags)
