# SPDX-License-Identifier: GPL-2.0-or-later
"""What the user asks for, as plain values, and the one place that checks it."""

import math
import re
from dataclasses import dataclass, fields
from typing import Any, Dict, Optional, Tuple, Union

from .errors import SegmentationError

NODATA_RULES = ("any", "all")
ZONES_OUTSIDE = ("segment", "exclude")
ENGINES = ("builtin", "rsgislib")
EXECUTIONS = ("auto", "processes", "threads", "serial", "dask")
TEXTURES = ("contrast", "homogeneity", "entropy", "correlation")  # of segments, as are these:
STATISTICS = (  # in the order of their published numbers
    *("mean", "std", "min", "max", "median", "p05", "p95", "sum", "count", "majority"),
    *("minority", "variety", "range", "cv", "valid_fraction", "share", *TEXTURES),
)
PERCENTILE = re.compile(r"p(?!00)[0-9]{2}")  # any of them is a statistic, too
MOST_GREY_LEVELS = 256
USUAL_STATISTICS = ("mean", "std", "min", "max")
MOST_CLUSTERS = 65534
LARGEST = 2**31 - 1  # of any whole number, as in QGIS
LONGEST_NUMBER = 60  # characters
NOTHING = "none"  # of NODATA: whatever a raster declares
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|nan|[+-]?inf(inity)?", re.IGNORECASE)


class PlainParameters:
    """A dataclass of parameters whose values are plain: numbers of numpy become Python's, lists become tuples."""

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            object.__setattr__(self, field.name, _plain(getattr(self, field.name)))

    def check_kinds(self) -> None:
        """Raise SegmentationError for a value that is of another kind than its parameter."""
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            is_right, what = KINDS[field.type]
            if not is_right(value):
                raise SegmentationError(f"{field.name.upper()} is {value!r}, which is not {what}: correct it.")


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_plain(part) for part in value)
    return value.item() if getattr(value, "ndim", None) == 0 else value  # a scalar of numpy's


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _are_whole(value: Any) -> bool:
    return isinstance(value, tuple) and all(map(_is_whole, value))


def _are_limits(value: Any) -> bool:
    return isinstance(value, tuple) and all(one is None or _is_number(one) for one in value)


def _are_tiles(value: Any) -> bool:
    return isinstance(value, tuple) and all(_are_whole(tile) and len(tile) == 4 for tile in value)


# What a value of each type is, and its name.
KINDS: Dict[Any, Tuple[Any, str]] = {
    bool: (lambda value: isinstance(value, bool), "True or False"),
    int: (_is_whole, "a whole number"),
    float: (_is_number, "a finite number"),
    Optional[float]: (lambda value: value is None or _is_number(value), "a finite number, or None"),
    str: (lambda value: isinstance(value, str), "text"),
    Tuple[int, ...]: (_are_whole, "a tuple of whole numbers"),
    Tuple[Optional[float], ...]: (_are_limits, "a tuple of finite numbers, or None"),
    Tuple[str, ...]: (
        lambda value: isinstance(value, tuple) and all(isinstance(part, str) for part in value),
        "a tuple of texts",
    ),
    Tuple[Tuple[int, int, int, int], ...]: (_are_tiles, "a tuple of (col, row, width, height)"),
}


@dataclass(frozen=True)
class SegmentParameters(PlainParameters):
    """The parameters of `tiledseg:segment`; the names are those of the interface, in lower case.

    bands : 1-based band numbers, empty for all
    distance_threshold : None for no limit
    levels : further minimum sizes, ascending and above `min_pixels`
    extent : (col, row, width, height) in pixels, the part that is segmented; empty for all
    tiles : rectangles (col, row, width, height) in pixels that are the tiles; empty for a grid
    zones : a layer of polygons or lines (path, or path|layername=...) or a raster, whose borders no segment crosses;
        empty for none
    zones_outside : whether pixels in no zone are segmented, as a zone of their own, or are no data
    nodata : what is no data, instead of what the raster declares, see `no_data_asked_for`
    rsgislib_stretch : the stretch with the statistics and the rule of no data of RSGISLib's script
    per_tile_statistics : of engine `rsgislib`: each tile has its own stretch and centres
    dask_scheduler : address of a running Dask scheduler, for execution `dask`
    work_dir : empty for a temporary folder
    mean_image, polygons : paths, empty for none
    s1tiles : where the caller writes the tile layer, empty for nowhere; here it is only held against the other files
    tiles_source : the layer that `tiles` were read from, empty for none; no output may be a file of it
    assign_crs : WKT, empty for the input's
    kernels : which set of kernels (see `kernels.choose`); for tests and benchmarks
    """

    input: str
    output: str
    bands: Tuple[int, ...] = ()
    num_clusters: int = 60
    min_pixels: int = 100
    levels: Tuple[int, ...] = ()
    distance_threshold: Optional[float] = 100.0
    stretch: bool = True
    rsgislib_stretch: bool = False
    sampling: int = 100
    kmeans_max_iterations: int = 200
    nodata: str = ""
    nodata_rule: str = "any"
    extent: Tuple[int, ...] = ()
    tile_width: int = 2000
    tile_height: int = 2000
    tiles: Tuple[Tuple[int, int, int, int], ...] = ()
    zones: str = ""
    zones_outside: str = "segment"
    valid_data_threshold: float = 0.3
    engine: str = "builtin"
    per_tile_statistics: bool = False
    execution: str = "auto"
    workers: int = 0
    dask_scheduler: str = ""
    work_dir: str = ""
    assign_crs: str = ""
    creation_options: str = ""
    mean_image: str = ""
    polygons: str = ""
    s1tiles: str = ""
    tiles_source: str = ""
    kernels: str = "auto"

    def check(self) -> None:
        """Raise SegmentationError for values that no raster could make right."""
        self.check_kinds()
        check_range("NUM_CLUSTERS", self.num_clusters, 2, MOST_CLUSTERS)
        check_range("MIN_PIXELS", self.min_pixels, 1)
        self._check_levels()
        check_range("SAMPLING", self.sampling, 1)
        check_range("KMEANS_MAX_ITERATIONS", self.kmeans_max_iterations, 1)
        _check_tiling(self)
        if self.distance_threshold is not None and not self.distance_threshold > 0:
            raise SegmentationError(
                f"DISTANCE_THRESHOLD is {self.distance_threshold}: give a number above 0, or leave it empty for "
                "no limit."
            )
        check_choice("ENGINE", self.engine, ENGINES)
        check_choice("EXECUTION", self.execution, EXECUTIONS)
        if self.engine == "rsgislib" and self.execution in ("threads", "dask"):
            raise SegmentationError(
                f"ENGINE=rsgislib cannot be used with EXECUTION={self.execution}, as RSGISLib is not made for threads: "
                "choose auto, processes or serial."
            )
        if self.engine == "rsgislib" and self.zones:
            raise SegmentationError(
                "ZONES is for ENGINE=builtin only, as RSGISLib knows no zones: choose builtin, or leave ZONES empty."
            )
        if self.engine != "rsgislib" and self.per_tile_statistics:
            raise SegmentationError(
                "PER_TILE_STATISTICS is for ENGINE=rsgislib only: the built-in engine has one stretch for the whole "
                "raster."
            )
        if self.rsgislib_stretch and not self.stretch:
            raise SegmentationError(
                "RSGISLIB_STRETCH is a way to stretch, but STRETCH is false: switch STRETCH on or RSGISLIB_STRETCH off."
            )
        if self.rsgislib_stretch and self.per_tile_statistics:
            raise SegmentationError(
                "RSGISLIB_STRETCH is one stretch for the whole raster, and with PER_TILE_STATISTICS each tile has its "
                "own: switch one of them off."
            )
        if self.execution == "dask" and not (self.dask_scheduler and self.work_dir):
            missing = "WORK_DIR, a folder that all its workers see" if self.dask_scheduler else "DASK_SCHEDULER"
            raise SegmentationError(f"EXECUTION=dask needs {missing}: give it, or choose another execution.")

    def _check_levels(self) -> None:
        if not self.levels:
            return
        below, shown = self.min_pixels, ";".join(map(str, self.levels))
        for level in self.levels:
            check_range("LEVELS", level, 2)
            if level <= below:
                what = "MIN_PIXELS" if below == self.min_pixels else "the one before it"
                raise SegmentationError(
                    f"LEVELS is '{shown}', in which {level} is not above {what}, {below}: give whole numbers above "
                    "MIN_PIXELS in ascending order, such as 500;2000."
                )
            below = level
        if self.engine == "rsgislib":
            raise SegmentationError(
                f"LEVELS is '{shown}', but ENGINE=rsgislib makes segments of one size only: leave LEVELS empty, or "
                "choose ENGINE=builtin."
            )


@dataclass(frozen=True)
class PreflightParameters(PlainParameters):
    """The parameters of `tiledseg:preflight`; they mean what they mean in `SegmentParameters`.

    output : where the caller writes the tile layer, as `s1tiles` of a run
    """

    input: str
    bands: Tuple[int, ...] = ()
    nodata: str = SegmentParameters.nodata
    nodata_rule: str = SegmentParameters.nodata_rule
    extent: Tuple[int, ...] = ()
    tile_width: int = SegmentParameters.tile_width
    tile_height: int = SegmentParameters.tile_height
    tiles: Tuple[Tuple[int, int, int, int], ...] = ()
    zones: str = SegmentParameters.zones
    zones_outside: str = SegmentParameters.zones_outside
    valid_data_threshold: float = SegmentParameters.valid_data_threshold
    execution: str = SegmentParameters.execution
    workers: int = SegmentParameters.workers
    output: str = ""
    tiles_source: str = ""

    def check(self) -> None:
        """Raise SegmentationError for values that no raster could make right."""
        self.check_kinds()
        _check_tiling(self)


def _check_tiling(parameters: Union[SegmentParameters, PreflightParameters]) -> None:
    check_range("TILE_WIDTH", parameters.tile_width, 16)
    check_range("TILE_HEIGHT", parameters.tile_height, 16)
    check_range("VALID_DATA_THRESHOLD", parameters.valid_data_threshold, 0, 1)
    check_range("WORKERS", parameters.workers, 0)
    check_choice("NODATA_RULE", parameters.nodata_rule, NODATA_RULES)
    check_choice("ZONES_OUTSIDE", parameters.zones_outside, ZONES_OUTSIDE)
    no_data_asked_for(parameters.nodata)
    if parameters.extent and (len(parameters.extent) != 4 or min(parameters.extent[2:]) < 1):
        raise SegmentationError(f"EXTENT is {parameters.extent}: give column, row, width and height in pixels.")


def no_data_asked_for(text: str) -> Union[None, str, int, float]:
    """What NODATA says: a number, an int where it is written as one; NOTHING; None where it says nothing.

    Raises
    ------
    SegmentationError : it is not understood
    """
    word = text.strip()
    if not word:
        return None
    if word.lower() == NOTHING:
        return NOTHING
    if not NUMBER.fullmatch(word) or len(word) > LONGEST_NUMBER:
        raise SegmentationError(
            f"NODATA is '{_shown(word)}': give one number, such as 0 or -9999, or {NOTHING} if every pixel is data, or "
            "leave it empty for what the raster declares."
        )
    return int(word) if word.lstrip("+-").isdigit() else float(word)


def levels_asked_for(text: str) -> Tuple[int, ...]:
    """The numbers that LEVELS names, separated by semicolons.

    Raises
    ------
    SegmentationError : it is not understood
    """
    words = [word.strip() for word in text.split(";")] if text.strip() else []
    for word in words:
        if not re.fullmatch(f"[0-9]{{1,{LONGEST_NUMBER}}}", word):
            raise SegmentationError(
                f"LEVELS is '{_shown(text)}', in which '{_shown(word)}' is no whole number: give minimum sizes in "
                "pixels, separated by semicolons, such as 500;2000, or leave it empty."
            )
    return tuple(int(word) for word in words)


def _shown(text: str) -> str:
    return text if len(text) <= LONGEST_NUMBER else text[:LONGEST_NUMBER] + "..."


def check_range(name: str, value: float, least: float, most: Optional[float] = None) -> None:
    if value < least or value > (LARGEST if most is None else most):
        allowed = f"at least {least}" if value < least and most is None else f"{least} to {most or LARGEST}"
        raise SegmentationError(f"{name} is {value}: give a number of {allowed}.")


def check_choice(name: str, value: str, choices: Tuple[str, ...]) -> None:
    """Refuse what is none of a parameter's values."""
    if value not in choices:
        raise SegmentationError(f"{name} is '{value}': give one of {', '.join(choices)}.")


def is_statistic(name: str) -> bool:
    """Whether something is a statistic of segments: one of STATISTICS, or a percentile p01 to p99."""
    return name in STATISTICS or PERCENTILE.fullmatch(name) is not None
