# SPDX-License-Identifier: GPL-2.0-or-later
"""WORK_DIR: an interrupted run goes on; other parameters, a changed input and damaged files are noticed."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import stress
from rasters import Log, run, same_levels, write_patches
from resuming import SETTINGS, go, labels
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.execution import processes
from time_limit import no_test_hangs  # noqa: F401
from today import TODAY

TILES = 12


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """(raster, a folder with the work of a cancelled run and what an undisturbed one makes, the ids of that)."""
    folder = tmp_path_factory.mktemp("begun")
    raster = write_patches(folder / "in.tif")
    ids, _ = run(raster, folder / "expected.tif", **{**SETTINGS, "tile_width": 999})
    with pytest.raises(Cancelled):
        go(raster, folder / "work", folder, Log(cancel_at=45), execution="serial")
    assert 0 < len(labels(folder / "work")) < TILES
    return raster, folder, ids


@pytest.fixture
def raster(begun):
    return begun[0]


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


@pytest.fixture
def interrupted(begun, work):
    """A run that was cancelled when some tiles were done; returns what an undisturbed one makes."""
    shutil.copytree(begun[1] / "work", work)
    return begun[2]


def lines_with(log, text):
    return [line for line in log.lines if text in line]


def test_finished_tiles_and_statistics_are_not_done_again(raster, work, tmp_path, interrupted):
    before = {path: path.stat().st_mtime_ns for path in labels(work)}
    log = Log(cancel_at=69)
    with pytest.raises(Cancelled):
        go(raster, work, tmp_path, log)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert lines_with(log, f"{len(before)} of {TILES} tiles are finished already")
    assert lines_with(log, "Statistics are taken from the interrupted run")
    assert np.array_equal(go(raster, work, tmp_path), interrupted)


@pytest.mark.parametrize("kind", ["serial", "threads", "processes"])
def test_the_result_is_that_of_an_undisturbed_run(raster, begun, work, tmp_path, interrupted, kind):
    if kind == "processes" and processes.missing_package():
        pytest.skip("pathos is not installed")
    assert np.array_equal(go(raster, work, tmp_path, execution=kind, workers=3), interrupted)
    same_levels(begun[1] / "expected.tif", tmp_path / "out.tif")
    assert not list(work.iterdir())


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"min_pixels": 50}, "MIN_PIXELS: 12 there, 50 now"),
        ({"levels": (60,)}, "LEVELS: 60;400 there, 60 now"),
        ({"distance_threshold": None}, "DISTANCE_THRESHOLD: 100.0 there, none now"),
        ({"bands": (1, 3), "num_clusters": 9}, "NUM_CLUSTERS: 8 there, 9 now"),
        ({"tile_width": 41}, "TILE_WIDTH: 40 there, 41 now"),
        ({"stretch": False}, "STRETCH: True there, False now"),
    ],
)
def test_other_parameters_are_refused_by_name(raster, work, tmp_path, interrupted, changes, said):
    files = sorted(work.iterdir())
    with pytest.raises(SegmentationError) as error:
        go(raster, work, tmp_path, **changes)
    assert said in str(error.value)
    assert str(work) in str(error.value)
    assert sorted(work.iterdir()) == files


def test_a_changed_input_is_refused(raster, work, tmp_path, interrupted):
    before = os.stat(raster)
    os.utime(raster, ns=(0, 1_000_000_000))
    try:
        with pytest.raises(
            SegmentationError, match="earlier state of its input .*in.tif: .* bytes of .* there, .*1970"
        ):
            go(raster, work, tmp_path)
    finally:
        os.utime(raster, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_statistics_that_qgis_writes_beside_the_input_are_no_change(raster, work, tmp_path, interrupted):
    beside = Path(raster + ".aux.xml")
    beside.write_text("<PAMDataset></PAMDataset>")
    try:
        assert np.array_equal(go(raster, work, tmp_path), interrupted)
    finally:
        beside.unlink()


@pytest.mark.parametrize("damage", ["truncated", "zeroed", "flipped", "empty", "missing"])
@pytest.mark.parametrize("stage", ["labels", "graph", "merged", "survey", "manifest"])
def test_damaged_files_are_noticed_and_made_again(raster, work, tmp_path, interrupted, stage, damage):
    path = sorted(work.glob(f"tiledseg-{stage}*"))[0]
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    else:
        middle = len(content) // 2
        content[middle] ^= 0xFF
        harm = {"truncated": content[:middle], "zeroed": bytes(len(content)), "flipped": content, "empty": b""}
        path.write_bytes(harm[damage])
    if stage == "manifest" and damage == "flipped":
        path.write_text("{" + path.read_text("latin-1"))
    assert np.array_equal(go(raster, work, tmp_path), interrupted)


def test_nothing_else_in_the_folder_is_touched(raster, work, tmp_path):
    work.mkdir()
    theirs = ["notes.txt", "table.npz", "image.raw", "graph-0000001.npz", "old.partial", "archive.zip"]
    for name in theirs:
        (work / name).write_text(name)
    go(raster, work, tmp_path)
    assert sorted(path.name for path in work.iterdir()) == sorted(theirs)
    assert all((work / name).read_text() == name for name in theirs)


def test_files_of_a_killed_run_that_were_half_written_are_removed(raster, work, tmp_path, interrupted):
    half = work / "tiledseg-labels-0000009.raw.4711.partial"
    half.write_bytes(b"half")
    with pytest.raises(Cancelled):
        go(raster, work, tmp_path, Log(cancel_at=60))
    assert not half.exists()


def test_a_folder_that_cannot_be_used_is_named(raster, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SegmentationError, match="cannot be used"):
        go(raster, tmp_path / "file" / "work", tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
@pytest.mark.skipif(bool(processes.missing_package()), reason="pathos is not installed")
def test_kills_at_random_moments_do_no_harm(tmp_path):
    """The short form of `make stress`."""
    runs = stress.Stress(tmp_path, seed=TODAY, size=180)
    for number in range(10):
        runs.once(number)
    shutil.rmtree(runs.temporary)
