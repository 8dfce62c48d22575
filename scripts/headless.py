# SPDX-License-Identifier: GPL-2.0-or-later
"""`qgis_process` with this clone as the plugin `tiledseg`, in a profile of its own; for the demo and the tests."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
PLUGIN = "tiledseg"


class HeadlessError(Exception):
    """One sentence: what is missing on this machine."""


@dataclass
class Finished:
    """How a call of `qgis_process` ended; `peak_memory` in bytes is that of the process."""

    returncode: int
    stdout: str
    stderr: str
    seconds: float
    peak_memory: int

    def lines_of_errors(self) -> list:
        """What it has said on stderr, without Python's warnings of QGIS's own code, and the code cited below them."""
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        warned = ["DeprecationWarning" in line for line in lines]
        cited = [before and line.startswith("  ") for before, line in zip([False, *warned], lines)]
        return [line for line, *dropped in zip(lines, warned, cited) if not any(dropped)]


def plugin_path() -> Path:
    """A folder that holds the clone under the plugin's name, whatever the clone itself is called.

    It is always the same one: numba keeps its machine code by the path of the source.
    """
    folder = BUILD / "plugins"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / PLUGIN
    if not link.is_symlink() or link.resolve() != ROOT:
        link.unlink(missing_ok=True)
        try:
            link.symlink_to(ROOT, target_is_directory=True)
        except FileExistsError:  # another session was quicker
            pass
    return folder


def environment(profile: Path) -> dict:
    """Environment variables for QGIS without a screen and without the user's own profile."""
    runtime = profile / "runtime"
    runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        **os.environ,
        "QGIS_PLUGINPATH": str(plugin_path()),
        "QGIS_CUSTOM_CONFIG_PATH": str(profile),
        "XDG_RUNTIME_DIR": str(runtime),
        "QT_QPA_PLATFORM": "offscreen",
    }


def qgis_process_program() -> str:
    """The program to run: Debian's `qgis_process` 3.22 is a script that does not work, the .bin beside it does."""
    for name in ("/usr/bin/qgis_process.bin", "qgis_process"):
        found = shutil.which(name)
        if found:
            return found
    raise HeadlessError("qgis_process is not installed: run 'make setup', or install QGIS 3.22 or later.")


class QgisProcess:
    """Calls of `qgis_process` in one profile, in which the plugin is enabled.

    Parameters
    ----------
    like : an earlier profile of this class, of which `profile` becomes a copy; to enable the plugin takes seconds
    """

    def __init__(self, profile: Path, like: Optional[Path] = None):
        self.profile = profile
        self.environment = environment(profile)
        if like is not None:
            shutil.copytree(like, profile, ignore=shutil.ignore_patterns("runtime"), dirs_exist_ok=True)
            return
        enabled = self("plugins", "enable", PLUGIN)  # it fails where it has been enabled before
        if enabled.returncode and PLUGIN not in self.plugins():
            raise HeadlessError(f"The plugin cannot be enabled: {enabled.stderr or enabled.stdout}")

    def plugins(self) -> list:
        """The names of the plugins that are loaded."""
        listed = json.loads(self("--json", "plugins").stdout)["plugins"]
        return [name for name, state in listed.items() if state["loaded"]]

    def __call__(self, *arguments: str, cwd=None) -> Finished:
        """Run and wait; output goes through files, as pipes would have to be read while waiting."""
        out, err = self.profile / "stdout.txt", self.profile / "stderr.txt"
        started = time.monotonic()
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [qgis_process_program(), *arguments], env=self.environment, stdout=stdout, stderr=stderr, cwd=cwd
            )
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return Finished(
            process.returncode,
            out.read_text("utf-8", "replace"),
            err.read_text("utf-8", "replace"),
            time.monotonic() - started,
            usage.ru_maxrss * 1024,
        )
