# SPDX-License-Identifier: GPL-2.0-or-later
"""Making a failing case smaller: first the raster, then what else there is, as long as it fails in the same way."""

import copy
import time

import numpy as np

from .checking import check
from .files import holes
from .images import make

FEW_PIXELS = 1000  # from which on the pixels themselves are kept, rather than the recipe of an image
PLAIN_RUN = {
    "interrupted": "",
    "execution": "serial",
    "workers": 1,
    "least_pixels": 1 << 20,
    "extension": ".tif",
    "kernels_resumed": "plain",
    "kernels": "plain",
}
PLAIN_FILE = {
    "vrt_nodata": None,
    "vrt": False,
    "georeference": "north up",
    "mask": "",
    "layout": [],
    "holes": "",
    "fill_some": False,
    "fill": None,
    "nodata": None,
}
PLAIN_PARAMETERS = {
    "bands": [],
    "stretch": False,
    "distance_threshold": None,
    "nodata_rule": "any",
    "valid_data_threshold": 0.3,
    "kmeans_max_iterations": 200,
    "sampling": 1,
    "num_clusters": 2,
    "min_pixels": 2,
}


def way_of_failing(case):
    """A short name of how a case fails; "" if it does not."""
    try:
        check(case)
    except Exception as error:
        words = str(error).split()
        return f"{type(error).__name__} {words[-1] if 'differ' in str(error) else ''}{'refused' in str(error)}"
    return ""


def _kind(way):
    """Whether it is a wrong result, and whether it is no result at all, as values are refused."""
    return "Wrong" in way, way.endswith("True")


def shrink(case, seconds=60.0, way=None):
    """A smaller case that fails, too.

    Parameters
    ----------
    way : how it has to fail; any by default, as a wrong pixel may show in many ways
    """
    end = time.monotonic() + seconds
    case = copy.deepcopy(case)
    wanted = _kind(way_of_failing(case))

    def still_fails(candidate):
        found = way_of_failing(candidate)
        return bool(found) and _kind(found) == wanted

    progress = True
    while progress and time.monotonic() < end:
        progress = False
        for candidate in _smaller(case):
            if time.monotonic() > end:
                break
            if still_fails(candidate):
                case, progress = candidate, True
                break
    return case


def _smaller(case):
    yield from _fewer_pixels(case)
    yield from _literal(case)
    yield from _fewer_bands(case)
    for part, plain in (("run", PLAIN_RUN), ("file", PLAIN_FILE), ("parameters", PLAIN_PARAMETERS)):
        for name, value in plain.items():
            if case[part][name] != value:
                yield _with(case, part, **{name: value})
    if case["parameters"].get("extent"):
        yield _with(case, "parameters", extent=[])
    yield from _smaller_tiling(case)
    yield from _without_zones(case)
    yield from _fewer_levels(case)
    for name in ("num_clusters", "min_pixels", "sampling"):
        value = case["parameters"][name]
        for less in (value // 2, value - 1):
            if PLAIN_PARAMETERS[name] < less < value:
                yield _with(case, "parameters", **{name: less})


def _fewer_levels(case):
    levels = case["parameters"].get("levels", [])
    for index in range(len(levels)):
        yield _with(case, "parameters", levels=levels[:index] + levels[index + 1 :])


def _with(case, part, **changes):
    changed = copy.deepcopy(case)
    changed[part].update(changes)
    return changed


def _shape(case):
    return make(case["image"]).shape


def _fewer_pixels(case):
    """Parts of the raster: halves, quarters, and all but a line at each side."""
    _, rows, cols = _shape(case)
    parts = []
    for share in (2, 4, 8):
        row, col = rows // share, cols // share
        parts += [(row, rows, 0, cols), (0, rows - row, 0, cols), (0, rows, col, cols), (0, rows, 0, cols - col)]
    parts += [(1, rows, 0, cols), (0, rows - 1, 0, cols), (0, rows, 1, cols), (0, rows, 0, cols - 1)]
    for part in dict.fromkeys(parts):
        top, bottom, left, right = part
        if bottom > top and right > left and part != (0, rows, 0, cols) and _is_segmented(case, *part):
            yield _cropped(case, *part)


def _is_segmented(case, top, bottom, left, right):
    """Whether EXTENT has something of a part of the raster."""
    col, row, width, height = case["parameters"].get("extent") or (left, top, 1, 1)
    return col < right and col + width > left and row < bottom and row + height > top


def _cropped(case, top, bottom, left, right):
    image = case["image"]
    if "pixels" in image:
        pixels = np.array(image["pixels"], image["dtype"])[:, top:bottom, left:right].tolist()
        changed = _with(case, "image", pixels=pixels, rows=bottom - top, cols=right - left)
    else:
        up, _, near, _ = image.get("crop", [0, 0, 0, 0])
        changed = _with(case, "image", crop=[up + top, up + bottom, near + left, near + right])
    if isinstance(case["file"]["holes"], list):
        cut = np.array(case["file"]["holes"])[top:bottom, left:right].tolist()
        changed["file"]["holes"] = cut
    tiles = case["parameters"].get("tiles")
    if tiles:
        changed["parameters"]["tiles"] = [[col - left, row - top, width, height] for col, row, width, height in tiles]
    extent = case["parameters"].get("extent")
    if extent:
        changed["parameters"]["extent"] = [extent[0] - left, extent[1] - top, *extent[2:]]
    if case.get("zones"):
        col, row = case["zones"]["offset"]
        changed["zones"]["offset"] = [col + left, row + top]
    return changed


def _without_zones(case):
    """The same with fewer zones, or none."""
    drawn = case.get("zones")
    if drawn:
        none = copy.deepcopy(case)
        none["zones"] = None
        yield none
        for index in range(len(drawn["shapes"]) if len(drawn["shapes"]) > 1 else 0):
            yield _with(case, "zones", shapes=drawn["shapes"][:index] + drawn["shapes"][index + 1 :])


def _literal(case):
    """The same with its pixels instead of their recipe."""
    image = case["image"]
    _, rows, cols = _shape(case)
    if "pixels" not in image and rows * cols <= FEW_PIXELS:
        changed = copy.deepcopy(case)
        changed["image"] = {
            "pixels": make(image).tolist(),
            **{name: image[name] for name in ("dtype", "kind", "bands", "low", "high")},
            "rows": rows,
            "cols": cols,
        }
        changed["file"]["holes"] = holes(case["file"], (rows, cols)).tolist() if case["file"]["holes"] else ""
        yield changed


def _fewer_bands(case):
    order = case["file"]["order"]
    chosen = case["parameters"]["bands"]
    for index in range(len(order)):
        if len(order) < 2:
            return
        number = index + 1
        kept = [other - (other > number) for other in chosen if other != number]
        if chosen and not kept:
            continue
        changed = _with(case, "file", order=order[:index] + order[index + 1 :])
        changed["parameters"]["bands"] = kept
        if case["file"]["vrt_nodata"] is not None:
            del changed["file"]["vrt_nodata"][index]
        yield changed


def _smaller_tiling(case):
    tiles = case["parameters"].get("tiles")
    if tiles:
        whole = copy.deepcopy(case)
        del whole["parameters"]["tiles"]
        yield whole
        for index in range(len(tiles) if len(tiles) > 1 else 0):
            yield _with(case, "parameters", tiles=tiles[:index] + tiles[index + 1 :])
    for name in ("tile_width", "tile_height"):
        if case["parameters"][name] < 2000:
            yield _with(case, "parameters", **{name: 2000})
