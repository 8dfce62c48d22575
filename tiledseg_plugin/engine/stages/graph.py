# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 4, the graph: what the parts of a group could not decide alone, decided for all of it.

Clumps are joined across the borders of tiles; they and the regions whose fate depends on them are numbered in raster
order of their first pixels and eliminated step by step. What the group cannot decide is left to the group that it is a
member of; the last one, which holds the whole raster, leaves nothing.
"""

from functools import partial
from typing import Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np

from .. import kernels
from ..files.gdal_access import modest_cache
from ..files.work_folder import WorkFolder
from ..kernels.components import components
from ..kernels.contract import Kernels, Lent
from ..kernels.pairs import distinct_pairs, look_up
from .elimination import EliminationRules, Graph, Merged, give_back, is_large, merge_within
from .moments import BandMoments, add_up
from .parts import ELSEWHERE, GRAPH_TYPES, Left, finished_result, load_moments, load_undecided, save_graph, save_part
from .tree import Group, Joint, Side

Keep = Callable[[np.ndarray], Lent]


def _held(array: np.ndarray) -> Lent:
    return lambda: array


class GroupJob(NamedTuple):
    """What all groups share.

    kernels : name of the set, as `kernels.choose` takes it
    has_moments : whether regions have them
    threads : that share the decisions about the last group, beside which nothing else is left to do
    """

    folder: WorkFolder
    rules: EliminationRules
    kernels: str
    has_moments: bool
    threads: int = 1


class GroupResult(NamedTuple):
    """What is reported of a finished group; the rest is in the work folder.

    joined : how many clumps of its members have become a part of another one
    """

    number: int
    joined: int


def process_group(job: GroupJob, group: Group, check_cancelled: Callable[[], None]) -> GroupResult:
    """Join the members of a group; merge what nothing beyond them can have any influence on."""
    kernel, _ = kernels.choose(job.kernels)
    graphs = []
    for member in group.members:
        check_cancelled()
        graphs.append(load_undecided(job.folder, member))
    ends = np.cumsum([graph.sizes.size for graph in graphs]).tolist()
    regions = ends[-1]
    if is_large(regions):
        modest_cache.empty()  # of blocks that the tiles before have read
    give_back(regions)
    graph, number, joined = join(group, graphs, partial(_set_aside, job.folder, number_of(group.number)))
    del graphs  # they are in the joined one
    give_back(regions)
    check_cancelled()
    bands = graph.sums.shape[1] // len(job.rules.weights)
    threads = 1 if group.open_sides else job.threads
    merged = merge_within(kernel, graph, job.rules, lambda fraction: check_cancelled(), threads)
    del graph
    save_graph(job.folder, group.number, merged.take_left())
    merged.region_of = merged.region_of[number()]
    job.folder.drop(number_of(group.number))
    give_back(regions)
    moments = _moments(job, group, kernel, merged, bands) if job.has_moments else None  # large, and of no use before
    save_part(job.folder, group.number, Left(merged, moments, ends, [joined]))
    return GroupResult(group.number, joined)


def number_of(group: int) -> str:
    """Under which lies, while a large group is processed, where its members' regions are in it."""
    return f"number-{group:07d}"


def _set_aside(folder: WorkFolder, name: str, array: np.ndarray) -> Lent:
    """Keep an array in the work folder if it is large; returns what returns it."""
    if not is_large(array.size):
        return _held(array)
    folder.save_array(name, array)
    return lambda: np.array(folder.map_array(name))


def _moments(job: GroupJob, group: Group, kernel: Kernels, merged: Merged, bands: int) -> Iterator[BandMoments]:
    """What the regions of a group hold, one band after the other."""
    for band in range(bands):
        parts = (load_moments(job.folder, member, band) for member in group.members)
        yield add_up(kernel, parts, merged.region_of, merged.decided.size)
        give_back(merged.region_of.size)


def finished_group(job: GroupJob, group: Group, with_graph: bool) -> List[GroupResult]:
    """The result of a group that an earlier run finished; none if there is none or its files are damaged.

    Parameters
    ----------
    with_graph : whether its graph is still needed
    """
    result = finished_result(job.folder, group.number, with_graph)
    return [] if result is None else [GroupResult(group.number, int(result[0]))]


def join(group: Group, graphs: Sequence[Graph], keep: Keep = _held) -> Tuple[Graph, Lent, int]:
    """Put the graphs of a group's members together, with clumps that go on across borders made one; they are used up.

    Where their regions lie is not in the joined one: it is looked up in them again.

    Parameters
    ----------
    keep : called with `number`, which is of no use while regions are merged, returns what returns it

    Returns
    -------
    graph : Graph, in raster order of first pixels
    number : Lent, (n,) uint32, where each of the graphs' regions is in it, one graph behind the other
    joined : how many clumps have become a part of another one
    """
    offsets = np.cumsum([0] + [graph.sizes.size for graph in graphs])
    borders = {
        side: np.where(border, border + np.uint32(offset), np.uint32(0))
        for graph, offset in zip(graphs, offsets)
        for side, border in graph.borders.items()
    }
    elsewhere = {name: partial(_one_behind_the_other, graphs, name) for name in ELSEWHERE}
    touching = _across_borders(group.joints, borders)
    clusters = elsewhere["clusters"]()[touching]
    same = clusters[:, 0] == clusters[:, 1]
    number, order = _number(elsewhere["first"](), touching[same])
    edges = np.empty((sum(len(graph.edges) for graph in graphs) + np.count_nonzero(~same), 2), np.uint32)
    end = 0
    for graph, offset in zip(graphs, offsets):
        begin, end = end, end + len(graph.edges)
        look_up(graph.take("edges"), number[offset:], edges[begin:end])
    edges[end:] = number[touching[~same]]
    joined = np.unique(touching[same])
    joined = joined[order[number[joined]] != joined]
    leaders = order[number[joined]]
    arrays = {}
    for name in ("sizes", "sums", "undecided_from"):
        narrow = np.concatenate([graph.take(name) for graph in graphs])
        arrays[name] = np.empty((order.size, *narrow.shape[1:]), GRAPH_TYPES[name])
        look_up(order, narrow, arrays[name])
        if name != "undecided_from":
            np.add.at(arrays[name], number[joined], narrow[joined])
        del narrow
    after = np.append(np.uint32(0), number + np.uint32(1))
    still_open = {side: after[border] for side, border in borders.items() if side in group.open_sides}
    del after, borders, order
    give_back(number.size)
    kept = keep(number)
    places = {name: partial(_leading, found, kept, leaders) for name, found in elsewhere.items()}
    return Graph(**arrays, **places, edges=edges, borders=still_open), kept, joined.size


def _leading(whole: Lent, kept: Lent, leaders: np.ndarray) -> np.ndarray:
    """Of an array of joined graphs what stands at the clump that holds the first pixel of each number.

    leaders : those of the numbers that several have; to keep all of them would take more memory
    """
    number = kept()
    order = np.empty(int(number.max()) + 1 if number.size else 0, np.uint32)
    order[number] = np.arange(number.size, dtype=np.uint32)
    order[number[leaders]] = leaders
    return whole()[order]


def _one_behind_the_other(graphs: Sequence[Graph], name: str) -> np.ndarray:
    return np.concatenate([graph.get(name) for graph in graphs])


def _across_borders(joints: Sequence[Joint], borders: Dict[Side, np.ndarray]) -> np.ndarray:
    """(m, 2) uint32, the pairs of regions that touch where members of a group meet, each once a joint."""
    pairs = [np.empty((0, 2), np.uint32)]
    for sides, starts, length in joints:
        pair = np.stack([borders[side][start:][:length] for side, start in zip(sides, starts)], axis=1)
        pair = pair[pair.all(axis=1)]
        pairs.append(distinct_pairs(pair) - np.uint32(1))
    return np.concatenate(pairs)


def _number(first: np.ndarray, same: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Number clumps in raster order of first pixels, those joined by a pair of `same` alike.

    Returns
    -------
    number : (n,) uint32, the number of each
    order : (nodes,) uint32, the clump that holds the first pixel of each number
    """
    members, index = np.unique(same, return_inverse=True)
    index = index.reshape(same.shape)
    _, component = components(members.size, index[:, 0], index[:, 1])
    by_component = np.lexsort((first[members], component))
    starts = np.flatnonzero(np.diff(component[by_component], prepend=-1))
    leader = np.arange(first.size, dtype=np.uint32)
    leader[members] = members[by_component[starts]][component]
    order = np.flatnonzero(leader == np.arange(first.size, dtype=np.uint32)).astype(np.uint32)
    order = order[np.argsort(first[order], kind="stable")]
    number = np.empty(first.size, np.uint32)
    number[order] = np.arange(order.size, dtype=np.uint32)
    return number[leader], order
