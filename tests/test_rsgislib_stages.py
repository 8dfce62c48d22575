# SPDX-License-Identifier: GPL-2.0-or-later
"""ENGINE=rsgislib without RSGISLib: the three stages over our own kernels, and what is said where it is missing."""

import os
import sys

import numpy as np
import pytest
from own_kernels import OwnKernels
from rasters import Log, leftovers, read, run, write_raster
from tiledseg.tiledseg_plugin.engine import rsgislib as rsgislib_engine
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.rsgislib import availability
from tiledseg.tiledseg_plugin.engine.rsgislib import run as stages
from tiledseg.tiledseg_plugin.engine.rsgislib.availability import Availability

ndimage = pytest.importorskip("scipy.ndimage", reason="the tests compare with scipy, which is not installed")

SMALL = {"engine": "rsgislib", "execution": "serial", "min_pixels": 12, "num_clusters": 12, "sampling": 5}


@pytest.fixture
def log(tmp_path):
    return tmp_path / "calls.txt"


@pytest.fixture
def own_kernels(monkeypatch, log):
    """Our own kernels in the place of RSGISLib; each call is a line of `log`."""
    monkeypatch.setattr(rsgislib_engine, "require", lambda: Availability("5", False, ""))
    monkeypatch.setattr(
        stages,
        "segmenter_for",
        lambda parameters: OwnKernels(parameters.min_pixels, parameters.distance_threshold, str(log)),
    )


@pytest.fixture(scope="module")
def textured(tmp_path_factory):
    """A raster of 3 bands with texture at several scales, an empty corner, and a sliver of data in an empty tile."""
    rng = np.random.default_rng(11)
    values = sum(
        np.kron(rng.integers(0, 60, (3, -(-140 // step), -(-170 // step))), np.ones((1, step, step), int))[
            :, :140, :170
        ]
        for step in (3, 9, 25)
    )
    values = (values + rng.integers(1, 12, (3, 140, 170))).astype(np.uint8)
    values[:, :60, :58] = 0
    values[:, 80:, 120:] = 0
    values[:, 85:90, 125:130] = 99
    return write_raster(tmp_path_factory.mktemp("stages") / "textured.tif", values, nodata=0)


def calls(log, stage):
    return [line for line in log.read_text().split() if line.startswith(f"stage{stage}")]


def is_cut(ids, line, axis):
    """(share of different neighbours across a line, share across all other lines)."""
    ids = np.moveaxis(ids, axis, 0)
    different = ((ids[1:] != ids[:-1]) & (ids[1:] != 0) & (ids[:-1] != 0)).mean(axis=1)
    return different[line - 1], np.delete(different, line - 1).mean()


def assert_partition(ids, valid):
    """Ids without gaps in raster order of first pixels, each a connected region, all valid pixels and no others."""
    assert np.array_equal(ids != 0, valid)
    present, first = np.unique(ids[valid], return_index=True)
    assert np.array_equal(present, np.arange(1, present.size + 1))
    assert (np.diff(first) > 0).all()
    for segment, box in enumerate(ndimage.find_objects(ids), 1):
        assert ndimage.label(ids[box] == segment)[1] == 1


def test_all_valid_pixels_are_in_one_connected_segment(own_kernels, textured, tmp_path):
    ids, result = run(textured, tmp_path / "out.tif", tile_width=50, tile_height=40, **SMALL)
    values = read(textured)
    assert_partition(ids, (values != 0).all(axis=0))
    assert result.valid_pixels == (ids != 0).sum()
    assert result.segment_count == ids.max() > 50
    assert result.undersized_segments == (np.bincount(ids[ids != 0])[1:] < 12).sum()


def test_no_tile_border_is_a_line_of_segment_borders(own_kernels, textured, tmp_path):
    ids, _ = run(textured, tmp_path / "out.tif", tile_width=85, tile_height=200, **SMALL)
    across, elsewhere = is_cut(ids, 85, axis=1)
    assert across < 2 * elsewhere < 0.7


def test_segments_away_from_borders_are_those_of_the_tile(own_kernels, textured, tmp_path):
    tiled, _ = run(textured, tmp_path / "a.tif", tile_width=85, tile_height=200, **SMALL)
    builtin, _ = run(textured, tmp_path / "b.tif", **{**SMALL, "engine": "builtin"})
    assert np.array_equal(np.diff(tiled[:, :20]) != 0, np.diff(builtin[:, :20]) != 0)


@pytest.mark.parametrize("execution", ["serial", "processes"])
def test_result_does_not_depend_on_the_execution(own_kernels, textured, tmp_path, execution):
    if execution == "processes":
        pytest.importorskip("pathos")
    expected, _ = run(textured, tmp_path / "a.tif", tile_width=50, tile_height=40, **SMALL)
    parameters = {**SMALL, "execution": execution, "workers": 2}
    ids, _ = run(textured, tmp_path / "b.tif", tile_width=50, tile_height=40, **parameters)
    assert np.array_equal(ids, expected)


def test_a_worker_that_dies_is_replaced(own_kernels, textured, tmp_path, log, monkeypatch):
    pytest.importorskip("pathos")
    if sys.platform == "win32":
        pytest.skip("a process cannot kill itself with a signal on Windows")
    expected, _ = run(textured, tmp_path / "a.tif", tile_width=50, tile_height=40, **SMALL)
    log.unlink()
    monkeypatch.setattr(stages, "segmenter_for", lambda parameters: OwnKernels(12, 100.0, str(log), "stage2-0000003"))
    feedback = Log()
    parameters = {**SMALL, "execution": "processes", "workers": 2}
    ids, _ = run(textured, tmp_path / "b.tif", feedback, tile_width=50, tile_height=40, **parameters)
    assert np.array_equal(ids, expected)
    assert calls(log, 2).count("stage2-0000003") == 2
    assert any("Part 3 of stage 2" in line for line in feedback.lines)


def test_untiled_is_left_to_rsgislib_alone(own_kernels, textured, tmp_path, log):
    ids, _ = run(textured, tmp_path / "out.tif", **SMALL)
    assert np.array_equal(ids, (read(textured)[0] != 0).astype(np.uint32))
    assert log.read_text().split() == ["stage1-0000001"]


def test_empty_tiles_are_left_out_and_sparse_ones_merged(own_kernels, textured, tmp_path, log):
    _, result = run(textured, tmp_path / "out.tif", tile_width=57, tile_height=60, **SMALL)
    assert (result.tile_count, result.empty_tiles) == (9, 1)
    assert result.sparse_tiles >= 1
    assert len(calls(log, 1)) == 9 - 1 - result.sparse_tiles


def test_an_interrupted_run_goes_on_where_it_was(own_kernels, textured, tmp_path, log):
    expected, _ = run(textured, tmp_path / "a.tif", tile_width=50, tile_height=40, **SMALL)
    whole = len(log.read_text().split())
    work, parameters = tmp_path / "work", {**SMALL, "tile_width": 50, "tile_height": 40}
    for cancel_at in (30, 68, 79):
        with pytest.raises(Cancelled):
            run(textured, tmp_path / "b.tif", Log(cancel_at), work_dir=str(work), **parameters)
        assert not (tmp_path / "b.tif").exists()
    assert not [name for name in os.listdir(work) if "rsgislib" in name]
    ids, _ = run(textured, tmp_path / "b.tif", work_dir=str(work), **parameters)
    assert np.array_equal(ids, expected)
    assert not work.exists() or not os.listdir(work)
    # at most what was under way at each interruption is done twice
    assert len(log.read_text().split()) <= 2 * whole + 3


def test_a_damaged_file_is_made_anew_with_all_that_follows_from_it(own_kernels, textured, tmp_path):
    expected, _ = run(textured, tmp_path / "a.tif", tile_width=50, tile_height=40, **SMALL)
    work, parameters = tmp_path / "work", {**SMALL, "tile_width": 50, "tile_height": 40}
    with pytest.raises(Cancelled):
        run(textured, tmp_path / "b.tif", Log(80), work_dir=str(work), **parameters)
    victim = sorted(work.glob("*stage1-*.raw"))[2]
    victim.write_bytes(b"\0" * victim.stat().st_size)
    ids, _ = run(textured, tmp_path / "b.tif", work_dir=str(work), **parameters)
    assert np.array_equal(ids, expected)


def test_side_files_stay_in_the_work_folder_and_go(own_kernels, textured, tmp_path):
    work = tmp_path / "work"
    (tmp_path / "out").mkdir()
    before = leftovers(os.path.dirname(textured), ())
    run(textured, tmp_path / "out" / "out.tif", tile_width=50, work_dir=str(work), **SMALL)
    assert leftovers(tmp_path / "out", {"out.tif", "out.tif.aux.xml", "out.qml", "out_report.json"}) == []
    assert leftovers(os.path.dirname(textured), ()) == before
    assert not work.exists() or not os.listdir(work)


def test_what_rsgislib_says_goes_to_the_debug_log(own_kernels, textured, tmp_path, capfd):
    said = []
    feedback = Log()
    feedback.debug = said.append
    run(textured, tmp_path / "out.tif", feedback, tile_width=50, **SMALL)
    assert "said something" in said
    assert not any("said something" in line for line in feedback.lines)
    assert capfd.readouterr().out == ""


def test_each_tile_can_have_its_own_statistics(own_kernels, textured, tmp_path):
    parameters = {**SMALL, "tile_width": 85, "tile_height": 70}
    alike, _ = run(textured, tmp_path / "a.tif", **parameters)
    own, _ = run(textured, tmp_path / "b.tif", per_tile_statistics=True, **parameters)
    assert_partition(own, alike != 0)
    assert not np.array_equal(own, alike)


def test_a_tile_with_few_colours_gets_fewer_clusters(own_kernels, tmp_path):
    rng = np.random.default_rng(3)
    values = rng.integers(1, 250, (2, 40, 80)).astype(np.uint8)
    values[:, :, 40:] = 7
    path, feedback = write_raster(tmp_path / "in.tif", values, nodata=0), Log()
    ids, _ = run(path, tmp_path / "out.tif", feedback, tile_width=40, per_tile_statistics=True, **SMALL)
    assert_partition(ids, np.ones((40, 80), bool))
    assert any("1 cluster instead of 12" in line for line in feedback.lines)


def test_values_without_a_stretch_may_be_zero(own_kernels, tmp_path):
    rng = np.random.default_rng(5)
    values = rng.integers(-1, 2, (1, 60, 60)).astype(np.float32)
    values[0, :5] = -999
    path = write_raster(tmp_path / "in.tif", values, nodata=-999)
    ids, _ = run(path, tmp_path / "out.tif", tile_width=25, tile_height=25, stretch=False, **SMALL)
    assert_partition(ids, values[0] != -999)


def test_tiles_of_the_users_own(own_kernels, textured, tmp_path):
    tiles = ((0, 0, 90, 90), (70, 30, 100, 60), (20, 95, 60, 45))
    ids, _ = run(textured, tmp_path / "out.tif", tiles=tiles, **SMALL)
    covered = np.zeros(ids.shape, bool)
    for left, top, width, height in tiles:
        covered[top : top + height, left : left + width] = True
    assert_partition(ids, (read(textured) != 0).all(axis=0) & covered)


def test_products_are_those_of_the_segments(own_kernels, textured, tmp_path):
    mean = tmp_path / "mean.tif"
    ids, result = run(textured, tmp_path / "out.tif", tile_width=57, tile_height=60, mean_image=str(mean), **SMALL)
    values, means = read(textured).astype(float), read(mean)
    for segment in (1, result.segment_count // 2, result.segment_count):
        here = ids == segment
        assert np.allclose(means[:, here].T, values[:, here].mean(axis=1), atol=0.51)


def test_without_rsgislib_one_sentence_says_how_to_get_it(textured, tmp_path, monkeypatch):
    monkeypatch.setattr(availability.util, "find_spec", lambda name: None)
    with pytest.raises(SegmentationError, match="rsgislib is not installed.*conda-forge.*ENGINE=builtin") as caught:
        run(textured, tmp_path / "out.tif", engine="rsgislib")
    assert len(str(caught.value).splitlines()) == 1
    assert os.listdir(tmp_path) == []
    assert "conda-forge" in rsgislib_engine.describe().sentence


@pytest.mark.qgis
def test_the_dialog_says_at_once_that_rsgislib_is_missing(algorithm, textured, tmp_path, monkeypatch):
    from qgis.core import QgsProcessingContext

    monkeypatch.setattr(availability.util, "find_spec", lambda name: None)
    parameters = {"INPUT": textured, "ENGINE": "rsgislib", "OUTPUT": str(tmp_path / "out.tif")}
    accepted, reason = algorithm.checkParameterValues(parameters, QgsProcessingContext())
    assert not accepted
    assert "conda-forge" in reason


@pytest.mark.qgis
def test_the_algorithm_hands_the_engine_on(own_kernels, plugin, textured, tmp_path):
    import processing

    result = processing.run(
        "tiledseg:segment",
        {
            "INPUT": textured,
            "ENGINE": "rsgislib",
            "PER_TILE_STATISTICS": True,
            "EXECUTION": "serial",
            "TILE_WIDTH": 80,
            "TILE_HEIGHT": 80,
            "MIN_PIXELS": 12,
            "SAMPLING": 5,
            "OUTPUT": str(tmp_path / "out.tif"),
        },
    )
    assert result["TILE_COUNT"] == 6
    assert result["SEGMENT_COUNT"] == read(tmp_path / "out.tif").max() > 50
