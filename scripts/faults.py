# SPDX-License-Identifier: GPL-2.0-or-later
"""`make faults`: runs in which something goes wrong, at every place; see tests/faults/command.py."""

import sys

import headless

sys.path.insert(0, str(headless.plugin_path()))
sys.path.insert(0, str(headless.ROOT / "tests"))

from faults.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
