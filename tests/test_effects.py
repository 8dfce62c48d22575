# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said of parameters without an effect: nothing where they have one, and the truth where they have none."""

from dataclasses import replace

import numpy as np
import pytest
from rasters import Log, run, write_raster
from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
from tiledseg.tiledseg_plugin.engine.preview import Previewer
from tiledseg.tiledseg_plugin.engine.stages.effects import Known, nothing_merged, without_effect
from zone_layers import box, line, polygon, write_layer

SHAPE = (24, 30)
QUICK = {"num_clusters": 4, "sampling": 1, "kernels": "plain", "execution": "serial"}


def raster(path, dtype=np.uint8, high=200, bands=2, levels=0):
    rng = np.random.default_rng(3)
    values = np.kron(rng.random((bands, 6, 6)), np.ones((1, 4, 5))) + rng.random((bands, *SHAPE)) * 0.2
    if levels:
        values = np.floor(values * levels) / levels
    return write_raster(path, (values * high / 1.2 + (1 if high > 1 else 0)).astype(dtype))


def said(path, tmp_path, **changes):
    log = Log()
    ids, _ = run(path, tmp_path / "out.tif", log, **{**QUICK, **changes})
    names = "MIN_PIXELS", "DISTANCE_THRESHOLD", "ZONES_OUTSIDE", "NODATA_RULE"
    return ids, [text for text in log.lines if text.startswith(names)]


@pytest.mark.parametrize("threshold", [1e-6, 0.3, 0.5, 2.0, 100.0, 200.0, 330.0, 400.0, 1e9])
@pytest.mark.parametrize("kind", ["reflectance", "bytes", "large floats", "stretched", "one colour"])
def test_a_threshold_beyond_all_distances_is_named_and_only_such(tmp_path, kind, threshold):
    path, given = tmp_path / "in.tif", {"stretch": kind in ("stretched", "one colour"), "min_pixels": 12}
    most = {"reflectance": 1.5, "bytes": 283.0, "large floats": 1.6e7, "stretched": 361.0, "one colour": 0.0}[kind]
    if kind == "one colour":
        write_raster(path, np.full((2, *SHAPE), 7, np.uint8))
    else:
        dtype = np.uint8 if kind in ("bytes", "stretched") else np.float32
        raster(path, dtype, {"reflectance": 1.0, "large floats": 1e7}.get(kind, 200))
    limited, sentences = said(path, tmp_path, distance_threshold=threshold, **given)
    unlimited, _ = said(path, tmp_path, distance_threshold=None, **given)
    named = [text for text in sentences if "DISTANCE_THRESHOLD" in text and "no effect" in text]
    if named:
        np.testing.assert_array_equal(limited, unlimited)
        assert threshold > most * 0.6 and f"{threshold:g}" in named[0]
    else:
        assert threshold <= most


def test_a_least_size_of_one_merges_nothing(tmp_path):
    ids, sentences = said(raster(tmp_path / "in.tif"), tmp_path, min_pixels=1)
    assert sentences == [
        "MIN_PIXELS is 1, so that no segment is too small and none is merged, and DISTANCE_THRESHOLD has no effect."
    ]
    for threshold in (1e-9, None):
        same, _ = said(tmp_path / "in.tif", tmp_path, min_pixels=1, distance_threshold=threshold)
        np.testing.assert_array_equal(same, ids)


@pytest.mark.parametrize("least, is_named", [(2, False), (719, False), (720, False), (721, True), (10**9, True)])
def test_a_least_size_beyond_the_raster_is_named(tmp_path, least, is_named):
    ids, sentences = said(raster(tmp_path / "in.tif"), tmp_path, min_pixels=least, distance_threshold=None)
    assert any("only 720 valid pixels" in text for text in sentences) == is_named
    if is_named:
        more, _ = said(tmp_path / "in.tif", tmp_path, min_pixels=2 * 10**9, distance_threshold=None)
        np.testing.assert_array_equal(ids, more)


def test_what_is_valid_counts_not_what_is_there(tmp_path):
    layer = write_layer(tmp_path / "zones.gpkg", [polygon(box(2, 2, 12, 12))])
    given = {"zones": layer, "zones_outside": "exclude", "distance_threshold": None}
    _, sentences = said(raster(tmp_path / "in.tif"), tmp_path, min_pixels=101, **given)
    assert any("only 100 valid pixels" in text for text in sentences)


def test_a_threshold_that_no_neighbour_is_within_is_named(tmp_path):
    _, sentences = said(raster(tmp_path / "in.tif"), tmp_path, min_pixels=20, distance_threshold=1e-9)
    assert len(sentences) == 1 and "nothing was merged" in sentences[0]
    assert "none has a larger neighbour within the DISTANCE_THRESHOLD of 1e-09" in sentences[0]
    _, sentences = said(tmp_path / "in.tif", tmp_path, min_pixels=20, distance_threshold=60.0)
    assert sentences == []


def test_more_clusters_than_colours_are_named(tmp_path):
    path = raster(tmp_path / "in.tif", bands=1, levels=3)
    log = Log()
    run(path, tmp_path / "out.tif", log, **{**QUICK, "num_clusters": 60})
    (named,) = [text for text in log.lines if "instead of 60 (NUM_CLUSTERS)" in text]
    assert "the raster has only 4 different colours" in named


def test_lines_have_no_outside_and_one_band_no_rule(tmp_path):
    layer = write_layer(tmp_path / "lines.gpkg", [line([(-1, 12.2), (40, 12.2)])])
    path = raster(tmp_path / "in.tif", bands=1)
    _, sentences = said(path, tmp_path, zones=layer, zones_outside="exclude", nodata_rule="all", min_pixels=9)
    assert [text.split(" ")[0] for text in sentences] == ["ZONES_OUTSIDE", "NODATA_RULE"]


def test_the_preview_says_so_too(tmp_path):
    from tiledseg.tiledseg_plugin.engine.files.window import Window
    from tiledseg.tiledseg_plugin.engine.progress import Feedback

    parameters = SegmentParameters(
        input=raster(tmp_path / "in.tif", np.float32, 1.0, levels=2),
        output="",
        stretch=False,
        sampling=1,
        kernels="plain",
    )
    previewer = Previewer()
    previewer.prepare(parameters, Feedback())
    window = Window(0, 0, *SHAPE[::-1])
    notes = previewer.show(parameters, window, Feedback()).notes
    assert len(notes) == 2
    assert notes[0].startswith("DISTANCE_THRESHOLD is 100, but no two colours of this raster are further apart than 1")
    assert "instead of 60 (NUM_CLUSTERS): the raster has only" in notes[1]
    fewer = replace(parameters, distance_threshold=None, min_pixels=1, num_clusters=2)
    previewer.prepare(fewer, Feedback())
    assert [note.split(",")[0] for note in previewer.show(fewer, window, Feedback()).notes] == ["MIN_PIXELS is 1"]


def test_nothing_is_said_of_what_has_an_effect():
    known = Known(1000, 441.7, None, 3)
    assert without_effect(SegmentParameters("in", "out"), known) == []
    assert nothing_merged(SegmentParameters("in", "out"), 10, 9, 3) == []
    assert nothing_merged(SegmentParameters("in", "out"), 10, 10, 0) == []
