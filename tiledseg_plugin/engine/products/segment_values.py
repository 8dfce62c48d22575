# SPDX-License-Identifier: GPL-2.0-or-later
"""One value a segment, of the attribute table, seen as a raster: a small file that looks ids up, without new pixels."""

import os
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from osgeo import gdal, ogr

from ..errors import SegmentationError
from ..files.gdal_access import collected_errors, open_raster
from ..files.georeference import carry_georeference
from ..files.publish import attributes_path
from ..progress import Check

ABSENT = -3.0e38  # of a segment without a value, and where there is no segment
MARKER = "Made by Tiled Segmentation to show values of segments"
ID_COLUMNS = ("segment", "value")
NUMERIC = (ogr.OFTInteger, ogr.OFTInteger64, ogr.OFTReal)


def numeric_columns(segments: str) -> List[str]:
    """The names of the numeric columns of a raster of segments' attribute table, colours and ids left out."""
    table = _table_beside(segments)
    if table is not None:
        dataset = ogr.Open(table)
        definition = dataset.GetLayer(0).GetLayerDefn()
        fields = [definition.GetFieldDefn(i) for i in range(definition.GetFieldCount())]
        names = [field.GetName() for field in fields if field.GetType() in NUMERIC]
    else:
        rat = _attribute_table(segments)
        every = range(rat.GetColumnCount())
        names = [rat.GetNameOfCol(i) for i in every if rat.GetTypeOfCol(i) != gdal.GFT_String]
    hidden = (*ID_COLUMNS, "red", "green", "blue", "alpha", "fid")
    return [name for name in names if name.lower() not in hidden]


def read_columns(segments: str, names: Sequence[str], check: Check = lambda: None) -> Dict[str, np.ndarray]:
    """Columns of the attribute table, the value of segment 0 (no data) first; what is not there is NaN.

    Raises
    ------
    SegmentationError : there is no such table or column
    """
    table = _table_beside(segments)
    if table is not None:
        return _read_layer(table, names, check)
    rat = _attribute_table(segments)
    every = [rat.GetNameOfCol(i) for i in range(rat.GetColumnCount())]
    ids = next((i for i, name in enumerate(every) if name.lower() in ID_COLUMNS), None)
    found = {}
    for name in names:
        check()
        if name not in every:
            raise SegmentationError(f"The attribute table of {segments} has no column {name}: choose another.")
        values = rat.ReadAsArray(every.index(name)).astype(np.float64)
        found[name] = values if ids is None else _spread(rat.ReadAsArray(ids), values)
    return found


def _spread(ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    spread = np.full(int(ids.max(initial=0)) + 1, np.nan)
    spread[ids.astype(np.int64)] = values
    return spread


def only_of(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Values as `read_columns` returns them, but for those of segments that are not there, which become NaN.

    Parameters
    ----------
    ids : (n,) of the segments that are there
    """
    kept = np.full(values.shape, np.nan)
    there = ids[ids < values.size]
    kept[there] = values[there]
    return kept


def _read_layer(path: str, names: Sequence[str], check: Check) -> Dict[str, np.ndarray]:
    dataset = ogr.Open(path)
    layer = dataset.GetLayer(0)
    definition = layer.GetLayerDefn()
    places = [definition.GetFieldIndex(name) for name in ("segment", *names)]
    if min(places) < 0:
        raise SegmentationError(f"{path} lacks one of the columns {', '.join(names)}: choose others.")
    rows = np.full((layer.GetFeatureCount(), len(places)), np.nan)
    for number, feature in enumerate(layer):
        if number % 1000 == 0:
            check()
        rows[number] = [
            feature.GetFieldAsDouble(place) if feature.IsFieldSetAndNotNull(place) else np.nan for place in places
        ]
    return {name: _spread(rows[:, 0], rows[:, i]) for i, name in enumerate(names, 1)}


def _table_beside(segments: str) -> Optional[str]:
    beside = attributes_path(segments)
    return beside if os.path.exists(beside) else None


def _attribute_table(segments: str) -> gdal.RasterAttributeTable:
    dataset = open_raster(segments)  # the table goes with it
    rat = dataset.GetRasterBand(1).GetDefaultRAT()
    if rat is None or rat.GetRowCount() == 0:
        raise SegmentationError(
            f"{segments} has no attribute table: make one with 'Segment statistics', or make polygons of it."
        )
    return rat.Clone()


def index_of(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(first - second) / (first + second), such as NDVI of near infrared and red; NaN where the sum is 0."""
    total = first + second
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total != 0, (first - second) / total, np.nan)


def limits(values: np.ndarray, share: float = 0.02) -> Tuple[float, float]:
    """Between which most values lie, some of the smallest and largest left out; apart from each other in any case."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return 0.0, 1.0
    low, high = np.quantile(known, (share, 1 - share))
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)


def kept_limits(path: str) -> Tuple[float, float]:
    """Two standard deviations below and above the mean of a raster of ours, within its range, as its file says."""
    with collected_errors():
        dataset = open_raster(path)
        low, high, mean, deviation = dataset.GetRasterBand(1).GetStatistics(False, False)
    low, high = max(low, mean - 2 * deviation), min(high, mean + 2 * deviation)
    return (low, high) if high > low else (low, low + 1.0)


def breaks(values: np.ndarray, classes: int = 10) -> List[float]:
    """Ends of classes that hold equally many values, each higher than the one before; two at least."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return [0.0, 1.0]
    ends = np.unique(np.quantile(known, np.linspace(0, 1, classes + 1)))
    return [float(end) for end in ends] if ends.size > 1 else [float(ends[0]), float(ends[0])]


def write_values(path: str, segments: str, values: np.ndarray, title: str = "") -> None:
    """Write the VRT; an earlier one of ours is replaced when it is whole.

    Parameters
    ----------
    path : ends in .vrt
    segments : raster of segments
    values : (segments + 1,), see `read_columns`
    title : what they are, for people
    """
    source = open_raster(segments)
    entries = np.where(np.isfinite(values), values, ABSENT)
    table = ",".join(f"{number}:{value:.7g}" for number, value in enumerate(entries.tolist()))
    relative = Path(path).absolute().parent == Path(segments).absolute().parent
    name = os.path.basename(segments) if relative else os.path.abspath(segments)
    staged = f"{path}.part.vrt"
    with collected_errors() as messages:
        made = gdal.GetDriverByName("VRT").Create(staged, source.RasterXSize, source.RasterYSize, 1, gdal.GDT_Float32)
        carry_georeference(source, made)
        band = made.GetRasterBand(1)
        band.SetNoDataValue(float(np.float32(ABSENT)))
        band.SetDescription(title)
        made.SetMetadataItem("SOFTWARE", MARKER)
        band.SetMetadataItem("source_0", _source(name, relative, table, source), "new_vrt_sources")
        band = made = None
    if not os.path.exists(staged):
        raise SegmentationError(f"{path} cannot be written ({'; '.join(messages)}): check that its folder may be.")
    os.replace(staged, path)


def _source(name: str, relative: bool, table: str, source: gdal.Dataset) -> str:
    escaped = name.replace("&", "&amp;").replace("<", "&lt;")
    size = f'xSize="{source.RasterXSize}" ySize="{source.RasterYSize}"'
    return (
        f'<ComplexSource><SourceFilename relativeToVRT="{int(relative)}">{escaped}</SourceFilename>'
        f'<SourceBand>1</SourceBand><SrcRect xOff="0" yOff="0" {size}/><DstRect xOff="0" yOff="0" {size}/>'
        f"<LUT>{table}</LUT></ComplexSource>"
    )


def is_ours(path: str) -> bool:
    """Whether a file is one that `write_values` has made."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return MARKER in file.read(5000)
    except OSError:
        return False
