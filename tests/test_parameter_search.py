# SPDX-License-Identifier: GPL-2.0-or-later
"""The search: what is measured is what a run makes, wherever it is looked for, and the table says so."""

import csv
import math
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from oracle import measures as oracle
from osgeo import ogr, osr
from rasters import GEOTRANSFORM, UTM, Log, leftovers, read, run, write_raster
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.parameter_search import measuring
from tiledseg.tiledseg_plugin.engine.parameter_search.candidates import PolygonLayer, SearchParameters
from tiledseg.tiledseg_plugin.engine.parameter_search.search import Layers, find_parameters
from tiledseg.tiledseg_plugin.engine.progress import Feedback

MEASURES = ("segments", "mean_size", "variance", "morans_i", "goodness", "f_measure", "local_variance")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """96 x 60 pixels of two bands in other units: noisy patches, at no window's edge, and a corner without data."""
    rng = np.random.default_rng(8)
    patches = np.kron(rng.integers(20, 200, (2, 6, 12)), np.ones((1, 10, 8), int)) + rng.integers(0, 30, (2, 60, 96))
    values = np.roll(patches, (4, 3), (1, 2)).astype(np.float32) * np.array([1, 0.01], np.float32)[:, None, None]
    values[:, :20, :17] = -1
    return write_raster(tmp_path_factory.mktemp("scene") / "in.tif", values, -1)


def search(path, folder, layers=None, feedback=None, **parameters):
    """The rows of the table, and the result."""
    given = {"output": str(folder / "t.csv"), "kernels": "plain", "sampling": 3, "windows": 0, **parameters}
    result = find_parameters(SearchParameters(input=path, **given), layers or Layers(), feedback or Feedback())
    with open(folder / "t.csv", encoding="utf-8") as file:
        return [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(file)], result


def segments_of(path, folder, row):
    """OUTPUT of a run with the parameters of a row."""
    threshold = None if math.isnan(row["distance_threshold"]) else row["distance_threshold"]
    parameters = {name: int(row[name]) for name in ("num_clusters", "min_pixels")}
    chosen = {"stretch": bool(row["stretch"]), "distance_threshold": threshold, **parameters}
    ids, result = run(path, folder / "o.tif", kernels="plain", sampling=3, execution="serial", **chosen)
    return ids, result


def deviations_of(path):
    values = read(path)
    return values[:, values[0] != -1].astype(np.float64).std(axis=1)


def assert_measured(row, ids, path, part=(slice(None), slice(None))):
    """A row against the slow computation on a part of the segments of a run."""
    expected = oracle.unsupervised(ids[part], read(path)[:, part[0], part[1]].astype(np.float64), deviations_of(path))
    np.testing.assert_allclose([row[name] for name in MEASURES], expected, rtol=1e-6, atol=1e-9)


def test_every_candidate_is_measured_on_what_its_own_run_makes(scene, tmp_path):
    lists = {"num_clusters": (5, 12), "min_pixels": (30, 4, 11, 4), "distance_thresholds": (None, 25.0)}
    rows, result = search(scene, tmp_path, stretch="both", **lists)
    assert len(rows) == result.candidate_count == 2 * 2 * 2 * 3
    tried = {(row["stretch"], row["num_clusters"], row["distance_threshold"], row["min_pixels"]) for row in rows}
    assert len({str(one) for one in tried}) == len(rows)
    for row in rows[::2]:  # of each combination one size or two
        ids, _ = segments_of(scene, tmp_path, row)
        assert_measured(row, ids, scene)


def test_the_best_is_named_once_and_the_ranks_are_those_of_the_criterion(scene, tmp_path):
    rows, result = search(scene, tmp_path, num_clusters=(5, 12), min_pixels=(4, 30, 200))
    assert sorted(row["rank"] for row in rows) == list(range(1, 7))
    ordered = sorted(rows, key=lambda row: row["rank"])
    assert [row["f_measure"] for row in ordered] == sorted((row["f_measure"] for row in rows), reverse=True)
    best = ordered[0]
    assert (result.best.num_clusters, result.best.min_pixels) == (best["num_clusters"], best["min_pixels"])
    assert result.best.stretch is True and result.best.distance_threshold == 100 and result.score == best["f_measure"]


def test_candidates_with_the_same_segments_share_values_and_the_first_is_the_best(scene, tmp_path):
    """Both distance thresholds are beyond any distance, so that nothing tells the candidates apart."""
    rows, result = search(scene, tmp_path, num_clusters=(5,), min_pixels=(9,), distance_thresholds=(None, 900.0, 800.0))
    assert [row["rank"] for row in rows] == [1, 2, 3] and len({row["f_measure"] for row in rows}) == 1
    assert result.best.distance_threshold == 800 and rows[0]["distance_threshold"] == 800


def test_a_candidate_with_one_segment_has_no_score_and_leaves_those_of_others(scene, tmp_path):
    alone, _ = search(scene, tmp_path, num_clusters=(5,), min_pixels=(9,), distance_thresholds=(None,))
    rows, result = search(scene, tmp_path, num_clusters=(5,), min_pixels=(9, 10**6), distance_thresholds=(None,))
    assert rows[1]["segments"] == 1 and math.isnan(rows[1]["f_measure"]) and rows[1]["rank"] == 2
    assert [rows[0][name] for name in MEASURES] == [alone[0][name] for name in MEASURES]
    assert result.best.min_pixels == 9
    log = Log()
    search(scene, tmp_path, feedback=log, num_clusters=(5,), min_pixels=(10**6,), distance_thresholds=(None,))
    assert any("No candidate has a value of f_measure" in line for line in log.lines)


def test_windows_are_measured_on_what_a_run_on_the_whole_raster_makes(scene, tmp_path):
    """The margin takes in the whole raster here, so segments are the very same; what is measured ends at the window."""
    rows, result = search(scene, tmp_path, num_clusters=(8,), min_pixels=(12, 40), windows=1, window_size=50)
    assert result.area_count == 1
    for row in rows:
        ids, _ = segments_of(scene, tmp_path, row)
        parts = [(slice(top, top + 30), slice(left, left + 48)) for top in (0, 30) for left in (0, 48)]
        fitting = [part for part in parts if np.isclose(oracle_segments(ids, part), row["segments"])]
        assert fitting
        for part in fitting[:1]:
            assert_measured(row, ids, scene, part)


def oracle_segments(ids, part):
    return len(oracle.pixels_of(ids[part]))


def layer(rectangles, crs=UTM):
    """Rectangles (col, row, width, height) of the scene's pixels as polygons in a coordinate system."""
    left, size, _, top, _, _ = GEOTRANSFORM
    systems = [osr.SpatialReference(), osr.SpatialReference()]
    for system, name in zip(systems, (UTM, crs)):
        system.SetFromUserInput(name)
        system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    change = osr.CoordinateTransformation(*systems)
    polygons = []
    for col, row, width, height in rectangles:
        x, y = [left + size * (col + step) for step in (0, width)], [top - size * (row + step) for step in (0, height)]
        points = [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1]), (x[0], y[0])]
        text = ",".join(f"{one} {other}" for one, other in points)
        polygon = ogr.CreateGeometryFromWkt(f"POLYGON(({text}))")
        polygon.Segmentize(size)
        polygon.Transform(change)
        polygons.append(bytes(polygon.ExportToWkb()))
    return PolygonLayer(tuple(polygons), systems[1].ExportToWkt(), systems[0].ExportToWkt())


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
def test_regions_in_any_coordinate_system(scene, tmp_path, crs):
    layers = Layers(regions=layer([(30, 5, 40, 33)], crs))
    rows, result = search(scene, tmp_path, layers, num_clusters=(8,), min_pixels=(12,))
    ids, _ = segments_of(scene, tmp_path, rows[0])
    assert result.area_count == 1
    assert_measured(rows[0], ids, scene, (slice(5, 38), slice(30, 70)))


def test_a_pixel_in_two_regions_counts_once(scene, tmp_path):
    one, _ = search(scene, tmp_path, Layers(regions=layer([(30, 5, 40, 33)])), num_clusters=(8,), min_pixels=(12,))
    again = Layers(regions=layer([(30, 5, 40, 33), (40, 10, 20, 20)]))
    both, _ = search(scene, tmp_path, again, num_clusters=(8,), min_pixels=(12,))
    for name in MEASURES:
        assert one[0][name] == both[0][name]


def test_reference_polygons(scene, tmp_path):
    """Four lie over patches; one reaches beyond the raster, and one has no valid pixel."""
    boxes = [(40, 10, 8, 10), (48, 20, 16, 10), (33, 31, 20, 15), (80, 40, 8, 20), (90, 50, 20, 20), (2, 2, 5, 5)]
    given = {"num_clusters": (6, 14), "min_pixels": (5, 30), "polygon_table": str(tmp_path / "p.csv")}
    log = Log()
    rows, result = search(scene, tmp_path, Layers(reference=layer(boxes)), log, **given)
    assert result.polygon_count == 4 and any("5 of 6 reference polygons" in line for line in log.lines)
    with open(tmp_path / "p.csv", encoding="utf-8") as file:
        one_by_one = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert len(one_by_one) == 4 * len(rows)
    for row in rows:
        ids, _ = segments_of(scene, tmp_path, row)
        segments = oracle.pixels_of(ids)
        polygons = [
            {(r, c) for r in range(top, top + height) for c in range(left, left + width)}
            for left, top, width, height in boxes[:4]
        ]
        expected = [oracle.of_polygon(polygon, segments) for polygon in polygons]
        own = [line for line in one_by_one if line["candidate"] == row["candidate"]]
        assert [line["polygon"] for line in own] == [1, 2, 3, 4]
        names = ("segments", "over", "under", "rms", "quality_rate", "iou")
        np.testing.assert_allclose([[line[name] for name in names] for line in own], expected, atol=1e-9)
        np.testing.assert_allclose([row[name] for name in names[1:]], np.mean(expected, axis=0)[1:], atol=1e-9)
        np.testing.assert_allclose([row[n] for n in ("pse", "nsr", "ed2")], oracle.ed2(polygons, segments), atol=1e-9)
    assert min(rows, key=lambda row: row["rms"])["rank"] == 1


def test_polygons_of_a_run_are_matched_by_its_parameters_alone(scene, tmp_path):
    run(scene, tmp_path / "o.tif", polygons=str(tmp_path / "o.gpkg"), num_clusters=9, min_pixels=20, sampling=3)
    dataset = ogr.Open(str(tmp_path / "o.gpkg"))
    shapes = tuple(bytes(feature.GetGeometryRef().ExportToWkb()) for feature in dataset.GetLayer(0))
    crs = dataset.GetLayer(0).GetSpatialRef().ExportToWkt()
    layers = Layers(reference=PolygonLayer(shapes, crs, crs))
    rows, result = search(scene, tmp_path, layers, num_clusters=(5, 9, 14), min_pixels=(5, 20, 60))
    assert (result.best.num_clusters, result.best.min_pixels, result.score) == (9, 20, 0)
    assert result.polygon_count == len(shapes)
    for row in rows:
        perfect = [row[name] for name in ("over", "under", "rms", "quality_rate", "iou", "pse", "nsr", "ed2")]
        assert (perfect == [0, 0, 0, 0, 1, 0, 0, 0]) == (row["rank"] == 1)


@pytest.mark.parametrize("criterion", ["goodness", "iou", "ed2"])
def test_criteria(scene, tmp_path, criterion):
    layers = Layers(reference=layer([(40, 10, 8, 10), (48, 20, 16, 10)]))
    rows, _ = search(scene, tmp_path, layers, num_clusters=(6, 14), min_pixels=(5, 30, 90), criterion=criterion)
    best = min if criterion == "ed2" else max
    assert best(rows, key=lambda row: row[criterion])[criterion] == next(r for r in rows if r["rank"] == 1)[criterion]


def test_an_extent_is_a_raster_of_its_own(scene, tmp_path):
    window = (30, 10, 60, 45)
    cut = write_raster(tmp_path / "cut.tif", read(scene)[:, 10:55, 30:90], -1)
    lists = {"num_clusters": (8,), "min_pixels": (9, 30)}
    boxes = layer([(48, 20, 16, 10)])
    moved = replace(boxes, polygons=layer([(18, 10, 16, 10)]).polygons)
    part, _ = search(scene, tmp_path, Layers(reference=boxes), extent=window, **lists)
    whole, _ = search(cut, tmp_path, Layers(reference=moved), **lists)
    assert str(part) == str(whole)  # NaN is none of its equals


def test_the_number_of_workers_and_the_kernels_change_nothing(scene, tmp_path):
    lists = {"num_clusters": (6, 9), "min_pixels": (5, 30), "windows": 3, "window_size": 50}
    expected, *others = (
        str(search(scene, tmp_path, **{**lists, "workers": workers, "kernels": kernels})[0])
        for workers, kernels in ((1, "plain"), (3, "plain"), (2, "auto"))
    )
    assert others == [expected] * 2


@pytest.mark.parametrize(
    ("layers", "parameters", "message"),
    [
        (Layers(regions=layer([(300, 5, 9, 9)])), {}, "No polygon of REGIONS lies over"),
        (Layers(reference=layer([(300, 5, 9, 9)])), {}, "No polygon of REFERENCE lies over"),
        (Layers(regions=layer([(2, 2, 9, 9)])), {}, "has no valid pixel where candidates are measured"),
        (Layers(regions=PolygonLayer(())), {}, "REGIONS has no polygons"),
        (Layers(reference=layer([(2, 2, 9, 9)])), {}, "No polygon of REFERENCE has a valid pixel"),
        (Layers(reference=layer([(90, 50, 40, 40)])), {}, "No polygon of REFERENCE lies as a whole"),
        (Layers(reference=layer([(2, 2, 9, 9)])), {"extent": (50, 20, 30, 30)}, "No polygon of REFERENCE lies over EX"),
        (Layers(), {"criterion": "rms"}, "CRITERION=rms needs reference polygons"),
        (Layers(), {"polygon_table": "p.csv"}, "POLYGON_TABLE needs reference polygons"),
        (Layers(), {"report": "r.txt"}, "REPORT r.txt is no HTML file"),
        (Layers(), {"output": "t.xyz"}, "ends in '.xyz'"),
        (Layers(), {"num_clusters": ()}, "NUM_CLUSTERS is empty"),
        (Layers(), {"num_clusters": (1,)}, "NUM_CLUSTERS is 1: give a number of 2 to"),
        (Layers(), {"min_pixels": (0,)}, "MIN_PIXELS is 0: give a number of at least 1"),
        (Layers(), {"distance_thresholds": (0.0,)}, "DISTANCE_THRESHOLD has 0: give numbers above 0"),
        (Layers(), {"min_pixels": tuple(range(1, 1200)), "stretch": "both"}, "make 2398 candidates, more than 2000"),
        (Layers(), {"window_size": 10}, "WINDOW_SIZE is 10: give a number of at least 50"),
        (Layers(), {"criterion": "best"}, "CRITERION is 'best': give one of auto"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(scene, tmp_path, layers, parameters, message):
    with pytest.raises(SegmentationError, match=message) as raised:
        search(scene, tmp_path, layers, **{"num_clusters": (4,), "min_pixels": (9,), **parameters})
    assert "\n" not in str(raised.value) and leftovers(tmp_path, ()) == []


def test_cancelling_leaves_nothing(scene, tmp_path, monkeypatch):
    """Whenever the user cancels: each call of the feedback is one at which it may happen."""

    class CancelledAt(Feedback):
        def __init__(self, calls):
            self.left = calls

        def is_cancelled(self):
            self.left -= 1
            return self.left < 0

    for calls in (0, 3, 8, 14):
        with pytest.raises(Cancelled):
            search(scene, tmp_path, feedback=CancelledAt(calls), report=str(tmp_path / "r.html"), min_pixels=(5, 9))
        assert leftovers(tmp_path, ()) == []


def test_cancelling_does_not_wait_for_the_candidates(scene, tmp_path, monkeypatch):
    begun, cancelled_at = threading.Event(), []

    class Impatient(Feedback):
        def is_cancelled(self):
            if begun.is_set() and not cancelled_at:
                cancelled_at.append(time.monotonic())
            return begun.is_set()

    def endless(kernel, clumps, rules, advance):
        begun.set()
        while True:
            advance(0.5)
            time.sleep(0.01)

    monkeypatch.setattr(measuring, "eliminate_to_levels", endless)
    with pytest.raises(Cancelled):
        search(scene, tmp_path, feedback=Impatient())
    assert time.monotonic() - cancelled_at[0] < 2
