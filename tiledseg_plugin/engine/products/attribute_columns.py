# SPDX-License-Identifier: GPL-2.0-or-later
"""The columns of segments' attributes, as tables and polygons have them."""

from typing import List, Sequence, Tuple

import numpy as np

from ..files.attribute_table import BAND_STATISTICS
from ..files.no_data import Band
from ..files.stored import Rows
from ..files.tables import Column
from .attributes import Attributes, Moments

MOMENTS = {  # attributes of `Moments` by statistic
    "mean": "mean",
    "std": "deviation",
    "min": "minimum",
    "max": "maximum",
    "sum": "sum",
    "count": "counts",
}


def attribute_columns(
    attributes: Attributes, bands: Sequence[Band], ranges: Sequence[Tuple[float, float]]
) -> List[Column]:
    """The columns of a run's segments: Histogram, Red, Green, Blue, Alpha, and mean_1, min_1, max_1, std_1 of band 1 ..

    Parameters
    ----------
    bands : of the raster, in the order of the attributes
    ranges : per band, the stored values that become 0 and 255 of its colour
    """
    histogram = Column("Histogram", attributes.sizes.astype(np.float64), "PixelCount")
    means = [moments.stored_mean for moments in attributes.bands]
    return [histogram, *colour_columns(means, ranges), *statistic_columns(attributes, bands)]


def colour_columns(means: Sequence[np.ndarray], ranges: Sequence[Tuple[float, float]]) -> List[Column]:
    """Red, Green, Blue and Alpha, integers of 0 to 255: the first three bands, two as red and green, one as grey.

    Parameters
    ----------
    means, ranges : per band, the segments' means, and the values that become 0 and 255
    """
    shown = [_colour(mean, low, high) for mean, (low, high) in zip(means[:3], ranges)]
    if len(shown) == 1:
        shown *= 3
    elif len(shown) == 2:
        shown.append(np.zeros_like(shown[0]))
    shown.append(np.full_like(shown[0], 255))
    return [Column(name, values, name) for name, values in zip(("Red", "Green", "Blue", "Alpha"), shown)]


def statistic_columns(attributes: Attributes, bands: Sequence[Band]) -> List[Column]:
    """mean_1, min_1, max_1, std_1 of band 1, and so on: values as QGIS shows them, population standard deviation."""
    return [
        statistic_column(name, band, moment_statistic(name, moments, attributes.sizes))
        for band, moments in zip(bands, attributes.bands)
        for name in BAND_STATISTICS
    ]


def moment_statistic(name: str, moments: Moments, sizes: np.ndarray) -> np.ndarray:
    """A statistic that needs no more than sums and limits: (segments,), NaN where there is none."""
    if name == "valid_fraction":
        return moments.counts / sizes
    with np.errstate(over="ignore", invalid="ignore"):
        if name == "range":
            return moments.maximum - moments.minimum
        if name == "cv":
            mean = np.abs(moments.mean)
            return np.divide(moments.deviation, mean, out=np.full(mean.shape, np.nan), where=mean > 0)
    values: np.ndarray = getattr(moments, MOMENTS[name])
    return values


def statistics_among(columns: Sequence[Column]) -> List[Column]:
    """Those of `statistic_columns` among `attribute_columns`."""
    return [column for column in columns if column.name.rpartition("_")[0] in BAND_STATISTICS]


def statistic_column(statistic: str, band: Band, values: Rows, source: str = "") -> Column:
    """A column such as mean_1; where the band has a name, people read "mean of band 1, blue".

    Parameters
    ----------
    source : what the raster is called, where there are several: the column is source_mean_1
    """
    label = f"{statistic} of band {band.number}, {band.name}" if band.name else ""
    if not source:
        return Column(f"{statistic}_{band.number}", values, label=label)
    return Column(f"{source}_{statistic}_{band.number}", values, label=label and f"{label}, of {source}")


def _colour(mean: np.ndarray, low: float, high: float) -> np.ndarray:
    share = (np.nan_to_num(mean) - low) / (high - low) if high > low else np.full(mean.shape, 0.5)
    return np.floor(np.clip(share, 0, 1) * 255 + 0.5).astype(np.int32)
