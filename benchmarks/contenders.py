# SPDX-License-Identifier: GPL-2.0-or-later
"""What takes part: a name, a command for a scene, and where it may not take part."""

import json
import math
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

PROBE_SECONDS = 60


def details_file(folder):
    """What a program says about its own run, where it does: `call_seconds`, `stages`, `segments`."""
    path = Path(folder) / "details.json"
    return json.loads(path.read_text()) if path.exists() else {}


@dataclass(frozen=True)
class Contender:
    """Something that is measured.

    kind : `product`, `peer` or `floor`
    command : (scene file, scene, output file without suffix) -> list of str; it runs in the folder of the output
    version : of the program, for the record
    settings : what it was given, for the record
    missing : why it cannot take part here; empty if it can
    details : folder of the run -> what the program says about itself
    kinds : of scenes on which it takes part
    most_megapixels : of scenes on which it takes part
    by_call : its time is what it says about itself, not that of the process
    output : file name of its segments, empty where they are not compared
    """

    name: str
    label: str
    kind: str
    command: Callable[..., List[str]]
    version: str = ""
    settings: str = ""
    missing: str = ""
    environment: Optional[Dict[str, str]] = None
    details: Callable[[Path], dict] = details_file
    kinds: Tuple[str, ...] = ("full", "slanted", "bands")
    most_megapixels: float = math.inf
    by_call: bool = False
    output: str = ""

    def takes_part(self, scene) -> bool:
        return not self.missing and scene.kind in self.kinds and scene.megapixels <= self.most_megapixels


def probe(command, environment=None):
    """What a command prints in its last line, and why it does not work; one of the two is empty."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
        )
    except FileNotFoundError:
        return "", f"there is no program {command[0]}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    lines = (done.stdout if done.returncode == 0 else done.stderr or done.stdout).strip().splitlines()
    last = lines[-1].strip() if lines else ""
    return (last, "") if done.returncode == 0 else ("", last or f"exit code {done.returncode}")
