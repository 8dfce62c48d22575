# SPDX-License-Identifier: GPL-2.0-or-later
"""The candidates with their measures, ranked, and as a table."""

import math
from dataclasses import dataclass, fields
from typing import Dict, List, Optional, Sequence

import numpy as np

from ..files.tables import Column
from ..products.reference_measures import PolygonMeasures, ReferenceMeasures, in_all, together
from ..products.scale_measures import AreaSums, Measures, measures_of, rates_of_change
from .candidates import Candidate, SearchParameters
from .measuring import AreaMeasures

LOWER_IS_BETTER = ("rms", "ed2")
NAMES = {  # columns of the table by measure
    "segments": "segments",
    "mean_size": "mean_size",
    "variance": "variance",
    "autocorrelation": "morans_i",
    "goodness": "goodness",
    "f_measure": "f_measure",
    "local_variance": "local_variance",
}


@dataclass
class Judged:
    """A candidate with what was found about it.

    number : from 1, in the order of `SearchParameters.candidates`
    clusters : how many there really are
    rate_of_change : of local variance, see `scale_measures`
    reference, polygons : over all reference polygons, and of each; None where there are none
    rank : from 1, each once; of those that are as good, the one with the lower number is first
    """

    number: int
    candidate: Candidate
    clusters: int
    measures: Measures
    rate_of_change: float
    reference: Optional[ReferenceMeasures] = None
    polygons: Optional[PolygonMeasures] = None
    rank: int = 0

    def value(self, name: str) -> float:
        """A measure by its name."""
        if name == "rate_of_change":
            return self.rate_of_change
        holder = self.measures if hasattr(self.measures, name) else self.reference
        return float(getattr(holder, name, math.nan))


def judge(
    parameters: SearchParameters, found: Sequence[Sequence[Optional[AreaMeasures]]], clusters: Sequence[int]
) -> List[Judged]:
    """Put what was found in the areas together.

    Parameters
    ----------
    found : [clustering][area], None where an area has no valid pixel
    clusters : of each clustering, how many there really are

    Returns
    -------
    in the order of `SearchParameters.candidates`
    """
    judged: List[Judged] = []
    candidates = iter(parameters.candidates)
    for areas, count in zip(found, clusters):
        known = [area for area in areas if area is not None]
        for index in range(len(parameters.thresholds)):
            sums = [_added([area.sums[index][level] for area in known]) for level in range(len(parameters.sizes))]
            measures = [measures_of(one) for one in sums]
            rates = rates_of_change([one.local_variance for one in measures])
            for level, (one, rate) in enumerate(zip(measures, rates)):
                row = Judged(len(judged) + 1, next(candidates), count, one, rate)
                parts = [area.polygons[index][level] for area in known if area.polygons]
                if parts:
                    row.polygons = together(parts)
                    row.reference = in_all(row.polygons)
                judged.append(row)
    return judged


def _added(parts: Sequence[AreaSums]) -> AreaSums:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def rank(judged: Sequence[Judged], criterion: str) -> List[Judged]:
    """Give every candidate its rank; returns them by it, the best first. What has no value comes last."""
    sign = 1 if criterion in LOWER_IS_BETTER else -1

    def key(row: Judged) -> tuple:
        value = row.value(criterion)
        return math.isnan(value), 0.0 if math.isnan(value) else sign * value, row.number

    ordered = sorted(judged, key=key)
    for place, row in enumerate(ordered, 1):
        row.rank = place
    return ordered


def different(ordered: Sequence[Judged], count: int) -> List[Judged]:
    """The first ones whose segments are not those of one before, as far as their measures say."""
    chosen: Dict[tuple, Judged] = {}
    for row in ordered:
        chosen.setdefault((row.measures.segments, row.measures.variance, row.measures.autocorrelation), row)
    return list(chosen.values())[:count]


def columns_of(judged: Sequence[Judged]) -> List[Column]:
    """The table of candidates; what has no value, and a threshold of no limit, is null."""

    def whole(name: str, values: List[int]) -> Column:
        return Column(name, np.array(values, np.int64))

    def real(name: str, values: List[float]) -> Column:
        return Column(name, np.array(values, np.float64))

    candidates = [row.candidate for row in judged]
    limits = [math.nan if one.distance_threshold is None else one.distance_threshold for one in candidates]
    columns = [
        whole("candidate", [row.number for row in judged]),
        whole("rank", [row.rank for row in judged]),
        whole("stretch", [int(one.stretch) for one in candidates]),
        whole("num_clusters", [one.num_clusters for one in candidates]),
        real("distance_threshold", limits),
        whole("min_pixels", [one.min_pixels for one in candidates]),
        whole("clusters", [row.clusters for row in judged]),
        whole("segments", [row.measures.segments for row in judged]),
    ]
    columns += [real(NAMES[name], [row.value(name) for row in judged]) for name in list(NAMES)[1:]]
    columns.append(real("rate_of_change", [row.rate_of_change for row in judged]))
    if all(row.reference is not None for row in judged):
        names = [one.name for one in fields(ReferenceMeasures)]
        columns.append(whole("polygons", [int(row.value("polygons")) for row in judged]))
        columns += [real(name, [row.value(name) for row in judged]) for name in names[1:]]
    return columns


def polygon_columns(judged: Sequence[Judged]) -> List[Column]:
    """The table of reference polygons: a row for each candidate and polygon."""
    parts = [(row.number, row.polygons) for row in judged if row.polygons is not None]
    polygons = together([part for _, part in parts])
    numbers = np.concatenate([np.full(part.numbers.size, number, np.int64) for number, part in parts])
    names = ("over", "under", "rms", "quality_rate", "iou")
    return [
        Column("candidate", numbers),
        Column("polygon", polygons.numbers),
        Column("pixels", polygons.areas.astype(np.int64)),
        Column("segments", polygons.segments.astype(np.int64)),
        *(Column(name, getattr(polygons, name)) for name in names),
    ]
