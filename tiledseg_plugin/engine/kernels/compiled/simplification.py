# SPDX-License-Identifier: GPL-2.0-or-later
"""Simplification kernel: rings with fewer corners, arcs that two segments share simplified alike.

The functions are those of `plain.simplification`, compiled.
"""

from types import FunctionType
from typing import Any, Callable, Dict, Tuple

import numpy as np

from ..plain import simplification
from .cache import kernel

# each before those that call it
FUNCTIONS = ("cross", "tighten", "may_touch", "turn", "direction", "find_furthest", "keep_corners", "simplify_ring")


def _compile(names: Tuple[str, ...]) -> Dict[str, Any]:
    """What the plain module holds, with kernels in place of the functions of these names."""
    compiled = dict(vars(simplification))
    for name in names:
        plain: Callable[..., Any] = compiled[name]
        compiled[name] = kernel(FunctionType(plain.__code__, compiled, name))
    return compiled


_simplify_ring = _compile(FUNCTIONS)["simplify_ring"]


def simplify_rings(offsets: np.ndarray, corners: np.ndarray, flags: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Defined by `plain.simplification.simplify_rings`."""
    return simplification.simplify_with(_simplify_ring, offsets, corners, flags)
