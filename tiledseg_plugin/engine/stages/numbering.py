# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 4, numbering: the ids of the segments, in raster order of their first pixels, and each piece's lookup table.

Which segments there are lies scattered over the parts that have decided them. Strip by strip of the raster they are
gathered and sorted; what is counted in the strips before says from which id on a strip's are numbered. Then the ids go
down the tree: each group tells its members what has become of the regions that they could not decide. All of it is
tasks; no process ever holds more than one strip's segments or one part's regions.
"""

from collections import deque
from dataclasses import dataclass
from typing import Callable, Deque, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..files.raster import Raster
from ..files.stored import Stored
from ..files.work_folder import WorkFolder
from ..wording import counted
from .context import RunContext
from .moments import joined, moments_in, names_in_files
from .parts import Decided, load_decided, load_or_raise, merged_of
from .plan import Piece, Plan
from .tree import Group, Tree

STRIP_PIXELS = 1 << 26
TEXT = "Numbering segments"


@dataclass(frozen=True)
class Segments:
    """The segments; the lookup table of each piece (`table_of`) lies in the work folder.

    pieces : ids of those that have one
    in_strips : how many begin in each strip; their sizes (`pixels_of`) lie there, too, in the order of the ids
    in_tiles : {tile_id: how many segments have pixels in the tile}; tiles without are left out
    clumps : how many there were before any was merged, where that is known
    has_moments : whether the moments of the segments (`moments_of`) lie there
    """

    folder: WorkFolder
    pieces: Tuple[int, ...]
    in_strips: Tuple[int, ...]
    in_tiles: Dict[int, int]
    clumps: Optional[int] = None
    has_moments: bool = False

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.in_strips)

    @property
    def sizes(self) -> Stored:
        """(segments,) int64 pixels."""
        files = [self.folder.array_path(pixels_of(strip)) for strip in range(len(self.in_strips))]
        return Stored(files, self.in_strips, np.dtype(np.int64))


def table_of(piece: Piece) -> str:
    """Under which a piece's lookup table lies in the work folder: (regions + 1,) uint32, ids of segments."""
    return f"table-{piece.piece_id:07d}"


def _below(number: int) -> str:
    """Under which lie the ids of the regions that a group's members could not decide."""
    return f"below-{number:07d}"


def _first_of(strip: int) -> str:
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
    has_moments : whether they have left moments
    """

    number: int
    begin: int
    end: int
    parts: Tuple[int, ...]
    has_moments: bool = False

    def __str__(self) -> str:
        return f"{self.number + 1} of the segments"


def strips_of(raster: Raster, tree: Tree) -> List[Strip]:
    """The strips of a raster."""
    rows = max(1, STRIP_PIXELS // raster.width)
    count, end = -(-raster.height // rows), raster.height * raster.width
    parts: List[List[int]] = [[] for _ in range(count)]
    for number, extent in sorted(tree.extents().items()):
        for strip in range(extent.row // rows, (extent.bottom - 1) // rows + 1):
            parts[strip].append(number)
    return [
        Strip(number, begin, min(begin + rows * raster.width, end), tuple(those), raster.is_integer)
        for (number, those), begin in zip(enumerate(parts), range(0, end, rows * raster.width))
    ]


def sort_strip(folder: WorkFolder, strip: Strip, check_cancelled: Callable[[], None]) -> int:
    """Gather the segments that begin in a strip: a task of this stage. Returns how many they are."""
    firsts, sizes = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    moments = []
    for number in strip.parts:
        check_cancelled()
        wanted = ("earliest", "sizes", *(names_in_files() if strip.has_moments else ()))
        saved = load_or_raise(folder, merged_of(number), *wanted)
        here = (saved["earliest"] >= strip.begin) & (saved["earliest"] < strip.end)
        firsts.append(saved["earliest"][here])
        sizes.append(saved["sizes"][here].astype(np.int64))
        if strip.has_moments:
            moments.append(moments_in(saved).of(here))
    first = np.concatenate(firsts)
    order = np.argsort(first, kind="stable")
    folder.save_array(_first_of(strip.number), first[order])
    folder.save_array(pixels_of(strip.number), np.concatenate(sizes)[order])
    if moments:
        folder.save(moments_of(strip.number), **joined(moments).of(order).arrays())
    return first.size


@dataclass(frozen=True)
class NumberJob:
    """What the tasks on the way down share.

    ends : of the strips, pixels in raster order
    before : how many segments begin before each strip
    """

    folder: WorkFolder
    tree: Tree
    plan: Plan
    ends: Tuple[int, ...]
    before: Tuple[int, ...]

    def ids_of(self, first: np.ndarray) -> np.ndarray:
        """The ids of segments with these first pixels: (n,) uint32."""
        ids = np.empty(first.size, np.uint32)
        strips = np.searchsorted(self.ends, first, side="right")
        for strip in np.unique(strips).tolist():
            here = strips == strip
            places = np.searchsorted(self.folder.map_array(_first_of(strip)), first[here])
            ids[here] = places + (1 + self.before[strip])
        return ids


def number_group(job: NumberJob, group: Group, check_cancelled: Callable[[], None]) -> Dict[int, int]:
    """Hand the ids of a group's regions down to its members, and find the lookup tables of those that are pieces.

    Returns
    -------
    {piece_id: how many segments have pixels in the piece}, of these
    """
    folder = job.folder
    decided = load_decided(folder, group.number)
    below = _ids_of_regions(job, decided, _ids_from_above(job, group))[decided.region_of]
    if job.tree.groups_in(group):
        folder.save_array(_below(group.number), below)
    counts = {}
    for member, (begin, end) in zip(group.members, _ranges(decided.members_end)):
        check_cancelled()
        if member in job.tree.group_by_number:
            continue
        piece = job.plan.pieces[member - 1]
        own = load_decided(folder, member)
        ids = _ids_of_regions(job, own, below[begin:end])
        folder.save_array(table_of(piece), np.append(np.uint32(0), ids))
        counts[member] = np.unique(ids).size
    return counts


def _ids_from_above(job: NumberJob, group: Group) -> np.ndarray:
    """The ids of the regions that a group could not decide."""
    above = job.tree.group_of.get(group.number)
    if above is None:
        return np.empty(0, np.uint32)
    saved = load_or_raise(job.folder, merged_of(above.number), "members_end")
    begin, end = _ranges(saved["members_end"])[above.members.index(group.number)]
    return np.array(job.folder.map_array(_below(above.number))[begin:end])


def _ranges(ends: np.ndarray) -> List[Tuple[int, int]]:
    return list(zip([0, *ends.tolist()], ends.tolist()))


def _ids_of_regions(job: NumberJob, decided: Decided, of_undecided: np.ndarray) -> np.ndarray:
    """(regions,) uint32, of what a part has left."""
    ids = np.empty(decided.undecided.size, np.uint32)
    ids[decided.undecided] = of_undecided
    ids[~decided.undecided] = job.ids_of(decided.earliest)
    return ids


def number_segments(context: RunContext, tree: Tree, clumps: int, done: float) -> Segments:
    """The end of the stage: number the segments without gaps, and make the lookup table of each piece.

    Parameters
    ----------
    tree : all of whose parts are finished
    clumps : how many there were before any was merged
    done : which part of the stage lies behind
    """
    strips, folder = strips_of(context.raster, tree), context.folder
    steps, step = len(strips) + len(tree.groups), 0

    def advance() -> None:
        nonlocal step
        step += 1
        context.progress.advance(done + (1 - done) * step / steps, TEXT)

    counts = np.zeros(len(strips), np.int64)
    for strip, count in context.run(sort_strip, folder, strips):
        counts[strip.number] = count
        advance()
    ends, before = tuple(strip.end for strip in strips), tuple((np.cumsum(counts) - counts).tolist())
    job = NumberJob(folder, tree, context.plan, ends, before)
    tasks: Deque[Group] = deque([tree.whole])
    in_pieces: Dict[int, int] = {}
    for group, found in context.run(number_group, job, tasks):
        tasks.extend(tree.groups_in(group))
        in_pieces.update(found)
        advance()
    merged, left = counted(clumps, "clump"), counted(int(counts.sum()), "segment")
    context.progress.feedback.info(f"{merged} {'was' if clumps == 1 else 'were'} merged to {left}.")
    in_tiles = segments_in_tiles(context.plan, folder, in_pieces)
    pieces, in_strips = tuple(sorted(in_pieces)), tuple(counts.tolist())
    return Segments(folder, pieces, in_strips, in_tiles, clumps, has_moments=context.raster.is_integer)


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
