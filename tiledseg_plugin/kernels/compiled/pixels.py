# SPDX-License-Identifier: GPL-2.0-or-later
"""Pixel kernels: nearest centre, single pixels, lookup."""

import numpy as np

from .cache import kernel

MANY_CENTRES = 2048  # beyond it, tables of distances between centres cost more than they spare


@kernel
def _squared_distance(colour, centre):
    total = np.float32(0)
    for band in range(colour.size):
        difference = colour[band] - centre[band]
        total += difference * difference
    return total


@kernel
def _rank_centres(centres):
    """For every centre the others by distance, and these distances: (k, k - 1) uint16 and float64."""
    k, bands = centres.shape
    order = np.empty((k, max(k - 1, 0)), np.uint16)
    apart = np.empty((k, max(k - 1, 0)), np.float64)
    distance = np.empty(k, np.float64)
    for i in range(k):
        for j in range(k):
            total = 0.0
            for band in range(bands):
                difference = np.float64(centres[i, band]) - np.float64(centres[j, band])
                total += difference * difference
            distance[j] = np.sqrt(total)
        distance[i] = -1.0
        ranked = np.argsort(distance)
        for j in range(k - 1):
            order[i, j] = ranked[j + 1]
            apart[i, j] = distance[ranked[j + 1]]
    return order, apart


@kernel
def _search_all(colour, centres):
    best = np.float32(np.inf)
    nearest = 0
    for k in range(centres.shape[0]):
        distance = _squared_distance(colour, centres[k])
        if distance < best:
            best = distance
            nearest = k
    return nearest


@kernel
def _search_around(colour, centres, guess, order, apart):
    """The nearest centre, looking only at those that the triangle inequality leaves possible.

    A centre further from the guess than the guess and the best so far are from the colour, together, can be neither
    nearer than the best nor as near. The margin covers the rounding of float32.
    """
    best = _squared_distance(colour, centres[guess])
    if not best < np.float32(1e37):  # near overflow the inequality no longer holds
        return _search_all(colour, centres)
    nearest = guess
    to_guess = np.sqrt(np.float64(best))
    reach = (to_guess + to_guess) * 1.0001 + 1e-17
    for i in range(order.shape[1]):
        if apart[guess, i] > reach:
            break
        k = order[guess, i]
        distance = _squared_distance(colour, centres[k])
        if distance < best or (distance == best and k < nearest):
            best = distance
            nearest = k
            reach = (to_guess + np.sqrt(np.float64(best))) * 1.0001 + 1e-17
    return nearest


@kernel
def _label_pixels(values, valid, centres, order, apart, labels):
    bands = values.shape[0]
    colour = np.empty(bands, np.float32)
    guess = 0
    for pixel in range(valid.size):
        if not valid[pixel]:
            continue
        for band in range(bands):
            colour[band] = values[band, pixel]
        if order.size:
            guess = _search_around(colour, centres, guess, order, apart)
        else:
            guess = _search_all(colour, centres)
        labels[pixel] = guess + 1


def nearest_centre(values, valid, centres):
    if len(centres) <= MANY_CENTRES:
        order, apart = _rank_centres(centres)
    else:
        order, apart = np.empty((0, 0), np.uint16), np.empty((0, 0), np.float64)
    labels = np.zeros(valid.size, np.uint16)
    _label_pixels(values.reshape(values.shape[0], -1), valid.reshape(-1), centres, order, apart, labels)
    return labels.reshape(valid.shape)


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
