# SPDX-License-Identifier: GPL-2.0-or-later
"""All tests (`make test`): each file in a process of its own, side by side; at the end those that need all cores.

A file whose process crashes, or does not end, fails by itself: the others are run and reported all the same. What fails
is printed when its file has ended. Arguments are pytest's: files, -k, -x, ... With --report FOLDER, pytest's reports
are written there.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import List, Mapping, NamedTuple, Optional, Tuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))

import headless  # noqa: E402
from today import TODAY  # noqa: E402

ALONE = "alone"  # the mark of tests that measure times, or count what the machine runs
NO_TESTS = 5  # pytest's exit status where nothing was chosen
MORE_THAN_CORES = 1  # as tests wait for programs that they start, and for time to pass
MOST_AT_A_TIME = 6  # each may have QGIS and compiled kernels in memory
LIMIT_SECONDS = 1800.0  # for a file, on a slow machine
# these take longest, so they begin first
LONGEST = (
    *("odd", "desktop_toolbox", "fuzz", "dask_workers", "execution", "segmentation", "inputs", "resume", "messages"),
    *("values", "dask", "oracle", "tile_layer_files", "segment_algorithm", "zones", "verification", "whole_range"),
    *("polygons", "georeference", "resampled", "faults_sweeps", "endings", "creation_options", "components", "plan"),
)
COUNTS = re.compile(r"(\d+) (passed|failed|skipped|errors?)")


class Ended(NamedTuple):
    """How a call of pytest has ended."""

    name: str
    status: int
    output: str
    seconds: float

    @property
    def is_failed(self) -> bool:
        return self.status not in (0, NO_TESTS)

    @property
    def last_line(self) -> str:
        """Pytest's own, behind which what ends with Python may have printed something."""
        lines = self.output.strip().splitlines() or ["no output"]
        return next((line for line in reversed(lines) if COUNTS.search(line)), lines[-1]).strip("= ")


def chosen_files(arguments: List[str]) -> Tuple[List[Path], List[str]]:
    """The test files that are meant, the longest first, and what else pytest is to be given."""
    named = [argument for argument in arguments if (ROOT / argument.split("::")[0]).exists()]
    rest = [argument for argument in arguments if argument not in named]
    absent = [argument for argument in rest if argument.split("::")[0].endswith(".py")]
    if absent:
        sys.exit(f"There is no {', '.join(absent)}: name files of tests from the project's folder.")
    if any("::" in name for name in named):
        return [], arguments
    files = {file for name in named or ["tests"] for file in _files_in(ROOT / name)}
    order = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    return sorted(files, key=lambda file: (order.get(file.stem, len(order)), -file.stat().st_size)), rest


def _files_in(path: Path) -> List[Path]:
    return [path] if path.is_file() else sorted(path.glob("test_*.py"))


def run(name: str, arguments: List[str], report: Optional[Path], changed: Mapping[str, str]) -> Ended:
    """One call of pytest, with some variables of the environment changed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    if report is not None:
        command.append(f"--junitxml={report / name}.xml")
    begun = time.monotonic()
    environment = {"QT_QPA_PLATFORM": "offscreen", **os.environ, "TILEDSEG_DAY": str(TODAY), **changed}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes load the same modules
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            output, _ = process.communicate(timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            output = f"{process.communicate()[0]}\nno end after {LIMIT_SECONDS:.0f} s"
    return Ended(name, process.returncode, output, time.monotonic() - begun)


def show(ended: Ended) -> None:
    """A line of a file that passed, all of one that did not."""
    if ended.is_failed:
        print(ended.output)
    how = ended.last_line if ended.status >= 0 else f"CRASHED (signal {-ended.status})"
    if ended.status != NO_TESTS:
        print(f"{ended.name}: {how}" + (f" [exit status {ended.status}]" if ended.is_failed else ""), flush=True)


def main() -> int:
    """Run all; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="for a report of each call of pytest")
    asked, arguments = parser.parse_known_args()
    print(f"TILEDSEG_DAY={TODAY} repeats what is tested in turn today.", flush=True)
    files, rest = chosen_files(arguments)
    if not files or "-m" in rest:
        ended = [run("all", arguments, asked.report, {})]
        show(ended[0])
    else:
        ended = run_files(files, rest, asked.report)
    counts = {"passed": 0, "failed": 0, "skipped": 0, "error": 0}
    for one in ended:
        for number, kind in COUNTS.findall(one.last_line):
            counts[kind.rstrip("s") if kind.startswith("error") else kind] += int(number)
    failed = [one.name for one in ended if one.is_failed]
    print(", ".join(f"{number} {kind}" for kind, number in counts.items()) + f", in {len(ended)} calls of pytest")
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    return 1 if failed else NO_TESTS if all(one.status == NO_TESTS for one in ended) else 0


def run_files(files: List[Path], rest: List[str], report: Optional[Path]) -> List[Ended]:
    """Each file's tests; then, one file after the other, those that need the machine for themselves."""
    with tempfile.TemporaryDirectory(prefix="tests-") as folder:
        profile = _profile(files, Path(folder))
        ended = side_by_side(files, ["-m", f"not {ALONE}", *rest], report, profile)
        for file in files:
            if f"mark.{ALONE}" in file.read_text(encoding="utf-8"):
                arguments = ["-m", ALONE, str(file.relative_to(ROOT)), *rest]
                ended.append(run(f"{file.stem} ({ALONE})", arguments, report, profile))
                show(ended[-1])
    return ended


def _profile(files: List[Path], folder: Path) -> Mapping[str, str]:
    """The variable that names a profile in which the plugin is enabled, if several files call `qgis_process`."""
    if sum("qgis_process" in file.read_text(encoding="utf-8") for file in files) < 3:
        return {}
    try:
        headless.QgisProcess(folder / "profile")
    except (headless.HeadlessError, ValueError, KeyError):
        return {}  # the tests that need it say so
    return {"TILEDSEG_PROFILE": str(folder / "profile")}


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(
    files: List[Path], arguments: List[str], report: Optional[Path] = None, changed: Optional[Mapping[str, str]] = None
) -> List[Ended]:
    """Each file in a process of its own, one more at a time than there are cores; see `run`."""

    def one(file: Path) -> Ended:
        ended = run(file.stem, [str(file.relative_to(ROOT)), *arguments], report, changed or {})
        show(ended)
        return ended

    with ThreadPoolExecutor(min(cores() + MORE_THAN_CORES, MOST_AT_A_TIME)) as pool:
        return list(pool.map(one, files))


if __name__ == "__main__":
    sys.exit(main())
