# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 4, numbering: the ids of the segments, in raster order of their first pixels, and each piece's lookup table.

Which segments there are lies scattered over the parts that have decided them. Strip by strip of the raster they are
gathered and sorted; what is counted in the strips before says from which id on a strip's are numbered. Then the ids go
down the tree: each group tells its members what has become of the regions that they could not decide, at the least
minimum size and at further levels. What segments are parts of at these is gathered by strips again. All of it is tasks;
no process ever holds more than one strip's segments or one part's regions.
"""

from collections import deque
from dataclasses import dataclass, field
from itertools import chain
from typing import Callable, Deque, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import SegmentationError
from ..files.raster import Raster
from ..files.stored import Stored
from ..files.work_folder import WorkFolder
from ..wording import counted
from .context import RunContext
from .moments import joined, moments_in, names_in_files
from .parts import Decided, damaged, load_decided, load_or_raise, merged_of
from .plan import Piece, Plan
from .tree import Group, Tree

STRIP_PIXELS, SMALL_STRIP_PIXELS = 1 << 26, 1 << 24
FEW_STRIPS = 4  # as many workers have something to do where that leaves no strip too small
MOST_SEGMENTS = 2**31 - 1  # rows of raster attribute tables are numbered by signed integers of 32 bits
TEXT = "Numbering segments"


@dataclass(frozen=True)
class Segments:
    """The segments; the lookup table of each piece (`table_of`) lies in the work folder.

    pieces : ids of those that have one
    in_strips : how many begin in each strip; their sizes (`pixels_of`) lie there, too, in the order of the ids
    in_tiles : {tile_id: how many segments have pixels in the tile}; tiles without are left out
    clumps : how many there were before any was merged, where that is known
    has_moments : whether the moments of the segments (`moments_of`) lie there
    at_levels : {minimum size: how many there are with it}, of those above the least; the columns of `holder_columns`,
        which say what segments are parts of then, lie there (`levels_of`)
    """

    folder: WorkFolder
    pieces: Tuple[int, ...]
    in_strips: Tuple[int, ...]
    in_tiles: Dict[int, int]
    clumps: Optional[int] = None
    has_moments: bool = False
    at_levels: Dict[int, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.in_strips)

    @property
    def sizes(self) -> Stored:
        """(segments,) int64 pixels."""
        files = [self.folder.array_path(pixels_of(strip)) for strip in range(len(self.in_strips))]
        return Stored(files, self.in_strips, np.dtype(np.int64))

    @property
    def holder_columns(self) -> Dict[int, Stored]:
        """{level: (segments,) uint32}: the segment that stands for what each is a part of, the one that begins first.

        So these are as many as the segments of a run with that MIN_PIXELS, and in the same order.
        """
        files = [self.folder.array_path(levels_of(strip)) for strip in range(len(self.in_strips))]
        return {
            level: Stored(files, self.in_strips, np.dtype(np.uint32), row) for row, level in enumerate(self.at_levels)
        }


def table_of(piece: Piece) -> str:
    """Under which a piece's lookup table lies in the work folder: (regions + 1,) uint32, ids of segments."""
    return f"table-{piece.piece_id:07d}"


def _below(number: int) -> str:
    """Under which lie the ids of the regions that a group's members could not decide: (levels + 1, regions) uint32."""
    return f"below-{number:07d}"


def _holders_of(number: int) -> str:
    """Under which lies what a part's own segments are parts of: (levels, segments) uint32."""
    return f"holders-{number:07d}"


def levels_of(strip: int) -> str:
    """Under which lies what a strip's segments are parts of, see `Segments.holder_columns`: (levels, segments)."""
    return f"levels-{strip:07d}"


def first_of(strip: int) -> str:
    """Under which lie the first pixels of a strip's segments, ascending."""
    return f"first-{strip:07d}"


def pixels_of(strip: int) -> str:
    """Under which lie the sizes of a strip's segments: (segments,) int64."""
    return f"pixels-{strip:07d}"


def moments_of(strip: int) -> str:
    """Under which lie the moments of a strip's segments."""
    return f"moments-{strip:07d}"


class Strip(NamedTuple):
    """Rows of the raster over its whole width.

    number : from 0
    begin, end : pixels in raster order
    parts : numbers of those that may have decided segments whose first pixels lie here
    bands : of which they have left moments, 0 for none
    """

    number: int
    begin: int
    end: int
    parts: Tuple[int, ...]
    bands: int

    def __str__(self) -> str:
        return f"{self.number + 1} of the segments"


def strips_of(raster: Raster, tree: Tree) -> List[Strip]:
    """The strips of a raster."""
    pixels = min(STRIP_PIXELS, max(SMALL_STRIP_PIXELS, raster.width * raster.height // FEW_STRIPS))
    rows = max(1, pixels // raster.width)
    count, end = -(-raster.height // rows), raster.height * raster.width
    parts: List[List[int]] = [[] for _ in range(count)]
    bands = len(raster.bands) if raster.is_integer else 0
    for number, extent in sorted(tree.extents().items()):
        for strip in range(extent.row // rows, (extent.bottom - 1) // rows + 1):
            parts[strip].append(number)
    return [
        Strip(number, begin, min(begin + rows * raster.width, end), tuple(those), bands)
        for (number, those), begin in zip(enumerate(parts), range(0, end, rows * raster.width))
    ]


def sort_strip(folder: WorkFolder, strip: Strip, check_cancelled: Callable[[], None]) -> int:
    """Gather the segments that begin in a strip: a task of this stage. Returns how many they are."""
    firsts, sizes = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    moments = []
    wanted = ("earliest", "sizes", *chain(*map(names_in_files, range(strip.bands))))
    for number in strip.parts:
        check_cancelled()
        saved = load_or_raise(folder, merged_of(number), *wanted)
        here = (saved["earliest"] >= strip.begin) & (saved["earliest"] < strip.end)
        firsts.append(saved["earliest"][here])
        sizes.append(saved["sizes"][here].astype(np.int64))
        moments.append([moments_in(saved, band).of(here) for band in range(strip.bands)])
    first = np.concatenate(firsts)
    order = np.argsort(first, kind="stable")
    folder.save_array(first_of(strip.number), first[order])
    folder.save_array(pixels_of(strip.number), np.concatenate(sizes)[order])
    if moments and strip.bands:
        found = (joined(each).arrays(band, order) for band, each in enumerate(zip(*moments)))
        folder.save(moments_of(strip.number), chain.from_iterable(arrays.items() for arrays in found))
    return first.size


@dataclass(frozen=True)
class NumberJob:
    """What the tasks on the way down share.

    ends : of the strips, pixels in raster order
    before : how many segments begin before each strip
    sizes : minimum sizes, ascending
    """

    folder: WorkFolder
    tree: Tree
    plan: Plan
    ends: Tuple[int, ...]
    before: Tuple[int, ...]
    sizes: Tuple[int, ...]

    def ids_of(self, first: np.ndarray) -> np.ndarray:
        """The ids of segments with these first pixels: (n,) uint32."""
        ids = np.empty(first.size, np.uint32)
        strips = np.searchsorted(self.ends, first, side="right")
        for strip in np.unique(strips).tolist():
            here = strips == strip
            places = np.searchsorted(self.folder.map_array(first_of(strip)), first[here])
            ids[here] = places + (1 + self.before[strip])
        return ids


def number_group(job: NumberJob, group: Group, check_cancelled: Callable[[], None]) -> Dict[int, int]:
    """Hand the ids of a group's regions down to its members, and find the lookup tables of those that are pieces.

    Returns
    -------
    {piece_id: how many segments have pixels in the piece}, of these
    """
    folder, levels = job.folder, len(job.sizes) - 1
    decided = load_decided(folder, group.number, levels)
    ids = _ids_of_regions(job, group.number, decided, _ids_from_above(job, group))
    below = ids[:, decided.region_of]
    if job.tree.groups_in(group):
        folder.save_array(_below(group.number), below)
    counts = {}
    for member, (begin, end) in zip(group.members, _ranges(decided.members_end)):
        check_cancelled()
        if member in job.tree.group_by_number:
            continue
        piece = job.plan.pieces[member - 1]
        own = load_decided(folder, member, levels)
        ids = _ids_of_regions(job, member, own, below[:, begin:end])
        folder.save_array(table_of(piece), np.append(np.uint32(0), ids[0]))
        counts[member] = np.unique(ids[0]).size
    return counts


def _ids_from_above(job: NumberJob, group: Group) -> np.ndarray:
    """The ids of the regions that a group could not decide: (levels + 1, regions) uint32."""
    above = job.tree.group_of.get(group.number)
    if above is None:
        return np.empty((len(job.sizes), 0), np.uint32)
    saved = load_or_raise(job.folder, merged_of(above.number), "members_end")
    begin, end = _ranges(saved["members_end"])[above.members.index(group.number)]
    return np.array(job.folder.map_array(_below(above.number))[:, begin:end])


def _ranges(ends: np.ndarray) -> List[Tuple[int, int]]:
    return list(zip([0, *ends.tolist()], ends.tolist()))


def _ids_of_regions(job: NumberJob, number: int, decided: Decided, from_above: np.ndarray) -> np.ndarray:
    """(levels + 1, regions) uint32, of what a part has left; with levels, what is to be gathered of it is written.

    Parameters
    ----------
    number : of the part
    from_above : (levels + 1, undecided) uint32
    """
    nested, least = decided.nested, decided.decided
    ids = np.zeros((len(job.sizes), least.size), np.uint32)
    ids[0, least] = job.ids_of(decided.earliest)
    if nested is None:
        ids[0, ~least] = from_above[0]
        return ids
    if nested.left_in.max(initial=0) > from_above.shape[1]:
        raise damaged(job.folder, merged_of(number))
    begin = job.ids_of(nested.begins)  # no ids where they are none of a segment: that is decided above
    ids[1:] = begin[nested.begins_at]
    for row, size in enumerate(job.sizes):
        is_above = np.flatnonzero(nested.undecided_from <= size)
        ids[row, is_above] = from_above[row, nested.left_in[is_above] - 1]
    job.folder.save_array(_holders_of(number), ids[1:, least])
    return ids


@dataclass(frozen=True)
class LevelJob:
    """What the tasks share that gather what segments are parts of.

    before : how many segments begin before each strip
    levels : how many
    """

    folder: WorkFolder
    before: Tuple[int, ...]
    levels: int


def gather_levels(job: LevelJob, strip: Strip, check_cancelled: Callable[[], None]) -> List[int]:
    """Gather what the segments that begin in a strip are parts of: a task.

    Returns
    -------
    of each level, how many of its segments begin in the strip
    """
    firsts, holders = [np.empty(0, np.int64)], [np.empty((job.levels, 0), np.uint32)]
    for number in strip.parts:
        check_cancelled()
        earliest = load_or_raise(job.folder, merged_of(number), "earliest")["earliest"]
        here = (earliest >= strip.begin) & (earliest < strip.end)
        firsts.append(earliest[here])
        holders.append(np.array(job.folder.map_array(_holders_of(number)))[:, here])
    order = np.argsort(np.concatenate(firsts), kind="stable")
    columns = np.concatenate(holders, axis=1)[:, order]
    job.folder.save_array(levels_of(strip.number), columns)
    own = np.arange(order.size, dtype=np.uint32) + np.uint32(1 + job.before[strip.number])
    return [int(count) for count in np.count_nonzero(columns == own, axis=1)]


def number_segments(context: RunContext, tree: Tree, clumps: int, done: float) -> Segments:
    """The end of the stage: number the segments without gaps, and make the lookup table of each piece.

    Parameters
    ----------
    tree : all of whose parts are finished
    clumps : how many there were before any was merged
    done : which part of the stage lies behind
    """
    strips, folder, parameters = strips_of(context.raster, tree), context.folder, context.parameters
    levels = parameters.levels
    steps, step = (2 if levels else 1) * len(strips) + len(tree.groups), 0

    def advance() -> None:
        nonlocal step
        step += 1
        context.progress.advance(done + (1 - done) * step / steps, TEXT)

    counts = np.zeros(len(strips), np.int64)
    for strip, count in context.run(sort_strip, folder, strips):
        counts[strip.number] = count
        advance()
    _check_count(int(counts.sum()))
    ends, before = tuple(strip.end for strip in strips), tuple((np.cumsum(counts) - counts).tolist())
    job = NumberJob(folder, tree, context.plan, ends, before, (parameters.min_pixels, *levels))
    tasks: Deque[Group] = deque([tree.whole])
    in_pieces: Dict[int, int] = {}
    for group, found in context.run(number_group, job, tasks):
        tasks.extend(tree.groups_in(group))
        in_pieces.update(found)
        advance()
    at_levels = dict.fromkeys(levels, 0)
    for _, found_at in context.run(gather_levels, LevelJob(folder, before, len(levels)), strips if levels else []):
        for level, count in zip(levels, found_at):
            at_levels[level] += count
        advance()
    folder.drop(*(_below(group.number) for group in tree.groups), *map(_holders_of, tree.extents()))
    merged, left = counted(clumps, "clump"), counted(int(counts.sum()), "segment")
    context.progress.feedback.info(f"{merged} {'was' if clumps == 1 else 'were'} merged to {left}.")
    for level, count in at_levels.items():
        context.progress.feedback.info(f"With MIN_PIXELS = {level} there are {counted(count, 'segment')}.")
    in_tiles = segments_in_tiles(context.plan, folder, in_pieces)
    pieces, in_strips = tuple(sorted(in_pieces)), tuple(counts.tolist())
    return Segments(folder, pieces, in_strips, in_tiles, clumps, context.raster.is_integer, at_levels)


def _check_count(segments: int) -> None:
    if segments > MOST_SEGMENTS:
        raise SegmentationError(
            f"There are {segments} segments, more than the {MOST_SEGMENTS} that can be numbered: "
            "give a larger MIN_PIXELS, or an EXTENT."
        )


def segments_in_tiles(plan: Plan, folder: WorkFolder, in_pieces: Dict[int, int]) -> Dict[int, int]:
    """{tile_id: how many segments have pixels in the tile}, of tiles that have pieces with a lookup table.

    Parameters
    ----------
    in_pieces : {piece_id: how many segments have pixels in the piece}, of those that have a lookup table
    """
    found: Dict[int, int] = {}
    for tile in plan.tiles:
        pieces = [piece for piece in tile.pieces if piece.piece_id in in_pieces]
        if len(pieces) == 1:
            found[tile.tile_id] = in_pieces[pieces[0].piece_id]
        elif pieces:
            found[tile.tile_id] = _different([folder.map_array(table_of(piece))[1:] for piece in pieces])
    return found


def _different(tables: Sequence[np.ndarray]) -> int:
    return np.unique(np.concatenate([np.unique(table) for table in tables])).size
