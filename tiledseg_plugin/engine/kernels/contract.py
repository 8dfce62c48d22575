# SPDX-License-Identifier: GPL-2.0-or-later
"""What a set of kernels has: the names, parameters and results that `compiled` and `plain` share.

A set is a module; mypy holds both of them against `Kernels`. Here each function says in a line what it takes and
returns; its definition, with everything about its parameters, is the one of the same name in `plain`, whose docstring
also says what `values`, `valid`, `clusters` and `labels` are.
"""

from typing import Any, Callable, Iterable, NamedTuple, Optional, Protocol, Sequence, Tuple, Union

import numpy as np

Check = Callable[[], object]  # called now and then, raises what ends the run
Run = Callable[..., Iterable[Any]]  # is called as `map` is
Lent = Callable[[], np.ndarray]  # what returns an array that nobody else holds, so that it can go when it was used
Moments = Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # counts, totals, squares, low, high

Shapes = Tuple[np.ndarray, np.ndarray, int, np.ndarray]  # sums, parts, how many these are, contacts

DECIDED = 0xFFFFFFFF  # in `RemainingRegions.undecided_from`
NO_LEVEL = 0xFFFFFFFF  # in `Links.level`
WALL_RIGHT, WALL_BELOW = 1, 2  # in `walls`: this pixel and the one to its right, or below it, are no neighbours


class RemainingRegions(NamedTuple):
    """What the steps of an elimination have left.

    roots : (r,) uint32, ascending, the clump whose place and identity each region has
    sizes : (r,) int64; sums : (r, planes) int64
    undecided_from : (r,) uint32, the step from which on each has to be decided where all its neighbours are known: up
        to that step it is what it would be in the whole raster, and from it on nothing has been merged with it. DECIDED
        for those that nothing outside can change.
    edges : (m, 2) uint32, indices of neighbouring regions, each pair once, where both must be decided elsewhere and one
        is smaller than the least wanted
    """

    roots: np.ndarray
    sizes: np.ndarray
    sums: np.ndarray
    undecided_from: np.ndarray
    edges: np.ndarray


class Links(NamedTuple):
    """All merges of an elimination, so that what a smaller least size makes of the clumps can be found afterwards.

    partner : (n,) uint32, the clump that each was merged into, which may have been merged itself; its own index where
        it was not
    level : (n,) uint32, the least `min_pixels` with which that merge happens; NO_LEVEL where there was none. From a
        clump to its partner it never falls, so the clumps of any smaller `min_pixels` are found by following the
        partners as long as their level is no greater. In the step that equals `min_pixels` only smaller clumps act,
        while for those that want more those of just that size do, too; as all decide on one state, the former merges
        are among the latter.
    """

    partner: np.ndarray
    level: np.ndarray


class Labeller(Protocol):
    """A `NearestCentre`: labels many windows by the same centres."""

    def __call__(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """(bands, ...) uint8 or float32 colours, (...) bool -> (...) uint16 clusters."""


class Merging(Protocol):
    """An `Elimination`: merges small clumps, step by step."""

    @property
    def into(self) -> np.ndarray:
        """(n,) uint32, the index of the clump that each has become a part of."""

    def step(self, area: int, run: Run = map) -> int:
        """Step `area` (1, 2, ... min_pixels) -> how many clumps were merged in it."""

    def go_on(self, area: int, last: int, run: Run = map) -> Optional[int]:
        """Step `area`, and of those after it, up to `last`, as many as one likes -> the next that can change anything,
        None if there is none up to `last`."""

    def next_area(self, area: int) -> Optional[int]:
        """The step before -> the next one that can change anything, None if there is none."""

    def regions(self) -> RemainingRegions:
        """What is left after the last step."""

    @property
    def links(self) -> Links:
        """All merges so far; empty where they are not kept."""


class Kernels(Protocol):
    """A set of kernels."""

    NAME: str

    def warm_up(self, check: Check = ...) -> None:
        """Compile or load what a run on stretched values needs."""

    # --- pixels

    def translate(self, values: np.ndarray, valid: np.ndarray, tables: np.ndarray) -> np.ndarray:
        """(bands, ...) uint8 or uint16, (...) bool, (bands, 256 or 65536) uint8 -> (bands, ...) uint8 colours."""

    def nearest_centre(self, values: np.ndarray, valid: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """(bands, ...) uint8 or float32, (...) bool, (k, bands) float32 -> (...) uint16 clusters."""

    def NearestCentre(self, centres: np.ndarray) -> Labeller:  # a class in both sets
        """(k, bands) float32 -> `nearest_centre` for many windows."""

    def nearest_two(self, values: np.ndarray, centres: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(bands, n) float32, (k, bands) float32 -> (n,) uint16 labels, two (n,) float32 squared distances."""

    def eliminate_singles(
        self, clusters: np.ndarray, values: np.ndarray, open_sides: Sequence[bool], walls: Optional[np.ndarray] = None
    ) -> Tuple[np.ndarray, np.ndarray]:
        """(rows, cols) uint16, (bands, rows, cols), 4 bools -> (rows, cols) uint16 clusters, (rows, cols) bool."""

    def relabel(self, labels: np.ndarray, table: np.ndarray) -> np.ndarray:
        """(rows, cols) uint32, (count + 1,) uint32 -> (rows, cols) uint32."""

    def compact(self, ids: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Uint32 of any shape -> (count,) uint32 ids, (ids.size,) uint32 labels, (count,) int64 sizes."""

    def encode_runs(self, labels: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """(rows, cols) uint32 -> (n,) uint8 codes, (m,) uint32 given labels."""

    def decode_runs(self, codes: np.ndarray, given: np.ndarray, table: Optional[np.ndarray], found: np.ndarray) -> None:
        """(n,) uint8, (m,) uint32, (count,) uint32 or None; `found`, (rows, cols) uint32, is filled."""

    # --- k-means

    def distinct(self, keys: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """(n, words) uint64 -> (m,) int64 first places, (m,) int64 counts."""

    def reassign(
        self,
        planes: np.ndarray,
        counts: np.ndarray,
        centres: np.ndarray,
        moved: np.ndarray,
        labels: np.ndarray,
        to_nearest: np.ndarray,
        to_others: np.ndarray,
        margin: float,
        least: float,
        whole: bool,
    ) -> Tuple[int, np.ndarray, np.ndarray]:
        """(bands, n) float32 colours and what is known of them -> int changed, (k,) int64 sizes, (bands, k) int64."""

    def sum_members(self, labels: np.ndarray, amounts: np.ndarray, k: int) -> np.ndarray:
        """(n,) uint16 labels 1..k, (n,) float64 -> (k,) float64 sums."""

    # --- clumps and their graph

    def clump(self, clusters: np.ndarray, walls: Optional[np.ndarray] = None) -> Tuple[np.ndarray, int]:
        """(rows, cols) uint16, (rows, cols) uint8 -> (rows, cols) uint32 labels, int count."""

    def describe_clumps(
        self, labels: np.ndarray, count: int, clusters: np.ndarray, quantities: np.ndarray
    ) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """A window -> (count,) int64 sizes, (count, planes) int64 sums, (count,) int64 first, (count,) uint16."""

    def find_edges(self, labels: np.ndarray, count: int, walls: Optional[np.ndarray] = None) -> np.ndarray:
        """(rows, cols) uint32, int, (rows, cols) uint8 -> (m, 2) uint32 pairs of labels."""

    def band_means(self, sizes: np.ndarray, sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(n,) int64, (n, limbs * bands) int64, (limbs,) float64 -> (n, bands) float32."""

    def Elimination(  # a class in both sets
        self,
        sizes: Union[np.ndarray, Lent],
        sums: np.ndarray,
        weights: np.ndarray,
        edges: Union[np.ndarray, Lent],
        min_pixels: int,
        threshold: float,
        undecided_from: Optional[np.ndarray] = None,
        shared: Optional[np.ndarray] = None,
        keeps_links: bool = False,
    ) -> Merging:
        """(n,) int64, (n, limbs * bands) int64, (limbs,) float64, (m, 2) uint32 -> the elimination of small clumps.

        `undecided_from` contradicts nothing: a clump that is smaller than the least wanted decides in step
        max(its size, its undecided_from), and when it is left undecided then, so are its neighbours; none of these is
        undecided from a later step on. On anything else the sets may differ; a run never has it (see
        tests/test_undecided.py).
        """

    # --- products

    def region_moments(self, labels: np.ndarray, count: int, values: np.ndarray) -> Moments:
        """(pixels,) uint32, int, (pixels,) of any real dtype -> moments of each region."""

    def add_moments(self, places: np.ndarray, part: Moments, whole: Moments) -> None:
        """(n,) uint32 places and moments of n parts; `whole`, of 64 bits, is changed."""

    def region_histograms(
        self, labels: np.ndarray, count: int, values: np.ndarray
    ) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(pixels,) uint32, int, (pixels,) -> (count + 1,) int64 starts, (n,) values, (n,) int64 frequencies."""

    def region_shapes(
        self,
        labels: np.ndarray,
        count: int,
        inside: Tuple[int, int, int, int],
        area: np.ndarray,
        across: np.ndarray,
        down: np.ndarray,
    ) -> Shapes:
        """(rows, cols) uint32 with a margin -> (count, 16) int64, (rows, cols) uint32 parts, int, (n, 2) uint32."""

    def region_borders(
        self, labels: np.ndarray, count: int, across: np.ndarray, down: np.ndarray
    ) -> Tuple[np.ndarray, np.ndarray]:
        """(rows, cols) uint32 with a margin -> (n, 2) uint32 pairs of labels, (n, 2) int64 lengths."""

    def nearest_pixels(
        self, labels: np.ndarray, count: int, col: int, row: int, points: np.ndarray
    ) -> Tuple[np.ndarray, np.ndarray]:
        """(rows, cols) uint32, int, place of the window, (count, 2) float64 -> (count,) int64, (count,) float64."""

    def trace_outlines(
        self, ids: np.ndarray, row: int, col: int, raster_width: int, all_junctions: bool
    ) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(rows + 2, cols + 2) uint32 -> owners, starts, ends, offsets of chains; (n, 2) int32 corners, flags."""

    def finish_rings(
        self, offsets: np.ndarray, corners: np.ndarray, flags: np.ndarray
    ) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rings of `trace_outlines` -> sources, offsets, corners, flags, areas of simple ones."""

    def simplify_rings(
        self, offsets: np.ndarray, corners: np.ndarray, flags: np.ndarray
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Rings of `finish_rings` -> (rings + 1,) int64 offsets, (n, 2) int32 corners."""
