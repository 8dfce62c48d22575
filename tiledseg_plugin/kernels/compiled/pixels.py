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


@kernel
def _translate(values, valid, tables, translated):
    for band in range(len(values)):
        table, plane, out = tables[band], values[band], translated[band]
        for pixel in range(valid.size):
            out[pixel] = table[plane[pixel]] if valid[pixel] else 0


def translate(values, valid, tables):
    translated, bands = np.empty(values.shape, np.uint8), len(values)
    _translate(values.reshape(bands, -1), valid.reshape(-1), tables, translated.reshape(bands, -1))
    return translated
