# SPDX-License-Identifier: GPL-2.0-or-later
"""All tests: a core each, then one by one those that need the machine for themselves (`make test`).

Arguments are pytest's: files, -k, -x, ... With --report FOLDER, pytest's reports are written there.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import List, Optional

ROOT = Path(__file__).resolve().parent.parent
ALONE = "alone"  # the mark of tests that measure times, or count what the machine runs
NO_TESTS = 5  # pytest's exit status where nothing was chosen


def commands(arguments: List[str], report: Optional[Path]) -> List[List[str]]:
    """The calls of pytest: one, or two where tests can be shared out."""
    pytest = [sys.executable, "-m", "pytest", "-q", *(arguments or ["tests"])]
    if importlib.util.find_spec("xdist") is None:
        return [[*pytest, *_report(report, "all")]]
    shared = ["-m", f"not {ALONE}", "-n", "auto", "--dist", "loadgroup"]
    return [
        [*pytest, *shared, *_report(report, "shared")],
        [*pytest, "-m", ALONE, *_report(report, ALONE)],
    ]


def _report(folder: Optional[Path], name: str) -> List[str]:
    return [] if folder is None else [f"--junitxml={folder / name}.xml"]


def main() -> int:
    """Run all; returns the worst exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="for a report of each call of pytest")
    asked, arguments = parser.parse_known_args()
    environment = {"QT_QPA_PLATFORM": "offscreen", **os.environ}
    statuses = [
        subprocess.run(command, cwd=ROOT, env=environment).returncode for command in commands(arguments, asked.report)
    ]
    if all(status == NO_TESTS for status in statuses):
        return NO_TESTS
    # a signal is a negative status: of all failures it is the worst
    return next((abs(status) for status in statuses if status not in (0, NO_TESTS)), 0)


if __name__ == "__main__":
    sys.exit(main())
