# SPDX-License-Identifier: GPL-2.0-or-later
"""Read from the source: nothing in the product executes what it finds in a file, and nothing goes through a shell."""

import ast

import pytest
from conftest import ROOT

FILES = sorted(path for folder in ("tiledseg_plugin", "algorithms") for path in (ROOT / folder).rglob("*.py"))
FILES.append(ROOT / "__init__.py")
EXECUTING = {"eval", "exec", "compile", "__import__", "execfile"}
EXECUTING_MODULES = {
    *("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "yaml", "joblib", "runpy", "code"),
    *("imp", "pty", "commands", "xmlrpc", "pandas"),
}
SHELL = {"system", "popen", "startfile", "execv", "execve", "execvp", "execl", "spawnl", "spawnv", "getoutput"}
PROGRAMS = {  # the only places that start programs: Pythons of this installation, with arguments of our own
    "tiledseg_plugin/engine/execution/compiling.py",
    "tiledseg_plugin/engine/execution/launch.py",
    "tiledseg_plugin/engine/execution/launch_windows.py",
}
XML = {"tiledseg_plugin/engine/files/resampling.py"}  # of what GDAL has written anew
# numpy's own ways into and out of files: some pickle, others do not hear of a disk that is full with the last bytes
ARRAYS = {"load", "save", "savez", "savez_compressed", "savetxt"}


def place(path):
    return path.relative_to(ROOT).as_posix()


NODES = [
    (path, node)
    for path in FILES
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, (ast.Call, ast.Import, ast.ImportFrom))
]


def nodes(kind):
    return ((path, node) for path, node in NODES if isinstance(node, kind))


def called(node):
    """(what it is called of, the name), such as ("np", "load"); ("", name) of a plain name."""
    if isinstance(node.func, ast.Attribute):
        return ast.unparse(node.func.value), node.func.attr
    return "", node.func.id if isinstance(node.func, ast.Name) else ""


def keyword(node, name):
    return next((ast.unparse(one.value) for one in node.keywords if one.arg == name), None)


def imported():
    for path, node in nodes((ast.Import, ast.ImportFrom)):
        if isinstance(node, ast.Import):
            yield from ((place(path), alias.name) for alias in node.names)
        elif not node.level:
            yield place(path), node.module


def test_there_is_something_to_look_at():
    assert len(FILES) > 100
    assert ("npy", "write_array") in {called(node) for _, node in nodes(ast.Call)}
    assert {where for where, name in imported() if name == "subprocess"} == PROGRAMS


def test_nothing_is_evaluated():
    found = [(place(path), node.lineno, called(node)) for path, node in nodes(ast.Call)]
    assert [one for one in found if one[2][0] == "" and one[2][1] in EXECUTING] == []
    assert [one for one in found if one[2][0] in ("os", "subprocess", "pty") and one[2][1] in SHELL] == []


def test_no_module_is_used_that_makes_objects_of_files():
    found = {(where, name) for where, name in imported() if name and name.split(".")[0] in EXECUTING_MODULES}
    assert found == set()


def test_no_program_goes_through_a_shell():
    for path, node in nodes(ast.Call):
        assert keyword(node, "shell") in (None, "False"), place(path)
        if called(node) in (("subprocess", "Popen"), ("subprocess", "run")):
            assert place(path) in PROGRAMS


def test_numpy_reads_and_writes_numbers_only_and_no_file_by_itself():
    for path, node in nodes(ast.Call):
        module, name = called(node)
        assert not (module in ("np", "numpy") and name in ARRAYS), f"{place(path)}:{node.lineno}"
        assert name != "tofile", f"{place(path)}:{node.lineno}"
        if (module, name) == ("npy", "write_array"):
            assert keyword(node, "allow_pickle") == "False", f"{place(path)}:{node.lineno}"
        assert keyword(node, "allow_pickle") in (None, "False"), place(path)


def test_what_dask_unpickles_has_come_by_the_network_or_been_held_against_its_digest():
    arguments = [ast.unparse(node.args[0]) for _, node in nodes(ast.Call) if called(node)[1] == "deserialize_bytes"]
    assert sorted(arguments) == ["collect(parcel)", "content", "item", "what"]
    source = (ROOT / "tiledseg_plugin/engine/execution/dask_cluster.py").read_text()
    assert source.count("content = collect(what)") == 1 and source.count("deserialize_bytes(content)") == 1


def test_xml_is_only_parsed_that_gdal_has_written():
    assert {where for where, name in imported() if name and name.split(".")[0] in ("xml", "lxml")} <= XML


def test_gdal_is_never_allowed_to_run_python_of_a_raster():
    for path in FILES:
        assert "VRT_ENABLE_PYTHON" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["mktemp", "tmpnam", "tempnam", "NamedTemporaryFile"])
def test_no_temporary_name_can_be_guessed_or_taken(name):
    assert [place(path) for path, node in nodes(ast.Call) if called(node)[1] == name] == []
