# SPDX-License-Identifier: GPL-2.0-or-later
"""The rooms of the house: imports run one way, the engine knows no QGIS, and the documentation names what is there."""

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path, PurePosixPath

import pytest
from conftest import ROOT
from tiledseg.tiledseg_plugin.engine.execution.dask_worker import WITH_TASKS

ENGINE = "tiledseg_plugin/engine"
# from the bottom to the top: a module may import from its own room and from those before it
FLOORS = (
    ("values", "errors wording parameters forecast progress machine resources report"),
    ("files", "files"),
    ("kernels", "kernels"),
    ("execution", "execution"),
    ("stages", "stages"),
    ("products", "products"),
    ("rsgislib", "rsgislib"),
    (
        "operations",
        "segmentation stage_costs preflight preview preview_lines preview_sizes preview_levels parameter_search "
        "installation example",
    ),
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


def test_packages_that_import_their_modules_are_loaded_before_threads_import_any():
    """Or else two threads, one of which imports the package and the other a module of it, wait for each other."""
    packages = [path for path in (ROOT / ENGINE).rglob("__init__.py") if path.parent != ROOT / ENGINE]
    names = {
        ".".join(path.parent.relative_to(ROOT / ENGINE).parts)
        for path in packages
        if any(path.parent in target.parents for target in imported(path))
    }
    program = "import sys; from tiledseg.tiledseg_plugin import engine; engine.load(); print(*sys.modules)"
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    missing = {name for name in names if f"tiledseg.tiledseg_plugin.engine.{name}" not in loaded}
    assert "execution" in names and missing == {"kernels.compiled"}  # which one function imports, as a package


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
    for path in [*modules(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "scripts").glob("*.py")]:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 420, path.relative_to(ROOT)


@cache
def functions_outside_of_kernels():
    """(where, function, its class or None); kernels take many arrays, and how they are written is measured."""
    found = []
    for path in [*modules(), *(ROOT / "scripts").glob("*.py")]:
        if "kernels" in path.parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        owners = {item: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for item in node.body}
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found.append((f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node, owners.get(node)))
    return found


def parameters_of(function):
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return [one for one in every if one is not None and one.arg not in ("self", "cls")]


def test_no_function_has_more_than_six_parameters():
    assert [where for where, node, _ in functions_outside_of_kernels() if len(parameters_of(node)) > 6] == []


ALL_IN_ONE = ("_bootstrap", "bootstrap")  # a function that travels to workers by value, with all that it needs


def test_no_function_is_longer_than_a_screen():
    long = [(where, node) for where, node, _ in functions_outside_of_kernels() if node.end_lineno - node.lineno >= 50]
    assert [where for where, node in long if node.name not in ALL_IN_ONE] == []


OF_A_BASE = {"_popen", "_sentinel", "finalizer", "pid", "sentinel"}  # multiprocess's own, which are set as it sets them


def names_set_in(nodes):
    return {
        node.attr
        for one in nodes
        for node in ast.walk(one)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }


def set_first(owner, classes):
    """The attributes that a class, or a base of it in the project, has from the start."""
    found = names_set_in(item for item in owner.body if getattr(item, "name", "") == "__init__")
    for item in owner.body:
        targets = getattr(item, "targets", [getattr(item, "target", None)])
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    bases = [classes.get(ast.unparse(base).rpartition(".")[2]) for base in owner.bases]
    return found.union(*(set_first(base, classes) for base in bases if base not in (None, owner)))


def test_attributes_are_set_first_in_the_class_or_its_init():
    methods = [(where, node, owner) for where, node, owner in functions_outside_of_kernels() if owner is not None]
    classes = {owner.name: owner for _, _, owner in methods}
    first = {owner: set_first(owner, classes) for owner in {owner for _, _, owner in methods}}
    later = [
        (where, name) for where, node, owner in methods for name in names_set_in([node]) - first[owner] - OF_A_BASE
    ]
    assert later == []


def names_in(node):
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def test_no_function_within_a_function_names_itself():
    """It would keep all that it knows, such as arrays in files that stay open, until the garbage is collected."""
    found = []
    for path in modules():
        functions = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)]
        inner = {node for outer in functions for node in ast.walk(outer) if node in functions and node is not outer}
        found += [f"{path.name}:{node.lineno}" for node in inner if node.name in set().union(*map(names_in, node.body))]
    assert found == []


def test_nothing_compares_rows_of_arrays():
    """numpy keeps the interpreter lock meanwhile, for seconds, and QGIS stands still: see `engine.kernels.pairs`."""
    found = []
    for path in modules():
        calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        found += [
            f"{path.name}:{call.lineno}"
            for call in calls
            if ast.unparse(call.func) == "np.unique" and any(given.arg == "axis" for given in call.keywords)
        ]
    assert found == []


def test_nothing_asks_sysconfig():
    """Until Python 3.13 a thread finds it half filled while another one is the first to ask."""
    sources = {path.name: path.read_text("utf-8") for path in modules()}
    assert [name for name, text in sources.items() if "import sysconfig" in text or "from sysconfig" in text] == []
