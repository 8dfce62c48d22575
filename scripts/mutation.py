# SPDX-License-Identifier: GPL-2.0-or-later
"""Do the tests notice when the code is wrong? Each module is changed in one place at a time, and its tests are run.

usage: mutation.py [--again] [--list] [MODULE ...]

MODULE is a key of MODULES below, or a part of one; all of them where none is named. A change that no test notices is a
survivor: it needs a test, or a line in tests/mutation-survivors.txt that says why it changes no result. The exit status
is 1 if there is any other. `--again` tries only what survived last time, `--list` shows the changes and runs nothing.

The changes are those of cosmic-ray, and of assignments such as `+=`. Each is tried in a process of its own, forked from
one that has collected the tests, and is never written to a file.
"""

import argparse
import ast
import contextlib
import functools
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
import types

import headless

# what is mutated, below tiledseg_plugin/, and the tests that have to notice, files or how their names begin; the
# quickest first
KERNELS, STAGES = "engine/kernels/plain/", "engine/stages/"
MODULES = {
    "engine/kernels/pairs.py": ["tests/test_components.py::test_pairs", "tests/test_kernel_regions.py"],
    "engine/kernels/components.py": ["tests/test_components.py::test_components"],
    KERNELS + "apart.py": ["tests/test_kernel_steps.py"],
    KERNELS + "attributes.py": ["tests/test_kernel_regions.py"],
    KERNELS + "borders.py": ["tests/test_kernel_shapes.py"],
    KERNELS + "clumps.py": ["tests/test_kernel_regions.py", "tests/test_walls.py"],
    KERNELS + "elimination.py": [
        "tests/test_kernel_steps.py",
        "tests/test_kernel_regions.py",
        "tests/test_levels.py::test_levels_of",
    ],
    KERNELS + "lloyd.py": ["tests/test_kernel_steps.py"],
    KERNELS + "outlines.py": ["tests/test_kernel_outlines.py"],
    KERNELS + "pixels.py": ["tests/test_kernel_pixels.py", "tests/test_walls.py"],
    KERNELS + "quantiles.py": ["tests/test_kernel_regions.py"],
    KERNELS + "runs.py": ["tests/test_packed_labels.py"],
    KERNELS + "shapes.py": ["tests/test_kernel_shapes.py"],
    KERNELS + "simplification.py": ["tests/test_kernel_outlines.py"],
    STAGES + "burning.py": ["tests/test_burning.py"],
    STAGES + "elimination.py": [
        "tests/test_stage_graph.py",
        "tests/test_levels.py::test_levels_of",
        "tests/test_levels.py::test_links",
        "tests/test_tree.py::test_any",
    ],
    STAGES + "graph.py": ["tests/test_stage_graph.py"],
    STAGES + "nesting.py": ["tests/test_levels.py::test_levels_of", "tests/test_tree.py::test_any"],
    STAGES + "numbering.py": ["tests/test_numbering.py", "tests/test_tree.py::test_any"],
    STAGES + "parts.py": ["tests/test_parts.py", "tests/test_stage_graph.py", "tests/test_tree.py"],
    STAGES + "plan.py": ["tests/test_plan.py"],
    STAGES + "polygon_tiles.py": [
        "tests/test_polygon_tiles.py",
        "tests/test_extent.py::test_edges",
        "tests/test_extent.py::test_another",
    ],
    STAGES + "schedule.py": ["tests/test_schedule.py"],
    STAGES + "tree.py": [
        "tests/test_tree.py::test_a_",
        "tests/test_tree.py::test_borders",
        "tests/test_tree.py::test_little",
        "tests/test_tree.py::test_no_join",
        "tests/test_schedule.py",
    ],
}
SURVIVORS = headless.ROOT / "tests" / "mutation-survivors.txt"
RESULTS = headless.BUILD / "mutation-results"
OUTPUT = RESULTS / f"output-{os.getpid()}.txt"  # of the tests of one mutant, the test that noticed it first
LEAST_SECONDS = 5.0  # that a mutant's tests may take; ten times what they take without it, if that is more
TEST_SECONDS = 2.0  # of the processor that one test may take, if all take less than a fifth; an endless loop takes more
LEFT_OUT = {"shared", "plugin", "qgis_process"}  # fixtures of tests that take long, or need what need not be there
MEMORY = 4 << 30

REPLACED = {
    "Binary": (
        "Add_Sub Add_Mul Sub_Add Mul_Add Mul_FloorDiv Div_Mul FloorDiv_Mul Mod_FloorDiv Pow_Mul LShift_RShift"
        " RShift_LShift BitAnd_BitOr BitOr_BitAnd"
    ),
    "Comparison": ("Eq_NotEq NotEq_Eq Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt Is_IsNot IsNot_Is"),
    "Unary": "Delete_USub Delete_Invert Delete_Not",
}
OPERATORS = [f"core/Replace{kind}Operator_{pair}" for kind, pairs in REPLACED.items() for pair in pairs.split()]
OPERATORS += [
    f"core/{name}"
    for name in [
        "AddNot",
        "NumberReplacer",
        "ReplaceAndWithOr",
        "ReplaceOrWithAnd",
        "ReplaceTrueWithFalse",
        "ReplaceFalseWithTrue",
        "ReplaceBreakWithContinue",
        "ReplaceContinueWithBreak",
        "ZeroIterationForLoop",
    ]
]
ASSIGNMENTS = {
    "+=": ("-=", "="),
    "-=": ("+=", "="),
    "*=": ("+=", "="),
    "/=": ("*=", "="),
    "|=": ("&=", "="),
    "&=": ("|=", "="),
    "<<=": (">>=", "="),
    ">>=": ("<<=", "="),
}


def mutants(path):
    """All changes of a module: (description, source), the description a tuple (function, line, changed line)."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    source = path.read_text(encoding="utf-8")
    tree, same = get_ast(source), ast.dump(ast.parse(source))
    found = {}
    for operator in [get_operator(name)() for name in OPERATORS] + [_assignment_operator()]:
        count = sum(len(list(operator.mutation_positions(node))) for node in ast_nodes(tree))
        for occurrence in range(count):
            changed = mutate_code(source, operator, occurrence)
            if changed and _parsed(changed) not in ("", same):
                found.setdefault(_describe(source, changed), changed)
    return sorted(found.items())


def _parsed(source):
    """The tree of a source as text; "" for what is no Python, such as `*a` with another sign."""
    try:
        return ast.dump(ast.parse(source))
    except SyntaxError:
        return ""


def _assignment_operator():
    from cosmic_ray.operators.operator import Operator

    class ReplaceAssignment(Operator):
        def mutation_positions(self, node):
            for _ in ASSIGNMENTS.get(getattr(node, "value", None), ()) if node.type == "operator" else ():
                yield node.start_pos, node.end_pos

        def mutate(self, node, index):
            node.value = ASSIGNMENTS[node.value][index]
            return node

        @classmethod
        def examples(cls):
            return ()

    return ReplaceAssignment()


def _describe(source, changed):
    """(function, line, changed line); of lines that are alike in a function, the second and further have a number."""
    before, after = source.splitlines(), changed.splitlines()
    at = next(number for number, pair in enumerate(zip(before, after)) if pair[0] != pair[1])
    function, first = "", 0
    for number in range(at, -1, -1):
        words = before[number].split()
        if words[:1] in (["def"], ["class"]) and (not function or not before[number].startswith(" ")):
            function = words[1].partition("(")[0].rstrip(":") + ("." + function if function else "")
            first = first or number
            if not before[number].startswith(" "):
                break
    alike = sum(before[number].strip() == before[at].strip() for number in range(first, at))
    line = before[at].strip() + (f"  ({alike + 1})" if alike else "")
    return function or "-", line, after[at].strip()


def put_in_place(module, source):
    """Make a module that has been imported do what its changed source says, for all who have imported from it."""
    changed = dict(vars(module))
    exec(compile(source, module.__file__, "exec"), changed)  # noqa: S102
    for name, new in changed.items():
        old = vars(module).get(name)
        if getattr(new, "__module__", module.__name__) == module.__name__ and not name.startswith("__"):
            _put(module, name, old, new)


def _put(owner, name, old, new):
    old, new = getattr(old, "__wrapped__", old), getattr(new, "__wrapped__", new)
    if isinstance(old, property):
        for part in ("fget", "fset"):
            _put(owner, part, getattr(old, part), getattr(new, part))
    elif isinstance(old, functools.cached_property):
        _put(owner, name, old.func, new.func)
    elif isinstance(old, types.FunctionType) and isinstance(new, types.FunctionType):
        old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__
    elif isinstance(old, type) and isinstance(new, type):
        for part, value in vars(new).items():
            if not part.startswith("__") or part == "__init__" or callable(value):
                _put(old, part, vars(old).get(part), value)
    elif isinstance(owner, types.ModuleType) and not isinstance(new, (types.FunctionType, type)):
        for other in [other for key, other in sys.modules.items() if key.startswith("tiledseg.")]:
            if name in vars(other) and vars(other)[name] is old:
                setattr(other, name, new)


def _run_tests(items, module, source, test_seconds):
    """In a process forked for it: change a module and run tests up to the first that fails; never returns."""
    from _pytest.runner import runtestprotocol

    status = 1
    try:
        os.setsid()
        file = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, 1)
        os.dup2(file, 2)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        if source is not None:
            put_in_place(module, source)
        for item, following in zip(items, [*items[1:], None]):
            signal.setitimer(signal.ITIMER_PROF, test_seconds)  # which ends the process
            failures = [report for report in runtestprotocol(item, log=False, nextitem=following) if report.failed]
            if failures:
                print(item.nodeid, failures[0].longreprtext, sep="\n")
                break
        else:
            status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def ending(items, module, source, seconds, test_seconds):
    """How the tests of a changed module end: `survived`, `killed`, or `killed by time`; and the seconds taken."""
    began = time.monotonic()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        _run_tests(items, module, source, test_seconds)
    while time.monotonic() - began < seconds:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return ("killed" if status else "survived"), time.monotonic() - began
        time.sleep(0.002)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "killed by time", seconds


def explained():
    """{module: {description}} of the survivors that tests/mutation-survivors.txt says something about.

    It has paragraphs of a line with module and function, lines that begin with "- " and "+ ", and a reason.
    """
    known = {}
    for paragraph in SURVIVORS.read_text(encoding="utf-8").split("\n\n") if SURVIVORS.exists() else ():
        head, *lines = [line for line in paragraph.splitlines() if not line.startswith("#")] or [""]
        before = [line[2:] for line in lines if line.startswith("- ")]
        after = [line[2:] for line in lines if line.startswith("+ ")]
        reason = [line for line in lines if not line.startswith(("- ", "+ "))]
        if head and (not reason or len(before) != len(after)):
            raise SystemExit(f"{SURVIVORS.name}: this paragraph lacks a line or a reason: {paragraph}")
        if head:
            module, function = head.split()
            known.setdefault(module, set()).update(zip([function] * len(before), before, after))
    return known


def _shown(name, description):
    function, before, after = description
    return f"{name} {function}\n- {before}\n+ {after}\n"


def try_module(name, items, again):
    """Try a module's mutants; returns those that survived without being explained."""
    path = headless.ROOT / "tiledseg_plugin" / name
    module = importlib.import_module("tiledseg.tiledseg_plugin." + name[: -len(".py")].replace("/", "."))
    everything = mutants(path)
    results = RESULTS / (name.replace("/", "-") + ".json")
    if again and results.exists():
        last = {tuple(description) for description in json.loads(results.read_text(encoding="utf-8"))}
        everything = [mutant for mutant in everything if mutant[0] in last]
    how, seconds = ending(items, module, None, 600.0, 600.0)
    if how != "survived":
        raise SystemExit(f"{name}: its tests fail without any change: {OUTPUT.read_text()}")
    limit = max(LEAST_SECONDS, 10 * seconds)
    known, survivors, ends = explained().get(name, set()), [], {}
    for description, source in everything:
        how, _ = ending(items, module, source, limit, max(TEST_SECONDS, 5 * seconds))
        ends[how] = ends.get(how, 0) + 1
        if how == "killed":  # the same test may well notice the next one
            killer = OUTPUT.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
            items.sort(key=lambda item: item.nodeid != killer)
        if how == "survived":
            survivors.append(description)
            if description not in known:
                print(_shown(name, description), flush=True)
    results.write_text(json.dumps(survivors), encoding="utf-8")
    unexplained = [description for description in survivors if description not in known]
    print(f"{name}: {len(everything)} changes, {ends}; {len(unexplained)} not explained", flush=True)
    if not again:
        for description in sorted(known - set(survivors)):
            print(f"Explained, but not a survivor: {_shown(name, description)}", flush=True)
    return unexplained


class Campaign:
    """A plugin of pytest: instead of running the tests that it has collected once, it runs them for each mutant."""

    def __init__(self, modules, again):
        self.modules, self.again, self.unexplained = modules, again, []

    def pytest_configure(self):
        """The same draws for each mutant, none of which is made smaller."""
        from hypothesis import Phase, settings

        phases = [Phase.explicit, Phase.generate]
        settings.register_profile("mutation", derandomize=True, database=None, deadline=None, phases=phases)
        settings.load_profile("mutation")

    def pytest_runtestloop(self, session):
        for name in self.modules:
            chosen = [item for item in session.items if not LEFT_OUT & set(item.fixturenames)]
            items = [item for test in MODULES[name] for item in chosen if item.nodeid.startswith(test)]
            self.unexplained += try_module(name, items, self.again)
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    parser.add_argument("--again", action="store_true", help="only what survived last time")
    parser.add_argument("--list", action="store_true", help="show the changes, run nothing")
    arguments = parser.parse_args()
    chosen = [name for name in MODULES if any(part in name for part in arguments.modules or [""])]
    if not chosen:
        raise SystemExit(f"No module of scripts/mutation.py is called {' or '.join(arguments.modules)}.")
    if arguments.list:
        for name in chosen:
            for description, _ in mutants(headless.ROOT / "tiledseg_plugin" / name):
                print(_shown(name, description))
        return
    RESULTS.mkdir(parents=True, exist_ok=True)
    os.chdir(headless.ROOT)
    os.environ["TILEDSEG_KERNELS"] = "plain"
    sys.modules["numba"] = None  # what is mutated are the plain kernels, and loading the others takes seconds
    sys.dont_write_bytecode = True
    import pytest

    campaign = Campaign(chosen, arguments.again)
    tests = dict.fromkeys(test.partition("::")[0] for name in chosen for test in MODULES[name])
    options = ["-q", "-s", "-p", "no:cacheprovider", "-o", "addopts=", "-k", "not compiled"]
    status = pytest.main([*options, *tests], plugins=[campaign])
    OUTPUT.unlink(missing_ok=True)
    raise SystemExit(int(status) if status not in (0, 5) else int(bool(campaign.unexplained)))


if __name__ == "__main__":
    main()
