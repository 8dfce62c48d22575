# SPDX-License-Identifier: GPL-2.0-or-later
"""`make screenshots`: which looks pictures are taken of."""

import os
import shutil
import subprocess

import pytest
from conftest import ROOT

PROGRAM = "import sys; sys.path.insert(0, 'scripts'); import screenshots; print(*screenshots.chosen())"
RULE = f'looks: ; @$(PYTHON) -c "{PROGRAM}"'


@pytest.mark.parametrize("given, shown", [("", "light dark double german"), ("dark german", "dark german")])
def test_pictures_are_taken_of_all_looks_or_those_that_are_named(given, shown):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    environment = {name: value for name, value in os.environ.items() if name != "LOOKS"}
    environment.update({"LOOKS": given} if given else {})
    command = ["make", "--silent", f"--eval={RULE}", "looks"]
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert finished.stdout.split() == shown.split(), finished.stderr


def test_a_look_that_is_not_known_is_refused_in_a_sentence(monkeypatch):
    import desktop
    import screenshots

    monkeypatch.setenv("LOOKS", "dark grey")
    with pytest.raises(desktop.DesktopError, match="LOOKS=grey is not known: give some of light, dark"):
        screenshots.chosen()
