# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the repository importable as the package `tiledseg`, whatever the clone's folder is called."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
_packages = tempfile.TemporaryDirectory(prefix="tiledseg-tests-")
(Path(_packages.name) / "tiledseg").symlink_to(ROOT)
sys.path.insert(0, _packages.name)


@pytest.fixture(scope="session")
def shared():
    folder = Path(os.environ.get("TILEDSEG_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"the shared rasters are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def data():
    return ROOT / "tests" / "data"


@pytest.fixture(scope="session")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")
