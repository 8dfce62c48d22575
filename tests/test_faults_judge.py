# SPDX-License-Identifier: GPL-2.0-or-later
"""The judge of the sweeps of faults itself: what it must see of files after a run that has ended with a sentence."""

import shutil

import pytest
from faults import injection
from faults.scenario import contents
from faults.sweeps import Sweep
from tiledseg.tiledseg_plugin.engine.files.moves import REPLACED

REMOVED = "OUTPUT o.tif cannot be replaced: .tiledseg-abcd1234 was removed while the run was using it; run it again."
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
    (case / ".tiledseg-abcd1234" / REPLACED).mkdir(parents=True)
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
        (case / name).rename(case / ".tiledseg-abcd1234" / REPLACED / name)


def removed(case):
    injection.removing(*case.glob(".tiledseg-*"))("")


def test_what_was_removed_with_its_folder_is_lost(sweep, case):
    replaced(case, "o.tif")
    removed(case)
    assert "earlier files are not as they were: ['o.tif']" in sweep._wrong_after(case, REMOVED)
    with_it = REMOVED.replace("; run", f", and the earlier {case / 'o.tif'} with it; run")
    assert "earlier files are not as they were: ['o.tif']" in sweep._wrong_after(case, with_it)


def test_nothing_is_lost_where_nothing_was_in_the_folder(sweep, case):
    removed(case)
    assert sweep._wrong_after(case, REMOVED) == ""
    (case / "p.gpkg").unlink()
    assert "earlier files are not as they were: ['p.gpkg']" in sweep._wrong_after(case, REMOVED)


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
    (case / ".tiledseg-abcd1234" / REPLACED / "o.tif").unlink()
    assert "earlier files are not as they were: ['o.tif']" in sweep._wrong_after(case, LIES)


def test_the_input_is_never_changed(sweep, case):
    (case / "in.tif").write_text("other")
    for said in (REFUSED, LIES, REMOVED, ""):
        assert sweep._wrong_after(case, said) == "the input has been changed"
