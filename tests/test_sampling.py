# SPDX-License-Identifier: GPL-2.0-or-later
"""The k-means sample: every n-th place of the raster, and a denser one where that has too few colours."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from own_kernels import OwnKernels
from rasters import Log, run, write_raster
from tiledseg.tiledseg_plugin.engine import execution, kernels, segmentation
from tiledseg.tiledseg_plugin.engine import rsgislib as rsgislib_engine
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from tiledseg.tiledseg_plugin.engine.files.work_folder import WorkFolder
from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
from tiledseg.tiledseg_plugin.engine.preview import find_basis
from tiledseg.tiledseg_plugin.engine.progress import Feedback, Progress
from tiledseg.tiledseg_plugin.engine.rsgislib import run as stages
from tiledseg.tiledseg_plugin.engine.rsgislib.availability import Availability
from tiledseg.tiledseg_plugin.engine.stages import sampling
from tiledseg.tiledseg_plugin.engine.stages import statistics as survey
from tiledseg.tiledseg_plugin.engine.stages.context import Context
from tiledseg.tiledseg_plugin.engine.stages.plan import make_plan
from tiledseg.tiledseg_plugin.engine.stages.sampling import denser_steps


def defined(compared, valid, step, wanted):
    """The rule, in one go: (step, different colours in order of appearance, how often each)."""
    while True:
        sample = compared.reshape(len(compared), -1)[:, ::step].T[valid.reshape(-1)[::step]]
        colours, first, counts = np.unique(sample, axis=0, return_index=True, return_counts=True)
        if len(colours) >= wanted or step == 1:
            order = np.argsort(first)
            return step, colours[order], counts[order]
        step //= 2


def taken(path, feedback=None, **parameters):
    """The sample of a run, and what it was taken of."""
    parameters = SegmentParameters(input=path, output="", **parameters)
    raster = describe(path, parameters.bands, parameters.nodata_rule)
    plan, (kernel, _) = make_plan(raster, parameters), kernels.choose(parameters.kernels)
    progress = Progress(feedback or Feedback(), {"statistics": 1})
    progress.start("statistics", "")
    runner = execution.create(parameters.execution, 3)
    folder = WorkFolder("", {})
    try:
        summary = survey.survey(survey.Survey(raster, plan, parameters.sampling, folder), runner, progress)
        colours = summary.colours(raster, parameters.stretch)
        context = Context(parameters, raster, plan, kernel, runner, progress)
        return survey.take_sample(context, summary, colours, folder), colours
    finally:
        runner.close()
        folder.close(True)


def test_steps_are_halved_down_to_one():
    assert denser_steps(100) == (50, 25, 12, 6, 3, 1)
    assert denser_steps(2) == (1,)
    assert denser_steps(1) == ()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 60)),
    bands=st.integers(1, 3),
    most=st.sampled_from([1, 2, 5, 250]),
    share=st.sampled_from([0.01, 0.1, 1.0]),
    columns=st.booleans(),
    step=st.sampled_from([1, 2, 7, 10, 37, 100, 5000]),
    wanted=st.sampled_from([2, 3, 12, 60, 5000]),
    dtype=st.sampled_from([np.uint8, np.float32, np.int32]),
    stretch=st.booleans(),
    block=st.sampled_from([16, 100, 1 << 20]),
    at_once=st.sampled_from([1, 20, 1 << 20]),
    execution=st.sampled_from(["serial", "threads"]),
    name=st.sampled_from(["plain", "auto"]),
)
def test_sample_is_that_of_the_rule(
    seed, shape, bands, most, share, columns, step, wanted, dtype, stretch, block, at_once, execution, name, scratch
):
    rng = np.random.default_rng(seed)
    values = rng.integers(1, most + 1, (bands, *shape)).astype(dtype)
    empty = rng.random(shape) >= share
    if columns:
        empty[:, ::2] = True
    empty.flat[-1] = False
    values[:, empty] = 0
    path = write_raster(scratch / "in.tif", values, 0, options=["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16"])
    before, survey.BLOCK_PIXELS = survey.BLOCK_PIXELS, block
    most_before, sampling.AT_ONCE = sampling.AT_ONCE, at_once
    try:
        sample, colours = taken(
            path, sampling=step, num_clusters=wanted, stretch=stretch, execution=execution, kernels=name
        )
    finally:
        survey.BLOCK_PIXELS, sampling.AT_ONCE = before, most_before
    compared = colours.compared(values, ~empty, kernels.choose("plain")[0])
    expected = defined(compared, ~empty, step, wanted)
    assert sample.step == expected[0]
    assert np.array_equal(sample.colours, expected[1])
    assert np.array_equal(sample.counts, expected[2])


@pytest.fixture
def narrow(tmp_path):
    """200 rows of 60 pixels with data in columns 50 to 59 only, which every 100th place misses."""
    values = np.zeros((2, 200, 60), np.uint8)
    values[:, :, 50:60] = np.random.default_rng(4).integers(1, 250, (2, 200, 10))
    return write_raster(tmp_path / "narrow.tif", values, 0)


def test_a_raster_with_no_valid_pixel_in_the_sample_is_segmented(narrow, tmp_path):
    log = Log()
    expected, result = run(narrow, tmp_path / "a.tif", log, min_pixels=5)
    assert result.valid_pixels == 2000 == np.count_nonzero(expected)
    assert any(
        "SAMPLING=100 meets 0 different colours for 60 clusters" in line and "one place in 25 of the raster" in line
        for line in log.lines
    )
    ways = [{"execution": "threads", "workers": 3}, {"execution": "serial", "kernels": "plain"}, {"sampling": 25}]
    for way, width in zip(ways, (16, 37, 60)):
        ids, _ = run(narrow, tmp_path / "b.tif", min_pixels=5, tile_width=width, tile_height=70, **way)
        assert np.array_equal(ids, expected)


def test_worker_processes_take_the_same_sample(narrow, tmp_path):
    pytest.importorskip("pathos")
    expected, _ = run(narrow, tmp_path / "a.tif", min_pixels=5)
    ids, _ = run(narrow, tmp_path / "b.tif", min_pixels=5, execution="processes", workers=2)
    assert np.array_equal(ids, expected)


def test_a_sample_that_suffices_is_not_made_denser(data):
    log = Log()
    sample, _ = taken(str(data / "synthetic_full.tif"), log, sampling=10, num_clusters=20)
    assert sample.step == 10
    assert not log.lines


def test_clusters_are_fewer_only_where_all_pixels_have_fewer_colours(tmp_path):
    values = np.random.default_rng(1).integers(1, 5, (1, 50, 60)).astype(np.uint8)
    log = Log()
    run(write_raster(tmp_path / "in.tif", values), tmp_path / "out.tif", log, stretch=False)
    assert any("every place of the raster instead, with 4 different colours" in line for line in log.lines)
    assert any("4 clusters instead of 60" in line for line in log.lines)


def test_only_a_raster_without_data_is_refused(tmp_path):
    values = np.zeros((1, 50, 60), np.uint8)
    path = write_raster(tmp_path / "in.tif", values, 0)
    with pytest.raises(SegmentationError, match="no valid pixel"):
        run(path, tmp_path / "out.tif")
    values[0, 17, 23] = 5
    ids, _ = run(write_raster(tmp_path / "in.tif", values, 0), tmp_path / "out.tif")
    assert ids.sum() == ids[17, 23] == 1


def test_the_preview_has_the_centres_of_the_run(narrow, tmp_path, monkeypatch):
    found, find = [], segmentation.find_centres

    def remember(*arguments):
        found.append(find(*arguments))
        return found[-1]

    monkeypatch.setattr(segmentation, "find_centres", remember)
    run(narrow, tmp_path / "a.tif", tile_width=30)
    basis = find_basis(SegmentParameters(input=narrow, output=""), Feedback())
    assert np.array_equal(basis.centres, found[0])
    assert len(found[0]) == 60


def test_a_run_that_is_taken_up_has_the_same_sample_and_does_not_take_it_again(narrow, tmp_path, monkeypatch):
    settings = {"min_pixels": 5, "tile_width": 16, "execution": "serial"}
    expected, _ = run(narrow, tmp_path / "a.tif", **settings)
    work = tmp_path / "work"
    with pytest.raises(Cancelled):
        run(narrow, tmp_path / "b.tif", Log(30), work_dir=str(work), **settings)
    assert (work / "tiledseg-sample.npz").is_file()
    monkeypatch.setattr(survey, "denser_sample", lambda *_: pytest.fail("it is taken again"))
    ids, _ = run(narrow, tmp_path / "b.tif", work_dir=str(work), **settings)
    assert np.array_equal(ids, expected)


def test_a_damaged_block_of_the_sample_is_read_again(data, tmp_path, monkeypatch):
    monkeypatch.setattr(survey, "BLOCK_PIXELS", 64 * 64)
    settings = {"sampling": 10, "tile_width": 60, "tile_height": 60, "execution": "serial"}
    expected, _ = run(data / "synthetic_full.tif", tmp_path / "a.tif", **settings)
    work = tmp_path / "work"
    with pytest.raises(Cancelled):
        run(data / "synthetic_full.tif", tmp_path / "b.tif", Log(70), work_dir=str(work), **settings)
    kept = sorted(work.glob("tiledseg-places-*.npz"))
    assert len(kept) > 4
    kept[1].unlink()
    kept[2].write_bytes(kept[3].read_bytes()[:50])
    log = Log()
    ids, _ = run(data / "synthetic_full.tif", tmp_path / "b.tif", log, work_dir=str(work), **settings)
    assert np.array_equal(ids, expected)
    assert not any("Statistics are taken from the interrupted run" in line for line in log.lines)


def test_a_damaged_sample_is_taken_again(narrow, tmp_path):
    settings = {"min_pixels": 5, "tile_width": 16, "execution": "serial"}
    expected, _ = run(narrow, tmp_path / "a.tif", **settings)
    work = tmp_path / "work"
    with pytest.raises(Cancelled):
        run(narrow, tmp_path / "b.tif", Log(30), work_dir=str(work), **settings)
    (work / "tiledseg-sample.npz").write_bytes(b"\0" * 100)
    ids, _ = run(narrow, tmp_path / "b.tif", work_dir=str(work), **settings)
    assert np.array_equal(ids, expected)


@pytest.mark.parametrize("per_tile", [False, True])
def test_the_other_engine_takes_the_denser_sample(narrow, tmp_path, monkeypatch, per_tile):
    monkeypatch.setattr(rsgislib_engine, "require", lambda: Availability("5", False, ""))
    monkeypatch.setattr(stages, "segmenter_for", lambda parameters: OwnKernels(5, 100.0))
    log = Log()
    ids, _ = run(
        narrow,
        tmp_path / "out.tif",
        log,
        engine="rsgislib",
        execution="serial",
        tile_width=30,
        tile_height=100,
        per_tile_statistics=per_tile,
    )
    assert np.count_nonzero(ids) == 2000
    fewer = [int(line.split()[0]) for line in log.lines if "clusters instead of" in line]
    assert min(fewer, default=60) > 50  # some lose all their pixels on the way
