# SPDX-License-Identifier: GPL-2.0-or-later
"""QGIS Desktop with this clone as a plugin, on a screen in memory, driven by a script; for tests and pictures."""

import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict

import headless

SCREEN = (1366, 768, 24)
DRIVERS = headless.ROOT / "tests" / "desktop"
SETTINGS = """[PythonPlugins]
{plugin}=true
[Plugins]
libcoordinatecaptureplugin=false
[app]
askToSaveProjectChanges=false
[qgis]
checkVersion=false
showTips=false
newsFeed\\disabled=true
[core]
NewsFeed\\disabled=true
"""


class DesktopError(Exception):
    """One sentence: what is missing on this machine, or how QGIS ended."""


@dataclass
class Session:
    """How a session of QGIS ended: its exit code, what the script found out, and what was written to stderr."""

    returncode: int
    found: dict
    stderr: str


def missing():
    """What of the programs this needs is not installed; empty if all are."""
    return ", ".join(name for name in ("xvfb-run", "xauth", "qgis") if shutil.which(name, path="/usr/bin") is None)


def _sections(settings):
    """Settings of the form section/key as those of an INI file."""
    return "".join(
        "[{}]\n{}={}\n".format(*name.replace("/", "\n", 1).splitlines(), value) for name, value in settings.items()
    )


@dataclass(frozen=True)
class Look:
    """How QGIS looks.

    language : its two letters
    scale : pixels of the screen to one of the usual ones
    settings : {section/key: text} of a new profile, besides those that all have
    """

    language: str = "en"
    scale: int = 1
    settings: Dict[str, str] = field(default_factory=dict)


def drive(script, folder, seconds=180, look=Look(), **arguments) -> Session:  # noqa: B008  # it cannot be changed
    """Start QGIS, run a script of tests/desktop in it, and wait until it has ended.

    Parameters
    ----------
    script : name of the file, without .py
    folder : for the profile and the script's files
    arguments : plain values for the script
    """
    if missing():
        raise DesktopError(f"{missing()} is not installed: run 'make setup'.")
    folder = Path(folder)
    profile = folder / "profiles" / "default"
    (profile / "QGIS").mkdir(parents=True, exist_ok=True)
    file = profile / "QGIS" / "QGIS3.ini"
    if not file.exists():
        file.write_text(SETTINGS.format(plugin=headless.PLUGIN) + _sections(look.settings))
    arguments_file, found = folder / f"{script}.arguments.json", folder / f"{script}.found.json"
    found.unlink(missing_ok=True)
    known = {"folder": folder, "found": found, "load": os.getloadavg()[0] / (os.cpu_count() or 1)}
    arguments_file.write_text(json.dumps({**known, **arguments}, default=str))
    environment = headless.environment(folder / "unused profile")
    for name in ("QT_QPA_PLATFORM", "QGIS_CUSTOM_CONFIG_PATH"):
        environment.pop(name)
    environment.update(PYTHONPATH=str(DRIVERS), TILEDSEG_DRIVE=str(arguments_file), PYTHONFAULTHANDLER="1")
    environment["TMPDIR"] = str(folder / "temporary")
    (folder / "temporary").mkdir(exist_ok=True)
    qgis = ["/usr/bin/qgis", "--nologo", "--noversioncheck", "--profiles-path", str(folder), "--lang", look.language]
    width, height, depth = SCREEN
    screen = f"-screen 0 {look.scale * width}x{look.scale * height}x{depth}"
    environment["QT_SCALE_FACTOR"] = str(look.scale)
    command = ["xvfb-run", "-a", "-s", screen, *qgis, "--code", str(DRIVERS / f"{script}.py")]
    log = folder / f"{script}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            returncode = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # only what was started here: it has a session of its own
            process.wait()
            returncode = None
    answer = json.loads(found.read_text()) if found.exists() else {}
    return Session(returncode, answer, log.read_text("utf-8", "replace"))
