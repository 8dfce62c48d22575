# SPDX-License-Identifier: GPL-2.0-or-later
"""What every result must be, held against plain arrays."""

import csv
import math
from pathlib import Path
from typing import Dict, List, Optional

import numpy as np
from osgeo import gdal, ogr
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

MOST_SQUARED = 1e150
NO_TRANSFORM = (0.0, 1.0, 0.0, 0.0, 0.0, 1.0)  # what GDAL says where there is none, and what some files then hold
MOST_CHECKED_SHAPES = 3000  # GEOS looks at each; polygons beyond that are measured only


class Wrong(Exception):
    """A result is not what it must be; says how."""


def require(right: bool, what: str) -> None:
    if not right:
        raise Wrong(what)


def check_ids(ids: np.ndarray, valid: np.ndarray) -> None:
    """No data just where it belongs; ids 1..n in raster order of their first pixels; each one connected region."""
    require(ids.shape == valid.shape, f"OUTPUT has {ids.shape} rows and columns, not {valid.shape}")
    more, fewer = int(((ids > 0) & ~valid).sum()), int(((ids == 0) & valid).sum())
    require(not more and not fewer, f"{more} pixels of no data are segmented, {fewer} of data are not")
    present, first = np.unique(ids[ids > 0], return_index=True)
    require(np.array_equal(present, np.arange(1, present.size + 1)), "ids are not 1 to n without gaps")
    require(bool((np.diff(first) > 0).all()), "ids are not in the order of their first pixels")
    require(_regions(ids) == present.size, f"{present.size} ids are {_regions(ids)} connected regions")


def _regions(ids: np.ndarray) -> int:
    """How many 4-connected regions of one id there are besides 0."""
    places = np.arange(ids.size).reshape(ids.shape)
    pairs = []
    for one, other in _neighbours():
        same = ids[one] == ids[other]
        pairs.append((places[one][same], places[other][same]))
    left, right = (np.concatenate(side) for side in zip(*pairs))
    graph = coo_matrix((np.ones(left.size, bool), (left, right)), shape=(ids.size, ids.size))
    _, labels = connected_components(graph, directed=False)
    return np.unique(labels[ids.ravel() > 0]).size


def _neighbours():
    everything = slice(None)
    return (
        ((everything, slice(None, -1)), (everything, slice(1, None))),
        ((slice(None, -1), everything), (slice(1, None), everything)),
    )


def check_sizes(ids: np.ndarray, min_pixels: int, limited: bool, undersized: int) -> None:
    """The count of small segments; without a threshold none has a larger neighbour that it could have joined.

    The latter holds at MIN_PIXELS of 4 or less: nothing that small can change in the last step (it would have had to
    in an earlier one), and beyond it could.
    """
    sizes = np.bincount(ids.ravel())
    sizes[0] = 0
    small = np.flatnonzero((sizes > 0) & (sizes < min_pixels))
    require(undersized == small.size, f"UNDERSIZED_SEGMENTS is {undersized}, not {small.size}")
    if limited or min_pixels > 4:
        return
    for one, other in _neighbours():
        a, b = ids[one].ravel(), ids[other].ravel()
        meet = (a != b) & (a > 0) & (b > 0)
        for x, y in ((a[meet], b[meet]), (b[meet], a[meet])):
            left = (sizes[x] < min_pixels) & (sizes[y] > sizes[x])
            require(not left.any(), f"segment {x[left][:1]} is smaller than MIN_PIXELS and has a larger neighbour")


def check_reference(source: str, output: str) -> None:
    """OUTPUT lies where the input lies."""
    given, made = gdal.Open(source), gdal.Open(output)
    require((given.RasterXSize, given.RasterYSize) == (made.RasterXSize, made.RasterYSize), "OUTPUT has another size")
    transform, kept = given.GetGeoTransform(can_return_null=True), made.GetGeoTransform(can_return_null=True)
    if transform == NO_TRANSFORM and given.GetGCPCount():
        transform = None
    if transform is not None:
        require(
            kept is not None and np.allclose(transform, kept, rtol=1e-12, atol=0),
            f"the geotransform is {kept}, not {transform}",
        )
    crs, kept_crs = _crs_of(given), _crs_of(made)
    require(crs is None or _is_kept(crs, kept_crs), f"{Path(output).name} has another CRS")
    if transform is None:
        require(given.GetGCPCount() == made.GetGCPCount(), "the control points are lost")
    require(sorted(given.GetMetadata("RPC")) == sorted(made.GetMetadata("RPC")), "the rational polynomials are lost")


def _is_kept(crs, kept_crs) -> bool:
    """Whether a GeoTIFF has as much of a CRS as a GeoTIFF can hold: some, of planets say, come back as others."""
    if kept_crs is None:
        return False
    path = "/vsimem/crs.tif"
    dataset = gdal.GetDriverByName("GTiff").Create(path, 1, 1)
    dataset.SetSpatialRef(crs)
    dataset = None
    best = gdal.Open(path).GetSpatialRef()
    gdal.Unlink(path)
    options = ["IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES"]
    return bool(kept_crs.IsSame(crs, options) or (best is not None and kept_crs.IsSame(best, options)))


def _crs_of(dataset: gdal.Dataset):
    """The CRS on the map, or None; of heights a GeoTIFF keeps less, and of its points' and its own only one."""
    crs = dataset.GetSpatialRef() or dataset.GetGCPSpatialRef()
    if crs is not None and crs.IsCompound():
        crs = crs.Clone()
        crs.StripVertical()
    return crs


def check_table(output: str, ids: np.ndarray, numbers: List[int], values: List[np.ndarray]) -> None:
    """The raster attribute table: counts, and the statistics of each band."""
    columns = _attribute_table(output)
    counts = np.bincount(ids.ravel())[1:]
    require(np.array_equal(columns["Histogram"], counts), "Histogram is not the number of pixels")
    for number, array in zip(numbers, values):
        for name, right in segment_statistics(ids, array, np.ones(ids.shape, bool)).items():
            if f"{name}_{number}" in columns:
                close_to(columns[f"{name}_{number}"], right, array, f"{name}_{number} of the attribute table")
        require(f"mean_{number}" in columns, f"the attribute table has no mean_{number}")


def _attribute_table(output: str) -> Dict[str, np.ndarray]:
    """The columns of segments 1 to n."""
    beside = Path(output).with_name(Path(output).stem + "_attributes.gpkg")
    if beside.exists():
        layer_of = ogr.Open(str(beside))
        layer = layer_of.GetLayer(0)
        names = [field.GetName() for field in layer.schema]
        rows = [[feature.GetField(name) for name in names] for feature in layer]
        return {name: np.array(column, float) for name, column in zip(names, zip(*rows))}
    dataset = gdal.Open(output)
    table = dataset.GetRasterBand(1).GetDefaultRAT()
    require(table is not None, "OUTPUT has no attribute table")
    return {
        table.GetNameOfCol(index): np.asarray(table.ReadAsArray(index))[1:] for index in range(table.GetColumnCount())
    }


def segment_statistics(ids: np.ndarray, values: np.ndarray, valid: np.ndarray) -> Dict[str, np.ndarray]:
    """Statistics of one band in segments 1..n by numpy, in extended precision; NaN where a segment has no value."""
    chosen = valid & (ids > 0) & np.isfinite(values)
    count = int(ids.max())
    labels = ids[chosen].astype(np.int64) - 1
    order = np.argsort(labels, kind="stable")
    sorted_values = values[chosen][order].astype(np.longdouble)
    counts = np.bincount(labels, minlength=count)
    result = {name: np.full(count, np.nan) for name in ("mean", "std", "min", "max", "sum", "median")}
    some = np.flatnonzero(counts)
    starts = np.concatenate([[0], np.cumsum(counts)])[some]
    if some.size:
        sums = np.add.reduceat(sorted_values, starts)
        means = sums / counts[some]
        deviations = sorted_values - np.repeat(means, counts[some])
        result["sum"][some], result["mean"][some] = sums, means
        result["std"][some] = np.sqrt(np.add.reduceat(deviations**2, starts) / counts[some])
        result["min"][some] = np.minimum.reduceat(sorted_values, starts)
        result["max"][some] = np.maximum.reduceat(sorted_values, starts)
    return {**result, "count": counts}


def close_to(ours: np.ndarray, right: np.ndarray, values: np.ndarray, what: str) -> None:
    """Equal but for rounding: relative to the largest value of the band, as that is what sums are rounded to."""
    ours, right = np.asarray(ours, np.float64), np.asarray(right, np.float64)
    finite = values[np.isfinite(values)]
    span = float(np.abs(finite.astype(np.float64)).max()) if finite.size else 0.0
    if span > MOST_SQUARED and what.startswith("std"):
        return  # the squares have no double
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(ours - right) > 1e-6 * np.abs(right) + 3e-7 * span
    off |= np.isnan(ours) != np.isnan(right)
    off &= ~(np.isinf(right) & (ours == right))
    if off.any():
        place = int(np.flatnonzero(off)[0])
        raise Wrong(f"{what}: segment {place + 1} has {ours[place]}, numpy {right[place]} ({int(off.sum())} differ)")


def check_mean_image(path: str, ids: np.ndarray, bands: List[np.ndarray], valid: List[np.ndarray], what: str) -> None:
    """Every pixel has the mean of its segment, NaN where there is none."""
    dataset = gdal.Open(path)
    require(dataset.RasterCount == len(bands), f"{what} has {dataset.RasterCount} bands, not {len(bands)}")
    for index, values in enumerate(bands):
        image = dataset.GetRasterBand(index + 1).ReadAsArray().astype(np.float64)
        means = segment_statistics(ids, values, valid[index])["mean"]
        close_to(image.ravel(), np.append(np.nan, means)[ids].ravel(), values, f"{what}, band {index + 1}")


def check_statistics(path: str, ids: np.ndarray, numbers: List[int], bands, valid) -> None:
    """The table of `tiledseg:statistics`."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    require([int(row["segment"]) for row in rows] == list(range(1, int(ids.max()) + 1)), "the table lacks segments")
    for number, values, good in zip(numbers, bands, valid):
        right = segment_statistics(ids, values, good)
        for name in ("mean", "std", "min", "max", "count", "sum"):
            ours = np.array([_number(row[f"{name}_{number}"]) for row in rows])
            with np.errstate(over="ignore"):
                scale = values.astype(np.float64) * (int(right["count"].max()) if name == "sum" else 1)
            close_to(ours, right[name], scale, f"{name}_{number} of the statistics")


def _number(text: Optional[str]) -> float:
    return math.nan if text in (None, "") else float(text)


def check_polygons(path: str, ids: np.ndarray, transform: tuple, what: str) -> None:
    """One valid polygon a segment, of the area of its pixels, where they lie."""
    source = ogr.Open(path)
    layer = source.GetLayer(0)
    counts = np.bincount(ids.ravel())
    pixel = abs(transform[1] * transform[5] - transform[2] * transform[4])
    reach = max(abs(transform[0]), abs(transform[3]), 1.0) * 1e-15 * sum(ids.shape) * max(map(abs, transform[1:]))
    seen = []
    look = counts.size <= MOST_CHECKED_SHAPES
    for feature in layer:
        number = feature.GetField("segment")
        geometry = feature.GetGeometryRef()
        seen.append(number)
        area = geometry.GetArea()
        require(
            abs(area - counts[number] * pixel) <= 1e-6 * counts[number] * pixel + reach,
            f"{what}: segment {number} has area {area}, its {counts[number]} pixels {counts[number] * pixel}",
        )
        require(feature.GetField("pixels") == counts[number], f"{what}: pixels of segment {number}")
        if look and pixel > 1e-12:
            require(geometry.IsValid(), f"{what}: the polygon of segment {number} is not valid")
    require(sorted(seen) == list(range(1, counts.size)), f"{what}: {len(seen)} polygons of {counts.size - 1} segments")
    left, right, bottom, top = layer.GetExtent()
    rows, cols = np.nonzero(ids)
    corners = np.array([(c, r) for c in (cols.min(), cols.max() + 1) for r in (rows.min(), rows.max() + 1)])
    if not (transform[2] or transform[4]):
        x, y = transform[0] + corners[:, 0] * transform[1], transform[3] + corners[:, 1] * transform[5]
        want = (x.min(), x.max(), y.min(), y.max())
        near = np.allclose((left, right, bottom, top), want, rtol=1e-9, atol=1e-9)
        require(near, f"{what} lie at {(left, right, bottom, top)}, not {want}")


def check_preflight(records: list, valid: np.ndarray, rule: str, width: int, height: int) -> None:
    """Every tile's valid pixels."""
    rows, cols = valid.shape
    across, down = -(-cols // width), -(-rows // height)
    require(len(records) == across * down, f"{len(records)} tiles of {rows} x {cols} pixels")
    for record in records:
        top, bottom = (edge * rows // down for edge in (record.row, record.row + 1))
        first, end = (edge * cols // across for edge in (record.col, record.col + 1))
        right = int(valid[top:bottom, first:end].sum())
        require(
            record.valid_pixels == right,
            f"tile {record.tile_id} has {record.valid_pixels} valid pixels under '{rule}', not {right}",
        )
