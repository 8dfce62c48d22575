# SPDX-License-Identifier: GPL-2.0-or-later
"""Pixel kernels: nearest centre, single pixels, lookup."""

import numpy as np

from .cache import kernel


@kernel
def _find_singles(state, width, first, last):
    """Cells of a padded window that have data and no 4-neighbour of their cluster, in raster order."""
    count = 0
    found = np.empty(1024, np.int64)
    for cell in range(first, last):
        kind = state[cell]
        if (
            kind != 0
            and state[cell - 1] != kind
            and state[cell + 1] != kind
            and state[cell - width] != kind
            and state[cell + width] != kind
        ):
            if count == found.size:
                found = np.concatenate((found, np.empty(count, np.int64)))
            found[count] = cell
            count += 1
    return found[:count]


@kernel
def _run_passes(state, status, active, values, cols):
    """Passes over the single cells. `status`: 0 settled, 1 single, 2 uncertain."""
    width = cols + 2
    steps = (-width, width, -1, 1)
    bands = values.shape[0]
    follow = np.empty(active.size, np.int64)
    count = active.size
    while count:
        for i in range(count):
            cell = active[i]
            pixel = (cell // width - 1) * cols + cell % width - 1
            pixel_steps = (-cols, cols, -1, 1)
            best = np.float32(np.inf)
            follow[i] = -1
            for side in range(4):
                near = cell + steps[side]
                if status[near] == 2:
                    follow[i] = -2
                    break
                if status[near] == 1 or state[near] == 0:
                    continue
                distance = np.float32(0)
                for band in range(bands):
                    difference = np.float32(values[band, pixel]) - np.float32(values[band, pixel + pixel_steps[side]])
                    distance += difference * difference
                if distance < best:
                    best = distance
                    follow[i] = near
        changed = False
        for i in range(count):
            if follow[i] == -2:
                status[active[i]] = 2
                changed = True
            elif follow[i] >= 0:
                status[active[i]] = 3  # settled in this pass: `state` of followed cells is that before it
        for i in range(count):
            if follow[i] >= 0:
                state[active[i]] = state[follow[i]]
                changed = True
        for i in range(count):
            if status[active[i]] == 3:
                status[active[i]] = 0
        kept = 0
        for i in range(count):
            if follow[i] != -1:
                continue
            cell = active[i]
            joined = False
            doubtful = False
            for side in range(4):
                near = cell + steps[side]
                if status[near] == 2:
                    doubtful = True
                elif state[near] == state[cell] and status[near] != 1:
                    joined = True
            if joined:
                follow[i] = -3
            elif doubtful:
                follow[i] = -4
        for i in range(count):
            cell = active[i]
            if follow[i] == -3:
                status[cell] = 0
                changed = True
            elif follow[i] == -4:
                status[cell] = 2
                changed = True
            elif follow[i] == -1:
                active[kept] = cell
                kept += 1
        count = kept
        if not changed:
            break


def eliminate_singles(clusters, values, open_sides):
    rows, cols = clusters.shape
    state = np.pad(clusters, 1)
    active = _find_singles(state.ravel(), cols + 2, cols + 3, (rows + 1) * (cols + 2) - 1)
    status = np.zeros((rows + 2, cols + 2), np.uint8)
    status.ravel()[active] = 1
    for is_open, edge in zip(open_sides, (np.s_[1, :], np.s_[rows, :], np.s_[:, 1], np.s_[:, cols])):
        if is_open:
            status[edge] *= 2
    np.minimum(status, 2, out=status)
    active = active[status.ravel()[active] == 1]
    _run_passes(state.ravel(), status.ravel(), active, values.reshape(values.shape[0], -1), cols)
    return np.ascontiguousarray(state[1:-1, 1:-1]), status[1:-1, 1:-1] == 2


@kernel
def _relabel(labels, table, out):
    for pixel in range(labels.size):
        out[pixel] = table[labels[pixel]]


def relabel(labels, table):
    out = np.empty(labels.shape, np.uint32)
    _relabel(np.ascontiguousarray(labels).reshape(-1), table, out.reshape(-1))
    return out
