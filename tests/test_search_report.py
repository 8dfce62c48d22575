# SPDX-License-Identifier: GPL-2.0-or-later
"""The report of a search: plots that say what the table says, pictures of the segments, and one file for all of it."""

import base64
import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from osgeo import gdal
from rasters import write_patches
from tiledseg.tiledseg_plugin.engine.parameter_search.candidates import (
    Candidate,
    SearchParameters,
    limits,
    whole_numbers,
)
from tiledseg.tiledseg_plugin.engine.parameter_search.pictures import LINE, png, with_outlines
from tiledseg.tiledseg_plugin.engine.parameter_search.plots import HEIGHT, WIDTH, Mark, Series, legend, line_plot
from tiledseg.tiledseg_plugin.engine.parameter_search.ranking import Judged, different, rank
from tiledseg.tiledseg_plugin.engine.parameter_search.search import Layers, find_parameters
from tiledseg.tiledseg_plugin.engine.products.scale_measures import Measures
from tiledseg.tiledseg_plugin.engine.progress import Feedback

SVG = "{http://www.w3.org/2000/svg}"


def points(svg):
    """[(x, y)] of the points of all lines, in their order; the ring of a mark is none."""
    circles = [one for one in ElementTree.fromstring(svg).iter(f"{SVG}circle") if one.get("fill") != "none"]
    return [(float(one.get("cx")), float(one.get("cy"))) for one in circles]


def rings(svg):
    circles = [one for one in ElementTree.fromstring(svg).iter(f"{SVG}circle") if one.get("fill") == "none"]
    return [(float(one.get("cx")), float(one.get("cy"))) for one in circles]


def test_a_plot_puts_values_where_they_belong():
    svg = line_plot("F", "size", [Series("a", [10, 100, 1000], [0.2, 0.4, 0.3])], [Mark(0, 1, "best")])
    (x1, y1), (x2, y2), (x3, y3) = points(svg)
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)  # a logarithmic axis
    assert (y1 - y3) == pytest.approx(y3 - y2, abs=0.2) and y2 < y3 < y1  # upwards is more
    assert rings(svg) == [(x2, y2)]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points(svg))


@pytest.mark.parametrize(
    "ys", [[math.nan, 1.0, 2.0], [math.nan] * 3, [0.5] * 3, [-3e-9, 0.0, 1e-12], [1e12, 2e12, 3e12], [0.0] * 3]
)
def test_a_plot_of_any_values_can_be_drawn(ys):
    svg = line_plot("a < b & c", "x", [Series("<i>", [5, 6, 7], ys)], [Mark(0, 0, "best")])
    known = sum(map(math.isfinite, ys))
    assert len(points(svg)) == known and "nan" not in svg
    assert len(rings(svg)) == int(math.isfinite(ys[0]))
    assert "<i>" not in svg  # texts are texts
    assert ElementTree.fromstring(legend(["<b>", "two"], "title")) is not None


def test_a_plot_with_one_point():
    assert len(points(line_plot("F", "size", [Series("a", [100], [0.5])], [Mark(0, 0, "best")]))) == 1


def picture(source):
    """(bands, rows, cols) of a data URI."""
    assert source.startswith("data:image/png;base64,")
    gdal.FileFromMemBuffer("/vsimem/picture.png", base64.b64decode(source.split(",")[1]))
    array = gdal.Open("/vsimem/picture.png").ReadAsArray()
    gdal.Unlink("/vsimem/picture.png")
    return array


def test_png_is_read_as_it_was_written():
    image = np.random.default_rng(1).integers(0, 256, (7, 11, 3)).astype(np.uint8)
    np.testing.assert_array_equal(picture(png(image)), image.transpose(2, 0, 1))


def test_outlines_run_between_segments():
    image = np.full((2, 3, 3), 9, np.uint8)
    lines = (with_outlines(image, np.array([[1, 1, 2], [3, 1, 2]])) == LINE).all(axis=2)
    expected = np.zeros((4, 6), bool)
    expected[:, 4] = expected[2, :2] = expected[2:, 2] = True
    np.testing.assert_array_equal(lines, expected)


def judged(*values):
    """Candidates with these F measures."""
    return [
        Judged(number, Candidate(True, 20, None, number), 20, Measures(number, 1.0, 0.1, value, value, value, 0.5), 1.0)
        for number, value in enumerate(values, 1)
    ]


def test_each_candidate_has_a_rank_of_its_own_and_the_first_of_equals_is_before_the_others():
    ordered = rank(judged(0.4, 0.7, math.nan, 0.7, 0.1), "f_measure")
    assert [row.number for row in ordered] == [2, 4, 1, 5, 3]
    assert [row.rank for row in ordered] == [1, 2, 3, 4, 5]


def test_the_pictures_show_segments_that_differ():
    rows = judged(0.7, 0.6, 0.5, 0.4)
    rows[1] = Judged(2, rows[1].candidate, 20, rows[0].measures, 1.0)
    assert [row.number for row in different(rank(rows, "f_measure"), 3)] == [1, 3, 4]


def test_lists_are_read():
    assert whole_numbers("NUM_CLUSTERS", " 20; 40 ;60;") == (20, 40, 60)
    assert whole_numbers("MIN_PIXELS", "100") == (100,)
    assert limits("DISTANCE_THRESHOLD", "0.5;none;1e2") == (0.5, None, 100.0)
    parameters = SearchParameters(
        "", "", min_pixels=(9, 4, 9), distance_thresholds=(None, 3.0, 1.0, 3.0), num_clusters=(7,)
    )
    assert parameters.sizes == (4, 9) and parameters.thresholds == (1.0, 3.0, None)
    assert parameters.candidates[0] == Candidate(True, 7, 1.0, 4) and len(parameters.candidates) == 6


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a & b <c>")
    path = write_patches(folder / "in.tif")
    parameters = SearchParameters(
        path,
        str(folder / "t.csv"),
        str(folder / "r.html"),
        num_clusters=(8, 20),
        min_pixels=(5, 20, 60),
        kernels="plain",
    )
    result = find_parameters(parameters, Layers(), Feedback())
    return result, (folder / "r.html").read_text("utf-8"), (folder / "t.csv").read_text("utf-8")


def test_the_report_holds_all_it_shows(report):
    _, text, _ = report
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert "a &amp; b &lt;c&gt;" in text and "<c>" not in text


def test_the_report_marks_the_best_in_every_plot(report):
    result, text, table = report
    best = f"NUM_CLUSTERS={result.best.num_clusters} MIN_PIXELS={result.best.min_pixels} DISTANCE_THRESHOLD=100"
    assert best in text
    plots = [svg for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL) if "circle" in svg]
    assert len(plots) == 6
    for svg in plots:
        lines = 2 * 3 if "Rate of change" not in svg else 2 * 2  # the first size has no rate
        assert len(points(svg)) == lines and set(rings(svg)) <= set(points(svg))
    assert all(rings(svg) for svg in plots[:5])
    assert text.count("<tr") == 1 + len(table.splitlines()) - 1


def test_the_pictures_are_of_segments(report):
    _, text, _ = report
    pictures = [picture(source) for source in re.findall(r'src="(data:[^"]+)"', text)]
    assert len(pictures) == 3
    for array in pictures:
        assert array.shape == (3, 180, 320)
        share = (array.transpose(1, 2, 0) == LINE).all(axis=2).mean()
        assert 0.02 < share < 0.6
