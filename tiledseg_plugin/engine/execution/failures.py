# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said when a task cannot be finished: which part of the work, how it failed, what to change."""

from typing import Any

from ..errors import SegmentationError


class Fault(Exception):
    """A task failed in a way that nobody foresaw; its cause holds the traceback of the worker."""


def subject_of(item: Any) -> str:
    """A tile, pieces of tiles, a group of them or a window of the raster, as the subject of a sentence."""
    if isinstance(item, tuple) and item and hasattr(item[0], "tile_id"):
        numbers = list(dict.fromkeys(str(piece.tile_id) for piece in item))
        return f"Tile {numbers[0]}" if len(numbers) == 1 else f"Tiles {', '.join(numbers)}"
    if hasattr(item, "tile_id"):
        return f"Tile {item.tile_id}"
    if hasattr(item, "members"):
        return f"The {item}"
    if hasattr(item, "col") and hasattr(item, "row"):
        return f"The block at column {item.col}, row {item.row}"
    return f"Part {item}"


def worker_died(item: Any, how: str, workers: int) -> SegmentationError:
    """A worker died twice over the same item; `how` begins with a verb."""
    return SegmentationError(
        f"{subject_of(item)} could not be processed: its worker process {how}, also when it was tried again with "
        f"{_workers(workers)}. Most likely memory ran out: lower TILE_WIDTH and TILE_HEIGHT, or WORKERS; or use "
        f"{getattr(item, 'way_out', 'EXECUTION=threads')}."
    )


def out_of_memory(item: Any, workers: int) -> SegmentationError:
    """There was not enough memory for an item."""
    return SegmentationError(
        f"{subject_of(item)} could not be processed: there was not enough memory with {_workers(workers)}. "
        "Lower TILE_WIDTH and TILE_HEIGHT, or WORKERS."
    )


def fault(item: Any, text: str) -> Fault:
    """An error in our own code; `text` is the traceback."""
    last = text.strip().splitlines()[-1] if text.strip() else "no reason given"
    error = Fault(f"{subject_of(item)}: {last}")
    error.__cause__ = Fault(text)
    return error


def _workers(count: int) -> str:
    return f"{count} worker{'s' if count != 1 else ''}"
