# SPDX-License-Identifier: GPL-2.0-or-later
"""`make faults`: all sweeps at every place, or a part of them."""

import argparse
import gc
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .scenario import SCENARIOS
from .sweeps import KINDS, SmallDisk, sweeps

DISK = "12m"


def small_disk(place: Path) -> bool:
    """Mount a disk in memory at a folder, where this user may."""
    mount = shutil.which("mount")
    command = [mount, "-t", "tmpfs", "-o", f"size={DISK}", "none", str(place)]
    return mount is not None and subprocess.run(command, capture_output=True).returncode == 0


def unmount(place: Path) -> None:
    """Take a disk away, as soon as nobody has it open: arrays in files stay so until they are collected."""
    gc.collect()
    for _ in range(50):
        if not subprocess.run(["umount", str(place)], capture_output=True).returncode:
            return
        time.sleep(0.1)
    raise RuntimeError(f"{place} is still in use")


def on_small_disks(folder: Path):
    """A sweep of each scenario on a disk of its own; said where there can be none."""
    for name, kind in SCENARIOS.items():
        place = folder / "disk"
        place.mkdir()
        if not small_disk(place):
            print("disk: left out, as no disk in memory may be mounted here; 'size' limits files instead", flush=True)
            return
        try:
            scenario = kind(place / name.replace(" ", "-"))
            yield "disk", SmallDisk("a small disk", scenario, scenario.template.parent, range(0, 900_000, 4096))
        finally:
            unmount(place)
            place.rmdir()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; all if none is given")
    parser.add_argument("--cases", type=int, default=0, help="so many of each sweep, spread over its places; 0: all")
    parser.add_argument("--first", type=int, default=1, help="the place to begin with, where not all are taken")
    parser.add_argument("--scenario", choices=list(SCENARIOS), help="only this one")
    parser.add_argument("--named", default="", metavar="TEXT", help="only sweeps in whose name this is")
    parser.add_argument("--between", nargs=2, type=int, metavar=("FROM", "TO"), help="only these places of each")
    parser.add_argument("--json", type=Path, help="a file for the results")
    given = parser.parse_args()
    folder, tallies, begun = Path(tempfile.mkdtemp(prefix="faults-")), [], time.monotonic()
    try:
        others, disks = set(given.kinds or KINDS) - {"disk"}, "disk" in (given.kinds or KINDS)
        for source in [sweeps] * bool(others) + [on_small_disks] * disks:
            for kind, sweep in source(folder):
                if given.kinds and kind not in given.kinds:
                    continue
                if given.scenario and not sweep.tally.name.startswith(f"{given.scenario},"):
                    continue
                if given.named not in sweep.tally.name:
                    continue
                sweep.tally.kind = kind
                tallies.append(sweep.run(given.cases, given.first, given.between))
                print(sweep.tally, flush=True)
                for fault in sweep.tally.faults:
                    print(f"  FAULT at {fault}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if given.json:
        given.json.write_text(json.dumps([vars(tally) for tally in tallies]), encoding="utf-8")
    else:
        _print_sentences(tallies)
    faults, cases = sum(len(one.faults) for one in tallies), sum(one.cases for one in tallies)
    print(f"{cases} cases in {time.monotonic() - begun:.0f} s: {faults} faults.")
    return 1 if faults else 0


def _print_sentences(tallies: list) -> None:
    print("What was said, and how often:")
    counts: dict = {}
    for tally in tallies:
        for sentence, count in tally.sentences.items():
            counts[sentence] = counts.get(sentence, 0) + count
    for sentence, count in sorted(counts.items(), key=lambda entry: -entry[1]):
        print(f"  {count:5d} {sentence}")


if __name__ == "__main__":
    sys.exit(main())
