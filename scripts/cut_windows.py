# SPDX-License-Identifier: GPL-2.0-or-later
"""Windows cut out of a raster and segmented untiled, against the result of a run on all of it."""

import json
import sys
from pathlib import Path
from typing import Any, Dict, Sequence, Tuple

import headless
import numpy as np
from osgeo import gdal

sys.path.insert(0, str(headless.plugin_path()))

from tiledseg.tiledseg_plugin.engine import kernels  # noqa: E402
from tiledseg.tiledseg_plugin.engine.files.raster import describe  # noqa: E402
from tiledseg.tiledseg_plugin.engine.files.window import Window  # noqa: E402
from tiledseg.tiledseg_plugin.engine.stages.colours import Stretched  # noqa: E402
from tiledseg.tiledseg_plugin.engine.stages.elimination import EliminationRules, Graph, merge_within  # noqa: E402
from tiledseg.tiledseg_plugin.engine.stages.plan import Piece, Plan, Tile  # noqa: E402
from tiledseg.tiledseg_plugin.engine.stages.tiles import PixelJob, open_sides, settled_clusters  # noqa: E402

WINDOW = 1500


def check(scene: Path, output: Path, places: Sequence[Tuple[int, int]]) -> Tuple[int, int]:
    """Hold OUTPUT against untiled runs of windows around some places.

    Returns
    -------
    compared : pixels
    wrong : those of segments that are others in OUTPUT
    """
    report = json.loads(output.with_name(f"{output.stem}_report.json").read_text(encoding="utf-8"))
    raster = describe(str(scene))
    segments = gdal.Open(str(output))
    compared = wrong = 0
    for col, row in places:
        left, top = (
            max(0, min(col - WINDOW // 2, raster.width - WINDOW)),
            max(0, min(row - WINDOW // 2, raster.height - WINDOW)),
        )
        width, height = min(WINDOW, raster.width), min(WINDOW, raster.height)
        regions, decided = untiled(raster, report, (left, top, width, height))
        some, others = differing(regions, decided, segments.ReadAsArray(left, top, width, height))
        compared += some
        wrong += others
    return compared, wrong


def untiled(raster: Any, report: Dict[str, Any], window: Tuple[int, int, int, int]) -> Tuple[Any, Any]:
    """Segment a window by itself.

    Returns
    -------
    regions : (rows, cols) uint32, 0 for no data
    decided : (regions + 1,) bool, which of them are the same in the whole raster, whatever lies beyond the window
    """
    whole = Window(0, 0, raster.width, raster.height)
    plan = Plan(raster.width, raster.height, (Tile(1, 0, 0, whole, (Piece(1, 1, whole),)),))
    colours = Stretched(tuple(report["colours"]["low"]), tuple(report["colours"]["high"]))
    kernel, _ = kernels.choose("auto")
    job = PixelJob(raster, plan, colours, np.array(report["centres"], np.float32), "auto")
    piece = Piece(1, 1, Window(*window))
    settled = settled_clusters(job, piece, kernel, lambda: None)
    labels, count = kernel.clump(settled.clusters)
    quantities = colours.quantities(settled.values, settled.compared)
    sizes, sums, first, clusters = kernel.describe_clumps(labels, count, settled.clusters, quantities)
    edges = kernel.find_edges(labels, count) - np.uint32(1)
    inner = labels[piece.window.within(settled.window)]
    sides = zip("tblr", open_sides(piece.window, raster), (inner[0], inner[-1], inner[:, 0], inner[:, -1]))
    borders = {(1, side): border for side, is_open, border in sides if is_open}
    parameters = report["parameters"]
    rules = EliminationRules(colours.weights, parameters["min_pixels"], parameters["distance_threshold"])
    merged = merge_within(kernel, Graph(sizes, sums, edges, first, first, clusters, borders), rules, lambda done: None)
    regions = np.append(np.uint32(0), merged.region_of + np.uint32(1))[inner]
    return regions, np.append(False, merged.decided)


def differing(regions: Any, decided: Any, ids: Any) -> Tuple[int, int]:
    """Of the pixels of decided regions: how many there are, and how many belong to such that OUTPUT has otherwise."""
    some = decided[regions]
    pairs, counts = np.unique(np.stack([regions[some], ids[some]], axis=1), axis=0, return_counts=True)
    in_output = dict(zip(*(array.tolist() for array in np.unique(ids, return_counts=True))))
    regions_found, times = np.unique(pairs[:, 0], return_counts=True)
    parted = set(regions_found[times > 1].tolist())
    wrong = sum(
        pixels
        for (region, segment), pixels in zip(pairs.tolist(), counts.tolist())
        if region in parted or segment == 0 or in_output[segment] != pixels
    )
    return int(np.count_nonzero(some)), wrong
