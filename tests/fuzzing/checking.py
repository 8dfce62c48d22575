# SPDX-License-Identifier: GPL-2.0-or-later
"""Holding what the engine made of a case against the oracle, or against the plain kernels on the whole raster."""

import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import oracle

from .files import write
from .running import run_case
from .zones import meaning, write_zones

UNTILED = {
    "kernels": "plain",
    "execution": "serial",
    "interrupted": "",
    "least_pixels": 1 << 62,
    "extension": ".tif",
}
BESIDE = "does not lie over EXTENT"
ATTRIBUTES = ("mean", "min", "max", "std")


class Wrong(Exception):
    """What differs, in one sentence."""


def check(case):
    """Run a case. Raises Wrong where the engine is, and whatever the engine raises that is no refusal."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        declared = write(case, folder)
        layer = write_zones(case, folder)
        (folder / "out").mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ran = run_case(case, declared.path, folder / "out")
            values, nodata = _selected(case, declared)
            part = part_of(case, values.shape[1:])
            zones = meaning(case, layer, declared.path, values.shape[1:], part)
            values = values[(slice(None), *part)]
            if case["kind"] == "small":
                mask = None if declared.mask is None else declared.mask[part]
                _hold_against_oracle(case, ran, values, nodata, mask, zones)
            else:
                _hold_against_plain(case, ran, declared.path, folder)
            if not ran.refused:
                _check_table(ran, values, _numbers(case))
                _check_zones(ran, *zones)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _numbers(case):
    return case["parameters"]["bands"] or list(range(1, len(case["file"]["order"]) + 1))


def _selected(case, declared):
    chosen = [number - 1 for number in _numbers(case)]
    return declared.values[chosen], [declared.nodata[index] for index in chosen]


def part_of(case, shape):
    """The rows and columns that are segmented, as slices: all, or what EXTENT covers."""
    col, row, width, height = case["parameters"].get("extent") or (0, 0, *shape[::-1])
    return slice(max(row, 0), min(row + height, shape[0])), slice(max(col, 0), min(col + width, shape[1]))


def covered(case):
    """(rows, cols) bool of what is segmented, what the tiles of a case cover; None for all."""
    tiles, shape = case["parameters"].get("tiles"), _shape(case)
    if not tiles:
        return None
    inside = np.zeros(shape, bool)
    for col, row, width, height in tiles:
        inside[max(row, 0) : max(row + height, 0), max(col, 0) : max(col + width, 0)] = True
    return inside[part_of(case, shape)]


def _hold_against_oracle(case, ran, values, nodata, mask, zones):
    parameters, (labels, cut) = case["parameters"], zones
    inside = covered(case)
    if labels is not None and case["zones"]["outside"] == "exclude":
        inside = labels != 0 if inside is None else inside & (labels != 0)
    nodata, mask = oracle.as_given(parameters.get("nodata", ""), nodata, mask)
    declared = values, nodata, mask, parameters["nodata_rule"], inside
    as_rsgislib = parameters.get("rsgislib_stretch", False)
    valid = oracle.rsgislib_valid_pixels(*declared) if as_rsgislib else oracle.valid_pixels(*declared)
    places = [index for index, is_valid in enumerate(np.ravel(valid)) if is_valid]
    read = oracle.as_rsgislib_reads(*declared) if as_rsgislib else None
    if not places or (as_rsgislib and not np.isfinite([*map(min, read), *map(max, read)]).all()):
        if not ran.refused:
            raise Wrong("no pixel is valid, or none that RSGISLib could read, but the run was not refused")
        return
    if BESIDE in ran.refused:  # as a raster would be that is cut to EXTENT
        if (labels is not None and labels.any()) or len(cut):
            raise Wrong(f"refused, though zones lie over the part that is meant: {ran.refused}")
        return
    if ran.refused:
        raise Wrong(f"refused: {ran.refused}")
    names = ("num_clusters", "min_pixels", "distance_threshold", "stretch", "sampling", "kmeans_max_iterations")
    chosen = {name: parameters[name] for name in (*names, "rsgislib_stretch") if name in parameters}
    limits = None
    if parameters["stretch"] and (values.dtype.kind == "f" or (as_rsgislib and values.dtype.itemsize > 2)):
        counted = [[value for value in band if value != 1] for band in read] if as_rsgislib else _inside(values, valid)
        limits = _float_limits(ran, counted)
    elif as_rsgislib:
        limits = tuple(oracle.rsgislib_limits(band) for band in read)
    numbers = None if labels is None else labels.tolist()
    chosen.update(limits=limits, zones=numbers, cut=cut)
    expected = oracle.segment(values, valid, **chosen)
    _compare_ids(ran.ids, expected.clumps, ran, expected)
    chosen["centres"] = expected.centres  # which MIN_PIXELS has no part in
    for level in parameters.get("levels", ()):
        chosen["min_pixels"] = level
        _compare_level(ran, level, oracle.segment(values, valid, **chosen).clumps)
    _check_numbers(ran, expected.clumps, len(places), parameters["min_pixels"])


def _inside(values, valid):
    inside = np.array(valid)
    return [[value if np.isfinite(value) else 0.0 for value in band[inside].tolist()] for band in values]


def _float_limits(ran, counted):
    """The engine's limits of a stretch of floats, whose sums are rounded in an order of its own, if they are right."""
    limits = []
    for own, low, high in zip(counted, ran.report["colours"]["low"], ran.report["colours"]["high"]):
        right = oracle.stretch_limits(own) if own else oracle.Limits(0.0, 0.0)
        room = 1e-11 * max(map(abs, own), default=0.0) * max(1.0, len(own) ** 0.5)
        if abs(low - right.low) > room or abs(high - right.high) > room:
            raise Wrong(f"the limits of the stretch are {low}, {high} for {tuple(right)}")
        limits.append(oracle.Limits(low, high))
    return tuple(limits)


def _compare_ids(ids, right, ran, expected=None):
    if ids.dtype != np.uint32 or ids.shape != right.shape:
        raise Wrong(f"OUTPUT is {ids.dtype} {ids.shape}")
    different = int(np.count_nonzero(ids != right))
    if different:
        detail = f"{different} of {ids.size} pixels differ, {ids.max()} segments for {right.max()}"
        if expected is not None and not np.array_equal(np.array(ran.report["centres"], np.float32), expected.centres):
            detail += "; the centres differ"
        raise Wrong(detail)


def _compare_level(ran, level, right):
    """The column of a level against the ids of a run with it as MIN_PIXELS: its holder is the first of its segments."""
    if ran.table is None:
        return  # too large for a GeoTIFF, so in a file beside it
    try:
        (of_run,) = oracle.level_columns({0: ran.ids, level: right}).values()
    except AssertionError as error:
        raise Wrong(f"level {level} is not nested: {error}") from error
    _, first = np.unique(of_run, return_index=True)
    different = int(np.count_nonzero(ran.table[f"level_{level}"] != (first + 1)[of_run - 1]))
    if different:
        raise Wrong(f"of {of_run.size} segments {different} have another holder at level {level}")
    if ran.report["segments_at_levels"][str(level)] != first.size:
        raise Wrong(f"level {level} has {first.size} segments, which the report does not say")


def _check_numbers(ran, ids, valid_pixels, min_pixels):
    sizes = np.bincount(ids.ravel())[1:]
    found = ran.result.segment_count, ran.result.valid_pixels, ran.result.undersized_segments
    right = sizes.size, valid_pixels, int((sizes < min_pixels).sum())
    if found != right:
        raise Wrong(f"segments, valid pixels and undersized segments are {found} for {right}")


def _hold_against_plain(case, ran, path, folder):
    """The same without tiles: but for pixels that lie in no tile, which are no data then."""
    whole = {**case, "parameters": {**case["parameters"]}}
    del whole["parameters"]["tile_width"], whole["parameters"]["tile_height"]
    whole["parameters"].update(tile_width=1 << 30, tile_height=1 << 30)
    tiles = whole["parameters"].get("tiles")
    if tiles and not covered(case).all():
        pass  # what the tiles do not cover is not segmented either way; they are its only statement
    else:
        whole["parameters"].pop("tiles", None)
    levels = whole["parameters"].pop("levels", ())
    (folder / "whole").mkdir()
    expected = run_case(whole, path, folder / "whole", **UNTILED)
    if bool(expected.refused) != bool(ran.refused):
        raise Wrong(f"refused: {ran.refused or expected.refused}, but only {'tiled' if ran.refused else 'untiled'}")
    if not ran.refused:
        _compare_ids(ran.ids, expected.ids, ran)
        for level in levels:
            whole["parameters"]["min_pixels"] = level
            (folder / f"level {level}").mkdir()
            _compare_level(ran, level, run_case(whole, path, folder / f"level {level}", **UNTILED).ids)
        valid = int(np.count_nonzero(expected.ids))
        _check_numbers(ran, expected.ids, valid, case["parameters"]["min_pixels"])


def _shape(case):
    image = case["image"]
    if "pixels" in image:
        return np.array(image["pixels"]).shape[1:]
    if "crop" in image:
        top, bottom, left, right = image["crop"]
        return bottom - top, right - left
    return image["rows"], image["cols"]


def _check_zones(ran, labels, cut):
    """The column `zone`: of each segment the zone of all of its pixels; and no segment across a cut."""
    flat = ran.ids.ravel()
    if ran.table is not None and labels is not None:
        column = np.concatenate([[0], np.nan_to_num(ran.table["zone"])])
        wrong = (flat != 0) & (column[flat] != labels.ravel())
        if wrong.any():
            raise Wrong(f"the zones of {np.count_nonzero(wrong)} pixels are not those of their segments")
    elif ran.table is not None and "zone" in ran.table:
        raise Wrong("there is a column zone without zones that have ids")


def _check_table(ran, values, numbers):
    """The attribute table against numpy."""
    if ran.table is None:
        return  # too large for a GeoTIFF, so in a file beside it
    for number, band in zip(numbers, values):
        right = oracle.describe(ran.ids, band)
        if not np.array_equal(ran.table["Histogram"], right["count"]):
            raise Wrong("the pixel counts of the attribute table are wrong")
        room = np.abs(band[np.isfinite(band)].astype(float)).max(initial=0.0)
        for name in ATTRIBUTES:
            found, wanted = ran.table[f"{name}_{number}"], right[name]
            # deviations are the roots of sums that are rounded
            close = np.abs(found - wanted) <= (1e-7 if name == "std" else 1e-9) * np.abs(wanted) + 1e-12 * room
            # a segment without values has none to be compared
            if not (close | np.isnan(wanted)).all():
                worst = int(np.argmin(close | np.isnan(wanted)))
                raise Wrong(f"{name}_{number} of segment {worst + 1} is {found[worst]!r} for {wanted[worst]!r}")
