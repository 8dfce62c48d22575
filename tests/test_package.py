# SPDX-License-Identifier: GPL-2.0-or-later
"""The zip that users install, and the gate that looks at it before the plugin repository does."""

import zipfile

import pytest
import repository_gate as gate
from conftest import ROOT

TOOLS = ROOT / "build" / "gate" / "bin"
METADATA = (ROOT / "metadata.txt").read_text(encoding="utf-8")
GOOD = {"metadata.txt": METADATA, "__init__.py": "NAME = 1\n", "LICENSE": "free\n", "README.md": "# It\n"}
# assembled here, so that this file is no find of its own
SECRET = "access = 'AK" + "IA" + "2E0A8F3B244C9986'\n"

needs_tools = pytest.mark.skipif(
    not (TOOLS / "bandit").exists(),
    reason="bandit and detect-secrets are not in build/gate: 'make package' installs them",
)


def zipped(folder, files, top="tiledseg/"):
    path = folder / "package.zip"
    with zipfile.ZipFile(path, "w") as package:
        for name, content in files.items():
            package.writestr(zipfile.ZipInfo(name if name.startswith("/") else top + name), content)
    return path


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"tool.so": "x"}, "suspicious"),
        ({"run.sh": "x"}, "suspicious"),
        ({".gitignore": "x"}, "hidden or generated"),
        ({"__pycache__/a.cpython-311.py": "x"}, "hidden or generated"),
        ({"picture.png": "x"}, "no text file"),
        ({"README.md": None}, "README.md is missing"),
        ({"LICENSE": None}, "LICENSE is missing"),
    ],
)
def test_names_are_refused_that_the_repository_refuses(more, fault):
    names = [f"tiledseg/{name}" for name, content in {**GOOD, **more}.items() if content is not None]
    assert [found for found in gate.faults_of_names(names) if fault in found]
    assert not list(gate.faults_of_names([f"tiledseg/{name}" for name in GOOD]))


def test_several_folders_at_the_top_are_refused():
    assert "2 folders" in next(gate.faults_of_names(["one/metadata.txt", "two/metadata.txt"]))


@pytest.mark.parametrize("key", [*gate.STATED, *gate.LINKS])
def test_metadata_that_lacks_something_is_refused(key):
    text = "\n".join(line for line in METADATA.splitlines() if not line.startswith(f"{key}="))
    assert any(key in fault or "version" in fault for fault in gate.faults_of_metadata(text))
    assert not list(gate.faults_of_metadata(METADATA))


@needs_tools
@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("run.py", "import subprocess\nsubprocess.run('ls', shell=True)\n", "B602"),
        ("read.py", "import pickle\npickle.loads(b'')\n", "B301"),
        ("check.py", "assert True\n", "B101"),
        ("key.py", SECRET, "AWS"),
        ("data.txt", "a\0b", "binary"),
    ],
)
def test_what_is_in_the_files_is_refused_that_the_repository_refuses(tmp_path, name, content, fault):
    found = gate.faults(zipped(tmp_path, {**GOOD, name: content}), TOOLS)
    assert [one for one in found if fault in one], found
