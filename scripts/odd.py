# SPDX-License-Identifier: GPL-2.0-or-later
"""`make odd`: the engine on strangers' rasters; see tests/strangers/command.py."""

import sys

import headless

sys.path.insert(0, str(headless.plugin_path()))
sys.path.insert(0, str(headless.ROOT / "tests"))

from strangers.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
