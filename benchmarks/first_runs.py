# SPDX-License-Identifier: GPL-2.0-or-later
"""The first run after an installation, when no kernel is compiled yet, beside the second one and a plain one.

As a script it is what is measured of the engine alone: `preview SCENE` and `compile` (all kernels of a run, in this
process); each prints seconds. Those of `preview` are of the panel while it opens (it imports the engine and has another
process begin to compile, see `live_preview.load`), then from a click on Preview in that very moment to the outlines of
the centre of the view, and from the click to those of the whole view. Whoever clicks later finds more compiled.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

from headless import plugin_path  # noqa: E402
from measure import measure  # noqa: E402

MOST_MEGAPIXELS = 16  # of a scene that is run without kernels, too
VIEW = 1000  # pixels a side, of what a preview shows
PREPARE_SECONDS = 300


class FirstRuns:
    """Measures, each time with a cache of its own.

    Parameters
    ----------
    contender : `qgis` of `product`
    folder : Path
    time_limit : seconds, of a run
    """

    def __init__(self, contender, folder, time_limit):
        self._contender, self._folder, self._limit = contender, folder, time_limit
        self.records = {}

    def run(self, scenes, paths):
        """All that can be had of these scenes: {name: seconds}, nothing where all are too large for it."""
        full = [scene for scene in scenes if scene.kind == "full" and scene.megapixels <= MOST_MEGAPIXELS]
        if not full:
            return {}
        small, large = full[0], full[-1]
        first, second, plain = (self._cache(name) for name in ("small", "large", "plain"))
        if not self._contender.missing:
            self._note("first small", self._whole(small, paths, first)[1])
            self._note("first large", self._whole(large, paths, second)[0])
            wait_for_kernels(second)
            self._note("second large", self._whole(large, paths, second)[0])
            self._note("plain large", self._whole(large, paths, plain, TILEDSEG_KERNELS="plain")[0])
        opening, centre, view = self._script(self._cache("preview"), "preview", paths[large.name])
        self._note("panel opens", opening)
        self._note("preview", centre)
        self._note("whole preview", view)
        self._note("compile", *self._script(self._cache("compile"), "compile"))
        return {**self.records, "small": small.title, "large": large.title}

    def _cache(self, name):
        folder = self._folder / f"cache-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        return {"NUMBA_CACHE_DIR": str(folder)}

    def _note(self, name, seconds):
        self.records[name] = seconds
        print(f"  {name:<16}{seconds:.2f} s", flush=True)

    def _whole(self, scene, paths, cache, **more):
        """Seconds of the process, and of the run itself."""
        folder = self._folder / "run"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        contender = replace(self._contender, environment={**self._contender.environment, **cache, **more})
        command = contender.command(paths[scene.name], scene, folder / "segments")
        measured = measure(command, contender.environment, folder, self._limit)
        if measured.failure():
            raise subprocess.SubprocessError(f"the first run failed: {measured.failure()}")
        return measured.seconds, contender.details(folder)["call_seconds"]

    def _script(self, cache, *words):
        command = [sys.executable, __file__, *map(str, words)]
        done = subprocess.run(command, env={**os.environ, **cache}, capture_output=True, text=True, check=True)
        return [float(word) for word in done.stdout.split()]


def wait_for_kernels(environment=None):
    """Until no process compiles kernels any more, and all that the usual runs need is there."""
    command = [sys.executable, __file__, "prepare"]
    subprocess.run(command, env={**os.environ, **(environment or {})}, check=True, timeout=PREPARE_SECONDS)


def judge(results):
    """The targets for first runs, as of `targets.judge`; none where they were not measured."""
    from targets import MET, NOT_MET

    found = results.get("first_runs", {})
    small, large = found.get("small"), found.get("large")
    wanted = [
        (f"first run ever, {small}: the run itself", "under 4 s", "first small", "", 4.0),
        (
            f"first run ever, {large}, against plain kernels",
            "at most 0.75 x",
            "first large",
            "plain large",
            0.75,
        ),
        ("first outlines of the preview, nothing compiled yet", "under 3 s", "preview", "", 3.0),
        (
            f"second run, {large}, against plain kernels",
            "at most 0.5 x",
            "second large",
            "plain large",
            0.5,
        ),
        ("processor time to compile all kernels of a run", "at most 9 s", "compile", "", 9.0),
    ]
    judged = []
    for what, target, over, under, most in wanted:
        if over in found and (not under or under in found):
            value = found[over] / found[under] if under else found[over]
            measured = f"{value:.2f} {'x' if under else 's'}"
            verdict = MET if value <= most else NOT_MET
            judged.append({"what": what, "target": target, "value": value, "measured": measured, "verdict": verdict})
    return judged


def _preview(scene, started):
    """As the panel does it; prints what opening takes, when the first outlines are there, and when all in view are."""
    from tiledseg.tiledseg_plugin.engine import kernels, preview_levels, segmentation  # noqa: F401
    from tiledseg.tiledseg_plugin.engine.files import vector_trial  # noqa: F401
    from tiledseg.tiledseg_plugin.engine.files.window import Window
    from tiledseg.tiledseg_plugin.engine.kernels.entries import USUAL, entries_of_run
    from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
    from tiledseg.tiledseg_plugin.engine.preview import Previewer
    from tiledseg.tiledseg_plugin.engine.progress import Feedback

    kernels.choose(entries=entries_of_run(*USUAL[0]), calm=True)
    print(time.monotonic() - started)
    started = time.monotonic()
    parameters, previewer = SegmentParameters(scene, "unused.tif"), Previewer()
    previewer.prepare(parameters, Feedback())
    raster = previewer.basis.raster
    window = Window(0, 0, min(VIEW, raster.width), min(VIEW, raster.height))
    for part in (previewer.first_part(window) or window, window):
        previewer.show(parameters, part, Feedback())
        print(time.monotonic() - started)


def _prepare():
    """As the plugin does in QGIS Desktop when nobody uses it."""
    from tiledseg.tiledseg_plugin.engine.execution import compiling
    from tiledseg.tiledseg_plugin.engine.files.ownership import is_occupied
    from tiledseg.tiledseg_plugin.engine.kernels import machine_code
    from tiledseg.tiledseg_plugin.engine.kernels.entries import USUAL, entries_of_run

    if importlib.util.find_spec("numba") is None:
        return
    wanted = {entry for usual in USUAL for entry in entries_of_run(*usual)}
    while not wanted <= machine_code.marked(machine_code.READY):
        if not is_occupied(machine_code.folder()) and not compiling.shared.is_at_work:
            reason = compiling.shared.request(sorted(wanted))
            if reason:
                sys.exit(f"kernels cannot be compiled: {reason}")
        time.sleep(0.2)
    while is_occupied(machine_code.folder()):
        time.sleep(0.2)


def main(words):
    sys.path.insert(0, str(plugin_path()))
    started = time.monotonic()
    if words[0] == "preview":
        _preview(words[1], started)
    elif words[0] == "prepare":
        _prepare()
    else:
        from tiledseg.tiledseg_plugin.engine.execution.compile_process import compile_wanted
        from tiledseg.tiledseg_plugin.engine.kernels.entries import USUAL, entries_of_run

        compile_wanted(entries_of_run(*USUAL[0]))
        print(time.process_time())


if __name__ == "__main__":
    main(sys.argv[1:])
