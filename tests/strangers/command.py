# SPDX-License-Identifier: GPL-2.0-or-later
"""Every operation of the engine on rasters of all kinds, each in a process with limits; the endings are sorted.

usage: odd.py [FOLDER] [options]

Without FOLDER the set that the tests make of themselves is examined. An ending is `right` (every result was checked),
`refused` (in one sentence), or a `fault`: traceback, crash, hang, leftovers, a changed input, a wrong result, a message
of several lines. The exit status is 1 if there is any fault. Linux and macOS only.
"""

import argparse
import gc
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np

from . import compiled_ahead, making
from .examination import PARTS, Ending, Request, best_kernels, examine
from .isolation import Ended, Isolated, Limits
from .snapshot import changes, quick_snapshot, snapshot

SET_MODULES = ("made_types", "made_nodata", "made_shapes", "made_formats", "made_virtual", "made_damaged", "made_names")
MEMORY = "/dev/shm"
RAW_LINES = 3  # of what a process said, that are shown


@dataclass(frozen=True)
class Case:
    """A raster to examine; `folder` is where nothing may change."""

    name: str
    folder: str
    request: Request


def load_makers() -> Dict[str, making.Maker]:
    """The makers of all odd rasters, by name."""
    import importlib

    for name in SET_MODULES:
        importlib.import_module(f"{__package__}.{name}")
    return making.MAKERS


def make_set(folder: Path, names: List[str]) -> Dict[str, Any]:
    """Make rasters, each in a folder of its own: what is known of each as plain values, or why it cannot be made."""
    from osgeo import gdal

    gdal.DontUseExceptions()
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    made: Dict[str, Any] = {}
    for number, name in enumerate(names):
        own = folder / f"{number:03}"
        own.mkdir()
        try:
            result = making.MAKERS[name](own)
        except making.UnavailableError as error:
            made[name] = {"unavailable": str(error)}
            continue
        known = None
        if result.valid is not None:
            known = str(folder / f"{number:03}.npy")
            np.save(known, result.valid)
        made[name] = {
            "folder": str(own),
            "source": os.fsencode(result.source).hex(),
            "valid": known,
            "refused": result.refused,
            "either": result.either,
        }
    gdal.PopErrorHandler()
    return made


def own_cases(folder: Path, word: str, limits: Limits) -> tuple:
    """([Case], {name: why it cannot be made here}) of the set."""
    names = [name for name in load_makers() if re.search(word, name)]
    (folder / "set").mkdir()
    (folder / "making").mkdir()
    patient = replace(limits, seconds=20 * limits.seconds)
    ended = Isolated(lambda: make_set(folder / "set", names), folder / "making", patient).wait()
    if ended.fault:
        sys.exit(f"the set cannot be made: {ended.fault}\n{ended.said}")
    cases, unavailable = [], {}
    for number, (name, known) in enumerate(ended.result.items()):
        if "unavailable" in known:
            unavailable[name] = known["unavailable"]
            continue
        source = os.fsdecode(bytes.fromhex(known.pop("source")))
        own = known.pop("folder")
        cases.append(Case(name, own, Request(source, "", limited=number % 2 == 0, **known)))
    return cases, unavailable


def cases_of(folder: str, word: str) -> List[Case]:
    """Every file of a stranger's folder."""
    found = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        found += [os.path.join(place, name) for name in sorted(names)]
    return [
        Case(os.path.relpath(path, folder), folder, Request(path, "", limited=number % 2 == 0))
        for number, path in enumerate(path for path in found if re.search(word, path))
    ]


def examine_all(cases: List[Case], scratch: Path, limits: Limits, jobs: int, quick: bool, report) -> tuple:
    """The ending of each case, {name: Ending}, and how many of the processes had to load kernels."""
    waiting, running, endings, seconds = deque(enumerate(cases)), [], {}, {}
    loading = 0
    look = quick_snapshot if quick else snapshot
    while waiting or running:
        while waiting and len(running) < jobs:
            number, case = waiting.popleft()
            own = scratch / str(number)
            (own / "isolated").mkdir(parents=True)
            request = replace(case.request, scratch=str(own))
            before = look(case.folder)
            process = Isolated(lambda request=request: _examined(request), own / "isolated", limits)
            running.append((case, process, before, own))
        for entry in list(running):
            case, process, before, own = entry
            ended = process.poll()
            if ended is None:
                continue
            running.remove(entry)
            if ended.result:
                compiled_ahead.load(ended.result["kernels"])
                loading += bool(ended.result["kernels"])
                ended = replace(ended, result=ended.result["ending"])
            endings[case.name] = judge(ended, changes(before, look(case.folder)))
            seconds[case.name] = ended.seconds
            report(case.name, endings[case.name])
            shutil.rmtree(own, ignore_errors=True)
        time.sleep(0.01)
    return {case.name: replace(endings[case.name], seconds=seconds[case.name]) for case in cases}, loading


def _examined(request: Request) -> Dict[str, Any]:
    """In the process of its own: the ending, and the kernels that it had to load."""
    before = compiled_ahead.loaded()
    ending = asdict(examine(request))
    return {"ending": ending, "kernels": compiled_ahead.as_text(before)}


def judge(ended: Ended, changed: List[str]) -> Ending:
    """The ending of an examination, with what only an onlooker sees."""
    if ended.fault:
        return Ending("fault", ended.fault)
    if changed:
        return Ending("fault", f"changed input: {', '.join(changed)}")
    lines = [line for line in ended.said.splitlines() if line.strip() and not _is_of_hdf5(line)]
    if lines:
        return Ending("fault", f"raw messages: {' | '.join(lines[:RAW_LINES])}")
    return Ending(**ended.result)


def _is_of_hdf5(line: str) -> bool:
    """HDF5 prints a trace of its own for what netCDF's library only tries; GDAL has no say in that."""
    return line.startswith("HDF5-DIAG") or line.lstrip().startswith(("#0", "major:", "minor:"))


def _parse(arguments: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="odd.py", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default="", help="of any rasters; default: the set of the tests")
    parser.add_argument("--only", default="", metavar="REGEX", help="only those in whose name this is found")
    parser.add_argument("--seconds", type=float, default=120.0, help="limit for each raster")
    parser.add_argument("--megabytes", type=int, default=6000, help="limit of address space for each")
    parser.add_argument("--jobs", type=int, default=0, help="at a time; default: 2 for the set, 1 for a folder")
    parser.add_argument("--report", default="", metavar="FILE", help="JSON file to write the endings to")
    parser.add_argument("--keep", default="", metavar="FOLDER", help="empty folder to make the set in, and keep")
    parser.add_argument(
        "--part", type=int, metavar="N", help="only a third of the operations on each, as in the tests; others by N"
    )
    parser.add_argument("--quiet", action="store_true", help="print faults and counts only")
    return parser.parse_args(arguments)


def main(arguments: Optional[List[str]] = None) -> int:
    options = _parse(arguments)
    limits = Limits(options.seconds, options.megabytes << 20)
    begun = time.monotonic()
    in_memory = MEMORY if os.access(MEMORY, os.W_OK) else None  # thousands of small files have to be on the disk
    scratch = Path(tempfile.mkdtemp(prefix="odd-", dir=in_memory))
    try:
        unavailable: Dict[str, str] = {}
        if options.folder:
            if not os.path.isdir(options.folder):
                sys.exit(f"FOLDER {options.folder} is no folder: give one that holds rasters.")
            cases = cases_of(os.path.abspath(options.folder), options.only)
            whole = snapshot(options.folder)
        else:
            kept = Path(options.keep).absolute() if options.keep else scratch
            cases, unavailable = own_cases(kept, options.only, limits)
        if options.part is not None:
            cases = [
                replace(case, request=replace(case.request, part=(number + options.part) % PARTS))
                for number, case in enumerate(cases)
            ]
        best_kernels()  # once for all processes that are forked; none is run, as threads would not be in those
        gc.freeze()  # or each of them looks through all of it for garbage, and so gets a copy
        jobs = options.jobs or (1 if options.folder else 2)

        def report(name: str, ending: Ending) -> None:
            if not options.quiet or ending.kind == "fault":
                print(f"{ending.kind:8} {name!r}: {ending.text}", flush=True)

        endings, loading = examine_all(cases, scratch, limits, jobs, bool(options.folder), report)
        if options.folder and (changed := changes(whole, snapshot(options.folder))):
            report("the folder", Ending("fault", f"changed: {', '.join(changed)}"))
            endings["the folder"] = Ending("fault", f"changed: {', '.join(changed)}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if options.report:
        content = {
            "endings": {name: asdict(ending) for name, ending in endings.items()},
            "sources": {case.name: os.fsencode(case.request.source).hex() for case in cases},
            "unavailable": unavailable,
            "loading": loading,
        }
        Path(options.report).write_text(json.dumps(content, indent=1), encoding="utf-8")
    return _conclude(endings, unavailable, time.monotonic() - begun)


def _conclude(endings: Dict[str, Ending], unavailable: Dict[str, str], seconds: float) -> int:
    counts = Counter(ending.kind for ending in endings.values())
    for name, why in unavailable.items():
        print(f"not made {name!r}: {why}")
    print(
        f"{len(endings)} files in {seconds:.0f} s: {counts['right']} right, "
        f"{counts['refused']} refused in one sentence, {counts['fault']} faults"
        + (f"; {len(unavailable)} cannot be made here." if unavailable else ".")
    )
    return 1 if counts["fault"] else 0
