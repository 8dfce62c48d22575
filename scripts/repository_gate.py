# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds the built zip against what the QGIS plugin repository checks on upload, and more strictly.

usage: repository_gate.py ZIP TOOLS     (TOOLS: the bin folder with bandit and detect-secrets)

All of bandit's rules count, not only those that the repository has switched on, and any finding is an error; so is any
find of detect-secrets, whose own exit status is always 0. Prints one line a fault; exit status 1 if there are any.
"""

import configparser
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Iterator, List

MOST_BYTES = 25_000_000
NEEDED = ("metadata.txt", "__init__.py", "LICENSE", "README.md")
STATED = ("name", "description", "about", "version", "author", "email", "qgisMinimumVersion", "qgisMaximumVersion")
LINKS = ("homepage", "tracker", "repository")
SUSPICIOUS = (".exe", ".dll", ".so", ".dylib", ".pyd", ".bat", ".cmd", ".ps1", ".sh", ".pyc", ".zip", ".whl")
TEXT = (".py", ".md", ".txt", ".svg", ".qml", ".model3", "LICENSE")


def faults_of_names(names: List[str]) -> Iterator[str]:
    """What the repository refuses about the files' places and kinds."""
    folders = {PurePosixPath(name).parts[0] for name in names}
    if len(folders) != 1:
        yield f"the zip holds {len(folders)} folders at its top ({', '.join(sorted(folders))}), not one"
        return
    folder = folders.pop()
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", folder):
        yield f"the folder is called '{folder}'"
    for needed in NEEDED:
        if f"{folder}/{needed}" not in names:
            yield f"{needed} is missing"
    for name in names:
        parts = PurePosixPath(name).parts
        if any(part.startswith(".") or part == "__pycache__" or part == "__MACOSX" for part in parts):
            yield f"{name} is hidden or generated"
        elif name.endswith(SUSPICIOUS):
            yield f"{name} is of a kind that the repository holds to be suspicious"
        elif not name.endswith("/") and not name.endswith(TEXT):
            yield f"{name} is no text file of a kind that belongs in the plugin"


def faults_of_metadata(text: str) -> Iterator[str]:
    """What the repository refuses about metadata.txt."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    general = parser["general"]
    for key in STATED:
        if not general.get(key, "").strip():
            yield f"metadata.txt has no {key}"
    for key in LINKS:
        if not general.get(key, "").startswith("https://"):
            yield f"metadata.txt has no address as {key}"
    if "plugin" in general.get("name", "").lower():
        yield "the name in metadata.txt must not contain 'plugin'"
    if not re.fullmatch(r"\d+\.\d+(\.\d+)?", general.get("version", "")):
        yield f"metadata.txt has the version '{general.get('version')}'"
    if not general.get("about", "").isascii():
        yield "'about' in metadata.txt has to be English"


def faults_of_content(folder: Path) -> Iterator[str]:
    """Files that may not be run, or are no text though they claim to be."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and b"\0" in path.read_bytes():
            yield f"{path.relative_to(folder)} is binary"


def faults_of_security(folder: Path, tools: Path) -> Iterator[str]:
    """Findings of bandit and detect-secrets."""
    bandit = subprocess.run(
        [str(tools / "bandit"), "-r", "-q", "-f", "json", str(folder)], capture_output=True, text=True, check=False
    )
    if bandit.returncode not in (0, 1):
        raise SystemExit(f"bandit failed: {bandit.stderr.strip()}")
    report = json.loads(bandit.stdout)
    if not report["metrics"]["_totals"]["loc"]:
        raise SystemExit("bandit has looked at nothing")
    for error in report["errors"]:
        yield f"bandit cannot read {error['filename']}: {error['reason']}"
    for found in report["results"]:
        name = Path(found["filename"]).relative_to(folder)
        yield f"{name}:{found['line_number']}: {found['test_id']} {found['issue_text']}"
    secrets = subprocess.run(
        [str(tools / "detect-secrets"), "scan", "--all-files", "."],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    for name, found in json.loads(secrets.stdout)["results"].items():
        for secret in found:
            yield f"{name}:{secret['line_number']}: {secret['type']}"


def faults(package: Path, tools: Path) -> List[str]:
    """All that is wrong with a zip, one line each."""
    found = []
    if package.stat().st_size > MOST_BYTES:
        found.append(f"{package.name} has {package.stat().st_size} bytes, more than {MOST_BYTES}")
    with zipfile.ZipFile(package) as zipped, tempfile.TemporaryDirectory() as scratch:
        names = zipped.namelist()
        found += faults_of_names(names)
        found += [
            f"{entry.filename} is executable"
            for entry in zipped.infolist()
            if not entry.is_dir() and entry.external_attr >> 16 & 0o111
        ]
        zipped.extractall(scratch)
        folder = Path(scratch) / PurePosixPath(names[0]).parts[0]
        if (folder / "metadata.txt").is_file():
            found += faults_of_metadata((folder / "metadata.txt").read_text(encoding="utf-8"))
        found += faults_of_content(folder)
        found += faults_of_security(folder, tools)
    return found


def main(package: str, tools: str) -> int:
    found = faults(Path(package), Path(tools).absolute())
    for fault in found:
        print(f"{package}: {fault}")
    if not found:
        print(f"{package}: nothing that the plugin repository would refuse ({Path(package).stat().st_size:,} bytes).")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
