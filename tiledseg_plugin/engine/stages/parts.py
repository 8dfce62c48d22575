# SPDX-License-Identifier: GPL-2.0-or-later
"""What parts, which are pieces or groups of them, leave in the work folder, and under which names.

On the way up the tree goes the graph of what is undecided; on the way down, what has become of each part's regions.
"""

from typing import Any, Dict, NamedTuple, Tuple

import numpy as np

from ..errors import SegmentationError
from ..files.work_folder import WorkFolder
from .elimination import Graph, Merged

SIDES = ("top", "bottom", "left", "right")
GRAPH_ARRAYS = ("sizes", "sums", "edges", "first", "earliest", "clusters", "undecided_from")


def graph_of(number: int) -> str:
    """Under which the graph of a part's undecided regions lies."""
    return f"graph-{number:07d}"


def merged_of(number: int) -> str:
    """Under which lies what has become of a part's regions; with it, the part is finished."""
    return f"merged-{number:07d}"


class Decided(NamedTuple):
    """What has become of the regions that a part began with, see `elimination.Merged`.

    members_end : (members,) int64, of a group: where the regions of each member end in `region_of`
    result : of what made the part, for who takes the run up
    """

    region_of: np.ndarray
    undecided: np.ndarray
    sizes: np.ndarray
    earliest: np.ndarray
    members_end: np.ndarray
    result: np.ndarray


def save_part(folder: WorkFolder, number: int, merged: Merged, members_end: Any, result: Any, **more: Any) -> None:
    """Write what merging within a part has left; what says that the part is finished comes last.

    Parameters
    ----------
    members_end, result : see `Decided`
    more : further arrays, which `load_decided` passes over
    """
    left = vars(merged.left)
    sides = sorted(merged.left.borders)
    borders = [merged.left.borders[side] for side in sides]
    folder.save(
        graph_of(number),
        **{name: left[name] for name in GRAPH_ARRAYS},
        border_of=np.array([(piece_id, SIDES.index(side)) for piece_id, side in sides], np.int64).reshape(-1, 2),
        border_ends=np.cumsum([border.size for border in borders], dtype=np.int64),
        borders=np.concatenate([np.empty(0, np.uint32), *borders]),
    )
    folder.save(
        merged_of(number),
        **{name: value for name, value in vars(merged).items() if name != "left"},
        members_end=np.asarray(members_end, np.int64),
        result=np.asarray(result),
        **more,
    )


def load_graph(folder: WorkFolder, number: int) -> Graph:
    """The graph that `save_part` has written.

    Raises
    ------
    SegmentationError : it is missing or damaged
    """
    saved = folder.load(graph_of(number))
    if saved is None:
        raise damaged(folder, graph_of(number))
    return Graph(**{name: saved[name] for name in GRAPH_ARRAYS}, borders=_borders(saved))


def _borders(saved: Dict[str, np.ndarray]) -> Dict[Tuple[int, str], np.ndarray]:
    sides = [(piece_id, SIDES[side]) for piece_id, side in saved["border_of"].tolist()]
    ends = saved["border_ends"].tolist()
    return {side: saved["borders"][begin:end] for side, begin, end in zip(sides, [0, *ends], ends)}


def load_decided(folder: WorkFolder, number: int) -> Decided:
    """What `save_part` has written of a part's regions.

    Raises
    ------
    SegmentationError : it is missing or damaged
    """
    saved = folder.load(merged_of(number))
    if saved is None:
        raise damaged(folder, merged_of(number))
    return Decided(*(saved[name] for name in Decided._fields))


def damaged(folder: WorkFolder, name: str) -> SegmentationError:
    """The error that says so of a file."""
    return SegmentationError(f"The file {name} in {folder.path} is damaged: start the run again.")
