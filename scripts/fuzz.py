# SPDX-License-Identifier: GPL-2.0-or-later
"""Random cases of the whole engine: small ones against the oracle, larger ones against the plain kernels untiled.

usage: fuzz.py [--seconds N] [--cases N] [--kind small|large|both] [--seed TEXT] [--case FILE]

Every parameter is drawn over its whole range, and each case may be tiled, parallel, cancelled or killed and taken up.
A failure is shrunk and printed as JSON, to be put into tests/data/found, where the tests run it from then on. The exit
status is 1 if there was one. The same seed draws the same cases.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

import headless

sys.path[:0] = [str(headless.plugin_path()), str(headless.ROOT / "tests")]

FAILURES = 5  # after which a campaign ends
FOUND = headless.BUILD / "fuzz"


class Campaign:
    """Cases of one seed, until the time is over or so many have been run.

    Parameters
    ----------
    seed : text
    shrink_seconds : for each failure, 0 for none
    """

    def __init__(self, seed, shrink_seconds=60.0):
        from fuzzing.coverage import Coverage

        self.seed, self.shrink_seconds = seed, shrink_seconds
        self.cases = dict.fromkeys(("small", "large"), 0)
        self.seconds = dict.fromkeys(("small", "large"), 0.0)
        self.coverage = {kind: Coverage() for kind in self.cases}
        self.failures = []

    def run(self, kinds, seconds, cases):
        """Run cases of some kinds, each with its share of the time, or as many of each."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and len(self.failures) < FAILURES:
            left = [kind for kind in kinds if cases is None or self.cases[kind] < cases]
            if not left:
                break
            self.once(min(left, key=lambda kind: self.seconds[kind]))

    def once(self, kind):
        """One case."""
        from fuzzing.checking import check
        from fuzzing.draws import draw

        begun = time.monotonic()
        case = draw(kind, f"{self.seed}-{self.cases[kind]}")
        self.cases[kind] += 1
        self.coverage[kind].add(case)
        try:
            check(case)
        except Exception as error:
            self._failed(case, error)
        self.seconds[kind] += time.monotonic() - begun

    def _failed(self, case, error):
        from fuzzing.files import as_json
        from fuzzing.shrinking import shrink

        self.failures.append(case["seed"])
        print(f"FAILED {case['kind']} case {case['seed']}: {type(error).__name__}: {error}", flush=True)
        if type(error).__name__ != "Wrong":
            traceback.print_exception(type(error), error, error.__traceback__)
        print(f"as drawn: {as_json(case)}", flush=True)
        if self.shrink_seconds:
            begun = time.monotonic()
            case = shrink(case, self.shrink_seconds)
            print(f"shrunk in {time.monotonic() - begun:.0f} s: {as_json(case)}", flush=True)
        FOUND.mkdir(parents=True, exist_ok=True)
        (FOUND / f"{case['kind']}-{case['seed']}.json").write_text(as_json(case) + "\n", encoding="utf-8")

    def report(self):
        """What was done, line by line."""
        for kind, count in self.cases.items():
            if count:
                share = self.coverage[kind].share
                yield f"{count} {kind} cases in {self.seconds[kind]:.0f} s; {share:.0%} of the bins met:"
                yield from (f"  {line}" for line in self.coverage[kind].table())
        seeds = ", ".join(self.failures)
        yield f"{len(self.failures)} failures" + (f": seeds {seeds}; kept in {FOUND}" if seeds else ".")


def close_cluster():
    """End the Dask cluster that cases may have started."""
    from fuzzing.cluster import kept

    kept.close()


def run_again(path):
    """Run one case that was kept; the exit status."""
    from fuzzing.checking import Wrong, check

    try:
        check(json.loads(Path(path).read_text(encoding="utf-8")))
    except Wrong as wrong:
        print(f"FAILED: {wrong}")
        return 1
    finally:
        close_cluster()
    print("passed")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--cases", type=int, help="of each kind, at most")
    parser.add_argument("--kind", choices=["small", "large", "both"], default="both")
    parser.add_argument("--seed", default=time.strftime("%Y%m%d-%H%M%S"))
    parser.add_argument("--shrink", type=float, default=60.0, help="seconds for each failure, 0 not to shrink")
    parser.add_argument("--case", help="a file with a case that is to be run again")
    arguments = parser.parse_args()
    if arguments.case:
        sys.exit(run_again(arguments.case))
    memory = "/dev/shm"  # noqa: S108
    folder = tempfile.mkdtemp(prefix="tiledseg-fuzz-", dir=memory if os.access(memory, os.W_OK) else None)
    before, tempfile.tempdir = tempfile.tempdir, folder
    print(f"Seed {arguments.seed}.", flush=True)
    campaign = Campaign(arguments.seed, arguments.shrink)
    try:
        kinds = ["small", "large"] if arguments.kind == "both" else [arguments.kind]
        campaign.run(kinds, arguments.seconds, arguments.cases)
    except KeyboardInterrupt:
        pass
    finally:
        close_cluster()
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)
        print("\n".join(campaign.report()), flush=True)
    sys.exit(1 if campaign.failures else 0)


if __name__ == "__main__":
    main()
