# SPDX-License-Identifier: GPL-2.0-or-later
"""The rooms of the house: imports run one way, the engine knows no QGIS, and the documentation names what is there."""

import ast
import re
from pathlib import Path, PurePosixPath

import pytest
from conftest import ROOT
from tiledseg.tiledseg_plugin.engine.execution.dask_worker import WITH_TASKS

ENGINE = "tiledseg_plugin/engine"
# from the bottom to the top: a module may import from its own room and from those before it
FLOORS = (
    ("values", "errors parameters progress machine resources report"),
    ("files", "files"),
    ("kernels", "kernels"),
    ("execution", "execution"),
    ("stages", "stages"),
    ("products", "products"),
    ("rsgislib", "rsgislib"),
    ("operations", "segmentation preflight preview preview_lines installation example"),
)
FLOOR_OF = {name: level for level, (_, names) in enumerate(FLOORS) for name in names.split()}
FOLDERS = ("algorithms", "tiledseg_plugin")


def modules():
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def module_of(parts):
    """The file of a module or package that is named by its parts from the root; None if there is none."""
    path = ROOT.joinpath(*parts)
    for candidate in (path.with_suffix(".py") if parts else path, path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def imported(path):
    """The files of the project that a module imports, anywhere in it."""
    package = path.relative_to(ROOT).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = package[: len(package) - node.level + 1] + tuple((node.module or "").split(".") if node.module else ())
        for alias in node.names:
            target = module_of((*base, alias.name)) or module_of(base)
            assert target is not None, f"{path.relative_to(ROOT)} imports {'.'.join(base)}, which is not there"
            found.add(target)
    return found - {path}


def floor(path):
    """The level of a module of the engine; None outside of it and for its packages' own `__init__`."""
    place = PurePosixPath(path.relative_to(ROOT).as_posix())
    if not place.is_relative_to(ENGINE) or place == PurePosixPath(ENGINE, "__init__.py"):
        return None
    return FLOOR_OF[PurePosixPath(place.relative_to(ENGINE).parts[0]).stem]


GRAPH = {path: imported(path) for path in modules()}


def test_every_module_of_the_engine_has_its_room():
    loose = {path.stem for path in (ROOT / ENGINE).glob("*.py")} - {"__init__"}
    folders = {path.name for path in (ROOT / ENGINE).iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert loose | folders == set(FLOOR_OF)


def test_imports_of_the_engine_run_one_way():
    upwards = [
        f"{path.relative_to(ROOT)} imports {target.relative_to(ROOT)}"
        for path, targets in GRAPH.items()
        for target in targets
        if floor(path) is not None and (floor(target) is None or floor(target) > floor(path))
    ]
    assert upwards == []


def test_nothing_but_the_desktop_and_the_plugin_imports_the_desktop():
    for path, targets in GRAPH.items():
        for target in targets:
            if "desktop" in target.parts and "desktop" not in path.parts:
                assert path.name == "plugin.py", f"{path.relative_to(ROOT)} imports {target.relative_to(ROOT)}"


def test_no_module_imports_itself_by_a_detour():
    done, under_way = set(), []

    def visit(path):
        if path in done:
            return
        assert path not in under_way, " -> ".join(str(step.relative_to(ROOT)) for step in [*under_way, path])
        under_way.append(path)
        for target in GRAPH[path]:
            if target.name != "__init__.py" or target.parent != path.parent:  # a package of which it is a part
                visit(target)
        done.add(under_way.pop())

    for path in GRAPH:
        visit(path)


@pytest.mark.parametrize("path", sorted((ROOT / ENGINE).rglob("*.py")), ids=lambda path: path.stem)
def test_the_engine_names_no_qgis(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        assert not [name for name in names if name.split(".")[0] in ("qgis", "processing", "PyQt5", "PyQt6")]


@pytest.mark.parametrize("page", ["architecture.md", "glossary.md"])
def test_paths_in_the_documentation_exist(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    named = {word for word in re.findall(r"[\w./]+/[\w./]*", text) if not word.startswith(("/", "http", ".aux"))}
    named = {word for word in named if "." in Path(word).name or word.endswith("/")}
    assert page != "architecture.md" or len(named) > 20
    for word in sorted(named):
        assert any((ROOT / start / word).exists() for start in ("", "tiledseg_plugin", "docs")), word


@pytest.mark.parametrize("name", WITH_TASKS)
def test_modules_that_dask_workers_import_by_name_are_there(name):
    assert ROOT.joinpath(ENGINE, *name.split(".")).with_suffix(".py").is_file()


def test_no_file_is_too_long_to_be_one_room():
    for path in modules():
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 420, path.relative_to(ROOT)
