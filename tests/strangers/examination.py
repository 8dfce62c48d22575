# SPDX-License-Identifier: GPL-2.0-or-later
"""Every operation on one raster, each result checked; runs in a process of its own (see `isolation`)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import numpy as np
from osgeo import gdal
from tiledseg.tiledseg_plugin.engine import kernels
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.parameters import PreflightParameters, SegmentParameters
from tiledseg.tiledseg_plugin.engine.preflight import preflight
from tiledseg.tiledseg_plugin.engine.products.segment_polygons import (
    MeanImageParameters,
    PolygonsParameters,
    segment_mean_image,
    segment_polygons,
)
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from tiledseg.tiledseg_plugin.engine.segmentation import segment

from . import checks
from .rule import Rule, rule_of

MIN_PIXELS = 4
TILE = (17, 16)
MOST_TILES = 20  # across and down
QUICK = {"num_clusters": 8, "min_pixels": MIN_PIXELS, "sampling": 1}
OTHER_SET = "plain"
LONGEST_SENTENCE = 1500
PARTS = 3
OUTPUTS, TILINGS, PRODUCTS = range(PARTS)


def best_kernels() -> str:
    """The set that users have here; it is loaded."""
    try:
        kernels.choose("compiled")
    except SegmentationError:
        return "plain"  # numba is not there
    return "compiled"


@dataclass(frozen=True)
class Request:
    """What is to be examined.

    source : what GDAL opens
    scratch : an empty folder for outputs
    valid : path of a (rows, cols) bool array that is known to be right, or None
    refused : words of the sentence it must be refused with, or empty
    either : whether it may be refused, or segmented
    limited : with the default distance threshold, or without
    part : of 0 .. PARTS - 1, only these of the operations, see `check_all`; None for all
    """

    source: str
    scratch: str
    valid: Optional[str] = None
    refused: str = ""
    either: bool = True
    limited: bool = True
    part: Optional[int] = None


@dataclass(frozen=True)
class Ending:
    """How an examination ended: `right`, `refused` or `fault`, the reason in one sentence, and its processor time."""

    kind: str
    text: str
    seconds: float = 0.0


class Refused(Exception):
    """The engine has refused the raster in one sentence."""


def examine(request: Request) -> Ending:
    """Run everything on a raster.

    Raises
    ------
    Exception : whatever the engine lets out besides its own errors, which is a fault
    """
    gdal.DontUseExceptions()
    gdal.PushErrorHandler("CPLQuietErrorHandler")  # of what is read here
    try:
        return _examine(_Examination(request))
    except checks.Wrong as wrong:
        return Ending("fault", f"wrong: {wrong}")
    finally:
        gdal.PopErrorHandler()


def _examine(examination: "_Examination") -> Ending:
    try:
        ids = examination.segment()
    except Refused as refused:
        return examination.after_refusal(str(refused))
    expected = examination.request.refused
    if expected:
        return Ending("fault", f"{int(ids.max())} segments where it must be refused with '{expected}'")
    examination.check_all(ids)
    return Ending("right", f"{int(ids.max())} segments of {int((ids > 0).sum())} pixels")


def is_a_sentence(text: str) -> str:
    """What is wrong with a message as one sentence for a user; empty if nothing is."""
    if "\n" in text or "\r" in text:
        return "the message has several lines"
    if not text.endswith((".", "!", "?")):
        return "the message does not end as a sentence does"
    if len(text) > LONGEST_SENTENCE:
        return f"the message has {len(text)} letters"
    if "Traceback" in text or "object at 0x" in text:
        return "the message is for programmers"
    return ""


class _Examination:
    """What the steps share."""

    def __init__(self, request: Request):
        self.request = request
        self.folder = Path(request.scratch) / "out"
        self.folder.mkdir()
        self.threshold = 100.0 if request.limited else None
        self.kept: set = set()

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def attempt(self, what: str, operation: Callable[[Any, Feedback], Any], parameters: Any, made: tuple = ()) -> Any:
        """One operation; its refusal is one sentence and leaves nothing. `made` are the names it may make."""
        before = {path.name for path in self.folder.iterdir()}
        gdal.PushErrorHandler("CPLDefaultErrorHandler")  # what the engine lets through is seen
        try:
            result = operation(parameters, Feedback())
        except (SegmentationError, MemoryError) as error:
            text = str(error) or "There is not enough memory."
            fault = is_a_sentence(text)
            if fault:
                raise checks.Wrong(f"{what}: {fault}: {text!r}") from error
            left = {path.name for path in self.folder.iterdir()} - before
            if left:
                raise checks.Wrong(f"{what} is refused ({text}) and leaves {sorted(left)}") from error
            raise Refused(text) from error
        finally:
            gdal.PopErrorHandler()
        left = {path.name for path in self.folder.iterdir()} - before - set(made)
        checks.require(not left, f"{what} leaves {sorted(left)}")
        return result

    def run(self, name: str, **parameters: Any) -> tuple:
        """One segmentation: (ids, result)."""
        output = self.path(f"{name}.tif")
        made = [Path(path).name for key, path in parameters.items() if key in ("mean_image", "polygons")]
        names = (
            f"{name}.tif",
            f"{name}.tif.aux.xml",
            f"{name}.qml",
            f"{name}_report.json",
            f"{name}_attributes.gpkg",
            *made,
        )
        asked = SegmentParameters(
            self.request.source, output, distance_threshold=self.threshold, **{**QUICK, **parameters}
        )
        result = self.attempt("segment", segment, asked, names)
        return gdal.Open(output).ReadAsArray(), result

    def segment(self) -> np.ndarray:
        """The untiled run, with all outputs if they are to be examined."""
        products = {"mean_image": self.path("means.tif"), "polygons": self.path("outlines.gpkg")}
        products = products if self._examines(OUTPUTS) else {}
        ids, self.result = self.run("untiled", kernels=best_kernels(), execution="serial", workers=1, **products)
        return ids

    def _examines(self, part: int) -> bool:
        return self.request.part in (None, part)

    def check_all(self, ids: np.ndarray) -> None:
        """Hold the first result, and those of the other operations, against arrays and each other.

        Parts are the other outputs of the run, other tilings, and the algorithms that need no run.
        """
        rule = rule_of(self.request.source)
        valid = self._check_validity(ids, rule)
        checks.check_sizes(ids, MIN_PIXELS, self.request.limited, self.result.undersized_segments)
        counts = (int(ids.max()), int(valid.sum()))
        checks.require(
            (self.result.segment_count, self.result.valid_pixels) == counts, f"the numbers returned are not {counts}"
        )
        if self._examines(TILINGS):
            self._check_tilings(ids)
        checks.check_reference(self.request.source, self.path("untiled.tif"))
        described = [rule.described(index) for index in range(len(rule.numbers))]
        checks.check_table(self.path("untiled.tif"), ids, rule.numbers, described)
        if self._examines(OUTPUTS):
            everywhere = [np.ones(ids.shape, bool)] * len(described)
            checks.check_mean_image(self.path("means.tif"), ids, described, everywhere, "MEAN_IMAGE")
            checks.check_polygons(self.path("outlines.gpkg"), ids, self._transform(), "POLYGONS")
        if self._examines(PRODUCTS):
            self._check_preflight(rule, valid)
            self._check_products(ids, rule)

    def _check_validity(self, ids: np.ndarray, rule: Rule) -> np.ndarray:
        known = None if self.request.valid is None else np.load(self.request.valid)
        by_gdal = rule.valid("any")
        checks.require(
            known is None or np.array_equal(known, by_gdal),
            "the rule does not say of the raster what its maker knows: mend the test",
        )
        checks.check_ids(ids, by_gdal)
        return by_gdal

    def _check_tilings(self, ids: np.ndarray) -> None:
        """Both tiled runs, or one of them, must end with the same."""
        width, height = self._tile(ids.shape)
        for name, parameters in {
            "tiled": {"execution": "threads", "workers": 2, "kernels": best_kernels()},
            "plain": {"execution": "serial", "workers": 1, "kernels": OTHER_SET},
        }.items():
            parameters = {**parameters, "tile_width": width, "tile_height": height}
            if self.request.part is not None and (name == "plain") is not self.request.limited:
                continue
            try:
                again, _ = self.run(name, **parameters)
            except Refused as refused:
                raise checks.Wrong(f"{name}: refused where the untiled run was not: {refused}") from refused
            checks.require(np.array_equal(again, ids), f"the {name} run differs in {int((again != ids).sum())} pixels")

    @staticmethod
    def _tile(shape: tuple) -> tuple:
        """An odd and small tile, but not so small that there are very many."""
        rows, cols = shape
        return max(TILE[0], cols // MOST_TILES | 1), max(TILE[1], rows // MOST_TILES)

    def _transform(self) -> tuple:
        dataset = gdal.Open(self.request.source)
        transform = dataset.GetGeoTransform(can_return_null=True)
        if transform in (None, checks.NO_TRANSFORM) and dataset.GetGCPCount():
            transform = gdal.GCPsToGeoTransform(dataset.GetGCPs())
        return transform or (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)

    def _check_preflight(self, rule: Rule, valid: np.ndarray) -> None:
        width, height = self._tile(valid.shape)
        for name in ("any", "all"):
            asked = PreflightParameters(
                self.request.source, nodata_rule=name, tile_width=width, tile_height=height, workers=1
            )
            result = self._must("preflight", preflight, asked)
            checks.check_preflight(result.records, rule.valid(name), name, width, height)

    def _check_products(self, ids: np.ndarray, rule: Rule) -> None:
        """Statistics, mean image and polygons of OUTPUT with the raster itself as VALUES."""
        segments, source = self.path("untiled.tif"), self.request.source
        described = [rule.described(index) for index in range(len(rule.numbers))]
        shared: Dict[str, Any] = {"execution": "serial", "workers": 1}
        wanted = ("mean", "std", "min", "max", "sum", "count", "median")
        table = StatisticsParameters(segments, source, self.path("table.csv"), statistics=wanted, **shared)
        self._must("statistics", segment_statistics, table, ("table.csv", "table.csvt"))
        checks.check_statistics(self.path("table.csv"), ids, rule.numbers, described, rule.band_valid)
        means = MeanImageParameters(segments, source, self.path("image.tif"), **shared)
        self._must("mean image", segment_mean_image, means, ("image.tif", "image.tif.aux.xml"))
        checks.check_mean_image(self.path("image.tif"), ids, described, rule.band_valid, "the mean image")
        if self.request.part is not None:
            return
        polygons = PolygonsParameters(segments, self.path("polygons.gpkg"), **shared)
        self._must("polygons", segment_polygons, polygons, ("polygons.gpkg",))
        checks.check_polygons(self.path("polygons.gpkg"), ids, self._transform(), "the polygons")
        self._as_segments()

    def _must(self, what: str, operation: Callable, parameters: Any, made: tuple = ()) -> Any:
        try:
            return self.attempt(what, operation, parameters, made)
        except Refused as refused:
            raise checks.Wrong(f"{what} is refused: {refused}") from refused

    def _as_segments(self) -> None:
        """The raster itself taken for segments: whatever comes of it, it is no fault."""
        asked = PolygonsParameters(self.request.source, self.path("own.gpkg"), execution="serial", workers=1)
        try:
            self.attempt("polygons of the raster itself", segment_polygons, asked, ("own.gpkg",))
        except Refused:
            pass

    def after_refusal(self, text: str) -> Ending:
        """What is refused by one operation is refused, or harmless, in all others."""
        if not (self.request.refused or self.request.either):
            return Ending("fault", f"refused: {text}")
        if self.request.refused not in text.lower():
            return Ending("fault", f"refused, but not with '{self.request.refused}': {text}")
        source, shared = self.request.source, {"execution": "serial", "workers": 1}
        segments = self.path("segments.tif")
        _make_segments(segments)
        table = StatisticsParameters(segments, source, self.path("table.csv"), **shared)
        polygons = PolygonsParameters(source, self.path("own.gpkg"), **shared)
        for what, operation, parameters, made in (
            ("preflight", preflight, PreflightParameters(source), ()),
            ("statistics", segment_statistics, table, ("table.csv", "table.csvt")),
            ("polygons", segment_polygons, polygons, ("own.gpkg",)),
        ):
            try:
                self.attempt(what, operation, parameters, made)
            except Refused:
                pass
        return Ending("refused", text)


def _make_segments(path: str) -> None:
    dataset = gdal.GetDriverByName("GTiff").Create(path, 8, 8, 1, gdal.GDT_UInt32)
    dataset.SetGeoTransform((500000.0, 10.0, 0.0, 6000000.0, 0.0, -10.0))
    dataset.WriteArray(np.arange(1, 65, dtype=np.uint32).reshape(8, 8))
    dataset.FlushCache()
