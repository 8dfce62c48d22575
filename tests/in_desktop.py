# SPDX-License-Identifier: GPL-2.0-or-later
"""What a script of tests/desktop finds when QGIS Desktop runs it."""

import json

import desktop
import pytest
from conftest import ROOT

SCREENSHOTS = ROOT / "build" / "screenshots"


def in_desktop(script, folder, **arguments):
    """What a script found, after QGIS has ended as it should."""
    if desktop.missing():
        pytest.skip(f"{desktop.missing()} is not installed")
    session = desktop.drive(script, folder, screenshots=SCREENSHOTS, **arguments)
    assert session.returncode is not None, f"QGIS hangs: {json.dumps(session.found)[-2000:]}"
    assert "error" not in session.found, session.found["error"]
    assert session.returncode == 0, session.stderr[-4000:]
    assert "Traceback" not in session.stderr, session.stderr[-4000:]
    return session.found
