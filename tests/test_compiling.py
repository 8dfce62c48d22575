# SPDX-License-Identifier: GPL-2.0-or-later
"""The process that compiles kernels in the background: one at a time, whoever asks, and nothing of it stays."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from kernel_sets import needs_compiled
from tiledseg.tiledseg_plugin.engine import kernels
from tiledseg.tiledseg_plugin.engine.execution import compile_process
from tiledseg.tiledseg_plugin.engine.execution import compiling as module
from tiledseg.tiledseg_plugin.engine.execution.compiling import Compiling
from tiledseg.tiledseg_plugin.engine.execution.interpreter import Candidate
from tiledseg.tiledseg_plugin.engine.files.ownership import Ownership
from tiledseg.tiledseg_plugin.engine.kernels import growing, machine_code
from tiledseg.tiledseg_plugin.engine.kernels.growing import Growing
from time_limit import no_test_hangs  # noqa: F401

pytestmark = needs_compiled
QUICK = ["relabel-all"]  # takes a fraction of a second to compile


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Launched:
    """In the place of a process: ends with the codes that it is given, one after the other."""

    def __init__(self, monkeypatch, *codes):
        self.codes, self.candidates = list(codes), []
        monkeypatch.setattr(module, "_launch", self)

    def __call__(self, candidate, order, calm):
        self.candidates.append(candidate.path)
        code = self.codes.pop(0)

        class Ended:
            def wait(self, seconds=None):
                return code

            def poll(self):
                return code

        return Ended()


def settled(compiling):
    """When the thread that watches has learned how a process ended."""
    time.sleep(0.05)
    return compiling


def test_what_is_asked_for_is_compiled_elsewhere_and_loaded_here():
    compiling, grown = Compiling(), Growing()
    grown.compiler = compiling.request
    grown.want(QUICK)
    assert not grown.is_complete and not grown.reason
    assert compiling.wait(120)
    grown._next_look = 0.0
    grown.want(QUICK)
    assert grown.is_complete
    names = {path.name for path in machine_code.folder().iterdir()}
    assert "relabel-all.ready" in names and "relabel-all.wanted" not in names
    assert "tiledseg-owner.json" not in names, "the mark of the process is gone with it"


def test_nobody_starts_a_second_one_and_what_else_is_wanted_is_left_for_the_first(monkeypatch):
    started = Launched(monkeypatch)
    machine_code.folder().mkdir(parents=True)
    other = Ownership(machine_code.folder())
    assert Compiling().request(["clump-all"]) == "" and started.candidates == []
    assert machine_code.marked(machine_code.WANTED) == {"clump-all"}
    made = []
    monkeypatch.setattr("tiledseg.tiledseg_plugin.engine.kernels.compiled.recipes.make", made.append)
    compile_process.compile_wanted(QUICK)
    assert made == [*QUICK, "clump-all"]
    assert machine_code.marked(machine_code.READY) == {*QUICK, "clump-all"}
    other.release()


def test_one_that_finds_another_at_work_ends_at_once(monkeypatch):
    monkeypatch.setattr(compile_process, "compile_wanted", lambda entries: pytest.fail("both compile"))
    machine_code.folder().mkdir(parents=True)
    other = Ownership(machine_code.folder())
    order = {"folder": str(machine_code.folder()), "entries": QUICK, "calm": False}
    assert compile_process.main(order) == 0
    other.release()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of POSIX")
def test_one_that_is_killed_leaves_nothing_that_would_stop_the_next(monkeypatch):
    compiling = Compiling()
    assert compiling.request([*QUICK, "translate-uint8"]) == ""
    while not (machine_code.folder() / "tiledseg-owner.json").exists() and not compiling.wait(0.02):
        continue
    os.kill(compiling._process.pid, signal.SIGKILL)
    assert compiling.wait(20)
    assert settled(compiling).request(QUICK) == ""
    assert compiling.is_at_work and compiling.wait(120)


def test_a_calm_one_makes_room_for_one_that_a_run_asks_for():
    compiling = Compiling()
    assert compiling.request([*QUICK, "translate-uint8"], calm=True) == ""
    calm = compiling._process
    assert compiling.request(QUICK, calm=True) == "" and compiling._process is calm
    assert compiling.request(QUICK) == ""
    assert compiling._process is not calm and calm.poll() is not None
    assert compiling.wait(120)
    assert set(QUICK) <= machine_code.marked(machine_code.READY)


def test_a_calm_one_of_another_program_makes_room_too():
    theirs, ours = Compiling(), Compiling()
    assert theirs.request(["Elimination-all", "clump-all", "find_edges-all"], calm=True) == ""
    while not module.is_occupied(machine_code.folder()) and not theirs.wait(0.02):
        continue
    assert ours.request(QUICK) == "" and not ours.is_at_work
    assert theirs.wait(60)
    assert "find_edges-all" not in machine_code.marked(machine_code.READY)
    assert ours.request(QUICK) == "" and ours.is_at_work
    assert machine_code.EVERYTHING not in machine_code.marked(machine_code.URGENT)
    assert ours.request(QUICK, calm=True) == "" and ours.is_at_work  # nobody has to make room for a calm one
    assert machine_code.EVERYTHING not in machine_code.marked(machine_code.URGENT)


def test_a_python_that_is_not_the_very_one_is_left_for_the_next(monkeypatch):
    pythons = [Candidate("/one"), Candidate("/two")]
    monkeypatch.setattr(module, "candidates", lambda: pythons)
    monkeypatch.setattr(module, "reason_to_skip", lambda candidate: "")
    started = Launched(monkeypatch, module.OTHER_PYTHON, 0, module.OTHER_PYTHON)
    compiling = Compiling()
    assert compiling.request(QUICK) == ""
    assert settled(compiling).request(QUICK) == ""
    assert started.candidates == ["/one", "/two"]
    settled(compiling).request(QUICK)
    assert "no Python was found" in settled(compiling).request(QUICK)


def test_one_that_crashes_is_not_started_for_ever(monkeypatch):
    started = Launched(monkeypatch, -11, -11)
    compiling = Compiling()
    assert [settled(compiling).request(QUICK) for _ in range(2)] == ["", ""]
    assert "crashed" in settled(compiling).request(QUICK)
    assert len(started.candidates) == 2


def test_one_of_another_version_compiles_nothing(monkeypatch):
    order = {"folder": "/of/another/version", "entries": QUICK, "calm": False}
    assert compile_process.main(order) == module.OTHER_PYTHON
    assert not machine_code.folder().exists()


def test_a_kernel_that_cannot_be_compiled_is_marked_with_the_reason_and_the_others_are_made(monkeypatch):
    def make(entry):
        if entry == "clump-all":
            raise ValueError("of no use\nsecond line")

    monkeypatch.setattr("tiledseg.tiledseg_plugin.engine.kernels.compiled.recipes.make", make)
    compile_process.compile_wanted(["clump-all", *QUICK])
    assert machine_code.marked(machine_code.READY) == set(QUICK)
    assert machine_code.reason_of("clump-all") == "ValueError: of no use"
    old = time.time() - 2 * machine_code.TRY_AGAIN_SECONDS
    os.utime(machine_code.folder() / "clump-all.failed", (old, old))
    assert machine_code.marked(machine_code.FAILED) == set(), "it is tried again some day"


def test_a_cache_that_cannot_be_written_means_that_it_is_done_here(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "cache"))
    grown = Growing()
    grown.compiler = Compiling().request
    monkeypatch.setattr(growing, "shared", grown)
    monkeypatch.delenv(kernels.VARIABLE, raising=False)
    assert kernels.choose("auto", entries=QUICK)[0].NAME == "compiled"


def name_of(folder, monkeypatch):
    """The name of the cache's folder if the kernels lay there."""
    monkeypatch.setattr(machine_code, "__file__", str(folder / "machine_code.py"))
    return machine_code._name.__wrapped__()


def test_another_place_or_time_of_the_plugin_leaves_the_cache_and_other_kernels_do_not(tmp_path, monkeypatch):
    here = Path(machine_code.__file__).parent
    assert name_of(here, monkeypatch) == machine_code.folder().name
    shutil.copytree(here, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("__pycache__"))
    assert name_of(tmp_path / "elsewhere", monkeypatch) == machine_code.folder().name
    with (tmp_path / "elsewhere" / "compiled" / "graph.py").open("a") as file:
        file.write("\n")
    assert name_of(tmp_path / "elsewhere", monkeypatch) != machine_code.folder().name


@pytest.mark.parametrize("what", ["_version_of", "__name__"])
def test_other_versions_have_a_cache_of_their_own(monkeypatch, what):
    before = machine_code._name.__wrapped__()
    monkeypatch.setattr(machine_code, what, (lambda _: "9.9") if what == "_version_of" else "other.place")
    assert machine_code._name.__wrapped__() != before


def test_the_folder_has_the_same_name_while_another_thread_reads_the_configuration_of_python(monkeypatch):
    """Half filled it said None for the binary interface: a run in four had to compile all kernels anew."""
    expected = machine_code.folder()
    monkeypatch.setattr(sysconfig, "_CONFIG_VARS", {})
    machine_code._name.cache_clear()
    assert machine_code.folder() == expected


def test_what_other_versions_left_goes_a_month_after_its_last_use(own_cache, monkeypatch):
    names = ("kernels-old", "kernels-used", "kernels-own", "graph_" + "0" * 40, "somebody-elses")
    for name in names:
        (own_cache / name).mkdir(parents=True)
        (own_cache / name / "used").write_text("")
    long_ago = time.time() - 31 * machine_code.DAY
    for name in ("kernels-old", "kernels-own", "somebody-elses"):
        os.utime(own_cache / name / "used", (long_ago, long_ago))
    machine_code.remove_unused([own_cache / "kernels-own"])
    assert {path.name for path in own_cache.iterdir()} == set(names) - {"kernels-old"}
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setattr(machine_code, "root", lambda: own_cache)
    machine_code.remove_unused([own_cache / "kernels-own"])
    assert "graph_" + "0" * 40 not in {path.name for path in own_cache.iterdir()}


def test_a_damaged_file_of_machine_code_is_as_good_as_none():
    from tiledseg.tiledseg_plugin.engine.kernels.compiled import cache, recipes

    def plus(value: int) -> int:
        return value + 1

    assert cache.kernel(plus)(1) == 2
    for path in machine_code.folder().glob("*.nbc"):
        path.write_bytes(path.read_bytes()[:50])
    with cache.only_loading(), pytest.raises(cache.NotCompiled):
        cache.kernel(plus)(1)
    assert cache.kernel(plus)(1) == 2
    with cache.only_loading():
        assert cache.kernel(plus)(1) == 2
    assert callable(recipes.make)


def test_importing_the_engine_starts_nothing(tmp_path):
    import headless

    script = (
        f"import sys; sys.path.insert(0, {str(headless.plugin_path())!r}); "
        "from tiledseg.tiledseg_plugin.engine import segmentation, preview, execution; "
        "sys.exit(execution.compiling.shared._process is not None or 'numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
    assert not Path(os.environ["NUMBA_CACHE_DIR"]).exists()
