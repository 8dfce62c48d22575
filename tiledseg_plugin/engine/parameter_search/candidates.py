# SPDX-License-Identifier: GPL-2.0-or-later
"""What is asked of a search: the candidates, and where they are tried."""

from dataclasses import dataclass
from typing import Callable, List, NamedTuple, Optional, Tuple, TypeVar

from ..errors import SegmentationError
from ..parameters import (
    LARGEST,
    LONGEST_NUMBER,
    MOST_CLUSTERS,
    NODATA_RULES,
    NOTHING,
    NUMBER,
    PlainParameters,
    SegmentParameters,
    check_choice,
    check_range,
    no_data_asked_for,
)

STRETCHES = {"on": (True,), "off": (False,), "both": (True, False)}
CRITERIA = ("auto", "f_measure", "goodness", "rms", "ed2", "iou")
OF_REFERENCE = ("rms", "ed2", "iou")  # criteria that need reference polygons
MOST_CANDIDATES = 2000
LEAST_WINDOW = 50
Number = TypeVar("Number")


class Candidate(NamedTuple):
    """One combination of parameters. `distance_threshold` is None for no limit."""

    stretch: bool
    num_clusters: int
    distance_threshold: Optional[float]
    min_pixels: int


class Clustering(NamedTuple):
    """What all candidates with the same clusters have in common."""

    stretch: bool
    num_clusters: int


@dataclass(frozen=True)
class PolygonLayer:
    """A polygon layer of the user's: WKB, and the WKT of its coordinate system and of the raster's, empty for unknown.

    source : the file, empty for none
    """

    polygons: Tuple[bytes, ...]
    crs: str = ""
    raster_crs: str = ""
    source: str = ""


@dataclass(frozen=True)
class SearchParameters(PlainParameters):
    """The parameters of `tiledseg:parameters`; the names are those of the interface, in lower case.

    output : the table of candidates; report, polygon_table : empty for none
    num_clusters, min_pixels, distance_thresholds : what is tried; a threshold of None is no limit
    stretch : one of STRETCHES
    windows : how many windows are looked at, 0 for the whole raster; window_size : their sides in pixels
    criterion : one of CRITERIA, by which the best candidate is found

    The others mean what they mean in `SegmentParameters`.
    """

    input: str
    output: str
    report: str = ""
    polygon_table: str = ""
    bands: Tuple[int, ...] = ()
    num_clusters: Tuple[int, ...] = (20, 40, 60, 100)
    min_pixels: Tuple[int, ...] = (25, 50, 100, 200, 500, 1000, 2000, 5000)
    distance_thresholds: Tuple[Optional[float], ...] = (100.0,)
    stretch: str = "on"
    windows: int = 6
    window_size: int = 500
    criterion: str = "auto"
    sampling: int = SegmentParameters.sampling
    kmeans_max_iterations: int = SegmentParameters.kmeans_max_iterations
    nodata: str = SegmentParameters.nodata
    nodata_rule: str = SegmentParameters.nodata_rule
    extent: Tuple[int, ...] = ()
    workers: int = SegmentParameters.workers
    kernels: str = "auto"

    def check(self) -> None:
        """Raise SegmentationError for values that no raster could make right."""
        self.check_kinds()
        for name, values, least, most in (
            ("NUM_CLUSTERS", self.num_clusters, 2, MOST_CLUSTERS),
            ("MIN_PIXELS", self.min_pixels, 1, None),
        ):
            _check_list(name, values)
            for value in values:
                check_range(name, value, least, most)
        _check_list("DISTANCE_THRESHOLD", self.distance_thresholds)
        for threshold in self.distance_thresholds:
            if threshold is not None and not threshold > 0:
                raise SegmentationError(
                    f"DISTANCE_THRESHOLD has {threshold:g}: give numbers above 0, or {NOTHING} for no limit."
                )
        check_choice("STRETCH", self.stretch, tuple(STRETCHES))
        check_choice("CRITERION", self.criterion, CRITERIA)
        check_range("WINDOWS", self.windows, 0)
        check_range("WINDOW_SIZE", self.window_size, LEAST_WINDOW)
        check_range("SAMPLING", self.sampling, 1)
        check_range("KMEANS_MAX_ITERATIONS", self.kmeans_max_iterations, 1)
        check_range("WORKERS", self.workers, 0)
        check_choice("NODATA_RULE", self.nodata_rule, NODATA_RULES)
        no_data_asked_for(self.nodata)
        count = len(self.candidates)
        if count > MOST_CANDIDATES:
            raise SegmentationError(
                f"The lists make {count} candidates, more than {MOST_CANDIDATES}: give fewer values in NUM_CLUSTERS, "
                "MIN_PIXELS or DISTANCE_THRESHOLD."
            )

    @property
    def sizes(self) -> Tuple[int, ...]:
        """MIN_PIXELS, ascending, each once."""
        return tuple(sorted(set(self.min_pixels)))

    @property
    def thresholds(self) -> Tuple[Optional[float], ...]:
        """DISTANCE_THRESHOLD, ascending, each once; no limit comes last."""
        given = sorted({one for one in self.distance_thresholds if one is not None})
        return (*given, None) if None in self.distance_thresholds else tuple(given)

    @property
    def clusterings(self) -> Tuple[Clustering, ...]:
        """Each combination of stretch and number of clusters once."""
        numbers = sorted(set(self.num_clusters))
        return tuple(Clustering(stretch, number) for stretch in STRETCHES[self.stretch] for number in numbers)

    @property
    def candidates(self) -> List[Candidate]:
        """All candidates, each once: those of one clustering and threshold together, by ascending MIN_PIXELS."""
        return [
            Candidate(*clustering, threshold, size)
            for clustering in self.clusterings
            for threshold in self.thresholds
            for size in self.sizes
        ]

    def of(self, clustering: Clustering) -> SegmentParameters:
        """The parameters of a run with these clusters, as far as they decide about them."""
        return SegmentParameters(
            input=self.input,
            output="",
            bands=self.bands,
            num_clusters=clustering.num_clusters,
            stretch=clustering.stretch,
            sampling=self.sampling,
            kmeans_max_iterations=self.kmeans_max_iterations,
            nodata=self.nodata,
            nodata_rule=self.nodata_rule,
            extent=self.extent,
            kernels=self.kernels,
        )


def _check_list(name: str, values: Tuple) -> None:
    if not values:
        raise SegmentationError(f"{name} is empty: give at least one number, several separated by ';'.")


def whole_numbers(name: str, text: str) -> Tuple[int, ...]:
    """A list such as 20;40;60.

    Raises
    ------
    SegmentationError : a part of it is no whole number
    """

    def read(word: str) -> int:
        value = float(word) if NUMBER.fullmatch(word) else 0.5
        if not abs(value) <= LARGEST or value != int(value):
            raise SegmentationError(
                f"{name} has '{word}', which is not a whole number: separate numbers by semicolons, as in {name}=20;40."
            )
        return int(value)

    return _listed(name, text, read)


def limits(name: str, text: str) -> Tuple[Optional[float], ...]:
    """A list of numbers such as 20;50.5;none, `none` being no limit.

    Raises
    ------
    SegmentationError : a part of it is neither
    """

    def read(word: str) -> Optional[float]:
        if word.lower() == NOTHING:
            return None
        if not NUMBER.fullmatch(word) or not abs(float(word)) < float("inf"):
            raise SegmentationError(
                f"{name} has '{word}', which is neither a number nor '{NOTHING}' for no limit: separate numbers by "
                f"semicolons, as in {name}=50;100;{NOTHING}."
            )
        return float(word)

    return _listed(name, text, read)


def _listed(name: str, text: str, read: Callable[[str], Number]) -> Tuple[Number, ...]:
    words = [word.strip() for word in text.split(";")]
    if words and not words[-1]:
        words.pop()
    shortened = (word if len(word) <= LONGEST_NUMBER else word[:LONGEST_NUMBER] + "..." for word in words)
    return tuple(read(word) for word in shortened)
