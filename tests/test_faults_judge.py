# SPDX-License-Identifier: GPL-2.0-or-later
"""The judge of the sweeps of faults itself: what it must see of files after a run that has ended with a sentence."""

import shutil

import pytest
from faults import injection
from faults.scenario import contents
from faults.sweeps import TAKEN, Sweep

REMOVED = "OUTPUT o.tif cannot be replaced: .tiledseg-abcd1234 was removed while the run was using it"
REFUSED = "OUTPUT o.tif cannot be replaced (it is open): close it in other programs."
LIES = "OUTPUT o.tif cannot be replaced: the finished result lies in .tiledseg-abcd1234; move it to where it should be."


class Scenario:
    """Earlier outputs, and an input; nothing is run."""

    name, outputs, expected, names = "none", ["o.tif", "p.gpkg"], {}, {"o.tif", "p.gpkg"}

    def __init__(self, folder):
        for name in ("in.tif", *self.outputs):
            (folder / name).write_text(f"the earlier {name}")
        self.before = contents(folder)


@pytest.fixture
def case(tmp_path):
    case = tmp_path / "case"
    (case / ".tiledseg-abcd1234" / injection.REPLACED).mkdir(parents=True)
    return case


@pytest.fixture
def sweep(case):
    scenario = Scenario(case)
    sweep = Sweep("of files", scenario, case.parent, arm=lambda operations: None)
    sweep._log = ["replace o.tif"]
    return sweep


def replaced(case, *names):
    """Earlier outputs wait in the staging folder."""
    for name in names:
        (case / name).rename(case / ".tiledseg-abcd1234" / injection.REPLACED / name)


def removed(case):
    injection.removing(*case.glob(".tiledseg-*"), note=case.parent / TAKEN)("")


def test_what_was_removed_with_its_folder_has_to_be_named(sweep, case):
    replaced(case, "o.tif")
    removed(case)
    assert sweep._wrong_after(case, f"{REMOVED}, and the earlier {case / 'o.tif'} with it; run it again.") == ""
    assert sweep.tally.lost == 1
    assert "removed with their folder were ['o.tif'], not []" in sweep._wrong_after(case, f"{REMOVED}; run it again.")
    of_another = f"{REMOVED}, and the earlier {case / 'p.gpkg'} with it; run it again."
    assert "were ['o.tif'], not ['p.gpkg']" in sweep._wrong_after(case, of_another)
    assert "(1 without earlier files that were removed with their folder)" in str(sweep.tally)


def test_what_was_not_in_the_folder_must_be_there(sweep, case):
    replaced(case, "o.tif")
    removed(case)
    (case / "p.gpkg").unlink()
    said = f"{REMOVED}, and the earlier {case / 'o.tif'}, {case / 'p.gpkg'} with it; run it again."
    assert "earlier files are not as they were: ['p.gpkg']" in sweep._wrong_after(case, said)


def test_nothing_is_lost_where_nothing_was_in_the_folder(sweep, case):
    removed(case)
    assert sweep._wrong_after(case, f"{REMOVED}; run it again.") == "" and sweep.tally.lost == 0
    (case / "o.tif").unlink()
    assert "earlier files are not as they were" in sweep._wrong_after(case, f"{REMOVED}; run it again.")
    said = f"{REMOVED}, and the earlier {case / 'o.tif'} with it; run it again."
    assert "earlier files are not as they were" in sweep._wrong_after(case, said)


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_text("half")])
def test_a_refusal_leaves_every_earlier_file(sweep, case, harm):
    shutil.rmtree(case / ".tiledseg-abcd1234")
    assert sweep._wrong_after(case, REFUSED) == ""
    harm(case / "p.gpkg")
    assert "earlier files are not as they were: ['p.gpkg']" in sweep._wrong_after(case, REFUSED)


def test_a_result_that_lies_in_the_folder_has_to_and_earlier_files_may(sweep, case):
    replaced(case, "o.tif")
    assert "no finished result lies there" in sweep._wrong_after(case, LIES)
    (case / ".tiledseg-abcd1234" / "o.tif").write_text("new")
    assert sweep._wrong_after(case, LIES) == ""
    (case / ".tiledseg-abcd1234" / injection.REPLACED / "o.tif").unlink()
    assert "earlier files are not as they were: ['o.tif']" in sweep._wrong_after(case, LIES)


def test_the_input_is_never_changed(sweep, case):
    (case / "in.tif").write_text("other")
    for said in (REFUSED, LIES, f"{REMOVED}; run it again.", ""):
        assert sweep._wrong_after(case, said) == "the input has been changed"
