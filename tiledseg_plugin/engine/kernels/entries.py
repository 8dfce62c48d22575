# SPDX-License-Identifier: GPL-2.0-or-later
"""What is compiled at a time: an entry is a kernel for one kind of arguments, such as `eliminate_singles-uint8`."""

from typing import Any, Callable, Dict, Tuple

import numpy as np


def _dtype_of(position: int) -> Callable[..., str]:
    return lambda *arguments: str(arguments[position].dtype.name)


def _with_walls(kind: str, walls: Any) -> str:
    """What is about walls is left out of kernels that are compiled for none."""
    return kind if walls is None else f"{kind}walled"


def _colours(values: np.ndarray, valid: Any, centres: np.ndarray) -> str:
    """How colours are labelled: by a table of one or two bands, by one of three (of 8 or 16 bits), or by comparing."""
    return _labelled(values.dtype, len(values), len(centres))


def _labelled(dtype: Any, bands: int, clusters: int) -> str:
    if dtype != np.uint8 or bands > 3:
        return "compared"
    if bands < 3:
        return "few"
    return "three" if clusters < 256 else "threewide"


# {kernel: what of the arguments decides for what it is compiled}; those not named here are the same in both sets
KINDS: Dict[str, Callable[..., str]] = {
    "translate": _dtype_of(0),
    "distinct": lambda *_: "all",
    "reassign": lambda *_: "all",
    "sum_members": lambda *_: "all",
    "nearest_centre": _colours,
    "nearest_two": lambda *_: "all",
    "eliminate_singles": lambda _, values, sides, walls=None: _with_walls(values.dtype.name, walls),
    "clump": lambda _, walls=None: _with_walls("all", walls),
    "describe_clumps": _dtype_of(3),
    "find_edges": lambda labels, count, walls=None: _with_walls("all", walls),
    "Elimination": lambda _, sums, *rest: "all" if len(sums) > 1 else "alone",
    "relabel": lambda *_: "all",
    "encode_runs": lambda *_: "all",
    "decode_runs": lambda *_: "all",
    "region_moments": _dtype_of(2),
    "add_moments": lambda *_: "all",
    "compact": lambda *_: "all",
    "region_histograms": _dtype_of(2),
    "region_shapes": lambda *_: "all",
    "region_borders": lambda *_: "all",
    "nearest_pixels": lambda *_: "all",
    "trace_outlines": lambda *_: "all",
    "finish_rings": lambda *_: "all",
    "simplify_rings": lambda *_: "all",
}

# Arrays of one element are of another kind to numba, and there is nothing to be gained: these stay plain.
NEVER = frozenset({"Elimination-alone"})

# dtype, bands, STRETCH and NUM_CLUSTERS of the runs that are prepared for before anybody has asked for one
USUAL = (("uint16", 3, True, 60), ("uint8", 3, True, 60), ("uint16", 4, True, 60))

LARGE_SAMPLE = 300_000  # pixels, from which on k-means with plain kernels takes longer than to compile its own


def entry_of(name: str, *arguments: Any) -> str:
    """The entry that a call of a kernel needs."""
    return f"{name}-{KINDS[name](*arguments)}"


def entries_of_run(dtype: Any, bands: int, stretched: bool, clusters: int, sampled: int = 0) -> Tuple[str, ...]:
    """What a run over a raster needs, first what saves most for the time that it takes to compile.

    The elimination takes half of a run with plain kernels, and one of a tile ends with the set that it began with.
    k-means on a small sample is over before its kernel can be there, whose turn comes late; on a large one it is not.

    Parameters
    ----------
    dtype : of its values
    bands : how many are selected
    stretched : STRETCH
    clusters : NUM_CLUSTERS
    sampled : about how many pixels k-means gets
    """
    dtype = np.dtype(dtype)
    compared = np.dtype(np.uint8) if stretched or dtype == np.uint8 else np.dtype(np.float32)
    added = compared if compared == np.uint8 else np.dtype(np.int64)
    whole = dtype.kind in "iu"
    found = ["Elimination-all", f"region_moments-{dtype.name}", f"describe_clumps-{added.name}", "relabel-all"]
    if stretched and whole and dtype.itemsize <= 2:
        found.append(f"translate-uint{8 * dtype.itemsize}")
    found += [
        f"nearest_centre-{_labelled(compared, bands, clusters)}",
        "find_edges-all",
        f"eliminate_singles-{compared.name}",
        "clump-all",
    ]
    of_centres = ["reassign-all"] if whole or stretched else ["reassign-all", "sum_members-all"]
    found = [*of_centres, *found] if sampled > LARGE_SAMPLE else [*found, *of_centres]
    found += ["encode_runs-all", "decode_runs-all"]
    return (*found, "distinct-all", "add_moments-all" if whole else "compact-all")
