# SPDX-License-Identifier: GPL-2.0-or-later
"""What the segments of a run hold of floats: found window by window, left in files, and added up strip by strip.

Sums of floats depend on the order in which they are added. It is always that of `segment_rows.describe_segments`: by
pixel within a window, then by window. A strip holds the segments that begin in it, whose ids are a range.
"""

from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from ..files.raster import Raster
from ..files.window import Window
from ..files.work_folder import WorkFolder, narrowed
from ..progress import Advance, Check
from ..stages.context import RunContext
from ..stages.numbering import Segments
from ..stages.parts import load_or_raise
from ..stages.statistics import blocks
from .attributes import AttributeJob, Moments, moments_for, summarise_window
from .segment_ids import TileIds

ARRAYS = ("counts", "totals", "squares", "low", "high")
WindowsOf = Tuple[Tuple[int, ...], ...]  # of each strip, the windows with its segments, ascending


class WindowJob(NamedTuple):
    """What all windows share.

    ends : the id of the last segment of each strip
    """

    attributes: AttributeJob
    folder: WorkFolder
    ends: Tuple[int, ...]


def name_of_window(number: int) -> str:
    """Under which lie the moments of a window's segments."""
    return f"window-{number:07d}"


def describe_window(job: WindowJob, numbered: Tuple[int, Window], check_cancelled: Check) -> List[int]:
    """Find the moments in a window: the task. Returns the strips whose segments are in it."""
    number, window = numbered
    present, _, moments = summarise_window(job.attributes, window, check_cancelled)
    if not present.size:
        return []
    arrays = {name: np.stack(each) for name, each in zip(ARRAYS, zip(*moments))}
    arrays["counts"] = narrowed(arrays["counts"])
    job.folder.save(name_of_window(number), present=present, **arrays)
    return np.unique(np.searchsorted(job.ends, present)).tolist()


def moments_in_windows(
    context: RunContext, segments: Segments, bands: Tuple[Raster, ...], advance: Advance
) -> WindowsOf:
    """Find the moments in all windows, and return where those of each strip lie."""
    ids = TileIds(context.plan, segments.folder, frozenset(segments.pieces), context.kernel.NAME)
    ends = tuple(np.cumsum(segments.in_strips).tolist())
    job = WindowJob(AttributeJob(ids, bands, context.kernel.NAME), segments.folder, ends)
    windows = list(enumerate(blocks(context.raster)))
    found: Dict[int, List[int]] = {strip: [] for strip in range(len(ends))}
    for done, ((number, _), strips) in enumerate(context.run(describe_window, job, windows), 1):
        for strip in strips:
            found[strip].append(number)
        advance(done / len(windows))
    return tuple(tuple(sorted(found[strip])) for strip in range(len(ends)))


def moments_of_ids(
    folder: WorkFolder, bands: Sequence[Raster], windows: Sequence[int], before: int, count: int
) -> Tuple[Moments, ...]:
    """The moments of `count` segments, those with the ids before + 1 and on.

    Parameters
    ----------
    windows : those that hold any of them, ascending
    """
    whole = tuple(moments_for(band, count) for band in bands)
    for number in windows:
        saved = load_or_raise(folder, name_of_window(number), "present", *ARRAYS)
        begin, end = np.searchsorted(saved["present"], [before + 1, before + count + 1]).tolist()
        places = saved["present"][begin:end].astype(np.int64) - (before + 1)
        for index, band in enumerate(whole):
            counts, *others = (saved[name][index][..., begin:end] for name in ARRAYS)
            band.add(places, (counts.astype(np.int64), *others))
    return whole
