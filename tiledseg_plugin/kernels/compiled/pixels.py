# SPDX-License-Identifier: GPL-2.0-or-later
"""Pixel kernel: lookup."""

import numpy as np

from .cache import kernel


@kernel
def _relabel(labels, table, out):
    for pixel in range(labels.size):
        out[pixel] = table[labels[pixel]]


def relabel(labels, table):
    out = np.empty(labels.shape, np.uint32)
    _relabel(np.ascontiguousarray(labels).reshape(-1), table, out.reshape(-1))
    return out
