# SPDX-License-Identifier: GPL-2.0-or-later
"""What parts of the parameter space a campaign has met: bins of each parameter, and how many cases fell in each."""

import re

import numpy as np

from . import cluster
from .draws import usable_dtypes
from .files import GEOREFERENCES
from .images import KINDS
from .zones import BURNT
from .zones import KINDS as ZONES

UNKNOWN = "other"


def up_to(*ends):
    """Bins of a number: up to each end, and above the last; `name_of(value)` names one."""
    names = [f"<={end:g}" for end in ends] + [f">{ends[-1]:g}"]

    def name_of(value):
        return next((name for end, name in zip(ends, names) if value <= end), names[-1])

    return names, name_of


def one_of(*values):
    names = [str(value) or "none" for value in values]
    return names, lambda value: str(value) or "none"


def _pixels(case):
    return case["image"]["rows"] * case["image"]["cols"]


def _threshold(case):
    threshold = case["parameters"]["distance_threshold"]
    if threshold is None:
        return "none"
    return next((name for end, name in ((1e-9, "tiny"), (1, "<=1"), (1e3, "<=1000")) if threshold <= end), "huge")


def _tiling(case):
    tiles, parameters = case["parameters"].get("tiles"), case["parameters"]
    if tiles:
        overlap = any(_common(a, b) for i, a in enumerate(tiles) for b in tiles[:i])
        return "polygons that overlap" if overlap else "polygons"
    one = parameters["tile_width"] >= case["image"]["cols"] and parameters["tile_height"] >= case["image"]["rows"]
    if one:
        return "one tile"
    return "tiles <= 20" if min(parameters["tile_width"], parameters["tile_height"]) <= 20 else "larger tiles"


def _common(a, b):
    return min(a[0] + a[2], b[0] + b[2]) > max(a[0], b[0]) and min(a[1] + a[3], b[1] + b[3]) > max(a[1], b[1])


def _no_data(case):
    file = case["file"]
    if file["mask"]:
        return f"mask: {file['mask']}"
    if file["vrt_nodata"] is not None:
        return "declared per band"
    return "undeclared" if file["nodata"] is None else f"declared {'nan' if file['nodata'] == 'nan' else 'number'}"


def _no_data_given(case):
    given = case["parameters"].get("nodata", "not given")
    return given if given in ("not given", "none") else "a number"


def _zones(case):
    drawn = case.get("zones")
    if not drawn:
        return "none"
    return "classes on another grid" if drawn["kind"] == "classes" and drawn["grid"][0] != 1 else drawn["kind"]


def _corners(case):
    """Where the corners of polygons and lines are; centres are where burning and walls have ties."""
    drawn = case.get("zones")
    if not drawn or drawn["kind"] == "classes":
        return "none"
    values = np.array(re.findall(r"-?[\d.]+(?:e-?\d+)?", str(drawn["shapes"])), float)
    if (values * 2 % 1 == 0).mean() > 0.9:
        return "most on centres and edges"
    return "some on centres of pixels" if (values % 1 == 0.5).any() else "anywhere"


def _features(case):
    drawn = case.get("zones")
    if not drawn or drawn["kind"] not in BURNT:
        return "none"
    shapes = " ".join(drawn["shapes"])
    return "of several parts" if "MULTI" in shapes else "with holes" if "),(" in shapes else "plain"


def _layout(case):
    layout = " ".join(case["file"]["layout"])
    return ("tiled" if "TILED" in layout else "strips") + (" by pixel" if "=PIXEL" in layout else " by band")


def _parameter(name):
    return lambda case: case["parameters"][name]


def _run(name):
    return lambda case: case["run"][name]


SIDES = up_to(1, 8, 24, 100, 300, 1000)
PARAMETERS = {
    "rows": (SIDES, lambda case: case["image"]["rows"]),
    "columns": (SIDES, lambda case: case["image"]["cols"]),
    "image": (one_of(*KINDS), lambda case: case["image"]["kind"]),
    "dtype": (one_of(*usable_dtypes()), lambda case: case["image"]["dtype"]),
    "bands used": (
        up_to(1, 2, 3, 4, 8),
        lambda case: len(case["parameters"]["bands"]) or len(case["file"]["order"]),
    ),
    "BANDS": (one_of("all", "some"), lambda case: "some" if case["parameters"]["bands"] else "all"),
    "holes": (one_of("", "pixels", "block", "slanted", "line", "all"), lambda case: case["file"]["holes"]),
    "filled with": (
        one_of("nothing", "zero", "number", "nan", "inf", "-inf"),
        lambda case: _filling(case["file"]["fill"]),
    ),
    "no data": (
        one_of(
            "undeclared",
            "declared number",
            "declared nan",
            "declared per band",
            "mask: internal",
            "mask: file",
            "mask: alpha",
        ),
        _no_data,
    ),
    "NODATA": (one_of("not given", "none", "a number"), _no_data_given),
    "NODATA_RULE": (one_of("any", "all"), _parameter("nodata_rule")),
    "layout": (one_of("tiled by pixel", "tiled by band", "strips by pixel", "strips by band"), _layout),
    "EXTENT": (one_of("all", "a part"), lambda case: "a part" if case["parameters"].get("extent") else "all"),
    "VRT": (one_of(False, True), lambda case: case["file"]["vrt"]),
    "NUM_CLUSTERS": (up_to(2, 10, 60, 254, 255, 256, 499), _parameter("num_clusters")),
    "MIN_PIXELS": (up_to(1, 10, 100, 254, 255, 256, 1000, 10000), _parameter("min_pixels")),
    "MIN_PIXELS of raster": (
        up_to(0.01, 0.1, 0.999, 1),
        lambda case: case["parameters"]["min_pixels"] / _pixels(case),
    ),
    "LEVELS": (up_to(0, 1, 2), lambda case: len(case["parameters"].get("levels", ()))),
    "DISTANCE_THRESHOLD": (one_of("none", "tiny", "<=1", "<=1000", "huge"), _threshold),
    "STRETCH": (one_of(False, True), _parameter("stretch")),
    "SAMPLING": (up_to(1, 3, 20, 100, 9999), _parameter("sampling")),
    "KMEANS_MAX_ITERATIONS": (up_to(1, 2, 10, 199), _parameter("kmeans_max_iterations")),
    "ZONES": (one_of("none", *ZONES, "classes on another grid"), _zones),
    "corners of zones": (
        one_of("none", "anywhere", "some on centres of pixels", "most on centres and edges"),
        _corners,
    ),
    "features of zones": (one_of("none", "plain", "with holes", "of several parts"), _features),
    "georeference": (one_of(*GEOREFERENCES), lambda case: case["file"].get("georeference", "north up")),
    "ZONES_OUTSIDE": (one_of("segment", "exclude"), lambda case: (case.get("zones") or {}).get("outside", "segment")),
    "tiling": (one_of("one tile", "tiles <= 20", "larger tiles", "polygons", "polygons that overlap"), _tiling),
    "VALID_DATA_THRESHOLD": (up_to(0, 0.3, 0.9), _parameter("valid_data_threshold")),
    "EXECUTION": (
        one_of("auto", "serial", "threads", "processes", *["dask"] * cluster.is_available()),
        _run("execution"),
    ),
    "workers": (up_to(1, 2, 3), _run("workers")),
    "kernels": (one_of("plain", "compiled"), _run("kernels")),
    "interrupted": (one_of("", "cancelled", "killed"), _run("interrupted")),
    "output": (one_of(".tif", ".img"), _run("extension")),
}


def _filling(fill):
    if fill is None:
        return "nothing"
    return fill if isinstance(fill, str) else "zero" if fill == 0 else "number"


class Coverage:
    """Counts cases by the bins of each parameter."""

    def __init__(self):
        self.counts = {name: dict.fromkeys(names, 0) for name, ((names, _), _) in PARAMETERS.items()}

    def add(self, case):
        for name, ((_, name_of), value_of) in PARAMETERS.items():
            found = name_of(value_of(case))
            self.counts[name][found] = self.counts[name].get(found, 0) + 1

    @property
    def share(self):
        """The share of the bins that were met."""
        every = [count for bins in self.counts.values() for count in bins.values()]
        return sum(count > 0 for count in every) / len(every)

    def table(self):
        """Lines, one a parameter."""
        width = max(map(len, self.counts))
        for name, bins in self.counts.items():
            yield f"{name:{width}}  " + "  ".join(f"{label}: {count}" for label, count in bins.items())
