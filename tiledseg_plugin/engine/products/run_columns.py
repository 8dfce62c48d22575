# SPDX-License-Identifier: GPL-2.0-or-later
"""The attribute columns of a run's segments, strip by strip in files: tables of any length are written from them."""

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np

from ..files.no_data import Band
from ..files.raster import Raster
from ..files.stored import Stored
from ..files.tables import Column
from ..files.work_folder import WorkFolder, narrowed_exactly
from ..progress import Advance, Check
from ..stages.context import RunContext
from ..stages.moments import moments_in, names_in_files
from ..stages.numbering import Segments, moments_of, pixels_of
from ..stages.parts import load_or_raise
from .attribute_columns import attribute_columns
from .attributes import Attributes, moments_for, run_bands
from .window_moments import WindowsOf, moments_in_windows, moments_of_ids, name_of_window

LEVEL_PREFIX = "level_"  # of the names of columns, before the minimum size


@dataclass(frozen=True)
class ColumnJob:
    """What all strips share.

    rasters : of one band each, see `attributes.run_bands`
    bands, ranges : see `attribute_columns`
    before : how many segments begin before each strip
    windows : where the moments of each strip's segments lie, if its parts have not added them up
    """

    folder: WorkFolder
    rasters: Tuple[Raster, ...]
    bands: Tuple[Band, ...]
    ranges: Tuple[Tuple[float, float], ...]
    before: Tuple[int, ...]
    windows: Optional[WindowsOf] = None


def column_of(index: int, strip: int) -> str:
    """Under which lies a column of a strip's segments: (segments,), in whichever type holds them all exactly."""
    return f"column-{index}-{strip:07d}"


def describe_strip(job: ColumnJob, strip: int, check_cancelled: Check) -> None:
    """Find the columns of the segments that begin in a strip: the task."""
    check_cancelled()
    windows = None if job.windows is None else job.windows[strip]
    attributes = attributes_of_strip(job.folder, job.rasters, strip, job.before[strip], windows)
    check_cancelled()
    for index, column in enumerate(attribute_columns(attributes, job.bands, job.ranges)):
        job.folder.save_array(column_of(index, strip), narrowed_exactly(np.asarray(column.values)))


def attributes_of_strip(
    folder: WorkFolder, bands: Sequence[Raster], strip: int, before: int, windows: Optional[Sequence[int]]
) -> Attributes:
    """Statistics of the segments that begin in a strip of a run's raster.

    Parameters
    ----------
    folder : in which `numbering` has left the sizes of the segments, and their moments
    bands : one raster of one band each, see `run_bands`
    before : how many segments begin in the strips before
    windows : in which their moments lie otherwise, see `window_moments`
    """
    sizes = np.array(folder.map_array(pixels_of(strip)))
    if windows is not None:
        moments = moments_of_ids(folder, bands, windows, before, sizes.size)
    else:
        moments = tuple(moments_for(band, sizes.size) for band in bands)
        for index, band in enumerate(moments if sizes.size else ()):
            found = load_or_raise(folder, moments_of(strip), *names_in_files(index))
            band.hold(moments_in(found, index).with_pixels(sizes))
    return Attributes(np.arange(before + 1, before + sizes.size + 1, dtype=np.uint32), sizes, moments)


def columns_of_run(
    context: RunContext, segments: Segments, ranges: Sequence[Tuple[float, float]], advance: Advance
) -> List[Column]:
    """The columns of all segments, as `attribute_columns` has them."""
    rasters, bands = run_bands(context.raster), tuple(context.raster.bands)
    counts, windows, begun = segments.in_strips, None, 0.0
    if not segments.has_moments:
        begun = 0.9
        windows = moments_in_windows(context, segments, rasters, lambda done: advance(begun * done))
    before = tuple((np.cumsum(counts) - counts).tolist())
    job = ColumnJob(segments.folder, rasters, bands, tuple(ranges), before, windows)
    for done, _ in enumerate(context.run(describe_strip, job, range(len(counts))), 1):
        advance(begun + (1 - begun) * done / len(counts))
    segments.folder.drop(*(name_of_window(number) for some in windows or () for number in some))
    segments.folder.drop(*map(moments_of, range(len(counts))))  # they are in the columns
    none = np.empty(0, np.uint32)
    of_none = Attributes(none, none.astype(np.int64), tuple(moments_for(band, 0) for band in rasters))

    def stored(index: int, dtype: np.dtype) -> Stored:
        paths = [segments.folder.array_path(column_of(index, strip)) for strip in range(len(counts))]
        return Stored(paths, counts, dtype)

    return [
        Column(column.name, stored(index, column.values.dtype), column.usage, column.label)
        for index, column in enumerate(attribute_columns(of_none, bands, ranges))
    ]


def level_columns(segments: Segments) -> List[Column]:
    """The columns level_500 .. of a run with LEVELS: for each segment, the one that stands for what it is a part of.

    That is the one of them that begins first in raster order, so the segments in whose row the column says their own
    number are, in their order, those of a run with that MIN_PIXELS.
    """
    return [Column(f"{LEVEL_PREFIX}{level}", values) for level, values in segments.holder_columns.items()]
