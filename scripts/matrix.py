# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests on several releases of Debian, and there without numba, pathos and scipy, in trees that are thrown away.

A tree is a small Debian in a folder, made by debootstrap from the mirror in this machine's own apt sources (or MIRROR)
and filled by `make setup`; it is kept in build/trees (or TREES) for the next time. Each run of the tests has an overlay
over it, where packages can be taken away, in a mount namespace of its own. It needs root on Debian.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple
from xml.etree import ElementTree  # nosec B405: of files that pytest has written

ROOT = Path(__file__).resolve().parent.parent
RELEASES = ("bookworm", "trixie", "forky")  # QGIS 3.22, 3.40, 3.44
SHORTER = (
    *("components", "kernels", "elimination", "kmeans", "segmentation", "segment_algorithm", "statistics"),
    *("polygons", "attributes", "execution", "interpreter", "status", "plugin", "product_algorithms"),
)
ABSENT = ((), ("numba",), ("pathos",), ("scipy",), ("numba", "pathos", "scipy"))
LIMIT_SECONDS = 3 * 3600
# as much of this machine's apt settings as says how to reach the mirror and what to expect of it
APT_SETTINGS = ("Acquire::Check-", "Acquire::http", "Acquire::https", "Acquire::Retries")
SITES = ("usr/lib/python3/dist-packages", "usr/local/lib/python3*/dist-packages")

# $1: the tree, $2: where the overlay is to be, $3: rasters outside the repository or nothing, then a command
INSIDE = """
tree=$1 place=$2 shared=$3; shift 3
mount --make-rprivate /
mkdir -p "$place/upper" "$place/work" "$place/merged"
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$place/upper,workdir=$place/work" "$place/merged"
mount -t proc proc "$place/merged/proc"
mount --rbind /dev "$place/merged/dev"
mount -t sysfs sysfs "$place/merged/sys"
if [ -n "$shared" ]; then mkdir -p "$place/merged/shared"; mount --bind -o ro "$shared" "$place/merged/shared"; fi
exec chroot "$place/merged" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \\
    TILEDSEG_SHARED=/shared QT_QPA_PLATFORM=offscreen sh -c 'cd /srv/tiledseg; "$@"; exit $?' sh "$@"
"""
# what a test leaves running ends with its namespace
NAMESPACE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc")


class MatrixError(Exception):
    """One sentence: what is missing on this machine, or what went wrong before any test ran."""


@dataclass
class Outcome:
    """How the tests ended in one tree. status : of pytest, over 128 for a signal, None if they were stopped."""

    name: str
    passed: int
    failed: int
    skipped: int
    seconds: float
    status: Optional[int]

    @property
    def good(self) -> bool:
        return self.status == 0 and not self.failed and self.passed > 0


def mirror() -> str:
    """Where Debian's packages come from: MIRROR, or what this machine's apt itself uses."""
    if os.environ.get("MIRROR"):
        return os.environ["MIRROR"]
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(SUITE) $(COMPONENT)", "Created-By: Packages"],
        capture_output=True,
        text=True,
    )
    for line in listed.stdout.splitlines():
        uri, origin, *rest = line.split(" ")
        if origin == "Debian" and rest[-1] == "main" and "security" not in line:
            return uri.rstrip("/")
    raise MatrixError("The apt sources of this machine name no mirror of Debian: set MIRROR to the URL of one.")


def make_tree(tree: Path, release: str) -> None:
    """Debian's base system with this machine's way to its mirror."""
    scripts = Path("/usr/share/debootstrap/scripts")
    partial = tree.with_name(tree.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = ["debootstrap", "--variant=minbase", "--include=ca-certificates,make,python3", release, str(partial)]
    command.append(mirror())
    if not (scripts / release).exists():  # one that was not known yet when debootstrap was released
        command.append(str(scripts / "sid"))
    logged(command, tree)
    for path in ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt"):
        if Path("/", path).exists():
            shutil.copyfile(Path("/", path), partial / path)
    settings = subprocess.run(["apt-config", "dump"], capture_output=True, text=True).stdout.splitlines()
    wanted = [line for line in settings if line.startswith(APT_SETTINGS)]
    (partial / "etc/apt/apt.conf.d/80matrix").write_text("\n".join(wanted) + "\n")
    partial.rename(tree)


def fill_tree(tree: Path) -> None:
    """What `make setup` installs goes into the tree itself; it is quick where all is there."""
    project = tree / "srv" / "tiledseg"
    copy_project(project)
    steps = f"""
        mount --make-rprivate /
        mount -t proc proc {shlex.quote(str(tree))}/proc
        mount --rbind /dev {shlex.quote(str(tree))}/dev
        exec chroot {shlex.quote(str(tree))} env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \\
            sh -c 'cd /srv/tiledseg && make setup'
    """
    logged([*NAMESPACE, steps], tree)


def logged(command: List[str], tree: Path) -> None:
    """Run a command; what it prints goes into a log beside the tree."""
    log = tree.with_name(tree.name + ".setup.log")
    with log.open("ab") as output:
        if subprocess.run(command, stdout=output, stderr=subprocess.STDOUT).returncode:
            raise MatrixError(f"{command[0]} failed for {tree.name}: see {log}.")


def copy_project(target: Path) -> None:
    """The files that git knows or would, as they are now."""
    shutil.rmtree(target, ignore_errors=True)
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def take_away(tree: Path, upper: Path, packages: Tuple[str, ...]) -> None:
    """Hide Python packages in the overlay: a device 0, 0 stands for what has been removed."""
    for site in SITES:
        for package in packages:
            for path in [*tree.glob(f"{site}/{package}"), *tree.glob(f"{site}/{package}-*")]:
                hidden = upper / path.relative_to(tree)
                hidden.parent.mkdir(parents=True, exist_ok=True)
                os.mknod(hidden, 0o600 | 0o020000, os.makedev(0, 0))


def run_tests(trees: Path, release: str, absent: Tuple[str, ...], arguments: List[str]) -> Outcome:
    """`scripts/run_tests.py` in an overlay over a tree."""
    tree, name = trees / release, " ".join([release, *(f"without {package}" for package in absent)])
    place = trees / "overlay" / name.replace(" ", "-")
    shutil.rmtree(place, ignore_errors=True)
    project = place / "upper" / "srv" / "tiledseg"
    copy_project(project)
    take_away(tree, place / "upper", absent)
    tests = arguments or ([f"tests/test_{module}.py" for module in SHORTER] if absent else ["tests"])
    shared = os.environ.get("TILEDSEG_SHARED", str(ROOT.parent / "shared"))
    pytest = ["/usr/bin/python3", "scripts/run_tests.py", "--report", "/srv/reports", "-rfE", *tests]
    command = [*NAMESPACE, INSIDE, "sh", str(tree), str(place)]
    command += [shared if Path(shared, "data").is_dir() else "", *pytest]
    log = trees / (name.replace(" ", "-") + ".log")
    started = time.monotonic()
    with log.open("wb") as output:
        try:
            status: Optional[int] = subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, timeout=LIMIT_SECONDS
            ).returncode
        except subprocess.TimeoutExpired:
            status = None
    counts = read_counts(place / "upper" / "srv" / "reports")
    shutil.rmtree(place, ignore_errors=True)
    return Outcome(name, *counts, time.monotonic() - started, status)


def read_counts(reports: Path) -> Tuple[int, int, int]:
    """Passed, failed and skipped of pytest's reports in a folder; nothing if it did not get as far as writing one."""
    passed = failed = skipped = 0
    for report in reports.glob("*.xml"):
        suite = next(ElementTree.parse(report).getroot().iter("testsuite"))  # noqa: S314 # nosec B314
        wrong = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        left_out = int(suite.get("skipped", 0))
        passed += int(suite.get("tests", 0)) - wrong - left_out
        failed, skipped = failed + wrong, skipped + left_out
    return passed, failed, skipped


def line(outcome: Outcome) -> str:
    """A row of the table."""
    status = "stopped" if outcome.status is None else str(outcome.status)
    counts = f"{outcome.passed:6} {outcome.failed:6} {outcome.skipped:7} {outcome.seconds:7.0f}"
    return f"{outcome.name:50} {counts} {status:>7}"


def check_machine() -> None:
    """Refuse where trees cannot be made; debootstrap is installed where it is missing."""
    if os.geteuid():
        raise MatrixError("'make matrix' mounts and changes its root: run it as root, or through sudo.")
    if shutil.which("apt-get") is None:
        raise MatrixError("'make matrix' needs apt-get and debootstrap: run it on Debian.")
    if shutil.which("debootstrap") is None:
        subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", "debootstrap"], check=True)


def main() -> int:
    """Run what was asked for, print the table; exit status 1 if anything failed, 2 if nothing could be run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", nargs="+", default=RELEASES, help="of Debian")
    parser.add_argument("--whole", action="store_true", help="only the whole suite, with all packages")
    parser.add_argument("--without", action="append", help="packages, separated by commas; only with these absent")
    parser.add_argument("tests", nargs="*", help="for pytest, instead of the whole suite and the shorter lists")
    asked = parser.parse_args()
    absent = ABSENT[:1] if asked.whole else ABSENT
    if asked.without:
        absent = tuple(tuple(filter(None, packages.split(","))) for packages in asked.without)
    trees = Path(os.environ.get("TREES") or ROOT / "build" / "trees").resolve()
    trees.mkdir(parents=True, exist_ok=True)
    outcomes = []
    try:
        check_machine()
        for release in asked.releases:
            if not (trees / release).exists():
                print(f"Making {release}", flush=True)
                make_tree(trees / release, release)
            fill_tree(trees / release)
    except (MatrixError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{'tests on':50} passed failed skipped seconds  status", flush=True)
    for release in asked.releases:
        for packages in absent:
            outcomes.append(run_tests(trees, release, packages, asked.tests))
            print(line(outcomes[-1]), flush=True)
    print(f"What the tests printed is in {trees}/*.log.")
    return 0 if all(outcome.good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
