# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults at every place of a run: a place of each sweep, another one each day; `make faults` takes all of them."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT
from faults.sweeps import KINDS
from time_limit import no_test_hangs  # noqa: F401
from today import TODAY

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="forks, and limits what a process may have"
)
CASES = 1


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the sweeps of each kind have found, and all that was printed."""
    results = tmp_path_factory.mktemp("faults") / "found.json"
    command = [sys.executable, str(ROOT / "scripts" / "faults.py"), "--cases", str(CASES), "--first", str(TODAY)]
    ended = subprocess.run([*command, "--json", str(results)], capture_output=True, text=True, timeout=600)
    assert results.exists(), f"first={TODAY}: {ended.stdout}{ended.stderr}"
    return json.loads(results.read_text()), ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_ends_right_or_in_one_sentence_and_the_next_one_is_right(found, kind):
    tallies, printed = found
    tallies = [tally for tally in tallies if tally["kind"] == kind]
    if not tallies and kind == "disk":
        pytest.skip("no disk in memory may be mounted here; 'size' limits files instead")
    assert len(tallies) >= 3
    assert [fault for tally in tallies for fault in tally["faults"]] == [], f"first={TODAY}"
    assert all(tally["cases"] == CASES and tally["places"] > 20 for tally in tallies)
    assert all(tally["right"] + tally["refused"] + tally["killed"] == CASES for tally in tallies)
    if kind == "kill":
        assert all(tally["killed"] == CASES for tally in tallies)
    assert f"{tallies[0]['name']}: {CASES} of" in printed
