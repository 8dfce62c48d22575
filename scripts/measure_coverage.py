# SPDX-License-Identifier: GPL-2.0-or-later
"""How much of the engine the tests run, lines and branches (`make coverage`); fails below 92 %.

Measured are the tests of the engine and the Python programs that they start, worker processes among them, but for any
that is killed. The compiled kernels are left out, as numba makes machine code of them; tests/test_kernels.py holds each
against its plain twin, array for array. Whether tests pass is for `make test`: tracing slows them down.

Arguments are pytest's, for a part: files, -k, ...
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

from run_tests import chosen_files, side_by_side

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "coverage"
LEAST = 92
CHOSEN = "not desktop and not command and not slow and not alone"
# each runs for minutes what others run, too; and so do the tests with real rasters, which are not to be found
LEFT_OUT = ("segmentation", "odd", "whole_range", "fuzz", "oracle", "bench", "package")
NO_RASTERS = "none"
START = "import coverage\ncoverage.process_startup()\n"
# a worker keeps no PYTHONPATH: its interpreter is this, which puts it back
WORKER = '#!/bin/sh\nPYTHONPATH="{site}" exec "{python}" "$@"\n'


def environment() -> Dict[str, str]:
    """Every Python program that gets it measures itself: Python imports `sitecustomize` at its start."""
    site = FOLDER / "site"
    site.mkdir(parents=True)
    (site / "sitecustomize.py").write_text(START)
    worker = FOLDER / "python3"
    worker.write_text(WORKER.format(site=site, python=sys.executable))
    worker.chmod(0o755)
    return {
        "QT_QPA_PLATFORM": "offscreen",
        **os.environ,
        "TILEDSEG_SHARED": str(FOLDER / NO_RASTERS),
        "PYTHONPATH": str(site),
        "TILEDSEG_PYTHON": str(worker),
        "COVERAGE_PROCESS_START": str(ROOT / "pyproject.toml"),
        "COVERAGE_FILE": str(FOLDER / "data"),
    }


def run_chosen(arguments: List[str], measured: Dict[str, str]) -> None:
    """Run the tests that pytest's arguments name, or all that are measured."""
    files, rest = chosen_files(arguments)
    if not arguments:
        files = [file for file in files if file.stem not in {f"test_{name}" for name in LEFT_OUT}]
        rest = ["-m", CHOSEN]
    side_by_side(files, rest, changed=measured)


def main() -> int:
    """Measure and print the table; 1 if too little is run."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    measured = environment()
    run_chosen(sys.argv[1:], measured)
    coverage = [sys.executable, "-m", "coverage"]
    plain = {name: value for name, value in measured.items() if name not in ("PYTHONPATH", "COVERAGE_PROCESS_START")}
    subprocess.run([*coverage, "combine", "-q", str(FOLDER)], cwd=ROOT, env=plain, check=True)
    report = [*coverage, "report", "--skip-covered", "--show-missing", f"--fail-under={LEAST}"]
    return 1 if subprocess.run(report, cwd=ROOT, env=plain).returncode else 0


if __name__ == "__main__":
    sys.exit(main())
