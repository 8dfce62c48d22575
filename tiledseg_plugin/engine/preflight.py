# SPDX-License-Identifier: GPL-2.0-or-later
"""The pre-flight: the plan of a run, with every tile's valid pixels counted exactly, before anything is segmented."""

import tempfile
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Callable, Dict, List, Sequence, Tuple

import numpy as np

from . import execution, resources
from .files.attribute_table import BAND_STATISTICS, MOST_XML_VALUES, OWN_COLUMNS
from .files.decoded import held_bytes, is_worth_keeping
from .files.gdal_access import OpenRasters
from .files.output_files import check_files, layer_output
from .files.publish import recover_beside
from .files.raster import Raster, describe
from .files.reading import read_validity
from .files.window import Window
from .parameters import PreflightParameters
from .products.tile_records import TileRecord, tile_records
from .progress import Feedback, Progress
from .stages.plan import EMPTY, SPARSE, Plan, Tile, extent_of, judge_tiles, make_plan, part_few
from .stages.statistics import blocks, decoded_together
from .stages.tiles import HALO
from .stages.zone_source import find_zones
from .wording import counted

WORTH_A_WARNING = 0.05  # of the pixels, by which the two rules of no data differ
WORKER_SECONDS = 2.5e-7  # a valid pixel, for each worker
SERIAL_SECONDS = 1e-7  # a valid pixel: the graph and writing


@dataclass(frozen=True)
class PreflightResult:
    """What there is to know before a run.

    valid_fraction : of the pixels in tiles, 0..1
    memory, disk : estimated bytes that a run needs; seconds : roughly, how long it takes
    """

    records: List[TileRecord]
    tile_count: int
    empty_tiles: int
    sparse_tiles: int
    valid_fraction: float
    memory: int
    disk: int
    seconds: float


@dataclass(frozen=True)
class Count:
    """What a block's task needs to know."""

    raster: Raster
    plan: Plan

    @cached_property
    def rasters(self) -> OpenRasters:
        """What tasks read."""
        return OpenRasters()


def preflight(parameters: PreflightParameters, feedback: Feedback) -> PreflightResult:
    """Count every tile's valid pixels, in one pass over the raster, and judge the tiles.

    Raises
    ------
    SegmentationError : one sentence on what is wrong
    Cancelled : the user cancelled
    """
    parameters.check()
    recover_beside(parameters.input, parameters.zones.split("|")[0])
    raster = describe(
        parameters.input, parameters.bands, parameters.nodata_rule, nodata=parameters.nodata, extent=parameters.extent
    )
    check_output(parameters)
    zones = find_zones(parameters, raster, Progress(feedback, {"counting": 1}).check_cancelled)
    plan = replace(make_plan(raster, parameters), zones=zones)
    for note in raster.notes:
        feedback.notice(note)
    started = time.monotonic()
    counts = _count(raster, plan, parameters.workers, Progress(feedback, {"counting": 1}))
    reading = time.monotonic() - started
    occupancy = judge_tiles(plan, counts[parameters.nodata_rule], parameters.valid_data_threshold)
    valid = sum(occupancy.valid_pixels.values())
    valid_tiles = [tile for tile in plan.tiles if occupancy.valid_pixels[tile.tile_id]]
    tile_bytes = max(_tile_memory(raster, plan), resources.group_memory(valid, len(raster.bands)))
    workers = resources.choose_workers(parameters.workers, max(len(valid_tiles), 1), tile_bytes)
    with_processes = _has_processes(parameters, raster, workers.count)
    held = 0 if with_processes or parameters.execution == "dask" else held_bytes(raster)
    result = PreflightResult(
        records=tile_records(parameters.input, plan, occupancy, origin=raster.origin),
        tile_count=len(plan.tiles),
        empty_tiles=occupancy.count(EMPTY),
        sparse_tiles=occupancy.count(SPARSE),
        valid_fraction=valid / plan.pixels,
        memory=resources.run_memory(
            resources.main_memory(valid, len(raster.bands)),
            workers.count,
            tile_bytes,
            with_processes,
            valid,
        )
        + held,
        disk=_disk(raster, plan, valid_tiles, valid, held > 0),
        seconds=2 * reading + valid * (WORKER_SECONDS / workers.count + SERIAL_SECONDS),
    )
    _log(raster, plan, parameters, result, workers.count, feedback)
    if workers.warning:
        feedback.warning(workers.warning)
    _warn_of_rule(plan, counts, parameters.nodata_rule, feedback)
    return result


def check_output(parameters: PreflightParameters) -> None:
    """Refuse a tile layer that would harm an input or cannot be written; one without a path is passed over."""
    check_files(
        [layer_output("OUTPUT", parameters.output)],
        [("INPUT", parameters.input), ("TILES", parameters.tiles_source), ("ZONES", parameters.zones)],
    )


def _count(raster: Raster, plan: Plan, workers: int, progress: Progress) -> Dict[str, Dict[int, int]]:
    """{rule: {tile_id: valid pixels}}, for both rules of no data."""
    progress.start("counting", "Counting valid pixels")
    read = [extent_of(some) for some in decoded_together(raster, blocks(raster))]
    todo = [window for window in read if plan.covers_all or plan.pieces_in(window)]
    counts: Dict[str, Dict[int, int]] = {rule: {tile.tile_id: 0 for tile in plan.tiles} for rule in ("any", "all")}
    runner = execution.create("threads", workers)  # reading leaves the interpreter to the others
    try:
        results = runner.run(count_block, Count(raster, plan), todo, progress.check_cancelled)
        for done, (_, found) in enumerate(results, 1):
            for rule, tile_id, pixels in found:
                counts[rule][tile_id] += pixels
            progress.advance(done / len(todo), f"Counting valid pixels, block {done} of {len(todo)}")
    finally:
        runner.close()
    progress.complete()
    return counts


def count_block(count: Count, block: Window, check_cancelled: Callable[[], None]) -> List[Tuple[str, int, int]]:
    """Count one block under both rules: [(rule, tile_id, valid pixels), ...]."""
    check_cancelled()
    valid = read_validity(count.rasters.get(count.raster.path), count.raster, block)
    in_zones = None if count.plan.zones is None else count.plan.zones.inside(block)
    if in_zones is not None:
        valid = {rule: inside & in_zones for rule, inside in valid.items()}
    return [
        (rule, piece.tile_id, int(inside[piece.window.part_in(block).within(block)].sum()))
        for piece in count.plan.pieces_in(block)
        for rule, inside in valid.items()
    ]


def _has_processes(parameters: PreflightParameters, raster: Raster, workers: int) -> bool:
    """Whether the workers of a run are processes."""
    if parameters.execution != "auto":
        return parameters.execution == "processes"
    return execution.is_worth_processes(raster, workers)


def _disk(raster: Raster, plan: Plan, tiles: Sequence[Tile], valid: int, is_held: bool) -> int:
    """Bytes of intermediate files and of OUTPUT, with what is decoded once and kept there, if anything is.

    Parameters
    ----------
    is_held : whether that is kept in memory instead
    """
    pixels = raster.width * raster.height
    columns = len(OWN_COLUMNS) + len(raster.bands) * len(BAND_STATISTICS)
    needed = resources.disk(valid, sum(len(tile.pieces) for tile in tiles), len(raster.bands), columns)
    needed += resources.output_disk(valid, len(raster.bands), columns, MOST_XML_VALUES)
    itemsize = np.dtype(raster.dtype).itemsize
    windows = [piece.window.grown(HALO, raster.width, raster.height) for piece in part_few(plan).pieces]
    where = Path(tempfile.gettempdir())
    if not is_held and is_worth_keeping(raster.path, len(raster.bands), itemsize, windows, where):
        needed += pixels * len(raster.bands) * itemsize
    return needed


def _tile_memory(raster: Raster, plan: Plan) -> int:
    """Bytes that a worker needs for the largest piece, as a run parts them."""
    windows = [piece.window.grown(HALO, raster.width, raster.height) for piece in part_few(plan).pieces]
    largest = max(windows, key=lambda window: window.pixels)
    of_zones = 0 if plan.zones is None else resources.zones_memory(largest.width, largest.height)
    return of_zones + resources.worker_memory(largest.width, largest.height, len(raster.bands), raster.dtype)


def _log(
    raster: Raster,
    plan: Plan,
    parameters: PreflightParameters,
    result: PreflightResult,
    workers: int,
    feedback: Feedback,
) -> None:
    used = f"bands {', '.join(map(str, raster.numbers))}" if len(raster.numbers) > 1 else f"band {raster.numbers[0]}"
    scheme = "polygons of TILES" if parameters.tiles else f"{_largest(plan)} pixels"
    processed = result.tile_count - result.empty_tiles
    feedback.info(f"{raster.path}: {raster.size}, {used}.")
    feedback.info(
        f"Tiles: {result.tile_count} ({scheme}); {processed} to process, {result.empty_tiles} empty and left out."
    )
    if result.sparse_tiles:
        alone = sum(1 for record in result.records if record.status == SPARSE and record.merged_into is None)
        feedback.info(
            f"Sparse: {result.sparse_tiles} of them have less than {parameters.valid_data_threshold:g} valid and are "
            "processed together with a neighbour" + (f" ({alone} have none and are processed alone)." if alone else ".")
        )
    area = "the raster" if plan.covers_all else f"the {plan.pixels} pixels in tiles"
    feedback.info(f"Valid: {100 * result.valid_fraction:.1f} % of {area}.")
    memory, disk = result.memory / resources.MEGABYTE, result.disk / resources.MEGABYTE
    feedback.info(
        f"A run needs about {memory:.0f} MB of memory and {disk:.0f} MB of disk, and "
        f"takes roughly {_duration(result.seconds)} with {counted(workers, 'worker')}."
    )
    if processed == 0:
        feedback.warning("No pixel is valid: check the raster's no-data value, BANDS, NODATA and NODATA_RULE.")


def _largest(plan: Plan) -> str:
    """Width and height of the tiles of a grid; those that are a pixel smaller are not worth a word."""
    return " x ".join(str(max(getattr(tile.window, side) for tile in plan.tiles)) for side in ("width", "height"))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _warn_of_rule(plan: Plan, counts: Dict[str, Dict[int, int]], rule: str, feedback: Feedback) -> None:
    pixels = {name: sum(tiles.values()) for name, tiles in counts.items()}
    shares = {name: 100 * count / plan.pixels for name, count in pixels.items()}
    if pixels["all"] - pixels["any"] > WORTH_A_WARNING * plan.pixels:
        feedback.warning(
            f"NODATA_RULE matters here: {shares['any']:.1f} % of the pixels are valid under 'any' (no data in one "
            f"band is enough), {shares['all']:.1f} % under 'all'. This run used '{rule}'."
        )
