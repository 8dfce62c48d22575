# SPDX-License-Identifier: GPL-2.0-or-later
"""The set of kernels that begins plain and takes the compiled ones as they come: at whatever moment, nothing shows."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_sets import assert_same, compiled, needs_compiled
from rasters import Log, run, same_levels, write_raster
from tiledseg.tiledseg_plugin.engine import kernels
from tiledseg.tiledseg_plugin.engine.execution import worker
from tiledseg.tiledseg_plugin.engine.kernels import entries, growing, machine_code, plain
from tiledseg.tiledseg_plugin.engine.kernels.growing import Growing, GrowingLabeller

SETTINGS = {"num_clusters": 6, "min_pixels": 9, "levels": (50,), "sampling": 2, "tile_width": 40, "tile_height": 30}


class Switching(Growing):
    """Plain for so many calls, and compiled from then on; counts them."""

    def __init__(self, after):
        super().__init__()
        self._compiled, self.after, self.calls = compiled, after, 0
        self._counting = threading.Lock()

    def has(self, name, *arguments):
        if entries.entry_of(name, *arguments) in entries.NEVER:
            return False
        with self._counting:
            self.calls += 1
            return self.calls > self.after


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    rng = np.random.default_rng(5)
    patches = np.kron(rng.integers(20, 230, (3, 7, 9)), np.ones((1, 10, 10), int))
    values = (patches + rng.integers(0, 25, patches.shape)).astype(np.uint16)
    values[:, 20:31, 33:47] = 0
    return write_raster(tmp_path_factory.mktemp("image") / "in.tif", values, nodata=0)


def switched(image, folder, after, **changes):
    """The ids of a run that goes over to the compiled kernels after so many calls, and how many calls there were."""
    switching = Switching(after)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(kernels.VARIABLE, raising=False)
        patch.setattr(growing, "shared", switching)
        ids, _ = run(image, folder / f"{after}.tif", kernels="auto", **{**SETTINGS, **changes})
    return ids, switching.calls


@needs_compiled
@pytest.mark.parametrize("stretch", [True, False])
def test_a_run_may_go_over_to_compiled_kernels_at_any_call(image, tmp_path, stretch):
    expected, _ = run(image, tmp_path / "plain.tif", kernels="plain", stretch=stretch, **SETTINGS)
    other, _ = run(image, tmp_path / "compiled.tif", kernels="compiled", stretch=stretch, **SETTINGS)
    assert np.array_equal(other, expected)
    ids, calls = switched(image, tmp_path, 10**9, stretch=stretch, execution="serial")
    assert np.array_equal(ids, expected)
    assert calls > 50
    moments = sorted({*range(0, calls, max(1, calls // 7)), calls - 1})
    for after in moments:
        ids, _ = switched(image, tmp_path, after, stretch=stretch, execution="serial")
        assert np.array_equal(ids, expected), after
        same_levels(tmp_path / "plain.tif", tmp_path / f"{after}.tif")


@needs_compiled
@settings(max_examples=6, deadline=None)
@given(after=st.integers(0, 150), width=st.integers(16, 95), height=st.integers(16, 75), workers=st.integers(1, 3))
def test_nor_do_tiles_and_threads_show(image, tmp_path_factory, after, width, height, workers):
    folder = tmp_path_factory.mktemp("switched")
    expected, _ = run(image, folder / "plain.tif", kernels="plain", execution="serial", **SETTINGS)
    given_ = {"tile_width": width, "tile_height": height, "workers": workers, "execution": "threads"}
    ids, _ = switched(image, folder, after, **given_)
    assert np.array_equal(ids, expected)


@needs_compiled
def test_centres_of_k_means_do_not_depend_on_where_its_steps_change_sets():
    """Bounds that one set has left, the other one goes on with."""
    from tiledseg.tiledseg_plugin.engine.stages import kmeans

    rng = np.random.default_rng(8)
    sample = rng.integers(0, 60, (700, 3)).astype(np.uint8)
    expected = kmeans.cluster(*kmeans.distinct_colours(sample, plain)[:2], 12, 12, plain)
    whole = Switching(10**9)
    kmeans.cluster(*kmeans.distinct_colours(sample, whole)[:2], 12, 12, whole)
    for after in range(whole.calls):
        kernel = Switching(after)
        centres, iterations = kmeans.cluster(*kmeans.distinct_colours(sample, kernel)[:2], 12, 12, kernel)
        assert_same(centres, expected[0])
        assert iterations == expected[1]


@needs_compiled
def test_a_labeller_that_has_changed_sets_travels(monkeypatch):
    import pickle

    monkeypatch.setattr(growing, "shared", Switching(1))
    rng = np.random.default_rng(2)
    centres = rng.integers(0, 255, (9, 3)).astype(np.float32)
    values, valid = rng.integers(0, 255, (3, 50, 60)).astype(np.uint8), rng.random((50, 60)) > 0.1
    labeller = GrowingLabeller(centres)
    expected = plain.nearest_centre(values, valid, centres)
    for _ in range(3):
        assert_same(labeller(values, valid), expected)
        labeller = pickle.loads(pickle.dumps(labeller))


@needs_compiled
@pytest.mark.parametrize(
    "dtype, bands, stretch", [("uint16", 3, True), ("uint8", 1, False), ("float32", 2, False)], ids=str
)
def test_what_is_made_beforehand_is_all_that_a_run_calls(tmp_path, monkeypatch, dtype, bands, stretch):
    """Else a run would compile in the midst of its work what was said to be ready."""
    from tiledseg.tiledseg_plugin.engine.kernels.compiled import cache, recipes

    rng = np.random.default_rng(4)
    patches = np.kron(rng.integers(20, 230, (bands, 6, 6)), np.ones((1, 20, 20), int))
    image = write_raster(tmp_path / "in.tif", (patches + rng.integers(0, 25, patches.shape)).astype(dtype))
    wanted = entries.entries_of_run(dtype, bands, stretch, 6)
    called = set()
    whole = Switching(0)

    def has(name, *arguments):
        called.add(entries.entry_of(name, *arguments))
        return entries.entry_of(name, *arguments) in wanted

    whole.has = has
    for entry in wanted:
        recipes.make(entry)

    class Everywhere:
        only_loads = True

    monkeypatch.setattr(growing, "shared", whole)
    monkeypatch.setattr(cache, "_here", Everywhere)
    run(image, tmp_path / "o.tif", kernels="auto", stretch=stretch, **SETTINGS)
    assert set(wanted) - called <= {"sum_members-all"}
    assert called <= {*wanted, *entries.NEVER}


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache of this test's own, and a set that knows of nothing."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return Growing()


@needs_compiled
def test_what_is_missing_is_asked_for_once_and_taken_when_it_is_ready(own_cache, monkeypatch):
    asked = []
    own_cache.compiler = lambda entries, calm: asked.append(list(entries)) or ""
    monkeypatch.setattr(growing, "LOOK_SECONDS", 0)
    labels, table = np.zeros((2, 2), np.uint32), np.arange(2, dtype=np.uint32)
    for _ in range(3):
        assert_same(own_cache.relabel(labels, table), labels)
    assert asked == [["relabel-all"]] and own_cache.used == "plain" and not own_cache.is_complete
    monkeypatch.setattr(own_cache, "_load", own_cache._ready.add)
    own_cache._compiled = compiled
    machine_code.mark("relabel-all", machine_code.READY)
    own_cache.relabel(labels, table)
    assert own_cache.is_complete and own_cache.used == "plain and compiled" and len(asked) == 1


@needs_compiled
def test_what_is_ready_already_is_taken_by_the_first_call_of_each(own_cache, monkeypatch):
    """However soon one call follows the other: else a whole tile would be processed slowly for nothing."""
    own_cache.compiler = lambda entries, calm: ""
    monkeypatch.setattr(own_cache, "_load", own_cache._ready.add)
    monkeypatch.setattr(growing, "LOOK_SECONDS", 1000.0)
    own_cache._compiled = compiled
    for entry in ("clump-all", "relabel-all"):
        machine_code.mark(entry, machine_code.READY)
    labels, _ = own_cache.clump(np.ones((2, 2), np.uint16))
    own_cache.relabel(labels, np.arange(2, dtype=np.uint32))
    assert own_cache.used == "compiled"


@needs_compiled
def test_numba_is_imported_only_when_a_good_part_of_what_is_missing_is_ready(own_cache, monkeypatch):
    """It takes half a second, and a preview as long as one with plain kernels is over in two."""
    own_cache.compiler = lambda entries, calm: ""
    monkeypatch.setattr(growing, "import_compiled", lambda: compiled)
    monkeypatch.setattr(growing, "LOOK_SECONDS", 0)
    wanted = ["relabel-all", "clump-all", "find_edges-all", "distinct-all"]
    loaded = []
    for number, entry in enumerate(wanted):
        machine_code.mark(entry, machine_code.READY)
        monkeypatch.setattr("tiledseg.tiledseg_plugin.engine.kernels.compiled.recipes.make", loaded.append)
        own_cache.want(wanted)
        assert len(loaded) == (0, 2, 3, 4)[number]


def test_a_run_does_not_wait_for_what_a_preview_has_compiled_calmly(own_cache, monkeypatch):
    asked = []
    own_cache.compiler = lambda entries, calm: asked.append(calm) or ""
    monkeypatch.setattr(growing, "shared", own_cache)
    monkeypatch.setattr(machine_code, "marked", lambda how: set())
    monkeypatch.delenv(kernels.VARIABLE, raising=False)
    for calm in (True, None, False, None):
        kernels.choose("auto", entries=["clump-all", "relabel-all"], calm=calm)
    assert asked == [True, False]


def test_what_saves_most_is_compiled_first():
    """Of the plain kernels, the elimination takes half of a run, and k-means as long as its sample is large."""
    small, large = (entries.entries_of_run("uint16", 3, True, 60, sampled) for sampled in (160_000, 10**6))
    assert small[0] == "Elimination-all" and small.index("reassign-all") > small.index("clump-all")
    assert large[:2] == ("reassign-all", "Elimination-all") and sorted(large) == sorted(small)


@needs_compiled
def test_a_mark_without_machine_code_is_taken_away_and_nothing_is_compiled_here(own_cache, monkeypatch):
    own_cache.compiler = lambda entries, calm: ""
    machine_code.mark("simplify_rings-all", machine_code.READY)
    from tiledseg.tiledseg_plugin.engine.kernels.compiled import cache, recipes

    def missing(entry):
        raise cache.NotCompiled(entry)

    monkeypatch.setattr(recipes, "make", missing)
    own_cache.want(["simplify_rings-all"])
    assert not own_cache.is_complete and not own_cache.reason
    assert "simplify_rings-all" not in machine_code.marked(machine_code.READY)


@needs_compiled
def test_what_cannot_be_compiled_is_said_and_not_asked_for_again(own_cache, monkeypatch):
    asked = []
    own_cache.compiler = lambda entries, calm: asked.append(list(entries)) or ""
    machine_code.mark("clump-all", machine_code.FAILED, "TypingError: of no use")
    own_cache.want(["clump-all", "relabel-all"])
    assert own_cache.failed == {"clump-all": "TypingError: of no use"}
    (said,) = kernels.failures(own_cache)
    assert said.startswith(
        "The kernel clump-all cannot be compiled here (TypingError: of no use); the plain one is used"
    )
    assert asked == [["relabel-all"]]
    clusters = np.ones((3, 3), np.uint16)
    assert own_cache.clump(clusters)[1] == 1 and own_cache.used == "plain"


@needs_compiled
def test_a_numba_that_does_not_work_means_plain_and_the_reason_is_said(own_cache, monkeypatch):
    own_cache.compiler = lambda entries, calm: ""
    machine_code.mark(machine_code.EVERYTHING, machine_code.FAILED, "ImportError: of another numpy")
    monkeypatch.setattr(growing, "shared", own_cache)
    monkeypatch.delenv(kernels.VARIABLE, raising=False)
    kernel, note = kernels.choose("auto", entries=["clump-all"])
    assert kernel is plain
    assert note == "Kernels: plain (numpy); compiled ones are not used (ImportError: of another numpy)."


@needs_compiled
def test_without_a_process_that_could_compile_it_is_done_here(own_cache, monkeypatch):
    own_cache.compiler = lambda entries, calm: "no Python was found"
    monkeypatch.setattr(growing, "shared", own_cache)
    monkeypatch.delenv(kernels.VARIABLE, raising=False)
    kernel, note = kernels.choose("auto", entries=["clump-all"])
    assert kernel is compiled and note == "Kernels: compiled (numba)."


def test_a_run_says_in_one_sentence_which_kernels_it_begins_with(image, tmp_path, own_cache, monkeypatch):
    if compiled is None:
        pytest.skip("there are no compiled kernels here")
    own_cache.compiler = lambda entries, calm: ""
    monkeypatch.setattr(growing, "shared", own_cache)
    monkeypatch.delenv(kernels.VARIABLE, raising=False)
    log = Log()
    machine_code.mark("clump-all", machine_code.FAILED, "TypingError: of no use")
    run(image, tmp_path / "o.tif", log, kernels="auto", **SETTINGS)
    assert len([line for line in log.lines if line.startswith("The kernel clump-all cannot be compiled here")]) == 1
    said = [line for line in log.lines if line.startswith("Kernels: ")]
    assert len(said) == 1 and said[0].startswith("Kernels: plain (numpy) at first; the compiled ones")


@needs_compiled
def test_a_worker_loads_what_its_run_needs_and_nothing_else_that_is_there(own_cache, monkeypatch):
    """Of each dtype that has ever been segmented here there may be kernels: all of them take memory and time."""
    own_cache.compiler = lambda entries, calm: ""
    own_cache._compiled = compiled
    monkeypatch.setattr(own_cache, "_load", own_cache._ready.add)
    monkeypatch.setattr(growing, "shared", own_cache)
    monkeypatch.delenv(kernels.VARIABLE, raising=False)
    for entry in ("relabel-all", "clump-all", "simplify_rings-all"):
        machine_code.mark(entry, machine_code.READY)
    worker.load_kernels("auto", ("relabel-all", "clump-all"))
    assert own_cache._ready == {"relabel-all", "clump-all"} and own_cache.is_complete
    assert own_cache.has("simplify_rings")  # as soon as it is called
