# SPDX-License-Identifier: GPL-2.0-or-later
"""The preview: a part of the raster segmented as the whole run would do it, quickly and again and again.

What a run finds out about the whole raster first (stretch and centres, the `Basis`) is found out once and kept; so are
the clumps of a part, since the sizes and distances at which they merge are what a person tries out.
"""

from dataclasses import dataclass, replace
from typing import Any, Callable, Optional, Tuple, Union, cast

import numpy as np
from osgeo import gdal

from . import kernels
from .execution.threads import Threads
from .files.gdal_access import open_raster
from .files.georeference import geotransform
from .files.raster import Raster, describe, identity
from .files.window import Window
from .files.work_folder import WorkFolder
from .kernels.entries import entries_of_run
from .machine import available_cores
from .parameters import SegmentParameters
from .preview_lines import border_lines
from .preview_sizes import Sizes, sizes_in_view
from .progress import Feedback, Progress
from .stages.colours import Raw, Stretched
from .stages.context import Context
from .stages.effects import Known, known_of, without_effect
from .stages.elimination import ClumpGraph, EliminationRules, eliminate, in_order_of_appearance
from .stages.plan import Piece, Plan, make_plan, plan_grid
from .stages.rsgislib_stretch import as_rsgislib_sees
from .stages.statistics import Survey, fewer_clusters, find_centres, survey, take_sample
from .stages.tiles import PixelJob, settled_clusters
from .stages.zone_source import find_zones, state_of

MOST_PIXELS = 4_000_000
FIRST_PIXELS = 160_000  # of the centre of a view, which is shown first where the whole of it takes long
WORTH_WAITING = 3  # times as many: in a view with fewer pixels the centre would not be there much earlier
MARGIN = 64  # pixels round the part that are segmented, too, so that segments at its edge are as in the run

# The parameters that the basis depends on. Tiles matter only where they are polygons, as what is outside is left out.
DECIDING = (
    "input",
    "bands",
    "num_clusters",
    "stretch",
    "rsgislib_stretch",
    "sampling",
    "kmeans_max_iterations",
    "nodata",
    "extent",
    "nodata_rule",
    "tiles",
    "zones",
    "zones_outside",
    "kernels",
)


@dataclass(frozen=True)
class Basis:
    """What a run knows before its tiles.

    key : of what it was made, see `basis_key`
    different_colours : of the sample
    """

    key: tuple
    raster: Raster
    plan: Plan
    colours: Union[Stretched, Raw]
    centres: np.ndarray
    kernels: str
    known: Known
    different_colours: int


@dataclass(frozen=True)
class Clumps:
    """The clumps of a window with its margin.

    window : what is looked at
    surroundings : with the margin, and what tiles.settled_clusters adds to it
    labels : (rows, cols) uint32 of `surroundings`
    graph : sizes, sums and edges
    """

    basis: Basis
    window: Window
    surroundings: Window
    labels: np.ndarray
    graph: ClumpGraph


@dataclass(frozen=True)
class Preview:
    """The segments of a window.

    ids : (rows, cols) uint32, 0 where there is no data
    lines : WKB multi-line strings in the raster's coordinates, the borders between segments
    segments : how many have pixels in the window
    sizes : how large they are
    notes : what there is to say of parameters without effect, a sentence each
    """

    window: Window
    ids: np.ndarray
    lines: Tuple[bytes, ...]
    segments: int
    sizes: Sizes
    notes: Tuple[str, ...] = ()


def basis_key(parameters: SegmentParameters) -> Tuple[Any, ...]:
    """What a basis depends on: equal as long as it is good; parameters and the state of the file."""
    states = identity(parameters.input), state_of(parameters.zones)
    return (*(getattr(parameters, name) for name in DECIDING), *states)


def find_basis(parameters: SegmentParameters, feedback: Feedback) -> Basis:
    """Statistics and centres of the whole raster, exactly as a run finds them.

    Raises
    ------
    SegmentationError, Cancelled : as a run does
    """
    parameters.check()
    key = basis_key(parameters)
    raster = describe(
        parameters.input, parameters.bands, parameters.nodata_rule, nodata=parameters.nodata, extent=parameters.extent
    )
    if parameters.rsgislib_stretch:
        raster = as_rsgislib_sees(raster)
    entries = entries_of_run(raster.dtype, len(raster.bands), parameters.stretch, parameters.num_clusters)
    check = Progress(feedback, {"statistics": 1}).check_cancelled
    kernel, _ = kernels.choose(parameters.kernels, check, entries, calm=True)  # somebody waits for the outlines
    whole = (raster.width, raster.height)
    plan = make_plan(raster, parameters) if parameters.tiles else plan_grid(*whole, *whole)
    plan = replace(plan, zones=find_zones(parameters, raster, check))
    progress = Progress(feedback, {"statistics": 1})
    folder = WorkFolder("", {})
    runner = Threads(parameters.workers or available_cores())
    progress.start("statistics", "Reading statistics")
    try:
        job = Survey(raster, plan, parameters.sampling, folder, parameters.rsgislib_stretch)
        summary = survey(job, runner, progress)
        summary.require_data(raster, plan.zones)
        colours = summary.colours(raster, parameters.stretch)
        context = Context(parameters, raster, plan, kernel, runner, progress)
        sample = take_sample(context, summary, colours, folder)
        different = len(sample.colours)
        centres = find_centres(context, sample)
    finally:
        runner.close()
        folder.close(True)
    known = known_of(summary, colours, plan.zones)
    return Basis(key, raster, plan, colours, centres, kernel.NAME, known, different)


def notes_on(parameters: SegmentParameters, basis: Basis) -> Tuple[str, ...]:
    """A sentence for each parameter that has no effect, or less than was asked for."""
    notes = without_effect(parameters, basis.known)
    if len(basis.centres) < parameters.num_clusters:
        notes.append(fewer_clusters(len(basis.centres), parameters.num_clusters, basis.different_colours))
    return tuple(notes)


def window_in_view(
    path: str,
    extent: Tuple[float, float, float, float],
    most_pixels: int = MOST_PIXELS,
    part: Tuple[int, ...] = (),
) -> Tuple[Optional[Window], bool]:
    """The pixels of a raster that lie in an extent.

    Parameters
    ----------
    extent : (left, bottom, right, top) in the raster's coordinates
    part : (col, row, width, height) of the raster that is segmented; empty for all

    Returns
    -------
    window : Window, counted from the beginning of the part; None if the extent lies off it
    is_cut : whether it is only the centre of the view, which holds more than `most_pixels`
    """
    dataset = open_raster(path)
    left, bottom, right, top = extent
    inverse = gdal.InvGeoTransform(geotransform(dataset))
    corners = [gdal.ApplyGeoTransform(inverse, x, y) for x in (left, right) for y in (bottom, top)]
    (first_col, last_col), (first_row, last_row) = ((min(axis), max(axis)) for axis in zip(*corners))
    col, row = int(np.floor(first_col)), int(np.floor(first_row))
    view = Window(col, row, int(np.ceil(last_col)) - col, int(np.ceil(last_row)) - row)
    whole = Window(0, 0, dataset.RasterXSize, dataset.RasterYSize)
    segmented = whole.intersection(Window(*part)) if part else whole
    window = None if segmented is None else view.intersection(segmented)
    if segmented is not None and window is not None:
        window = window.moved(-segmented.col, -segmented.row)
    if window is None or window.pixels <= most_pixels:
        return window, False
    return centre_of(window, most_pixels), True


def centre_of(window: Window, most_pixels: int) -> Window:
    """The middle of a window, of about its shape and at most so many pixels."""
    share = (most_pixels / window.pixels) ** 0.5
    width = min(window.width, max(1, int(window.width * share), most_pixels // window.height))
    height = min(window.height, most_pixels // width)
    return Window(window.col + (window.width - width) // 2, window.row + (window.height - height) // 2, width, height)


def clump_window(basis: Basis, window: Window, check_cancelled: Callable[[], None]) -> Clumps:
    """The clumps of a window and its margin, before any is merged."""
    surroundings = window.grown(MARGIN, basis.raster.width, basis.raster.height)
    job = PixelJob(basis.raster, basis.plan, basis.colours, basis.centres, basis.kernels)
    kernel, _ = kernels.choose(basis.kernels)
    settled = settled_clusters(job, Piece(1, 1, surroundings), kernel, check_cancelled)
    labels, count = kernel.clump(settled.clusters, settled.walls)
    check_cancelled()
    quantities = basis.colours.quantities(settled.values, settled.compared)
    sizes, sums, _, _ = kernel.describe_clumps(labels, count, settled.clusters, quantities)
    edges = kernel.find_edges(labels, count, settled.walls) - np.uint32(1)
    return Clumps(basis, window, settled.window, labels, ClumpGraph(sizes, sums, edges))


def merge_clumps(
    clumps: Clumps, min_pixels: int, distance_threshold: Optional[float], check_cancelled: Callable[[], None]
) -> np.ndarray:
    """(rows, cols) uint32, the segments of the window; the numbers have nothing to do with those of a run."""
    kernel, _ = kernels.choose(clumps.basis.kernels)
    merged = eliminate(
        kernel,
        clumps.graph._replace(sums=clumps.graph.sums.copy()),  # they are overwritten
        EliminationRules(clumps.basis.colours.weights, min_pixels, distance_threshold),
        lambda fraction: check_cancelled(),
        available_cores(),
    )
    labels = np.ascontiguousarray(clumps.labels[clumps.window.within(clumps.surroundings)])
    return kernel.relabel(labels, np.append(np.uint32(0), in_order_of_appearance(merged.into) + np.uint32(1)))


class Previewer:
    """Previews of one raster after the other; keeps the last basis and the last clumps. One thread at a time."""

    def __init__(self) -> None:
        self.basis: Optional[Basis] = None
        self._clumps: Optional[Clumps] = None  # of the last window

    def is_ready(self, parameters: SegmentParameters) -> bool:
        """Whether the next preview with these parameters will not have to read the whole raster first."""
        return self.basis is not None and self.basis.key == basis_key(parameters)

    def prepare(self, parameters: SegmentParameters, feedback: Feedback) -> None:
        """Find out about the whole raster, unless that is known."""
        if not self.is_ready(parameters):
            self.basis = self._clumps = None
            self.basis = find_basis(parameters, feedback)

    def first_part(self, window: Window) -> Optional[Window]:
        """The centre of a window, to `show` before the whole; None if that is quick, as with compiled kernels."""
        if window.pixels <= WORTH_WAITING * FIRST_PIXELS:
            return None
        kernel, _ = kernels.choose(cast(Basis, self.basis).kernels)
        return None if kernels.are_compiled(kernel) else centre_of(window, FIRST_PIXELS)

    def show(self, parameters: SegmentParameters, window: Window, feedback: Feedback) -> Preview:
        """The segments of a window over the raster, after `prepare`."""
        check_cancelled = Progress(feedback, {"preview": 1}).check_cancelled
        if self._clumps is None or self._clumps.window != window or self._clumps.basis is not self.basis:
            self._clumps = clump_window(cast(Basis, self.basis), window, check_cancelled)
        ids = merge_clumps(self._clumps, parameters.min_pixels, parameters.distance_threshold, check_cancelled)
        raster = self._clumps.basis.raster
        lines = border_lines(ids, window, geotransform(open_raster(raster.path), raster.origin), check_cancelled)
        check_cancelled()
        is_cut = (window.col > 0, window.row > 0, window.right < raster.width, window.bottom < raster.height)
        sizes = sizes_in_view(ids, is_cut, parameters.min_pixels, kernels.choose(self._clumps.basis.kernels)[0])
        notes = notes_on(parameters, self._clumps.basis)
        return Preview(window, ids, lines, int(np.count_nonzero(np.unique(ids))), sizes, notes)
