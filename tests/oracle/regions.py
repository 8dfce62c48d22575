# SPDX-License-Identifier: GPL-2.0-or-later
"""Clusters, single pixels and clumps."""

import numpy as np

from .kmeans import nearest, squared_distances


class Grid:
    """The pixels that are valid, by their index in raster order, and which of them are neighbours.

    Parameters
    ----------
    valid : rows of cols of bool
    zones : rows of cols of int, or None; pixels of two zones are no neighbours
    cut : pairs of pixels, the lower index first, that are no neighbours, as a line goes between them
    """

    def __init__(self, valid, zones=None, cut=()):
        self.rows, self.cols = len(valid), len(valid[0])
        self.pixels = [r * self.cols + c for r in range(self.rows) for c in range(self.cols) if valid[r][c]]
        self._cut = frozenset(cut)
        self._zone = {
            pixel: None if zones is None else zones[pixel // self.cols][pixel % self.cols] for pixel in self.pixels
        }

    def neighbours(self, pixel):
        """The valid neighbours of a pixel in its zone and on its side of every line: up, down, left, right."""
        row, col = divmod(pixel, self.cols)
        beside = []
        if row > 0:
            beside.append(pixel - self.cols)
        if row < self.rows - 1:
            beside.append(pixel + self.cols)
        if col > 0:
            beside.append(pixel - 1)
        if col < self.cols - 1:
            beside.append(pixel + 1)
        return [
            near
            for near in beside
            if near in self._zone
            and self._zone[near] == self._zone[pixel]
            and (min(near, pixel), max(near, pixel)) not in self._cut
        ]

    def image(self, numbers):
        """(rows, cols) uint32 of {pixel: number}, 0 where there is none."""
        image = np.zeros(self.rows * self.cols, np.uint32)
        for pixel, number in numbers.items():
            image[pixel] = number
        return image.reshape(self.rows, self.cols)


def label(grid, colours, centres):
    """{pixel: 1 + index of its nearest centre}. `colours` {pixel: (bands,) float32}"""
    return {pixel: 1 + nearest(colours[pixel], centres) for pixel in grid.pixels}


def eliminate_singles(grid, clusters, colours):
    """Clusters in which single pixels have that of their nearest neighbour that is not single."""
    clusters = dict(clusters)
    while True:
        single = {
            pixel
            for pixel in grid.pixels
            if not any(clusters[near] == clusters[pixel] for near in grid.neighbours(pixel))
        }
        new = {}
        for pixel in single:
            candidates = [near for near in grid.neighbours(pixel) if near not in single]
            if candidates:
                distances = squared_distances(colours[pixel], np.array([colours[near] for near in candidates]))
                followed = candidates[int(np.argmin(distances))]
                if np.isfinite(distances.min()):
                    new[pixel] = clusters[followed]
        if all(clusters[pixel] == cluster for pixel, cluster in new.items()):
            return clusters
        clusters.update(new)


def clump(grid, clusters):
    """{pixel: id}: connected pixels of one cluster, numbered from 1 by their first pixels."""
    ids = {}
    count = 0
    for first in grid.pixels:
        if first in ids:
            continue
        count += 1
        ids[first] = count
        front = [first]
        while front:
            pixel = front.pop()
            for near in grid.neighbours(pixel):
                if near not in ids and clusters[near] == clusters[pixel]:
                    ids[near] = count
                    front.append(near)
    return ids


def relabel(grid, ids):
    """{pixel: id} numbered from 1 without gaps, by the first pixel of each."""
    number = {}
    for pixel in grid.pixels:
        number.setdefault(ids[pixel], len(number) + 1)
    return {pixel: number[ids[pixel]] for pixel in grid.pixels}
