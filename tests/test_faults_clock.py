# SPDX-License-Identifier: GPL-2.0-or-later
"""A clock that is set back, and folders and files of the future: the result and what is left do not depend on time."""

import os
import sys
import time

import numpy as np
import pytest
from faults import injection
from rasters import Log, run, write_raster
from tiledseg.tiledseg_plugin.engine.errors import Cancelled
from tiledseg.tiledseg_plugin.engine.files import ownership
from tiledseg.tiledseg_plugin.engine.files.ownership import OWNER, make_owned_folder, remove_abandoned
from time_limit import no_test_hangs  # noqa: F401

QUICK = {"num_clusters": 5, "min_pixels": 6, "sampling": 3, "tile_width": 30, "kernels": "plain", "execution": "serial"}
YEAR = 365 * 86400.0


@pytest.fixture
def raster(tmp_path):
    rng = np.random.default_rng(2)
    values = np.kron(rng.integers(20, 230, (2, 6, 9)), np.ones((1, 10, 10), int)) + rng.integers(0, 20, (2, 60, 90))
    return write_raster(tmp_path / "in.tif", values.astype(np.uint8))


@pytest.fixture
def clock(monkeypatch):
    """Set back by a day at each look."""
    monkeypatch.setattr(time, "time", time.time)
    injection.set_the_clock_back(86400.0)


def test_a_clock_that_goes_back_changes_nothing(tmp_path, raster, clock):
    assert time.time() > time.time()
    expected, _ = run(raster, tmp_path / "expected.tif", **QUICK)
    work = {"work_dir": str(tmp_path / "work")}
    with pytest.raises(Cancelled):
        run(raster, tmp_path / "o.tif", Log(cancel_at=45), **QUICK, **work)
    log = Log()
    ids, result = run(raster, tmp_path / "o.tif", log, **QUICK, **work)
    assert np.array_equal(ids, expected)
    assert 0 <= result.seconds < 60 and all(seconds >= 0 for seconds in result.stages.values())
    assert any("taken up" in line for line in log.lines)
    assert not list((tmp_path / "work").iterdir()) and not list(tmp_path.glob(".tiledseg-*"))


@pytest.mark.parametrize("years", [-40, 5, 200])
def test_a_work_folder_of_another_time_is_taken_up(tmp_path, raster, years):
    """Of the future, as after the clock was set right; of before 1990, as without a battery."""
    moment = time.time() + years * YEAR
    os.utime(raster, (moment, moment))
    expected, _ = run(raster, tmp_path / "expected.tif", **QUICK)
    with pytest.raises(Cancelled):
        run(raster, tmp_path / "o.tif", Log(cancel_at=45), work_dir=str(tmp_path / "work"), **QUICK)
    for path in [tmp_path / "work", *(tmp_path / "work").iterdir(), tmp_path]:
        os.utime(path, (moment, moment))
    log = Log()
    ids, _ = run(raster, tmp_path / "o.tif", log, work_dir=str(tmp_path / "work"), **QUICK)
    assert np.array_equal(ids, expected)
    assert any("tiles are finished already" in line for line in log.lines)


@pytest.mark.parametrize("locks", [True, False])
@pytest.mark.parametrize("years", [-40, 5, 200])
def test_what_a_killed_run_has_left_at_another_time_is_removed(tmp_path, monkeypatch, locks, years):
    if not locks:
        if sys.platform == "win32":
            pytest.skip("Windows always has locks")
        monkeypatch.setattr(ownership, "_lock", lambda file: None)
    running, mark = make_owned_folder(tmp_path, "tiledseg-")
    left = tmp_path / "tiledseg-left1234"
    left.mkdir()
    (left / OWNER).touch()
    for path in (left / OWNER, left, running):
        os.utime(path, (time.time() + years * YEAR,) * 2)
    remove_abandoned(tmp_path, "tiledseg-")
    assert not left.exists() and running.exists()
    mark.remove_folder()
