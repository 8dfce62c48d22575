# SPDX-License-Identifier: GPL-2.0-or-later
"""How far a run is, and how long it still takes: honest from a tenth of it on, and 100 % only at its end."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasters import Log, run, write_raster
from tiledseg.tiledseg_plugin.engine import progress
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from tiledseg.tiledseg_plugin.engine.forecast import Forecast
from tiledseg.tiledseg_plugin.engine.kernels import growing, machine_code
from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
from tiledseg.tiledseg_plugin.engine.progress import Feedback, Progress
from tiledseg.tiledseg_plugin.engine.stage_costs import weights_of

RECORDED = Path(__file__).parent / "data" / "progress"  # by make scale with --record
LONG_ENOUGH = 3.0  # seconds, for starting to be a small part of them


class Shown(Feedback):
    """What is shown of a run, and when."""

    def __init__(self, clock):
        self.clock, self.percents = clock, []

    def set_progress(self, percent):
        self.percents.append((self.clock.now, percent))


class Clock:
    """In place of the module `time`."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDED.glob("*.json")))
def test_a_recorded_run_is_foretold(tmp_path, clock, name):
    recorded = json.loads((RECORDED / f"{name}.json").read_text())
    dtype = np.float32 if recorded["floats"] else np.uint16
    raster = describe(write_raster(tmp_path / "in.tif", np.ones((3, 4, 5), dtype), 0))
    outputs = {name: str(tmp_path / name) for name in recorded["outputs"]}
    parameters = SegmentParameters(raster.path, str(tmp_path / "o.tif"), workers=recorded["workers"], **outputs)
    held, shown, total = None, Shown(clock), recorded["seconds"]
    pace = 1e-9 * recorded["pixels"] if "pixels" in recorded else None
    told = Progress(shown, weights_of(parameters, raster), lambda: held, pace)
    foretold = []
    for clock.now, stage, fraction, holding in recorded["events"]:
        held = holding
        if stage:
            told.start(stage, "")
        else:
            told.advance(fraction)
            said = told._forecast.at(fraction, clock.now, held).seconds
            if said is not None and clock.now >= total / 10:
                foretold.append(clock.now + said)
            if shown.percents and clock.now >= max(total / 10, LONG_ENOUGH):
                foretold.append(clock.now * 100 / shown.percents[-1][1])
    percents = [percent for _, percent in shown.percents]
    assert percents == sorted(percents) and percents[-1] < 100
    assert 0.75 * total < min(foretold) and max(foretold) < 1.25 * total
    told.complete()
    assert shown.percents[-1][1] == 100


def test_runs_were_recorded():
    assert len(list(RECORDED.glob("*.json"))) >= 3


def steps(forecast, took, held=lambda at: None, count=40):
    """(time, what is said) through a run whose stages take so long, in even steps."""
    now, said = 0.0, []
    for stage, seconds in took.items():
        forecast.begin(stage, now)
        for step in range(1, count + 1):
            now += seconds / count
            said.append((now, forecast.at(step / count, now, held(now))))
    return said


@given(pace=st.floats(0.05, 50), expected=st.lists(st.floats(0.5, 100), min_size=2, max_size=8))
@settings(max_examples=200, deadline=None)
def test_a_run_that_is_slow_or_quick_throughout_is_foretold_exactly(pace, expected):
    weights = {str(number): weight for number, weight in enumerate(expected)}
    took = {stage: weight * pace for stage, weight in weights.items()}
    for now, left in steps(Forecast(weights), took):
        if left.seconds is not None:
            assert now + left.seconds == pytest.approx(sum(took.values()), rel=0.05, abs=0.05 * pace)


@given(
    paces=st.lists(st.floats(0.3, 3), min_size=5, max_size=5),
    scale=st.floats(1e-3, 1000),
    count=st.sampled_from([1, 2, 40]),
)
@settings(max_examples=200, deadline=None)
def test_what_is_done_is_a_share_and_the_end_is_the_end(paces, scale, count):
    weights = {"a": 25.0, "b": 65.0, "c": 5.0, "d": 20.0, "e": 40.0}
    took = {stage: scale * weight * pace for (stage, weight), pace in zip(weights.items(), paces)}
    said = steps(Forecast(weights), took, count=count)
    assert all(0 <= left.done <= 1 + 1e-9 for _, left in said)
    assert said[-1][1].done == pytest.approx(1) and (said[-1][1].seconds or 0) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("reading", [0.6, 0.8, 1.0, 1.25, 1.5])
def test_how_quickly_a_file_is_read_says_little_of_computing(reading):
    """Measured, in nanoseconds a pixel with two workers: 8 to 20 where 13 are expected."""
    weights = {"statistics": 13.0, "tiles": 70.0, "graph": 5.5, "attributes": 2.5, "write": 31.0, "table": 3.0}
    took = {**weights, "statistics": 13.0 * reading}
    total = sum(took.values())
    for now, left in steps(Forecast(weights, 1.0), took):
        if left.seconds is not None and now >= total / 10:
            assert 0.75 * total < now + left.seconds < 1.25 * total
            assert 0.75 * total < now / left.done < 1.25 * total


@pytest.mark.parametrize("machine", [0.5, 2.0])
def test_a_machine_of_another_speed_than_it_seems_is_foretold_by_what_it_has_done(machine):
    weights = {"statistics": 13.0, "tiles": 70.0, "write": 35.0}
    took = {stage: weight * machine for stage, weight in weights.items()}
    total = sum(took.values())
    for now, left in steps(Forecast(weights, 1.0), took):
        if now >= total / 3:
            assert 0.75 * total < now + left.seconds < 1.25 * total


def test_a_stage_that_goes_faster_when_kernels_are_compiled_is_foretold():
    """Ten seconds at a fifth of the speed, of a stage that takes twenty otherwise."""
    weights = {"statistics": 3.0, "tiles": 20.0, "write": 7.0}
    forecast, total = Forecast(weights), 3 + 10 + (20 - 2) + 7
    forecast.begin("statistics", 0.0)
    forecast.at(0.1, 0.3)
    forecast.at(1.0, 3.0)
    forecast.begin("tiles", 3.0)
    foretold = []
    for second in range(1, 11):
        left = forecast.at(second / 5 / 20, 3.0 + second, 0.8 * (10 - second))
        if left.seconds is not None:
            foretold.append(3 + second + left.seconds)
    for second in range(1, 19):
        left = forecast.at((2 + second) / 20, 13.0 + second)
        foretold.append(13 + second + left.seconds)
    assert 0.8 * total < min(foretold) and max(foretold) < 1.2 * total


def test_how_long_kernels_are_compiled_is_known_from_those_that_are_ready(monkeypatch):
    ready, clock = set(), Clock()
    monkeypatch.setattr(machine_code, "marked", lambda kind: set(ready))
    monkeypatch.setattr(growing, "time", clock)
    kernels = growing.Growing()
    assert kernels.seconds_lost() is None
    kernels._wanted.update(dict.fromkeys("abcdefgh"))
    clock.now = 1.0
    assert kernels.seconds_lost() == 8 * growing.ENTRY_SECONDS * growing.PLAIN_LOSES
    ready.update("ab")
    clock.now = 7.0
    assert kernels.seconds_lost() == pytest.approx(6 * 3.0 * growing.PLAIN_LOSES * 6 / 8)
    ready.update("cdefg")
    clock.now = 9.0
    assert kernels.seconds_lost() is None, "most of the work is done by compiled ones"


def test_a_run_shows_all_done_only_when_its_outputs_have_their_names(tmp_path, data):
    output, there = tmp_path / "o.tif", []
    log = Log()
    log.set_progress = lambda percent: there.append((percent, output.exists()))
    run(data / "synthetic_full.tif", output, log, mean_image=str(tmp_path / "m.tif"), polygons=str(tmp_path / "p.gpkg"))
    assert [exists for percent, exists in there if percent == 100] == [True]
    assert there[-1][0] == 100 and max(percent for percent, _ in there[:-1]) < 100
